//! Supervisors: processes which start, watch, restart and stop other processes.
//!
//! ```text
//!                 ┌────────────┐  EXIT of a child: restart it, and by strategy the others too
//!   parent ─────▶ │ supervisor │  too many restarts: stop all children, end with shutdown
//!                 └─┬────┬───┬─┘
//!            start  │1   │2  │3   in order; stopped 3, 2, 1: exit(shutdown), wait, kill
//!                   ▼    ▼   ▼
//! ```
//!
//! * Started by [`Supervisor::start`], [`Supervisor::start_link`] or another supervisor.
//! * When it is stopped its children are stopped in reverse order. When it is killed they get an
//!   exit signal through their links.
//! * It calls nobody. A failed restart is retried through its own mailbox, so it stays
//!   responsive meanwhile.
//! * A full mailbox refuses requests; EXITs of children are never refused.
//!
//! Semantics: OTP Design Principles, "Supervisor Behaviour", and `supervisor(3)`.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::context::Context;
use crate::exit_reason::ExitReason;
use crate::gen_server::{GenServer, Info, Init, Next};
use crate::node::Node;
use crate::options::Options;
use crate::pid::Pid;
use crate::server_ref::From;
use crate::start::{StartError, start_process};

pub(crate) mod child_spec;
pub(crate) mod handle;
pub(crate) mod stopping;
pub(crate) mod strategy;

use child_spec::{ChildSpec, Restart};
use handle::{ChildCount, ChildInfo, ChildState, SupervisorError, SupervisorRef};
use stopping::Stopping;
use strategy::{AutoShutdown, DEFAULT_INTENSITY, DEFAULT_PERIOD, RestartWindow, Strategy};

/// The description of a supervisor, to be started or to be a child of another.
#[derive(Clone, Debug)]
pub struct Supervisor {
    strategy: Strategy,
    intensity: usize,
    period: Duration,
    auto_shutdown: AutoShutdown,
    children: Vec<ChildSpec>,
}

impl Supervisor {
    /// A supervisor with a strategy, no children, and [`DEFAULT_INTENSITY`] restarts allowed
    /// within [`DEFAULT_PERIOD`].
    pub fn new(strategy: Strategy) -> Supervisor {
        Supervisor {
            strategy,
            intensity: DEFAULT_INTENSITY,
            period: DEFAULT_PERIOD,
            auto_shutdown: AutoShutdown::Never,
            children: Vec::new(),
        }
    }

    /// Restarts the failed child only.
    pub fn one_for_one() -> Supervisor {
        Supervisor::new(Strategy::OneForOne)
    }

    /// Restarts all children when one fails.
    pub fn one_for_all() -> Supervisor {
        Supervisor::new(Strategy::OneForAll)
    }

    /// Restarts the failed child and those started after it.
    pub fn rest_for_one() -> Supervisor {
        Supervisor::new(Strategy::RestForOne)
    }

    /// Allows this many restarts within the period; one more ends the supervisor.
    pub fn intensity(mut self, restarts: usize, period: Duration) -> Supervisor {
        self.intensity = restarts;
        self.period = period;
        self
    }

    /// Ends the supervisor when significant children have ended by themselves.
    pub fn auto_shutdown(mut self, auto_shutdown: AutoShutdown) -> Supervisor {
        self.auto_shutdown = auto_shutdown;
        self
    }

    /// Adds a child; children are started in this order.
    pub fn child(mut self, spec: ChildSpec) -> Supervisor {
        self.children.push(spec);
        self
    }

    /// Starts it alone. Returns when all its children run; if one does not start, those before
    /// it are stopped in reverse order and the start fails.
    pub async fn start(self, node: &Node, options: Options) -> Result<SupervisorRef, StartError> {
        let server = start_process(node.clone(), None, self, options).await?;
        Ok(SupervisorRef { server })
    }

    /// Starts it as a child of the calling process.
    pub fn start_link<P: GenServer>(
        self,
        ctx: &Context<P>,
        options: Options,
    ) -> impl Future<Output = Result<SupervisorRef, StartError>> + Send + use<P> {
        let start = ctx.start_link(self, options);
        async move {
            let server = start.await?;
            Ok(SupervisorRef { server })
        }
    }

