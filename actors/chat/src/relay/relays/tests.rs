//! Several relays of one guild: who serves whom, and what the end of one means for the others.

#![allow(clippy::unwrap_used)]

use model::event::Audience;
use model::intents::Intents;
use otp::testing::Probe;
use otp::{ChildState, ExitReason, Node, Options, SupervisorRef, eventually};

use super::*;
use crate::relay::tests::{GUILD, Listener, publish, user};

/// Sessions of one relay here.
const MOST: usize = 10;

fn options() -> RelayOptions {
    RelayOptions {
        sessions_max: MOST,
        ..RelayOptions::default()
    }
}

async fn started(node: &Node) -> (Relays, SupervisorRef) {
    let relays = Relays::new(GUILD, options());
    let supervisor = relays.describe().start(node, Options::new()).await.unwrap();
    eventually!(relays.anchor() == Some(supervisor.pid()));
    (relays, supervisor)
}

fn listeners(probe: &Probe, count: usize) -> Vec<Listener> {
    let listener = |number: usize| {
        let id = format!("session {number}");
        Listener::new(&id, user(number as u64 + 1), Intents::ALL, probe.pid())
    };
    (0..count).map(listener).collect()
}

fn subscribe(relays: &Relays, listeners: &[Listener]) {
    relays.deliver(listeners.iter().map(|one| one.subscribe(&[])).collect());
}

#[tokio::test]
async fn a_relay_for_every_so_many_sessions() {
    let node = Node::new("test");
    let (relays, supervisor) = started(&node).await;
    let probe = Probe::start(&node).await.unwrap();
    let all = listeners(&probe, 4 * MOST + 5);
    assert_eq!(relays.len(), 1);
    subscribe(&relays, &all);
    assert_eq!(relays.len(), 5);
    let mut due = Vec::new();
    for number in 0..50 {
        due.push(number.to_string());
        relays.deliver(vec![publish(Audience::Guild, &number.to_string())]);
    }
    for one in &all {
        eventually!(one.heard() == due);
    }
    let children = supervisor.count_children().await.unwrap();
    assert_eq!(children.active, 5);

    // Those who come again stay where they are; room is given away again.
    subscribe(&relays, &all[..3]);
    let gone = |one: &Listener| Order::Unsubscribe(one.subscriber.id.clone());
    relays.deliver(all[..MOST].iter().map(gone).collect());
    eventually!(
        all[..MOST]
            .iter()
            .all(|one| Arc::strong_count(&one.subscriber.outbox) == 1)
    );
    subscribe(&relays, &all[..MOST]);
    assert_eq!(relays.len(), 5);
    relays.deliver(vec![publish(Audience::Guild, "last")]);
    for one in &all {
        eventually!(one.heard().last().is_some_and(|text| text == "last"));
        assert_eq!(one.heard().iter().filter(|text| *text == "last").count(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relays_that_die_under_load_lose_and_repeat_nothing() {
    let node = Node::new("test");
    let (relays, supervisor) = started(&node).await;
    let probe = Probe::start(&node).await.unwrap();
    let all = listeners(&probe, 3 * MOST);
    subscribe(&relays, &all);
    let mut due = Vec::new();
    for round in 0..20 {
        for number in 0..10 {
            let text = format!("{round}.{number}");
            due.push(text.clone());
            relays.deliver(vec![publish(Audience::Guild, &text)]);
            tokio::task::yield_now().await;
        }
        let children = supervisor.which_children().await.unwrap();
        if let ChildState::Running(pid) = children[round % children.len()].state {
            node.exit(pid, ExitReason::Kill);
        }
    }
    for one in &all {
        eventually!(one.heard().len() == due.len());
        assert_eq!(one.heard(), due);
    }
}

#[tokio::test]
async fn a_relay_whose_supervisor_was_away_starts_with_it() {
    let node = Node::new("test");
    let relays = Relays::new(GUILD, options());
    let probe = Probe::start(&node).await.unwrap();
    let all = listeners(&probe, 2 * MOST);
    // Nobody runs yet: the orders wait.
    subscribe(&relays, &all);
    relays.deliver(vec![publish(Audience::Guild, "waited")]);
    assert_eq!(relays.len(), 2);
    let _supervisor = relays
        .describe()
        .start(&node, Options::new())
        .await
        .unwrap();
    for one in &all {
        eventually!(one.heard() == ["waited"]);
    }
}
