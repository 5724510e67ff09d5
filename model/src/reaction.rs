//! Reactions, one row per (message, emoji, user); counts are derived from the rows.

use serde::{Deserialize, Serialize};

use crate::emoji::ReactionEmoji;
use crate::id::{ChannelId, MessageId, UserId};

/// What is stored for one user's reaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReactionRecord {
    /// The channel of the message.
    pub channel_id: ChannelId,
    /// The message.
    pub message_id: MessageId,
    /// Who reacted.
    pub user_id: UserId,
    /// With what.
    pub emoji: ReactionEmoji,
    /// Unix milliseconds, orders the emoji of a message by first use.
    pub at_ms: u64,
}

/// All reactions with one emoji on a message (Discord docs, Message Resource, "Reaction Object").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reaction {
    /// The emoji.
    pub emoji: ReactionEmoji,
    /// How many.
    pub count: u64,
    /// Of which kind.
    pub count_details: CountDetails,
    /// Colours of super reactions.
    pub burst_colors: Vec<String>,
    /// Super reactions; always 0.
    pub burst_count: u64,
    /// Whether the reader reacted.
    pub me: bool,
    /// Whether the reader super-reacted.
    pub me_burst: bool,
}

/// Normal and super reactions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountDetails {
    /// Super reactions.
    pub burst: u64,
    /// Normal reactions.
    pub normal: u64,
}

impl Reaction {
    /// `count` normal reactions with `emoji`; `me` tells whether the reader is among them.
    pub fn new(emoji: ReactionEmoji, count: u64, me: bool) -> Self {
        Self {
            emoji,
            count,
            count_details: CountDetails {
                burst: 0,
                normal: count,
            },
            burst_colors: Vec::new(),
            burst_count: 0,
            me,
            me_burst: false,
        }
    }
}
