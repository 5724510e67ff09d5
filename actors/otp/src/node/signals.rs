//! Signals between processes, of this node or another: who is here is told here, who is not is
//! told over the connection to its node.

use std::any::Any;
use std::sync::Arc;

use crate::distribution::{Address, Parcel, Task};
use crate::exit_reason::ExitReason;
use crate::node::Node;
use crate::observer::Direction;
use crate::panics;
use crate::pid::{MonitorRef, Pid, RequestRef};
use crate::process::Process;

impl Node {
    /// Passes an exit signal on.
    pub(crate) fn deliver_exit(&self, from: Pid, to: Pid, reason: &ExitReason, linked: bool) {
        if self.is_local(to) {
            if let Some(process) = self.process(to) {
                process.exit_signal(from, reason.clone(), linked);
            }
        } else if let Some(connection) = self.connection_of(to) {
            if linked {
                connection.forget_link(from, to);
            }
            connection.send(Parcel::Exit {
                from,
                to,
                reason: reason.clone(),
                linked,
            });
        }
    }

    /// Tells a watcher of an end.
    pub(crate) fn deliver_down(
        &self,
        monitor: MonitorRef,
        watcher: Pid,
        pid: Pid,
        reason: &ExitReason,
    ) {
        if self.is_local(watcher) {
            if let Some(process) = self.process(watcher) {
                process.down_signal(monitor, pid, reason.clone());
            }
        } else if let Some(connection) = self.connection_of(watcher) {
            connection.forget_watched(monitor, watcher);
            connection.send(Parcel::Down {
                monitor,
                watcher,
                pid,
                reason: reason.clone(),
            });
        }
    }

    /// Both sides of a link that a local process asks for; `Err` tells why there is none.
    pub(crate) fn link_with(
        &self,
        process: &Process,
        to: Pid,
        urgent: bool,
    ) -> Result<(), ExitReason> {
        if self.is_local(to) {
            let linked = match self.process(to) {
                Some(peer) => process.link_with(&peer, urgent),
                // It has just ended, and the EXIT of the link there is is on its way.
                None => process.is_linked(to),
            };
            return linked.then_some(()).ok_or(ExitReason::NoProc);
        }
        let connection = self.connection_of(to).ok_or(ExitReason::NoConnection)?;
        let _quiet = connection.quiet();
        process.add_own_link(to, urgent);
        if !connection.note_link(process.pid, to) {
            return Err(ExitReason::NoConnection);
        }
        let from = process.pid;
        connection.send(Parcel::Link { from, to });
        Ok(())
    }

    /// Both sides of a link are gone.
    pub(crate) fn unlink_from(&self, process: &Process, to: Pid) {
        if self.is_local(to) {
            match self.process(to) {
                Some(peer) => process.unlink_from(&peer),
                None => drop(process.remove_link(to)),
            }
            return;
        }
        let connection = self.connection_of(to);
        let _quiet = connection.as_ref().map(|connection| connection.quiet());
        process.remove_link(to);
        if let Some(connection) = &connection {
            let from = process.pid;
            connection.begin_unlink(from, to);
            connection.send(Parcel::Unlink { from, to });
        }
    }

    /// The other side of a monitor; `Err` tells why there is none.
    pub(crate) fn watch(
        &self,
        monitor: MonitorRef,
        watcher: Pid,
        target: Pid,
    ) -> Result<(), ExitReason> {
        if self.is_local(target) {
            let process = self.process(target);
            let watched = process.is_some_and(|process| process.add_watcher(monitor, watcher));
            return watched.then_some(()).ok_or(ExitReason::NoProc);
        }
        let connection = self.connection_of(target).ok_or(ExitReason::NoConnection)?;
        if !connection.note_watching(monitor, watcher, target) {
            return Err(ExitReason::NoConnection);
        }
        connection.send(Parcel::Monitor {
            monitor,
            watcher,
            target,
        });
        Ok(())
    }

    /// Takes the other side of a monitor back.
    pub(crate) fn remove_watcher(&self, monitor: MonitorRef, watcher: Pid, target: Pid) {
        if self.is_local(target) {
            if let Some(process) = self.process(target) {
                process.drop_watcher(monitor, watcher);
            }
        } else if let Some(connection) = self.connection_of(target) {
            connection.forget_watching(monitor);
            connection.send(Parcel::Demonitor {
                monitor,
                watcher,
                target,
            });
        }
    }

