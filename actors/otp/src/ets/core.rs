//! What a table is besides its rows: its owner, its name, its rights, and who walks it.
//!
//! ```text
//!   Table<K, V> ─▶ Inner { core, store }      the node knows it as a Shared
//!                          │
//!                          ├─ read by every operation: dead? owner? protection?   atomics
//!                          └─ changed now and then: name, heir, who has it fixed  one mutex
//! ```
//!
//! Lock order: this mutex, then what a process holds, then the rows.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::SystemTime;

use parking_lot::Mutex;

use crate::ets::info::TableInfo;
use crate::ets::{EtsError, Kind, Protection, TableId, WriteConcurrency};
use crate::node::Node;
use crate::panics;
use crate::pid::Pid;

/// What an operation wants to do with a table.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    Read,
    Write,
    /// What only the owner may do.
    Own,
}

/// Something given along with a table.
pub(super) type Data = Arc<dyn Any + Send + Sync>;

/// Who gets the table when its owner ends.
#[derive(Clone)]
pub(super) struct Heir {
    pub(super) pid: Pid,
    pub(super) data: Data,
}

/// What changes now and then.
pub(super) struct Admin {
    pub(super) owner: Pid,
    pub(super) name: Option<Arc<str>>,
    pub(super) heir: Option<Heir>,
    /// Who has it fixed: the serials of each one's guards.
    pub(super) fixes: BTreeMap<Pid, Vec<u64>>,
    pub(super) next_fix: u64,
    pub(super) fixed_since: Option<SystemTime>,
}

/// How a table was made; never changes.
pub(super) struct Settings {
    pub(super) kind: Kind,
    pub(super) named: bool,
    pub(super) read_concurrency: bool,
    pub(super) write_concurrency: WriteConcurrency,
    pub(super) rows_max: usize,
}

pub(super) struct Core {
    pub(super) id: TableId,
    pub(super) node: Node,
    pub(super) settings: Settings,
    dead: AtomicBool,
    /// The serial of the owner, who is always of this node.
    owner: AtomicU64,
    protection: AtomicU8,
    /// How many walk the table, or have it fixed: while there are any, no slot is moved or freed.
    pins: AtomicUsize,
    rows: AtomicUsize,
    graves: AtomicUsize,
    pub(super) admin: Mutex<Admin>,
}

/// A table whose types are not known.
pub(super) trait Shared: Any + Send + Sync {
    fn core(&self) -> &Core;
    /// Empties a table that is dead; gives what was in it.
    fn take_contents(&self) -> Box<dyn Any + Send>;
    /// Frees the graves, now that nobody walks any more.
    fn sweep(&self);
    /// Bytes it takes, without what keys and values point to.
    fn memory(&self) -> usize;
}

impl Core {
    pub(super) fn new(
        id: TableId,
        node: Node,
        settings: Settings,
        protection: Protection,
        admin: Admin,
    ) -> Core {
        Core {
            id,
            node,
            settings,
            dead: AtomicBool::new(false),
            owner: AtomicU64::new(admin.owner.serial()),
            protection: AtomicU8::new(protection as u8),
            pins: AtomicUsize::new(0),
            rows: AtomicUsize::new(0),
            graves: AtomicUsize::new(0),
            admin: Mutex::new(admin),
        }
    }

    // ---- rights ---------------------------------------------------------------------------

    /// Whether the process that runs may do something. To be asked before any lock is taken.
    pub(super) fn enter(&self, want: Want) -> Result<(), EtsError> {
        self.alive()?;
        if let Some((pid, fenced)) = panics::current_standing() {
            if !self.node.is_local(pid) {
                // Tables of another node cannot be reached.
                return Err(EtsError::BadTable);
            }
            if fenced && want != Want::Read {
                self.node.counters().fenced();
                return Err(EtsError::AccessDenied);
            }
            if pid.serial() == self.owner.load(Ordering::Acquire) {
                return Ok(());
            }
        }
        match (self.protection(), want) {
            (Protection::Public, Want::Read | Want::Write)
            | (Protection::Protected, Want::Read) => Ok(()),
            _ => Err(EtsError::AccessDenied),
        }
    }

    /// Whether the table is there. To be asked under the lock of the rows.
    pub(super) fn alive(&self) -> Result<(), EtsError> {
        if self.is_dead() {
            Err(EtsError::BadTable)
        } else {
            Ok(())
        }
    }

