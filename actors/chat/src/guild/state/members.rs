//! Rules of members and bans (Discord docs, Guild Resource, "Modify Guild Member" and following).

use std::collections::BTreeMap;
use std::sync::Arc;

use model::ban::BanRecord;
use model::form::FormErrors;
use model::member::MemberRecord;
use model::permissions::Permissions;
use model::user::User;
use model::{ChannelId, MessageId, RoleId, Timestamp, UserId, limits, time};
use storage::store::Write;

use super::{Asker, Effect, GuildState, Row, Turn, events};
use crate::error::{ChatError, Missing, Refusal, Result};
use crate::guild::command::{Answer, MemberPatch};

/// The member flag a moderator may set: BYPASSES_VERIFICATION (Guild Resource, "Guild Member
/// Flags").
const FLAGS_SETTABLE: u64 = 1 << 2;

impl GuildState {
    pub(super) fn add_member(
        &mut self,
        turn: &mut Turn<'_>,
        asker: Asker,
        user: User,
    ) -> Result<Answer> {
        asker.needs(Permissions::CREATE_INVITE)?;
        if let Some(row) = self.members.get(&user.id) {
            return Ok(Answer::Member(Box::new(self.member(&row))));
        }
        if self.members.len() as u64 >= self.guild.max_members {
            return Err(ChatError::Refused(Refusal::MembersMax));
        }
        let joined_at = time::from_unix_ms(turn.now_ms);
        let row = Arc::new(Row {
            record: MemberRecord::new(self.guild.id, user.id, joined_at),
            user,
        });
        self.put_member(turn, Arc::clone(&row));
        turn.publish(self.member_add(&row));
        Ok(Answer::Member(Box::new(self.member(&row))))
    }

    pub(super) fn modify_member(
        &mut self,
        turn: &mut Turn<'_>,
        asker: Asker,
        user: UserId,
        patch: MemberPatch,
    ) -> Result<Answer> {
        let row = self.row(user)?;
        let mut record = row.record.clone();
        if let Some(nick) = patch.nick {
            let nick = nick.filter(|nick| !nick.trim().is_empty());
            if nick != record.nick {
                self.judge_nick(&asker, &row)?;
                let mut errors = FormErrors::new();
                errors.check_length(
                    "nick",
                    nick.as_deref().unwrap_or_default(),
                    0,
                    limits::NICK_MAX,
                );
                errors.into_result()?;
                record.nick = nick;
            }
        }
        if let Some(roles) = patch.roles {
            record.roles = self.judge_roles(&asker, &record.roles, &roles)?;
        }
        if let Some(until) = patch.communication_disabled_until {
            record.communication_disabled_until = self.judge_timeout(&asker, &row, until)?;
        }
        if let Some(mute) = patch.mute {
            asker.needs(Permissions::MUTE_MEMBERS)?;
            record.mute = mute;
        }
        if let Some(deaf) = patch.deaf {
            asker.needs(Permissions::DEAFEN_MEMBERS)?;
            record.deaf = deaf;
        }
        if let Some(flags) = patch.flags {
            let any = Permissions::MANAGE_GUILD
                | Permissions::MANAGE_ROLES
                | Permissions::MODERATE_MEMBERS;
            if !asker.base.intersects(any) {
                return Err(ChatError::MissingPermissions);
            }
            record.flags = (record.flags & !FLAGS_SETTABLE) | (flags & FLAGS_SETTABLE);
        }
        self.replace_member(turn, record);
        let row = self.row(user)?;
        Ok(Answer::Member(Box::new(self.member(&row))))
    }

    pub(super) fn change_member_role(
        &mut self,
        turn: &mut Turn<'_>,
        asker: Asker,
        user: UserId,
        role: RoleId,
        give: bool,
    ) -> Result<Answer> {
        asker.needs(Permissions::MANAGE_ROLES)?;
        let mut record = self.row(user)?.record.clone();
        self.role(role)?;
        let mut wanted = record.roles.clone();
        // Roles that are gone may be named in it still.
        wanted.retain(|held| *held != role && self.roles.contains_key(held));
        if give {
            wanted.push(role);
        }
        record.roles = self.judge_roles(&asker, &record.roles, &wanted)?;
        self.replace_member(turn, record);
        Ok(Answer::Done)
    }

    pub(super) fn leave(&mut self, turn: &mut Turn<'_>, asker: Asker) -> Result<Answer> {
        let user = asker.user.ok_or(ChatError::NotFound(Missing::Member))?;
        if user == self.guild.owner_id {
            return Err(ChatError::Refused(Refusal::OwnerCannotLeave));
        }
        self.remove_member(turn, user);
        Ok(Answer::Done)
    }

    pub(super) fn kick(
        &mut self,
        turn: &mut Turn<'_>,
        asker: Asker,
        user: UserId,
    ) -> Result<Answer> {
        asker.needs(Permissions::KICK_MEMBERS)?;
        if !self.outranks(&asker, &*self.row(user)?) {
            return Err(ChatError::MissingPermissions);
        }
        self.remove_member(turn, user);
        Ok(Answer::Done)
    }

