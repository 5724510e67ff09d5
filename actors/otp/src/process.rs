//! The record of one process: what the runtime knows about it besides its state.
//!
//! ```text
//!   ServerRef ──┐
//!   node table ─┼──▶ Process { pid, mailbox, links, monitors, names } ──▶ actor or task
//!   registries ─┘
//! ```
//!
//! Locks: one small mutex per process besides that of its mailbox. A link between two processes
//! of one node is changed under both, the older process' first, so that both sides always agree.
//! A monitor, and a link to another node, writes its own side first and the other side second;
//! what a death in between would make of it is repaired by checking the receiver's own side when
//! a signal is *received*.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::Waker;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::carrier::Carrier;
use crate::exit_reason::ExitReason;
use crate::few::FewMap;
use crate::gen_server::{Down, GenServer};
use crate::mailbox::{AnyMailbox, Limits, Mailbox, Pushed, Refused, SendError};
use crate::node::Node;
use crate::observer::Recorder;
use crate::pid::{MonitorRef, Pid, RequestRef, SerialHash};
use crate::process::links::Link;
use crate::signal::{Envelope, Signal};
use crate::sys::System;

mod info;
mod lineage;
mod links;
mod monitors;

pub(crate) use info::Dictionary;
pub use info::{DICTIONARY_MAX, ProcessInfo, ProcessStatus};
pub(crate) use lineage::Lineage;

/// Runs when a process has ended, before anybody is told: gives back one name.
pub(crate) type Release = Box<dyn FnOnce(Pid) + Send>;

/// The control block of a process.
pub(crate) struct Process {
    pub(crate) pid: Pid,
    pub(crate) node: Node,
    pub(crate) lineage: Lineage,
    carrier: Carrier,
    mailbox: Box<dyn AnyMailbox>,
    flags: Flags,
    ended: Notify,
    state: Mutex<State>,
}

/// What the hot paths look at without the lock.
#[derive(Default)]
struct Flags {
    /// Mirrors `state.exited`.
    exited: AtomicBool,
    /// Links and monitors have been told of the end.
    told: AtomicBool,
    /// Mirrors `state.condemned`: nothing may be handled any more.
    condemned: AtomicBool,
    /// The watchdog has replaced it: whatever its code still does counts for nothing.
    fenced: AtomicBool,
    suspended: AtomicBool,
    hibernating: AtomicBool,
    /// Its mailbox was full, which ends it.
    outgrown: AtomicBool,
    /// Somebody traces it or counts its messages.
    observed: AtomicBool,
    /// When it began with what it handles, on the node's clock.
    busy_since: AtomicU32,
}

#[derive(Default)]
struct State {
    trap_exit: bool,
    /// An exit signal has been accepted: the process is dead at its next await.
    condemned: bool,
    /// Names may not be added any more.
    closing: bool,
    exited: bool,
    /// Set as soon as the end is certain; final once `exited`.
    ending: Option<ExitReason>,
    label: Option<Arc<str>>,
    name: Option<Arc<str>>,
    links: FewMap<Pid, Link, SerialHash>,
    /// The id of the link that was made last.
    last_link: u32,
    /// Rarely used tables, allocated on first use: an idle process should stay small.
    tables: Option<Box<Tables>>,
}

#[derive(Default)]
struct Tables {
    /// Monitors on this process: the watcher's own number, and the watcher.
    watched_by: FewMap<(MonitorRef, Pid), (), SerialHash>,
    /// Monitors of this process.
    watching: FewMap<MonitorRef, Watching, SerialHash>,
    /// Links that have fired and whose EXIT waits in the mailbox.
    fired: Vec<(u32, Pid)>,
    releases: Vec<Release>,
    /// Active aliases, to be taken back at the end.
    aliases: Vec<u64>,
    dictionary: Dictionary,
    /// Spawn requests that were not answered yet.
    requests: Vec<RequestRef>,
    /// Who follows its messages.
    observers: Vec<Arc<Recorder>>,
}