    pub(super) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Acquire)
    }

    /// From here on every operation fails. `false` if it was so before.
    pub(super) fn die(&self) -> bool {
        !self.dead.swap(true, Ordering::SeqCst)
    }

    pub(super) fn set_owner(&self, admin: &mut Admin, owner: Pid) {
        admin.owner = owner;
        self.owner.store(owner.serial(), Ordering::Release);
    }

    pub(super) fn protection(&self) -> Protection {
        match self.protection.load(Ordering::Acquire) {
            0 => Protection::Public,
            1 => Protection::Protected,
            _ => Protection::Private,
        }
    }

    pub(super) fn set_protection(&self, protection: Protection) {
        self.protection.store(protection as u8, Ordering::Release);
    }

    // ---- counting -------------------------------------------------------------------------

    pub(super) fn rows(&self) -> usize {
        self.rows.load(Ordering::Relaxed)
    }

    /// Makes room for rows, of which there may then be that many more.
    pub(super) fn reserve(&self, rows: usize) -> Result<(), EtsError> {
        let before = self.rows.fetch_add(rows, Ordering::Relaxed);
        let graves = self.graves.load(Ordering::Relaxed);
        if before.saturating_add(rows).saturating_add(graves) > self.settings.rows_max {
            self.give_back(rows);
            self.node.tables().count_refused();
            return Err(EtsError::Full);
        }
        Ok(())
    }

    /// Rows are gone, or were not needed.
    pub(super) fn give_back(&self, rows: usize) {
        if rows > 0 {
            self.rows.fetch_sub(rows, Ordering::Relaxed);
        }
    }

    pub(super) fn add_graves(&self, graves: usize) {
        if graves > 0 {
            self.graves.fetch_add(graves, Ordering::SeqCst);
        }
    }

    pub(super) fn remove_graves(&self, graves: usize) {
        if graves > 0 {
            self.graves.fetch_sub(graves, Ordering::SeqCst);
        }
    }

    // ---- walking --------------------------------------------------------------------------

    pub(super) fn pin(&self) {
        self.pins.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether that was the last one, and there is something to clean up.
    pub(super) fn unpin(&self, pins: usize) -> bool {
        let before = self.pins.fetch_sub(pins, Ordering::SeqCst);
        before == pins && self.graves.load(Ordering::SeqCst) > 0
    }

    pub(super) fn is_pinned(&self) -> bool {
        self.pins.load(Ordering::SeqCst) > 0
    }

    /// Ends one fix, if it has not ended with its holder already; tells whether it did.
    pub(super) fn unfix(&self, holder: Pid, serial: u64) -> bool {
        let mut admin = self.admin.lock();
        let Some(serials) = admin.fixes.get_mut(&holder) else {
            return false;
        };
        let before = serials.len();
        serials.retain(|one| *one != serial);
        let ended = serials.len() < before;
        if serials.is_empty() {
            admin.fixes.remove(&holder);
            // Under the lock, as it was noted under it.
            self.node.tables().no_longer_fixes(holder, self.id);
        }
        if admin.fixes.is_empty() {
            admin.fixed_since = None;
        }
        ended
    }

    /// Ends all fixes of a process; tells how many.
    pub(super) fn unfix_all(&self, holder: Pid) -> usize {
        let mut admin = self.admin.lock();
        let ended = admin.fixes.remove(&holder).map_or(0, |all| all.len());
        if admin.fixes.is_empty() {
            admin.fixed_since = None;
        }
        ended
    }

    pub(super) fn info(&self, memory: usize) -> Option<TableInfo> {
        let admin = self.admin.lock();
        if self.is_dead() {
            return None;
        }
        let settings = &self.settings;
        Some(TableInfo {
            id: self.id,
            name: admin.name.clone(),
            named: settings.named,
            kind: settings.kind,
            protection: self.protection(),
            owner: admin.owner,
            heir: admin.heir.as_ref().map(|heir| heir.pid),
            size: self.rows(),
            memory,
            read_concurrency: settings.read_concurrency,
            write_concurrency: settings.write_concurrency,
            rows_max: settings.rows_max,
            fixed: self.is_pinned(),
            fixed_by: admin
                .fixes
                .iter()
                .map(|(pid, all)| (*pid, all.len()))
                .collect(),
            fixed_since: admin.fixed_since,
            graves: self.graves.load(Ordering::Relaxed),
        })
    }
}

/// Ends a pin when it is dropped.
pub(super) struct Pin {
    table: Arc<dyn Shared>,
}

impl Pin {
    pub(super) fn new(table: Arc<dyn Shared>) -> Pin {
        table.core().pin();
        Pin { table }
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        if self.table.core().unpin(1) {
            self.table.sweep();
        }
    }
}
