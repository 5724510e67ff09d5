//! Misused arguments and blocks.

use proc_macro2::TokenStream;
use quote::quote;

use super::{complaint, complaints_of, says};
use crate::gen_server::{expand, expand_or_explain};

#[test]
fn arguments_are_known_whole_and_single() {
    let block = quote!(impl Cart { #[init] async fn init() -> Init<Self> { Init::Ok(Cart) } });
    let complaint = |arguments| complaints_of(arguments, block.clone()).remove(0);
    says(
        complaint(quote!(naem = Cart)),
        &["does not know `naem`", "message = Name", "client = Name"],
    );
    says(complaint(quote!(message)), &["`message` needs a value"]);
    says(
        complaint(quote!(client = A, client = B)),
        &["`client` is given twice"],
    );
    says(complaint(quote!(visibility = A)), &["`pub(crate)`"]);
    for good in [
        quote!(),
        quote!(message = Request),
        quote!(message = Request, client = Handle, visibility = pub(crate), crate = crate::otp,),
    ] {
        assert_eq!(complaints_of(good, block.clone()), [""; 0]);
    }
}

#[test]
fn names_visibility_and_path_can_be_chosen() {
    let block = quote!(impl Cart { #[init] async fn init() -> Init<Self> { Init::Ok(Cart) } });
    let arguments =
        quote!(message = Request, client = Handle, visibility = pub(self), crate = my::runtime);
    let written = expand(arguments, block).unwrap().to_string();
    assert!(written.contains("enum Request"), "{written}");
    assert!(written.contains("struct Handle"), "{written}");
    for public in ["pub struct", "pub enum", "pub fn", "pub async"] {
        assert!(!written.contains(public), "{written}");
    }
    assert!(written.contains("my :: runtime :: GenServer"), "{written}");
    assert!(!written.contains(":: otp ::"), "{written}");
}

#[test]
fn it_belongs_on_the_block_of_a_type() {
    let complaint = |block| complaints_of(TokenStream::new(), block).remove(0);
    says(
        complaint(quote!(
            struct Cart;
        )),
        &["on an `impl` block"],
    );
    says(
        complaint(quote!(impl GenServer for Cart {})),
        &["`impl Cart { .. }`", "without a trait"],
    );
    says(complaint(quote!(impl [u8] {})), &["a struct or an enum"]);
    says(
        complaint(quote!(
            impl<'a> Cart<'a> {}
        )),
        &["remove the lifetime"],
    );
}

#[test]
fn there_is_one_init() {
    let missing = complaints_of(TokenStream::new(), quote!(impl Cart {}));
    says(missing[0].clone(), &["#[init] is missing", "Init<Self>"]);
    says(
        complaint(quote! {
            #[init]
            async fn other() -> Init<Self> { Init::Ignore }
        }),
        &["one #[init]", "remove one"],
    );
    for (items, word) in [
        (
            quote! {
                #[info] async fn a(&mut self, info: Info) {}
                #[info] async fn b(&mut self, info: Info) {}
            },
            "one #[info]",
        ),
        (
            quote! {
                #[terminate] async fn a(&mut self) {}
                #[terminate] async fn b(&mut self) {}
            },
            "one #[terminate]",
        ),
    ] {
        says(complaint(items), &[word]);
    }
}

#[test]
fn everything_wrong_is_told_at_once() {
    let complaints = complaints_of(
        TokenStream::new(),
        quote! {
            impl Cart {
                #[call] fn a(self) -> u8 { 1 }
                #[cast] async fn b(&mut self, text: &str) -> u8 { 1 }
            }
        },
    );
    assert_eq!(complaints.len(), 5, "{complaints:?}");
}

#[test]
fn a_wrong_block_stays_without_its_attributes() {
    let written = expand_or_explain(
        TokenStream::new(),
        quote!(impl Cart { #[call] fn total(&self) -> u8 { 1 } #[inline] fn help(&self) {} }),
    )
    .to_string();
    assert!(written.contains("compile_error"), "{written}");
    assert!(written.contains("fn total"), "{written}");
    assert!(!written.contains("# [call]"), "{written}");
    assert!(written.contains("# [inline]"), "{written}");
    let other = expand_or_explain(
        TokenStream::new(),
        quote!(
            struct Cart;
        ),
    )
    .to_string();
    assert!(other.contains("compile_error") && other.contains("struct Cart"));
}
