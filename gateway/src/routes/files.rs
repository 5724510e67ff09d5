//! Files of messages, served as nothing that can run.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use chat::files::{self, FileError, FilePlace, Part};

use super::Answer;
use crate::context::Context;
use crate::error::ApiError;
use crate::image;
use crate::path::Arguments;

pub(crate) fn routes() -> Router<Context> {
    Router::new().route(
        "/attachments/{channel_id}/{attachment_id}/{filename}",
        get(file),
    )
}

/// The bytes of an attachment. Whoever knows the link may read it, as on Discord's CDN.
/// One range of it, if the client asks for one (RFC 9110, section 14); players of sound and video do.
async fn file(State(context): State<Context>, asked: HeaderMap, path: Arguments) -> Answer {
    let name = path.text("filename")?;
    let missing = || ApiError::plain(StatusCode::NOT_FOUND);
    let (Ok(channel), Ok(attachment)) = (path.channel(), path.attachment()) else {
        return Err(missing());
    };
    let place = FilePlace::new(channel, attachment, name);
    if place.name != name {
        return Err(missing());
    }
    let part = asked.get(header::RANGE).and_then(range);
    let found = match files::get(context.chat(), &place, part).await {
        Ok(found) => found,
        Err(FileError::OutOfRange(whole)) => return Ok(outside(whole)),
        Err(FileError::Failed(why)) => {
            tracing::error!(why, "a file could not be read");
            return Err(ApiError::plain(StatusCode::SERVICE_UNAVAILABLE));
        }
        Err(_) => return Err(missing()),
    };
    let (whole, there) = (found.len(), found.range());
    let media_type = image::media_type(&place.name);
    let shown = media_type.filter(|media_type| is_shown(media_type));
    let mut response = Response::new(Body::from_stream(found.into_stream()));
    if part.is_some() {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    let headers = response.headers_mut();
    let content_type = shown.unwrap_or("application/octet-stream");
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(
        header::CONTENT_LENGTH,
        HeaderValue::from(there.end - there.start),
    );
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if part.is_some() {
        let (first, last) = (there.start, there.end - 1);
        let text = format!("bytes {first}-{last}/{whole}");
        put(headers, header::CONTENT_RANGE, &text);
    }
    // The name holds only letters, digits, `.`, `_` and `-`: nothing to escape.
    let disposition = if shown.is_some() {
        "inline"
    } else {
        "attachment"
    };
    let disposition = format!("{disposition}; filename=\"{}\"", place.name);
    put(headers, header::CONTENT_DISPOSITION, &disposition);
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; sandbox"),
    );
    headers.insert(
        "cross-origin-resource-policy",
        HeaderValue::from_static("cross-origin"),
    );
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("private, max-age=86400, immutable"),
    );
    Ok(response)
}

fn put(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}

/// 416: the range begins behind the end.
fn outside(whole: u64) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
    let text = format!("bytes */{whole}");
    put(response.headers_mut(), header::CONTENT_RANGE, &text);
    response
}

/// Reads `bytes=0-99`, `bytes=100-` and `bytes=-100`. What is not understood, and several ranges, are
/// answered with the whole file (RFC 9110, 14.2).
fn range(header: &HeaderValue) -> Option<Part> {
    let text = header.to_str().ok()?.trim();
    let (first, last) = text.strip_prefix("bytes=")?.trim().split_once('-')?;
    match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => Some(Part::Between(first, last)),
        (Ok(first), Err(_)) if last.is_empty() => Some(Part::From(first)),
        (Err(_), Ok(count)) if first.is_empty() => Some(Part::Last(count)),
        _ => None,
    }
}

/// Types a browser shows without running anything in them.
fn is_shown(media_type: &str) -> bool {
    let family = media_type.split('/').next().unwrap_or_default();
    matches!(family, "image" | "video" | "audio") || media_type.starts_with("text/plain")
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::{Part, is_shown, range};

    #[test]
    fn ranges_are_read() {
        let of = |text| range(&HeaderValue::from_static(text));
        assert_eq!(of("bytes=0-3"), Some(Part::Between(0, 3)));
        assert_eq!(of("bytes=4-"), Some(Part::From(4)));
        assert_eq!(of("bytes=-3"), Some(Part::Last(3)));
        assert_eq!(of("bytes=-0"), Some(Part::Last(0)));
        for whole in [
            "bytes=3-1",
            "bytes=0-1,4-5",
            "bytes=x-",
            "lines=0-1",
            "bytes=-",
            "bytes=99999999999999999999-",
            "bytes=--1",
        ] {
            assert_eq!(of(whole), None, "{whole}");
        }
    }

    #[test]
    fn documents_are_downloaded() {
        for media_type in [
            "application/pdf",
            "application/json",
            "text/html",
            "application/zip",
        ] {
            assert!(!is_shown(media_type), "{media_type}");
        }
        assert!(is_shown("image/png") && is_shown("text/plain; charset=utf-8"));
    }
}
