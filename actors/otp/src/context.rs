//! What a process can do about itself: links, monitors, timers, children.

use std::any::Any;
use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::context::timers::{Expired, Timers};
use crate::exit_reason::ExitReason;
use crate::gen_server::{Down, GenServer, Info};
use crate::node::Node;
use crate::options::Options;
use crate::pid::{MonitorRef, Pid, TimerRef};
use crate::process::Process;
use crate::server_ref::ServerRef;
use crate::signal::{Envelope, Signal};
use crate::start::{StartError, start_process};
use crate::sys::{Debug, Event};
use crate::task::{self, Task};

mod aliases;
mod dictionary;
mod reports;
mod spawn_request;
mod timers;

pub(crate) use aliases::ActiveAlias;
pub use aliases::AliasMode;
pub use spawn_request::SpawnOptions;

/// Makes a server's own message of a DOWN.
type Tag<M> = Box<dyn FnOnce(Down) -> M + Send>;

/// The running process, handed to each of its callbacks.
pub struct Context<S: GenServer> {
    pub(crate) process: Arc<Process>,
    /// There while there are any.
    timers: Option<Box<Timers<S::Message>>>,
    /// The number of the last timer when there were none any more.
    last_timer: u64,
    /// Monitors whose DOWN arrives as a message of the server's own.
    #[expect(
        clippy::box_collection,
        reason = "most processes have none, and there are many"
    )]
    tags: Option<Box<HashMap<MonitorRef, Tag<S::Message>>>>,
    pub(crate) debug: Option<Box<Debug<S>>>,
    hibernate_after: Option<Duration>,
}

/// What a signal means to its receiver.
pub(crate) enum Arrival<M> {
    /// It is void by now.
    Nothing,
    /// A timer's message, or a tagged DOWN.
    Message(M),
    /// Something for `handle_info`.
    Info(Info),
    /// It was idle for long enough.
    Hibernate,
    /// The process has to end, with `terminate`.
    Stop(ExitReason),
}

/// A monitor on a process that is being started; taken back unless the start succeeds.
struct EarlyMonitor {
    monitor: MonitorRef,
    watcher: Arc<Process>,
    kept: bool,
}

impl EarlyMonitor {
    fn keep(mut self) -> MonitorRef {
        self.kept = true;
        self.monitor
    }
}

impl Drop for EarlyMonitor {
    fn drop(&mut self) {
        if !self.kept {
            // The process itself has ended, or is about to; what it told is void.
            self.watcher.cancel_watching(self.monitor, true);
        }
    }
}

