//! What people have read (unofficial documentation of user clients, Read State). Bots have no read
//! states: 20001.

use axum::Router;
use axum::extract::State;
use axum::routing::{delete, post};
use chat::ChatError;
use chat::error::Refusal;
use chat::read_states::{self, Ack};
use model::form::{Fields, FormErrors};
use model::{ChannelId, MessageId, UserId};
use serde_json::json;

use super::{Answer, no_content, ok};
use crate::body::Json;
use crate::context::Context;
use crate::error::Result;
use crate::form;
use crate::path::Arguments;
use crate::token::Caller;

/// Most read states of one bulk request.
const BULK_ACKS_MAX: usize = 100;
/// Most mentions a client may have counted.
const COUNTED_MAX: i64 = 1_000_000;
/// Read states of channels; the other types are of features there are not.
const OF_CHANNELS: i64 = 0;

pub(super) fn routes() -> Router<Context> {
    Router::new()
        .route(
            "/channels/{channel_id}/messages/{message_id}/ack",
            post(acknowledge),
        )
        .route("/channels/{channel_id}/messages/ack", delete(forget))
        .route("/channels/{channel_id}/pins/ack", post(acknowledge_pins))
        .route("/read-states/ack-bulk", post(acknowledge_many))
        .route("/guilds/{guild_id}/ack", post(acknowledge_guild))
}

/// The person who asks.
fn person(caller: &Caller) -> Result<UserId> {
    if caller.account.user.bot {
        return Err(ChatError::Refused(Refusal::BotsNotAllowed).into());
    }
    Ok(caller.id())
}

/// The token is one of Discord's own; clients send back whatever they got, and take null.
fn acknowledged() -> Answer {
    ok(&json!({ "token": null }))
}

async fn acknowledge(
    State(context): State<Context>,
    caller: Caller,
    path: Arguments,
    Json(body): Json,
) -> Answer {
    let user = person(&caller)?;
    let (channel, message) = (path.channel()?, path.message()?);
    let ack = form::read(&body, |fields, errors| {
        let manual = fields.boolean("manual", errors).unwrap_or(false);
        let counted = form::number(fields, "mention_count", (0, COUNTED_MAX), errors);
        let last_viewed = form::number(fields, "last_viewed", (0, i64::from(u32::MAX)), errors);
        Ack {
            message,
            manual: manual.then(|| counted.unwrap_or(0)),
            last_viewed,
        }
    })?;
    read_states::acknowledge(context.chat(), user, channel, ack).await?;
    acknowledged()
}

async fn acknowledge_many(
    State(context): State<Context>,
    caller: Caller,
    Json(body): Json,
) -> Answer {
    let user = person(&caller)?;
    let acks = form::read(&body, |fields, errors| {
        let list = fields.list("read_states", BULK_ACKS_MAX, errors);
        if fields.get("read_states").is_none() {
            fields.require("read_states", errors);
        }
        let mut acks = Vec::new();
        for (index, item) in list.into_iter().flatten().enumerate() {
            let path = format!("{}.{index}", fields.at("read_states"));
            if let Some(item) = Fields::of(item, path, errors) {
                acks.extend(bulk_ack(&item, errors));
            }
        }
        acks
    })?;
    read_states::acknowledge_many(context.chat(), user, acks).await?;
    no_content()
}

fn bulk_ack(item: &Fields<'_>, errors: &mut FormErrors) -> Option<(ChannelId, MessageId)> {
    let kind = item.integer("read_state_type", 0, i64::from(u8::MAX), errors);
    for key in ["channel_id", "message_id"] {
        if item.get(key).is_none() {
            item.require(key, errors);
        }
    }
    let channel = item.snowflake("channel_id", errors);
    let message = item.snowflake("message_id", errors);
    let (channel, message) = (channel?, message?);
    (kind.unwrap_or(OF_CHANNELS) == OF_CHANNELS).then_some((channel, message))
}

async fn acknowledge_guild(
    State(context): State<Context>,
    caller: Caller,
    path: Arguments,
) -> Answer {
    let user = person(&caller)?;
    read_states::acknowledge_guild(context.chat(), user, path.guild()?).await?;
    acknowledged()
}

async fn acknowledge_pins(
    State(context): State<Context>,
    caller: Caller,
    path: Arguments,
) -> Answer {
    let user = person(&caller)?;
    read_states::acknowledge_pins(context.chat(), user, path.channel()?).await?;
    no_content()
}

async fn forget(State(context): State<Context>, caller: Caller, path: Arguments) -> Answer {
    let user = person(&caller)?;
    read_states::forget(context.chat(), user, path.channel()?).await?;
    no_content()
}
