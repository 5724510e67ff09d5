//! What a process shows of itself (`process_info/1,2`).

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::observer::{Direction, Recorder};
use crate::pid::{Pid, RequestRef};
use crate::process::Process;

/// Keys a process dictionary holds; a further key is refused.
pub const DICTIONARY_MAX: usize = 1_024;

/// A value of a process dictionary.
pub(crate) type Entry = Arc<dyn Any + Send + Sync>;

/// A process dictionary.
pub(crate) type Dictionary = BTreeMap<&'static str, Entry>;

/// What a process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessStatus {
    /// It handles something, or has something to handle.
    Running,
    /// It waits for messages.
    Waiting,
    /// It waits, and holds as little memory as possible.
    Hibernating,
    /// It handles system requests only (`sys:suspend/1`).
    Suspended,
    /// Its end is certain.
    Exiting,
}

/// What is known of a process (Erlang: `process_info/1`). All of it is of one moment, except for
/// the mailbox, which has a lock of its own.
#[derive(Clone, Debug)]
pub struct ProcessInfo {
    /// The process.
    pub pid: Pid,
    /// What it says it is, for example `guild 7`.
    pub label: Option<Arc<str>>,
    /// Its registered name.
    pub name: Option<Arc<str>>,
    /// The type of its server (initial call).
    pub server: &'static str,
    /// What it is doing.
    pub status: ProcessStatus,
    /// The message it handles, or handled last, by name.
    pub current: Option<&'static str>,
    /// How many messages and signals wait.
    pub mailbox_len: usize,
    /// How many bytes its messages count; 0 unless they are limited.
    pub mailbox_bytes: usize,
    /// How many milliseconds the oldest of them has waited.
    pub mailbox_age_ms: u64,
    /// How many items it has taken from its mailbox.
    pub handled: u64,
    /// How many milliseconds it has been at the item it handles; 0 if it waits.
    pub busy_ms: u64,
    /// The process which started it.
    pub parent: Option<Pid>,
    /// The processes it is linked to.
    pub links: Vec<Pid>,
    /// The processes it monitors, one entry for each monitor.
    pub monitors: Vec<Pid>,
    /// The processes that monitor it, one entry for each monitor.
    pub monitored_by: Vec<Pid>,
    /// The keys of its dictionary.
    pub dictionary: Vec<&'static str>,
    /// Whether exit signals reach it as messages.
    pub trap_exit: bool,
}

impl Process {
    /// It begins with the next item.
    pub(crate) fn begin_item(&self) {
        let now = self.node.now();
        self.flags.busy_since.store(now, Ordering::Relaxed);
    }

    /// Everything at once; `None` if it has ended, or what it owns is being freed just now.
    pub(crate) fn info(&self) -> Option<ProcessInfo> {
        let load = self.mailbox.load();
        let state = self.state.lock();
        if state.closing {
            return None;
        }
        let tables = state.tables.as_ref();
        let status = if state.condemned || state.ending.is_some() {
            ProcessStatus::Exiting
        } else if self.flags.suspended.load(Ordering::Relaxed) {
            ProcessStatus::Suspended
        } else if load.awake {
            ProcessStatus::Running
        } else if self.flags.hibernating.load(Ordering::Relaxed) {
            ProcessStatus::Hibernating
        } else {
            ProcessStatus::Waiting
        };
        Some(ProcessInfo {
            pid: self.pid,
            label: state.label.clone(),
            name: state.name.clone(),
            server: self.mailbox.server(),
            status,
            current: load.current,
            mailbox_len: load.len,
            mailbox_bytes: load.bytes,
            mailbox_age_ms: load.oldest_ms,
            handled: load.taken,
            busy_ms: if load.awake {
                let since = self.flags.busy_since.load(Ordering::Relaxed);
                self.node.clock().since_ms(since)
            } else {
                0
            },
            parent: self.parent(),
            links: state.links.keys().copied().collect(),
            monitors: tables.map_or(Vec::new(), |tables| {
                let live = tables.watching.values().filter(|one| !one.delivered);
                live.map(|watching| watching.target).collect()
            }),
            monitored_by: tables.map_or(Vec::new(), |tables| {
                tables.watched_by.keys().map(|(_, pid)| *pid).collect()
            }),
            dictionary: tables.map_or(Vec::new(), |tables| {
                tables.dictionary.keys().copied().collect()
            }),
            trap_exit: state.trap_exit,
        })
    }

