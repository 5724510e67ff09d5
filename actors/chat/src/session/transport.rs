//! What an outbox writes to: one connection, as the session sees it.
//!
//! Implemented over real sockets by the gateway (`gateway/src/socket/transport.rs`), and by null
//! and recording transports in tests and benchmarks.

use super::dispatch::Dispatches;

/// What became of dispatches handed to a transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// Written, or queued within the transport's bounds.
    Accepted,
    /// The reader is too slow: the transport's bound is reached and it has closed itself; the
    /// session is parked for RESUME.
    Overrun,
    /// The connection is gone.
    Closed,
}

/// Why the session closes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Close {
    /// Op 7: come back and resume (drain).
    Reconnect,
    /// Op 9 with its `d`: whether the session can be resumed.
    InvalidSession {
        /// `d` of op 9.
        resumable: bool,
    },
    /// Another connection resumed this session.
    Replaced,
    /// The token was revoked: close code 4004.
    Revoked,
}

/// One connection. All methods return at once and may be called under a lock.
pub trait Transport: Send + Sync + 'static {
    /// Sends dispatches in order, each `head ‖ body` one payload, with as few writes as possible.
    fn dispatch(&self, dispatches: &Dispatches<'_>) -> Sent;

    /// Says `why` to the client and closes the connection.
    fn close(&self, why: Close);

    /// Whether it takes more now. `false` makes the outbox hold back what follows, in its replay
    /// ring, until the callback given to [`Transport::on_room`] is called; a transport that never
    /// says `false` is bounded by [`Sent::Overrun`] alone. Asked after each dispatch; the same
    /// answer must not change from `false` to `true` without the callback.
    fn has_room(&self) -> bool {
        true
    }

    /// Gives the transport what to call, outside its own locks, each time it has room again after
    /// [`Transport::has_room`] was `false`. Given before the first dispatch.
    fn on_room(&self, callback: RoomCallback) {
        drop(callback);
    }
}

/// What a transport calls when it has room again: the outbox goes on sending.
pub type RoomCallback = Box<dyn Fn() + Send + Sync>;
