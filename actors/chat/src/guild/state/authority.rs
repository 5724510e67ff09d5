//! Who asks, and what they may do: permissions and hierarchy of members (Discord docs,
//! Permissions).

use model::channel::Channel;
use model::permissions::{Permissions, Subject};
use model::role::Role;
use model::{ChannelId, UserId, time};

use super::{GuildState, Row};
use crate::error::{ChatError, Missing, Result};
use crate::guild::command::Actor;

/// Who asks, resolved: a member with its permissions, or the operator with all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker {
    /// `None` = the operator.
    pub(super) user: Option<UserId>,
    pub(super) base: Permissions,
    pub(super) now_ms: u64,
}

impl Asker {
    /// Refuses when the guild-wide permissions lack `needs`.
    pub(super) fn needs(&self, needs: Permissions) -> Result<()> {
        check(self.base, needs)
    }

    pub(super) fn is(&self, user: UserId) -> bool {
        self.user == Some(user)
    }
}

/// Refuses when `has` lacks `needs`.
pub(super) fn check(has: Permissions, needs: Permissions) -> Result<()> {
    if has.contains(needs) {
        Ok(())
    } else {
        Err(ChatError::MissingPermissions)
    }
}

impl GuildState {
    /// Strangers are told that they have no access, as Discord answers for guilds that exist.
    pub(super) fn asker(&self, actor: Actor, now_ms: u64) -> Result<Asker> {
        match actor {
            Actor::System => Ok(Asker {
                user: None,
                base: Permissions::all(),
                now_ms,
            }),
            Actor::User(user) => {
                let row = self.members.get(&user).ok_or(ChatError::MissingAccess)?;
                Ok(Asker {
                    user: Some(user),
                    base: self.base(&row, now_ms),
                    now_ms,
                })
            }
        }
    }

    pub(super) fn subject<'r>(&self, row: &'r Row, now_ms: u64) -> Subject<'r> {
        let until = row.record.communication_disabled_until;
        Subject {
            guild: self.guild.id,
            owner: self.guild.owner_id,
            user: row.record.user_id,
            roles: &row.record.roles,
            timed_out: until.is_some_and(|until| time::unix_ms(until) > now_ms),
        }
    }

    pub(super) fn base(&self, row: &Row, now_ms: u64) -> Permissions {
        self.subject(row, now_ms).base(|id| self.roles.get(&id))
    }

    /// What the asker may do in `channel`.
    pub(super) fn permissions_in(&self, asker: &Asker, channel: &Channel) -> Permissions {
        match asker.user.and_then(|user| self.members.get(&user)) {
            Some(row) => self
                .subject(&row, asker.now_ms)
                .in_channel(asker.base, &channel.permission_overwrites),
            None => Permissions::all(),
        }
    }

    /// A channel the asker may see, with what it may do there.
    pub(super) fn seen(&self, asker: &Asker, id: ChannelId) -> Result<(&Channel, Permissions)> {
        let channel = self
            .channels
            .get(&id)
            .ok_or(ChatError::NotFound(Missing::Channel))?;
        let has = self.permissions_in(asker, channel);
        if has.contains(Permissions::VIEW_CHANNEL) {
            Ok((channel, has))
        } else {
            Err(ChatError::MissingAccess)
        }
    }

    /// A channel the asker may see and do `needs` in.
    pub(super) fn allowed_in(
        &self,
        asker: &Asker,
        id: ChannelId,
        needs: Permissions,
    ) -> Result<(&Channel, Permissions)> {
        let (channel, has) = self.seen(asker, id)?;
        check(has, needs)?;
        Ok((channel, has))
    }

    /// Whether the asker stands above the member (kick, ban, nickname, timeout).
    pub(super) fn outranks(&self, asker: &Asker, other: &Row) -> bool {
        if other.record.user_id == self.guild.owner_id {
            return false;
        }
        let Some(own) = asker.user.and_then(|user| self.members.get(&user)) else {
            return asker.user.is_none();
        };
        let (own, other) = (
            self.subject(&own, asker.now_ms),
            self.subject(other, asker.now_ms),
        );
        own.outranks(&other, |id| self.roles.get(&id))
    }

    /// Whether the asker stands above the role.
    pub(super) fn manages(&self, asker: &Asker, role: &Role) -> bool {
        match asker.user.and_then(|user| self.members.get(&user)) {
            Some(own) => self
                .subject(&own, asker.now_ms)
                .can_manage_role(role, |id| self.roles.get(&id)),
            None => asker.user.is_none(),
        }
    }

    pub(super) fn is_owner(&self, asker: &Asker) -> bool {
        asker.user.is_none_or(|user| user == self.guild.owner_id)
    }
}
