//! The record of one process: what the runtime knows about it besides its state.
//!
//! ```text
//!   ServerRef ──┐
//!   node table ─┼──▶ Process { pid, mailbox counters, links, monitors, names } ──▶ ractor actor
//!   registries ─┘
//! ```
//!
//! Locks: one small mutex per process, never two at a time. Every two-sided operation (link,
//! monitor) writes its own side first and the other side second; what a death in between would
//! make of it is repaired by checking the receiver's own side when a signal is *received*.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use parking_lot::Mutex;
use ractor::ActorCell;
use tokio::sync::Notify;

use crate::exit_reason::ExitReason;
use crate::gen_server::GenServer;
use crate::node::Node;
use crate::pid::{MonitorRef, Pid, SerialHash};
use crate::signal::{Envelope, Signal};

/// How many messages a mailbox holds unless [`crate::Options::mailbox_max`] says otherwise.
/// Policy at the limit: the sender is refused. Metric: `otp_messages_refused_total`.
pub const DEFAULT_MAILBOX_MAX: usize = 100_000;

/// Runs when a process has ended, before anybody is told: gives back one name.
pub(crate) type Release = Box<dyn FnOnce(Pid) + Send>;

/// The control block of a process.
pub(crate) struct Process {
    pub(crate) pid: Pid,
    pub(crate) node: Node,
    /// The process which started this one with a link, if any.
    pub(crate) parent: Option<Pid>,
    cell: ActorCell,
    /// Puts a signal into the typed mailbox behind `cell`.
    enqueue: fn(&ActorCell, Signal) -> bool,
    queued: AtomicU32,
    mailbox_max: u32,
    /// Mirrors `state.exited` for readers which cannot afford the lock.
    exited: AtomicBool,
    ended: Notify,
    state: Mutex<State>,
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
    links: HashSet<Pid, SerialHash>,
    /// Rarely used tables, allocated on first use: an idle process should stay small.
    tables: Option<Box<Tables>>,
}

#[derive(Default)]
struct Tables {
    /// Monitors on this process, with their watchers.
    watched_by: HashMap<MonitorRef, Pid>,
    /// Monitors of this process; `true` once the DOWN is in the mailbox.
    watching: HashMap<MonitorRef, (Pid, bool)>,
    releases: Vec<Release>,
}

/// Why a message could not be put into a mailbox. The message comes back.
#[derive(Debug, PartialEq, Eq)]
pub enum SendError<M> {
    /// The process has ended.
    NoProc(M),
    /// The mailbox is full: slow down, or give up on this message.
    Full(M),
}

impl<M> SendError<M> {
    /// The message which was not sent.
    pub fn into_message(self) -> M {
        match self {
            SendError::NoProc(message) | SendError::Full(message) => message,
        }
    }
}

impl Process {
    pub(crate) fn new<S: GenServer>(
        node: Node,
        pid: Pid,
        parent: Option<Pid>,
        cell: ActorCell,
        mailbox_max: usize,
        label: Option<Arc<str>>,
    ) -> Arc<Process> {
        Arc::new(Process {
            pid,
            node,
            parent,
            cell,
            enqueue: |cell, signal| {
                cell.send_message::<Envelope<S>>(Envelope::Signal(signal))
                    .is_ok()
            },
            queued: AtomicU32::new(0),
            mailbox_max: u32::try_from(mailbox_max).unwrap_or(u32::MAX),
            exited: AtomicBool::new(false),
            ended: Notify::new(),
            state: Mutex::new(State {
                label,
                ..State::default()
            }),
        })
    }

    // ---- the mailbox ----------------------------------------------------------------------

    /// Queues a user's message, or gives it back.
    pub(crate) fn send<S: GenServer>(
        &self,
        message: S::Message,
    ) -> Result<(), SendError<S::Message>> {
        if self.exited.load(Ordering::Acquire) {
            self.node.counters().dropped();
            return Err(SendError::NoProc(message));
        }
        if self.queued.fetch_add(1, Ordering::Relaxed) >= self.mailbox_max {
            self.queued.fetch_sub(1, Ordering::Relaxed);
            self.node.counters().refused();
            return Err(SendError::Full(message));
        }
        match self.cell.send_message(Envelope::<S>::User(message)) {
            Ok(()) => Ok(()),
            Err(error) => {
                self.queued.fetch_sub(1, Ordering::Relaxed);
                self.node.counters().dropped();
                match error {
                    ractor::MessagingErr::SendErr(Envelope::User(message)) => {
                        Err(SendError::NoProc(message))
                    }
                    // A ServerRef is only ever made for the actor's own envelope type, and a
                    // send gives back what it was given.
                    _ => unreachable!("a mailbox returned something it was not sent"),
                }
            }
        }
    }

    /// Queues a signal; `false` if the process no longer reads.
    pub(crate) fn signal(&self, signal: Signal) -> bool {
        if self.is_exited() {
            return false;
        }
        self.queued.fetch_add(1, Ordering::Relaxed);
        let sent = (self.enqueue)(&self.cell, signal);
        if !sent {
            self.queued.fetch_sub(1, Ordering::Relaxed);
        }
        sent
    }