    pub(crate) fn dictionary_get(&self, key: &str) -> Option<Entry> {
        let state = self.state.lock();
        state.tables.as_ref()?.dictionary.get(key).cloned()
    }

    /// Puts an entry; gives back what was there, or the new one if there is no room.
    pub(crate) fn dictionary_put(
        &self,
        key: &'static str,
        value: Entry,
    ) -> Result<Option<Entry>, Entry> {
        let mut state = self.state.lock();
        let dictionary = &mut state.tables().dictionary;
        if dictionary.len() >= DICTIONARY_MAX && !dictionary.contains_key(key) {
            return Err(value);
        }
        Ok(dictionary.insert(key, value))
    }

    pub(crate) fn dictionary_erase(&self, key: &str) -> Option<Entry> {
        let mut state = self.state.lock();
        state.tables.as_mut()?.dictionary.remove(key)
    }

    // ---- aliases --------------------------------------------------------------------------

    /// Notes an alias, to be taken back at the end; `false` if the end has begun.
    pub(crate) fn add_alias(&self, alias: u64) -> bool {
        let mut state = self.state.lock();
        if state.closing {
            return false;
        }
        state.tables().aliases.push(alias);
        true
    }

    pub(crate) fn forget_alias(&self, alias: u64) {
        if let Some(tables) = &mut self.state.lock().tables {
            tables.aliases.retain(|id| *id != alias);
        }
    }

    /// The active aliases.
    pub(crate) fn aliases(&self) -> Vec<u64> {
        let state = self.state.lock();
        let tables = state.tables.as_ref();
        tables.map_or(Vec::new(), |tables| tables.aliases.clone())
    }

    // ---- spawn requests -------------------------------------------------------------------

    pub(crate) fn add_request(&self, request: RequestRef) {
        self.state.lock().tables().requests.push(request);
    }

    /// Whether the request was still open.
    pub(crate) fn remove_request(&self, request: RequestRef) -> bool {
        let mut state = self.state.lock();
        let Some(tables) = &mut state.tables else {
            return false;
        };
        let before = tables.requests.len();
        tables.requests.retain(|open| *open != request);
        tables.requests.len() < before
    }

    // ---- observers ------------------------------------------------------------------------

    /// Has a recorder follow its messages, until it is full or removed.
    pub(crate) fn add_observer(&self, recorder: Arc<Recorder>) {
        let mut state = self.state.lock();
        if state.exited {
            return;
        }
        let observers = &mut state.tables().observers;
        if observers.is_empty() {
            self.node.watch_sends(true);
        }
        observers.push(recorder);
        self.flags.observed.store(true, Ordering::Release);
    }

    pub(crate) fn remove_observer(&self, recorder: &Arc<Recorder>) {
        let mut state = self.state.lock();
        let Some(tables) = &mut state.tables else {
            return;
        };
        let before = tables.observers.len();
        tables.observers.retain(|one| !Arc::ptr_eq(one, recorder));
        if before > 0 && tables.observers.is_empty() {
            self.node.watch_sends(false);
            self.flags.observed.store(false, Ordering::Release);
        }
    }

    pub(crate) fn has_observer(&self, recorder: &Arc<Recorder>) -> bool {
        let state = self.state.lock();
        let tables = state.tables.as_ref();
        tables.is_some_and(|tables| {
            tables
                .observers
                .iter()
                .any(|one| Arc::ptr_eq(one, recorder))
        })
    }

    pub(crate) fn is_observed(&self) -> bool {
        self.flags.observed.load(Ordering::Relaxed)
    }

    /// Tells the recorders; one that is full is dismissed.
    pub(crate) fn observe(&self, direction: Direction, peer: Pid, name: &'static str) {
        let observers = {
            let state = self.state.lock();
            let tables = state.tables.as_ref();
            tables.map_or(Vec::new(), |tables| tables.observers.clone())
        };
        for recorder in observers {
            if !recorder.record(direction, peer, name) {
                self.remove_observer(&recorder);
            }
        }
    }
}
