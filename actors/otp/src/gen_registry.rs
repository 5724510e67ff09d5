//! One process per key, started when first asked for (Discord: `GenRegistry`).
//!
//! ```text
//!  lookup_or_start(k) ──▶ table: k ─▶ running ──▶ its ref, no process involved
//!                                k ─▶ starting ─▶ wait for the one start, share its result
//!                                none ──────────▶ claim the key, start, linked to the anchor
//! ```
//!
//! * The *anchor* is a small process which is the parent of all others. It is started by the
//!   first start, or by a supervisor through [`GenRegistry::child_spec`].
//! * When a process ends its key is free before any link or monitor fires. When the anchor ends,
//!   all processes of the registry end.
//! * Table: one entry per live process; bounded by what the node can run.

use std::fmt;
use std::hash::Hash;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use futures_util::future::join_all;
use tokio::sync::{Mutex, watch};

use crate::context::Context;
use crate::exit_reason::ExitReason;
use crate::gen_server::{GenServer, Info, Init, Next};
use crate::node::Node;
use crate::options::Options;
use crate::pid::Pid;
use crate::process::Process;
use crate::server_ref::{CallError, ServerRef};
use crate::start::{StartError, start_process};
use crate::supervisor::child_spec::{ChildKind, ChildSpec, DEFAULT_SHUTDOWN, Shutdown};
use crate::supervisor::stopping::Stopping;

/// Servers of one kind, one per key. Cloning is cheap and names the same registry.
pub struct GenRegistry<K, S: GenServer> {
    inner: Arc<Inner<K, S>>,
}

struct Inner<K, S: GenServer> {
    node: Node,
    slots: DashMap<K, Slot<S>>,
    options: Box<dyn Fn(&K) -> Options + Send + Sync>,
    anchor: Mutex<Option<Arc<Process>>>,
    /// Whether starting the anchor is somebody else's job.
    supervised: AtomicBool,
}

type Outcome<S> = Result<ServerRef<S>, StartError>;

enum Slot<S: GenServer> {
    Starting(watch::Receiver<Option<Outcome<S>>>),
    Running(ServerRef<S>),
}

/// What a look at the table told us to do.
enum Plan<S: GenServer> {
    Use(ServerRef<S>),
    Wait(watch::Receiver<Option<Outcome<S>>>),
    Start(
        watch::Sender<Option<Outcome<S>>>,
        watch::Receiver<Option<Outcome<S>>>,
    ),
}

impl<K, S> GenRegistry<K, S>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    S: GenServer,
{
    /// An empty registry whose processes have no name and no label.
    pub fn new(node: &Node) -> GenRegistry<K, S> {
        GenRegistry::with_options(node, |_| Options::new())
    }

    /// An empty registry; `options` makes the options of the process of a key.
    pub fn with_options(
        node: &Node,
        options: impl Fn(&K) -> Options + Send + Sync + 'static,
    ) -> GenRegistry<K, S> {
        GenRegistry {
            inner: Arc::new(Inner {
                node: node.clone(),
                slots: DashMap::new(),
                options: Box::new(options),
                anchor: Mutex::new(None),
                supervised: AtomicBool::new(false),
            }),
        }
    }

    /// The specification of the anchor, so that all processes of the registry end with the
    /// supervisor it is given to. While the anchor is down, starts fail with
    /// [`ExitReason::NoProc`].
    pub fn child_spec(&self, id: impl Into<Arc<str>>) -> ChildSpec {
        self.inner.supervised.store(true, Ordering::SeqCst);
        let inner = self.inner.clone();
        let mut spec = ChildSpec::worker::<Anchor<K, S>>(id, move || Some(inner.clone()));
        spec.kind = ChildKind::Supervisor;
        spec.shutdown = Shutdown::Infinity;
        spec
    }

    /// The running process of a key. Never waits.
    pub fn lookup(&self, key: &K) -> Option<ServerRef<S>> {
        match self.inner.slots.get(key)?.value() {
            Slot::Running(server) if server.is_alive() => Some(server.clone()),
            Slot::Running(_) | Slot::Starting(_) => None,
        }
    }

