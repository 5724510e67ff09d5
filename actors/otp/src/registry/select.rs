//! Looking for entries by closures, and running a closure over those of a key.
//!
//! Where Elixir takes match specifications these take closures. One with several arms stands for
//! several specifications: the first arm that matches gives the result, so each entry is in it
//! once. What is not a function of key, pid and value does not compile:
//!
//! ```compile_fail
//! # let node = otp::Node::new("example");
//! let registry = otp::Registry::<u32, u32>::new(&node);
//! registry.select(|anything| Some(anything));
//! ```
//!
//! ```compile_fail
//! # let node = otp::Node::new("example");
//! let registry = otp::Registry::<u32, u32>::new(&node);
//! registry.count_select(|anything| true);
//! ```

use std::sync::Arc;

use thiserror::Error;

use crate::exit_reason::ExitReason;
use crate::panics::guarded_now;
use crate::pid::Pid;
use crate::registry::bucket::Entry;
use crate::registry::{Key, Keys, Registry, UnknownRegistry, Value};
use crate::task;

/// Why a dispatch is not known to have reached every entry.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DispatchError {
    /// The registry does not run; nothing was called.
    #[error(transparent)]
    UnknownRegistry(#[from] UnknownRegistry),
    /// The dispatcher panicked for the entries of a partition, the first of them with this
    /// reason; the other partitions were served. Nobody else is affected: whoever called it
    /// decides what that means.
    #[error("the dispatcher crashed: {0}")]
    Crashed(ExitReason),
}

impl<K: Key, V: Value> Registry<K, V> {
    // ---- one key --------------------------------------------------------------------------

    /// The entries of a key whose value the closure accepts (Elixir: `Registry.match/4`).
    ///
    /// # Errors
    /// [`UnknownRegistry`]: the registry does not run.
    pub fn match_values(
        &self,
        key: &K,
        mut matches: impl FnMut(&V) -> bool,
    ) -> Result<Vec<(Pid, V)>, UnknownRegistry> {
        self.inner.check()?;
        let mut entries = self.inner.entries_of(key);
        entries.retain(|entry| matches(&entry.value));
        Ok(pairs(&entries))
    }

    /// How many entries of a key have a value the closure accepts (Elixir:
    /// `Registry.count_match/4`).
    ///
    /// # Errors
    /// [`UnknownRegistry`]: the registry does not run.
    pub fn count_match(
        &self,
        key: &K,
        mut matches: impl FnMut(&V) -> bool,
    ) -> Result<usize, UnknownRegistry> {
        self.inner.check()?;
        let entries = self.inner.entries_of(key);
        let matching = entries.iter().filter(|entry| matches(&entry.value));
        Ok(matching.count())
    }

    // ---- all keys -------------------------------------------------------------------------

    /// What the closure makes of each entry, without those it makes nothing of, in no order
    /// (Elixir: `Registry.select/2`). Not a snapshot: an entry that comes or goes meanwhile is
    /// seen or not. Costs a walk over all entries.
    ///
    /// # Errors
    /// [`UnknownRegistry`]: the registry does not run.
    pub fn select<T>(
        &self,
        mut project: impl FnMut(&K, Pid, &V) -> Option<T>,
    ) -> Result<Vec<T>, UnknownRegistry> {
        self.inner.check()?;
        let mut selected = Vec::new();
        for partition in 0..self.partitions() {
            let entries = self.inner.all_in(partition);
            selected.extend(
                entries
                    .iter()
                    .filter_map(|entry| project(&entry.key, entry.process.pid, &entry.value)),
            );
        }
        Ok(selected)
    }

    /// How many entries the closure accepts (Elixir: `Registry.count_select/2`). Costs a walk
    /// over all entries.
    ///
    /// # Errors
    /// [`UnknownRegistry`]: the registry does not run.
    pub fn count_select(
        &self,
        mut matches: impl FnMut(&K, Pid, &V) -> bool,
    ) -> Result<usize, UnknownRegistry> {
        let selected = self.select(|key, pid, value| matches(key, pid, value).then_some(()))?;
        Ok(selected.len())
    }

    // ---- dispatch -------------------------------------------------------------------------

    /// Runs the closure in the caller, once for each partition that has entries of the key, with
    /// those entries; not at all if there is none (Elixir: `Registry.dispatch/3`).
    ///
    /// # Errors
    /// [`DispatchError`]: a partition was not served, or none.
    pub fn dispatch(
        &self,
        key: &K,
        mut dispatcher: impl FnMut(&[(Pid, V)]),
    ) -> Result<(), DispatchError> {
        self.inner.check()?;
        let mut crash = Ok(());
        for partition in self.inner.partitions_with(key) {
            let entries = pairs(&self.inner.entries_in(partition, key));
            if !entries.is_empty() {
                let outcome = guarded_now(|| dispatcher(&entries));
                crash = crash.and(outcome.map_err(DispatchError::Crashed));
            }
        }
        crash
    }

    /// Runs the closure once for each partition that has entries of the key, all at the same time
    /// and each in a process of its own, and waits for all of them. With one partition, and where
    /// all entries of a key are in one, that is [`Registry::dispatch`] (Elixir:
    /// `Registry.dispatch/4`, `parallel: true`).
    ///
    /// # Errors
    /// [`DispatchError`]: a partition was not served, or none.
    pub async fn dispatch_parallel(
        &self,
        key: &K,
        dispatcher: impl Fn(&[(Pid, V)]) + Send + Sync + 'static,
    ) -> Result<(), DispatchError> {
        if self.partitions() == 1 || self.key_kind() != Keys::DuplicateByPid {
            return self.dispatch(key, dispatcher);
        }
        self.inner.check()?;
        let dispatcher = Arc::new(dispatcher);
        let mut tasks = Vec::new();
        for partition in self.inner.partitions_with(key) {
            let entries = pairs(&self.inner.entries_in(partition, key));
            if !entries.is_empty() {
                let dispatcher = dispatcher.clone();
                let work = async move { dispatcher(&entries) };
                tasks.push(task::spawn(&self.inner.node, "dispatch", work));
            }
        }
        let mut crash = Ok(());
        for task in tasks {
            crash = crash.and(task.await.map_err(DispatchError::Crashed));
        }
        crash
    }
}

fn pairs<K, V: Value>(entries: &[Arc<Entry<K, V>>]) -> Vec<(Pid, V)> {
    let pair = |entry: &Arc<Entry<K, V>>| (entry.process.pid, entry.value.clone());
    entries.iter().map(pair).collect()
}
