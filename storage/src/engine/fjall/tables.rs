//! The tree on disk: opening it, reading rows of a snapshot, writing changes as one batch.
//!
//! Reads always go through a [`Reader`], which holds a snapshot of what was durable when it was
//! made. The tree puts the rows of a batch into its maps one by one; only a snapshot keeps a reader
//! from seeing half of them, or any before the journal is synced.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;

use fjall::config::CompressionPolicy;
use fjall::{
    CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Slice,
    Snapshot,
};

use super::keys::{Key, Table};
use super::value::{self, Stored};
use crate::error::StoreError;
use crate::store::Result;

/// Memory for blocks read from disk, in bytes.
const CACHE: u64 = 64 * 1_024 * 1_024;

/// Threads that write full maps to disk and merge files.
const WORKERS: usize = 2;

/// Most bytes in journals before rarely written tables are written out too, so that old journals
/// can go; bounds the work of a reopen.
const JOURNALS: u64 = 256 * 1_024 * 1_024;

/// Bytes the map of the messages table may take before it is written to disk.
const MESSAGES_MAP: u64 = 32 * 1_024 * 1_024;

/// The same for each other table.
const OTHER_MAP: u64 = 16 * 1_024 * 1_024;

/// Version of the layout of all tables; raised when old code can no longer read it.
const FORMAT: u64 = 1;

/// The name of the row of [`Table::Meta`] that keeps the format.
const FORMAT_ROW: &str = "format";

/// All tables of one store.
#[derive(Clone)]
pub(super) struct Tables {
    database: Database,
    keyspaces: Vec<Keyspace>,
}

/// Changes of rows: the new value, or `None` for a row that is gone.
pub(super) type Changes = BTreeMap<Key, Option<Vec<u8>>>;

impl Tables {
    /// Opens the tree in `directory`, making it when it is not there.
    ///
    /// # Errors
    /// [`StoreError::Broken`].
    pub(super) fn open(directory: &Path) -> Result<Self> {
        let database = Database::builder(directory)
            .cache_size(CACHE)
            .worker_threads(WORKERS)
            .max_journaling_size(JOURNALS)
            .manual_journal_persist(true)
            .open()
            .map_err(broken)?;
        let mut keyspaces = Vec::with_capacity(Table::ALL.len());
        for table in Table::ALL {
            keyspaces.push(
                database
                    .keyspace(table.name(), || options(*table))
                    .map_err(broken)?,
            );
        }
        let tables = Self {
            database,
            keyspaces,
        };
        tables.check_format()?;
        Ok(tables)
    }

    fn check_format(&self) -> Result<()> {
        let reader = self.reader();
        let key = super::keys::named(Table::Meta, FORMAT_ROW)?;
        match reader
            .get(&key)?
            .map(|value| value::decode_number(&value))
            .transpose()?
        {
            Some(FORMAT) => Ok(()),
            None => self
                .write(
                    &reader,
                    &Changes::from([(key, Some(value::encode_number(FORMAT)))]),
                )
                .map_err(|error| StoreError::Broken(error.to_string())),
            Some(format) => Err(StoreError::Broken(format!(
                "the data has format {format}, this version of Guildhall knows {FORMAT}; run the version that wrote it"
            ))),
        }
    }

    fn keyspace(&self, table: Table) -> &Keyspace {
        self.keyspaces
            .get(table as usize)
            .expect("invariant: every table was opened")
    }

    /// Writes all that is in memory out to files.
    #[cfg(test)]
    pub(super) fn write_out(&self) {
        for keyspace in &self.keyspaces {
            keyspace
                .rotate_memtable_and_wait()
                .expect("the files can be written");
        }
    }

