//! Channels of a guild (Discord docs, Channels Resource).

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use chat::guild;
use chat::guild::command::{ChannelMove, ChannelPatch};
use model::channel::kind;
use model::form::{Fields, FormErrors, check_list};
use model::limits::{
    CHANNEL_NAME_MAX, CHANNEL_NAME_MIN, CHANNELS_MAX, FORUM_TOPIC_MAX, OVERWRITES_MAX,
    SLOW_MODE_MAX, TOPIC_MAX,
};
use model::permissions::Permissions;
use serde_json::{Value, json};

use super::{Answer, json_response, no_content, ok, permissions};
use crate::body::Json;
use crate::context::Context;
use crate::error::{ApiError, Result};
use crate::form::{self, nullable, number};
use crate::path::Arguments;
use crate::token::Caller;

/// Types a channel of a guild can have.
const KINDS: [u32; 6] = [
    kind::GUILD_TEXT as u32,
    kind::GUILD_VOICE as u32,
    kind::GUILD_CATEGORY as u32,
    kind::GUILD_ANNOUNCEMENT as u32,
    kind::GUILD_STAGE_VOICE as u32,
    kind::GUILD_FORUM as u32,
];
/// Minutes after which threads are archived.
const ARCHIVE_DURATIONS: [u32; 4] = [60, 1_440, 4_320, 10_080];
/// Slowest and fastest voice, bits per second, of a guild without boosts.
const BITRATES: (i64, i64) = (8_000, 96_000);
/// Most members of a stage; a voice channel takes 99.
const USER_LIMIT_MAX: i64 = 10_000;
/// Greatest place in the list; beyond it a client is confused.
const POSITION_MAX: i64 = 10_000;

pub(super) fn routes() -> Router<Context> {
    Router::new()
        .route(
            "/guilds/{guild_id}/channels",
            get(list).post(create).patch(reorder),
        )
        .route(
            "/channels/{channel_id}",
            get(view).patch(modify).put(modify).delete(remove),
        )
        .route("/channels/{channel_id}/typing", post(typing))
        .route("/channels/{channel_id}/webhooks", get(no_webhooks))
        .route("/channels/{channel_id}/invites", get(no_invites))
}

async fn list(State(context): State<Context>, caller: Caller, path: Arguments) -> Answer {
    ok(&guild::channels(context.chat(), caller.actor(), path.guild()?).await?)
}

async fn create(
    State(context): State<Context>,
    caller: Caller,
    path: Arguments,
    Json(body): Json,
) -> Answer {
    let guild = path.guild()?;
    let patch = form::read(&body, |fields, errors| {
        if fields.get("name").is_none() {
            fields.require("name", errors);
        }
        patch(fields, errors)
    })?;
    let channel = guild::create_channel(context.chat(), caller.actor(), guild, patch).await?;
    Ok(json_response(StatusCode::CREATED, &channel))
}

async fn view(State(context): State<Context>, caller: Caller, path: Arguments) -> Answer {
    ok(&guild::channel(context.chat(), caller.actor(), path.channel()?).await?)
}

async fn modify(
    State(context): State<Context>,
    caller: Caller,
    path: Arguments,
    Json(body): Json,
) -> Answer {
    let channel = path.channel()?;
    let patch = form::read(&body, patch)?;
    ok(&guild::modify_channel(context.chat(), caller.actor(), channel, patch).await?)
}

/// Reads "Create Guild Channel" and "Modify Channel".
fn patch(fields: &Fields<'_>, errors: &mut FormErrors) -> ChannelPatch {
    let kind =
        form::choice(fields, "type", &KINDS, errors).and_then(|kind| u8::try_from(kind).ok());
    let topic_max = if kind == Some(kind::GUILD_FORUM) {
        FORUM_TOPIC_MAX
    } else {
        TOPIC_MAX
    };
    let overwrites = fields
        .list("permission_overwrites", OVERWRITES_MAX, errors)
        .map(|list| {
            let path = fields.at("permission_overwrites");
            let entries = list.iter().enumerate();
            entries
                .filter_map(|(index, entry)| {
                    permissions::overwrite(entry, format!("{path}.{index}"), errors)
                })
                .collect()
        });
    ChannelPatch {
        name: fields.text("name", CHANNEL_NAME_MIN, CHANNEL_NAME_MAX, errors),
        kind,
        topic: nullable(fields, "topic", || {
            fields.text("topic", 0, topic_max, errors)
        }),
        position: number(fields, "position", (0, POSITION_MAX), errors),
        parent_id: nullable(fields, "parent_id", || {
            fields.snowflake("parent_id", errors)
        }),
        permission_overwrites: overwrites,
        nsfw: fields.boolean("nsfw", errors),
        rate_limit_per_user: number(
            fields,
            "rate_limit_per_user",
            (0, i64::from(SLOW_MODE_MAX)),
            errors,
        ),
        default_auto_archive_duration: nullable(fields, "default_auto_archive_duration", || {
            form::choice(
                fields,
                "default_auto_archive_duration",
                &ARCHIVE_DURATIONS,
                errors,
            )
        }),
        bitrate: number(fields, "bitrate", BITRATES, errors),
        user_limit: number(fields, "user_limit", (0, USER_LIMIT_MAX), errors),
        flags: number(fields, "flags", (0, i64::from(u32::MAX)), errors),
    }
}

