//! `Registry`, after Elixir's `registry_test.exs`, `unique_test.exs` and `duplicate_test.exs`.
//!
//! As there, each rule is checked with one partition and with eight, and rules of duplicate keys
//! with partitions by process and by key. Match specifications are closures here.

use std::collections::BTreeMap;

use otp::registry::{Keys, Registry, RegistryEvent, RegistryOptions};
use otp::testing::TEST_DEADLINE;
use otp::{
    Context, ExitReason, GenServer, Info, Init, Next, Node, Options, Pid, ServerRef, eventually,
};
use tokio::sync::mpsc;

use crate::case::Case;
use crate::support::{Log, Plan, Worker, planned, within};

mod unique;
mod processes;
mod duplicate;
mod queries;
mod selecting;
mod locks;

pub(crate) fn cases() -> Vec<Case> {
    [
        unique::cases(),
        processes::cases(),
        duplicate::cases(),
        queries::cases(),
        selecting::cases(),
        locks::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

const PARTITIONS: [usize; 2] = [1, 8];

/// Enough of Erlang's terms to write its keys and values down. Numbers of different kinds differ.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Term {
    Int(i64),
    /// By its bits.
    Float(u64),
    Atom(&'static str),
    Tuple(Vec<Term>),
    List(Vec<Term>),
    Map(BTreeMap<&'static str, Term>),
}

use Term::{Atom, Int, List, Map, Tuple};

fn float(number: f64) -> Term {
    Term::Float(number.to_bits())
}

fn triple(first: Term, second: Term, third: Term) -> Term {
    Tuple(vec![first, second, third])
}

/// `{1, :atom, n}`.
fn one_atom(number: i64) -> Term {
    triple(Int(1), Atom("atom"), Int(number))
}

/// `%{a: "a", b: "b"}`.
fn a_map() -> Term {
    Map(BTreeMap::from([("a", Atom("a")), ("b", Atom("b"))]))
}

/// An element of a tuple, if it is one of three.
fn element(term: &Term, index: usize) -> Option<&Term> {
    match term {
        Tuple(elements) if elements.len() == 3 => elements.get(index),
        _ => None,
    }
}

fn unique<K: otp::registry::Key, V: otp::registry::Value>(
    node: &Node,
    partitions: usize,
) -> Registry<K, V> {
    Registry::with_options(node, RegistryOptions::new().partitions(partitions))
}

/// The registries of a duplicate test: by pid and by key, with one partition and with eight.
fn duplicates<K: otp::registry::Key, V: otp::registry::Value>(node: &Node) -> Vec<Registry<K, V>> {
    let mut registries = Vec::new();
    for keys in [Keys::DuplicateByPid, Keys::DuplicateByKey] {
        for partitions in PARTITIONS {
            let options = RegistryOptions::new().keys(keys).partitions(partitions);
            registries.push(Registry::with_options(node, options));
        }
    }
    registries
}

fn sorted<T: Ord>(mut list: Vec<T>) -> Vec<T> {
    list.sort();
    list
}

/// All entries by key and by process, which is what a registry remembers.
fn sizes<K: otp::registry::Key, V: otp::registry::Value>(
    registry: &Registry<K, V>,
) -> (usize, usize) {
    let stats = registry.stats();
    (stats.by_key.iter().sum(), stats.by_pid.iter().sum())
}

/// A process which traps exits, and the log of what it is told.
async fn trapping(node: &Node) -> (ServerRef<Worker>, Log) {
    let log = Log::default();
    let plan = Plan {
        trap: true,
        log: log.clone(),
        ..Plan::default()
    };
    let server = planned(node, plan).await;
    log.clear();
    (server, log)
}

/// Kills a process, and comes back when a watcher was told.
async fn kill_and_see_down(node: &Node, pid: Pid) {
    let (watcher, log) = trapping(node).await;
    within(&watcher, move |ctx| ctx.monitor(pid)).await;
    node.exit(pid, ExitReason::Kill);
    eventually!(log.all() == ["DOWN killed"]);
    node.exit(watcher.pid(), ExitReason::Kill);
    watcher.wait_for_exit().await;
}

type Event = RegistryEvent<&'static str, &'static str>;

/// A named process which hands out the events it is told.
struct Ear(mpsc::UnboundedSender<Event>);

impl GenServer for Ear {
    type Args = mpsc::UnboundedSender<Event>;
    type Message = ();

    async fn init(events: Self::Args, _ctx: &mut Context<Ear>) -> Init<Ear> {
        Init::Ok(Ear(events))
    }

    async fn handle(&mut self, (): (), _ctx: &mut Context<Ear>) -> Next<Ear> {
        Next::Go
    }

    async fn handle_info(&mut self, info: Info, _ctx: &mut Context<Ear>) -> Next<Ear> {
        if let Info::Message(message) = info
            && let Ok(event) = message.downcast::<Event>()
        {
            let _ = self.0.send(*event);
        }
        Next::Go
    }
}

/// Starts an [`Ear`] under a name.
async fn ear(node: &Node, name: &str) -> (ServerRef<Ear>, mpsc::UnboundedReceiver<Event>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let server = otp::start(node, sender, Options::new().name(name)).await;
    (server.unwrap(), receiver)
}

async fn next(events: &mut mpsc::UnboundedReceiver<Event>) -> Event {
    let event = tokio::time::timeout(TEST_DEADLINE, events.recv()).await;
    event.expect("an event").unwrap()
}

/// Panics if anything was told up to now: what is registered here is told after it.
async fn expect_no_more(
    events: &mut mpsc::UnboundedReceiver<Event>,
    registry: &Registry<&'static str, &'static str>,
    by: Pid,
) {
    registry.by(by).register("the end", "").unwrap();
    let event = next(events).await;
    assert!(
        matches!(event, RegistryEvent::Registered { key: "the end", .. }),
        "{event:?}"
    );
}
