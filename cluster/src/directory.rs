//! The directory: key → owning node by the ring → process there.
//!
//! ```text
//! guild 7 ──▶ Ring ──this node──▶ Registry ──▶ running process, or: start it here
//!               └──another node──▶ Elsewhere: ask there
//! ```
//!
//! Not a process: lookups read shared tables and ask nobody. The registry's entries are bounded by
//! the processes of the node.

use std::hash::Hash;
use std::sync::Arc;

use otp::{Node, Pid, Registry};
use parking_lot::RwLock;

use crate::ring::Ring;

/// Where the process of a key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Located {
    /// It runs here.
    Running(Pid),
    /// It belongs here and does not run: start it.
    Here,
    /// It belongs to another node.
    Elsewhere(Arc<str>),
    /// No node of the cluster takes keys.
    Nowhere,
}

/// Finds the process of a key; clones share it.
pub struct Directory<K> {
    here: Arc<str>,
    ring: Arc<RwLock<Arc<Ring>>>,
    registry: Registry<K>,
    hashed: fn(&K) -> u64,
}

impl<K: Hash + Eq + Clone + Send + Sync + 'static> Directory<K> {
    /// The directory of a node that is alone: it owns every key. `hashed` gives the number of a
    /// key that the ring hashes.
    pub fn single(node: &Node, hashed: fn(&K) -> u64) -> Self {
        Self::new(node, Ring::new([(node.name(), 1)]), hashed)
    }

    /// The directory of `node` in a cluster whose ring is `ring`.
    pub fn new(node: &Node, ring: Ring, hashed: fn(&K) -> u64) -> Self {
        Self {
            here: node.name().into(),
            ring: Arc::new(RwLock::new(Arc::new(ring))),
            registry: Registry::new(node),
            hashed,
        }
    }

    /// Where processes register themselves under their key.
    pub fn registry(&self) -> &Registry<K> {
        &self.registry
    }

    /// The ring as it is now.
    pub fn ring(&self) -> Arc<Ring> {
        Arc::clone(&self.ring.read())
    }

    /// Takes over a newer ring; an older one, or one of the same generation, is ignored. Tells
    /// whether it was taken.
    pub fn set_ring(&self, ring: Ring) -> bool {
        let mut current = self.ring.write();
        let newer = ring.generation() > current.generation();
        if newer {
            *current = Arc::new(ring);
        }
        newer
    }

    /// Where the process of `key` is.
    pub fn locate(&self, key: &K) -> Located {
        let ring = self.ring();
        match ring.owner((self.hashed)(key)) {
            None => Located::Nowhere,
            Some(owner) if *owner != self.here => Located::Elsewhere(Arc::clone(owner)),
            Some(_) => self
                .registry
                .lookup(key)
                .map_or(Located::Here, Located::Running),
        }
    }
}

impl<K> Clone for Directory<K> {
    fn clone(&self) -> Self {
        Self {
            here: Arc::clone(&self.here),
            ring: Arc::clone(&self.ring),
            registry: self.registry.clone(),
            hashed: self.hashed,
        }
    }
}

impl<K> std::fmt::Debug for Directory<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Directory")
            .field("here", &self.here)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
