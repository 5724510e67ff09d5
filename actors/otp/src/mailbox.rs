//! The mailbox of a process: one queue, hence one order per sender, counted and bounded.
//!
//! ```text
//!  senders ──push──▶ [urgent][ queue ............ ] ──take──▶ the runner, one at a time
//!                       │  over a limit: refuse, drop newest, drop oldest, or exit
//!                       └─ does the reader sleep?  ──▶ its task is woken, once
//! ```
//!
//! ractor's own lane is unbounded, cannot be counted or looked into, and boxes each message; so it
//! carries nothing. Why: `docs/adr/0005-own-mailbox.md`.
//!
//! The runtime's own signals ride in the same queue, since a watcher must see all that a process
//! sent before it sees the end of that process; but they are never refused or dropped.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use parking_lot::Mutex;

use crate::gen_server::GenServer;
use crate::node::clock::Clock;
use crate::pid::Pid;
use crate::signal::{Envelope, Signal};
use crate::sys::System;

/// How many messages a mailbox holds unless [`crate::Options::mailbox_max`] says otherwise.
/// Policy at the limit: [`Overflow`]. Metric: `otp_messages_refused_total`.
pub const DEFAULT_MAILBOX_MAX: usize = 100_000;

/// An emptied queue keeps room for this many items; what is above is given back, so that a
/// process that was flooded once does not stay big.
const KEPT_CAPACITY: usize = 8;

/// What a full mailbox does with one more message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// The sender is told, and keeps the message ([`SendError::Full`]).
    #[default]
    Refuse,
    /// The message is dropped; the sender is not told. Counted.
    DropNewest,
    /// The oldest message is dropped for it. Counted. For state that only its newest value
    /// matters of, such as presence.
    DropOldest,
    /// The process ends with [`crate::ExitReason::Killed`], as one that outgrew its
    /// `max_heap_size` does in Erlang.
    Exit,
}

/// How much a mailbox holds. Signals of the runtime do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) messages: usize,
    /// As [`GenServer::message_bytes`] counts them.
    pub(crate) bytes: Option<usize>,
    pub(crate) overflow: Overflow,
}

impl Limits {
    /// Whether an empty mailbox has room for a message.
    fn can_hold(self, bytes: usize) -> bool {
        self.messages > 0 && self.bytes.is_none_or(|max| bytes <= max)
    }
}

/// Why a message could not be put into a mailbox. The message comes back.
#[derive(Debug, PartialEq, Eq)]
pub enum SendError<M> {
    /// The process has ended.
    NoProc(M),
    /// The mailbox is full: slow down, or give up on this message.
    Full(M),
    /// The node of the process is not connected.
    NodeDown(M),
}

impl<M> SendError<M> {
    /// The message which was not sent.
    pub fn into_message(self) -> M {
        match self {
            SendError::NoProc(message)
            | SendError::Full(message)
            | SendError::NodeDown(message) => message,
        }
    }
}

/// What became of a pushed item.
#[derive(Debug)]
pub(crate) struct Pushed {
    /// The reader sleeps: wake it.
    pub(crate) wake: Option<Waker>,
    /// How many messages were dropped.
    pub(crate) dropped: u32,
}

/// Why a message was not taken.
pub(crate) enum Refused<M> {
    Closed(M),
    Full(M),
    /// The process must end for it.
    Exit,
}

/// What observers see of a mailbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    /// Messages and signals that wait.
    pub(crate) len: usize,
    /// Messages that wait.
    pub(crate) messages: usize,
    /// Their bytes; 0 unless they are limited.
    pub(crate) bytes: usize,
    /// Milliseconds the oldest item has waited.
    pub(crate) oldest_ms: u64,
    /// How many items were taken so far.
    pub(crate) taken: u64,
    /// The reader is at work, or about to be.
    pub(crate) awake: bool,
    /// The item that was taken last, by name.
    pub(crate) current: Option<&'static str>,
    /// Whose call it is.
    pub(crate) client: Option<Pid>,
}

/// The mailbox of an `S`.
pub(crate) struct Mailbox<S: GenServer> {
    lane: Mutex<Lane<S>>,
    limits: Limits,
    clock: Arc<Clock>,
}

struct Lane<S: GenServer> {
    queue: VecDeque<Item<S>>,
    /// Overtakes the queue, in its own order. Allocated on first use.
    urgent: VecDeque<Item<S>>,
    messages: usize,
    bytes: usize,
    taken: u64,
    current: Option<&'static str>,
    client: Option<Pid>,
    /// The reader is at work, or a wake-up is on its way.
    awake: bool,
    /// The reader, while it sleeps.
    reader: Option<Waker>,
    closed: bool,
}

struct Item<S: GenServer> {
    envelope: Envelope<S>,
    /// When it came, on the node's coarse clock.
    at: u32,
}

