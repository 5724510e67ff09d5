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
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use parking_lot::Mutex;

use crate::exit_reason::ExitReason;
use crate::gen_server::GenServer;
use crate::node::counters::Counters;
use crate::pid::{MonitorRef, Pid, SerialHash, node_hash};
use crate::process::Process;
use crate::report::{Handler, Report};
use crate::server_ref::ServerRef;
use crate::signal::Signal;

pub(crate) mod counters;

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
    next_monitor: AtomicU64,
    processes: DashMap<u64, Arc<Process>, SerialHash>,
    names: DashMap<Arc<str>, Pid>,
    stopping: AtomicBool,
    counters: Counters,
    report_handlers: Mutex<Vec<Handler>>,
}

/// A line of the process list (Erlang: `process_info/1`).
#[derive(Clone, Debug)]
pub struct ProcessInfo {
    /// The process.
    pub pid: Pid,
    /// What it says it is, for example `guild 7`.
    pub label: Option<Arc<str>>,
    /// Its registered name.
    pub name: Option<Arc<str>>,
    /// How many messages wait.
    pub mailbox_len: usize,
    /// The process which started it with a link.
    pub parent: Option<Pid>,
    /// The processes it is linked to.
    pub links: Vec<Pid>,
    /// Whether exit signals reach it as messages.
    pub trap_exit: bool,
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
        Node {
            inner: Arc::new(Inner {
                hash: node_hash(&name),
                incarnation,
                name,
                next_serial: AtomicU64::new(1),
                next_monitor: AtomicU64::new(1),
                processes: DashMap::default(),
                names: DashMap::new(),
                stopping: AtomicBool::new(false),
                counters: Counters::default(),
                report_handlers: Mutex::default(),
            }),
        }
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

    /// A typed reference to a process, if it exists and is an `S`.
    pub fn server_ref<S: GenServer>(&self, pid: Pid) -> Option<ServerRef<S>> {
        self.process(pid)
            .filter(|process| process.runs::<S>())
            .map(ServerRef::new)
    }

    /// A typed reference to the process registered under a name, if it is an `S`.
    pub fn whereis_ref<S: GenServer>(&self, name: &str) -> Option<ServerRef<S>> {
        self.server_ref(self.whereis(name)?)
    }

    /// How many processes exist.
    pub fn process_count(&self) -> usize {
        self.inner.processes.len()
    }

    /// All processes, oldest first. Costs one walk over the process table.
    pub fn processes(&self) -> Vec<ProcessInfo> {
        let mut list: Vec<ProcessInfo> = self
            .all()
            .into_iter()
            .map(|process| ProcessInfo {
                pid: process.pid,
                label: process.label(),
                name: process.name(),
                mailbox_len: process.queued(),
                parent: process.parent,
                links: process.links(),
                trap_exit: process.traps_exit(),
            })
            .collect();
        list.sort_by_key(|info| info.pid);
        list
    }

    // ---- acting ---------------------------------------------------------------------------

    /// Sends an exit signal from outside (`exit/2`). [`ExitReason::Kill`] cannot be trapped, its
    /// links see [`ExitReason::Killed`]; [`ExitReason::Normal`] is ignored unless trapped. No
    /// such process: nothing happens.
    pub fn exit(&self, pid: Pid, reason: ExitReason) {
        if let Some(process) = self.process(pid) {
            process.exit_signal(self.outside(), reason, false);
        }
    }

    /// Sends an untyped message; it arrives as [`crate::Info::Message`]. Returns whether the
    /// process was there to be sent to.
    pub fn send(&self, pid: Pid, message: Box<dyn Any + Send>) -> bool {
        let sent = self
            .process(pid)
            .is_some_and(|process| process.signal(Signal::Raw(message)));
        if !sent {
            self.inner.counters.dropped();
        }
        sent
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
    /// started from the moment of the call.
    pub async fn stop(&self) {
        self.stop_within(NODE_STOP_LIMIT).await;
    }

    /// [`Node::stop`] with another limit.
    pub async fn stop_within(&self, limit: Duration) {
        self.inner.stopping.store(true, Ordering::SeqCst);
        for process in self.all() {
            // An orphan is its own root: no parent will tell it.
            if process.parent.is_none_or(|parent| !self.is_alive(parent)) {
                process.signal(Signal::Stop {
                    reason: ExitReason::Shutdown,
                });
            }
        }
        let ordered = async {
            while let Some(process) = self.any() {
                process.wait().await;
            }
        };
        if tokio::time::timeout(limit, ordered).await.is_err() {
            tracing::warn!(node = %self.name(), left = self.process_count(), "killing what is left");
            for process in self.all() {
                process.exit_signal(self.outside(), ExitReason::Kill, false);
            }
            while let Some(process) = self.any() {
                process.wait().await;
            }
        }
    }

    /// Publishes the counters and the mailbox gauges to the `metrics` recorder. Walks the process
    /// table: call it every few seconds, not per request.
    pub fn record_metrics(&self) {
        self.inner.counters.publish(self.name(), &self.all());
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

    pub(crate) fn new_monitor(&self) -> MonitorRef {
        MonitorRef(self.inner.next_monitor.fetch_add(1, Ordering::Relaxed))
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

    /// Takes a name for a process; `Err` tells who has it.
    pub(crate) fn claim_name(&self, name: &Arc<str>, pid: Pid) -> Result<(), Pid> {
        match self.inner.names.entry(name.clone()) {
            Entry::Occupied(taken) => Err(*taken.get()),
            Entry::Vacant(free) => {
                free.insert(pid);
                Ok(())
            }
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
