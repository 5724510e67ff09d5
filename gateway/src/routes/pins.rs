//! Pins, by the routes of 2025 and the older ones that many libraries still use (Discord docs,
//! Message Resource, "Get Channel Pins").

use axum::Router;
use axum::extract::State;
use axum::routing::{get, put};
use chat::{guild, history};
use model::form::FormErrors;
use model::time;
use serde_json::{Value, json};

use super::{Answer, no_content, ok};
use crate::context::Context;
use crate::path::Arguments;
use crate::query::Query;
use crate::token::Caller;

/// Pins of one page, and all that the older route shows.
const PAGE_MAX: usize = 50;

pub(super) fn routes() -> Router<Context> {
    Router::new()
        .route("/channels/{channel_id}/messages/pins", get(list))
        .route(
            "/channels/{channel_id}/messages/pins/{message_id}",
            put(pin).delete(unpin),
        )
        .route("/channels/{channel_id}/pins", get(list_old))
        .route(
            "/channels/{channel_id}/pins/{message_id}",
            put(pin).delete(unpin),
        )
}

async fn list(
    State(context): State<Context>,
    caller: Caller,
    path: Arguments,
    query: Query,
) -> Answer {
    let channel = path.channel()?;
    let mut errors = FormErrors::new();
    let limit = query.number("limit", PAGE_MAX, (1, PAGE_MAX), &mut errors);
    let before = query.text("before").map(time::parse);
    if before == Some(None) {
        let message = "Could not parse the time. Should be ISO8601.";
        errors.push("before", "DATE_TIME_TYPE_PARSE", message);
    }
    errors.into_result()?;
    let (pins, has_more) = history::pins(
        context.chat(),
        caller.actor(),
        channel,
        before.flatten(),
        limit,
    )
    .await?;
    let items: Vec<Value> = pins
        .into_iter()
        .map(|(message, pinned_at)| (caller.sees(message), pinned_at))
        .map(|(message, pinned_at)| json!({"pinned_at": pinned_at, "message": message}))
        .collect();
    ok(&json!({"items": items, "has_more": has_more}))
}

async fn list_old(State(context): State<Context>, caller: Caller, path: Arguments) -> Answer {
    let (pins, _) = history::pins(
        context.chat(),
        caller.actor(),
        path.channel()?,
        None,
        PAGE_MAX,
    )
    .await?;
    let messages = pins.into_iter().map(|(message, _)| caller.sees(message));
    ok(&messages.collect::<Vec<_>>())
}

async fn pin(State(context): State<Context>, caller: Caller, path: Arguments) -> Answer {
    guild::set_pinned(
        context.chat(),
        caller.actor(),
        path.channel()?,
        path.message()?,
        true,
    )
    .await?;
    no_content()
}

async fn unpin(State(context): State<Context>, caller: Caller, path: Arguments) -> Answer {
    guild::set_pinned(
        context.chat(),
        caller.actor(),
        path.channel()?,
        path.message()?,
        false,
    )
    .await?;
    no_content()
}
