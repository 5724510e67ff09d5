//! A row of a store as the migrator sees it: what it is, where it stands, how it is written. Pure.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use model::ban::BanRecord;
use model::channel::Channel;
use model::emoji::ReactionEmoji;
use model::guild::Guild;
use model::member::MemberRecord;
use model::message::MessageRecord;
use model::reaction::ReactionRecord;
use model::read_state::ReadState;
use model::role::Role;
use model::user::Account;
use model::{ChannelId, GuildId, Id, MessageId, UserId};

use super::progress::{Counts, Kind};
use crate::store::{LastOf, LostFile, Write};

/// Where a row stands in its scope; both stores tell the rows of a scope in this order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Key {
    /// A row named by a text.
    Name(String),
    /// A row named by an id.
    Id(u64),
    /// A row of a guild: which kind of row, and its id.
    Part(u8, u64),
    /// A row named by two ids.
    Pair(u64, u64),
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => write!(f, "{name:?}"),
            Self::Id(id) => write!(f, "{id}"),
            Self::Part(part, id) => {
                let names = ["settings", "last message", "role", "channel"];
                let name = names.get(usize::from(*part)).copied().unwrap_or("part");
                write!(f, "{name} {id}")
            }
            Self::Pair(one, two) => write!(f, "{one}/{two}"),
        }
    }
}

/// All reactions with one emoji on a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Reacted {
    /// The emoji as it was first used.
    pub(super) emoji: ReactionEmoji,
    /// When it was first used: keeps the order of the emoji, also when that reaction is gone.
    pub(super) first_at_ms: u64,
    /// Who reacted and when, in id order.
    pub(super) users: Vec<(UserId, u64)>,
}

/// A message with everything that hangs on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Message {
    /// The message.
    pub(super) record: MessageRecord,
    /// Its reactions, in the order they are shown.
    pub(super) reactions: Vec<Reacted>,
    /// When it was pinned, if it is.
    pub(super) pinned_at_ms: Option<u64>,
}

/// A row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) enum Row {
    /// A named value.
    Setting(String, Vec<u8>),
    /// An account.
    Account(Box<Account>),
    /// What a person has read, by channel.
    ReadStates(UserId, Vec<ReadState>),
    /// Settings of a guild.
    Guild(Box<Guild>),
    /// The highest message id of a guild.
    LastMessage(GuildId, MessageId),
    /// A role of a guild.
    Role(GuildId, Box<Role>),
    /// A channel, with its last message id.
    Channel(Box<Channel>),
    /// A member.
    Member(Box<MemberRecord>),
    /// A ban.
    Ban(BanRecord),
    /// A message.
    Message(Box<Message>),
    /// A file still to be deleted.
    LostFile(LostFile),
    /// A channel still to be purged.
    Purge(ChannelId),
}

/// The stand-in for whoever first used an emoji and took it back: comes and goes in one piece, so
/// that the emoji keeps the time of its first use. No snowflake is so great.
const FIRST_USER: UserId = Id::new(u64::MAX >> 1);

impl Row {
    /// Where it stands in its scope.
    pub(super) fn key(&self) -> Key {
        match self {
            Self::Setting(name, _) => Key::Name(name.clone()),
            Self::Account(account) => Key::Id(account.user.id.get()),
            Self::ReadStates(user, _) => Key::Id(user.get()),
            Self::Guild(guild) => Key::Part(0, guild.id.get()),
            Self::LastMessage(guild, _) => Key::Part(1, guild.get()),
            Self::Role(_, role) => Key::Part(2, role.id.get()),
            Self::Channel(channel) => Key::Part(3, channel.id.get()),
            Self::Member(member) => Key::Id(member.user_id.get()),
            Self::Ban(ban) => Key::Id(ban.user_id.get()),
            Self::Message(message) => Key::Id(message.record.id.get()),
            Self::LostFile(file) => Key::Pair(file.channel_id.get(), file.attachment_id.get()),
            Self::Purge(channel) => Key::Id(channel.get()),
        }
    }

