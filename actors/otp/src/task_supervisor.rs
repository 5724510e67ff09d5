//! Supervisors of tasks (Elixir: `Task.Supervisor`).
//!
//! ```text
//!   async_, start_child ──▶ ┌─────────────────┐ ──start, link──▶ task, task, task …
//!        │                  │ task supervisor │
//!        └──link, value──── └─────────────────┘   the caller of async_ is linked too,
//!                                                 that of async_nolink is not
//! ```
//!
//! * Started by [`TaskSupervisor::start`], [`TaskSupervisor::start_link`] or as a child of a
//!   supervisor ([`TaskSupervisor::child_spec`]). It is a [`DynamicSupervisor`] whose children are
//!   tasks.
//! * When it is stopped all tasks are told at once, and each gets its own time.
//! * It calls nobody. A task begins in the turn of its caller, not in that of the supervisor.
//! * Limit: [`TaskSupervisor::max_children`], policy: refuse with
//!   [`SupervisorError::MaxChildren`]. A full mailbox refuses requests, never EXITs.
//!
//! | Elixir's manual | here |
//! |---|---|
//! | `async/3` links the task to the caller, `async_nolink/3` does not | [`TaskSupervisorRef::async_`], [`TaskSupervisorRef::async_nolink`]. |
//! | `start_child/3`: temporary unless said otherwise | [`TaskSupervisorRef::start_child`], [`TaskSupervisorRef::start_child_restarting`]. |
//! | `async_stream/4`, `async_stream_nolink/4` | Methods of the same names. |
//! | `:shutdown` of a task | [`TaskOptions::shutdown`]. |
//! | `children/1`, `terminate_child/2` | [`TaskSupervisorRef::children`], [`TaskSupervisorRef::terminate_child`]. |

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::context::Context;
use crate::dynamic_supervisor::{DynamicSupervisor, DynamicSupervisorRef};
use crate::exit_reason::ExitReason;
use crate::gen_server::GenServer;
use crate::node::Node;
use crate::options::Options;
use crate::panics;
use crate::pid::Pid;
use crate::process::Process;
use crate::server_ref::CallError;
use crate::start::StartError;
use crate::supervisor::child_spec::{ChildSpec, DEFAULT_SHUTDOWN, Restart, Shutdown};
use crate::supervisor::handle::{ChildCount, SupervisorError};
use crate::task::stream::{self, AsyncStream, StreamOptions, StreamOptionsError};
use crate::task::worker::{Work, Worker, job};
use crate::task::{Task, callers_of_a_new_task, current_process};

/// The description of a task supervisor, to be started or to be a child of a supervisor.
#[derive(Clone, Debug, Default)]
pub struct TaskSupervisor {
    dynamic: DynamicSupervisor,
}

impl TaskSupervisor {
    /// No limit on tasks but that of [`DynamicSupervisor::new`], and its restart intensity.
    pub fn new() -> TaskSupervisor {
        TaskSupervisor::default()
    }

    /// Refuses further tasks above this number.
    pub fn max_children(mut self, tasks: usize) -> TaskSupervisor {
        self.dynamic = self.dynamic.max_children(tasks);
        self
    }

    /// Allows this many restarts within the period, over all tasks; one more ends the supervisor
    /// (`max_restarts`, `max_seconds`). Only for tasks which are restarted at all.
    pub fn intensity(mut self, restarts: usize, period: Duration) -> TaskSupervisor {
        self.dynamic = self.dynamic.intensity(restarts, period);
        self
    }

    /// Starts it alone.
    pub async fn start(
        self,
        node: &Node,
        options: Options,
    ) -> Result<TaskSupervisorRef, StartError> {
        let supervisor = self.dynamic.start(node, options).await?;
        Ok(TaskSupervisorRef {
            supervisor,
            node: node.clone(),
        })
    }

    /// Starts it as a child of the calling process.
    pub fn start_link<P: GenServer>(
        self,
        ctx: &Context<P>,
        options: Options,
    ) -> impl Future<Output = Result<TaskSupervisorRef, StartError>> + Send + use<P> {
        let node = ctx.node().clone();
        let start = self.dynamic.start_link(ctx, options);
        async move {
            let supervisor = start.await?;
            Ok(TaskSupervisorRef { supervisor, node })
        }
    }

    /// A task supervisor as a permanent child of a supervisor. Give it a name with
    /// [`ChildSpec::options`] to find it with [`TaskSupervisorRef::whereis`].
    pub fn child_spec(
        id: impl Into<Arc<str>>,
        factory: impl Fn() -> TaskSupervisor + Send + Sync + 'static,
    ) -> ChildSpec {
        ChildSpec::dynamic_supervisor(id, move || factory().dynamic)
    }
}

