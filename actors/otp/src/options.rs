//! How a process is started, apart from its arguments.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::process::{DEFAULT_MAILBOX_MAX, Process};
use crate::registry::{Key, Registry, Value};
use crate::start::StartError;

/// Puts a starting process into a registry; `Err` is that of the start.
pub(crate) type Registrar = Arc<dyn Fn(&Arc<Process>) -> Result<(), StartError> + Send + Sync>;

/// Name, label and limits of a process to be started.
#[derive(Clone)]
pub struct Options {
    pub(crate) name: Option<Arc<str>>,
    pub(crate) label: Option<Arc<str>>,
    pub(crate) mailbox_max: usize,
    pub(crate) start_timeout: Option<Duration>,
    pub(crate) registrars: Vec<Registrar>,
}

impl Options {
    /// No name, no label, a mailbox of [`DEFAULT_MAILBOX_MAX`], and no limit on `init`.
    pub fn new() -> Options {
        Options {
            name: None,
            label: None,
            mailbox_max: DEFAULT_MAILBOX_MAX,
            start_timeout: None,
            registrars: Vec::new(),
        }
    }

    /// Registers the process under a name of its node before `init` runs. If the name is taken
    /// the start fails with [`crate::StartError::AlreadyStarted`].
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Options {
        self.name = Some(name.into());
        self
    }

    /// Says what the process is, for people: `guild 7`. The first word is its kind, by which
    /// mailbox metrics are grouped.
    pub fn label(mut self, label: impl Into<Arc<str>>) -> Options {
        self.label = Some(label.into());
        self
    }

    /// How many messages the mailbox holds before senders are refused.
    pub fn mailbox_max(mut self, messages: usize) -> Options {
        self.mailbox_max = messages;
        self
    }

    /// How long `init` may take; then the half-started process is gone and the start fails with
    /// [`crate::StartError::Timeout`].
    pub fn start_timeout(mut self, limit: Duration) -> Options {
        self.start_timeout = Some(limit);
        self
    }

    /// Registers the process under a key before `init` runs. A restarted child registers itself
    /// again this way. If the key is taken the start fails with
    /// [`crate::StartError::AlreadyStarted`]; if the keys of the registry are not unique, or it
    /// does not run, with [`crate::StartError::Failed`].
    pub fn register_in<K: Key, V: Value + Default>(
        mut self,
        registry: &Registry<K, V>,
        key: K,
    ) -> Options {
        let registry = registry.clone();
        self.registrars.push(Arc::new(move |process| {
            registry.register_starting(key.clone(), V::default(), process)
        }));
        self
    }
}

impl Default for Options {
    fn default() -> Options {
        Options::new()
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Options")
            .field("name", &self.name)
            .field("label", &self.label)
            .field("mailbox_max", &self.mailbox_max)
            .field("start_timeout", &self.start_timeout)
            .field("registrars", &self.registrars.len())
            .finish()
    }
}
