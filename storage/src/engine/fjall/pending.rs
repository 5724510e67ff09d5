//! Changes on their way: what a group of batches has changed so far, over what is durable.
//!
//! ```text
//!   get/scan ─▶ this batch's changes ─▶ the group's changes ─▶ the snapshot
//!                     │ keep()               ▲
//!                     └──────────────────────┘      discard(): as if the batch had never been
//! ```
//!
//! So each batch sees the ones before it, a failing batch leaves nothing, and a row written a
//! thousand times in a group (a channel's state) goes to disk once.

use std::collections::BTreeMap;

use super::keys::Key;
use super::tables::{Changes, Direction, Range, Reader};
use super::value;
use crate::store::Result;

/// The changes of a group of batches.
pub(super) struct Pending<'a> {
    durable: &'a Reader<'a>,
    group: Changes,
    batch: Changes,
}

impl<'a> Pending<'a> {
    /// No changes over `durable`.
    pub(super) fn new(durable: &'a Reader<'a>) -> Self {
        Self {
            durable,
            group: Changes::new(),
            batch: Changes::new(),
        }
    }

    /// The batch is good: its changes become part of the group's.
    pub(super) fn keep(&mut self) {
        self.group.append(&mut self.batch);
    }

    /// The batch failed: its changes are forgotten.
    pub(super) fn discard(&mut self) {
        self.batch.clear();
    }

    /// What all kept batches changed.
    pub(super) fn into_changes(self) -> Changes {
        self.group
    }

    /// Sets a row.
    pub(super) fn put(&mut self, key: Key, value: Vec<u8>) {
        self.batch.insert(key, Some(value));
    }

    /// Removes a row.
    pub(super) fn delete(&mut self, key: Key) {
        self.batch.insert(key, None);
    }

    fn changed(&self, key: &Key) -> Option<&Option<Vec<u8>>> {
        self.batch.get(key).or_else(|| self.group.get(key))
    }

    /// A row as this batch sees it.
    ///
    /// # Errors
    /// As [`Reader::get`].
    pub(super) fn get(&self, key: &Key) -> Result<Option<Vec<u8>>> {
        match self.changed(key) {
            Some(changed) => Ok(changed.clone()),
            None => Ok(self.durable.get(key)?.map(|value| value.to_vec())),
        }
    }

    /// A row that keeps a number, as this batch sees it.
    ///
    /// # Errors
    /// As [`Reader::get`].
    pub(super) fn number(&self, key: &Key) -> Result<Option<u64>> {
        self.get(key)?
            .map(|value| value::decode_number(&value))
            .transpose()
    }

    /// Whether a row is there, as this batch sees it.
    ///
    /// # Errors
    /// As [`Reader::has`].
    pub(super) fn has(&self, key: &Key) -> Result<bool> {
        match self.changed(key) {
            Some(changed) => Ok(changed.is_some()),
            None => self.durable.has(key),
        }
    }

    /// Keys of all rows that begin with `prefix`, as this batch sees them, in order.
    ///
    /// # Errors
    /// As [`Reader::rows`].
    pub(super) fn keys(&self, prefix: &Key) -> Result<Vec<Key>> {
        self.some_keys(prefix, usize::MAX)
    }

    /// Like [`Pending::keys`], the first `limit` of them.
    ///
    /// # Errors
    /// As [`Reader::rows`].
    pub(super) fn some_keys(&self, prefix: &Key, limit: usize) -> Result<Vec<Key>> {
        let mut there = BTreeMap::new();
        for row in self.durable.rows(Range::of(prefix), Direction::Forward) {
            let key = Key::read(prefix.table(), &row?.0);
            if self.changed(&key).is_none() {
                there.insert(key, true);
                if there.len() >= limit {
                    break;
                }
            }
        }
        for changes in [&self.group, &self.batch] {
            let changed = changes
                .range(prefix.clone()..)
                .take_while(|(key, _)| key.begins_with(prefix));
            there.extend(changed.map(|(key, value)| (key.clone(), value.is_some())));
        }
        Ok(there
            .into_iter()
            .filter_map(|(key, there)| there.then_some(key))
            .take(limit)
            .collect())
    }

    /// Removes all rows whose keys begin with `prefix`.
    ///
    /// # Errors
    /// As [`Pending::keys`].
    pub(super) fn delete_all(&mut self, prefix: &Key) -> Result<()> {
        for key in self.keys(prefix)? {
            self.delete(key);
        }
        Ok(())
    }
}
