//! The process behind a task.
//!
//! ```text
//!   init ─▶ begin: (wait at the gate) ─▶ run the future ─▶ its value goes into a channel, the end
//!                         │                    │
//!              owner gone: shutdown      panic, exit: report, end with the reason
//! ```
//!
//! A task under a supervisor is started by the supervisor, but must not begin before its owner is
//! linked to it: its future comes through a gate which the owner opens when it is ready.

use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use ractor::ActorRuntime;
use tokio::sync::oneshot;

use crate::carrier::{self, Carrier};
use crate::context::Context;
use crate::exit_reason::ExitReason;
use crate::gen_server::{GenServer, Init, Next};
use crate::node::Node;
use crate::options::Options;
use crate::panics;
use crate::pid::Pid;
use crate::process::Process;
use crate::report::{Report, TaskReport};
use crate::runner::{self, HalfStarted, Published, Runner, Slot, Start};
use crate::task::{Task, inside};

/// A future whose value goes into a channel, if anybody wants it.
pub(crate) type Job = BoxFuture<'static, ()>;

/// What a task does, and for whom.
pub(crate) struct Work {
    job: Given,
    callers: Vec<Pid>,
}

enum Given {
    Now(Job),
    AtTheGate(oneshot::Receiver<Job>),
}

impl Work {
    /// Begins at once; for the process which is running now.
    pub(crate) fn now(job: Job) -> Work {
        Work::for_callers(job, inside::callers_of_a_new_task())
    }

    /// Begins at once; for these callers.
    pub(crate) fn for_callers(job: Job, callers: Vec<Pid>) -> Work {
        Work {
            job: Given::Now(job),
            callers,
        }
    }

    /// Begins when it gets its job; ends if nobody will send one. For the process which is
    /// running now.
    pub(crate) fn at_the_gate() -> (oneshot::Sender<Job>, Work) {
        let (open, gate) = oneshot::channel();
        let work = Work {
            job: Given::AtTheGate(gate),
            callers: inside::callers_of_a_new_task(),
        };
        (open, work)
    }
}

/// A job which leaves the value of a future in a channel.
pub(crate) fn job<F>(future: F) -> (Job, oneshot::Receiver<F::Output>)
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let (sender, receiver) = oneshot::channel();
    let job = async move {
        let _ = sender.send(future.await);
    };
    (Box::pin(job), receiver)
}

/// Runs a future as a process, linked to `parent` if there is one. Its owner is `parent`, or the
/// process which is running now.
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
    let (job, receiver) = job(future);
    let owner = parent.map(|parent| parent.pid).or_else(panics::current_pid);
    let process = spawn_worker(node, parent, label, Work::now(job));
    Task::new(process, owner, receiver)
}

/// Starts the process without waiting for anything.
fn spawn_worker(
    node: &Node,
    parent: Option<&Arc<Process>>,
    label: Arc<str>,
    work: Work,
) -> Arc<Process> {
    let pid = node.new_pid();
    let slot = Slot::default();
    let options = Options::new().label(label);
    let start = Start {
        node: node.clone(),
        pid: Some(pid),
        parent: parent.cloned(),
        begin: runner::Begin::Init(work),
        options: options.clone(),
        // Without the parent: the link of a task fires even if it is killed before it begins.
        half_started: HalfStarted::new(slot.clone(), None),
    };
    let publish = |carrier| Published::new::<Worker>(node, Some(pid), parent, carrier, &options);
    if node.starts_light() {
        let process = slot
            .get_or_init(|| publish(Carrier::task()))
            .process
            .clone();
        // Who waits for the task learns from its record how it began.
        tokio::spawn(carrier::start_light(start));
        return process;
    }
    let (actor, _) = ActorRuntime::spawn_instant(None, Runner::<Worker>::new(), start)
        .expect("an actor without a name cannot collide with another");
    slot.get_or_init(|| publish(Carrier::Actor(actor.get_cell())))
        .process
        .clone()
}

/// The server behind a task.
pub(crate) struct Worker {
    /// Taken when it begins.
    work: Option<Work>,
}

/// The one message of a task: begin.
pub(crate) struct Begin;

impl GenServer for Worker {
    type Args = Work;
    type Message = Begin;

    async fn init(work: Work, _ctx: &mut Context<Worker>) -> Init<Worker> {
        Init::Continue(Worker { work: Some(work) }, Begin)
    }

    async fn handle(&mut self, Begin: Begin, ctx: &mut Context<Worker>) -> Next<Worker> {
        let Some(Work { job, callers }) = self.work.take() else {
            return Next::Stop(ExitReason::Normal);
        };
        let job = match job {
            Given::Now(job) => job,
            Given::AtTheGate(gate) => match gate.await {
                Ok(job) => job,
                Err(_) => {
                    let why = "the owner ended before the task began";
                    return Next::Stop(ExitReason::ShutdownWith(why.into()));
                }
            },
        };
        let caller = callers.first().copied();
        match inside::run(ctx.process.clone(), callers, job).await {
            Ok(()) => Next::Stop(ExitReason::Normal),
            Err(reason) => {
                report(ctx, caller, &reason);
                Next::Stop(reason)
            }
        }
    }
}

/// Tells of a task which failed by itself (Elixir: "Task #PID terminating"). Not of one which was
/// ended by an exit signal.
fn report(ctx: &Context<Worker>, caller: Option<Pid>, reason: &ExitReason) {
    if reason.is_normal_for_transient() {
        return;
    }
    ctx.node().report(&Report::Task(Box::new(TaskReport {
        task: ctx.pid(),
        label: ctx.process.label(),
        caller,
        reason: reason.clone(),
    })));
}
