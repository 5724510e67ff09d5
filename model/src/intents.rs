//! Gateway intents: which events a session asked for (Discord docs, Gateway, "Gateway Intents").

use crate::application;

/// A set of intents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Intents(u64);

impl Intents {
    /// Guilds, roles, channels, pins.
    pub const GUILDS: Self = Self(1);
    /// Members; privileged.
    pub const GUILD_MEMBERS: Self = Self(1 << 1);
    /// Bans and audit log.
    pub const GUILD_MODERATION: Self = Self(1 << 2);
    /// Presences; privileged.
    pub const GUILD_PRESENCES: Self = Self(1 << 8);
    /// Messages in guilds.
    pub const GUILD_MESSAGES: Self = Self(1 << 9);
    /// Reactions in guilds.
    pub const GUILD_MESSAGE_REACTIONS: Self = Self(1 << 10);
    /// Typing in guilds.
    pub const GUILD_MESSAGE_TYPING: Self = Self(1 << 11);
    /// Content of others' messages; privileged.
    pub const MESSAGE_CONTENT: Self = Self(1 << 15);
    /// Bits 0–26: what clients are known to send.
    pub const KNOWN: Self = Self((1 << 27) - 1);
    /// The three privileged intents.
    pub const PRIVILEGED: Self = Self((1 << 1) | (1 << 8) | (1 << 15));
    /// None: events that are always sent.
    pub const NONE: Self = Self(0);
    /// All known intents; what user accounts have.
    pub const ALL: Self = Self::KNOWN;

    /// The set with these bits.
    ///
    /// # Errors
    /// `None` when a bit outside [`Intents::KNOWN`] is set: close with 4013.
    pub fn from_bits(bits: u64) -> Option<Self> {
        (bits & !Self::KNOWN.0 == 0).then_some(Self(bits))
    }

    /// The bits.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// Whether every intent of `other` is in this set; true for [`Intents::NONE`].
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether the sets share an intent.
    pub fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The privileged intents that an application with these [`application::flags`] may use.
    pub fn privileged_of(application_flags: u64) -> Self {
        let mut bits = 0;
        for (flag, intent) in [
            (
                application::flags::GATEWAY_PRESENCE_LIMITED,
                Self::GUILD_PRESENCES,
            ),
            (
                application::flags::GATEWAY_GUILD_MEMBERS_LIMITED,
                Self::GUILD_MEMBERS,
            ),
            (
                application::flags::GATEWAY_MESSAGE_CONTENT_LIMITED,
                Self::MESSAGE_CONTENT,
            ),
        ] {
            // The unlimited flag of large bots is the bit below the limited one.
            if application_flags & (flag | flag >> 1) != 0 {
                bits |= intent.0;
            }
        }
        Self(bits)
    }

    /// Whether an application with `application_flags` may use this set; otherwise close 4014.
    pub fn allowed_for(self, application_flags: u64) -> bool {
        Self::privileged_of(application_flags).contains(Self(self.0 & Self::PRIVILEGED.0))
    }
}

impl std::ops::BitOr for Intents {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_bits_are_refused() {
        assert!(Intents::from_bits(67_108_863).is_some());
        assert!(Intents::from_bits(53_608_447).is_some());
        assert!(Intents::from_bits(1 << 27).is_none());
    }

    #[test]
    fn privileged_need_a_flag() {
        let wanted = Intents::GUILDS | Intents::MESSAGE_CONTENT;
        assert!(!wanted.allowed_for(0));
        assert!(wanted.allowed_for(application::flags::ALL_PRIVILEGED));
        assert!(wanted.allowed_for(1 << 18));
        assert!(Intents::GUILDS.allowed_for(0));
    }
}
