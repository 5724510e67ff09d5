//! The children of a supervisor: in start order, found by id and by process.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use crate::pid::{MonitorRef, Pid, SerialHash};
use crate::process::Process;
use crate::supervisor::child_spec::ChildSpec;
use crate::supervisor::handle::{ChildInfo, ChildState};

/// One child.
pub(crate) struct Child {
    pub(crate) spec: ChildSpec,
    pub(crate) life: Life,
}

/// Whether a child runs.
pub(crate) enum Life {
    Running {
        process: Arc<Process>,
        /// Tells of the end of a child that removed its link.
        monitor: MonitorRef,
    },
    /// To be started again by a message in the supervisor's mailbox.
    Restarting,
    Stopped,
}

impl Child {
    pub(crate) fn state(&self) -> ChildState {
        match &self.life {
            Life::Running { process, .. } => ChildState::Running(process.pid),
            Life::Restarting => ChildState::Restarting,
            Life::Stopped => ChildState::Stopped,
        }
    }

    pub(crate) fn info(&self) -> ChildInfo {
        ChildInfo {
            id: self.spec.id.clone(),
            state: self.state(),
            kind: self.spec.kind,
            module: self.spec.module,
        }
    }
}

/// Keys grow in start order and are never used again, so a range of keys is a range of children.
#[derive(Default)]
pub(crate) struct Children {
    by_key: BTreeMap<usize, Child>,
    by_id: HashMap<Arc<str>, usize>,
    by_pid: HashMap<Pid, usize, SerialHash>,
    next: usize,
}

impl Children {
    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// One more than the key of the last child.
    pub(crate) fn end(&self) -> usize {
        self.next
    }

    /// Adds a child after the others. Its id must be new.
    pub(crate) fn push(&mut self, spec: ChildSpec) -> usize {
        let key = self.next;
        self.next += 1;
        self.by_id.insert(spec.id.clone(), key);
        let life = Life::Stopped;
        self.by_key.insert(key, Child { spec, life });
        key
    }

    pub(crate) fn remove(&mut self, key: usize) {
        self.set_life(key, Life::Stopped);
        if let Some(child) = self.by_key.remove(&key) {
            self.by_id.remove(&child.spec.id);
        }
    }

    pub(crate) fn get(&self, key: usize) -> Option<&Child> {
        self.by_key.get(&key)
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Child> {
        self.by_key.values()
    }

    /// The keys within a range, in start order.
    pub(crate) fn keys(&self, range: Range<usize>) -> Vec<usize> {
        self.by_key.range(range).map(|(key, _)| *key).collect()
    }

    pub(crate) fn key_of(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    /// The child that runs as this process.
    pub(crate) fn key_of_pid(&self, pid: Pid) -> Option<usize> {
        self.by_pid.get(&pid).copied()
    }

    /// Changes whether a child runs; gives what was before.
    pub(crate) fn set_life(&mut self, key: usize, life: Life) -> Option<Life> {
        let child = self.by_key.get_mut(&key)?;
        if let Life::Running { process, .. } = &child.life {
            self.by_pid.remove(&process.pid);
        }
        if let Life::Running { process, .. } = &life {
            self.by_pid.insert(process.pid, key);
        }
        Some(std::mem::replace(&mut child.life, life))
    }

    /// Forgets what a temporary child was started with.
    pub(crate) fn strip(&mut self, key: usize) {
        if let Some(child) = self.by_key.get_mut(&key) {
            child.spec = child.spec.clone().kept();
        }
    }

    /// Puts another specification in place of that of a known child.
    pub(crate) fn respecify(&mut self, key: usize, spec: ChildSpec) {
        if let Some(child) = self.by_key.get_mut(&key) {
            child.spec = match child.life {
                Life::Running { .. } => spec.kept(),
                Life::Restarting | Life::Stopped => spec,
            };
        }
    }
}
