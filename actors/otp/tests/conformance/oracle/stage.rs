//! What each run of a twin gets: a node, a trace and a driver.

use otp::{
    ExitReason, MonitorRef, Node, Options, Pid, ProcessInfo, ServerRef, StartError, eventually,
};

use super::actor::{self, Actor, Begin, Ending, Message, Plan};
use super::driver::Driver;
use super::trace::{How, Trace, say};

pub(crate) struct Stage {
    pub(crate) node: Node,
    pub(crate) trace: Trace,
    pub(crate) driver: Driver,
}

/// Ends what a twin left.
pub(crate) fn clean(node: &Node) {
    for process in node.processes() {
        node.exit(process.pid, ExitReason::Kill);
    }
}

impl Stage {
    pub(crate) async fn new() -> Stage {
        let node = Node::new("oracle");
        let trace = Trace::default();
        let driver = Driver::start(&node, trace.clone()).await;
        Stage {
            node,
            trace,
            driver,
        }
    }

    /// An actor which does not trap, and tells of its `init` and `terminate`.
    pub(crate) fn plan(&self, label: &'static str) -> Plan {
        Plan {
            label,
            trap: false,
            quiet: false,
            begin: Begin::Run,
            before: None,
            ending: Ending::Return,
            number: 0,
            trace: self.trace.clone(),
        }
    }

    pub(crate) fn quiet(&self, label: &'static str) -> Plan {
        Plan {
            quiet: true,
            ..self.plan(label)
        }
    }

    pub(crate) async fn start(&self, plan: Plan) -> ServerRef<Actor> {
        otp::start(&self.node, plan, Options::new()).await.unwrap()
    }

    pub(crate) async fn start_named(&self, plan: Plan) -> Result<ServerRef<Actor>, StartError> {
        otp::start(&self.node, plan, Options::new().name("named")).await
    }

    /// A quiet actor.
    pub(crate) async fn worker(&self, label: &'static str) -> ServerRef<Actor> {
        self.start(self.quiet(label)).await
    }

    /// A quiet actor, watched by the driver.
    pub(crate) async fn watched(
        &self,
        label: &'static str,
        trap: bool,
    ) -> (ServerRef<Actor>, MonitorRef) {
        let plan = Plan {
            trap,
            ..self.quiet(label)
        };
        self.start_watched(plan).await
    }

    pub(crate) async fn start_watched(&self, plan: Plan) -> (ServerRef<Actor>, MonitorRef) {
        let actor = self.start(plan).await;
        let monitor = self.driver.watch(actor.pid()).await;
        (actor, monitor)
    }

    /// Ends a process.
    pub(crate) async fn finish(&self, actor: &ServerRef<Actor>, how: &How) {
        match how {
            How::Signal(reason) => self.driver.exit(actor.pid(), reason.clone()).await,
            how => actor::finish(actor, how),
        }
    }

    /// Says whether a process got over what was sent to it before.
    pub(crate) async fn alive_or_down(&mut self, actor: &ServerRef<Actor>, monitor: MonitorRef) {
        match actor.call(Message::Sync).await {
            Ok(()) => say!(self.trace, "alive", actor.pid()),
            Err(_) => self.driver.down(monitor).await,
        }
    }

    pub(crate) async fn nothing(&mut self) {
        self.driver.nothing().await;
    }

    pub(crate) fn whereis(&self, name: &str) {
        say!(self.trace, "whereis", self.node.whereis(name));
    }

    pub(crate) fn info(&self, pid: Pid) -> Option<ProcessInfo> {
        let mut processes = self.node.processes().into_iter();
        processes.find(|info| info.pid == pid)
    }

    pub(crate) fn links(&self, pid: Pid, peer: Pid) -> usize {
        let links = self.info(pid).map_or_else(Vec::new, |info| info.links);
        links.iter().filter(|link| **link == peer).count()
    }

    /// Waits until a process has received the end of a peer it was linked to.
    pub(crate) async fn unlinked(&self, pid: Pid, peer: Pid) {
        eventually!(self.links(pid, peer) == 0);
    }

    /// Waits until so many items are in a mailbox.
    pub(crate) async fn queued(&self, pid: Pid, count: usize) {
        eventually!(self.info(pid).is_none_or(|info| info.mailbox_len >= count));
    }

    pub(crate) async fn gone(&self, pid: Pid) {
        eventually!(!self.node.is_alive(pid));
    }
}
