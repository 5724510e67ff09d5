//! Reads: pages of messages, pins and reactions, joined with the people they name.
//!
//! A read asks the guild whether the reader may see the channel, then goes to the data service;
//! the guild never waits for a disk.

use std::collections::HashMap;

use model::attachment::Attachment;
use model::embed::Embed;
use model::emoji::ReactionEmoji;
use model::message::{Message, MessageRecord};
use model::permissions::Permissions;
use model::reaction::Reaction;
use model::user::User;
use model::{ChannelId, GuildId, Id, MessageId, Timestamp, UserId, time};
pub use storage::data_service::hot::HotChannel;
pub use storage::store::Page;
use storage::store::ReactionCount;

use crate::chat::Chat;
use crate::error::{ChatError, Missing, Result};
use crate::guild::{self, command::Actor};

/// Messages deleted in one step when a channel is gone.
const PURGE_STEP: usize = 1_000;

/// A page of a channel's history, newest first.
///
/// # Errors
/// [`ChatError::MissingAccess`] without VIEW_CHANNEL; without READ_MESSAGE_HISTORY the page is
/// empty, as Discord answers (docs, Message Resource, "Get Channel Messages").
pub async fn messages(
    chat: &Chat,
    actor: Actor,
    channel: ChannelId,
    page: Page,
    limit: usize,
) -> Result<Vec<Message>> {
    let allowed = guild::access(chat, actor, channel, Permissions::VIEW_CHANNEL).await?;
    if !allowed.contains(Permissions::READ_MESSAGE_HISTORY) {
        return Ok(Vec::new());
    }
    let history = chat.data().history(channel, page, limit).await?;
    let reader = reader_of(actor);
    let reactions = chat.data().reactions_on(channel, &history, reader).await?;
    joined(chat, &history.messages, reactions, &history.answered).await
}

/// One message.
///
/// # Errors
/// [`Missing::Message`], [`ChatError::MissingAccess`], [`ChatError::MissingPermissions`] without
/// READ_MESSAGE_HISTORY.
pub async fn message(
    chat: &Chat,
    actor: Actor,
    channel: ChannelId,
    id: MessageId,
) -> Result<Message> {
    let record = readable(chat, actor, channel, id).await?;
    let mut messages = hydrate(chat, channel, reader_of(actor), &[record]).await?;
    messages.pop().ok_or(ChatError::NotFound(Missing::Message))
}

/// The files of a message and the embeds that may show them, as they are stored: with links below
/// the public address, and with the files that only an embed shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parts {
    /// All its files.
    pub attachments: Vec<Attachment>,
    /// Its embeds.
    pub embeds: Vec<Embed>,
}

/// The [`Parts`] of a message.
///
/// # Errors
/// As [`message`].
pub async fn parts(chat: &Chat, actor: Actor, channel: ChannelId, id: MessageId) -> Result<Parts> {
    let record = readable(chat, actor, channel, id).await?;
    Ok(Parts {
        attachments: record.attachments,
        embeds: record.embeds,
    })
}

/// A message as it is stored, for one who may read it.
async fn readable(
    chat: &Chat,
    actor: Actor,
    channel: ChannelId,
    id: MessageId,
) -> Result<MessageRecord> {
    let needs = Permissions::VIEW_CHANNEL | Permissions::READ_MESSAGE_HISTORY;
    guild::access(chat, actor, channel, needs).await?;
    let record = chat.data().message(channel, id).await?;
    record.ok_or(ChatError::NotFound(Missing::Message))
}

/// Pinned messages with the time of the pin, last pinned first; the flag tells whether there are
/// more.
///
/// # Errors
/// [`ChatError::MissingAccess`]; without READ_MESSAGE_HISTORY the list is empty.
pub async fn pins(
    chat: &Chat,
    actor: Actor,
    channel: ChannelId,
    before: Option<Timestamp>,
    limit: usize,
) -> Result<(Vec<(Message, Timestamp)>, bool)> {
    let allowed = guild::access(chat, actor, channel, Permissions::VIEW_CHANNEL).await?;
    if !allowed.contains(Permissions::READ_MESSAGE_HISTORY) {
        return Ok((Vec::new(), false));
    }
    let mut rows = chat
        .data()
        .pins(channel, before.map(time::unix_ms), limit + 1)
        .await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let (records, times): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
    let messages = hydrate(chat, channel, reader_of(actor), &records).await?;
    let pins = messages
        .into_iter()
        .zip(times.into_iter().map(time::from_unix_ms))
        .collect();
    Ok((pins, more))
}

/// Users who reacted with an emoji, in id order.
///
/// # Errors
/// [`Missing::Message`], [`ChatError::MissingAccess`], [`ChatError::MissingPermissions`].
pub async fn reactors(
    chat: &Chat,
    actor: Actor,
    channel: ChannelId,
    message: MessageId,
    emoji: &ReactionEmoji,
    after: Option<UserId>,
    limit: usize,
) -> Result<Vec<User>> {
    let needs = Permissions::VIEW_CHANNEL | Permissions::READ_MESSAGE_HISTORY;
    guild::access(chat, actor, channel, needs).await?;
    if chat.data().message(channel, message).await?.is_none() {
        return Err(ChatError::NotFound(Missing::Message));
    }
    let counts = chat
        .data()
        .reactions(channel, &[message], reader_of(actor))
        .await?;
    let emoji = guild::as_kept(counts.first().map_or(&[], Vec::as_slice), emoji);
    let ids = chat
        .data()
        .reactors(channel, message, &emoji, after, limit)
        .await?;
    let mut users = chat.users_of(&ids).await?;
    Ok(ids
        .into_iter()
        .map(|id| users.remove(&id).unwrap_or_else(|| User::deleted(id)))
        .collect())
}