    /// Watches whoever has a name on another node.
    pub(crate) fn watch_name(
        &self,
        monitor: MonitorRef,
        watcher: Pid,
        node: Pid,
        name: Arc<str>,
    ) -> Result<(), ExitReason> {
        let connection = self.connection_of(node).ok_or(ExitReason::NoConnection)?;
        if !connection.note_watching(monitor, watcher, node) {
            return Err(ExitReason::NoConnection);
        }
        connection.send(Parcel::MonitorName {
            monitor,
            watcher,
            name,
        });
        Ok(())
    }

    /// Sends an untyped message.
    pub(crate) fn send_raw(&self, to: Pid, message: Box<dyn Any + Send>) -> bool {
        if !self.is_local(to) {
            return self.send_far(to, Address::Pid(to), message);
        }
        let Some(process) = self.process(to) else {
            self.counters().dropped();
            return false;
        };
        process.send_raw(message, false)
    }

    /// Sends an untyped message to another node; `peer` is any pid of it.
    pub(crate) fn send_far(&self, peer: Pid, to: Address, message: Box<dyn Any + Send>) -> bool {
        if self.sends_are_watched() && !self.note_send(peer, || "message") {
            return true;
        }
        let Some(connection) = self.connection_of(peer) else {
            self.counters().dropped();
            return false;
        };
        let sent = connection.send(Parcel::Raw { to, message });
        if !sent {
            self.counters().refused();
        }
        sent
    }

    /// Hands over a message of another node.
    pub(crate) fn deliver_message(&self, to: Address, message: Box<dyn Any + Send>) {
        match to {
            Address::Pid(pid) => drop(self.send_raw(pid, message)),
            Address::Alias(alias) => drop(self.send_alias(alias, message)),
            Address::Name(name) => match self.whereis(&name) {
                Some(pid) => drop(self.send_raw(pid, message)),
                None => self.counters().dropped(),
            },
        }
    }

    /// Tells those who follow the sender; `false` if the sender has been replaced.
    pub(crate) fn note_send(&self, to: Pid, name: impl FnOnce() -> &'static str) -> bool {
        let Some(sender) = panics::current() else {
            return true;
        };
        if sender.is_fenced() {
            self.counters().fenced();
            return false;
        }
        if sender.is_observed() {
            sender.observe(Direction::Sent, to, name());
        }
        true
    }

    /// Whether the code that runs is that of a replaced process, whose doings do not count.
    pub(crate) fn is_fenced_off(&self) -> bool {
        let fenced = self.sends_are_watched()
            && panics::current().is_some_and(|process| process.is_fenced());
        if fenced {
            self.counters().fenced();
        }
        fenced
    }

    // ---- both sides of what is set up at once ---------------------------------------------

    /// Notes a link of a local process with one of another node. `false` if there is no
    /// connection; within a node there is nothing to note.
    pub(crate) fn note_link(&self, local: Pid, far: Pid) -> bool {
        let connection = self.connection_of(far);
        self.is_local(far) || connection.is_some_and(|one| one.note_link(local, far))
    }

    /// Notes a spawn request to the node of a pid, and what answers it if the connection is lost.
    /// `false` if there is no connection; to itself a node needs none.
    pub(crate) fn note_request(
        &self,
        peer: Pid,
        request: RequestRef,
        lost: impl FnOnce() + Send + 'static,
    ) -> bool {
        let connection = self.connection_of(peer);
        let noted = connection.is_some_and(|one| one.note_request(request, lost));
        noted || self.is_local(peer)
    }

    /// A spawn request was answered.
    pub(crate) fn forget_request(&self, peer: Pid, request: RequestRef) {
        if let Some(connection) = self.connection_of(peer) {
            connection.forget_request(request);
        }
    }

    /// Notes a monitor of a local process on one of another node.
    pub(crate) fn note_watching(&self, monitor: MonitorRef, local: Pid, far: Pid) {
        if let Some(connection) = self.connection_of(far) {
            connection.note_watching(monitor, local, far);
        }
    }

    /// Notes a monitor of a process of another node on a local one.
    pub(crate) fn note_watched(&self, monitor: MonitorRef, far: Pid, local: Pid) -> bool {
        let connection = self.connection_of(far);
        self.is_local(far) || connection.is_some_and(|one| one.note_watched(monitor, far, local))
    }

    /// Has something done on a node, here at once, elsewhere in the order of what is sent there.
    /// `false` if that node is not connected.
    pub(crate) fn post(&self, to: &Node, task: Task) -> bool {
        if to.outside() == self.outside() {
            task(to);
            return true;
        }
        match self.connection_of(to.outside()) {
            Some(connection) => connection.send(Parcel::Task(task)),
            None => false,
        }
    }
}
