//! The tables of a node, their names, and what happens to them when their owner ends.
//!
//! ```text
//!   names: name ──▶ table          holdings: process ──▶ its tables, and those it has fixed
//!                                               │
//!   end of a process ──────────────────────────▶┴─▶ fixes end; each table goes to its heir,
//!                                                   or is dropped, on a thread that may block
//! ```

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use crate::ets::core::{Admin, Core, Shared};
use crate::ets::table::{Inner, Table};
use crate::ets::transfer::Transfer;
use crate::ets::{EtsError, Key, Kind, TableId, TableInfo, Value};
use crate::pid::{Pid, SerialHash};
use crate::process::Process;

/// Most tables of one node. Policy at the limit: a new one is refused with
/// [`EtsError::TooManyTables`].
pub const TABLES_MAX: usize = 262_144;

/// Rows that are dropped where they are deleted. More of them are dropped on a thread that may
/// block, so that nobody waits for it.
pub const DROPPED_AT_ONCE_MAX: usize = 1_000;

/// What a process has, until it ends.
#[derive(Default)]
struct Holdings {
    tables: BTreeMap<TableId, Arc<dyn Shared>>,
    fixed: BTreeMap<TableId, Arc<dyn Shared>>,
}

/// The tables of a node; see [`crate::Node::tables`].
#[derive(Default)]
pub struct Tables {
    all: DashMap<u64, Arc<dyn Shared>, SerialHash>,
    names: DashMap<Arc<str>, Arc<dyn Shared>>,
    holdings: DashMap<Pid, Holdings, SerialHash>,
    count: AtomicUsize,
    next: AtomicU64,
    refused: AtomicU64,
}

impl Tables {
    /// The table with a name (`ets:whereis/1`). The handle stays with this table, whoever has the
    /// name later.
    ///
    /// # Errors
    /// [`EtsError::BadTable`]: there is none. [`EtsError::OtherType`]: its keys or values are of
    /// another type.
    pub fn whereis<K: Key, V: Value>(&self, name: &str) -> Result<Table<K, V>, EtsError> {
        let found = self.names.get(name).map(|table| table.clone());
        Table::of(found.ok_or(EtsError::BadTable)?)
    }

    /// The id of the table with a name.
    pub fn id_of(&self, name: &str) -> Option<TableId> {
        self.names.get(name).map(|table| table.core().id)
    }

    /// The table with an id.
    ///
    /// # Errors
    /// As those of [`Tables::whereis`].
    pub fn get<K: Key, V: Value>(&self, id: TableId) -> Result<Table<K, V>, EtsError> {
        let found = self.all.get(&id.0).map(|table| table.clone());
        Table::of(found.ok_or(EtsError::BadTable)?)
    }

    /// The ids of all tables, oldest first (`ets:all/0`). A table that lives throughout the walk
    /// is in it; one that comes or goes meanwhile may be.
    pub fn all(&self) -> Vec<TableId> {
        let mut ids: Vec<TableId> = self.all.iter().map(|table| table.core().id).collect();
        ids.sort_unstable();
        ids
    }

    /// How many tables there are.
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is known of a table (`ets:info/1`), whoever asks; `None` if it is gone.
    pub fn info(&self, id: TableId) -> Option<TableInfo> {
        let table = self.all.get(&id.0)?.clone();
        table.core().info(table.memory())
    }

    /// Tables and rows that were refused because of a limit, so far
    /// (`otp_ets_refused_total`).
    pub fn refused_total(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    pub(super) fn count_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Copies how much there is to the recorder.
    pub(crate) fn publish(&self, node: &str) {
        let mut sums = [(Kind::Set, [0; 3]), (Kind::OrderedSet, [0; 3])].to_vec();
        sums.extend([(Kind::Bag, [0; 3]), (Kind::DuplicateBag, [0; 3])]);
        let tables: Vec<_> = self.all.iter().map(|table| table.clone()).collect();
        for table in tables {
            let kind = table.core().settings.kind;
            if let Some((_, sum)) = sums.iter_mut().find(|(one, _)| *one == kind) {
                sum[0] += 1;
                sum[1] += table.core().rows();
                sum[2] += table.memory();
            }
        }
        for (kind, [tables, rows, bytes]) in sums {
            let gauge = |name: &'static str, value: usize| {
                metrics::gauge!(name, "node" => node.to_owned(), "kind" => kind.name())
                    .set(value as f64);
            };
            gauge("otp_ets_tables", tables);
            gauge("otp_ets_rows", rows);
            gauge("otp_ets_bytes", bytes);
        }
        metrics::counter!("otp_ets_refused_total", "node" => node.to_owned())
            .absolute(self.refused_total());
    }

    // ---- coming ---------------------------------------------------------------------------

