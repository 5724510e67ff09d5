//! Misused methods.

use proc_macro2::TokenStream;
use quote::quote;

use super::{accepted, complaint, complaints_of, says};

#[test]
fn attributes_are_bare_and_single() {
    says(
        complaint(quote!(
            #[call(timeout = 5)]
            async fn a(&self) -> u8 {
                1
            }
        )),
        &["#[call] takes no arguments", "write `#[call]`"],
    );
    says(
        complaint(quote!(
            #[call]
            #[cast]
            async fn a(&self) {}
        )),
        &["keep one of its attributes"],
    );
}

#[test]
fn methods_are_plain_async_functions() {
    says(
        complaint(quote!(
            #[call]
            fn total(&self) -> u8 {
                1
            }
        )),
        &["a #[call] is asynchronous", "`async fn total`"],
    );
    says(
        complaint(quote!(
            #[cast]
            async unsafe fn a(&self) {}
        )),
        &["plain `async fn`"],
    );
    for generic in [
        quote!(
            #[cast]
            async fn a<T>(&self, value: T) {}
        ),
        quote!(
            #[cast]
            async fn a<'a>(&'a self) {}
        ),
        quote!(
            #[cast]
            async fn a(&self)
            where
                Self: Sized,
            {
            }
        ),
    ] {
        let block = quote! {
            impl Cart {
                #[init] async fn init() -> Init<Self> { Init::Ignore }
                #generic
            }
        };
        let complaints = complaints_of(TokenStream::new(), block);
        says(complaints[0].clone(), &["to the `impl` block"]);
    }
}

