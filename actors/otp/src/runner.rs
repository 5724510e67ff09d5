//! The one ractor actor behind every process: takes envelopes, calls the behaviour, ends it.
//!
//! ```text
//!   pre_start: publish pid, names, link ─▶ init
//!   post_start: the message of Init::Continue
//!   handle: envelope ─▶ message | info | end ─▶ Next
//!   drop: the last line of defence: whatever ends the actor, links and monitors fire
//! ```

use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};

use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef};
use thiserror::Error;

use crate::context::{Arrival, Context};
use crate::exit_reason::ExitReason;
use crate::gen_server::{GenServer, Info, Init, Next};
use crate::node::Node;
use crate::options::Options;
use crate::panics::guarded;
use crate::pid::Pid;
use crate::process::Process;
use crate::signal::Envelope;
use crate::start::StartError;

/// The actor type of a server.
pub(crate) struct Runner<S>(PhantomData<fn(S)>);

impl<S> Runner<S> {
    pub(crate) fn new() -> Runner<S> {
        Runner(PhantomData)
    }
}

/// What `pre_start` needs.
pub(crate) struct Start<S: GenServer> {
    pub(crate) node: Node,
    /// The pid, if it had to be known before the start.
    pub(crate) pid: Option<Pid>,
    pub(crate) parent: Option<Arc<Process>>,
    pub(crate) args: S::Args,
    pub(crate) options: Options,
    /// Where the starter finds the control block.
    pub(crate) half_started: HalfStarted,
}

/// The control block, shared between the starter and the actor: whoever needs it first makes it.
pub(crate) type Slot = Arc<OnceLock<Published>>;

/// A control block, and whether it could be made visible.
pub(crate) struct Published {
    pub(crate) process: Arc<Process>,
    outcome: Result<(), StartError>,
}

impl Published {
    /// Makes a control block and publishes it: pid, names, keys and the link to its parent.
    pub(crate) fn new<S: GenServer>(
        node: &Node,
        pid: Option<Pid>,
        parent: Option<&Arc<Process>>,
        cell: ActorCell,
        options: &Options,
    ) -> Published {
        let process = Process::new::<S>(
            node.clone(),
            pid.unwrap_or_else(|| node.new_pid()),
            parent.map(|parent| parent.pid),
            cell,
            options.mailbox_max,
            options.label.clone(),
        );
        let outcome = publish(&process, parent, options);
        Published { process, outcome }
    }
}

/// A running process.
pub(crate) struct Running<S: GenServer> {
    server: Option<S>,
    context: Context<S>,
    /// The message of `Init::Continue`.
    first: Option<S::Message>,
}

/// What the mailbox item asks the behaviour to do.
enum Step<S: GenServer> {
    Message(S::Message),
    Info(Info),
}

/// Tells ractor to end the actor; by then everybody else knows already.
#[derive(Debug, Error)]
#[error("ended")]
struct Ended;

impl<S: GenServer> Actor for Runner<S> {
    type Msg = Envelope<S>;
    type State = Running<S>;
    type Arguments = Start<S>;

    async fn pre_start(
        &self,
        myself: ActorRef<Envelope<S>>,
        start: Start<S>,
    ) -> Result<Running<S>, ActorProcessingErr> {
        let Start {
            node,
            pid,
            parent,
            args,
            options,
            mut half_started,
        } = start;
        let slot = half_started.slot.clone();
        let Published { process, outcome } = slot.get_or_init(|| {
            Published::new::<S>(&node, pid, parent.as_ref(), myself.get_cell(), &options)
        });
        outcome.clone()?;
        drop(options);
        let mut context = Context::new(process.clone());
        let failure = match guarded(process.pid, S::init(args, &mut context)).await {
            Ok(Init::Ok(server)) => {
                half_started.started = true;
                return Ok(Running {
                    server: Some(server),
                    context,
                    first: None,
                });
            }
            Ok(Init::Continue(server, message)) => {
                half_started.started = true;
                return Ok(Running {
                    server: Some(server),
                    context,
                    first: Some(message),
                });
            }
            Ok(Init::Ignore) => StartError::Ignore,
            Ok(Init::Stop(reason)) | Err(reason) => StartError::Failed(reason),
        };
        drop(context);
        half_started.abandon(match &failure {
            StartError::Failed(reason) => reason.clone(),
            _ => ExitReason::Normal,
        });
        Err(failure.into())
    }

    async fn post_start(
        &self,
        _myself: ActorRef<Envelope<S>>,
        running: &mut Running<S>,
    ) -> Result<(), ActorProcessingErr> {
        match running.first.take() {
            Some(message) => Box::pin(running.run(Step::Message(message))).await,
            None => Ok(()),
        }
    }

