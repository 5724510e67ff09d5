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
//! Semantics: OTP Design Principles, "Supervisor Behaviour", and `supervisor(3)`. The process is
//! [`SupervisorServer`]; a description comes from code, or from an `init` of one's own that runs
//! in that process ([`Supervisor::init`]).
//!
//! | Erlang's manual, supervisor(3) | here |
//! |---|---|
//! | `one_for_one`, `one_for_all`, `rest_for_one` | [`Strategy`]; `simple_one_for_one` is [`crate::DynamicSupervisor`]. |
//! | `intensity` and `period`, 1 in 5 s unless said otherwise (Elixir: 3 in 5 s); one restart more: all children are stopped, then it ends with `shutdown` | The same, 3 in 5 s unless said otherwise: [`Supervisor::intensity`]. |
//! | `restart`: permanent, transient, temporary | [`Restart`]; `normal`, `shutdown` and `{shutdown, _}` are the ends a transient child may have. |
//! | `shutdown`: `brutal_kill`, a time, `infinity` | [`Shutdown`]; a child that outlives its time is killed. |
//! | Children are started in order and stopped in reverse | The same; a start that fails stops those before it. |
//! | `significant`, `auto_shutdown` | [`ChildSpec::significant`], [`Supervisor::auto_shutdown`]. |
//! | A restart that fails is tried again, and counts | The same; between two tries the supervisor serves others. |
//! | `which_children/1`, `count_children/1`, `start_child/2`, `terminate_child/2`, `restart_child/2`, `delete_child/2`, `get_childspec/2` | Methods of [`SupervisorRef`]. |
//! | `init/1` returns flags and specifications; bad ones refuse the start | [`Supervisor::check`] says what is wrong as [`SpecError`]. |

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::context::Context;
use crate::exit_reason::ExitReason;
use crate::gen_server::GenServer;
use crate::node::Node;
use crate::options::Options;
use crate::partition_supervisor::Partitions;
use crate::start::{StartError, start_process};

pub(crate) mod child_spec;
pub(crate) mod child_start;
mod children;
pub(crate) mod handle;
mod message;
mod server;
pub(crate) mod spec_error;
pub(crate) mod stopping;
pub(crate) mod strategy;
pub(crate) mod telling;

use child_spec::ChildSpec;
use handle::SupervisorRef;
pub use message::SupervisorMessage;
pub use server::SupervisorServer;
pub(crate) use server::why_of;
use spec_error::{SpecError, check_childspecs, check_period};
use strategy::{AutoShutdown, DEFAULT_INTENSITY, DEFAULT_PERIOD, Strategy};

/// How many children a supervisor has at most. Policy: one more is refused with
/// [`crate::SupervisorError::MaxChildren`]. For very many children of a kind there is
/// [`crate::DynamicSupervisor`].
pub const SUPERVISOR_CHILDREN_MAX: usize = 1_000_000;

/// What the `init` of a supervisor decided (`Module:init/1`).
#[derive(Debug)]
#[must_use]
pub enum SupervisorInit<D = Supervisor> {
    /// Run as this describes.
    Ok(D),
    /// Do not run; the starter gets [`StartError::Ignore`].
    Ignore,
    /// Do not run; the starter gets [`StartError::Failed`].
    Stop(ExitReason),
}

/// Makes a description in the process that will be the supervisor.
pub(crate) type InitFunction<D> =
    Arc<dyn Fn() -> BoxFuture<'static, SupervisorInit<D>> + Send + Sync>;

/// The description of a supervisor, to be started or to be a child of another.
#[derive(Clone)]
pub struct Supervisor {
    strategy: Strategy,
    intensity: usize,
    period: Duration,
    auto_shutdown: AutoShutdown,
    children: Vec<ChildSpec>,
    init: Option<InitFunction<Supervisor>>,
    partitions: Option<Partitions>,
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
            init: None,
            partitions: None,
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

    /// A supervisor whose description is made when it starts, in its own process
    /// (`Module:init/1`): whatever else is said of it here is replaced by what `init` gives. A
    /// panic in `init` is a failed start.
    ///
    /// ```
    /// use otp::{Node, Options, StartError, Supervisor, SupervisorInit};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let enabled = false;
    /// let supervisor = Supervisor::init(move || async move {
    ///     match enabled {
    ///         true => SupervisorInit::Ok(Supervisor::one_for_one()),
    ///         false => SupervisorInit::Ignore,
    ///     }
    /// });
    /// let started = supervisor.start(&Node::new("example"), Options::new()).await;
    /// assert_eq!(started, Err(StartError::Ignore));
    /// # }
    /// ```
    pub fn init<F>(init: impl Fn() -> F + Send + Sync + 'static) -> Supervisor
    where
        F: Future<Output = SupervisorInit> + Send + 'static,
    {
        let mut supervisor = Supervisor::one_for_one();
        supervisor.init = Some(Arc::new(move || Box::pin(init())));
        supervisor
    }

    /// Allows this many restarts within the period, which must not be zero; one more ends the
    /// supervisor.
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

    /// Adds children after the others.
    pub fn children(mut self, specs: impl IntoIterator<Item = ChildSpec>) -> Supervisor {
        self.children.extend(specs);
        self
    }

    /// Makes it a partition supervisor.
    pub(crate) fn partitioned(mut self, partitions: Partitions) -> Supervisor {
        self.partitions = Some(partitions);
        self
    }

    /// Checks the description without starting anything.
    ///
    /// # Errors
    /// The first thing that is wrong. A start with it fails with [`StartError::Failed`] and the
    /// same words.
    pub fn check(&self) -> Result<(), SpecError> {
        check_period(self.period)?;
        check_childspecs(&self.children, self.auto_shutdown)
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
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Supervisor")
            .field("strategy", &self.strategy)
            .field("intensity", &self.intensity)
            .field("period", &self.period)
            .field("auto_shutdown", &self.auto_shutdown)
            .field("children", &self.children)
            .finish_non_exhaustive()
    }
}
