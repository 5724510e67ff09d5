//! Several nodes: connections, and what crosses them (Erlang Reference Manual, "Distributed
//! Erlang").
//!
//! ```text
//!   node a ── parcels, in order ──▶ pump ──▶ node b       one connection, two directions
//!   node a ◀──────────────────────── pump ── node b
//!   lost: each side's links and monitors that crossed fire `noconnection`, once, after all that
//!         had arrived; then whoever monitors nodes is told
//! ```
//!
//! This connects nodes of one program, for tests and simulations: nothing is encoded, but nothing
//! is shared either, everything takes the way of the parcels. Nodes of different programs are
//! connected by the `cluster` crate.
//!
//! * Between two processes order is kept; when a connection is lost, what is missing is the end.
//! * A connection that cannot keep up holds at most [`CONNECTION_PARCELS_MAX`] parcels; further
//!   *messages* are refused, which their senders are told, and counted
//!   (`otp_messages_refused_total`); signals never are.

use std::any::Any;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, watch};

use crate::exit_reason::ExitReason;
use crate::node::Node;
use crate::pid::{Alias, MonitorRef, Pid, RequestRef, node_hash};
use crate::signal::Signal;

/// Parcels a connection holds on their way in one direction. Further messages are refused.
pub const CONNECTION_PARCELS_MAX: usize = 65_536;

/// Something to be done on another node.
pub(crate) type Task = Box<dyn FnOnce(&Node) + Send>;

/// What crosses a connection.
pub(crate) enum Parcel {
    Link {
        from: Pid,
        to: Pid,
    },
    Unlink {
        from: Pid,
        to: Pid,
    },
    /// The answer to an `Unlink`.
    Unlinked {
        from: Pid,
        to: Pid,
    },
    Exit {
        from: Pid,
        to: Pid,
        reason: ExitReason,
        linked: bool,
    },
    Monitor {
        monitor: MonitorRef,
        watcher: Pid,
        target: Pid,
    },
    MonitorName {
        monitor: MonitorRef,
        watcher: Pid,
        name: Arc<str>,
    },
    Demonitor {
        monitor: MonitorRef,
        watcher: Pid,
        target: Pid,
    },
    Down {
        monitor: MonitorRef,
        watcher: Pid,
        pid: Pid,
        reason: ExitReason,
    },
    Raw {
        to: Address,
        message: Box<dyn Any + Send>,
    },
    Task(Task),
}

/// Whom an untyped message is for.
pub(crate) enum Address {
    Pid(Pid),
    Name(Arc<str>),
    Alias(Alias),
}

/// One node's end of a connection.
pub(crate) struct Connection {
    peer: Node,
    parcels: mpsc::UnboundedSender<Parcel>,
    waiting: AtomicUsize,
    /// What of this node's processes crosses it; `None` once it is lost.
    crossings: Mutex<Option<Crossings>>,
    /// Shared by both ends.
    line: Arc<Line>,
    /// Held while a parcel of the peer is handed over, so that the loss comes after it.
    arriving: Mutex<()>,
}

/// What both ends share.
struct Line {
    lost: watch::Sender<bool>,
    /// Nothing is carried while this is set.
    held: AtomicBool,
    released: Notify,
}

/// Links and monitors of local processes with those of the peer.
#[derive(Default)]
struct Crossings {
    /// The local process, and the other.
    links: HashSet<(Pid, Pid)>,
    /// Links taken back by the local process, and how many of these the peer has not answered:
    /// until then, what it says about the link is older than that.
    unlinking: HashMap<(Pid, Pid), u32>,
    /// Spawn requests that were not answered, and what answers them if the connection is lost.
    requests: HashMap<RequestRef, Box<dyn FnOnce() + Send>>,
    /// Monitors of local processes.
    watching: HashMap<MonitorRef, (Pid, Pid)>,
    /// Monitors of the peer's processes on local ones.
    watched: HashMap<(MonitorRef, Pid), Pid>,
}

