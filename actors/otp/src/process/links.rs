//! Links, and what an exit signal does to its receiver.
//!
//! A link has an id of its own on each side: a link that was taken back and made again is another
//! one, and the EXIT of the first means nothing to the second.

use parking_lot::MutexGuard;

use crate::exit_reason::ExitReason;
use crate::pid::Pid;
use crate::process::{Process, State};
use crate::signal::Signal;

/// One side of a link.
#[derive(Clone, Copy)]
pub(crate) struct Link {
    id: u32,
    /// Its EXIT overtakes messages.
    urgent: bool,
}

impl State {
    /// Adds one side of a link, or keeps the one there is.
    fn link(&mut self, peer: Pid) -> &mut Link {
        let last = &mut self.last_link;
        self.links.or_insert_with(peer, || {
            *last = last.wrapping_add(1);
            Link {
                id: *last,
                urgent: false,
            }
        })
    }

    /// Removes one side of a link, and the EXIT of it that waits.
    fn unlink(&mut self, peer: Pid) -> bool {
        let mut linked = self.links.remove(&peer).is_some();
        if let Some(tables) = &mut self.tables {
            let waiting = tables.fired.len();
            tables.fired.retain(|(_, from)| *from != peer);
            linked |= tables.fired.len() < waiting;
        }
        linked
    }
}

impl Process {
    /// One side of a link; `false` if this process has ended.
    pub(crate) fn add_link(&self, peer: Pid) -> bool {
        let mut state = self.state.lock();
        if state.exited {
            return false;
        }
        state.link(peer);
        true
    }

    /// This process' own side of a link it asks for.
    pub(crate) fn add_own_link(&self, peer: Pid, urgent: bool) {
        self.state.lock().link(peer).urgent = urgent;
    }

    /// Both sides of a link this process asks for; `false` if the peer has ended. Linked already:
    /// that link stays, even if its EXIT is on its way.
    pub(crate) fn link_with(&self, peer: &Process, urgent: bool) -> bool {
        let (mut own, mut other) = self.lock_both(peer);
        let linked = own.links.contains_key(&peer.pid);
        if !linked && other.exited {
            return false;
        }
        own.link(peer.pid).urgent = urgent;
        if !linked {
            other.link(self.pid);
        }
        true
    }

    /// Removes both sides of a link.
    pub(crate) fn unlink_from(&self, peer: &Process) {
        let (mut own, mut other) = self.lock_both(peer);
        own.unlink(peer.pid);
        other.unlink(self.pid);
    }

    /// Both states, locked in the order of age; the own one first in the pair.
    fn lock_both<'a>(
        &'a self,
        peer: &'a Process,
    ) -> (MutexGuard<'a, State>, MutexGuard<'a, State>) {
        if self.pid < peer.pid {
            let own = self.state.lock();
            (own, peer.state.lock())
        } else {
            let other = peer.state.lock();
            (self.state.lock(), other)
        }
    }

    /// Removes one side of a link. An EXIT of it that waits in the mailbox is void then.
    pub(crate) fn remove_link(&self, peer: Pid) -> bool {
        self.state.lock().unlink(peer)
    }

    pub(crate) fn is_linked(&self, peer: Pid) -> bool {
        self.state.lock().links.contains_key(&peer)
    }

    pub(crate) fn links(&self) -> Vec<Pid> {
        self.state.lock().links.keys().copied().collect()
    }

    /// The EXIT of a link is about to be handled; `false` if the link was taken back meanwhile.
    pub(crate) fn take_fired(&self, link: u32) -> bool {
        let mut state = self.state.lock();
        let Some(tables) = &mut state.tables else {
            return false;
        };
        let position = tables.fired.iter().position(|(id, _)| *id == link);
        position.map(|at| tables.fired.remove(at)).is_some()
    }

    /// Receives an exit signal (Erlang Reference Manual, "Receiving Exit Signals").
    pub(crate) fn exit_signal(&self, from: Pid, reason: ExitReason, linked: bool) {
        let mut state = self.state.lock();
        let link = state.links.get(&from).copied().filter(|_| linked);
        if state.exited || (linked && link.is_none()) {
            return;
        }
        if !linked && reason == ExitReason::Kill {
            self.condemn(state, ExitReason::Killed);
        } else if state.trap_exit {
            if let Some(link) = link {
                // It has fired: a link to the same process is another one from now on.
                state.links.remove(&from);
                state.tables().fired.push((link.id, from));
            }
            let signal = Signal::Exit {
                from,
                reason,
                link: link.map(|link| link.id),
                of_parent: self.parent() == Some(from),
            };
            let urgent = link.is_some_and(|link| link.urgent);
            // Under the lock: who sees that the link is gone must find the EXIT in the mailbox.
            let pushed = self.mailbox.push_signal(signal, urgent);
            drop(state);
            if let Some(pushed) = pushed {
                self.pushed(pushed);
            }
        } else if reason == ExitReason::Normal && (linked || from != self.pid) {
            if linked {
                state.links.remove(&from);
            }
        } else {
            self.condemn(state, reason);
        }
    }
}
