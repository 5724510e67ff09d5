//! Changing what is under a key: by a closure, and counters.

use std::sync::Arc;

use crate::ets::core::Want;
use crate::ets::shard::Rows;
use crate::ets::store::Writing;
use crate::ets::table::Remains;
use crate::ets::{EtsError, Key, Kind, Table, Value};

/// A value with counters in it, which [`Table::update_counter`] finds by their position, from 0.
/// Called while a part of the table is locked.
pub trait CounterFields: Value + Clone {
    /// The counter at a position; `None` if there is none.
    fn counter(&mut self, position: usize) -> Option<&mut i64>;
}

impl CounterFields for i64 {
    fn counter(&mut self, position: usize) -> Option<&mut i64> {
        (position == 0).then_some(self)
    }
}

impl CounterFields for Vec<i64> {
    fn counter(&mut self, position: usize) -> Option<&mut i64> {
        self.get_mut(position)
    }
}

impl<const N: usize> CounterFields for [i64; N] {
    fn counter(&mut self, position: usize) -> Option<&mut i64> {
        self.get_mut(position)
    }
}

/// One operation on one counter of an object (`ets:update_counter/3`: `UpdateOp`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    position: usize,
    increment: i64,
    limit: Option<(i64, i64)>,
}

impl Count {
    /// Adds to the first counter.
    pub const fn by(increment: i64) -> Count {
        Count {
            position: 0,
            increment,
            limit: None,
        }
    }

    /// The counter at this position, from 0.
    pub const fn at(mut self, position: usize) -> Count {
        self.position = position;
        self
    }

    /// Sets the counter to `reset` if it is past `threshold` then: above it, or, if something
    /// negative was added, below it.
    pub const fn limit(mut self, threshold: i64, reset: i64) -> Count {
        self.limit = Some((threshold, reset));
        self
    }

    fn apply<V: CounterFields>(self, value: &mut V) -> Result<i64, EtsError> {
        let counter = value.counter(self.position).ok_or(EtsError::BadPosition)?;
        let mut sum = counter
            .checked_add(self.increment)
            .ok_or(EtsError::Overflow)?;
        if let Some((threshold, reset)) = self.limit {
            let past = if self.increment < 0 {
                sum < threshold
            } else {
                sum > threshold
            };
            if past {
                sum = reset;
            }
        }
        *counter = sum;
        Ok(sum)
    }
}

impl<K: Key, V: Value> Table<K, V> {
    /// Changes the object under a key and gives what the closure gives; `None` if there is none
    /// (`ets:update_element/3`, and more). At one moment: if somebody else changed it meanwhile,
    /// the closure is asked again about the new one. It runs outside of all locks, on a copy;
    /// those who hold the object keep what they have.
    ///
    /// # Errors
    /// [`EtsError::WrongKind`]: the table is a bag. [`EtsError::BadKey`]: the closure has changed
    /// the key, says [`crate::ets::TableOptions::key_by`]; the object is as it was.
    pub fn update<T>(
        &self,
        key: &K,
        mut change: impl FnMut(&mut V) -> T,
    ) -> Result<Option<T>, EtsError>
    where
        V: Clone,
    {
        self.check_update()?;
        while let Some(seen) = self.get(key)? {
            let (new, result) = self.changed(key, &seen, &mut change)?;
            if self.swap(key, &seen, new)? {
                return Ok(Some(result));
            }
        }
        Ok(None)
    }

    /// [`Table::update`]; if there is no object under the key, a default is changed and inserted
    /// (`ets:update_element/4`, since OTP 27).
    ///
    /// # Errors
    /// As those of [`Table::update`]; [`EtsError::Full`].
    pub fn update_or<T>(
        &self,
        key: &K,
        default: V,
        mut change: impl FnMut(&mut V) -> T,
    ) -> Result<T, EtsError>
    where
        V: Clone,
    {
        let default = Arc::new(default);
        loop {
            if let Some(result) = self.update(key, &mut change)? {
                return Ok(result);
            }
            let (new, result) = self.changed(key, &default, &mut change)?;
            if self.insert_new_shared(key.clone(), new)? {
                return Ok(result);
            }
        }
    }

