//! What a failure of `object_store` is to us: there is no such blob, or words for an operator.
//!
//! A server's answer is not repeated whole: some echo the key id and the text they signed. Of it
//! only its `Code` and `Message` are kept.

use std::error::Error as _;
use std::io;

use super::BlobError;

/// Longest text of a failure, in characters.
const FAULT_CHARS_MAX: usize = 500;

impl From<object_store::Error> for BlobError {
    fn from(error: object_store::Error) -> Self {
        let text = chain(&error);
        let code = tag(&text, "Code");
        match &error {
            // Servers have more that is not found: buckets, and who signed. That says nothing of a blob.
            object_store::Error::NotFound { .. } if matches!(code, None | Some("NoSuchKey")) => {
                Self::NotFound
            }
            _ if is_below_a_file(&error) => Self::NotFound,
            _ => Self::Failed(explain(&error, &text)),
        }
    }
}

/// A path that goes through a file: nothing is there.
fn is_below_a_file(error: &object_store::Error) -> bool {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return error.kind() == io::ErrorKind::NotADirectory;
        }
        source = error.source();
    }
    false
}

fn chain(error: &object_store::Error) -> String {
    // Each level of `object_store` repeats the one below it; reqwest's does not.
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = error.source();
    }
    text
}

fn tag<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (value, _) = rest.split_once(&format!("</{name}>"))?;
    Some(value)
}

fn explain(error: &object_store::Error, text: &str) -> String {
    let hint = match (tag(text, "Code"), error) {
        (Some("NoSuchBucket"), _) => Some("the bucket does not exist"),
        (
            Some(
                "InvalidAccessKeyId"
                | "SignatureDoesNotMatch"
                | "AccessDenied"
                | "ExpiredToken"
                | "InvalidToken"
                | "XAdminUserNotFound",
            ),
            _,
        )
        | (
            _,
            object_store::Error::PermissionDenied { .. }
            | object_store::Error::Unauthenticated { .. },
        ) => Some("the credentials are refused, or may not do this"),
        _ => None,
    };
    let detail = match (tag(text, "Code"), tag(text, "Message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        // Without XML: what the client of the protocol says, up to a body.
        _ => text.split("<?xml").next().unwrap_or(text).trim().to_owned(),
    };
    let whole = match hint {
        Some(hint) => format!("{hint} ({detail})"),
        None => detail,
    };
    whole.chars().take(FAULT_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(body: &str) -> BlobError {
        object_store::Error::Generic {
            store: "S3",
            source: format!("Error performing PUT http://h/b/k in 1ms - Server returned non-2xx status code: 400: {body}").into(),
        }
        .into()
    }

    #[test]
    fn a_servers_answer_is_cut_to_its_code_and_message() {
        let error = answered(
            "<?xml version=\"1.0\"?><Error><Code>SignatureDoesNotMatch</Code><Message>no match</Message><AWSAccessKeyId>AKIA7</AWSAccessKeyId><StringToSign>s3cret</StringToSign></Error>",
        )
        .to_string();
        assert!(error.contains("credentials are refused"), "{error}");
        assert!(error.contains("no match"), "{error}");
        assert!(
            !error.contains("AKIA7") && !error.contains("s3cret"),
            "{error}"
        );
        let error = answered("<?xml?><AWSAccessKeyId>AKIA7</AWSAccessKeyId>").to_string();
        assert!(error.contains("400") && !error.contains("AKIA7"), "{error}");
    }

    #[test]
    fn what_else_is_missing_is_no_missing_blob() {
        let missing = |code: &str| -> BlobError {
            object_store::Error::NotFound {
                path: "k".to_owned(),
                source: format!("<Error><Code>{code}</Code></Error>").into(),
            }
            .into()
        };
        assert!(matches!(missing("NoSuchKey"), BlobError::NotFound));
        assert!(matches!(missing("NoSuchUpload"), BlobError::Failed(_)));
        let error = missing("NoSuchBucket");
        assert!(matches!(&error, BlobError::Failed(why) if why.contains("bucket does not exist")));
    }
}
