//! What it costs to be able to resume: a minute of a busy guild, with nobody acknowledging.

use std::collections::HashMap;

use super::*;

/// 50 events a second for a minute.
const EVENTS: usize = 3_000;
/// Enough for each to cost what it costs among thousands; what they share is divided by [`SHARED_BY`].
const SESSIONS: usize = 200;
/// Sessions of the guild that is meant.
const SHARED_BY: usize = 5_000;
/// The goal, bytes per session.
const EACH_MAX: usize = 4 * 1_024;

/// A connection whose other end reads everything at once.
struct Null;

impl crate::session::transport::Transport for Null {
    fn dispatch(
        &self,
        _dispatches: &crate::session::dispatch::Dispatches<'_>,
    ) -> crate::session::transport::Sent {
        crate::session::transport::Sent::Accepted
    }

    fn close(&self, _why: crate::session::transport::Close) {}
}

#[tokio::test]
async fn a_minute_of_a_busy_guild_costs_a_session_at_most_4_kib() {
    let it = Fixture::new().await;
    let outboxes: Vec<Arc<Outbox>> = (0..SESSIONS)
        .map(|_| Arc::new(Outbox::new(ReplayLimits::default(), Gauge::noop())))
        .collect();
    let ready = event("READY", Audience::Guild, "");
    let subscribe = outboxes.iter().enumerate().map(|(number, outbox)| {
        outbox.attach(Arc::new(Null), 0, &ready).unwrap();
        Order::Subscribe {
            subscriber: Subscriber {
                passive: false,
                id: number.to_string().into(),
                pid: it.probe.pid(),
                user: user(number as u64 + 1),
                intents: Intents::ALL,
                outbox: Arc::clone(outbox),
            },
            view: view(&[7]),
            coming: None,
            snapshot: Vec::new(),
        }
    });
    it.handle.deliver(subscribe.collect());
    // As large as a message of 200 characters.
    let text = "x".repeat(1_050);
    for number in 1..=EVENTS as u64 {
        // Each is a batch of its own, as in a guild that keeps up.
        it.handle.deliver(vec![in_channel(7, &text)]);
        while outboxes.last().unwrap().last_sequence() < number + 1 {
            tokio::task::yield_now().await;
        }
    }
    let mut shared = HashMap::new();
    let mut own = 0;
    for outbox in &outboxes {
        assert_eq!(outbox.last_sequence(), EVENTS as u64 + 1);
        let (ring, pages) = outbox.memory();
        own = own.max(ring);
        shared.extend(pages);
    }
    let shared: usize = shared.values().sum();
    assert!(
        shared >= EVENTS * text.len(),
        "the events are there: {shared} bytes"
    );
    let each = own + shared / SHARED_BY;
    println!("{each} bytes per session: {own} of its own, {shared} shared by {SHARED_BY}");
    assert!(each <= EACH_MAX, "{own} + {shared} / {SHARED_BY}");
}