/// One monitor of a process.
struct Watching {
    target: Pid,
    /// The name it was set by.
    name: Option<Arc<str>>,
    /// The DOWN is in the mailbox.
    delivered: bool,
    /// The DOWN overtakes messages.
    urgent: bool,
}

impl Process {
    pub(crate) fn new<S: GenServer>(
        node: Node,
        pid: Pid,
        lineage: Lineage,
        carrier: Carrier,
        limits: Limits,
        label: Option<Arc<str>>,
    ) -> Arc<Process> {
        let mailbox = Box::new(Mailbox::<S>::new(limits, node.clock()));
        Arc::new(Process {
            pid,
            node,
            lineage,
            carrier,
            mailbox,
            flags: Flags::default(),
            ended: Notify::new(),
            state: Mutex::new(State {
                label,
                ..State::default()
            }),
        })
    }

    pub(crate) fn carrier(&self) -> &Carrier {
        &self.carrier
    }

    // ---- the mailbox ----------------------------------------------------------------------

    /// Queues a user's message, or gives it back.
    pub(crate) fn send<S: GenServer>(
        &self,
        message: S::Message,
    ) -> Result<(), SendError<S::Message>> {
        if self.node.sends_are_watched()
            && !self.node.note_send(self.pid, || S::message_name(&message))
        {
            // A replaced process: nothing it still does counts. It is not told.
            return Ok(());
        }
        let Some(mailbox) = self.typed_mailbox::<S>() else {
            // A ServerRef is only ever made for the actor's own message type.
            unreachable!("a message for another type of server");
        };
        match mailbox.push(message) {
            Ok(pushed) => {
                self.pushed(pushed);
                Ok(())
            }
            Err(Refused::Closed(message)) => {
                self.node.counters().dropped();
                Err(SendError::NoProc(message))
            }
            Err(Refused::Full(message)) => {
                self.node.counters().refused();
                Err(SendError::Full(message))
            }
            Err(Refused::Exit) => {
                self.outgrown();
                Ok(())
            }
        }
    }

    /// Queues an untyped message; `false` if it is not there or full.
    pub(crate) fn send_raw(&self, message: Box<dyn Any + Send>, urgent: bool) -> bool {
        if self.node.sends_are_watched() && !self.node.note_send(self.pid, || "message") {
            return true;
        }
        match self.mailbox.push_raw(message, urgent) {
            Ok(pushed) => {
                self.pushed(pushed);
                true
            }
            Err(Refused::Closed(_)) => {
                self.node.counters().dropped();
                false
            }
            Err(Refused::Full(_)) => {
                self.node.counters().refused();
                false
            }
            Err(Refused::Exit) => {
                self.outgrown();
                true
            }
        }
    }

    /// Queues a signal; `false` if the process no longer reads.
    pub(crate) fn signal(&self, signal: Signal) -> bool {
        self.signal_with(signal, false)
    }

    /// Queues a signal before everything that waits.
    pub(crate) fn signal_urgently(&self, signal: Signal) -> bool {
        self.signal_with(signal, true)
    }

    fn signal_with(&self, signal: Signal, urgent: bool) -> bool {
        match self.mailbox.push_signal(signal, urgent) {
            Some(pushed) => {
                self.pushed(pushed);
                true
            }
            None => false,
        }
    }

    /// Queues a request of [`crate::sys`]; gives it back if the process no longer reads.
    pub(crate) fn request<S: GenServer>(&self, system: System<S>) -> Result<(), System<S>> {
        let Some(mailbox) = self.typed_mailbox::<S>() else {
            return Err(system);
        };
        let pushed = mailbox.push_system(system)?;
        self.pushed(pushed);
        Ok(())
    }

    fn pushed(&self, pushed: Pushed) {
        if pushed.dropped > 0 {
            self.node.counters().shed(pushed.dropped);
        }
        if let Some(reader) = pushed.wake {
            reader.wake();
        }
    }

    /// Its mailbox is full, and it was started to end then.
    fn outgrown(&self) {
        self.node.counters().refused();
        self.flags.outgrown.store(true, Ordering::Release);
        self.exit_signal(self.pid, ExitReason::Kill, false);
    }

