//! The application controller: one process a node, which knows what runs (`application_controller`).
//!
//! ```text
//!   Applications ──▶ ┌────────────┐ ──start, link──▶ master, master, …   one an application
//!                    │ controller │ ◀──up, EXIT──────┘
//!                    └─────┬──────┘
//!                          └─ node stop: masters stopped in reverse order of start, then forced
//! ```
//!
//! * Started by [`Applications::of`], under the name [`CONTROLLER`].
//! * It never waits for an application, only notes who does; so hooks may ask it anything. Only at
//!   its end it waits, for all of them; who asks then is told that the node stops.
//! * When it dies all applications end with it.
//! * A full mailbox refuses requests.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::application::environment::ConfigChange;
use crate::application::handle::{Applications, Shared};
use crate::application::master::{Master, Message as ToMaster};
use crate::application::states::{APPLICATIONS_MAX, ApplicationInfo, Entry, Life, Waiter};
use crate::application::{Application, ApplicationError, StartType};
use crate::context::Context;
use crate::exit_reason::ExitReason;
use crate::gen_server::{GenServer, Info, Init, Next};
use crate::node::Node;
use crate::panics::guarded;
use crate::pid::Pid;
use crate::process::Process;
use crate::server_ref::{From, ServerRef};

mod starting;
mod stopping;

/// The reserved name of the controller.
pub(super) const CONTROLLER: &str = "$application_controller";

/// Where the controller keeps what is read without asking it.
pub(super) const SHARED_KEY: &str = "$applications";

pub(super) struct Controller {
    applications: Applications,
    entries: BTreeMap<Arc<str>, Entry>,
    /// Applications in the order they were started.
    order: Vec<Arc<str>>,
}

pub(super) enum Message {
    Load(Box<Application>, Waiter<()>),
    Unload(Arc<str>, Waiter<()>),
    Start {
        name: Arc<str>,
        start_type: StartType,
        /// The process that asks.
        caller: Option<Pid>,
        from: Waiter<bool>,
    },
    Stop {
        name: Arc<str>,
        limit: Option<Duration>,
        caller: Option<Pid>,
        from: Waiter<()>,
    },
    Permit {
        name: Arc<str>,
        permit: bool,
        from: Waiter<()>,
    },
    ConfigChange(Arc<str>, ConfigChange),
    /// All that are loaded, by name.
    Info(From<Vec<ApplicationInfo>>),
    /// The masters of those that run, the last started first, with their public names.
    Masters(From<Vec<RunningMaster>>),
    /// A master tells that its application runs.
    Up {
        master: Pid,
    },
    /// To itself: the time of a stop is over.
    Force {
        name: Arc<str>,
        master: Pid,
    },
}

pub(super) struct RunningMaster {
    pub(super) name: Arc<str>,
    pub(super) public_names: Vec<Arc<str>>,
    pub(super) master: ServerRef<Master>,
}

impl GenServer for Controller {
    type Args = Arc<Shared>;
    type Message = Message;

    async fn init(shared: Arc<Shared>, ctx: &mut Context<Controller>) -> Init<Controller> {
        ctx.trap_exit(true);
        ctx.put(SHARED_KEY, shared.clone());
        Init::Ok(Controller {
            applications: Applications::new(ctx.self_ref(), shared),
            entries: BTreeMap::new(),
            order: Vec::new(),
        })
    }

    async fn handle(
        &mut self,
        message: Message,
        ctx: &mut Context<Controller>,
    ) -> Next<Controller> {
        match message {
            Message::Load(application, from) => from.reply(self.load(*application)),
            Message::Unload(name, from) => from.reply(self.unload(&name)),
            Message::Start {
                name,
                start_type,
                caller,
                from,
            } => self.start(&name, start_type, caller, from, ctx).await,
            Message::Stop {
                name,
                limit,
                caller,
                from,
            } => self.stop(&name, limit, caller, from, ctx),
            Message::Permit { name, permit, from } => self.permit(&name, permit, from, ctx).await,
            Message::ConfigChange(name, change) => {
                let life = self.entries.get(&name).map(|entry| &entry.life);
                if let Some(Life::Running { master, .. }) = life {
                    master.cast(ToMaster::ConfigChange(change));
                }
            }
            Message::Info(from) => from.reply(self.entries.values().map(Entry::info).collect()),
            Message::Masters(from) => from.reply(self.masters()),
            Message::Up { master } => self.up(master),
            Message::Force { name, master } => {
                if let Some(entry) = self.entries.get_mut(&name)
                    && let Life::Stopping {
                        master: stopping,
                        killed,
                        ..
                    } = &mut entry.life
                    && stopping.pid() == master
                {
                    *killed = true;
                    tracing::error!(application = %name, "did not stop in time, killing it");
                    kill_tree(ctx.node(), master);
                }
            }
        }
        Next::Go
    }

    async fn handle_info(&mut self, info: Info, ctx: &mut Context<Controller>) -> Next<Controller> {
        if let Info::Exit { from, reason } = info {
            self.ended(from, reason, ctx);
        }
        Next::Go
    }

