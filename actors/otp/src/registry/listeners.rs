//! Listeners: processes which are told who registers.

use crate::pid::Pid;
use crate::registry::options::Listener;
use crate::registry::{Key, Registry, Value};

/// What a listener gets, as [`crate::Info::Message`] (Elixir: `{:register, ...}`,
/// `{:unregister, ...}`).
///
/// The end of a process is not told: a listener which wants to know monitors the process, as in
/// Elixir.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryEvent<K, V = ()> {
    /// A process was registered.
    Registered {
        /// Where.
        registry: Registry<K, V>,
        /// Under what.
        key: K,
        /// Who.
        pid: Pid,
        /// With what.
        value: V,
    },
    /// A process asked to be unregistered, and has no entry under the key any more. It may have
    /// had none before, as in Elixir.
    Unregistered {
        /// Where.
        registry: Registry<K, V>,
        /// Under what.
        key: K,
        /// Who.
        pid: Pid,
    },
}

impl<K: Key, V: Value> Registry<K, V> {
    pub(super) fn has_listeners(&self) -> bool {
        !self.inner.options.listeners.is_empty()
    }

    pub(super) fn tell_registered(&self, key: K, pid: Pid, value: V) {
        self.tell(RegistryEvent::Registered {
            registry: self.clone(),
            key,
            pid,
            value,
        });
    }

    pub(super) fn tell_unregistered(&self, key: &K, pid: Pid) {
        if self.has_listeners() {
            self.tell(RegistryEvent::Unregistered {
                registry: self.clone(),
                key: key.clone(),
                pid,
            });
        }
    }

    fn tell(&self, event: RegistryEvent<K, V>) {
        let node = &self.inner.node;
        for listener in &self.inner.options.listeners {
            let pid = match listener {
                Listener::Name(name) => node.whereis(name),
                Listener::Pid(pid) => Some(*pid),
            };
            if let Some(pid) = pid {
                node.send(pid, Box::new(event.clone()));
            }
        }
    }
}
