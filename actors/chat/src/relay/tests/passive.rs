//! Passive sessions: what comes to them, what does not, and what they are told instead.

use std::time::Duration;

use model::event::{Latest, ReactionChange, Reactions};
use serde_json::{Value, json};

use super::*;
use crate::relay::relays::Homes;

/// Longer than any test: the digest is made when it is asked for.
const NEVER: Duration = Duration::from_secs(3_600);

/// Short enough to wait for.
const SOON: Duration = Duration::from_millis(20);

async fn told_every(period: Duration) -> Fixture {
    let options = RelayOptions {
        passive_update_every: period,
        ..RelayOptions::default()
    };
    Fixture::with(RelayHandle::numbered(
        GUILD,
        0,
        Arc::<Homes>::default(),
        options,
    ))
    .await
}

/// A message in a channel that mentions these users.
fn message(place: u64, id: u64, mentions: &[u64]) -> Order {
    let event = event(
        "MESSAGE_CREATE",
        Audience::Channel(channel(place)),
        &id.to_string(),
    );
    let event = Encoded::clone(&event)
        .passive_for(mentions.iter().map(|id| user(*id)))
        .latest(Latest {
            id: channel(place),
            last_message_id: Some(Id::new(id)),
            last_pin_timestamp: None,
        });
    Order::Publish(Arc::new(event))
}

fn activate(id: &str) -> Order {
    Order::Activate(id.into())
}

/// What it heard after READY: texts, and the last messages of channels from digests.
fn heard(listener: &Listener) -> Vec<Value> {
    let received = listener.recorder.received();
    let numbers = listener.recorder.numbers();
    assert!(numbers.iter().copied().eq(1..=numbers.len() as u64));
    let each = received[1..].iter().map(|event| match &event.name[..] {
        "PASSIVE_UPDATE_V2" => {
            assert_eq!(event.data["guild_id"], GUILD.to_string());
            let channels = event.data["updated_channels"].as_array().unwrap();
            let pair = |it: &Value| json!([it["id"], it["last_message_id"]]);
            channels.iter().map(pair).collect()
        }
        _ => event.data.clone(),
    });
    each.collect()
}

#[tokio::test]
async fn a_passive_session_gets_what_names_its_user_and_what_is_for_everyone() {
    let it = told_every(NEVER).await;
    let (ann, bob, cleo) = (
        it.listener("ann", 1),
        it.listener("bob", 2),
        it.listener("cleo", 3),
    );
    it.handle.deliver(vec![
        ann.subscribe_as(&[7], true),
        bob.subscribe_as(&[7], true),
        cleo.subscribe(&[7]),
        message(7, 101, &[]),
        message(7, 102, &[1]),
        message(8, 103, &[1]),
        publish(Audience::Users(Arc::new([user(2)])), "for bob"),
        publish(Audience::Guild, "end"),
    ]);
    eventually!(
        [&ann, &bob, &cleo]
            .iter()
            .all(|it| heard(it).last() == Some(&json!("end")))
    );
    assert_eq!(heard(&ann), [json!("102"), json!("end")]);
    assert_eq!(heard(&bob), [json!("for bob"), json!("end")]);
    assert_eq!(heard(&cleo), [json!("101"), json!("102"), json!("end")]);
}

#[tokio::test]
async fn most_events_do_not_touch_passive_sessions_at_all() {
    let it = told_every(NEVER).await;
    let mut roster = Roster::default();
    for id in 1..=100 {
        let listener = it.listener(&format!("{id}"), id);
        let Order::Subscribe {
            subscriber, view, ..
        } = listener.subscribe_as(&[7], id > 1)
        else {
            unreachable!("it says so")
        };
        assert!(!roster.add(subscriber, &view, 0));
    }
    let mut walked = |order| {
        let Order::Publish(event) = order else {
            unreachable!("an event")
        };
        let batch = roster.prepare(vec![Item::Event(event)]);
        roster.delivered();
        (roster.slices(&batch).1, batch.passive_apart().count())
    };
    assert_eq!(walked(message(7, 101, &[])), (1, 0));
    assert_eq!(walked(message(7, 102, &[5, 6])), (1, 2), "the two, by name");
    let many: Vec<u64> = (1..=50).collect();
    assert_eq!(walked(message(7, 103, &many)), (100, 0));
    let mut elsewhere: Vec<u64> = (1_001..=1_050).collect();
    elsewhere.push(5);
    assert_eq!(walked(message(7, 104, &elsewhere)), (1, 1), "one is here");
    elsewhere.extend(2_001..=3_000);
    assert_eq!(walked(message(7, 105, &elsewhere)), (1, 1), "of many too");
    assert_eq!(walked(publish(Audience::Guild, "for all")), (100, 0));
}

