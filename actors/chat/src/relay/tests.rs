//! The relay against recorders, and against a model that carries out one order at a time.

#![allow(clippy::unwrap_used)]

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use metrics::Gauge;
use model::event::{Audience, Class, Encoded};
use model::intents::Intents;
use model::{ChannelId, GuildId, Id, UserId};
use otp::testing::Probe;
use otp::{ExitReason, Node, ServerRef, eventually};

use super::*;
use crate::session::recorder::Recorder;
use crate::session::replay::ReplayLimits;

mod batching;
mod passive;
mod replay_memory;

pub(super) const GUILD: GuildId = Id::new(1);

struct Fixture {
    node: Node,
    handle: RelayHandle,
    relay: ServerRef<Relay>,
    /// Stands for the session processes.
    probe: Probe,
}

pub(super) struct Listener {
    pub(super) subscriber: Subscriber,
    recorder: Arc<Recorder>,
}

impl Listener {
    pub(super) fn new(id: &str, user: UserId, intents: Intents, pid: Pid) -> Self {
        let outbox = Arc::new(Outbox::new(ReplayLimits::default(), Gauge::noop()));
        let recorder = Recorder::new();
        outbox
            .attach(recorder.clone(), 0, &event("READY", Audience::Guild, ""))
            .unwrap();
        Self {
            subscriber: Subscriber {
                id: id.into(),
                pid,
                user,
                intents,
                passive: false,
                outbox,
            },
            recorder,
        }
    }

    pub(super) fn subscribe(&self, channels: &[u64]) -> Order {
        self.subscribe_as(channels, false)
    }

    fn subscribe_as(&self, channels: &[u64], passive: bool) -> Order {
        Order::Subscribe {
            subscriber: Subscriber {
                passive,
                ..self.subscriber.clone()
            },
            view: view(channels),
            snapshot: Vec::new(),
            coming: None,
        }
    }

    /// The data of what came after READY.
    pub(super) fn heard(&self) -> Vec<String> {
        let received = self.recorder.received();
        received[1..]
            .iter()
            .map(|event| event.data.as_str().unwrap().to_owned())
            .collect()
    }
}

pub(super) fn user(id: u64) -> UserId {
    Id::new(id)
}

fn channel(id: u64) -> ChannelId {
    Id::new(id)
}

fn view(channels: &[u64]) -> Arc<View> {
    Arc::new(View::new(channels.iter().map(|id| channel(*id))))
}

fn event(name: &'static str, audience: Audience, data: &str) -> Arc<Encoded> {
    Arc::new(Encoded::new(
        name,
        Some(GUILD),
        audience,
        Intents::NONE,
        &data,
    ))
}

pub(super) fn publish(audience: Audience, data: &str) -> Order {
    Order::Publish(event("TEST", audience, data))
}

fn in_channel(id: u64, data: &str) -> Order {
    publish(Audience::Channel(channel(id)), data)
}

impl Fixture {
    async fn new() -> Self {
        Self::with(RelayHandle::new(GUILD)).await
    }

    async fn with(handle: RelayHandle) -> Self {
        let node = Node::new("test");
        let relay = otp::start::<Relay>(&node, handle.args(), handle.options())
            .await
            .unwrap();
        let probe = Probe::start(&node).await.unwrap();
        Self {
            node,
            handle,
            relay,
            probe,
        }
    }

    /// As the supervisor does after a crash.
    async fn restart(&mut self) {
        self.relay = otp::start::<Relay>(&self.node, self.handle.args(), self.handle.options())
            .await
            .unwrap();
    }

    fn listener(&self, id: &str, user_id: u64) -> Listener {
        Listener::new(id, user(user_id), Intents::ALL, self.probe.pid())
    }
}

