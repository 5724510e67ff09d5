//! The data plane of a session: numbers events, keeps them for RESUME and writes them, all under
//! one short lock, so that a delivery wakes nobody up.
//!
//! ```text
//!  Relay of guild 1 ─┐   append_many   ┌──────────── Outbox ────────────┐
//!  Relay of guild 2 ─┼────────────────▶│ number ─▶ replay ring ─▶ heads │──▶ Transport::dispatch
//!  Session, op 8 ────┘                 └──────────────┬─────────────────┘
//!                     attach, detach, close ◀─ Session ◀┘ Notice (cast)
//!
//!            attach                  reader slow: has_room() is false
//!   Parked ─────────▶ Holding ◀────────────────────────────────▶ Live
//!     ▲  ╲               │ ╲           replay ring sent: pump       │
//!     │   ╲ ring dropped │  ╲ an event nobody has                   │
//!     │    ▶ Lost ◀──────┼───┘                                      │
//!     └── detach, Sent::Closed, Sent::Overrun ──────────────────────┘     any ─close─▶ Closed
//! ```
//!
//! While events wait for a reader that is behind, or for RESUME, typing is not taken on any more
//! from [`TYPING_WAITING_MAX`] on, presence from [`PRESENCE_WAITING_MAX`] on (both at half the ring
//! if that is less): they are not numbered, so nothing is missing. Everything else is kept; a reader
//! that falls behind by more than the ring is told so.
//!
//! Made and owned by the session process ([`super::Session`]), which is told by [`Notice`] when the
//! connection goes; shared with relays. At the bounds of the ring the oldest events go: a client
//! that needs them is told so with op 9, `d: false`, never left with a silent gap (Discord docs,
//! Gateway, "Resuming"). Next hop: [`super::transport`].

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use metrics::{Gauge, counter};
use model::event::{Class, Encoded};
use parking_lot::Mutex;
use smallvec::SmallVec;

use super::dispatch::{Dispatch, Dispatches};
use super::replay::{Portion, Replay, ReplayLimits};
use super::transport::{Close, Sent, Transport};

mod state;

pub use state::REPLAY_STEP;
use state::{Inner, State};

/// Events waiting in a session's outbox from which on typing is shed. Counter
/// `guildhall_outbox_shed_total{class}`.
pub const TYPING_WAITING_MAX: usize = 64;

/// Events waiting in a session's outbox from which on presence is shed too. Counter
/// `guildhall_outbox_shed_total{class}`.
pub const PRESENCE_WAITING_MAX: usize = 1_024;

/// Change of the kept bytes that is reported to the gauge; smaller ones wait for the next.
const REPORT_BYTES: i64 = 16 * 1024;

/// What an outbox tells its session process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// The connection of this generation is gone; the session waits for RESUME.
    Detached {
        /// Which connection.
        generation: u64,
    },
    /// Events were dropped that the client cannot have: it can never resume.
    Lost,
}

/// Why a connection cannot take over a session; nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResumeError {
    /// There is no such session, or not all it missed is still here: answer op 9 with `d: false`.
    #[error("the session cannot be resumed")]
    Unknown,
    /// The session did not answer in time; it may have been resumed all the same. Answer op 7: the
    /// client comes back for it.
    #[error("the session has no time")]
    Busy,
    /// The client claims events it was never sent: close with 4007.
    #[error("the sequence number is above the last one sent")]
    InvalidSequence,
}

/// What became of an append.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Appended {
    /// Events numbered.
    pub events: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// The session takes no more: forget it.
    pub closed: bool,
}

/// The outbox of one session. A fan-out comes to thousands of them between two visits of the same
/// one, so each visit waits for memory: all that a delivery touches is in its first 128 bytes, which
/// come in one go.
#[repr(C, align(128))]
pub struct Outbox {
    inner: Mutex<Inner>,
    owner: OnceLock<Box<dyn Fn(Notice) + Send + Sync>>,
    kept_bytes: Gauge,
    /// From [`TYPING_WAITING_MAX`] and [`PRESENCE_WAITING_MAX`].
    shed_from: [usize; 2],
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbox")
            .field("last_sequence", &self.last_sequence())
            .finish_non_exhaustive()
    }
}

