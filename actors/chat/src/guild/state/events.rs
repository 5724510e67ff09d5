//! The events a guild publishes, each with its audience and intent (Discord docs, Gateway Events;
//! Gateway, "List of Intents").

use model::channel::Channel;
use model::emoji::ReactionEmoji;
use model::event::{Audience, Class, Encoded, Latest, ReactionChange, Reactions};
use model::intents::Intents;
use model::member::Member;
use model::message::Message;
use model::presence::{ClientStatus, Presence, PresenceUpdate, PresenceUser, Status};
use model::role::Role;
use model::user::User;
use model::{ChannelId, GuildId, MessageId, RoleId, UserId};
use serde::Serialize;
use serde_json::{Value, json};

use super::{GuildState, Row, Shown};
use crate::content;

/// A member with the guild it is of.
#[derive(Serialize)]
struct MemberOf<'a> {
    guild_id: GuildId,
    #[serde(flatten)]
    member: &'a Member,
}

/// MESSAGE_UPDATE of a whole message that has `guild_id` and `member` set, as it is in the store.
pub(crate) fn message_update(guild: GuildId, message: &Message) -> Encoded {
    // It says which reactions there are by then.
    let settled = Reactions::Settled([message.id].into());
    message_event("MESSAGE_UPDATE", guild, message)
        .passive_for([])
        .reactions(settled)
}

/// Sessions without MESSAGE_CONTENT get it as [`content`] says.
fn message_event(name: &'static str, guild: GuildId, message: &Message) -> Encoded {
    let audience = Audience::Channel(message.channel_id);
    let event = Encoded::new(
        name,
        Some(guild),
        audience,
        Intents::GUILD_MESSAGES,
        message,
    );
    let blank = content::blank(message);
    if blank == *message {
        return event;
    }
    event.redacted(&blank, content::whole_for(message))
}

impl GuildState {
    fn event(
        &self,
        name: &'static str,
        audience: Audience,
        intents: Intents,
        data: &impl Serialize,
    ) -> Encoded {
        Encoded::new(name, Some(self.guild.id), audience, intents, data)
    }

    fn of_guild(&self, name: &'static str, intents: Intents, data: &impl Serialize) -> Encoded {
        self.event(name, Audience::Guild, intents, data)
    }

    fn of_channel(
        &self,
        name: &'static str,
        channel: ChannelId,
        intents: Intents,
        data: &Value,
    ) -> Encoded {
        self.event(name, Audience::Channel(channel), intents, data)
    }

    // ── Messages ──────────────────────────────────────────────────────────────────────────────

    /// MESSAGE_CREATE of a message as it is answered to its author. Passive sessions get it when
    /// it is their user's or mentions them: by name, by a role they have, or as everyone.
    pub(super) fn message_create(&self, message: &Message) -> Encoded {
        let mut message = message.clone();
        message.guild_id = Some(self.guild.id);
        message.member = self.partial(message.author.id);
        let event = message_event("MESSAGE_CREATE", self.guild.id, &message);
        let event = match self.channels.get(&message.channel_id) {
            Some(channel) => event.latest(latest(channel)),
            None => event,
        };
        if message.mention_everyone {
            return event;
        }
        let named = message.mentions.iter().map(|user| user.id);
        let users = std::iter::once(message.author.id).chain(named);
        let roles = message.mention_roles.iter();
        event.passive_for_sets(users, roles.filter_map(|role| self.holders.of(*role)))
    }

    pub(super) fn message_delete(&self, channel: ChannelId, message: MessageId) -> Encoded {
        let data = json!({"id": message, "channel_id": channel, "guild_id": self.guild.id});
        self.of_channel("MESSAGE_DELETE", channel, Intents::GUILD_MESSAGES, &data)
            .passive_for([])
            .reactions(Reactions::Settled([message].into()))
    }

    pub(super) fn message_delete_bulk(
        &self,
        channel: ChannelId,
        messages: &[MessageId],
    ) -> Encoded {
        let data = json!({"ids": messages, "channel_id": channel, "guild_id": self.guild.id});
        self.of_channel(
            "MESSAGE_DELETE_BULK",
            channel,
            Intents::GUILD_MESSAGES,
            &data,
        )
        .passive_for([])
        .reactions(Reactions::Settled(messages.into()))
    }

