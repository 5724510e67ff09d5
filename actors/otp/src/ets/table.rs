//! The handle of a table, and the operations on single keys and on lists of objects.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::ets::core::{Core, Shared, Want};
use crate::ets::info::TableInfo;
use crate::ets::shard::Rows;
use crate::ets::store::{Store, Writing};
use crate::ets::tables::bury;
use crate::ets::{EtsError, Key, Kind, TableId, Value};
use crate::node::is_reserved;

/// Whether two values of a bag are the same object.
pub(super) type Same<V> = fn(&V, &V) -> bool;

/// Where in an object its key is.
pub(super) type KeyOf<K, V> = Arc<dyn Fn(&V) -> K + Send + Sync>;

/// What all handles of a table share.
pub(super) struct Inner<K, V> {
    pub(super) core: Core,
    pub(super) store: Store<K, V>,
    /// In bags.
    pub(super) same: Option<Same<V>>,
    pub(super) key_of: Option<KeyOf<K, V>>,
}

/// A handle of a table. Cloning is cheap and names the same table; a handle does not keep the
/// table alive, its owner does.
///
/// Every operation first checks that the table is there and that the process which runs may do
/// it: [`EtsError::BadTable`], [`EtsError::AccessDenied`], and nothing has changed. Code outside
/// of any process, and code a process moved to another tokio task, is a stranger.
pub struct Table<K, V> {
    pub(super) inner: Arc<Inner<K, V>>,
}

impl<K, V> Clone for Table<K, V> {
    fn clone(&self) -> Table<K, V> {
        let inner = self.inner.clone();
        Table { inner }
    }
}

impl<K, V> PartialEq for Table<K, V> {
    fn eq(&self, other: &Table<K, V>) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

impl<K, V> Eq for Table<K, V> {}

impl<K: Key, V: Value> Shared for Inner<K, V> {
    fn core(&self) -> &Core {
        &self.core
    }

    fn take_contents(&self) -> Box<dyn Any + Send> {
        let contents = self.store.write_all().take_all(false);
        Box::new(contents)
    }

    fn sweep(&self) {
        let keys = self.store.sweep(|| !self.core.is_pinned());
        self.core.remove_graves(keys.len());
    }

    fn memory(&self) -> usize {
        // Two counters of an `Arc`.
        let value = size_of::<V>() + 2 * size_of::<usize>();
        size_of::<Inner<K, V>>() + self.store.memory() + self.core.rows() * value
    }
}

/// What leaves a table under its lock, to be dropped after it.
pub(super) struct Remains<K, V> {
    pub(super) keys: Vec<K>,
    pub(super) values: Vec<Arc<V>>,
    rows: Vec<Rows<V>>,
}

impl<K, V> Remains<K, V> {
    pub(super) fn new() -> Remains<K, V> {
        Remains {
            keys: Vec::new(),
            values: Vec::new(),
            rows: Vec::new(),
        }
    }
}

impl<K: Key, V: Value> Table<K, V> {
    pub(super) fn new(inner: Arc<Inner<K, V>>) -> Table<K, V> {
        Table { inner }
    }

    pub(super) fn core(&self) -> &Core {
        &self.inner.core
    }

    pub(super) fn shared(&self) -> Arc<dyn Shared> {
        self.inner.clone()
    }

    // ---- the table itself -----------------------------------------------------------------

    /// Which table it is.
    pub fn id(&self) -> TableId {
        self.core().id
    }

    /// Set, ordered set, bag or duplicate bag.
    pub fn kind(&self) -> Kind {
        self.core().settings.kind
    }

    /// What is known of it, whoever asks (`ets:info/1`); `None` if it is gone.
    pub fn info(&self) -> Option<TableInfo> {
        self.core().info(self.inner.memory())
    }

    /// How many objects there are (`ets:info(_, size)`); `None` if the table is gone.
    pub fn size(&self) -> Option<usize> {
        (!self.core().is_dead()).then(|| self.core().rows())
    }

