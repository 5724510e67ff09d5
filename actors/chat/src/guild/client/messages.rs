//! Messages, reactions, pins and typing.

use model::emoji::ReactionEmoji;
use model::message::{Draft, Message, MessagePatch, MessageRecord};
use model::permissions::Permissions;
use model::{ChannelId, GuildId, Id, MessageId, UserId, limits};

use super::access;
use crate::chat::Chat;
use crate::error::{ChatError, Missing, Result};
use crate::files::{self, FilePlace};
use crate::guild::command::{Actor, Answer, Command};
use crate::guild::execute;
use crate::history;

/// Posts a message: durable when this returns, then published.
///
/// # Errors
/// As the rules of [`crate::guild::state`] say; [`ChatError::Unknown`] when the outcome is not known.
pub async fn post_message(
    chat: &Chat,
    actor: Actor,
    channel: ChannelId,
    draft: Draft,
) -> Result<Message> {
    let guild = chat.guild_of(channel).await?;
    let reply_to = match draft.reply_to {
        Some(id) => history::referenced(chat, channel, id).await?,
        None => None,
    };
    let command = Command::PostMessage {
        channel,
        draft: Box::new(draft),
        reply_to: reply_to.map(Box::new),
    };
    Ok(*expect!(
        execute(chat, guild, actor, command).await?,
        Message
    )?)
}

/// Edits a message.
///
/// # Errors
/// [`Missing::Message`], [`crate::error::Refusal::EditOthers`], or as the rules say.
pub async fn edit_message(
    chat: &Chat,
    actor: Actor,
    channel: ChannelId,
    message: MessageId,
    patch: MessagePatch,
) -> Result<Message> {
    let (guild, record) = visible_record(chat, actor, channel, message).await?;
    let command = Command::EditMessage {
        record: Box::new(record),
        patch: Box::new(patch),
    };
    Ok(*expect!(
        execute(chat, guild, actor, command).await?,
        Message
    )?)
}

/// Deletes a message.
///
/// # Errors
/// [`Missing::Message`], or as the rules say.
pub async fn delete_message(
    chat: &Chat,
    actor: Actor,
    channel: ChannelId,
    message: MessageId,
) -> Result<()> {
    let (guild, record) = visible_record(chat, actor, channel, message).await?;
    let command = Command::DeleteMessage {
        channel,
        message,
        author: record.author_id,
    };
    execute(chat, guild, actor, command).await?;
    remove_files(chat, &record).await;
    Ok(())
}

/// Deletes 2–100 messages that are younger than 14 days.
///
/// # Errors
/// [`crate::error::Refusal::BulkCount`], [`crate::error::Refusal::BulkTooOld`], or as the rules say.
pub async fn bulk_delete(
    chat: &Chat,
    actor: Actor,
    channel: ChannelId,
    messages: Vec<MessageId>,
) -> Result<()> {
    let guild = chat.guild_of(channel).await?;
    let mut with_files = Vec::new();
    for id in messages.iter().take(limits::BULK_DELETE_MAX) {
        let record = chat.data().message(channel, *id).await?;
        with_files.extend(record.filter(|record| !record.attachments.is_empty()));
    }
    let command = Command::BulkDelete { channel, messages };
    execute(chat, guild, actor, command).await?;
    for record in &with_files {
        remove_files(chat, record).await;
    }
    Ok(())
}

/// Removes the files of a message that is gone. A failure is logged: nothing refers to them.
async fn remove_files(chat: &Chat, record: &MessageRecord) {
    for attachment in &record.attachments {
        let place = FilePlace::new(record.channel_id, attachment.id, &attachment.filename);
        files::delete(chat, &place).await;
    }
}

