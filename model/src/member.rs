//! Members: a user in a guild.

use serde::{Deserialize, Serialize};

use crate::Unset;
use crate::id::{GuildId, RoleId, UserId};
use crate::time::Timestamp;
use crate::user::User;

/// What is stored for a member; the user object is joined in when it goes on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRecord {
    /// The guild.
    pub guild_id: GuildId,
    /// The user.
    pub user_id: UserId,
    /// Nickname.
    pub nick: Option<String>,
    /// Roles, without `@everyone`.
    pub roles: Vec<RoleId>,
    /// When the user joined.
    pub joined_at: Timestamp,
    /// Deafened in voice channels.
    #[serde(default)]
    pub deaf: bool,
    /// Muted in voice channels.
    #[serde(default)]
    pub mute: bool,
    /// Guild member flags.
    #[serde(default)]
    pub flags: u64,
    /// Has not passed membership screening.
    #[serde(default)]
    pub pending: bool,
    /// Timed out until then.
    #[serde(default)]
    pub communication_disabled_until: Option<Timestamp>,
}

impl MemberRecord {
    /// A member that has just joined.
    pub fn new(guild_id: GuildId, user_id: UserId, joined_at: Timestamp) -> Self {
        Self {
            guild_id,
            user_id,
            nick: None,
            roles: Vec::new(),
            joined_at,
            deaf: false,
            mute: false,
            flags: 0,
            pending: false,
            communication_disabled_until: None,
        }
    }

    /// The member as it goes on the wire beside a separate `user` (in messages).
    pub fn partial(&self) -> PartialMember {
        PartialMember {
            nick: self.nick.clone(),
            avatar: None,
            banner: None,
            roles: self.roles.clone(),
            joined_at: self.joined_at,
            premium_since: None,
            deaf: self.deaf,
            mute: self.mute,
            flags: self.flags,
            pending: self.pending,
            communication_disabled_until: self.communication_disabled_until,
            avatar_decoration_data: None,
            collectibles: None,
        }
    }

    /// The member as it goes on the wire, with its user.
    pub fn with_user(&self, user: &User) -> Member {
        Member {
            user: user.clone(),
            member: self.partial(),
        }
    }
}

/// A member without its user (Discord docs, Guild Resource, "Guild Member Object").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartialMember {
    /// Nickname.
    pub nick: Option<String>,
    /// Guild avatar hash.
    pub avatar: Option<String>,
    /// Guild banner hash.
    pub banner: Option<String>,
    /// Roles, without `@everyone`.
    pub roles: Vec<RoleId>,
    /// When the user joined.
    pub joined_at: Timestamp,
    /// When the user began boosting.
    pub premium_since: Option<Timestamp>,
    /// Deafened in voice channels.
    pub deaf: bool,
    /// Muted in voice channels.
    pub mute: bool,
    /// Guild member flags.
    pub flags: u64,
    /// Has not passed membership screening.
    pub pending: bool,
    /// Timed out until then.
    pub communication_disabled_until: Option<Timestamp>,
    /// Guild avatar decoration.
    pub avatar_decoration_data: Unset,
    /// Collectibles.
    pub collectibles: Unset,
}

/// A member with its user (Discord docs, Guild Resource, "Guild Member Object").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The user.
    pub user: User,
    /// The membership.
    #[serde(flatten)]
    pub member: PartialMember,
}