    /// Deletes the table (`ets:delete/1`). Its name is free at once; what was in it is dropped
    /// where it holds nobody up. With rights to write, as in Erlang.
    ///
    /// # Errors
    /// [`EtsError::BadTable`], [`EtsError::AccessDenied`].
    pub fn delete_table(&self) -> Result<(), EtsError> {
        self.core().enter(Want::Write)?;
        if self.core().node.tables().delete(&self.shared()) {
            Ok(())
        } else {
            Err(EtsError::BadTable)
        }
    }

    /// Renames the table (`ets:rename/2`): a named one is found by the new name only; another one
    /// gets another label.
    ///
    /// # Errors
    /// [`EtsError::NameTaken`], [`EtsError::BadName`]: it keeps its name.
    pub fn rename(&self, name: impl Into<Arc<str>>) -> Result<(), EtsError> {
        let core = self.core();
        core.enter(Want::Write)?;
        let name = name.into();
        if core.settings.named && is_reserved(&name) {
            return Err(EtsError::BadName);
        }
        let mut admin = core.admin.lock();
        core.alive()?;
        if core.settings.named {
            if admin.name.as_ref() == Some(&name) {
                return Err(EtsError::NameTaken);
            }
            core.node.tables().claim(name.clone(), &self.shared())?;
            if let Some(old) = &admin.name {
                core.node.tables().release(old, core.id);
            }
        }
        admin.name = Some(name);
        Ok(())
    }

    // ---- inserting ------------------------------------------------------------------------

    /// Inserts an object (`ets:insert/2`). In a set it replaces the one under the key; a bag
    /// keeps both unless they are equal, a duplicate bag keeps both.
    ///
    /// # Errors
    /// [`EtsError::Full`]; [`EtsError::BadKey`]: the object has another key, says
    /// [`crate::ets::TableOptions::key_by`].
    pub fn insert(&self, key: K, value: V) -> Result<(), EtsError> {
        self.insert_shared(key, Arc::new(value))
    }

    /// [`Table::insert`] of a value that is shared already, with this table or others.
    ///
    /// # Errors
    /// As those of [`Table::insert`].
    pub fn insert_shared(&self, key: K, value: Arc<V>) -> Result<(), EtsError> {
        self.core().enter(Want::Write)?;
        self.check_key(&key, &value)?;
        let mut remains = Remains::new();
        let hash = self.inner.store.hash(&key);
        let mut locked = self.write(hash)?;
        let placed = self.place(&mut locked, hash, key, value, &mut remains);
        drop(locked);
        placed
    }

    /// Inserts an object under the key that is in it (`ets:insert/2`, `{keypos, _}`).
    ///
    /// # Errors
    /// [`EtsError::BadKey`]: the table was made without [`crate::ets::TableOptions::key_by`].
    /// [`EtsError::Full`].
    pub fn insert_object(&self, object: V) -> Result<(), EtsError> {
        let key_of = self.inner.key_of.as_ref().ok_or(EtsError::BadKey)?;
        self.insert(key_of(&object), object)
    }

    /// Inserts many objects, all or none: nobody sees a part of them (`ets:insert/2` with a
    /// list). Of two with one key, in a set the later one stays.
    ///
    /// # Errors
    /// As those of [`Table::insert`]; then none was inserted.
    pub fn insert_all(&self, objects: impl IntoIterator<Item = (K, V)>) -> Result<(), EtsError> {
        self.insert_list(objects, false).map(drop)
    }

    /// Inserts an object if its key is not there yet (`ets:insert_new/2`); tells whether it did.
    ///
    /// # Errors
    /// As those of [`Table::insert`].
    pub fn insert_new(&self, key: K, value: V) -> Result<bool, EtsError> {
        self.insert_new_shared(key, Arc::new(value))
    }

    /// [`Table::insert_new`] of a value that is shared already.
    ///
    /// # Errors
    /// As those of [`Table::insert`].
    pub fn insert_new_shared(&self, key: K, value: Arc<V>) -> Result<bool, EtsError> {
        self.core().enter(Want::Write)?;
        self.check_key(&key, &value)?;
        let mut remains = Remains::new();
        let hash = self.inner.store.hash(&key);
        let mut locked = self.write(hash)?;
        if locked.get_mut(hash, &key).is_some() {
            drop(locked);
            return Ok(false);
        }
        let placed = self.place(&mut locked, hash, key, value, &mut remains);
        drop(locked);
        placed.map(|()| true)
    }

