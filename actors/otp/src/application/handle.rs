//! The client side of the applications of a node.

use std::any::Any;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::application::controller::{CONTROLLER, Controller, Message, SHARED_KEY};
use crate::application::environment::{ConfigChange, Environment, EnvironmentValue};
use crate::application::plan::{self, Dependencies};
use crate::application::states::{ApplicationInfo, ApplicationStatus};
use crate::application::{Application, ApplicationError, StartType};
use crate::exit_reason::ExitReason;
use crate::node::Node;
use crate::options::Options;
use crate::panics::current_pid;
use crate::pid::Pid;
use crate::server_ref::{CallError, From, ServerRef};
use crate::start::{StartError, start_process};

/// How long all applications together may take to stop when their node stops; then those that are
/// left are killed. Less than [`crate::NODE_STOP_LIMIT`], so that it is done in order.
pub const APPLICATION_STOP_LIMIT: Duration = Duration::from_secs(25);

/// The application whose end ended the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeEnd {
    /// The application.
    pub application: Arc<str>,
    /// Its reason.
    pub reason: ExitReason,
}

/// Runs before the applications are stopped with their node.
type ShutdownHook = Box<dyn FnOnce(ExitReason) -> BoxFuture<'static, ()> + Send>;

/// What is known without asking the controller.
pub(super) struct Shared {
    pub(super) environment: Environment,
    pub(super) draining: watch::Sender<u32>,
    closed: watch::Sender<bool>,
    ended: watch::Sender<Option<NodeEnd>>,
    stop_limit: Mutex<Duration>,
    shutdown: Mutex<Option<ShutdownHook>>,
    /// Applications that may not run, loaded or not.
    forbidden: Mutex<HashSet<Arc<str>>>,
}

impl Shared {
    fn new() -> Shared {
        Shared {
            environment: Environment::default(),
            draining: watch::Sender::new(0),
            closed: watch::Sender::new(false),
            ended: watch::Sender::new(None),
            stop_limit: Mutex::new(APPLICATION_STOP_LIMIT),
            shutdown: Mutex::default(),
            forbidden: Mutex::default(),
        }
    }

    /// The controller answers nobody any more.
    pub(super) fn close(&self) {
        self.closed.send_replace(true);
    }

    pub(super) fn stop_limit(&self) -> Duration {
        *self.stop_limit.lock()
    }

    pub(super) fn take_shutdown(&self) -> Option<ShutdownHook> {
        self.shutdown.lock().take()
    }

    pub(super) fn is_draining(&self) -> bool {
        *self.draining.borrow() > 0
    }

    pub(super) fn is_forbidden(&self, name: &str) -> bool {
        self.forbidden.lock().contains(name)
    }

    pub(super) fn set_forbidden(&self, name: &Arc<str>, forbidden: bool) {
        let mut names = self.forbidden.lock();
        if forbidden {
            names.insert(name.clone());
        } else {
            names.remove(name);
        }
    }

    pub(super) fn node_ends(&self, application: Arc<str>, reason: ExitReason) {
        self.ended.send_if_modified(|ended| {
            let first = ended.is_none();
            ended.get_or_insert(NodeEnd {
                application,
                reason,
            });
            first
        });
    }
}

/// The applications of a node. Cloning is cheap and names the same.
#[derive(Clone)]
pub struct Applications {
    pub(super) controller: ServerRef<Controller>,
    pub(super) shared: Arc<Shared>,
}

impl Applications {
    pub(super) fn new(controller: ServerRef<Controller>, shared: Arc<Shared>) -> Applications {
        Applications { controller, shared }
    }

    /// The applications of this node. The first call starts their controller.
    ///
    /// # Errors
    /// [`ApplicationError::Controller`]: the node stops.
    pub async fn of(node: &Node) -> Result<Applications, ApplicationError> {
        loop {
            if let Some(applications) = Applications::running(node) {
                return Ok(applications);
            }
            let options = Options::new()
                .name(CONTROLLER)
                .label("application controller");
            let shared = Arc::new(Shared::new());
            match start_process::<Controller>(node.clone(), None, shared.clone(), options).await {
                Ok(controller) => return Ok(Applications::new(controller, shared)),
                // Somebody is faster; its `init` may not be over.
                Err(StartError::AlreadyStarted(_)) => tokio::task::yield_now().await,
                Err(error) => return Err(ApplicationError::Controller(error)),
            }
        }
    }

    fn running(node: &Node) -> Option<Applications> {
        let controller = node.whereis_ref::<Controller>(CONTROLLER)?;
        let shared = node.dictionary::<Arc<Shared>>(controller.pid(), SHARED_KEY)?;
        Some(Applications::new(controller, (*shared).clone()))
    }

    /// The node.
    pub fn node(&self) -> &Node {
        &self.controller.process.node
    }

