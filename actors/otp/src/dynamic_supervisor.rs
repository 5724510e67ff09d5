//! Dynamic supervisors: many children of any kind, started on demand (Elixir:
//! `DynamicSupervisor`).
//!
//! ```text
//!   start_child(spec) ──▶ ┌────────────────────┐ ──start, link──▶ child, child, child …
//!                         │ dynamic supervisor │ ◀──EXIT──────── restart, or forget
//!                         └────────────────────┘
//! ```
//!
//! * Started by [`DynamicSupervisor::start`] or as a child of a supervisor.
//! * When it is stopped all children are told at once, and each gets its own time.
//! * It calls nobody; the `init` of a child runs within its own turn, so keep that short and use
//!   [`crate::Init::Continue`] for slow set-up.
//! * Table: one entry per child. Limit: [`DynamicSupervisor::max_children`], policy: refuse with
//!   [`SupervisorError::MaxChildren`]. A full mailbox refuses requests, never EXITs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use crate::context::Context;
use crate::exit_reason::ExitReason;
use crate::gen_server::{GenServer, Info, Init, Next};
use crate::node::Node;
use crate::options::Options;
use crate::pid::{Pid, SerialHash};
use crate::server_ref::{CallError, From, ServerRef};
use crate::start::{StartError, start_process};
use crate::supervisor::child_spec::{ChildKind, ChildSpec, Restart, Shutdown};
use crate::supervisor::handle::{ChildCount, ChildInfo, ChildState, SupervisorError};
use crate::supervisor::stopping::Stopping;
use crate::supervisor::strategy::{DEFAULT_INTENSITY, DEFAULT_PERIOD, RestartWindow};

/// How many children a dynamic supervisor has at most unless it says otherwise.
pub const DEFAULT_MAX_CHILDREN: usize = 2_000_000;

/// The description of a dynamic supervisor, to be started or to be a child of another.
#[derive(Clone, Debug)]
pub struct DynamicSupervisor {
    intensity: usize,
    period: Duration,
    max_children: usize,
}

impl DynamicSupervisor {
    /// No children, at most [`DEFAULT_MAX_CHILDREN`], [`DEFAULT_INTENSITY`] restarts within
    /// [`DEFAULT_PERIOD`].
    pub fn new() -> DynamicSupervisor {
        DynamicSupervisor {
            intensity: DEFAULT_INTENSITY,
            period: DEFAULT_PERIOD,
            max_children: DEFAULT_MAX_CHILDREN,
        }
    }

    /// Allows this many restarts within the period, over all children; one more ends it.
    pub fn intensity(mut self, restarts: usize, period: Duration) -> DynamicSupervisor {
        self.intensity = restarts;
        self.period = period;
        self
    }

    /// Refuses further children above this number.
    pub fn max_children(mut self, children: usize) -> DynamicSupervisor {
        self.max_children = children;
        self
    }

    /// Starts it alone.
    pub async fn start(
        self,
        node: &Node,
        options: Options,
    ) -> Result<DynamicSupervisorRef, StartError> {
        let server = start_process(node.clone(), None, self, options).await?;
        Ok(DynamicSupervisorRef { server })
    }

    /// Starts it as a child of the calling process.
    pub fn start_link<P: GenServer>(
        self,
        ctx: &Context<P>,
        options: Options,
    ) -> impl Future<Output = Result<DynamicSupervisorRef, StartError>> + Send + use<P> {
        let start = ctx.start_link(self, options);
        async move {
            let server = start.await?;
            Ok(DynamicSupervisorRef { server })
        }
    }
}

impl Default for DynamicSupervisor {
    fn default() -> DynamicSupervisor {
        DynamicSupervisor::new()
    }
}

/// A reference to a running [`DynamicSupervisor`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynamicSupervisorRef {
    server: ServerRef<DynamicSupervisorServer>,
}

impl DynamicSupervisorRef {
    /// The dynamic supervisor with this pid, if there is one.
    pub fn from_pid(node: &Node, pid: Pid) -> Option<DynamicSupervisorRef> {
        node.server_ref(pid)
            .map(|server| DynamicSupervisorRef { server })
    }

    /// The dynamic supervisor registered under this name, if there is one.
    pub fn whereis(node: &Node, name: &str) -> Option<DynamicSupervisorRef> {
        DynamicSupervisorRef::from_pid(node, node.whereis(name)?)
    }

    /// The supervisor's pid.
    pub fn pid(&self) -> Pid {
        self.server.pid()
    }

    /// Whether it has not ended.
    pub fn is_alive(&self) -> bool {
        self.server.is_alive()
    }

    /// Starts a child. The id of the specification need not be unique. If it does not start,
    /// nothing is left of it.
    pub async fn start_child(&self, spec: ChildSpec) -> Result<Pid, SupervisorError> {
        self.server
            .call_infinity(|from| DynamicSupervisorMessage::StartChild { spec, from })
            .await
            .map_err(SupervisorError::Call)?
    }

