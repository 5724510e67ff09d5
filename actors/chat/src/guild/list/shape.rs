//! What of a guild decides who is in which member list, and where: roles, overwrites, the owner.
//! Made by the guild when it changes; pure.

use std::collections::BTreeMap;

use model::channel::Overwrite;
use model::permissions::{Permissions, Subject};
use model::role::Role;
use model::{ChannelId, GuildId, RoleId, UserId};
use serde::{Serialize, Serializer};
use storage::store::Write;

use super::murmur::murmur3;
use crate::guild::members::Row;

/// Roles, overwrites and owner of a guild.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    pub(crate) guild: GuildId,
    pub(crate) owner: UserId,
    pub(crate) roles: BTreeMap<RoleId, Role>,
    pub(crate) channels: BTreeMap<ChannelId, Vec<Overwrite>>,
}

/// A group of a member list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Group {
    /// Members who are there and have this hoisted role as their highest.
    Role(RoleId),
    /// Others who are there.
    Online,
    /// Those who are not.
    Offline,
}

impl Serialize for Group {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Role(role) => role.serialize(serializer),
            Self::Online => serializer.serialize_str("online"),
            Self::Offline => serializer.serialize_str("offline"),
        }
    }
}

/// Whether a write may change the shape of its guild.
pub(crate) fn is_concerned(write: &Write) -> bool {
    matches!(
        write,
        Write::PutGuild(_)
            | Write::PutRole(..)
            | Write::DeleteRole(..)
            | Write::PutChannel(_)
            | Write::DeleteChannel(..)
    )
}

impl Shape {
    /// Which list a channel has, by its overwrites of VIEW_CHANNEL: `everyone`, or a hash of them.
    /// `None`: there is no such channel.
    pub(crate) fn list_of(&self, channel: ChannelId) -> Option<String> {
        let view = Permissions::VIEW_CHANNEL;
        let mut tokens: Vec<String> = Vec::new();
        for overwrite in self.channels.get(&channel)? {
            if overwrite.allow.contains(view) {
                tokens.push(format!("allow:{}", overwrite.id));
            } else if overwrite.deny.contains(view) {
                tokens.push(format!("deny:{}", overwrite.id));
            }
        }
        if tokens.is_empty() {
            return Some("everyone".to_owned());
        }
        tokens.sort_unstable();
        Some(murmur3(tokens.join(",").as_bytes()).to_string())
    }

    /// Whether a member may view a channel.
    pub(crate) fn may_view(&self, row: &Row, channel: ChannelId) -> bool {
        let Some(overwrites) = self.channels.get(&channel) else {
            return false;
        };
        let subject = Subject {
            guild: self.guild,
            owner: self.owner,
            user: row.record.user_id,
            roles: &row.record.roles,
            // A time-out leaves VIEW_CHANNEL.
            timed_out: false,
        };
        let base = subject.base(|id| self.roles.get(&id));
        let has = subject.in_channel(base, overwrites);
        has.contains(Permissions::VIEW_CHANNEL)
    }

    /// The group of a member.
    pub(crate) fn group_of(&self, row: &Row, online: bool) -> Group {
        if !online {
            return Group::Offline;
        }
        let roles = row.record.roles.iter().filter_map(|id| self.roles.get(id));
        let hoisted = roles
            .filter(|role| role.hoist)
            .max_by_key(|role| role.rank());
        hoisted.map_or(Group::Online, |role| Group::Role(role.id))
    }

    /// All groups there may be, in the order of the list.
    pub(crate) fn groups(&self) -> Vec<Group> {
        let mut hoisted: Vec<&Role> = self.roles.values().filter(|role| role.hoist).collect();
        hoisted.sort_unstable_by_key(|role| std::cmp::Reverse(role.rank()));
        let roles = hoisted.into_iter().map(|role| Group::Role(role.id));
        roles.chain([Group::Online, Group::Offline]).collect()
    }
}
