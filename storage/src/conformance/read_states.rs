//! Read states: merged, whatever the order; listed by channel; gone when deleted.

use model::read_state::ReadState;
use model::{ChannelId, Id};

use super::{ADA, BOB, CHANNEL, Engine};
use crate::store::Write;

/// [`ADA`] has read [`CHANNEL`] up to message `id`.
pub fn read(id: u64) -> ReadState {
    let mut state = ReadState::new(ADA, CHANNEL);
    state.read(Id::new(id));
    state
}

fn put(state: &ReadState) -> Write {
    Write::PutReadState(Box::new(state.clone()))
}

/// A mention, a position, an older one, and one set by hand: the same in any order, in one batch or
/// several, once or twice.
pub async fn merged_in_any_order(engine: &dyn Engine) {
    let store = engine.open().await;
    let mut mention = ReadState::new(ADA, CHANNEL);
    mention.mention(Id::new(90));
    let mut by_hand = ReadState::new(ADA, CHANNEL);
    by_hand.set(Id::new(30), 2, 60);
    let all = [mention, read(50), by_hand, read(40)];
    let mut expected = all[0].clone();
    all.iter().for_each(|state| expected.merge(state));
    assert_eq!(expected.last_message_id, Some(Id::new(30)));
    assert_eq!(expected.mention_count(), 3);
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]] {
        for state in order.map(|index| &all[index]) {
            store.commit(vec![put(state)]).await.unwrap();
        }
        let stored = store.read_state(ADA, CHANNEL).await.unwrap();
        assert_eq!(stored.as_ref(), Some(&expected), "{order:?}");
        let batch = order.iter().map(|index| put(&all[*index]));
        let batch = [Write::DeleteReadState(ADA, CHANNEL)]
            .into_iter()
            .chain(batch);
        store.commit(batch.collect()).await.unwrap();
        let stored = store.read_state(ADA, CHANNEL).await.unwrap();
        assert_eq!(stored.as_ref(), Some(&expected), "{order:?} in a batch");
        let gone = vec![Write::DeleteReadState(ADA, CHANNEL)];
        store.commit(gone).await.unwrap();
    }
}

/// By user, in the order of channels, no more than asked for.
pub async fn listed(engine: &dyn Engine) {
    let store = engine.open().await;
    let channel = |number: u64| -> ChannelId { Id::new(number) };
    let mut batch = Vec::new();
    for number in [300, 5, 70_000, 12] {
        let mut state = ReadState::new(ADA, channel(number));
        state.read(Id::new(number));
        batch.push(put(&state));
    }
    batch.push(put(&ReadState::new(BOB, channel(6))));
    store.commit(batch).await.unwrap();
    let listed = async |user, limit| -> Vec<u64> {
        let states = store.read_states(user, limit).await.unwrap();
        let states = states.iter().map(|state| state.channel_id.get());
        states.collect()
    };
    assert_eq!(listed(ADA, 99).await, [5, 12, 300, 70_000]);
    assert_eq!(listed(ADA, 2).await, [5, 12]);
    assert!(listed(ADA, 0).await.is_empty());
    assert_eq!(listed(BOB, 99).await, [6]);
    assert!(listed(Id::new(9), 99).await.is_empty());
    let other = store.read_state(BOB, channel(5)).await.unwrap();
    assert_eq!(other, None, "of another user");
}

/// Gone, and no error when it was not there.
pub async fn deleted(engine: &dyn Engine) {
    let store = engine.open().await;
    store.commit(vec![put(&read(5))]).await.unwrap();
    for _ in 0..2 {
        let gone = vec![Write::DeleteReadState(ADA, CHANNEL)];
        store.commit(gone).await.unwrap();
        assert_eq!(store.read_state(ADA, CHANNEL).await.unwrap(), None);
        assert!(store.read_states(ADA, 9).await.unwrap().is_empty());
    }
    store.commit(vec![put(&read(3))]).await.unwrap();
    let stored = store.read_state(ADA, CHANNEL).await.unwrap().unwrap();
    assert_eq!(
        stored.last_message_id,
        Some(Id::new(3)),
        "nothing came back"
    );
}
