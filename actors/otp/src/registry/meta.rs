//! Metadata: a few typed values which belong to the registry itself.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::registry::options::MetaValue;
use crate::registry::{Key, MetaError, Registry, UnknownRegistry, Value};

/// Most keys of metadata a registry has. Policy at the limit: refused with [`MetaError::Full`].
pub const META_MAX: usize = 1024;

type Table = HashMap<Arc<str>, MetaValue>;

/// The metadata of one registry.
pub(super) struct Meta(RwLock<Table>);

impl Meta {
    pub(super) fn new(initial: &[(Arc<str>, MetaValue)]) -> Meta {
        Meta(RwLock::new(initial.iter().cloned().collect()))
    }

    /// Back to what the registry had at its start.
    pub(super) fn reset(&self, initial: &[(Arc<str>, MetaValue)]) {
        let fresh: Table = initial.iter().cloned().collect();
        let old = std::mem::replace(&mut *self.0.write(), fresh);
        drop(old);
    }
}

impl<K: Key, V: Value> Registry<K, V> {
    /// Metadata under a key, if there is some of this type (Elixir: `Registry.meta/2`).
    ///
    /// # Errors
    /// [`UnknownRegistry`]: the registry does not run.
    pub fn meta<T: Any + Send + Sync>(&self, key: &str) -> Result<Option<Arc<T>>, UnknownRegistry> {
        self.inner.check()?;
        let value = self.inner.meta.0.read().get(key).cloned();
        Ok(value.and_then(|value| value.downcast().ok()))
    }

    /// Stores metadata under a key, instead of what is there (Elixir: `Registry.put_meta/3`).
    ///
    /// # Errors
    /// [`MetaError::UnknownRegistry`]: the registry does not run. [`MetaError::Full`]: there are
    /// [`META_MAX`] other keys. Nothing is stored.
    pub fn put_meta<T: Any + Send + Sync>(
        &self,
        key: impl Into<Arc<str>>,
        value: T,
    ) -> Result<(), MetaError> {
        self.inner.check()?;
        let key = key.into();
        let mut table = self.inner.meta.0.write();
        if table.len() >= META_MAX && !table.contains_key(&key) {
            return Err(MetaError::Full);
        }
        let old = table.insert(key, Arc::new(value));
        drop(table);
        drop(old);
        Ok(())
    }

    /// Deletes metadata; no matter if there is none (Elixir: `Registry.delete_meta/2`).
    ///
    /// # Errors
    /// [`UnknownRegistry`]: the registry does not run.
    pub fn delete_meta(&self, key: &str) -> Result<(), UnknownRegistry> {
        self.inner.check()?;
        let old = self.inner.meta.0.write().remove(key);
        drop(old);
        Ok(())
    }
}
