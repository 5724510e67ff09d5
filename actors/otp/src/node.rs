//! A node: the process table, the names and the counters. Everything the runtime shares lives
//! here, nothing in statics, so many nodes can live in one operating system process.
//!
//! ```text
//!              ┌───────────────── Node ─────────────────┐
//!   whereis ──▶│ names: name → pid                      │
//!   exit ─────▶│ processes: serial → control block ─────┼──▶ mailbox
//!   metrics ◀──│ counters                               │
//!              └────────────────────────────────────────┘
//! ```

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use parking_lot::Mutex;

use crate::context::ActiveAlias;
use crate::distribution::Connections;
use crate::ets::Tables;
use crate::exit_reason::ExitReason;
use crate::gen_server::GenServer;
use crate::node::clock::Clock;
use crate::node::counters::Counters;
use crate::node::patience::Patience;
use crate::node::watchdog::{Stuck, Watchdog};
use crate::persistent_term::PersistentTerms;
use crate::pid::{MonitorRef, Pid, RequestRef, SerialHash, node_hash};
use crate::process::{Process, ProcessInfo};
use crate::report::{Handler, Report, StuckReport};
use crate::server_ref::ServerRef;
use crate::signal::Signal;
use crate::task::worker::Worker;
use crate::testing::Shuffle;

pub(crate) mod clock;
pub(crate) mod counters;
mod names;
pub(crate) mod patience;
mod signals;
mod timers;
pub(crate) mod watchdog;

pub use names::NameError;
pub(crate) use names::is_reserved;
pub use timers::{NODE_TIMERS_MAX, NodeTimer, TimerTarget};

/// How long [`Node::stop`] lets the processes end in good order before it kills the rest.
pub const NODE_STOP_LIMIT: Duration = Duration::from_secs(30);

/// How many functions a node tells of its reports; further ones are refused.
pub const REPORT_HANDLERS_MAX: usize = 16;

/// A running system of processes. Cloning is cheap and names the same node.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

struct Inner {
    name: Arc<str>,
    hash: u32,
    incarnation: u32,
    next_serial: AtomicU64,
    /// Monitors, aliases and requests are numbered together.
    next_ref: AtomicU64,
    processes: DashMap<u64, Arc<Process>, SerialHash>,
    names: DashMap<Arc<str>, Pid>,
    aliases: DashMap<u64, ActiveAlias, SerialHash>,
    stopping: AtomicBool,
    /// All that starts is carried by tasks.
    light: AtomicBool,
    /// Timers to pids and names that run.
    timers: AtomicUsize,
    terms: PersistentTerms,
    tables: Tables,
    connections: Connections,
    shuffle: Shuffle,
    watchdog: Arc<Watchdog>,
    /// How many processes are followed or replaced: while it is 0, a send looks at nobody.
    watched_senders: AtomicUsize,
    counters: Counters,
    patience: Arc<Patience>,
    report_handlers: Mutex<Vec<Handler>>,
}

impl Node {
    /// A node with a fresh, random incarnation.
    pub fn new(name: impl Into<String>) -> Node {
        Node::with_incarnation(name, rand::random())
    }

    /// A node with a given incarnation, which must differ between two lives of one name.
    pub fn with_incarnation(name: impl Into<String>, incarnation: u32) -> Node {
        crate::panics::install_hook();
        let name: Arc<str> = name.into().into();
        let watchdog = Watchdog::new();
        let node = Node {
            inner: Arc::new(Inner {
                hash: node_hash(&name),
                incarnation,
                name,
                next_serial: AtomicU64::new(1),
                next_ref: AtomicU64::new(1),
                processes: DashMap::default(),
                names: DashMap::new(),
                aliases: DashMap::default(),
                stopping: AtomicBool::new(false),
                light: AtomicBool::new(false),
                timers: AtomicUsize::new(0),
                terms: PersistentTerms::new(),
                tables: Tables::default(),
                connections: Connections::default(),
                shuffle: Shuffle::default(),
                watchdog: watchdog.clone(),
                watched_senders: AtomicUsize::new(0),
                counters: Counters::default(),
                patience: Arc::default(),
                report_handlers: Mutex::default(),
            }),
        };
        let inner = Arc::downgrade(&node.inner);
        watchdog::spawn(node.name(), &watchdog, move |stuck| {
            let Some(inner) = inner.upgrade() else {
                return false;
            };
            Node { inner }.deal_with(&stuck);
            true
        });
        node
    }

