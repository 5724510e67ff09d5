//! What runs a process: takes from the mailbox, calls the behaviour, ends it.
//!
//! ```text
//!   begin: publish pid, names, link ─▶ init
//!   live: the process' whole life
//!       the message of Init::Continue, the time-out of Init::Timeout, or a body
//!       sleep ─▶ while there is something in the mailbox ─▶ message | info | end ─▶ Next
//!   drop: the last line of defence: whatever ends it, links and monitors fire
//! ```
//!
//! A ractor actor carries both, or, for a process started with [`Options::light`], a task of its
//! own ([`crate::carrier`]).

use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};
use std::task::Poll;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use thiserror::Error;
use tokio::time::Instant;

use crate::carrier::Carrier;
use crate::context::{Arrival, Context};
use crate::enter::{Body, Enter};
use crate::exit_reason::ExitReason;
use crate::gen_server::{GenServer, Info, Init, Next};
use crate::node::{NameError, Node, is_reserved};
use crate::observer::Direction;
use crate::options::Options;
use crate::panics::{guarded, guarded_now, on_behalf_of};
use crate::pid::Pid;
use crate::process::{Lineage, Process};
use crate::report::Report;
use crate::signal::Envelope;
use crate::start::StartError;

/// The actor type of a server.
pub(crate) struct Runner<S>(PhantomData<fn(S)>);

impl<S> Runner<S> {
    pub(crate) fn new() -> Runner<S> {
        Runner(PhantomData)
    }
}

/// What [`begin`] needs.
pub(crate) struct Start<S: GenServer> {
    pub(crate) node: Node,
    /// The pid, if it had to be known before the start.
    pub(crate) pid: Option<Pid>,
    pub(crate) parent: Option<Arc<Process>>,
    pub(crate) begin: Begin<S>,
    pub(crate) options: Options,
    /// Where the starter finds the control block.
    pub(crate) half_started: HalfStarted,
}

impl<S: GenServer> Start<S> {
    /// Where the starter finds the control block.
    pub(crate) fn slot(&self) -> Slot {
        self.half_started.slot.clone()
    }
}

/// How the state comes about.
pub(crate) enum Begin<S: GenServer> {
    /// By `init`, which the starter waits for.
    Init(S::Args),
    /// By a body, which it does not wait for.
    Body(Body<S>),
}

/// What a process does before it waits for anything.
enum First<S: GenServer> {
    /// Boxed, because it lies in the process for as long as that lives.
    Next(Box<Next<S>>),
    Body(Body<S>),
}

/// The control block, shared between the starter and the carrier: whoever needs it first makes it.
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
        carrier: Carrier,
        options: &Options,
    ) -> Published {
        let process = Process::new::<S>(
            node.clone(),
            pid.unwrap_or_else(|| node.new_pid()),
            parent.map_or_else(Lineage::default, |parent| Lineage::below(parent)),
            carrier,
            options.limits,
            options.label.clone(),
        );
        let outcome = publish(&process, parent, options);
        Published { process, outcome }
    }
}

/// What ractor's own lane carries: nothing. Its kill lane is all that is used.
pub(crate) enum Nothing {}

/// A running process.
pub(crate) struct Running<S: GenServer> {
    server: Option<S>,
    context: Context<S>,
    /// What should happen first.
    first: Option<First<S>>,
}

/// What the mailbox item asks the behaviour to do.
enum Step<S: GenServer> {
    Message(S::Message),
    Info(Info),
    /// Nothing: this was decided without asking it.
    Decided(Next<S>),
}

/// Sleeps until the task is woken, for whatever reason.
async fn asleep() {
    let mut slept = false;
    std::future::poll_fn(|_| match std::mem::replace(&mut slept, true) {
        false => Poll::Pending,
        true => Poll::Ready(()),
    })
    .await;
}

/// Tells the carrier that it is over; by then everybody else knows already.
#[derive(Debug, Error)]
#[error("ended")]
pub(crate) struct Ended;

impl<S: GenServer> Actor for Runner<S> {
    type Msg = Nothing;
    type State = Running<S>;
    type Arguments = Start<S>;

    async fn pre_start(
        &self,
        myself: ActorRef<Nothing>,
        start: Start<S>,
    ) -> Result<Running<S>, ActorProcessingErr> {
        Ok(begin(start, || Carrier::Actor(myself.get_cell())).await?)
    }

    // ractor's loop over its own lanes is never entered: all a process waits for is its mailbox,
    // and the kill that ractor watches for meanwhile.
    async fn post_start(
        &self,
        _myself: ActorRef<Nothing>,
        running: &mut Running<S>,
    ) -> Result<(), ActorProcessingErr> {
        let process = running.context.process.clone();
        on_behalf_of(process, Box::pin(running.live())).await?;
        Ok(())
    }
}

