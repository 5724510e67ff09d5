//! What a system monitor tells of besides handlers that do not come back, of which the watchdog
//! reports (`erlang:system_monitor/2`: `long_message_queue`, `large_heap`, `busy_dist_port`).
//!
//! Sampled, so that sending costs nothing for it: what comes and goes between two looks is not
//! seen.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use crate::node::Node;
use crate::pid::Pid;

/// From where on [`Alarms`] tell of something, and until where it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Levels {
    /// A mailbox with more messages and signals than this is long,
    pub mailbox_above: usize,
    /// until it has so many, or fewer.
    pub mailbox_below: usize,
    /// A mailbox whose messages count more bytes than this is large; see
    /// [`crate::Options::mailbox_bytes_max`].
    pub bytes_above: usize,
    /// A connection on which more parcels wait than this is busy.
    pub parcels_above: usize,
}

/// Something has changed since the last look.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Alarm {
    /// A mailbox has become long.
    LongMailbox {
        /// Whose.
        pid: Pid,
        /// How long.
        len: usize,
    },
    /// It is not any more.
    LongMailboxOver {
        /// Whose.
        pid: Pid,
    },
    /// The messages of a mailbox count many bytes.
    LargeMailbox {
        /// Whose.
        pid: Pid,
        /// How many.
        bytes: usize,
    },
    /// They do not any more.
    LargeMailboxOver {
        /// Whose.
        pid: Pid,
    },
    /// A connection does not keep up.
    BusyConnection {
        /// The node at its other end.
        node: Arc<str>,
        /// How many parcels wait.
        parcels: usize,
    },
    /// It does again, or is gone.
    BusyConnectionOver {
        /// The node at its other end.
        node: Arc<str>,
    },
}

/// Tells what crossed its level since the last look; each once, until it has gone back. Processes
/// that have ended are forgotten without a word. Holds an entry for each that is over its level.
#[derive(Debug)]
pub struct Alarms {
    node: Node,
    levels: Levels,
    long: HashSet<Pid>,
    large: HashSet<Pid>,
    busy: HashSet<Arc<str>>,
}

impl Alarms {
    /// Has seen nothing yet.
    pub fn new(node: &Node, levels: Levels) -> Alarms {
        Alarms {
            node: node.clone(),
            levels,
            long: HashSet::new(),
            large: HashSet::new(),
            busy: HashSet::new(),
        }
    }

    /// What has changed. Walks the process table: call it every few seconds.
    pub fn look(&mut self) -> Vec<Alarm> {
        let levels = self.levels;
        let mut alarms = Vec::new();
        let processes = self.node.processes();
        for process in &processes {
            let (pid, len, bytes) = (process.pid, process.mailbox_len, process.mailbox_bytes);
            let over = len > levels.mailbox_above;
            match crossed(&mut self.long, &pid, over, len <= levels.mailbox_below) {
                Some(true) => alarms.push(Alarm::LongMailbox { pid, len }),
                Some(false) => alarms.push(Alarm::LongMailboxOver { pid }),
                None => {}
            }
            let over = bytes > levels.bytes_above;
            match crossed(&mut self.large, &pid, over, !over) {
                Some(true) => alarms.push(Alarm::LargeMailbox { pid, bytes }),
                Some(false) => alarms.push(Alarm::LargeMailboxOver { pid }),
                None => {}
            }
        }
        let living: HashSet<Pid> = processes.iter().map(|process| process.pid).collect();
        self.long.retain(|pid| living.contains(pid));
        self.large.retain(|pid| living.contains(pid));
        let backlogs = self.node.backlogs();
        for (node, parcels) in &backlogs {
            let (node, parcels) = (node.clone(), *parcels);
            let over = parcels > levels.parcels_above;
            match crossed(&mut self.busy, &node, over, !over) {
                Some(true) => alarms.push(Alarm::BusyConnection { node, parcels }),
                Some(false) => alarms.push(Alarm::BusyConnectionOver { node }),
                None => {}
            }
        }
        let connected = |node: &Arc<str>| backlogs.iter().any(|(one, _)| one == node);
        let gone: Vec<Arc<str>> = self.busy.extract_if(|node| !connected(node)).collect();
        alarms.extend(
            gone.into_iter()
                .map(|node| Alarm::BusyConnectionOver { node }),
        );
        alarms
    }
}

/// Whether a level was crossed, upwards or back.
fn crossed<K: Hash + Eq + Clone>(
    over: &mut HashSet<K>,
    key: &K,
    above: bool,
    below: bool,
) -> Option<bool> {
    if above && over.insert(key.clone()) {
        Some(true)
    } else if below && over.remove(key) {
        Some(false)
    } else {
        None
    }
}
