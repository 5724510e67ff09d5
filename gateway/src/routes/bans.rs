//! Bans (Discord docs, Guild Resource, "Ban Object").

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use chat::guild;
use model::UserId;
use model::form::FormErrors;
use model::limits::{AUDIT_REASON_MAX, BAN_DELETE_MESSAGE_SECONDS_MAX, BANS_PAGE_MAX};
use model::permissions::Permissions;
use percent_encoding::percent_decode;
use serde_json::json;

use super::{Answer, no_content, ok};
use crate::body::Json;
use crate::context::Context;
use crate::error::{ApiError, Result};
use crate::form;
use crate::path::Arguments;
use crate::query::Query;
use crate::token::Caller;

/// Users of one bulk ban (Discord docs, Guild Resource, "Bulk Guild Ban").
const BULK_MAX: usize = 200;
/// Days in the older form of `delete_message_seconds`.
const DAYS_MAX: i64 = 7;
const DAY_SECONDS: u64 = 24 * 60 * 60;

pub(super) fn routes() -> Router<Context> {
    Router::new()
        .route("/guilds/{guild_id}/bans", get(list))
        .route(
            "/guilds/{guild_id}/bans/{user_id}",
            get(view).put(ban).delete(unban),
        )
        .route("/guilds/{guild_id}/bulk-ban", post(bulk_ban))
}

async fn list(
    State(context): State<Context>,
    caller: Caller,
    path: Arguments,
    query: Query,
) -> Answer {
    let guild = path.guild()?;
    let mut errors = FormErrors::new();
    let limit = query.number("limit", BANS_PAGE_MAX, (1, BANS_PAGE_MAX), &mut errors);
    let before = query.id("before", &mut errors);
    let after = query.id("after", &mut errors);
    errors.into_result()?;
    ok(&guild::bans(context.chat(), caller.actor(), guild, before, after, limit).await?)
}

async fn view(State(context): State<Context>, caller: Caller, path: Arguments) -> Answer {
    ok(&guild::get_ban(context.chat(), caller.actor(), path.guild()?, path.user()?).await?)
}

async fn ban(
    State(context): State<Context>,
    caller: Caller,
    path: Arguments,
    headers: HeaderMap,
    Json(body): Json,
) -> Answer {
    let (guild, user) = (path.guild()?, path.user()?);
    let (seconds, reason) = form::read(&body, |fields, errors| {
        let max = i64::from(BAN_DELETE_MESSAGE_SECONDS_MAX);
        let seconds = form::number::<u64>(fields, "delete_message_seconds", (0, max), errors);
        let days = form::number::<u64>(fields, "delete_message_days", (0, DAYS_MAX), errors);
        let seconds = seconds.or(days.map(|days| days * DAY_SECONDS)).unwrap_or(0);
        (seconds, fields.text("reason", 0, AUDIT_REASON_MAX, errors))
    })?;
    let reason = audit_reason(&headers)?.or(reason);
    guild::ban(context.chat(), caller.actor(), guild, user, reason, seconds).await?;
    no_content()
}

/// `X-Audit-Log-Reason`, percent-decoded; libraries encode what a header cannot carry.
fn audit_reason(headers: &HeaderMap) -> Result<Option<String>> {
    let Some(value) = headers.get("x-audit-log-reason") else {
        return Ok(None);
    };
    let reason = percent_decode(value.as_bytes())
        .decode_utf8_lossy()
        .into_owned();
    if reason.chars().count() > AUDIT_REASON_MAX {
        let message = format!("Must be {AUDIT_REASON_MAX} or fewer in length.");
        return Err(ApiError::field("reason", "BASE_TYPE_MAX_LENGTH", message));
    }
    Ok(Some(reason).filter(|reason| !reason.is_empty()))
}

async fn unban(State(context): State<Context>, caller: Caller, path: Arguments) -> Answer {
    guild::unban(context.chat(), caller.actor(), path.guild()?, path.user()?).await?;
    no_content()
}

async fn bulk_ban(
    State(context): State<Context>,
    caller: Caller,
    path: Arguments,
    headers: HeaderMap,
    Json(body): Json,
) -> Answer {
    let guild = path.guild()?;
    let (users, seconds) = form::read(&body, |fields, errors| {
        let users =
            form::ids::<model::id::marker::UserMarker>(fields, "user_ids", BULK_MAX, errors);
        if users.is_none() && fields.get("user_ids").is_none() {
            fields.require("user_ids", errors);
        }
        let max = i64::from(BAN_DELETE_MESSAGE_SECONDS_MAX);
        let seconds = form::number::<u64>(fields, "delete_message_seconds", (0, max), errors);
        (users.unwrap_or_default(), seconds.unwrap_or(0))
    })?;
    let reason = audit_reason(&headers)?;
    let chat = context.chat();
    let needs = Permissions::BAN_MEMBERS | Permissions::MANAGE_GUILD;
    guild::guild_access(chat, caller.actor(), guild, needs).await?;
    let (mut banned, mut failed): (Vec<UserId>, Vec<UserId>) = (Vec::new(), Vec::new());
    for user in users {
        match guild::ban(chat, caller.actor(), guild, user, reason.clone(), seconds).await {
            Ok(()) => banned.push(user),
            Err(_) => failed.push(user),
        }
    }
    if banned.is_empty() {
        return Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            500_000,
            "Failed to ban users",
        ));
    }
    ok(&json!({"banned_users": banned, "failed_users": failed}))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn reasons_are_decoded_and_bounded() {
        let with = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-audit-log-reason", HeaderValue::from_str(text).unwrap());
            audit_reason(&headers)
        };
        assert_eq!(audit_reason(&HeaderMap::new()).unwrap(), None);
        assert_eq!(with("sp%C3%A4m").unwrap().as_deref(), Some("späm"));
        assert_eq!(with("").unwrap(), None);
        assert!(with(&"x".repeat(512)).is_ok());
        assert!(with(&"x".repeat(513)).is_err());
    }
}
