//! Paths in one form before they are matched: `/api/v9/users/%40me` → `/api/v10/users/@me`.
//!
//! Clients differ in what they percent-encode, so each segment is decoded and encoded again the
//! same way for everyone; a slash inside a segment stays encoded and never becomes a separator.

use axum::http::Uri;
use axum::http::uri::PathAndQuery;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Where the current API version is mounted.
pub(crate) const API: &str = "/api/v10";

/// Versions that are served, all by the same handlers (Discord docs, Reference, "API Versions").
const VERSIONS: [&str; 2] = ["v10", "v9"];

/// What a segment may keep as it is: RFC 3986 `pchar`, without the percent sign.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

/// What became of a path.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Normal {
    /// To be matched.
    Path(String),
    /// An API version nobody serves.
    UnknownVersion,
    /// A segment is no UTF-8 after decoding.
    NotText,
}

/// The one form of `path`.
pub(crate) fn normalise(path: &str) -> Normal {
    let mut segments = Vec::new();
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        match percent_decode_str(segment).decode_utf8() {
            Ok(text) => segments.push(utf8_percent_encode(&text, KEPT).to_string()),
            Err(_) => return Normal::NotText,
        }
    }
    let mut segments = segments.as_slice();
    let mut normal = String::with_capacity(path.len() + 4);
    if segments.first().is_some_and(|first| first == "api") {
        segments = &segments[1..];
        if let Some(version) = segments.first().filter(|segment| is_version(segment)) {
            if !VERSIONS.contains(&version.as_str()) {
                return Normal::UnknownVersion;
            }
            segments = &segments[1..];
        }
        normal.push_str(API);
    }
    for segment in segments {
        normal.push('/');
        normal.push_str(segment);
    }
    if normal.is_empty() {
        normal.push('/');
    }
    Normal::Path(normal)
}

/// `uri` with `path`, its query kept.
pub(crate) fn with_path(uri: &Uri, path: String) -> Option<Uri> {
    let whole = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    Some(Uri::from(whole.parse::<PathAndQuery>().ok()?))
}

fn is_version(segment: &str) -> bool {
    segment.strip_prefix('v').is_some_and(|digits| {
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(path: &str) -> String {
        match normalise(path) {
            Normal::Path(path) => path,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn versions_meet_in_one_place() {
        assert_eq!(normal("/api/v10/gateway"), "/api/v10/gateway");
        assert_eq!(normal("/api/v9/gateway"), "/api/v10/gateway");
        assert_eq!(normal("/api/gateway"), "/api/v10/gateway");
        assert_eq!(normal("/api/v10/gateway/"), "/api/v10/gateway");
        assert_eq!(normal("//"), "/");
        assert_eq!(normalise("/api/v5/gateway"), Normal::UnknownVersion);
        assert_eq!(normal("/api/voice/regions"), "/api/v10/voice/regions");
    }

    #[test]
    fn segments_are_decoded_one_by_one() {
        assert_eq!(normal("/api/v10/users/%40me"), "/api/v10/users/@me");
        assert_eq!(normal("/x/name%3A7/y"), "/x/name:7/y");
        assert_eq!(normal("/x/%F0%9F%91%8D"), "/x/%F0%9F%91%8D");
        assert_eq!(normal("/x/👍"), "/x/%F0%9F%91%8D");
        assert_eq!(normal("/x/a%2Fb"), "/x/a%2Fb");
        assert_eq!(normal("/x/..%2f.."), "/x/..%2F..");
        assert_eq!(normalise("/x/%ff"), Normal::NotText);
    }
}
