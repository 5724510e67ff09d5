//! A wait ends with its answer, with the patience, or with its runtime; it leaves nothing behind.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{PATIENCE, Patience};

impl Patience {
    fn places(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_time_is_taken() {
    let patience = Arc::<Patience>::default();
    let (sender, mut receiver) = oneshot::channel();
    let answering = tokio::spawn(async move { sender.send(7).unwrap() });
    assert_eq!(patience.wait(1, &mut receiver).await, Some(Ok(7)));
    answering.await.unwrap();
    assert_eq!(patience.places(), 0);
}

#[tokio::test(start_paused = true)]
async fn without_an_answer_it_ends_after_one_or_two_turns() {
    let patience = Arc::<Patience>::default();
    for _ in 0..3 {
        let (_sender, mut receiver) = oneshot::channel::<()>();
        let began = Instant::now();
        assert_eq!(patience.wait(1, &mut receiver).await, None);
        let waited = began.elapsed();
        assert!(waited >= PATIENCE, "{waited:?}");
        assert!(waited <= 4 * PATIENCE, "{waited:?}");
        assert_eq!(patience.places(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn many_wait_at_once_and_some_give_up() {
    let patience = Arc::<Patience>::default();
    let mut waits = tokio::task::JoinSet::new();
    for number in 0..100_u64 {
        let patience = patience.clone();
        waits.spawn(async move {
            let (_sender, mut receiver) = oneshot::channel::<()>();
            let wait = patience.wait(number, &mut receiver);
            let limit = if number % 3 == 0 {
                Duration::ZERO
            } else {
                Duration::MAX
            };
            tokio::time::timeout(limit, wait).await
        });
    }
    let outcomes = waits.join_all().await;
    assert_eq!(outcomes.iter().filter(|one| one.is_err()).count(), 34);
    assert!(outcomes.into_iter().flatten().all(|one| one.is_none()));
    assert_eq!(patience.places(), 0);
}

#[test]
fn the_end_of_the_sweepers_runtime_wakes_the_others() {
    let patience = Arc::<Patience>::default();
    let sweeping = Runtime::new().unwrap();
    sweeping.block_on(async { patience.arm() });
    let (_sender, mut receiver) = oneshot::channel::<()>();
    let other = Runtime::new().unwrap();
    let waiting = {
        let patience = patience.clone();
        other.spawn(async move { patience.wait(1, &mut receiver).await })
    };
    sweeping.shutdown_background();
    let outcome = other.block_on(async {
        let limit = Duration::from_secs(10);
        tokio::time::timeout(limit, waiting).await
    });
    assert_eq!(outcome.unwrap().unwrap(), None);
}
