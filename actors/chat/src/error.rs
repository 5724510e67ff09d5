//! What a caller of the chat system can act on; the gateway gives each its status and JSON code.

use model::form::FormErrors;
use storage::StoreError;

/// Result of a chat operation.
pub type Result<T> = std::result::Result<T, ChatError>;

/// Why an operation was refused or failed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ChatError {
    /// The token names no account, or an old one. Nothing was changed; log in again.
    #[error("401: Unauthorized")]
    Unauthorized,
    /// No such thing, or none the caller may know of. Nothing was changed.
    #[error("unknown {0}")]
    NotFound(Missing),
    /// The caller cannot see the channel or guild. Nothing was changed.
    #[error("Missing Access")]
    MissingAccess,
    /// The caller sees it but may not do that. Nothing was changed.
    #[error("Missing Permissions")]
    MissingPermissions,
    /// The request is well-formed but not allowed here. Nothing was changed.
    #[error("{}", .0.message())]
    Refused(Refusal),
    /// Fields of the request are wrong. Nothing was changed; correct them and send it again.
    #[error("Invalid Form Body")]
    Form(FormErrors),
    /// Slow mode: nothing was changed; wait this many seconds.
    #[error("slow mode: wait {retry_after} s")]
    SlowMode {
        /// Seconds until the member may post again.
        retry_after: f64,
    },
    /// Too much work is queued. Nothing was changed; try again after a moment.
    #[error("overloaded; nothing was changed, try again later")]
    Busy,
    /// The process that serves this is restarting, the node is stopping, or the guild is another
    /// node's. Nothing was changed; try again.
    #[error("not available now; nothing was changed, try again")]
    Unavailable,
    /// The store did not take the change, or did not answer a read: no quorum of a cluster, a store
    /// that is closed. Nothing was changed; try again after a moment. What it said is for the log.
    #[error("the store does not answer; nothing was changed, try again later: {0}")]
    NotApplied(String),
    /// More at once than the store takes. Nothing was changed; the same again will be refused again,
    /// less may do. What it said is for the log.
    #[error("too large for the store; nothing was changed: {0}")]
    TooLarge(String),
    /// The disk of the node has no room. Nothing was changed; it goes on by itself when an operator has
    /// made room. What the store said is for the log.
    #[error("the disk is full; nothing was changed, try again later: {0}")]
    Full(String),
    /// The store takes no more writes, or could not read: the disk failed. Nothing was changed; try
    /// again when the node has been started anew.
    #[error("the store is broken; nothing was changed: {0}")]
    Broken(String),
    /// It is not known whether the change was made; read before trying again (or send the same
    /// nonce with `enforce_nonce`).
    #[error("outcome unknown: {0}")]
    Unknown(String),
    /// A stored value is broken, or something that cannot be is.
    #[error("internal error: {0}")]
    Internal(String),
}

/// What was not found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Missing {
    /// 10003.
    Channel,
    /// 10004.
    Guild,
    /// 10007.
    Member,
    /// 10008.
    Message,
    /// 10009 overwrite.
    Overwrite,
    /// 10011.
    Role,
    /// 10013.
    User,
    /// 10014.
    Emoji,
    /// 10026.
    Ban,
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self {
            Self::Channel => "Channel",
            Self::Guild => "Guild",
            Self::Member => "Member",
            Self::Message => "Message",
            Self::Overwrite => "Overwrite",
            Self::Role => "Role",
            Self::User => "User",
            Self::Emoji => "Emoji",
            Self::Ban => "Ban",
        };
        f.write_str(name)
    }
}

