//! A part of a hashed table: rows by key, and a chain through all keys for those who walk.
//!
//! ```text
//!   buckets: hash ──▶ slot ─chain─▶ slot            to find a key
//!   newest ──▶ slot ─older─▶ slot ─older─▶ oldest   to visit every key once
//! ```
//!
//! A new key is put before all others, so a walk, which goes from the newest to the oldest, never
//! meets what was inserted behind its back, and ends. A slot keeps its index for as long as
//! somebody walks: what is deleted then is only emptied, and stays in the chain as a *grave* until
//! the last walker is done (`ets:safe_fixtable/2`; ERTS calls them pseudo-deleted).

use std::sync::Arc;

/// No slot.
const NONE: u32 = u32::MAX;

/// Keys a shard may have before it thinks of shrinking.
const SMALL: usize = 16;

/// The values under one key: one, or what a bag has, oldest first.
#[derive(Debug)]
pub(super) enum Rows<V> {
    One(Arc<V>),
    /// Empty in a grave only.
    Many(Vec<Arc<V>>),
}

impl<V> Clone for Rows<V> {
    fn clone(&self) -> Rows<V> {
        match self {
            Rows::One(value) => Rows::One(value.clone()),
            Rows::Many(values) => Rows::Many(values.clone()),
        }
    }
}

impl<V> Rows<V> {
    const GONE: Rows<V> = Rows::Many(Vec::new());

    pub(super) fn as_slice(&self) -> &[Arc<V>] {
        match self {
            Rows::One(value) => std::slice::from_ref(value),
            Rows::Many(values) => values,
        }
    }

    pub(super) fn is_gone(&self) -> bool {
        matches!(self, Rows::Many(values) if values.is_empty())
    }

    pub(super) fn push(&mut self, value: Arc<V>) {
        match std::mem::replace(self, Rows::GONE) {
            Rows::One(first) => *self = Rows::Many(vec![first, value]),
            Rows::Many(mut values) => {
                values.push(value);
                *self = Rows::Many(values);
            }
        }
    }

    /// Takes out the values that `drop_it` says; the rest stays, in its order.
    pub(super) fn remove(&mut self, mut drop_it: impl FnMut(&Arc<V>) -> bool) -> Vec<Arc<V>> {
        let all = match std::mem::replace(self, Rows::GONE) {
            Rows::One(value) => vec![value],
            Rows::Many(values) => values,
        };
        let (removed, mut kept): (Vec<_>, Vec<_>) = all.into_iter().partition(|it| drop_it(it));
        *self = match (kept.pop(), kept.is_empty()) {
            (Some(only), true) => Rows::One(only),
            (Some(last), false) => {
                kept.push(last);
                Rows::Many(kept)
            }
            (None, _) => Rows::GONE,
        };
        removed
    }
}

struct Slot<K, V> {
    hash: u64,
    /// The next slot of the same bucket.
    chain: u32,
    newer: u32,
    older: u32,
    /// It is in the list of graves, and may have come back to life since.
    buried: bool,
    key: K,
    rows: Rows<V>,
}

/// See the module.
pub(super) struct Shard<K, V> {
    slots: Vec<Option<Slot<K, V>>>,
    /// Slots without a key.
    free: Vec<u32>,
    /// A power of two, or none yet.
    buckets: Vec<u32>,
    newest: u32,
    graves: Vec<u32>,
}

impl<K, V> Default for Shard<K, V> {
    fn default() -> Shard<K, V> {
        Shard {
            slots: Vec::new(),
            free: Vec::new(),
            buckets: Vec::new(),
            newest: NONE,
            graves: Vec::new(),
        }
    }
}