impl Connection {
    /// Sends a parcel, in order. `false` if the connection is lost, or cannot take a message.
    pub(crate) fn send(&self, parcel: Parcel) -> bool {
        if *self.line.lost.borrow() {
            return false;
        }
        let waiting = self.waiting.fetch_add(1, Ordering::Relaxed);
        let is_message = matches!(parcel, Parcel::Raw { .. });
        if (is_message && waiting >= CONNECTION_PARCELS_MAX) || self.parcels.send(parcel).is_err() {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        true
    }

    /// Resolves when the connection is lost.
    pub(crate) async fn lost(&self) {
        let mut lost = self.line.lost.subscribe();
        // The sender lives as long as this end does.
        let _ = lost.wait_for(|lost| *lost).await;
    }

    /// `None` if the connection is lost.
    fn with_crossings<T>(&self, change: impl FnOnce(&mut Crossings) -> T) -> Option<T> {
        self.crossings.lock().as_mut().map(change)
    }

    pub(crate) fn note_link(&self, local: Pid, far: Pid) -> bool {
        let noted = self.with_crossings(|crossings| crossings.links.insert((local, far)));
        noted.is_some()
    }

    /// The local process has unlinked.
    pub(crate) fn begin_unlink(&self, local: Pid, far: Pid) {
        self.with_crossings(|crossings| {
            crossings.links.remove(&(local, far));
            *crossings.unlinking.entry((local, far)).or_default() += 1;
        });
    }

    /// The peer knows of it.
    fn end_unlink(&self, local: Pid, far: Pid) {
        self.with_crossings(|crossings| {
            if let Entry::Occupied(mut open) = crossings.unlinking.entry((local, far)) {
                *open.get_mut() -= 1;
                if *open.get() == 0 {
                    open.remove();
                }
            }
        });
    }

    fn is_unlinking(&self, local: Pid, far: Pid) -> bool {
        let open = self.with_crossings(|one| one.unlinking.contains_key(&(local, far)));
        open.unwrap_or(false)
    }

    pub(crate) fn forget_link(&self, local: Pid, far: Pid) {
        self.with_crossings(|crossings| {
            crossings.links.remove(&(local, far));
        });
    }

    pub(crate) fn note_watching(&self, monitor: MonitorRef, local: Pid, far: Pid) -> bool {
        let noted = self.with_crossings(|crossings| {
            crossings.watching.insert(monitor, (local, far));
        });
        noted.is_some()
    }

    pub(crate) fn forget_watching(&self, monitor: MonitorRef) {
        self.with_crossings(|crossings| {
            crossings.watching.remove(&monitor);
        });
    }

    pub(crate) fn note_watched(&self, monitor: MonitorRef, far: Pid, local: Pid) -> bool {
        let noted = self.with_crossings(|crossings| {
            crossings.watched.insert((monitor, far), local);
        });
        noted.is_some()
    }

    pub(crate) fn forget_watched(&self, monitor: MonitorRef, far: Pid) -> Option<Pid> {
        self.with_crossings(|crossings| crossings.watched.remove(&(monitor, far)))
            .flatten()
    }

    /// Notes a spawn request, and what to do if its answer is lost.
    pub(crate) fn note_request(
        &self,
        request: RequestRef,
        lost: impl FnOnce() + Send + 'static,
    ) -> bool {
        let noted = self.with_crossings(|crossings| {
            crossings.requests.insert(request, Box::new(lost));
        });
        noted.is_some()
    }

    pub(crate) fn forget_request(&self, request: RequestRef) {
        self.with_crossings(|crossings| crossings.requests.remove(&request));
    }

    /// How many links and monitors of this node's processes cross it.
    fn crossing(&self) -> usize {
        let crossings = self.crossings.lock();
        crossings.as_ref().map_or(0, |crossings| {
            let links = crossings.links.len() + crossings.unlinking.len();
            links + crossings.watching.len() + crossings.watched.len()
        })
    }
}

impl Node {
    /// Connects two nodes of one program (`net_kernel:connect_node/1`). Connected already, or
    /// with itself: nothing happens. Must be called within a tokio runtime, which carries what
    /// crosses.
    pub fn connect(&self, other: &Node) {
        if self.outside() == other.outside() {
            return;
        }
        let line = Arc::new(Line {
            lost: watch::Sender::new(false),
            held: AtomicBool::new(false),
            released: Notify::new(),
        });
        let (to_other, of_self) = mpsc::unbounded_channel();
        let (to_self, of_other) = mpsc::unbounded_channel();
        let end = |peer: &Node, parcels| {
            Arc::new(Connection {
                peer: peer.clone(),
                parcels,
                waiting: AtomicUsize::new(0),
                crossings: Mutex::new(Some(Crossings::default())),
                line: line.clone(),
                arriving: Mutex::default(),
            })
        };
        let (here, there) = (end(other, to_other), end(self, to_self));
        loop {
            for (node, peer) in [(self, other), (other, self)] {
                // What was lost must be over on both sides before there is something new.
                if let Some(old) = node.connection_of(peer.outside())
                    && *old.line.lost.borrow()
                {
                    lose(node, &old);
                }
            }
            match self.add_connections(other, &here, &there) {
                Added::Yes => break,
                Added::Connected => return,
                Added::LostMeanwhile => {}
            }
        }
        self.tell_node_monitors(other.name(), true);
        other.tell_node_monitors(self.name(), true);
        tokio::spawn(pump(of_self, here.clone(), other.clone(), there.clone()));
        tokio::spawn(pump(of_other, there, self.clone(), here));
    }

