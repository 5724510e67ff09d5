//! What a session is given when it begins to listen: GUILD_CREATE (Discord docs, Gateway Events,
//! "Guild Create").

use std::collections::BTreeSet;
use std::sync::Arc;

use model::UserId;
use model::event::Encoded;
use model::guild::GuildCreate;
use model::intents::Intents;
use model::permissions::Permissions;
use model::presence::PresenceUpdate;

pub(super) mod shared;

use super::{Asker, GuildState, events};
use crate::guild::members::Row;

/// In guilds with more members GUILD_CREATE lists only the receiver (Discord docs, Gateway Events,
/// "Guild Create": 75,000).
pub const MEMBERS_LISTED_MAX: usize = 75_000;

/// How a session wants its GUILD_CREATE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotWants {
    /// In guilds with more members only those who are there are listed (50–250).
    pub large_threshold: u64,
    /// Whether the session may have other members and presences at once: it has the intent
    /// GUILD_PRESENCES, or is a person's.
    pub members_and_presences: bool,
    /// Whether the guild is new to the user; then `unavailable` is left out, by which clients tell
    /// a join from a guild that comes back.
    pub newly_joined: bool,
}

/// Which members GUILD_CREATE lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Listed {
    /// All.
    All,
    /// Those who are there, and the receiver.
    There,
    /// The receiver alone.
    Receiver,
}

impl GuildState {
    /// GUILD_CREATE for one member, made from scratch; `None` when the user is none.
    pub fn guild_create(&self, user: UserId, wants: SnapshotWants, now_ms: u64) -> Option<Encoded> {
        Some(Encoded::new(
            "GUILD_CREATE",
            Some(self.guild.id),
            events::users([user]),
            Intents::GUILDS,
            &self.guild_create_data(user, wants, now_ms)?,
        ))
    }

    fn is_large(&self, wants: SnapshotWants) -> bool {
        self.members.len() as u64 > wants.large_threshold
    }

    fn listed(&self, wants: SnapshotWants) -> Listed {
        match wants.members_and_presences && self.members.len() <= MEMBERS_LISTED_MAX {
            false => Listed::Receiver,
            true if self.is_large(wants) => Listed::There,
            true => Listed::All,
        }
    }

    fn is_there(&self, user: UserId) -> bool {
        self.presences.contains_key(&user)
    }

    fn guild_create_data(
        &self,
        user: UserId,
        wants: SnapshotWants,
        now_ms: u64,
    ) -> Option<GuildCreate> {
        let row = self.members.get(&user)?;
        let asker = Asker {
            user: Some(user),
            base: self.base(&row, now_ms),
            now_ms,
        };
        let listed: Vec<Arc<Row>> = match self.listed(wants) {
            Listed::Receiver => vec![row.clone()],
            Listed::All => self.members.all(),
            Listed::There => {
                let there: BTreeSet<&UserId> = self.presences.keys().chain([&user]).collect();
                let rows = there.into_iter().filter_map(|user| self.members.get(user));
                rows.collect()
            }
        };
        let presences: Vec<PresenceUpdate> = listed
            .iter()
            .filter(|_| wants.members_and_presences)
            .filter_map(|row| self.presence_if_there(row.record.user_id))
            .collect();
        Some(GuildCreate {
            guild: self.guild.clone(),
            roles: self.roles_in_order(),
            emojis: Vec::new(),
            stickers: Vec::new(),
            joined_at: Some(row.record.joined_at),
            large: self.is_large(wants),
            unavailable: (!wants.newly_joined).then_some(false),
            member_count: self.members.len() as u64,
            voice_states: Vec::new(),
            members: Some(listed.iter().map(|row| self.member(row)).collect()),
            channels: self.channels_for(&asker),
            threads: Vec::new(),
            presences: Some(presences),
            stage_instances: Vec::new(),
            guild_scheduled_events: Vec::new(),
            soundboard_sounds: Vec::new(),
        })
    }

    fn presence_if_there(&self, user: UserId) -> Option<PresenceUpdate> {
        let shown = self.presences.get(&user)?;
        Some(self.presence_of(user, Some(shown)))
    }

    /// Whether a user sees a channel; for tests and checks.
    pub fn may_view(&self, user: UserId, channel: model::ChannelId) -> bool {
        let row = self.members.get(&user);
        let channel = self.channels.get(&channel);
        row.zip(channel).is_some_and(|(row, channel)| {
            let asker = Asker {
                user: Some(user),
                base: self.base(&row, 0),
                now_ms: 0,
            };
            self.permissions_in(&asker, channel)
                .contains(Permissions::VIEW_CHANNEL)
        })
    }
}