    /// Asks the controller; whoever waits for it when the node stops is told.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        request: impl FnOnce(From<T>) -> Message + Send,
    ) -> Result<T, ApplicationError> {
        let mut closed = self.shared.closed.subscribe();
        tokio::select! {
            biased;
            answer = self.controller.call_infinity(request) => answer.map_err(|error| match error {
                CallError::Exit(_) | CallError::NoProc => ApplicationError::NodeStopping,
                other => ApplicationError::Call(other),
            }),
            _ = closed.wait_for(|closed| *closed) => Err(ApplicationError::NodeStopping),
        }
    }

    // ---- loading --------------------------------------------------------------------------

    /// Makes an application known, and sets its environment, except where
    /// [`Applications::override_env`] was there before (`application:load/1`).
    pub async fn load(&self, application: Application) -> Result<(), ApplicationError> {
        let application = Box::new(application);
        self.ask(|from| Message::Load(application, from)).await?
    }

    /// Forgets an application that does not run, and its environment (`application:unload/1`).
    pub async fn unload(&self, name: &str) -> Result<(), ApplicationError> {
        let name = name.into();
        self.ask(|from| Message::Unload(name, from)).await?
    }

    /// All applications that are loaded, by name.
    pub async fn which(&self) -> Result<Vec<ApplicationInfo>, ApplicationError> {
        self.ask(Message::Info).await
    }

    /// Whether an application runs.
    pub async fn is_running(&self, name: &str) -> Result<bool, ApplicationError> {
        let all = self.which().await?;
        let found = all.iter().find(|info| &*info.name == name);
        Ok(found.is_some_and(|info| info.status == ApplicationStatus::Running))
    }

    // ---- starting -------------------------------------------------------------------------

    /// Starts an application and waits until its tree and its start phases are up
    /// (`application:start/2`). Many may ask at once: there is one start, and all get its outcome.
    /// One that is not permitted to run is held until it is, and the start succeeds.
    ///
    /// # Errors
    /// [`ApplicationError::NotStarted`]: what it depends on must be started before.
    /// [`ApplicationError::AlreadyStarted`]; [`ApplicationError::Failed`].
    pub async fn start(&self, name: &str, start_type: StartType) -> Result<(), ApplicationError> {
        self.start_or_wait(name.into(), start_type).await?;
        Ok(())
    }

    /// Gives whether the start was the caller's.
    async fn start_or_wait(
        &self,
        name: Arc<str>,
        start_type: StartType,
    ) -> Result<bool, ApplicationError> {
        let caller = current_pid();
        self.ask(|from| Message::Start {
            name,
            start_type,
            caller,
            from,
        })
        .await?
    }

    /// Starts an application unless it runs already (`application:ensure_started/2`).
    pub async fn ensure_started(
        &self,
        name: &str,
        start_type: StartType,
    ) -> Result<(), ApplicationError> {
        match self.start(name, start_type).await {
            Err(ApplicationError::AlreadyStarted(_)) => Ok(()),
            other => other,
        }
    }

    /// Starts applications and all they depend on: each after what it depends on, independent
    /// ones at the same time (`application:ensure_all_started/3`, concurrent). Gives those that
    /// were started, in the order in which they were up.
    ///
    /// # Errors
    /// The first that failed. What was started for this call is stopped again, in reverse order.
    pub async fn ensure_all_started(
        &self,
        names: &[&str],
        start_type: StartType,
    ) -> Result<Vec<Arc<str>>, ApplicationError> {
        let mut started = Vec::new();
        let outcome = self.start_all(names, start_type, &mut started).await;
        if let Err(error) = outcome {
            for name in started.iter().rev() {
                // It may have ended by itself.
                let _ = self.stop(name).await;
            }
            return Err(error);
        }
        Ok(started)
    }

    async fn start_all(
        &self,
        names: &[&str],
        start_type: StartType,
        started: &mut Vec<Arc<str>>,
    ) -> Result<(), ApplicationError> {
        let names: Vec<Arc<str>> = names.iter().map(|name| Arc::from(*name)).collect();
        let all = self.which().await?;
        let needs: Dependencies = all
            .into_iter()
            .map(|info| (info.name, info.dependencies))
            .collect();
        let mut waiting = plan::order(&names, &needs)?;
        let mut up: HashSet<Arc<str>> = HashSet::new();
        let mut starts = FuturesUnordered::new();
        let mut failure = None;
        loop {
            if failure.is_none() {
                waiting.retain(|name| {
                    let ready = needs
                        .get(name)
                        .is_some_and(|needs| needs.iter().all(|need| up.contains(need)));
                    if ready {
                        let name = name.clone();
                        starts.push(async move {
                            let outcome = self.start_or_wait(name.clone(), start_type).await;
                            (name, outcome)
                        });
                    }
                    !ready
                });
            }
            // Those that are on their way are waited for even if another has failed.
            let Some((name, outcome)) = starts.next().await else {
                return failure.map_or(Ok(()), Err);
            };
            match outcome {
                Ok(own) => {
                    if own {
                        started.push(name.clone());
                    }
                    up.insert(name);
                }
                Err(ApplicationError::AlreadyStarted(_)) => {
                    up.insert(name);
                }
                Err(error) => {
                    failure.get_or_insert(error);
                }
            }
        }
    }

    /// Whether an application may run (`application:permit/2`). One that was started without
    /// permission starts when it is given, which this waits for; one that runs is stopped when it
    /// is taken, and starts again when it is given back. May be said before it is loaded.
    pub async fn permit(&self, name: &str, permit: bool) -> Result<(), ApplicationError> {
        let name = name.into();
        self.ask(|from| Message::Permit { name, permit, from })
            .await?
    }

    // ---- stopping -------------------------------------------------------------------------

    /// Stops an application: `prep_stop`, its tree, `stop`; and waits as long as that takes
    /// (`application:stop/1`). Those that depend on it go on.
    ///
    /// # Errors
    /// [`ApplicationError::NotStarted`]. [`ApplicationError::WithinItself`] to a process of the
    /// application, which cannot wait for it: it is stopped nevertheless.
    pub async fn stop(&self, name: &str) -> Result<(), ApplicationError> {
        self.stop_with(name, None).await
    }

    /// [`Applications::stop`], for at most this long; then the application is killed.
    ///
    /// # Errors
    /// As there, and [`ApplicationError::Killed`].
    pub async fn stop_within(&self, name: &str, limit: Duration) -> Result<(), ApplicationError> {
        self.stop_with(name, Some(limit)).await
    }

    async fn stop_with(&self, name: &str, limit: Option<Duration>) -> Result<(), ApplicationError> {
        let (name, caller) = (name.into(), current_pid());
        self.ask(|from| Message::Stop {
            name,
            limit,
            caller,
            from,
        })
        .await?
    }

    /// How long all applications together may take when the node stops, instead of
    /// [`APPLICATION_STOP_LIMIT`].
    pub fn set_stop_limit(&self, limit: Duration) {
        *self.shared.stop_limit.lock() = limit;
    }

    /// Runs when the node stops, before its applications are stopped, with the reason (`kernel(6)`,
    /// shutdown_func). It has as long as [`Applications::set_stop_limit`] says, and takes that from
    /// the applications. A second function takes the place of the first.
    pub fn set_shutdown_func<F>(&self, function: impl FnOnce(ExitReason) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let hook: ShutdownHook = Box::new(move |reason| Box::pin(function(reason)));
        *self.shared.shutdown.lock() = Some(hook);
    }

    /// Waits until the end of an application has ended the node, and tells which: the program
    /// should end with an exit code that is not 0.
    pub async fn node_end(&self) -> NodeEnd {
        let mut ended = self.shared.ended.subscribe();
        loop {
            if let Some(end) = ended.borrow_and_update().clone() {
                return end;
            }
            if ended.changed().await.is_err() {
                // The sender lives as long as this.
                std::future::pending::<()>().await;
            }
        }
    }

    // ---- the environment ------------------------------------------------------------------

    /// A value of the environment of an application (`application:get_env/2`); `None` if there is
    /// none of this type. Never waits.
    pub fn get_env<T: Any + Clone>(&self, application: &str, key: &str) -> Option<T> {
        let value = self.shared.environment.get(application, key)?;
        value.downcast_ref::<T>().cloned()
    }

    /// A value of the environment of an application, or a default (`application:get_env/3`).
    pub fn get_env_or<T: Any + Clone>(&self, application: &str, key: &str, default: T) -> T {
        self.get_env(application, key).unwrap_or(default)
    }

    /// Sets a value of the environment of an application (`application:set_env/3`). When the
    /// application is loaded afterwards its own default takes the place of it.
    pub fn set_env<T: Any + Send + Sync>(
        &self,
        application: &str,
        key: impl Into<Arc<str>>,
        value: T,
    ) -> Result<(), ApplicationError> {
        let (key, value) = (key.into(), Arc::new(value));
        let environment = &self.shared.environment;
        environment.set(application, key, value, false).map(drop)
    }

    /// Sets a value for good (`application:set_env/4`, persistent): loading the application does
    /// not change it. For what the configuration of the node says.
    pub fn override_env<T: Any + Send + Sync>(
        &self,
        application: &str,
        key: impl Into<Arc<str>>,
        value: T,
    ) -> Result<(), ApplicationError> {
        let (key, value) = (key.into(), Arc::new(value));
        let environment = &self.shared.environment;
        environment.set(application, key, value, true).map(drop)
    }

    /// Changes several values at once, `None` to take one out, and has the application told if it
    /// runs ([`Application::config_change`]).
    pub async fn change_config(
        &self,
        application: &str,
        changes: Vec<(Arc<str>, Option<EnvironmentValue>)>,
    ) -> Result<(), ApplicationError> {
        let environment = &self.shared.environment;
        let mut change = ConfigChange::default();
        for (key, value) in changes {
            match value {
                Some(value) => match environment.set(application, key.clone(), value, true)? {
                    true => change.changed.push(key),
                    false => change.new.push(key),
                },
                None if environment.unset(application, &key) => change.removed.push(key),
                None => {}
            }
        }
        let message = Message::ConfigChange(application.into(), change);
        let sent = self.controller.try_cast(message);
        sent.map_err(|_| ApplicationError::NodeStopping)
    }

    /// The controller's pid.
    pub fn pid(&self) -> Pid {
        self.controller.pid()
    }
}

impl fmt::Debug for Applications {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Applications({})", self.controller.pid())
    }
}