    pub(super) fn reaction_add(
        &self,
        row: &Row,
        channel: ChannelId,
        message: MessageId,
        author: UserId,
        emoji: &ReactionEmoji,
    ) -> Encoded {
        let data = json!({
            "user_id": row.record.user_id,
            "channel_id": channel,
            "message_id": message,
            "guild_id": self.guild.id,
            "member": self.member(row),
            "emoji": emoji,
            "message_author_id": author,
            "burst": false,
            "burst_colors": [],
            "type": 0,
        });
        self.of_channel(
            "MESSAGE_REACTION_ADD",
            channel,
            Intents::GUILD_MESSAGE_REACTIONS,
            &data,
        )
        .passive_for([])
        .reactions(Reactions::Changed(Box::new(ReactionChange::new(
            message,
            row.record.user_id,
            emoji,
            true,
            true,
        ))))
    }

    /// `own`: whether its user took it back, not a moderator.
    pub(super) fn reaction_remove(
        &self,
        user: UserId,
        channel: ChannelId,
        message: MessageId,
        emoji: &ReactionEmoji,
        own: bool,
    ) -> Encoded {
        let data = json!({
            "user_id": user,
            "channel_id": channel,
            "message_id": message,
            "guild_id": self.guild.id,
            "emoji": emoji,
            "burst": false,
            "type": 0,
        });
        self.of_channel(
            "MESSAGE_REACTION_REMOVE",
            channel,
            Intents::GUILD_MESSAGE_REACTIONS,
            &data,
        )
        .passive_for([])
        .reactions(Reactions::Changed(Box::new(ReactionChange::new(
            message, user, emoji, false, own,
        ))))
    }

    pub(super) fn reactions_cleared(
        &self,
        channel: ChannelId,
        message: MessageId,
        emoji: Option<&ReactionEmoji>,
    ) -> Encoded {
        let mut data =
            json!({"channel_id": channel, "message_id": message, "guild_id": self.guild.id});
        let name = match emoji {
            Some(emoji) => {
                data["emoji"] = json!(emoji);
                "MESSAGE_REACTION_REMOVE_EMOJI"
            }
            None => "MESSAGE_REACTION_REMOVE_ALL",
        };
        self.of_channel(name, channel, Intents::GUILD_MESSAGE_REACTIONS, &data)
            .passive_for([])
            .reactions(Reactions::Settled([message].into()))
    }

    pub(super) fn pins_update(&self, channel: &Channel) -> Encoded {
        let data = json!({
            "guild_id": self.guild.id,
            "channel_id": channel.id,
            "last_pin_timestamp": channel.last_pin_timestamp,
        });
        self.of_channel("CHANNEL_PINS_UPDATE", channel.id, Intents::GUILDS, &data)
            .passive_for([])
            .latest(latest(channel))
    }

    pub(super) fn typing_start(&self, row: &Row, channel: ChannelId, now_ms: u64) -> Encoded {
        let data = json!({
            "channel_id": channel,
            "guild_id": self.guild.id,
            "user_id": row.record.user_id,
            "timestamp": now_ms / 1_000,
            "member": self.member(row),
        });
        self.of_channel(
            "TYPING_START",
            channel,
            Intents::GUILD_MESSAGE_TYPING,
            &data,
        )
        .class(Class::Typing)
        .passive_for([])
    }

    // ── Guild, channels, roles ────────────────────────────────────────────────────────────────

    pub(super) fn guild_update(&self) -> Encoded {
        self.of_guild("GUILD_UPDATE", Intents::GUILDS, &self.view(false))
    }

    /// GUILD_DELETE without `unavailable`: the receiver is no longer in it.
    pub(super) fn guild_delete(&self, audience: Audience) -> Encoded {
        self.event(
            "GUILD_DELETE",
            audience,
            Intents::GUILDS,
            &json!({"id": self.guild.id}),
        )
    }