/// Well-formed requests that are not allowed here, each with its code of Discord's docs (Opcodes
/// and Status Codes, "JSON Error Codes").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// 20001: bots cannot use this endpoint.
    BotsNotAllowed,
    /// 30001: too many guilds.
    GuildsMax,
    /// 30003: too many pins in the channel.
    PinsMax,
    /// 30005: too many roles.
    RolesMax,
    /// 30010: too many kinds of reactions.
    ReactionsMax,
    /// 30013: too many channels.
    ChannelsMax,
    /// 30019: too many members.
    MembersMax,
    /// 30060: too many overwrites on the channel.
    OverwritesMax,
    /// 50005: only the author edits a message.
    EditOthers,
    /// 50006: a message without content.
    EmptyMessage,
    /// 50008: messages cannot be posted in this type of channel.
    NonTextChannel,
    /// 50019: only pinned in its own channel.
    PinWrongChannel,
    /// 50021: not on a system message.
    SystemMessage,
    /// 50024: not on this type of channel.
    ChannelType,
    /// 50028: not a role one can do that with.
    InvalidRole,
    /// 50034: older than 14 days.
    BulkTooOld,
    /// 50016: 2–100 messages at once.
    BulkCount,
    /// 40007: the user is banned from the guild.
    Banned,
    /// 50067 and others: a guild's owner cannot leave it.
    OwnerCannotLeave,
}

impl Refusal {
    /// The JSON code.
    pub fn code(self) -> u32 {
        match self {
            Self::BotsNotAllowed => 20_001,
            Self::GuildsMax => 30_001,
            Self::PinsMax => 30_003,
            Self::RolesMax => 30_005,
            Self::ReactionsMax => 30_010,
            Self::ChannelsMax => 30_013,
            Self::MembersMax => 30_019,
            Self::OverwritesMax => 30_060,
            Self::Banned => 40_007,
            Self::EditOthers => 50_005,
            Self::EmptyMessage => 50_006,
            Self::NonTextChannel => 50_008,
            Self::BulkCount => 50_016,
            Self::PinWrongChannel => 50_019,
            Self::SystemMessage => 50_021,
            Self::ChannelType => 50_024,
            Self::InvalidRole => 50_028,
            Self::BulkTooOld => 50_034,
            Self::OwnerCannotLeave => 50_055,
        }
    }

    /// The message Discord gives with the code.
    pub fn message(self) -> &'static str {
        match self {
            Self::BotsNotAllowed => "Bots cannot use this endpoint",
            Self::GuildsMax => "Maximum number of guilds reached (100)",
            Self::PinsMax => "Maximum number of pins reached for the channel (250)",
            Self::RolesMax => "Maximum number of guild roles reached (250)",
            Self::ReactionsMax => "Maximum number of reactions reached (20)",
            Self::ChannelsMax => "Maximum number of guild channels reached (500)",
            Self::MembersMax => "Maximum number of server members reached",
            Self::OverwritesMax => "Maximum number of channel permission overwrites reached (1000)",
            Self::Banned => "The user is banned from this guild",
            Self::EditOthers => "Cannot edit a message authored by another user",
            Self::EmptyMessage => "Cannot send an empty message",
            Self::NonTextChannel => "Cannot send messages in a non-text channel",
            Self::BulkCount => {
                "Provided too few or too many messages to delete. Must provide at least 2 and fewer than 100 messages to delete"
            }
            Self::PinWrongChannel => "A message can only be pinned to the channel it was sent in",
            Self::SystemMessage => "Cannot execute action on a system message",
            Self::ChannelType => "Cannot execute action on this channel type",
            Self::InvalidRole => "Invalid Role",
            Self::BulkTooOld => "A message provided was too old to bulk delete",
            Self::OwnerCannotLeave => "Invalid Guild",
        }
    }
}

impl From<FormErrors> for ChatError {
    fn from(errors: FormErrors) -> Self {
        Self::Form(errors)
    }
}

impl From<StoreError> for ChatError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Self::NotFound(Missing::Message),
            StoreError::Busy => Self::Busy,
            StoreError::Fenced => Self::Unavailable,
            StoreError::NotApplied(what) => Self::NotApplied(what),
            StoreError::TooLarge(what) => Self::TooLarge(what),
            StoreError::Unknown(what) => Self::Unknown(what),
            StoreError::Conflict(what) => Self::Form(FormErrors::one(
                what,
                "USERNAME_ALREADY_TAKEN",
                "Username is already taken",
            )),
            StoreError::Full(what) => Self::Full(what),
            StoreError::Broken(what) => Self::Broken(what),
            StoreError::Corrupt(what) => Self::Internal(what),
        }
    }
}
