//! Selecting, counting, deleting and replacing objects by a [`Spec`].
//!
//! Nothing of this is a snapshot: each object is looked at once, at some moment of the walk. What
//! deletes or replaces does so for each object at one moment, and only if the object is still the
//! one the closure has seen; else the closure is asked about the new one.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::ets::core::Want;
use crate::ets::shard::Rows;
use crate::ets::store::Met;
use crate::ets::walk::{BATCH, Walk};
use crate::ets::{EtsError, Key, Kind, Spec, Table, Value};

/// Keys that a select with a small limit looks at first.
const STRIDE: usize = 8;

/// A part of what a select finds, and where it goes on.
pub struct Chunk<K: Key, V: Value, T> {
    /// What was found, at most as many as were asked for.
    pub found: Vec<T>,
    /// How to go on; `None` at the end of the table. What is left may turn out to be nothing.
    pub more: Option<Continuation<K, V, T>>,
}

/// Where a select with a limit goes on (`ets:select/1`). As long as it lives the walk is safe: it
/// meets each object that is not deleted once. It keeps deleted keys in memory meanwhile; drop it
/// when it is not needed.
pub struct Continuation<K: Key, V: Value, T> {
    spec: Spec<K, V, T>,
    limit: usize,
    walk: Walk<K, V>,
    /// How many keys it looks at next: more where less is found.
    stride: usize,
    /// Found under a key whose objects are more than fit.
    left: VecDeque<T>,
    /// Objects of one key only, all of which are in `left`.
    done: bool,
}

impl<K: Key, V: Value, T> Continuation<K, V, T> {
    fn new(
        table: &Table<K, V>,
        spec: &Spec<K, V, T>,
        limit: usize,
        backwards: bool,
    ) -> Result<Continuation<K, V, T>, EtsError> {
        table.core().enter(Want::Read)?;
        if limit == 0 {
            return Err(EtsError::BadSpec);
        }
        spec.check()?;
        let mut left = VecDeque::new();
        let bound = spec.bound_key().filter(|_| !table.is_ordered());
        if let Some(key) = bound {
            let values = table.lookup(key)?;
            left.extend(values.iter().filter_map(|value| spec.test(key, value)));
        }
        Ok(Continuation {
            spec: spec.clone(),
            limit,
            walk: Walk::new(table, spec.bounds.clone(), backwards),
            stride: limit.clamp(STRIDE, BATCH),
            left,
            done: bound.is_some(),
        })
    }

    /// The next part, by the process that runs (`ets:select/1`).
    ///
    /// # Errors
    /// [`EtsError::BadTable`], [`EtsError::AccessDenied`].
    pub fn next(mut self) -> Result<Chunk<K, V, T>, EtsError> {
        self.walk.table.core().enter(Want::Read)?;
        let mut found = Vec::new();
        loop {
            while found.len() < self.limit {
                let Some(one) = self.left.pop_front() else {
                    break;
                };
                found.push(one);
            }
            if found.len() >= self.limit {
                let more = Some(self);
                return Ok(Chunk { found, more });
            }
            if self.done {
                return Ok(Chunk { found, more: None });
            }
            self.fill(self.limit - found.len())?;
        }
    }

    /// Looks at keys until so many objects are found, or the end is reached.
    fn fill(&mut self, wanted: usize) -> Result<(), EtsError> {
        let met = self.walk.look(self.stride)?;
        if met.is_empty() {
            self.done = true;
        }
        for Met { place, key, rows } in met {
            let values = rows.as_slice().iter();
            self.left
                .extend(values.filter_map(|value| self.spec.test(&key, value)));
            self.walk.place = place;
            if self.left.len() >= wanted {
                return Ok(());
            }
        }
        self.stride = (self.stride * 2).min(BATCH);
        Ok(())
    }
}

impl<K: Key, V: Value> Table<K, V> {
    /// Everything a specification finds, of an ordered set in order (`ets:select/2`, `match/2`,
    /// `match_object/2`).
    ///
    /// # Errors
    /// [`EtsError::BadSpec`]: the range ends before it begins. So for all that follow.
    pub fn select<T>(&self, spec: &Spec<K, V, T>) -> Result<Vec<T>, EtsError> {
        let all = Continuation::new(self, spec, usize::MAX, false)?;
        Ok(all.next()?.found)
    }

    /// [`Table::select`], of an ordered set in reverse order (`ets:select_reverse/2`).
    ///
    /// # Errors
    /// As those of [`Table::select`].
    pub fn select_reverse<T>(&self, spec: &Spec<K, V, T>) -> Result<Vec<T>, EtsError> {
        let all = Continuation::new(self, spec, usize::MAX, true)?;
        Ok(all.next()?.found)
    }