    /// What is wrong with the description, if anything.
    fn defect(&self) -> Option<String> {
        let mut ids = std::collections::HashSet::new();
        for child in &self.children {
            if !ids.insert(child.id.clone()) {
                return Some(format!("two children are called {}", child.id));
            }
            if let Some(defect) = self.defect_of(child) {
                return Some(defect);
            }
        }
        None
    }

    fn defect_of(&self, child: &ChildSpec) -> Option<String> {
        defect_of_child(self.auto_shutdown, child)
    }
}

fn defect_of_child(auto_shutdown: AutoShutdown, child: &ChildSpec) -> Option<String> {
    if !child.significant {
        None
    } else if child.restart == Restart::Permanent {
        Some(format!("{} is permanent and significant", child.id))
    } else if auto_shutdown == AutoShutdown::Never {
        Some(format!(
            "{} is significant to a supervisor without auto-shutdown",
            child.id
        ))
    } else {
        None
    }
}

/// The process behind a [`SupervisorRef`].
pub struct SupervisorServer {
    strategy: Strategy,
    auto_shutdown: AutoShutdown,
    window: RestartWindow,
    /// In start order. Bounded by what the application configures: static children are code.
    children: Vec<Child>,
}

struct Child {
    spec: ChildSpec,
    state: ChildState,
}

/// The requests of a supervisor; use [`SupervisorRef`].
pub enum SupervisorMessage {
    /// See [`SupervisorRef::which_children`].
    WhichChildren(From<Vec<ChildInfo>>),
    /// See [`SupervisorRef::count_children`].
    CountChildren(From<ChildCount>),
    /// See [`SupervisorRef::start_child`].
    StartChild {
        /// The child.
        spec: ChildSpec,
        /// Who asks.
        from: From<Result<Pid, SupervisorError>>,
    },
    /// See [`SupervisorRef::terminate_child`].
    TerminateChild {
        /// The child.
        id: Arc<str>,
        /// Who asks.
        from: From<Result<(), SupervisorError>>,
    },
    /// See [`SupervisorRef::restart_child`].
    RestartChild {
        /// The child.
        id: Arc<str>,
        /// Who asks.
        from: From<Result<Pid, SupervisorError>>,
    },
    /// See [`SupervisorRef::delete_child`].
    DeleteChild {
        /// The child.
        id: Arc<str>,
        /// Who asks.
        from: From<Result<(), SupervisorError>>,
    },
    /// To itself: try again to restart a child.
    Retry {
        /// The child.
        id: Arc<str>,
    },
}

impl GenServer for SupervisorServer {
    type Args = Supervisor;
    type Message = SupervisorMessage;

    async fn init(
        description: Supervisor,
        ctx: &mut Context<SupervisorServer>,
    ) -> Init<SupervisorServer> {
        ctx.trap_exit(true);
        if let Some(defect) = description.defect() {
            return Init::Stop(ExitReason::Error(defect.into()));
        }
        let mut supervisor = SupervisorServer {
            strategy: description.strategy,
            auto_shutdown: description.auto_shutdown,
            window: RestartWindow::new(description.intensity, description.period),
            children: Vec::with_capacity(description.children.len()),
        };
        for spec in description.children {
            match spec.start(&ctx.process).await {
                Ok(pid) => supervisor.children.push(Child {
                    spec,
                    state: ChildState::Running(pid),
                }),
                Err(StartError::Ignore) if spec.restart == Restart::Temporary => {}
                Err(StartError::Ignore) => supervisor.children.push(Child {
                    spec,
                    state: ChildState::Stopped,
                }),
                Err(error) => {
                    supervisor.stop_range(0, ctx).await;
                    let why = format!("failed to start child {}: {error}", spec.id);
                    return Init::Stop(ExitReason::ShutdownWith(why.into()));
                }
            }
        }
        Init::Ok(supervisor)
    }

