//! JSON bodies: how they are read, and how far.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde_json::Value;

use crate::error::{ApiError, Result};

/// Bytes of a JSON body; more is refused with 413.
pub(crate) const JSON_BYTES_MAX: usize = 256 * 1_024;
/// Time for a JSON body to arrive; a slower one is refused with 408.
pub(crate) const JSON_TIME_MAX: Duration = Duration::from_secs(10);

/// A JSON body. An empty one is `{}`, as Discord takes it.
#[derive(Debug, Clone)]
pub(crate) struct Json(pub(crate) Value);

impl<S: Send + Sync> FromRequest<S> for Json {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self> {
        let (parts, body) = request.into_parts();
        read_json(&parts.headers, body).await.map(Self)
    }
}

/// What kind of body a request carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `application/json`, or nothing said.
    Json,
    /// `multipart/form-data` with its boundary.
    Multipart(String),
}

/// The kind of body the headers announce.
///
/// # Errors
/// 415 for a compressed body, 50035 with CONTENT_TYPE_INVALID for any other type.
pub(crate) fn kind(headers: &HeaderMap) -> Result<Kind> {
    if let Some(encoding) = headers.get(header::CONTENT_ENCODING)
        && encoding != "identity"
    {
        return Err(ApiError::plain(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return Ok(Kind::Json);
    };
    let value = value.to_str().unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(Kind::Json);
    }
    if essence.eq_ignore_ascii_case("multipart/form-data") {
        return match multer::parse_boundary(value) {
            Ok(boundary) => Ok(Kind::Multipart(boundary)),
            Err(_) => Err(ApiError::field(
                "_misc",
                "CONTENT_TYPE_INVALID",
                "The multipart boundary is missing or malformed.",
            )),
        };
    }
    Err(content_type_invalid(
        "'application/json', 'multipart/form-data'",
    ))
}

fn content_type_invalid(choices: &str) -> ApiError {
    let message = format!("Expected \"Content-Type\" header to be one of {{{choices}}}.");
    ApiError::field("", "CONTENT_TYPE_INVALID", message)
}

/// Reads a body that must be JSON.
///
/// # Errors
/// As [`kind`], [`collect`], and 50109 for what is no JSON.
pub(crate) async fn read_json(headers: &HeaderMap, body: Body) -> Result<Value> {
    let bytes = collect(headers, body).await?;
    if bytes.is_empty() {
        // Nothing was sent, so what type it would have had does not matter.
        return Ok(Value::Object(serde_json::Map::new()));
    }
    match kind(headers)? {
        Kind::Json => parse(&bytes),
        Kind::Multipart(_) => Err(content_type_invalid("'application/json'")),
    }
}

/// Parses JSON; the parser itself refuses nesting beyond 128 levels.
///
/// # Errors
/// 50109.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value> {
    serde_json::from_slice(bytes).map_err(|_| ApiError::invalid_json())
}

/// Reads a whole body of at most [`JSON_BYTES_MAX`] within [`JSON_TIME_MAX`].
///
/// # Errors
/// 413, 408, or 400 when it broke off.
async fn collect(headers: &HeaderMap, body: Body) -> Result<Bytes> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok());
    if announced
        .and_then(|length| length.parse::<u64>().ok())
        .is_some_and(|length| length > JSON_BYTES_MAX as u64)
    {
        return Err(ApiError::too_large());
    }
    let reading = tokio::time::timeout(JSON_TIME_MAX, Limited::new(body, JSON_BYTES_MAX).collect());
    match reading.await {
        Err(_) => Err(ApiError::body_timeout()),
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.downcast_ref::<LengthLimitError>().is_some() => {
            Err(ApiError::too_large())
        }
        Ok(Err(_)) => Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            0,
            "400: The request body broke off",
        )),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use axum::http::HeaderValue;

    use super::*;

    fn typed(content_type: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers
    }

    #[tokio::test]
    async fn bodies_are_json_or_nothing() {
        let json = typed("application/json; charset=utf-8");
        assert_eq!(
            read_json(&json, Body::from("{\"a\":1}")).await.unwrap()["a"],
            1
        );
        assert!(
            read_json(&typed("text/plain"), Body::empty())
                .await
                .unwrap()
                .is_object()
        );
        assert_eq!(
            read_json(&json, Body::from("{")).await.unwrap_err(),
            ApiError::invalid_json()
        );
        let wrong = read_json(&typed("text/plain"), Body::from("{}"))
            .await
            .unwrap_err();
        assert_eq!(wrong.status(), 400);
        assert_ne!(wrong, ApiError::invalid_json());
        let deep = "[".repeat(100_000);
        assert_eq!(
            read_json(&json, Body::from(deep)).await.unwrap_err(),
            ApiError::invalid_json()
        );
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_413_announced_or_not() {
        let whole = " ".repeat(JSON_BYTES_MAX + 1);
        let refused = read_json(&HeaderMap::new(), Body::from(whole))
            .await
            .unwrap_err();
        assert_eq!(refused, ApiError::too_large());
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("9999999"));
        assert_eq!(
            read_json(&headers, Body::empty()).await.unwrap_err(),
            ApiError::too_large()
        );
    }

    #[test]
    fn compressed_bodies_are_not_read() {
        let mut headers = typed("application/json");
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert_eq!(kind(&headers).unwrap_err().status(), 415);
        assert_eq!(
            kind(&typed("multipart/form-data; boundary=x")).unwrap(),
            Kind::Multipart("x".to_owned())
        );
        assert_eq!(
            kind(&typed("multipart/form-data")).unwrap_err().status(),
            400
        );
    }
}