    /// From now on every process of this node is started as one with
    /// [`crate::Options::light`] is, tasks included.
    pub fn start_light(&self) {
        self.inner.light.store(true, Ordering::Relaxed);
    }

    /// Whether every process is to be light.
    pub(crate) fn starts_light(&self) -> bool {
        self.inner.light.load(Ordering::Relaxed)
    }

    /// The node's name.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Which life of the node this is.
    pub fn incarnation(&self) -> u32 {
        self.inner.incarnation
    }

    /// The pid which stands for everything outside any process.
    pub fn outside(&self) -> Pid {
        Pid::from_parts(self.inner.hash, self.inner.incarnation, 0)
    }

    /// Whether a pid is of this node and this incarnation.
    pub fn is_local(&self, pid: Pid) -> bool {
        pid.node() == self.inner.hash && pid.incarnation() == self.inner.incarnation
    }

    // ---- looking --------------------------------------------------------------------------

    /// The process registered under a name.
    pub fn whereis(&self, name: &str) -> Option<Pid> {
        self.inner.names.get(name).map(|pid| *pid)
    }

    /// Whether a process exists. A process in its `terminate` still does.
    pub fn is_alive(&self, pid: Pid) -> bool {
        self.process(pid)
            .is_some_and(|process| !process.is_exited())
    }

    /// A typed reference to a process, if it exists and is an `S`: one of this node, or of one
    /// that is connected.
    pub fn server_ref<S: GenServer>(&self, pid: Pid) -> Option<ServerRef<S>> {
        let process = self.node_of(pid)?.process(pid)?;
        if !process.runs::<S>() {
            return None;
        }
        Some(if self.is_local(pid) {
            ServerRef::new(process)
        } else {
            ServerRef::far(process, self.clone())
        })
    }

    /// A typed reference to the process registered under a name, if it is an `S`.
    pub fn whereis_ref<S: GenServer>(&self, name: &str) -> Option<ServerRef<S>> {
        self.server_ref(self.whereis(name)?)
    }

    /// How many processes exist.
    pub fn process_count(&self) -> usize {
        self.inner.processes.len()
    }

    /// All processes, oldest first. Costs one walk over the process table. A process that lives
    /// throughout the walk is in it; one that starts or ends meanwhile may be.
    pub fn processes(&self) -> Vec<ProcessInfo> {
        let mut list: Vec<ProcessInfo> = self
            .all()
            .into_iter()
            .filter_map(|process| process.info())
            .collect();
        list.sort_by_key(|info| info.pid);
        list
    }

    /// The pids of all processes, oldest first (`processes/0`).
    pub fn pids(&self) -> Vec<Pid> {
        let mut pids: Vec<Pid> = self.all().into_iter().map(|process| process.pid).collect();
        pids.sort_unstable();
        pids
    }

    /// What is known of one process (`process_info/1`); `None` if it has ended.
    pub fn process_info(&self, pid: Pid) -> Option<ProcessInfo> {
        self.process(pid)?.info()
    }

