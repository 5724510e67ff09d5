//! Tasks: processes which compute one value (Elixir: `Task`).
//!
//! ```text
//!  owner ──async_──▶ process running the future ──value──▶ the handle, never the owner's mailbox
//!    ▲                    └── panic, exit, kill ──reason─┘
//!    └────────── link ────┘   either takes the other along
//! ```
//!
//! * Started by [`async_`] (linked, its value is awaited), [`start_link`] and [`start`] (nobody
//!   awaits it), as a child of a supervisor ([`Task::child_spec`]), or by a
//!   [`crate::TaskSupervisor`].
//! * When it fails a linked process which does not trap exits fails with it; everybody else
//!   learns of it through the handle. The failure is logged with task, caller and label.
//! * It may call anybody. It does not read its mailbox: what is sent to it waits there, and is
//!   dropped with it.
//!
//! From inside a task [`callers`], [`self_pid`], [`set_label`], [`trap_exit`] and [`exit`] tell
//! and change what it is.
//!
//! One thing differs from Elixir: where `Task.await/2` makes the *caller* exit, [`Task::await_within`]
//! returns a [`TaskError`], because in Rust a failure is a value. A caller which wants to end as in
//! Elixir stops with [`TaskError::exit_reason`].
//!
//! | Elixir's manual | here |
//! |---|---|
//! | `async/1` links and monitors; the caller must await | [`async_`]: linked to the caller, the answer goes to the handle. |
//! | `await/2`: 5,000 ms, exits the caller | [`Task::await_value`], [`Task::await_within`]: [`TaskError`]. |
//! | `yield/2`: `nil` when there is no answer yet, and the task goes on | [`Task::yield_`]. |
//! | `shutdown/2`: the answer, if it came meanwhile | [`Task::shutdown_with`]. |
//! | `await_many/2`, `yield_many/2` | [`await_many`], [`yield_many`], [`YieldMany`]. |
//! | `async_stream/3`: `:max_concurrency`, `:ordered`, `:timeout`, `:on_timeout` | [`async_stream`], with options of the same names. |
//! | `$callers` | [`callers`]. |

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as PollContext, Poll};

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use crate::exit_reason::ExitReason;
use crate::panics;
use crate::pid::Pid;
use crate::process::Process;

mod inside;
mod many;
mod outcome;
mod start;
pub mod stream;
pub(crate) mod worker;

pub(crate) use inside::callers_of_a_new_task;
pub use inside::{CALLERS_MAX, callers, exit, self_pid, set_label, trap_exit};
pub use many::{OnYieldTimeout, YieldMany, Yielded, await_many, yield_many};
pub use outcome::{DEFAULT_AWAIT_TIMEOUT, TaskError};
pub(crate) use start::current_process;
pub use start::{async_, spawn, start, start_link};
pub use stream::{AsyncStream, StreamError, StreamOptions, async_stream, async_stream_from};
pub(crate) use worker::spawn_process;

/// A running task, or one that has ended and whose value was not taken yet.
///
/// It belongs to the process which started it, its owner; another process gets
/// [`TaskError::NotOwner`] from every method which asks for the outcome.
///
/// Awaiting the handle itself (`task.await`) waits as long as it takes, gives the value or the
/// reason why there is none, and is not bound to the owner, because a future may be moved.
///
/// Dropping the handle lets the task run on: its value is dropped when it comes, its link stays.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use otp::{Node, task};
///
/// let node = Node::new("example");
/// let task = task::async_(&node, "sum", async { 1 + 1 });
/// assert_eq!(task.await_value().await?, 2);
/// # Ok(())
/// # }
/// ```
#[must_use = "await the task, or drop it explicitly to let it run on"]
pub struct Task<T> {
    /// None: completed from the start.
    process: Option<Arc<Process>>,
    /// The process which started it; none if that was no process.
    owner: Option<Pid>,
    state: State<T>,
}

/// What is known of the outcome.
enum State<T> {
    /// The value may still come.
    Running(oneshot::Receiver<T>),
    /// There will be no value; this waits for the reason.
    Lost(BoxFuture<'static, ExitReason>),
    /// The value is here.
    Completed(T),
    /// The outcome was given out, or is not wanted any more.
    Handled,
}

/// Nothing in it is pinned in place.
impl<T> Unpin for Task<T> {}

impl<T> Task<T> {
    pub(crate) fn new(
        process: Arc<Process>,
        owner: Option<Pid>,
        receiver: oneshot::Receiver<T>,
    ) -> Task<T> {
        Task {
            process: Some(process),
            owner,
            state: State::Running(receiver),
        }
    }

