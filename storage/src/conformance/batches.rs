//! Batches: whole or not at all, in the order of the calls.

use super::{ADA, CHANNEL, Engine, account, ids, message_id, put, reaction, record};
use crate::error::StoreError;
use crate::store::{Page, RecordPatch, Write};

/// A batch with one failing write changes nothing, wherever the failing write stands.
pub async fn all_or_nothing(engine: &dyn Engine) {
    let store = engine.open().await;
    let missing = Write::PatchMessage(CHANNEL, message_id(9, 9), Box::default());
    let good = || {
        vec![
            put(message_id(1, 1)),
            Write::PutSetting("key".to_owned(), vec![1]),
        ]
    };
    for at in 0..=2 {
        let mut batch = good();
        batch.insert(at, missing.clone());
        assert_eq!(store.commit(batch).await, Err(StoreError::NotFound));
        assert!(
            store
                .messages(CHANNEL, Page::Latest, 5)
                .await
                .unwrap()
                .is_empty()
        );
        assert_eq!(store.setting("key").await.unwrap(), None);
    }
    // The neighbours in the queue of a failing batch are not touched by it.
    let (before, failing, after) = (
        store.commit(good()),
        store.commit(vec![put(message_id(1, 2)), missing]),
        store.commit(vec![put(message_id(1, 3))]),
    );
    before.await.unwrap();
    assert_eq!(failing.await, Err(StoreError::NotFound));
    after.await.unwrap();
    let left = store.messages(CHANNEL, Page::Latest, 5).await.unwrap();
    assert_eq!(ids(&left), [message_id(1, 3), message_id(1, 1)]);
    store.commit(Vec::new()).await.unwrap();
}

/// A write finds what the earlier ones of its batch leave, not what was stored before the batch.
pub async fn within_a_batch(engine: &dyn Engine) {
    let store = engine.open().await;
    let (old, new) = (message_id(1, 1), message_id(1, 2));
    let patch = |id, text: &str| {
        let patch = RecordPatch {
            content: Some(text.to_owned()),
            ..RecordPatch::default()
        };
        Write::PatchMessage(CHANNEL, id, Box::new(patch))
    };
    store.commit(vec![put(old)]).await.unwrap();
    let react = Write::PutReaction(reaction(old, ADA, "👍", 1));
    let pin = Write::PutPin(CHANNEL, old, 1);
    for needs_it in [patch(old, "edited"), react, pin] {
        let batch = vec![Write::DeleteMessage(CHANNEL, old), needs_it];
        assert_eq!(store.commit(batch).await, Err(StoreError::NotFound));
    }
    assert_eq!(store.message(CHANNEL, old).await, Ok(Some(record(old))));
    let batch = vec![put(new), patch(new, "edited")];
    store.commit(batch).await.unwrap();
    let batch = vec![
        Write::DeleteMessage(CHANNEL, old),
        put(old),
        patch(old, "again"),
    ];
    store.commit(batch).await.unwrap();
    let page = store.messages(CHANNEL, Page::Latest, 5).await.unwrap();
    let texts: Vec<&str> = page.iter().map(|record| record.content.as_str()).collect();
    assert_eq!(texts, ["edited", "again"]);
}

/// Batches take effect in the order of the calls, whoever awaits them first.
pub async fn in_order(engine: &dyn Engine) {
    let store = engine.open().await;
    let id = message_id(1, 1);
    let mut commits = Vec::new();
    for number in 0..200 {
        let mut version = record(id);
        version.content = format!("version {number}");
        commits.push(store.commit(vec![Write::PutMessage(Box::new(version))]));
        if number % 2 == 0 {
            commits.push(store.commit(vec![Write::DeleteMessage(CHANNEL, id)]));
        }
    }
    for commit in commits.into_iter().rev() {
        commit.await.unwrap();
    }
    let last = store.message(CHANNEL, id).await.unwrap().unwrap();
    assert_eq!(last.content, "version 199");
    // A dropped commit is done all the same.
    drop(store.commit(vec![put(message_id(1, 2))]));
    store.commit(vec![put(message_id(1, 3))]).await.unwrap();
    assert_eq!(
        store
            .messages(CHANNEL, Page::Latest, 9)
            .await
            .unwrap()
            .len(),
        3
    );
}

/// Settings are bytes under names that do not mix.
pub async fn settings(engine: &dyn Engine) {
    let store = engine.open().await;
    let put = |name: &str, value: &[u8]| Write::PutSetting(name.to_owned(), value.to_vec());
    store
        .commit(vec![
            put("a", &[0, 1, 2]),
            put("ab", &[]),
            put("", &[9]),
            put("a", &[3]),
        ])
        .await
        .unwrap();
    assert_eq!(store.setting("a").await.unwrap(), Some(vec![3]));
    assert_eq!(store.setting("ab").await.unwrap(), Some(vec![]));
    assert_eq!(store.setting("").await.unwrap(), Some(vec![9]));
    assert_eq!(store.setting("b").await.unwrap(), None);
}

/// Many writers at once: everyone reads what was acknowledged to them.
pub async fn many_at_once(engine: &dyn Engine) {
    let store = engine.open().await;
    let writers: Vec<_> = (0..32_u64)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for number in 0..20 {
                    let id = message_id(writer, number);
                    store.commit(vec![put(id)]).await.unwrap();
                    assert_eq!(store.message(CHANNEL, id).await.unwrap(), Some(record(id)));
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(
        store
            .messages(CHANNEL, Page::Latest, 1_000)
            .await
            .unwrap()
            .len(),
        640
    );
    store.health().unwrap();
}

/// A closed store finishes what was queued, refuses writes, and still reads.
pub async fn close_refuses(engine: &dyn Engine) {
    let store = engine.open().await;
    let queued: Vec<_> = (1..=50)
        .map(|number| store.commit(vec![put(message_id(1, number))]))
        .collect();
    store.close().await.unwrap();
    for commit in queued {
        commit.await.unwrap();
    }
    assert!(matches!(
        store.commit(vec![put(message_id(2, 1))]).await,
        Err(StoreError::NotApplied(_))
    ));
    assert!(matches!(
        store.create_account(account(ADA, "ada", false)).await,
        Err(StoreError::NotApplied(_))
    ));
    assert!(matches!(
        store.purge_channel(CHANNEL, 1).await,
        Err(StoreError::NotApplied(_))
    ));
    assert_eq!(
        store
            .messages(CHANNEL, Page::Latest, 99)
            .await
            .unwrap()
            .len(),
        50
    );
    store.close().await.unwrap();
}
