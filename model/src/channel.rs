//! Channels of a guild and their permission overwrites.

use serde::{Deserialize, Serialize};

use crate::id::{ChannelId, GuildId, Id, MessageId, RoleId, UserId, marker};
use crate::permissions::Permissions;
use crate::time::Timestamp;

/// Channel types (Discord docs, Channels Resource, "Channel Types").
pub mod kind {
    /// A text channel.
    pub const GUILD_TEXT: u8 = 0;
    /// A voice channel.
    pub const GUILD_VOICE: u8 = 2;
    /// A category that holds channels.
    pub const GUILD_CATEGORY: u8 = 4;
    /// An announcement channel.
    pub const GUILD_ANNOUNCEMENT: u8 = 5;
    /// A stage channel.
    pub const GUILD_STAGE_VOICE: u8 = 13;
    /// A forum channel.
    pub const GUILD_FORUM: u8 = 15;
}

/// A channel of a guild (Discord docs, Channels Resource, "Channel Object").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// The channel's id.
    pub id: ChannelId,
    /// See [`kind`].
    #[serde(rename = "type")]
    pub kind: u8,
    /// The guild it belongs to.
    pub guild_id: GuildId,
    /// Name.
    pub name: String,
    /// Topic.
    pub topic: Option<String>,
    /// Place in the list.
    pub position: u32,
    /// The category it is in.
    pub parent_id: Option<ChannelId>,
    /// Overwrites of roles and members.
    pub permission_overwrites: Vec<Overwrite>,
    /// Age-restricted.
    pub nsfw: bool,
    /// Slow mode, seconds between messages of one member (0–21,600).
    pub rate_limit_per_user: u32,
    /// Newest message, may name a deleted one.
    pub last_message_id: Option<MessageId>,
    /// When a message was last pinned.
    pub last_pin_timestamp: Option<Timestamp>,
    /// Channel flags.
    pub flags: u64,
    /// Minutes of inactivity after which new threads are archived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_auto_archive_duration: Option<u32>,
    /// Bits per second, for voice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bitrate: Option<u32>,
    /// Member limit, for voice; 0 = none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_limit: Option<u32>,
    /// Voice region; `null` = automatic.
    #[serde(default)]
    pub rtc_region: Option<String>,
}

impl Channel {
    /// A channel of type `kind` with nothing but a name.
    pub fn new(id: ChannelId, guild_id: GuildId, kind: u8, name: impl Into<String>) -> Self {
        let voice = matches!(kind, kind::GUILD_VOICE | kind::GUILD_STAGE_VOICE);
        Self {
            id,
            kind,
            guild_id,
            name: name.into(),
            topic: None,
            position: 0,
            parent_id: None,
            permission_overwrites: Vec::new(),
            nsfw: false,
            rate_limit_per_user: 0,
            last_message_id: None,
            last_pin_timestamp: None,
            flags: 0,
            default_auto_archive_duration: None,
            bitrate: voice.then_some(64_000),
            user_limit: voice.then_some(0),
            rtc_region: None,
        }
    }

    /// Whether messages can be posted in it (text, announcement, voice and stage chats).
    pub fn is_textual(&self) -> bool {
        matches!(
            self.kind,
            kind::GUILD_TEXT
                | kind::GUILD_ANNOUNCEMENT
                | kind::GUILD_VOICE
                | kind::GUILD_STAGE_VOICE
        )
    }
}

/// Allows and denies permissions to a role or a member in one channel (Discord docs, Channels
/// Resource, "Overwrite Object").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overwrite {
    /// Id of the role or user.
    pub id: Id<marker::GenericMarker>,
    /// 0 = role, 1 = member.
    #[serde(rename = "type")]
    pub kind: u8,
    /// Permissions it grants.
    pub allow: Permissions,
    /// Permissions it takes away.
    pub deny: Permissions,
}

impl Overwrite {
    /// An overwrite of a role.
    pub fn role(id: RoleId, allow: Permissions, deny: Permissions) -> Self {
        Self {
            id: id.cast(),
            kind: 0,
            allow,
            deny,
        }
    }

    /// An overwrite of a member.
    pub fn member(id: UserId, allow: Permissions, deny: Permissions) -> Self {
        Self {
            id: id.cast(),
            kind: 1,
            allow,
            deny,
        }
    }
}
