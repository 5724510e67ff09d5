//! Where blobs are, as an operator writes it: a directory, `memory:` or a bucket.
//!
//! ```text
//! DIR  file:DIR  memory:  s3://BUCKET[/PREFIX][?endpoint=URL&region=NAME&credentials=FILE|instance&profile=NAME]
//! ```
//!
//! Secrets have no place in it, so that it can be logged: an unknown parameter is refused by its
//! name alone, without its value.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;

use super::{BlobError, Result, key};

/// A place for blobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A local directory.
    Directory(PathBuf),
    /// Memory of this process.
    Memory,
    /// A bucket.
    S3(Bucket),
}

/// A bucket of S3 or of something that speaks its protocol.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Bucket {
    pub(super) name: String,
    /// What all keys begin with; empty or without a slash at either end.
    pub(super) prefix: String,
    /// Address of the server; by default Amazon's of the region.
    pub(super) endpoint: Option<String>,
    pub(super) region: Option<String>,
    pub(super) credentials: Credentials,
}

/// Where the credentials come from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Credentials {
    /// `AWS_ACCESS_KEY_ID` and its like, or what a container or a web identity gives.
    #[default]
    Environment,
    /// A file as the tools of AWS write it, and the profile in it.
    File(PathBuf, String),
    /// The metadata service of the machine.
    Instance,
}

impl Place {
    /// Reads the text of an operator.
    ///
    /// # Errors
    /// [`BlobError::BadPlace`], which says what is wrong and repeats no value of a parameter.
    pub(super) fn parse(text: &str) -> Result<Self> {
        if text == "memory:" {
            return Ok(Self::Memory);
        }
        if let Some(rest) = text.strip_prefix("s3://") {
            return bucket(rest).map(Self::S3);
        }
        let directory = text.strip_prefix("file:").unwrap_or(text);
        if directory.is_empty() {
            return refuse("it names no directory");
        }
        let scheme = text.split_once(':').map(|(scheme, _)| scheme);
        match scheme {
            Some(scheme) if scheme != "file" && is_scheme(scheme) => refuse(format!(
                "{scheme}: is not known; put file: before a directory of that name"
            )),
            _ if text.starts_with("file://") => {
                refuse("write file:DIR, without slashes for a host")
            }
            _ => Ok(Self::Directory(directory.into())),
        }
    }
}

fn is_scheme(text: &str) -> bool {
    text.len() > 1
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'+')
}

fn refuse<T>(why: impl Into<String>) -> Result<T> {
    Err(BlobError::BadPlace(why.into()))
}

fn bucket(rest: &str) -> Result<Bucket> {
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (name, prefix) = path.split_once('/').unwrap_or((path, ""));
    if name.contains('@') {
        return refuse(
            "credentials do not go into the URL: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or credentials=FILE",
        );
    }
    let is_name =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
    if !(3..=63).contains(&name.len()) || !name.bytes().all(is_name) {
        return refuse(
            "after s3:// comes the name of a bucket: 3 to 63 small letters, digits, dots and hyphens",
        );
    }
    let prefix = prefix.trim_matches('/');
    if !prefix.is_empty() && key::check(prefix).is_err() {
        return refuse(
            "the prefix in the bucket may have letters, digits, `.`, `_` and `-` in its parts",
        );
    }
    let mut bucket = Bucket {
        name: name.to_owned(),
        prefix: prefix.to_owned(),
        ..Bucket::default()
    };
    let (mut credentials, mut profile) = (None, None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (parameter, value) = pair.split_once('=').unwrap_or((pair, ""));
        let Ok(value) = percent_decode_str(value).decode_utf8() else {
            return refuse(format!("{parameter}= is not UTF-8"));
        };
        let value = value.into_owned();
        if value.is_empty() {
            return refuse(format!("{parameter}= has no value"));
        }
        match parameter {
            "endpoint" => bucket.endpoint = Some(endpoint(&value)?),
            "region" => bucket.region = Some(value),
            "credentials" => credentials = Some(value),
            "profile" => profile = Some(value),
            _ => {
                let name: String = parameter.chars().take(40).collect();
                return refuse(format!(
                    "{name}= is not known; there are endpoint, region, credentials and profile"
                ));
            }
        }
    }
    bucket.credentials = match (credentials, profile) {
        (None, None) => Credentials::Environment,
        (None, Some(_)) => return refuse("profile= goes with credentials=FILE"),
        (Some(source), None) if source == "instance" => Credentials::Instance,
        (Some(file), profile) => {
            Credentials::File(file.into(), profile.unwrap_or_else(|| "default".to_owned()))
        }
    };
    Ok(bucket)
}

