//! Files of messages, served as nothing that can run.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
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
async fn file(State(context): State<Context>, path: Arguments) -> Answer {
    let name = path.text("filename")?;
    let missing = || ApiError::plain(StatusCode::NOT_FOUND);
    let (Ok(channel), Ok(attachment)) = (path.channel(), path.attachment()) else {
        return Err(missing());
    };
    let place = FilePlace::new(channel, attachment, name);
    if place.name != name {
        return Err(missing());
    }
    let found = files::get(context.chat(), &place)
        .await
        .map_err(|error| match error {
            FileError::Failed(why) => {
                tracing::error!(why, "a file could not be read");
                ApiError::plain(StatusCode::SERVICE_UNAVAILABLE)
            }
            _ => missing(),
        })?;
    let media_type = image::media_type(&place.name);
    let shown = media_type.filter(|media_type| is_shown(media_type));
    let mut response = Response::new(Body::from_stream(found.content));
    let headers = response.headers_mut();
    let content_type = shown.unwrap_or("application/octet-stream");
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(found.len));
    // The name holds only letters, digits, `.`, `_` and `-`: nothing to escape.
    let disposition = if shown.is_some() {
        "inline"
    } else {
        "attachment"
    };
    if let Ok(value) = HeaderValue::from_str(&format!("{disposition}; filename=\"{}\"", place.name))
    {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
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

/// Types a browser shows without running anything in them.
fn is_shown(media_type: &str) -> bool {
    let family = media_type.split('/').next().unwrap_or_default();
    matches!(family, "image" | "video" | "audio") || media_type.starts_with("text/plain")
}

#[cfg(test)]
mod tests {
    use super::is_shown;

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
