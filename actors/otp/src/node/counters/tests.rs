//! The published names and values, seen by a small recorder.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use parking_lot::Mutex;

use crate::{Context, ExitReason, GenServer, Init, Next, Node, Options, start};

#[derive(Default)]
struct Recorded {
    counters: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
    gauges: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
}

impl Recorded {
    fn counter(&self, name: &str) -> u64 {
        self.counters.lock()[name].load(Ordering::SeqCst)
    }

    fn gauge(&self, name: &str, kind: &str) -> f64 {
        f64::from_bits(self.gauges.lock()[&format!("{name}/{kind}")].load(Ordering::SeqCst))
    }
}

impl Recorder for Recorded {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let name = key.name().to_owned();
        Counter::from_arc(self.counters.lock().entry(name).or_default().clone())
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        let kind = key.labels().find(|label| label.key() == "kind").unwrap();
        let name = format!("{}/{}", key.name(), kind.value());
        Gauge::from_arc(self.gauges.lock().entry(name).or_default().clone())
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

/// Waits for the test in its only message.
struct Gated;

impl GenServer for Gated {
    type Args = ();
    type Message = tokio::sync::oneshot::Receiver<()>;

    async fn init((): (), _ctx: &mut Context<Gated>) -> Init<Gated> {
        Init::Ok(Gated)
    }

    async fn handle(&mut self, gate: Self::Message, _ctx: &mut Context<Gated>) -> Next<Gated> {
        let _ = gate.await;
        Next::Go
    }
}

fn never() -> (
    tokio::sync::oneshot::Sender<()>,
    tokio::sync::oneshot::Receiver<()>,
) {
    tokio::sync::oneshot::channel()
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_and_mailboxes_are_published_by_kind() {
    let node = Node::new("metrics");
    let options = || Options::new().label("guild 7").mailbox_max(2);
    let server = start::<Gated>(&node, (), options()).await.unwrap();
    let other = start::<Gated>(&node, (), options()).await.unwrap();
    let gates: Vec<_> = (0..4).map(|_| never()).collect();
    let mut open = Vec::new();
    for (number, (sender, gate)) in gates.into_iter().enumerate() {
        open.push(sender);
        server.cast(gate);
        if number == 0 {
            crate::eventually!(server.mailbox_len() == 0);
        }
    }
    node.exit(other.pid(), ExitReason::Error("crash".into()));
    other.wait_for_exit().await;
    other.cast(never().1);

    let recorded = Recorded::default();
    metrics::with_local_recorder(&recorded, || node.record_metrics());
    assert_eq!(recorded.gauge("otp_processes", "guild"), 1.0);
    assert_eq!(recorded.gauge("otp_mailbox_messages", "guild"), 2.0);
    assert_eq!(recorded.gauge("otp_mailbox_longest", "guild"), 2.0);
    assert_eq!(recorded.counter("otp_processes_started_total"), 2);
    assert_eq!(recorded.counter("otp_processes_ended_total"), 1);
    assert_eq!(recorded.counter("otp_messages_refused_total"), 1);
    assert_eq!(recorded.counter("otp_messages_dropped_total"), 1);
    crate::eventually!({
        metrics::with_local_recorder(&recorded, || node.record_metrics());
        recorded.counter("otp_crashes_total") == 1
    });

    node.exit(server.pid(), ExitReason::Kill);
    server.wait_for_exit().await;
    metrics::with_local_recorder(&recorded, || node.record_metrics());
    assert_eq!(recorded.gauge("otp_processes", "guild"), 0.0);
    drop(open);
}
