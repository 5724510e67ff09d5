//! Roles (Discord docs, Guild Resource and Permissions, "Role Object").

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use chat::guild;
use chat::guild::command::RolePatch;
use model::RoleId;
use model::form::{Fields, FormErrors, check_list};
use model::limits::{ROLE_NAME_MAX, ROLES_MAX};
use model::role::RoleColors;
use serde_json::Value;

use super::{Answer, no_content, ok};
use crate::body::Json;
use crate::context::Context;
use crate::error::{ApiError, Result};
use crate::form::{self, nullable, number};
use crate::path::Arguments;
use crate::token::Caller;

/// Greatest colour.
const COLOR_MAX: i64 = 0xff_ff_ff;
/// Longest emoji, in characters: flags and families are sequences.
const EMOJI_MAX: usize = 32;

pub(super) fn routes() -> Router<Context> {
    Router::new()
        .route(
            "/guilds/{guild_id}/roles",
            get(list).post(create).patch(reorder),
        )
        .route(
            "/guilds/{guild_id}/roles/{role_id}",
            get(view).patch(modify).delete(remove),
        )
}

async fn list(State(context): State<Context>, caller: Caller, path: Arguments) -> Answer {
    ok(&guild::roles(context.chat(), caller.actor(), path.guild()?).await?)
}

async fn view(State(context): State<Context>, caller: Caller, path: Arguments) -> Answer {
    ok(&guild::role(context.chat(), caller.actor(), path.guild()?, path.role()?).await?)
}

async fn create(
    State(context): State<Context>,
    caller: Caller,
    path: Arguments,
    Json(body): Json,
) -> Answer {
    let guild = path.guild()?;
    let patch = form::read(&body, patch)?;
    ok(&guild::create_role(context.chat(), caller.actor(), guild, patch).await?)
}

async fn modify(
    State(context): State<Context>,
    caller: Caller,
    path: Arguments,
    Json(body): Json,
) -> Answer {
    let (guild, role) = (path.guild()?, path.role()?);
    let patch = form::read(&body, patch)?;
    ok(&guild::modify_role(context.chat(), caller.actor(), guild, role, patch).await?)
}

/// Reads "Create Guild Role" and "Modify Guild Role".
fn patch(fields: &Fields<'_>, errors: &mut FormErrors) -> RolePatch {
    let colors = fields.object("colors", errors).map(|colors| RoleColors {
        primary_color: number(&colors, "primary_color", (0, COLOR_MAX), errors).unwrap_or(0),
        secondary_color: number(&colors, "secondary_color", (0, COLOR_MAX), errors),
        tertiary_color: number(&colors, "tertiary_color", (0, COLOR_MAX), errors),
    });
    if fields.get("icon").is_some() {
        errors.push(
            fields.at("icon"),
            "IMAGE_INVALID",
            "Images of roles cannot be set here.",
        );
    }
    RolePatch {
        name: fields
            .text("name", 0, ROLE_NAME_MAX, errors)
            .filter(|name| !name.trim().is_empty()),
        permissions: form::permissions(fields, "permissions", errors),
        color: number(fields, "color", (0, COLOR_MAX), errors),
        colors,
        hoist: fields.boolean("hoist", errors),
        mentionable: fields.boolean("mentionable", errors),
        unicode_emoji: nullable(fields, "unicode_emoji", || {
            fields.text("unicode_emoji", 0, EMOJI_MAX, errors)
        }),
    }
}

async fn reorder(
    State(context): State<Context>,
    caller: Caller,
    path: Arguments,
    Json(body): Json,
) -> Answer {
    let guild = path.guild()?;
    let moves = moves(&body)?;
    ok(&guild::move_roles(context.chat(), caller.actor(), guild, moves).await?)
}

/// Reads `[{"id": …, "position": …}]`; an entry without a position moves nothing.
fn moves(body: &Value) -> Result<Vec<(RoleId, u32)>> {
    let mut errors = FormErrors::new();
    let mut moves = Vec::new();
    for (index, entry) in check_list(body, "", ROLES_MAX, &mut errors)
        .unwrap_or_default()
        .iter()
        .enumerate()
    {
        let Some(fields) = Fields::of(entry, index.to_string(), &mut errors) else {
            continue;
        };
        let id = fields.snowflake("id", &mut errors);
        if fields.get("id").is_none() {
            fields.require("id", &mut errors);
        }
        let position = number(&fields, "position", (0, ROLES_MAX as i64 * 4), &mut errors);
        moves.extend(id.zip(position));
    }
    if errors.is_empty() {
        Ok(moves)
    } else {
        Err(ApiError::form(&errors))
    }
}

async fn remove(State(context): State<Context>, caller: Caller, path: Arguments) -> Answer {
    guild::delete_role(context.chat(), caller.actor(), path.guild()?, path.role()?).await?;
    no_content()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use model::permissions::Permissions;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_role_is_read_with_both_forms_of_colour_and_permissions() {
        let body = json!({"name": "Mods", "permissions": "8192", "color": 255, "colors": {"primary_color": 7}});
        let read = form::read(&body, patch).unwrap();
        assert_eq!(read.permissions, Some(Permissions::MANAGE_MESSAGES));
        assert_eq!(
            (read.color, read.colors.unwrap().primary_color),
            (Some(255), 7)
        );
        assert!(form::read(&json!({"color": 0x0100_0000}), patch).is_err());
        assert!(form::read(&json!({"name": "x".repeat(101)}), patch).is_err());
    }

    #[test]
    fn moves_need_an_id() {
        let read =
            moves(&json!([{"id": "7", "position": 2}, {"id": 8}, {"id": 9, "position": null}]))
                .unwrap();
        assert_eq!(read, vec![(model::Id::new(7), 2)]);
        assert!(moves(&json!([{"position": 1}])).is_err());
        assert!(moves(&json!({})).is_err());
    }
}
