//! Rules of permission overwrites (Discord docs, Channels Resource, "Edit Channel Permissions").

use model::channel::{Channel, Overwrite};
use model::permissions::{self, Permissions};
use model::{ChannelId, Id, RoleId, id::marker, limits};
use storage::store::Write;

use super::{Asker, GuildState, Turn};
use crate::error::{ChatError, Missing, Refusal, Result};
use crate::guild::command::Answer;

impl GuildState {
    pub(super) fn put_overwrite(
        &mut self,
        turn: &mut Turn<'_>,
        asker: Asker,
        id: ChannelId,
        overwrite: Overwrite,
    ) -> Result<Answer> {
        let (channel, has) = self.allowed_in(&asker, id, Permissions::MANAGE_ROLES)?;
        let mut overwrites = channel.permission_overwrites.clone();
        match overwrites.iter_mut().find(|old| old.id == overwrite.id) {
            Some(old) => *old = overwrite,
            None => overwrites.push(overwrite),
        }
        let after = self.judge_overwrites(&channel.permission_overwrites, overwrites, has)?;
        self.replace_overwrites(turn, id, after);
        Ok(Answer::Done)
    }

    pub(super) fn delete_overwrite(
        &mut self,
        turn: &mut Turn<'_>,
        asker: Asker,
        id: ChannelId,
        target: Id<marker::GenericMarker>,
    ) -> Result<Answer> {
        let (channel, has) = self.allowed_in(&asker, id, Permissions::MANAGE_ROLES)?;
        let mut overwrites = channel.permission_overwrites.clone();
        overwrites.retain(|overwrite| overwrite.id != target);
        if overwrites.len() == channel.permission_overwrites.len() {
            return Err(ChatError::NotFound(Missing::Overwrite));
        }
        let after = self.judge_overwrites(&channel.permission_overwrites, overwrites, has)?;
        self.replace_overwrites(turn, id, after);
        Ok(Answer::Done)
    }

    /// The overwrites `after` in normal form, if someone who `has` these permissions may put them
    /// in the place of `before`: only bits they hold may change, and MANAGE_ROLES only by
    /// administrators.
    pub(super) fn judge_overwrites(
        &self,
        before: &[Overwrite],
        after: Vec<Overwrite>,
        has: Permissions,
    ) -> Result<Vec<Overwrite>> {
        let mut normal: Vec<Overwrite> = Vec::with_capacity(after.len());
        for overwrite in after {
            if normal.iter().any(|other| other.id == overwrite.id) {
                continue;
            }
            let role: RoleId = overwrite.id.cast();
            if overwrite.kind == 0 && !self.roles.contains_key(&role) {
                return Err(ChatError::NotFound(Missing::Role));
            }
            normal.push(overwrite);
        }
        if normal.len() > limits::OVERWRITES_MAX {
            return Err(ChatError::Refused(Refusal::OverwritesMax));
        }
        let nothing = Permissions::empty();
        let of = |list: &[Overwrite], id| {
            let found = list.iter().find(|overwrite| overwrite.id == id);
            found.map_or((nothing, nothing), |overwrite| {
                (overwrite.allow, overwrite.deny)
            })
        };
        for overwrite in before.iter().chain(&normal) {
            let (then, now) = (of(before, overwrite.id), of(&normal, overwrite.id));
            let changed = (then.0 ^ now.0) | (then.1 ^ now.1);
            let administrator = has.contains(Permissions::ADMINISTRATOR);
            let touches_roles = changed.contains(Permissions::MANAGE_ROLES) && !administrator;
            if touches_roles || !permissions::can_change(has, nothing, changed) {
                return Err(ChatError::MissingPermissions);
            }
        }
        Ok(normal)
    }

    /// Puts judged overwrites in place and tells everyone concerned.
    fn replace_overwrites(
        &mut self,
        turn: &mut Turn<'_>,
        id: ChannelId,
        overwrites: Vec<Overwrite>,
    ) {
        let Some(old) = self.channels.get(&id).cloned() else {
            return;
        };
        if old.permission_overwrites == overwrites {
            return;
        }
        let new = Channel {
            permission_overwrites: overwrites,
            ..old.clone()
        };
        self.replace_channels(turn, vec![old], vec![new]);
    }

    /// Puts changed channels in place, writes them, and tells everyone concerned: CHANNEL_UPDATE
    /// to those who see them before and after, CHANNEL_CREATE and CHANNEL_DELETE to the others.
    pub(super) fn replace_channels(
        &mut self,
        turn: &mut Turn<'_>,
        old: Vec<Channel>,
        new: Vec<Channel>,
    ) {
        let concerns_sight = old
            .iter()
            .zip(&new)
            .any(|(old, new)| old.permission_overwrites != new.permission_overwrites);
        let before = concerns_sight.then(|| self.sight());
        for channel in &new {
            self.channels.insert(channel.id, channel.clone());
            turn.write(Write::PutChannel(Box::new(channel.clone())));
        }
        let update = |state: &Self, turn: &mut Turn<'_>| {
            for channel in &new {
                turn.publish(state.channel_update(channel));
            }
        };
        match before {
            Some(before) => self.publish_sight(turn, &before, &old, update),
            None => update(self, turn),
        }
    }
}
