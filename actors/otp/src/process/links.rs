//! Links, and what an exit signal does to its receiver.

use crate::exit_reason::ExitReason;
use crate::pid::Pid;
use crate::process::Process;
use crate::signal::Signal;

impl Process {
    /// One side of a link; `false` if this process has ended.
    pub(crate) fn add_link(&self, peer: Pid) -> bool {
        let mut state = self.state.lock();
        if state.exited {
            return false;
        }
        state.links.insert(peer);
        true
    }

    pub(crate) fn remove_link(&self, peer: Pid) -> bool {
        self.state.lock().links.remove(&peer)
    }

    pub(crate) fn links(&self) -> Vec<Pid> {
        self.state.lock().links.iter().copied().collect()
    }

    /// Receives an exit signal (Erlang Reference Manual, "Receiving Exit Signals").
    pub(crate) fn exit_signal(&self, from: Pid, reason: ExitReason, linked: bool) {
        let mut state = self.state.lock();
        if state.exited || (linked && !state.links.contains(&from)) {
            return;
        }
        if !linked && reason == ExitReason::Kill {
            self.condemn(state, ExitReason::Killed);
        } else if state.trap_exit {
            drop(state);
            self.signal(Signal::Exit {
                from,
                reason,
                linked,
                of_parent: self.parent == Some(from),
            });
        } else if reason == ExitReason::Normal && (linked || from != self.pid) {
            if linked {
                state.links.remove(&from);
            }
        } else {
            self.condemn(state, reason);
        }
    }
}
