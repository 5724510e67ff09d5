//! Locks by key: one process at a time does something about a key (Elixir: `Registry.lock/3`).

use std::future::Future;
use std::sync::Arc;

use dashmap::DashMap;
use thiserror::Error;
use tokio::sync::Mutex;

use crate::registry::{Key, Registry, UnknownRegistry, Value};

/// Most processes which hold or wait for the lock of one key. Policy at the limit: refused with
/// [`LockError::TooMany`]. Metric: `otp_registry_locks_refused_total`.
pub const LOCK_QUEUE_MAX: usize = 100_000;

/// Why the work under a lock was not done. Nothing of it has run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LockError {
    /// The registry does not run, or ended during the wait.
    #[error(transparent)]
    UnknownRegistry(#[from] UnknownRegistry),
    /// [`LOCK_QUEUE_MAX`] processes wait for this key already: give up, or try again later.
    #[error("too many wait for this key")]
    TooMany,
}

/// The locks which somebody holds or waits for.
pub(super) struct Locks<K> {
    table: DashMap<K, Queue>,
}

#[derive(Default)]
struct Queue {
    /// First come, first served; who is dropped while it waits is skipped.
    turn: Arc<Mutex<()>>,
    /// How many hold it or wait for it. The last one removes the queue.
    claims: usize,
}

impl<K: Key> Default for Locks<K> {
    fn default() -> Locks<K> {
        Locks {
            table: DashMap::new(),
        }
    }
}

impl<K: Key> Locks<K> {
    fn claim(&self, key: K) -> Result<Claim<'_, K>, LockError> {
        let mut queue = self.table.entry(key.clone()).or_default();
        if queue.claims >= LOCK_QUEUE_MAX {
            metrics::counter!("otp_registry_locks_refused_total").increment(1);
            return Err(LockError::TooMany);
        }
        queue.claims += 1;
        Ok(Claim {
            locks: self,
            key,
            turn: queue.turn.clone(),
        })
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }
}

/// A place in a queue.
struct Claim<'a, K: Key> {
    locks: &'a Locks<K>,
    key: K,
    turn: Arc<Mutex<()>>,
}

impl<K: Key> Drop for Claim<'_, K> {
    fn drop(&mut self) {
        self.locks.table.remove_if_mut(&self.key, |_, queue| {
            queue.claims -= 1;
            queue.claims == 0
        });
    }
}

impl<K: Key, V: Value> Registry<K, V> {
    /// Does something while nobody else holds the lock of `key` (Elixir: `Registry.lock/3`).
    /// Locks have nothing to do with entries: the key need not be registered. For work which
    /// must be done once at a time and in the caller; to have one *process* per key, register it.
    ///
    /// Others wait in the order in which they came. The lock is given back when the work is done,
    /// panics, or is dropped because its process ended; a waiter that is dropped is skipped. To
    /// ask for a lock again from within the work waits for ever.
    ///
    /// # Errors
    /// [`LockError`]: the work has not begun.
    pub async fn lock<F: Future>(&self, key: K, work: F) -> Result<F::Output, LockError> {
        let inner = &self.inner;
        let claim = inner.locks.claim(key)?;
        let closed = inner.closed.notified();
        tokio::pin!(closed);
        // Enlist before looking, or an end between looking and waiting would be missed.
        closed.as_mut().enable();
        inner.check()?;
        let turn = tokio::select! {
            biased;
            turn = claim.turn.lock() => turn,
            () = closed => return Err(UnknownRegistry.into()),
        };
        let output = work.await;
        drop(turn);
        Ok(output)
    }
}
