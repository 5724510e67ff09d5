//! The handlers, one file per resource, in the order of Discord's documentation.
//!
//! A handler reads the path, the query and the body, asks the chat system, and answers; who asks
//! and how often is settled before it runs (`crate::edge`). A new route is one line in its file's
//! `routes` and one function below.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

use crate::context::Context;
use crate::error::ApiError;

pub(crate) mod gateway;
pub(crate) mod applications;
pub(crate) mod users;
pub(crate) mod guilds;
pub(crate) mod members;
pub(crate) mod bans;
pub(crate) mod roles;
pub(crate) mod channels;
pub(crate) mod permissions;
pub(crate) mod messages;
pub(crate) mod reactions;
pub(crate) mod pins;
pub(crate) mod read_states;
pub(crate) mod files;
pub(crate) mod health;

/// What a handler answers.
pub(crate) type Answer = Result<Response, ApiError>;

/// All routes of the HTTP API, below its root.
pub(crate) fn api() -> Router<Context> {
    Router::new()
        .merge(gateway::routes())
        .merge(applications::routes())
        .merge(users::routes())
        .merge(guilds::routes())
        .merge(members::routes())
        .merge(bans::routes())
        .merge(roles::routes())
        .merge(channels::routes())
        .merge(permissions::routes())
        .merge(messages::routes())
        .merge(reactions::routes())
        .merge(pins::routes())
        .merge(read_states::routes())
}

/// JSON with exactly the `Content-Type` that clients compare with.
pub(crate) fn json_response(status: StatusCode, value: &impl Serialize) -> Response {
    let bytes = match serde_json::to_vec(value) {
        Ok(bytes) => bytes,
        Err(error) => {
            // Our own types always serialise; if one ever does not, say so instead of lying.
            tracing::error!(%error, "an answer does not serialise");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}

/// 200 with `value`.
pub(crate) fn ok(value: &impl Serialize) -> Answer {
    Ok(json_response(StatusCode::OK, value))
}

/// 201 with `value`.
pub(crate) fn created(value: &impl Serialize) -> Answer {
    Ok(json_response(StatusCode::CREATED, value))
}

/// 204.
pub(crate) fn no_content() -> Answer {
    Ok(StatusCode::NO_CONTENT.into_response())
}