    /// Notes that one item was taken from the mailbox.
    pub(crate) fn taken(&self) {
        self.queued.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed) as usize
    }

    /// Whether the mailbox is that of an `S`.
    pub(crate) fn runs<S: GenServer>(&self) -> bool {
        self.cell
            .is_message_type_of::<Envelope<S>>()
            .unwrap_or(false)
    }

    // ---- what others may ask --------------------------------------------------------------

    pub(crate) fn is_exited(&self) -> bool {
        self.exited.load(Ordering::Acquire)
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

    /// Waits for the end and tells its reason.
    pub(crate) async fn wait(&self) -> ExitReason {
        let ended = self.ended.notified();
        tokio::pin!(ended);
        // Enlist before looking, or an end between looking and waiting would be missed.
        ended.as_mut().enable();
        if let Some(reason) = self.exit_reason() {
            return reason;
        }
        ended.await;
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

    pub(crate) fn set_name(&self, name: Arc<str>) {
        self.state.lock().name = Some(name);
    }

    pub(crate) fn links(&self) -> Vec<Pid> {
        self.state.lock().links.iter().copied().collect()
    }

    pub(crate) fn set_trap_exit(&self, trap: bool) -> bool {
        std::mem::replace(&mut self.state.lock().trap_exit, trap)
    }

    pub(crate) fn traps_exit(&self) -> bool {
        self.state.lock().trap_exit
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

    // ---- links ----------------------------------------------------------------------------

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
            });
        } else if reason == ExitReason::Normal && (linked || from != self.pid) {
            if linked {
                state.links.remove(&from);
            }
        } else {
            self.condemn(state, reason);
        }
    }

    /// Ends the process at its next await, without `terminate`.
    ///
    /// This is the one use of ractor's kill lane. It is for exactly the cases in which Erlang
    /// drops a process between two instructions: kill, and an exit signal which is not trapped.
    fn condemn(&self, mut state: parking_lot::MutexGuard<'_, State>, reason: ExitReason) {
        if state.condemned {
            return;
        }
        state.condemned = true;
        state.ending = Some(reason);
        drop(state);
        self.cell.kill();
    }

    // ---- monitors -------------------------------------------------------------------------

    /// Notes that `watcher` watches this process; `false` if it has ended.
    pub(crate) fn add_watcher(&self, monitor: MonitorRef, watcher: Pid) -> bool {
        let mut state = self.state.lock();
        if state.exited {
            return false;
        }
        state.tables().watched_by.insert(monitor, watcher);
        true
    }

    pub(crate) fn remove_watcher(&self, monitor: MonitorRef) {
        if let Some(tables) = &mut self.state.lock().tables {
            tables.watched_by.remove(&monitor);
        }
    }

    pub(crate) fn add_watching(&self, monitor: MonitorRef, target: Pid) {
        self.state
            .lock()
            .tables()
            .watching
            .insert(monitor, (target, false));
    }

    /// Receives the news that a watched process ended.
    pub(crate) fn down_signal(&self, monitor: MonitorRef, pid: Pid, reason: ExitReason) {
        {
            let mut state = self.state.lock();
            match state.tables().watching.get_mut(&monitor) {
                Some((_, delivered)) => *delivered = true,
                None => return,
            }
        }
        self.signal(Signal::Down {
            monitor,
            pid,
            reason,
        });
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
        let (target, delivered) = *tables.watching.get(&monitor)?;
        if flush || !delivered {
            tables.watching.remove(&monitor);
        }
        (!delivered).then_some(target)
    }

    // ---- the end --------------------------------------------------------------------------

    /// Makes the end certain before `terminate` runs, so that callers whose reply handle is
    /// dropped from now on know to wait for the reason.
    pub(crate) fn begin_end(&self, reason: &ExitReason) {
        let mut state = self.state.lock();
        if state.ending.is_none() {
            state.ending = Some(reason.clone());
        }
    }

    /// Ends the process in the eyes of everybody: names first, then the process table, then EXIT
    /// and DOWN. Only the first call counts.
    pub(crate) fn finish(&self, reason: ExitReason) -> ExitReason {
        let (name, releases) = {
            let mut state = self.state.lock();
            if state.closing {
                return state.ending.clone().unwrap_or(reason);
            }
            state.closing = true;
            let releases = match &mut state.tables {
                Some(tables) => std::mem::take(&mut tables.releases),
                None => Vec::new(),
            };
            (state.name.take(), releases)
        };
        if let Some(name) = &name {
            self.node.release_name(name, self.pid);
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
            self.exited.store(true, Ordering::Release);
            (
                reason,
                std::mem::take(&mut state.links),
                state.tables.take(),
            )
        };
        self.node.forget(self.pid);
        for peer in links {
            if let Some(peer) = self.node.process(peer) {
                peer.exit_signal(self.pid, reason.clone(), true);
            }
        }
        if let Some(tables) = tables {
            for (monitor, watcher) in tables.watched_by {
                if let Some(watcher) = self.node.process(watcher) {
                    watcher.down_signal(monitor, self.pid, reason.clone());
                }
            }
            for (monitor, (target, _)) in tables.watching {
                if let Some(target) = self.node.process(target) {
                    target.remove_watcher(monitor);
                }
            }
        }
        self.ended.notify_waiters();
        reason
    }
}

impl State {
    fn tables(&mut self) -> &mut Tables {
        self.tables.get_or_insert_default()
    }
}
