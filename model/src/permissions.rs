//! Permission bits and the documented algorithm that computes them (Discord docs, Permissions,
//! "Permission Overwrites" and "Permission Hierarchy").

pub use twilight_model::guild::Permissions;

use crate::channel::Overwrite;
use crate::id::{GuildId, RoleId, UserId};
use crate::role::Role;

/// What `@everyone` of a new guild may do: Discord's default for new guilds.
pub fn everyone_default() -> Permissions {
    Permissions::VIEW_CHANNEL
        | Permissions::CREATE_INVITE
        | Permissions::CHANGE_NICKNAME
        | Permissions::SEND_MESSAGES
        | Permissions::SEND_MESSAGES_IN_THREADS
        | Permissions::CREATE_PUBLIC_THREADS
        | Permissions::EMBED_LINKS
        | Permissions::ATTACH_FILES
        | Permissions::ADD_REACTIONS
        | Permissions::USE_EXTERNAL_EMOJIS
        | Permissions::USE_EXTERNAL_STICKERS
        | Permissions::MENTION_EVERYONE
        | Permissions::READ_MESSAGE_HISTORY
        | Permissions::USE_SLASH_COMMANDS
        | Permissions::CONNECT
        | Permissions::SPEAK
        | Permissions::STREAM
        | Permissions::USE_VAD
        | Permissions::SEND_POLLS
}

/// What a timed-out member keeps.
pub fn timed_out() -> Permissions {
    Permissions::VIEW_CHANNEL | Permissions::READ_MESSAGE_HISTORY
}

/// One member in one guild, ready to be asked what it may do.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The guild.
    pub guild: GuildId,
    /// Who owns the guild.
    pub owner: UserId,
    /// The member.
    pub user: UserId,
    /// The member's roles, without `@everyone`.
    pub roles: &'a [RoleId],
    /// Whether the member is timed out now.
    pub timed_out: bool,
}

impl Subject<'_> {
    /// Permissions in the guild, before any channel's overwrites. `role` finds a role by id;
    /// roles it does not find grant nothing.
    pub fn base<'r>(&self, role: impl Fn(RoleId) -> Option<&'r Role>) -> Permissions {
        if self.user == self.owner {
            return Permissions::all();
        }
        let mut permissions =
            role(self.guild.cast()).map_or(Permissions::empty(), |r| r.permissions);
        for id in self.roles {
            if let Some(role) = role(*id) {
                permissions |= role.permissions;
            }
        }
        if permissions.contains(Permissions::ADMINISTRATOR) {
            return Permissions::all();
        }
        if self.timed_out {
            permissions & timed_out()
        } else {
            permissions
        }
    }

    /// Permissions in a channel: `@everyone` overwrite, then all role overwrites together, then
    /// the member's own; in each step allow beats deny.
    ///
    /// Without VIEW_CHANNEL nothing else is left; without SEND_MESSAGES nothing that needs it is
    /// (Discord docs, Permissions, "Implicit Permissions").
    pub fn in_channel(&self, base: Permissions, overwrites: &[Overwrite]) -> Permissions {
        if base.contains(Permissions::ADMINISTRATOR) || self.user == self.owner {
            return Permissions::all();
        }
        let mut permissions = base;
        let mut roles = (Permissions::empty(), Permissions::empty());
        let mut own = (Permissions::empty(), Permissions::empty());
        for overwrite in overwrites {
            if overwrite.kind == 1 {
                if overwrite.id.get() == self.user.get() {
                    own = (overwrite.allow, overwrite.deny);
                }
            } else if overwrite.id.get() == self.guild.get() {
                permissions = (permissions & !overwrite.deny) | overwrite.allow;
            } else if self
                .roles
                .iter()
                .any(|role| role.get() == overwrite.id.get())
            {
                roles = (roles.0 | overwrite.allow, roles.1 | overwrite.deny);
            }
        }
        permissions = (permissions & !roles.1) | roles.0;
        permissions = (permissions & !own.1) | own.0;
        if self.timed_out {
            permissions &= timed_out();
        }
        if !permissions.contains(Permissions::VIEW_CHANNEL) {
            return Permissions::empty();
        }
        if !permissions.contains(Permissions::SEND_MESSAGES) {
            permissions &= !(Permissions::MENTION_EVERYONE
                | Permissions::SEND_TTS_MESSAGES
                | Permissions::ATTACH_FILES
                | Permissions::EMBED_LINKS);
        }
        permissions
    }
}

impl Subject<'_> {
    /// The member's highest role; `@everyone` does not count. `None` = no role.
    pub fn highest_role<'r>(&self, role: impl Fn(RoleId) -> Option<&'r Role>) -> Option<&'r Role> {
        highest(self.roles.iter().filter_map(|id| role(*id)))
    }

    /// Whether the member owns the guild.
    pub fn is_owner(&self) -> bool {
        self.user == self.owner
    }

    /// Whether the member may kick, ban, time out or rename `other` as far as the hierarchy goes
    /// (the permission bit is asked for apart): the owner may do it to everyone, nobody to the
    /// owner, others to members whose highest role is below their own (Discord docs, Permissions,
    /// "Permission Hierarchy"). Nobody outranks themselves.
    pub fn outranks<'r>(
        &self,
        other: &Subject<'_>,
        role: impl Fn(RoleId) -> Option<&'r Role>,
    ) -> bool {
        if other.is_owner() {
            return false;
        }
        // Equal ranks do not manage each other, so nobody outranks themselves.
        can_manage(
            self.is_owner(),
            self.highest_role(&role),
            other.highest_role(&role),
        )
    }

    /// Whether the member may edit, delete, give or take `target` as far as the hierarchy goes
    /// (MANAGE_ROLES is asked for apart): it stands below the member's highest role.
    pub fn can_manage_role<'r>(
        &self,
        target: &Role,
        role: impl Fn(RoleId) -> Option<&'r Role>,
    ) -> bool {
        can_manage(self.is_owner(), self.highest_role(role), Some(target))
    }
}

/// The highest of `roles` ([`Role::rank`]); `None` when there are none.
pub fn highest<'r>(roles: impl IntoIterator<Item = &'r Role>) -> Option<&'r Role> {
    roles.into_iter().max_by_key(|role| role.rank())
}

/// Whether someone whose highest role is `actor` may act on someone or something at `target`:
/// strictly above it, or the owner of the guild. No role stands below every role but equals no
/// role: `@everyone` against `@everyone` may not.
pub fn can_manage(owner: bool, actor: Option<&Role>, target: Option<&Role>) -> bool {
    owner
        || match (actor, target) {
            (Some(actor), Some(target)) => actor.rank() > target.rank(),
            (Some(actor), None) => actor.position > 0,
            (None, _) => false,
        }
}

/// Whether someone with `own` permissions may change a set of permissions from `before` to
/// `after`: they hold every bit that changes (Discord docs, Permissions, "Permission Hierarchy":
/// one cannot grant permissions one does not have). For a new set, `before` is empty; for an
/// overwrite, ask for allow and deny each.
pub fn can_change(own: Permissions, before: Permissions, after: Permissions) -> bool {
    own.contains(Permissions::ADMINISTRATOR) || own.contains(before ^ after)
}

#[cfg(test)]
mod tests;