    fn changed<T>(
        &self,
        key: &K,
        seen: &V,
        change: &mut impl FnMut(&mut V) -> T,
    ) -> Result<(Arc<V>, T), EtsError>
    where
        V: Clone,
    {
        let mut new = seen.clone();
        let result = change(&mut new);
        self.check_key(key, &new)?;
        Ok((Arc::new(new), result))
    }

    fn check_update(&self) -> Result<(), EtsError> {
        self.core().enter(Want::Write)?;
        match self.kind() {
            Kind::Set | Kind::OrderedSet => Ok(()),
            Kind::Bag | Kind::DuplicateBag => Err(EtsError::WrongKind),
        }
    }

    /// Adds to counters of the object under a key, in the order of the list, and gives what each
    /// has become (`ets:update_counter/3`). All or nothing, and nobody sees a part of it. Erlang's
    /// integers have no end; here a sum that does not fit is refused.
    ///
    /// # Errors
    /// [`EtsError::BadKey`]: there is no such object. [`EtsError::BadPosition`]: it has no such
    /// counter. [`EtsError::Overflow`]. [`EtsError::WrongKind`]: the table is a bag. Nothing has
    /// changed.
    pub fn update_counter(&self, key: &K, counts: &[Count]) -> Result<Vec<i64>, EtsError>
    where
        V: CounterFields,
    {
        self.check_update()?;
        let hash = self.inner.store.hash(key);
        let mut remains = Remains::new();
        let mut locked = self.write(hash)?;
        let found = self.count_in(&mut locked, hash, key, counts, &mut remains);
        drop(locked);
        found?.ok_or(EtsError::BadKey)
    }

    /// [`Table::update_counter`]; if there is no object under the key, a default is inserted
    /// first (`ets:update_counter/4`).
    ///
    /// # Errors
    /// As those of [`Table::update_counter`]; [`EtsError::Full`].
    pub fn update_counter_or(
        &self,
        key: &K,
        counts: &[Count],
        default: V,
    ) -> Result<Vec<i64>, EtsError>
    where
        V: CounterFields,
    {
        self.check_update()?;
        self.check_key(key, &default)?;
        let hash = self.inner.store.hash(key);
        let mut remains = Remains::new();
        let mut default = default;
        let mut locked = self.write(hash)?;
        let found = self.count_in(&mut locked, hash, key, counts, &mut remains);
        let result = match found {
            Ok(None) => count_all(counts, &mut default).and_then(|sums| {
                self.check_key(key, &default)?;
                self.core().reserve(1)?;
                let value = Arc::new(default);
                self.place_reserved(&mut locked, hash, key.clone(), value, &mut remains);
                Ok(sums)
            }),
            Ok(Some(sums)) => Ok(sums),
            Err(error) => Err(error),
        };
        drop(locked);
        result
    }

    /// Adds to the first counter under a key, and gives what it has become.
    ///
    /// # Errors
    /// As those of [`Table::update_counter`].
    pub fn count(&self, key: &K, increment: i64) -> Result<i64, EtsError>
    where
        V: CounterFields,
    {
        let sums = self.update_counter(key, &[Count::by(increment)])?;
        sums.first().copied().ok_or(EtsError::BadPosition)
    }

    /// Counts in the object that is there, if there is one.
    fn count_in(
        &self,
        locked: &mut Writing<'_, K, V>,
        hash: u64,
        key: &K,
        counts: &[Count],
        remains: &mut Remains<K, V>,
    ) -> Result<Option<Vec<i64>>, EtsError>
    where
        V: CounterFields,
    {
        let Some(Rows::One(value)) = locked.get_mut(hash, key) else {
            return Ok(None);
        };
        if let ([count], None) = (counts, &self.inner.key_of) {
            // In place, unless somebody looks at it.
            let sum = count.apply(Arc::make_mut(value))?;
            return Ok(Some(vec![sum]));
        }
        let mut new = V::clone(value);
        let sums = count_all(counts, &mut new)?;
        self.check_key(key, &new)?;
        remains.values.push(std::mem::replace(value, Arc::new(new)));
        Ok(Some(sums))
    }
}

fn count_all<V: CounterFields>(counts: &[Count], value: &mut V) -> Result<Vec<i64>, EtsError> {
    counts.iter().map(|count| count.apply(value)).collect()
}
