//! Applications: what a bot belongs to, and which privileged intents it may ask for.

use serde::{Deserialize, Serialize};

use crate::id::ApplicationId;

/// Application flags that grant privileged intents (Discord docs, Application Resource, "Flags").
pub mod flags {
    /// GUILD_PRESENCES for bots in fewer than 100 guilds.
    pub const GATEWAY_PRESENCE_LIMITED: u64 = 1 << 13;
    /// GUILD_MEMBERS for bots in fewer than 100 guilds.
    pub const GATEWAY_GUILD_MEMBERS_LIMITED: u64 = 1 << 15;
    /// MESSAGE_CONTENT for bots in fewer than 100 guilds.
    pub const GATEWAY_MESSAGE_CONTENT_LIMITED: u64 = 1 << 19;
    /// All three privileged intents.
    pub const ALL_PRIVILEGED: u64 =
        GATEWAY_PRESENCE_LIMITED | GATEWAY_GUILD_MEMBERS_LIMITED | GATEWAY_MESSAGE_CONTENT_LIMITED;
}

/// What is stored for an application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    /// Equal to the id of the bot user.
    pub id: ApplicationId,
    /// Name.
    pub name: String,
    /// Description.
    #[serde(default)]
    pub description: String,
    /// See [`flags`].
    pub flags: u64,
}
