//! The one place where a failure becomes a status, a JSON code and a body
//! (Discord docs, Opcodes and Status Codes, "HTTP Response Codes" and "JSON Error Codes").

use std::borrow::Cow;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chat::ChatError;
use chat::error::{Missing, Refusal};
use model::form::FormErrors;
use serde_json::{Map, Value, json};

use crate::routes::json_response;

/// Result of a handler.
pub(crate) type Result<T> = std::result::Result<T, ApiError>;

/// Seconds a client should wait before it repeats what an overloaded or restarting part refused.
const RETRY_AFTER_SECONDS: u64 = 1;

/// What is answered when there is no room for a change or a file.
pub(crate) const DISK_FULL: &str =
    "503: The disk of this server is full; nothing was changed, try again later";

/// A refusal or failure, ready to be answered.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: u32,
    message: Cow<'static, str>,
    errors: Option<Value>,
    retry_after: Option<f64>,
}

impl ApiError {
    /// An error with a JSON code of its own.
    pub(crate) fn new(
        status: StatusCode,
        code: u32,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            errors: None,
            retry_after: None,
        }
    }

    /// An error that is only its status: `{"message":"404: Not Found","code":0}`.
    pub(crate) fn plain(status: StatusCode) -> Self {
        let reason = status.canonical_reason().unwrap_or("Error");
        Self::new(status, 0, format!("{}: {reason}", status.as_u16()))
    }

    /// 50035 with its faults.
    pub(crate) fn form(errors: &FormErrors) -> Self {
        let mut error = Self::new(StatusCode::BAD_REQUEST, 50_035, "Invalid Form Body");
        error.errors = Some(errors.to_json());
        error
    }

    /// 50035 with one fault.
    pub(crate) fn field(path: &str, code: &'static str, message: impl Into<String>) -> Self {
        Self::form(&FormErrors::one(path, code, message))
    }

    /// 50109: the body is no JSON.
    pub(crate) fn invalid_json() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            50_109,
            "The request body contains invalid JSON.",
        )
    }

    /// 40005: the body or a file in it is too large.
    pub(crate) fn too_large() -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            40_005,
            "Request entity too large",
        )
    }

    /// The body did not arrive in time or broke off half-way.
    pub(crate) fn body_timeout() -> Self {
        Self::plain(StatusCode::REQUEST_TIMEOUT)
    }

    /// The HTTP status it is answered with.
    #[cfg(test)]
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }
}

impl From<FormErrors> for ApiError {
    fn from(errors: FormErrors) -> Self {
        Self::form(&errors)
    }
}

