//! One method with an attribute: what it is, what it takes, what it gives.

use proc_macro2::Span;
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{
    Attribute, FnArg, Ident, ImplItemFn, Meta, Pat, ReturnType, Signature, Type, Visibility,
};

use crate::gen_server::Errors;
use crate::gen_server::types::{arguments_of, check_sendable, is_unit};

/// What an attribute makes of a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Init,
    Call,
    Cast,
    Continuation,
    Info,
    Terminate,
}

impl Role {
    const ALL: [Role; 6] = [
        Role::Init,
        Role::Call,
        Role::Cast,
        Role::Continuation,
        Role::Info,
        Role::Terminate,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Role::Init => "init",
            Role::Call => "call",
            Role::Cast => "cast",
            Role::Continuation => "continuation",
            Role::Info => "info",
            Role::Terminate => "terminate",
        }
    }
}

/// Takes the attribute off a method and says which it was.
pub(crate) fn take_role(method: &mut ImplItemFn, errors: &mut Errors) -> Option<Role> {
    let mut role = None;
    method.attrs.retain(|attribute| {
        let found = Role::ALL
            .into_iter()
            .find(|role| attribute.path().is_ident(role.name()));
        let Some(found) = found else {
            return true;
        };
        if !matches!(attribute.meta, Meta::Path(_)) {
            let name = found.name();
            errors.at(
                &attribute.meta,
                format!("#[{name}] takes no arguments: write `#[{name}]`"),
            );
        }
        if role.is_some() {
            errors.at(
                attribute,
                "a method is one thing: keep one of its attributes",
            );
        } else {
            role = Some(found);
        }
        false
    });
    role
}

/// A method with an attribute.
pub(crate) struct Method {
    pub(crate) role: Role,
    pub(crate) name: Ident,
    pub(crate) visibility: Visibility,
    /// Those the client's method gets too: documentation, `deprecated` and such.
    pub(crate) attributes: Vec<Attribute>,
    /// Those which decide whether the method exists.
    pub(crate) conditions: Vec<Attribute>,
    pub(crate) inputs: Vec<Input>,
    pub(crate) output: Output,
}

/// A parameter, in the order of the method.
pub(crate) enum Input {
    /// `ctx: &mut Context<Self>`.
    Context,
    /// What the message carries, or the callback is given.
    Value(Value),
    /// `from: From<T>` of a call.
    Reply(Value),
}

/// A parameter that has a name.
pub(crate) struct Value {
    pub(crate) name: Ident,
    /// The type as written; of a reply handle its `T`.
    pub(crate) ty: Type,
}

/// What a method returns.
pub(crate) enum Output {
    Nothing,
    /// `Next<Self>`.
    Next,
    /// `Init<Self>`, or the answer to a call.
    Value(Box<Type>),
}

impl Method {
    /// Looks at a method whose attribute is taken off already.
    pub(crate) fn read(role: Role, method: &ImplItemFn, errors: &mut Errors) -> Method {
        let signature = &method.sig;
        check_shape(role, signature, errors);
        let mut inputs = Vec::new();
        for input in &signature.inputs {
            if let FnArg::Typed(parameter) = input {
                inputs.extend(read_input(role, parameter, errors));
            }
        }
        check_inputs(role, signature, &inputs, errors);
        let output = match &signature.output {
            ReturnType::Default => Output::Nothing,
            ReturnType::Type(_, ty) if is_unit(ty) => Output::Nothing,
            ReturnType::Type(_, ty) if arguments_of(ty, "Next").is_some() => Output::Next,
            ReturnType::Type(_, ty) => Output::Value(ty.clone()),
        };
        check_output(role, signature, &inputs, &output, errors);
        let carried = ["doc", "deprecated", "allow"];
        let with_name = |names: &[&str]| {
            let wanted =
                |attribute: &&Attribute| names.iter().any(|name| attribute.path().is_ident(name));
            method.attrs.iter().filter(wanted).cloned().collect()
        };
        Method {
            role,
            name: signature.ident.clone(),
            visibility: method.vis.clone(),
            attributes: with_name(&carried),
            conditions: with_name(&["cfg"]),
            inputs,
            output,
        }
    }