    /// Starts a server as a child, with [`crate::DEFAULT_SHUTDOWN`]. The factory makes the
    /// arguments of each start, restarts included.
    pub async fn start_child_server<S: GenServer>(
        &self,
        factory: impl Fn() -> S::Args + Send + Sync + 'static,
        options: Options,
        restart: Restart,
    ) -> Result<ServerRef<S>, SupervisorError> {
        let spec = ChildSpec::worker::<S>("child", factory)
            .options(move || options.clone())
            .restart(restart);
        self.typed(self.start_child(spec).await?)
    }

    /// Starts a temporary server whose arguments exist only once, such as an open socket.
    pub async fn start_child_once<S: GenServer>(
        &self,
        args: S::Args,
        options: Options,
    ) -> Result<ServerRef<S>, SupervisorError> {
        let spec = ChildSpec::once::<S>("child", args).options(move || options.clone());
        self.typed(self.start_child(spec).await?)
    }

    /// Stops a child by its pid; it is forgotten.
    pub async fn terminate_child(&self, pid: Pid) -> Result<(), SupervisorError> {
        self.server
            .call_infinity(|from| DynamicSupervisorMessage::TerminateChild { pid, from })
            .await
            .map_err(SupervisorError::Call)?
    }

    /// All children, in no order.
    pub async fn which_children(&self) -> Result<Vec<ChildInfo>, SupervisorError> {
        let children = self
            .server
            .call_infinity(DynamicSupervisorMessage::WhichChildren);
        children.await.map_err(SupervisorError::Call)
    }

    /// How many children there are.
    pub async fn count_children(&self) -> Result<ChildCount, SupervisorError> {
        let count = self
            .server
            .call_infinity(DynamicSupervisorMessage::CountChildren);
        count.await.map_err(SupervisorError::Call)
    }

    /// Stops all children at once, each with its own limit, then the supervisor.
    pub async fn stop(&self, reason: ExitReason, limit: Duration) -> Result<(), CallError> {
        self.server.stop(reason, limit).await
    }

    /// Waits until the supervisor has ended and tells why.
    pub async fn wait_for_exit(&self) -> ExitReason {
        self.server.wait_for_exit().await
    }

    fn typed<S: GenServer>(&self, pid: Pid) -> Result<ServerRef<S>, SupervisorError> {
        // It may have ended again between its start and now.
        self.server
            .process
            .node
            .server_ref(pid)
            .ok_or(SupervisorError::Start(StartError::Failed(
                ExitReason::NoProc,
            )))
    }
}

/// The process behind a [`DynamicSupervisorRef`].
pub struct DynamicSupervisorServer {
    window: RestartWindow,
    max_children: usize,
    children: HashMap<Pid, Child, SerialHash>,
}

/// What is kept of a child. A temporary one leaves its specification, and with it its arguments,
/// behind as soon as it runs.
struct Child {
    id: Arc<str>,
    kind: ChildKind,
    shutdown: Shutdown,
    respawn: Option<Box<ChildSpec>>,
    restarting: bool,
}

/// The requests of a dynamic supervisor; use [`DynamicSupervisorRef`].
pub enum DynamicSupervisorMessage {
    /// See [`DynamicSupervisorRef::start_child`].
    StartChild {
        /// The child.
        spec: ChildSpec,
        /// Who asks.
        from: From<Result<Pid, SupervisorError>>,
    },
    /// See [`DynamicSupervisorRef::terminate_child`].
    TerminateChild {
        /// The child.
        pid: Pid,
        /// Who asks.
        from: From<Result<(), SupervisorError>>,
    },
    /// See [`DynamicSupervisorRef::which_children`].
    WhichChildren(From<Vec<ChildInfo>>),
    /// See [`DynamicSupervisorRef::count_children`].
    CountChildren(From<ChildCount>),
    /// To itself: try again to restart the child which ran as this process.
    Retry {
        /// Its last process.
        pid: Pid,
    },
}

impl GenServer for DynamicSupervisorServer {
    type Args = DynamicSupervisor;
    type Message = DynamicSupervisorMessage;

    async fn init(
        description: DynamicSupervisor,
        ctx: &mut Context<DynamicSupervisorServer>,
    ) -> Init<DynamicSupervisorServer> {
        ctx.trap_exit(true);
        Init::Ok(DynamicSupervisorServer {
            window: RestartWindow::new(description.intensity, description.period),
            max_children: description.max_children,
            children: HashMap::default(),
        })
    }

