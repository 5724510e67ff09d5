//! Values that everybody reads and hardly anybody writes (Erlang: `persistent_term`; Discord:
//! `FastGlobal`).
//!
//! ```text
//!   readers ──get──▶ ┌ snapshot: key → Arc<value> ┐ ◀── put, erase: a changed copy of it
//! ```
//!
//! | Erlang's manual | here |
//! |---|---|
//! | "suitable for storing Erlang terms that are frequently accessed but never or infrequently updated" | The same: a put copies the table (not the values). |
//! | "the term … is not copied to the heap of the process", lookups in constant time "without taking any locks" | The same: [`PersistentTerms::get`] gives the one `Arc`, and never waits for a writer. |
//! | "If the value of the old term is equal … `put/2` will do nothing quickly." | The same, for values that can be compared; see [`PersistentTerms::put_shared`] for others. |
//! | A replaced term is freed by a global garbage collection of all processes. | It is freed when the last reader drops it. |
//! | `get/1` of a missing key: `badarg` | [`TermError::Missing`] |
//! | Any term is a key. | Any hashable type is; keys of different types are different keys. |
//! | One table for the whole node. | A value, which a node owns; clones share it. |
//!
//! ```
//! use otp::persistent_term::PersistentTerms;
//!
//! let terms = PersistentTerms::new();
//! terms.put("limits", vec![1, 2, 3])?;
//! let limits = terms.get::<_, Vec<i32>>(&"limits")?;
//! assert_eq!(limits.len(), 3);
//! assert_eq!(terms.find::<_, Vec<i32>>(&"unset"), None);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use thiserror::Error;

use crate::persistent_term::key::DynKey;

mod key;

#[cfg(test)]
mod tests;

/// Most terms of one table. Policy at the limit: a put of a new key is refused with
/// [`TermError::Full`].
pub const TERMS_MAX: usize = 100_000;

/// Why a term was not read or not stored. The table is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TermError {
    /// There is no term under the key.
    #[error("there is no term under this key")]
    Missing,
    /// The term under the key is of another type.
    #[error("the term under this key is of another type")]
    OtherType,
    /// A different term is stored under the key already.
    #[error("another term is stored under this key")]
    Exists,
    /// There are [`TERMS_MAX`] terms.
    #[error("too many terms")]
    Full,
}

/// What [`PersistentTerms::info`] tells (`persistent_term:info/0`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TermsInfo {
    /// How many terms.
    pub count: usize,
    /// Bytes of the table, the keys and the values themselves. What a value points to, such as
    /// the text of a `String`, is not known and not in it.
    pub memory: usize,
}

/// One term of the table, as it was when the table was looked at.
#[derive(Clone)]
pub struct Term {
    key: Arc<dyn DynKey>,
    value: Arc<dyn Any + Send + Sync>,
}

impl Term {
    /// The key, if it is a `K`.
    pub fn key<K: Any>(&self) -> Option<&K> {
        (*self.key).as_any().downcast_ref()
    }

    /// The value, if it is a `T`.
    pub fn value<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.value.clone().downcast().ok()
    }

    fn memory(&self) -> usize {
        // Two counters of each of two `Arc`s, and the slot of the table.
        let counts = 4 * size_of::<usize>();
        size_of::<(Arc<dyn DynKey>, Term)>()
            + counts
            + (*self.key).size()
            + size_of_val(&*self.value)
    }
}

impl fmt::Debug for Term {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Term")
    }
}

type Table = HashMap<Arc<dyn DynKey>, Term>;

/// A table of terms. Cloning is cheap and names the same table.
#[derive(Clone, Default)]
pub struct PersistentTerms {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    table: ArcSwap<Table>,
    /// One writer at a time. Readers do not know of it.
    writer: Mutex<()>,
}

/// Whether two values are the same to the table.
type Same<'a> = &'a dyn Fn(&Arc<dyn Any + Send + Sync>) -> bool;

impl PersistentTerms {
    /// An empty table.
    pub fn new() -> PersistentTerms {
        PersistentTerms::default()
    }

    /// Stores a term, instead of what is under the key. Readers who hold the old one keep it. If
    /// an equal one is there, nothing is done: readers keep getting the same allocation
    /// (`persistent_term:put/2`).
    ///
    /// # Errors
    /// [`TermError::Full`]: it is not stored.
    pub fn put<K, T>(&self, key: K, value: T) -> Result<(), TermError>
    where
        K: Hash + Eq + Any + Send + Sync,
        T: PartialEq + Any + Send + Sync,
    {
        let value = Arc::new(value);
        let same = value.clone();
        self.store(key, value, &|old| {
            old.downcast_ref::<T>().is_some_and(|old| *old == *same)
        })
    }

    /// Stores a term that is shared already, or cannot be compared: only the very same allocation
    /// counts as equal.
    ///
    /// # Errors
    /// [`TermError::Full`]: it is not stored.
    pub fn put_shared<K, T>(&self, key: K, value: Arc<T>) -> Result<(), TermError>
    where
        K: Hash + Eq + Any + Send + Sync,
        T: Any + Send + Sync,
    {
        let same = value.clone();
        self.store(key, value, &|old| {
            let old = old.clone().downcast::<T>();
            old.is_ok_and(|old| Arc::ptr_eq(&old, &same))
        })
    }