    /// Cuts the connection with another node, as a broken network does (`disconnect_node/1`):
    /// what is on its way is lost, and each side learns it on its own.
    pub fn disconnect(&self, other: &Node) {
        if let Some(connection) = self.connection_of(other.outside()) {
            connection.line.lost.send_replace(true);
            connection.line.released.notify_waiters();
        }
    }

    /// Holds what is on its way to and from another node, as a connection that cannot keep up
    /// does, or lets it go. Nothing is lost.
    pub fn hold_connection(&self, other: &Node, hold: bool) {
        if let Some(connection) = self.connection_of(other.outside()) {
            connection.line.held.store(hold, Ordering::SeqCst);
            connection.line.released.notify_waiters();
        }
    }

    /// The names of the nodes this one is connected with, in no order (`nodes/0`).
    pub fn nodes(&self) -> Vec<Arc<str>> {
        let connections = self.connections();
        let names = connections.iter();
        names
            .map(|connection| connection.peer.name().into())
            .collect()
    }

    /// How many links and monitors cross the connection with another node, as this node sees it;
    /// among them links taken back of which the other node has not said that it knows.
    pub fn crossing(&self, other: &Node) -> usize {
        self.connection_of(other.outside())
            .map_or(0, |connection| connection.crossing())
    }
}

/// Carries one direction: from the node whose end is `origin` to `target`, whose end is `end`.
async fn pump(
    mut parcels: mpsc::UnboundedReceiver<Parcel>,
    origin: Arc<Connection>,
    target: Node,
    end: Arc<Connection>,
) {
    let mut lost = origin.line.lost.subscribe();
    loop {
        let parcel = tokio::select! {
            biased;
            _ = lost.wait_for(|lost| *lost) => break,
            parcel = parcels.recv() => parcel,
        };
        let Some(parcel) = parcel else {
            break;
        };
        loop {
            let released = origin.line.released.notified();
            if *origin.line.lost.borrow() || !origin.line.held.load(Ordering::SeqCst) {
                break;
            }
            released.await;
        }
        let _arriving = end.arriving.lock();
        if *origin.line.lost.borrow() {
            break;
        }
        origin.waiting.fetch_sub(1, Ordering::Relaxed);
        arrive(parcel, &target, &end);
    }
    // Everything that arrived has been handed over; now the end of it is news.
    end.line.lost.send_replace(true);
    lose(&target, &end);
}

/// A parcel reaches its node.
fn arrive(parcel: Parcel, node: &Node, end: &Arc<Connection>) {
    match parcel {
        Parcel::Link { from, to } => {
            if end.is_unlinking(to, from) {
                // Sent before the peer knew that `to` has unlinked, so that undoes it.
                return;
            }
            // Noted first: if the process ends in between, its end takes the note back.
            end.note_link(to, from);
            let process = node.process(to);
            if !process.is_some_and(|process| process.add_link(from)) {
                end.forget_link(to, from);
                end.send(Parcel::Exit {
                    from: to,
                    to: from,
                    reason: ExitReason::NoProc,
                    linked: true,
                });
            }
        }
        Parcel::Unlink { from, to } => {
            end.forget_link(to, from);
            if let Some(process) = node.process(to) {
                process.remove_link(from);
            }
            end.send(Parcel::Unlinked { from: to, to: from });
        }
        Parcel::Unlinked { from, to } => end.end_unlink(to, from),
        Parcel::Exit {
            from,
            to,
            reason,
            linked,
        } => {
            if linked {
                end.forget_link(to, from);
            }
            if let Some(process) = node.process(to) {
                process.exit_signal(from, reason, linked);
            }
        }
        Parcel::Monitor {
            monitor,
            watcher,
            target,
        } => begin_watch(node, end, monitor, watcher, target),
        Parcel::MonitorName {
            monitor,
            watcher,
            name,
        } => {
            let target = node.whereis(&name).unwrap_or(node.outside());
            begin_watch(node, end, monitor, watcher, target);
        }
        Parcel::Demonitor {
            monitor,
            watcher,
            target,
        } => {
            // One that was set by name, or by request, does not know its target.
            let target = end.forget_watched(monitor, watcher).unwrap_or(target);
            if let Some(process) = node.process(target) {
                process.drop_watcher(monitor, watcher);
            }
        }
        Parcel::Down {
            monitor,
            watcher,
            pid,
            reason,
        } => {
            end.forget_watching(monitor);
            if let Some(process) = node.process(watcher) {
                process.down_signal(monitor, pid, reason);
            }
        }
        Parcel::Raw { to, message } => node.deliver_message(to, message),
        Parcel::Task(task) => task(node),
    }
}

/// A process of the peer watches a local one.
fn begin_watch(node: &Node, end: &Arc<Connection>, monitor: MonitorRef, watcher: Pid, target: Pid) {
    // Noted first: if the process ends in between, its end takes the note back.
    end.note_watched(monitor, watcher, target);
    let process = node.process(target);
    if !process.is_some_and(|process| process.add_watcher(monitor, watcher)) {
        end.forget_watched(monitor, watcher);
        end.send(Parcel::Down {
            monitor,
            watcher,
            pid: target,
            reason: ExitReason::NoProc,
        });
    }
}

/// The connection is gone, as one of its nodes sees it.
fn lose(node: &Node, end: &Arc<Connection>) {
    let _arriving = end.arriving.lock();
    let Some(crossings) = end.crossings.lock().take() else {
        return;
    };
    node.remove_connection(&end.peer, end);
    for (_, lost) in crossings.requests {
        lost();
    }
    for (local, far) in crossings.links {
        if let Some(process) = node.process(local) {
            process.exit_signal(far, ExitReason::NoConnection, true);
        }
    }
    for (monitor, (local, far)) in crossings.watching {
        if let Some(process) = node.process(local) {
            process.down_signal(monitor, far, ExitReason::NoConnection);
        }
    }
    for ((monitor, far), local) in crossings.watched {
        if let Some(process) = node.process(local) {
            process.drop_watcher(monitor, far);
        }
    }
    node.tell_node_monitors(end.peer.name(), false);
}

/// Whether a connection was added.
enum Added {
    Yes,
    /// There is one.
    Connected,
    /// There is one which was lost just now.
    LostMeanwhile,
}

/// The connections of a node, and who wants to know of them.
#[derive(Default)]
pub(crate) struct Connections {
    by_node: Mutex<HashMap<Pid, Arc<Connection>>>,
    /// Who asked to be told, once for each time it asked.
    monitors: Mutex<Vec<Pid>>,
}

impl Node {
    /// The connection to the node of a pid.
    pub(crate) fn connection_of(&self, pid: Pid) -> Option<Arc<Connection>> {
        let node = Pid::from_parts(pid.node(), pid.incarnation(), 0);
        self.all_connections().by_node.lock().get(&node).cloned()
    }