    /// A task which has ended already, with this value, and never had a process
    /// (Elixir: `Task.completed/1`).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// assert_eq!(otp::Task::completed(5).await, Ok(5));
    /// # }
    /// ```
    pub fn completed(value: T) -> Task<T> {
        Task {
            process: None,
            owner: panics::current_pid(),
            state: State::Completed(value),
        }
    }

    /// The process which runs the task. A [`Task::completed`] one has a pid no process ever has.
    pub fn pid(&self) -> Pid {
        self.process
            .as_ref()
            .map_or(Pid::from_parts(0, 0, 0), |process| process.pid)
    }

    /// Whether the task has, or had, a process of its own.
    pub fn has_process(&self) -> bool {
        self.process.is_some()
    }

    /// The process which started the task and may ask for its outcome; none if it was started
    /// outside of all processes.
    pub fn owner(&self) -> Option<Pid> {
        self.owner
    }

    /// Asks the task to end: it is dropped at its next await, unless it traps exits. Returns at
    /// once and keeps the link. Its value, if it was faster, can still be awaited. To wait for the
    /// end use [`Task::shutdown_with`].
    pub fn shutdown(&self) {
        if let Some(process) = &self.process {
            process.exit_signal(process.node.outside(), ExitReason::Shutdown, false);
        }
    }

    pub(crate) fn process(&self) -> Option<&Arc<Process>> {
        self.process.as_ref()
    }

    /// Cuts the link with the owner, if there is one: neither end reaches the other any more.
    pub(crate) fn unlink(&self) {
        let (Some(process), Some(owner)) = (&self.process, self.owner) else {
            return;
        };
        process.remove_link(owner);
        if let Some(owner) = process.node.process(owner) {
            owner.remove_link(process.pid);
        }
    }

    /// Waits for the outcome and takes it. May be dropped and begun anew. Never returns if the
    /// outcome was taken before.
    pub(crate) fn outcome(&mut self) -> impl Future<Output = Result<T, ExitReason>> {
        poll_fn(|context| self.poll_outcome(context))
    }

    /// The outcome, if it is known already.
    pub(crate) fn try_outcome(&mut self) -> Option<Result<T, ExitReason>> {
        let ended = self.process.as_ref().and_then(|task| task.exit_reason());
        match std::mem::replace(&mut self.state, State::Handled) {
            State::Completed(value) => Some(Ok(value)),
            // After the look at the end: a value comes before the end, so it is not missed.
            State::Running(mut receiver) => match (receiver.try_recv(), ended) {
                (Ok(value), _) => Some(Ok(value)),
                (Err(_), Some(reason)) => Some(Err(reason)),
                (Err(_), None) => {
                    self.state = State::Running(receiver);
                    None
                }
            },
            State::Lost(end) => match ended {
                Some(reason) => Some(Err(reason)),
                None => {
                    self.state = State::Lost(end);
                    None
                }
            },
            State::Handled => None,
        }
    }

    fn poll_outcome(&mut self, context: &mut PollContext<'_>) -> Poll<Result<T, ExitReason>> {
        loop {
            match std::mem::replace(&mut self.state, State::Handled) {
                State::Running(mut receiver) => match Pin::new(&mut receiver).poll(context) {
                    Poll::Ready(Ok(value)) => return Poll::Ready(Ok(value)),
                    Poll::Ready(Err(_)) => self.state = self.lost(),
                    Poll::Pending => {
                        self.state = State::Running(receiver);
                        return Poll::Pending;
                    }
                },
                State::Lost(mut end) => match end.as_mut().poll(context) {
                    Poll::Ready(reason) => return Poll::Ready(Err(reason)),
                    Poll::Pending => {
                        self.state = State::Lost(end);
                        return Poll::Pending;
                    }
                },
                State::Completed(value) => return Poll::Ready(Ok(value)),
                State::Handled => return Poll::Pending,
            }
        }
    }

    fn lost(&self) -> State<T> {
        let process = self.process.clone();
        State::Lost(Box::pin(async move {
            match process {
                Some(process) => process.wait().await,
                None => ExitReason::NoProc,
            }
        }))
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, ExitReason>;

    /// [`ExitReason::NoProc`] if the outcome was taken before.
    fn poll(mut self: Pin<&mut Self>, context: &mut PollContext<'_>) -> Poll<Self::Output> {
        if matches!(self.state, State::Handled) {
            return Poll::Ready(Err(ExitReason::NoProc));
        }
        self.poll_outcome(context)
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Task({})", self.pid())
    }
}
