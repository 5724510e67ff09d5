//! What a guild process is sent.

use std::sync::Arc;

use model::presence::{ClientStatus, Presence};
use model::{ChannelId, UserId};
use otp::Pid;

use super::command::{Actor, Answer, Command};
use super::reply::Reply;
use super::state::SnapshotWants;
use crate::relay::{SessionId, Subscriber};
use crate::session::outbox::Outbox;

/// What a session watches of the member lists of a guild.
#[derive(Debug, Clone)]
pub struct Watch {
    /// The higher, the later it was asked for.
    pub number: u64,
    /// The session.
    pub session: SessionId,
    /// Whose it is.
    pub user: UserId,
    /// Channels, and ranges of positions in the list of each, both ends included.
    pub channels: Vec<(ChannelId, Vec<(u32, u32)>)>,
    /// Where the lists go.
    pub outbox: Arc<Outbox>,
}

/// What a guild process is sent; use [`subscribe`](super::subscribe) and the functions beside it.
#[derive(Debug)]
pub enum Message {
    /// (Re)load from the store; to itself.
    Load,
    /// Carry out a command.
    Execute {
        /// Who asks.
        actor: Actor,
        /// What.
        command: Box<Command>,
        /// Answered by the guild when refused, by the lane when done.
        reply: Reply<Answer>,
    },
    /// See [`super::subscribe`].
    Subscribe {
        /// Who.
        subscriber: Box<Subscriber>,
        /// Which snapshot.
        wants: SnapshotWants,
        /// Answered by the lane, with the relay's pid.
        reply: Reply<Pid>,
    },
    /// See [`super::unsubscribe`].
    Unsubscribe(SessionId),
    /// The session gets everything from here on, if it was passive.
    Activate {
        /// Which session.
        session: SessionId,
        /// Answered when it is on its way to the relay.
        reply: Reply<()>,
    },
    /// See [`super::cast_presence`].
    Presence {
        /// Whose.
        user: UserId,
        /// As others see it.
        presence: Option<Presence>,
        /// Status by platform.
        client_status: ClientStatus,
    },
    /// A session watches parts of member lists from here on.
    Watch {
        /// What.
        watch: Box<Watch>,
        /// Answered when it is taken on.
        reply: Reply<()>,
    },
    /// Take no more requests, and answer when everything taken is settled.
    Drain(otp::From<()>),
}
