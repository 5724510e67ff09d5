//! What the edge asks of read states. Who may not see a channel is refused as for its messages.

use model::intents::Intents;
use model::read_state::ReadState;
use model::{ChannelId, GuildId, MessageId, UserId, time};
use serde_json::{Value, json};
use storage::store::Write;

use crate::chat::Chat;
use crate::error::{ChatError, Result};
use crate::guild::{self, command::Actor};
use crate::session;

/// What a client says it has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    /// Up to which message.
    pub message: MessageId,
    /// `Some`: the position is set by hand, to wherever, with so many mentions after it.
    pub manual: Option<u32>,
    /// The day it looked, as it counts days.
    pub last_viewed: Option<u32>,
}

/// A person has read a channel up to a message; all its sessions are told (MESSAGE_ACK) when that
/// changed something. Durable within 30 s.
///
/// # Errors
/// [`crate::error::Missing::Channel`], [`ChatError::MissingAccess`]; what the store answers. Nothing
/// has changed then.
pub async fn acknowledge(chat: &Chat, user: UserId, channel: ChannelId, ack: Ack) -> Result<()> {
    guild::channel(chat, Actor::User(user), channel).await?;
    note(chat, user, channel, ack).await
}

async fn note(chat: &Chat, user: UserId, channel: ChannelId, ack: Ack) -> Result<()> {
    let now = chat.ids().next::<()>(crate::clock::now_ms()).get();
    let changed = chat
        .read_states()
        .change(chat.data(), user, channel, |state| {
            let moved = match ack.manual {
                Some(counted) => {
                    state.set(ack.message, counted, now);
                    true
                }
                None => state.read(ack.message),
            };
            let viewed = ack.last_viewed.is_some_and(|day| state.view(day));
            moved || viewed
        });
    metrics::counter!("guildhall_read_states_acks_total").increment(1);
    if let Some(state) = changed.await? {
        let mut event = json!({
            "channel_id": channel,
            "message_id": position(&state),
            "version": state.version,
            "mention_count": state.mention_count(),
            "flags": FLAG_GUILD_CHANNEL,
            "last_viewed": state.last_viewed,
        });
        if ack.manual.is_some() {
            event["manual"] = Value::Bool(true);
        }
        session::tell_user(chat, user, "MESSAGE_ACK", Intents::NONE, &event);
    }
    Ok(())
}

/// The same for several channels; those the person does not see (any more) are left out.
///
/// # Errors
/// What the store answers; the ones before it are done.
pub async fn acknowledge_many(
    chat: &Chat,
    user: UserId,
    acks: Vec<(ChannelId, MessageId)>,
) -> Result<()> {
    for (channel, message) in acks {
        let ack = Ack {
            message,
            manual: None,
            last_viewed: None,
        };
        match acknowledge(chat, user, channel, ack).await {
            Ok(())
            | Err(
                ChatError::NotFound(_) | ChatError::MissingAccess | ChatError::MissingPermissions,
            ) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A person has read every channel of a guild that it sees.
///
/// # Errors
/// [`crate::error::Missing::Guild`]; what the store answers; the channels before it are done.
pub async fn acknowledge_guild(chat: &Chat, user: UserId, guild: GuildId) -> Result<()> {
    for channel in guild::channels(chat, Actor::User(user), guild).await? {
        if let Some(message) = channel.last_message_id {
            let ack = Ack {
                message,
                manual: None,
                last_viewed: None,
            };
            note(chat, user, channel.id, ack).await?;
        }
    }
    Ok(())
}

/// A person has looked at the pins of a channel; all its sessions are told (CHANNEL_PINS_ACK) when
/// there was a new one.
///
/// # Errors
/// As [`acknowledge`].
pub async fn acknowledge_pins(chat: &Chat, user: UserId, channel: ChannelId) -> Result<()> {
    let found = guild::channel(chat, Actor::User(user), channel).await?;
    let Some(last_pin) = found.last_pin_timestamp else {
        return Ok(());
    };
    let at_ms = time::unix_ms(last_pin);
    let changed = chat
        .read_states()
        .change(chat.data(), user, channel, |state| state.see_pins(at_ms));
    if let Some(state) = changed.await? {
        let event = json!({
            "channel_id": channel,
            "timestamp": time::from_unix_ms(state.last_pin_ms),
            "version": state.version,
        });
        session::tell_user(chat, user, "CHANNEL_PINS_ACK", Intents::NONE, &event);
    }
    Ok(())
}

/// A person's read state of a channel is deleted, whether it still sees it or not.
///
/// # Errors
/// What the store answers; it may still be there then.
pub async fn forget(chat: &Chat, user: UserId, channel: ChannelId) -> Result<()> {
    chat.read_states().drop_row(user, channel);
    Ok(chat
        .data()
        .commit(vec![Write::DeleteReadState(user, channel)])
        .await?)
}

/// Of a channel in a guild (unofficial documentation of user clients, Read State, "Flags").
const FLAG_GUILD_CHANNEL: u32 = 1;

/// A position on the wire: clients want a number, `"0"` where nothing was read.
fn position(state: &ReadState) -> String {
    state
        .last_message_id
        .map_or_else(|| "0".to_owned(), |id| id.to_string())
}

/// A read state as READY has it. `channel_id` beside `id` is what one web client reads.
pub(crate) fn entry(state: &ReadState) -> Value {
    json!({
        "id": state.channel_id,
        "channel_id": state.channel_id,
        "read_state_type": 0,
        "last_message_id": position(state),
        "mention_count": state.mention_count(),
        "last_pin_timestamp": time::from_unix_ms(state.last_pin_ms),
        "flags": FLAG_GUILD_CHANNEL,
        "last_viewed": state.last_viewed,
        "version": state.version,
    })
}
