//! Rules of channels (Discord docs, Channels Resource and Guild Resource).

use model::channel::{Channel, Overwrite, kind};
use model::event::Audience;
use model::form::FormErrors;
use model::permissions::Permissions;
use model::{ChannelId, limits};
use storage::store::Write;

use super::{Asker, GuildState, Turn};
use crate::error::{ChatError, Missing, Refusal, Result};
use crate::guild::command::{Answer, ChannelMove, ChannelPatch};

/// Types a channel of a guild can be made as.
const KINDS: [u8; 6] = [
    kind::GUILD_TEXT,
    kind::GUILD_VOICE,
    kind::GUILD_CATEGORY,
    kind::GUILD_ANNOUNCEMENT,
    kind::GUILD_STAGE_VOICE,
    kind::GUILD_FORUM,
];

/// Bits per second of voice without boosts (Channels Resource, "Modify Channel").
const BITRATE: std::ops::RangeInclusive<u32> = 8_000..=96_000;

/// Most members of a voice channel that can be asked for; 0 is no limit.
const USER_LIMIT_MAX: u32 = 99;

/// The same for a stage.
const STAGE_USER_LIMIT_MAX: u32 = 10_000;

/// Minutes after which threads can be archived.
const AUTO_ARCHIVE_MINUTES: [u32; 4] = [60, 1_440, 4_320, 10_080];

/// Discord's flag of a channel that a client may set: "require tag", of forums.
const FLAGS_SETTABLE: u64 = 1 << 4;

impl GuildState {
    pub(super) fn create_channel(
        &mut self,
        turn: &mut Turn<'_>,
        asker: Asker,
        patch: ChannelPatch,
    ) -> Result<Answer> {
        asker.needs(Permissions::MANAGE_CHANNELS)?;
        if self.channels.len() >= limits::CHANNELS_MAX {
            return Err(ChatError::Refused(Refusal::ChannelsMax));
        }
        let wanted = patch.kind.unwrap_or(kind::GUILD_TEXT);
        if !KINDS.contains(&wanted) {
            return Err(FormErrors::one(
                "type",
                "BASE_TYPE_CHOICES",
                "Value must be a guild channel type.",
            )
            .into());
        }
        if patch.name.is_none() {
            return Err(
                FormErrors::one("name", "BASE_TYPE_REQUIRED", "This field is required").into(),
            );
        }
        let draft = Channel::new(self.guild.id.cast(), self.guild.id, wanted, "");
        let mut channel = self.patched(&asker, &draft, &patch)?;
        channel.position = patch.position.unwrap_or_else(|| self.next_position(wanted));
        channel.permission_overwrites = match patch.permission_overwrites {
            Some(overwrites) if !overwrites.is_empty() => {
                asker.needs(Permissions::MANAGE_ROLES)?;
                self.judge_overwrites(&[], overwrites, asker.base)?
            }
            // A channel made inside a category without overwrites of its own is in sync with it.
            _ => self.overwrites_of(channel.parent_id),
        };
        channel.id = turn.ids.next(turn.now_ms);
        let before = self.sight();
        self.channels.insert(channel.id, channel.clone());
        turn.write(Write::PutChannel(Box::new(channel.clone())));
        self.publish_sight(turn, &before, &[], |_, _| {});
        Ok(Answer::Channel(Box::new(channel)))
    }

    pub(super) fn modify_channel(
        &mut self,
        turn: &mut Turn<'_>,
        asker: Asker,
        id: ChannelId,
        patch: ChannelPatch,
    ) -> Result<Answer> {
        let (old, has) = self.allowed_in(&asker, id, Permissions::MANAGE_CHANNELS)?;
        let mut new = self.patched(&asker, old, &patch)?;
        if let Some(overwrites) = patch.permission_overwrites
            && overwrites != old.permission_overwrites
        {
            super::check(has, Permissions::MANAGE_ROLES)?;
            new.permission_overwrites =
                self.judge_overwrites(&old.permission_overwrites, overwrites, has)?;
        }
        if new != *old {
            let old = old.clone();
            self.replace_channels(turn, vec![old], vec![new.clone()]);
        }
        Ok(Answer::Channel(Box::new(new)))
    }

