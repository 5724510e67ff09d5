//! Entries, and the small collections they live in.
//!
//! Nearly every key has one process and nearly every process one key, so a bucket of one entry
//! is just that entry. A bigger one is a map by serial: entries stay in the order in which they
//! came, and one of a hundred thousand subscribers leaves without a walk over the others.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::process::Process;

/// One registration. Never changed in place: readers may hold it outside any lock.
pub(super) struct Entry<K, V> {
    /// The identity of the registration; a new value under it keeps it.
    pub(super) serial: u64,
    pub(super) key: K,
    pub(super) process: Arc<Process>,
    pub(super) value: V,
}

impl<K, V> Entry<K, V> {
    /// Whether its process has not ended. Keys are given back before a process counts as ended,
    /// so a dead entry is seen only by who looks while a registration of it is being undone.
    pub(super) fn is_live(&self) -> bool {
        !self.process.is_exited()
    }
}

/// The entries of one key in one partition, or of one process.
pub(super) enum Bucket<K, V> {
    One(Arc<Entry<K, V>>),
    Many(BTreeMap<u64, Arc<Entry<K, V>>>),
}

impl<K, V> Bucket<K, V> {
    pub(super) fn empty() -> Bucket<K, V> {
        Bucket::Many(BTreeMap::new())
    }

    /// Adds an entry, or replaces the one with its serial.
    pub(super) fn put(&mut self, entry: Arc<Entry<K, V>>) -> Option<Arc<Entry<K, V>>> {
        match self {
            Bucket::Many(entries) if entries.is_empty() => {
                *self = Bucket::One(entry);
                None
            }
            Bucket::Many(entries) => entries.insert(entry.serial, entry),
            Bucket::One(one) if one.serial == entry.serial => Some(std::mem::replace(one, entry)),
            Bucket::One(one) => {
                let both = [(one.serial, one.clone()), (entry.serial, entry)];
                *self = Bucket::Many(BTreeMap::from(both));
                None
            }
        }
    }

    /// Takes an entry out.
    pub(super) fn take(&mut self, serial: u64) -> Option<Arc<Entry<K, V>>> {
        match self {
            Bucket::Many(entries) => entries.remove(&serial),
            Bucket::One(one) if one.serial == serial => {
                match std::mem::replace(self, Bucket::empty()) {
                    Bucket::One(one) => Some(one),
                    Bucket::Many(_) => None,
                }
            }
            Bucket::One(_) => None,
        }
    }

    /// All entries, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Entry<K, V>>> {
        let (one, many) = match self {
            Bucket::One(one) => (Some(one), None),
            Bucket::Many(entries) => (None, Some(entries.values())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    pub(super) fn first(&self) -> Option<&Arc<Entry<K, V>>> {
        self.iter().next()
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Bucket::One(_) => 1,
            Bucket::Many(entries) => entries.len(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