impl<S: GenServer> Context<S> {
    pub(crate) fn new(process: Arc<Process>, hibernate_after: Option<Duration>) -> Context<S> {
        Context {
            process,
            timers: None,
            last_timer: 0,
            tags: None,
            debug: None,
            hibernate_after,
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

    /// The process which started this one.
    pub fn parent(&self) -> Option<Pid> {
        self.process.parent()
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
        if self.process.is_fenced() {
            return self.node().counters().fenced();
        }
        self.node().deliver_exit(self.pid(), pid, &reason, false);
    }

    /// Links with a process, both ways; a second link changes nothing (`link/1`). If it does not
    /// exist, this process gets an exit signal with [`ExitReason::NoProc`] from it; with
    /// [`ExitReason::NoConnection`] if its node cannot be reached.
    pub fn link(&mut self, pid: Pid) {
        self.link_with(pid, false);
    }

    /// Links with a process; the EXIT of the link overtakes whatever waits in this process'
    /// mailbox (`link/2` with `priority`). A link that exists becomes one of this kind, as
    /// [`Context::link`] makes it an ordinary one again.
    pub fn link_urgently(&mut self, pid: Pid) {
        self.link_with(pid, true);
    }

    fn link_with(&mut self, pid: Pid, urgent: bool) {
        if self.process.is_fenced() {
            return self.node().counters().fenced();
        }
        if pid == self.pid() {
            return;
        }
        if let Err(reason) = self.node().link_with(&self.process, pid, urgent) {
            self.process.add_own_link(pid, urgent);
            self.process.exit_signal(pid, reason, true);
        }
    }

    /// Removes a link (`unlink/1`). No exit signal from that link reaches the process any more,
    /// not even one which waits in its mailbox already.
    pub fn unlink(&mut self, pid: Pid) {
        if pid != self.pid() {
            self.node().unlink_from(&self.process, pid);
        }
    }

    // ---- monitors -------------------------------------------------------------------------

    /// Watches a process: exactly one [`Info::Down`] arrives when it ends, at once with
    /// [`ExitReason::NoProc`] if it does not exist, with [`ExitReason::NoConnection`] if its node
    /// cannot be reached (`monitor(process, _)`). A process that watches itself never hears of it.
    pub fn monitor(&mut self, pid: Pid) -> MonitorRef {
        self.monitor_with(pid, None, false)
    }

    /// Watches the process that is registered under a name now (`monitor(process, Name)`): its
    /// [`Info::Down`] carries the name.
    pub fn monitor_name(&mut self, name: &str) -> MonitorRef {
        let pid = self.node().whereis(name).unwrap_or(self.node().outside());
        self.monitor_with(pid, Some(name.into()), false)
    }

    /// Watches the process that has a name on a node, this one or another (`monitor(process,
    /// {Name, Node})`): its [`Info::Down`] carries the name. A node that cannot be reached, or
    /// does not exist, gives [`ExitReason::NoConnection`].
    pub fn monitor_name_on(&mut self, node: &str, name: &str) -> MonitorRef {
        let peer = self.node().outside_of(node);
        if self.node().is_local(peer) {
            return self.monitor_name(name);
        }
        let monitor = self.node().new_monitor();
        if self.process.is_fenced() {
            self.node().counters().fenced();
            return monitor;
        }
        let name: Arc<str> = name.into();
        self.process
            .add_watching(monitor, peer, Some(name.clone()), false);
        let watched = self.node().watch_name(monitor, self.pid(), peer, name);
        if let Err(reason) = watched {
            self.process.down_signal(monitor, peer, reason);
        }
        monitor
    }

    /// Watches a process; the DOWN becomes a message of the server's own (`{tag, _}`).
    pub fn monitor_as(
        &mut self,
        pid: Pid,
        message: impl FnOnce(Down) -> S::Message + Send + 'static,
    ) -> MonitorRef {
        let monitor = self.monitor(pid);
        let tags = self.tags.get_or_insert_default();
        tags.insert(monitor, Box::new(message));
        monitor
    }

    /// Watches a process; the DOWN overtakes whatever waits in the mailbox (`{priority, true}`).
    pub fn monitor_urgently(&mut self, pid: Pid) -> MonitorRef {
        self.monitor_with(pid, None, true)
    }

    fn monitor_with(&mut self, pid: Pid, name: Option<Arc<str>>, urgent: bool) -> MonitorRef {
        let monitor = self.node().new_monitor();
        if self.process.is_fenced() {
            self.node().counters().fenced();
            return monitor;
        }
        if pid != self.pid() {
            self.process.add_watching(monitor, pid, name, urgent);
            if let Err(reason) = self.node().watch(monitor, self.pid(), pid) {
                self.process.down_signal(monitor, pid, reason);
            }
        }
        monitor
    }

    /// Stops watching (`demonitor/2`). With `flush` a DOWN which waits in the mailbox is dropped
    /// too. Returns whether the monitor was still waiting for the end of its process. Only the
    /// process that made a monitor can take it back; for another it is unknown.
    pub fn demonitor(&mut self, monitor: MonitorRef, flush: bool) -> bool {
        self.process.drop_aliases_of(monitor);
        let cancelled = self.process.cancel_watching(monitor, flush);
        if cancelled.is_some() || flush {
            self.forget_tag(monitor);
        }
        match cancelled {
            Some(target) => {
                self.node().remove_watcher(monitor, self.pid(), target);
                true
            }
            None => false,
        }
    }

    fn forget_tag(&mut self, monitor: MonitorRef) -> Option<Tag<S::Message>> {
        self.tags.as_mut()?.remove(&monitor)
    }

    /// Asks to be told of nodes that come and go: [`Info::NodeUp`], [`Info::NodeDown`]
    /// (`net_kernel:monitor_nodes/1`). Asked twice, told twice; ends with the process.
    pub fn monitor_nodes(&mut self, on: bool) {
        self.node().monitor_nodes(self.pid(), on);
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

    /// Starts a server that is not linked to this process, but watched by it
    /// (`gen_server:start_monitor/3`): one step, so its DOWN has the real reason however early it
    /// ends. A start that fails leaves no DOWN.
    pub async fn start_monitor<C: GenServer>(
        &mut self,
        args: C::Args,
        options: Options,
    ) -> Result<(ServerRef<C>, MonitorRef), StartError> {
        let early = EarlyMonitor {
            monitor: self.node().new_monitor(),
            watcher: self.process.clone(),
            kept: false,
        };
        let (monitor, watcher) = (early.monitor, self.process.clone());
        let options = options.unlinked().on_published(move |child| {
            watcher.add_watching(monitor, child.pid, None, false);
            child.add_watcher(monitor, watcher.pid);
        });
        let parent = Some(self.process.clone());
        let started = start_process(self.node().clone(), parent, args, options).await?;
        Ok((started, early.keep()))
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

    /// Lets others run, and lets a kill through: for handlers that compute for long
    /// (`erlang:yield/0`).
    pub fn yield_now(&self) -> impl Future<Output = ()> + Send + use<S> {
        tokio::task::yield_now()
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

    /// Sends a message to itself at a given time (`erlang:send_after/4` with `{abs, true}`); at
    /// once if that has passed.
    pub fn send_at(&mut self, when: Instant, message: S::Message) -> TimerRef {
        let process = self.process.clone();
        self.timers().once_at(process, when, message)
    }

    /// How long a timer has to run (`erlang:read_timer/1`); `None` if it has run out, was
    /// cancelled, or is unknown.
    pub fn read_timer(&self, timer: TimerRef) -> Option<Duration> {
        self.timers.as_ref()?.left(timer)
    }

    /// Cancels a timer: its message is never handled after this, even if it waits in the mailbox
    /// already. Returns whether there was anything to cancel.
    pub fn cancel(&mut self, timer: TimerRef) -> bool {
        let cancelled = match &mut self.timers {
            Some(timers) => timers.cancel(timer),
            None => false,
        };
        self.trim_timers();
        cancelled
    }

    /// [`Context::cancel`], telling how long the timer had to run (`erlang:cancel_timer/1`);
    /// `None` if it had run out.
    pub fn cancel_timer(&mut self, timer: TimerRef) -> Option<Duration> {
        let left = self.read_timer(timer);
        self.cancel(timer);
        left
    }

    // ---- for the runtime ------------------------------------------------------------------

    /// Shows an item to those who debug the server.
    pub(crate) fn debug_in(&mut self, envelope: &Envelope<S>, server: Option<&S>) {
        if let Some(debug) = &mut self.debug
            && envelope.is_event()
        {
            let message = envelope.name();
            debug.event(Event { message }, self.process.pid, server);
        }
    }

    fn timers(&mut self) -> &mut Timers<S::Message> {
        let last = self.last_timer;
        self.timers
            .get_or_insert_with(|| Box::new(Timers::after(last)))
    }

    /// Gives the table of timers back when nothing is in it.
    fn trim_timers(&mut self) {
        if let Some(timers) = self.timers.take_if(|timers| timers.is_unused()) {
            self.last_timer = timers.last();
        }
    }

    /// Notes that a message arrived, which voids the receive timeout.
    pub(crate) fn something_arrived(&mut self) {
        self.process.set_hibernating(false);
        if let Some(timers) = &mut self.timers {
            timers.disarm();
        }
    }

    /// Nothing is left to handle: from here the idle time counts.
    pub(crate) fn rest(&mut self) {
        if let Some(limit) = self.hibernate_after {
            let process = self.process.clone();
            self.timers().arm_idle(process, limit);
        }
    }

    pub(crate) fn arm_receive_timeout(&mut self, when: Instant) {
        let process = self.process.clone();
        self.timers().arm(process, when);
    }

    pub(crate) fn cancel_all(&mut self) {
        self.timers = None;
        self.tags = None;
    }

    /// Decides what a signal means now that it is reached in the stream.
    pub(crate) fn arrival(&mut self, signal: Signal) -> Arrival<S::Message> {
        let arrival = match signal {
            Signal::Exit {
                from,
                reason,
                link,
                of_parent,
            } => {
                if link.is_some_and(|link| !self.process.take_fired(link)) {
                    return Arrival::Nothing;
                }
                if of_parent {
                    return Arrival::Stop(reason);
                }
                Arrival::Info(Info::Exit { from, reason })
            }
            Signal::Down(down) => {
                if !self.process.take_watching(down.monitor) {
                    return Arrival::Nothing;
                }
                match self.forget_tag(down.monitor) {
                    Some(tag) => Arrival::Message(tag(down)),
                    None => Arrival::Info(Info::Down {
                        monitor: down.monitor,
                        pid: down.pid,
                        name: down.name,
                        reason: down.reason,
                    }),
                }
            }
            Signal::Timer { id } => {
                let expired = self.timers.as_mut().map(|timers| timers.expired(id));
                self.trim_timers();
                match expired {
                    Some(Expired::Message(message)) => Arrival::Message(message),
                    Some(Expired::Cancelled) | None => return Arrival::Nothing,
                }
            }
            Signal::ReceiveTimeout { token } => {
                let timers = self.timers.as_ref();
                if !timers.is_some_and(|timers| timers.is_armed(token)) {
                    return Arrival::Nothing;
                }
                Arrival::Info(Info::Timeout)
            }
            Signal::Idle { token } => {
                let timers = self.timers.as_ref();
                if !timers.is_some_and(|timers| timers.is_idle(token)) {
                    return Arrival::Nothing;
                }
                return Arrival::Hibernate;
            }
            Signal::Stop { reason } => return Arrival::Stop(reason),
            Signal::Spawned { request, result } => Arrival::Info(Info::Spawned { request, result }),
            Signal::Node { name, up: true } => Arrival::Info(Info::NodeUp(name)),
            Signal::Node { name, up: false } => Arrival::Info(Info::NodeDown(name)),
            Signal::Transfer(transfer) => Arrival::Info(Info::Transfer(*transfer)),
            Signal::Pass(passed) => {
                // Whoever asked may have given up.
                let _ = passed.send(());
                return Arrival::Nothing;
            }
            Signal::Raw(message) => Arrival::Info(Info::Message(message)),
        };
        self.something_arrived();
        arrival
    }
}