/// Makes the process visible, if the starter has not, and runs its `init`.
pub(crate) async fn begin<S: GenServer>(
    start: Start<S>,
    carrier: impl FnOnce() -> Carrier,
) -> Result<Running<S>, StartError> {
    let Start {
        node,
        pid,
        parent,
        begin,
        options,
        mut half_started,
    } = start;
    let slot = half_started.slot.clone();
    let Published { process, outcome } =
        slot.get_or_init(|| Published::new::<S>(&node, pid, parent.as_ref(), carrier(), &options));
    outcome.clone()?;
    let mut context = Context::new(process.clone(), options.hibernate_after);
    drop(options);
    let args = match begin {
        Begin::Init(args) => args,
        Begin::Body(body) => {
            half_started.started = true;
            return Ok(Running {
                server: None,
                context,
                first: Some(First::Body(body)),
            });
        }
    };
    let init = Box::pin(guarded(S::init(args, &mut context)));
    let (server, first) = match on_behalf_of(process.clone(), init).await {
        Ok(Init::Ok(server)) => (server, None),
        Ok(Init::Continue(server, message)) => (server, Some(Next::Continue(message))),
        Ok(Init::Timeout(server, limit)) => (server, Some(Next::Timeout(limit))),
        Ok(Init::TimeoutAt(server, when)) => (server, Some(Next::TimeoutAt(when))),
        Ok(Init::Hibernate(server)) => (server, Some(Next::Hibernate)),
        Ok(Init::Ignore) => {
            drop(context);
            half_started.abandon(ExitReason::Normal);
            return Err(StartError::Ignore);
        }
        Ok(Init::Stop(reason)) | Err(reason) => {
            drop(context);
            // A kill or a signal that came during `init` is the reason then.
            let reason = half_started.abandon(reason);
            return Err(StartError::Failed(reason));
        }
    };
    half_started.started = true;
    Ok(Running {
        server: Some(server),
        context,
        first: first.map(|next| First::Next(Box::new(next))),
    })
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
        if is_reserved(name) {
            let why = ExitReason::error(NameError::Reserved);
            return Err(StartError::Failed(why));
        }
        node.claim_name(name, process.pid)
            .map_err(StartError::AlreadyStarted)?;
        // It has none yet, and nobody can have ended it.
        let _ = process.set_name(name.clone());
    }
    for register in &options.registrars {
        register(process)?;
    }
    if let Some(parent) = parent.filter(|_| options.linked) {
        process.add_link(parent.pid);
        if !parent.add_link(process.pid) {
            return Err(StartError::Failed(ExitReason::NoProc));
        }
    }
    for published in &options.published {
        published(process);
    }
    Ok(())
}

/// Cleans up a process whose `init` did not get to its end, for whatever reason: it failed, the
/// starter was dropped, or a kill came before it even began.
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

    /// Takes everything back; tells the reason it ended with.
    fn abandon(&mut self, reason: ExitReason) -> ExitReason {
        if std::mem::replace(&mut self.started, true) {
            return reason;
        }
        let Some(Published { process, .. }) = self.slot.get() else {
            return reason;
        };
        // The starter learns of the failure as a return value, so not as an exit signal too.
        if let Some(parent) = &self.parent {
            process.remove_link(parent.pid);
            parent.remove_link(process.pid);
        }
        process.finish(reason)
    }
}

impl Drop for HalfStarted {
    fn drop(&mut self) {
        self.abandon(ExitReason::Killed);
    }
}

impl<S: GenServer> Running<S> {
    pub(crate) fn process(&self) -> Arc<Process> {
        self.context.process.clone()
    }

    /// From the end of `init` to the end.
    pub(crate) async fn live(&mut self) -> Result<(), Ended> {
        // Boxed on purpose: the future of a big server's `handle` would otherwise be part of every
        // idle process of that kind. One box serves all that is in the mailbox.
        match self.first.take() {
            None => {}
            Some(First::Next(first)) => Box::pin(self.run(Step::Decided(*first))).await?,
            Some(First::Body(body)) => Box::pin(self.enter(body)).await?,
        }
        loop {
            Box::pin(self.serve()).await?;
            asleep().await;
        }
    }

    /// Handles what is in the mailbox, one item after the other.
    async fn serve(&mut self) -> Result<(), Ended> {
        let mut began = self.context.process.node.now();
        loop {
            let shuffle = self.context.process.node.shuffle();
            if shuffle.is_on() {
                shuffle.pass().await;
            }
            let Some(envelope) = self.next().await else {
                self.context.rest();
                return Ok(());
            };
            self.receive(envelope).await?;
            // The mailbox is no resource tokio knows: without this, a busy one starves others.
            tokio::task::consume_budget().await;
            // Others have waited for a tick, or handlers were slow: let them have a turn. The
            // watchdog counts from there, so that many slow handlers are not taken for one.
            if self.context.process.node.now() != began {
                tokio::task::yield_now().await;
                began = self.context.process.node.now();
            }
        }
    }

    /// The next item. If there is none, the next that comes wakes this task.
    async fn next(&mut self) -> Option<Envelope<S>> {
        std::future::poll_fn(|context| {
            let process = &self.context.process;
            let taken = process.take::<S>(context.waker());
            // Looked at after the taking: what was sent after an exit signal cannot be taken
            // without that signal being visible.
            if process.is_condemned() {
                // The carrier drops us here.
                return Poll::Pending;
            }
            Poll::Ready(taken)
        })
        .await
    }