    /// The process of a key, started if there is none. Concurrent callers get the same process,
    /// or the same error; after an error nothing is left, and the next caller starts anew. The
    /// start goes on if the caller is dropped.
    pub async fn lookup_or_start(
        &self,
        key: &K,
        args: impl FnOnce() -> S::Args + Send,
    ) -> Result<ServerRef<S>, StartError> {
        if let Some(server) = self.lookup(key) {
            return Ok(server);
        }
        let mut outcome = match self.plan(key) {
            Plan::Use(server) => return Ok(server),
            Plan::Wait(outcome) => outcome,
            Plan::Start(sender, outcome) => {
                let claim = Claim {
                    inner: self.inner.clone(),
                    key: key.clone(),
                    open: true,
                };
                let args = args();
                let options = (self.inner.options)(key);
                tokio::spawn(claim.start(args, options, sender));
                outcome
            }
        };
        match outcome.wait_for(Option::is_some).await {
            Ok(outcome) => outcome
                .clone()
                .unwrap_or(Err(StartError::Failed(ExitReason::Killed))),
            // The starter was dropped before it could tell.
            Err(_) => Err(StartError::Failed(ExitReason::Killed)),
        }
    }

    /// Ends the process of a key in good order, by force after [`DEFAULT_SHUTDOWN`], and waits
    /// for its end. [`CallError::NoProc`] if there is none.
    pub async fn stop(&self, key: &K, reason: ExitReason) -> Result<(), CallError> {
        let server = self.lookup(key).ok_or(CallError::NoProc)?;
        match server.stop(reason, DEFAULT_SHUTDOWN).await {
            Err(CallError::Timeout) => {
                self.inner.node.exit(server.pid(), ExitReason::Kill);
                server.wait_for_exit().await;
                Ok(())
            }
            other => other,
        }
    }

    /// How many processes run.
    pub fn count(&self) -> usize {
        self.inner
            .slots
            .iter()
            .filter(|slot| matches!(slot.value(), Slot::Running(_)))
            .count()
    }

    /// All keys whose process runs, in no order.
    pub fn keys(&self) -> Vec<K> {
        self.running().into_iter().map(|(key, _)| key).collect()
    }

    /// Calls a function for each running process. It sees a snapshot, and may use the registry.
    pub fn for_each(&self, mut function: impl FnMut(&K, &ServerRef<S>)) {
        for (key, server) in self.running() {
            function(&key, &server);
        }
    }

    fn running(&self) -> Vec<(K, ServerRef<S>)> {
        self.inner
            .slots
            .iter()
            .filter_map(|slot| match slot.value() {
                Slot::Running(server) => Some((slot.key().clone(), server.clone())),
                Slot::Starting(_) => None,
            })
            .collect()
    }

    fn plan(&self, key: &K) -> Plan<S> {
        match self.inner.slots.entry(key.clone()) {
            Entry::Occupied(mut taken) => match taken.get() {
                Slot::Running(server) if server.is_alive() => Plan::Use(server.clone()),
                Slot::Starting(outcome) => Plan::Wait(outcome.clone()),
                Slot::Running(_) => {
                    let (sender, outcome) = watch::channel(None);
                    taken.insert(Slot::Starting(outcome.clone()));
                    Plan::Start(sender, outcome)
                }
            },
            Entry::Vacant(free) => {
                let (sender, outcome) = watch::channel(None);
                free.insert(Slot::Starting(outcome.clone()));
                Plan::Start(sender, outcome)
            }
        }
    }
}

/// The right and the duty to fill the slot of a key; dropped unfilled, it frees the key.
struct Claim<K: Hash + Eq, S: GenServer> {
    inner: Arc<Inner<K, S>>,
    key: K,
    open: bool,
}

