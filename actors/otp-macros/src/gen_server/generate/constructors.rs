//! What the state gets: functions which start the server, and those which make the messages that
//! are for itself.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::ext::IdentExt;

use super::{args, fields, quiet};
use crate::gen_server::method::Role;
use crate::gen_server::server::Server;

pub(super) fn starts(server: &Server) -> TokenStream {
    let Server {
        name,
        client,
        visibility,
        otp,
        generics,
        ..
    } = server;
    let (bounds, parameters, conditions) = generics.split_for_impl();
    let (state, quiet, args) = (server.state(), quiet(), args(server));
    let names = generics
        .params
        .iter()
        .filter_map(|parameter| match parameter {
            syn::GenericParam::Type(ty) => Some(&ty.ident),
            syn::GenericParam::Const(constant) => Some(&constant.ident),
            syn::GenericParam::Lifetime(_) => None,
        });
    let captured = quote!(use<__Parent, #(#names),*>);
    let result = quote!(::core::result::Result<#client #parameters, #otp::StartError>);
    let written = |name: &str, function: TokenStream| {
        let own = server.functions.iter().any(|function| function == name);
        (!own).then_some(function)
    };
    let about = format!("Starts a `{name}` alone (`gen_server:start/3`). Returns after its init.");
    let start = written(
        "start",
        quote! {
            #[doc = #about]
            #visibility async fn start(
                node: &#otp::Node,
                args: #args,
                options: #otp::Options,
            ) -> #result {
                let server = #otp::start::<Self>(node, args, options).await?;
                ::core::result::Result::Ok(::core::convert::From::from(server))
            }
        },
    );
    let about =
        format!("Starts a `{name}` linked to a process, its parent (`gen_server:start_link/3`).");
    let start_link = written(
        "start_link",
        quote! {
            #[doc = #about]
            #visibility fn start_link<__Parent: #otp::GenServer>(
                parent: &#otp::Context<__Parent>,
                args: #args,
                options: #otp::Options,
            ) -> impl ::core::future::Future<Output = #result> + ::core::marker::Send + #captured {
                let started = parent.start_link::<Self>(args, options);
                async move {
                    let server = started.await?;
                    ::core::result::Result::Ok(::core::convert::From::from(server))
                }
            }
        },
    );
    let about = format!(
        "How a supervisor starts a `{name}`: a permanent worker, see the methods of the \
         specification for the rest. The factory makes the arguments of each start."
    );
    let child_spec = written(
        "child_spec",
        quote! {
            #[doc = #about]
            #visibility fn child_spec(
                id: impl ::core::convert::Into<::std::sync::Arc<str>>,
                factory: impl Fn() -> #args
                    + ::core::marker::Send
                    + ::core::marker::Sync
                    + 'static,
            ) -> #otp::ChildSpec {
                #otp::ChildSpec::worker::<Self>(id, factory)
            }
        },
    );
    quote! {
        #quiet
        impl #bounds #state #conditions {
            #start
            #start_link
            #child_spec
        }
    }
}

/// The constructors of the messages that are for the server itself.
pub(super) fn continuations(server: &Server) -> Option<TokenStream> {
    let Server {
        message, generics, ..
    } = server;
    let (bounds, parameters, conditions) = generics.split_for_impl();
    let (state, quiet) = (server.state(), quiet());
    let constructors: Vec<_> = server
        .requests
        .iter()
        .filter(|request| request.role == Role::Continuation)
        .map(|request| {
            let (variant, visibility) = (request.variant(), &request.visibility);
            let conditions = &request.conditions;
            let name = request.name.unraw();
            let constructor = format_ident!("continue_{name}", span = request.name.span());
            let about = format!(
                "The message that runs `{name}`: for `Init::Continue`, `Next::Continue` and \
                 timers."
            );
            let (fields, types): (Vec<_>, Vec<_>) = fields(server, request).into_iter().unzip();
            quote! {
                #(#conditions)*
                #[doc = #about]
                #[must_use]
                #visibility fn #constructor(#(#fields: #types),*) -> #message #parameters {
                    #message::#variant { #(#fields),* }
                }
            }
        })
        .collect();
    (!constructors.is_empty()).then(|| {
        quote! {
            #quiet
            impl #bounds #state #conditions {
                #(#constructors)*
            }
        }
    })
}