    /// Handles one item.
    async fn receive(&mut self, envelope: Envelope<S>) -> Result<(), Ended> {
        let process = &self.context.process;
        process.begin_item();
        if process.is_observed() && envelope.is_event() {
            process.observe(Direction::Received, process.pid, envelope.name());
        }
        self.context.debug_in(&envelope, self.server.as_ref());
        let step = match envelope {
            Envelope::User(message) => {
                self.context.something_arrived();
                Step::Message(message)
            }
            Envelope::System(system) => {
                if let Some(server) = &mut self.server {
                    system.run(server, &mut self.context);
                }
                return Ok(());
            }
            Envelope::Signal(signal) => match self.context.arrival(signal) {
                Arrival::Nothing => return Ok(()),
                Arrival::Message(message) => Step::Message(message),
                Arrival::Info(info) => Step::Info(info),
                Arrival::Hibernate => Step::Decided(Next::Hibernate),
                Arrival::Stop(reason) => return self.end(reason).await,
            },
        };
        self.run(step).await
    }

    /// Runs a body, and becomes the server it gives.
    async fn enter(&mut self, body: Body<S>) -> Result<(), Ended> {
        let context = &mut self.context;
        let entered = guarded(async { body(context).await }).await;
        match entered {
            Ok(Enter::Server(server, next)) => {
                self.server = Some(server);
                self.run(Step::Decided(next)).await
            }
            Ok(Enter::Named(name, server, next)) => {
                let process = &self.context.process;
                if process.node.whereis(&name) != Some(process.pid) {
                    let why = format!("the process is not registered as {name}");
                    return self.end(ExitReason::error(why)).await;
                }
                self.server = Some(server);
                self.run(Step::Decided(next)).await
            }
            Ok(Enter::Stop(reason)) | Err(reason) => self.end(reason).await,
        }
    }

    /// Calls the behaviour until it wants to wait or to end.
    async fn run(&mut self, step: Step<S>) -> Result<(), Ended> {
        let Some(server) = &mut self.server else {
            return Err(Ended);
        };
        let context = &mut self.context;
        let outcome = guarded(async {
            let mut next = match step {
                Step::Message(message) => server.handle(message, context).await,
                Step::Info(info) => server.handle_info(info, context).await,
                Step::Decided(next) => next,
            };
            loop {
                next = match next {
                    Next::Continue(message) => server.handle(message, context).await,
                    Next::Timeout(limit) if limit.is_zero() => {
                        server.handle_info(Info::Timeout, context).await
                    }
                    other => return other,
                };
                // A chain without end must be killable.
                tokio::task::consume_budget().await;
            }
        })
        .await;
        if context.process.is_condemned() {
            // It has sent an exit signal to itself: what it wanted to do next does not count.
            return std::future::pending().await;
        }
        match outcome {
            Ok(Next::Go | Next::Continue(_)) => Ok(()),
            Ok(Next::Timeout(limit)) => {
                context.arm_receive_timeout(Instant::now() + limit);
                Ok(())
            }
            Ok(Next::TimeoutAt(when)) => {
                context.arm_receive_timeout(when);
                Ok(())
            }
            Ok(Next::Hibernate) => {
                context.process.set_hibernating(true);
                match guarded_now(|| server.hibernate()) {
                    Ok(()) => Ok(()),
                    Err(reason) => self.end(reason).await,
                }
            }
            Ok(Next::Stop(reason)) | Err(reason) => self.end(reason).await,
        }
    }

    /// Ends the process in good order.
    async fn end(&mut self, reason: ExitReason) -> Result<(), Ended> {
        self.context.process.begin_end(&reason);
        let mut reason = reason;
        if let Some(server) = &mut self.server {
            let terminate = server.terminate(&reason, &mut self.context);
            if let Err(panic) = guarded(terminate).await {
                reason = panic;
            }
        }
        self.finish(reason);
        Err(Ended)
    }

    /// Frees what the process owns, then tells everybody. Nothing is done the second time.
    fn finish(&mut self, reason: ExitReason) {
        self.first = None;
        self.context.cancel_all();
        let process = self.context.process.clone();
        if process.is_exited() {
            self.server = None;
            return;
        }
        // An exit signal that ended it is no crash of its own (`proc_lib(3)`): it has no report,
        // unless it outgrew its limit, which Erlang reports as well.
        let crashed = !process.is_condemned() || process.has_outgrown();
        let report = (crashed && !reason.is_normal_for_transient())
            .then(|| self.context.crash_report(self.server.as_ref(), &reason));
        self.server = None;
        let expected = reason.clone();
        let reason = process.finish(reason);
        if !reason.is_normal_for_transient() {
            process.node.counters().crashed();
            if let Some(mut report) = report {
                if reason != expected {
                    // It was shot meanwhile.
                    report.reason = reason;
                }
                process.node.report(&Report::Crash(report));
            }
        }
    }
}

impl<S: GenServer> Drop for Running<S> {
    fn drop(&mut self) {
        // Reached with the process still alive only if it was killed, or the whole task dropped.
        self.finish(ExitReason::Killed);
    }
}
