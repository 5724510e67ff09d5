//! What a client says about a message, read into [`Draft`] and [`MessagePatch`] (Discord docs,
//! Message Resource, "Create Message" and "Edit Message").

use chat::error::Refusal;
use chat::files::safe_name;
use chat::history::Parts;
use model::attachment::Attachment;
use model::component::{self, Component};
use model::embed::{self, Embed};
use model::form::{Fields, FormErrors, join, read_snowflake};
use model::id::marker::AttachmentMarker;
use model::limits::{ATTACHMENT_DESCRIPTION_MAX, ATTACHMENTS_MAX, CONTENT_MAX, FILENAME_MAX};
use model::mentions::AllowedMentions;
use model::message::{Draft, MessagePatch, Nonce, flags};
use model::{ChannelId, Id, MessageId};
use serde_json::Value;

use crate::error::Result;
use crate::form;
use crate::multipart::Upload;

/// A new message.
///
/// # Errors
/// 50035 with every fault; 50006 when there is nothing in it.
pub(super) fn draft(channel: ChannelId, upload: &Upload) -> Result<Draft> {
    let draft = form::read(&upload.payload, |fields, errors| {
        let attachments = attachments(fields, upload, &[], errors).unwrap_or_default();
        let (reply_to, fail_if_not_exists) = reference(fields, channel, errors);
        let draft = Draft {
            content: content(fields, errors),
            tts: fields.boolean("tts", errors).unwrap_or(false),
            embeds: embeds(fields, &attachments, errors).unwrap_or_default(),
            components: components(fields, errors).unwrap_or_default(),
            attachments,
            nonce: take(Nonce::from_json(value(fields, "nonce"), "nonce"), errors).flatten(),
            enforce_nonce: fields.boolean("enforce_nonce", errors).unwrap_or(false),
            allowed_mentions: allowed_mentions(fields, errors),
            reply_to,
            fail_if_not_exists,
            flags: message_flags(fields, errors).unwrap_or(0),
        };
        if draft.flags & flags::IS_COMPONENTS_V2 != 0 {
            for (key, used) in [
                ("content", !draft.content.is_empty()),
                ("embeds", !draft.embeds.is_empty()),
            ] {
                if used {
                    let message = "This field cannot be used with the flag IS_COMPONENTS_V2.";
                    errors.push(
                        key,
                        "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2",
                        message,
                    );
                }
            }
        }
        if fields.get("poll").is_some() {
            errors.push(
                "poll",
                "UNSUPPORTED",
                "Polls are not supported by this server.",
            );
        }
        draft
    })?;
    if draft.is_empty() {
        return Err(Refusal::EmptyMessage.into());
    }
    Ok(draft)
}

/// Changes to a message; `existing` are its files and embeds now. A client knows the files by links
/// below `public_url`.
///
/// # Errors
/// 50035 with every fault.
pub(super) fn patch(upload: &Upload, existing: &Parts, public_url: &str) -> Result<MessagePatch> {
    form::read(&upload.payload, |fields, errors| {
        let mut attachments = attachments(fields, upload, &existing.attachments, errors);
        let files = attachments.as_deref().unwrap_or(&existing.attachments);
        let mut embeds = embeds(fields, files, errors);
        for (_, link) in embeds.iter_mut().flatten().flat_map(Embed::pictures_mut) {
            let is_old = |path: &&str| existing.attachments.iter().any(|file| file.url == *path);
            if let Some(path) = link.strip_prefix(public_url).filter(is_old) {
                *link = path.to_owned();
            }
        }
        if let Some(kept) = &mut attachments {
            keep_shown(kept, existing, embeds.as_ref().unwrap_or(&existing.embeds));
        }
        MessagePatch {
            content: fields.has("content").then(|| content(fields, errors)),
            embeds,
            components: components(fields, errors),
            attachments,
            flags: message_flags(fields, errors),
            allowed_mentions: allowed_mentions(fields, errors),
        }
    })
}

/// A file that an embed shows is not in the list a client sees, so it cannot name it: it stays for
/// as long as its embed does.
fn keep_shown(kept: &mut Vec<Attachment>, existing: &Parts, embeds: &[Embed]) {
    for file in &existing.attachments {
        let mut links = embeds.iter().flat_map(Embed::pictures);
        if links.any(|(_, link)| link == file.url) && kept.iter().all(|one| one.id != file.id) {
            kept.push(file.clone());
        }
    }
}

/// The text without blanks around it, as Discord keeps it.
fn content(fields: &Fields<'_>, errors: &mut FormErrors) -> String {
    let text = fields.text("content", 0, CONTENT_MAX, errors);
    text.map_or_else(String::new, |text| text.trim().to_owned())
}

/// `embeds`, or the single `embed` of older libraries, which may show `files`; `None` when neither
/// was sent.
fn embeds(
    fields: &Fields<'_>,
    files: &[Attachment],
    errors: &mut FormErrors,
) -> Option<Vec<Embed>> {
    let (path, read) = if fields.has("embeds") {
        let list = value(fields, "embeds");
        ("embeds", embed::validate(list, "embeds"))
    } else {
        let single = Value::Array(vec![fields.get("embed")?.clone()]);
        ("embed", embed::validate(&single, "embed"))
    };
    let mut embeds = take(read, errors)?;
    // The last one of a name is the newest.
    let link = |name: &str| {
        let named = |file: &&Attachment| file.filename == safe_name(name);
        files.iter().rev().find(named).map(|file| file.url.clone())
    };
    embed::resolve_files(&mut embeds, path, link, errors);
    Some(embeds)
}

