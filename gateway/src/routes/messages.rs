//! Messages (Discord docs, Message Resource).

use axum::Router;
use axum::extract::{Request, State};
use axum::routing::{get, post};
use chat::history::{self, Page};
use chat::{ChatError, guild};
use model::form::{Fields, FormErrors};
use model::limits::{BULK_DELETE_MAX, MESSAGES_DEFAULT, MESSAGES_PAGE_MAX};
use model::message::Message;
use model::permissions::Permissions;

use self::draft::{draft, patch};
use super::{Answer, no_content, ok};
use crate::body::{self, Json, Kind};
use crate::context::Context;
use crate::error::{ApiError, Result};
use crate::form;
use crate::multipart::{self, FilesGuard, Upload};
use crate::path::Arguments;
use crate::query::Query;
use crate::token::Caller;

mod draft;

pub(super) fn routes() -> Router<Context> {
    Router::new()
        .route("/channels/{channel_id}/messages", get(list).post(create))
        .route(
            "/channels/{channel_id}/messages/bulk-delete",
            post(bulk_delete),
        )
        .route(
            "/channels/{channel_id}/messages/{message_id}",
            get(view).patch(modify).delete(remove),
        )
}

async fn list(
    State(context): State<Context>,
    caller: Caller,
    path: Arguments,
    query: Query,
) -> Answer {
    let channel = path.channel()?;
    let mut errors = FormErrors::new();
    let limit = query.number(
        "limit",
        MESSAGES_DEFAULT,
        (1, MESSAGES_PAGE_MAX),
        &mut errors,
    );
    let around = query.id("around", &mut errors);
    let before = query.id("before", &mut errors);
    // `after=0` means from the beginning, which is after the smallest id there is.
    let after = if query.text("after") == Some("0") {
        Some(model::Id::new(1))
    } else {
        query.id("after", &mut errors)
    };
    errors.into_result()?;
    let page = match (around, before, after) {
        (Some(around), _, _) => Page::Around(around),
        (None, Some(before), _) => Page::Before(before),
        (None, None, Some(after)) => Page::After(after),
        (None, None, None) => Page::Latest,
    };
    let found = history::messages(context.chat(), caller.actor(), channel, page, limit).await?;
    let seen = found.into_iter().map(|message| caller.sees(message));
    ok(&seen.collect::<Vec<_>>())
}

async fn view(State(context): State<Context>, caller: Caller, path: Arguments) -> Answer {
    let (channel, message) = (path.channel()?, path.message()?);
    let found = history::message(context.chat(), caller.actor(), channel, message).await?;
    ok(&caller.sees(found))
}

async fn create(
    State(context): State<Context>,
    caller: Caller,
    path: Arguments,
    request: Request,
) -> Answer {
    let channel = path.channel()?;
    let needs = Permissions::VIEW_CHANNEL | Permissions::SEND_MESSAGES;
    let mut upload = read(&context, &caller, channel, needs, request).await?;
    let draft = draft(channel, &upload)?;
    let posted = guild::post_message(context.chat(), caller.actor(), channel, draft).await;
    settle(&mut upload.guard, &posted);
    ok(&posted?)
}

async fn modify(
    State(context): State<Context>,
    caller: Caller,
    path: Arguments,
    request: Request,
) -> Answer {
    let (channel, message) = (path.channel()?, path.message()?);
    let mut upload = read(
        &context,
        &caller,
        channel,
        Permissions::VIEW_CHANNEL,
        request,
    )
    .await?;
    // Which files stay, and what a name in an embed means, can only be said by one who knows which
    // files there are.
    let names_files = ["attachments", "embeds", "embed"]
        .iter()
        .any(|key| upload.payload.get(key).is_some());
    let existing = if names_files || !upload.files.is_empty() {
        history::parts(context.chat(), caller.actor(), channel, message).await?
    } else {
        history::Parts::default()
    };
    let patch = patch(&upload, &existing, &context.chat().config().public_url)?;
    let edited = guild::edit_message(context.chat(), caller.actor(), channel, message, patch).await;
    settle(&mut upload.guard, &edited);
    // A moderator may hide the embeds of what another wrote.
    ok(&caller.sees(edited?))
}

/// Reads JSON or an upload. Files are only taken from those who may send them.
async fn read(
    context: &Context,
    caller: &Caller,
    channel: model::ChannelId,
    needs: Permissions,
    request: Request,
) -> Result<Upload> {
    let (parts, body) = request.into_parts();
    match body::kind(&parts.headers)? {
        Kind::Json => {
            let payload = body::read_json(&parts.headers, body).await?;
            Ok(Upload {
                payload,
                files: Vec::new(),
                guard: FilesGuard::empty(),
            })
        }
        Kind::Multipart(boundary) => {
            let needs = needs | Permissions::ATTACH_FILES;
            guild::access(context.chat(), caller.actor(), channel, needs).await?;
            multipart::read(context.chat(), channel, boundary, body).await
        }
    }
}

/// Keeps the files of a message that was made; all of them when that is not known.
fn settle(guard: &mut FilesGuard, outcome: &chat::error::Result<Message>) {
    match outcome {
        Ok(message) => guard.keep(message),
        Err(ChatError::Unknown(_)) => guard.keep_all(),
        Err(_) => {}
    }
}

async fn remove(State(context): State<Context>, caller: Caller, path: Arguments) -> Answer {
    guild::delete_message(
        context.chat(),
        caller.actor(),
        path.channel()?,
        path.message()?,
    )
    .await?;
    no_content()
}

async fn bulk_delete(
    State(context): State<Context>,
    caller: Caller,
    path: Arguments,
    Json(body): Json,
) -> Answer {
    let channel = path.channel()?;
    let messages = form::read(&body, bulk_messages)?;
    if messages.len() > BULK_DELETE_MAX {
        return Err(chat::error::Refusal::BulkCount.into());
    }
    guild::bulk_delete(context.chat(), caller.actor(), channel, messages)
        .await
        .map_err(ApiError::from)?;
    no_content()
}

fn bulk_messages(fields: &Fields<'_>, errors: &mut FormErrors) -> Vec<model::MessageId> {
    if fields.get("messages").is_none() {
        fields.require("messages", errors);
    }
    // One more than allowed, so that the count gets its own code; the guild judges the rest.
    form::ids(fields, "messages", BULK_DELETE_MAX * 10, errors).unwrap_or_default()
}