    // Boxed per message on purpose: the future of a big server's `handle` would otherwise be
    // part of every idle process of that kind.
    fn handle(
        &self,
        _myself: ActorRef<Envelope<S>>,
        envelope: Envelope<S>,
        running: &mut Running<S>,
    ) -> impl Future<Output = Result<(), ActorProcessingErr>> + Send {
        Box::pin(running.receive(envelope))
    }
}

/// Makes a process visible: names, keys and the link to its parent, before `init` runs.
fn publish(
    process: &Arc<Process>,
    parent: Option<&Arc<Process>>,
    options: &Options,
) -> Result<(), StartError> {
    let node = &process.node;
    // In this order, so that a node which stops meanwhile either sees the process or is seen.
    node.insert(process.clone());
    if node.is_stopping() {
        return Err(StartError::Failed(ExitReason::Shutdown));
    }
    if let Some(name) = &options.name {
        node.claim_name(name, process.pid)
            .map_err(StartError::AlreadyStarted)?;
        process.set_name(name.clone());
    }
    for register in &options.registrars {
        register(process)?;
    }
    if let Some(parent) = parent {
        process.add_link(parent.pid);
        if !parent.add_link(process.pid) {
            return Err(StartError::Failed(ExitReason::NoProc));
        }
    }
    Ok(())
}

/// Cleans up a process whose `init` did not get to its end, for whatever reason: it failed, the
/// starter was dropped, or a kill came before ractor even called it.
pub(crate) struct HalfStarted {
    slot: Slot,
    parent: Option<Arc<Process>>,
    started: bool,
}

impl HalfStarted {
    pub(crate) fn new(slot: Slot, parent: Option<Arc<Process>>) -> HalfStarted {
        HalfStarted {
            slot,
            parent,
            started: false,
        }
    }

    fn abandon(&mut self, reason: ExitReason) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        let Some(Published { process, .. }) = self.slot.get() else {
            return;
        };
        // The starter learns of the failure as a return value, so not as an exit signal too.
        if let Some(parent) = &self.parent {
            process.remove_link(parent.pid);
            parent.remove_link(process.pid);
        }
        process.finish(reason);
    }
}

impl Drop for HalfStarted {
    fn drop(&mut self) {
        self.abandon(ExitReason::Killed);
    }
}

impl<S: GenServer> Running<S> {
    /// Takes one item from the mailbox.
    async fn receive(&mut self, envelope: Envelope<S>) -> Result<(), ActorProcessingErr> {
        self.context.process.taken();
        let step = match envelope {
            Envelope::User(message) => {
                self.context.something_arrived();
                Step::Message(message)
            }
            Envelope::Signal(signal) => match self.context.arrival(signal) {
                Arrival::Nothing => return Ok(()),
                Arrival::Message(message) => Step::Message(message),
                Arrival::Info(info) => Step::Info(info),
                Arrival::Stop(reason) => return self.end(reason).await,
            },
        };
        self.run(step).await
    }

    /// Calls the behaviour until it wants to wait or to end.
    async fn run(&mut self, step: Step<S>) -> Result<(), ActorProcessingErr> {
        let pid = self.context.pid();
        let Some(server) = &mut self.server else {
            return Err(Ended.into());
        };
        let context = &mut self.context;
        let outcome = guarded(pid, async {
            let mut next = match step {
                Step::Message(message) => server.handle(message, context).await,
                Step::Info(info) => server.handle_info(info, context).await,
            };
            while let Next::Continue(message) = next {
                next = server.handle(message, context).await;
            }
            next
        })
        .await;
        match outcome {
            Ok(Next::Go | Next::Continue(_)) => Ok(()),
            Ok(Next::Timeout(limit)) => {
                self.context.arm_receive_timeout(limit);
                Ok(())
            }
            Ok(Next::Stop(reason)) | Err(reason) => self.end(reason).await,
        }
    }

    /// Ends the process in good order.
    async fn end(&mut self, reason: ExitReason) -> Result<(), ActorProcessingErr> {
        self.context.process.begin_end(&reason);
        let mut reason = reason;
        if let Some(server) = &mut self.server {
            let pid = self.context.pid();
            let terminate = server.terminate(&reason, &mut self.context);
            if let Err(panic) = guarded(pid, terminate).await {
                reason = panic;
            }
        }
        self.finish(reason);
        Err(Ended.into())
    }

    /// Frees what the process owns, then tells everybody. Nothing is done the second time.
    fn finish(&mut self, reason: ExitReason) {
        self.first = None;
        self.context.cancel_all();
        self.server = None;
        let process = &self.context.process;
        if process.is_exited() {
            return;
        }
        let reason = process.finish(reason);
        if !reason.is_normal_for_transient() {
            process.node.counters().crashed();
            let label = process.label();
            tracing::warn!(pid = %process.pid, label = label.as_deref(), %reason, "process ended");
        }
    }
}

impl<S: GenServer> Drop for Running<S> {
    fn drop(&mut self) {
        // Reached with the process still alive only if it was killed, or the whole task dropped.
        self.finish(ExitReason::Killed);
    }
}
