//! What the macro says to those who misuse it, and that it accepts what it should.

use proc_macro2::TokenStream;
use quote::quote;

use super::{expand, expand_or_explain};

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

// ── Arguments and blocks ──────────────────────────────────────────────────────────────────────

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

// ── Methods ───────────────────────────────────────────────────────────────────────────────────

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

// ── What is written ───────────────────────────────────────────────────────────────────────────

#[test]
fn a_method_takes_the_place_of_a_written_one() {
    let written = accepted(quote!(
        pub fn start() {}
    ));
    assert_eq!(written.matches("fn start (").count(), 1, "{written}");
    assert!(written.contains("fn start_link"), "{written}");
}

#[test]
fn conditions_and_documentation_go_along() {
    let written = accepted(quote! {
        /// Adds.
        #[cfg(feature = "x")]
        #[deprecated]
        #[cast]
        async fn add(&self) {}
    });
    // The method, the variant, two names, the arm, the cast and its other form.
    assert_eq!(written.matches("# [cfg (feature").count(), 7, "{written}");
    assert_eq!(written.matches("\" Adds.\"").count(), 2, "{written}");
    assert_eq!(written.matches("# [deprecated]").count(), 2, "{written}");
}

#[test]
fn self_in_types_means_the_state() {
    let block = quote! {
        impl<T: Send + 'static> Cart<T> {
            #[init] async fn init(parts: Vec<Self>) -> Init<Self> { Init::Ignore }
            #[call] async fn all(&self, of: [u8; Self::SIZE]) -> Option<Box<Self>> { None }
        }
    };
    let written = expand(TokenStream::new(), block).unwrap().to_string();
    assert!(
        written.contains("of : [u8 ; < Cart < T > > :: SIZE]"),
        "{written}"
    );
    assert!(
        written.contains("From < Option < Box < Cart < T > > > >"),
        "{written}"
    );
    assert!(
        written.contains("type Args = Vec < Cart < T > >"),
        "{written}"
    );
}

#[test]
fn the_reply_handle_makes_way() {
    let written = accepted(quote!(
        #[call]
        async fn pay(&self, from: u8, to: u8) -> u8 {
            1
        }
    ));
    assert!(
        written.contains("reply_to : :: otp :: From < u8 >"),
        "{written}"
    );
}
