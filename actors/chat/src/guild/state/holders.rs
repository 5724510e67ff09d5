//! Who of those who listen has which role: what a message that mentions roles is given, so that it
//! costs its guild nothing for each of them.
//!
//! ```text
//!  a session that may be passive listens ──▶ users ┐
//!  a member comes, goes, changes its roles ────────┴─▶ by role ──copy, a pointer──▶ MESSAGE_CREATE
//! ```
//!
//! Kept up by what changes, and exact but for one thing: who listens no more stays for a while, as
//! nobody says so to the guild. It costs a place in the set and reaches nobody, and is forgotten when
//! there are more of these than of those who listen.

use std::collections::HashMap;

use imbl::OrdSet;
use model::{RoleId, UserId};

use super::GuildState;
use crate::relay::Listeners;

/// Users above which those who listen no more are looked for, when they may be half of them. Counter
/// `guildhall_guild_holders_forgotten_total`.
pub const HOLDERS_PRUNE_FROM: usize = 1_024;

/// Users who listen, and which of them have each role: sets that an event is given a copy of for
/// the price of a pointer. At most twice the users who listen, and
/// [`HOLDERS_PRUNE_FROM`].
#[derive(Debug, Clone, Default)]
pub(super) struct Holders {
    users: OrdSet<UserId>,
    /// No empty ones.
    by_role: HashMap<RoleId, OrdSet<UserId>>,
}

impl Holders {
    /// Those who have a role, of those who listen; `None`: nobody.
    pub(super) fn of(&self, role: RoleId) -> Option<OrdSet<UserId>> {
        self.by_role.get(&role).cloned()
    }

    /// A user listens, who has these roles.
    fn listens<'r>(
        &mut self,
        user: UserId,
        roles: impl Iterator<Item = &'r RoleId>,
        listeners: &Listeners,
    ) {
        if self.users.insert(user).is_some() {
            return;
        }
        for role in roles {
            self.by_role.entry(*role).or_default().insert(user);
        }
        if self.users.len() > HOLDERS_PRUNE_FROM && self.users.len() / 2 > listeners.len() {
            self.prune(listeners);
        }
    }

    /// The roles of a user are others from here on.
    pub(super) fn changed(&mut self, user: UserId, before: &[RoleId], after: &[RoleId]) {
        if before == after || !self.users.contains(&user) {
            return;
        }
        for role in before.iter().filter(|role| !after.contains(role)) {
            if let Some(users) = self.by_role.get_mut(role) {
                users.remove(&user);
                if users.is_empty() {
                    self.by_role.remove(role);
                }
            }
        }
        for role in after.iter().filter(|role| !before.contains(role)) {
            self.by_role.entry(*role).or_default().insert(user);
        }
    }

    /// A role is gone.
    pub(super) fn forget(&mut self, role: RoleId) {
        self.by_role.remove(&role);
    }

    /// Forgets who listens no more: costs what there is, once in as many users as there are.
    fn prune(&mut self, listeners: &Listeners) {
        let there: OrdSet<UserId> = listeners.users().into_iter().collect();
        let kept = |users: &OrdSet<UserId>| users.clone().intersection(there.clone());
        let before = self.users.len();
        self.users = kept(&self.users);
        let forgotten = before - self.users.len();
        metrics::counter!("guildhall_guild_holders_forgotten_total").increment(forgotten as u64);
        for users in self.by_role.values_mut() {
            *users = kept(users);
        }
        self.by_role.retain(|_, users| !users.is_empty());
    }
}

impl GuildState {
    /// A session of a user is about to listen, and may be passive; the user must be among the
    /// listeners already. Those who listen when the state is made need not be told.
    pub fn listens(&mut self, user: UserId) {
        let row = self.members.get(&user);
        let roles = row.as_deref().map_or(&[][..], |row| &row.record.roles);
        // Its row may name roles that are gone.
        let roles = roles.iter().filter(|role| self.roles.contains_key(role));
        self.holders.listens(user, roles, &self.listeners);
    }

    /// Counts all who listen by now.
    pub(super) fn count_holders(&mut self) {
        self.holders = Holders::default();
        for user in self.listening() {
            self.listens(user);
        }
    }
}
