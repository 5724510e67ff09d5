//! The client: a reference to the server with a method for each call and cast.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::ext::IdentExt;

use super::{fields, local, quiet, reply};
use crate::gen_server::method::{Method, Role};
use crate::gen_server::server::Server;

pub(super) fn client(server: &Server) -> TokenStream {
    let Server {
        name,
        client,
        visibility,
        otp,
        generics,
        ..
    } = server;
    let (bounds, parameters, conditions) = generics.split_for_impl();
    let (state, quiet) = (server.state(), quiet());
    let server_ref = quote!(#otp::ServerRef<#state>);
    let methods = server.requests.iter().map(|request| match request.role {
        Role::Call => call(server, request),
        Role::Cast => Some(cast(server, request)),
        _ => None,
    });
    let about = format!(
        "A reference to a `{name}` server, with a method for each of its calls and casts. Cheap \
         to clone. Two are equal if they name the same process."
    );
    let traits = client_traits(server);
    quote! {
        #quiet
        #[doc = #about]
        #visibility struct #client #bounds #conditions {
            server: #server_ref,
            /// How long a call waits; without, for as long as the server lives.
            limit: ::core::option::Option<::core::time::Duration>,
        }

        #quiet
        impl #bounds #client #parameters #conditions {
            /// The reference by which it calls and casts.
            #visibility fn server_ref(&self) -> &#server_ref {
                &self.server
            }

            /// The pid of the server.
            #visibility fn pid(&self) -> #otp::Pid {
                self.server.pid()
            }

            /// The same server, to be waited for at most this long by each call.
            #[must_use]
            #visibility fn within(&self, limit: ::core::time::Duration) -> Self {
                Self {
                    server: ::core::clone::Clone::clone(&self.server),
                    limit: ::core::option::Option::Some(limit),
                }
            }

            /// The same server, to be waited for by each call for as long as it lives
            /// (`infinity`).
            #[must_use]
            #visibility fn without_limit(&self) -> Self {
                Self {
                    server: ::core::clone::Clone::clone(&self.server),
                    limit: ::core::option::Option::None,
                }
            }

            /// The server with this pid, if there is one of this kind.
            #visibility fn from_pid(
                node: &#otp::Node,
                pid: #otp::Pid,
            ) -> ::core::option::Option<Self> {
                node.server_ref(pid).map(::core::convert::From::from)
            }

            /// The server registered under this name, if there is one of this kind.
            #visibility fn whereis(
                node: &#otp::Node,
                name: &str,
            ) -> ::core::option::Option<Self> {
                node.whereis_ref(name).map(::core::convert::From::from)
            }

            #(#methods)*
        }

        #traits
    }
}

fn call(server: &Server, request: &Method) -> Option<TokenStream> {
    let Server { message, otp, .. } = server;
    let (from_field, answer) = reply(server, request)?;
    let (variant, name) = (request.variant(), &request.name);
    let (visibility, conditions) = (&request.visibility, &request.conditions);
    let attributes = documented(request, "Calls");
    let from = local("from");
    let (fields, types): (Vec<_>, Vec<_>) = fields(server, request).into_iter().unzip();
    Some(quote! {
        #(#conditions)*
        #attributes
        #visibility async fn #name(
            &self,
            #(#fields: #types),*
        ) -> ::core::result::Result<#answer, #otp::CallError> {
            #otp::macro_support::call(&self.server, self.limit, |#from| {
                #message::#variant { #(#fields,)* #from_field: #from }
            })
            .await
        }
    })
}

fn cast(server: &Server, request: &Method) -> TokenStream {
    let Server {
        message,
        otp,
        generics,
        ..
    } = server;
    let (_, parameters, _) = generics.split_for_impl();
    let (variant, name) = (request.variant(), &request.name);
    let (visibility, conditions) = (&request.visibility, &request.conditions);
    let attributes = documented(request, "Casts");
    let (fields, types): (Vec<_>, Vec<_>) = fields(server, request).into_iter().unzip();
    let try_name = format_ident!("try_{}", name.unraw(), span = name.span());
    let about = format!(
        "Like `{}`, but gives the message back if it was not sent.",
        name.unraw()
    );
    quote! {
        #(#conditions)*
        #attributes
        #visibility fn #name(&self, #(#fields: #types),*) {
            self.server.cast(#message::#variant { #(#fields),* });
        }

        #(#conditions)*
        #[doc = #about]
        #visibility fn #try_name(
            &self,
            #(#fields: #types),*
        ) -> ::core::result::Result<(), #otp::SendError<#message #parameters>> {
            self.server.try_cast(#message::#variant { #(#fields),* })
        }
    }
}

/// The attributes a client's method gets from the server's, and words if there are none.
fn documented(request: &Method, verb: &str) -> TokenStream {
    let attributes = &request.attributes;
    let silent = !attributes
        .iter()
        .any(|attribute| attribute.path().is_ident("doc"));
    let about = format!("{verb} `{}`.", request.name.unraw());
    let about = silent.then(|| quote!(#[doc = #about]));
    quote!(#about #(#attributes)*)
}

fn client_traits(server: &Server) -> TokenStream {
    let Server {
        client,
        otp,
        generics,
        ..
    } = server;
    let (bounds, parameters, conditions) = generics.split_for_impl();
    let (state, quiet) = (server.state(), quiet());
    let server_ref = quote!(#otp::ServerRef<#state>);
    let label = client.to_string();
    quote! {
        #quiet
        impl #bounds ::core::convert::From<#server_ref> for #client #parameters #conditions {
            fn from(server: #server_ref) -> Self {
                Self {
                    server,
                    limit: ::core::option::Option::Some(#otp::DEFAULT_CALL_TIMEOUT),
                }
            }
        }

        #quiet
        impl #bounds ::core::clone::Clone for #client #parameters #conditions {
            fn clone(&self) -> Self {
                Self {
                    server: ::core::clone::Clone::clone(&self.server),
                    limit: self.limit,
                }
            }
        }

        #quiet
        impl #bounds ::core::cmp::PartialEq for #client #parameters #conditions {
            fn eq(&self, other: &Self) -> bool {
                self.server == other.server
            }
        }

        #quiet
        impl #bounds ::core::cmp::Eq for #client #parameters #conditions {}

        #quiet
        impl #bounds ::core::hash::Hash for #client #parameters #conditions {
            fn hash<__Hasher: ::core::hash::Hasher>(&self, state: &mut __Hasher) {
                ::core::hash::Hash::hash(&self.server, state);
            }
        }

        #quiet
        impl #bounds ::core::fmt::Debug for #client #parameters #conditions {
            fn fmt(&self, formatter: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                formatter
                    .debug_tuple(#label)
                    .field(&self.server.pid())
                    .finish()
            }
        }
    }
}
