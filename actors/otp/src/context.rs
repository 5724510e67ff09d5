//! What a process can do about itself: links, monitors, timers, children.

use std::any::Any;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::context::timers::{Expired, Timers};
use crate::exit_reason::ExitReason;
use crate::gen_server::{GenServer, Info};
use crate::node::Node;
use crate::options::Options;
use crate::pid::{MonitorRef, Pid, TimerRef};
use crate::process::Process;
use crate::server_ref::ServerRef;
use crate::signal::Signal;
use crate::start::{StartError, start_process};
use crate::task::{self, Task};

mod timers;

/// The running process, handed to each of its callbacks.
pub struct Context<S: GenServer> {
    pub(crate) process: Arc<Process>,
    timers: Option<Box<Timers<S::Message>>>,
}

/// What a signal means to its receiver.
pub(crate) enum Arrival<M> {
    /// It is void by now.
    Nothing,
    /// A timer's message.
    Message(M),
    /// Something for `handle_info`.
    Info(Info),
    /// The process has to end, with `terminate`.
    Stop(ExitReason),
}

impl<S: GenServer> Context<S> {
    pub(crate) fn new(process: Arc<Process>) -> Context<S> {
        Context {
            process,
            timers: None,
        }
    }

    /// The process itself (`self()`).
    pub fn pid(&self) -> Pid {
        self.process.pid
    }

    /// The node it runs on.
    pub fn node(&self) -> &Node {
        &self.process.node
    }

    /// A typed reference to itself, to hand out. Calling it from here fails with
    /// [`crate::CallError::CallingSelf`].
    pub fn self_ref(&self) -> ServerRef<S> {
        ServerRef::new(self.process.clone())
    }

    /// The process which started this one with a link.
    pub fn parent(&self) -> Option<Pid> {
        self.process.parent
    }

    /// How many messages wait in its own mailbox.
    pub fn mailbox_len(&self) -> usize {
        self.process.queued()
    }

    /// Changes what the process says it is; see [`Options::label`].
    pub fn set_label(&mut self, label: impl Into<Arc<str>>) {
        self.process.set_label(label.into());
    }

    // ---- exits ----------------------------------------------------------------------------

    /// Whether exit signals arrive as [`Info::Exit`] instead of ending the process
    /// (`process_flag(trap_exit, _)`). Returns the previous setting.
    pub fn trap_exit(&mut self, trap: bool) -> bool {
        self.process.set_trap_exit(trap)
    }

    /// Sends an exit signal (`exit/2`). To itself, without trapping, it ends the process at its
    /// next await, without `terminate`; return [`crate::Next::Stop`] to end in good order.
    pub fn exit(&self, pid: Pid, reason: ExitReason) {
        if let Some(process) = self.node().process(pid) {
            process.exit_signal(self.pid(), reason, false);
        }
    }

    /// Links with a process, both ways; a second link changes nothing (`link/1`). If it does not
    /// exist, this process gets an exit signal with [`ExitReason::NoProc`] from it.
    pub fn link(&mut self, pid: Pid) {
        if pid == self.pid() || !self.process.add_link(pid) {
            return;
        }
        let linked = self
            .node()
            .process(pid)
            .is_some_and(|peer| peer.add_link(self.process.pid));
        if !linked {
            let reason = if self.node().is_local(pid) {
                ExitReason::NoProc
            } else {
                ExitReason::NoConnection
            };
            self.process.exit_signal(pid, reason, true);
        }
    }

    /// Removes a link (`unlink/1`). No exit signal from that link reaches the process any more,
    /// not even one which waits in its mailbox already.
    pub fn unlink(&mut self, pid: Pid) {
        self.process.remove_link(pid);
        if let Some(peer) = self.node().process(pid) {
            peer.remove_link(self.process.pid);
        }
    }

    // ---- monitors -------------------------------------------------------------------------

    /// Watches a process: exactly one [`Info::Down`] arrives when it ends, at once with
    /// [`ExitReason::NoProc`] if it does not exist (`monitor(process, _)`).
    pub fn monitor(&mut self, pid: Pid) -> MonitorRef {
        let monitor = self.node().new_monitor();
        self.process.add_watching(monitor, pid);
        let watched = self
            .node()
            .process(pid)
            .is_some_and(|target| target.add_watcher(monitor, self.process.pid));
        if !watched {
            let reason = if self.node().is_local(pid) {
                ExitReason::NoProc
            } else {
                ExitReason::NoConnection
            };
            self.process.down_signal(monitor, pid, reason);
        }
        monitor
    }

