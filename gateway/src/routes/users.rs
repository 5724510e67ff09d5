//! Users (Discord docs, User Resource).

use axum::Router;
use axum::extract::State;
use axum::routing::{delete, get};
use chat::{accounts, guild};
use model::form::FormErrors;
use model::limits::GUILDS_PAGE_MAX;
use serde_json::json;

use super::{Answer, no_content, ok};
use crate::context::Context;
use crate::error::ApiError;
use crate::path::Arguments;
use crate::query::Query;
use crate::token::Caller;

pub(super) fn routes() -> Router<Context> {
    Router::new()
        .route("/users/@me", get(current))
        .route("/users/@me/guilds", get(guilds))
        .route("/users/@me/guilds/{guild_id}", delete(leave))
        .route("/users/@me/guilds/{guild_id}/member", get(own_member))
        .route("/users/{user_id}", get(user))
}

async fn current(caller: Caller) -> Answer {
    ok(&caller.account.current_user())
}

async fn user(State(context): State<Context>, path: Arguments) -> Answer {
    ok(&accounts::user(context.chat(), path.user()?).await?)
}

async fn guilds(State(context): State<Context>, caller: Caller, query: Query) -> Answer {
    let mut errors = FormErrors::new();
    let before = query.id("before", &mut errors);
    let after = query.id("after", &mut errors);
    let limit = query.number("limit", GUILDS_PAGE_MAX, (1, GUILDS_PAGE_MAX), &mut errors);
    errors.into_result()?;
    let chat = context.chat();
    let guilds = guild::guilds_of(chat, caller.id(), before, after, limit).await?;
    if !query.flag("with_counts") {
        return ok(&guilds);
    }
    let mut counted = Vec::with_capacity(guilds.len());
    for partial in guilds {
        let view = guild::guild_view(chat, caller.actor(), partial.id, true).await?;
        let mut value = json!(partial);
        value["approximate_member_count"] = json!(view.approximate_member_count);
        value["approximate_presence_count"] = json!(view.approximate_presence_count);
        counted.push(value);
    }
    ok(&counted)
}

async fn leave(State(context): State<Context>, caller: Caller, path: Arguments) -> Answer {
    guild::leave(context.chat(), caller.actor(), path.guild()?)
        .await
        .map_err(ApiError::from)?;
    no_content()
}

async fn own_member(State(context): State<Context>, caller: Caller, path: Arguments) -> Answer {
    ok(&guild::member(context.chat(), caller.actor(), path.guild()?, caller.id()).await?)
}
