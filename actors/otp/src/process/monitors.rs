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
        state.tables().watched_by.insert((monitor, watcher), ());
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

    /// A monitor that was set before its target was known has got one; `false` if it was taken
    /// back meanwhile.
    pub(crate) fn found_watched(&self, monitor: MonitorRef, target: Pid) -> bool {
        let mut state = self.state.lock();
        let tables = state.tables.as_mut();
        let watching = tables.and_then(|tables| tables.watching.get_mut(&monitor));
        watching.map(|watching| watching.target = target).is_some()
    }

    /// Whether a monitor still waits for the end of its process.
    pub(crate) fn is_watching(&self, monitor: MonitorRef) -> bool {
        let state = self.state.lock();
        let tables = state.tables.as_ref();
        let watching = tables.and_then(|tables| tables.watching.get(&monitor));
        watching.is_some_and(|watching| !watching.delivered)
    }

    /// Takes back the aliases that hang on a monitor and go with it.
    pub(crate) fn drop_aliases_of(&self, monitor: MonitorRef) {
        for id in self.node.aliases_of(monitor, &self.aliases()) {
            self.forget_alias(id);
            self.node.remove_alias(id);
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
        // From here on it can have no more to say through them.
        self.drop_aliases_of(monitor);
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
