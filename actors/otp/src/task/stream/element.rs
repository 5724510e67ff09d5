//! One element of a stream: its task from the start to the outcome.

use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::exit_reason::ExitReason;
use crate::supervisor::handle::SupervisorError;
use crate::task::Task;

/// The task of one element. However it is dropped, the process is gone soon after, and the
/// consumer does not hear of it.
pub(super) struct Owned<T>(Task<T>);

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        if let Some(process) = self.0.process().filter(|process| !process.is_exited()) {
            self.0.unlink();
            process.exit_signal(process.node.outside(), ExitReason::Kill, false);
        }
    }
}

/// What became of an element.
pub(super) enum Ended<T> {
    Value(T),
    /// The task ended by itself, or somebody else ended it.
    Failed(ExitReason),
    /// It took too long and was killed.
    TimedOut,
    /// It did not start.
    Refused(SupervisorError),
}

/// A task which is being started.
pub(super) type Starting<T> = BoxFuture<'static, Result<Task<T>, SupervisorError>>;

/// Runs the task of one element to its end. When this returns its process is gone.
pub(super) async fn run<T>(starting: Starting<T>, limit: Option<Duration>) -> Ended<T> {
    let mut task = match starting.await {
        Ok(task) => Owned(task),
        Err(error) => return Ended::Refused(error),
    };
    let outcome = match limit {
        Some(limit) => tokio::time::timeout(limit, task.0.outcome()).await.ok(),
        None => Some(task.0.outcome().await),
    };
    let Some(process) = task.0.process().cloned() else {
        return Ended::Failed(ExitReason::NoProc);
    };
    match outcome {
        Some(Ok(value)) => {
            process.wait().await;
            Ended::Value(value)
        }
        Some(Err(reason)) => Ended::Failed(reason),
        None => {
            task.0.unlink();
            process.exit_signal(process.node.outside(), ExitReason::Kill, false);
            process.wait().await;
            match task.0.try_outcome() {
                Some(Ok(value)) => Ended::Value(value),
                _ => Ended::TimedOut,
            }
        }
    }
}