    /// Whether it is ended because its mailbox was full.
    pub(crate) fn has_outgrown(&self) -> bool {
        self.flags.outgrown.load(Ordering::Acquire)
    }

    pub(crate) fn typed_mailbox<S: GenServer>(&self) -> Option<&Mailbox<S>> {
        self.mailbox.as_any().downcast_ref()
    }

    /// Takes the next item as an `S`; if there is none, `reader` is woken by the next.
    pub(crate) fn take<S: GenServer>(&self, reader: &Waker) -> Option<Envelope<S>> {
        let suspended = self.flags.suspended.load(Ordering::Relaxed);
        let hibernating = self.flags.hibernating.load(Ordering::Relaxed);
        self.typed_mailbox::<S>()?
            .take(suspended, hibernating, reader)
    }

    pub(crate) fn mailbox(&self) -> &dyn AnyMailbox {
        &*self.mailbox
    }

    pub(crate) fn queued(&self) -> usize {
        self.mailbox.load().len
    }

    /// Whether it is an `S`.
    pub(crate) fn runs<S: GenServer>(&self) -> bool {
        self.typed_mailbox::<S>().is_some()
    }

    // ---- what others may ask --------------------------------------------------------------

    pub(crate) fn is_exited(&self) -> bool {
        self.flags.exited.load(Ordering::Acquire)
    }

    /// Whether nothing may be handled any more, though it may not have ended yet.
    pub(crate) fn is_condemned(&self) -> bool {
        self.flags.condemned.load(Ordering::Acquire)
    }

    /// Whether the watchdog has replaced it.
    pub(crate) fn is_fenced(&self) -> bool {
        self.flags.fenced.load(Ordering::Acquire)
    }

    pub(crate) fn exit_reason(&self) -> Option<ExitReason> {
        let state = self.state.lock();
        state.exited.then(|| state.ending.clone()).flatten()
    }

    /// Whether the end is certain, even if it has not happened yet.
    pub(crate) fn is_ending(&self) -> bool {
        let state = self.state.lock();
        state.exited || state.ending.is_some()
    }

    /// Waits for the end, until everybody has been told of it, and tells its reason.
    pub(crate) async fn wait(&self) -> ExitReason {
        let ended = self.ended.notified();
        tokio::pin!(ended);
        // Enlist before looking, or an end between looking and waiting would be missed.
        ended.as_mut().enable();
        if !self.flags.told.load(Ordering::Acquire) {
            ended.await;
        }
        self.exit_reason().unwrap_or(ExitReason::Killed)
    }

    pub(crate) fn label(&self) -> Option<Arc<str>> {
        self.state.lock().label.clone()
    }

    pub(crate) fn set_label(&self, label: Arc<str>) {
        self.state.lock().label = Some(label);
    }

    pub(crate) fn name(&self) -> Option<Arc<str>> {
        self.state.lock().name.clone()
    }

    /// Takes a name if it has none yet and lives; `Err` tells which it has.
    pub(crate) fn set_name(&self, name: Arc<str>) -> Result<(), Option<Arc<str>>> {
        let mut state = self.state.lock();
        if state.closing {
            return Err(None);
        }
        if let Some(taken) = &state.name {
            return Err(Some(taken.clone()));
        }
        state.name = Some(name);
        Ok(())
    }

    pub(crate) fn clear_name(&self, name: &str) {
        let mut state = self.state.lock();
        if state.name.as_deref() == Some(name) {
            state.name = None;
        }
    }

    pub(crate) fn set_trap_exit(&self, trap: bool) -> bool {
        std::mem::replace(&mut self.state.lock().trap_exit, trap)
    }

    pub(crate) fn traps_exit(&self) -> bool {
        self.state.lock().trap_exit
    }

    pub(crate) fn set_suspended(&self, suspended: bool) {
        self.flags.suspended.store(suspended, Ordering::Release);
    }

    pub(crate) fn is_suspended(&self) -> bool {
        self.flags.suspended.load(Ordering::Acquire)
    }

    pub(crate) fn set_hibernating(&self, hibernating: bool) {
        self.flags.hibernating.store(hibernating, Ordering::Release);
    }

