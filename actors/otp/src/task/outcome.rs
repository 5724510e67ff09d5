//! Asking one task for its outcome.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::exit_reason::ExitReason;
use crate::panics;
use crate::pid::Pid;
use crate::process::Process;
use crate::supervisor::child_spec::Shutdown;
use crate::task::{State, Task};

/// How long [`Task::await_value`] waits (Elixir: `Task.await/1`).
pub const DEFAULT_AWAIT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a task gave no value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TaskError {
    /// No value in time. The task runs on, with its link; a late value is dropped. To keep the
    /// handle use [`Task::yield_`].
    #[error("no value in time: the task runs on, its value will be dropped")]
    Timeout,
    /// The task ended without a value.
    #[error("the task ended without a value: {0}")]
    Exit(ExitReason),
    /// The connection to the node of the task was lost; what became of it is not known.
    #[error("the node of the task {0} is down: its outcome is not known")]
    NodeDown(Pid),
    /// Only the process which started a task may ask for its outcome. The task runs on.
    #[error("the task {task} must be asked by its owner {owner:?}, but was by {caller:?}")]
    NotOwner {
        /// The task.
        task: Pid,
        /// The process which started it; none: that was outside of all processes.
        owner: Option<Pid>,
        /// The process which asked.
        caller: Option<Pid>,
    },
}

impl TaskError {
    pub(crate) fn of_end(task: Pid, reason: ExitReason) -> TaskError {
        match reason {
            ExitReason::NoConnection => TaskError::NodeDown(task),
            reason => TaskError::Exit(reason),
        }
    }

    /// The reason a caller ends with which wants to fail as its task did, as `Task.await/2` makes
    /// it in Elixir: `Next::Stop(error.exit_reason())`.
    pub fn exit_reason(&self) -> ExitReason {
        match self {
            TaskError::Timeout => ExitReason::Timeout,
            TaskError::Exit(reason) => reason.clone(),
            TaskError::NodeDown(_) => ExitReason::NoConnection,
            TaskError::NotOwner { .. } => ExitReason::error(self),
        }
    }
}

impl<T> Task<T> {
    /// Waits at most [`DEFAULT_AWAIT_TIMEOUT`] for the value (Elixir: `Task.await/1`).
    pub async fn await_value(self) -> Result<T, TaskError> {
        self.await_within(DEFAULT_AWAIT_TIMEOUT).await
    }

    /// Waits at most `limit` for the value (Elixir: `Task.await/2`). In Elixir the caller exits
    /// if there is none; here it gets the error and decides. A task started with
    /// [`crate::task::async_`] which *fails* still takes its owner along, unless that traps exits.
    ///
    /// [`TaskError::Timeout`]: the task runs on, still linked; end with
    /// [`TaskError::exit_reason`] and it ends too, as in Elixir.
    pub async fn await_within(mut self, limit: Duration) -> Result<T, TaskError> {
        self.check_owner()?;
        let outcome = tokio::time::timeout(limit, self.outcome()).await;
        match outcome {
            Ok(outcome) => outcome.map_err(|reason| TaskError::of_end(self.pid(), reason)),
            Err(_) => Err(TaskError::Timeout),
        }
    }