impl<K: Eq, V> Shard<K, V> {
    /// Keys, graves included.
    fn used(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    fn slot(&self, index: u32) -> Option<&Slot<K, V>> {
        self.slots.get(index as usize)?.as_ref()
    }

    fn slot_mut(&mut self, index: u32) -> Option<&mut Slot<K, V>> {
        self.slots.get_mut(index as usize)?.as_mut()
    }

    fn bucket(&self, hash: u64) -> usize {
        // The low bits: the high ones have chosen the shard.
        (hash as usize) & (self.buckets.len() - 1)
    }

    /// The slot of a key, which may be a grave.
    pub(super) fn find(&self, hash: u64, key: &K) -> Option<u32> {
        if self.buckets.is_empty() {
            return None;
        }
        let mut index = self.buckets[self.bucket(hash)];
        while let Some(slot) = self.slot(index) {
            if slot.hash == hash && slot.key == *key {
                return Some(index);
            }
            index = slot.chain;
        }
        None
    }

    /// The rows of a key.
    pub(super) fn get(&self, hash: u64, key: &K) -> Option<&Rows<V>> {
        let rows = &self.slot(self.find(hash, key)?)?.rows;
        (!rows.is_gone()).then_some(rows)
    }

    pub(super) fn get_mut(&mut self, hash: u64, key: &K) -> Option<&mut Rows<V>> {
        let index = self.find(hash, key)?;
        let rows = &mut self.slot_mut(index)?.rows;
        (!rows.is_gone()).then_some(rows)
    }

    /// Puts rows under a key that has none. Tells whether it had a grave.
    pub(super) fn put(&mut self, hash: u64, key: K, rows: Rows<V>) -> bool {
        if let Some(index) = self.find(hash, &key) {
            if let Some(slot) = self.slot_mut(index) {
                slot.rows = rows;
            }
            return true;
        }
        if self.used() >= self.buckets.len() {
            self.rehash((self.buckets.len() * 2).max(4));
        }
        let bucket = self.bucket(hash);
        let slot = Slot {
            hash,
            chain: self.buckets[bucket],
            newer: NONE,
            older: self.newest,
            buried: false,
            key,
            rows,
        };
        let index = match self.free.pop() {
            Some(index) => {
                self.slots[index as usize] = Some(slot);
                index
            }
            None => {
                self.slots.push(Some(slot));
                // Never NONE: `rows_max` is far below.
                (self.slots.len() - 1) as u32
            }
        };
        let newest = std::mem::replace(&mut self.newest, index);
        if let Some(slot) = self.slot_mut(newest) {
            slot.newer = index;
        }
        self.buckets[bucket] = index;
        false
    }

    fn rehash(&mut self, buckets: usize) {
        self.buckets = vec![NONE; buckets];
        for index in 0..self.slots.len() {
            let Some(hash) = self.slots[index].as_ref().map(|slot| slot.hash) else {
                continue;
            };
            let bucket = self.bucket(hash);
            let first = std::mem::replace(&mut self.buckets[bucket], index as u32);
            if let Some(slot) = &mut self.slots[index] {
                slot.chain = first;
            }
        }
    }

    /// Takes the rows of a key; with `keep` it leaves a grave.
    pub(super) fn remove(
        &mut self,
        hash: u64,
        key: &K,
        keep: bool,
    ) -> Option<(Option<K>, Rows<V>)> {
        let index = self.find(hash, key)?;
        let slot = self.slot_mut(index)?;
        if slot.rows.is_gone() {
            return None;
        }
        if keep {
            let rows = std::mem::replace(&mut slot.rows, Rows::GONE);
            if !std::mem::replace(&mut slot.buried, true) {
                self.graves.push(index);
            }
            return Some((None, rows));
        }
        let slot = self.unlink(index)?;
        Some((Some(slot.key), slot.rows))
    }

    /// Takes a slot out of its bucket and of the chain.
    fn unlink(&mut self, index: u32) -> Option<Slot<K, V>> {
        let slot = self.slots.get_mut(index as usize)?.take()?;
        self.free.push(index);
        let bucket = self.bucket(slot.hash);
        if self.buckets[bucket] == index {
            self.buckets[bucket] = slot.chain;
        } else {
            let mut before = self.buckets[bucket];
            while let Some(other) = self.slot_mut(before) {
                if other.chain == index {
                    other.chain = slot.chain;
                    break;
                }
                before = other.chain;
            }
        }
        match self.slot_mut(slot.newer) {
            Some(newer) => newer.older = slot.older,
            None => self.newest = slot.older,
        }
        if let Some(older) = self.slot_mut(slot.older) {
            older.newer = slot.newer;
        }
        Some(slot)
    }

    /// Takes the graves out; gives what was in them.
    pub(super) fn sweep(&mut self) -> Vec<K> {
        let graves = std::mem::take(&mut self.graves);
        let mut keys = Vec::new();
        for index in graves {
            let Some(slot) = self.slot_mut(index) else {
                continue;
            };
            slot.buried = false;
            if slot.rows.is_gone() {
                keys.extend(self.unlink(index).map(|slot| slot.key));
            }
        }
        self.shrink();
        keys
    }

    /// Gives memory back if most of it is unused. Moves slots: only while nobody walks.
    pub(super) fn shrink(&mut self) {
        if self.slots.len() <= SMALL || self.used() * 4 > self.slots.len() {
            return;
        }
        let mut order = Vec::with_capacity(self.used());
        let mut index = self.newest;
        while let Some(slot) = self.slot(index) {
            order.push(index);
            index = slot.older;
        }
        // Oldest first, so that the newest of the new shard is the newest.
        let mut small = Shard::default();
        for index in order.into_iter().rev() {
            if let Some(slot) = self.slots[index as usize].take() {
                small.put_new(slot);
            }
        }
        *self = small;
    }

    /// [`Shard::put`] of a key that is known to be new.
    fn put_new(&mut self, slot: Slot<K, V>) {
        if self.used() >= self.buckets.len() {
            self.rehash((self.buckets.len() * 2).max(4));
        }
        let index = self.slots.len() as u32;
        let bucket = self.bucket(slot.hash);
        let chain = std::mem::replace(&mut self.buckets[bucket], index);
        let older = std::mem::replace(&mut self.newest, index);
        if let Some(before) = self.slot_mut(older) {
            before.newer = index;
        }
        self.slots.push(Some(Slot {
            chain,
            newer: NONE,
            older,
            ..slot
        }));
    }

    /// Empties every slot, and leaves graves.
    pub(super) fn empty(&mut self) -> Vec<Rows<V>> {
        let mut taken = Vec::new();
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if let Some(slot) = slot
                && !slot.rows.is_gone()
            {
                taken.push(std::mem::replace(&mut slot.rows, Rows::GONE));
                if !std::mem::replace(&mut slot.buried, true) {
                    self.graves.push(index as u32);
                }
            }
        }
        taken
    }

    // ---- walking --------------------------------------------------------------------------

    /// The first slot of a walk, or the one after a slot, that has rows.
    pub(super) fn after(&self, index: Option<u32>) -> Option<u32> {
        let mut index = match index {
            None => self.newest,
            Some(index) => self.slot(index)?.older,
        };
        while let Some(slot) = self.slot(index) {
            if !slot.rows.is_gone() {
                return Some(index);
            }
            index = slot.older;
        }
        None
    }

    /// The key and the rows of a slot.
    pub(super) fn at(&self, index: u32) -> Option<(&K, &Rows<V>)> {
        let slot = self.slot(index)?;
        Some((&slot.key, &slot.rows))
    }

    /// Bytes of the shard itself, without what keys and values point to.
    pub(super) fn memory(&self) -> usize {
        self.slots.capacity() * size_of::<Option<Slot<K, V>>>()
            + (self.free.capacity() + self.buckets.capacity() + self.graves.capacity())
                * size_of::<u32>()
    }
    /// How many keys were deleted and not yet taken out.
    pub(super) fn graves(&self) -> usize {
        let slots = self.graves.iter().filter_map(|index| self.slot(*index));
        slots.filter(|slot| slot.rows.is_gone()).count()
    }
}
