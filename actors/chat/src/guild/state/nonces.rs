//! The nonce window: the same (author, channel, nonce) within ten minutes names the same message
//! (Discord docs, Message Resource, "Create Message", `enforce_nonce`).

use std::collections::{HashMap, VecDeque};

use model::limits::NONCE_WINDOW_MS;
use model::message::{Message, Nonce};
use model::{ChannelId, UserId};

/// Most nonces remembered per guild; at the limit the oldest is forgotten (a repeat of it makes a
/// second message). Counter `guildhall_guild_nonces_forgotten_total`.
pub const NONCES_MAX: usize = 10_000;

type Key = (UserId, ChannelId, Nonce);

/// Messages of the last ten minutes that had a nonce.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct NonceWindow {
    by_key: HashMap<Key, Message>,
    by_age: VecDeque<(u64, Key)>,
}

impl NonceWindow {
    /// The message that was made with this nonce, if that is not too long ago.
    pub(super) fn find(
        &self,
        now_ms: u64,
        author: UserId,
        channel: ChannelId,
        nonce: &Nonce,
    ) -> Option<&Message> {
        let message = self.by_key.get(&(author, channel, nonce.clone()))?;
        let age = now_ms.saturating_sub(model::snowflake::timestamp_ms(message.id));
        (age < NONCE_WINDOW_MS).then_some(message)
    }

    /// Remembers a message, if it has a nonce; a later message with the same nonce takes its place.
    pub(super) fn remember(&mut self, now_ms: u64, message: &Message) {
        let Some(nonce) = message.nonce.clone() else {
            return;
        };
        while let Some((at_ms, _)) = self.by_age.front() {
            let full = self.by_age.len() >= NONCES_MAX;
            if !full && now_ms.saturating_sub(*at_ms) < NONCE_WINDOW_MS {
                break;
            }
            if full {
                metrics::counter!("guildhall_guild_nonces_forgotten_total").increment(1);
            }
            let Some((at_ms, key)) = self.by_age.pop_front() else {
                break;
            };
            // A later message may have taken the key over: then the entry is not this one's.
            let own = self
                .by_key
                .get(&key)
                .is_some_and(|held| made_at(held) == at_ms);
            if own {
                self.by_key.remove(&key);
            }
        }
        let key = (message.author.id, message.channel_id, nonce);
        self.by_age.push_back((made_at(message), key.clone()));
        self.by_key.insert(key, message.clone());
    }
}

fn made_at(message: &Message) -> u64 {
    model::snowflake::timestamp_ms(message.id)
}
