//! Two stores on one keyspace, as two nodes have it: who owns a guild, and what is acknowledged to whom.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use storage::conformance::{CHANNEL, GUILD, found, message_id, put, record};
use storage::store::{RecordPatch, Write};
use storage::{Epoch, Store as _, StoreError};

use super::keyspace::Keyspace;
use super::open;

fn fence(epoch: u64) -> Write {
    Write::Fence(GUILD, Epoch(epoch))
}

fn edit(text: &str) -> Write {
    let patch = RecordPatch {
        content: Some(text.to_owned()),
        ..RecordPatch::default()
    };
    Write::PatchMessage(CHANNEL, message_id(1, 1), Box::new(patch))
}

/// The one interleaving that a look before the write cannot see: read, claimed by another node and read
/// there, written. It is not acknowledged, because the new owner has missed it.
#[tokio::test]
async fn a_write_that_a_claim_overtakes_is_not_acknowledged() {
    let Some(keyspace) = Keyspace::new() else {
        return;
    };
    let (one, two) = (open(&keyspace).await, open(&keyspace).await);
    found(&one).await;
    one.claim(GUILD, Epoch(1)).await.unwrap();
    one.commit(vec![fence(1), put(message_id(1, 1))])
        .await
        .unwrap();
    let stopped = one.stop_before_writes();
    let overtaken = one.commit(vec![fence(1), edit("overtaken")]);
    let setting = |name: &str| Write::PutSetting(name.to_owned(), vec![1]);
    let also = one.commit(vec![fence(1), setting("also")]);
    let not_fenced = one.commit(vec![setting("free")]);
    let deadline = Instant::now() + Duration::from_secs(20);
    while stopped.waiting() < 3 {
        assert!(Instant::now() < deadline, "{} wait", stopped.waiting());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    two.claim(GUILD, Epoch(2)).await.unwrap();
    let seen = two.message(CHANNEL, message_id(1, 1)).await.unwrap();
    assert_eq!(seen, Some(record(message_id(1, 1))));
    assert_eq!(two.setting("also").await, Ok(None));
    drop(stopped);
    for commit in [overtaken, also] {
        let told = commit.await;
        assert!(matches!(told, Err(StoreError::Unknown(_))), "{told:?}");
    }
    not_fenced.await.unwrap();
    // From here on it is known before anything is written.
    let late = one.commit(vec![fence(1), edit("late")]).await;
    assert_eq!(late, Err(StoreError::Fenced));
    two.commit(vec![fence(2), edit("the owner's")])
        .await
        .unwrap();
    let seen = one.message(CHANNEL, message_id(1, 1)).await.unwrap();
    assert_eq!(seen.unwrap().content, "the owner's");
}

/// However they race: what is acknowledged to the old owner is seen by the new one's reads.
#[tokio::test]
async fn what_is_acknowledged_is_seen_after_a_claim_by_another_node() {
    const WRITERS: u64 = 6;
    let Some(keyspace) = Keyspace::new() else {
        return;
    };
    let (one, two) = (Arc::new(open(&keyspace).await), open(&keyspace).await);
    let (mut acknowledged, mut refused, mut unknown) = (0, 0, 0);
    for round in 1..=40_u64 {
        one.claim(GUILD, Epoch(2 * round)).await.unwrap();
        let name = |writer| format!("{round}:{writer}");
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (one, name) = (one.clone(), name(writer));
                tokio::spawn(async move {
                    // Spread over the time a claim takes.
                    tokio::time::sleep(Duration::from_micros(900 * writer)).await;
                    let setting = Write::PutSetting(name, vec![1]);
                    one.commit(vec![fence(2 * round), setting]).await
                })
            })
            .collect();
        two.claim(GUILD, Epoch(2 * round + 1)).await.unwrap();
        let seen = join_all((0..WRITERS).map(|writer| {
            let (two, name) = (&two, name(writer));
            async move { two.setting(&name).await.unwrap().is_some() }
        }))
        .await;
        for (writer, (commit, seen)) in writers.into_iter().zip(seen).enumerate() {
            match commit.await.unwrap() {
                Ok(()) => {
                    acknowledged += 1;
                    assert!(seen, "{round}:{writer} was acknowledged and not seen");
                }
                Err(StoreError::Fenced) => {
                    refused += 1;
                    let name = name(writer as u64);
                    assert_eq!(two.setting(&name).await, Ok(None), "{name} was refused");
                }
                Err(StoreError::Unknown(_)) => unknown += 1,
                Err(other) => panic!("{round}:{writer}: {other}"),
            }
        }
    }
    assert!(
        acknowledged > 0 && refused > 0,
        "no race: {acknowledged} acknowledged, {refused} refused, {unknown} unknown"
    );
}

/// Both claim under the same epoch in the same moment: one has it.
#[tokio::test]
async fn of_two_nodes_that_claim_one_has_it() {
    let Some(keyspace) = Keyspace::new() else {
        return;
    };
    let (one, two) = (open(&keyspace).await, open(&keyspace).await);
    for epoch in 1..=20 {
        let rivals = [&one, &two, &one, &two].map(|store| store.claim(GUILD, Epoch(epoch)));
        let results = join_all(rivals).await;
        let won = results.iter().filter(|result| result.is_ok()).count();
        assert_eq!(won, 1, "{epoch}: {results:?}");
        let lost = results.iter().filter(|result| result.is_err());
        for lost in lost {
            assert_eq!(*lost, Err(StoreError::Fenced), "{epoch}");
        }
        assert_eq!(one.epoch(GUILD).await, Ok(Epoch(epoch)));
        assert_eq!(two.epoch(GUILD).await, Ok(Epoch(epoch)));
    }
}