    /// Stores a term unless there is one under the key. An equal one that is there is fine
    /// (`persistent_term:put_new/2`).
    ///
    /// # Errors
    /// [`TermError::Exists`]: another one is there and stays. [`TermError::Full`].
    pub fn put_new<K, T>(&self, key: K, value: T) -> Result<(), TermError>
    where
        K: Hash + Eq + Any + Send + Sync,
        T: PartialEq + Any + Send + Sync,
    {
        let key: Arc<dyn DynKey> = Arc::new(key);
        let value: Arc<dyn Any + Send + Sync> = Arc::new(value);
        let exists = |old: &Term| {
            let equal = old.value.downcast_ref::<T>() == value.downcast_ref::<T>();
            if equal {
                Ok(())
            } else {
                Err(TermError::Exists)
            }
        };
        if let Some(old) = self.inner.table.load().get(&key) {
            return exists(old);
        }
        let key_again = key.clone();
        let stored = self.change(|table| {
            if let Some(old) = table.get(&key) {
                return Err(Some(old.clone()));
            }
            if table.len() >= TERMS_MAX {
                return Err(None);
            }
            let term = Term {
                key: key_again.clone(),
                value: value.clone(),
            };
            let mut table = table.clone();
            table.insert(key_again, term);
            Ok(table)
        });
        match stored {
            Ok(()) => Ok(()),
            Err(Some(old)) => exists(&old),
            Err(None) => Err(TermError::Full),
        }
    }

    /// The term under a key (`persistent_term:get/1`): the allocation itself, not a copy.
    ///
    /// # Errors
    /// [`TermError::Missing`], [`TermError::OtherType`].
    pub fn get<K, T>(&self, key: &K) -> Result<Arc<T>, TermError>
    where
        K: Hash + Eq + Any + Send + Sync,
        T: Any + Send + Sync,
    {
        let table = self.inner.table.load();
        let term = table.get(key as &dyn DynKey).ok_or(TermError::Missing)?;
        term.value().ok_or(TermError::OtherType)
    }

    /// The term under a key, if there is one of this type (`FastGlobal.get/1`).
    pub fn find<K, T>(&self, key: &K) -> Option<Arc<T>>
    where
        K: Hash + Eq + Any + Send + Sync,
        T: Any + Send + Sync,
    {
        self.get(key).ok()
    }

    /// The term under a key, or else the default (`persistent_term:get/2`).
    ///
    /// # Errors
    /// [`TermError::OtherType`]: there is a term, of another type than the default.
    pub fn get_or<K, T>(&self, key: &K, default: impl Into<Arc<T>>) -> Result<Arc<T>, TermError>
    where
        K: Hash + Eq + Any + Send + Sync,
        T: Any + Send + Sync,
    {
        match self.get(key) {
            Err(TermError::Missing) => Ok(default.into()),
            found => found,
        }
    }

    /// Removes a term; `false` if there is none (`persistent_term:erase/1`).
    pub fn erase<K>(&self, key: &K) -> bool
    where
        K: Hash + Eq + Any + Send + Sync,
    {
        let key: &dyn DynKey = key;
        let erased = self.change(|table| {
            if !table.contains_key(key) {
                return Err(());
            }
            let mut table = table.clone();
            table.remove(key);
            Ok(table)
        });
        erased.is_ok()
    }

    /// All terms at one moment, in no order (`persistent_term:get/0`).
    pub fn all(&self) -> Vec<Term> {
        self.inner.table.load().values().cloned().collect()
    }

    /// How much there is (`persistent_term:info/0`). Walks over the table.
    pub fn info(&self) -> TermsInfo {
        let table = self.inner.table.load();
        TermsInfo {
            count: table.len(),
            memory: size_of::<Inner>() + table.values().map(Term::memory).sum::<usize>(),
        }
    }

    fn store<K: Hash + Eq + Any + Send + Sync>(
        &self,
        key: K,
        value: Arc<dyn Any + Send + Sync>,
        same: Same<'_>,
    ) -> Result<(), TermError> {
        let key: Arc<dyn DynKey> = Arc::new(key);
        loop {
            // Compared without a lock: to compare is the user's code.
            let seen = self.inner.table.load().get(&key).cloned();
            if seen.as_ref().is_some_and(|seen| same(&seen.value)) {
                return Ok(());
            }
            let stored = self.change(|table| {
                let old = table.get(&key);
                let changed = match (old, &seen) {
                    (Some(old), Some(seen)) => !Arc::ptr_eq(&old.value, &seen.value),
                    (None, None) => false,
                    _ => true,
                };
                if changed {
                    return Err(None);
                }
                if old.is_none() && table.len() >= TERMS_MAX {
                    return Err(Some(TermError::Full));
                }
                let key = old.map_or_else(|| key.clone(), |old| old.key.clone());
                let mut table = table.clone();
                let (term_key, value) = (key.clone(), value.clone());
                table.insert(
                    key,
                    Term {
                        key: term_key,
                        value,
                    },
                );
                Ok(table)
            });
            match stored {
                Ok(()) => return Ok(()),
                Err(Some(error)) => return Err(error),
                // Somebody else put this key meanwhile: compare with that.
                Err(None) => {}
            }
        }
    }

    /// Makes a changed copy of the table, if there is one.
    fn change<E>(&self, change: impl FnOnce(&Table) -> Result<Table, E>) -> Result<(), E> {
        let old = {
            let _writer = self.inner.writer.lock();
            let table = change(&self.inner.table.load())?;
            self.inner.table.swap(Arc::new(table))
        };
        // Outside the lock: this may drop values, which is the user's code.
        drop(old);
        Ok(())
    }
}

impl fmt::Debug for PersistentTerms {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "PersistentTerms({})",
            self.inner.table.load().len()
        )
    }
}