    async fn handle(
        &mut self,
        message: SupervisorMessage,
        ctx: &mut Context<SupervisorServer>,
    ) -> Next<SupervisorServer> {
        match message {
            SupervisorMessage::WhichChildren(from) => from.reply(self.which_children()),
            SupervisorMessage::CountChildren(from) => from.reply(self.count_children()),
            SupervisorMessage::StartChild { spec, from } => {
                from.reply(self.start_child(spec, ctx).await);
            }
            SupervisorMessage::TerminateChild { id, from } => {
                from.reply(self.terminate_child(&id, ctx).await);
            }
            SupervisorMessage::RestartChild { id, from } => {
                from.reply(self.restart_child(&id, ctx).await);
            }
            SupervisorMessage::DeleteChild { id, from } => from.reply(self.delete_child(&id)),
            SupervisorMessage::Retry { id } => {
                // Void if somebody terminated or restarted the child in the meantime.
                if let Some(position) = self.position(&id)
                    && self.children[position].state == ChildState::Restarting
                {
                    return self.restart(position, ctx).await;
                }
            }
        }
        Next::Go
    }

    async fn handle_info(
        &mut self,
        info: Info,
        ctx: &mut Context<SupervisorServer>,
    ) -> Next<SupervisorServer> {
        let Info::Exit { from, reason } = info else {
            tracing::debug!(pid = %ctx.pid(), ?info, "a supervisor got an unexpected message");
            return Next::Go;
        };
        let ended = self
            .children
            .iter()
            .position(|child| child.state == ChildState::Running(from));
        match ended {
            Some(position) => self.child_ended(position, &reason, ctx).await,
            None => Next::Go,
        }
    }

    async fn terminate(&mut self, _reason: &ExitReason, ctx: &mut Context<SupervisorServer>) {
        self.stop_range(0, ctx).await;
    }
}

impl SupervisorServer {
    // ---- requests -------------------------------------------------------------------------

    fn which_children(&self) -> Vec<ChildInfo> {
        self.children
            .iter()
            .map(|child| ChildInfo {
                id: child.spec.id.clone(),
                state: child.state,
                kind: child.spec.kind,
            })
            .collect()
    }

    fn count_children(&self) -> ChildCount {
        let mut count = ChildCount::default();
        for child in &self.children {
            count.add(child.spec.kind, child.state.pid().is_some());
        }
        count
    }

    async fn start_child(
        &mut self,
        spec: ChildSpec,
        ctx: &mut Context<SupervisorServer>,
    ) -> Result<Pid, SupervisorError> {
        if let Some(position) = self.position(&spec.id) {
            return Err(match self.children[position].state {
                ChildState::Running(pid) => SupervisorError::AlreadyStarted(pid),
                ChildState::Restarting | ChildState::Stopped => SupervisorError::AlreadyPresent,
            });
        }
        if let Some(defect) = defect_of_child(self.auto_shutdown, &spec) {
            let reason = ExitReason::Error(defect.into());
            return Err(SupervisorError::Start(StartError::Failed(reason)));
        }
        let start = spec.start(&ctx.process);
        let pid = start.await.map_err(SupervisorError::Start)?;
        self.children.push(Child {
            spec,
            state: ChildState::Running(pid),
        });
        Ok(pid)
    }

    async fn terminate_child(
        &mut self,
        id: &str,
        ctx: &mut Context<SupervisorServer>,
    ) -> Result<(), SupervisorError> {
        let position = self.position(id).ok_or(SupervisorError::NotFound)?;
        self.stop_at(position, ctx).await;
        if self.children[position].spec.restart == Restart::Temporary {
            self.children.remove(position);
        }
        Ok(())
    }

    async fn restart_child(
        &mut self,
        id: &str,
        ctx: &mut Context<SupervisorServer>,
    ) -> Result<Pid, SupervisorError> {
        let position = self.position(id).ok_or(SupervisorError::NotFound)?;
        let child = &mut self.children[position];
        match child.state {
            ChildState::Running(_) => Err(SupervisorError::Running),
            ChildState::Restarting => Err(SupervisorError::Restarting),
            ChildState::Stopped => {
                let start = child.spec.start(&ctx.process);
                let pid = start.await.map_err(SupervisorError::Start)?;
                child.state = ChildState::Running(pid);
                Ok(pid)
            }
        }
    }