    /// Inserts many objects if none of their keys is there yet, else none (`ets:insert_new/2`
    /// with a list).
    ///
    /// # Errors
    /// As those of [`Table::insert`]; then none was inserted.
    pub fn insert_new_all(
        &self,
        objects: impl IntoIterator<Item = (K, V)>,
    ) -> Result<bool, EtsError> {
        self.insert_list(objects, true)
    }

    fn insert_list(
        &self,
        objects: impl IntoIterator<Item = (K, V)>,
        new: bool,
    ) -> Result<bool, EtsError> {
        self.core().enter(Want::Write)?;
        let store = &self.inner.store;
        let mut list = Vec::new();
        for (key, value) in objects {
            let value = Arc::new(value);
            self.check_key(&key, &value)?;
            list.push((store.hash(&key), key, value));
        }
        let mut remains = Remains::new();
        let mut locked = store.write_many(list.iter().map(|(hash, ..)| *hash));
        self.core().alive()?;
        let mut taken = list.iter();
        if new && taken.any(|(hash, key, _)| locked.get_mut(*hash, key).is_some()) {
            drop(locked);
            return Ok(false);
        }
        // Room for all of them first, so that none is refused half way.
        let room = list.len();
        self.core().reserve(room)?;
        for (hash, key, value) in list {
            self.place_reserved(&mut locked, hash, key, value, &mut remains);
        }
        drop(locked);
        Ok(true)
    }

    /// Puts an object where it belongs, if there is room.
    fn place(
        &self,
        locked: &mut Writing<'_, K, V>,
        hash: u64,
        key: K,
        value: Arc<V>,
        remains: &mut Remains<K, V>,
    ) -> Result<(), EtsError> {
        let is_set = matches!(self.kind(), Kind::Set | Kind::OrderedSet);
        if is_set && locked.stored_key(&key).is_none_or(|stored| *stored == key) {
            // The usual case, which needs no room.
            if let Some(rows) = locked.get_mut(hash, &key) {
                remains.rows.push(std::mem::replace(rows, Rows::One(value)));
                remains.keys.push(key);
                return Ok(());
            }
        }
        let room = self.core().reserve(1);
        if room.is_ok() {
            self.place_reserved(locked, hash, key, value, remains);
        } else {
            remains.keys.push(key);
            remains.values.push(value);
        }
        room
    }

    /// Puts an object where it belongs; room for one was reserved.
    pub(super) fn place_reserved(
        &self,
        locked: &mut Writing<'_, K, V>,
        hash: u64,
        key: K,
        value: Arc<V>,
        remains: &mut Remains<K, V>,
    ) {
        let core = self.core();
        if self.kind() == Kind::OrderedSet && locked.stored_key(&key).is_some_and(|it| *it != key) {
            // Equal in order, and not the same: the new object has its own key.
            if let Some((old, rows)) = locked.remove(hash, &key, false) {
                core.give_back(1);
                remains.keys.extend(old);
                remains.rows.push(rows);
            }
        }
        let Some(rows) = locked.get_mut(hash, &key) else {
            let had_grave = locked.put(hash, key, Rows::One(value));
            core.remove_graves(usize::from(had_grave));
            return;
        };
        match (self.kind(), self.inner.same) {
            (Kind::Bag, Some(same)) if rows.as_slice().iter().any(|old| same(old, &value)) => {
                core.give_back(1);
                remains.values.push(value);
            }
            (Kind::Bag | Kind::DuplicateBag, _) => rows.push(value),
            _ => {
                core.give_back(1);
                remains.rows.push(std::mem::replace(rows, Rows::One(value)));
            }
        }
        remains.keys.push(key);
    }

