//! The members of a guild as its process sees them: those that are settled, and over them the
//! changes that are on their way.
//!
//! ```text
//!  put, remove ──▶ recent: user → row, number ──▶ get: what is recent, else what is settled
//!                     │ settled up to n: leaves         ▲
//!                     ▼                                 │
//!                  (nothing: the lane has put it into)──┴─ settled: the member table
//! ```
//!
//! What is recent dies with the process; the table holds what became durable, see
//! [`crate::guild::members`]. Without a node (in tests of the rules) the settled ones are a map of
//! this value's own.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use model::UserId;

use crate::guild::members::{Gone, MemberTable, Row};

/// The members of a guild.
#[derive(Debug)]
pub(super) struct Members {
    settled: Settled,
    /// Changes that may not be settled yet; at most as many as the lane has room for.
    recent: HashMap<UserId, Recent>,
    /// The numbers of those, rising; a user may be in it several times.
    order: VecDeque<(u64, UserId)>,
    /// How many members there are.
    len: usize,
}

#[derive(Debug)]
enum Settled {
    Table {
        table: MemberTable,
        /// The table was found gone: what was answered since is not to be believed.
        gone: AtomicBool,
    },
    Own(BTreeMap<UserId, Arc<Row>>),
}

#[derive(Debug, Clone, PartialEq)]
struct Recent {
    number: u64,
    row: Option<Arc<Row>>,
}

impl Settled {
    fn seen<T>(&self, found: Result<T, Gone>) -> Option<T> {
        match (found, self) {
            (Ok(found), _) => Some(found),
            (Err(Gone), Self::Table { gone, .. }) => {
                gone.store(true, Ordering::Relaxed);
                None
            }
            (Err(Gone), Self::Own(_)) => None,
        }
    }

    fn get(&self, user: UserId) -> Option<Arc<Row>> {
        match self {
            Self::Table { table, .. } => self.seen(table.get(user)).flatten(),
            Self::Own(rows) => rows.get(&user).cloned(),
        }
    }

    fn first(&self, limit: usize) -> Vec<Arc<Row>> {
        match self {
            Self::Table { table, .. } => self.seen(table.page(None, limit)).unwrap_or_default(),
            Self::Own(rows) => rows.values().take(limit).cloned().collect(),
        }
    }
}

impl Members {
    /// Members of this value's own.
    pub(super) fn own(rows: impl IntoIterator<Item = Row>) -> Self {
        let rows = rows.into_iter().map(|row| (row.record.user_id, row.into()));
        let rows: BTreeMap<UserId, Arc<Row>> = rows.collect();
        Self {
            len: rows.len(),
            settled: Settled::Own(rows),
            recent: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// The members in a table that somebody else keeps up to date.
    pub(super) fn of_table(table: MemberTable) -> Self {
        let len = table.len();
        Self {
            len: len.unwrap_or_default(),
            settled: Settled::Table {
                table,
                gone: AtomicBool::new(len.is_none()),
            },
            recent: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// The table, if it is one and is there.
    pub(super) fn table(&self) -> Option<&MemberTable> {
        match &self.settled {
            Settled::Table { table, .. } => {
                self.settled.seen(table.len().ok_or(Gone))?;
                Some(table)
            }
            Settled::Own(_) => None,
        }
    }

    /// Whether the table was found gone: then what was read may be wrong, and nothing that follows
    /// from it may be told or done.
    pub(super) fn is_gone(&self) -> bool {
        match &self.settled {
            Settled::Table { gone, .. } => gone.load(Ordering::Relaxed),
            Settled::Own(_) => false,
        }
    }

    pub(super) fn get(&self, user: &UserId) -> Option<Arc<Row>> {
        match self.recent.get(user) {
            Some(recent) => recent.row.clone(),
            None => self.settled.get(*user),
        }
    }

    pub(super) fn contains_key(&self, user: &UserId) -> bool {
        self.get(user).is_some()
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// All members, in id order: only for guilds that are known to be small.
    pub(super) fn all(&self) -> Vec<Arc<Row>> {
        // As many settled ones may be removed as there are recent changes.
        let settled = self.settled.first(self.len + self.recent.len());
        let mut rows: BTreeMap<UserId, Arc<Row>> = settled
            .into_iter()
            .map(|row| (row.record.user_id, row))
            .collect();
        for (user, recent) in &self.recent {
            match &recent.row {
                Some(row) => drop(rows.insert(*user, Arc::clone(row))),
                None => drop(rows.remove(user)),
            }
        }
        rows.into_values().collect()
    }

    /// A member comes or changes, in the turn with this number.
    pub(super) fn put(&mut self, number: u64, row: Arc<Row>) {
        self.change(number, row.record.user_id, Some(row));
    }

    /// A member goes, in the turn with this number.
    pub(super) fn remove(&mut self, number: u64, user: UserId) {
        self.change(number, user, None);
    }

    fn change(&mut self, number: u64, user: UserId, row: Option<Arc<Row>>) {
        match (self.contains_key(&user), &row) {
            (false, Some(_)) => self.len += 1,
            (true, None) => self.len -= 1,
            _ => {}
        }
        self.recent.insert(user, Recent { number, row });
        self.order.push_back((number, user));
    }

    /// Everything up to this number is settled: it is in the table, and need not be here.
    pub(super) fn settle(&mut self, settled: u64) {
        while let Some((number, user)) = self.order.front().copied() {
            if number > settled {
                return;
            }
            self.order.pop_front();
            // A later change of the same user stays.
            let Some(recent) = self.recent.get(&user) else {
                continue;
            };
            if recent.number > settled {
                continue;
            }
            let recent = self.recent.remove(&user).and_then(|recent| recent.row);
            if let Settled::Own(rows) = &mut self.settled {
                match recent {
                    Some(row) => drop(rows.insert(user, row)),
                    None => drop(rows.remove(&user)),
                }
            }
        }
    }

    /// Changes that are not settled yet, as far as is known.
    pub(super) fn recent(&self) -> usize {
        self.recent.len()
    }
}

/// A copy has the same members and its own changes. Copies of members in a table share the table.
impl Clone for Members {
    fn clone(&self) -> Self {
        let settled = match &self.settled {
            Settled::Table { table, gone } => Settled::Table {
                table: table.clone(),
                gone: gone.load(Ordering::Relaxed).into(),
            },
            Settled::Own(rows) => Settled::Own(rows.clone()),
        };
        Self {
            settled,
            recent: self.recent.clone(),
            order: self.order.clone(),
            len: self.len,
        }
    }
}

/// Equal are those with the same members, whether they are settled or not. Those in a table are
/// equal if they are in the same table under the same changes: a table is not a value.
impl PartialEq for Members {
    fn eq(&self, other: &Self) -> bool {
        match (&self.settled, &other.settled) {
            (Settled::Own(_), Settled::Own(_)) => {
                self.len == other.len && self.all() == other.all()
            }
            (Settled::Table { table: one, .. }, Settled::Table { table: two, .. }) => {
                one.id() == two.id() && self.recent == other.recent
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
