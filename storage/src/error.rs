//! What can go wrong in the store, by what the caller knows afterwards.

/// A failed read or write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The row the operation needs is not there. Nothing was changed.
    #[error("not found")]
    NotFound,
    /// A unique value is taken. Nothing was changed.
    #[error("conflict: {0} is taken")]
    Conflict(&'static str),
    /// Too much work is queued. Nothing was changed; try again later.
    #[error("the store is busy; nothing was changed, try again later")]
    Busy,
    /// The disk has no room but its reserve. Nothing was changed; writes are taken again, without a
    /// restart, when an operator has made room.
    #[error("the disk is full; nothing was changed: {0}")]
    Full(String),
    /// The write was not applied; trying again is safe.
    #[error("not applied: {0}")]
    NotApplied(String),
    /// More at once than the store takes. Nothing was changed; trying again as it is is useless, smaller
    /// parts may do.
    #[error("too large for the store, nothing was changed: {0}")]
    TooLarge(String),
    /// The guild was claimed under a higher epoch ([`crate::fence`]). Nothing was changed, and never
    /// will be under this epoch: the caller owns the guild no more and must stop serving it.
    #[error("fenced off: the guild was claimed under a higher epoch; nothing was changed")]
    Fenced,
    /// It is not known whether the write was applied; read before trying again.
    #[error("outcome unknown: {0}")]
    Unknown(String),
    /// The store takes no more writes (a failed sync), or a file of it cannot be read. Nothing was
    /// changed; only a fresh start can tell what the disk holds, see [`crate::Store::mended`].
    #[error("the store is broken: {0}")]
    Broken(String),
    /// A stored value could not be decoded. Nothing was changed.
    #[error("corrupt row: {0}")]
    Corrupt(String),
}
