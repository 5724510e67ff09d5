//! How a table is made (`ets:new/2`).

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::ets::core::{Admin, Core, Heir, Settings};
use crate::ets::store::{Hashed, Store, Tree};
use crate::ets::table::{Inner, KeyOf, Same, Table};
use crate::ets::{EtsError, Key, Kind, Protection, Value, WriteConcurrency};
use crate::node::{Node, is_reserved};
use crate::panics;
use crate::pid::Pid;
use crate::process::Process;

/// How many objects a table may have unless [`TableOptions::rows_max`] says otherwise.
pub const DEFAULT_ROWS_MAX: usize = 16_000_000;

/// Most objects that can be asked for with [`TableOptions::rows_max`].
pub const ROWS_MAX: usize = 1 << 31;

/// Locks of a table for many readers.
const READ_SHARDS: usize = 8;

/// Locks of a table for many writers, as in ERTS.
const WRITE_SHARDS: usize = 64;

/// A table that is about to be made. Without further ado it is protected, has no name and no
/// heir, and one lock.
#[must_use = "nothing is made before `create`"]
pub struct TableOptions<K, V> {
    kind: Kind,
    name: Option<Arc<str>>,
    named: bool,
    protection: Protection,
    heir: Option<Heir>,
    read_concurrency: bool,
    write_concurrency: WriteConcurrency,
    rows_max: usize,
    same: Option<Same<V>>,
    key_of: Option<KeyOf<K, V>>,
}

impl<K: Key, V: Value> TableOptions<K, V> {
    pub(super) fn new(kind: Kind, same: Option<Same<V>>) -> TableOptions<K, V> {
        TableOptions {
            kind,
            name: None,
            named: false,
            protection: Protection::Protected,
            heir: None,
            read_concurrency: false,
            write_concurrency: WriteConcurrency::Off,
            rows_max: DEFAULT_ROWS_MAX,
            same,
            key_of: None,
        }
    }

    /// A name others find it by, with [`crate::ets::Tables::whereis`] (`named_table`). It is free
    /// again when the table is gone.
    pub fn named(mut self, name: impl Into<Arc<str>>) -> TableOptions<K, V> {
        self.name = Some(name.into());
        self.named = true;
        self
    }

    /// A name for people only; many tables may have the same.
    pub fn label(mut self, label: impl Into<Arc<str>>) -> TableOptions<K, V> {
        self.name = Some(label.into());
        self.named = false;
        self
    }

    /// Everybody may read and write.
    pub fn public(self) -> TableOptions<K, V> {
        self.protection(Protection::Public)
    }

    /// Everybody may read, the owner may write.
    pub fn protected(self) -> TableOptions<K, V> {
        self.protection(Protection::Protected)
    }

    /// Only the owner may read and write.
    pub fn private(self) -> TableOptions<K, V> {
        self.protection(Protection::Private)
    }

    /// What others may do.
    pub fn protection(mut self, protection: Protection) -> TableOptions<K, V> {
        self.protection = protection;
        self
    }

    /// Who gets the table when its owner ends, and what that is told along with it.
    pub fn heir(mut self, heir: Pid, data: impl Any + Send + Sync) -> TableOptions<K, V> {
        let data = Arc::new(data);
        self.heir = Some(Heir { pid: heir, data });
        self
    }

    /// Many read at the same time: a hashed table gets several locks. An ordered one has one lock
    /// that readers share in any case.
    pub fn read_concurrency(mut self, on: bool) -> TableOptions<K, V> {
        self.read_concurrency = on;
        self
    }

    /// Many write at the same time: a hashed table gets 64 locks, which take some 10 KiB and make
    /// operations on the whole table dearer. An ordered one keeps its one lock.
    pub fn write_concurrency(mut self, mode: WriteConcurrency) -> TableOptions<K, V> {
        self.write_concurrency = mode;
        self
    }

    /// How many objects it may have; further ones are refused with [`EtsError::Full`].
    pub fn rows_max(mut self, max: usize) -> TableOptions<K, V> {
        self.rows_max = max.min(ROWS_MAX);
        self
    }

    /// Where in an object its key is (`{keypos, _}`): then [`Table::insert_object`] needs no key,
    /// and an update that would change the key is refused.
    pub fn key_by(
        mut self,
        key_of: impl Fn(&V) -> K + Send + Sync + 'static,
    ) -> TableOptions<K, V> {
        self.key_of = Some(Arc::new(key_of));
        self
    }

    /// Makes the table; the process that runs is its owner (`ets:new/2`).
    ///
    /// # Errors
    /// [`EtsError::NoProcess`]: no process runs this code, or the heir is of another node.
    /// [`EtsError::NameTaken`], [`EtsError::BadName`], [`EtsError::TooManyTables`]. There is no
    /// table then.
    pub fn create(self) -> Result<Table<K, V>, EtsError> {
        let owner = panics::current().ok_or(EtsError::NoProcess)?;
        self.build(&owner)
    }

    /// Makes the table for a process, from wherever: for code that sets up a node.
    ///
    /// # Errors
    /// [`EtsError::NoProcess`]: there is no such process. Others as those of
    /// [`TableOptions::create`].
    pub fn create_for(self, node: &Node, owner: Pid) -> Result<Table<K, V>, EtsError> {
        let owner = node.process(owner).ok_or(EtsError::NoProcess)?;
        self.build(&owner)
    }

    fn build(self, owner: &Arc<Process>) -> Result<Table<K, V>, EtsError> {
        let node = owner.node.clone();
        if owner.is_fenced() {
            node.counters().fenced();
            return Err(EtsError::NoProcess);
        }
        if self.named && self.name.as_deref().is_some_and(is_reserved) {
            return Err(EtsError::BadName);
        }
        if self
            .heir
            .as_ref()
            .is_some_and(|heir| !node.is_local(heir.pid))
        {
            return Err(EtsError::NoProcess);
        }
        let shards = match (self.write_concurrency, self.read_concurrency) {
            (WriteConcurrency::On | WriteConcurrency::Auto, _) => WRITE_SHARDS,
            (WriteConcurrency::Off, true) => READ_SHARDS,
            (WriteConcurrency::Off, false) => 1,
        };
        let store = match self.kind {
            Kind::OrderedSet => Store::Ordered(RwLock::new(Tree::new())),
            _ => Store::Hashed(Hashed::new(shards)),
        };
        let settings = Settings {
            kind: self.kind,
            named: self.named,
            read_concurrency: self.read_concurrency,
            write_concurrency: self.write_concurrency,
            rows_max: self.rows_max,
        };
        let admin = Admin {
            owner: owner.pid,
            name: self.name,
            heir: self.heir,
            fixes: BTreeMap::new(),
            next_fix: 0,
            fixed_since: None,
        };
        let id = node.tables().new_id();
        let inner = Arc::new(Inner {
            core: Core::new(id, node.clone(), settings, self.protection, admin),
            store,
            same: self.same,
            key_of: self.key_of,
        });
        node.tables().add(inner.clone(), owner)?;
        Ok(Table::new(inner))
    }
}
