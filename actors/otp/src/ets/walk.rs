//! Walking over a table key by key, and over all of it.
//!
//! A hashed table is walked shard by shard, each from its newest key to its oldest; an ordered
//! one in the order of its keys. Closures run outside of all locks, on batches of rows that were
//! taken out of the table by reference: they may use the table, and may take their time.

use std::ops::Bound;
use std::sync::Arc;
use std::time::SystemTime;

use crate::ets::core::{Pin, Want};
use crate::ets::store::{Bounds, Met, Place, Store};
use crate::ets::{EtsError, Key, Kind, Table, Value};
use crate::panics;
use crate::pid::Pid;

/// Keys that are looked at under one lock.
pub(super) const BATCH: usize = 128;

/// The whole table.
pub(super) fn everything<K>() -> Bounds<K> {
    (Bound::Unbounded, Bound::Unbounded)
}

/// A key and its objects, in one step (`ets:first_lookup/1`, since OTP 27).
pub type Found<K, V> = Option<(K, Vec<Arc<V>>)>;

/// A walk over a table that nobody can make unsafe: slots stay while it lives.
pub(super) struct Walk<K: Key, V: Value> {
    pub(super) table: Table<K, V>,
    pub(super) place: Place<K>,
    bounds: Bounds<K>,
    backwards: bool,
    _pin: Pin,
}

impl<K: Key, V: Value> Walk<K, V> {
    pub(super) fn new(table: &Table<K, V>, bounds: Bounds<K>, backwards: bool) -> Walk<K, V> {
        Walk {
            table: table.clone(),
            place: Place::Start,
            bounds,
            backwards,
            _pin: Pin::new(table.shared()),
        }
    }

    /// The next keys, at most `most`; none at the end. The place of the walk does not move.
    pub(super) fn look(&self, most: usize) -> Result<Vec<Met<K, V>>, EtsError> {
        let inner = &self.table.inner;
        let alive = || inner.core.alive();
        inner
            .store
            .walk(&self.place, &self.bounds, self.backwards, most, alive)
    }

    /// The next keys; the walk moves past them.
    pub(super) fn next(&mut self) -> Result<Vec<Met<K, V>>, EtsError> {
        let met = self.look(BATCH)?;
        if let Some(last) = met.last() {
            self.place = last.place.clone();
        }
        Ok(met)
    }
}

/// A table somebody has fixed (`ets:safe_fixtable(_, true)`): while any of these is there, a walk
/// with [`Table::next`] meets every key that was there at its beginning once, unless it was
/// deleted meanwhile, and a step from a deleted key works. Ends when it is dropped, and with the
/// process that asked for it.
#[must_use = "the table is fixed while this lives"]
pub struct Fixed<K: Key, V: Value> {
    table: Table<K, V>,
    holder: Pid,
    serial: u64,
}

impl<K: Key, V: Value> Fixed<K, V> {
    /// The process whose end would end it.
    pub fn holder(&self) -> Pid {
        self.holder
    }
}

impl<K: Key, V: Value> Drop for Fixed<K, V> {
    fn drop(&mut self) {
        let core = self.table.core();
        if core.unfix(self.holder, self.serial) && core.unpin(1) {
            self.table.sweep();
        }
    }
}

impl<K: Key, V: Value> Table<K, V> {
    /// Fixes the table for safe walking (`ets:safe_fixtable/2`). It may be fixed many times, by
    /// one process or several; each [`Fixed`] counts. Keep it short: deleted keys take memory
    /// until the last one is gone.
    ///
    /// # Errors
    /// [`EtsError::BadTable`], [`EtsError::AccessDenied`].
    pub fn fix(&self) -> Result<Fixed<K, V>, EtsError> {
        let core = self.core();
        core.enter(Want::Read)?;
        let process = panics::current();
        let holder = process
            .as_ref()
            .map_or(core.node.outside(), |process| process.pid);
        let mut admin = core.admin.lock();
        core.alive()?;
        if let Some(process) = &process {
            core.node.tables().hold(process, &self.shared(), true)?;
        }
        core.pin();
        admin.next_fix += 1;
        let serial = admin.next_fix;
        admin.fixes.entry(holder).or_default().push(serial);
        admin.fixed_since.get_or_insert_with(SystemTime::now);
        Ok(Fixed {
            table: self.clone(),
            holder,
            serial,
        })
    }

    fn sweep(&self) {
        crate::ets::core::Shared::sweep(&*self.inner);
    }

    // ---- step by step ---------------------------------------------------------------------

    /// The first key (`ets:first/1`); `None` if the table is empty.
    ///
    /// # Errors
    /// [`EtsError::BadTable`], [`EtsError::AccessDenied`]; so for all that follow.
    pub fn first(&self) -> Result<Option<K>, EtsError> {
        Ok(self.first_lookup()?.map(|(key, _)| key))
    }