    /// What the message carries or the callback is given, without context and reply handle.
    pub(crate) fn values(&self) -> impl Iterator<Item = &Value> {
        self.inputs.iter().filter_map(|input| match input {
            Input::Value(value) => Some(value),
            Input::Context | Input::Reply(_) => None,
        })
    }

    /// The reply handle a call takes itself.
    pub(crate) fn reply(&self) -> Option<&Value> {
        self.inputs.iter().find_map(|input| match input {
            Input::Reply(value) => Some(value),
            Input::Context | Input::Value(_) => None,
        })
    }

    /// `add_item` as `AddItem`.
    pub(crate) fn variant(&self) -> Ident {
        let name = self.name.unraw().to_string();
        let mut variant = String::with_capacity(name.len());
        for word in name.split('_') {
            let mut letters = word.chars();
            variant.extend(letters.next().into_iter().flat_map(char::to_uppercase));
            variant.extend(letters);
        }
        // The one name that is a keyword in this spelling, and those that are no name at all.
        if variant == "Self" || !variant.starts_with(|first: char| first.is_alphabetic()) {
            variant.insert(0, '_');
        }
        Ident::new(&variant, self.name.span())
    }
}

fn check_shape(role: Role, signature: &Signature, errors: &mut Errors) {
    let name = role.name();
    if signature.asyncness.is_none() {
        errors.at(
            signature.fn_token,
            format!(
                "a #[{name}] is asynchronous: write `async fn {}`",
                signature.ident
            ),
        );
    }
    for place in [
        signature.constness.map(|token| token.span()),
        signature.unsafety.map(|token| token.span()),
        signature.abi.as_ref().map(Spanned::span),
        signature.variadic.as_ref().map(Spanned::span),
    ]
    .into_iter()
    .flatten()
    {
        errors.at_span(
            place,
            format!("a #[{name}] is a plain `async fn`: remove this"),
        );
    }
    if !signature.generics.params.is_empty() {
        errors.at(
            &signature.generics,
            format!(
                "a #[{name}] cannot be generic, because a message has one type: move the \
                 parameters to the `impl` block"
            ),
        );
    }
    if let Some(clause) = &signature.generics.where_clause {
        errors.at(
            clause,
            format!("a #[{name}] has no conditions of its own: move them to the `impl` block"),
        );
    }
    check_receiver(role, signature, errors);
}

fn check_receiver(role: Role, signature: &Signature, errors: &mut Errors) {
    let name = role.name();
    match (role, signature.receiver()) {
        (Role::Init, None) => {}
        (Role::Init, Some(receiver)) => errors.at(
            receiver,
            "#[init] makes the state, so there is no `self` yet: remove it",
        ),
        (_, None) => errors.at(
            &signature.ident,
            format!("a #[{name}] works on the state: take `&self` or `&mut self` first"),
        ),
        (_, Some(receiver)) => {
            let borrowed = receiver.colon_token.is_none() && receiver.reference.is_some();
            if !borrowed {
                errors.at(
                    receiver,
                    format!(
                        "a #[{name}] borrows the state, the process keeps it: take `&self` or \
                         `&mut self`"
                    ),
                );
            } else if let Some((_, Some(lifetime))) = &receiver.reference {
                errors.at(lifetime, "`self` has no lifetime here: remove it");
            }
        }
    }
}

fn read_input(role: Role, parameter: &syn::PatType, errors: &mut Errors) -> Option<Input> {
    for attribute in &parameter.attrs {
        if attribute.path().is_ident("cfg") {
            errors.at(
                attribute,
                "a parameter with a condition would change the message: give the method two forms \
                 with `#[cfg]` instead",
            );
        }
    }
    if let Type::Reference(reference) = &*parameter.ty
        && arguments_of(&reference.elem, "Context").is_some()
    {
        if reference.mutability.is_none() {
            errors.at(reference, "take the context as `&mut Context<Self>`");
        }
        return Some(Input::Context);
    }
    let name = read_name(role, &parameter.pat, errors)?;
    if role == Role::Call
        && let Some(arguments) = arguments_of(&parameter.ty, "From")
    {
        let Some(answer) = arguments.first() else {
            errors.at(
                &parameter.ty,
                "say what the caller gets: `from: From<T>` with the type of the answer",
            );
            return None;
        };
        check_sendable(answer, "the answer to a #[call]", errors);
        return Some(Input::Reply(Value {
            name,
            ty: (*answer).clone(),
        }));
    }
    match role {
        // Given by the runtime, not sent.
        Role::Info | Role::Terminate => {}
        Role::Init => check_sendable(&parameter.ty, "an argument of #[init]", errors),
        _ => {
            let what = format!("a parameter of a #[{}]", role.name());
            check_sendable(&parameter.ty, &what, errors);
        }
    }
    Some(Input::Value(Value {
        name,
        ty: (*parameter.ty).clone(),
    }))
}

