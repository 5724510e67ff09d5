//! The tables of a registry: by key for readers, by process for the clean-up.
//!
//! ```text
//!   partition 0 ─┬─ keys:  key → entries        unique: by hash of the key
//!                └─ slots: pid → its entries    duplicate: by hash of the pid, or of the key
//!   partition 1 ...                             slots: always by hash of the pid
//! ```
//!
//! Lock order: the slot of a process first, then the key. No code of a user runs under either,
//! apart from the `Hash`, `Eq` and `Clone` of keys: an entry that leaves is dropped afterwards.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry as Slotted;
use tokio::sync::Notify;

use crate::node::Node;
use crate::pid::{Pid, SerialHash};
use crate::process::{Process, Release};
use crate::registry::bucket::{Bucket, Entry};
use crate::registry::lock::Locks;
use crate::registry::meta::Meta;
use crate::registry::options::RegistryOptions;
use crate::registry::owner::Ownership;
use crate::registry::{Key, Keys, RegisterError, UnknownRegistry, Value};

/// What all handles of one registry share.
pub(super) struct Inner<K, V> {
    pub(super) node: Node,
    pub(super) options: RegistryOptions,
    hasher: RandomState,
    partitions: Box<[Partition<K, V>]>,
    next_serial: AtomicU64,
    entries: AtomicUsize,
    /// Whether the registry runs; one without a process of its own always does.
    open: AtomicBool,
    /// Wakes those who wait for something when the registry stops running.
    pub(super) closed: Notify,
    pub(super) ownership: Ownership,
    pub(super) locks: Locks<K>,
    pub(super) meta: Meta,
}

struct Partition<K, V> {
    keys: DashMap<K, Bucket<K, V>>,
    /// A process gets its slot, and the hook that empties it, with its first entry and keeps both
    /// until it ends, so that registering again and again costs it one hook.
    slots: DashMap<Pid, Bucket<K, V>, SerialHash>,
}

/// How big the tables are, for tests of what a registry leaves behind.
#[doc(hidden)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryStats {
    /// Entries by key, partition by partition.
    pub by_key: Vec<usize>,
    /// Entries by process, partition by partition.
    pub by_pid: Vec<usize>,
    /// Keys with a bucket.
    pub keys: usize,
    /// Processes with a slot, empty or not.
    pub slots: usize,
    /// Keys somebody holds the lock of or waits for.
    pub locks: usize,
}

impl<K: Key, V: Value> Inner<K, V> {
    pub(super) fn new(node: &Node, options: RegistryOptions) -> Inner<K, V> {
        let partitions = (0..options.partitions).map(|_| Partition {
            keys: DashMap::new(),
            slots: DashMap::default(),
        });
        Inner {
            node: node.clone(),
            hasher: RandomState::new(),
            partitions: partitions.collect(),
            next_serial: AtomicU64::new(0),
            entries: AtomicUsize::new(0),
            open: AtomicBool::new(true),
            closed: Notify::new(),
            ownership: Ownership::default(),
            locks: Locks::default(),
            meta: Meta::new(&options.meta),
            options,
        }
    }

    // ---- whether it runs ------------------------------------------------------------------

    pub(super) fn check(&self) -> Result<(), UnknownRegistry> {
        if self.open.load(Ordering::Acquire) {
            Ok(())
        } else {
            Err(UnknownRegistry)
        }
    }

    pub(super) fn set_open(&self, open: bool) {
        self.open.store(open, Ordering::Release);
        if !open {
            self.closed.notify_waiters();
        }
    }

    /// Empties the tables of a registry which was closed, and tells whose entries they were.
    pub(super) fn clear(&self) -> Vec<Arc<Process>> {
        let mut gone = Vec::new();
        for partition in &self.partitions {
            // Under the lock of each slot: a registration either came before and is found here,
            // or sees that the registry is closed.
            for mut slot in partition.slots.iter_mut() {
                gone.push(std::mem::replace(slot.value_mut(), Bucket::empty()));
            }
        }
        let mut processes = Vec::new();
        for bucket in gone {
            processes.extend(bucket.first().map(|entry| entry.process.clone()));
            for entry in bucket.iter() {
                self.remove_from_keys(entry);
            }
        }
        processes
    }

    // ---- where things are -----------------------------------------------------------------

    fn pick(&self, hashed: impl Hash) -> usize {
        match self.partitions.len() {
            1 => 0,
            // The remainder is less than the count, which is a usize.
            count => (self.hasher.hash_one(hashed) % count as u64) as usize,
        }
    }