fn endpoint(value: &str) -> Result<String> {
    let host = value
        .strip_prefix("http://")
        .or_else(|| value.strip_prefix("https://"))
        .map(|rest| rest.trim_end_matches('/'));
    match host {
        Some(host) if !host.is_empty() && !host.contains('@') => {
            Ok(value.trim_end_matches('/').to_owned())
        }
        _ => refuse("endpoint= must be http://HOST[:PORT] or https://HOST[:PORT], without a user"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn places_are_read() {
        for (text, place) in [
            ("data/blobs", Place::Directory("data/blobs".into())),
            ("file:/srv/blobs", Place::Directory("/srv/blobs".into())),
            ("file:a:b", Place::Directory("a:b".into())),
            ("memory:", Place::Memory),
        ] {
            assert_eq!(Place::parse(text).unwrap(), place, "{text}");
        }
        let Place::S3(bucket) = Place::parse(
            "s3://my.bucket-1/a/b/?endpoint=http%3A%2F%2F127.0.0.1:9000/&region=eu-1&credentials=/etc/s3&profile=chat",
        )
        .unwrap() else {
            panic!("a bucket")
        };
        assert_eq!((&*bucket.name, &*bucket.prefix), ("my.bucket-1", "a/b"));
        assert_eq!(bucket.endpoint.as_deref(), Some("http://127.0.0.1:9000"));
        assert_eq!(bucket.region.as_deref(), Some("eu-1"));
        assert_eq!(
            bucket.credentials,
            Credentials::File("/etc/s3".into(), "chat".to_owned())
        );
        let Place::S3(bucket) = Place::parse("s3://plain").unwrap() else {
            panic!("a bucket")
        };
        assert_eq!(bucket.credentials, Credentials::Environment);
        assert!(bucket.prefix.is_empty() && bucket.endpoint.is_none());
    }

    #[test]
    fn what_is_wrong_is_said_without_values() {
        for (text, named) in [
            ("", "names no directory"),
            ("file:", "names no directory"),
            ("file:///srv", "file:DIR"),
            ("gs://bucket", "gs: is not known"),
            ("http://host/x", "http: is not known"),
            ("memory:x", "memory: is not known"),
            ("s3://", "name of a bucket"),
            ("s3://AB", "name of a bucket"),
            (
                "s3://key:secret@bucket",
                "credentials do not go into the URL",
            ),
            ("s3://bucket/../x", "prefix"),
            (
                "s3://bucket?secret_access_key=secret",
                "secret_access_key= is not known",
            ),
            ("s3://bucket?region=", "region= has no value"),
            ("s3://bucket?region=%ff", "region= is not UTF-8"),
            ("s3://bucket?endpoint=host:9000", "endpoint= must be"),
            (
                "s3://bucket?endpoint=http://key:secret@host",
                "endpoint= must be",
            ),
            ("s3://bucket?profile=x", "profile= goes with"),
        ] {
            let error = Place::parse(text).unwrap_err().to_string();
            assert!(error.contains(named), "{text}: {error}");
            assert!(
                !error.contains("=secret") && !error.contains(":secret"),
                "{error}"
            );
        }
    }
}
