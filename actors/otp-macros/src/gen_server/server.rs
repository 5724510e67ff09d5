//! The whole block: which methods there are, and whether they fit together.

use proc_macro2::Span;
use quote::format_ident;
use syn::ext::IdentExt;
use syn::visit_mut::VisitMut;
use syn::{GenericParam, Generics, Ident, ImplItem, ItemImpl, Path, Type, Visibility};

use crate::gen_server::Errors;
use crate::gen_server::arguments::Arguments;
use crate::gen_server::method::{Method, Role, take_role};
use crate::gen_server::types::ReplaceSelf;

/// What the client has besides the methods of the server.
const CLIENT_METHODS: [&str; 6] = [
    "server_ref",
    "pid",
    "within",
    "without_limit",
    "from_pid",
    "whereis",
];

/// A block that makes sense.
pub(crate) struct Server {
    /// The block without the attributes of this macro.
    pub(crate) block: ItemImpl,
    /// The name of the state, for documentation.
    pub(crate) name: Ident,
    /// Parameters and conditions of the block, without `Self`.
    pub(crate) generics: Generics,
    pub(crate) message: Ident,
    pub(crate) client: Ident,
    pub(crate) visibility: Visibility,
    pub(crate) otp: Path,
    pub(crate) init: Method,
    /// Calls, casts and continuations, in the order of the block.
    pub(crate) requests: Vec<Method>,
    pub(crate) info: Option<Method>,
    pub(crate) terminate: Option<Method>,
    /// The names of all functions in the block.
    pub(crate) functions: Vec<String>,
}

impl Server {
    pub(crate) fn read(arguments: Arguments, mut block: ItemImpl) -> syn::Result<Server> {
        let name = check_block(&block)?;
        let mut errors = Errors::default();
        let (mut init, mut info, mut terminate) = (None, None, None);
        let mut requests = Vec::new();
        let mut functions = Vec::new();
        for item in &mut block.items {
            let ImplItem::Fn(function) = item else {
                continue;
            };
            functions.push(function.sig.ident.unraw().to_string());
            let Some(role) = take_role(function, &mut errors) else {
                continue;
            };
            let method = Method::read(role, function, &mut errors);
            let only = match role {
                Role::Init => &mut init,
                Role::Info => &mut info,
                Role::Terminate => &mut terminate,
                Role::Call | Role::Cast | Role::Continuation => {
                    requests.push(method);
                    continue;
                }
            };
            if only.is_some() {
                errors.at(
                    &method.name,
                    format!("there is one #[{}] in a server: remove one", role.name()),
                );
            } else {
                *only = Some(method);
            }
        }
        check_names(&requests, &functions, &mut errors);
        let Some(init) = init else {
            errors.at(
                &block.self_ty,
                "#[init] is missing: write `#[init] async fn init(..) -> Init<Self>`",
            );
            return Err(errors.or(()).err().unwrap_or_else(missing));
        };
        let mut generics = block.generics.clone();
        ReplaceSelf(&block.self_ty).visit_generics_mut(&mut generics);
        let server = Server {
            message: arguments
                .message
                .unwrap_or_else(|| format_ident!("{name}Message")),
            client: arguments
                .client
                .unwrap_or_else(|| format_ident!("{name}Client")),
            visibility: arguments.visibility,
            otp: arguments.otp,
            generics,
            name,
            block,
            init,
            requests,
            info,
            terminate,
            functions,
        };
        errors.or(server)
    }

    /// The type of the state.
    pub(crate) fn state(&self) -> &Type {
        &self.block.self_ty
    }
}

fn missing() -> syn::Error {
    syn::Error::new(Span::call_site(), "#[init] is missing")
}

/// What makes the rest pointless; the name of the state if there is nothing of that.
fn check_block(block: &ItemImpl) -> syn::Result<Ident> {
    if let Some((_, path, _)) = &block.trait_ {
        return Err(syn::Error::new_spanned(
            path,
            "#[gen_server] writes the `impl GenServer` itself: put it on `impl Cart { .. }`, \
             without a trait",
        ));
    }
    for parameter in &block.generics.params {
        if let GenericParam::Lifetime(lifetime) = parameter {
            return Err(syn::Error::new_spanned(
                lifetime,
                "a process may outlive everything it could borrow from: let the state own what it \
                 holds, and remove the lifetime",
            ));
        }
    }
    let last = match &*block.self_ty {
        Type::Path(path) if path.qself.is_none() => path.path.segments.last(),
        _ => None,
    };
    match last {
        Some(segment) => Ok(segment.ident.unraw()),
        None => Err(syn::Error::new_spanned(
            &block.self_ty,
            "#[gen_server] belongs on the `impl` block of a struct or an enum",
        )),
    }
}

/// What would be written twice.
fn check_names(requests: &[Method], functions: &[String], errors: &mut Errors) {
    for (position, request) in requests.iter().enumerate() {
        let name = request.name.unraw().to_string();
        if request.role == Role::Continuation {
            let constructor = format!("continue_{name}");
            if functions.contains(&constructor) {
                errors.at(
                    &request.name,
                    format!("#[gen_server] writes `{constructor}` for this: rename yours"),
                );
            }
        } else if CLIENT_METHODS.contains(&name.as_str()) {
            errors.at(
                &request.name,
                format!("the client has a method `{name}` already: choose another name"),
            );
        }
        if let Some(cast) = name.strip_prefix("try_")
            && request.role != Role::Continuation
            && requests
                .iter()
                .any(|other| other.role == Role::Cast && other.name.unraw() == cast)
        {
            errors.at(
                &request.name,
                format!("the client has `{name}` as a form of the #[cast] `{cast}`: rename it"),
            );
        }
        let clash = requests[..position].iter().find(|other| {
            let conditional = !other.conditions.is_empty() && !request.conditions.is_empty();
            other.variant() == request.variant() && !conditional
        });
        if let Some(other) = clash {
            errors.at(
                &request.name,
                format!(
                    "this and `{}` would both be the message `{}`: rename one",
                    other.name,
                    request.variant()
                ),
            );
        }
    }
}
