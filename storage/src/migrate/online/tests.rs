//! What only a target that hangs can show: a second switch is the target, and is held.
#![allow(clippy::unwrap_used)]

use futures_util::FutureExt as _;

use super::super::mirror::MIRROR_BATCHES_MAX;
use super::super::switch::HELD_BATCHES_MAX;
use super::*;
use crate::conformance::faulty::Faulty;
use crate::conformance::{CHANNEL, GUILD, found, message_id, put, record};
use crate::engine::memory::MemoryStore;
use crate::store::Write;
use crate::{Epoch, StoreError};

const DEADLINE: Duration = Duration::from_secs(60);

struct Moving {
    switch: Arc<Switch>,
    online: Online,
    target: Arc<Switch>,
}

impl Moving {
    async fn ready() -> Self {
        Self::ready_into(Arc::new(MemoryStore::new())).await
    }

    async fn ready_into(store: Arc<dyn Store>) -> Self {
        let switch = Arc::new(Switch::new(Arc::new(MemoryStore::new())));
        found(&*switch).await;
        let online = Online::new(switch.clone(), "fjall:here");
        let target = Arc::new(Switch::new(store));
        let started = online.start_with("fjall:there", target.clone());
        started.await.unwrap();
        let moving = Self {
            switch,
            online,
            target,
        };
        moving.until(State::Ready).await;
        moving
    }

    async fn until(&self, state: State) {
        until(|| self.online.status().state == state).await;
    }
}

async fn until(seen: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !seen() {
        assert!(Instant::now() < deadline, "seen in time");
        tokio::task::yield_now().await;
    }
}

/// The job ends in no certain order: it must not take the store that the node uses now with it.
#[tokio::test]
async fn a_node_that_has_switched_can_write() {
    for number in 1..=30 {
        let moving = Moving::ready().await;
        moving.online.switch().await.unwrap();
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let written = moving.switch.commit(vec![put(message_id(1, number))]);
        written.await.unwrap();
        assert_eq!(moving.online.status().state, State::Switched);
    }
}

/// What waits for the target when the switch is asked for is in it when the node uses it.
#[tokio::test]
async fn a_switch_waits_for_the_log() {
    let moving = Moving::ready().await;
    let hold = moving.target.hold().await.unwrap();
    // So long that each goes to the target by itself.
    let long = |number| {
        let mut record = record(message_id(1, number));
        record.content = "long".repeat(5_000);
        crate::store::Write::PutMessage(Box::new(record))
    };
    let sent: Vec<_> = (1..=500).map(long).collect();
    for write in &sent {
        moving.switch.commit(vec![write.clone()]).await.unwrap();
    }
    let online = moving.online.clone();
    let switching = tokio::spawn(async move { online.switch().await });
    // From here on it holds back, and this goes to the new store.
    until(|| {
        let held = moving.switch.hold().now_or_never();
        matches!(held, Some(Err(StoreError::Busy)))
    })
    .await;
    let last = moving.switch.commit(vec![put(message_id(2, 1))]);
    drop(hold);
    switching.await.unwrap().unwrap();
    last.await.unwrap();
    for write in sent {
        let crate::store::Write::PutMessage(record) = write else {
            continue;
        };
        let found = moving.target.message(CHANNEL, record.id).await.unwrap();
        assert!(found.is_some(), "message {}", record.id);
    }
    let found = moving.target.message(CHANNEL, message_id(2, 1)).await;
    assert!(found.unwrap().is_some());
}

/// What a source takes at once may be too much for the target: it gets it write by write.
#[tokio::test]
async fn what_is_too_large_for_the_target_is_taken_apart() {
    let store = Faulty::new();
    let moving = Moving::ready_into(store.clone()).await;
    store.refuse_above(1);
    let ids: Vec<_> = (1..=5).map(|number| message_id(1, number)).collect();
    let batch = ids.iter().map(|id| put(*id)).collect();
    moving.switch.commit(batch).await.unwrap();
    moving.online.switch().await.unwrap();
    for id in ids {
        assert!(store.message(CHANNEL, id).await.unwrap().is_some(), "{id}");
    }
}