    /// Adds something to give back at the end; `Err` gives it back if the end has begun.
    pub(crate) fn add_release(&self, release: Release) -> Result<(), Release> {
        let mut state = self.state.lock();
        if state.closing {
            return Err(release);
        }
        state.tables().releases.push(release);
        Ok(())
    }

    // ---- the end --------------------------------------------------------------------------

    /// Ends the process at its next await, without `terminate`.
    ///
    /// This is the one use of the carrier's kill. It is for exactly the cases in which Erlang
    /// drops a process between two instructions: kill, and an exit signal which is not trapped.
    fn condemn(&self, mut state: MutexGuard<'_, State>, reason: ExitReason) {
        if state.condemned {
            return;
        }
        state.condemned = true;
        state.ending = Some(reason);
        self.flags.condemned.store(true, Ordering::Release);
        drop(state);
        self.carrier.kill();
    }

    /// Ends a process whose code does not come back: for everybody else it is gone now, and what
    /// its code still does counts for nothing.
    pub(crate) fn replace(&self) {
        self.flags.fenced.store(true, Ordering::Release);
        self.exit_signal(self.pid, ExitReason::Kill, false);
        self.finish(ExitReason::Killed);
    }

    /// Makes the end certain before `terminate` runs, so that callers whose reply handle is
    /// dropped from now on know to wait for the reason.
    pub(crate) fn begin_end(&self, reason: &ExitReason) {
        let mut state = self.state.lock();
        if state.ending.is_none() {
            state.ending = Some(reason.clone());
        }
    }

    /// Ends the process in the eyes of everybody: names first, then the process table, then EXIT
    /// and DOWN. Only the first call counts; the others get the reason of the first.
    pub(crate) fn finish(&self, reason: ExitReason) -> ExitReason {
        let (name, releases, aliases) = {
            let mut state = self.state.lock();
            if state.closing {
                return state.ending.clone().unwrap_or(reason);
            }
            state.closing = true;
            let (releases, aliases) = match &mut state.tables {
                Some(tables) => (
                    std::mem::take(&mut tables.releases),
                    std::mem::take(&mut tables.aliases),
                ),
                None => Default::default(),
            };
            (state.name.take(), releases, aliases)
        };
        if let Some(name) = &name {
            self.node.release_name(name, self.pid);
        }
        for alias in aliases {
            self.node.remove_alias(alias);
        }
        for release in releases {
            release(self.pid);
        }

        let (reason, links, tables) = {
            let mut state = self.state.lock();
            let reason = match state.ending.take() {
                Some(condemned) if state.condemned => condemned,
                _ => reason,
            };
            state.ending = Some(reason.clone());
            state.exited = true;
            self.flags.exited.store(true, Ordering::Release);
            (
                reason,
                std::mem::take(&mut state.links),
                state.tables.take(),
            )
        };
        // Whoever learns of the end must find nobody to send to. What waits is dropped last: it may
        // hold anything.
        let remains = self.mailbox.close();
        self.node.forget(self.pid);
        for (peer, _) in links.into_entries() {
            self.node.deliver_exit(self.pid, peer, &reason, true);
        }
        if let Some(tables) = tables {
            if !tables.observers.is_empty() {
                self.node.watch_sends(false);
            }
            for ((monitor, watcher), ()) in tables.watched_by.into_entries() {
                self.node.deliver_down(monitor, watcher, self.pid, &reason);
            }
            for (monitor, watching) in tables.watching.into_entries() {
                self.node.remove_watcher(monitor, self.pid, watching.target);
            }
        }
        self.flags.told.store(true, Ordering::Release);
        self.ended.notify_waiters();
        drop(remains);
        reason
    }
}

impl State {
    fn tables(&mut self) -> &mut Tables {
        self.tables.get_or_insert_default()
    }
}

/// A down signal as its watcher sees it.
fn down(monitor: MonitorRef, pid: Pid, name: Option<Arc<str>>, reason: ExitReason) -> Down {
    Down {
        monitor,
        pid,
        name,
        reason,
    }
}
