//! Names and aliases of a node's processes (`register/2`, `alias/1`).

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use dashmap::mapref::entry::Entry;
use thiserror::Error;

use crate::context::{ActiveAlias, AliasMode};
use crate::distribution::Address;
use crate::node::Node;
use crate::pid::{Alias, MonitorRef, Pid};

/// Names nobody can have.
const RESERVED: [&str; 2] = ["", "undefined"];

/// Why a name was not given, or not reached. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// Another process has the name.
    #[error("the name belongs to {0}")]
    Taken(Pid),
    /// The process has a name already; a process has one at most.
    #[error("the process is registered as {0} already")]
    AlreadyNamed(Arc<str>),
    /// The process has ended, or is of another node.
    #[error("no such process")]
    NoProc,
    /// The name cannot be given to anybody.
    #[error("this name is reserved")]
    Reserved,
    /// Nobody has the name (`badarg` of `Name ! Message`).
    #[error("nobody is registered under this name")]
    NotRegistered,
}

/// Whether nobody can have this name.
pub(crate) fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
}

impl Node {
    /// Gives a name to a process (`register/2`). It is free again when the process ends, before
    /// anybody learns of the end.
    pub fn register(&self, name: impl Into<Arc<str>>, pid: Pid) -> Result<(), NameError> {
        let name = name.into();
        if is_reserved(&name) {
            return Err(NameError::Reserved);
        }
        let process = self.process(pid).ok_or(NameError::NoProc)?;
        self.claim_name(&name, pid).map_err(NameError::Taken)?;
        process.set_name(name.clone()).map_err(|taken| {
            self.release_name(&name, pid);
            taken.map_or(NameError::NoProc, NameError::AlreadyNamed)
        })
    }

    /// Takes a name back (`unregister/1`).
    pub fn unregister(&self, name: &str) -> Result<(), NameError> {
        let Some((_, pid)) = self.inner.names.remove(name) else {
            return Err(NameError::NotRegistered);
        };
        if let Some(process) = self.process(pid) {
            process.clear_name(name);
        }
        Ok(())
    }

    /// All names that are taken, in no order (`registered/0`).
    pub fn registered(&self) -> Vec<Arc<str>> {
        let names = self.inner.names.iter();
        names.map(|entry| entry.key().clone()).collect()
    }

    /// Sends an untyped message to whoever has a name (`Name ! Message`).
    pub fn send_name(&self, name: &str, message: Box<dyn Any + Send>) -> Result<(), NameError> {
        let pid = self.whereis(name).ok_or(NameError::NotRegistered)?;
        self.send(pid, message);
        Ok(())
    }

    /// Sends an untyped message to whoever has a name on a node, this one or another
    /// (`{Name, Node} ! Message`). Nobody has it: the message is dropped. Returns whether the
    /// node is connected, and the connection had room.
    pub fn send_name_on(&self, node: &str, name: &str, message: Box<dyn Any + Send>) -> bool {
        let peer = self.outside_of(node);
        if self.is_local(peer) {
            self.deliver_message(Address::Name(name.into()), message);
            return true;
        }
        self.send_far(peer, Address::Name(name.into()), message)
    }

    /// Takes a name for a process; `Err` tells who has it.
    pub(crate) fn claim_name(&self, name: &Arc<str>, pid: Pid) -> Result<(), Pid> {
        match self.inner.names.entry(name.clone()) {
            Entry::Occupied(taken) => Err(*taken.get()),
            Entry::Vacant(free) => {
                free.insert(pid);
                Ok(())
            }
        }
    }

    // ---- aliases --------------------------------------------------------------------------

    /// Sends an untyped message to an alias. One that is not active any more drops it without a
    /// trace; returns whether it was passed on.
    pub fn send_alias(&self, alias: Alias, message: Box<dyn Any + Send>) -> bool {
        if !self.is_local(alias.pid) {
            return self.send_far(alias.pid, Address::Alias(alias), message);
        }
        let Some(active) = self.inner.aliases.get(&alias.id) else {
            self.counters().dropped();
            return false;
        };
        let (pid, mode, monitor, urgent) = (active.pid, active.mode, active.monitor, active.urgent);
        drop(active);
        if matches!(mode, AliasMode::Reply | AliasMode::ReplyDemonitor)
            && self.remove_alias(alias.id).is_none()
        {
            // Another message was faster.
            self.counters().dropped();
            return false;
        }
        let Some(process) = self.process(pid) else {
            return false;
        };
        match (mode, monitor) {
            (AliasMode::ReplyDemonitor, Some(monitor)) => {
                process.forget_alias(alias.id);
                if let Some(target) = process.cancel_watching(monitor, false) {
                    self.remove_watcher(monitor, pid, target);
                }
            }
            (AliasMode::Reply, _) => process.forget_alias(alias.id),
            _ => {}
        }
        process.send_raw(message, urgent)
    }

    pub(crate) fn add_alias(&self, alias: ActiveAlias) -> u64 {
        let id = self.inner.next_ref.fetch_add(1, Ordering::Relaxed);
        self.inner.aliases.insert(id, alias);
        id
    }

    pub(crate) fn remove_alias(&self, id: u64) -> Option<ActiveAlias> {
        self.inner.aliases.remove(&id).map(|(_, alias)| alias)
    }

    /// Those of a process' aliases that hang on a monitor and go with it.
    pub(crate) fn aliases_of(&self, monitor: MonitorRef, aliases: &[u64]) -> Vec<u64> {
        let goes_with_it = |id: &&u64| {
            self.inner.aliases.get(id).is_some_and(|alias| {
                let tied = matches!(alias.mode, AliasMode::Demonitor | AliasMode::ReplyDemonitor);
                tied && alias.monitor == Some(monitor)
            })
        };
        aliases.iter().filter(goes_with_it).copied().collect()
    }
}