#[tokio::test]
async fn nothing_of_a_lost_channel_comes_after_the_fence() {
    let it = Fixture::new().await;
    let (ann, bob) = (it.listener("ann", 1), it.listener("bob", 2));
    it.handle.deliver(vec![
        ann.subscribe(&[7]),
        bob.subscribe(&[7]),
        in_channel(7, "before"),
        Order::Views([(user(1), view(&[8]))].into()),
        in_channel(7, "hidden"),
        in_channel(8, "gained"),
        publish(Audience::Guild, "end"),
    ]);
    eventually!(bob.heard().contains(&"end".to_owned()));
    eventually!(ann.heard().contains(&"end".to_owned()));
    assert_eq!(ann.heard(), ["before", "gained", "end"]);
    assert_eq!(bob.heard(), ["before", "hidden", "end"]);
}

#[tokio::test]
async fn a_batch_is_one_write_per_session() {
    let it = Fixture::new().await;
    let ann = it.listener("ann", 1);
    let mut orders = vec![ann.subscribe(&[7])];
    orders.extend((0..100).map(|number| in_channel(7, &number.to_string())));
    it.handle.deliver(orders);
    eventually!(ann.heard().len() == 100);
    assert_eq!(ann.recorder.dispatches(), 2, "READY and the batch");
}

#[tokio::test]
async fn the_snapshot_comes_first_and_earlier_events_do_not_come() {
    let it = Fixture::new().await;
    let (ann, bob) = (it.listener("ann", 1), it.listener("bob", 2));
    it.handle.deliver(vec![
        bob.subscribe(&[7]),
        in_channel(7, "before"),
        Order::Subscribe {
            subscriber: ann.subscriber.clone(),
            view: view(&[7]),
            snapshot: vec![event(
                "GUILD_CREATE",
                Audience::Channel(channel(99)),
                "snapshot",
            )],
            coming: None,
        },
        in_channel(7, "after"),
    ]);
    eventually!(bob.heard().len() == 2);
    eventually!(ann.heard().len() == 2);
    assert_eq!(ann.heard(), ["snapshot", "after"]);
    assert_eq!(bob.heard(), ["before", "after"]);
}

#[tokio::test]
async fn intents_and_content_are_respected() {
    let it = Fixture::new().await;
    let author = it.listener("author", 1);
    let blind = Listener::new("blind", user(2), Intents::GUILD_MESSAGES, it.probe.pid());
    let deaf = Listener::new("deaf", user(3), Intents::GUILDS, it.probe.pid());
    let writes = Listener::new("writes", user(4), Intents::GUILD_MESSAGES, it.probe.pid());
    let message = Encoded::new(
        "MESSAGE_CREATE",
        Some(GUILD),
        Audience::Guild,
        Intents::GUILD_MESSAGES,
        &"text",
    );
    let message = Arc::new(message.redacted(&"", [user(4)]));
    let snapshot = Encoded::new(
        "GUILD_CREATE",
        Some(GUILD),
        Audience::Guild,
        Intents::GUILDS,
        &"guild",
    );
    let subscribe = |listener: &Listener| Order::Subscribe {
        subscriber: listener.subscriber.clone(),
        view: view(&[]),
        snapshot: vec![Arc::new(snapshot.clone())],
        coming: None,
    };
    it.handle.deliver(vec![
        subscribe(&author),
        subscribe(&blind),
        subscribe(&deaf),
        subscribe(&writes),
        Order::Publish(message),
        publish(Audience::Users(Arc::new([user(3)])), "only you"),
        publish(Audience::Guild, "end"),
    ]);
    eventually!(
        [&author, &blind, &deaf, &writes]
            .iter()
            .all(|it| it.heard().last().is_some_and(|last| last == "end"))
    );
    assert_eq!(author.heard(), ["guild", "text", "end"]);
    assert_eq!(blind.heard(), ["", "end"]);
    assert_eq!(deaf.heard(), ["guild", "only you", "end"]);
    assert_eq!(writes.heard(), ["text", "end"]);
}