async fn remove(State(context): State<Context>, caller: Caller, path: Arguments) -> Answer {
    ok(&guild::delete_channel(context.chat(), caller.actor(), path.channel()?).await?)
}

async fn reorder(
    State(context): State<Context>,
    caller: Caller,
    path: Arguments,
    Json(body): Json,
) -> Answer {
    let guild = path.guild()?;
    let moves = moves(&body)?;
    guild::move_channels(context.chat(), caller.actor(), guild, moves).await?;
    no_content()
}

/// Reads "Modify Guild Channel Positions".
fn moves(body: &Value) -> Result<Vec<ChannelMove>> {
    let mut errors = FormErrors::new();
    let mut moves = Vec::new();
    for (index, entry) in check_list(body, "", CHANNELS_MAX, &mut errors)
        .unwrap_or_default()
        .iter()
        .enumerate()
    {
        let Some(fields) = Fields::of(entry, index.to_string(), &mut errors) else {
            continue;
        };
        if fields.get("id").is_none() {
            fields.require("id", &mut errors);
        }
        let Some(id) = fields.snowflake("id", &mut errors) else {
            continue;
        };
        moves.push(ChannelMove {
            id,
            position: number(&fields, "position", (0, POSITION_MAX), &mut errors),
            parent_id: nullable(&fields, "parent_id", || {
                fields.snowflake("parent_id", &mut errors)
            }),
            lock_permissions: fields
                .boolean("lock_permissions", &mut errors)
                .unwrap_or(false),
        });
    }
    if errors.is_empty() {
        Ok(moves)
    } else {
        Err(ApiError::form(&errors))
    }
}

async fn typing(State(context): State<Context>, caller: Caller, path: Arguments) -> Answer {
    guild::typing(context.chat(), caller.actor(), path.channel()?).await?;
    no_content()
}

async fn no_webhooks(State(context): State<Context>, caller: Caller, path: Arguments) -> Answer {
    let needs = Permissions::VIEW_CHANNEL | Permissions::MANAGE_WEBHOOKS;
    guild::access(context.chat(), caller.actor(), path.channel()?, needs).await?;
    ok(&json!([]))
}

async fn no_invites(State(context): State<Context>, caller: Caller, path: Arguments) -> Answer {
    let needs = Permissions::VIEW_CHANNEL | Permissions::MANAGE_CHANNELS;
    guild::access(context.chat(), caller.actor(), path.channel()?, needs).await?;
    ok(&json!([]))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_channel_is_read_whole() {
        let body = json!({
            "name": "general", "type": 0, "topic": null, "parent_id": 7, "rate_limit_per_user": 5,
            "permission_overwrites": [{"id": "7", "type": 0, "allow": "1024", "deny": "0"}],
        });
        let read = form::read(&body, patch).unwrap();
        assert_eq!(read.kind, Some(0));
        assert_eq!(read.topic, Some(None));
        assert_eq!(read.parent_id, Some(Some(model::Id::new(7))));
        assert_eq!(
            read.permission_overwrites.unwrap()[0].allow,
            Permissions::VIEW_CHANNEL
        );
    }

    #[test]
    fn limits_are_named_where_they_are_broken() {
        for (body, key) in [
            (json!({"name": ""}), "name"),
            (json!({"name": "x".repeat(101)}), "name"),
            (json!({"topic": "x".repeat(1_025)}), "topic"),
            (json!({"type": 1}), "type"),
            (
                json!({"rate_limit_per_user": 21_601}),
                "rate_limit_per_user",
            ),
            (
                json!({"permission_overwrites": [{"id": "x", "type": 0}]}),
                "permission_overwrites",
            ),
        ] {
            let mut errors = FormErrors::new();
            patch(&Fields::of(&body, "", &mut errors).unwrap(), &mut errors);
            assert!(
                errors.to_json().get(key).is_some(),
                "{body}: {}",
                errors.to_json()
            );
        }
    }
}
