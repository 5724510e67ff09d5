//! What one process may do with its own entries.

use std::sync::Arc;

use thiserror::Error;

use crate::pid::Pid;
use crate::registry::bucket::Entry;
use crate::registry::{Key, Keys, RegisterError, Registry, UnknownRegistry, Value};

/// Why a value was not updated. The closure was not run, unless it was for a value that was gone
/// afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum UpdateError {
    /// The process has no entry under this key.
    #[error("the process is not registered under the key")]
    NotRegistered,
    /// The keys of the registry are duplicate: which value is meant is not known. Unregister and
    /// register again.
    #[error("values can be updated only where keys are unique")]
    DuplicateKeys,
    /// The registry does not run.
    #[error(transparent)]
    UnknownRegistry(#[from] UnknownRegistry),
}

/// A registry as one process sees it; see [`Registry::by`].
pub struct Registrant<'a, K, V> {
    registry: &'a Registry<K, V>,
    pid: Pid,
}

impl<K: Key, V: Value> Registrant<'_, K, V> {
    pub(super) fn new(registry: &Registry<K, V>, pid: Pid) -> Registrant<'_, K, V> {
        Registrant { registry, pid }
    }

    /// Registers the process until it ends or is unregistered. With duplicate keys it may be
    /// registered under one key many times (Elixir: `Registry.register/3`).
    ///
    /// # Errors
    /// [`RegisterError`]: nothing was registered.
    pub fn register(&self, key: K, value: V) -> Result<(), RegisterError> {
        let process = self.registry.inner.node.process(self.pid);
        let process = match process {
            Some(process) if !process.is_exited() => process,
            _ => {
                self.registry.inner.check()?;
                return Err(RegisterError::NoProc);
            }
        };
        self.registry.register_process(key, value, &process)
    }

    /// Takes back all entries of the process under a key. It is fine if there is none (Elixir:
    /// `Registry.unregister/2`).
    ///
    /// # Errors
    /// [`UnknownRegistry`]: the registry does not run, so there is no entry either.
    pub fn unregister(&self, key: &K) -> Result<(), UnknownRegistry> {
        self.registry.inner.check()?;
        self.registry.inner.remove(&self.entries(key));
        self.registry.tell_unregistered(key, self.pid);
        Ok(())
    }

    /// Takes back those entries of the process under a key whose value the closure accepts.
    /// Returns how many. Listeners are told only if none is left (Elixir:
    /// `Registry.unregister_match/4`).
    ///
    /// # Errors
    /// [`UnknownRegistry`]: the registry does not run.
    pub fn unregister_match(
        &self,
        key: &K,
        mut matches: impl FnMut(&V) -> bool,
    ) -> Result<usize, UnknownRegistry> {
        self.registry.inner.check()?;
        let mut entries = self.entries(key);
        let total = entries.len();
        entries.retain(|entry| matches(&entry.value));
        self.registry.inner.remove(&entries);
        if total > 0 && entries.len() == total {
            self.registry.tell_unregistered(key, self.pid);
        }
        Ok(entries.len())
    }

    /// Replaces the value of the process under a unique key by what the closure makes of it.
    /// Returns the new value and the old one (Elixir: `Registry.update_value/3`).
    ///
    /// If somebody else updates it in the name of the same process meanwhile, the closure runs
    /// again.
    ///
    /// # Errors
    /// [`UpdateError`]: nothing is changed.
    pub fn update_value(
        &self,
        key: &K,
        mut update: impl FnMut(&V) -> V,
    ) -> Result<(V, V), UpdateError> {
        let inner = &self.registry.inner;
        inner.check()?;
        if inner.options.keys != Keys::Unique {
            return Err(UpdateError::DuplicateKeys);
        }
        loop {
            let mut entries = self.entries(key);
            let old = entries.pop().ok_or(UpdateError::NotRegistered)?;
            let new = Arc::new(Entry {
                serial: old.serial,
                key: old.key.clone(),
                process: old.process.clone(),
                value: update(&old.value),
            });
            if inner.replace(&old, new.clone()) {
                return Ok((new.value.clone(), old.value.clone()));
            }
        }
    }

    /// The keys of the process in the order of their registration, as often as it registered them
    /// (Elixir: `Registry.keys/2`).
    ///
    /// # Errors
    /// [`UnknownRegistry`]: the registry does not run.
    pub fn keys(&self) -> Result<Vec<K>, UnknownRegistry> {
        self.registry.inner.check()?;
        let entries = self.registry.inner.entries_by(self.pid);
        Ok(entries.iter().map(|entry| entry.key.clone()).collect())
    }

    /// The values of the process under a key, in the order of their registration (Elixir:
    /// `Registry.values/3`).
    ///
    /// # Errors
    /// [`UnknownRegistry`]: the registry does not run.
    pub fn values(&self, key: &K) -> Result<Vec<V>, UnknownRegistry> {
        self.registry.inner.check()?;
        let entries = self.entries(key);
        Ok(entries.iter().map(|entry| entry.value.clone()).collect())
    }

    fn entries(&self, key: &K) -> Vec<Arc<Entry<K, V>>> {
        self.registry.inner.entries_by_of(self.pid, key)
    }
}
