//! What is written.

use proc_macro2::TokenStream;
use quote::quote;

use super::accepted;
use crate::gen_server::expand;

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
