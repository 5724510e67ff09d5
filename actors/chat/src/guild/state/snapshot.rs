//! What a session is given when it begins to listen: GUILD_CREATE (Discord docs, Gateway Events,
//! "Guild Create"); and members for op 8.

use model::UserId;
use model::event::Encoded;
use model::guild::GuildCreate;
use model::intents::Intents;
use model::limits::CHUNK_USER_IDS_MAX;
use model::member::Member;
use model::permissions::Permissions;
use model::presence::PresenceUpdate;

pub(super) mod shared;

use super::{Asker, GuildState, Row, events};
use crate::guild::command::{MembersFound, MembersRequest};

/// In guilds with more members GUILD_CREATE lists only the receiver (Discord docs, Gateway Events,
/// "Guild Create": 75,000).
pub const MEMBERS_LISTED_MAX: usize = 75_000;

/// Most members a query of op 8 finds (Discord docs, Gateway Events, "Request Guild Members").
const QUERY_MEMBERS_MAX: usize = 100;

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
            base: self.base(row, now_ms),
            now_ms,
        };
        let listed: Vec<&Row> = match self.listed(wants) {
            Listed::Receiver => vec![row],
            Listed::All => self.members.values().collect(),
            Listed::There => self
                .members
                .values()
                .filter(|other| {
                    let id = other.record.user_id;
                    id == user || self.is_there(id)
                })
                .collect(),
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
            members: Some(listed.into_iter().map(Row::member).collect()),
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

    /// Members in id order.
    pub(super) fn members_after(&self, after: Option<UserId>, limit: usize) -> Vec<Member> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        let limit = limit.min(model::limits::MEMBERS_PAGE_MAX);
        self.members
            .range((from, Unbounded))
            .map(|(_, row)| row.member())
            .take(limit)
            .collect()
    }

    /// Members whose name, display name or nickname begins with `query`, whatever the case.
    pub(super) fn members_named(&self, query: &str, limit: usize) -> Vec<Member> {
        let limit = limit.min(model::limits::MEMBERS_PAGE_MAX);
        self.rows_named(query)
            .map(Row::member)
            .take(limit)
            .collect()
    }

    fn rows_named<'s>(&'s self, query: &str) -> impl Iterator<Item = &'s Row> + use<'s> {
        let query = query.to_lowercase();
        self.members.values().filter(move |row| {
            let names = [
                Some(&row.user.username),
                row.user.global_name.as_ref(),
                row.record.nick.as_ref(),
            ];
            names
                .into_iter()
                .flatten()
                .any(|name| name.to_lowercase().starts_with(&query))
        })
    }

    /// Members for op 8.
    pub(super) fn request_members(&self, request: &MembersRequest) -> MembersFound {
        let mut found = MembersFound::default();
        if request.user_ids.is_empty() {
            let query = request.query.as_deref().unwrap_or_default();
            let most = match request.limit {
                0 if query.is_empty() => usize::MAX,
                0 => QUERY_MEMBERS_MAX,
                limit => limit.min(QUERY_MEMBERS_MAX),
            };
            found.members = self.rows_named(query).map(Row::member).take(most).collect();
        } else {
            for id in request.user_ids.iter().take(CHUNK_USER_IDS_MAX) {
                match self.members.get(id) {
                    Some(row) => found.members.push(row.member()),
                    None => found.not_found.push(*id),
                }
            }
        }
        found.presences = request.presences.then(|| {
            found
                .members
                .iter()
                .filter_map(|member| self.presence_if_there(member.user.id))
                .collect()
        });
        found
    }

    /// Whether a user sees a channel; for tests and checks.
    pub fn may_view(&self, user: UserId, channel: model::ChannelId) -> bool {
        let row = self.members.get(&user);
        let channel = self.channels.get(&channel);
        row.zip(channel).is_some_and(|(row, channel)| {
            let asker = Asker {
                user: Some(user),
                base: self.base(row, 0),
                now_ms: 0,
            };
            self.permissions_in(&asker, channel)
                .contains(Permissions::VIEW_CHANNEL)
        })
    }
}
