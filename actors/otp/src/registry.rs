//! A registry: processes under typed keys, with a value each (Elixir: `Registry`).
//!
//! ```text
//!  process ──register(key, value)──▶ ┌ partition ─────────────┐
//!  anybody ──lookup, select────────▶ │ key → (pid, value) ... │
//!  anybody ──dispatch(key, f)──────▶ │ pid → its entries      │ ◀──emptied by its end
//!  listener ◀──Registered, Unregistered──────────────────────┘
//! ```
//!
//! Reads and writes go straight to shared tables, no process is asked. Closures that are given to
//! a registry run outside its locks: they may use the registry, and may take their time.
//!
//! | Elixir's manual | here |
//! |---|---|
//! | Keys are unique or duplicate, and compared by `===`. | [`Keys`]; compared by `Eq` of their type. |
//! | "If the process crashes, the keys associated to that process are automatically removed." | So they are, *before* any link or monitor of the process fires. |
//! | "It is possible that a dead process is returned": clean-up is asynchronous. | Entries of processes that have ended are never returned, and never in the way of a new one. |
//! | `register/3` and others act for the calling process. | [`Registry::by`] says which process acts; a process says `registry.by(ctx.pid())`. |
//! | Match specifications. | Closures over key, pid and value. |
//! | Listeners are told of `register` and `unregister`; to learn of an end they monitor. | The same: [`RegistryEvent`]. |
//! | `{:via, Registry, {registry, key}}`, for unique keys only. | [`Registry::via`], [`Options::register_in`]. |
//! | A registry is a supervisor with a process for each partition, linked to the holders. | [`Registry::child_spec`] starts one process; when it ends holders get its exit signal. A registry without one always runs. |
//! | An unknown registry raises. | [`UnknownRegistry`], while that process does not run. |
//!
//! ```
//! use otp::{Context, From, GenServer, Init, Next, Node, Options, Registry};
//!
//! struct Room;
//!
//! enum Message {
//!     Title(From<&'static str>),
//! }
//!
//! impl GenServer for Room {
//!     type Args = ();
//!     type Message = Message;
//!
//!     async fn init((): (), _ctx: &mut Context<Self>) -> Init<Self> {
//!         Init::Ok(Room)
//!     }
//!
//!     async fn handle(&mut self, Message::Title(from): Message, _ctx: &mut Context<Self>) -> Next<Self> {
//!         from.reply("lobby");
//!         Next::Go
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let node = Node::new("example");
//! let rooms = Registry::<u64, &str>::new(&node);
//! let lobby = rooms.via_with(7, "open")?;
//! let room = otp::start::<Room>(&node, (), Options::new().via(&lobby)).await?;
//! assert_eq!(lobby.call::<Room, _, _>(Message::Title).await?, "lobby");
//! assert_eq!(rooms.entries(&7)?, [(room.pid(), "open")]);
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use thiserror::Error;

use crate::context::Context;
use crate::gen_server::GenServer;
use crate::node::Node;
#[cfg(doc)]
use crate::options::Options;
use crate::pid::Pid;
use crate::process::Process;
use crate::server_ref::ServerRef;

mod bucket;

mod tables;
use tables::Inner;
#[doc(hidden)]
pub use tables::RegistryStats;

mod options;
pub use options::{
    DEFAULT_ENTRIES_MAX, InvalidKeys, Keys, Listener, PARTITIONS_MAX, RegistryOptions,
};

mod registrant;
pub use registrant::{Registrant, UpdateError};

mod select;
pub use select::DispatchError;

mod listeners;
pub use listeners::RegistryEvent;

mod lock;
pub use lock::{LOCK_QUEUE_MAX, LockError};

mod meta;
pub use meta::META_MAX;

mod via;
pub use via::{Via, ViaError};

mod owner;

#[cfg(test)]
mod tests;

/// What can be a key: anything that can be compared and copied.
pub trait Key: Hash + Eq + Clone + Send + Sync + 'static {}
impl<K: Hash + Eq + Clone + Send + Sync + 'static> Key for K {}

/// What can be the value of an entry. Readers get clones: put something big behind an `Arc`.
pub trait Value: Clone + Send + Sync + 'static {}
impl<V: Clone + Send + Sync + 'static> Value for V {}

/// The registry does not run: it was not started yet, or its process has ended. Entries it had
/// are gone; whoever had one is told by an exit signal. Try again when its supervisor has
/// restarted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("unknown registry")]
pub struct UnknownRegistry;

/// Why a process was not registered. The registry is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RegisterError {
    /// The key belongs to another process, or to this one already.
    #[error("the key belongs to {0}")]
    AlreadyRegistered(Pid),
    /// The process has ended, or is of another node.
    #[error("no such process")]
    NoProc,
    /// The registry does not run.
    #[error(transparent)]
    UnknownRegistry(#[from] UnknownRegistry),
    /// The registry has as many entries as [`RegistryOptions::entries_max`] allows.
    #[error("the registry is full")]
    Full,
}

/// Why metadata was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MetaError {
    /// The registry does not run.
    #[error(transparent)]
    UnknownRegistry(#[from] UnknownRegistry),
    /// There are [`META_MAX`] other keys.
    #[error("the registry has too much metadata")]
    Full,
}

/// Keys and their processes. Cloning is cheap and names the same registry, and so does equality.
/// An entry never outlives its process; how many there can be is
/// [`RegistryOptions::entries_max`].
pub struct Registry<K, V = ()> {
    inner: Arc<Inner<K, V>>,
}

