//! Keys of any type in one table.

use std::any::{Any, TypeId};
use std::hash::{Hash, Hasher};

/// A key whose type is known at run time only.
pub(super) trait DynKey: Send + Sync {
    fn as_any(&self) -> &dyn Any;
    fn is(&self, other: &dyn DynKey) -> bool;
    fn hash_into(&self, hasher: &mut dyn Hasher);
    /// Its own bytes.
    fn size(&self) -> usize;
}

impl<K: Hash + Eq + Any + Send + Sync> DynKey for K {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn is(&self, other: &dyn DynKey) -> bool {
        other.as_any().downcast_ref::<K>() == Some(self)
    }

    fn hash_into(&self, mut hasher: &mut dyn Hasher) {
        TypeId::of::<K>().hash(&mut hasher);
        self.hash(&mut hasher);
    }

    fn size(&self) -> usize {
        size_of::<K>()
    }
}

impl PartialEq for dyn DynKey {
    fn eq(&self, other: &dyn DynKey) -> bool {
        self.is(other)
    }
}

impl Eq for dyn DynKey {}

impl Hash for dyn DynKey {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.hash_into(hasher);
    }
}