impl<K, S> Claim<K, S>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    S: GenServer,
{
    async fn start(
        mut self,
        args: S::Args,
        options: Options,
        sender: watch::Sender<Option<Outcome<S>>>,
    ) {
        let outcome = match self.inner.anchor().await {
            Ok(anchor) => {
                start_process::<S>(self.inner.node.clone(), Some(anchor), args, options).await
            }
            Err(error) => Err(error),
        };
        if let Ok(server) = &outcome {
            self.fill(server);
        }
        // Free the key before anybody learns of a failure.
        drop(self);
        sender.send_replace(Some(outcome));
    }

    fn fill(&mut self, server: &ServerRef<S>) {
        self.open = false;
        self.inner
            .slots
            .insert(self.key.clone(), Slot::Running(server.clone()));
        let inner = Arc::downgrade(&self.inner);
        let key = self.key.clone();
        let release = Box::new(move |pid: Pid| {
            if let Some(inner) = inner.upgrade() {
                inner.slots.remove_if(
                    &key,
                    |_, slot| matches!(slot, Slot::Running(server) if server.pid() == pid),
                );
            }
        });
        if let Err(release) = server.process.add_release(release) {
            release(server.pid());
        }
    }
}

impl<K: Hash + Eq, S: GenServer> Drop for Claim<K, S> {
    fn drop(&mut self) {
        if self.open {
            self.inner
                .slots
                .remove_if(&self.key, |_, slot| matches!(slot, Slot::Starting(_)));
        }
    }
}

impl<K, S> Inner<K, S>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    S: GenServer,
{
    /// The parent of all processes of this registry.
    async fn anchor(&self) -> Result<Arc<Process>, StartError> {
        let mut anchor = self.anchor.lock().await;
        if let Some(anchor) = &*anchor
            && !anchor.is_ending()
        {
            return Ok(anchor.clone());
        }
        if self.supervised.load(Ordering::SeqCst) {
            return Err(StartError::Failed(ExitReason::NoProc));
        }
        let options = Options::new().label("gen_registry");
        let started = start_process::<Anchor<K, S>>(self.node.clone(), None, None, options).await?;
        *anchor = Some(started.process.clone());
        Ok(started.process)
    }
}

/// The process which all others of a registry are children of.
struct Anchor<K, S>(PhantomData<fn(K, S)>);

/// The anchor has no messages.
enum NoMessage {}

impl<K, S> GenServer for Anchor<K, S>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    S: GenServer,
{
    /// The registry to announce itself to, if a supervisor started it.
    type Args = Option<Arc<Inner<K, S>>>;
    type Message = NoMessage;

    async fn init(registry: Self::Args, ctx: &mut Context<Self>) -> Init<Self> {
        ctx.trap_exit(true);
        if let Some(registry) = registry {
            *registry.anchor.lock().await = Some(ctx.process.clone());
        }
        Init::Ok(Anchor(PhantomData))
    }

    async fn handle(&mut self, message: NoMessage, _ctx: &mut Context<Self>) -> Next<Self> {
        match message {}
    }

    async fn handle_info(&mut self, _info: Info, _ctx: &mut Context<Self>) -> Next<Self> {
        // The end of a child: its key is free already.
        Next::Go
    }

    async fn terminate(&mut self, _reason: &ExitReason, ctx: &mut Context<Self>) {
        let parent = ctx.parent();
        let mut stopping = Vec::new();
        for child in ctx.process.links() {
            if Some(child) != parent {
                stopping.push(Stopping::begin(
                    ctx,
                    child,
                    Shutdown::Timeout(DEFAULT_SHUTDOWN),
                ));
            }
        }
        join_all(stopping.into_iter().map(Stopping::finish)).await;
    }
}

impl<K, S: GenServer> Clone for GenRegistry<K, S> {
    fn clone(&self) -> GenRegistry<K, S> {
        GenRegistry {
            inner: self.inner.clone(),
        }
    }
}

impl<K, S: GenServer> fmt::Debug for GenRegistry<K, S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("GenRegistry")
    }
}
