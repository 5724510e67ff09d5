//! Files of messages, served as nothing that can run.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use chat::files::{self, FileError, FilePlace};

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
    let failed = |error| match error {
        FileError::Failed(why) => {
            tracing::error!(why, "a file could not be read");
            ApiError::plain(StatusCode::SERVICE_UNAVAILABLE)
        }
        _ => missing(),
    };
    let found = files::get(context.chat(), &place).await.map_err(failed)?;
    let whole = found.len();
    let part = match asked.get(header::RANGE).map(|asked| range(asked, whole)) {
        None | Some(Asked::Whole) => None,
        Some(Asked::Part(from, len)) => Some((from, len)),
        Some(Asked::Nothing) => return Ok(outside(whole)),
    };
    let (from, len) = part.unwrap_or((0, whole));
    let content = found.part(from, len).await.map_err(failed)?;
    let media_type = image::media_type(&place.name);
    let shown = media_type.filter(|media_type| is_shown(media_type));
    let mut response = Response::new(Body::from_stream(content));
    if part.is_some() {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    let headers = response.headers_mut();
    let content_type = shown.unwrap_or("application/octet-stream");
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(len));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if part.is_some() {
        let last = from + len - 1;
        put(
            headers,
            header::CONTENT_RANGE,
            &format!("bytes {from}-{last}/{whole}"),
        );
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

/// What a `Range` header asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// Nothing we understand, or several ranges: all of it.
    Whole,
    /// From this byte on, so many.
    Part(u64, u64),
    /// No byte that is there.
    Nothing,
}

/// Reads `bytes=0-99`, `bytes=100-` and `bytes=-100` of a file of `whole` bytes.
fn range(header: &HeaderValue, whole: u64) -> Asked {
    let text = header.to_str().unwrap_or_default().trim();
    let Some((first, last)) = text
        .strip_prefix("bytes=")
        .and_then(|spec| spec.trim().split_once('-'))
    else {
        return Asked::Whole;
    };
    let (from, end) = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(from), Ok(last)) if from <= last => (from, last.saturating_add(1).min(whole)),
        (Ok(from), Err(_)) if last.is_empty() => (from, whole),
        (Err(_), Ok(count)) if first.is_empty() => (whole.saturating_sub(count), whole),
        _ => return Asked::Whole,
    };
    match end.checked_sub(from) {
        Some(len) if len > 0 => Asked::Part(from, len),
        _ => Asked::Nothing,
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

    use super::{Asked, is_shown, range};

    #[test]
    fn ranges_are_read_and_held_to_the_file() {
        let of = |text| range(&HeaderValue::from_static(text), 10);
        assert_eq!(of("bytes=0-3"), Asked::Part(0, 4));
        assert_eq!(of("bytes=4-"), Asked::Part(4, 6));
        assert_eq!(of("bytes=8-99"), Asked::Part(8, 2));
        assert_eq!(of("bytes=-3"), Asked::Part(7, 3));
        assert_eq!(of("bytes=-99"), Asked::Part(0, 10));
        for outside in ["bytes=10-", "bytes=10-20", "bytes=-0"] {
            assert_eq!(of(outside), Asked::Nothing, "{outside}");
        }
        for whole in [
            "bytes=3-1",
            "bytes=0-1,4-5",
            "bytes=x-",
            "lines=0-1",
            "bytes=-",
        ] {
            assert_eq!(of(whole), Asked::Whole, "{whole}");
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
