//! What a delivery costs before the socket: numbering, replay ring and head, with a transport that
//! throws everything away.
//!
//! ```text
//! cargo run --release -p guildhall-chat --example outbox_cost [sessions] [rounds]
//! ```
//! Prints one line per case: nanoseconds of CPU time of the process per event and session.

use std::sync::Arc;
use std::time::Instant;

use chat::relay::{Order, Relay, RelayHandle, Subscriber, View};
use chat::session::dispatch::Dispatches;
use chat::session::outbox::Outbox;
use chat::session::replay::ReplayLimits;
use chat::session::transport::{Close, Sent, Transport};
use metrics::Gauge;
use model::Id;
use model::event::{Audience, Encoded};
use model::intents::Intents;
use otp::testing::Probe;

/// A connection whose other end reads everything at once.
struct Null;

impl Transport for Null {
    fn dispatch(&self, dispatches: &Dispatches<'_>) -> Sent {
        std::hint::black_box(dispatches);
        Sent::Accepted
    }

    fn close(&self, _why: Close) {}
}

/// CPU time of this process in nanoseconds, or wall-clock time where that cannot be read.
fn cpu_ns(start: Instant) -> u128 {
    let threads = std::fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten();
    let total: u128 = threads
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("schedstat")).ok())
        .filter_map(|line| line.split_whitespace().next()?.parse::<u128>().ok())
        .sum();
    if total > 0 {
        total
    } else {
        start.elapsed().as_nanos()
    }
}

fn measure(name: &str, deliveries: usize, work: impl FnOnce()) {
    let start = Instant::now();
    let before = cpu_ns(start);
    work();
    let spent = cpu_ns(start).saturating_sub(before);
    let wall = start.elapsed();
    println!(
        "{name}: {:.1} ns CPU per delivery, {:.2} M deliveries/s",
        spent as f64 / deliveries as f64,
        deliveries as f64 / wall.as_secs_f64() / 1e6
    );
}

fn event(number: usize) -> Arc<Encoded> {
    let text = format!("{number:0>300}");
    let channel = Audience::Channel(Id::new(7));
    Arc::new(Encoded::new(
        "MESSAGE_CREATE",
        Some(Id::new(1)),
        channel,
        Intents::GUILD_MESSAGES,
        &text,
    ))
}

fn outboxes(sessions: usize) -> Vec<Arc<Outbox>> {
    let ready = event(0);
    let make = |_| {
        let limits = ReplayLimits {
            events: 64,
            ..ReplayLimits::default()
        };
        let outbox = Arc::new(Outbox::new(limits, Gauge::noop()));
        // A new outbox refuses nobody.
        let _ = outbox.attach(Arc::new(Null), 0, &ready);
        outbox
    };
    (0..sessions).map(make).collect()
}

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .filter_map(|argument| argument.parse().ok());
    let sessions: usize = arguments.next().unwrap_or(5_000);
    let rounds: usize = arguments.next().unwrap_or(2_000);
    const BATCH: usize = 16;
    let events: Vec<Arc<Encoded>> = (0..BATCH).map(event).collect();

    let all = outboxes(sessions);
    measure("outbox, one event at a time", sessions * rounds, || {
        for round in 0..rounds {
            for outbox in &all {
                outbox.append(&events[round % BATCH]);
            }
        }
    });
    measure("outbox, 16 events at a time", sessions * rounds, || {
        for _ in 0..rounds / BATCH {
            for outbox in &all {
                outbox.append_many(events.iter().map(|event| (event, &event.body)));
            }
        }
    });

    // One thread, so that a publisher which waits costs next to nothing.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else {
        eprintln!("no runtime");
        return;
    };
    runtime.block_on(async {
        let node = otp::Node::new("outbox_cost");
        let handle = RelayHandle::new(Id::new(1));
        let relay = otp::start::<Relay>(&node, handle.args(), handle.options()).await;
        let (Ok(_relay), Ok(probe)) = (relay, Probe::start(&node).await) else {
            eprintln!("the relay did not start");
            return;
        };
        let view = Arc::new(View::new((1..=50).map(Id::new)));
        let subscribe = |(number, outbox): (usize, &Arc<Outbox>)| Order::Subscribe {
            subscriber: Subscriber {
                id: number.to_string().into(),
                pid: probe.pid(),
                user: Id::new(number as u64 + 1),
                intents: Intents::ALL,
                passive: false,
                outbox: Arc::clone(outbox),
            },
            view: Arc::clone(&view),
            snapshot: Vec::new(),
            coming: None,
        };
        handle.deliver(all.iter().enumerate().map(subscribe).collect());
        for (name, at_once) in [
            ("relay, one event per batch", 1),
            ("relay, 16 events per batch", BATCH),
        ] {
            let start = Instant::now();
            let before = cpu_ns(start);
            for _ in 0..rounds / at_once {
                let goal = all.last().map_or(0, |outbox| outbox.last_sequence()) + at_once as u64;
                handle.deliver(
                    events[..at_once]
                        .iter()
                        .cloned()
                        .map(Order::Publish)
                        .collect(),
                );
                while all
                    .last()
                    .is_some_and(|outbox| outbox.last_sequence() < goal)
                {
                    tokio::task::yield_now().await;
                }
            }
            let spent = cpu_ns(start).saturating_sub(before);
            let deliveries = (rounds / at_once * at_once * sessions) as f64;
            println!(
                "{name}: {:.1} ns CPU per delivery, {:.2} M deliveries/s",
                spent as f64 / deliveries,
                deliveries / start.elapsed().as_secs_f64() / 1e6
            );
        }
    });
}
