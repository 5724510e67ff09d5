//! Where the rows of a table are: in shards by hash, or in one tree by order.
//!
//! ```text
//!   set, bag, duplicate_bag ──▶ 1, 8 or 64 shards, each behind a lock of its own
//!   ordered_set             ──▶ one tree behind one lock
//! ```
//!
//! Locks of several shards are taken in the order of their numbers. Under a lock run the `Hash`,
//! `Eq`, `Ord` and `Clone` of keys, in bags the `Eq` of values, and no other code of a user: what
//! leaves a table is dropped after the lock is given back.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::ops::Bound;

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::ets::Key;
use crate::ets::shard::{Rows, Shard};

/// One lock, on cache lines of its own.
#[repr(align(64))]
struct Locked<K, V>(RwLock<Shard<K, V>>);

pub(super) struct Hashed<K, V> {
    hasher: RandomState,
    /// A power of two.
    shards: Box<[Locked<K, V>]>,
}

pub(super) type Tree<K, V> = BTreeMap<K, Rows<V>>;

pub(super) enum Store<K, V> {
    Hashed(Hashed<K, V>),
    Ordered(RwLock<Tree<K, V>>),
}

/// Both ends of a range of keys.
pub(super) type Bounds<K> = (Bound<K>, Bound<K>);

/// Where a walk stands: what it has passed.
#[derive(Clone, Debug)]
pub(super) enum Place<K> {
    Start,
    /// A slot of a shard; without one, the beginning of that shard.
    Slot(usize, Option<u32>),
    Key(K),
}

/// One key that a walk has met.
pub(super) struct Met<K, V> {
    pub(super) place: Place<K>,
    pub(super) key: K,
    pub(super) rows: Rows<V>,
}

/// The parts of a store that are locked for writing.
pub(super) enum Writing<'a, K, V> {
    Shard(RwLockWriteGuard<'a, Shard<K, V>>),
    Shards(
        &'a Hashed<K, V>,
        Vec<(usize, RwLockWriteGuard<'a, Shard<K, V>>)>,
    ),
    Ordered(RwLockWriteGuard<'a, Tree<K, V>>),
}

/// The part of a store a key is in, locked for reading.
pub(super) enum Reading<'a, K, V> {
    Shard(RwLockReadGuard<'a, Shard<K, V>>),
    Ordered(RwLockReadGuard<'a, Tree<K, V>>),
}

impl<K: Key, V> Hashed<K, V> {
    /// So many shards, a power of two.
    pub(super) fn new(shards: usize) -> Hashed<K, V> {
        let locked = std::iter::repeat_with(|| Locked(RwLock::default()));
        Hashed {
            hasher: RandomState::new(),
            shards: locked.take(shards.next_power_of_two()).collect(),
        }
    }

    fn shard_of(&self, hash: u64) -> usize {
        // The high bits: the low ones choose the bucket. A count of 1 shifts by 64.
        let bits = self.shards.len().trailing_zeros();
        hash.checked_shr(64 - bits).unwrap_or(0) as usize
    }
}

impl<K: Key, V> Store<K, V> {
    /// What finds a key, to be computed before the lock is taken.
    pub(super) fn hash(&self, key: &K) -> u64 {
        match self {
            Store::Hashed(hashed) => hashed.hasher.hash_one(key),
            Store::Ordered(_) => 0,
        }
    }

    pub(super) fn read(&self, hash: u64) -> Reading<'_, K, V> {
        match self {
            Store::Hashed(hashed) => Reading::Shard(hashed.shards[hashed.shard_of(hash)].0.read()),
            Store::Ordered(tree) => Reading::Ordered(tree.read()),
        }
    }

    pub(super) fn write(&self, hash: u64) -> Writing<'_, K, V> {
        match self {
            Store::Hashed(hashed) => Writing::Shard(hashed.shards[hashed.shard_of(hash)].0.write()),
            Store::Ordered(tree) => Writing::Ordered(tree.write()),
        }
    }

    /// Locks what several keys are in.
    pub(super) fn write_many(&self, hashes: impl Iterator<Item = u64>) -> Writing<'_, K, V> {
        match self {
            Store::Hashed(hashed) => {
                let mut needed: Vec<usize> = hashes.map(|hash| hashed.shard_of(hash)).collect();
                needed.sort_unstable();
                needed.dedup();
                let locked = needed
                    .into_iter()
                    .map(|index| (index, hashed.shards[index].0.write()));
                Writing::Shards(hashed, locked.collect())
            }
            Store::Ordered(tree) => Writing::Ordered(tree.write()),
        }
    }

    /// Locks everything.
    pub(super) fn write_all(&self) -> Writing<'_, K, V> {
        match self {
            Store::Hashed(hashed) => {
                let shards = hashed.shards.iter().enumerate();
                let locked = shards.map(|(index, shard)| (index, shard.0.write()));
                Writing::Shards(hashed, locked.collect())
            }
            Store::Ordered(tree) => Writing::Ordered(tree.write()),
        }
    }

    /// Takes the graves out of one shard after the other, for as long as `may` says so.
    pub(super) fn sweep(&self, may: impl Fn() -> bool) -> Vec<K> {
        let mut keys = Vec::new();
        if let Store::Hashed(hashed) = self {
            for shard in &hashed.shards {
                let mut shard = shard.0.write();
                if !may() {
                    break;
                }
                keys.append(&mut shard.sweep());
            }
        }
        keys
    }

    /// Bytes of the structure, without what keys and values point to.
    pub(super) fn memory(&self) -> usize {
        match self {
            Store::Hashed(hashed) => {
                let shards = hashed.shards.iter();
                let inside: usize = shards.map(|shard| shard.0.read().memory()).sum();
                size_of_val(&*hashed.shards) + inside
            }
            // A node of the tree has room for eleven rows, and is on average two thirds full.
            Store::Ordered(tree) => tree.read().len() * size_of::<(K, Rows<V>)>() * 3 / 2,
        }
    }

    // ---- walking --------------------------------------------------------------------------

    /// The next keys of a walk, at most `most`; none at its end. `alive` is asked under each lock.
    pub(super) fn walk<E>(
        &self,
        from: &Place<K>,
        bounds: &Bounds<K>,
        backwards: bool,
        most: usize,
        alive: impl Fn() -> Result<(), E>,
    ) -> Result<Vec<Met<K, V>>, E> {
        match self {
            Store::Hashed(hashed) => hashed.walk(from, most, alive),
            Store::Ordered(tree) => {
                let tree = tree.read();
                alive()?;
                Ok(walk_tree(&tree, from, bounds, backwards, most))
            }
        }
    }
}

