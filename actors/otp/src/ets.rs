//! Tables that all processes of a node share (Erlang: `ets`).
//!
//! ```text
//!   owner ──creates──▶ ┌ Table<K, V> ─────────────┐ ◀──get, select── anybody it lets in
//!                      │ key → Arc<value> ...     │
//!   end of the owner ─▶└──────────────────────────┘──▶ gone, or its heir's
//! ```
//!
//! No process is asked: reads and writes go straight to the table. A value is stored once and
//! handed out as the `Arc` it is stored in; nothing is copied but the keys, of which a walk makes
//! clones: make a big one an `Arc<str>`. Closures that are given to a table run outside of its
//! locks: they may use the table, and may take their time.
//!
//! | Erlang's manual, ets(3) | here |
//! |---|---|
//! | A table holds tuples; the key is the element at `keypos`. | A table holds keys and values of its types. [`TableOptions::key_by`] says where in a value its key is. |
//! | `set`, `ordered_set`, `bag`, `duplicate_bag` | [`set`], [`ordered_set`], [`bag`], [`duplicate_bag`]: one type, [`Table`]. |
//! | "ordered_set … compares equal" (`1 == 1.0`), the others match | `Ord` of the key there, `Eq` and `Hash` elsewhere. |
//! | "Each table is created by a process. When the process terminates, the table is automatically destroyed." | The same, before any link or monitor of it fires. Handles that are left give [`EtsError::BadTable`]. |
//! | `public`, `protected`, `private`, checked for the calling process | The same, for the process that runs the code. Code outside of any process is a stranger. |
//! | `{heir, Pid, HeirData}`, `give_away/3`: `{'ETS-TRANSFER', Tab, FromPid, Data}` | [`TableOptions::heir`], [`Table::give_away`]: [`crate::Info::Transfer`], never refused by a full mailbox. |
//! | "Functions that update several objects state if they guarantee atomicity and isolation." | One object: always. [`Table::insert_all`], [`Table::insert_new_all`], [`Table::delete_all`]: all of them at once. |
//! | `select/2` and others are not snapshots. | The same. |
//! | Match specifications. | [`Spec`]: a range of keys and a closure. |
//! | `safe_fixtable/2`: "a sequence of first/1 and next/2 … each object is returned exactly once, unless deleted" | [`Table::fix`], a guard. A new object is met by such a walk only if it is in a part the walk has not come to. |
//! | "next/2 … badarg if the key does not exist" and the table is not fixed | [`EtsError::BadKey`]; an ordered set needs no such key. |
//! | `badarg` | [`EtsError`] says what it was. |
//! | `update_counter/3`: integers without end | `i64`; a sum that does not fit is refused. |
//! | A continuation of `select/1` is safe if the table is fixed. | It is safe in any case: [`Continuation`]. |
//! | `{read_concurrency, _}`, `{write_concurrency, _}` | The same: how many locks a table has. |
//! | "the number of tables … limited by memory" | At most [`TABLES_MAX`] of a node, and [`TableOptions::rows_max`] objects of a table. |
//! | Tables of another node cannot be reached. | The same, also in one program. |
//!
//! ```
//! use otp::{Node, ets, task};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let node = Node::new("example");
//! let owner = task::spawn(&node, "owner", async {
//!     let scores = ets::ordered_set::<&str, i64>().named("scores").create()?;
//!     scores.insert("ann", 3)?;
//!     scores.insert("ben", 5)?;
//!     scores.count(&"ann", 4)?;
//!     let good = ets::Spec::filter(|_, score: &i64| *score > 6);
//!     assert_eq!(scores.select(&good)?.len(), 1);
//!     assert_eq!(scores.first()?, Some("ann"));
//!     Ok::<_, ets::EtsError>(scores)
//! });
//! let scores = owner.await.map_err(|reason| reason.to_string())??;
//! // Its owner has ended.
//! assert_eq!(scores.get(&"ann"), Err(ets::EtsError::BadTable));
//! # Ok(())
//! # }
//! ```

use std::hash::Hash;

use thiserror::Error;

mod core;
mod shard;
mod store;

mod table;
pub use table::Table;

mod lookup;

