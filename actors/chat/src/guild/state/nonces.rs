//! The nonce window: the same (author, channel, nonce) within ten minutes names the same message
//! (Discord docs, Message Resource, "Create Message", `enforce_nonce`).

use std::collections::{HashMap, VecDeque};

use model::limits::NONCE_WINDOW_MS;
use model::message::{Message, Nonce};
use model::{ChannelId, MessageId, UserId, snowflake};

/// Most nonces remembered per guild; at the limit the oldest is forgotten (a repeat of it makes a
/// second message). Counter `guildhall_guild_nonces_forgotten_total`.
pub const NONCES_MAX: usize = 10_000;

type Key = (UserId, ChannelId, Nonce);

/// Messages of the last ten minutes that had a nonce.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct NonceWindow {
    by_key: HashMap<Key, MessageId>,
    by_message: HashMap<MessageId, Key>,
    by_age: VecDeque<MessageId>,
}

impl NonceWindow {
    /// The message that was made with this nonce, if that is not too long ago.
    pub(super) fn find(
        &self,
        now_ms: u64,
        author: UserId,
        channel: ChannelId,
        nonce: &Nonce,
    ) -> Option<MessageId> {
        let message = *self.by_key.get(&(author, channel, nonce.clone()))?;
        (age(now_ms, message) < NONCE_WINDOW_MS).then_some(message)
    }

    /// Remembers a message, if it has a nonce; a later message with the same nonce takes its place.
    pub(super) fn remember(&mut self, now_ms: u64, message: &Message) {
        let Some(nonce) = message.nonce.clone() else {
            return;
        };
        while let Some(oldest) = self.by_age.front().copied() {
            let full = self.by_age.len() >= NONCES_MAX;
            if !full && age(now_ms, oldest) < NONCE_WINDOW_MS {
                break;
            }
            if full {
                metrics::counter!("guildhall_guild_nonces_forgotten_total").increment(1);
            }
            self.by_age.pop_front();
            self.forget(oldest);
        }
        let key = (message.author.id, message.channel_id, nonce);
        self.by_age.push_back(message.id);
        self.by_message.insert(message.id, key.clone());
        self.by_key.insert(key, message.id);
    }

    /// The nonce of a deleted message names nothing any more.
    pub(super) fn forget(&mut self, message: MessageId) {
        // A later message may have taken the key over: then the entry is not this one's.
        if let Some(key) = self.by_message.remove(&message)
            && self.by_key.get(&key) == Some(&message)
        {
            self.by_key.remove(&key);
        }
    }
}

fn age(now_ms: u64, message: MessageId) -> u64 {
    now_ms.saturating_sub(snowflake::timestamp_ms(message))
}
