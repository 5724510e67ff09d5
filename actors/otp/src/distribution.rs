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
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, watch};

use crate::exit_reason::ExitReason;
use crate::node::Node;
use crate::pid::{Alias, MonitorRef, Pid, node_hash};
use crate::signal::Signal;

mod connection;
mod pump;

pub(crate) use connection::Connection;
use connection::{Crossings, Line};
use pump::{lose, pump};

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

    /// How many parcels wait to be carried to each of the nodes this one is connected with.
    pub(crate) fn backlogs(&self) -> Vec<(Arc<str>, usize)> {
        let connections = self.connections();
        let backlogs = connections.iter().map(|connection| {
            let waiting = connection.waiting.load(Ordering::Relaxed);
            (connection.peer.name().into(), waiting)
        });
        backlogs.collect()
    }

    /// How many links and monitors cross the connection with another node, as this node sees it;
    /// among them links taken back of which the other node has not said that it knows.
    pub fn crossing(&self, other: &Node) -> usize {
        self.connection_of(other.outside())
            .map_or(0, |connection| connection.crossing())
    }
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
        // Before anybody can see it lost.
        self.tell_node_monitors(other.name(), true);
        other.tell_node_monitors(self.name(), true);
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