mod options;
pub use options::{DEFAULT_ROWS_MAX, ROWS_MAX, TableOptions};

mod walk;
pub use walk::{Fixed, Found};

mod spec;
pub use spec::Spec;

mod select;
pub use select::{Chunk, Continuation};

mod update;
pub use update::{Count, CounterFields};

mod transfer;
pub use transfer::Transfer;

mod info;
pub use info::{TableId, TableInfo};

mod tables;
pub use tables::{DROPPED_AT_ONCE_MAX, TABLES_MAX, Tables};

#[cfg(test)]
mod tests;

/// What can be a key. Hashed tables use `Hash` and `Eq`, ordered ones `Ord`, which need not agree.
pub trait Key: Hash + Eq + Ord + Clone + Send + Sync + 'static {}
impl<K: Hash + Eq + Ord + Clone + Send + Sync + 'static> Key for K {}

/// What can be a value.
pub trait Value: Send + Sync + 'static {}
impl<V: Send + Sync + 'static> Value for V {}

/// What a table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// One object under a key, no order.
    Set,
    /// One object under a key, in the order of the keys.
    OrderedSet,
    /// Different objects under a key.
    Bag,
    /// Any objects under a key.
    DuplicateBag,
}

impl Kind {
    /// As Erlang calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Set => "set",
            Kind::OrderedSet => "ordered_set",
            Kind::Bag => "bag",
            Kind::DuplicateBag => "duplicate_bag",
        }
    }
}

/// What processes other than the owner may do with a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protection {
    /// Read and write.
    Public = 0,
    /// Read.
    Protected = 1,
    /// Nothing.
    Private = 2,
}

/// Whether a table is made for many writers (`{write_concurrency, _}`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WriteConcurrency {
    /// One lock.
    Off,
    /// Many locks.
    On,
    /// Whatever is best; here the same as `On`.
    Auto,
}

/// Why an operation on a table was refused. Nothing has changed (Erlang: `badarg`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EtsError {
    /// There is no such table: it was deleted, its owner has ended, or it is of another node.
    #[error("no such table")]
    BadTable,
    /// The process that runs may not do this with the table.
    #[error("this process may not do that with the table")]
    AccessDenied,
    /// A table with the name exists.
    #[error("the name belongs to another table")]
    NameTaken,
    /// No table can have the name.
    #[error("this name is reserved")]
    BadName,
    /// There is no object under the key; or the object would not belong under its key.
    #[error("no such key")]
    BadKey,
    /// The object has no counter at this position.
    #[error("no counter at this position")]
    BadPosition,
    /// A counter would not fit into its type.
    #[error("the counter would overflow")]
    Overflow,
    /// Tables of this kind cannot do that.
    #[error("tables of this kind cannot do that")]
    WrongKind,
    /// The table has keys or values of another type.
    #[error("the table has other types")]
    OtherType,
    /// A range that ends before it begins, or a limit of 0.
    #[error("nothing can be selected like this")]
    BadSpec,
    /// No process runs this code; or a process has ended, is of another node, or is the owner
    /// already.
    #[error("no such process")]
    NoProcess,
    /// The table has as many objects as [`TableOptions::rows_max`] allows.
    #[error("the table is full")]
    Full,
    /// The node has [`TABLES_MAX`] tables.
    #[error("too many tables")]
    TooManyTables,
}

/// A table with one object under a key, which finds it in constant time.
pub fn set<K: Key, V: Value>() -> TableOptions<K, V> {
    TableOptions::new(Kind::Set, None)
}

/// A table with one object under a key, in the order of the keys.
pub fn ordered_set<K: Key, V: Value>() -> TableOptions<K, V> {
    TableOptions::new(Kind::OrderedSet, None)
}

/// A table with several objects under a key, none of them twice.
pub fn bag<K: Key, V: Value + PartialEq>() -> TableOptions<K, V> {
    TableOptions::new(Kind::Bag, Some(V::eq))
}

/// A table with several objects under a key, equal ones too.
pub fn duplicate_bag<K: Key, V: Value>() -> TableOptions<K, V> {
    TableOptions::new(Kind::DuplicateBag, None)
}