    /// A view of everything that is durable now.
    pub(super) fn reader(&self) -> Reader<'_> {
        Reader {
            tables: self,
            snapshot: self.database.snapshot(),
        }
    }

    /// Writes changes as one batch: durable first (fdatasync), then visible, or neither. `newest`
    /// must be a view of the state the changes are made to.
    ///
    /// # Errors
    /// [`StoreError::Unknown`]: it is unknown what is on disk, and the tree takes no more writes;
    /// [`StoreError::Broken`]: it took none any more before, because a table could not be written out.
    pub(super) fn write(&self, newest: &Reader<'_>, changes: &Changes) -> Result<()> {
        let mut batch = self
            .database
            .batch()
            .durability(Some(PersistMode::SyncData));
        for (key, new) in changes {
            let keyspace = self.keyspace(key.table());
            let pieces = new.as_deref().map_or_else(Vec::new, value::cut);
            let kept = u16::try_from(pieces.len()).unwrap_or(u16::MAX);
            for (number, piece) in (0..).zip(pieces) {
                batch.insert(keyspace, value::piece_key(key.in_table(), number), piece);
            }
            // A short row that is put covers the old one: no need to look, and these are the rows
            // every message writes.
            let old = if new.is_some() && key.table().is_short() {
                kept
            } else {
                newest.pieces(key)?
            };
            for number in kept..old {
                batch.remove(keyspace, value::piece_key(key.in_table(), number));
            }
        }
        batch.commit().map_err(|error| match error {
            // Looked at before anything is written.
            fjall::Error::Poisoned => StoreError::Broken(
                "a table could not be written out, or a write failed before; the log says more"
                    .to_owned(),
            ),
            error => StoreError::Unknown(error.to_string()),
        })
    }

    /// Makes everything durable, file sizes and all.
    ///
    /// # Errors
    /// [`StoreError::Broken`].
    pub(super) fn sync(&self) -> Result<()> {
        self.database.persist(PersistMode::SyncAll).map_err(broken)
    }
    /// How many keys of the tree the rows of a table take, for tests.
    #[cfg(test)]
    pub(super) fn stored_keys(&self, table: Table) -> usize {
        self.keyspace(table).len().unwrap_or(usize::MAX)
    }
}

fn options(table: Table) -> KeyspaceCreateOptions {
    let map = if table == Table::Messages {
        MESSAGES_MAP
    } else {
        OTHER_MAP
    };
    KeyspaceCreateOptions::default()
        .max_memtable_size(map)
        .manual_journal_persist(true)
        .data_block_compression_policy(CompressionPolicy::all(CompressionType::Lz4))
}

/// An error of the tree as the port tells it.
pub(super) fn broken(error: fjall::Error) -> StoreError {
    use fjall::Error;
    match error {
        Error::Decompress(_) | Error::InvalidTag(_) | Error::InvalidTrailer => {
            StoreError::Corrupt(error.to_string())
        }
        Error::Locked => StoreError::Broken("another process has the store open".to_owned()),
        error => StoreError::Broken(error.to_string()),
    }
}

/// A view of what was durable at one instant.
pub(super) struct Reader<'a> {
    tables: &'a Tables,
    snapshot: Snapshot,
}

/// Which way to walk over rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// From the least key.
    Forward,
    /// From the greatest key.
    Backward,
}

/// Rows of one table between two keys.
#[derive(Debug)]
pub(super) struct Range {
    table: Table,
    from: Bound<Vec<u8>>,
    to: Bound<Vec<u8>>,
}

impl Range {
    /// All rows whose keys begin with `prefix`.
    pub(super) fn of(prefix: &Key) -> Self {
        Self {
            table: prefix.table(),
            from: Bound::Included(prefix.in_table().to_vec()),
            to: prefix.after_all().map_or(Bound::Unbounded, Bound::Excluded),
        }
    }

    /// Only rows after `key`.
    pub(super) fn after(mut self, key: &Key) -> Self {
        // Past the pieces of the row itself, should it be a long one.
        self.from = Bound::Excluded(value::past_pieces(key.in_table()));
        self
    }

    /// Only rows at or after `key`, which may be the beginning of one.
    pub(super) fn starting_at(mut self, key: &Key) -> Self {
        self.from = Bound::Included(key.in_table().to_vec());
        self
    }

    /// Only rows before `key`.
    pub(super) fn before(mut self, key: &Key) -> Self {
        self.to = Bound::Excluded(key.in_table().to_vec());
        self
    }

    /// Whether no key can lie in it; the tree must not be asked for such a range.
    fn is_empty(&self) -> bool {
        match (&self.from, &self.to) {
            (
                Bound::Included(from) | Bound::Excluded(from),
                Bound::Included(to) | Bound::Excluded(to),
            ) => from >= to,
            _ => false,
        }
    }
}

/// The value of a row: all of what is stored but the byte that says it is whole, or pieces put
/// together.
pub(super) struct Value {
    stored: Slice,
    from: usize,
}

impl Value {
    fn whole(stored: Slice) -> Self {
        Self { stored, from: 1 }
    }

    fn joined(bytes: Vec<u8>) -> Self {
        Self {
            stored: bytes.into(),
            from: 0,
        }
    }
}

impl std::ops::Deref for Value {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.stored.get(self.from..).unwrap_or_default()
    }
}

/// A row: the key inside its table, and the value.
pub(super) type Row = (Slice, Value);

/// What stands under one key of the tree.
type Entry = (Slice, Slice);

