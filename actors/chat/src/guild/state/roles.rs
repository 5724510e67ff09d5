//! Rules of roles: what they allow, and their order, which is the hierarchy (Discord docs,
//! Permissions, "Permission Hierarchy"; Guild Resource, "Create Guild Role" and following).
//!
//! Positions are dense and unique: `@everyone` is 0, the others are 1 to n. A new role takes
//! position 1 and the others move up; clients shift their copies themselves when a role comes or
//! goes, so no GUILD_ROLE_UPDATE is sent for that.

use model::form::FormErrors;
use model::permissions::{self, Permissions};
use model::role::{Role, RoleColors};
use model::{RoleId, limits};
use storage::store::Write;

use super::{Asker, GuildState, Turn};
use crate::error::{ChatError, Refusal, Result};
use crate::guild::command::{Answer, RolePatch};

/// Greatest colour.
const COLOR_MAX: u32 = 0xff_ff_ff;

impl GuildState {
    pub(super) fn create_role(
        &mut self,
        turn: &mut Turn<'_>,
        asker: Asker,
        patch: RolePatch,
    ) -> Result<Answer> {
        asker.needs(Permissions::MANAGE_ROLES)?;
        if self.roles.len() >= limits::ROLES_MAX {
            return Err(ChatError::Refused(Refusal::RolesMax));
        }
        let everyone = self
            .roles
            .get(&self.everyone())
            .map_or(Permissions::empty(), |role| role.permissions);
        let wanted = patch.permissions;
        let draft = Role::new(self.everyone(), "new role", everyone, 1);
        let mut role = patched(&draft, &patch)?;
        // What @everyone has anyway may be in it; anything else the maker must hold.
        let granted = wanted.map_or(Permissions::empty(), |wanted| wanted & !everyone);
        if !permissions::can_change(asker.base, Permissions::empty(), granted) {
            return Err(ChatError::MissingPermissions);
        }
        role.id = turn.ids.next(turn.now_ms);
        turn.write(Write::PutRole(self.guild.id, Box::new(role.clone())));
        for other in self.roles.values_mut().filter(|other| other.position > 0) {
            other.position += 1;
            turn.write(Write::PutRole(self.guild.id, Box::new(other.clone())));
        }
        self.roles.insert(role.id, role.clone());
        turn.publish(self.role_event("GUILD_ROLE_CREATE", &role));
        Ok(Answer::Role(Box::new(role)))
    }

