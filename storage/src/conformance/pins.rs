//! Pins: in the order of pinning, and gone with their message.

use super::{CHANNEL, Engine, message_id, put};
use crate::error::StoreError;
use crate::store::{Store, Write};

async fn pins(store: &dyn Store, before: Option<u64>, limit: usize) -> Vec<(u64, u64)> {
    let pins = store.pins(CHANNEL, before, limit).await.unwrap();
    let number = |id: model::MessageId| {
        model::snowflake::timestamp_ms(id) - model::snowflake::timestamp_ms(message_id(1, 0))
    };
    pins.iter()
        .map(|(message, at_ms)| (number(message.id), *at_ms))
        .collect()
}

/// Last pinned first, by time and then by id; pinning again moves.
pub async fn order_and_count(engine: &dyn Engine) {
    let store = engine.open().await;
    let mut batch: Vec<_> = (1..=5).map(|number| put(message_id(1, number))).collect();
    for (number, at_ms) in [(1, 500), (2, 300), (3, 300), (4, 900), (5, 256)] {
        batch.push(Write::PutPin(CHANNEL, message_id(1, number), at_ms));
    }
    store.commit(batch).await.unwrap();
    assert_eq!(
        pins(&*store, None, 50).await,
        [(4, 900), (1, 500), (3, 300), (2, 300), (5, 256)]
    );
    assert_eq!(pins(&*store, None, 2).await, [(4, 900), (1, 500)]);
    assert_eq!(pins(&*store, Some(500), 2).await, [(3, 300), (2, 300)]);
    assert_eq!(pins(&*store, Some(301), 1).await, [(3, 300)]);
    assert_eq!(pins(&*store, Some(300), 9).await, [(5, 256)]);
    assert!(pins(&*store, Some(0), 9).await.is_empty());
    assert_eq!(store.pin_count(CHANNEL).await.unwrap(), 5);
    store
        .commit(vec![Write::PutPin(CHANNEL, message_id(1, 5), 1_000)])
        .await
        .unwrap();
    assert_eq!(pins(&*store, None, 2).await, [(5, 1_000), (4, 900)]);
    let unpin = |number| Write::DeletePin(CHANNEL, message_id(1, number));
    store
        .commit(vec![unpin(4), unpin(4), unpin(77)])
        .await
        .unwrap();
    assert_eq!(pins(&*store, None, 2).await, [(5, 1_000), (1, 500)]);
    assert_eq!(store.pin_count(CHANNEL).await.unwrap(), 4);
}

/// A pin cannot outlive its message or be made without one.
pub async fn follow_their_message(engine: &dyn Engine) {
    let store = engine.open().await;
    let id = message_id(1, 1);
    assert_eq!(
        store.commit(vec![Write::PutPin(CHANNEL, id, 1)]).await,
        Err(StoreError::NotFound)
    );
    store
        .commit(vec![put(id), Write::PutPin(CHANNEL, id, 1)])
        .await
        .unwrap();
    store
        .commit(vec![Write::DeleteMessage(CHANNEL, id)])
        .await
        .unwrap();
    store.commit(vec![put(id)]).await.unwrap();
    assert!(pins(&*store, None, 9).await.is_empty());
    assert_eq!(store.pin_count(CHANNEL).await.unwrap(), 0);
}