    fn connections(&self) -> Vec<Arc<Connection>> {
        let connections = self.all_connections().by_node.lock();
        connections.values().cloned().collect()
    }

    /// Adds both ends of a connection at once.
    fn add_connections(
        &self,
        other: &Node,
        here: &Arc<Connection>,
        there: &Arc<Connection>,
    ) -> Added {
        // In the same order whoever connects.
        let (mut own, mut others);
        if self.outside() < other.outside() {
            own = self.all_connections().by_node.lock();
            others = other.all_connections().by_node.lock();
        } else {
            others = other.all_connections().by_node.lock();
            own = self.all_connections().by_node.lock();
        }
        let there_is = own.get(&other.outside()).or(others.get(&self.outside()));
        if let Some(connection) = there_is {
            return match *connection.line.lost.borrow() {
                true => Added::LostMeanwhile,
                false => Added::Connected,
            };
        }
        own.insert(other.outside(), here.clone());
        others.insert(self.outside(), there.clone());
        Added::Yes
    }

    fn remove_connection(&self, peer: &Node, connection: &Arc<Connection>) {
        let mut connections = self.all_connections().by_node.lock();
        // By then there may be a new one.
        if connections
            .get(&peer.outside())
            .is_some_and(|current| Arc::ptr_eq(current, connection))
        {
            connections.remove(&peer.outside());
        }
    }