    fn delete_child(&mut self, id: &str) -> Result<(), SupervisorError> {
        let position = self.position(id).ok_or(SupervisorError::NotFound)?;
        match self.children[position].state {
            ChildState::Running(_) => Err(SupervisorError::Running),
            ChildState::Restarting => Err(SupervisorError::Restarting),
            ChildState::Stopped => {
                self.children.remove(position);
                Ok(())
            }
        }
    }

    // ---- failures -------------------------------------------------------------------------

    async fn child_ended(
        &mut self,
        position: usize,
        reason: &ExitReason,
        ctx: &mut Context<SupervisorServer>,
    ) -> Next<SupervisorServer> {
        let child = &mut self.children[position];
        child.state = ChildState::Stopped;
        if child.spec.restart.applies_to(reason) {
            return self.restart(position, ctx).await;
        }
        let significant = child.spec.significant;
        if child.spec.restart == Restart::Temporary {
            self.children.remove(position);
        }
        let others_left = self
            .children
            .iter()
            .any(|child| child.spec.significant && child.state != ChildState::Stopped);
        match self.auto_shutdown {
            AutoShutdown::AnySignificant if significant => Next::Stop(ExitReason::Shutdown),
            AutoShutdown::AllSignificant if significant && !others_left => {
                Next::Stop(ExitReason::Shutdown)
            }
            _ => Next::Go,
        }
    }

    /// Restarts the child at `failed` and those its failure concerns.
    async fn restart(
        &mut self,
        failed: usize,
        ctx: &mut Context<SupervisorServer>,
    ) -> Next<SupervisorServer> {
        if !self.window.allow(Instant::now()) {
            tracing::error!(pid = %ctx.pid(), child = %self.children[failed].spec.id,
                "too many restarts, the supervisor gives up");
            return Next::Stop(ExitReason::Shutdown);
        }
        ctx.node().counters().restarted();
        let affected = self.strategy.affected(failed, self.children.len());
        for position in affected.clone().rev() {
            self.stop_at(position, ctx).await;
        }
        let mut ids: Vec<Arc<str>> = Vec::with_capacity(affected.len());
        for child in &self.children[affected] {
            ids.push(child.spec.id.clone());
        }
        // Temporary children who were taken along are not started again.
        self.children.retain(|child| {
            child.spec.restart != Restart::Temporary || child.state.pid().is_some()
        });
        let mut stuck: Option<Arc<str>> = None;
        for id in ids {
            let Some(position) = self.position(&id) else {
                continue;
            };
            let child = &mut self.children[position];
            if stuck.is_some() {
                child.state = ChildState::Restarting;
                continue;
            }
            child.state = match child.spec.start(&ctx.process).await {
                Ok(pid) => ChildState::Running(pid),
                Err(StartError::Ignore) => ChildState::Stopped,
                Err(error) => {
                    tracing::warn!(pid = %ctx.pid(), child = %id, %error, "restart failed");
                    stuck = Some(id);
                    ChildState::Restarting
                }
            };
        }
        match stuck {
            // Through the mailbox, so that requests get their turn; it counts as a restart.
            Some(id) => match ctx.self_ref().try_cast(SupervisorMessage::Retry { id }) {
                Ok(()) => Next::Go,
                Err(_) => Next::Stop(ExitReason::Shutdown),
            },
            None => Next::Go,
        }
    }

    // ---- stopping -------------------------------------------------------------------------

    /// Stops all children from a position on, in reverse order.
    async fn stop_range(&mut self, first: usize, ctx: &mut Context<SupervisorServer>) {
        for position in (first..self.children.len()).rev() {
            self.stop_at(position, ctx).await;
        }
    }

    async fn stop_at(&mut self, position: usize, ctx: &mut Context<SupervisorServer>) {
        let child = &mut self.children[position];
        if let ChildState::Running(pid) = child.state {
            let stopping = Stopping::begin(ctx, pid, child.spec.shutdown);
            let reason = stopping.finish().await;
            tracing::debug!(child = %child.spec.id, %pid, %reason, "child stopped");
        }
        child.state = ChildState::Stopped;
    }

    fn position(&self, id: &str) -> Option<usize> {
        self.children.iter().position(|child| &*child.spec.id == id)
    }
}