    /// Refuses an object whose key is another one.
    pub(super) fn check_key(&self, key: &K, value: &V) -> Result<(), EtsError> {
        match &self.inner.key_of {
            Some(key_of) if key_of(value) != *key => Err(EtsError::BadKey),
            _ => Ok(()),
        }
    }

    // ---- deleting -------------------------------------------------------------------------

    /// Deletes all objects under a key (`ets:delete/2`); none is fine too.
    ///
    /// # Errors
    /// [`EtsError::BadTable`], [`EtsError::AccessDenied`]; so for all that delete.
    pub fn delete(&self, key: &K) -> Result<(), EtsError> {
        self.take(key).map(drop)
    }

    /// Deletes all objects under a key and gives them (`ets:take/2`).
    pub fn take(&self, key: &K) -> Result<Vec<Arc<V>>, EtsError> {
        self.core().enter(Want::Write)?;
        let hash = self.inner.store.hash(key);
        let mut locked = self.write(hash)?;
        let taken = self.remove(&mut locked, hash, key);
        drop(locked);
        Ok(match taken {
            Some((_key, Rows::One(value))) => vec![value],
            Some((_key, Rows::Many(values))) => values,
            None => Vec::new(),
        })
    }

    /// Deletes the objects under a key that are equal to this one (`ets:delete_object/2`): in a
    /// duplicate bag there may be many.
    pub fn delete_object(&self, key: &K, value: &V) -> Result<(), EtsError>
    where
        V: PartialEq,
    {
        self.core().enter(Want::Write)?;
        let mut equal = self.lookup(key)?;
        equal.retain(|found| **found == *value);
        self.delete_exactly(key, &equal).map(drop)
    }

    /// Deletes those of some objects that are still there, at one moment; tells how many.
    pub(super) fn delete_exactly(&self, key: &K, these: &[Arc<V>]) -> Result<usize, EtsError> {
        let hash = self.inner.store.hash(key);
        let mut locked = self.write(hash)?;
        let Some(rows) = locked.get_mut(hash, key) else {
            return Ok(0);
        };
        let is_one = |row: &Arc<V>| these.iter().any(|one| Arc::ptr_eq(one, row));
        let count = rows.as_slice().iter().filter(|row| is_one(row)).count();
        if count == rows.as_slice().len() {
            let removed = self.remove(&mut locked, hash, key);
            drop(locked);
            drop(removed);
        } else if count > 0 {
            let removed = rows.remove(is_one);
            self.core().give_back(count);
            drop(locked);
            drop(removed);
        }
        Ok(count)
    }

    /// Deletes all objects, at one moment (`ets:delete_all_objects/1`).
    pub fn delete_all(&self) -> Result<(), EtsError> {
        self.core().enter(Want::Write)?;
        let core = self.core();
        let mut locked = self.inner.store.write_all();
        core.alive()?;
        let rows = core.rows();
        let keep = core.is_pinned() && self.kind() != Kind::OrderedSet;
        let contents = locked.take_all(keep);
        core.give_back(rows);
        core.add_graves(contents.rows.len());
        core.remove_graves(contents.graves);
        drop(locked);
        bury(Box::new(contents), rows);
        Ok(())
    }

    // ---- under the lock -------------------------------------------------------------------

    pub(super) fn write(&self, hash: u64) -> Result<Writing<'_, K, V>, EtsError> {
        let locked = self.inner.store.write(hash);
        self.core().alive()?;
        Ok(locked)
    }

    /// Takes out a key. What it gives is to be dropped after the lock.
    fn remove(
        &self,
        locked: &mut Writing<'_, K, V>,
        hash: u64,
        key: &K,
    ) -> Option<(Option<K>, Rows<V>)> {
        let core = self.core();
        // The order matters: who pins after this has not seen the key.
        let keep = core.is_pinned();
        let removed = locked.remove(hash, key, keep)?;
        core.give_back(removed.1.as_slice().len());
        core.add_graves(usize::from(removed.0.is_none()));
        Some(removed)
    }
}

impl<K, V> fmt::Debug for Table<K, V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Table({})", self.inner.core.id)
    }
}
