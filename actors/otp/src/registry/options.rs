//! How a registry is made.

use std::any::Any;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

use crate::pid::Pid;

/// Most partitions a registry has; more are not made.
pub const PARTITIONS_MAX: usize = 1024;

/// How many entries a registry holds unless [`RegistryOptions::entries_max`] says otherwise.
/// Policy at the limit: a registration is refused with [`super::RegisterError::Full`]. Metric:
/// `otp_registrations_refused_total`.
pub const DEFAULT_ENTRIES_MAX: usize = 16_000_000;

/// How often a key may be registered, and what partitions are made by (Elixir: `:keys`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Keys {
    /// Once (`:unique`). Partitions are by key.
    #[default]
    Unique,
    /// Any number of times, by one process too (`:duplicate`, `{:duplicate, :pid}`). Partitions
    /// are by process, so a lookup visits all of them and a dispatch can use them in parallel:
    /// for few keys with many processes.
    DuplicateByPid,
    /// Any number of times (`{:duplicate, :key}`). Partitions are by key, so a lookup or a
    /// dispatch visits one of them: for many keys with few processes each.
    DuplicateByKey,
}

/// A text that names no kind of keys.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is none of unique, duplicate, duplicate:pid, duplicate:key")]
pub struct InvalidKeys(String);

/// From a configuration: `unique`, `duplicate`, `duplicate:pid` or `duplicate:key`.
impl FromStr for Keys {
    type Err = InvalidKeys;

    fn from_str(text: &str) -> Result<Keys, InvalidKeys> {
        match text {
            "unique" => Ok(Keys::Unique),
            "duplicate" | "duplicate:pid" => Ok(Keys::DuplicateByPid),
            "duplicate:key" => Ok(Keys::DuplicateByKey),
            _ => Err(InvalidKeys(text.to_owned())),
        }
    }
}

/// Who is told of registrations: a process, or whoever has a name of the node at the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listener {
    /// The process registered under this name; while there is none, nobody is told.
    Name(Arc<str>),
    /// This process.
    Pid(Pid),
}

impl From<&str> for Listener {
    fn from(name: &str) -> Listener {
        Listener::Name(name.into())
    }
}

impl From<Pid> for Listener {
    fn from(pid: Pid) -> Listener {
        Listener::Pid(pid)
    }
}

pub(super) type MetaValue = Arc<dyn Any + Send + Sync>;

/// The options of a registry (Elixir: the options of `Registry.start_link/1`).
#[derive(Clone)]
pub struct RegistryOptions {
    pub(super) keys: Keys,
    pub(super) partitions: usize,
    pub(super) entries_max: usize,
    pub(super) listeners: Vec<Listener>,
    pub(super) meta: Vec<(Arc<str>, MetaValue)>,
}

impl RegistryOptions {
    /// Unique keys, one partition, [`DEFAULT_ENTRIES_MAX`], no listeners, no metadata.
    pub fn new() -> RegistryOptions {
        RegistryOptions {
            keys: Keys::Unique,
            partitions: 1,
            entries_max: DEFAULT_ENTRIES_MAX,
            listeners: Vec::new(),
            meta: Vec::new(),
        }
    }

    /// How often a key may be registered.
    pub fn keys(mut self, keys: Keys) -> RegistryOptions {
        self.keys = keys;
        self
    }

    /// How many partitions there are; none is taken as one, and [`PARTITIONS_MAX`] is the most.
    ///
    /// One partition is many small tables already, so unlike in Elixir more of them do not make
    /// registering faster. They decide what one call of a dispatcher sees.
    pub fn partitions(mut self, partitions: usize) -> RegistryOptions {
        self.partitions = partitions.clamp(1, PARTITIONS_MAX);
        self
    }

    /// As many partitions as the machine has cores.
    pub fn partition_per_core(self) -> RegistryOptions {
        let cores = std::thread::available_parallelism();
        self.partitions(cores.map_or(1, std::num::NonZero::get))
    }

    /// How many entries fit.
    pub fn entries_max(mut self, entries: usize) -> RegistryOptions {
        self.entries_max = entries;
        self
    }

    /// Adds a process which is told of registrations, see [`super::RegistryEvent`].
    pub fn listener(mut self, listener: impl Into<Listener>) -> RegistryOptions {
        self.listeners.push(listener.into());
        self
    }

    /// Adds metadata the registry has from its start on, see [`super::Registry::meta`].
    pub fn meta<T: Any + Send + Sync>(
        mut self,
        key: impl Into<Arc<str>>,
        value: T,
    ) -> RegistryOptions {
        self.meta.push((key.into(), Arc::new(value)));
        self
    }
}

impl Default for RegistryOptions {
    fn default() -> RegistryOptions {
        RegistryOptions::new()
    }
}

impl fmt::Debug for RegistryOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RegistryOptions")
            .field("keys", &self.keys)
            .field("partitions", &self.partitions)
            .field("entries_max", &self.entries_max)
            .field("listeners", &self.listeners)
            .field("meta", &self.meta.len())
            .finish()
    }
}
