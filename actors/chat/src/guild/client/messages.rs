//! Messages, reactions, pins and typing.

use std::future::Future;

use metrics::counter;
use model::emoji::ReactionEmoji;
use model::message::{Draft, Message, MessagePatch, MessageRecord};
use model::{ChannelId, Id, MessageId, UserId, limits};
use storage::store::ReactionCount;
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
        let (read, emoji) = reacted(chat, channel, message, user_of(actor), emoji).await?;
        Ok(Command::AddReaction {
            found: found(look, &record),
            emoji,
            read,
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
        let (read, emoji) = reacted(chat, channel, message, user, emoji).await?;
        Ok(Command::RemoveReaction {
            found: found(look, &record),
            user,
            emoji,
            read,
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
        let counts = counts(chat, channel, message, user_of(actor)).await?;
        Ok(Command::ClearReactions {
            found: found(look, &record),
            emoji: emoji.as_ref().map(|emoji| as_kept(&counts, emoji)),
            read: Reacted {
                already: false,
                counts: counts
                    .into_iter()
                    .map(|count| (count.emoji, count.count))
                    .collect(),
            },
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

/// The reactions of a message as stored, whether `user` made this one, and the emoji in the form in
/// which the message has it.
async fn reacted(
    chat: &Chat,
    channel: ChannelId,
    message: MessageId,
    user: UserId,
    emoji: &ReactionEmoji,
) -> Result<(Reacted, ReactionEmoji)> {
    let counts = counts(chat, channel, message, user).await?;
    let emoji = as_kept(&counts, emoji);
    let mine = |count: &ReactionCount| count.me && count.emoji.key() == emoji.key();
    let read = Reacted {
        already: counts.iter().any(mine),
        counts: counts
            .into_iter()
            .map(|count| (count.emoji, count.count))
            .collect(),
    };
    Ok((read, emoji))
}

async fn counts(
    chat: &Chat,
    channel: ChannelId,
    message: MessageId,
    user: UserId,
) -> Result<Vec<ReactionCount>> {
    let counts = chat.data().reactions(channel, &[message], user).await?;
    Ok(counts.into_iter().next().unwrap_or_default())
}

/// An emoji in the form in which a message has it: who reacts with another form of the same emoji
/// joins the reaction that is there.
pub(crate) fn as_kept(counts: &[ReactionCount], emoji: &ReactionEmoji) -> ReactionEmoji {
    let exact = |kept: &&ReactionEmoji| kept.key() == emoji.key();
    let kept = || counts.iter().map(|count| &count.emoji);
    let found = kept()
        .find(exact)
        .or_else(|| kept().find(|kept| kept.is_same(emoji)));
    found.unwrap_or(emoji).clone()
}

/// The user behind an actor; the system reads as nobody.
fn user_of(actor: Actor) -> UserId {
    match actor {
        Actor::User(user) => user,
        Actor::System => Id::new(1),
    }
}