    pub(super) fn new_id(&self) -> TableId {
        TableId(self.next.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Makes a new table known, and its owner's.
    pub(super) fn add(&self, table: Arc<dyn Shared>, owner: &Arc<Process>) -> Result<(), EtsError> {
        let room = |count: usize| (count < TABLES_MAX).then_some(count + 1);
        let counted = self
            .count
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, room);
        if counted.is_err() {
            self.count_refused();
            return Err(EtsError::TooManyTables);
        }
        let core = table.core();
        let name = core.admin.lock().name.clone();
        let mut added = Ok(());
        if let Some(name) = name.filter(|_| core.settings.named) {
            added = self.claim(name, &table);
        }
        if added.is_ok() {
            self.all.insert(core.id.0, table.clone());
            added = self.hold(owner, &table, false);
            if added.is_err() {
                self.forget(core);
                return added;
            }
        } else {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
        added
    }

    /// Takes a name for a table.
    pub(super) fn claim(&self, name: Arc<str>, table: &Arc<dyn Shared>) -> Result<(), EtsError> {
        match self.names.entry(name) {
            Entry::Occupied(_) => Err(EtsError::NameTaken),
            Entry::Vacant(free) => {
                free.insert(table.clone());
                Ok(())
            }
        }
    }

    pub(super) fn release(&self, name: &str, id: TableId) {
        self.names.remove_if(name, |_, table| table.core().id == id);
    }

    /// Notes that a process has a table, or has it fixed.
    pub(super) fn hold(
        &self,
        process: &Arc<Process>,
        table: &Arc<dyn Shared>,
        fixed: bool,
    ) -> Result<(), EtsError> {
        let mut entry = match self.holdings.entry(process.pid) {
            Entry::Occupied(entry) => entry.into_ref(),
            Entry::Vacant(entry) => {
                let node = process.node.clone();
                let release = Box::new(move |pid| node.tables().ended(pid));
                if process.add_release(release).is_err() {
                    return Err(EtsError::NoProcess);
                }
                entry.insert(Holdings::default())
            }
        };
        let list = if fixed {
            &mut entry.fixed
        } else {
            &mut entry.tables
        };
        list.insert(table.core().id, table.clone());
        Ok(())
    }

    // ---- going ----------------------------------------------------------------------------

    pub(super) fn no_longer_holds(&self, pid: Pid, id: TableId) {
        let removed = {
            let holdings = self.holdings.get_mut(&pid);
            holdings.map(|mut holdings| holdings.tables.remove(&id))
        };
        drop(removed);
    }

    pub(super) fn no_longer_fixes(&self, pid: Pid, id: TableId) {
        let removed = {
            let holdings = self.holdings.get_mut(&pid);
            holdings.map(|mut holdings| holdings.fixed.remove(&id))
        };
        drop(removed);
    }

    /// Nobody needs to remember that they have a dead table fixed.
    fn forget_fixes(&self, admin: &Admin, id: TableId) {
        for holder in admin.fixes.keys() {
            self.no_longer_fixes(*holder, id);
        }
    }

    fn forget(&self, core: &Core) {
        core.die();
        let name = core.admin.lock().name.clone();
        if let Some(name) = name.filter(|_| core.settings.named) {
            self.release(&name, core.id);
        }
        if self.all.remove(&core.id.0).is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Deletes a table; `false` if it is dead already.
    pub(super) fn delete(&self, table: &Arc<dyn Shared>) -> bool {
        let core = table.core();
        let owner = {
            let admin = core.admin.lock();
            if !core.die() {
                return false;
            }
            self.forget_fixes(&admin, core.id);
            admin.owner
        };
        self.forget(core);
        self.no_longer_holds(owner, core.id);
        let rows = core.rows();
        bury(table.take_contents(), rows);
        true
    }

    /// A process has ended: runs before anybody is told.
    fn ended(&self, pid: Pid) {
        let Some((_, holdings)) = self.holdings.remove(&pid) else {
            return;
        };
        for table in holdings.fixed.values() {
            let ended = table.core().unfix_all(pid);
            if ended > 0 && table.core().unpin(ended) {
                table.sweep();
            }
        }
        let mut remains = Vec::new();
        let mut rows = 0;
        for table in holdings.tables.into_values() {
            let core = table.core();
            if self.inherit(&table, pid) {
                continue;
            }
            {
                let admin = core.admin.lock();
                if admin.owner != pid || !core.die() {
                    continue;
                }
                self.forget_fixes(&admin, core.id);
            }
            self.forget(core);
            rows += core.rows() + 1;
            remains.push(table.take_contents());
        }
        bury(Box::new(remains), rows);
    }

    /// Gives a table to its heir, if there is one that lives.
    fn inherit(&self, table: &Arc<dyn Shared>, from: Pid) -> bool {
        let core = table.core();
        let mut admin = core.admin.lock();
        if admin.owner != from || core.is_dead() {
            return false;
        }
        let Some(heir) = admin.heir.clone().filter(|heir| heir.pid != from) else {
            return false;
        };
        let Some(process) = core.node.process(heir.pid) else {
            return false;
        };
        if self.hold(&process, table, false).is_err() {
            return false;
        }
        core.set_owner(&mut admin, heir.pid);
        // Under the lock: who gets the table next is told next.
        Transfer::send(table.clone(), from, heir.data, &process);
        true
    }
}

/// Drops what was in a table.
pub(super) fn bury(contents: Box<dyn Any + Send>, rows: usize) {
    if rows > DROPPED_AT_ONCE_MAX
        && let Ok(runtime) = tokio::runtime::Handle::try_current()
    {
        runtime.spawn_blocking(move || drop(contents));
    }
}

impl<K: Key, V: Value> Table<K, V> {
    /// The handle of a table that has these types.
    pub(super) fn of(table: Arc<dyn Shared>) -> Result<Table<K, V>, EtsError> {
        let any: Arc<dyn Any + Send + Sync> = table;
        let inner = any.downcast::<Inner<K, V>>();
        inner.map(Table::new).map_err(|_| EtsError::OtherType)
    }
}
