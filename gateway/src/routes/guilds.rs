//! Guilds (Discord docs, Guild Resource). `POST /guilds` is ours: Discord took it away from bots.

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use chat::guild;
use chat::guild::command::GuildPatch;
use model::form::{Fields, FormErrors};
use model::limits::{GUILD_DESCRIPTION_MAX, GUILD_NAME_MAX, GUILD_NAME_MIN};
use model::permissions::Permissions;
use serde_json::json;

use super::{Answer, created, no_content, ok};
use crate::body::Json;
use crate::context::Context;
use crate::form::{self, nullable, number};
use crate::path::Arguments;
use crate::query::Query;
use crate::token::Caller;

/// Seconds until a voice member counts as idle.
const AFK_TIMEOUTS: [u32; 5] = [60, 300, 900, 1_800, 3_600];
/// Longest language tag.
const LOCALE_MAX: usize = 16;

pub(super) fn routes() -> Router<Context> {
    Router::new()
        .route("/guilds", post(create))
        .route("/guilds/{guild_id}", get(view).patch(modify).delete(remove))
        .route("/guilds/{guild_id}/preview", get(preview))
        .route("/guilds/{guild_id}/regions", get(nothing))
        .route("/guilds/{guild_id}/emojis", get(nothing))
        .route("/guilds/{guild_id}/stickers", get(nothing))
        .route("/guilds/{guild_id}/scheduled-events", get(nothing))
        .route("/guilds/{guild_id}/soundboard-sounds", get(no_sounds))
        .route("/guilds/{guild_id}/threads/active", get(no_threads))
        .route("/guilds/{guild_id}/webhooks", get(no_webhooks))
        .route("/guilds/{guild_id}/invites", get(no_invites))
        .route("/guilds/{guild_id}/integrations", get(no_invites))
}

async fn create(State(context): State<Context>, caller: Caller, Json(body): Json) -> Answer {
    let name = form::read(&body, |fields, errors| {
        fields.required_text("name", GUILD_NAME_MAX, errors)
    })?;
    let view = guild::create_guild(
        context.chat(),
        &caller.account.user,
        &name.unwrap_or_default(),
    )
    .await?;
    created(&view)
}

async fn view(
    State(context): State<Context>,
    caller: Caller,
    path: Arguments,
    query: Query,
) -> Answer {
    let with_counts = query.flag("with_counts");
    ok(&guild::guild_view(context.chat(), caller.actor(), path.guild()?, with_counts).await?)
}

async fn preview(State(context): State<Context>, caller: Caller, path: Arguments) -> Answer {
    let view = guild::guild_view(context.chat(), caller.actor(), path.guild()?, true).await?;
    ok(&json!({
        "id": view.guild.id,
        "name": view.guild.name,
        "icon": view.guild.icon,
        "splash": view.guild.splash,
        "discovery_splash": view.guild.discovery_splash,
        "home_header": view.guild.home_header,
        "emojis": view.emojis,
        "features": view.guild.features,
        "approximate_member_count": view.approximate_member_count,
        "approximate_presence_count": view.approximate_presence_count,
        "description": view.guild.description,
        "stickers": view.stickers,
    }))
}

async fn modify(
    State(context): State<Context>,
    caller: Caller,
    path: Arguments,
    Json(body): Json,
) -> Answer {
    let guild = path.guild()?;
    let patch = form::read(&body, patch)?;
    ok(&guild::modify_guild(context.chat(), caller.actor(), guild, patch).await?)
}