impl Reader<'_> {
    /// The value of a row.
    ///
    /// # Errors
    /// [`StoreError::Broken`], [`StoreError::Corrupt`].
    pub(super) fn get(&self, key: &Key) -> Result<Option<Value>> {
        let keyspace = self.tables.keyspace(key.table());
        let Some(head) = self
            .snapshot
            .get(keyspace, key.in_table())
            .map_err(broken)?
        else {
            return Ok(None);
        };
        match value::stored(&head)? {
            Stored::Whole(_) => Ok(Some(Value::whole(head))),
            Stored::Next(_) => Err(out_of_place(key.in_table())),
            Stored::First(pieces, first) => {
                let mut whole = first.to_vec();
                for number in 1..pieces {
                    let piece = self
                        .snapshot
                        .get(keyspace, value::piece_key(key.in_table(), number))
                        .map_err(broken)?;
                    append(&mut whole, key.in_table(), piece.as_deref())?;
                }
                Ok(Some(Value::joined(whole)))
            }
        }
    }

    /// Whether a row is there.
    ///
    /// # Errors
    /// [`StoreError::Broken`].
    pub(super) fn has(&self, key: &Key) -> Result<bool> {
        self.snapshot
            .contains_key(self.tables.keyspace(key.table()), key.in_table())
            .map_err(broken)
    }

    /// How many keys of the tree a row takes now.
    fn pieces(&self, key: &Key) -> Result<u16> {
        let head = self
            .snapshot
            .get(self.tables.keyspace(key.table()), key.in_table())
            .map_err(broken)?;
        head.map_or(Ok(0), |head| Ok(value::pieces_of(&value::stored(&head)?)))
    }

    /// Rows of a range, long ones put together again.
    pub(super) fn rows(&self, range: Range, direction: Direction) -> Rows {
        let entries = (!range.is_empty()).then(|| {
            self.snapshot
                .range(self.tables.keyspace(range.table), (range.from, range.to))
        });
        Rows { entries, direction }
    }
}

/// An iterator over rows.
pub(super) struct Rows {
    entries: Option<fjall::Iter>,
    direction: Direction,
}

impl Rows {
    fn entry(&mut self) -> Option<Result<Entry>> {
        let entries = self.entries.as_mut()?;
        let entry = match self.direction {
            Direction::Forward => entries.next(),
            Direction::Backward => entries.next_back(),
        };
        entry.map(|entry| entry.into_inner().map_err(broken))
    }

    fn forward(&mut self, (key, head): Entry) -> Result<Row> {
        match value::stored(&head)? {
            Stored::Whole(_) => Ok((key, Value::whole(head))),
            Stored::Next(_) => Err(out_of_place(&key)),
            Stored::First(pieces, first) => {
                let mut whole = first.to_vec();
                for number in 1..pieces {
                    let (at, piece) = self.entry().ok_or_else(|| out_of_place(&key))??;
                    let piece = (*at == *value::piece_key(&key, number)).then_some(piece);
                    append(&mut whole, &key, piece.as_deref())?;
                }
                Ok((key, Value::joined(whole)))
            }
        }
    }

    /// Walking backwards the later pieces come first.
    fn backward(&mut self, last: Entry) -> Result<Row> {
        let mut later = Vec::new();
        let mut entry = last;
        while let Stored::Next(_) = value::stored(&entry.1)? {
            let key = entry.0.clone();
            later.push(entry);
            entry = self.entry().ok_or_else(|| out_of_place(&key))??;
        }
        let (key, head) = entry;
        match value::stored(&head)? {
            Stored::First(pieces, first) if usize::from(pieces) == later.len() + 1 => {
                let mut whole = first.to_vec();
                for (number, (at, piece)) in (1..).zip(later.into_iter().rev()) {
                    let piece = (*at == *value::piece_key(&key, number)).then_some(piece);
                    append(&mut whole, &key, piece.as_deref())?;
                }
                Ok((key, Value::joined(whole)))
            }
            Stored::Whole(_) if later.is_empty() => Ok((key, Value::whole(head))),
            _ => Err(out_of_place(&key)),
        }
    }
}

impl Iterator for Rows {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.entry()?;
        let row = entry.and_then(|entry| match self.direction {
            Direction::Forward => self.forward(entry),
            Direction::Backward => self.backward(entry),
        });
        if row.is_err() {
            self.entries = None;
        }
        Some(row)
    }
}

fn append(whole: &mut Vec<u8>, key: &[u8], piece: Option<&[u8]>) -> Result<()> {
    match piece.map(value::stored).transpose()? {
        Some(Stored::Next(bytes)) => {
            whole.extend_from_slice(bytes);
            Ok(())
        }
        _ => Err(out_of_place(key)),
    }
}

fn out_of_place(key: &[u8]) -> StoreError {
    StoreError::Corrupt(format!(
        "a piece of the value at {key:?} is missing or out of place"
    ))
}