    fn slots_of(&self, pid: Pid) -> &DashMap<Pid, Bucket<K, V>, SerialHash> {
        &self.partitions[self.pick(pid)].slots
    }

    fn partition_of(&self, key: &K, pid: Pid) -> usize {
        match self.options.keys {
            Keys::Unique | Keys::DuplicateByKey => self.pick(key),
            Keys::DuplicateByPid => self.pick(pid),
        }
    }

    /// The partitions in which a key can have entries.
    pub(super) fn partitions_with(&self, key: &K) -> std::ops::Range<usize> {
        match self.options.keys {
            Keys::Unique | Keys::DuplicateByKey => {
                let partition = self.pick(key);
                partition..partition + 1
            }
            Keys::DuplicateByPid => 0..self.partitions.len(),
        }
    }

    pub(super) fn partition_count(&self) -> usize {
        self.partitions.len()
    }

    // ---- changing -------------------------------------------------------------------------

    pub(super) fn insert(
        self: &Arc<Self>,
        key: K,
        value: V,
        process: &Arc<Process>,
    ) -> Result<(), RegisterError> {
        let entry = Arc::new(Entry {
            serial: self.next_serial.fetch_add(1, Ordering::Relaxed),
            key,
            process: process.clone(),
            value,
        });
        // Declared before the lock is taken, so dropped after it is given back.
        let _replaced;
        let slot = self.slots_of(process.pid).entry(process.pid);
        self.check()?;
        if self.entries.load(Ordering::Relaxed) >= self.options.entries_max {
            metrics::counter!("otp_registrations_refused_total").increment(1);
            return Err(RegisterError::Full);
        }
        _replaced = self.insert_into_keys(&entry)?;
        match slot {
            Slotted::Occupied(mut slot) => {
                slot.get_mut().put(entry);
            }
            Slotted::Vacant(slot) => {
                // A process which is ending takes no more keys; give this one back at once.
                if process.add_release(release_in(self)).is_err() {
                    self.remove_from_keys(&entry);
                    return Err(RegisterError::NoProc);
                }
                slot.insert(Bucket::One(entry));
            }
        }
        Ok(())
    }

    /// Puts an entry under its key. Gives back the entry of a dead process which it took over.
    fn insert_into_keys(
        &self,
        entry: &Arc<Entry<K, V>>,
    ) -> Result<Option<Arc<Entry<K, V>>>, RegisterError> {
        let partition = self.partition_of(&entry.key, entry.process.pid);
        let mut replaced = None;
        match self.partitions[partition].keys.entry(entry.key.clone()) {
            Slotted::Vacant(free) => {
                free.insert(Bucket::One(entry.clone()));
            }
            Slotted::Occupied(mut taken) if self.options.keys == Keys::Unique => {
                let holder = taken.get().first();
                if let Some(holder) = holder.filter(|holder| holder.is_live()) {
                    return Err(RegisterError::AlreadyRegistered(holder.process.pid));
                }
                match taken.insert(Bucket::One(entry.clone())) {
                    Bucket::One(dead) => replaced = Some(dead),
                    Bucket::Many(_) => {}
                }
            }
            Slotted::Occupied(mut taken) => {
                taken.get_mut().put(entry.clone());
            }
        }
        if replaced.is_none() {
            self.entries.fetch_add(1, Ordering::Relaxed);
        }
        Ok(replaced)
    }

    fn remove_from_keys(&self, entry: &Entry<K, V>) -> Option<Arc<Entry<K, V>>> {
        let partition = self.partition_of(&entry.key, entry.process.pid);
        let mut removed = None;
        self.partitions[partition]
            .keys
            .remove_if_mut(&entry.key, |_, bucket| {
                removed = bucket.take(entry.serial);
                bucket.is_empty()
            });
        if removed.is_some() {
            self.entries.fetch_sub(1, Ordering::Relaxed);
        }
        removed
    }

    /// Takes out entries by their serials.
    pub(super) fn remove(&self, entries: &[Arc<Entry<K, V>>]) {
        let mut removed = Vec::new();
        for entry in entries {
            if let Some(mut slot) = self.slots_of(entry.process.pid).get_mut(&entry.process.pid) {
                removed.push(slot.take(entry.serial));
            }
            removed.push(self.remove_from_keys(entry));
        }
    }

