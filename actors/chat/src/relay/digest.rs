//! What passive sessions are told now and then instead of every message: where the channels are by
//! now that have moved since the last time. Pure.
//!
//! ```text
//!  MESSAGE_CREATE c1, c1, c2 ──note──▶ Changes {c1, c2} ──digest──▶ Digest: one PASSIVE_UPDATE_V2
//!                                          │                         per view, for its classes
//!  a session becomes active ───seen_by─────┘ one for it alone, of what it is still due
//! ```
//!
//! One map for all passive sessions of a relay. A session that came in the middle is told of
//! channels again which its GUILD_CREATE had already; that changes nothing for it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use model::event::{Audience, Encoded, Latest};
use model::intents::Intents;
use model::{ChannelId, GuildId};
use serde::Serialize;

use super::view::View;

/// Most channels that wait for a digest; at the limit it is made at once. More than a guild may
/// have: deleted ones wait too.
pub const DIGEST_CHANNELS_MAX: usize = 1_024;

/// The data of PASSIVE_UPDATE_V2 (unofficial documentation of user clients, Gateway Events,
/// "Passive Update V2"). Voice states and members are not followed for passive sessions.
#[derive(Serialize)]
struct PassiveUpdate<'a> {
    guild_id: GuildId,
    updated_channels: Vec<&'a Latest>,
    updated_voice_states: [(); 0],
    removed_voice_states: [(); 0],
    updated_members: [(); 0],
}

/// Channels that have moved since the last digest.
#[derive(Debug, Default)]
pub(super) struct Changes {
    latest: HashMap<ChannelId, Latest>,
}

impl Changes {
    /// The channel is there by now. `false` when there is no room for another one: make a digest.
    pub(super) fn note(&mut self, latest: &Latest) -> bool {
        let room = self.latest.len() < DIGEST_CHANNELS_MAX;
        match self.latest.entry(latest.id) {
            Entry::Occupied(mut noted) => drop(noted.insert(latest.clone())),
            Entry::Vacant(free) if room => drop(free.insert(latest.clone())),
            Entry::Vacant(_) => return false,
        }
        true
    }

    pub(super) fn is_empty(&self) -> bool {
        self.latest.is_empty()
    }

    /// The event for those with this view; `None` when they see none of the channels.
    pub(super) fn seen_by(&self, guild: GuildId, view: &View) -> Option<Arc<Encoded>> {
        let seen = self.latest.values().filter(|it| view.may_see(it.id));
        let mut updated_channels: Vec<&Latest> = seen.collect();
        if updated_channels.is_empty() {
            return None;
        }
        updated_channels.sort_unstable_by_key(|it| it.id);
        let data = PassiveUpdate {
            guild_id: guild,
            updated_channels,
            updated_voice_states: [],
            removed_voice_states: [],
            updated_members: [],
        };
        Some(Arc::new(Encoded::new(
            "PASSIVE_UPDATE_V2",
            Some(guild),
            Audience::Guild,
            Intents::GUILDS,
            &data,
        )))
    }

    /// The digest for these views, each named once; `None` when none of them sees any of it.
    pub(super) fn digest<'v>(
        self,
        guild: GuildId,
        views: impl Iterator<Item = &'v Arc<View>>,
    ) -> Option<Digest> {
        let each = |view: &Arc<View>| Some((Arc::clone(view), self.seen_by(guild, view)?));
        let by_view: HashMap<_, _> = views.filter_map(each).collect();
        (!by_view.is_empty()).then_some(Digest { by_view })
    }
}

/// What passive sessions get at one place among the events, by what they may see.
#[derive(Debug)]
pub(super) struct Digest {
    by_view: HashMap<Arc<View>, Arc<Encoded>>,
}

impl Digest {
    /// How many different events it is.
    pub(super) fn len(&self) -> usize {
        self.by_view.len()
    }

    /// The event for those with this view.
    pub(super) fn for_view(&self, view: &Arc<View>) -> Option<&Arc<Encoded>> {
        self.by_view.get(view)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use model::Id;
    use serde_json::{Value, json};

    use super::*;

    fn latest(channel: u64, message: u64) -> Latest {
        Latest {
            id: Id::new(channel),
            last_message_id: Some(Id::new(message)),
            last_pin_timestamp: None,
        }
    }

    fn view(channels: &[u64]) -> Arc<View> {
        Arc::new(channels.iter().map(|id| Id::new(*id)).collect())
    }

    fn data(event: &Encoded) -> Value {
        serde_json::from_slice(&event.body[..event.body.len() - 1]).unwrap()
    }

    #[test]
    fn each_view_is_told_of_its_own_channels_as_they_are_last() {
        let mut changes = Changes::default();
        for (channel, message) in [(8, 100), (7, 101), (8, 102)] {
            assert!(changes.note(&latest(channel, message)));
        }
        let (both, one, none) = (view(&[7, 8, 9]), view(&[8]), view(&[9]));
        let digest = changes
            .digest(Id::new(1), [&both, &one, &none].into_iter())
            .unwrap();
        assert_eq!(digest.len(), 2);
        assert!(digest.for_view(&none).is_none());
        let seven = json!({"id": "7", "last_message_id": "101", "last_pin_timestamp": null});
        let eight = json!({"id": "8", "last_message_id": "102", "last_pin_timestamp": null});
        assert_eq!(
            data(digest.for_view(&both).unwrap()),
            json!({
                "guild_id": "1", "updated_channels": [seven, eight], "updated_voice_states": [],
                "removed_voice_states": [], "updated_members": [],
            })
        );
        let one = data(digest.for_view(&view(&[8])).unwrap());
        assert_eq!(one["updated_channels"], json!([eight]));
    }

    #[test]
    fn nothing_is_said_when_nobody_sees_what_changed() {
        let mut changes = Changes::default();
        assert!(changes.is_empty());
        assert!(changes.note(&latest(7, 1)));
        assert!(changes.seen_by(Id::new(1), &view(&[8])).is_none());
        assert!(
            changes
                .digest(Id::new(1), [&view(&[8])].into_iter())
                .is_none()
        );
    }

    #[test]
    fn there_is_room_for_so_many_channels() {
        let mut changes = Changes::default();
        for channel in 1..=DIGEST_CHANNELS_MAX as u64 {
            assert!(changes.note(&latest(channel, 1)));
        }
        assert!(!changes.note(&latest(99_999, 1)));
        assert!(
            changes.note(&latest(1, 2)),
            "one that waits already moves on"
        );
    }
}