    pub(super) fn channel_event(
        &self,
        name: &'static str,
        audience: Audience,
        channel: &Channel,
    ) -> Encoded {
        self.event(name, audience, Intents::GUILDS, channel)
    }

    pub(super) fn channel_update(&self, channel: &Channel) -> Encoded {
        self.channel_event("CHANNEL_UPDATE", Audience::Channel(channel.id), channel)
    }

    pub(super) fn role_event(&self, name: &'static str, role: &Role) -> Encoded {
        self.of_guild(
            name,
            Intents::GUILDS,
            &json!({"guild_id": self.guild.id, "role": role}),
        )
    }

    pub(super) fn role_delete(&self, role: RoleId) -> Encoded {
        let data = json!({"guild_id": self.guild.id, "role_id": role});
        self.of_guild("GUILD_ROLE_DELETE", Intents::GUILDS, &data)
    }

    // ── Members ───────────────────────────────────────────────────────────────────────────────

    pub(super) fn member_add(&self, row: &Row) -> Encoded {
        let data = MemberOf {
            guild_id: self.guild.id,
            member: &self.member(row),
        };
        self.of_guild("GUILD_MEMBER_ADD", Intents::GUILD_MEMBERS, &data)
            .passive_for([])
    }

    pub(super) fn member_update(&self, row: &Row) -> Encoded {
        let data = MemberOf {
            guild_id: self.guild.id,
            member: &self.member(row),
        };
        self.of_guild("GUILD_MEMBER_UPDATE", Intents::GUILD_MEMBERS, &data)
            .always_for(row.record.user_id)
            .passive_for([row.record.user_id])
    }

    pub(super) fn member_remove(&self, user: &User) -> Encoded {
        let data = json!({"guild_id": self.guild.id, "user": user});
        self.of_guild("GUILD_MEMBER_REMOVE", Intents::GUILD_MEMBERS, &data)
            .passive_for([user.id])
    }

    pub(super) fn ban_event(&self, name: &'static str, user: &User) -> Encoded {
        let data = json!({"guild_id": self.guild.id, "user": user});
        self.of_guild(name, Intents::GUILD_MODERATION, &data)
            .passive_for([])
    }

    pub(super) fn presence_update(&self, user: UserId, shown: Option<&Shown>) -> Encoded {
        let data = self.presence_of(user, shown);
        self.of_guild("PRESENCE_UPDATE", Intents::GUILD_PRESENCES, &data)
            .class(Class::Presence)
            .passive_for([])
    }

    pub(super) fn presence_of(&self, user: UserId, shown: Option<&Shown>) -> PresenceUpdate {
        let shown = shown.map(|shown| (shown.presence.clone(), shown.client_status));
        presence_of(self.guild.id, user, shown)
    }
}

/// What others see of a user in a guild; `None` = offline.
pub(crate) fn presence_of(
    guild: GuildId,
    user: UserId,
    shown: Option<(Presence, ClientStatus)>,
) -> PresenceUpdate {
    let (presence, client_status) = shown.unzip();
    PresenceUpdate {
        user: PresenceUser { id: user },
        guild_id: guild,
        status: presence
            .as_ref()
            .map_or(Status::Offline, |presence| presence.status),
        activities: presence.map_or_else(Vec::new, |presence| presence.activities),
        client_status: client_status.unwrap_or_default(),
    }
}

fn latest(channel: &Channel) -> Latest {
    Latest {
        id: channel.id,
        last_message_id: channel.last_message_id,
        last_pin_timestamp: channel.last_pin_timestamp,
    }
}

/// The sessions of these users.
pub(super) fn users(users: impl IntoIterator<Item = UserId>) -> Audience {
    let mut users: Vec<UserId> = users.into_iter().collect();
    users.sort_unstable();
    Audience::Users(users.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_of_an_audience_are_in_order() {
        let Audience::Users(users) = users([3, 1, 2].map(UserId::new)) else {
            panic!("an audience of users");
        };
        assert_eq!(*users, [1, 2, 3].map(UserId::new));
    }
}