/// Reacts to a message.
///
/// # Errors
/// [`Missing::Message`], [`crate::error::Refusal::ReactionsMax`], or as the rules say.
pub async fn add_reaction(
    chat: &Chat,
    actor: Actor,
    channel: ChannelId,
    message: MessageId,
    emoji: ReactionEmoji,
) -> Result<()> {
    let (guild, record) = visible_record(chat, actor, channel, message).await?;
    let reader = user_of(actor);
    let counts = chat.data().reactions(channel, &[message], reader).await?;
    let counts = counts.into_iter().next().unwrap_or_default();
    let known = counts.iter().find(|count| count.emoji.key() == emoji.key());
    let command = Command::AddReaction {
        channel,
        message,
        author: record.author_id,
        kinds: counts.len(),
        known: known.is_some(),
        already: known.is_some_and(|count| count.me),
        emoji,
    };
    execute(chat, guild, actor, command).await.map(drop)
}

/// Takes back a reaction, one's own or another's; one that is not there is no error.
///
/// # Errors
/// [`Missing::Message`], or as the rules say.
pub async fn remove_reaction(
    chat: &Chat,
    actor: Actor,
    channel: ChannelId,
    message: MessageId,
    user: UserId,
    emoji: ReactionEmoji,
) -> Result<()> {
    let (guild, _) = visible_record(chat, actor, channel, message).await?;
    let below = Id::new_checked(user.get() - 1);
    let reactors = chat
        .data()
        .reactors(channel, message, &emoji, below, 1)
        .await?;
    if reactors.first() != Some(&user) {
        // Nothing to take back and nothing to tell; whether it was allowed is answered all the same.
        let needs = if actor == Actor::User(user) {
            Permissions::READ_MESSAGE_HISTORY
        } else {
            Permissions::MANAGE_MESSAGES
        };
        return access(chat, actor, channel, needs).await.map(drop);
    }
    execute(
        chat,
        guild,
        actor,
        Command::RemoveReaction {
            channel,
            message,
            user,
            emoji,
        },
    )
    .await
    .map(drop)
}

/// Removes all reactions of a message, or all with one emoji.
///
/// # Errors
/// [`Missing::Message`], or as the rules say.
pub async fn clear_reactions(
    chat: &Chat,
    actor: Actor,
    channel: ChannelId,
    message: MessageId,
    emoji: Option<ReactionEmoji>,
) -> Result<()> {
    let (guild, _) = visible_record(chat, actor, channel, message).await?;
    execute(
        chat,
        guild,
        actor,
        Command::ClearReactions {
            channel,
            message,
            emoji,
        },
    )
    .await
    .map(drop)
}

/// Pins or unpins a message.
///
/// # Errors
/// [`Missing::Message`], [`crate::error::Refusal::PinsMax`], or as the rules say.
pub async fn set_pinned(
    chat: &Chat,
    actor: Actor,
    channel: ChannelId,
    message: MessageId,
    pinned: bool,
) -> Result<()> {
    let (guild, record) = visible_record(chat, actor, channel, message).await?;
    if record.pinned == pinned {
        return access(chat, actor, channel, Permissions::PIN_MESSAGES)
            .await
            .map(drop);
    }
    let pins = chat.data().pin_count(channel).await?;
    execute(
        chat,
        guild,
        actor,
        Command::SetPinned {
            record: Box::new(record),
            pinned,
            pins,
        },
    )
    .await
    .map(drop)
}

/// Tells a channel that the actor is typing.
///
/// # Errors
/// As the rules say.
pub async fn typing(chat: &Chat, actor: Actor, channel: ChannelId) -> Result<()> {
    let guild = chat.guild_of(channel).await?;
    execute(chat, guild, actor, Command::Typing { channel })
        .await
        .map(drop)
}

/// The stored message, if the actor may see its channel.
async fn visible_record(
    chat: &Chat,
    actor: Actor,
    channel: ChannelId,
    message: MessageId,
) -> Result<(GuildId, MessageRecord)> {
    let guild = chat.guild_of(channel).await?;
    access(chat, actor, channel, Permissions::VIEW_CHANNEL).await?;
    let record = chat.data().message(channel, message).await?;
    Ok((guild, record.ok_or(ChatError::NotFound(Missing::Message))?))
}

/// The user behind an actor; the system reads as nobody.
fn user_of(actor: Actor) -> UserId {
    match actor {
        Actor::User(user) => user,
        Actor::System => Id::new(1),
    }
}
