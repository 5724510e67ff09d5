//! Looking at a running node: its processes, their tree, their messages (Erlang: `observer`,
//! `process_info/1`, `dbg`). Nothing in here changes anything.
//!
//! ```
//! # use otp::{Node, observer};
//! # let node = Node::new("example");
//! for process in observer::processes(&node, observer::SortBy::MailboxLength) {
//!     println!("{} {:?} {}", process.pid, process.label, process.mailbox_len);
//! }
//! ```

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::ets::TableInfo;
use crate::node::Node;
use crate::pid::Pid;
use crate::process::ProcessInfo;

mod alarms;
pub use alarms::{Alarm, Alarms, Levels};

/// Events a trace holds at most, whatever was asked for.
pub const TRACE_EVENTS_MAX: usize = 100_000;

/// What a process list is sorted by, largest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortBy {
    /// Messages that wait.
    MailboxLength,
    /// How long the oldest message has waited.
    MailboxAge,
    /// Items handled so far: who is busy.
    Handled,
    /// Links and monitors: who is entangled.
    Links,
    /// The bytes of the messages that wait, a stand-in for memory; see
    /// [`crate::Options::mailbox_bytes_max`].
    MailboxBytes,
    /// How long it has been at the item it handles: who does not get on.
    BusyTime,
}

/// All processes of a node. Costs one walk over the process table.
pub fn processes(node: &Node, by: SortBy) -> Vec<ProcessInfo> {
    let mut list = node.processes();
    list.sort_by_key(|process| {
        std::cmp::Reverse(match by {
            SortBy::MailboxLength => process.mailbox_len as u64,
            SortBy::MailboxAge => process.mailbox_age_ms,
            SortBy::Handled => process.handled,
            SortBy::MailboxBytes => process.mailbox_bytes as u64,
            SortBy::BusyTime => process.busy_ms,
            SortBy::Links => {
                (process.links.len() + process.monitors.len() + process.monitored_by.len()) as u64
            }
        })
    });
    list
}

/// All tables of a node, those with most objects first (`observer`, table viewer).
pub fn tables(node: &Node) -> Vec<TableInfo> {
    let ids = node.tables().all().into_iter();
    let mut list: Vec<TableInfo> = ids.filter_map(|id| node.tables().info(id)).collect();
    list.sort_by_key(|table| std::cmp::Reverse(table.size));
    list
}

/// A process and those it started.
#[derive(Clone, Debug)]
pub struct Tree {
    /// The process.
    pub process: ProcessInfo,
    /// Those it started, oldest first.
    pub children: Vec<Tree>,
}

/// The processes of a node as a forest: those without a living parent are its roots.
pub fn tree(node: &Node) -> Vec<Tree> {
    let list = node.processes();
    let mut children: HashMap<Option<Pid>, Vec<ProcessInfo>> = HashMap::new();
    let living: std::collections::HashSet<Pid> = list.iter().map(|process| process.pid).collect();
    for process in list {
        let parent = process.parent.filter(|parent| living.contains(parent));
        children.entry(parent).or_default().push(process);
    }
    branches(None, &mut children)
}

/// A parent is always older than its child, so the recursion ends.
fn branches(
    parent: Option<Pid>,
    children: &mut HashMap<Option<Pid>, Vec<ProcessInfo>>,
) -> Vec<Tree> {
    let list = children.remove(&parent).unwrap_or_default();
    let mut trees = Vec::with_capacity(list.len());
    for process in list {
        let children = branches(Some(process.pid), children);
        trees.push(Tree { process, children });
    }
    trees
}

impl fmt::Display for Tree {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn line(tree: &Tree, depth: usize, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            let process = &tree.process;
            let label = process.label.as_deref().unwrap_or(process.server);
            writeln!(
                out,
                "{:indent$}{} {label} ({} waiting)",
                "",
                process.pid,
                process.mailbox_len,
                indent = depth * 2
            )?;
            for child in &tree.children {
                line(child, depth + 1, out)?;
            }
            Ok(())
        }
        line(self, 0, formatter)
    }
}

/// Whether a message came or went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The process took it from its mailbox.
    Received,
    /// The process sent it.
    Sent,
}

/// One event of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceEvent {
    /// Whether it came or went.
    pub direction: Direction,
    /// For what was sent: to whom. For what was received: the process itself, as messages do not
    /// say who sent them.
    pub peer: Pid,
    /// The message, by name.
    pub message: &'static str,
}

/// Follows the messages of one process. Stops by itself when it is full, and when it is dropped.
#[derive(Debug)]
pub struct Trace {
    node: Node,
    pid: Pid,
    recorder: Arc<Recorder>,
}

/// Follows the messages of a process until `events_max` (at most [`TRACE_EVENTS_MAX`]) have been
/// seen or the [`Trace`] is dropped. `None` if there is no such process.
pub fn trace(node: &Node, pid: Pid, events_max: usize) -> Option<Trace> {
    let process = node.process(pid)?;
    let recorder = Arc::new(Recorder::new(events_max.min(TRACE_EVENTS_MAX)));
    process.add_observer(recorder.clone());
    Some(Trace {
        node: node.clone(),
        pid,
        recorder,
    })
}

impl Trace {
    /// What was seen so far, oldest first.
    pub fn events(&self) -> Vec<TraceEvent> {
        self.recorder.events.lock().clone()
    }

    /// Whether it still follows.
    pub fn is_running(&self) -> bool {
        let process = self.node.process(self.pid);
        process.is_some_and(|process| process.has_observer(&self.recorder))
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        if let Some(process) = self.node.process(self.pid) {
            process.remove_observer(&self.recorder);
        }
    }
}

/// What is kept of a process' messages.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    events_max: usize,
    events: Mutex<Vec<TraceEvent>>,
    pub(crate) received: AtomicU64,
    pub(crate) sent: AtomicU64,
}

impl Recorder {
    pub(crate) fn new(events_max: usize) -> Recorder {
        Recorder {
            events_max,
            ..Recorder::default()
        }
    }

    /// One that counts only.
    pub(crate) fn counting() -> Recorder {
        Recorder::new(0)
    }

    /// Notes a message; `false` when it wants no more.
    pub(crate) fn record(&self, direction: Direction, peer: Pid, message: &'static str) -> bool {
        match direction {
            Direction::Received => self.received.fetch_add(1, Ordering::Relaxed),
            Direction::Sent => self.sent.fetch_add(1, Ordering::Relaxed),
        };
        if self.events_max == 0 {
            return true;
        }
        let mut events = self.events.lock();
        if events.len() < self.events_max {
            events.push(TraceEvent {
                direction,
                peer,
                message,
            });
        }
        events.len() < self.events_max
    }
}
