//! Permission overwrites of a channel (Discord docs, Channels Resource, "Edit Channel
//! Permissions").

use axum::Router;
use axum::extract::State;
use axum::routing::put;
use chat::guild;
use model::channel::Overwrite;
use model::form::{Fields, FormErrors};
use model::permissions::Permissions;
use serde_json::Value;

use super::{Answer, no_content};
use crate::body::Json;
use crate::context::Context;
use crate::form;
use crate::path::Arguments;
use crate::token::Caller;

pub(super) fn routes() -> Router<Context> {
    Router::new().route(
        "/channels/{channel_id}/permissions/{overwrite_id}",
        put(set).delete(remove),
    )
}

async fn set(
    State(context): State<Context>,
    caller: Caller,
    path: Arguments,
    Json(body): Json,
) -> Answer {
    let (channel, id) = (path.channel()?, path.id("overwrite_id")?);
    let (kind, allow, deny) = form::read(&body, read)?;
    let overwrite = Overwrite {
        id,
        kind: kind.unwrap_or(0),
        allow,
        deny,
    };
    guild::put_overwrite(context.chat(), caller.actor(), channel, overwrite).await?;
    no_content()
}

async fn remove(State(context): State<Context>, caller: Caller, path: Arguments) -> Answer {
    let (channel, id) = (path.channel()?, path.id("overwrite_id")?);
    guild::delete_overwrite(context.chat(), caller.actor(), channel, id).await?;
    no_content()
}

/// Reads kind (required), allow and deny.
fn read(fields: &Fields<'_>, errors: &mut FormErrors) -> (Option<u8>, Permissions, Permissions) {
    let kind = match fields.get("type") {
        None => {
            fields.require("type", errors);
            None
        }
        // As before API version 8.
        Some(Value::String(text)) if text == "role" => Some(0),
        Some(Value::String(text)) if text == "member" => Some(1),
        Some(_) => form::number(fields, "type", (0, 1), errors),
    };
    let allow = form::permissions(fields, "allow", errors).unwrap_or(Permissions::empty());
    let deny = form::permissions(fields, "deny", errors).unwrap_or(Permissions::empty());
    (kind, allow, deny)
}

/// Reads an entry of `permission_overwrites`.
pub(super) fn overwrite(entry: &Value, path: String, errors: &mut FormErrors) -> Option<Overwrite> {
    let fields = Fields::of(entry, path, errors)?;
    let id = fields.snowflake("id", errors);
    if fields.get("id").is_none() {
        fields.require("id", errors);
    }
    let (kind, allow, deny) = read(&fields, errors);
    Some(Overwrite {
        id: id?,
        kind: kind?,
        allow,
        deny,
    })
}
