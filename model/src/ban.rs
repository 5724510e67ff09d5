//! Bans of a guild.

use serde::{Deserialize, Serialize};

use crate::id::{GuildId, UserId};
use crate::user::User;

/// What is stored for a ban.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BanRecord {
    /// The guild.
    pub guild_id: GuildId,
    /// The banned user.
    pub user_id: UserId,
    /// Why, as given by the moderator.
    pub reason: Option<String>,
}

/// A ban on the wire (Discord docs, Guild Resource, "Ban Object").
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ban {
    /// The banned user.
    pub user: User,
    /// Why.
    pub reason: Option<String>,
}
