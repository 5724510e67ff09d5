//! Applications: what a node runs, as named parts that depend on each other and are started and
//! stopped in order (`application(3)`; OTP Design Principles, "Applications").
//!
//! ```text
//!  Applications ──▶ controller ──start, link──▶ master of "chat" ──start, link──▶ its supervisor
//!  (handle)         (one a node)                 runs start, phases, prep_stop, stop
//!                       │
//!                       └─ a permanent application ended: the node ends
//! ```
//!
//! An [`Application`] is a description: the supervisor to start, what must run before, the
//! environment with its defaults, and what is to be done around starts and stops. The hooks run in
//! the application's master process, one after another; they may use [`Applications`].
//!
//! ```
//! use otp::{Application, Applications, Node, StartType, Supervisor};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let node = Node::new("example");
//! let applications = Applications::of(&node).await?;
//! let store = Application::new("store", |_| async { Ok(Supervisor::one_for_one()) });
//! let chat = Application::new("chat", |_| async { Ok(Supervisor::one_for_one()) });
//! applications.load(store).await?;
//! applications.load(chat.depends_on("store").env("port", 4000_u16)).await?;
//! let started = applications.ensure_all_started(&["chat"], StartType::Permanent).await?;
//! assert_eq!(started.iter().map(|name| &**name).collect::<Vec<_>>(), ["store", "chat"]);
//! assert_eq!(applications.get_env::<u16>("chat", "port"), Some(4000));
//! node.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! | Erlang's manual, application(3) | here |
//! |---|---|
//! | `load/1`, `start/2`, `stop/1`, `unload/1`, `which_applications/0` | Methods of [`Applications`]. |
//! | permanent, transient, temporary: what the end of an application does to the node | [`StartType`]. |
//! | `ensure_all_started/2` starts what it depends on first | [`Applications::ensure_all_started`]; those that do not depend on each other at the same time. |
//! | `start_phases`, `included_applications` | [`Application::start_phases`], [`Application::includes`]. |
//! | `prep_stop/1`, `stop/1` | [`Application::prep_stop`], [`Application::stop`]. |
//! | `get_env/2,3`, `set_env/3`, `config_change/3` | [`Applications::get_env`], [`Applications::set_env`], [`Application::config_change`]. |
//! | The node stops its applications in reverse order | [`Applications::drain`], with an order to stop accepting first, and a time limit. |

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use thiserror::Error;

use crate::exit_reason::ExitReason;
use crate::node::Node;
use crate::server_ref::CallError;
use crate::start::StartError;
use crate::supervisor::Supervisor;

mod controller;
mod drain;
mod environment;
mod handle;
pub(crate) mod handover;
mod master;
mod plan;
mod states;

pub use drain::DrainOutcome;
pub use environment::{ConfigChange, ENVIRONMENT_MAX, EnvironmentValue};
pub use handle::{APPLICATION_STOP_LIMIT, Applications, NodeEnd};
pub use states::{APPLICATIONS_MAX, ApplicationInfo, ApplicationStatus};

/// What the end of an application means for its node (`application:start/2`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartType {
    /// Whatever ends it ends the node, except for an ordered stop.
    Permanent,
    /// Ends the node unless it ended with [`ExitReason::Normal`]. A supervisor that gives up ends
    /// with shutdown, which is not normal.
    Transient,
    /// Is noted, and nothing else.
    #[default]
    Temporary,
}

