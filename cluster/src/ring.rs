//! The consistent-hash ring: key → node, pure.
//!
//! ```text
//!        0 ──●──────○───●──○────────●─────○── 2⁶⁴    ● ○  virtual nodes of two members
//!                ▲ hash(key): the next virtual node clockwise owns it
//! ```
//!
//! Every member has [`VIRTUAL_NODES`] points per unit of weight, at the xxh3 hash of its name and
//! the point's number; so the ring is the same on every node that knows the same members, and a
//! member that comes or goes moves only the keys it takes or leaves behind. Overrides pin single
//! keys (a hot guild) to a member. The generation before the last change is kept: a hand-off asks
//! it where a key was.

use std::collections::BTreeMap;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

/// Points per member and unit of weight: with 256, eight members differ by some per cent in load.
pub const VIRTUAL_NODES: u32 = 256;

/// Greatest weight of a member; larger ones count as this. Bounds the ring's size.
pub const WEIGHT_MAX: u32 = 64;

/// Most overrides; further ones are refused: pins are for the few hot keys, and every node holds
/// all of them.
pub const OVERRIDES_MAX: usize = 10_000;

/// Which member owns which key. A value: changes make a new ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ring {
    generation: u64,
    members: BTreeMap<Arc<str>, u32>,
    points: Vec<(u64, Arc<str>)>,
    overrides: BTreeMap<u64, Arc<str>>,
    previous: Option<Box<Ring>>,
}

impl Ring {
    /// A ring of these members with their weights (0 = owns nothing); generation 1.
    pub fn new<N: Into<Arc<str>>>(members: impl IntoIterator<Item = (N, u32)>) -> Self {
        let members = members
            .into_iter()
            .map(|(name, weight)| (name.into(), weight.min(WEIGHT_MAX)));
        let members: BTreeMap<Arc<str>, u32> = members.collect();
        Self {
            generation: 1,
            points: points(&members),
            members,
            overrides: BTreeMap::new(),
            previous: None,
        }
    }

    /// How many changes the ring has seen; a greater one is newer.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Members and weights, in name order.
    pub fn members(&self) -> impl Iterator<Item = (&str, u32)> {
        self.members.iter().map(|(name, weight)| (&**name, *weight))
    }

    /// Who owns `key`; `None` when no member has weight.
    pub fn owner(&self, key: u64) -> Option<&Arc<str>> {
        if let Some(pinned) = self.overrides.get(&key) {
            return Some(pinned);
        }
        let hash = xxh3_64(&key.to_be_bytes());
        let at = self.points.partition_point(|(point, _)| *point < hash);
        self.points
            .get(at)
            .or_else(|| self.points.first())
            .map(|(_, name)| name)
    }

    /// Who owned `key` before the last change.
    pub fn previous_owner(&self, key: u64) -> Option<&Arc<str>> {
        self.previous.as_ref()?.owner(key)
    }

    /// The ring after members came, went or changed weight. Pins on members that are gone go too.
    #[must_use]
    pub fn with_members<N: Into<Arc<str>>>(
        &self,
        members: impl IntoIterator<Item = (N, u32)>,
    ) -> Self {
        let mut next = Self::new(members);
        next.overrides = self.overrides.clone();
        next.overrides
            .retain(|_, name| next.members.contains_key(name));
        self.followed_by(next)
    }

    /// The ring with `key` pinned to a member whatever the hash says. Unchanged when the member is
    /// unknown or [`OVERRIDES_MAX`] keys are pinned.
    #[must_use]
    pub fn pinned(&self, key: u64, member: &str) -> Self {
        let full = self.overrides.len() >= OVERRIDES_MAX && !self.overrides.contains_key(&key);
        let Some((name, _)) = self.members.get_key_value(member).filter(|_| !full) else {
            return self.clone();
        };
        let mut next = self.clone();
        next.overrides.insert(key, Arc::clone(name));
        self.followed_by(next)
    }

    /// The ring with `key` where the hash says. Unchanged when it was not pinned.
    #[must_use]
    pub fn unpinned(&self, key: u64) -> Self {
        if !self.overrides.contains_key(&key) {
            return self.clone();
        }
        let mut next = self.clone();
        next.overrides.remove(&key);
        self.followed_by(next)
    }

    fn followed_by(&self, mut next: Self) -> Self {
        next.generation = self.generation + 1;
        // One generation back is enough for a hand-off, and more would pile up.
        next.previous = Some(Box::new(Self {
            previous: None,
            ..self.clone()
        }));
        next
    }
}

fn points(members: &BTreeMap<Arc<str>, u32>) -> Vec<(u64, Arc<str>)> {
    let mut points: Vec<(u64, Arc<str>)> = members
        .iter()
        .flat_map(|(name, weight)| {
            (0..weight * VIRTUAL_NODES).map(move |number| (point(name, number), Arc::clone(name)))
        })
        .collect();
    // Two members at one point are ordered by name, on every node the same.
    points.sort_unstable();
    points.dedup_by_key(|(hash, _)| *hash);
    points
}

fn point(name: &str, number: u32) -> u64 {
    let mut bytes = Vec::with_capacity(name.len() + 4);
    bytes.extend_from_slice(name.as_bytes());
    bytes.extend_from_slice(&number.to_be_bytes());
    xxh3_64(&bytes)
}

#[cfg(test)]
mod tests;