    pub(super) fn delete_channel(
        &mut self,
        turn: &mut Turn<'_>,
        asker: Asker,
        id: ChannelId,
    ) -> Result<Answer> {
        self.allowed_in(&asker, id, Permissions::MANAGE_CHANNELS)?;
        let Some(gone) = self.channels.remove(&id) else {
            return Err(ChatError::NotFound(Missing::Channel));
        };
        self.slow_mode.forget(id);
        self.recent.forget_channel(id);
        turn.write(Write::DeleteChannel(self.guild.id, id));
        turn.publish(self.channel_event("CHANNEL_DELETE", Audience::Channel(id), &gone));
        let children: Vec<Channel> = self
            .channels
            .values()
            .filter(|channel| channel.parent_id == Some(id))
            .cloned()
            .collect();
        let orphans = children
            .iter()
            .map(|child| Channel {
                parent_id: None,
                ..child.clone()
            })
            .collect();
        self.replace_channels(turn, children, orphans);
        self.forget_named_channel(turn, id);
        Ok(Answer::Channel(Box::new(gone)))
    }

    pub(super) fn move_channels(
        &mut self,
        turn: &mut Turn<'_>,
        asker: Asker,
        moves: &[ChannelMove],
    ) -> Result<Answer> {
        asker.needs(Permissions::MANAGE_CHANNELS)?;
        let (mut old, mut new) = (Vec::new(), Vec::new());
        for one in moves {
            let (channel, has) = self.seen(&asker, one.id)?;
            let patch = ChannelPatch {
                position: one.position,
                parent_id: one.parent_id,
                ..ChannelPatch::default()
            };
            let mut moved = self.patched(&asker, channel, &patch)?;
            if one.lock_permissions && moved.parent_id.is_some() {
                super::check(has, Permissions::MANAGE_ROLES)?;
                let overwrites = self.overwrites_of(moved.parent_id);
                moved.permission_overwrites =
                    self.judge_overwrites(&channel.permission_overwrites, overwrites, has)?;
            }
            if moved != *channel && old.iter().all(|seen: &Channel| seen.id != one.id) {
                old.push(channel.clone());
                new.push(moved);
            }
        }
        self.replace_channels(turn, old, new);
        Ok(Answer::Done)
    }

    // ── Forms ─────────────────────────────────────────────────────────────────────────────────

    /// The channel with the changes of `patch`, overwrites aside, if they make sense.
    fn patched(&self, asker: &Asker, old: &Channel, patch: &ChannelPatch) -> Result<Channel> {
        let mut errors = FormErrors::new();
        let mut new = old.clone();
        let mut range = |path: &str, value: u32, min: u32, max: u32| {
            if !(min..=max).contains(&value) {
                let message = format!("int value should be between {min} and {max}.");
                errors.push(path, "NUMBER_TYPE_RANGE", message);
            }
            value
        };
        let voice = matches!(old.kind, kind::GUILD_VOICE | kind::GUILD_STAGE_VOICE);
        if let Some(seconds) = patch.rate_limit_per_user {
            new.rate_limit_per_user =
                range("rate_limit_per_user", seconds, 0, limits::SLOW_MODE_MAX);
        }
        if let Some(bitrate) = patch.bitrate.filter(|_| voice) {
            new.bitrate = Some(range("bitrate", bitrate, *BITRATE.start(), *BITRATE.end()));
        }
        if let Some(users) = patch.user_limit.filter(|_| voice) {
            let stage = old.kind == kind::GUILD_STAGE_VOICE;
            let max = if stage {
                STAGE_USER_LIMIT_MAX
            } else {
                USER_LIMIT_MAX
            };
            new.user_limit = Some(range("user_limit", users, 0, max));
        }
        if let Some(name) = &patch.name {
            let name = normal_name(old.kind, name);
            errors.check_length(
                "name",
                &name,
                limits::CHANNEL_NAME_MIN,
                limits::CHANNEL_NAME_MAX,
            );
            new.name = name;
        }
        if let Some(topic) = &patch.topic {
            let max = if old.kind == kind::GUILD_FORUM {
                limits::FORUM_TOPIC_MAX
            } else {
                limits::TOPIC_MAX
            };
            errors.check_length("topic", topic.as_deref().unwrap_or_default(), 0, max);
            new.topic = topic.clone().filter(|topic| !topic.is_empty());
        }
        if let Some(minutes) = patch.default_auto_archive_duration {
            if minutes.is_some_and(|minutes| !AUTO_ARCHIVE_MINUTES.contains(&minutes)) {
                let message = "Value must be one of (60, 1440, 4320, 10080).";
                errors.push(
                    "default_auto_archive_duration",
                    "BASE_TYPE_CHOICES",
                    message,
                );
            }
            new.default_auto_archive_duration = minutes;
        }
        if let Some(wanted) = patch.kind.filter(|wanted| *wanted != old.kind) {
            let convertible = |kind| matches!(kind, kind::GUILD_TEXT | kind::GUILD_ANNOUNCEMENT);
            if convertible(old.kind) && convertible(wanted) {
                new.kind = wanted;
            } else {
                errors.push(
                    "type",
                    "BASE_TYPE_CHOICES",
                    "A channel of this type cannot become one of that type.",
                );
            }
        }
        if let Some(parent) = patch.parent_id {
            self.judge_parent(asker, old, parent, &mut errors);
            new.parent_id = parent;
        }
        if let Some(nsfw) = patch.nsfw {
            new.nsfw = nsfw;
        }
        if let Some(position) = patch.position {
            new.position = position;
        }
        if let Some(flags) = patch.flags {
            new.flags = (old.flags & !FLAGS_SETTABLE) | (flags & FLAGS_SETTABLE);
        }
        errors.into_result()?;
        Ok(new)
    }