    /// Stops watching (`demonitor/2`). With `flush` a DOWN which waits in the mailbox is dropped
    /// too. Returns whether the monitor was still waiting for the end of its process.
    pub fn demonitor(&mut self, monitor: MonitorRef, flush: bool) -> bool {
        match self.process.cancel_watching(monitor, flush) {
            Some(target) => {
                if let Some(target) = self.node().process(target) {
                    target.remove_watcher(monitor);
                }
                true
            }
            None => false,
        }
    }

    // ---- starting and sending -------------------------------------------------------------

    /// Starts a server linked to this process, which is its parent: if this process ends, the
    /// child gets its exit signal, and runs its `terminate` if it traps exits
    /// (`gen_server:start_link/3`).
    pub fn start_link<C: GenServer>(
        &self,
        args: C::Args,
        options: Options,
    ) -> impl Future<Output = Result<ServerRef<C>, StartError>> + Send + use<S, C> {
        start_process(
            self.node().clone(),
            Some(self.process.clone()),
            args,
            options,
        )
    }

    /// Starts a task linked to this process (`Task.async/1` without the message): if either ends
    /// abnormally the other gets its exit signal.
    pub fn spawn_link_task<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        task::spawn_process(self.node(), Some(&self.process), "task".into(), future)
    }

    /// Sends an untyped message to a bare pid; see [`Node::send`].
    pub fn send(&self, pid: Pid, message: Box<dyn Any + Send>) -> bool {
        self.node().send(pid, message)
    }

    // ---- timers ---------------------------------------------------------------------------

    /// Sends a message to itself later (`erlang:send_after/3`).
    pub fn send_after(&mut self, delay: Duration, message: S::Message) -> TimerRef {
        let process = self.process.clone();
        self.timers().once(process, delay, message)
    }

    /// Sends a message to itself again and again, the first time after one period
    /// (`timer:send_interval/2`). A tick which falls due while the one before still waits in the
    /// mailbox is left out, so a slow process is not buried.
    pub fn send_interval(
        &mut self,
        period: Duration,
        message: impl Fn() -> S::Message + Send + 'static,
    ) -> TimerRef {
        let process = self.process.clone();
        self.timers().every(process, period, Box::new(message))
    }

    /// Cancels a timer: its message is never handled after this, even if it waits in the mailbox
    /// already. Returns whether there was anything to cancel.
    pub fn cancel(&mut self, timer: TimerRef) -> bool {
        match &mut self.timers {
            Some(timers) => timers.cancel(timer),
            None => false,
        }
    }

    // ---- for the runtime ------------------------------------------------------------------

    fn timers(&mut self) -> &mut Timers<S::Message> {
        self.timers.get_or_insert_default()
    }

    /// Notes that a message arrived, which voids the receive timeout.
    pub(crate) fn something_arrived(&mut self) {
        if let Some(timers) = &mut self.timers {
            timers.disarm();
        }
    }

    pub(crate) fn arm_receive_timeout(&mut self, limit: Duration) {
        let process = self.process.clone();
        self.timers().arm(process, limit);
    }

    pub(crate) fn cancel_all(&mut self) {
        self.timers = None;
    }

    /// Decides what a signal means now that it is reached in the stream.
    pub(crate) fn arrival(&mut self, signal: Signal) -> Arrival<S::Message> {
        let arrival = match signal {
            Signal::Exit {
                from,
                reason,
                linked,
            } => {
                if linked && !self.process.remove_link(from) {
                    return Arrival::Nothing;
                }
                if self.process.parent == Some(from) {
                    return Arrival::Stop(reason);
                }
                Arrival::Info(Info::Exit { from, reason })
            }
            Signal::Down {
                monitor,
                pid,
                reason,
            } => {
                if !self.process.take_watching(monitor) {
                    return Arrival::Nothing;
                }
                Arrival::Info(Info::Down {
                    monitor,
                    pid,
                    reason,
                })
            }
            Signal::Timer { id } => match self.timers.as_mut().map(|timers| timers.expired(id)) {
                Some(Expired::Message(message)) => Arrival::Message(message),
                Some(Expired::Cancelled) | None => return Arrival::Nothing,
            },
            Signal::ReceiveTimeout { token } => {
                let current = self
                    .timers
                    .as_ref()
                    .is_some_and(|timers| timers.is_armed(token));
                if !current {
                    return Arrival::Nothing;
                }
                Arrival::Info(Info::Timeout)
            }
            Signal::Stop { reason } => return Arrival::Stop(reason),
            Signal::Raw(message) => Arrival::Info(Info::Message(message)),
        };
        self.something_arrived();
        arrival
    }
}
