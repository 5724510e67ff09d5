//! The ways to start a task.

use std::future::Future;
use std::sync::Arc;

use crate::node::Node;
use crate::panics;
use crate::pid::Pid;
use crate::process::Process;
use crate::supervisor::child_spec::{ChildSpec, Restart};
use crate::task::worker::{Work, Worker, job, spawn_process};
use crate::task::{Task, inside};

/// The process which is running now, if it is one of `node`.
pub(crate) fn current_process(node: &Node) -> Option<Arc<Process>> {
    panics::current_pid().and_then(|pid| node.process(pid))
}

/// Runs a future as a process linked to the calling one, to be awaited
/// (Elixir: `Task.async/1`). If either fails, so does the other, unless it traps exits. Called
/// from outside of all processes there is nobody to link with.
///
/// The label says what it does, for people.
pub fn async_<F>(node: &Node, label: impl Into<Arc<str>>, future: F) -> Task<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    spawn_process(node, current_process(node).as_ref(), label.into(), future)
}

/// Runs a future as a process which nobody is linked to, to be awaited
/// (Elixir: `Task.Supervisor.async_nolink/2` without a supervisor).
pub fn spawn<F>(node: &Node, label: impl Into<Arc<str>>, future: F) -> Task<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    spawn_process(node, None, label.into(), future)
}

/// Runs a future as a process linked to the calling one, for its effects only
/// (Elixir: `Task.start_link/1`).
pub fn start_link<F>(node: &Node, label: impl Into<Arc<str>>, future: F) -> Pid
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    async_(node, label, future).pid()
}

/// Runs a future as a process which nobody is linked to, for its effects only: fire and forget
/// (Elixir: `Task.start/1`).
pub fn start<F>(node: &Node, label: impl Into<Arc<str>>, future: F) -> Pid
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    spawn(node, label, future).pid()
}

impl Task<()> {
    /// A task as a child of a supervisor (Elixir: `Task.child_spec/1`): a temporary worker, its
    /// value is dropped. The factory makes the future of each start, restarts included. Restart,
    /// shutdown and the rest are those of [`ChildSpec`] and can be overridden there.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use otp::{Node, Options, Restart, Strategy, Supervisor, Task};
    ///
    /// let node = Node::new("example");
    /// let warm_up = Task::child_spec("warm up", || async { /* fill a cache */ });
    /// Supervisor::new(Strategy::OneForOne)
    ///     .child(warm_up.restart(Restart::Transient))
    ///     .start(&node, Options::new())
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn child_spec<F>(
        id: impl Into<Arc<str>>,
        factory: impl Fn() -> F + Send + Sync + 'static,
    ) -> ChildSpec
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let callers = inside::callers_of_a_new_task();
        ChildSpec::worker::<Worker>(id, move || {
            let (job, _) = job(factory());
            Work::for_callers(job, callers.clone())
        })
        .restart(Restart::Temporary)
    }
}
