//! Fences: of all who believe that a guild is theirs, one at most is told that a write was made.

use std::sync::Arc;

use futures_util::future::join_all;

use super::{CHANNEL, Engine, GUILD, found, message_id, put, record};
use crate::error::StoreError;
use crate::fence::Epoch;
use crate::store::{Store, Write};
use model::channel::Channel;
use model::{GuildId, Id};

/// A guild that is not [`GUILD`].
const OTHER: GuildId = Id::new(1_001);

fn fence(epoch: u64) -> Write {
    Write::Fence(GUILD, Epoch(epoch))
}

fn setting(name: &str) -> Write {
    Write::PutSetting(name.to_owned(), vec![1])
}

/// A guild is claimed under rising epochs, each once.
pub async fn claims_rise(engine: &dyn Engine) {
    let store = engine.open().await;
    assert_eq!(store.epoch(GUILD).await, Ok(Epoch::NONE));
    let none = store.claim(GUILD, Epoch::NONE).await;
    assert_eq!(none, Err(StoreError::Fenced));
    for (epoch, claimed) in [
        (5, Ok(())),
        (5, Err(StoreError::Fenced)),
        (4, Err(StoreError::Fenced)),
        (6, Ok(())),
        (900, Ok(())),
        (7, Err(StoreError::Fenced)),
    ] {
        assert_eq!(store.claim(GUILD, Epoch(epoch)).await, claimed, "{epoch}");
    }
    assert_eq!(store.epoch(GUILD).await, Ok(Epoch(900)));
    store.health().unwrap();
}

/// Nothing of a batch under a lower epoch is seen, wherever its fence stands; its neighbours and
/// batches that nobody owns go on.
pub async fn a_lower_epoch_is_refused(engine: &dyn Engine) {
    let store = engine.open().await;
    found(&*store).await;
    let id = message_id(1, 1);
    store.commit(vec![fence(1), put(id)]).await.unwrap();
    store.claim(GUILD, Epoch(2)).await.unwrap();
    let late = message_id(1, 2);
    for at in 0..=2 {
        let mut batch = vec![put(late), setting("late")];
        batch.insert(at, fence(1));
        assert_eq!(store.commit(batch).await, Err(StoreError::Fenced), "{at}");
    }
    let (before, fenced, after) = (
        store.commit(vec![fence(2), put(message_id(1, 3))]),
        store.commit(vec![fence(1), Write::DeleteMessage(CHANNEL, id)]),
        store.commit(vec![put(message_id(1, 4))]),
    );
    before.await.unwrap();
    assert_eq!(fenced.await, Err(StoreError::Fenced));
    after.await.unwrap();
    assert_eq!(store.message(CHANNEL, late).await, Ok(None));
    assert_eq!(store.setting("late").await, Ok(None));
    assert_eq!(store.message(CHANNEL, id).await, Ok(Some(record(id))));
    let snapshot = store.guild(GUILD).await.unwrap().unwrap();
    assert_eq!(snapshot.last_message_id, Some(message_id(1, 4)));
}

/// The owner's own epoch goes on; a higher one than was claimed claims the guild, as in a store that
/// was filled from another one.
pub async fn the_owner_goes_on(engine: &dyn Engine) {
    let store = engine.open().await;
    store.claim(GUILD, Epoch(3)).await.unwrap();
    for number in 1..=3 {
        let batch = vec![fence(3), put(message_id(1, number))];
        store.commit(batch).await.unwrap();
    }
    assert_eq!(store.epoch(GUILD).await, Ok(Epoch(3)));
    let batch = vec![fence(8), put(message_id(1, 4))];
    store.commit(batch).await.unwrap();
    assert_eq!(store.epoch(GUILD).await, Ok(Epoch(8)));
    let batch = vec![fence(7), put(message_id(1, 5))];
    assert_eq!(store.commit(batch).await, Err(StoreError::Fenced));
    // A batch that fails raises nothing.
    let missing = Write::PatchMessage(CHANNEL, message_id(9, 9), Box::default());
    let batch = vec![fence(8), missing];
    assert_eq!(store.commit(batch).await, Err(StoreError::NotFound));
    assert_eq!(store.epoch(GUILD).await, Ok(Epoch(8)));
}