impl From<Missing> for ApiError {
    fn from(missing: Missing) -> Self {
        let (code, message) = match missing {
            Missing::Channel => (10_003, "Unknown Channel"),
            Missing::Guild => (10_004, "Unknown Guild"),
            Missing::Member => (10_007, "Unknown Member"),
            Missing::Message => (10_008, "Unknown Message"),
            Missing::Overwrite => (10_009, "Unknown permission overwrite"),
            Missing::Role => (10_011, "Unknown Role"),
            Missing::User => (10_013, "Unknown User"),
            Missing::Emoji => (10_014, "Unknown Emoji"),
            Missing::Ban => (10_026, "Unknown Ban"),
        };
        let status = if missing == Missing::Emoji {
            StatusCode::BAD_REQUEST
        } else {
            StatusCode::NOT_FOUND
        };
        Self::new(status, code, message)
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal {
            Refusal::BotsNotAllowed
            | Refusal::EditOthers
            | Refusal::SystemMessage
            | Refusal::Banned => StatusCode::FORBIDDEN,
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(status, refusal.code(), refusal.message())
    }
}

impl From<ChatError> for ApiError {
    fn from(error: ChatError) -> Self {
        match error {
            ChatError::Unauthorized => Self::plain(StatusCode::UNAUTHORIZED),
            ChatError::NotFound(missing) => missing.into(),
            ChatError::MissingAccess => Self::new(StatusCode::FORBIDDEN, 50_001, "Missing Access"),
            ChatError::MissingPermissions => {
                Self::new(StatusCode::FORBIDDEN, 50_013, "Missing Permissions")
            }
            ChatError::Refused(refusal) => refusal.into(),
            ChatError::Form(errors) => errors.into(),
            ChatError::SlowMode { retry_after } => {
                let mut error = Self::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    20_016,
                    "This action cannot be performed due to slowmode rate limit",
                );
                error.retry_after = Some(retry_after);
                error
            }
            ChatError::Busy => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                130_000,
                "API resource is currently overloaded. Try again a little later",
            ),
            ChatError::Unavailable => Self::plain(StatusCode::SERVICE_UNAVAILABLE),
            ChatError::NotApplied(what) => {
                // Not a line for each of the many that fail at the same time: the engine says why.
                tracing::debug!(what, "the store did not do what was asked");
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    0,
                    "503: The store does not answer; nothing was changed, try again later",
                )
            }
            ChatError::TooLarge(what) => {
                // Below what Discord allows: what there is to be done is the operator's.
                tracing::warn!(what, "a change is larger than the store takes at once");
                Self::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    40_005,
                    "Request entity too large: more than the store takes at once. Nothing was changed; send less",
                )
            }
            ChatError::Full(what) => {
                tracing::debug!(what, "the disk is full");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, 0, DISK_FULL)
            }
            ChatError::Broken(what) => {
                tracing::debug!(what, "the store is broken");
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    0,
                    "503: The disk of this server has failed; nothing was changed",
                )
            }
            ChatError::Unknown(what) => {
                tracing::warn!(what, "a change has an unknown outcome");
                Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    0,
                    "500: It is not known whether the change was made; read before trying again",
                )
            }
            ChatError::Internal(what) => {
                tracing::error!(what, "a request failed");
                Self::plain(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut body = Map::new();
        body.insert("message".to_owned(), json!(self.message));
        body.insert("code".to_owned(), json!(self.code));
        if let Some(errors) = self.errors {
            body.insert("errors".to_owned(), errors);
        }
        if let Some(seconds) = self.retry_after {
            body.insert("retry_after".to_owned(), json!(seconds));
            body.insert("global".to_owned(), json!(false));
        }
        let mut response = json_response(self.status, &Value::Object(body));
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            // A whole number, rounded up: the header has no fractions (RFC 9110, 10.2.3).
            let whole = HeaderValue::from(seconds.ceil().max(1.0) as u64);
            headers.insert(header::RETRY_AFTER, whole);
            headers.insert("x-ratelimit-scope", HeaderValue::from_static("user"));
            headers.insert(header::VIA, crate::rate_limit::VIA);
        } else if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use axum::body::to_bytes;

    use super::*;

    async fn answered(error: ApiError) -> (StatusCode, axum::http::HeaderMap, Value) {
        let response = error.into_response();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 65_536).await.unwrap();
        (
            parts.status,
            parts.headers,
            serde_json::from_slice(&body).unwrap(),
        )
    }

    #[tokio::test]
    async fn faults_are_nested_under_errors() {
        let (status, headers, body) = answered(ApiError::field(
            "embeds.0.title",
            "BASE_TYPE_MAX_LENGTH",
            "Too long.",
        ))
        .await;
        assert_eq!(status, 400);
        assert_eq!(headers["content-type"], "application/json");
        assert_eq!(body["code"], 50_035);
        assert_eq!(
            body["errors"]["embeds"]["0"]["title"]["_errors"][0]["code"],
            "BASE_TYPE_MAX_LENGTH"
        );
    }

    #[tokio::test]
    async fn slow_mode_tells_how_long() {
        let (status, headers, body) =
            answered(ChatError::SlowMode { retry_after: 2.3 }.into()).await;
        assert_eq!((status.as_u16(), &body["code"]), (429, &json!(20_016)));
        assert_eq!(body["retry_after"], 2.3);
        assert_eq!(headers["retry-after"], "3");
    }

    #[tokio::test]
    async fn an_internal_error_says_nothing_of_the_inside() {
        let (status, _, body) = answered(ChatError::Internal("path /x".to_owned()).into()).await;
        assert_eq!(status, 500);
        assert_eq!(
            body,
            json!({"message": "500: Internal Server Error", "code": 0})
        );
    }

    #[tokio::test]
    async fn overload_is_503_and_can_be_repeated() {
        let (status, headers, body) = answered(ChatError::Busy.into()).await;
        assert_eq!((status.as_u16(), &body["code"]), (503, &json!(130_000)));
        assert_eq!(headers["retry-after"], "1");
    }

    /// By the answer alone a client tells what it may send again.
    #[tokio::test]
    async fn what_the_store_says_is_told_apart() {
        let inside = || "node db1 of the inside".to_owned();
        let mut seen = Vec::new();
        for (error, expected, again) in [
            (ChatError::Busy, 503, true),
            (ChatError::Unavailable, 503, true),
            (ChatError::NotApplied(inside()), 503, true),
            (ChatError::TooLarge(inside()), 413, false),
            (ChatError::Full(inside()), 503, true),
            (ChatError::Broken(inside()), 503, true),
            (ChatError::Unknown(inside()), 500, false),
            (ChatError::Internal(inside()), 500, false),
        ] {
            let (status, headers, body) = answered(error.clone().into()).await;
            assert_eq!(status, expected, "{error}");
            assert_eq!(headers.contains_key("retry-after"), again, "{error}");
            assert!(!body.to_string().contains("db1"), "{error}: {body}");
            assert!(!seen.contains(&body), "{error}: {body} is another's too");
            seen.push(body);
        }
    }
}
