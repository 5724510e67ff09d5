//! `otp::ets`, after Erlang's `ets_SUITE`.
//!
//! As there, most rules are checked for each kind of table, with one lock and with many. A case
//! runs as a process, which owns the tables it makes; a stranger is another one.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use otp::ets::{self, Kind, Table, TableOptions, WriteConcurrency};
use otp::{Node, task};
use parking_lot::{Condvar, Mutex};

use crate::case::Case;
use crate::support::node;

mod folding;
mod lookups;
mod matching;
mod objects;
mod owners;
mod rights;
mod selecting;
mod stress;
mod tables;
mod updates;
mod walking;

pub(crate) fn cases() -> Vec<Case> {
    [
        tables::cases(),
        rights::cases(),
        objects::cases(),
        lookups::cases(),
        updates::cases(),
        walking::cases(),
        folding::cases(),
        matching::cases(),
        selecting::cases(),
        owners::cases(),
        stress::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

type Numbers = Table<i64, i64>;

/// Every kind of table, with one lock and with many.
fn kinds() -> Vec<TableOptions<i64, i64>> {
    let mut all = vec![ets::ordered_set()];
    for concurrency in [WriteConcurrency::Off, WriteConcurrency::On] {
        for kind in [ets::set(), ets::bag(), ets::duplicate_bag()] {
            all.push(kind.write_concurrency(concurrency));
        }
    }
    all
}

/// A new table of every kind.
fn tables() -> Vec<Numbers> {
    kinds()
        .into_iter()
        .map(|kind| kind.create().unwrap())
        .collect()
}

/// The same, for everybody.
fn public_tables() -> Vec<Numbers> {
    kinds()
        .into_iter()
        .map(|kind| kind.public().create().unwrap())
        .collect()
}

fn is_set(table: &Numbers) -> bool {
    matches!(table.kind(), Kind::Set | Kind::OrderedSet)
}

/// Runs something as a process of a node of its own.
async fn own(body: impl FnOnce(&Node) + Send + 'static) {
    let node = node();
    let inner = node.clone();
    task::spawn(&node, "owner", async move { body(&inner) })
        .await
        .unwrap();
}

/// The same, for what has to wait.
async fn own_async<F>(body: impl FnOnce(Node) -> F + Send + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    let node = node();
    task::spawn(&node, "owner", body(node.clone()))
        .await
        .unwrap();
}

/// Runs something as another process.
async fn stranger<T: Send + 'static>(node: &Node, body: impl FnOnce() -> T + Send + 'static) -> T {
    task::spawn(node, "stranger", async move { body() })
        .await
        .unwrap()
}

/// Runs something in several processes at once.
async fn crowd(node: &Node, size: usize, body: impl Fn(usize) + Send + Sync + 'static) {
    let body = Arc::new(body);
    let mut crowd = Vec::new();
    for number in 0..size {
        let body = body.clone();
        crowd.push(task::spawn(
            node,
            "one of many",
            async move { body(number) },
        ));
    }
    for one in crowd {
        one.await.unwrap();
    }
}

/// The values, without their `Arc`.
fn plain<V: Clone>(values: &[Arc<V>]) -> Vec<V> {
    values.iter().map(|value| V::clone(value)).collect()
}

/// All objects, sorted.
fn sorted(table: &Numbers) -> Vec<(i64, i64)> {
    let all = table.to_vec().unwrap();
    let mut list: Vec<(i64, i64)> = all.iter().map(|(key, value)| (*key, **value)).collect();
    list.sort_unstable();
    list
}

/// Where drops of rows wait until the test lets them.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
    dropped: AtomicUsize,
}

/// Longest a drop waits, so that a table that drops in the wrong place fails its case.
const GATE_LIMIT: Duration = Duration::from_secs(5);

impl Gate {
    fn open(&self) {
        *self.open.lock() = true;
        self.opened.notify_all();
    }

    fn dropped(&self) -> usize {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// A value whose drop waits for its gate, and is counted.
struct Gated(Arc<Gate>);

impl Drop for Gated {
    fn drop(&mut self) {
        let mut open = self.0.open.lock();
        if !*open && self.0.opened.wait_for(&mut open, GATE_LIMIT).timed_out() {
            *open = true;
        }
        self.0.dropped.fetch_add(1, Ordering::Relaxed);
    }
}
