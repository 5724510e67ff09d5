//! `impl GenServer`: the dispatch and the callbacks.

use proc_macro2::TokenStream;
use quote::quote;
use syn::Ident;

use super::{args, fields, invoke, local, quiet, reply};
use crate::gen_server::method::{Method, Output, Role};
use crate::gen_server::server::Server;

pub(super) fn implementation(server: &Server) -> TokenStream {
    let Server {
        message,
        otp,
        generics,
        ..
    } = server;
    let (bounds, parameters, conditions) = generics.split_for_impl();
    let (state, quiet, args) = (server.state(), quiet(), args(server));
    let (ctx, request) = (local("ctx"), local("request"));
    let init = init(server);
    let arms = server.requests.iter().map(|request| arm(server, request));
    let never = generics
        .type_params()
        .next()
        .is_some()
        .then(|| quote!(#message::__Parameters(never, ..) => match never {}));
    let info = server.info.as_ref().map(|method| info(server, method));
    let terminate = server
        .terminate
        .as_ref()
        .map(|method| terminate(server, method));
    quote! {
        #quiet
        #[automatically_derived]
        impl #bounds #otp::GenServer for #state #conditions {
            type Args = #args;
            type Message = #message #parameters;

            fn message_name(#request: &#message #parameters) -> &'static str {
                #request.name()
            }

            #init

            // Not an `async fn`: that would keep its parameters twice.
            fn handle(
                &mut self,
                #request: #message #parameters,
                #ctx: &mut #otp::Context<Self>,
            ) -> impl ::core::future::Future<Output = #otp::Next<Self>> + ::core::marker::Send {
                async move {
                    match #request {
                        #(#arms,)*
                        #never
                    }
                }
            }

            #info
            #terminate
        }
    }
}

fn init(server: &Server) -> TokenStream {
    let (otp, args_type) = (&server.otp, args(server));
    let (ctx, args) = (local("ctx"), local("args"));
    let values: Vec<Ident> = (0..server.init.values().count())
        .map(|position| local(&format!("argument_{position}")))
        .collect();
    let pattern = match values.as_slice() {
        [value] => quote!(#value),
        values => quote!((#(#values),*)),
    };
    let invoke = invoke(&server.init, false, values.into_iter());
    quote! {
        fn init(
            #args: #args_type,
            #ctx: &mut #otp::Context<Self>,
        ) -> impl ::core::future::Future<Output = #otp::Init<Self>> + ::core::marker::Send {
            let #pattern = #args;
            #invoke
        }
    }
}

/// The arm of one request.
fn arm(server: &Server, request: &Method) -> TokenStream {
    let Server { message, otp, .. } = server;
    let (variant, conditions) = (request.variant(), &request.conditions);
    let mut members = Vec::new();
    let mut values = Vec::new();
    for (position, (field, _)) in fields(server, request).into_iter().enumerate() {
        let value = local(&format!("value_{position}"));
        members.push(quote!(#field: #value));
        values.push(value);
    }
    let from = local("from");
    if let Some((field, _)) = reply(server, request) {
        members.push(quote!(#field: #from));
    }
    // The reply handle of a method is its last value.
    if request.reply().is_some() {
        values.push(from.clone());
    }
    let invoke = invoke(request, true, values.into_iter());
    let body = match (&request.output, request.role) {
        (Output::Next, _) => quote!(#invoke.await),
        (_, Role::Call) if request.reply().is_none() => quote!({
            #from.reply(#invoke.await);
            #otp::Next::Go
        }),
        _ => quote!({
            #invoke.await;
            #otp::Next::Go
        }),
    };
    quote!(#(#conditions)* #message::#variant { #(#members),* } => #body)
}

fn info(server: &Server, method: &Method) -> TokenStream {
    let (otp, conditions) = (&server.otp, &method.conditions);
    let (ctx, info) = (local("ctx"), local("info"));
    let invoke = invoke(method, true, std::iter::once(info.clone()));
    let body = match method.output {
        Output::Next => invoke,
        _ => quote!(async move {
            #invoke.await;
            #otp::Next::Go
        }),
    };
    quote! {
        #(#conditions)*
        fn handle_info(
            &mut self,
            #info: #otp::Info,
            #ctx: &mut #otp::Context<Self>,
        ) -> impl ::core::future::Future<Output = #otp::Next<Self>> + ::core::marker::Send {
            #body
        }
    }
}

fn terminate(server: &Server, method: &Method) -> TokenStream {
    let (otp, conditions) = (&server.otp, &method.conditions);
    let (ctx, reason) = (local("ctx"), local("reason"));
    let invoke = invoke(method, true, std::iter::once(reason.clone()));
    quote! {
        #(#conditions)*
        fn terminate(
            &mut self,
            #reason: &#otp::ExitReason,
            #ctx: &mut #otp::Context<Self>,
        ) -> impl ::core::future::Future<Output = ()> + ::core::marker::Send {
            #invoke
        }
    }
}
