//! Questions about types, answered by how they are written: a macro sees no more.

use proc_macro2::Span;
use syn::visit::{self, Visit};
use syn::visit_mut::{self, VisitMut};
use syn::{GenericArgument, PathArguments, QSelf, Type};

use crate::gen_server::Errors;

/// The generic arguments of a type whose path ends in `name`: `Some([T])` for `otp::From<T>`.
pub(crate) fn arguments_of<'a>(ty: &'a Type, name: &str) -> Option<Vec<&'a Type>> {
    let Type::Path(path) = ty else {
        return None;
    };
    let last = path.path.segments.last()?;
    if last.ident != name {
        return None;
    }
    Some(match &last.arguments {
        PathArguments::AngleBracketed(arguments) => arguments
            .args
            .iter()
            .filter_map(|argument| match argument {
                GenericArgument::Type(ty) => Some(ty),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    })
}

/// Whether this is `()`.
pub(crate) fn is_unit(ty: &Type) -> bool {
    matches!(ty, Type::Tuple(tuple) if tuple.elems.is_empty())
}

/// Complains about everything in a type that cannot stand in a message. `what` is the subject of
/// the sentence.
pub(crate) fn check_sendable(ty: &Type, what: &str, errors: &mut Errors) {
    Sendable { what, errors }.visit_type(ty);
}

struct Sendable<'a> {
    what: &'a str,
    errors: &'a mut Errors,
}

impl Sendable<'_> {
    fn borrowed(&mut self, place: Span) {
        let what = self.what;
        self.errors.at_span(
            place,
            format!(
                "{what} goes to another process and cannot borrow: use an owned type (`String`, \
                 `Vec<_>`, `Arc<_>`) or a `'static` one"
            ),
        );
    }
}

impl<'ast> Visit<'ast> for Sendable<'_> {
    fn visit_type_reference(&mut self, reference: &'ast syn::TypeReference) {
        match &reference.lifetime {
            Some(lifetime) if lifetime.ident == "static" => self.visit_type(&reference.elem),
            Some(lifetime) => self.borrowed(lifetime.span()),
            None => self.borrowed(reference.and_token.span),
        }
    }

    fn visit_lifetime(&mut self, lifetime: &'ast syn::Lifetime) {
        if lifetime.ident != "static" {
            self.borrowed(lifetime.span());
        }
    }

    fn visit_type_impl_trait(&mut self, ty: &'ast syn::TypeImplTrait) {
        let what = self.what;
        self.errors.at(
            ty,
            format!(
                "{what} needs one type, `impl Trait` stands for many: name the type, or use \
                 `Box<dyn Trait + Send>`"
            ),
        );
    }

    fn visit_type_infer(&mut self, ty: &'ast syn::TypeInfer) {
        let what = self.what;
        self.errors
            .at(ty, format!("{what} needs a written type instead of `_`"));
    }

    // Lifetimes in the signature of a function are not those of what is sent.
    fn visit_type_bare_fn(&mut self, _: &'ast syn::TypeBareFn) {}
    fn visit_parenthesized_generic_arguments(
        &mut self,
        _: &'ast syn::ParenthesizedGenericArguments,
    ) {
    }
    fn visit_trait_bound(&mut self, bound: &'ast syn::TraitBound) {
        if bound.lifetimes.is_none() {
            visit::visit_trait_bound(self, bound);
        }
    }
}

/// Writes the type of the block for `Self`, for use outside of the block.
pub(crate) struct ReplaceSelf<'a>(pub(crate) &'a Type);

impl ReplaceSelf<'_> {
    pub(crate) fn in_type(&mut self, ty: &Type) -> Type {
        let mut ty = ty.clone();
        self.visit_type_mut(&mut ty);
        ty
    }

    /// `Self::NAME` becomes `<Cart>::NAME`.
    fn replace(&self, qself: &mut Option<QSelf>, path: &mut syn::Path) {
        let starts_with_self = path.leading_colon.is_none()
            && path.segments.len() > 1
            && path
                .segments
                .first()
                .is_some_and(|first| first.ident == "Self");
        if qself.is_some() || !starts_with_self {
            return;
        }
        *qself = Some(QSelf {
            lt_token: Default::default(),
            ty: Box::new(self.0.clone()),
            position: 0,
            as_token: None,
            gt_token: Default::default(),
        });
        path.segments = std::mem::take(&mut path.segments)
            .into_iter()
            .skip(1)
            .collect();
        path.leading_colon = Some(Default::default());
    }
}

impl VisitMut for ReplaceSelf<'_> {
    fn visit_type_mut(&mut self, ty: &mut Type) {
        match ty {
            Type::Path(path) if path.qself.is_none() && path.path.is_ident("Self") => {
                *ty = self.0.clone();
            }
            _ => visit_mut::visit_type_mut(self, ty),
        }
    }

    fn visit_type_path_mut(&mut self, path: &mut syn::TypePath) {
        visit_mut::visit_type_path_mut(self, path);
        self.replace(&mut path.qself, &mut path.path);
    }

    fn visit_expr_path_mut(&mut self, path: &mut syn::ExprPath) {
        visit_mut::visit_expr_path_mut(self, path);
        self.replace(&mut path.qself, &mut path.path);
    }
}
