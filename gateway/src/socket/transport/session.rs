//! The port of a session on a connection: what an outbox is given.
//!
//! The first session of a connection, which nearly always is the only one, is given the writer
//! itself, so that a delivery touches nothing in between. One that follows it on the same connection
//! (after op 9) is given a [`LaterSession`].

use std::sync::Arc;
use std::sync::atomic::Ordering;

use chat::session::dispatch::Dispatches;
use chat::session::transport::{Close, RoomCallback, Sent, Transport};
use parking_lot::MutexGuard;

use super::{Ended, SocketWriter, State};

/// Generation of the first session of a connection.
pub(super) const FIRST: u64 = 1;

/// What a session after the first writes to, as long as it is the one attached to the connection.
pub(super) struct LaterSession {
    writer: Arc<SocketWriter>,
    generation: u64,
}

impl LaterSession {
    pub(super) fn new(writer: &Arc<SocketWriter>, generation: u64) -> Self {
        Self {
            writer: Arc::clone(writer),
            generation,
        }
    }
}

impl SocketWriter {
    fn state_of(&self, generation: u64) -> Option<MutexGuard<'_, State>> {
        let state = self.state.lock();
        (state.generation == generation).then_some(state)
    }

    fn dispatch_of(&self, generation: u64, dispatches: &Dispatches<'_>) -> Sent {
        match self.state_of(generation) {
            Some(mut state) => self.write(&mut state, dispatches),
            None => Sent::Closed,
        }
    }

    fn close_of(&self, generation: u64, why: Close) {
        if let Some(mut state) = self.state_of(generation) {
            state.generation += 1;
            state.room = None;
            self.end(&mut state, Ended::Session(why));
        }
    }

    fn on_room_of(&self, generation: u64, callback: RoomCallback) {
        if let Some(mut state) = self.state_of(generation) {
            state.room = Some(Arc::new(callback));
        }
    }
}

impl Transport for SocketWriter {
    fn dispatch(&self, dispatches: &Dispatches<'_>) -> Sent {
        self.dispatch_of(FIRST, dispatches)
    }

    fn close(&self, why: Close) {
        self.close_of(FIRST, why);
    }

    fn has_room(&self) -> bool {
        !self.full.load(Ordering::Acquire)
    }

    fn on_room(&self, callback: RoomCallback) {
        self.on_room_of(FIRST, callback);
    }
}

impl Transport for LaterSession {
    fn dispatch(&self, dispatches: &Dispatches<'_>) -> Sent {
        self.writer.dispatch_of(self.generation, dispatches)
    }

    fn close(&self, why: Close) {
        self.writer.close_of(self.generation, why);
    }

    fn has_room(&self) -> bool {
        self.writer.has_room()
    }

    fn on_room(&self, callback: RoomCallback) {
        self.writer.on_room_of(self.generation, callback);
    }
}
