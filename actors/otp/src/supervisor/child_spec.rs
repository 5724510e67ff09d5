//! Child specifications: how a supervisor starts, stops and restarts one child.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;

use crate::dynamic_supervisor::{DynamicSupervisor, DynamicSupervisorServer};
use crate::exit_reason::ExitReason;
use crate::gen_server::GenServer;
use crate::options::Options;
use crate::panics::guarded;
use crate::process::Process;
use crate::start::StartError;
use crate::supervisor::child_start::{ChildStart, Extra, Started};
use crate::supervisor::{Supervisor, SupervisorServer};

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

type StartFunction =
    Arc<dyn Fn(ChildStart) -> BoxFuture<'static, Result<Started, StartError>> + Send + Sync>;

/// How to start, stop and restart one child. Cloning is cheap.
#[derive(Clone)]
pub struct ChildSpec {
    pub(crate) id: Arc<str>,
    pub(crate) restart: Restart,
    pub(crate) shutdown: Shutdown,
    pub(crate) kind: ChildKind,
    pub(crate) significant: bool,
    pub(crate) module: &'static str,
    /// `None` for a temporary child that runs: what it was started with is not kept.
    start: Option<StartFunction>,
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
        ChildSpec::of::<S>(id, move |start| {
            let args = factory();
            Box::pin(start.server::<S>(args))
        })
    }

    /// A permanent worker whose arguments are made of the extra arguments of its dynamic
    /// supervisor ([`DynamicSupervisor::extra_arguments`]). Without any of this type it does not
    /// start.
    pub fn worker_with<S: GenServer, E: Send + Sync + 'static>(
        id: impl Into<Arc<str>>,
        factory: impl Fn(&E) -> S::Args + Send + Sync + 'static,
    ) -> ChildSpec {
        ChildSpec::of::<S>(id, move |start| match start.extra::<E>() {
            Some(extra) => {
                let args = factory(&extra);
                Box::pin(start.server::<S>(args))
            }
            None => Box::pin(async {
                Err(StartError::Failed(ExitReason::error(format_args!(
                    "the supervisor has no extra arguments of type {}",
                    std::any::type_name::<E>()
                ))))
            }),
        })
    }

    /// A temporary worker whose arguments exist only once, such as an open socket.
    pub fn once<S: GenServer>(id: impl Into<Arc<str>>, args: S::Args) -> ChildSpec {
        let args = Mutex::new(Some(args));
        let spec = ChildSpec::of::<S>(id, move |start| match args.lock().take() {
            Some(args) => Box::pin(start.server::<S>(args)),
            None => Box::pin(async { Err(used_up()) }),
        });
        spec.restart(Restart::Temporary)
    }

    /// A permanent supervisor, which gets as long as it needs to stop its own children.
    pub fn supervisor(
        id: impl Into<Arc<str>>,
        factory: impl Fn() -> Supervisor + Send + Sync + 'static,
    ) -> ChildSpec {
        ChildSpec::worker::<SupervisorServer>(id, factory).as_supervisor()
    }

    /// A permanent [`DynamicSupervisor`]. Give it a name with [`ChildSpec::options`] to find it.
    pub fn dynamic_supervisor(
        id: impl Into<Arc<str>>,
        factory: impl Fn() -> DynamicSupervisor + Send + Sync + 'static,
    ) -> ChildSpec {
        ChildSpec::worker::<DynamicSupervisorServer>(id, factory).as_supervisor()
    }

    /// A permanent worker started by a function of any kind (`supervisor(3)`, `{M, F, A}`): it
    /// starts a server, announces one which runs already, gives extra information with it, or
    /// fails. A panic in it is a failed start.
    pub fn function<F>(
        id: impl Into<Arc<str>>,
        function: impl Fn(ChildStart) -> F + Send + Sync + 'static,
    ) -> ChildSpec
    where
        F: Future<Output = Result<Started, StartError>> + Send + 'static,
    {
        let start = move |start| -> BoxFuture<'static, _> { Box::pin(function(start)) };
        ChildSpec::new(id.into(), "function", Arc::new(start))
    }

    fn of<S: GenServer>(
        id: impl Into<Arc<str>>,
        start: impl Fn(ChildStart) -> BoxFuture<'static, Result<Started, StartError>>
        + Send
        + Sync
        + 'static,
    ) -> ChildSpec {
        ChildSpec::new(id.into(), std::any::type_name::<S>(), Arc::new(start))
            .restart(S::RESTART)
            .shutdown(S::SHUTDOWN)
    }

    fn new(id: Arc<str>, module: &'static str, start: StartFunction) -> ChildSpec {
        ChildSpec {
            id,
            restart: Restart::Permanent,
            shutdown: Shutdown::Timeout(DEFAULT_SHUTDOWN),
            kind: ChildKind::Worker,
            significant: false,
            module,
            start: Some(start),
            options: None,
        }
    }

    // ---- changing -------------------------------------------------------------------------

    /// Another id, to use one specification for several children (Elixir:
    /// `Supervisor.child_spec/2`).
    pub fn with_id(mut self, id: impl Into<Arc<str>>) -> ChildSpec {
        self.id = id.into();
        self
    }

    /// The child supervises others: it counts as a supervisor, and gets as long as it needs to
    /// stop.
    pub fn as_supervisor(mut self) -> ChildSpec {
        self.kind = ChildKind::Supervisor;
        self.shutdown = Shutdown::Infinity;
        self
    }

    /// The options of each start, restarts included: name, label, registry keys. By default the
    /// label is the id.
    pub fn options(mut self, options: impl Fn() -> Options + Send + Sync + 'static) -> ChildSpec {
        self.options = Some(Arc::new(options));
        self
    }

    /// Changes the options of each start further.
    pub(crate) fn map_options(
        mut self,
        change: impl Fn(Options) -> Options + Send + Sync + 'static,
    ) -> ChildSpec {
        let options = self.options.take();
        self.options(move || change(options.as_ref().map(|make| make()).unwrap_or_default()))
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

    // ---- looking --------------------------------------------------------------------------

    /// The id, unique within its supervisor.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// When the child is started again.
    pub fn restart_type(&self) -> Restart {
        self.restart
    }

    /// How the child is stopped.
    pub fn shutdown_type(&self) -> Shutdown {
        self.shutdown
    }

    /// Worker or supervisor.
    pub fn kind(&self) -> ChildKind {
        self.kind
    }

    /// Whether the child's own end may end its supervisor.
    pub fn is_significant(&self) -> bool {
        self.significant
    }

    /// The type of its server (`supervisor(3)`, modules); `function` if only that knows.
    pub fn module(&self) -> &'static str {
        self.module
    }

    /// Whether it can be started: not so for that of a temporary child which was started, because
    /// what it was started with is not kept.
    pub fn can_start(&self) -> bool {
        self.start.is_some()
    }

    // ---- for supervisors ------------------------------------------------------------------

    /// What is kept of a child that runs: everything, or all but the means to start it again.
    pub(crate) fn kept(mut self) -> ChildSpec {
        if self.restart == Restart::Temporary {
            self.start = None;
            self.options = None;
        }
        self
    }

    /// A specification nobody can start from.
    pub(crate) fn bare(id: Arc<str>, module: &'static str) -> ChildSpec {
        let mut spec = ChildSpec::new(id, module, Arc::new(|_| Box::pin(async { Err(used_up()) })));
        spec.restart = Restart::Temporary;
        spec.kept()
    }

    /// Starts the child, linked to its supervisor. Whatever panics in here is a failed start.
    pub(crate) fn start(
        &self,
        supervisor: &Arc<Process>,
        extra: Option<&Extra>,
    ) -> BoxFuture<'static, Result<Started, StartError>> {
        let Some(start) = self.start.clone() else {
            return Box::pin(async { Err(used_up()) });
        };
        let (id, options) = (self.id.clone(), self.options.clone());
        let (supervisor, extra) = (supervisor.clone(), extra.cloned());
        Box::pin(async move {
            let started = guarded(async move {
                let mut options = options.map(|make| make()).unwrap_or_default();
                if options.label.is_none() {
                    options.label = Some(id);
                }
                start(ChildStart::new(supervisor, options, extra)).await
            });
            match started.await {
                Ok(started) => started,
                Err(panic) => Err(StartError::Failed(panic)),
            }
        })
    }
}

fn used_up() -> StartError {
    StartError::Failed(ExitReason::error(
        "the arguments of a temporary child are used up",
    ))
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
            .field("module", &self.module)
            .finish_non_exhaustive()
    }
}
