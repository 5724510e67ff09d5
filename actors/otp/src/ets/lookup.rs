//! Looking at what is under a key.

use std::sync::Arc;

use crate::ets::core::Want;
use crate::ets::shard::Rows;
use crate::ets::store::Reading;
use crate::ets::{EtsError, Key, Table, Value};

impl<K: Key, V: Value> Table<K, V> {
    /// The object under a key, in a bag the first of them.
    ///
    /// # Errors
    /// [`EtsError::BadTable`], [`EtsError::AccessDenied`]; so for all that look.
    pub fn get(&self, key: &K) -> Result<Option<Arc<V>>, EtsError> {
        self.read(key, |rows| rows?.as_slice().first().cloned())
    }

    /// All objects under a key, in a bag in the order they were inserted in (`ets:lookup/2`).
    pub fn lookup(&self, key: &K) -> Result<Vec<Arc<V>>, EtsError> {
        self.read(key, |rows| {
            rows.map_or_else(Vec::new, |rows| rows.as_slice().to_vec())
        })
    }

    /// Lets a closure look at the object under a key, without holding anybody up; in a bag at
    /// the first of them.
    pub fn with<T>(&self, key: &K, look: impl FnOnce(&V) -> T) -> Result<Option<T>, EtsError> {
        Ok(self.get(key)?.map(|value| look(&value)))
    }

    /// Whether there is an object under a key (`ets:member/2`).
    pub fn member(&self, key: &K) -> Result<bool, EtsError> {
        self.read(key, |rows| rows.is_some())
    }

    /// A part of each object under a key (`ets:lookup_element/3`).
    ///
    /// # Errors
    /// [`EtsError::BadKey`]: there is none.
    pub fn lookup_element<T>(
        &self,
        key: &K,
        element: impl FnMut(&V) -> T,
    ) -> Result<Vec<T>, EtsError> {
        let elements = self.elements(key, element)?;
        elements.ok_or(EtsError::BadKey)
    }

    /// A part of each object under a key, or, if there is none, a default
    /// (`ets:lookup_element/4`, since OTP 26).
    pub fn lookup_element_or<T>(
        &self,
        key: &K,
        default: T,
        element: impl FnMut(&V) -> T,
    ) -> Result<Vec<T>, EtsError> {
        let elements = self.elements(key, element)?;
        Ok(elements.unwrap_or_else(|| vec![default]))
    }

    fn elements<T>(
        &self,
        key: &K,
        mut element: impl FnMut(&V) -> T,
    ) -> Result<Option<Vec<T>>, EtsError> {
        let values = self.lookup(key)?;
        let elements: Vec<T> = values.iter().map(|value| element(value)).collect();
        Ok((!elements.is_empty()).then_some(elements))
    }

    fn read<T>(&self, key: &K, look: impl FnOnce(Option<&Rows<V>>) -> T) -> Result<T, EtsError> {
        self.core().enter(Want::Read)?;
        let hash = self.inner.store.hash(key);
        let locked: Reading<'_, K, V> = self.inner.store.read(hash);
        self.core().alive()?;
        Ok(look(locked.get(hash, key)))
    }
}
