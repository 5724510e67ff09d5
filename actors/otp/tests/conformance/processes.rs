//! Processes: exit signals, links, monitors, names, aliases, timers, nodes (module PROC).

mod aliases;
mod busy;
mod dictionary;
mod exits;
mod far_monitors;
mod info;
mod killing;
mod limits;
mod links;
mod monitors;
mod names;
mod nodes;
mod order;
mod spawn_requests;
mod timers;
mod watchdog;

use std::any::Any;
use std::future::Future;
use std::sync::Arc;

use otp::testing::Probe;
use otp::{
    Context, ExitReason, From, GenServer, Info, Init, Next, Node, Options, Pid, ServerRef,
    eventually,
};
use tokio::sync::Barrier;

use crate::case::Case;
use crate::support::{Log, Message, Plan, Worker, planned};

/// How often a rule that a race could break is tried.
const RUNS: usize = 1_000;

pub(crate) fn cases() -> Vec<Case> {
    [
        aliases::cases(),
        busy::cases(),
        dictionary::cases(),
        exits::cases(),
        far_monitors::cases(),
        info::cases(),
        killing::cases(),
        limits::cases(),
        links::cases(),
        monitors::cases(),
        names::cases(),
        nodes::cases(),
        order::cases(),
        spawn_requests::cases(),
        timers::cases(),
        watchdog::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Two connected nodes.
fn two_nodes() -> (Node, Node) {
    let (a, b) = (Node::new("a"), Node::new("b"));
    a.connect(&b);
    (a, b)
}

async fn probe(node: &Node) -> Probe {
    Probe::start(node).await.unwrap()
}

/// A worker that traps exits, and its log, which is empty.
async fn trapping(node: &Node) -> (ServerRef<Worker>, Log) {
    let log = Log::default();
    let plan = Plan {
        trap: true,
        log: log.clone(),
        ..Plan::default()
    };
    let worker = planned(node, plan).await;
    log.clear();
    (worker, log)
}

/// A worker that does not trap exits, and its log, which is empty.
async fn plain(node: &Node) -> (ServerRef<Worker>, Log) {
    let log = Log::default();
    let plan = Plan {
        log: log.clone(),
        ..Plan::default()
    };
    let worker = planned(node, plan).await;
    log.clear();
    (worker, log)
}

/// Has a worker run something and go on; nobody waits for it.
fn tell(worker: &ServerRef<Worker>, errand: impl FnOnce(&mut Context<Worker>) + Send + 'static) {
    worker.cast(Message::Run(Box::new(move |ctx| {
        errand(ctx);
        Next::Go
    })));
}

/// Runs two things at the same time, on threads of their own if there are any.
async fn race<A, B>(
    one: impl Future<Output = A> + Send + 'static,
    two: impl Future<Output = B> + Send + 'static,
) -> (A, B)
where
    A: Send + 'static,
    B: Send + 'static,
{
    let gate = Arc::new(Barrier::new(2));
    let other = gate.clone();
    let one = tokio::spawn(async move {
        gate.wait().await;
        one.await
    });
    let two = tokio::spawn(async move {
        other.wait().await;
        two.await
    });
    (one.await.unwrap(), two.await.unwrap())
}

/// Waits within a handler, without an await: until others have brought a condition about.
fn spin_until(condition: impl Fn() -> bool) {
    // What this thread was going to run next must run elsewhere.
    tokio::task::block_in_place(|| {
        let deadline = std::time::Instant::now() + otp::testing::TEST_DEADLINE;
        while !condition() {
            assert!(
                std::time::Instant::now() < deadline,
                "waited too long in a handler"
            );
            std::thread::yield_now();
        }
    });
}

fn custom(text: &str) -> ExitReason {
    ExitReason::Custom(text.into())
}

/// A reason of a megabyte.
fn large() -> ExitReason {
    ExitReason::Custom("x".repeat(1 << 20).into())
}

fn message(number: u32) -> Box<dyn Any + Send> {
    Box::new(number)
}

/// What arrived, as text; messages are numbers.
fn text(info: &Info) -> String {
    match info {
        Info::Exit { reason, .. } => format!("EXIT {reason}"),
        Info::Down { reason, .. } => format!("DOWN {reason}"),
        Info::Message(message) => match message.downcast_ref::<u32>() {
            Some(number) => number.to_string(),
            None => "?".to_owned(),
        },
        Info::Spawned { result: Ok(_), .. } => "spawned".to_owned(),
        Info::Spawned {
            result: Err(error), ..
        } => format!("not spawned: {error}"),
        Info::NodeUp(name) => format!("up {name}"),
        Info::NodeDown(name) => format!("down {name}"),
        other => format!("{other:?}"),
    }
}

/// Waits until so many things have arrived, and gives all there are.
async fn arrived(probe: &mut Probe, at_least: usize) -> Vec<Info> {
    let mut all = Vec::new();
    eventually!({
        all.append(&mut probe.drain().await);
        all.len() >= at_least
    });
    all
}

/// [`arrived`], as text.
async fn texts(probe: &mut Probe, at_least: usize) -> Vec<String> {
    arrived(probe, at_least).await.iter().map(text).collect()
}

/// Everything that two nodes have sent each other so far has arrived: a message there and back.
async fn settled(a: &Node, b: &Node) {
    for (from, to) in [(a, b), (b, a), (a, b)] {
        let mut echo = probe(to).await;
        assert!(from.send(echo.pid(), message(0)));
        echo.expect_msg::<u32>().await;
        to.exit(echo.pid(), ExitReason::Kill);
    }
}

/// A link or a monitor of another node's process has reached the process.
async fn reached(node: &Node, pid: Pid) {
    let there = |info: otp::ProcessInfo| info.links.len() + info.monitored_by.len() > 0;
    eventually!(node.process_info(pid).is_some_and(there));
}

/// Both ends of what there is between two local processes.
fn links_agree(one: (&Node, Pid), two: (&Node, Pid)) -> bool {
    let has = |node: &Node, pid: Pid, peer: Pid| {
        let info = node.process_info(pid).unwrap();
        info.links.contains(&peer)
    };
    has(one.0, one.1, two.1) == has(two.0, two.1, one.1)
}

/// What a sink is sent.
enum Note {
    /// Is written down.
    Number(u32),
    /// Has it watch a process.
    Watch(Pid, From<()>),
}

/// Writes down what arrives, as [`text`] does.
struct Sink {
    log: Log,
}

impl GenServer for Sink {
    type Args = (Log, bool);
    type Message = Note;

    async fn init((log, trap): (Log, bool), ctx: &mut Context<Sink>) -> Init<Sink> {
        ctx.trap_exit(trap);
        Init::Ok(Sink { log })
    }

    async fn handle(&mut self, note: Note, ctx: &mut Context<Sink>) -> Next<Sink> {
        match note {
            Note::Number(number) => self.log.add(number.to_string()),
            Note::Watch(pid, from) => {
                ctx.monitor(pid);
                from.reply(());
            }
        }
        Next::Go
    }

    async fn handle_info(&mut self, info: Info, _ctx: &mut Context<Sink>) -> Next<Sink> {
        self.log.add(text(&info));
        Next::Go
    }
}

/// A sink and its log.
async fn sink(node: &Node, trap: bool) -> (ServerRef<Sink>, Log) {
    let log = Log::default();
    let sink = otp::start::<Sink>(node, (log.clone(), trap), Options::new());
    (sink.await.unwrap(), log)
}