    /// The first key and its objects (`ets:first_lookup/1`).
    pub fn first_lookup(&self) -> Result<Found<K, V>, EtsError> {
        self.step(&Place::Start, false)
    }

    /// The last key (`ets:last/1`): of an ordered set, or else the first.
    pub fn last(&self) -> Result<Option<K>, EtsError> {
        Ok(self.last_lookup()?.map(|(key, _)| key))
    }

    /// The last key and its objects (`ets:last_lookup/1`).
    pub fn last_lookup(&self) -> Result<Found<K, V>, EtsError> {
        self.step(&Place::Start, true)
    }

    /// The key after a key (`ets:next/2`); `None` at the end. An ordered set needs no such key in
    /// it.
    ///
    /// # Errors
    /// [`EtsError::BadKey`]: the table is hashed, and knows no such key. While it is fixed it
    /// still knows those that are deleted.
    pub fn next(&self, key: &K) -> Result<Option<K>, EtsError> {
        Ok(self.next_lookup(key)?.map(|(key, _)| key))
    }

    /// The key after a key, and its objects (`ets:next_lookup/2`).
    ///
    /// # Errors
    /// As those of [`Table::next`].
    pub fn next_lookup(&self, key: &K) -> Result<Found<K, V>, EtsError> {
        self.step_from(key, false)
    }

    /// The key before a key (`ets:prev/2`): of an ordered set, or else the next.
    ///
    /// # Errors
    /// As those of [`Table::next`].
    pub fn prev(&self, key: &K) -> Result<Option<K>, EtsError> {
        Ok(self.prev_lookup(key)?.map(|(key, _)| key))
    }

    /// The key before a key, and its objects (`ets:prev_lookup/2`).
    ///
    /// # Errors
    /// As those of [`Table::next`].
    pub fn prev_lookup(&self, key: &K) -> Result<Found<K, V>, EtsError> {
        self.step_from(key, true)
    }

    fn step_from(&self, key: &K, backwards: bool) -> Result<Found<K, V>, EtsError> {
        self.core().enter(Want::Read)?;
        match &self.inner.store {
            Store::Ordered(_) => self.step(&Place::Key(key.clone()), backwards),
            Store::Hashed(hashed) => {
                self.core().alive()?;
                // The slot may be freed before the step is made: then the key is looked for anew.
                let pin = Pin::new(self.shared());
                let place = hashed.place_of(key).ok_or(EtsError::BadKey)?;
                let found = self.step(&place, backwards);
                drop(pin);
                found
            }
        }
    }

    fn step(&self, from: &Place<K>, backwards: bool) -> Result<Found<K, V>, EtsError> {
        self.core().enter(Want::Read)?;
        let alive = || self.core().alive();
        let bounds = everything();
        let met = self.inner.store.walk(from, &bounds, backwards, 1, alive)?;
        let found = met.into_iter().next();
        Ok(found.map(|met| (met.key, met.rows.as_slice().to_vec())))
    }

    // ---- all of it ------------------------------------------------------------------------

    /// Folds over all objects, of an ordered set from the first to the last (`ets:foldl/3`). What
    /// is inserted or deleted meanwhile may or may not be met.
    pub fn foldl<T>(&self, start: T, step: impl FnMut(T, &K, &Arc<V>) -> T) -> Result<T, EtsError> {
        self.fold(start, step, false)
    }

    /// [`Table::foldl`], of an ordered set from the last to the first (`ets:foldr/3`).
    pub fn foldr<T>(&self, start: T, step: impl FnMut(T, &K, &Arc<V>) -> T) -> Result<T, EtsError> {
        self.fold(start, step, true)
    }

    fn fold<T>(
        &self,
        start: T,
        mut step: impl FnMut(T, &K, &Arc<V>) -> T,
        backwards: bool,
    ) -> Result<T, EtsError> {
        self.core().enter(Want::Read)?;
        let mut walk = Walk::new(self, everything(), backwards);
        let mut result = start;
        loop {
            let met = walk.next()?;
            if met.is_empty() {
                return Ok(result);
            }
            for met in met {
                for value in met.rows.as_slice() {
                    result = step(result, &met.key, value);
                }
            }
        }
    }

    /// All objects (`ets:tab2list/1`): no snapshot, see [`Table::foldl`].
    pub fn to_vec(&self) -> Result<Vec<(K, Arc<V>)>, EtsError> {
        let room = Vec::with_capacity(self.core().rows());
        self.foldl(room, |mut list, key, value| {
            list.push((key.clone(), value.clone()));
            list
        })
    }

    /// Whether keys have an order.
    pub(super) fn is_ordered(&self) -> bool {
        self.kind() == Kind::OrderedSet
    }
}
