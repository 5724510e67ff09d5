//! Tasks: one-shot processes which compute a value (Elixir: `Task`).
//!
//! ```text
//!  owner ──spawn──▶ process running the future ──value──▶ task.await
//!                        └──panic, exit signal, kill──▶ Err(reason), links and monitors fire
//! ```

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as PollContext, Poll};

use futures_util::future::BoxFuture;
use ractor::ActorRuntime;
use tokio::sync::oneshot;

use crate::context::Context;
use crate::exit_reason::ExitReason;
use crate::gen_server::{GenServer, Init, Next};
use crate::node::Node;
use crate::options::Options;
use crate::pid::Pid;
use crate::process::Process;
use crate::runner::{self, HalfStarted, Published, Runner, Slot, Start};

/// A running task. Awaiting it gives the value, or the reason why there is none. Dropping it lets
/// the task run on.
#[must_use = "await the task, or drop it explicitly to let it run on"]
pub struct Task<T> {
    process: Arc<Process>,
    outcome: BoxFuture<'static, Result<T, ExitReason>>,
}

impl<T> Task<T> {
    /// The process which runs the task.
    pub fn pid(&self) -> Pid {
        self.process.pid
    }

    /// Asks the task to end (`Task.shutdown/2`): it is dropped at its next await. Its value, if it
    /// was faster, can still be awaited.
    pub fn shutdown(&self) {
        self.process
            .exit_signal(self.process.node.outside(), ExitReason::Shutdown, false);
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, ExitReason>;

    fn poll(mut self: Pin<&mut Self>, context: &mut PollContext<'_>) -> Poll<Self::Output> {
        self.outcome.as_mut().poll(context)
    }
}

/// Runs a future as a process which nobody is linked to.
pub fn spawn<F>(node: &Node, label: impl Into<Arc<str>>, future: F) -> Task<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    spawn_process(node, None, label.into(), future)
}

/// Runs a future as a process, linked to `parent` if there is one.
pub(crate) fn spawn_process<F>(
    node: &Node,
    parent: Option<&Arc<Process>>,
    label: Arc<str>,
    future: F,
) -> Task<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let (sender, receiver) = oneshot::channel();
    let work = Box::pin(async move {
        let _ = sender.send(future.await);
    });
    let pid = node.new_pid();
    let slot = Slot::default();
    let options = Options::new().label(label);
    let start = Start {
        node: node.clone(),
        pid: Some(pid),
        parent: parent.cloned(),
        begin: runner::Begin::Init(work as BoxFuture<'static, ()>),
        options: options.clone(),
        // Without the parent: the link of a task fires even if it is killed before it begins.
        half_started: HalfStarted::new(slot.clone(), None),
    };
    let (actor, _) = ActorRuntime::spawn_instant(None, Runner::<Worker>::new(), start)
        .expect("an actor without a name cannot collide with another");
    let process = slot
        .get_or_init(|| {
            Published::new::<Worker>(node, Some(pid), parent, actor.get_cell(), &options)
        })
        .process
        .clone();
    let watched = process.clone();
    Task {
        process,
        outcome: Box::pin(async move {
            match receiver.await {
                Ok(value) => Ok(value),
                Err(_) => Err(watched.wait().await),
            }
        }),
    }
}

/// The server behind a task.
struct Worker {
    work: BoxFuture<'static, ()>,
}

/// The one message of a task: begin.
struct Begin;

impl GenServer for Worker {
    type Args = BoxFuture<'static, ()>;
    type Message = Begin;

    async fn init(work: BoxFuture<'static, ()>, _ctx: &mut Context<Worker>) -> Init<Worker> {
        Init::Continue(Worker { work }, Begin)
    }

    async fn handle(&mut self, Begin: Begin, _ctx: &mut Context<Worker>) -> Next<Worker> {
        (&mut self.work).await;
        Next::Stop(ExitReason::Normal)
    }
}
