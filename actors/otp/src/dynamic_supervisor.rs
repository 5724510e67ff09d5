//! Dynamic supervisors: many children of any kind, started on demand (Elixir:
//! `DynamicSupervisor`).
//!
//! ```text
//!   start_child(spec) ──▶ ┌────────────────────┐ ──start, link──▶ child, child, child …
//!                         │ dynamic supervisor │ ◀──EXIT──────── restart, or forget
//!                         └────────────────────┘
//! ```
//!
//! It is what `simple_one_for_one` is in Erlang too: there a template and the arguments of each
//! instance, here a function from arguments to a [`ChildSpec`]. The process is
//! [`DynamicSupervisorServer`].
//!
//! | Elixir's manual | here |
//! |---|---|
//! | `start_child/2` takes a specification; its `id` is not used | [`DynamicSupervisorRef::start_child`]. |
//! | `:max_children`: `{:error, :max_children}` | [`DynamicSupervisor::max_children`], [`SupervisorError::MaxChildren`]. |
//! | `:extra_arguments` go before those of the child | [`DynamicSupervisor::extra_arguments`], of one type. |
//! | `:max_restarts` 3 in `:max_seconds` 5 | The same: [`DynamicSupervisor::intensity`]. |
//! | All children are stopped at once, each within its own time | The same. |

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::context::Context;
use crate::exit_reason::ExitReason;
use crate::gen_server::GenServer;
use crate::node::Node;
use crate::options::Options;
use crate::pid::Pid;
use crate::server_ref::{CallError, ServerRef};
use crate::start::{StartError, start_process};
use crate::supervisor::child_spec::{ChildSpec, Restart};
use crate::supervisor::child_start::{Extra, Started};
use crate::supervisor::handle::{ChildCount, ChildInfo, SupervisorError};
use crate::supervisor::spec_error::{SpecError, check_period};
use crate::supervisor::strategy::{AutoShutdown, DEFAULT_INTENSITY, DEFAULT_PERIOD};
use crate::supervisor::{InitFunction, SupervisorInit};

mod server;

pub use server::{DynamicSupervisorMessage, DynamicSupervisorServer};

/// How many children a dynamic supervisor has at most unless it says otherwise.
pub const DEFAULT_MAX_CHILDREN: usize = 2_000_000;

/// The description of a dynamic supervisor, to be started or to be a child of another.
#[derive(Clone)]
pub struct DynamicSupervisor {
    intensity: usize,
    period: Duration,
    max_children: usize,
    auto_shutdown: AutoShutdown,
    extra: Option<Extra>,
    init: Option<InitFunction<DynamicSupervisor>>,
}

impl DynamicSupervisor {
    /// No children, at most [`DEFAULT_MAX_CHILDREN`], [`DEFAULT_INTENSITY`] restarts within
    /// [`DEFAULT_PERIOD`].
    pub fn new() -> DynamicSupervisor {
        DynamicSupervisor {
            intensity: DEFAULT_INTENSITY,
            period: DEFAULT_PERIOD,
            max_children: DEFAULT_MAX_CHILDREN,
            auto_shutdown: AutoShutdown::Never,
            extra: None,
            init: None,
        }
    }

