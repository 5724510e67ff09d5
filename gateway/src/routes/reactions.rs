//! Reactions (Discord docs, Message Resource, "Create Reaction" and following).

use axum::Router;
use axum::extract::State;
use axum::routing::{delete, put};
use chat::{guild, history};
use model::form::FormErrors;
use model::limits::{REACTION_USERS_DEFAULT, REACTION_USERS_PAGE_MAX};
use serde_json::json;

use super::{Answer, no_content, ok};
use crate::context::Context;
use crate::path::Arguments;
use crate::query::Query;
use crate::token::Caller;

pub(super) fn routes() -> Router<Context> {
    let reactions = "/channels/{channel_id}/messages/{message_id}/reactions";
    Router::new()
        .route(reactions, delete(clear))
        .route(
            &format!("{reactions}/{{emoji}}"),
            axum::routing::get(reactors).delete(clear_emoji),
        )
        .route(
            &format!("{reactions}/{{emoji}}/@me"),
            put(add).delete(remove_own),
        )
        .route(
            &format!("{reactions}/{{emoji}}/{{user_id}}"),
            delete(remove),
        )
}

async fn add(State(context): State<Context>, caller: Caller, path: Arguments) -> Answer {
    let (channel, message, emoji) = (path.channel()?, path.message()?, path.emoji()?);
    guild::add_reaction(context.chat(), caller.actor(), channel, message, emoji).await?;
    no_content()
}

async fn remove_own(State(context): State<Context>, caller: Caller, path: Arguments) -> Answer {
    let (channel, message, emoji) = (path.channel()?, path.message()?, path.emoji()?);
    guild::remove_reaction(
        context.chat(),
        caller.actor(),
        channel,
        message,
        caller.id(),
        emoji,
    )
    .await?;
    no_content()
}

async fn remove(State(context): State<Context>, caller: Caller, path: Arguments) -> Answer {
    let (channel, message, emoji) = (path.channel()?, path.message()?, path.emoji()?);
    let user = path.user()?;
    guild::remove_reaction(
        context.chat(),
        caller.actor(),
        channel,
        message,
        user,
        emoji,
    )
    .await?;
    no_content()
}

async fn clear(State(context): State<Context>, caller: Caller, path: Arguments) -> Answer {
    guild::clear_reactions(
        context.chat(),
        caller.actor(),
        path.channel()?,
        path.message()?,
        None,
    )
    .await?;
    no_content()
}

async fn clear_emoji(State(context): State<Context>, caller: Caller, path: Arguments) -> Answer {
    let (channel, message, emoji) = (path.channel()?, path.message()?, path.emoji()?);
    guild::clear_reactions(
        context.chat(),
        caller.actor(),
        channel,
        message,
        Some(emoji),
    )
    .await?;
    no_content()
}

async fn reactors(
    State(context): State<Context>,
    caller: Caller,
    path: Arguments,
    query: Query,
) -> Answer {
    let (channel, message, emoji) = (path.channel()?, path.message()?, path.emoji()?);
    let mut errors = FormErrors::new();
    let limits = (1, REACTION_USERS_PAGE_MAX);
    let limit = query.number("limit", REACTION_USERS_DEFAULT, limits, &mut errors);
    let after = query.id("after", &mut errors);
    let burst = query.number("type", 0, (0, 1), &mut errors) == 1;
    errors.into_result()?;
    let users = history::reactors(
        context.chat(),
        caller.actor(),
        channel,
        message,
        &emoji,
        after,
        limit,
    )
    .await?;
    // Nobody can react in bursts here, but whether one may ask is judged all the same.
    if burst { ok(&json!([])) } else { ok(&users) }
}