    pub(super) fn modify_role(
        &mut self,
        turn: &mut Turn<'_>,
        asker: Asker,
        id: RoleId,
        patch: RolePatch,
    ) -> Result<Answer> {
        asker.needs(Permissions::MANAGE_ROLES)?;
        let old = self.role(id)?.clone();
        if !self.manages(&asker, &old) {
            return Err(ChatError::MissingPermissions);
        }
        let only_permissions = RolePatch {
            permissions: patch.permissions,
            ..RolePatch::default()
        };
        if id == self.everyone() && patch != only_permissions {
            return Err(ChatError::Refused(Refusal::InvalidRole));
        }
        let new = patched(&old, &patch)?;
        if !permissions::can_change(asker.base, old.permissions, new.permissions) {
            return Err(ChatError::MissingPermissions);
        }
        if new == old {
            return Ok(Answer::Role(Box::new(new)));
        }
        let before = (new.permissions != old.permissions).then(|| self.sight());
        self.roles.insert(id, new.clone());
        turn.write(Write::PutRole(self.guild.id, Box::new(new.clone())));
        let update = |state: &Self, turn: &mut Turn<'_>| {
            turn.publish(state.role_event("GUILD_ROLE_UPDATE", &new))
        };
        match before {
            Some(before) => self.publish_sight(turn, &before, &[], update),
            None => update(self, turn),
        }
        Ok(Answer::Role(Box::new(new)))
    }

    pub(super) fn delete_role(
        &mut self,
        turn: &mut Turn<'_>,
        asker: Asker,
        id: RoleId,
    ) -> Result<Answer> {
        asker.needs(Permissions::MANAGE_ROLES)?;
        let gone = self.role(id)?;
        if id == self.everyone() || gone.managed {
            return Err(ChatError::Refused(Refusal::InvalidRole));
        }
        if !self.manages(&asker, gone) {
            return Err(ChatError::MissingPermissions);
        }
        // Members go on naming it in their rows, where nothing shows or counts a role that is gone, and
        // no other ever has its id: there may be a million of them.
        let position = gone.position;
        let before = self.sight();
        self.roles.remove(&id);
        self.holders.forget(id);
        turn.write(Write::DeleteRole(self.guild.id, id));
        for above in self
            .roles
            .values_mut()
            .filter(|role| role.position > position)
        {
            above.position -= 1;
            turn.write(Write::PutRole(self.guild.id, Box::new(above.clone())));
        }
        let (mut old, mut new) = (Vec::new(), Vec::new());
        for channel in self.channels.values_mut() {
            let then = channel.clone();
            channel
                .permission_overwrites
                .retain(|overwrite| overwrite.id.get() != id.get());
            if *channel != then {
                turn.write(Write::PutChannel(Box::new(channel.clone())));
                new.push(channel.clone());
                old.push(then);
            }
        }
        self.publish_sight(turn, &before, &old, |state, turn| {
            turn.publish(state.role_delete(id));
            for channel in &new {
                turn.publish(state.channel_update(channel));
            }
        });
        Ok(Answer::Done)
    }

    pub(super) fn move_roles(
        &mut self,
        turn: &mut Turn<'_>,
        asker: Asker,
        moves: &[(RoleId, u32)],
    ) -> Result<Answer> {
        asker.needs(Permissions::MANAGE_ROLES)?;
        for (id, position) in moves {
            let role = self.role(*id)?;
            if *id == self.everyone() && *position != 0 {
                return Err(ChatError::Refused(Refusal::InvalidRole));
            }
            if *position != role.position && !self.manages(&asker, role) {
                return Err(ChatError::MissingPermissions);
            }
        }
        let changed: Vec<Role> = self
            .order_after(moves)
            .into_iter()
            .zip(1_u32..)
            .filter_map(|(id, position)| {
                let role = self.roles.get(&id)?;
                (role.position != position).then(|| Role {
                    position,
                    ..role.clone()
                })
            })
            .collect();
        // Everything that moves, by itself or because something passed it, was below the actor;
        // so nothing can end above it.
        let all_below = changed.iter().all(|role| {
            self.roles
                .get(&role.id)
                .is_some_and(|old| self.manages(&asker, old))
        });
        if !all_below {
            return Err(ChatError::MissingPermissions);
        }
        for role in changed {
            turn.write(Write::PutRole(self.guild.id, Box::new(role.clone())));
            turn.publish(self.role_event("GUILD_ROLE_UPDATE", &role));
            self.roles.insert(role.id, role);
        }
        Ok(Answer::Roles(self.roles_in_order()))
    }

    /// The roles above `@everyone` in their new order, lowest first. Where two want one place, a
    /// role that moves up stands above the one it meets, one that moves down below.
    fn order_after(&self, moves: &[(RoleId, u32)]) -> Vec<RoleId> {
        let mut order: Vec<(u32, u8, u32, RoleId)> = self
            .roles
            .values()
            .filter(|role| role.id != self.everyone())
            .map(|role| {
                let wanted = moves
                    .iter()
                    .rev()
                    .find(|(id, _)| *id == role.id)
                    .map(|(_, position)| *position);
                let wanted = wanted.unwrap_or(role.position);
                let side = match wanted.cmp(&role.position) {
                    std::cmp::Ordering::Less => 0,
                    std::cmp::Ordering::Equal => 1,
                    std::cmp::Ordering::Greater => 2,
                };
                (wanted, side, role.position, role.id)
            })
            .collect();
        order.sort_unstable();
        order.into_iter().map(|(.., id)| id).collect()
    }

    /// `@everyone` has the id of its guild.
    pub(super) fn everyone(&self) -> RoleId {
        self.guild.id.cast()
    }
}

/// The role with the changes of `patch`, if they make sense.
fn patched(old: &Role, patch: &RolePatch) -> Result<Role> {
    let mut errors = FormErrors::new();
    let mut new = old.clone();
    if let Some(name) = &patch.name {
        errors.check_length("name", name, 0, limits::ROLE_NAME_MAX);
        new.name = if name.trim().is_empty() {
            "new role".to_owned()
        } else {
            name.clone()
        };
    }
    if let Some(permissions) = patch.permissions {
        new.permissions = permissions;
    }
    let colors = match (&patch.colors, patch.color) {
        (Some(colors), _) => Some(colors.clone()),
        (None, Some(color)) => Some(RoleColors {
            primary_color: color,
            ..old.colors.clone()
        }),
        (None, None) => None,
    };
    if let Some(colors) = colors {
        let all = [
            Some(colors.primary_color),
            colors.secondary_color,
            colors.tertiary_color,
        ];
        if all.into_iter().flatten().any(|color| color > COLOR_MAX) {
            let message = format!("int value should be less than or equal to {COLOR_MAX}.");
            errors.push("color", "NUMBER_TYPE_MAX", message);
        }
        new.color = colors.primary_color;
        new.colors = colors;
    }
    if let Some(hoist) = patch.hoist {
        new.hoist = hoist;
    }
    if let Some(mentionable) = patch.mentionable {
        new.mentionable = mentionable;
    }
    if let Some(emoji) = &patch.unicode_emoji {
        new.unicode_emoji.clone_from(emoji);
    }
    errors.into_result()?;
    Ok(new)
}