/// A restart keeps who owns what.
pub async fn a_restart_keeps_them(engine: &dyn Engine) {
    if !engine.durable() {
        return;
    }
    {
        let store = engine.open().await;
        store.claim(GUILD, Epoch(4)).await.unwrap();
        store
            .commit(vec![Write::Fence(OTHER, Epoch(2))])
            .await
            .unwrap();
        store.close().await.unwrap();
        let closed = store.claim(GUILD, Epoch(5)).await;
        assert!(
            matches!(closed, Err(StoreError::NotApplied(_))),
            "{closed:?}"
        );
    }
    let store = engine.open().await;
    assert_eq!(store.epoch(GUILD).await, Ok(Epoch(4)));
    assert_eq!(store.epoch(OTHER).await, Ok(Epoch(2)));
    let batch = vec![fence(3), put(message_id(1, 1))];
    assert_eq!(store.commit(batch).await, Err(StoreError::Fenced));
    let batch = vec![fence(4), put(message_id(1, 1))];
    store.commit(batch).await.unwrap();
}

/// Of several who claim under one epoch one has it, and the epoch never goes down.
pub async fn one_winner_each(engine: &dyn Engine) {
    let store = engine.open().await;
    for epoch in 1..=8 {
        let rivals = (0..8).map(|_| store.claim(GUILD, Epoch(epoch)));
        let results = join_all(rivals).await;
        let won = results.iter().filter(|result| result.is_ok()).count();
        assert_eq!(won, 1, "{results:?}");
        let others = results.iter().filter(|result| result.is_err());
        assert!(
            others
                .into_iter()
                .all(|lost| *lost == Err(StoreError::Fenced))
        );
        assert_eq!(store.epoch(GUILD).await, Ok(Epoch(epoch)));
    }
}

/// Who owns one guild says nothing about another; a batch that changes both needs both.
pub async fn each_guild_for_itself(engine: &dyn Engine) {
    let store = engine.open().await;
    store.claim(GUILD, Epoch(9)).await.unwrap();
    assert_eq!(store.epoch(OTHER).await, Ok(Epoch::NONE));
    store.claim(OTHER, Epoch(1)).await.unwrap();
    let of_other = Write::Fence(OTHER, Epoch(1));
    store
        .commit(vec![of_other.clone(), setting("other")])
        .await
        .unwrap();
    let both = |epoch| vec![fence(epoch), of_other.clone(), setting("both")];
    assert_eq!(store.commit(both(8)).await, Err(StoreError::Fenced));
    assert_eq!(store.setting("both").await, Ok(None));
    store.commit(both(9)).await.unwrap();
}

/// A late write of an earlier owner brings nothing of a deleted guild back.
pub async fn a_deleted_guild_keeps_its_epoch(engine: &dyn Engine) {
    let store = engine.open().await;
    found(&*store).await;
    store.claim(GUILD, Epoch(2)).await.unwrap();
    store
        .commit(vec![fence(2), Write::DeleteGuild(GUILD)])
        .await
        .unwrap();
    assert_eq!(store.epoch(GUILD).await, Ok(Epoch(2)));
    let channel = Channel::new(CHANNEL, GUILD, 0, "late");
    let late = vec![fence(1), Write::PutChannel(Box::new(channel))];
    assert_eq!(store.commit(late).await, Err(StoreError::Fenced));
    assert_eq!(store.guild(GUILD).await, Ok(None));
    assert_eq!(store.guild_of_channel(CHANNEL).await, Ok(None));
}

/// A commit that races with a claim is seen by a read after the claim, or it is not acknowledged; one
/// that is refused is not seen then or later.
pub async fn races_with_a_claim(engine: &dyn Engine) {
    const WRITERS: u64 = 8;
    let store = engine.open().await;
    for round in 1..=20_u64 {
        store.commit(vec![fence(round)]).await.unwrap();
        let name = |writer| format!("{round}:{writer}");
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (store, name): (Arc<dyn Store>, _) = (store.clone(), name(writer));
                tokio::spawn(async move {
                    for _ in 0..writer + round % 3 {
                        tokio::task::yield_now().await;
                    }
                    // Settings share no lane with the guild: nothing but the fence keeps their order.
                    store.commit(vec![fence(round), setting(&name)]).await
                })
            })
            .collect();
        tokio::task::yield_now().await;
        store.claim(GUILD, Epoch(round + 1)).await.unwrap();
        let seen = join_all((0..WRITERS).map(|writer| {
            let (store, name) = (store.clone(), name(writer));
            async move { store.setting(&name).await.unwrap().is_some() }
        }))
        .await;
        for (writer, (commit, seen)) in writers.into_iter().zip(seen).enumerate() {
            match commit.await.unwrap() {
                Ok(()) => assert!(seen, "{round}:{writer} was acknowledged and not seen"),
                Err(StoreError::Fenced) => {
                    let name = name(writer as u64);
                    assert_eq!(store.setting(&name).await, Ok(None), "{name} was refused");
                }
                Err(StoreError::Unknown(_)) => {}
                Err(other) => panic!("{round}:{writer}: {other}"),
            }
        }
        let late = store.commit(vec![fence(round), setting("late")]).await;
        assert_eq!(late, Err(StoreError::Fenced));
    }
}
