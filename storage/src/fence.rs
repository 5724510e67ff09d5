//! Fencing: of all who believe that a guild is theirs, one at most is told that a write was made.
//!
//! ```text
//!   old owner                 store: guild ▶ epoch              new owner
//!   Fence(7, 4) + writes ─▶  7 ▶ 4: made
//!                             7 ▶ 5  ◀──────────────────────── claim(7, 5)
//!                                    ◀──────────────────────── reads, then serves
//!   Fence(7, 4) + writes ─▶  refused: StoreError::Fenced
//! ```
//!
//! An owner claims a guild ([`crate::Store::claim`]), reads it, and then serves it; each batch it
//! writes carries a [`crate::store::Write::Fence`] with its epoch. What was acknowledged to an owner
//! before is seen by the reads after the claim, and nothing is acknowledged to it after. A lease or a
//! lock alone cannot do that: its holder may sleep for a minute between a look at the clock and the
//! write. Why it is enough on a cluster, and what is not covered: `docs/adr/0009-fencing-by-epoch.md`.

/// Which ownership of a guild, in the order they began: a higher one fences all lower ones off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

impl Epoch {
    /// Of a guild that was never claimed.
    pub const NONE: Self = Self(0);

    /// The next higher one.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl std::fmt::Display for Epoch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
