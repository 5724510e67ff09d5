//! Members of a guild (Discord docs, Guild Resource, "Guild Member Object").

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use axum::routing::{get, patch, put};
use chat::error::Missing;
use chat::guild;
use chat::guild::command::MemberPatch;
use chat::{ChatError, accounts};
use model::application::flags::GATEWAY_GUILD_MEMBERS_LIMITED;
use model::form::{Fields, FormErrors};
use model::limits::{MEMBERS_PAGE_MAX, NICK_MAX, ROLES_MAX};
use model::permissions::Permissions;
use serde_json::json;

use super::{Answer, created, no_content, ok};
use crate::body::Json;
use crate::context::Context;
use crate::error::ApiError;
use crate::form::{self, instant, nullable, number};
use crate::path::Arguments;
use crate::query::Query;
use crate::token::Caller;

pub(super) fn routes() -> Router<Context> {
    Router::new()
        .route("/guilds/{guild_id}/members", get(list))
        .route("/guilds/{guild_id}/members/search", get(search))
        .route("/guilds/{guild_id}/members/@me", patch(modify_own))
        .route(
            "/guilds/{guild_id}/members/@me/nick",
            patch(modify_own_nick),
        )
        .route(
            "/guilds/{guild_id}/members/{user_id}",
            get(view).put(add).patch(modify).delete(kick),
        )
        .route(
            "/guilds/{guild_id}/members/{user_id}/roles/{role_id}",
            put(add_role).delete(remove_role),
        )
}

/// All members: a bot needs the privileged intent for it (Discord docs, "List Guild Members").
async fn list(
    State(context): State<Context>,
    caller: Caller,
    path: Arguments,
    query: Query,
) -> Answer {
    let guild = path.guild()?;
    let mut errors = FormErrors::new();
    let limit = query.number("limit", 1, (1, MEMBERS_PAGE_MAX), &mut errors);
    let after = query.id("after", &mut errors);
    errors.into_result()?;
    let flags = caller
        .account
        .application
        .as_ref()
        .map(|application| application.flags);
    if flags.is_some_and(|flags| flags & GATEWAY_GUILD_MEMBERS_LIMITED == 0) {
        return Err(ChatError::MissingAccess.into());
    }
    ok(&guild::members(context.chat(), caller.actor(), guild, after, limit).await?)
}

async fn search(
    State(context): State<Context>,
    caller: Caller,
    path: Arguments,
    query: Query,
) -> Answer {
    let guild = path.guild()?;
    let mut errors = FormErrors::new();
    let limit = query.number("limit", 1, (1, MEMBERS_PAGE_MAX), &mut errors);
    let text = query.text("query").unwrap_or_default().to_owned();
    if text.is_empty() {
        errors.push("query", "BASE_TYPE_REQUIRED", "This field is required");
    }
    errors.into_result()?;
    ok(&guild::search_members(context.chat(), caller.actor(), guild, text, limit).await?)
}

async fn view(State(context): State<Context>, caller: Caller, path: Arguments) -> Answer {
    ok(&guild::member(context.chat(), caller.actor(), path.guild()?, path.user()?).await?)
}

/// 201 with the member, 204 when it was one already (Discord docs, "Add Guild Member"). Only a bot
/// that may invite asks for it, and nobody is pulled in: `access_token` proves that the user agreed.
/// Any token of that user does, since there are no tokens for one application here. Nickname and
/// roles of the body are ignored.
async fn add(
    State(context): State<Context>,
    caller: Caller,
    path: Arguments,
    Json(body): Json,
) -> Answer {
    let (guild, user) = (path.guild()?, path.user()?);
    super::applications::own(&caller)?;
    let token = form::read(&body, access_token)?;
    let needs = Permissions::CREATE_INVITE;
    guild::guild_access(context.chat(), caller.actor(), guild, needs).await?;
    match accounts::authenticate(context.chat(), &token).await {
        Ok(account) if account.user.id == user => {}
        Ok(_) | Err(ChatError::Unauthorized) => {
            return Err(ApiError::new(
                StatusCode::FORBIDDEN,
                50_025,
                "Invalid OAuth2 access token",
            ));
        }
        Err(error) => return Err(error.into()),
    }
    match guild::member(context.chat(), caller.actor(), guild, user).await {
        Ok(_) => no_content(),
        Err(ChatError::NotFound(Missing::Member)) => {
            created(&guild::add_member(context.chat(), caller.actor(), guild, user).await?)
        }
        Err(error) => Err(error.into()),
    }
}

