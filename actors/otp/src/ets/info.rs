//! What a table tells of itself (`ets:info/1`).

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use crate::ets::{Kind, Protection, WriteConcurrency};
use crate::pid::Pid;

/// The identity of a table of a node; never used again for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(pub(super) u64);

impl fmt::Display for TableId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "table {}", self.0)
    }
}

/// What is known of a table (`ets:info/1`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableInfo {
    /// The table.
    pub id: TableId,
    /// Its name: what others find it by if it is `named`, else a label for people.
    pub name: Option<Arc<str>>,
    /// Whether the name finds it.
    pub named: bool,
    /// Set, ordered set, bag or duplicate bag.
    pub kind: Kind,
    /// What others may do.
    pub protection: Protection,
    /// Whose it is.
    pub owner: Pid,
    /// Who gets it when its owner ends.
    pub heir: Option<Pid>,
    /// How many objects there are.
    pub size: usize,
    /// Bytes of the table, its keys and its values. What they point to, such as the text of a
    /// `String`, is not known and not in it.
    pub memory: usize,
    /// Whether it was made for many readers.
    pub read_concurrency: bool,
    /// Whether it was made for many writers.
    pub write_concurrency: WriteConcurrency,
    /// How many objects it may have.
    pub rows_max: usize,
    /// Whether somebody walks over it: a fix, a select, a fold or a continuation.
    pub fixed: bool,
    /// Who has it fixed, and how often.
    pub fixed_by: Vec<(Pid, usize)>,
    /// Since when it has been fixed without a pause.
    pub fixed_since: Option<SystemTime>,
    /// Deleted keys that are kept until nobody walks any more.
    pub graves: usize,
}
