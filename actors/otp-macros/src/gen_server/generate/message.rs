//! The message enum.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;

use super::{fields, quiet, reply};
use crate::gen_server::server::Server;

pub(super) fn message(server: &Server) -> TokenStream {
    let Server {
        name,
        message,
        visibility,
        otp,
        generics,
        ..
    } = server;
    let quiet = quiet();
    let (bounds, parameters, conditions) = generics.split_for_impl();
    let variants = server.requests.iter().map(|request| {
        let variant = request.variant();
        let conditions = &request.conditions;
        let about = format!(
            "Runs `{}`, a {}.",
            request.name.unraw(),
            request.role.name()
        );
        let mut members: Vec<TokenStream> = Vec::new();
        for (field, ty) in fields(server, request) {
            let about = format!("The parameter `{}`.", field.unraw());
            members.push(quote!(#[doc = #about] #field: #ty));
        }
        if let Some((field, ty)) = reply(server, request) {
            members.push(quote!(#[doc = "Whom to answer."] #field: #otp::From<#ty>));
        }
        let members = (!members.is_empty()).then(|| quote!({ #(#members),* }));
        quote!(#(#conditions)* #[doc = #about] #variant #members)
    });
    let names = server.requests.iter().map(|request| {
        let (variant, conditions) = (request.variant(), &request.conditions);
        let name = request.name.unraw().to_string();
        quote!(#(#conditions)* Self::#variant { .. } => #name)
    });
    let debug_names = server.requests.iter().map(|request| {
        let (variant, conditions) = (request.variant(), &request.conditions);
        let name = format!("{message}::{variant}");
        quote!(#(#conditions)* Self::#variant { .. } => #name)
    });
    // Type parameters that no variant mentions, in a variant nobody can make.
    let types: Vec<_> = generics.type_params().map(|ty| &ty.ident).collect();
    let phantom = (!types.is_empty()).then(|| {
        quote! {
            #[doc(hidden)]
            __Parameters(
                ::core::convert::Infallible,
                #(::core::marker::PhantomData<fn() -> ::core::marker::PhantomData<#types>>),*
            )
        }
    });
    let never = phantom
        .is_some()
        .then(|| quote!(Self::__Parameters(never, ..) => match never {}));
    let never_again = never.clone();
    let checks = checks(server);
    let about = format!("The messages of a `{name}` server.");
    quote! {
        #quiet
        #[doc = #about]
        #visibility enum #message #bounds #conditions {
            #(#variants,)*
            #phantom
        }

        #quiet
        impl #bounds #message #parameters #conditions {
            /// The name of the method it runs.
            #visibility fn name(&self) -> &'static str {
                match *self {
                    #(#names,)*
                    #never
                }
            }
        }

        #quiet
        impl #bounds ::core::fmt::Debug for #message #parameters #conditions {
            fn fmt(&self, formatter: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                let name: &str = match *self {
                    #(#debug_names,)*
                    #never_again
                };
                formatter.write_str(name)
            }
        }

        #checks
    }
}

/// Asks of each type by itself whether it can be sent, so that the compiler points at the one
/// which cannot.
fn checks(server: &Server) -> TokenStream {
    let otp = &server.otp;
    let (bounds, _, conditions) = server.generics.split_for_impl();
    let quiet = quiet();
    let init = fields(server, &server.init)
        .into_iter()
        .map(|(_, ty)| (&server.init, ty));
    let requests = server.requests.iter().flat_map(|request| {
        let parameters = fields(server, request).into_iter();
        let all = parameters.chain(reply(server, request));
        all.map(move |(_, ty)| (request, ty))
    });
    let checks = init.chain(requests).map(|(method, ty)| {
        let conditions = &method.conditions;
        let check = quote_spanned!(ty.span()=> #otp::macro_support::sendable::<#ty>(););
        quote!(#(#conditions)* #check)
    });
    quote! {
        #quiet
        const _: () = {
            fn check #bounds () #conditions {
                #(#checks)*
            }
        };
    }
}
