//! A registry: processes under typed keys, one process per key (Elixir: `Registry`, unique).
//!
//! Reads and writes go straight to a shared table, no process is asked. A key is freed when its
//! process ends, *before* any link or monitor of that process fires.

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use thiserror::Error;

use crate::gen_server::GenServer;
use crate::node::Node;
use crate::pid::Pid;
use crate::process::Process;
use crate::server_ref::ServerRef;

/// Why a process was not registered. The registry is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RegisterError {
    /// The key belongs to another process, or to this one already.
    #[error("the key belongs to {0}")]
    AlreadyRegistered(Pid),
    /// The process has ended, or is of another node.
    #[error("no such process")]
    NoProc,
}

/// Keys and their processes. Cloning is cheap and names the same registry. Its size is bounded by
/// the number of processes: an entry never outlives its process.
pub struct Registry<K> {
    inner: Arc<Inner<K>>,
}

struct Inner<K> {
    node: Node,
    entries: DashMap<K, Arc<Process>>,
}

impl<K: Hash + Eq + Clone + Send + Sync + 'static> Registry<K> {
    /// An empty registry of processes of `node`.
    pub fn new(node: &Node) -> Registry<K> {
        Registry {
            inner: Arc::new(Inner {
                node: node.clone(),
                entries: DashMap::new(),
            }),
        }
    }

    /// Registers a process until it ends or is unregistered.
    pub fn register(&self, key: K, pid: Pid) -> Result<(), RegisterError> {
        let process = self.inner.node.process(pid).ok_or(RegisterError::NoProc)?;
        self.register_process(key, &process)
            .map_err(RegisterError::AlreadyRegistered)?;
        if process.is_exited() {
            return Err(RegisterError::NoProc);
        }
        Ok(())
    }

    /// Registers a process; `Err` tells who has the key.
    pub(crate) fn register_process(&self, key: K, process: &Arc<Process>) -> Result<(), Pid> {
        match self.inner.entries.entry(key.clone()) {
            Entry::Occupied(taken) => return Err(taken.get().pid),
            Entry::Vacant(free) => {
                free.insert(process.clone());
            }
        }
        let registry = Arc::downgrade(&self.inner);
        let release = Box::new(move |pid: Pid| {
            if let Some(registry) = registry.upgrade() {
                registry.remove(&key, pid);
            }
        });
        // A process which is ending takes no more keys; give this one back at once.
        if let Err(release) = process.add_release(release) {
            release(process.pid);
        }
        Ok(())
    }

    /// Frees a key. Returns whose it was.
    pub fn unregister(&self, key: &K) -> Option<Pid> {
        self.inner
            .entries
            .remove(key)
            .map(|(_, process)| process.pid)
    }

    /// The process under a key.
    pub fn lookup(&self, key: &K) -> Option<Pid> {
        self.inner.entries.get(key).map(|process| process.pid)
    }

    /// A typed reference to the process under a key, if it is an `S`.
    pub fn lookup_ref<S: GenServer>(&self, key: &K) -> Option<ServerRef<S>> {
        let process = self.inner.entries.get(key)?;
        process
            .runs::<S>()
            .then(|| ServerRef::new(process.value().clone()))
    }

    /// All keys, in no order.
    pub fn keys(&self) -> Vec<K> {
        self.inner
            .entries
            .iter()
            .map(|entry| entry.key().clone())
            .collect()
    }

    /// How many keys are taken.
    pub fn len(&self) -> usize {
        self.inner.entries.len()
    }

    /// Whether no key is taken.
    pub fn is_empty(&self) -> bool {
        self.inner.entries.is_empty()
    }
}

impl<K: Hash + Eq> Inner<K> {
    fn remove(&self, key: &K, pid: Pid) {
        self.entries.remove_if(key, |_, holder| holder.pid == pid);
    }
}

impl<K> Clone for Registry<K> {
    fn clone(&self) -> Registry<K> {
        Registry {
            inner: self.inner.clone(),
        }
    }
}

impl<K> fmt::Debug for Registry<K> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Registry")
    }
}
