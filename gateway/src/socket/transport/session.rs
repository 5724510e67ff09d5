//! The port of a session on a connection: what an outbox is given.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use chat::session::transport::{Close, Head, RoomCallback, Sent, Transport};
use parking_lot::MutexGuard;

use super::{Ended, SocketWriter, State};

/// What a session writes to: the connection, as long as this session is the one attached to it.
pub(crate) struct SessionTransport {
    pub(super) writer: Arc<SocketWriter>,
    pub(super) generation: u64,
}

impl SessionTransport {
    fn state(&self) -> Option<MutexGuard<'_, State>> {
        let state = self.writer.state.lock();
        (state.generation == self.generation).then_some(state)
    }
}

impl Transport for SessionTransport {
    fn dispatch(&self, payloads: &[(Head, &Bytes)]) -> Sent {
        match self.state() {
            // Until the port says to how many: many.
            Some(mut state) => self.writer.write(&mut state, payloads, usize::MAX),
            None => Sent::Closed,
        }
    }

    fn close(&self, why: Close) {
        if let Some(mut state) = self.state() {
            state.generation += 1;
            state.room = None;
            self.writer.end(&mut state, Ended::Session(why));
        }
    }

    fn has_room(&self) -> bool {
        !self.writer.full.load(Ordering::Acquire)
    }

    fn on_room(&self, callback: RoomCallback) {
        if let Some(mut state) = self.state() {
            state.room = Some(Arc::new(callback));
        }
    }
}