/// What a supervised task is called and how it is stopped. Text converts into it: the label.
#[derive(Clone, Debug)]
pub struct TaskOptions {
    label: Arc<str>,
    shutdown: Shutdown,
}

impl TaskOptions {
    /// Label `task`, [`DEFAULT_SHUTDOWN`].
    pub fn new() -> TaskOptions {
        TaskOptions {
            label: "task".into(),
            shutdown: Shutdown::Timeout(DEFAULT_SHUTDOWN),
        }
    }

    /// Says what the task does, for people.
    pub fn label(mut self, label: impl Into<Arc<str>>) -> TaskOptions {
        self.label = label.into();
        self
    }

    /// How the supervisor stops the task. A time has an effect only if the task traps exits.
    pub fn shutdown(mut self, shutdown: Shutdown) -> TaskOptions {
        self.shutdown = shutdown;
        self
    }
}

impl Default for TaskOptions {
    fn default() -> TaskOptions {
        TaskOptions::new()
    }
}

impl<L: Into<Arc<str>>> From<L> for TaskOptions {
    fn from(label: L) -> TaskOptions {
        TaskOptions::new().label(label)
    }
}

/// Whether a supervised task is linked to its caller too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Linked,
    Free,
}

/// A reference to a running [`TaskSupervisor`]. Requests wait for as long as it lives.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use otp::{ExitReason, Node, Options, TaskError, TaskSupervisor};
///
/// let node = Node::new("example");
/// let tasks = TaskSupervisor::new().max_children(100).start(&node, Options::new()).await?;
/// let sum = tasks.async_nolink("sum", async { 1 + 1 }).await?;
/// assert_eq!(sum.await_value().await?, 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TaskSupervisorRef {
    supervisor: DynamicSupervisorRef,
    node: Node,
}

impl PartialEq for TaskSupervisorRef {
    fn eq(&self, other: &TaskSupervisorRef) -> bool {
        self.pid() == other.pid()
    }
}

impl Eq for TaskSupervisorRef {}

impl TaskSupervisorRef {
    /// The task supervisor with this pid, if there is one.
    pub fn from_pid(node: &Node, pid: Pid) -> Option<TaskSupervisorRef> {
        let supervisor = DynamicSupervisorRef::from_pid(node, pid)?;
        let node = node.clone();
        Some(TaskSupervisorRef { supervisor, node })
    }

    /// The task supervisor registered under this name, if there is one.
    pub fn whereis(node: &Node, name: &str) -> Option<TaskSupervisorRef> {
        TaskSupervisorRef::from_pid(node, node.whereis(name)?)
    }

    /// The supervisor's pid.
    pub fn pid(&self) -> Pid {
        self.supervisor.pid()
    }

    /// Whether it has not ended.
    pub fn is_alive(&self) -> bool {
        self.supervisor.is_alive()
    }

    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    // ---- tasks to be awaited --------------------------------------------------------------

