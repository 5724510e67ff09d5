//! Monitors, seen from both ends.

use std::sync::Arc;

use crate::exit_reason::ExitReason;
use crate::pid::{MonitorRef, Pid};
use crate::process::{Process, Watching, down};
use crate::signal::Signal;

impl Process {
    /// Notes that `watcher` watches this process; `false` if it has ended.
    pub(crate) fn add_watcher(&self, monitor: MonitorRef, watcher: Pid) -> bool {
        let mut state = self.state.lock();
        if state.exited {
            return false;
        }
        state.tables().watched_by.insert((monitor, watcher));
        true
    }

    pub(crate) fn drop_watcher(&self, monitor: MonitorRef, watcher: Pid) {
        if let Some(tables) = &mut self.state.lock().tables {
            tables.watched_by.remove(&(monitor, watcher));
        }
    }

    pub(crate) fn add_watching(
        &self,
        monitor: MonitorRef,
        target: Pid,
        name: Option<Arc<str>>,
        urgent: bool,
    ) {
        let watching = Watching {
            target,
            name,
            delivered: false,
            urgent,
        };
        let mut state = self.state.lock();
        if !state.exited {
            state.tables().watching.insert(monitor, watching);
        }
    }

    /// Receives the news that a watched process ended.
    pub(crate) fn down_signal(&self, monitor: MonitorRef, pid: Pid, reason: ExitReason) {
        let (name, urgent) = {
            let mut state = self.state.lock();
            let Some(tables) = &mut state.tables else {
                return;
            };
            match tables.watching.get_mut(&monitor) {
                Some(watching) if !watching.delivered => {
                    watching.delivered = true;
                    (watching.name.clone(), watching.urgent)
                }
                _ => return,
            }
        };
        self.signal_with(Signal::Down(down(monitor, pid, name, reason)), urgent);
    }

    /// Forgets a monitor when its DOWN is about to be handled; `false` if it was cancelled.
    pub(crate) fn take_watching(&self, monitor: MonitorRef) -> bool {
        match &mut self.state.lock().tables {
            Some(tables) => tables.watching.remove(&monitor).is_some(),
            None => false,
        }
    }

    /// Cancels a monitor. With `flush` a DOWN which is already queued is dropped too. Returns the
    /// target if the monitor was still waiting.
    pub(crate) fn cancel_watching(&self, monitor: MonitorRef, flush: bool) -> Option<Pid> {
        let mut state = self.state.lock();
        let tables = state.tables.as_mut()?;
        let watching = tables.watching.get(&monitor)?;
        let (target, delivered) = (watching.target, watching.delivered);
        if flush || !delivered {
            tables.watching.remove(&monitor);
        }
        (!delivered).then_some(target)
    }
}
