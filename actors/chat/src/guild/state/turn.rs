//! The circumstances of one command, and what comes of it.

use std::sync::Arc;

use model::event::Encoded;
use model::member::PartialMember;
use model::{ChannelId, MessageId, UserId};
use storage::store::Write;

use crate::guild::members::Change;
use crate::ids::Ids;
use crate::relay::View;

/// What a command does besides its answer, in order. The lane carries it out when the writes are
/// durable.
#[derive(Debug)]
pub enum Effect {
    /// A row to write; all writes of a command are one batch.
    Write(Write),
    /// A member for the member table, when the batch is durable.
    Member(Change),
    /// The presence of a member changed; for those who watch member lists.
    Seen(UserId),
    /// An event for those who may see it.
    Publish(Encoded),
    /// MESSAGE_UPDATE with the message as it stands after the batch, read back from the store.
    PublishUpdate {
        /// Where.
        channel: ChannelId,
        /// Which.
        message: MessageId,
        /// The author's membership, for the event.
        member: Option<Box<PartialMember>>,
        /// Whether the message is also the answer to the command.
        answers: bool,
    },
    /// The answer is this message as it stands, read back from the store.
    Show(ChannelId, MessageId),
    /// From here on these users see these channels.
    Views(Vec<(UserId, Arc<View>)>),
    /// From here on the user's sessions get nothing of the guild.
    Remove(UserId),
    /// The guild is gone; so are the messages of these channels, to be purged.
    Clear(Vec<ChannelId>),
}

/// The circumstances of one command, and what comes of it.
#[derive(Debug)]
pub struct Turn<'a> {
    /// Unix milliseconds.
    pub now_ms: u64,
    /// Where new ids come from.
    pub ids: &'a Ids,
    /// What is decided in this turn has this number; higher than those of all turns before it
    /// that had effects.
    pub number: u64,
    /// What was decided up to this number is in the store.
    pub settled: u64,
    /// What is to be done, in order.
    pub effects: Vec<Effect>,
}

impl<'a> Turn<'a> {
    /// A turn at `now_ms` without effects yet.
    pub fn new(now_ms: u64, ids: &'a Ids) -> Self {
        Self {
            now_ms,
            ids,
            number: 0,
            settled: 0,
            effects: Vec::new(),
        }
    }

    /// The same with this number, when everything up to `settled` is in the store.
    pub fn numbered(mut self, number: u64, settled: u64) -> Self {
        (self.number, self.settled) = (number, settled);
        self
    }

    pub(super) fn write(&mut self, write: Write) {
        self.effects.push(Effect::Write(write));
    }

    pub(super) fn publish(&mut self, event: Encoded) {
        self.effects.push(Effect::Publish(event));
    }
}
