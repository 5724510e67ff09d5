//! What a guild says of itself: its members, roles and channels, whole or in the forms others need.

use std::sync::Arc;

use model::channel::Channel;
use model::guild::GuildView;
use model::member::{Member, PartialMember};
use model::permissions::Permissions;
use model::role::Role;
use model::{RoleId, UserId};

use super::{Asker, GuildState};
use crate::error::{ChatError, Missing, Result};
use crate::guild::list::shape::Shape;
use crate::guild::members::{Readable, Row};

impl GuildState {
    pub(super) fn row(&self, user: UserId) -> Result<Arc<Row>> {
        self.members
            .get(&user)
            .ok_or(ChatError::NotFound(Missing::Member))
    }

    pub(super) fn role(&self, id: RoleId) -> Result<&Role> {
        self.roles
            .get(&id)
            .ok_or(ChatError::NotFound(Missing::Role))
    }

    /// A member as it goes on the wire.
    pub(super) fn member(&self, row: &Row) -> Member {
        row.member(|id| self.roles.contains_key(id))
    }

    pub(super) fn partial(&self, user: UserId) -> Option<PartialMember> {
        let row = self.members.get(&user)?;
        let mut partial = row.record.partial();
        partial.roles.retain(|id| self.roles.contains_key(id));
        Some(partial)
    }

    /// What the member lists need to know.
    pub(crate) fn shape(&self) -> Shape {
        let channels = self.channels.values();
        Shape {
            guild: self.guild.id,
            owner: self.guild.owner_id,
            roles: self.roles.clone(),
            channels: channels
                .map(|channel| (channel.id, channel.permission_overwrites.clone()))
                .collect(),
        }
    }

    /// What a task needs that reads members by itself.
    pub(super) fn readable(&self) -> Readable {
        Readable {
            table: self.members.table().cloned(),
            roles: Arc::new(self.roles.keys().copied().collect()),
        }
    }

    pub(super) fn roles_in_order(&self) -> Vec<Role> {
        let mut roles: Vec<Role> = self.roles.values().cloned().collect();
        roles.sort_unstable_by_key(Role::rank);
        roles
    }

    pub(super) fn channels_for(&self, asker: &Asker) -> Vec<Channel> {
        let visible = self.channels.values().filter(|channel| {
            self.permissions_in(asker, channel)
                .contains(Permissions::VIEW_CHANNEL)
        });
        in_position_order(visible)
    }

    pub(super) fn view(&self, with_counts: bool) -> GuildView {
        GuildView {
            guild: self.guild.clone(),
            roles: self.roles_in_order(),
            emojis: Vec::new(),
            stickers: Vec::new(),
            approximate_member_count: with_counts.then_some(self.members.len() as u64),
            approximate_presence_count: with_counts.then_some(self.presences.len() as u64),
        }
    }
}

/// Channels as clients list them: by position, then by id.
fn in_position_order<'c>(channels: impl Iterator<Item = &'c Channel>) -> Vec<Channel> {
    let mut channels: Vec<Channel> = channels.cloned().collect();
    channels.sort_unstable_by_key(|channel| (channel.position, channel.id));
    channels
}
