//! Where the WebSocket gateway is (Discord docs, Gateway, "Get Gateway").

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use serde_json::json;

use super::{Answer, ok};
use crate::context::Context;
use crate::socket::limits::{MAX_CONCURRENCY, SESSION_STARTS_MAX};
use crate::token::Caller;

pub(super) fn routes() -> Router<Context> {
    Router::new()
        .route("/gateway", get(gateway))
        .route("/gateway/bot", get(gateway_bot))
        .route("/voice/regions", get(nothing))
        .route("/soundboard-default-sounds", get(nothing))
        .route("/sticker-packs", get(sticker_packs))
}

async fn gateway(State(context): State<Context>) -> Answer {
    ok(&json!({"url": context.gateway_url()}))
}

async fn gateway_bot(State(context): State<Context>, caller: Caller) -> Answer {
    let starts = context.sockets().session_starts(caller.id());
    ok(&json!({
        "url": context.gateway_url(),
        "shards": 1,
        "session_start_limit": {
            "total": SESSION_STARTS_MAX,
            "remaining": starts.remaining,
            "reset_after": u64::try_from(starts.reset_after.as_millis()).unwrap_or(u64::MAX),
            "max_concurrency": MAX_CONCURRENCY,
        },
    }))
}

/// Lists that are empty on every installation; stock clients read them when they start.
async fn nothing(_: Caller) -> Answer {
    ok(&json!([]))
}

async fn sticker_packs(_: Caller) -> Answer {
    ok(&json!({"sticker_packs": []}))
}