/// The message a reply answers, as it stands in `referenced_message`: without its own reference's
/// message and without reactions. `None` when it is gone.
pub(crate) async fn referenced(
    chat: &Chat,
    channel: ChannelId,
    id: MessageId,
) -> Result<Option<Message>> {
    let Some(record) = chat.data().message(channel, id).await? else {
        return Ok(None);
    };
    let users = chat.users_of(&named(&record)).await?;
    Ok(Some(view(chat, &record, &users)))
}

/// Channels looked up at a time when purges are taken up again.
const PURGE_LIST: usize = 100;

/// Removes the messages of a deleted channel in the background, a bounded step at a time.
pub(crate) fn purge(chat: &Chat, channel: ChannelId) {
    let label = format!("purge {channel}");
    let (chat, node) = (chat.clone(), chat.node().clone());
    // Nobody waits for it: the channel is unreachable already, and a task runs on by itself.
    drop(otp::task::spawn(&node, label, async move {
        purge_all_of(&chat, channel).await
    }));
}

/// Takes up the purges that a stop of the node interrupted.
pub(crate) fn resume_purges(chat: &Chat) {
    let (chat, node) = (chat.clone(), chat.node().clone());
    drop(otp::task::spawn(
        &node,
        "purge interrupted".to_owned(),
        async move {
            loop {
                let channels = match chat.data().channels_to_purge(PURGE_LIST).await {
                    Ok(channels) if channels.is_empty() => break,
                    Ok(channels) => channels,
                    Err(error) => {
                        tracing::warn!(%error, "cannot list deleted channels; the next start tries again");
                        break;
                    }
                };
                for channel in channels {
                    if !purge_all_of(&chat, channel).await {
                        return;
                    }
                }
            }
        },
    ));
}

/// Whether all messages of a deleted channel are gone.
async fn purge_all_of(chat: &Chat, channel: ChannelId) -> bool {
    loop {
        match chat.data().purge_channel(channel, PURGE_STEP).await {
            Ok(0) => {
                // What was purged may have had files.
                crate::files::clean(chat);
                return true;
            }
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => {
                tracing::warn!(%channel, %error, "purge of a deleted channel stopped; the next start takes it up again");
                return false;
            }
        }
    }
}

/// Joins stored messages with users, reactions and answered messages.
pub(crate) async fn hydrate(
    chat: &Chat,
    channel: ChannelId,
    reader: UserId,
    records: &[MessageRecord],
) -> Result<Vec<Message>> {
    let ids: Vec<MessageId> = records.iter().map(|record| record.id).collect();
    let reactions = chat.data().reactions(channel, &ids, reader).await?;
    let mut answered = HashMap::new();
    for id in records.iter().filter_map(MessageRecord::answers) {
        answered.extend(
            chat.data()
                .message(channel, id)
                .await?
                .map(|found| (id, found)),
        );
    }
    joined(chat, records, reactions, &answered).await
}

/// Stored messages as objects: with the users they name, their reactions as one reader sees them,
/// and those of the messages they answer that are there.
async fn joined(
    chat: &Chat,
    records: &[MessageRecord],
    reactions: Vec<Vec<ReactionCount>>,
    answered: &HashMap<MessageId, MessageRecord>,
) -> Result<Vec<Message>> {
    let mut people: Vec<UserId> = records.iter().flat_map(named).collect();
    people.extend(answered.values().flat_map(named));
    people.sort_unstable();
    people.dedup();
    let users = chat.users_of(&people).await?;

    let mut messages = Vec::with_capacity(records.len());
    for (record, counts) in records.iter().zip(reactions) {
        let mut message = view(chat, record, &users);
        message.reactions = counts
            .into_iter()
            .map(|count| Reaction::new(count.emoji, count.count, count.me))
            .collect();
        if let Some(id) = record.answers() {
            let answered = answered.get(&id);
            message.referenced_message =
                Some(answered.map(|answered| Box::new(view(chat, answered, &users))));
        }
        messages.push(message);
    }
    Ok(messages)
}

/// Everyone a message names.
fn named(record: &MessageRecord) -> Vec<UserId> {
    let mut people = record.mentions.clone();
    people.push(record.author_id);
    people
}

/// A stored message as an object, with absolute attachment links.
fn view(chat: &Chat, record: &MessageRecord, users: &guild::command::Users) -> Message {
    let mut message = Message::from_record(record, |id| users.get(&id).cloned());
    absolute_links(&mut message, &chat.config().public_url);
    message
}

/// Puts the public address before the stored paths of files: attachments, and pictures of embeds.
pub(crate) fn absolute_links(message: &mut Message, public_url: &str) {
    for (_, link) in message.embeds.iter_mut().flat_map(Embed::pictures_mut) {
        if link.starts_with('/') {
            link.insert_str(0, public_url);
        }
    }
    for attachment in &mut message.attachments {
        if attachment.url.starts_with('/') {
            attachment.url = format!("{public_url}{}", attachment.url);
            attachment.proxy_url = attachment.url.clone();
        }
    }
}

/// Whose `me` flags a page shows.
fn reader_of(actor: Actor) -> UserId {
    match actor {
        Actor::User(user) => user,
        Actor::System => Id::new(1),
    }
}

/// The channels whose messages are read most on this node, busiest first, at most `limit`.
pub fn hot_channels(chat: &Chat, limit: usize) -> Vec<HotChannel> {
    chat.data().hot_channels(limit)
}

/// The guild of a channel, for callers that only have the channel.
///
/// # Errors
/// [`Missing::Channel`].
pub async fn guild_of_channel(chat: &Chat, channel: ChannelId) -> Result<GuildId> {
    chat.guild_of(channel).await
}
