//! Names in a registry (Elixir: `{:via, Registry, {registry, key}}`).

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use crate::exit_reason::ExitReason;
use crate::gen_server::GenServer;
use crate::node::Node;
use crate::options::Options;
use crate::pid::Pid;
use crate::process::Process;
use crate::registry::{Key, Keys, RegisterError, Registry, UnknownRegistry, Value};
use crate::server_ref::{CallError, Destination, From, ServerRef};
use crate::start::StartError;

/// Why there is no such name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ViaError {
    /// The keys of the registry are duplicate: a key names no single process.
    #[error("via names need unique keys")]
    DuplicateKeys,
    /// The registry does not run.
    #[error(transparent)]
    UnknownRegistry(#[from] UnknownRegistry),
}

/// The name of whichever process has a key at the time.
pub struct Via<K, V = ()> {
    registry: Registry<K, V>,
    key: K,
    value: V,
}

impl<K: Key, V: Value> Registry<K, V> {
    /// A name for whichever process has the key. A process that is started under it gets the
    /// default value.
    ///
    /// # Errors
    /// [`ViaError`]: there are no such names in this registry, or it does not run.
    pub fn via(&self, key: K) -> Result<Via<K, V>, ViaError>
    where
        V: Default,
    {
        self.via_with(key, V::default())
    }

    /// The same with the value which a process that is started under the name gets (Elixir:
    /// `{:via, Registry, {registry, key, value}}`).
    ///
    /// # Errors
    /// [`ViaError`]: there are no such names in this registry, or it does not run.
    pub fn via_with(&self, key: K, value: V) -> Result<Via<K, V>, ViaError> {
        self.check()?;
        if self.key_kind() != Keys::Unique {
            return Err(ViaError::DuplicateKeys);
        }
        Ok(Via {
            registry: self.clone(),
            key,
            value,
        })
    }
}

impl<K: Key, V: Value> Via<K, V> {
    /// The process which has the name (`whereis_name/1`).
    ///
    /// # Errors
    /// [`UnknownRegistry`]: the registry does not run.
    pub fn whereis(&self) -> Result<Option<Pid>, UnknownRegistry> {
        self.registry.check()?;
        Ok(self.registry.lookup(&self.key))
    }

    /// Gives the name, with its value, to a process (`register_name/2`).
    ///
    /// # Errors
    /// [`RegisterError`]: it was not registered.
    pub fn register(&self, process: impl Into<Pid>) -> Result<(), RegisterError> {
        let registrant = self.registry.by(process);
        registrant.register(self.key.clone(), self.value.clone())
    }

    /// Takes the name back from a process, if it has it (`unregister_name/1`).
    ///
    /// # Errors
    /// [`UnknownRegistry`]: the registry does not run.
    pub fn unregister(&self, process: impl Into<Pid>) -> Result<(), UnknownRegistry> {
        self.registry.by(process).unregister(&self.key)
    }

    /// Sends an untyped message to the process which has the name; see [`crate::Node::send`]
    /// (`send/2`).
    ///
    /// # Errors
    /// [`CallError::NoProc`]: nobody has the name, or who has it just ended. The message is gone.
    pub fn send(&self, message: Box<dyn Any + Send>) -> Result<(), CallError> {
        let pid = self.registry.lookup(&self.key).ok_or(CallError::NoProc)?;
        if self.registry.inner.node.send(pid, message) {
            Ok(())
        } else {
            Err(CallError::NoProc)
        }
    }

    /// A typed reference to the process which has the name now, if it is an `S`.
    pub fn server_ref<S: GenServer>(&self) -> Option<ServerRef<S>> {
        self.registry.lookup_ref(&self.key)
    }

    /// Sends a message to the `S` which has the name, see [`ServerRef::cast`]; nothing happens if
    /// there is none.
    pub fn cast<S: GenServer>(&self, message: S::Message) {
        if let Some(server) = self.server_ref::<S>() {
            server.cast(message);
        }
    }

    /// Asks the `S` which has the name, see [`ServerRef::call`].
    ///
    /// # Errors
    /// [`CallError::NoProc`]: there is none. Others as for any call.
    pub async fn call<S, T, F>(&self, request: F) -> Result<T, CallError>
    where
        S: GenServer,
        T: Send + 'static,
        F: FnOnce(From<T>) -> S::Message + Send,
    {
        let server = self.server_ref::<S>().ok_or(CallError::NoProc)?;
        server.call(request).await
    }
}

/// So that `node.call(&via, ...)` and all that takes a name takes this one.
impl<K: Key, V: Value, S: GenServer> Destination<S> for Via<K, V> {
    fn resolve(&self, _node: &Node) -> Result<ServerRef<S>, CallError> {
        self.server_ref().ok_or(CallError::NoProc)
    }
}

impl<K: Key, V: Value> Registry<K, V> {
    /// Registers a process that is being started; the error is that of the start.
    pub(crate) fn register_starting(
        &self,
        key: K,
        value: V,
        process: &Arc<Process>,
    ) -> Result<(), StartError> {
        let failed = |error: &dyn fmt::Display| StartError::Failed(ExitReason::error(error));
        if self.key_kind() != Keys::Unique {
            return Err(failed(&ViaError::DuplicateKeys));
        }
        match self.register_process(key, value, process) {
            Ok(()) => Ok(()),
            Err(RegisterError::AlreadyRegistered(pid)) => Err(StartError::AlreadyStarted(pid)),
            Err(RegisterError::NoProc) => Err(StartError::Failed(ExitReason::Killed)),
            Err(error) => Err(failed(&error)),
        }
    }
}

impl Options {
    /// Registers the process under a name in a registry before `init` runs, see
    /// [`Options::register_in`].
    pub fn via<K: Key, V: Value>(mut self, via: &Via<K, V>) -> Options {
        let via = via.clone();
        self.registrars.push(Arc::new(move |process| {
            via.registry
                .register_starting(via.key.clone(), via.value.clone(), process)
        }));
        self
    }
}

impl<K: Clone, V: Clone> Clone for Via<K, V> {
    fn clone(&self) -> Via<K, V> {
        Via {
            registry: self.registry.clone(),
            key: self.key.clone(),
            value: self.value.clone(),
        }
    }
}

impl<K: fmt::Debug, V> fmt::Debug for Via<K, V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Via({:?})", self.key)
    }
}