impl<K: Key, V: Value> Registry<K, V> {
    /// A registry of processes of `node` with unique keys, which runs without a process.
    pub fn new(node: &Node) -> Registry<K, V> {
        Registry::with_options(node, RegistryOptions::new())
    }

    /// A registry of processes of `node`. It runs from now on, unless it is put into a
    /// supervision tree with [`Registry::child_spec`].
    pub fn with_options(node: &Node, options: RegistryOptions) -> Registry<K, V> {
        Registry {
            inner: Arc::new(Inner::new(node, options)),
        }
    }

    /// Whether keys are unique or duplicate.
    pub fn key_kind(&self) -> Keys {
        self.inner.options.keys
    }

    /// How many partitions there are.
    pub fn partitions(&self) -> usize {
        self.inner.partition_count()
    }

    /// Whether the registry runs.
    ///
    /// # Errors
    /// [`UnknownRegistry`]: it does not.
    pub fn check(&self) -> Result<(), UnknownRegistry> {
        self.inner.check()
    }

    // ---- registering ----------------------------------------------------------------------

    /// Registers a process with the default value, until it ends or is unregistered; see
    /// [`Registrant::register`].
    ///
    /// # Errors
    /// [`RegisterError`]: the process was not registered.
    pub fn register(&self, key: K, process: impl Into<Pid>) -> Result<(), RegisterError>
    where
        V: Default,
    {
        self.by(process).register(key, V::default())
    }

    /// The registry as one process sees it: what Elixir's `Registry` does for `self()`. Inside a
    /// callback that is `registry.by(ctx.pid())`.
    pub fn by(&self, process: impl Into<Pid>) -> Registrant<'_, K, V> {
        Registrant::new(self, process.into())
    }

    /// Registers a process which has started or is about to.
    pub(crate) fn register_process(
        &self,
        key: K,
        value: V,
        process: &Arc<Process>,
    ) -> Result<(), RegisterError> {
        let told = self.has_listeners().then(|| (key.clone(), value.clone()));
        self.inner.insert(key, value, process)?;
        if let Some((key, value)) = told {
            self.tell_registered(key, process.pid, value);
        }
        Ok(())
    }

    /// Frees a key, whoever has it: for the code a registry belongs to. A process gives back its
    /// own keys with [`Registrant::unregister`]. Returns whose it was; with duplicate keys the
    /// first of them.
    pub fn unregister(&self, key: &K) -> Option<Pid> {
        let entries = self.inner.entries_of(key);
        self.inner.remove(&entries);
        let mut pids: Vec<Pid> = entries.iter().map(|entry| entry.process.pid).collect();
        let first = pids.first().copied();
        pids.sort_unstable();
        pids.dedup();
        for pid in pids {
            self.tell_unregistered(key, pid);
        }
        first
    }

    // ---- looking --------------------------------------------------------------------------

    /// The process under a key; with duplicate keys the first of one partition. None if the
    /// registry does not run.
    pub fn lookup(&self, key: &K) -> Option<Pid> {
        self.inner.first_of(key).map(|entry| entry.process.pid)
    }

    /// A typed reference to the process under a key, if it is an `S`; with duplicate keys the
    /// first of one partition.
    pub fn lookup_ref<S: GenServer>(&self, key: &K) -> Option<ServerRef<S>> {
        let entry = self.inner.first_of(key)?;
        let process = &entry.process;
        process.runs::<S>().then(|| ServerRef::new(process.clone()))
    }

    /// The processes under a key with their values, those of one partition in the order in which
    /// they registered (Elixir: `Registry.lookup/2`).
    ///
    /// # Errors
    /// [`UnknownRegistry`]: the registry does not run.
    pub fn entries(&self, key: &K) -> Result<Vec<(Pid, V)>, UnknownRegistry> {
        self.match_values(key, |_| true)
    }

    /// All keys, each once, in no order. Empty if the registry does not run.
    pub fn keys(&self) -> Vec<K> {
        let mut keys = std::collections::HashSet::new();
        for partition in 0..self.partitions() {
            let entries = self.inner.all_in(partition);
            keys.extend(entries.iter().map(|entry| entry.key.clone()));
        }
        keys.into_iter().collect()
    }

    /// How many entries there are: keys, if they are unique. Zero if the registry does not run.
    pub fn len(&self) -> usize {
        self.inner.count()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many entries there are (Elixir: `Registry.count/1`). Costs nothing.
    ///
    /// # Errors
    /// [`UnknownRegistry`]: the registry does not run.
    pub fn count(&self) -> Result<usize, UnknownRegistry> {
        self.inner.check()?;
        Ok(self.inner.count())
    }

    /// How big the tables are, for tests. Walks over all of them.
    #[doc(hidden)]
    pub fn stats(&self) -> RegistryStats {
        self.inner.stats()
    }
}

/// So that a callback can say `registry.by(&*ctx)`.
impl<S: GenServer> From<&Context<S>> for Pid {
    fn from(context: &Context<S>) -> Pid {
        context.pid()
    }
}

impl<S: GenServer> From<&ServerRef<S>> for Pid {
    fn from(server: &ServerRef<S>) -> Pid {
        server.pid()
    }
}

impl<K, V> Clone for Registry<K, V> {
    fn clone(&self) -> Registry<K, V> {
        Registry {
            inner: self.inner.clone(),
        }
    }
}

impl<K, V> PartialEq for Registry<K, V> {
    fn eq(&self, other: &Registry<K, V>) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

impl<K, V> Eq for Registry<K, V> {}

impl<K, V> fmt::Debug for Registry<K, V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Registry")
    }
}