    /// A category that the asker cannot see is none: what is under it takes its overwrites.
    fn judge_parent(
        &self,
        asker: &Asker,
        child: &Channel,
        parent: Option<ChannelId>,
        errors: &mut FormErrors,
    ) {
        let Some(parent) = parent.filter(|parent| Some(*parent) != child.parent_id) else {
            return;
        };
        let category = self
            .seen(asker, parent)
            .is_ok_and(|(channel, _)| channel.kind == kind::GUILD_CATEGORY);
        if !category {
            errors.push(
                "parent_id",
                "CHANNEL_PARENT_INVALID",
                "Category does not exist",
            );
        } else if child.kind == kind::GUILD_CATEGORY {
            errors.push(
                "parent_id",
                "CHANNEL_PARENT_INVALID_TYPE",
                "Categories cannot have a parent",
            );
        } else if self.children(parent) >= limits::CATEGORY_CHANNELS_MAX {
            let message = "Maximum number of channels in category reached (50)";
            errors.push("parent_id", "CHANNEL_PARENT_MAX_CHANNELS", message);
        }
    }

    fn children(&self, parent: ChannelId) -> usize {
        self.channels
            .values()
            .filter(|channel| channel.parent_id == Some(parent))
            .count()
    }

    fn overwrites_of(&self, parent: Option<ChannelId>) -> Vec<Overwrite> {
        let parent = parent.and_then(|parent| self.channels.get(&parent));
        parent.map_or_else(Vec::new, |parent| parent.permission_overwrites.clone())
    }

    /// Below the channels that are listed together with one of this type.
    fn next_position(&self, wanted: u8) -> u32 {
        let group = |kind| match kind {
            kind::GUILD_CATEGORY => 0,
            kind::GUILD_VOICE | kind::GUILD_STAGE_VOICE => 1,
            _ => 2,
        };
        let same = self
            .channels
            .values()
            .filter(|channel| group(channel.kind) == group(wanted));
        same.map(|channel| channel.position.saturating_add(1))
            .max()
            .unwrap_or(0)
    }
}

/// Names of channels with text are lower case and have dashes for blanks, as Discord makes them.
fn normal_name(kind: u8, name: &str) -> String {
    match kind {
        kind::GUILD_TEXT | kind::GUILD_ANNOUNCEMENT | kind::GUILD_FORUM => name
            .split_whitespace()
            .collect::<Vec<_>>()
            .join("-")
            .to_lowercase(),
        _ => name.trim().to_owned(),
    }
}