/// A mailbox whose message type is not known: what the runtime itself needs of it.
pub(crate) trait AnyMailbox: Any + Send + Sync {
    /// Queues a signal; `None` if nobody reads any more.
    fn push_signal(&self, signal: Signal, urgent: bool) -> Option<Pushed>;
    /// Takes an untyped message, which counts against the limits.
    fn push_raw(
        &self,
        message: Box<dyn Any + Send>,
        urgent: bool,
    ) -> Result<Pushed, Refused<Box<dyn Any + Send>>>;
    fn load(&self) -> Load;
    /// Takes nothing any more; gives what waits, for the caller to drop.
    fn close(&self) -> Option<Box<dyn Any + Send>>;
    /// The names of the messages that wait, oldest first, at most so many.
    fn names(&self, most: usize) -> Vec<&'static str>;
    fn as_any(&self) -> &dyn Any;
    /// The type of server it belongs to.
    fn server(&self) -> &'static str;
}

impl<S: GenServer> Mailbox<S> {
    pub(crate) fn new(limits: Limits, clock: Arc<Clock>) -> Mailbox<S> {
        Mailbox {
            lane: Mutex::new(Lane {
                queue: VecDeque::new(),
                urgent: VecDeque::new(),
                messages: 0,
                bytes: 0,
                taken: 0,
                current: None,
                client: None,
                awake: false,
                reader: None,
                closed: false,
            }),
            limits,
            clock,
        }
    }

    /// Queues a message, or says why not.
    pub(crate) fn push(&self, message: S::Message) -> Result<Pushed, Refused<S::Message>> {
        let bytes = self.bytes_of(|| S::message_bytes(&message));
        self.push_counted(Envelope::User(message), bytes, false)
            .map_err(|refused| match refused {
                Refused::Closed(Envelope::User(message)) => Refused::Closed(message),
                Refused::Full(Envelope::User(message)) => Refused::Full(message),
                Refused::Exit => Refused::Exit,
                _ => unreachable!("a refused item comes back as it was"),
            })
    }

    /// Queues a request of [`crate::sys`], or gives it back.
    pub(crate) fn push_system(&self, system: System<S>) -> Result<Pushed, System<S>> {
        let mut lane = self.lane.lock();
        if lane.closed {
            return Err(system);
        }
        let wake = lane.add(Envelope::System(system), self.clock.now(), false);
        Ok(Pushed { wake, dropped: 0 })
    }

    /// The next item, or, while `suspended`, the next that is for the runtime itself. `None`
    /// sends the reader to sleep: it is woken through `reader`. One that hibernates keeps no room.
    pub(crate) fn take(
        &self,
        suspended: bool,
        hibernating: bool,
        reader: &Waker,
    ) -> Option<Envelope<S>> {
        let mut lane = self.lane.lock();
        let taken = if suspended {
            lane.take_system()
        } else {
            lane.urgent.pop_front().or_else(|| lane.queue.pop_front())
        };
        match taken {
            Some(item) => {
                lane.uncount(&item, self.limits.bytes.is_some());
                lane.taken += 1;
                lane.current = Some(item.envelope.name());
                lane.client = match &item.envelope {
                    Envelope::User(message) => S::message_client(message),
                    _ => None,
                };
                Some(item.envelope)
            }
            None => {
                lane.awake = false;
                if !lane.closed {
                    lane.reader = Some(reader.clone());
                }
                let kept = if hibernating { 0 } else { KEPT_CAPACITY };
                if lane.queue.is_empty() && lane.queue.capacity() > kept {
                    lane.queue = VecDeque::new();
                }
                if lane.urgent.is_empty() && lane.urgent.capacity() > kept {
                    lane.urgent = VecDeque::new();
                }
                None
            }
        }
    }

    fn bytes_of(&self, count: impl FnOnce() -> usize) -> usize {
        match self.limits.bytes {
            Some(_) => count(),
            None => 0,
        }
    }

    fn push_counted(
        &self,
        envelope: Envelope<S>,
        bytes: usize,
        urgent: bool,
    ) -> Result<Pushed, Refused<Envelope<S>>> {
        let mut dropped = 0;
        // What a message does when it is dropped must not run under the lock: declared first, so
        // dropped last.
        let mut remains = Vec::new();
        let mut lane = self.lane.lock();
        if lane.closed {
            return Err(Refused::Closed(envelope));
        }
        while lane.is_full(self.limits, bytes) {
            match self.limits.overflow {
                Overflow::Refuse => return Err(Refused::Full(envelope)),
                Overflow::Exit => return Err(Refused::Exit),
                Overflow::DropNewest => {
                    return Ok(Pushed {
                        wake: None,
                        dropped: 1,
                    });
                }
                // One that would not fit into an empty mailbox drives nobody out.
                Overflow::DropOldest if !self.limits.can_hold(bytes) => {
                    return Err(Refused::Full(envelope));
                }
                Overflow::DropOldest => {
                    let Some(oldest) = lane.take_oldest_message() else {
                        return Err(Refused::Full(envelope));
                    };
                    lane.uncount(&oldest, self.limits.bytes.is_some());
                    dropped += 1;
                    remains.push(oldest);
                }
            }
        }
        lane.messages += 1;
        lane.bytes += bytes;
        let wake = lane.add(envelope, self.clock.now(), urgent);
        Ok(Pushed { wake, dropped })
    }
}