/// Why something could not be done with an application.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ApplicationError {
    /// No such application was loaded: load it.
    #[error("application {0} is not loaded")]
    NotLoaded(Arc<str>),
    /// An application of this name is loaded already; it is as it was.
    #[error("application {0} is loaded already")]
    AlreadyLoaded(Arc<str>),
    /// It runs, or is about to.
    #[error("application {0} is started already")]
    AlreadyStarted(Arc<str>),
    /// It does not run. As an answer to a start: it must run before.
    #[error("application {0} is not started")]
    NotStarted(Arc<str>),
    /// It did not start, for this reason; nothing of it is left, nor of those that were started
    /// for it.
    #[error("application {0} did not start: {1}")]
    Failed(Arc<str>, ExitReason),
    /// It did not stop in time, and was killed. It does not run.
    #[error("application {0} did not stop in time and was killed")]
    Killed(Arc<str>),
    /// Applications wait for each other in a circle, this one among them.
    #[error("application {0} depends on itself")]
    Circle(Arc<str>),
    /// The application itself asks to be waited for, which would never end.
    #[error("application {0} cannot wait for itself")]
    WithinItself(Arc<str>),
    /// The node drains or stops; nothing can be started, and all is being stopped.
    #[error("the node is stopping")]
    NodeStopping,
    /// There are as many applications, or values in the environment, as allowed.
    #[error("there are as many as allowed")]
    TooMany,
    /// The controller did not start.
    #[error("the application controller did not start: {0}")]
    Controller(#[source] StartError),
    /// The controller could not be asked.
    #[error("the application controller could not be asked: {0}")]
    Call(#[source] CallError),
}

/// Handed to the hooks of an application.
#[derive(Clone, Debug)]
pub struct ApplicationContext {
    name: Arc<str>,
    applications: Applications,
}

impl ApplicationContext {
    /// The application.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The node it runs on.
    pub fn node(&self) -> &Node {
        self.applications.node()
    }

    /// The applications of the node.
    pub fn applications(&self) -> &Applications {
        &self.applications
    }

    /// A value of the application's own environment.
    pub fn get_env<T: Any + Clone>(&self, key: &str) -> Option<T> {
        self.applications.get_env(&self.name, key)
    }
}

type Hook = Arc<dyn Fn(ApplicationContext) -> BoxFuture<'static, ()> + Send + Sync>;
type StartHook = Arc<
    dyn Fn(ApplicationContext) -> BoxFuture<'static, Result<Supervisor, ExitReason>> + Send + Sync,
>;
type PhaseHook = Arc<
    dyn Fn(ApplicationContext, Arc<str>) -> BoxFuture<'static, Result<(), ExitReason>>
        + Send
        + Sync,
>;
type ConfigHook =
    Arc<dyn Fn(ApplicationContext, ConfigChange) -> BoxFuture<'static, ()> + Send + Sync>;

/// The description of an application (`app(4)` and the `application` behaviour). Cloning is cheap.
#[derive(Clone)]
pub struct Application {
    pub(crate) name: Arc<str>,
    dependencies: Vec<Arc<str>>,
    included: Vec<Application>,
    env: BTreeMap<Arc<str>, EnvironmentValue>,
    public_names: Vec<Arc<str>>,
    phases: Vec<Arc<str>>,
    start: StartHook,
    phase: Option<PhaseHook>,
    prep_stop: Option<Hook>,
    stop: Option<Hook>,
    config_change: Option<ConfigHook>,
    stop_accepting: Option<Hook>,
    finish: Option<Hook>,
}

/// Makes a hook of an async function.
macro_rules! hook {
    ($function:ident) => {
        Some(Arc::new(move |context| Box::pin($function(context))))
    };
}

impl Application {
    /// An application whose `start` gives the supervisor to be started (`Module:start/2`). An
    /// error or a panic is a failed start.
    pub fn new<F>(
        name: impl Into<Arc<str>>,
        start: impl Fn(ApplicationContext) -> F + Send + Sync + 'static,
    ) -> Application
    where
        F: Future<Output = Result<Supervisor, ExitReason>> + Send + 'static,
    {
        Application {
            name: name.into(),
            dependencies: Vec::new(),
            included: Vec::new(),
            env: BTreeMap::new(),
            public_names: Vec::new(),
            phases: Vec::new(),
            start: Arc::new(move |context| Box::pin(start(context))),
            phase: None,
            prep_stop: None,
            stop: None,
            config_change: None,
            stop_accepting: None,
            finish: None,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// An application that must run before this one starts (`app(4)`, applications).
    pub fn depends_on(mut self, name: impl Into<Arc<str>>) -> Application {
        self.dependencies.push(name.into());
        self
    }

    /// An application whose supervisor this one starts within its own tree, so that only its
    /// start phases are run (`app(4)`, included_applications).
    pub fn includes(mut self, application: Application) -> Application {
        self.included.push(application);
        self
    }

    /// A value of its environment (`app(4)`, env), until another is set.
    pub fn env<T: Any + Send + Sync>(mut self, key: impl Into<Arc<str>>, value: T) -> Application {
        self.env.insert(key.into(), Arc::new(value));
        self
    }

    /// A registered name others find the application by: the first thing a drain takes back.
    pub fn public_name(mut self, name: impl Into<Arc<str>>) -> Application {
        self.public_names.push(name.into());
        self
    }

    /// Runs for each of these phases, in order, when the tree is up (`Module:start_phase/3`). The
    /// phases are those of the application that is started; of the included ones those run that
    /// have a phase of this name. An error or a panic is a failed start.
    pub fn start_phases<F>(
        mut self,
        phases: impl IntoIterator<Item = &'static str>,
        phase: impl Fn(ApplicationContext, Arc<str>) -> F + Send + Sync + 'static,
    ) -> Application
    where
        F: Future<Output = Result<(), ExitReason>> + Send + 'static,
    {
        self.phases = phases.into_iter().map(Arc::from).collect();
        self.phase = Some(Arc::new(move |context, name| {
            Box::pin(phase(context, name))
        }));
        self
    }

    /// Runs before the tree is stopped, or when it has ended by itself
    /// (`Module:prep_stop/1`).
    pub fn prep_stop<F>(
        mut self,
        prep_stop: impl Fn(ApplicationContext) -> F + Send + Sync + 'static,
    ) -> Application
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.prep_stop = hook!(prep_stop);
        self
    }

    /// Runs when the tree has stopped, or ended by itself (`Module:stop/1`).
    pub fn stop<F>(
        mut self,
        stop: impl Fn(ApplicationContext) -> F + Send + Sync + 'static,
    ) -> Application
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.stop = hook!(stop);
        self
    }

    /// Runs when its environment was changed while it ran (`Module:config_change/3`).
    pub fn config_change<F>(
        mut self,
        change: impl Fn(ApplicationContext, ConfigChange) -> F + Send + Sync + 'static,
    ) -> Application
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.config_change = Some(Arc::new(move |context, what| {
            Box::pin(change(context, what))
        }));
        self
    }

    /// Runs first in a drain: take on no more work.
    pub fn stop_accepting<F>(
        mut self,
        stop_accepting: impl Fn(ApplicationContext) -> F + Send + Sync + 'static,
    ) -> Application
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.stop_accepting = hook!(stop_accepting);
        self
    }

    /// Runs in a drain when nobody can find the application any more: comes back when the work
    /// that was taken on is finished, or handed over.
    pub fn finish<F>(
        mut self,
        finish: impl Fn(ApplicationContext) -> F + Send + Sync + 'static,
    ) -> Application
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.finish = hook!(finish);
        self
    }
}

impl fmt::Debug for Application {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Application")
            .field("name", &self.name)
            .field("dependencies", &self.dependencies)
            .finish_non_exhaustive()
    }
}