    /// The names of the messages that wait in a process' mailbox, oldest first, at most `most`
    /// (`process_info(_, messages)`). `None` if it has ended.
    pub fn mailbox_names(&self, pid: Pid, most: usize) -> Option<Vec<&'static str>> {
        Some(self.process(pid)?.mailbox().names(most))
    }

    /// The value under a key of a process' dictionary (`process_info(_, {dictionary, _})`), if it
    /// is of this type.
    pub fn dictionary<T: Any + Send + Sync>(&self, pid: Pid, key: &str) -> Option<Arc<T>> {
        self.process(pid)?.dictionary_get(key)?.downcast().ok()
    }

    /// What a process says it is; `None` if it says nothing, or has ended.
    pub fn label(&self, pid: Pid) -> Option<Arc<str>> {
        self.process(pid)?.label()
    }

    // ---- acting ---------------------------------------------------------------------------

    /// Sends an exit signal from outside (`exit/2`). [`ExitReason::Kill`] cannot be trapped, its
    /// links see [`ExitReason::Killed`]; [`ExitReason::Normal`] is ignored unless trapped. No
    /// such process: nothing happens.
    pub fn exit(&self, pid: Pid, reason: ExitReason) {
        if self.is_fenced_off() {
            return;
        }
        self.deliver_exit(self.outside(), pid, &reason, false);
    }

    /// Sends an untyped message; it arrives as [`crate::Info::Message`]. Returns whether the
    /// process was there to be sent to, and had room. For a process of another node: whether the
    /// node is connected, and the connection had room.
    pub fn send(&self, pid: Pid, message: Box<dyn Any + Send>) -> bool {
        self.send_raw(pid, message)
    }

    /// Waits until a process has ended and tells why; [`ExitReason::NoProc`] if it is not there.
    pub fn wait_for_exit(&self, pid: Pid) -> impl Future<Output = ExitReason> + Send + use<> {
        let process = self.process(pid);
        async move {
            match process {
                Some(process) => process.wait().await,
                None => ExitReason::NoProc,
            }
        }
    }

    /// Ends everything in good order: processes without a parent are asked to stop, which takes
    /// their children along; what is left after [`NODE_STOP_LIMIT`] is killed. No process can be
    /// started from the moment of the call. Its connections are lost at the end.
    pub async fn stop(&self) {
        self.stop_within(NODE_STOP_LIMIT).await;
    }

    /// [`Node::stop`] with another limit.
    pub async fn stop_within(&self, limit: Duration) {
        self.inner.stopping.store(true, Ordering::SeqCst);
        for process in self.all() {
            // An orphan is its own root: no parent will tell it.
            if process.parent().is_none_or(|parent| !self.is_alive(parent)) {
                let reason = ExitReason::Shutdown;
                if process.runs::<Worker>() {
                    // A task reads no mailbox.
                    process.exit_signal(self.outside(), reason, false);
                } else {
                    process.signal(Signal::Stop { reason });
                }
            }
        }
        let ordered = async {
            while let Some(process) = self.any() {
                process.wait().await;
            }
        };
        let in_time = tokio::time::timeout(limit, ordered).await.is_ok();
        if !in_time {
            tracing::warn!(node = %self.name(), left = self.process_count(), "killing what is left");
            for process in self.all() {
                process.exit_signal(self.outside(), ExitReason::Kill, false);
            }
            while let Some(process) = self.any() {
                process.wait().await;
            }
        }
        self.disconnect_all();
    }

    /// Publishes the counters and the mailbox gauges to the `metrics` recorder. Walks the process
    /// table: call it every few seconds, not per request.
    pub fn record_metrics(&self) {
        self.inner.counters.publish(self.name(), &self.all());
        self.inner.tables.publish(self.name());
    }

    /// Has a function told of every [`Report`] of this node, from now on and for as long as the
    /// node lives. At most [`REPORT_HANDLERS_MAX`]; `false` if there are as many already. It runs
    /// in the process that reports: be quick, do not wait.
    pub fn on_report(&self, handler: impl Fn(&Report) + Send + Sync + 'static) -> bool {
        let mut handlers = self.inner.report_handlers.lock();
        if handlers.len() >= REPORT_HANDLERS_MAX {
            return false;
        }
        handlers.push(Arc::new(handler));
        true
    }

    /// Tells everybody who wants to know.
    pub(crate) fn report(&self, report: &Report) {
        report.trace();
        let handlers = self.inner.report_handlers.lock().clone();
        for handler in handlers {
            handler(report);
        }
    }

    // ---- for the runtime ------------------------------------------------------------------

    pub(crate) fn counters(&self) -> &Counters {
        &self.inner.counters
    }

    pub(crate) fn patience(&self) -> &Arc<Patience> {
        &self.inner.patience
    }

    /// The terms that all processes of the node read without waiting (`persistent_term`).
    pub fn persistent_terms(&self) -> &PersistentTerms {
        &self.inner.terms
    }

    /// The tables that all processes of the node share (`ets`).
    pub fn tables(&self) -> &Tables {
        &self.inner.tables
    }

    pub(crate) fn set_shuffle(&self, seed: Option<u64>) {
        self.inner.shuffle.set(seed);
    }

    pub(crate) fn shuffle(&self) -> &Shuffle {
        &self.inner.shuffle
    }

    pub(crate) fn all_connections(&self) -> &Connections {
        &self.inner.connections
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.inner.stopping.load(Ordering::SeqCst)
    }

    pub(crate) fn new_pid(&self) -> Pid {
        Pid::from_parts(
            self.inner.hash,
            self.inner.incarnation,
            self.inner.next_serial.fetch_add(1, Ordering::Relaxed),
        )
    }

    fn new_ref(&self) -> u64 {
        self.inner.next_ref.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn new_monitor(&self) -> MonitorRef {
        MonitorRef(self.new_ref())
    }

    pub(crate) fn new_request(&self) -> RequestRef {
        RequestRef(self.new_ref())
    }

    pub(crate) fn clock(&self) -> Arc<Clock> {
        self.inner.watchdog.clock.clone()
    }

    /// The reading of the node's clock.
    pub(crate) fn now(&self) -> u32 {
        self.inner.watchdog.clock.now()
    }

    pub(crate) fn watchdog(&self) -> &Arc<Watchdog> {
        &self.inner.watchdog
    }

    /// How long a handler may hold its worker before it is reported, and before its process is
    /// replaced; `None` never replaces. See
    /// [`HANDLER_REPORT_AFTER`](crate::HANDLER_REPORT_AFTER) and
    /// [`HANDLER_REPLACE_AFTER`](crate::HANDLER_REPLACE_AFTER).
    pub fn set_handler_limits(&self, report_after: Duration, replace_after: Option<Duration>) {
        self.inner.watchdog.set_limits(report_after, replace_after);
    }

    /// How often processes that were replaced have still tried to do something
    /// (`otp_fenced_total`).
    pub fn fenced_total(&self) -> u64 {
        self.inner.counters.fenced_total()
    }

    /// Whether a send has to look at who sends.
    pub(crate) fn sends_are_watched(&self) -> bool {
        self.inner.watched_senders.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn watch_sends(&self, on: bool) {
        let count = &self.inner.watched_senders;
        if on {
            count.fetch_add(1, Ordering::SeqCst);
        } else {
            count.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// A handler does not come back.
    fn deal_with(&self, stuck: &Stuck) {
        let pid = Pid::from_parts(self.inner.hash, self.inner.incarnation, stuck.serial);
        let Some(process) = self.process(pid) else {
            return;
        };
        let current = process.mailbox().load().current;
        let report = StuckReport {
            pid,
            label: process.label(),
            server: process.mailbox().server(),
            message: current.map(str::to_owned),
            held: stuck.held,
            replaced: stuck.replace,
        };
        self.counters().stuck(stuck.replace);
        // Before anybody learns of the end, so that who looks for its cause finds it.
        self.report(&Report::Stuck(Box::new(report)));
        if stuck.replace {
            // For good: as long as the code runs, its sends must be looked at.
            self.watch_sends(true);
            process.replace();
        }
    }

    pub(crate) fn process(&self, pid: Pid) -> Option<Arc<Process>> {
        if !self.is_local(pid) {
            return None;
        }
        self.inner
            .processes
            .get(&pid.serial())
            .map(|process| process.clone())
    }

    pub(crate) fn insert(&self, process: Arc<Process>) {
        self.inner.counters.started();
        self.inner.processes.insert(process.pid.serial(), process);
    }

    pub(crate) fn forget(&self, pid: Pid) {
        if self.inner.processes.remove(&pid.serial()).is_some() {
            self.inner.counters.ended();
        }
    }

    pub(crate) fn release_name(&self, name: &str, pid: Pid) {
        self.inner.names.remove_if(name, |_, holder| *holder == pid);
    }

    /// A snapshot of the process table, so that no shard is locked while we work on it.
    fn all(&self) -> Vec<Arc<Process>> {
        self.inner
            .processes
            .iter()
            .map(|process| process.clone())
            .collect()
    }

    fn any(&self) -> Option<Arc<Process>> {
        self.inner
            .processes
            .iter()
            .next()
            .map(|process| process.clone())
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Node")
            .field("name", &self.inner.name)
            .field("incarnation", &self.inner.incarnation)
            .field("processes", &self.inner.processes.len())
            .finish()
    }
}