#[test]
fn self_is_borrowed() {
    for receiver in [
        quote!(self),
        quote!(mut self),
        quote!(self: Box<Self>),
        quote!(self: &mut Self),
    ] {
        says(
            complaint(quote!(#[call] async fn a(#receiver) -> u8 { 1 })),
            &["`&self` or `&mut self`"],
        );
    }
    says(
        complaint(quote!(
            #[call]
            async fn a(value: u8) -> u8 {
                1
            }
        )),
        &["take `&self` or `&mut self` first"],
    );
    says(
        complaint(quote!(
            #[call]
            async fn a(&'static self) -> u8 {
                1
            }
        )),
        &["no lifetime"],
    );
    let init = quote!(impl Cart { #[init] async fn init(&self) -> Init<Self> { Init::Ignore } });
    says(
        complaints_of(TokenStream::new(), init).remove(0),
        &["there is no `self` yet"],
    );
}

#[test]
fn what_is_sent_is_owned_and_has_one_type() {
    for borrowed in [
        quote!(&str),
        quote!(&mut Vec<u8>),
        quote!(Option<&str>),
        quote!(Cow<'_, str>),
        quote!(Box<dyn Error + 'a>),
    ] {
        says(
            complaint(quote!(#[cast] async fn a(&mut self, value: #borrowed) {})),
            &["a parameter of a #[cast]", "owned type"],
        );
        says(
            complaint(quote!(#[call] async fn a(&mut self) -> #borrowed { x })),
            &["the answer to a #[call]", "owned type"],
        );
        says(
            complaint(quote!(#[call] async fn a(&mut self, from: From<#borrowed>) {})),
            &["the answer to a #[call]", "owned type"],
        );
    }
    says(
        complaint(quote!(
            #[call]
            async fn a(&self, value: impl Into<u8>) -> u8 {
                1
            }
        )),
        &["`impl Trait` stands for many", "Box<dyn Trait + Send>"],
    );
    says(
        complaint(quote!(
            #[call]
            async fn a(&self) -> impl Iterator<Item = u8> {
                x
            }
        )),
        &["the answer to a #[call]", "`impl Trait`"],
    );
    says(
        complaint(quote!(
            #[cast]
            async fn a(&self, value: Vec<_>) {}
        )),
        &["a written type"],
    );
    accepted(quote! {
        #[cast]
        async fn a(
            &self,
            text: &'static str,
            job: Box<dyn for<'x> Fn(&'x str) -> &'x str + Send>,
            other: Box<dyn Fn(&str) + Send + 'static>,
            third: fn(&str),
        ) {}
    });
}

#[test]
fn parameters_have_plain_names() {
    for pattern in [
        quote!((a, b)),
        quote!(_),
        quote!(Point { x, y }),
        quote!(ref a),
    ] {
        says(
            complaint(quote!(#[cast] async fn a(&self, #pattern: Pair) {})),
            &["needs a plain name", "name: Type"],
        );
    }
    accepted(quote!(
        #[cast]
        async fn a(&self, mut number: u8, r#type: u8) {}
    ));
    says(
        complaint(quote!(
            #[cast]
            async fn a(&self, #[cfg(unix)] value: u8) {}
        )),
        &["would change the message"],
    );
}

#[test]
fn the_context_is_borrowed_and_given_once() {
    says(
        complaint(quote!(
            #[cast]
            async fn a(&self, ctx: &Context<Self>) {}
        )),
        &["`&mut Context<Self>`"],
    );
    says(
        complaint(quote! {
            #[cast]
            async fn a(&self, a: &mut Context<Self>, b: &mut otp::Context<Self>) {}
        }),
        &["keep one"],
    );
}

#[test]
fn an_answer_has_one_way() {
    says(
        complaint(quote!(
            #[call]
            async fn a(&mut self) -> Next<Self> {
                Next::Go
            }
        )),
        &["take `from: From<T>`", "from.reply(..)"],
    );
    says(
        complaint(quote!(
            #[call]
            async fn a(&mut self, from: From<u8>) -> u8 {
                1
            }
        )),
        &["return nothing or `Next<Self>`"],
    );
    says(
        complaint(quote!(
            #[call]
            async fn a(&mut self, from: From<u8>, value: u8) {}
        )),
        &["the last parameter of a #[call]"],
    );
    says(
        complaint(quote!(
            #[call]
            async fn a(&mut self, from: From<u8>, other: From<u8>) {}
        )),
        &["there is only one"],
    );
    says(
        complaint(quote!(
            #[call]
            async fn a(&mut self, from: From) {}
        )),
        &["`from: From<T>` with", "the caller gets"],
    );
    // A context behind it does no harm, and a cast may carry somebody's handle.
    accepted(quote! {
        #[call] async fn a(&mut self, from: From<u8>, ctx: &mut Context<Self>) {}
        #[cast] async fn b(&mut self, from: From<u8>, more: u8) {}
    });
}

#[test]
fn callbacks_return_what_they_can() {
    for role in [quote!(cast), quote!(continuation)] {
        says(
            complaint(quote!(#[#role] async fn a(&mut self) -> u8 { 1 })),
            &["return nothing or `Next<Self>`"],
        );
    }
    says(
        complaint(quote!(
            #[info]
            async fn a(&mut self, info: Info) -> u8 {
                1
            }
        )),
        &["return nothing or `Next<Self>`"],
    );
    says(
        complaint(quote!(
            #[terminate]
            async fn a(&mut self) -> Next<Self> {
                Next::Go
            }
        )),
        &["returns nothing"],
    );
    let init = quote!(impl Cart { #[init] async fn init() -> Self { Cart } });
    says(
        complaints_of(TokenStream::new(), init).remove(0),
        &["return `Init<Self>`"],
    );
}

#[test]
fn callbacks_take_what_they_are_given() {
    says(
        complaint(quote!(
            #[info]
            async fn a(&mut self) {}
        )),
        &["write `info: Info`"],
    );
    for parameters in [
        quote!(reason: ExitReason),
        quote!(reason: &ExitReason, more: &u8),
    ] {
        says(
            complaint(quote!(#[terminate] async fn a(&mut self, #parameters) {})),
            &["write `reason: &ExitReason`"],
        );
    }
}

#[test]
fn names_do_not_clash() {
    says(
        complaint(quote!(
            #[call]
            async fn pid(&self) -> u8 {
                1
            }
        )),
        &["a method `pid` already"],
    );
    says(
        complaint(quote! {
            #[cast] async fn add(&self) {}
            #[call] async fn try_add(&self) -> u8 { 1 }
        }),
        &["`try_add` as a form of the #[cast] `add`"],
    );
    says(
        complaint(quote! {
            #[cast] async fn a_b(&self) {}
            #[cast] async fn a__b(&self) {}
        }),
        &["both be the message `AB`"],
    );
    says(
        complaint(quote! {
            #[continuation] async fn warm(&self) {}
            fn continue_warm() {}
        }),
        &["rename yours"],
    );
    // Two forms of one method, of which one exists.
    accepted(quote! {
        #[cfg(unix)] #[cast] async fn a(&self) {}
        #[cfg(not(unix))] #[cast] async fn a(&self) {}
    });
}