fn read_name(role: Role, pattern: &Pat, errors: &mut Errors) -> Option<Ident> {
    match pattern {
        Pat::Ident(pattern) if pattern.by_ref.is_none() && pattern.subpat.is_none() => {
            Some(pattern.ident.clone())
        }
        // Given by position, so any pattern will do.
        pattern if matches!(role, Role::Init | Role::Info | Role::Terminate) => {
            Some(Ident::new("value", pattern.span()))
        }
        pattern => {
            errors.at(
                pattern,
                format!(
                    "a parameter of a #[{}] is a field of the message and needs a plain name: \
                     write `name: Type` and take it apart in the body",
                    role.name()
                ),
            );
            None
        }
    }
}

fn check_inputs(role: Role, signature: &Signature, inputs: &[Input], errors: &mut Errors) {
    let contexts = inputs
        .iter()
        .filter(|input| matches!(input, Input::Context));
    if contexts.count() > 1 {
        errors.at(
            &signature.inputs,
            "the context is given once: keep one `&mut Context<Self>`",
        );
    }
    let values: Vec<&Input> = inputs
        .iter()
        .filter(|input| !matches!(input, Input::Context))
        .collect();
    let replies = values.iter().rev().skip(1);
    for input in replies {
        if let Input::Reply(value) = input {
            errors.at(
                &value.name,
                "`From<T>` is the last parameter of a #[call], and there is only one",
            );
        }
    }
    match (role, values.as_slice()) {
        (Role::Info, [_]) | (Role::Terminate, []) => {}
        (Role::Info, _) => errors.at(
            &signature.ident,
            "an #[info] takes what arrived: write `info: Info`, and `ctx: &mut Context<Self>` if \
             it needs that",
        ),
        (Role::Terminate, [Input::Value(value)]) if matches!(value.ty, Type::Reference(_)) => {}
        (Role::Terminate, _) => errors.at(
            &signature.ident,
            "a #[terminate] takes the reason: write `reason: &ExitReason`, and `ctx: &mut \
             Context<Self>` if it needs that",
        ),
        _ => {}
    }
}

fn check_output(
    role: Role,
    signature: &Signature,
    inputs: &[Input],
    output: &Output,
    errors: &mut Errors,
) {
    let place = return_place(signature);
    let delayed = inputs.iter().any(|input| matches!(input, Input::Reply(_)));
    match (role, output) {
        (Role::Init, Output::Value(ty)) if arguments_of(ty, "Init").is_some() => {}
        (Role::Init, _) => errors.at_span(place, "#[init] says how to go on: return `Init<Self>`"),
        (Role::Call, Output::Next) if !delayed => errors.at_span(
            place,
            "a #[call] returns the answer; to decide what comes next too, take `from: From<T>` as \
             the last parameter, answer with `from.reply(..)`, and return `Next<Self>`",
        ),
        (Role::Call, Output::Value(_)) if delayed => errors.at_span(
            place,
            "a #[call] with `From<T>` answers with `from.reply(..)`: return nothing or \
             `Next<Self>`",
        ),
        (Role::Call, Output::Value(ty)) => check_sendable(ty, "the answer to a #[call]", errors),
        (Role::Cast | Role::Continuation | Role::Info, Output::Value(_)) => errors.at_span(
            place,
            format!(
                "nobody waits for what a #[{}] returns: return nothing or `Next<Self>`",
                role.name()
            ),
        ),
        (Role::Terminate, Output::Next | Output::Value(_)) => errors.at_span(
            place,
            "nothing comes after a #[terminate]: it returns nothing",
        ),
        _ => {}
    }
}

fn return_place(signature: &Signature) -> Span {
    match &signature.output {
        ReturnType::Type(_, ty) => ty.span(),
        ReturnType::Default => signature.ident.span(),
    }
}
