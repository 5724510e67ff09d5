//! What the macro says to those who misuse it, and that it accepts what it should.

#![allow(clippy::unwrap_used)]

use proc_macro2::TokenStream;
use quote::quote;

use super::expand;

mod blocks;
mod methods;
mod written;

/// The messages for a block.
fn complaints_of(arguments: TokenStream, block: TokenStream) -> Vec<String> {
    match expand(arguments, block) {
        Ok(_) => Vec::new(),
        Err(error) => error.into_iter().map(|error| error.to_string()).collect(),
    }
}

/// The one message for a block that is right but for these items.
fn complaint(items: TokenStream) -> String {
    let block = quote! {
        impl Cart {
            #[init]
            async fn init() -> Init<Self> { Init::Ok(Cart) }
            #items
        }
    };
    let mut complaints = complaints_of(TokenStream::new(), block);
    assert_eq!(complaints.len(), 1, "one complaint: {complaints:?}");
    complaints.remove(0)
}

#[track_caller]
fn says(complaint: String, words: &[&str]) {
    for word in words {
        assert!(complaint.contains(word), "{word:?} is not in {complaint:?}");
    }
}

fn accepted(items: TokenStream) -> String {
    let block = quote! {
        impl Cart {
            #[init]
            async fn init() -> Init<Self> { Init::Ok(Cart) }
            #items
        }
    };
    match expand(TokenStream::new(), block) {
        Ok(tokens) => {
            syn::parse2::<syn::File>(tokens.clone()).expect("what is written is Rust");
            tokens.to_string()
        }
        Err(error) => panic!("{error}"),
    }
}