    /// The first part of what a specification finds, and how to go on (`ets:select/3`).
    ///
    /// # Errors
    /// [`EtsError::BadSpec`]: also if the limit is 0.
    pub fn select_limit<T>(
        &self,
        spec: &Spec<K, V, T>,
        limit: usize,
    ) -> Result<Chunk<K, V, T>, EtsError> {
        Continuation::new(self, spec, limit, false)?.next()
    }

    /// [`Table::select_limit`] from the end (`ets:select_reverse/3`).
    ///
    /// # Errors
    /// As those of [`Table::select_limit`].
    pub fn select_reverse_limit<T>(
        &self,
        spec: &Spec<K, V, T>,
        limit: usize,
    ) -> Result<Chunk<K, V, T>, EtsError> {
        Continuation::new(self, spec, limit, true)?.next()
    }

    /// How many objects a specification finds (`ets:select_count/2`).
    ///
    /// # Errors
    /// As those of [`Table::select`].
    pub fn select_count<T>(&self, spec: &Spec<K, V, T>) -> Result<usize, EtsError> {
        self.core().enter(Want::Read)?;
        let mut count = 0;
        self.each(spec, |key, rows| {
            let values = rows.as_slice().iter();
            count += values
                .filter(|value| spec.test(key, value).is_some())
                .count();
            Ok(())
        })?;
        Ok(count)
    }

    /// Deletes what a specification finds, and tells how many objects those were
    /// (`ets:select_delete/2`, `match_delete/2`).
    ///
    /// # Errors
    /// As those of [`Table::select`].
    pub fn select_delete<T>(&self, spec: &Spec<K, V, T>) -> Result<usize, EtsError> {
        self.core().enter(Want::Write)?;
        let mut count = 0;
        self.each(spec, |key, rows| {
            let mut values = rows.as_slice().to_vec();
            loop {
                values.retain(|value| spec.test(key, value).is_some());
                if values.is_empty() {
                    return Ok(());
                }
                let deleted = self.delete_exactly(key, &values)?;
                count += deleted;
                if deleted == values.len() {
                    return Ok(());
                }
                // Some were replaced meanwhile: what is there now counts.
                values = self.lookup(key)?;
            }
        })?;
        Ok(count)
    }

    /// Replaces each object a specification finds by what it makes of it, and tells how many
    /// (`ets:select_replace/2`). Not for bags, as in Erlang.
    ///
    /// # Errors
    /// [`EtsError::WrongKind`]: the table is a bag. [`EtsError::BadKey`]: a replacement has
    /// another key, says [`crate::ets::TableOptions::key_by`]; those before it stay replaced.
    pub fn select_replace(&self, spec: &Spec<K, V, V>) -> Result<usize, EtsError> {
        self.core().enter(Want::Write)?;
        if self.kind() == Kind::Bag {
            return Err(EtsError::WrongKind);
        }
        let mut count = 0;
        self.each(spec, |key, rows| {
            for value in rows.as_slice() {
                let mut seen = value.clone();
                while let Some(new) = spec.test(key, &seen) {
                    self.check_key(key, &new)?;
                    if self.swap(key, &seen, Arc::new(new))? {
                        count += 1;
                        break;
                    }
                    // In a set, somebody may have put another object there.
                    match self.get(key)? {
                        Some(now) if self.kind() != Kind::DuplicateBag => seen = now,
                        _ => break,
                    }
                }
            }
            Ok(())
        })?;
        Ok(count)
    }

    /// Walks over the keys a specification may find something under.
    fn each<T>(
        &self,
        spec: &Spec<K, V, T>,
        mut look: impl FnMut(&K, &Rows<V>) -> Result<(), EtsError>,
    ) -> Result<(), EtsError> {
        spec.check()?;
        if let Some(key) = spec.bound_key().filter(|_| !self.is_ordered()) {
            let values = self.lookup(key)?;
            return look(key, &Rows::Many(values));
        }
        let mut walk = Walk::new(self, spec.bounds.clone(), false);
        loop {
            let met = walk.next()?;
            if met.is_empty() {
                return Ok(());
            }
            for Met { key, rows, .. } in &met {
                look(key, rows)?;
            }
        }
    }

    /// Puts an object where another one is; `false` if that is not there any more.
    pub(super) fn swap(&self, key: &K, old: &Arc<V>, new: Arc<V>) -> Result<bool, EtsError> {
        let hash = self.inner.store.hash(key);
        let mut locked = self.write(hash)?;
        let Some(rows) = locked.get_mut(hash, key) else {
            return Ok(false);
        };
        let values = match rows {
            Rows::One(value) => std::slice::from_mut(value),
            Rows::Many(values) => values.as_mut_slice(),
        };
        let Some(found) = values.iter_mut().find(|value| Arc::ptr_eq(value, old)) else {
            return Ok(false);
        };
        // Whoever calls holds the old one, so nothing is dropped here.
        *found = new;
        Ok(true)
    }
}
