//! What stands in the parentheses of `#[gen_server(..)]`.

use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::{Ident, Path, Token, Visibility, parse_quote};

const KNOWN: &str =
    "`message = Name`, `client = Name`, `visibility = pub(crate)` and `crate = path`";

/// The arguments, with defaults for those which do not depend on the block.
pub(crate) struct Arguments {
    /// The name of the message enum.
    pub(crate) message: Option<Ident>,
    /// The name of the client.
    pub(crate) client: Option<Ident>,
    /// The visibility of everything that is written.
    pub(crate) visibility: Visibility,
    /// The path of the runtime.
    pub(crate) otp: Path,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> syn::Result<Arguments> {
        let (mut message, mut client, mut visibility, mut otp) = (None, None, None, None);
        while !input.is_empty() {
            let key = input.call(Ident::parse_any)?;
            let name = key.to_string();
            if !["message", "client", "visibility", "crate"].contains(&name.as_str()) {
                return Err(syn::Error::new(
                    key.span(),
                    format!("#[gen_server] does not know `{name}`; it takes {KNOWN}"),
                ));
            }
            if !input.peek(Token![=]) {
                return Err(syn::Error::new(
                    key.span(),
                    format!("`{name}` needs a value; #[gen_server] takes {KNOWN}"),
                ));
            }
            input.parse::<Token![=]>()?;
            let again = match name.as_str() {
                "message" => message.replace(input.parse()?).is_some(),
                "client" => client.replace(input.parse()?).is_some(),
                "visibility" => visibility.replace(parse_visibility(input)?).is_some(),
                _ => otp.replace(Path::parse_mod_style(input)?).is_some(),
            };
            if again {
                return Err(syn::Error::new(
                    key.span(),
                    format!("`{name}` is given twice; remove one of them"),
                ));
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(Arguments {
            message,
            client,
            visibility: visibility.unwrap_or_else(|| parse_quote!(pub)),
            otp: otp.unwrap_or_else(|| parse_quote!(::otp)),
        })
    }
}

fn parse_visibility(input: ParseStream<'_>) -> syn::Result<Visibility> {
    match input.parse()? {
        Visibility::Inherited => Err(input
            .error("the visibility is one of `pub`, `pub(crate)`, `pub(super)` and `pub(self)`")),
        // The same, and what people write.
        Visibility::Restricted(restricted) if restricted.path.is_ident("self") => {
            Ok(Visibility::Inherited)
        }
        visibility => Ok(visibility),
    }
}