impl<K: Key, V> Hashed<K, V> {
    fn walk<E>(
        &self,
        from: &Place<K>,
        most: usize,
        alive: impl Fn() -> Result<(), E>,
    ) -> Result<Vec<Met<K, V>>, E> {
        let (first, mut at) = match from {
            Place::Slot(shard, slot) => (*shard, *slot),
            _ => (0, None),
        };
        let mut met = Vec::new();
        for index in first..self.shards.len() {
            let shard = self.shards[index].0.read();
            alive()?;
            while met.len() < most {
                at = shard.after(at);
                let Some((slot, (key, rows))) = at.and_then(|slot| Some((slot, shard.at(slot)?)))
                else {
                    break;
                };
                met.push(Met {
                    place: Place::Slot(index, Some(slot)),
                    key: key.clone(),
                    rows: rows.clone(),
                });
            }
            if met.len() >= most {
                break;
            }
            at = None;
        }
        Ok(met)
    }

    /// Where a key is, if the table knows it: also a grave.
    pub(super) fn place_of(&self, key: &K) -> Option<Place<K>> {
        let hash = self.hasher.hash_one(key);
        let index = self.shard_of(hash);
        let slot = self.shards[index].0.read().find(hash, key)?;
        Some(Place::Slot(index, Some(slot)))
    }
}

fn walk_tree<K: Key, V>(
    tree: &Tree<K, V>,
    from: &Place<K>,
    (low, high): &Bounds<K>,
    backwards: bool,
    most: usize,
) -> Vec<Met<K, V>> {
    let (mut low, mut high) = (low.as_ref(), high.as_ref());
    if let Place::Key(key) = from {
        if backwards {
            high = Bound::Excluded(key);
        } else {
            low = Bound::Excluded(key);
        }
    }
    if is_empty(low, high) {
        return Vec::new();
    }
    let met = |(key, rows): (&K, &Rows<V>)| Met {
        place: Place::Key(key.clone()),
        key: key.clone(),
        rows: rows.clone(),
    };
    let range = tree.range((low, high));
    if backwards {
        range.rev().take(most).map(met).collect()
    } else {
        range.take(most).map(met).collect()
    }
}

