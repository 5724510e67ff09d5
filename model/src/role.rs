//! Roles: named sets of permissions, in an order that is the hierarchy.

use serde::{Deserialize, Serialize};

use crate::id::{GuildId, RoleId};
use crate::permissions::Permissions;

/// A role (Discord docs, Permissions, "Role Object").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// The role's id; `@everyone` has the id of its guild.
    pub id: RoleId,
    /// Name.
    pub name: String,
    /// Description; always `null` today.
    #[serde(default)]
    pub description: Option<String>,
    /// Colour as 0xRRGGBB; 0 = none. Equal to `colors.primary_color`.
    pub color: u32,
    /// Colours of gradient roles.
    pub colors: RoleColors,
    /// Whether members are listed apart.
    pub hoist: bool,
    /// Icon hash.
    pub icon: Option<String>,
    /// Emoji icon.
    pub unicode_emoji: Option<String>,
    /// Place in the hierarchy; 0 is `@everyone`; ties are broken by id, the lower id stands higher.
    pub position: u32,
    /// What the role allows.
    pub permissions: Permissions,
    /// Whether an integration manages it (a bot's own role).
    pub managed: bool,
    /// Whether anyone may mention it.
    pub mentionable: bool,
    /// Role flags.
    pub flags: u64,
}

/// Colours of a role (Discord docs, Permissions, "Role Colors Object").
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleColors {
    /// The primary colour.
    pub primary_color: u32,
    /// Second colour of a gradient.
    pub secondary_color: Option<u32>,
    /// Third colour of a holographic role.
    pub tertiary_color: Option<u32>,
}

impl Role {
    /// A plain role at `position`.
    pub fn new(
        id: RoleId,
        name: impl Into<String>,
        permissions: Permissions,
        position: u32,
    ) -> Self {
        Self {
            id,
            name: name.into(),
            description: None,
            color: 0,
            colors: RoleColors::default(),
            hoist: false,
            icon: None,
            unicode_emoji: None,
            position,
            permissions,
            managed: false,
            mentionable: false,
            flags: 0,
        }
    }

    /// The `@everyone` role of `guild`.
    pub fn everyone(guild: GuildId, permissions: Permissions) -> Self {
        Self::new(guild.cast(), "@everyone", permissions, 0)
    }

    /// Sort key of the hierarchy: a greater key stands higher.
    pub fn rank(&self) -> (u32, std::cmp::Reverse<RoleId>) {
        (self.position, std::cmp::Reverse(self.id))
    }
}