    /// Puts `new` where `old` is; `false` if that is not there any more.
    pub(super) fn replace(&self, old: &Arc<Entry<K, V>>, new: Arc<Entry<K, V>>) -> bool {
        let _dropped;
        let pid = old.process.pid;
        let Some(mut slot) = self.slots_of(pid).get_mut(&pid) else {
            return false;
        };
        let partition = self.partition_of(&old.key, pid);
        let Some(mut bucket) = self.partitions[partition].keys.get_mut(&old.key) else {
            return false;
        };
        let current = bucket.iter().any(|entry| Arc::ptr_eq(entry, old));
        if current {
            _dropped = (bucket.put(new.clone()), slot.put(new));
        }
        current
    }

    /// Takes out everything of a process that ends.
    fn release(&self, pid: Pid) {
        let slot = self.slots_of(pid).remove(&pid);
        let mut removed = Vec::new();
        for entry in slot.iter().flat_map(|(_, bucket)| bucket.iter()) {
            removed.push(self.remove_from_keys(entry));
        }
    }

    // ---- reading --------------------------------------------------------------------------

    /// The live entries of a key in one partition, in the order of their registration.
    pub(super) fn entries_in(&self, partition: usize, key: &K) -> Vec<Arc<Entry<K, V>>> {
        match self.partitions[partition].keys.get(key) {
            Some(bucket) => live(&bucket),
            None => Vec::new(),
        }
    }

    /// The live entries of a key.
    pub(super) fn entries_of(&self, key: &K) -> Vec<Arc<Entry<K, V>>> {
        let mut entries = Vec::new();
        for partition in self.partitions_with(key) {
            entries.append(&mut self.entries_in(partition, key));
        }
        entries
    }

    /// The first live entry of a key.
    pub(super) fn first_of(&self, key: &K) -> Option<Arc<Entry<K, V>>> {
        self.partitions_with(key).find_map(|partition| {
            let bucket = self.partitions[partition].keys.get(key)?;
            bucket.iter().find(|entry| entry.is_live()).cloned()
        })
    }

    /// The entries of a process, in the order of their registration.
    pub(super) fn entries_by(&self, pid: Pid) -> Vec<Arc<Entry<K, V>>> {
        match self.slots_of(pid).get(&pid) {
            Some(slot) => live(&slot),
            None => Vec::new(),
        }
    }

    /// The entries of a process under a key.
    pub(super) fn entries_by_of(&self, pid: Pid, key: &K) -> Vec<Arc<Entry<K, V>>> {
        if self.options.keys == Keys::Unique {
            let holder = self.first_of(key);
            return holder
                .into_iter()
                .filter(|entry| entry.process.pid == pid)
                .collect();
        }
        let mut entries = self.entries_by(pid);
        entries.retain(|entry| entry.key == *key);
        entries
    }

    /// The live entries of one partition.
    pub(super) fn all_in(&self, partition: usize) -> Vec<Arc<Entry<K, V>>> {
        let mut entries = Vec::new();
        for bucket in &self.partitions[partition].keys {
            entries.extend(live(&bucket));
        }
        entries
    }

    /// How many entries there are.
    pub(super) fn count(&self) -> usize {
        self.entries.load(Ordering::Relaxed)
    }

    pub(super) fn stats(&self) -> RegistryStats {
        let partitions = || self.partitions.iter();
        let by_key = |partition: &Partition<K, V>| partition.keys.iter().map(|it| it.len()).sum();
        let by_pid = |partition: &Partition<K, V>| partition.slots.iter().map(|it| it.len()).sum();
        RegistryStats {
            by_key: partitions().map(by_key).collect(),
            by_pid: partitions().map(by_pid).collect(),
            keys: partitions().map(|partition| partition.keys.len()).sum(),
            slots: partitions().map(|partition| partition.slots.len()).sum(),
            locks: self.locks.len(),
        }
    }
}

fn live<K, V>(bucket: &Bucket<K, V>) -> Vec<Arc<Entry<K, V>>> {
    bucket
        .iter()
        .filter(|entry| entry.is_live())
        .cloned()
        .collect()
}

/// What empties the slot of a process at its end. It does not keep the registry alive.
fn release_in<K: Key, V: Value>(inner: &Arc<Inner<K, V>>) -> Release {
    let inner: Weak<Inner<K, V>> = Arc::downgrade(inner);
    Box::new(move |pid| {
        if let Some(inner) = inner.upgrade() {
            inner.release(pid);
        }
    })
}