#[tokio::test]
async fn who_leaves_hears_what_came_before_and_nothing_else() {
    let it = Fixture::new().await;
    let (kicked, left, stays) = (
        it.listener("kicked", 1),
        it.listener("left", 2),
        it.listener("stays", 3),
    );
    it.handle.deliver(vec![
        kicked.subscribe(&[7]),
        left.subscribe(&[7]),
        stays.subscribe(&[7]),
        in_channel(7, "one"),
        Order::Remove(user(1)),
        in_channel(7, "two"),
        Order::Unsubscribe("left".into()),
        in_channel(7, "three"),
        Order::Clear,
        in_channel(7, "four"),
    ]);
    eventually!(stays.heard().len() == 3);
    eventually!(kicked.heard().len() == 1);
    assert_eq!(kicked.heard(), ["one"]);
    assert_eq!(left.heard(), ["one", "two"]);
    eventually!(Arc::strong_count(&stays.subscriber.outbox) == 1);
}

#[tokio::test]
async fn dead_and_closed_sessions_are_forgotten() {
    let it = Fixture::new().await;
    let other = Probe::start(&it.node).await.unwrap();
    let dying = Listener::new("dying", user(1), Intents::ALL, other.pid());
    let closing = it.listener("closing", 2);
    it.handle
        .deliver(vec![dying.subscribe(&[]), closing.subscribe(&[])]);
    eventually!(Arc::strong_count(&dying.subscriber.outbox) == 2);
    it.node.exit(other.pid(), ExitReason::Kill);
    eventually!(Arc::strong_count(&dying.subscriber.outbox) == 1);
    closing.subscriber.outbox.close(None);
    it.handle.deliver(vec![publish(Audience::Guild, "x")]);
    eventually!(Arc::strong_count(&closing.subscriber.outbox) == 1);
}

