//! A table that goes from one process to another (`'ETS-TRANSFER'`).

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::ets::core::{Data, Heir, Shared, Want};
use crate::ets::{EtsError, Key, Protection, Table, TableId, Value};
use crate::panics;
use crate::pid::Pid;
use crate::process::Process;
use crate::signal::Signal;

/// A process was given a table: by its owner ([`Table::give_away`]), or because that ended and
/// this process was its heir. Arrives as [`crate::Info::Transfer`]; like other signals it is
/// never refused by a full mailbox.
#[derive(Clone)]
pub struct Transfer {
    from: Pid,
    table: Arc<dyn Shared>,
    data: Data,
}

impl Transfer {
    /// The owner before.
    pub fn from(&self) -> Pid {
        self.from
    }

    /// Which table it is.
    pub fn id(&self) -> TableId {
        self.table.core().id
    }

    /// Its name.
    pub fn name(&self) -> Option<Arc<str>> {
        self.table.core().admin.lock().name.clone()
    }

    /// The table.
    ///
    /// # Errors
    /// [`EtsError::OtherType`]: its keys or values are of another type.
    pub fn table<K: Key, V: Value>(&self) -> Result<Table<K, V>, EtsError> {
        Table::of(self.table.clone())
    }

    /// What the giver said along with it, if it is a `T`.
    pub fn data<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.data.clone().downcast().ok()
    }

    pub(super) fn send(table: Arc<dyn Shared>, from: Pid, data: Data, to: &Process) {
        to.signal(Signal::Transfer(Box::new(Transfer { from, table, data })));
    }
}

impl fmt::Debug for Transfer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Transfer")
            .field("table", &self.id())
            .field("from", &self.from)
            .finish_non_exhaustive()
    }
}

impl<K: Key, V: Value> Table<K, V> {
    /// Gives the table to another process of the node (`ets:give_away/3`), which is told with a
    /// [`Transfer`]. Its heir stays as it was set.
    ///
    /// # Errors
    /// [`EtsError::AccessDenied`]: the caller is not the owner. [`EtsError::NoProcess`]: there is
    /// no such process, it is of another node, or it is the owner itself. Nothing has changed.
    pub fn give_away(&self, to: Pid, data: impl Any + Send + Sync) -> Result<(), EtsError> {
        let core = self.core();
        core.enter(Want::Own)?;
        let table = self.shared();
        let mut admin = core.admin.lock();
        core.alive()?;
        let from = admin.owner;
        if panics::current_pid() != Some(from) {
            return Err(EtsError::AccessDenied);
        }
        let process = core.node.process(to).filter(|_| to != from);
        let process = process.ok_or(EtsError::NoProcess)?;
        core.node.tables().hold(&process, &table, false)?;
        core.set_owner(&mut admin, to);
        core.node.tables().no_longer_holds(from, core.id);
        Transfer::send(table, from, Arc::new(data), &process);
        Ok(())
    }

    /// Says who gets the table when its owner ends, and what that is told along with it
    /// (`ets:setopts(_, {heir, _, _})`).
    ///
    /// # Errors
    /// [`EtsError::AccessDenied`]: the caller is not the owner. [`EtsError::NoProcess`]: the heir
    /// is of another node.
    pub fn set_heir(&self, heir: Pid, data: impl Any + Send + Sync) -> Result<(), EtsError> {
        if !self.core().node.is_local(heir) {
            return Err(EtsError::NoProcess);
        }
        let data = Arc::new(data);
        self.change_heir(Some(Heir { pid: heir, data }))
    }

    /// The table goes with its owner (`ets:setopts(_, {heir, none})`).
    ///
    /// # Errors
    /// [`EtsError::AccessDenied`]: the caller is not the owner.
    pub fn clear_heir(&self) -> Result<(), EtsError> {
        self.change_heir(None)
    }

    fn change_heir(&self, heir: Option<Heir>) -> Result<(), EtsError> {
        self.core().enter(Want::Own)?;
        let before = std::mem::replace(&mut self.core().admin.lock().heir, heir);
        // What it carried is dropped outside of the lock.
        drop(before);
        Ok(())
    }

    /// Changes what others may do (`ets:setopts(_, {protection, _})`).
    ///
    /// # Errors
    /// [`EtsError::AccessDenied`]: the caller is not the owner.
    pub fn set_protection(&self, protection: Protection) -> Result<(), EtsError> {
        self.core().enter(Want::Own)?;
        self.core().set_protection(protection);
        Ok(())
    }
}
