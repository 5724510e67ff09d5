//! Child specifications: how a supervisor starts, stops and restarts one child.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;

use crate::dynamic_supervisor::DynamicSupervisor;
use crate::exit_reason::ExitReason;
use crate::gen_server::GenServer;
use crate::node::Node;
use crate::options::Options;
use crate::pid::Pid;
use crate::process::Process;
use crate::start::{StartError, start_process};
use crate::supervisor::Supervisor;

/// How long a worker may take to shut down unless its specification says otherwise
/// (`supervisor(3)`: 5000 ms for workers).
pub const DEFAULT_SHUTDOWN: Duration = Duration::from_secs(5);

/// When a child which ended is started again (`supervisor(3)`, restart).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Always.
    Permanent,
    /// Only if it did not end with normal, shutdown or shutdown with an explanation.
    Transient,
    /// Never; its specification is forgotten.
    Temporary,
}

impl Restart {
    /// Whether a child which ended for this reason is started again.
    pub fn applies_to(self, reason: &ExitReason) -> bool {
        match self {
            Restart::Permanent => true,
            Restart::Transient => !reason.is_normal_for_transient(),
            Restart::Temporary => false,
        }
    }
}

/// How a child is stopped (`supervisor(3)`, shutdown).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// It is killed at once.
    Brutal,
    /// It gets `exit(shutdown)` and this long; then it is killed.
    Timeout(Duration),
    /// It gets `exit(shutdown)` and as long as it needs: for supervisors.
    Infinity,
}

/// Whether a child is itself a supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildKind {
    /// It does work.
    Worker,
    /// It has children of its own.
    Supervisor,
}

type Starter = Arc<
    dyn Fn(Node, Arc<Process>, Options) -> BoxFuture<'static, Result<Pid, StartError>>
        + Send
        + Sync,
>;

/// How to start, stop and restart one child. Cloning is cheap.
#[derive(Clone)]
pub struct ChildSpec {
    pub(crate) id: Arc<str>,
    pub(crate) restart: Restart,
    pub(crate) shutdown: Shutdown,
    pub(crate) kind: ChildKind,
    pub(crate) significant: bool,
    starter: Starter,
    options: Option<Arc<dyn Fn() -> Options + Send + Sync>>,
}

impl ChildSpec {
    /// A worker, which is restarted and stopped as its kind says ([`GenServer::RESTART`],
    /// [`GenServer::SHUTDOWN`]): by default permanent, with [`DEFAULT_SHUTDOWN`]. The factory makes
    /// the arguments of each start, restarts included.
    pub fn worker<S: GenServer>(
        id: impl Into<Arc<str>>,
        factory: impl Fn() -> S::Args + Send + Sync + 'static,
    ) -> ChildSpec {
        ChildSpec {
            id: id.into(),
            restart: S::RESTART,
            shutdown: S::SHUTDOWN,
            kind: ChildKind::Worker,
            significant: false,
            starter: Arc::new(move |node, parent, options| {
                let started = start_process::<S>(node, Some(parent), factory(), options);
                Box::pin(async move { started.await.map(|server| server.pid()) })
            }),
            options: None,
        }
    }

    /// A temporary worker whose arguments exist only once, such as an open socket.
    pub fn once<S: GenServer>(id: impl Into<Arc<str>>, args: S::Args) -> ChildSpec {
        let args = Mutex::new(Some(args));
        let mut spec = ChildSpec::worker::<S>(id, || unreachable!("replaced below"));
        spec.restart = Restart::Temporary;
        spec.starter = Arc::new(move |node, parent, options| {
            let args = args.lock().take();
            Box::pin(async move {
                let Some(args) = args else {
                    return Err(StartError::Failed(ExitReason::error(
                        "the arguments of a child which can start only once are used up",
                    )));
                };
                let started = start_process::<S>(node, Some(parent), args, options);
                started.await.map(|server| server.pid())
            })
        });
        spec
    }

    /// A permanent supervisor, which gets as long as it needs to stop its own children.
    pub fn supervisor(
        id: impl Into<Arc<str>>,
        factory: impl Fn() -> Supervisor + Send + Sync + 'static,
    ) -> ChildSpec {
        let mut spec = ChildSpec::worker::<crate::supervisor::SupervisorServer>(id, factory);
        spec.kind = ChildKind::Supervisor;
        spec.shutdown = Shutdown::Infinity;
        spec
    }

    /// A permanent [`DynamicSupervisor`]. Give it a name with [`ChildSpec::options`] to find it.
    pub fn dynamic_supervisor(
        id: impl Into<Arc<str>>,
        factory: impl Fn() -> DynamicSupervisor + Send + Sync + 'static,
    ) -> ChildSpec {
        let mut spec =
            ChildSpec::worker::<crate::dynamic_supervisor::DynamicSupervisorServer>(id, factory);
        spec.kind = ChildKind::Supervisor;
        spec.shutdown = Shutdown::Infinity;
        spec
    }

    /// The options of each start, restarts included: name, label, registry keys. By default the
    /// label is the id.
    pub fn options(mut self, options: impl Fn() -> Options + Send + Sync + 'static) -> ChildSpec {
        self.options = Some(Arc::new(options));
        self
    }

    /// When the child is started again.
    pub fn restart(mut self, restart: Restart) -> ChildSpec {
        self.restart = restart;
        self
    }

    /// How the child is stopped.
    pub fn shutdown(mut self, shutdown: Shutdown) -> ChildSpec {
        self.shutdown = shutdown;
        self
    }

    /// Whether the child's own end may end its supervisor, see [`crate::AutoShutdown`]. Not for
    /// permanent children.
    pub fn significant(mut self, significant: bool) -> ChildSpec {
        self.significant = significant;
        self
    }

    /// The id, unique within its supervisor.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Starts the child, linked to its supervisor.
    pub(crate) fn start(
        &self,
        supervisor: &Arc<Process>,
    ) -> BoxFuture<'static, Result<Pid, StartError>> {
        let mut options = self.options.as_ref().map(|make| make()).unwrap_or_default();
        if options.label.is_none() {
            options.label = Some(self.id.clone());
        }
        (self.starter)(supervisor.node.clone(), supervisor.clone(), options)
    }
}

impl fmt::Debug for ChildSpec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ChildSpec")
            .field("id", &self.id)
            .field("restart", &self.restart)
            .field("shutdown", &self.shutdown)
            .field("kind", &self.kind)
            .field("significant", &self.significant)
            .finish()
    }
}