#[tokio::test]
async fn orders_survive_the_relay() {
    let mut it = Fixture::new().await;
    assert_eq!(
        it.handle.anchor(),
        Some(it.relay.pid()),
        "it has no supervisor here"
    );
    it.node.exit(it.relay.pid(), ExitReason::Kill);
    it.relay.wait_for_exit().await;
    let ann = it.listener("ann", 1);
    it.handle
        .deliver(vec![ann.subscribe(&[]), publish(Audience::Guild, "waited")]);
    it.restart().await;
    eventually!(ann.heard() == ["waited"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_and_the_batch_at_hand_survive_the_relay() {
    const SESSIONS: u64 = 2_100;
    const KILLS: usize = 10;
    let mut it = Fixture::new().await;
    let listeners: Vec<Listener> = (1..=SESSIONS)
        .map(|id| it.listener(&format!("session {id}"), id))
        .collect();
    let channels = |id: u64| {
        if id.is_multiple_of(3) {
            vec![7]
        } else {
            vec![7, 8]
        }
    };
    it.handle.deliver(
        (1..)
            .zip(&listeners)
            .map(|(id, listener)| listener.subscribe(&channels(id)))
            .collect(),
    );
    let mut published: u64 = 0;
    for _ in 0..KILLS {
        for _ in 0..20 {
            published += 1;
            let channel = 7 + published % 2;
            it.handle
                .deliver(vec![in_channel(channel, &published.to_string())]);
            tokio::task::yield_now().await;
        }
        it.node.exit(it.relay.pid(), ExitReason::Kill);
        it.relay.wait_for_exit().await;
        it.restart().await;
    }
    let due = |id: u64| -> Vec<String> {
        let all = (1..=published).filter(|number| channels(id).contains(&(7 + number % 2)));
        all.map(|number| number.to_string()).collect()
    };
    for (id, listener) in (1..).zip(&listeners) {
        let due = due(id);
        eventually!(listener.recorder.received().len() > due.len());
        assert_eq!(listener.heard(), due, "session {id}");
    }
    // The monitors are the successor's own: a session that ends is forgotten.
    let strong = || Arc::strong_count(&listeners[0].subscriber.outbox);
    assert_eq!(strong(), 2);
    it.node.exit(it.probe.pid(), ExitReason::Kill);
    eventually!(strong() == 1);
}

#[tokio::test]
async fn a_relay_that_follows_a_gap_sends_everyone_away() {
    let mut it = Fixture::new().await;
    let ann = it.listener("ann", 1);
    it.handle
        .deliver(vec![ann.subscribe(&[]), publish(Audience::Guild, "before")]);
    eventually!(ann.heard() == ["before"]);
    it.handle.lost_events();
    it.node.exit(it.relay.pid(), ExitReason::Kill);
    it.relay.wait_for_exit().await;
    it.handle.deliver(vec![publish(Audience::Guild, "after")]);
    it.restart().await;
    // Nothing comes after the gap.
    eventually!(Arc::strong_count(&ann.subscriber.outbox) == 1);
    assert_eq!(ann.heard(), ["before"]);
}

#[tokio::test]
async fn order_holds_over_many_sessions_and_batches() {
    const EVENTS: usize = 300;
    let it = Fixture::new().await;
    let listeners: Vec<Listener> = (1..=300)
        .map(|id| it.listener(&format!("session {id}"), id))
        .collect();
    it.handle.deliver(
        listeners
            .iter()
            .map(|listener| listener.subscribe(&[]))
            .collect(),
    );
    for number in 0..EVENTS {
        it.handle
            .deliver(vec![publish(Audience::Guild, &number.to_string())]);
        if number % 10 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let expected: Vec<String> = (0..EVENTS).map(|number| number.to_string()).collect();
    eventually!(
        listeners
            .iter()
            .all(|listener| listener.recorder.len() == EVENTS + 1)
    );
    for listener in &listeners {
        assert_eq!(listener.heard(), expected);
        assert!(
            listener.recorder.dispatches() <= EVENTS,
            "some of it was written together"
        );
    }
}

#[test]
fn only_what_is_cheap_is_shed() {
    let handle = RelayHandle::new(GUILD);
    let of_class = |class| {
        let event =
            Encoded::new("TEST", Some(GUILD), Audience::Guild, Intents::NONE, &"").class(class);
        Order::Publish(Arc::new(event))
    };
    for _ in 0..TYPING_QUEUE_MAX * 2 {
        handle.deliver(vec![of_class(Class::Typing)]);
    }
    assert_eq!(handle.waiting(), TYPING_QUEUE_MAX);
    handle.deliver(
        (0..PRESENCE_QUEUE_MAX * 2)
            .map(|_| of_class(Class::Presence))
            .collect(),
    );
    assert_eq!(handle.waiting(), PRESENCE_QUEUE_MAX);
    handle.deliver((0..100).map(|_| of_class(Class::Durable)).collect());
    assert_eq!(handle.waiting(), PRESENCE_QUEUE_MAX + 100);
    assert!(!handle.is_full());
    handle.deliver((0..ORDERS_BUSY).map(|_| of_class(Class::Durable)).collect());
    assert!(handle.is_full());
}

#[tokio::test]
async fn a_relay_that_lost_orders_ends() {
    let it = Fixture::new().await;
    it.handle.deliver(
        (0..=ORDERS_MAX)
            .map(|_| publish(Audience::Guild, ""))
            .collect(),
    );
    assert!(matches!(
        it.relay.wait_for_exit().await,
        ExitReason::Error(_)
    ));
    assert_eq!(it.handle.waiting(), 0);
    let _successor = otp::start::<Relay>(&it.node, it.handle.args(), it.handle.options())
        .await
        .unwrap();
    let ann = it.listener("ann", 1);
    it.handle
        .deliver(vec![ann.subscribe(&[]), publish(Audience::Guild, "again")]);
    eventually!(ann.heard() == ["again"]);
}
