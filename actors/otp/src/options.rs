//! How a process is started, apart from its arguments.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::mailbox::{DEFAULT_MAILBOX_MAX, Limits, Overflow};
use crate::process::Process;
use crate::registry::{Key, Registry, Value};
use crate::start::StartError;

/// Puts a starting process into a registry; `Err` is that of the start.
pub(crate) type Registrar = Arc<dyn Fn(&Arc<Process>) -> Result<(), StartError> + Send + Sync>;

/// Runs when a process has become visible.
pub(crate) type Published = Arc<dyn Fn(&Arc<Process>) + Send + Sync>;

/// Name, label and limits of a process to be started.
#[derive(Clone)]
pub struct Options {
    pub(crate) name: Option<Arc<str>>,
    pub(crate) label: Option<Arc<str>>,
    pub(crate) limits: Limits,
    pub(crate) start_timeout: Option<Duration>,
    pub(crate) hibernate_after: Option<Duration>,
    pub(crate) linked: bool,
    pub(crate) light: bool,
    pub(crate) registrars: Vec<Registrar>,
    pub(crate) published: Vec<Published>,
}

impl Options {
    /// No name, no label, a mailbox of [`DEFAULT_MAILBOX_MAX`], and no limit on `init`.
    pub fn new() -> Options {
        Options {
            name: None,
            label: None,
            limits: Limits {
                messages: DEFAULT_MAILBOX_MAX,
                bytes: None,
                overflow: Overflow::Refuse,
            },
            start_timeout: None,
            hibernate_after: None,
            linked: true,
            light: false,
            registrars: Vec::new(),
            published: Vec::new(),
        }
    }

    /// Registers the process under a name of its node before `init` runs. If the name is taken
    /// the start fails with [`crate::StartError::AlreadyStarted`]; if nobody can have it, with
    /// [`crate::StartError::Failed`].
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

    /// How many messages the mailbox holds; what happens at the limit is
    /// [`Options::overflow`]'s.
    pub fn mailbox_max(mut self, messages: usize) -> Options {
        self.limits.messages = messages;
        self
    }

    /// How many bytes the messages of the mailbox may count, as
    /// [`crate::GenServer::message_bytes`] says. By default they are not counted.
    pub fn mailbox_bytes_max(mut self, bytes: usize) -> Options {
        self.limits.bytes = Some(bytes);
        self
    }

    /// What a full mailbox does with one more message. By default the sender is refused.
    pub fn overflow(mut self, overflow: Overflow) -> Options {
        self.limits.overflow = overflow;
        self
    }

    /// Hibernates whenever nothing has arrived for this long (`hibernate_after`); see
    /// [`crate::Next::Hibernate`].
    pub fn hibernate_after(mut self, idle: Duration) -> Options {
        self.hibernate_after = Some(idle);
        self
    }

    /// Carries the process by a task of its own instead of a ractor actor, which saves some 4 KB.
    /// For processes of which there are very many; nothing else about it is different. Processes are
    /// ractor actors by default.
    pub fn light(mut self) -> Options {
        self.light = true;
        self
    }

    /// Whether the process can be found by a name or a key.
    pub(crate) fn is_findable(&self) -> bool {
        self.name.is_some() || !self.registrars.is_empty()
    }

    /// Has a parent, but no link to it.
    pub(crate) fn unlinked(mut self) -> Options {
        self.linked = false;
        self
    }

    /// Runs when the process has become visible, before its `init`.
    pub(crate) fn on_published(
        mut self,
        function: impl Fn(&Arc<Process>) + Send + Sync + 'static,
    ) -> Options {
        self.published.push(Arc::new(function));
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
            .field("limits", &self.limits)
            .field("start_timeout", &self.start_timeout)
            .field("light", &self.light)
            .field("registrars", &self.registrars.len())
            .finish()
    }
}
