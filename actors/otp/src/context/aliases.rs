//! Aliases: addresses of a process that can be taken back (`alias/1`, `monitor/3` with `{alias,
//! _}`).

use crate::context::Context;
use crate::gen_server::GenServer;
use crate::pid::{Alias, MonitorRef, Pid};

/// When an alias stops to work, besides [`Context::unalias`] and the end of its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AliasMode {
    /// Not before (`explicit_unalias`).
    Explicit,
    /// With the first message that reaches it (`reply`).
    Reply,
    /// With its monitor: when that is taken back, or its DOWN has arrived in the mailbox
    /// (`demonitor`).
    Demonitor,
    /// With its monitor, or with the first message, which takes the monitor back as well
    /// (`reply_demonitor`).
    ReplyDemonitor,
}

/// What a node knows of an active alias.
pub(crate) struct ActiveAlias {
    pub(crate) pid: Pid,
    pub(crate) mode: AliasMode,
    pub(crate) monitor: Option<MonitorRef>,
    /// Messages to it overtake others.
    pub(crate) urgent: bool,
}

impl<S: GenServer> Context<S> {
    /// Makes an alias of this process (`alias/1`). With [`AliasMode::Reply`] it is good for one
    /// message.
    pub fn alias(&mut self, mode: AliasMode) -> Alias {
        self.activate(mode, None, false)
    }

    /// Makes an alias whose messages overtake those that wait, in their own order
    /// (`alias([priority])`).
    pub fn urgent_alias(&mut self, mode: AliasMode) -> Alias {
        self.activate(mode, None, true)
    }

    /// Watches a process, and makes an alias that is tied to the monitor (`monitor/3` with
    /// `{alias, Mode}`).
    pub fn monitor_alias(&mut self, pid: Pid, mode: AliasMode) -> (MonitorRef, Alias) {
        let monitor = self.monitor(pid);
        let alias = if pid == self.pid() {
            // Watching oneself never fires, but the address is good.
            self.activate(mode, Some(monitor), false)
        } else {
            self.alias_on(monitor, mode)
        };
        (monitor, alias)
    }

    /// Takes an alias back (`unalias/1`); messages to it are dropped from now on. Returns whether
    /// it was active, and this process'.
    pub fn unalias(&mut self, alias: Alias) -> bool {
        if alias.pid != self.pid() {
            return false;
        }
        self.process.forget_alias(alias.id);
        self.node().remove_alias(alias.id).is_some()
    }

    fn activate(&mut self, mode: AliasMode, monitor: Option<MonitorRef>, urgent: bool) -> Alias {
        let pid = self.pid();
        let active = ActiveAlias {
            pid,
            mode,
            monitor,
            urgent,
        };
        let id = self.node().add_alias(active);
        if !self.process.add_alias(id) {
            self.node().remove_alias(id);
        }
        Alias { pid, id }
    }

    /// Makes an alias that is tied to a monitor which exists, such as that of
    /// [`Context::spawn_request`]. If the monitor has fired or was taken back already, an alias
    /// that goes with it is inactive from the start.
    pub fn alias_on(&mut self, monitor: MonitorRef, mode: AliasMode) -> Alias {
        let alias = self.activate(mode, Some(monitor), false);
        // Looked at afterwards, so that a DOWN in between finds the alias or is found.
        if !self.process.is_watching(monitor) {
            self.process.drop_aliases_of(monitor);
        }
        alias
    }
}
