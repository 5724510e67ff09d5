//! What is behind the lock of an outbox: where its connection is, and what is kept.

use std::sync::Arc;

use crate::session::dispatch::Dispatch;
use crate::session::replay::Replay;
use crate::session::transport::Transport;

/// Most dispatches handed to a transport at once while a replay is sent.
pub const REPLAY_STEP: usize = 256;

#[repr(C)]
pub(super) struct Inner {
    pub(super) state: State,
    /// Bytes last reported to the gauge.
    pub(super) reported: i64,
    /// Its own end is not touched by a delivery.
    pub(super) replay: Replay,
    /// Counts connections, so that the end of an old one is not taken for the end of the new one.
    pub(super) generation: u64,
}

pub(super) enum State {
    /// No connection; the client has received at most number `sent`.
    Parked { sent: u64 },
    /// Everything is written as it comes.
    Live { transport: Arc<dyn Transport> },
    /// The connection is behind: `next` is the first number it was not given.
    Holding {
        transport: Arc<dyn Transport>,
        next: u64,
    },
    /// Can never be resumed; the session is about to end.
    Lost,
    /// The session has ended.
    Closed,
}

impl Inner {
    /// Lets go of the connection; what it was handed is taken as possibly received.
    pub(super) fn park(&mut self) -> Option<Arc<dyn Transport>> {
        let last = self.replay.last();
        let sent = match &self.state {
            State::Live { .. } => last,
            State::Holding { next, .. } => next - 1,
            State::Parked { .. } | State::Lost | State::Closed => return None,
        };
        match std::mem::replace(&mut self.state, State::Parked { sent }) {
            State::Live { transport } | State::Holding { transport, .. } => Some(transport),
            State::Parked { .. } | State::Lost | State::Closed => None,
        }
    }

    /// Events the client was not given yet.
    pub(super) fn waiting(&self) -> usize {
        let last = self.replay.last();
        let waiting = match &self.state {
            State::Holding { next, .. } => last + 1 - next,
            State::Parked { sent } => last - sent,
            State::Live { .. } | State::Lost | State::Closed => 0,
        };
        usize::try_from(waiting).unwrap_or(usize::MAX)
    }

    /// The next dispatches from the ring, at most [`REPLAY_STEP`].
    pub(super) fn step(&self, next: u64) -> Vec<Dispatch> {
        let kept = self.replay.from(next).take(REPLAY_STEP);
        kept.map(|(_, dispatch)| dispatch.clone()).collect()
    }
}