/// Reads "Modify Guild".
fn patch(fields: &Fields<'_>, errors: &mut FormErrors) -> GuildPatch {
    if fields.get("icon").is_some() {
        errors.push(
            fields.at("icon"),
            "IMAGE_INVALID",
            "Images of guilds cannot be set here.",
        );
    }
    GuildPatch {
        name: fields.text("name", GUILD_NAME_MIN, GUILD_NAME_MAX, errors),
        icon: fields.has("icon").then_some(None),
        description: nullable(fields, "description", || {
            fields.text("description", 0, GUILD_DESCRIPTION_MAX, errors)
        }),
        owner_id: fields.snowflake("owner_id", errors),
        verification_level: number(fields, "verification_level", (0, 4), errors),
        default_message_notifications: number(
            fields,
            "default_message_notifications",
            (0, 1),
            errors,
        ),
        explicit_content_filter: number(fields, "explicit_content_filter", (0, 2), errors),
        afk_channel_id: nullable(fields, "afk_channel_id", || {
            fields.snowflake("afk_channel_id", errors)
        }),
        afk_timeout: form::choice(fields, "afk_timeout", &AFK_TIMEOUTS, errors),
        system_channel_id: nullable(fields, "system_channel_id", || {
            fields.snowflake("system_channel_id", errors)
        }),
        system_channel_flags: number(fields, "system_channel_flags", (0, 0xff), errors),
        rules_channel_id: nullable(fields, "rules_channel_id", || {
            fields.snowflake("rules_channel_id", errors)
        }),
        public_updates_channel_id: nullable(fields, "public_updates_channel_id", || {
            fields.snowflake("public_updates_channel_id", errors)
        }),
        safety_alerts_channel_id: nullable(fields, "safety_alerts_channel_id", || {
            fields.snowflake("safety_alerts_channel_id", errors)
        }),
        preferred_locale: fields.text("preferred_locale", 2, LOCALE_MAX, errors),
        premium_progress_bar_enabled: fields.boolean("premium_progress_bar_enabled", errors),
    }
}

async fn remove(State(context): State<Context>, caller: Caller, path: Arguments) -> Answer {
    guild::delete_guild(context.chat(), caller.actor(), path.guild()?).await?;
    no_content()
}

/// A list that is always empty, for members.
async fn nothing(State(context): State<Context>, caller: Caller, path: Arguments) -> Answer {
    guild::guild_access(
        context.chat(),
        caller.actor(),
        path.guild()?,
        Permissions::empty(),
    )
    .await?;
    ok(&json!([]))
}

async fn no_sounds(State(context): State<Context>, caller: Caller, path: Arguments) -> Answer {
    guild::guild_access(
        context.chat(),
        caller.actor(),
        path.guild()?,
        Permissions::empty(),
    )
    .await?;
    ok(&json!({"items": []}))
}

async fn no_threads(State(context): State<Context>, caller: Caller, path: Arguments) -> Answer {
    guild::guild_access(
        context.chat(),
        caller.actor(),
        path.guild()?,
        Permissions::empty(),
    )
    .await?;
    ok(&json!({"threads": [], "members": [], "has_more": false}))
}

async fn no_webhooks(State(context): State<Context>, caller: Caller, path: Arguments) -> Answer {
    guild::guild_access(
        context.chat(),
        caller.actor(),
        path.guild()?,
        Permissions::MANAGE_WEBHOOKS,
    )
    .await?;
    ok(&json!([]))
}

async fn no_invites(State(context): State<Context>, caller: Caller, path: Arguments) -> Answer {
    guild::guild_access(
        context.chat(),
        caller.actor(),
        path.guild()?,
        Permissions::MANAGE_GUILD,
    )
    .await?;
    ok(&json!([]))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_patch_tells_absent_from_null() {
        let body = json!({"name": "New", "description": null, "afk_timeout": 300, "owner_id": 7});
        let patch = form::read(&body, patch).unwrap();
        assert_eq!(patch.name.as_deref(), Some("New"));
        assert_eq!(patch.description, Some(None));
        assert_eq!(patch.system_channel_id, None);
        assert_eq!(patch.owner_id, Some(model::Id::new(7)));
    }

    #[test]
    fn all_faults_are_found_at_once() {
        let body = json!({"name": "x", "afk_timeout": 7, "verification_level": 9, "icon": "data:image/png;base64,"});
        let mut errors = FormErrors::new();
        let fields = Fields::of(&body, "", &mut errors).unwrap();
        patch(&fields, &mut errors);
        let faults = errors.to_json();
        for key in ["name", "afk_timeout", "verification_level", "icon"] {
            assert!(faults.get(key).is_some(), "{key}: {faults}");
        }
    }
}
