//! The page: a small chat client in one HTML file, served at `/` to browsers.
//!
//! An ordinary client of `/api/v10` and the gateway: it can do nothing that any other client could
//! not. Its policy is as strict as one file allows: the one script and the one style sheet are
//! named by their SHA-256, connections and pictures go to this server only, and no string can
//! become markup (`require-trusted-types-for 'script'`).

use std::sync::LazyLock;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

const INDEX: &str = include_str!("page/index.html");

static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    HeaderValue::from_str(&policy(INDEX)).expect("a policy of ASCII words is a header value")
});

/// The page, with its policy. For `GET /` when the `Accept` header names `text/html`.
pub fn response() -> Response {
    let mut response = Response::new(Body::from(INDEX));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY.clone());
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        // A new version of the server brings its page along.
        (header::CACHE_CONTROL, "no-cache"),
        // The same address answers other clients with an upgrade or an error.
        (header::VARY, "Accept"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), microphone=(), geolocation=()",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The Content-Security-Policy for `html`: nothing but its own script and style sheet, and this
/// server.
fn policy(html: &str) -> String {
    format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; connect-src 'self'; \
         img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'",
        hash(inside(html, "script")),
        hash(inside(html, "style")),
    )
}

/// What stands between the first `<tag>` and its end, as a browser hashes it.
fn inside<'a>(html: &'a str, tag: &str) -> &'a str {
    let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
    html.split_once(&open)
        .and_then(|(_, rest)| rest.split_once(&close))
        .map_or("", |(inside, _)| inside)
}

/// A hash source (Content Security Policy Level 3, section 2.3.1).
fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_names_the_script_and_the_style_and_nothing_else() {
        let response = response();
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY]
            .to_str()
            .expect("ASCII");
        let (script, style) = (inside(INDEX, "script"), inside(INDEX, "style"));
        assert!(
            script.len() > 10_000 && style.len() > 1_000,
            "the page has its script and style"
        );
        assert!(policy.contains(&format!("script-src '{}';", hash(script))));
        assert!(policy.contains(&format!("style-src '{}';", hash(style))));
        assert!(policy.starts_with("default-src 'none';"));
        for word in ["unsafe", "*", "http:", "https:"] {
            assert!(!policy.contains(word), "{word} in {policy}");
        }
    }

    #[test]
    fn a_hash_is_of_exactly_the_text_between_the_tags() {
        let html = "<style>a</style><script>alert(1)</script>";
        assert_eq!(inside(html, "script"), "alert(1)");
        // printf 'alert(1)' | openssl dgst -sha256 -binary | base64
        assert_eq!(
            hash("alert(1)"),
            "sha256-bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI="
        );
        assert_ne!(
            policy(html),
            policy("<style>a</style><script>alert(2)</script>")
        );
    }

    #[test]
    fn nothing_in_the_page_needs_more_than_the_policy_allows() {
        assert_eq!(INDEX.matches("<script").count(), 1);
        assert_eq!(INDEX.matches("<style").count(), 1);
        assert!(
            !INDEX.contains('\r'),
            "browsers hash after turning CRLF into LF"
        );
        let markup = INDEX.replace(inside(INDEX, "script"), "");
        for refused in [
            " onclick=",
            " style=",
            "<link rel=\"stylesheet\"",
            "<iframe",
            "src=\"http",
        ] {
            assert!(!markup.contains(refused), "{refused}");
        }
        for refused in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
        ] {
            assert!(!INDEX.contains(refused), "{refused}");
        }
    }

    #[test]
    fn other_sites_cannot_frame_or_sniff_it() {
        let response = response();
        let headers = response.headers();
        assert_eq!(headers[header::X_FRAME_OPTIONS], "DENY");
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(headers[header::REFERRER_POLICY], "no-referrer");
        assert_eq!(headers[header::CONTENT_TYPE], "text/html; charset=utf-8");
    }
}