    pub(super) fn ban(
        &mut self,
        turn: &mut Turn<'_>,
        asker: Asker,
        user: &User,
        record: BanRecord,
        messages: Vec<(ChannelId, MessageId)>,
    ) -> Result<Answer> {
        asker.needs(Permissions::BAN_MEMBERS)?;
        if let Some(row) = self.members.get(&user.id)
            && !self.outranks(&asker, &row)
        {
            return Err(ChatError::MissingPermissions);
        }
        turn.write(Write::PutBan(record));
        let mut by_channel: BTreeMap<ChannelId, Vec<MessageId>> = BTreeMap::new();
        // Whether they are there still was read long ago, and reading again would take as long: those
        // known to be gone are left out, and deleting one of the others again changes nothing.
        for (channel, message) in messages {
            if self.channels.contains_key(&channel) && !self.recent.is_gone(message) {
                by_channel.entry(channel).or_default().push(message);
                self.delete(turn, channel, message, true);
            }
        }
        for (channel, messages) in by_channel {
            for messages in messages.chunks(limits::BULK_DELETE_MAX) {
                turn.publish(self.message_delete_bulk(channel, messages));
            }
        }
        turn.publish(self.ban_event("GUILD_BAN_ADD", user));
        self.remove_member(turn, user.id);
        Ok(Answer::Done)
    }

    pub(super) fn unban(
        &mut self,
        turn: &mut Turn<'_>,
        asker: Asker,
        user: &User,
    ) -> Result<Answer> {
        asker.needs(Permissions::BAN_MEMBERS)?;
        turn.write(Write::DeleteBan(self.guild.id, user.id));
        turn.publish(self.ban_event("GUILD_BAN_REMOVE", user));
        Ok(Answer::Done)
    }

    // ── What is allowed ───────────────────────────────────────────────────────────────────────

    fn judge_nick(&self, asker: &Asker, row: &Row) -> Result<()> {
        if asker.is(row.record.user_id) {
            let any = Permissions::CHANGE_NICKNAME | Permissions::MANAGE_NICKNAMES;
            return if asker.base.intersects(any) {
                Ok(())
            } else {
                Err(ChatError::MissingPermissions)
            };
        }
        asker.needs(Permissions::MANAGE_NICKNAMES)?;
        if self.outranks(asker, row) {
            Ok(())
        } else {
            Err(ChatError::MissingPermissions)
        }
    }

    /// `wanted` in normal form, if the asker stands above every role that comes or goes.
    fn judge_roles(
        &self,
        asker: &Asker,
        held: &[RoleId],
        wanted: &[RoleId],
    ) -> Result<Vec<RoleId>> {
        asker.needs(Permissions::MANAGE_ROLES)?;
        let mut after: Vec<RoleId> = Vec::with_capacity(wanted.len());
        for id in wanted {
            self.role(*id)?;
            if *id != self.everyone() && !after.contains(id) {
                after.push(*id);
            }
        }
        let changed = held
            .iter()
            .filter(|id| !after.contains(id))
            .chain(after.iter().filter(|id| !held.contains(id)));
        for role in changed.filter_map(|id| self.roles.get(id)) {
            if role.managed || !self.manages(asker, role) {
                return Err(ChatError::MissingPermissions);
            }
        }
        Ok(after)
    }

    /// The end of the time-out, if it may be set; one that is over already unsets it.
    fn judge_timeout(
        &self,
        asker: &Asker,
        row: &Row,
        until: Option<Timestamp>,
    ) -> Result<Option<Timestamp>> {
        asker.needs(Permissions::MODERATE_MEMBERS)?;
        if !self.outranks(asker, row) {
            return Err(ChatError::MissingPermissions);
        }
        let Some(until) = until.filter(|until| time::unix_ms(*until) > asker.now_ms) else {
            return Ok(None);
        };
        if self
            .base(row, asker.now_ms)
            .contains(Permissions::ADMINISTRATOR)
        {
            return Err(ChatError::MissingPermissions);
        }
        if time::unix_ms(until) > asker.now_ms + limits::TIMEOUT_MAX_MS {
            let message = "Cannot time out a member for more than 28 days.";
            let path = "communication_disabled_until";
            return Err(FormErrors::one(path, "GUILD_MEMBER_TIMEOUT_MAX", message).into());
        }
        Ok(Some(until))
    }

    // ── What is done ──────────────────────────────────────────────────────────────────────────

    /// Puts a changed membership in place and tells everyone concerned; an unchanged one is left.
    fn replace_member(&mut self, turn: &mut Turn<'_>, record: MemberRecord) {
        let user = record.user_id;
        let Some(old) = self.members.get(&user).filter(|row| row.record != record) else {
            return;
        };
        let before = (old.record.roles != record.roles).then(|| self.sight_of_one(user));
        let row = Arc::new(Row {
            record,
            user: old.user.clone(),
        });
        self.put_member(turn, Arc::clone(&row));
        let update = |state: &Self, turn: &mut Turn<'_>| turn.publish(state.member_update(&row));
        match before {
            Some(before) => self.publish_sight(turn, &before, &[], update),
            None => update(self, turn),
        }
    }

    fn put_member(&mut self, turn: &mut Turn<'_>, row: Arc<Row>) {
        turn.write(Write::PutMember(Box::new(row.record.clone())));
        let change = (row.record.user_id, Some(Arc::clone(&row)));
        turn.effects.push(Effect::Member(change));
        let (user, before) = (row.record.user_id, self.members.get(&row.record.user_id));
        let before = before.as_deref().map_or(&[][..], |row| &row.record.roles);
        self.holders.changed(user, before, &row.record.roles);
        self.members.put(turn.number, row);
    }

    /// Takes a member out; a user who is none is left.
    fn remove_member(&mut self, turn: &mut Turn<'_>, user: UserId) {
        let Some(row) = self.members.get(&user) else {
            return;
        };
        self.members.remove(turn.number, user);
        self.holders.changed(user, &row.record.roles, &[]);
        self.presences.remove(&user);
        turn.write(Write::DeleteMember(self.guild.id, user));
        turn.effects.push(Effect::Member((user, None)));
        turn.publish(self.member_remove(&row.user));
        turn.publish(self.guild_delete(events::users([user])));
        turn.effects.push(Effect::Remove(user));
    }
}
