//! For those who watch the node: `/healthz`, `/readyz`, `/metrics`.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::context::Context;

pub(crate) fn routes() -> Router<Context> {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
}

/// 200 as long as the store can write; 503 means: restart the node.
async fn healthz(State(context): State<Context>) -> Response {
    match context.chat().health() {
        Ok(()) => text(StatusCode::OK, "ok\n"),
        Err(error) => {
            tracing::error!(%error, "the store is broken");
            text(StatusCode::SERVICE_UNAVAILABLE, "the store is broken\n")
        }
    }
}

/// 200 when new clients may be sent here; 503 while it starts or drains.
async fn readyz(State(context): State<Context>) -> Response {
    if !context.is_ready() {
        text(StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    } else if context.chat().health().is_err() {
        text(StatusCode::SERVICE_UNAVAILABLE, "the store is broken\n")
    } else {
        text(StatusCode::OK, "ready\n")
    }
}

async fn metrics(State(context): State<Context>) -> Response {
    let body = context.metrics().render();
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        body,
    )
        .into_response()
}

fn text(status: StatusCode, body: &'static str) -> Response {
    (
        status,
        [(header::CONTENT_TYPE, "text/plain; charset=utf-8")],
        body,
    )
        .into_response()
}
