//! Rules of the guild itself: its settings, its end (Discord docs, Guild Resource).

use model::channel::kind;
use model::event::Audience;
use model::form::FormErrors;
use model::guild::Guild;
use model::permissions::Permissions;
use model::{ChannelId, limits};
use storage::store::Write;

use super::{Asker, Effect, GuildState, Turn};
use crate::error::{ChatError, Missing, Result};
use crate::guild::command::{Answer, GuildPatch};

/// Seconds after which an idle voice member can be moved (Guild Resource, "Modify Guild").
const AFK_TIMEOUTS: [u32; 5] = [60, 300, 900, 1_800, 3_600];

impl GuildState {
    pub(super) fn modify_guild(
        &mut self,
        turn: &mut Turn<'_>,
        asker: Asker,
        patch: GuildPatch,
    ) -> Result<Answer> {
        asker.needs(Permissions::MANAGE_GUILD)?;
        let mut new = self.patched_guild(&patch)?;
        if let Some(owner) = patch.owner_id.filter(|owner| *owner != self.guild.owner_id) {
            if !self.is_owner(&asker) {
                return Err(ChatError::MissingPermissions);
            }
            self.row(owner)?;
            new.owner_id = owner;
        }
        if new == self.guild {
            return Ok(Answer::Guild(Box::new(self.view(false))));
        }
        let before = (new.owner_id != self.guild.owner_id).then(|| self.sight());
        self.guild = new;
        turn.write(Write::PutGuild(Box::new(self.guild.clone())));
        let update = |state: &Self, turn: &mut Turn<'_>| turn.publish(state.guild_update());
        match before {
            Some(before) => self.publish_sight(turn, &before, &[], update),
            None => update(self, turn),
        }
        Ok(Answer::Guild(Box::new(self.view(false))))
    }

    pub(super) fn delete_guild(&mut self, turn: &mut Turn<'_>, asker: Asker) -> Result<Answer> {
        if !self.is_owner(&asker) {
            return Err(ChatError::MissingPermissions);
        }
        self.deleted = true;
        turn.write(Write::DeleteGuild(self.guild.id));
        turn.publish(self.guild_delete(Audience::Guild));
        turn.effects
            .push(Effect::Clear(self.channels.keys().copied().collect()));
        Ok(Answer::Done)
    }

    /// Unsets the settings that name a channel which is gone.
    pub(super) fn forget_named_channel(&mut self, turn: &mut Turn<'_>, id: ChannelId) {
        let mut changed = false;
        for setting in [
            &mut self.guild.afk_channel_id,
            &mut self.guild.system_channel_id,
            &mut self.guild.rules_channel_id,
            &mut self.guild.public_updates_channel_id,
            &mut self.guild.safety_alerts_channel_id,
            &mut self.guild.widget_channel_id,
        ] {
            if *setting == Some(id) {
                *setting = None;
                changed = true;
            }
        }
        if changed {
            turn.write(Write::PutGuild(Box::new(self.guild.clone())));
            turn.publish(self.guild_update());
        }
    }

    /// The settings with the changes of `patch`, the owner aside, if they make sense.
    fn patched_guild(&self, patch: &GuildPatch) -> Result<Guild> {
        fn set<T: Clone>(field: &mut T, new: &Option<T>) {
            if let Some(new) = new {
                field.clone_from(new);
            }
        }
        let mut errors = FormErrors::new();
        if let Some(name) = &patch.name {
            errors.check_length(
                "name",
                name.trim(),
                limits::GUILD_NAME_MIN,
                limits::GUILD_NAME_MAX,
            );
        }
        if let Some(Some(description)) = &patch.description {
            errors.check_length("description", description, 0, limits::GUILD_DESCRIPTION_MAX);
        }
        let levels = [
            ("verification_level", patch.verification_level, 4),
            (
                "default_message_notifications",
                patch.default_message_notifications,
                1,
            ),
            ("explicit_content_filter", patch.explicit_content_filter, 2),
        ];
        for (path, level, max) in levels {
            if level.is_some_and(|level| level > max) {
                let choices: Vec<String> = (0..=max).map(|level| level.to_string()).collect();
                let message = format!("Value must be one of ({}).", choices.join(", "));
                errors.push(path, "BASE_TYPE_CHOICES", message);
            }
        }
        if patch
            .afk_timeout
            .is_some_and(|seconds| !AFK_TIMEOUTS.contains(&seconds))
        {
            let message = "Value must be one of (60, 300, 900, 1800, 3600).";
            errors.push("afk_timeout", "BASE_TYPE_CHOICES", message);
        }
        let text = |kind| matches!(kind, kind::GUILD_TEXT | kind::GUILD_ANNOUNCEMENT);
        let voice = |kind| kind == kind::GUILD_VOICE;
        self.judge_named("afk_channel_id", patch.afk_channel_id, voice, &mut errors);
        self.judge_named(
            "system_channel_id",
            patch.system_channel_id,
            text,
            &mut errors,
        );
        self.judge_named(
            "rules_channel_id",
            patch.rules_channel_id,
            text,
            &mut errors,
        );
        self.judge_named(
            "public_updates_channel_id",
            patch.public_updates_channel_id,
            text,
            &mut errors,
        );
        self.judge_named(
            "safety_alerts_channel_id",
            patch.safety_alerts_channel_id,
            text,
            &mut errors,
        );
        errors.into_result()?;

        let mut new = self.guild.clone();
        set(
            &mut new.name,
            &patch.name.as_ref().map(|name| name.trim().to_owned()),
        );
        set(&mut new.icon, &patch.icon);
        set(&mut new.description, &patch.description);
        set(&mut new.verification_level, &patch.verification_level);
        set(
            &mut new.default_message_notifications,
            &patch.default_message_notifications,
        );
        set(
            &mut new.explicit_content_filter,
            &patch.explicit_content_filter,
        );
        set(&mut new.afk_channel_id, &patch.afk_channel_id);
        set(&mut new.afk_timeout, &patch.afk_timeout);
        set(&mut new.system_channel_id, &patch.system_channel_id);
        set(&mut new.system_channel_flags, &patch.system_channel_flags);
        set(&mut new.rules_channel_id, &patch.rules_channel_id);
        set(
            &mut new.public_updates_channel_id,
            &patch.public_updates_channel_id,
        );
        set(
            &mut new.safety_alerts_channel_id,
            &patch.safety_alerts_channel_id,
        );
        set(&mut new.preferred_locale, &patch.preferred_locale);
        set(
            &mut new.premium_progress_bar_enabled,
            &patch.premium_progress_bar_enabled,
        );
        Ok(new)
    }

    /// A setting that names a channel names one of the right type.
    fn judge_named(
        &self,
        path: &str,
        named: Option<Option<ChannelId>>,
        fits: impl Fn(u8) -> bool,
        errors: &mut FormErrors,
    ) {
        let Some(Some(id)) = named else {
            return;
        };
        if !self
            .channels
            .get(&id)
            .is_some_and(|channel| fits(channel.kind))
        {
            let message = ChatError::NotFound(Missing::Channel).to_string();
            errors.push(path, "CHANNEL_INVALID", message);
        }
    }
}
