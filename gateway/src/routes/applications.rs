//! The application of a bot (Discord docs, Application Resource).

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use chat::guild;
use model::ApplicationId;
use model::application::Application;
use model::user::User;
use serde_json::{Value, json};

use super::{Answer, ok};
use crate::context::Context;
use crate::error::{ApiError, Result};
use crate::path::Arguments;
use crate::token::Caller;

pub(super) fn routes() -> Router<Context> {
    Router::new()
        .route("/applications/@me", get(current))
        .route("/oauth2/applications/@me", get(current))
        .route("/applications/{application_id}/commands", get(commands))
        .route(
            "/applications/{application_id}/guilds/{guild_id}/commands",
            get(commands),
        )
}

async fn current(State(context): State<Context>, caller: Caller) -> Answer {
    let application = own(&caller)?;
    let guilds = guild::count_of(context.chat(), caller.id()).await?;
    ok(&view(application, &caller.account.user, guilds))
}

/// Commands of an application: none can be registered, and libraries ask when they start.
async fn commands(caller: Caller, path: Arguments) -> Answer {
    let asked: ApplicationId = path.id("application_id")?;
    if own(&caller)?.id != asked {
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            20_012,
            "You are not authorized to perform this action on this application",
        ));
    }
    ok(&json!([]))
}

/// The application of a bot.
///
/// # Errors
/// 20002 for people.
pub(super) fn own(caller: &Caller) -> Result<&Application> {
    caller.account.application.as_ref().ok_or_else(|| {
        ApiError::new(
            StatusCode::FORBIDDEN,
            20_002,
            "Only bots can use this endpoint",
        )
    })
}

/// The whole object, of a bot in so many guilds. What nothing here sets is `null` or empty, or left
/// out where it cannot be that.
fn view(application: &Application, bot: &User, guilds: usize) -> Value {
    json!({
        "id": application.id,
        "name": application.name,
        "icon": null,
        "description": application.description,
        "summary": "",
        "type": null,
        "bot": bot,
        "rpc_origins": [],
        "bot_public": true,
        "bot_require_code_grant": false,
        "integration_types_config": {"0": {}},
        "verify_key": "0".repeat(64),
        "flags": application.flags,
        "flags_new": application.flags.to_string(),
        "max_participants": null,
        "tags": [],
        "redirect_uris": [],
        "interactions_endpoint_url": null,
        "role_connections_verification_url": null,
        "event_webhooks_url": null,
        "event_webhooks_status": 1,
        "event_webhooks_types": [],
        "explicit_content_filter": 0,
        "approximate_guild_count": guilds,
        "approximate_user_install_count": 0,
        "approximate_user_authorization_count": 0,
        "eligible_oauth2_scopes": [],
        "owner": bot,
        "team": null,
        "hook": true,
        "is_monetized": false,
        "storefront_available": false,
    })
}