/// A target that takes nothing does not grow the log without bound, and does not hurt the node.
#[tokio::test]
async fn a_log_that_is_full_ends_the_migration() {
    let moving = Moving::ready().await;
    let hold = moving.target.hold().await.unwrap();
    // And some that the worker has in its hands already.
    for number in 0..u64::try_from(MIRROR_BATCHES_MAX + 1_000).unwrap() {
        let commit = moving.switch.commit(vec![put(message_id(1, number))]);
        commit.await.unwrap();
    }
    moving.until(State::Failed).await;
    let told = moving.online.status().error.unwrap();
    assert!(told.contains("too slow"), "{told}");
    drop(hold);
    let later = moving.switch.commit(vec![put(message_id(3, 1))]);
    later.await.unwrap();
    let found = moving.switch.message(CHANNEL, message_id(3, 1)).await;
    assert!(found.unwrap().is_some());
}

/// Held batches keep their order, and their number is bounded.
#[tokio::test]
async fn what_is_held_is_bounded_and_goes_on_in_its_order() {
    let switch = Switch::new(Arc::new(MemoryStore::new()));
    let set = |value: u64| {
        let value = value.to_be_bytes().to_vec();
        vec![crate::store::Write::PutSetting("a".to_owned(), value)]
    };
    let hold = switch.hold().await.unwrap();
    assert!(switch.hold().await.is_err(), "one at a time");
    let most = u64::try_from(HELD_BATCHES_MAX).unwrap();
    let held: Vec<_> = (1..=most)
        .map(|number| switch.commit(set(number)))
        .collect();
    assert_eq!(switch.commit(set(0)).await, Err(StoreError::Busy));
    assert_eq!(switch.setting("a").await.unwrap(), None);
    drop(hold);
    for commit in held {
        commit.await.unwrap();
    }
    let last = switch.setting("a").await.unwrap().unwrap();
    assert_eq!(last, most.to_be_bytes());
    // A commit nobody waits for any more is under way all the same.
    drop(switch.commit(set(7)));
    drop(switch.hold().await.unwrap());
    let last = switch.setting("a").await.unwrap().unwrap();
    assert_eq!(last, 7_u64.to_be_bytes());
}

/// Who owns a guild is known in both stores, in the order of the calls, also while they are held; and
/// an owner that was fenced off stays so after the switch.
#[tokio::test]
async fn fences_and_claims_go_to_both() {
    let moving = Moving::ready().await;
    let fenced = |epoch, number| {
        vec![
            Write::Fence(GUILD, Epoch(epoch)),
            put(message_id(1, number)),
        ]
    };
    moving.switch.claim(GUILD, Epoch(3)).await.unwrap();
    moving.switch.commit(fenced(3, 1)).await.unwrap();
    let hold = moving.switch.hold().await.unwrap();
    let (last, claim, late, first) = (
        moving.switch.commit(fenced(3, 2)),
        moving.switch.claim(GUILD, Epoch(4)),
        moving.switch.commit(fenced(3, 3)),
        moving.switch.commit(fenced(4, 4)),
    );
    assert_eq!(moving.switch.epoch(GUILD).await, Ok(Epoch(3)), "it is held");
    drop(hold);
    last.await.unwrap();
    claim.await.unwrap();
    assert_eq!(late.await, Err(StoreError::Fenced));
    first.await.unwrap();
    let again = moving.switch.claim(GUILD, Epoch(4)).await;
    assert_eq!(again, Err(StoreError::Fenced));
    // Of which no batch tells the target.
    moving.switch.claim(GUILD, Epoch(5)).await.unwrap();
    moving.online.switch().await.unwrap();
    assert_eq!(moving.target.epoch(GUILD).await, Ok(Epoch(5)));
    let late = moving.switch.commit(fenced(4, 5)).await;
    assert_eq!(late, Err(StoreError::Fenced));
    moving.switch.commit(fenced(5, 6)).await.unwrap();
    for (number, there) in [
        (1, true),
        (2, true),
        (3, false),
        (4, true),
        (5, false),
        (6, true),
    ] {
        let found = moving.target.message(CHANNEL, message_id(1, number)).await;
        assert_eq!(found.unwrap().is_some(), there, "{number}");
    }
}
