//! Messages, reactions, pins and typing.

use std::future::Future;

use metrics::counter;
use model::emoji::ReactionEmoji;
use model::message::{Draft, Message, MessagePatch, MessageRecord};
use model::{ChannelId, Id, MessageId, UserId, limits};
use tokio::time::Instant;

use crate::chat::Chat;
use crate::error::{ChatError, Missing, Result};
use crate::guild::command::{Actor, Answer, Command, Found, Look, Reacted};
use crate::guild::{CALL_LIMIT, execute};
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
    let patch = &patch;
    let answer = decide(chat, actor, channel, move |look| async move {
        Ok(Command::EditMessage {
            look,
            record: Box::new(stored(chat, channel, message).await?),
            patch: Box::new(patch.clone()),
        })
    });
    Ok(*expect!(answer.await?, Message)?)
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
    let answer = decide(chat, actor, channel, move |look| async move {
        let record = stored(chat, channel, message).await?;
        Ok(Command::DeleteMessage {
            found: found(look, &record),
            pinned: record.pinned,
        })
    });
    answer.await.map(drop)
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
    let messages = &messages;
    let answer = decide(chat, actor, channel, move |look| async move {
        let mut found = Vec::new();
        // More than that are refused anyway.
        for id in messages.iter().take(limits::BULK_DELETE_MAX) {
            let record = chat.data().message(channel, *id).await?;
            found.extend(record.map(|record| (record.id, record.pinned)));
        }
        Ok(Command::BulkDelete {
            look,
            channel,
            messages: messages.clone(),
            found,
        })
    });
    answer.await.map(drop)
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
    let emoji = &emoji;
    let answer = decide(chat, actor, channel, move |look| async move {
        let record = stored(chat, channel, message).await?;
        Ok(Command::AddReaction {
            found: found(look, &record),
            read: reacted(chat, channel, message, user_of(actor), Some(emoji)).await?,
            emoji: emoji.clone(),
        })
    });
    answer.await.map(drop)
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
    let emoji = &emoji;
    let answer = decide(chat, actor, channel, move |look| async move {
        let record = stored(chat, channel, message).await?;
        Ok(Command::RemoveReaction {
            found: found(look, &record),
            user,
            read: reacted(chat, channel, message, user, Some(emoji)).await?,
            emoji: emoji.clone(),
        })
    });
    answer.await.map(drop)
}

/// Removes all reactions of a message, or all with one emoji; none is no error.
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
    let emoji = &emoji;
    let answer = decide(chat, actor, channel, move |look| async move {
        let record = stored(chat, channel, message).await?;
        Ok(Command::ClearReactions {
            found: found(look, &record),
            read: reacted(chat, channel, message, user_of(actor), None).await?,
            emoji: emoji.clone(),
        })
    });
    answer.await.map(drop)
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
    let answer = decide(chat, actor, channel, move |look| async move {
        Ok(Command::SetPinned {
            look,
            record: Box::new(stored(chat, channel, message).await?),
            pinned,
            pins: chat.data().pin_count(channel).await?,
        })
    });
    answer.await.map(drop)
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

/// Most readings of the store for one change of a message; whoever was too late as often is told
/// [`ChatError::Busy`]. Each waits until what it missed is durable, so it is not a busy loop.
pub const LOOKS_MAX: usize = 32;

/// Asks the guild to change a message, with a command that `read` makes of what the store says.
/// When others were faster, reads again and asks again; the rules of [`crate::guild::state`] say
/// when that is.
///
/// # Errors
/// As the rules say; what `read` says. [`ChatError::Busy`]: others were faster all the time, and
/// nothing was changed.
async fn decide<Read>(
    chat: &Chat,
    actor: Actor,
    channel: ChannelId,
    read: impl Fn(Look) -> Read,
) -> Result<Answer>
where
    Read: Future<Output = Result<Command>>,
{
    let deadline = Instant::now() + CALL_LIMIT;
    let guild = chat.guild_of(channel).await?;
    for _ in 0..LOOKS_MAX {
        let look = execute(chat, guild, actor, Command::Look { channel }).await?;
        let command = read(expect!(look, Look)?).await?;
        match execute(chat, guild, actor, command).await? {
            Answer::LookAgain if Instant::now() < deadline => {
                counter!("guildhall_guild_looks_again_total").increment(1);
            }
            Answer::LookAgain => break,
            answer => return Ok(answer),
        }
    }
    Err(ChatError::Busy)
}

/// The message as stored.
async fn stored(chat: &Chat, channel: ChannelId, message: MessageId) -> Result<MessageRecord> {
    let record = chat.data().message(channel, message).await?;
    record.ok_or(ChatError::NotFound(Missing::Message))
}

fn found(look: Look, record: &MessageRecord) -> Found {
    Found {
        look,
        channel: record.channel_id,
        message: record.id,
        author: record.author_id,
    }
}

/// The reactions of a message as stored, and whether `user` made this one.
async fn reacted(
    chat: &Chat,
    channel: ChannelId,
    message: MessageId,
    user: UserId,
    emoji: Option<&ReactionEmoji>,
) -> Result<Reacted> {
    let counts = chat.data().reactions(channel, &[message], user).await?;
    let counts = counts.into_iter().next().unwrap_or_default();
    let key = emoji.map(ReactionEmoji::key);
    Ok(Reacted {
        already: counts
            .iter()
            .any(|count| count.me && Some(count.emoji.key()) == key),
        counts: counts
            .into_iter()
            .map(|count| (count.emoji, count.count))
            .collect(),
    })
}

/// The user behind an actor; the system reads as nobody.
fn user_of(actor: Actor) -> UserId {
    match actor {
        Actor::User(user) => user,
        Actor::System => Id::new(1),
    }
}
