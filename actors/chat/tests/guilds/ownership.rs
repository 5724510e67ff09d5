//! Two nodes on one store: a guild is one's at a time. The other's next write is refused, its sessions
//! are told so, and nothing acknowledged is lost or doubled.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chat::error::Missing;
use chat::guild::command::Actor;
use chat::session::transport::Close;
use chat::{ChatConfig, ChatError, guild};
use model::{Id, MessageId};
use otp::eventually;
use storage::{Epoch, Store as _, StoreError};

use crate::world::{World, heard};

fn resting(rest: Duration) -> ChatConfig {
    ChatConfig {
        fenced_rest: rest,
        ..ChatConfig::default()
    }
}

/// One that no test lives to see the end of.
const LONG: Duration = Duration::from_secs(3_600);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guild_that_is_taken_over_is_served_by_one_node() {
    let one = World::with(resting(LONG)).await;
    let (_attached, recorder) = one.enter(&one.member).await;
    let first = one.post("first").await.unwrap();
    assert_eq!(one.store.epoch(one.guild).await, Ok(Epoch(1)));
    let two = one.second(resting(LONG)).await;
    let second = two.post("second").await.unwrap();
    assert_eq!(one.store.epoch(one.guild).await, Ok(Epoch(2)));
    // Refused for certain, by the store and from then on by the node itself.
    for _ in 0..5 {
        assert_eq!(one.post("late").await.unwrap_err(), ChatError::Unavailable);
    }
    eventually!(recorder.closes() == [Close::InvalidSession { resumable: false }]);
    eventually!(one.process("guild").is_none() && one.process("lane").is_none());
    // Not only what writes: what it remembers of the guild may be old.
    let roles = guild::roles(&one.chat, Actor::System, one.guild).await;
    assert_eq!(roles.unwrap_err(), ChatError::Unavailable);
    assert_eq!(
        one.store.epoch(one.guild).await,
        Ok(Epoch(2)),
        "it is not claimed back"
    );
    let third = two.post("third").await.unwrap();
    let said = |message: &model::message::Message| (message.id, message.content.clone());
    assert_eq!(
        one.stored().await,
        [said(&first), said(&second), said(&third)]
    );
    assert_eq!(heard(&recorder), [said(&first)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_nobody_knows_the_end_of_does_not_claim_the_guild_back() {
    let one = World::with(resting(LONG)).await;
    one.post("first").await.unwrap();
    let two = one.second(resting(LONG)).await;
    two.post("second").await.unwrap();
    // As a cluster answers when the guild was claimed while the batch was written.
    one.store
        .fail_with(Some(StoreError::Unknown("test".to_owned())));
    let unknown = one.post("late").await.unwrap_err();
    assert_eq!(unknown, ChatError::Unknown("test".to_owned()));
    one.store.fail_with(None);
    assert_eq!(one.post("later").await.unwrap_err(), ChatError::Unavailable);
    assert_eq!(one.store.epoch(one.guild).await, Ok(Epoch(2)));
    two.post("third").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_its_rest_a_guild_is_claimed_again_when_it_is_asked_for() {
    let one = World::with(resting(Duration::from_millis(50))).await;
    one.post("first").await.unwrap();
    let two = one.second(resting(LONG)).await;
    two.post("second").await.unwrap();
    assert_eq!(one.post("late").await.unwrap_err(), ChatError::Unavailable);
    eventually!(one.post("again").await.is_ok());
    assert_eq!(one.store.epoch(one.guild).await, Ok(Epoch(3)));
    assert_eq!(two.post("late").await.unwrap_err(), ChatError::Unavailable);
    let texts: Vec<String> = one
        .stored()
        .await
        .into_iter()
        .map(|(_, text)| text)
        .collect();
    assert_eq!(texts, ["first", "second", "again"]);
}

/// Both are asked for the same guild all the time and take it from each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_fight_lose_and_double_nothing() {
    const POSTERS: usize = 4;
    const EACH: usize = 25;
    let rest = Duration::from_millis(20);
    let one = Arc::new(World::with(resting(rest)).await);
    let two = Arc::new(one.second(resting(rest)).await);
    let posters: Vec<_> = [&one, &two]
        .into_iter()
        .enumerate()
        .flat_map(|(node, world)| (0..POSTERS).map(move |poster| (node, poster, world.clone())))
        .map(|(node, poster, world)| {
            tokio::spawn(async move {
                let mut acked = BTreeMap::<MessageId, String>::new();
                for number in 0..EACH {
                    let text = format!("{node}:{poster}:{number}");
                    loop {
                        match world.post(&text).await {
                            Ok(message) => {
                                acked.insert(message.id, text);
                                break;
                            }
                            // Certain, so that it may be said again.
                            Err(ChatError::Unavailable) => {
                                tokio::time::sleep(Duration::from_millis(2)).await;
                            }
                            Err(other) => panic!("{text}: {other}"),
                        }
                    }
                }
                acked
            })
        })
        .collect();
    let mut acked = BTreeMap::new();
    for poster in posters {
        acked.extend(poster.await.unwrap());
    }
    assert_eq!(acked.len(), 2 * POSTERS * EACH);
    let acked: Vec<(MessageId, String)> = acked.into_iter().collect();
    assert_eq!(
        one.stored().await,
        acked,
        "what was acknowledged, once, and nothing else"
    );
    let taken = one.store.epoch(one.guild).await.unwrap();
    assert!(taken >= Epoch(3), "they did not fight: {taken}");
}

/// A store that takes no writes for a while (its disk is full, say) does not take the reads with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guild_that_cannot_be_claimed_is_read_all_the_same() {
    let one = World::with(resting(LONG)).await;
    one.post("first").await.unwrap();
    let full = StoreError::NotApplied("test".to_owned());
    one.store.fail_claims_with(Some(full.clone()));
    // It goes on under the claim it has.
    one.kill("guild").await;
    one.post("second").await.unwrap();
    assert_eq!(one.store.epoch(one.guild).await, Ok(Epoch(1)));
    // One that has none does not write.
    let two = one.second(resting(LONG)).await;
    let roles = guild::roles(&two.chat, Actor::System, two.guild).await;
    assert_eq!(roles.unwrap().len(), 1);
    assert_eq!(
        two.post("third").await.unwrap_err(),
        ChatError::NotApplied("test".to_owned())
    );
    one.store.fail_claims_with(None);
    eventually!(two.post("third").await.is_ok());
    assert_eq!(one.post("late").await.unwrap_err(), ChatError::Unavailable);
    assert_eq!(one.stored().await.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_whose_end_is_not_known_is_made_again() {
    let world = World::new().await;
    world.post("first").await.unwrap();
    world
        .store
        .fail_claims_with(Some(StoreError::Unknown("test".to_owned())));
    world.kill("guild").await;
    assert_eq!(world.post("now").await.unwrap_err(), ChatError::Unavailable);
    // As if it had been made.
    world.store.fail_claims_with(None);
    world.store.claim(world.guild, Epoch(2)).await.unwrap();
    eventually!(world.post("later").await.is_ok());
    assert_eq!(world.store.epoch(world.guild).await, Ok(Epoch(3)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_kept_of_guilds_that_never_were() {
    let world = World::new().await;
    let nowhere = Id::new(77);
    let roles = guild::roles(&world.chat, Actor::System, nowhere).await;
    assert_eq!(roles.unwrap_err(), ChatError::NotFound(Missing::Guild));
    assert_eq!(world.store.epoch(nowhere).await, Ok(Epoch::NONE));
}