/// Whether nothing can be in a range; `BTreeMap::range` panics for some of those.
fn is_empty<K: Ord>(low: Bound<&K>, high: Bound<&K>) -> bool {
    match (low, high) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(low), Bound::Included(high)) => low > high,
        (
            Bound::Included(low) | Bound::Excluded(low),
            Bound::Included(high) | Bound::Excluded(high),
        ) => low >= high,
    }
}

impl<K: Key, V> Reading<'_, K, V> {
    pub(super) fn get(&self, hash: u64, key: &K) -> Option<&Rows<V>> {
        match self {
            Reading::Shard(shard) => shard.get(hash, key),
            Reading::Ordered(tree) => tree.get(key),
        }
    }
}

impl<K: Key, V> Writing<'_, K, V> {
    fn shard(&mut self, hash: u64) -> Option<&mut Shard<K, V>> {
        match self {
            Writing::Shard(shard) => Some(shard),
            Writing::Shards(hashed, shards) => {
                let wanted = hashed.shard_of(hash);
                let position = shards.binary_search_by_key(&wanted, |(index, _)| *index);
                Some(&mut shards[position.ok()?].1)
            }
            Writing::Ordered(_) => None,
        }
    }

    pub(super) fn get_mut(&mut self, hash: u64, key: &K) -> Option<&mut Rows<V>> {
        match self {
            Writing::Ordered(tree) => tree.get_mut(key),
            _ => self.shard(hash)?.get_mut(hash, key),
        }
    }

    /// The key as it is stored, which may only be *equal in order* to this one.
    pub(super) fn stored_key(&self, key: &K) -> Option<&K> {
        match self {
            Writing::Ordered(tree) => tree.get_key_value(key).map(|(stored, _)| stored),
            _ => None,
        }
    }

    /// Puts rows under a key that has none. Tells whether it had a grave.
    pub(super) fn put(&mut self, hash: u64, key: K, rows: Rows<V>) -> bool {
        if let Writing::Ordered(tree) = self {
            tree.insert(key, rows);
            return false;
        }
        match self.shard(hash) {
            Some(shard) => shard.put(hash, key, rows),
            None => false,
        }
    }

    /// Takes the rows of a key; with `keep` a hashed table leaves a grave, and the key in it.
    pub(super) fn remove(
        &mut self,
        hash: u64,
        key: &K,
        keep: bool,
    ) -> Option<(Option<K>, Rows<V>)> {
        if let Writing::Ordered(tree) = self {
            return tree.remove_entry(key).map(|(key, rows)| (Some(key), rows));
        }
        let shard = self.shard(hash)?;
        let removed = shard.remove(hash, key, keep);
        if !keep {
            shard.shrink();
        }
        removed
    }

    /// Takes everything: whole shards, or, with `keep`, the rows only.
    pub(super) fn take_all(&mut self, keep: bool) -> Contents<K, V> {
        let mut contents = Contents {
            rows: Vec::new(),
            shards: Vec::new(),
            tree: Tree::new(),
            graves: 0,
        };
        match self {
            Writing::Ordered(tree) => contents.tree = std::mem::take(tree),
            Writing::Shard(shard) => contents.take(shard, keep),
            Writing::Shards(_, shards) => {
                for (_, shard) in shards {
                    contents.take(shard, keep);
                }
            }
        }
        contents
    }
}

/// What was taken out of a table, to be dropped where it holds nobody up.
pub(super) struct Contents<K, V> {
    pub(super) rows: Vec<Rows<V>>,
    shards: Vec<Shard<K, V>>,
    tree: Tree<K, V>,
    /// Graves in those shards.
    pub(super) graves: usize,
}

impl<K: Key, V> Contents<K, V> {
    fn take(&mut self, shard: &mut Shard<K, V>, keep: bool) {
        if keep {
            self.rows.append(&mut shard.empty());
        } else {
            self.graves += shard.graves();
            self.shards.push(std::mem::take(shard));
        }
    }
}
