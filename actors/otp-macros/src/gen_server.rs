//! `#[gen_server]`: from the tokens of an `impl` block to those of a server.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::{ImplItem, ItemImpl};

use crate::gen_server::arguments::Arguments;
use crate::gen_server::method::take_role;
use crate::gen_server::server::Server;

mod arguments;
mod method;
mod server;
mod generate;
mod types;

#[cfg(test)]
mod tests;

/// All that is wrong with a block, so that it can be told at once.
#[derive(Default)]
pub(crate) struct Errors(Option<syn::Error>);

impl Errors {
    pub(crate) fn add(&mut self, error: syn::Error) {
        match &mut self.0 {
            Some(errors) => errors.combine(error),
            None => self.0 = Some(error),
        }
    }

    pub(crate) fn at(&mut self, place: impl ToTokens, message: impl std::fmt::Display) {
        self.add(syn::Error::new_spanned(place, message));
    }

    pub(crate) fn at_span(&mut self, place: Span, message: impl std::fmt::Display) {
        self.add(syn::Error::new(place, message));
    }

    pub(crate) fn or<T>(self, value: T) -> syn::Result<T> {
        match self.0 {
            Some(error) => Err(error),
            None => Ok(value),
        }
    }
}

/// The block with all that belongs to it.
pub(crate) fn expand(arguments: TokenStream, block: TokenStream) -> syn::Result<TokenStream> {
    let arguments: Arguments = syn::parse2(arguments)?;
    let block = parse_block(block)?;
    Ok(generate::generate(&Server::read(arguments, block)?))
}

/// [`expand`], or its errors beside the bare block, so that the compiler does not complain about
/// what is only missing because of them.
pub(crate) fn expand_or_explain(arguments: TokenStream, block: TokenStream) -> TokenStream {
    expand(arguments, block.clone()).unwrap_or_else(|error| {
        let errors = error.into_compile_error();
        match syn::parse2::<ItemImpl>(block.clone()) {
            Ok(mut block) => {
                for item in &mut block.items {
                    if let ImplItem::Fn(method) = item {
                        take_role(method, &mut Errors::default());
                    }
                }
                quote!(#errors #block)
            }
            Err(_) => quote!(#errors #block),
        }
    })
}

fn parse_block(block: TokenStream) -> syn::Result<ItemImpl> {
    match syn::parse2::<syn::Item>(block)? {
        syn::Item::Impl(block) => Ok(block),
        other => Err(syn::Error::new_spanned(
            other,
            "#[gen_server] belongs on an `impl` block: `#[gen_server] impl Cart { .. }`",
        )),
    }
}