    /// Starts a task under the supervisor and linked to the calling process, to be awaited
    /// (Elixir: `Task.Supervisor.async/2`).
    ///
    /// [`SupervisorError::MaxChildren`]: nothing was started; retry when some have ended.
    pub async fn async_<F>(
        &self,
        options: impl Into<TaskOptions>,
        future: F,
    ) -> Result<Task<F::Output>, SupervisorError>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.begin(options.into(), Link::Linked, future).await
    }

    /// Starts a task under the supervisor only, to be awaited: if it fails the caller learns of
    /// it through the handle and from nothing else (Elixir: `Task.Supervisor.async_nolink/2`).
    pub async fn async_nolink<F>(
        &self,
        options: impl Into<TaskOptions>,
        future: F,
    ) -> Result<Task<F::Output>, SupervisorError>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.begin(options.into(), Link::Free, future).await
    }

    /// Has the supervisor start a process, links with it, and only then gives it its work. If the
    /// caller is dropped in between the process ends without having done anything.
    pub(crate) async fn begin<F>(
        &self,
        options: TaskOptions,
        link: Link,
        future: F,
    ) -> Result<Task<F::Output>, SupervisorError>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let (open, work) = Work::at_the_gate();
        let spec = ChildSpec::once::<Worker>(options.label, work).shutdown(options.shutdown);
        let pid = self.supervisor.start_child(spec).await?;
        let process = self
            .node
            .process(pid)
            .ok_or(SupervisorError::Start(StartError::Failed(
                ExitReason::NoProc,
            )))?;
        if link == Link::Linked
            && let Some(owner) = current_process(&self.node)
        {
            join(&owner, &process);
        }
        let (job, receiver) = job(future);
        let task = Task::new(process, panics::current_pid(), receiver);
        // If it has ended by now the job is dropped, and the handle tells the reason.
        let _ = open.send(job);
        Ok(task)
    }

    // ---- tasks for their effects ----------------------------------------------------------

    /// Starts a task under the supervisor for its effects only (Elixir:
    /// `Task.Supervisor.start_child/2`). It is temporary: never restarted.
    pub async fn start_child<F>(
        &self,
        options: impl Into<TaskOptions>,
        future: F,
    ) -> Result<Pid, SupervisorError>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let options = options.into();
        let (job, _) = job(future);
        let spec = ChildSpec::once::<Worker>(options.label, Work::now(job));
        self.supervisor
            .start_child(spec.shutdown(options.shutdown))
            .await
    }

    /// Starts a task which is started again according to `restart`. The factory makes the future
    /// of each start.
    pub async fn start_child_restarting<F>(
        &self,
        options: impl Into<TaskOptions>,
        restart: Restart,
        factory: impl Fn() -> F + Send + Sync + 'static,
    ) -> Result<Pid, SupervisorError>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let options = options.into();
        let callers = callers_of_a_new_task();
        let spec = ChildSpec::worker::<Worker>(options.label, move || {
            let (job, _) = job(factory());
            Work::for_callers(job, callers.clone())
        });
        self.supervisor
            .start_child(spec.restart(restart).shutdown(options.shutdown))
            .await
    }

    // ---- streams --------------------------------------------------------------------------

    /// [`crate::task::async_stream`] with the tasks under this supervisor, and linked to the
    /// consumer (Elixir: `Task.Supervisor.async_stream/4`).
    pub fn async_stream<I, F, W>(
        &self,
        inputs: I,
        function: F,
        options: StreamOptions,
    ) -> Result<AsyncStream<I::Item, W::Output>, StreamOptionsError>
    where
        I: IntoIterator,
        I::IntoIter: Send + 'static,
        I::Item: Send + 'static,
        F: FnMut(I::Item) -> W + Send + 'static,
        W: Future + Send + 'static,
        W::Output: Send + 'static,
    {
        stream::supervised(self, Link::Linked, inputs, function, options)
    }

    /// [`crate::task::async_stream`] with the tasks under this supervisor only: the failure of
    /// one is an entry of the stream, and the consumer lives on (Elixir:
    /// `Task.Supervisor.async_stream_nolink/4`). They too are killed when the stream is dropped.
    pub fn async_stream_nolink<I, F, W>(
        &self,
        inputs: I,
        function: F,
        options: StreamOptions,
    ) -> Result<AsyncStream<I::Item, W::Output>, StreamOptionsError>
    where
        I: IntoIterator,
        I::IntoIter: Send + 'static,
        I::Item: Send + 'static,
        F: FnMut(I::Item) -> W + Send + 'static,
        W: Future + Send + 'static,
        W::Output: Send + 'static,
    {
        stream::supervised(self, Link::Free, inputs, function, options)
    }

    // ---- the supervisor itself ------------------------------------------------------------

    /// The tasks which run, in no order (Elixir: `Task.Supervisor.children/1`).
    pub async fn children(&self) -> Result<Vec<Pid>, SupervisorError> {
        let children = self.supervisor.which_children().await?;
        Ok(children
            .into_iter()
            .filter_map(|child| child.state.pid())
            .collect())
    }

    /// How many tasks there are.
    pub async fn count_children(&self) -> Result<ChildCount, SupervisorError> {
        self.supervisor.count_children().await
    }

    /// Stops a task (Elixir: `Task.Supervisor.terminate_child/2`).
    pub async fn terminate_child(&self, pid: Pid) -> Result<(), SupervisorError> {
        self.supervisor.terminate_child(pid).await
    }

    /// Stops all tasks at once, each with its own limit, then the supervisor.
    pub async fn stop(&self, reason: ExitReason, limit: Duration) -> Result<(), CallError> {
        self.supervisor.stop(reason, limit).await
    }

    /// Waits until the supervisor has ended and tells why.
    pub async fn wait_for_exit(&self) -> ExitReason {
        self.supervisor.wait_for_exit().await
    }
}

/// Links a caller with its task (`link/1`, as [`Context::link`] does it).
fn join(owner: &Arc<Process>, task: &Arc<Process>) {
    if owner.add_link(task.pid) && !task.add_link(owner.pid) {
        owner.exit_signal(task.pid, ExitReason::NoProc, true);
    }
}