    fn message_name(message: &Message) -> &'static str {
        match message {
            Message::Load(..) => "load",
            Message::Unload(..) => "unload",
            Message::Start { .. } => "start",
            Message::Stop { .. } => "stop",
            Message::Permit { .. } => "permit",
            Message::ConfigChange(..) => "config_change",
            Message::Info(_) => "info",
            Message::Masters(_) => "masters",
            Message::Up { .. } => "up",
            Message::Force { .. } => "force",
        }
    }

    async fn terminate(&mut self, reason: &ExitReason, ctx: &mut Context<Controller>) {
        // From here nobody gets an answer any more; whoever waits for one is told.
        self.applications.shared.close();
        let deadline = Instant::now() + self.applications.shared.stop_limit();
        if let Some(hook) = self.applications.shared.take_shutdown() {
            let reason = reason.clone();
            let hook = guarded(async move { hook(reason).await });
            match tokio::time::timeout_at(deadline, hook).await {
                Ok(Ok(())) => {}
                Ok(Err(reason)) => tracing::error!(%reason, "the shutdown function panicked"),
                Err(_) => tracing::error!("the shutdown function took too long"),
            }
        }
        let mut late = false;
        for name in std::mem::take(&mut self.order).into_iter().rev() {
            let entry = self.entries.get(&name);
            let Some(master) = entry.and_then(|entry| entry.life.master()) else {
                continue;
            };
            master.cast(ToMaster::Stop);
            let ended = master.wait_for_exit();
            late = late || tokio::time::timeout_at(deadline, ended).await.is_err();
            if late {
                tracing::error!(application = %name, "the time is over, killing it");
                for process in kill_tree(ctx.node(), master.pid()) {
                    process.wait().await;
                }
            }
        }
    }
}

impl Controller {
    fn entry(&mut self, name: &Arc<str>) -> Result<&mut Entry, ApplicationError> {
        let entry = self.entries.get_mut(name);
        entry.ok_or_else(|| ApplicationError::NotLoaded(name.clone()))
    }

    fn load(&mut self, application: Application) -> Result<(), ApplicationError> {
        let name = application.name.clone();
        if self.entries.contains_key(&name) {
            return Err(ApplicationError::AlreadyLoaded(name));
        }
        if self.entries.len() >= APPLICATIONS_MAX {
            return Err(ApplicationError::TooMany);
        }
        self.applications.shared.environment.load(&application)?;
        let permitted = !self.applications.shared.is_forbidden(&name);
        self.entries
            .insert(name, Entry::new(application, permitted));
        Ok(())
    }

    fn unload(&mut self, name: &Arc<str>) -> Result<(), ApplicationError> {
        let entry = self.entry(name)?;
        if !matches!(entry.life, Life::Loaded) {
            return Err(ApplicationError::AlreadyStarted(name.clone()));
        }
        self.entries.remove(name);
        self.applications.shared.environment.unload(name);
        Ok(())
    }

    fn masters(&self) -> Vec<RunningMaster> {
        let running = self.order.iter().rev().filter_map(|name| {
            let entry = self.entries.get(name)?;
            Some(RunningMaster {
                name: name.clone(),
                public_names: entry.application.public_names.clone(),
                master: entry.life.master()?.clone(),
            })
        });
        running.collect()
    }

    fn by_master(&mut self, pid: Pid) -> Option<&mut Entry> {
        let mut entries = self.entries.values_mut();
        entries.find(|entry| {
            entry
                .life
                .master()
                .is_some_and(|master| master.pid() == pid)
        })
    }
}

/// Whether a process is a master or of its tree.
fn is_within(node: &Node, caller: Option<Pid>, master: Pid) -> bool {
    caller.is_some_and(|pid| {
        let process = node.process(pid);
        pid == master
            || process.is_some_and(|process| process.lineage.ancestors().contains(&master))
    })
}

/// Kills a process and all that descend from it.
pub(super) fn kill_tree(node: &Node, root: Pid) -> Vec<Arc<Process>> {
    let mut doomed = std::collections::HashSet::from([root]);
    let mut killed = Vec::new();
    // A parent is older than its children.
    for pid in node.pids() {
        let Some(process) = node.process(pid) else {
            continue;
        };
        let mut ancestors = process.lineage.ancestors().iter();
        let inherits = ancestors.any(|one| doomed.contains(one));
        if pid == root || inherits {
            doomed.insert(pid);
            process.exit_signal(node.outside(), ExitReason::Kill, false);
            killed.push(process);
        }
    }
    killed
}

fn answer_failure(
    name: &Arc<str>,
    reason: &ExitReason,
    waiters: Vec<Waiter<bool>>,
    permits: Vec<Waiter<()>>,
) {
    let failed = || ApplicationError::Failed(name.clone(), reason.clone());
    for waiter in waiters {
        waiter.reply(Err(failed()));
    }
    for permit in permits {
        permit.reply(Err(failed()));
    }
}
