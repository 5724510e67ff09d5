//! References to servers, casts and calls.
//!
//! ```text
//!  caller ──call(|from| Message::Get { from })──▶ mailbox ──▶ server
//!     ▲                                                         │
//!     └─────────────── from.reply(value) ◀──────────────────────┘   or: its exit reason, a timeout
//! ```

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::oneshot;

use crate::distribution::Parcel;
use crate::exit_reason::ExitReason;
use crate::gen_server::GenServer;
use crate::mailbox::SendError;
use crate::node::Node;
use crate::pid::Pid;
use crate::process::Process;

mod call;
mod destination;
mod request;

pub use destination::{At, Destination};
pub use request::{Collected, Request, RequestCollection};

/// How long a call waits unless it says otherwise (`gen_server:call/2`).
pub const DEFAULT_CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a call brought no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CallError {
    /// The process was not there; the request was not sent. Look the name up again.
    #[error("no such process: look it up again")]
    NoProc,
    /// The node of the process cannot be reached; the request may or may not have run.
    #[error("the node of the process is down: retry when it is back, or on another node")]
    NodeDown,
    /// The process ended before it answered; the request may have run in part.
    #[error(
        "the process ended before it answered ({0}): look up its successor and decide whether to repeat"
    )]
    Exit(ExitReason),
    /// No answer in time; the server may still run the request, a late answer is dropped.
    #[error("no answer in time: the request may still run, repeat only what may run twice")]
    Timeout,
    /// A process called itself, which could never be answered.
    #[error("a process called itself: use Next::Continue or a plain function")]
    CallingSelf,
    /// The server dropped the request without an answer and lives on.
    #[error("the server dropped the request without an answer: this is a defect in the server")]
    NoReply,
    /// The mailbox is full; the request was not sent. Slow down and retry.
    #[error("the mailbox of the process is full: slow down and retry")]
    Overloaded,
}

/// The handle a server answers one call with. May be kept, or moved to another task.
///
/// Dropping it without an answer makes the caller see the server's exit reason if that ends, and
/// [`CallError::NoReply`] otherwise.
pub struct From<T> {
    slot: Option<Slot<T>>,
    caller: Option<Pid>,
}

/// Where an answer goes.
enum Slot<T> {
    /// To a caller of this node.
    Near(oneshot::Sender<Answer<T>>),
    /// Back over a connection.
    Far(Box<dyn FnOnce(Answer<T>) + Send + Sync>),
}

/// What became of a request.
pub(crate) enum Answer<T> {
    Reply(T),
    /// Dropped unanswered: the server is about to end, or it forgot.
    Dropped,
    /// The server was not there, or has ended. Only from another node.
    Ended(CallError),
}

impl<T> From<T> {
    fn near(slot: oneshot::Sender<Answer<T>>) -> From<T> {
        From {
            slot: Some(Slot::Near(slot)),
            caller: crate::panics::current_pid(),
        }
    }

    fn far(slot: impl FnOnce(Answer<T>) + Send + Sync + 'static) -> From<T> {
        From {
            slot: Some(Slot::Far(Box::new(slot))),
            caller: crate::panics::current_pid(),
        }
    }

    /// Answers. An answer nobody waits for any more is dropped.
    pub fn reply(mut self, value: T) {
        self.answer(Answer::Reply(value));
    }

    /// The process that asks; `None` if the request came from outside of any.
    pub fn caller(&self) -> Option<Pid> {
        self.caller
    }

    /// Whether the caller has given up. Not known of one on another node.
    pub fn is_abandoned(&self) -> bool {
        match &self.slot {
            Some(Slot::Near(slot)) => slot.is_closed(),
            Some(Slot::Far(_)) => false,
            None => true,
        }
    }

    fn answer(&mut self, answer: Answer<T>) {
        match self.slot.take() {
            Some(Slot::Near(slot)) => drop(slot.send(answer)),
            Some(Slot::Far(slot)) => slot(answer),
            None => {}
        }
    }
}

impl<T> Drop for From<T> {
    fn drop(&mut self) {
        self.answer(Answer::Dropped);
    }
}

impl<T> fmt::Debug for From<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("From")
    }
}

/// A typed reference to a server. Cheap to clone; keeps the name of a dead process, not its state.
///
/// A reference obtained from a node speaks for that node: to a server of another one it sends over
/// the connection, and fails with [`CallError::NodeDown`] when there is none.
pub struct ServerRef<S: GenServer> {
    pub(crate) process: Arc<Process>,
    /// The node that holds it, if the server is on another.
    origin: Option<Node>,
    server: PhantomData<fn(S)>,
}

impl<S: GenServer> ServerRef<S> {
    pub(crate) fn new(process: Arc<Process>) -> ServerRef<S> {
        ServerRef {
            process,
            origin: None,
            server: PhantomData,
        }
    }

    /// A reference to a server of another node, held by `origin`.
    pub(crate) fn far(process: Arc<Process>, origin: Node) -> ServerRef<S> {
        ServerRef {
            process,
            origin: Some(origin),
            server: PhantomData,
        }
    }

    /// The pid of the server.
    pub fn pid(&self) -> Pid {
        self.process.pid
    }

    /// Whether the server has not ended. Of one on another node: as far as is known.
    pub fn is_alive(&self) -> bool {
        !self.process.is_exited()
    }

    /// How many messages wait in its mailbox.
    pub fn mailbox_len(&self) -> usize {
        self.process.queued()
    }

    /// Sends a message and does not care what becomes of it (`gen_server:cast/2`). A message which
    /// a full mailbox refuses, or which is for a dead process, is counted and dropped.
    pub fn cast(&self, message: S::Message) {
        let _ = self.try_cast(message);
    }

    /// Sends a message, or gives it back. To a server of another node: whether it was sent.
    pub fn try_cast(&self, message: S::Message) -> Result<(), SendError<S::Message>> {
        let Some(origin) = &self.origin else {
            return self.process.send::<S>(message);
        };
        let Some(connection) = origin.connection_of(self.pid()) else {
            return Err(SendError::NodeDown(message));
        };
        let process = self.process.clone();
        connection.send(Parcel::Task(Box::new(move |_| {
            let _ = process.send::<S>(message);
        })));
        Ok(())
    }
}

impl<S: GenServer> Clone for ServerRef<S> {
    fn clone(&self) -> ServerRef<S> {
        ServerRef {
            process: self.process.clone(),
            origin: self.origin.clone(),
            server: PhantomData,
        }
    }
}

impl<S: GenServer> PartialEq for ServerRef<S> {
    fn eq(&self, other: &ServerRef<S>) -> bool {
        self.pid() == other.pid()
    }
}

impl<S: GenServer> Eq for ServerRef<S> {}

impl<S: GenServer> Hash for ServerRef<S> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.pid().hash(state);
    }
}

impl<S: GenServer> fmt::Debug for ServerRef<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ServerRef({})", self.pid())
    }
}