    async fn handle(
        &mut self,
        message: DynamicSupervisorMessage,
        ctx: &mut Context<DynamicSupervisorServer>,
    ) -> Next<DynamicSupervisorServer> {
        match message {
            DynamicSupervisorMessage::StartChild { spec, from } => {
                from.reply(self.start_child(spec, ctx).await);
            }
            DynamicSupervisorMessage::TerminateChild { pid, from } => {
                from.reply(self.terminate_child(pid, ctx).await);
            }
            DynamicSupervisorMessage::WhichChildren(from) => from.reply(self.which_children()),
            DynamicSupervisorMessage::CountChildren(from) => from.reply(self.count_children()),
            DynamicSupervisorMessage::Retry { pid } => {
                // Void if the child was terminated in the meantime.
                if self
                    .children
                    .get(&pid)
                    .is_some_and(|child| child.restarting)
                {
                    return self.restart(pid, ctx).await;
                }
            }
        }
        Next::Go
    }

    async fn handle_info(
        &mut self,
        info: Info,
        ctx: &mut Context<DynamicSupervisorServer>,
    ) -> Next<DynamicSupervisorServer> {
        let Info::Exit { from, reason } = info else {
            tracing::debug!(pid = %ctx.pid(), ?info, "a supervisor got an unexpected message");
            return Next::Go;
        };
        let Some(child) = self.children.get(&from) else {
            return Next::Go;
        };
        match &child.respawn {
            Some(spec) if spec.restart.applies_to(&reason) => self.restart(from, ctx).await,
            _ => {
                self.children.remove(&from);
                Next::Go
            }
        }
    }

    async fn terminate(
        &mut self,
        _reason: &ExitReason,
        ctx: &mut Context<DynamicSupervisorServer>,
    ) {
        let stopping: Vec<Stopping> = self
            .children
            .drain()
            .filter(|(_, child)| !child.restarting)
            .map(|(pid, child)| Stopping::begin(ctx, pid, child.shutdown))
            .collect();
        join_all(stopping.into_iter().map(Stopping::finish)).await;
    }
}

impl DynamicSupervisorServer {
    async fn start_child(
        &mut self,
        spec: ChildSpec,
        ctx: &mut Context<DynamicSupervisorServer>,
    ) -> Result<Pid, SupervisorError> {
        if self.children.len() >= self.max_children {
            return Err(SupervisorError::MaxChildren);
        }
        let start = spec.start(&ctx.process);
        let pid = start.await.map_err(SupervisorError::Start)?;
        self.keep(pid, spec);
        Ok(pid)
    }

    async fn terminate_child(
        &mut self,
        pid: Pid,
        ctx: &mut Context<DynamicSupervisorServer>,
    ) -> Result<(), SupervisorError> {
        let child = self
            .children
            .remove(&pid)
            .ok_or(SupervisorError::NotFound)?;
        if !child.restarting {
            Stopping::begin(ctx, pid, child.shutdown).finish().await;
        }
        Ok(())
    }

    fn which_children(&self) -> Vec<ChildInfo> {
        self.children
            .iter()
            .map(|(pid, child)| ChildInfo {
                id: child.id.clone(),
                state: if child.restarting {
                    ChildState::Restarting
                } else {
                    ChildState::Running(*pid)
                },
                kind: child.kind,
            })
            .collect()
    }

    fn count_children(&self) -> ChildCount {
        let mut count = ChildCount::default();
        for child in self.children.values() {
            count.add(child.kind, !child.restarting);
        }
        count
    }

    async fn restart(
        &mut self,
        pid: Pid,
        ctx: &mut Context<DynamicSupervisorServer>,
    ) -> Next<DynamicSupervisorServer> {
        let Some(child) = self.children.get_mut(&pid) else {
            return Next::Go;
        };
        child.restarting = true;
        let Some(spec) = child.respawn.clone() else {
            return Next::Go;
        };
        if !self.window.allow(Instant::now()) {
            tracing::error!(pid = %ctx.pid(), child = %spec.id,
                "too many restarts, the supervisor gives up");
            return Next::Stop(ExitReason::Shutdown);
        }
        ctx.node().counters().restarted();
        match spec.start(&ctx.process).await {
            Ok(successor) => {
                self.children.remove(&pid);
                self.keep(successor, *spec);
                Next::Go
            }
            Err(StartError::Ignore) => {
                self.children.remove(&pid);
                Next::Go
            }
            Err(error) => {
                tracing::warn!(pid = %ctx.pid(), child = %spec.id, %error, "restart failed");
                // Through the mailbox, so that requests get their turn; it counts as a restart.
                match ctx
                    .self_ref()
                    .try_cast(DynamicSupervisorMessage::Retry { pid })
                {
                    Ok(()) => Next::Go,
                    Err(_) => Next::Stop(ExitReason::Shutdown),
                }
            }
        }
    }

    fn keep(&mut self, pid: Pid, spec: ChildSpec) {
        let child = Child {
            id: spec.id.clone(),
            kind: spec.kind,
            shutdown: spec.shutdown,
            respawn: (spec.restart != Restart::Temporary).then(|| Box::new(spec)),
            restarting: false,
        };
        self.children.insert(pid, child);
    }
}