#[tokio::test]
async fn channels_that_moved_are_told_once_and_to_those_who_see_them() {
    let it = told_every(SOON).await;
    let (ann, bob, cleo) = (
        it.listener("ann", 1),
        it.listener("bob", 2),
        it.listener("cleo", 3),
    );
    it.handle.deliver(vec![
        ann.subscribe_as(&[7, 8], true),
        bob.subscribe_as(&[8], true),
        cleo.subscribe(&[7, 8]),
        message(7, 101, &[]),
        message(8, 102, &[]),
        message(7, 103, &[]),
    ]);
    eventually!(heard(&ann).len() == 1 && heard(&bob).len() == 1);
    assert_eq!(heard(&ann), [json!([["7", "103"], ["8", "102"]])]);
    assert_eq!(heard(&bob), [json!([["8", "102"]])]);
    // Nothing moved that Bob sees: he is told nothing.
    it.handle.deliver(vec![message(7, 104, &[])]);
    eventually!(heard(&ann).len() == 2);
    assert_eq!(heard(&ann)[1], json!([["7", "104"]]));
    it.handle.deliver(vec![publish(Audience::Guild, "end")]);
    eventually!(heard(&bob).len() == 2);
    assert_eq!(heard(&bob)[1], "end");
    assert_eq!(cleo.heard(), ["101", "102", "103", "104", "end"]);
}

#[tokio::test]
async fn who_becomes_active_has_no_hole() {
    let it = told_every(NEVER).await;
    let (ann, bob) = (it.listener("ann", 1), it.listener("bob", 2));
    it.handle.deliver(vec![
        ann.subscribe_as(&[7], true),
        bob.subscribe_as(&[7], true),
        message(7, 101, &[]),
        message(8, 102, &[]),
        activate("ann"),
        message(7, 103, &[]),
        // Again, and one that was never there: nothing happens.
        activate("ann"),
        activate("nobody"),
        activate("bob"),
        publish(Audience::Guild, "end"),
    ]);
    eventually!(heard(&ann).len() == 3 && heard(&bob).len() == 2);
    assert_eq!(
        heard(&ann),
        [json!([["7", "101"]]), json!("103"), json!("end")]
    );
    assert_eq!(heard(&bob), [json!([["7", "103"]]), json!("end")]);
}

#[tokio::test]
async fn a_digest_shows_nothing_of_a_channel_that_was_lost() {
    let it = told_every(SOON).await;
    let (ann, bob) = (it.listener("ann", 1), it.listener("bob", 2));
    it.handle.deliver(vec![
        ann.subscribe_as(&[7, 8], true),
        bob.subscribe_as(&[7, 8], true),
        message(7, 101, &[]),
        message(8, 102, &[]),
        Order::Views([(user(1), view(&[8]))].into()),
    ]);
    eventually!(!heard(&ann).is_empty() && !heard(&bob).is_empty());
    assert_eq!(heard(&ann), [json!([["8", "102"]])]);
    assert_eq!(heard(&bob), [json!([["7", "101"], ["8", "102"]])]);
}

#[tokio::test]
async fn passive_sessions_and_what_they_are_owed_survive_the_relay() {
    let mut it = told_every(Duration::from_millis(200)).await;
    let ann = it.listener("ann", 1);
    it.handle
        .deliver(vec![ann.subscribe_as(&[7], true), message(7, 101, &[1])]);
    eventually!(heard(&ann) == [json!("101")]);
    it.node.exit(it.relay.pid(), ExitReason::Kill);
    it.relay.wait_for_exit().await;
    it.restart().await;
    eventually!(heard(&ann).len() == 2);
    assert_eq!(heard(&ann)[1], json!([["7", "101"]]));
}

#[test]
fn so_many_channels_that_moved_are_not_waited_with() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let it = told_every(NEVER).await;
        let ann = it.listener("ann", 1);
        let all: Vec<u64> = (1..=DIGEST_CHANNELS_MAX as u64 + 1).collect();
        let mut orders = vec![ann.subscribe_as(&all, true)];
        orders.extend(all.iter().map(|place| message(*place, 1_000 + place, &[])));
        it.handle.deliver(orders);
        eventually!(heard(&ann).len() == 1);
        assert_eq!(
            heard(&ann)[0].as_array().unwrap().len(),
            DIGEST_CHANNELS_MAX
        );
    });
}

#[test]
fn reactions_are_folded_in_a_long_list_only() {
    let reaction = |added| {
        let emoji = model::emoji::ReactionEmoji::parse("👍").unwrap();
        let change = ReactionChange::new(Id::new(5), user(1), &emoji, added, true);
        let event = Encoded::clone(&event("REACTION", Audience::Guild, ""));
        let event = event.reactions(Reactions::Changed(Box::new(change)));
        Order::Publish(Arc::new(event))
    };
    let handle = RelayHandle::new(GUILD);
    for number in 0..REACTIONS_QUEUE_MAX - 1 {
        handle.deliver(vec![reaction(number % 2 == 0)]);
    }
    assert_eq!(handle.waiting(), REACTIONS_QUEUE_MAX - 1);
    handle.deliver(vec![in_channel(7, "message")]);
    assert_eq!(handle.waiting(), 2, "one that comes, and the message");
}