    /// What it adds to the counts.
    pub(super) fn count(&self, counts: &mut Counts) {
        let kind = match self {
            Self::Setting(..) => Kind::Settings,
            Self::Account(_) => Kind::Accounts,
            Self::ReadStates(_, states) => {
                counts.add(Kind::ReadStates, states.len());
                return;
            }
            Self::Guild(_) => Kind::Guilds,
            Self::LastMessage(..) => return,
            Self::Role(..) => Kind::Roles,
            Self::Channel(_) => Kind::Channels,
            Self::Member(_) => Kind::Members,
            Self::Ban(_) => Kind::Bans,
            Self::Message(message) => {
                let users = message.reactions.iter().map(|one| one.users.len());
                counts.add(Kind::Reactions, users.sum());
                counts.add(Kind::Pins, usize::from(message.pinned_at_ms.is_some()));
                Kind::Messages
            }
            Self::LostFile(_) => Kind::LostFiles,
            Self::Purge(_) => Kind::Purges,
        };
        counts.add(kind, 1);
    }

    /// A hash of what it says: equal rows have equal ones in every engine.
    pub(super) fn digest(&self) -> u128 {
        // Ids, texts and lists: it serialises.
        xxh3_128(&serde_json::to_vec(self).unwrap_or_default())
    }

    /// The writes that put it, over `old`, what stands there now if anything. An account is none of
    /// them: see [`Row::Account`] in `apply.rs`.
    pub(super) fn put(&self, old: Option<&Self>) -> Vec<Write> {
        match self {
            Self::Setting(name, value) => vec![Write::PutSetting(name.clone(), value.clone())],
            Self::Account(account) => vec![Write::PutAccount(account.clone())],
            Self::ReadStates(_, states) => {
                let old: &[ReadState] = match old {
                    Some(Self::ReadStates(_, old)) => old,
                    _ => &[],
                };
                // A state is merged into what is there: what says something else has to go first.
                let gone = old.iter().filter(|old| !states.contains(old));
                let mut writes: Vec<_> = gone
                    .map(|old| Write::DeleteReadState(old.user_id, old.channel_id))
                    .collect();
                let put = |state: &ReadState| Write::PutReadState(Box::new(state.clone()));
                writes.extend(states.iter().map(put));
                writes
            }
            Self::Guild(guild) => vec![Write::PutGuild(guild.clone())],
            Self::LastMessage(guild, id) => {
                vec![Write::RaiseLastMessage(LastOf::Guild(*guild), *id)]
            }
            Self::Role(guild, role) => vec![Write::PutRole(*guild, role.clone())],
            Self::Channel(channel) => {
                let mut writes = vec![Write::PutChannel(channel.clone())];
                if let Some(last) = channel.last_message_id {
                    let of = LastOf::Channel(channel.id);
                    writes.push(Write::RaiseLastMessage(of, last));
                }
                writes
            }
            Self::Member(member) => vec![Write::PutMember(member.clone())],
            Self::Ban(ban) => vec![Write::PutBan(ban.clone())],
            Self::Message(message) => message.put(match old {
                Some(Self::Message(old)) => Some(old),
                _ => None,
            }),
            Self::LostFile(file) => vec![Write::LoseFiles(file.channel_id, vec![file.clone()])],
            // What comes onto the list is a channel that is deleted.
            Self::Purge(channel) => {
                let guild = Id::new(channel.get());
                let stub = Channel::new(*channel, guild, 0, "");
                vec![
                    Write::PutChannel(Box::new(stub)),
                    Write::DeleteChannel(guild, *channel),
                ]
            }
        }
    }

    /// The writes that take it away, or `None` when no write does.
    pub(super) fn remove(&self) -> Option<Vec<Write>> {
        if let Self::ReadStates(_, states) = self {
            let delete =
                |state: &ReadState| Write::DeleteReadState(state.user_id, state.channel_id);
            return Some(states.iter().map(delete).collect());
        }
        Some(vec![match self {
            Self::Setting(..)
            | Self::Account(_)
            | Self::ReadStates(..)
            | Self::LastMessage(..)
            | Self::Purge(_) => {
                return None;
            }
            Self::Guild(guild) => Write::DeleteGuild(guild.id),
            Self::Role(guild, role) => Write::DeleteRole(*guild, role.id),
            Self::Channel(channel) => Write::DeleteChannel(channel.guild_id, channel.id),
            Self::Member(member) => Write::DeleteMember(member.guild_id, member.user_id),
            Self::Ban(ban) => Write::DeleteBan(ban.guild_id, ban.user_id),
            Self::Message(message) => {
                Write::DeleteMessage(message.record.channel_id, message.record.id)
            }
            Self::LostFile(file) => Write::ForgetFiles(file.channel_id, vec![file.attachment_id]),
        }])
    }
}