    /// Looks whether there is an outcome within `limit` (Elixir: `Task.yield/2`): the value, or
    /// `None` if the task still runs, and then it can be asked again. After the outcome was given
    /// out it waits for nothing and gives `None`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), otp::TaskError> {
    /// use otp::{Node, Shutdown, task};
    /// use std::time::Duration;
    ///
    /// let node = Node::new("example");
    /// let mut task = task::async_(&node, "slow", std::future::pending::<u32>());
    /// let value = match task.yield_(Duration::from_millis(5)).await? {
    ///     Some(value) => Some(value),
    ///     None => task.shutdown_with(Shutdown::Brutal).await?,
    /// };
    /// assert_eq!(value, None);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn yield_(&mut self, limit: Duration) -> Result<Option<T>, TaskError> {
        self.check_owner()?;
        let outcome = tokio::time::timeout(limit, self.outcome()).await;
        match outcome {
            Ok(Ok(value)) => Ok(Some(value)),
            Ok(Err(reason)) => Err(TaskError::of_end(self.pid(), reason)),
            Err(_) => Ok(None),
        }
    }

    /// Unlinks the task, ends it and waits until it has (Elixir: `Task.shutdown/2`). A value which
    /// came before the end is given; `None` tells that it ended because of this: with shutdown, or
    /// killed for [`Shutdown::Brutal`]. [`Shutdown::Timeout`] asks first and kills when that did
    /// not help.
    ///
    /// [`TaskError::Exit`]: it ended for another reason, which includes the kill after a timeout;
    /// [`ExitReason::NoProc`]: its outcome was given out before.
    pub async fn shutdown_with(mut self, how: Shutdown) -> Result<Option<T>, TaskError> {
        self.shut_down(how).await
    }

    /// Lets the task run on without its owner (Elixir: `Task.ignore/1`): the link is cut, a late
    /// value or failure is dropped. What is known by now is given.
    ///
    /// The handle is gone afterwards:
    ///
    /// ```compile_fail,E0382
    /// # let node = otp::Node::new("example");
    /// let task = otp::task::async_(&node, "late", async { 1 });
    /// task.ignore();
    /// let _ = task.await_value();
    /// ```
    pub fn ignore(mut self) -> Result<Option<T>, TaskError> {
        self.check_owner()?;
        self.forget()
    }

    /// [`Task::shutdown_with`] for a handle which stays.
    pub(crate) async fn shut_down(&mut self, how: Shutdown) -> Result<Option<T>, TaskError> {
        self.check_owner()?;
        let Some(process) = self.process().cloned() else {
            return self.forget();
        };
        if matches!(self.state, State::Handled) && process.is_exited() {
            return Err(TaskError::Exit(ExitReason::NoProc));
        }
        // Nothing can come between the two: a process is only ended at an await.
        self.unlink();
        let reason = end(&process, self.owner, how).await;
        match (self.try_outcome(), reason, how) {
            (Some(Ok(value)), _, _) => Ok(Some(value)),
            (_, ExitReason::Killed, Shutdown::Brutal)
            | (_, ExitReason::Shutdown, Shutdown::Timeout(_) | Shutdown::Infinity) => Ok(None),
            (_, reason, _) => Err(TaskError::of_end(self.pid(), reason)),
        }
    }

    /// [`Task::ignore`] for a handle which stays, and for which nothing will come any more.
    pub(crate) fn forget(&mut self) -> Result<Option<T>, TaskError> {
        self.unlink();
        let outcome = self.try_outcome();
        self.state = State::Handled;
        match outcome {
            Some(Ok(value)) => Ok(Some(value)),
            Some(Err(reason)) => Err(TaskError::of_end(self.pid(), reason)),
            None => Ok(None),
        }
    }

    pub(crate) fn check_owner(&self) -> Result<(), TaskError> {
        let caller = panics::current_pid();
        if caller == self.owner {
            return Ok(());
        }
        Err(TaskError::NotOwner {
            task: self.pid(),
            owner: self.owner,
            caller,
        })
    }
}

/// Ends a process which nobody is linked to any more, and tells its reason.
async fn end(process: &Arc<Process>, from: Option<Pid>, how: Shutdown) -> ExitReason {
    let from = from.unwrap_or_else(|| process.node.outside());
    let limit = match how {
        Shutdown::Brutal => {
            process.exit_signal(from, ExitReason::Kill, false);
            None
        }
        Shutdown::Timeout(limit) => Some(limit),
        Shutdown::Infinity => None,
    };
    if how != Shutdown::Brutal {
        process.exit_signal(from, ExitReason::Shutdown, false);
    }
    if let Some(limit) = limit {
        if let Ok(reason) = tokio::time::timeout(limit, process.wait()).await {
            return reason;
        }
        process.exit_signal(from, ExitReason::Kill, false);
    }
    process.wait().await
}