fn access_token(fields: &Fields<'_>, errors: &mut FormErrors) -> String {
    let token = fields.required_text("access_token", accounts::TOKEN_BYTES_MAX, errors);
    token.unwrap_or_default()
}

async fn modify(
    State(context): State<Context>,
    caller: Caller,
    path: Arguments,
    Json(body): Json,
) -> Answer {
    let (guild, user) = (path.guild()?, path.user()?);
    let patch = form::read(&body, changes)?;
    ok(&guild::modify_member(context.chat(), caller.actor(), guild, user, patch).await?)
}

/// Reads "Modify Guild Member". An empty nickname unsets it; `channel_id` (voice) is ignored.
fn changes(fields: &Fields<'_>, errors: &mut FormErrors) -> MemberPatch {
    let roles = if fields.has("roles") && fields.get("roles").is_none() {
        Some(Vec::new())
    } else {
        form::ids(fields, "roles", ROLES_MAX, errors)
    };
    MemberPatch {
        nick: nick(fields, errors),
        roles,
        communication_disabled_until: nullable(fields, "communication_disabled_until", || {
            instant(fields, "communication_disabled_until", errors)
        }),
        mute: fields.boolean("mute", errors),
        deaf: fields.boolean("deaf", errors),
        flags: number(fields, "flags", (0, i64::from(u32::MAX)), errors),
    }
}

fn nick(fields: &Fields<'_>, errors: &mut FormErrors) -> Option<Option<String>> {
    let nick = nullable(fields, "nick", || fields.text("nick", 0, NICK_MAX, errors));
    nick.map(|nick| nick.filter(|nick| !nick.trim().is_empty()))
}

async fn modify_own(
    State(context): State<Context>,
    caller: Caller,
    path: Arguments,
    Json(body): Json,
) -> Answer {
    let guild = path.guild()?;
    let nick = form::read(&body, nick)?;
    let patch = MemberPatch {
        nick,
        ..MemberPatch::default()
    };
    ok(&guild::modify_member(context.chat(), caller.actor(), guild, caller.id(), patch).await?)
}

/// The older route, which answers the nickname alone.
async fn modify_own_nick(
    State(context): State<Context>,
    caller: Caller,
    path: Arguments,
    Json(body): Json,
) -> Answer {
    let guild = path.guild()?;
    let nick = form::read(&body, nick)?;
    let patch = MemberPatch {
        nick,
        ..MemberPatch::default()
    };
    let member =
        guild::modify_member(context.chat(), caller.actor(), guild, caller.id(), patch).await?;
    ok(&json!({"nick": json!(member)["nick"]}))
}

async fn add_role(State(context): State<Context>, caller: Caller, path: Arguments) -> Answer {
    let (guild, user, role) = (path.guild()?, path.user()?, path.role()?);
    guild::add_member_role(context.chat(), caller.actor(), guild, user, role).await?;
    no_content()
}

async fn remove_role(State(context): State<Context>, caller: Caller, path: Arguments) -> Answer {
    let (guild, user, role) = (path.guild()?, path.user()?, path.role()?);
    guild::remove_member_role(context.chat(), caller.actor(), guild, user, role).await?;
    no_content()
}

async fn kick(State(context): State<Context>, caller: Caller, path: Arguments) -> Answer {
    guild::kick(context.chat(), caller.actor(), path.guild()?, path.user()?).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_empty_nickname_unsets_it_and_no_roles_are_no_roles() {
        let read = |body| form::read(&body, changes).unwrap();
        assert_eq!(read(json!({"nick": ""})).nick, Some(None));
        assert_eq!(read(json!({"nick": null})).nick, Some(None));
        assert_eq!(read(json!({})).nick, None);
        assert_eq!(read(json!({"roles": null})).roles, Some(Vec::new()));
        assert_eq!(read(json!({})).roles, None);
        assert_eq!(read(json!({"roles": ["7", 7, 8]})).roles.unwrap().len(), 2);
        let until = read(json!({"communication_disabled_until": "2026-11-23T00:00:00.000Z"}));
        assert!(until.communication_disabled_until.unwrap().is_some());
        assert!(form::read(&json!({"communication_disabled_until": "soon"}), changes).is_err());
    }
}