impl Outbox {
    /// A parked outbox that has sent nothing; `kept_bytes` is moved by the bytes it keeps.
    pub fn new(limits: ReplayLimits, kept_bytes: Gauge) -> Self {
        Self {
            owner: OnceLock::new(),
            kept_bytes,
            shed_from: [TYPING_WAITING_MAX, PRESENCE_WAITING_MAX]
                .map(|it| it.min(limits.events / 2)),
            inner: Mutex::new(Inner {
                state: State::Parked { sent: 0 },
                reported: 0,
                replay: Replay::new(limits),
                generation: 0,
            }),
        }
    }

    /// Says who is told about the connection; called once, before the first connection. The
    /// function runs under the outbox's lock: it must only leave a message.
    pub fn set_owner(&self, owner: impl Fn(Notice) + Send + Sync + 'static) {
        // A second owner would be a defect of this crate; the first stays.
        let _ = self.owner.set(Box::new(owner));
    }

    /// Asks for the memory a delivery touches. Who is about to visit several outboxes waits for all
    /// at once if this is called for each before.
    pub(crate) fn fetch(&self) {
        std::hint::black_box(self.inner.is_locked());
    }

    /// Numbers, keeps and sends events in order; each comes with the body this session gets, one
    /// of the two of the event. One lock and at most one [`Transport::dispatch`] for all.
    pub fn append_many<'a>(
        &self,
        events: impl IntoIterator<Item = (&'a Arc<Encoded>, &'a Bytes)>,
    ) -> Appended {
        let mut inner = self.inner.lock();
        if matches!(inner.state, State::Lost | State::Closed) {
            return Appended {
                closed: true,
                ..Appended::default()
            };
        }
        self.append_locked(&mut inner, events)
    }

    /// Numbers, keeps and sends what the session's class got of a batch, as
    /// [`Outbox::append_many`] does.
    pub(crate) fn append_portion(&self, portion: &Portion) -> Appended {
        let mut inner = self.inner.lock();
        if matches!(inner.state, State::Lost | State::Closed) {
            return Appended {
                closed: true,
                ..Appended::default()
            };
        }
        // Pages hold all of it: who gets less gets it piece by piece.
        let live = matches!(inner.state, State::Live { .. });
        let waiting = inner.waiting() + portion.events.len();
        if !live && portion.cheap && waiting > self.shed_from[0] {
            let events = portion
                .events
                .iter()
                .map(|kept| (kept.event(), kept.body()));
            return self.append_locked(&mut inner, events);
        }
        let fresh = Dispatches {
            first: inner.replay.last() + 1,
            each: &portion.events,
            alike: portion.alike,
            recipients: portion.sessions,
        };
        inner.replay.push_portion(portion);
        self.send(&mut inner, live.then_some(&fresh));
        self.report(&mut inner);
        Appended {
            events: portion.events.len() as u64,
            bytes: portion.bytes as u64,
            closed: false,
        }
    }

    fn append_locked<'a>(
        &self,
        inner: &mut Inner,
        events: impl IntoIterator<Item = (&'a Arc<Encoded>, &'a Bytes)>,
    ) -> Appended {
        let live = matches!(inner.state, State::Live { .. });
        let mut appended = Appended::default();
        let first = inner.replay.last() + 1;
        let mut fresh: SmallVec<[Dispatch; 2]> = SmallVec::new();
        let mut waiting = inner.waiting();
        for (event, body) in events {
            if !live && self.sheds(event.class, waiting) {
                continue;
            }
            waiting += 1;
            let dispatch = Dispatch::new(event, body);
            appended.events += 1;
            appended.bytes += dispatch.bytes() as u64;
            if live {
                fresh.push(dispatch.clone());
            }
            inner.replay.push(dispatch);
        }
        if appended.events > 0 {
            let fresh = Dispatches::own(first, &fresh);
            self.send(inner, live.then_some(&fresh));
            self.report(inner);
        }
        appended
    }

    /// Whether an event of this class is worth nothing behind so many others; counts it then.
    fn sheds(&self, class: Class, waiting: usize) -> bool {
        let (from, name) = match class {
            Class::Typing => (self.shed_from[0], "typing"),
            Class::Presence => (self.shed_from[1], "presence"),
            Class::Durable => return false,
        };
        if waiting < from {
            return false;
        }
        counter!("guildhall_outbox_shed_total", "class" => name).increment(1);
        true
    }

    /// Sends one event as it is; see [`Outbox::append_many`].
    pub fn append(&self, event: &Arc<Encoded>) -> Appended {
        self.append_many([(event, &event.body)])
    }

    /// Connects `transport`: it gets every event above number `after`, in order, then `greeting`
    /// (READY of a new session, RESUMED of an old one), then what comes. A connection it had
    /// before is closed with [`Close::Replaced`]. Returns the generation of the connection.
    ///
    /// # Errors
    /// [`ResumeError`]; the earlier connection, if any, goes on undisturbed.
    pub fn attach(
        self: &Arc<Self>,
        transport: Arc<dyn Transport>,
        after: u64,
        greeting: &Arc<Encoded>,
    ) -> Result<u64, ResumeError> {
        let mut inner = self.inner.lock();
        if matches!(inner.state, State::Lost | State::Closed) {
            return Err(ResumeError::Unknown);
        }
        if after > inner.replay.last() {
            return Err(ResumeError::InvalidSequence);
        }
        if after + 1 < inner.replay.first() {
            return Err(ResumeError::Unknown);
        }
        inner.generation += 1;
        let outbox = Arc::downgrade(self);
        transport.on_room(Box::new(move || {
            if let Some(outbox) = outbox.upgrade() {
                outbox.pump();
            }
        }));
        let holding = State::Holding {
            transport,
            next: after + 1,
        };
        if let State::Live { transport: old } | State::Holding { transport: old, .. } =
            std::mem::replace(&mut inner.state, holding)
        {
            old.close(Close::Replaced);
        }
        let generation = inner.generation;
        // First the replay: the greeting may push its oldest event out of the ring.
        self.send(&mut inner, None);
        self.append_locked(&mut inner, [(greeting, &greeting.body)]);
        Ok(generation)
    }

    /// Goes on sending to a connection that was behind and has room again.
    pub fn pump(&self) {
        let mut inner = self.inner.lock();
        if matches!(inner.state, State::Holding { .. }) {
            self.send(&mut inner, None);
        }
    }

    /// The connection of this generation is gone; what follows is kept for RESUME. `false` when
    /// another one has taken over or the session is over.
    pub fn detach(&self, generation: u64) -> bool {
        let mut inner = self.inner.lock();
        if inner.generation != generation || inner.park().is_none() {
            return false;
        }
        self.tell(Notice::Detached { generation });
        true
    }

    /// Closes the connection, if there is one, and parks the session (drain: op 7).
    pub fn disconnect(&self, why: Close) {
        let mut inner = self.inner.lock();
        if let Some(transport) = inner.park() {
            transport.close(why);
            self.tell(Notice::Detached {
                generation: inner.generation,
            });
        }
    }

    /// Ends the outbox: the connection, if there is one, is closed with `why` (or left alone when
    /// it is already going), and every later append answers that it is closed.
    pub fn close(&self, why: Option<Close>) {
        let mut inner = self.inner.lock();
        let state = std::mem::replace(&mut inner.state, State::Closed);
        if let (State::Live { transport } | State::Holding { transport, .. }, Some(why)) =
            (state, why)
        {
            transport.close(why);
        }
        inner.replay.clear();
        self.settle_report(&mut inner);
    }

    /// The client has received everything up to number `sequence` (op 1); numbers never sent are
    /// ignored.
    pub fn acknowledge(&self, sequence: u64) {
        let mut inner = self.inner.lock();
        let sent = match &inner.state {
            State::Holding { next, .. } => next - 1,
            State::Parked { sent } => *sent,
            State::Live { .. } | State::Lost | State::Closed => inner.replay.last(),
        };
        if sequence <= sent {
            inner.replay.trim(sequence);
            self.report(&mut inner);
        }
    }

    /// Number of the last event; 0 before the first.
    pub fn last_sequence(&self) -> u64 {
        self.inner.lock().replay.last()
    }

    /// Bytes of memory of what is kept: of this session alone, and by page, with the events on it.
    #[cfg(test)]
    pub(crate) fn memory(&self) -> (usize, std::collections::HashMap<usize, usize>) {
        self.inner.lock().replay.memory()
    }

    /// The connection in use, counted from 1, and whether there is one now.
    pub fn connection(&self) -> (u64, bool) {
        let inner = self.inner.lock();
        (
            inner.generation,
            matches!(inner.state, State::Live { .. } | State::Holding { .. }),
        )
    }

    /// Brings the connection up to date: `fresh` ones when it is live, the ring when it is behind;
    /// then checks whether anything the client needs was dropped.
    fn send(&self, inner: &mut Inner, fresh: Option<&Dispatches<'_>>) {
        let next = inner.replay.last() + 1;
        if let (State::Live { transport }, Some(fresh)) = (&inner.state, fresh) {
            match transport.dispatch(fresh) {
                Sent::Accepted if transport.has_room() => return,
                Sent::Accepted => {
                    inner.state = State::Holding {
                        transport: Arc::clone(transport),
                        next,
                    };
                }
                Sent::Overrun | Sent::Closed => return self.cut(inner, next),
            }
        }
        loop {
            let (sent, next) = match &inner.state {
                State::Holding { next, .. } if inner.replay.first() > *next => {
                    return self.lose(inner);
                }
                State::Parked { sent } if inner.replay.first() > sent + 1 => {
                    return self.lose(inner);
                }
                State::Holding { transport, .. } if !transport.has_room() => return,
                State::Holding { transport, next } if *next > inner.replay.last() => {
                    inner.state = State::Live {
                        transport: Arc::clone(transport),
                    };
                    return;
                }
                State::Holding { transport, next } => {
                    let step = inner.step(*next);
                    let step = Dispatches::own(*next, &step);
                    (transport.dispatch(&step), step.last() + 1)
                }
                State::Live { .. } | State::Parked { .. } | State::Lost | State::Closed => return,
            };
            match (sent, &mut inner.state) {
                (Sent::Accepted, State::Holding { next: reached, .. }) => *reached = next,
                _ => return self.cut(inner, next),
            }
        }
    }

    /// The transport is gone; everything below number `next` was handed to it.
    fn cut(&self, inner: &mut Inner, next: u64) {
        inner.state = State::Parked { sent: next - 1 };
        self.tell(Notice::Detached {
            generation: inner.generation,
        });
    }

    /// Something the client cannot have is gone: says so to the client and the session.
    fn lose(&self, inner: &mut Inner) {
        if let State::Holding { transport, .. } = std::mem::replace(&mut inner.state, State::Lost) {
            transport.close(Close::InvalidSession { resumable: false });
        }
        inner.replay.clear();
        self.tell(Notice::Lost);
    }

    fn tell(&self, notice: Notice) {
        if let Some(owner) = self.owner.get() {
            owner(notice);
        }
    }

    /// Moves the gauge when enough has changed.
    fn report(&self, inner: &mut Inner) {
        let change = inner.replay.bytes() as i64 - inner.reported;
        if change.abs() >= REPORT_BYTES {
            self.settle_report(inner);
        }
    }

    fn settle_report(&self, inner: &mut Inner) {
        let bytes = inner.replay.bytes() as i64;
        self.kept_bytes.increment((bytes - inner.reported) as f64);
        inner.reported = bytes;
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.kept_bytes
            .decrement(self.inner.get_mut().reported as f64);
    }
}

#[cfg(test)]
mod tests;
