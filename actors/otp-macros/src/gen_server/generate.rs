//! From a server to its tokens.
//!
//! Names of local variables are hygienic (`mixed_site`), so that a parameter may be called `ctx`.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::{Ident, Type};

use crate::gen_server::method::{Input, Method, Output, Role};
use crate::gen_server::server::Server;
use crate::gen_server::types::ReplaceSelf;

mod client;
mod constructors;
mod implementation;
mod message;

pub(crate) fn generate(server: &Server) -> TokenStream {
    let block = &server.block;
    let message = message::message(server);
    let implementation = implementation::implementation(server);
    let starts = constructors::starts(server);
    let continuations = constructors::continuations(server);
    let client = client::client(server);
    quote!(#block #message #implementation #starts #continuations #client)
}

/// A name that no name in the block can meet.
fn local(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}

/// Lints that have nothing to say about written code: whether somebody uses all of it, and how
/// visible it is beside types of the user, is not in the hands of the macro.
fn quiet() -> TokenStream {
    quote!(#[allow(
        dead_code,
        deprecated,
        unreachable_code,
        unreachable_pub,
        unused_variables,
        private_interfaces,
        private_bounds,
        clippy::all
    )])
}

/// The fields of the variant of a request, in order, with types that mean the same everywhere.
fn fields(server: &Server, request: &Method) -> Vec<(Ident, Type)> {
    let mut replace = ReplaceSelf(server.state());
    let values = request.values();
    let own = |name: &Ident, ty: &Type, replace: &mut ReplaceSelf<'_>| {
        (name.clone(), replace.in_type(ty))
    };
    values
        .map(|value| own(&value.name, &value.ty, &mut replace))
        .collect()
}

/// The field of a call that holds the reply handle, and the type of the answer.
fn reply(server: &Server, call: &Method) -> Option<(Ident, Type)> {
    if call.role != Role::Call {
        return None;
    }
    let mut replace = ReplaceSelf(server.state());
    if let Some(value) = call.reply() {
        return Some((value.name.clone(), replace.in_type(&value.ty)));
    }
    let taken = call.values().any(|value| value.name == "from");
    let field = if taken { "reply_to" } else { "from" };
    let answer = match &call.output {
        Output::Value(ty) => replace.in_type(ty),
        Output::Nothing | Output::Next => syn::parse_quote!(()),
    };
    Some((Ident::new(field, call.name.span()), answer))
}

/// The type of `Args`: nothing, one, or a tuple.
fn args(server: &Server) -> TokenStream {
    let fields = fields(server, &server.init);
    match fields.as_slice() {
        [(_, ty)] => quote!(#ty),
        fields => {
            let types = fields.iter().map(|(_, ty)| ty);
            quote!((#(#types),*))
        }
    }
}

/// `Self::method(self, a, ctx, b)`, with what stands for the parameters in their order.
fn invoke(method: &Method, receiver: bool, mut values: impl Iterator<Item = Ident>) -> TokenStream {
    let (name, ctx) = (&method.name, local("ctx"));
    let receiver = receiver.then(|| quote!(self,));
    let arguments = method.inputs.iter().map(|input| match input {
        Input::Context => quote!(#ctx),
        Input::Value(_) | Input::Reply(_) => {
            let value = values.next();
            quote!(#value)
        }
    });
    quote!(Self::#name(#receiver #(#arguments),*))
}