fn components(fields: &Fields<'_>, errors: &mut FormErrors) -> Option<Vec<Component>> {
    fields.has("components").then(|| {
        take(
            component::validate(value(fields, "components"), "components"),
            errors,
        )
        .unwrap_or_default()
    })
}

fn allowed_mentions(fields: &Fields<'_>, errors: &mut FormErrors) -> Option<AllowedMentions> {
    let read = AllowedMentions::from_json(value(fields, "allowed_mentions"), "allowed_mentions");
    take(read, errors).flatten()
}

/// Flags a client may set; all others are ignored, as Discord does.
fn message_flags(fields: &Fields<'_>, errors: &mut FormErrors) -> Option<u64> {
    form::number::<u64>(fields, "flags", (0, i64::MAX), errors).map(|bits| bits & flags::SETTABLE)
}

/// What is answered, and whether it must be there.
fn reference(
    fields: &Fields<'_>,
    channel: ChannelId,
    errors: &mut FormErrors,
) -> (Option<MessageId>, bool) {
    let Some(reference) = fields.object("message_reference", errors) else {
        return (None, true);
    };
    // 1 is a forward.
    if form::number::<u8>(&reference, "type", (0, 1), errors) == Some(1) {
        errors.push(
            reference.at("type"),
            "UNSUPPORTED",
            "Forwards are not supported by this server.",
        );
    }
    let message = reference.snowflake("message_id", errors);
    if reference.get("message_id").is_none() {
        reference.require("message_id", errors);
    }
    let of: Option<ChannelId> = reference.snowflake("channel_id", errors);
    if of.is_some_and(|of| of != channel) {
        let why = "A reply must be in the channel of the message it answers.";
        errors.push(
            "message_reference",
            "REPLIES_CANNOT_REFERENCE_OTHER_CHANNEL",
            why,
        );
    }
    let fail = reference
        .boolean("fail_if_not_exists", errors)
        .unwrap_or(true);
    (message, fail)
}

/// The files a message has after the request; `None` when the request says nothing about files.
///
/// An entry of `attachments` names an uploaded file by its number or a file the message has by its
/// id. Uploaded files without an entry are added; existing ones without an entry go, unless no
/// list was sent at all.
fn attachments(
    fields: &Fields<'_>,
    upload: &Upload,
    existing: &[Attachment],
    errors: &mut FormErrors,
) -> Option<Vec<Attachment>> {
    let listed = fields.has("attachments");
    if !listed && upload.files.is_empty() {
        return None;
    }
    let mut kept = if listed {
        Vec::new()
    } else {
        existing.to_vec()
    };
    let mut described = Vec::new();
    let entries = fields
        .list("attachments", ATTACHMENTS_MAX, errors)
        .unwrap_or_default();
    for (index, entry) in entries.iter().enumerate() {
        let Some(entry) = Fields::of(entry, join("attachments", index), errors) else {
            continue;
        };
        let number = entry.get("id").and_then(number_of);
        let new = number.and_then(|number| upload.files.iter().find(|file| file.number == number));
        let old = entry
            .get("id")
            .and_then(read_snowflake)
            .and_then(|id: Id<AttachmentMarker>| existing.iter().find(|file| file.id == id));
        let Some(mut attachment) = new.map(|file| &file.attachment).or(old).cloned() else {
            errors.push(
                entry.at("id"),
                "ATTACHMENT_NOT_FOUND",
                "There is no file of this id.",
            );
            continue;
        };
        let description = entry.text("description", 0, ATTACHMENT_DESCRIPTION_MAX, errors);
        attachment.description = description
            .or(attachment.description)
            .filter(|text| !text.is_empty());
        // The name of a stored file is part of its place; only its length is judged here.
        entry.text("filename", 0, FILENAME_MAX, errors);
        described.extend(new.map(|file| file.number));
        kept.push(attachment);
    }
    let unlisted = upload
        .files
        .iter()
        .filter(|file| !described.contains(&file.number));
    kept.extend(unlisted.map(|file| file.attachment.clone()));
    if kept.len() > ATTACHMENTS_MAX {
        let message = format!("Must be {ATTACHMENTS_MAX} or fewer in length.");
        errors.push("attachments", "BASE_TYPE_MAX_LENGTH", message);
    }
    Some(kept)
}

/// The number of a file: 0 is one, so it is not read as an id.
fn number_of(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn value<'a>(fields: &Fields<'a>, key: &str) -> &'a Value {
    fields.get(key).unwrap_or(&Value::Null)
}

/// The value, or its faults added to `errors`.
fn take<T>(read: std::result::Result<T, FormErrors>, errors: &mut FormErrors) -> Option<T> {
    read.map_err(|faults| errors.merge(faults)).ok()
}

#[cfg(test)]
mod tests;
