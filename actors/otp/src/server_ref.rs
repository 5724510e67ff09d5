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

use crate::exit_reason::ExitReason;
use crate::gen_server::GenServer;
use crate::mailbox::SendError;
use crate::pid::Pid;
use crate::process::Process;
use crate::signal::Signal;

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
    slot: Option<oneshot::Sender<Answer<T>>>,
}

enum Answer<T> {
    Reply(T),
    /// Dropped unanswered; `panicking` tells that a panic unwound through the handle, in which
    /// case the server is about to end even if it is not marked so yet.
    Dropped {
        panicking: bool,
    },
}

impl<T> From<T> {
    /// Answers. An answer nobody waits for any more is dropped.
    pub fn reply(mut self, value: T) {
        if let Some(slot) = self.slot.take() {
            let _ = slot.send(Answer::Reply(value));
        }
    }

    /// Whether the caller has given up.
    pub fn is_abandoned(&self) -> bool {
        self.slot.as_ref().is_none_or(oneshot::Sender::is_closed)
    }
}

impl<T> Drop for From<T> {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            let panicking = std::thread::panicking();
            let _ = slot.send(Answer::Dropped { panicking });
        }
    }
}

impl<T> fmt::Debug for From<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("From")
    }
}

/// A typed reference to a server. Cheap to clone; keeps the name of a dead process, not its state.
pub struct ServerRef<S: GenServer> {
    pub(crate) process: Arc<Process>,
    server: PhantomData<fn(S)>,
}

impl<S: GenServer> ServerRef<S> {
    pub(crate) fn new(process: Arc<Process>) -> ServerRef<S> {
        ServerRef {
            process,
            server: PhantomData,
        }
    }

    /// The pid of the server.
    pub fn pid(&self) -> Pid {
        self.process.pid
    }

    /// Whether the server has not ended.
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
        let _ = self.process.send::<S>(message);
    }

    /// Sends a message, or gives it back.
    pub fn try_cast(&self, message: S::Message) -> Result<(), SendError<S::Message>> {
        self.process.send::<S>(message)
    }

    /// Asks and waits for the answer, at most [`DEFAULT_CALL_TIMEOUT`] (`gen_server:call/2`).
    pub async fn call<T, F>(&self, request: F) -> Result<T, CallError>
    where
        T: Send + 'static,
        F: FnOnce(From<T>) -> S::Message + Send,
    {
        self.call_timeout(DEFAULT_CALL_TIMEOUT, request).await
    }

    /// Asks and waits for the answer, at most `limit`.
    pub async fn call_timeout<T, F>(&self, limit: Duration, request: F) -> Result<T, CallError>
    where
        T: Send + 'static,
        F: FnOnce(From<T>) -> S::Message + Send,
    {
        let receiver = self.ask(request)?;
        let mut unanswered = false;
        match tokio::time::timeout(limit, self.answer(receiver, &mut unanswered)).await {
            Ok(result) => result,
            // Known to be unanswered for good, only the end of the server did not come.
            Err(_) if unanswered => Err(CallError::NoReply),
            Err(_) => Err(CallError::Timeout),
        }
    }

    /// Asks and waits for the answer for as long as the server lives. For requests whose length
    /// is bounded elsewhere, such as starting a child (`infinity`).
    pub async fn call_infinity<T, F>(&self, request: F) -> Result<T, CallError>
    where
        T: Send + 'static,
        F: FnOnce(From<T>) -> S::Message + Send,
    {
        let receiver = self.ask(request)?;
        self.answer(receiver, &mut false).await
    }

    /// Asks the server to end in good order and waits until it has (`gen_server:stop/3`): its
    /// `terminate` runs with `reason`.
    ///
    /// [`CallError::Timeout`]: it still runs; kill it with [`crate::Node::exit`] if it must go.
    /// [`CallError::Exit`]: it ended with another reason.
    pub async fn stop(&self, reason: ExitReason, limit: Duration) -> Result<(), CallError> {
        if crate::panics::current_pid() == Some(self.pid()) {
            return Err(CallError::CallingSelf);
        }
        let asked = self.process.signal(Signal::Stop {
            reason: reason.clone(),
        });
        if !asked && self.process.is_exited() {
            return Err(CallError::NoProc);
        }
        match tokio::time::timeout(limit, self.process.wait()).await {
            Ok(ended) if ended == reason => Ok(()),
            Ok(ended) => Err(CallError::Exit(ended)),
            Err(_) => Err(CallError::Timeout),
        }
    }

    /// Waits until the server has ended and tells why.
    pub async fn wait_for_exit(&self) -> ExitReason {
        self.process.wait().await
    }

    fn ask<T>(
        &self,
        request: impl FnOnce(From<T>) -> S::Message,
    ) -> Result<oneshot::Receiver<Answer<T>>, CallError> {
        if crate::panics::current_pid() == Some(self.pid()) {
            return Err(CallError::CallingSelf);
        }
        let (slot, receiver) = oneshot::channel();
        let message = request(From { slot: Some(slot) });
        match self.process.send::<S>(message) {
            Ok(()) => Ok(receiver),
            Err(SendError::NoProc(_)) => Err(CallError::NoProc),
            Err(SendError::Full(_)) => Err(CallError::Overloaded),
        }
    }

    async fn answer<T>(
        &self,
        mut receiver: oneshot::Receiver<Answer<T>>,
        unanswered: &mut bool,
    ) -> Result<T, CallError> {
        let answer = tokio::select! {
            biased;
            answer = &mut receiver => answer.ok(),
            reason = self.process.wait() => match receiver.try_recv() {
                // It answered and ended at once: the answer came first.
                Ok(Answer::Reply(value)) => return Ok(value),
                _ => return Err(CallError::Exit(reason)),
            },
        };
        match answer {
            Some(Answer::Reply(value)) => Ok(value),
            Some(Answer::Dropped { panicking: false }) if !self.process.is_ending() => {
                Err(CallError::NoReply)
            }
            Some(Answer::Dropped { .. }) | None => {
                *unanswered = true;
                Err(CallError::Exit(self.process.wait().await))
            }
        }
    }
}

impl<S: GenServer> Clone for ServerRef<S> {
    fn clone(&self) -> ServerRef<S> {
        ServerRef::new(self.process.clone())
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
