//! What a task can do about itself, from anywhere in its future.
//!
//! A future has no [`crate::Context`]; what it would hold is a task-local, set around the future
//! by the worker. Code which the future moves to another tokio task is outside of it.

use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use parking_lot::Mutex;

use crate::exit_reason::ExitReason;
use crate::panics;
use crate::pid::Pid;
use crate::process::Process;

/// How many callers a task knows; in a deeper nesting the farthest are left out.
pub const CALLERS_MAX: usize = 128;

tokio::task_local! {
    static INSIDE: Inside;
}

struct Inside {
    process: Arc<Process>,
    callers: Vec<Pid>,
    /// Set by [`exit`], looked at after each poll of the future.
    exit: Mutex<Option<ExitReason>>,
}

/// The processes on whose behalf the running task works: the one which started it first, then the
/// one on whose behalf that ran, and so on (Elixir: the process dictionary's `$callers`). At most
/// [`CALLERS_MAX`]. Empty outside of a task.
pub fn callers() -> Vec<Pid> {
    INSIDE
        .try_with(|inside| inside.callers.clone())
        .unwrap_or_default()
}

/// The process which is running this code (`self()`), a task or any other; none outside of all.
pub fn self_pid() -> Option<Pid> {
    panics::current_pid()
}

/// Changes what the running task says it is, in reports and in the process list
/// (Elixir: `Process.set_label/1`). Outside of a task nothing happens.
pub fn set_label(label: impl Into<Arc<str>>) {
    let _ = INSIDE.try_with(|inside| inside.process.set_label(label.into()));
}

/// Whether exit signals leave the running task alone (`process_flag(trap_exit, _)`): they wait in
/// its mailbox, which it does not read, so only a kill ends it. Returns the previous setting;
/// outside of a task nothing happens.
pub fn trap_exit(trap: bool) -> bool {
    INSIDE
        .try_with(|inside| inside.process.set_trap_exit(trap))
        .unwrap_or(false)
}

/// Ends the running task with a reason instead of a value (`exit/1`). Its future is dropped where
/// it stands.
///
/// # Panics
///
/// Outside of a task, where there is nothing it could end.
pub async fn exit<T>(reason: ExitReason) -> T {
    let asked = INSIDE.try_with(|inside| *inside.exit.lock() = Some(reason));
    assert!(asked.is_ok(), "task::exit was called outside of a task");
    pending().await
}

/// The callers of a task which is started here.
pub(crate) fn callers_of_a_new_task() -> Vec<Pid> {
    let current = panics::current_pid();
    let mut chain: Vec<Pid> = current.into_iter().chain(callers()).collect();
    chain.truncate(CALLERS_MAX);
    chain
}

/// Runs the future of a task. `Err` is the reason it gave to [`exit`], or its panic.
pub(crate) async fn run(
    process: Arc<Process>,
    callers: Vec<Pid>,
    work: impl Future<Output = ()>,
) -> Result<(), ExitReason> {
    let inside = Inside {
        process,
        callers,
        exit: Mutex::default(),
    };
    let work = async move {
        let mut work = pin!(work);
        poll_fn(|context| {
            if work.as_mut().poll(context).is_ready() {
                return Poll::Ready(Ok(()));
            }
            match INSIDE.with(|inside| inside.exit.lock().take()) {
                Some(reason) => Poll::Ready(Err(reason)),
                None => Poll::Pending,
            }
        })
        .await
    };
    INSIDE.scope(inside, panics::guarded(work)).await?
}