    /// A dynamic supervisor whose description is made when it starts, in its own process
    /// (`Module:init/1`); see [`crate::Supervisor::init`].
    pub fn init<F>(init: impl Fn() -> F + Send + Sync + 'static) -> DynamicSupervisor
    where
        F: Future<Output = SupervisorInit<DynamicSupervisor>> + Send + 'static,
    {
        let mut supervisor = DynamicSupervisor::new();
        supervisor.init = Some(Arc::new(move || Box::pin(init())));
        supervisor
    }

    /// Allows this many restarts within the period, which must not be zero, over all children;
    /// one more ends it.
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

    /// What is handed to each start of each child, restarts included (Elixir:
    /// `extra_arguments`): [`ChildSpec::worker_with`] makes arguments of it,
    /// [`crate::ChildStart::extra`] gives it to a start function.
    ///
    /// ```
    /// # use otp::{ChildSpec, Context, DynamicSupervisor, GenServer, Init, Next, Node, Options};
    /// # struct Greeter(String);
    /// # impl GenServer for Greeter {
    /// #     type Args = String; type Message = ();
    /// #     async fn init(text: String, _: &mut Context<Self>) -> Init<Self> {
    /// #         assert_eq!(text, "hello world"); Init::Ok(Greeter(text))
    /// #     }
    /// #     async fn handle(&mut self, (): (), _: &mut Context<Self>) -> Next<Self> { Next::Go }
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let greeters = DynamicSupervisor::new().extra_arguments("hello".to_owned());
    /// let greeters = greeters.start(&Node::new("example"), Options::new()).await?;
    /// let spec = ChildSpec::worker_with::<Greeter, String>("world", |hello| format!("{hello} world"));
    /// greeters.start_child(spec).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn extra_arguments<E: Send + Sync + 'static>(mut self, extra: E) -> DynamicSupervisor {
        self.extra = Some(Arc::new(extra));
        self
    }

    /// Refused at the start unless it is [`AutoShutdown::Never`], and so are significant children
    /// (`supervisor(3)`: `bad_combination`).
    pub fn auto_shutdown(mut self, auto_shutdown: AutoShutdown) -> DynamicSupervisor {
        self.auto_shutdown = auto_shutdown;
        self
    }

    /// Checks the description without starting anything.
    ///
    /// # Errors
    /// What is wrong. A start with it fails with [`StartError::Failed`] and the same words.
    pub fn check(&self) -> Result<(), SpecError> {
        check_period(self.period)?;
        match self.auto_shutdown {
            AutoShutdown::Never => Ok(()),
            AutoShutdown::AnySignificant | AutoShutdown::AllSignificant => {
                Err(SpecError::AutoShutdown)
            }
        }
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

impl fmt::Debug for DynamicSupervisor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("DynamicSupervisor")
            .field("intensity", &self.intensity)
            .field("period", &self.period)
            .field("max_children", &self.max_children)
            .finish_non_exhaustive()
    }
}

/// A reference to a running [`DynamicSupervisor`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynamicSupervisorRef {
    server: ServerRef<DynamicSupervisorServer>,
}

impl DynamicSupervisorRef {
    pub(crate) fn new(server: ServerRef<DynamicSupervisorServer>) -> DynamicSupervisorRef {
        DynamicSupervisorRef { server }
    }

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
    /// for whatever reason, nothing is left of it.
    pub async fn start_child(&self, spec: ChildSpec) -> Result<Pid, SupervisorError> {
        let started = self.start_child_with_info(spec).await?;
        Ok(started.pid())
    }

    /// [`DynamicSupervisorRef::start_child`], with the extra information the start gave, if any
    /// (`{ok, Pid, Info}`).
    pub async fn start_child_with_info(&self, spec: ChildSpec) -> Result<Started, SupervisorError> {
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

    /// Stops a child by its pid, or by its last pid while it is being restarted; it is forgotten.
    /// [`SupervisorError::NotFound`] for any other process, which is left alone.
    pub async fn terminate_child(&self, pid: Pid) -> Result<(), SupervisorError> {
        self.server
            .call_infinity(|from| DynamicSupervisorMessage::TerminateChild { pid, from })
            .await
            .map_err(SupervisorError::Call)?
    }

    /// What is known of one child, by its pid (`supervisor:which_child/2`).
    pub async fn which_child(&self, pid: Pid) -> Result<ChildInfo, SupervisorError> {
        self.server
            .call_infinity(|from| DynamicSupervisorMessage::WhichChild { pid, from })
            .await
            .map_err(SupervisorError::Call)?
    }

    /// How a child is started, by its pid (`supervisor:get_childspec/2`). That of a temporary
    /// child can be looked at, but not started from ([`ChildSpec::can_start`]).
    pub async fn get_childspec(&self, pid: Pid) -> Result<ChildSpec, SupervisorError> {
        self.server
            .call_infinity(|from| DynamicSupervisorMessage::GetChildSpec { pid, from })
            .await
            .map_err(SupervisorError::Call)?
    }

    /// All children, the oldest first.
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