impl Message {
    fn put(&self, old: Option<&Self>) -> Vec<Write> {
        let (channel, id) = (self.record.channel_id, self.record.id);
        let mut writes = vec![Write::PutMessage(Box::new(self.record.clone()))];
        if old.is_some_and(|old| !old.reactions.is_empty() && old.reactions != self.reactions) {
            writes.push(Write::ClearReactions(channel, id, None));
        }
        for reacted in &self.reactions {
            let reaction = |user_id, at_ms| {
                Write::PutReaction(ReactionRecord {
                    channel_id: channel,
                    message_id: id,
                    user_id,
                    emoji: reacted.emoji.clone(),
                    at_ms,
                })
            };
            let mut users = reacted.users.iter();
            writes.push(reaction(FIRST_USER, reacted.first_at_ms));
            writes.extend(users.next().map(|(user, at_ms)| reaction(*user, *at_ms)));
            let gone = reacted.emoji.clone();
            writes.push(Write::DeleteReaction(channel, id, gone, FIRST_USER));
            writes.extend(users.map(|(user, at_ms)| reaction(*user, *at_ms)));
        }
        match self.pinned_at_ms {
            Some(at_ms) => writes.push(Write::PutPin(channel, id, at_ms)),
            None if old.is_some_and(|old| old.pinned_at_ms.is_some()) => {
                writes.push(Write::DeletePin(channel, id));
            }
            None => {}
        }
        writes
    }
}

/// What is different between two stores in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// Only the source has the row.
    Missing,
    /// Only the target has it.
    Surplus,
    /// Both have it, and it says something else.
    Different,
}

/// Which rows of two lists, both in key order, differ: indices into both.
pub(super) fn differences(
    source: &[Row],
    target: &[Row],
) -> Vec<(Difference, Option<usize>, Option<usize>)> {
    let mut found = Vec::new();
    let (mut at, mut against) = (0, 0);
    loop {
        match (source.get(at), target.get(against)) {
            (None, None) => return found,
            (Some(_), None) => {
                found.push((Difference::Missing, Some(at), None));
                at += 1;
            }
            (None, Some(_)) => {
                found.push((Difference::Surplus, None, Some(against)));
                against += 1;
            }
            (Some(one), Some(other)) => match one.key().cmp(&other.key()) {
                std::cmp::Ordering::Less => {
                    found.push((Difference::Missing, Some(at), None));
                    at += 1;
                }
                std::cmp::Ordering::Greater => {
                    found.push((Difference::Surplus, None, Some(against)));
                    against += 1;
                }
                std::cmp::Ordering::Equal => {
                    if one != other {
                        found.push((Difference::Different, Some(at), Some(against)));
                    }
                    at += 1;
                    against += 1;
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ban(user: u64, reason: &str) -> Row {
        Row::Ban(BanRecord {
            guild_id: Id::new(1),
            user_id: Id::new(user),
            reason: Some(reason.to_owned()),
        })
    }

    #[test]
    fn every_kind_of_difference_is_found() {
        let source = [ban(1, "a"), ban(2, "b"), ban(4, "d")];
        let target = [ban(2, "B"), ban(3, "c"), ban(4, "d"), ban(5, "e")];
        let found = differences(&source, &target);
        use Difference::{Different, Missing, Surplus};
        let expected = [
            (Missing, Some(0), None),
            (Different, Some(1), Some(0)),
            (Surplus, None, Some(1)),
            (Surplus, None, Some(3)),
        ];
        assert_eq!(found, expected);
        assert_eq!(differences(&source, &source), []);
        assert_ne!(source[0].digest(), ban(1, "b").digest());
        assert_eq!(source[0].digest(), ban(1, "a").digest());
    }
}