impl<S: GenServer> Lane<S> {
    fn is_full(&self, limits: Limits, bytes: usize) -> bool {
        self.messages >= limits.messages || limits.bytes.is_some_and(|max| self.bytes + bytes > max)
    }

    /// Adds an item; the reader, if it must be woken.
    fn add(&mut self, envelope: Envelope<S>, at: u32, urgent: bool) -> Option<Waker> {
        let item = Item { envelope, at };
        if urgent {
            self.urgent.push_back(item);
        } else {
            self.queue.push_back(item);
        }
        if self.awake {
            return None;
        }
        self.awake = true;
        self.reader.take()
    }

    fn uncount(&mut self, item: &Item<S>, bytes: bool) {
        match &item.envelope {
            Envelope::User(message) => {
                self.messages -= 1;
                if bytes {
                    self.bytes = self.bytes.saturating_sub(S::message_bytes(message));
                }
            }
            Envelope::Signal(Signal::Raw(_)) => {
                self.messages -= 1;
                if bytes {
                    self.bytes = self.bytes.saturating_sub(RAW_BYTES);
                }
            }
            Envelope::Signal(_) | Envelope::System(_) => {}
        }
    }

    fn take_system(&mut self) -> Option<Item<S>> {
        let is_system = |item: &Item<S>| match &item.envelope {
            Envelope::System(_) => true,
            Envelope::Signal(signal) => signal.is_system(),
            Envelope::User(_) => false,
        };
        if let Some(position) = self.urgent.iter().position(is_system) {
            return self.urgent.remove(position);
        }
        let position = self.queue.iter().position(is_system)?;
        self.queue.remove(position)
    }

    fn take_oldest_message(&mut self) -> Option<Item<S>> {
        let is_message = |item: &Item<S>| {
            matches!(
                item.envelope,
                Envelope::User(_) | Envelope::Signal(Signal::Raw(_))
            )
        };
        if let Some(position) = self.queue.iter().position(is_message) {
            return self.queue.remove(position);
        }
        // Only then those that are urgent.
        let position = self.urgent.iter().position(is_message)?;
        self.urgent.remove(position)
    }
}

/// What an untyped message counts against a limit of bytes: its box.
const RAW_BYTES: usize = 64;

impl<S: GenServer> AnyMailbox for Mailbox<S> {
    fn push_signal(&self, signal: Signal, urgent: bool) -> Option<Pushed> {
        let mut lane = self.lane.lock();
        if lane.closed {
            return None;
        }
        let wake = lane.add(Envelope::Signal(signal), self.clock.now(), urgent);
        Some(Pushed { wake, dropped: 0 })
    }

    fn push_raw(
        &self,
        message: Box<dyn Any + Send>,
        urgent: bool,
    ) -> Result<Pushed, Refused<Box<dyn Any + Send>>> {
        let bytes = self.bytes_of(|| RAW_BYTES);
        self.push_counted(Envelope::Signal(Signal::Raw(message)), bytes, urgent)
            .map_err(|refused| match refused {
                Refused::Closed(Envelope::Signal(Signal::Raw(message))) => Refused::Closed(message),
                Refused::Full(Envelope::Signal(Signal::Raw(message))) => Refused::Full(message),
                Refused::Exit => Refused::Exit,
                _ => unreachable!("a refused item comes back as it was"),
            })
    }

    fn load(&self) -> Load {
        let lane = self.lane.lock();
        let fronts = lane.queue.front().into_iter().chain(lane.urgent.front());
        let ages = fronts.map(|item| self.clock.since_ms(item.at));
        Load {
            len: lane.queue.len() + lane.urgent.len(),
            messages: lane.messages,
            bytes: lane.bytes,
            oldest_ms: ages.max().unwrap_or(0),
            taken: lane.taken,
            awake: lane.awake,
            current: lane.current,
            client: lane.client,
        }
    }

    fn close(&self) -> Option<Box<dyn Any + Send>> {
        let mut lane = self.lane.lock();
        lane.closed = true;
        // What a waker keeps is the whole task.
        let reader = lane.reader.take();
        lane.messages = 0;
        lane.bytes = 0;
        let queue = std::mem::take(&mut lane.queue);
        let urgent = std::mem::take(&mut lane.urgent);
        drop(lane);
        drop(reader);
        if queue.is_empty() && urgent.is_empty() {
            return None;
        }
        Some(Box::new((queue, urgent)))
    }

    fn names(&self, most: usize) -> Vec<&'static str> {
        let lane = self.lane.lock();
        let items = lane.urgent.iter().chain(&lane.queue);
        items.take(most).map(|item| item.envelope.name()).collect()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn server(&self) -> &'static str {
        std::any::type_name::<S>()
    }
}

#[cfg(test)]
mod tests;
