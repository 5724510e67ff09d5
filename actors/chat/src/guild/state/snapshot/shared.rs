//! GUILD_CREATE made once for all sessions that get the same: when thousands log in at once, each
//! costs its own few fields and a pointer.
//!
//! ```text
//!  joined_at, own member     lead, made for each session
//!  everything else           body, made once for each (view, list of members, flags) and version
//! ```
//!
//! A version of the guild lasts until something happens in it. Whatever happens has effects, so the
//! effects say which bodies are void ([`SharedCreates::changed`]); a test holds every kind of command
//! against the event made from scratch. Pure but for its meters.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use metrics::{Counter, counter};
use model::UserId;
use model::event::{Encoded, shared_body_of};
use model::guild::GuildCreateOwn;
use model::intents::Intents;

use super::{Listed, SnapshotWants};
use crate::guild::state::{Effect, GuildState, events};
use crate::relay::View;

/// Bodies of GUILD_CREATE a guild keeps; at the limit all are forgotten, and made again as they are
/// asked for. Counter `guildhall_guild_creates_made_total`, against
/// `guildhall_guild_creates_shared_total`.
pub const SHARED_CREATES_MAX: usize = 64;

/// What sessions with the same body have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    view: Arc<View>,
    listed: Listed,
    large: bool,
    newly_joined: bool,
}

/// The bodies of the version of the guild there is.
pub struct SharedCreates {
    made: HashMap<Key, Bytes>,
    hits: Counter,
    misses: Counter,
}

impl std::fmt::Debug for SharedCreates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedCreates")
            .field("made", &self.made.len())
            .finish_non_exhaustive()
    }
}

impl Default for SharedCreates {
    fn default() -> Self {
        Self {
            made: HashMap::new(),
            hits: counter!("guildhall_guild_creates_shared_total"),
            misses: counter!("guildhall_guild_creates_made_total"),
        }
    }
}

impl SharedCreates {
    /// Something happened in the guild.
    pub fn changed(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Publish(event)
                    if matches!(event.name, "TYPING_START" | "PRESENCE_UPDATE") => {}
                Effect::Seen(_) => {
                    // Logins change presences: what shows none is not made again for each.
                    self.made.retain(|key, _| key.listed == Listed::Receiver);
                }
                _ => return self.made.clear(),
            }
        }
    }

    /// GUILD_CREATE for a member who sees `view`; the same as [`GuildState::guild_create`] but for
    /// the order of fields. `None` when the user is no member.
    pub fn guild_create(
        &mut self,
        state: &GuildState,
        user: UserId,
        view: &Arc<View>,
        wants: SnapshotWants,
        now_ms: u64,
    ) -> Option<Encoded> {
        let listed = state.listed(wants);
        if listed == Listed::There && !state.is_there(user) {
            // The list is with one member more than that of the others.
            self.misses.increment(1);
            return state.guild_create(user, wants, now_ms);
        }
        let row = state.row(user).ok()?;
        let key = Key {
            view: Arc::clone(view),
            listed,
            large: state.is_large(wants),
            newly_joined: wants.newly_joined,
        };
        let body = match self.made.get(&key) {
            Some(body) => {
                self.hits.increment(1);
                body.clone()
            }
            None => {
                self.misses.increment(1);
                let mut data = state.guild_create_data(user, wants, now_ms)?;
                data.joined_at = None;
                if listed == Listed::Receiver {
                    data.members = None;
                    data.presences = None;
                }
                let body = shared_body_of(&data);
                if self.made.len() >= SHARED_CREATES_MAX {
                    self.made.clear();
                }
                self.made.insert(key, body.clone());
                body
            }
        };
        let alone = listed == Listed::Receiver;
        let own = GuildCreateOwn {
            joined_at: row.record.joined_at,
            members: alone.then(|| [state.member(&row)]),
            presences: alone.then(|| {
                let shown = wants.members_and_presences;
                let own = shown.then(|| state.presence_if_there(user));
                own.flatten().into_iter().collect()
            }),
        };
        let event = Encoded::new(
            "GUILD_CREATE",
            Some(state.id()),
            events::users([user]),
            Intents::GUILDS,
            &(),
        );
        Some(event.spliced(&own, body))
    }
}