    pub(crate) fn monitor_nodes(&self, pid: Pid, on: bool) {
        let mut monitors = self.all_connections().monitors.lock();
        // Those of processes that have ended.
        monitors.retain(|pid| self.process(*pid).is_some());
        if on {
            monitors.push(pid);
        } else if let Some(position) = monitors.iter().position(|one| *one == pid) {
            monitors.remove(position);
        }
    }

    /// How many requests to be told of nodes there are.
    pub fn node_monitors(&self) -> usize {
        let mut monitors = self.all_connections().monitors.lock();
        monitors.retain(|pid| self.process(*pid).is_some());
        monitors.len()
    }

    fn tell_node_monitors(&self, name: &str, up: bool) {
        let monitors = self.all_connections().monitors.lock().clone();
        for pid in monitors {
            if let Some(process) = self.process(pid) {
                process.signal(Signal::Node {
                    name: name.into(),
                    up,
                });
            }
        }
    }

    /// Loses every connection: the node stops.
    pub(crate) fn disconnect_all(&self) {
        for connection in self.connections() {
            connection.line.lost.send_replace(true);
            connection.line.released.notify_waiters();
        }
    }

    /// The node of a pid: this one, or one that is connected.
    pub(crate) fn node_of(&self, pid: Pid) -> Option<Node> {
        if self.is_local(pid) {
            return Some(self.clone());
        }
        self.connection_of(pid).map(|one| one.peer.clone())
    }

    /// Stands for the node of a name, in pids: connected, this one, or neither.
    pub(crate) fn outside_of(&self, name: &str) -> Pid {
        self.node_named(name)
            .map_or(Pid::from_parts(node_hash(name), 0, 0), |node| {
                node.outside()
            })
    }

    /// The node of a name: this one, or one that is connected.
    pub fn node_named(&self, name: &str) -> Option<Node> {
        if self.name() == name {
            return Some(self.clone());
        }
        let connections = self.connections();
        let found = connections.iter().find(|one| one.peer.name() == name);
        found.map(|connection| connection.peer.clone())
    }
}
