//! What only this engine can do wrong: files, locks, syncs, pieces.
#![allow(clippy::unwrap_used)]

use super::keys::Table;
use super::*;
use crate::conformance::{CHANNEL, GUILD, found, ids, message_id, put, record};
use model::Id;

mod rot;

fn large(number: u64, size: usize) -> MessageRecord {
    let mut record = record(message_id(1, number));
    record.content = (0..size)
        .map(|i| char::from(b'a' + u8::try_from((i * 7 + i / 13) % 26).unwrap()))
        .collect();
    record
}

fn newest_journal(directory: &Path) -> PathBuf {
    let journals = std::fs::read_dir(directory.join("tree"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let journals =
        journals.filter(|path| path.extension().is_some_and(|extension| extension == "jnl"));
    journals
        .max_by_key(|path| {
            path.file_stem()
                .unwrap()
                .to_str()
                .unwrap()
                .parse::<u64>()
                .unwrap()
        })
        .unwrap()
}

fn used(journal: &[u8]) -> usize {
    journal.iter().rposition(|byte| *byte != 0).unwrap() + 1
}

#[tokio::test]
async fn a_torn_tail_loses_the_last_batch_and_nothing_else() {
    const PAGE: usize = 4_096;
    let directory = tempfile::tempdir().unwrap();
    let store = FjallStore::open(directory.path()).await.unwrap();
    for number in 1..=20 {
        store
            .commit(vec![put(message_id(1, number))])
            .await
            .unwrap();
    }
    store
        .commit(vec![Write::PutMessage(Box::new(large(21, 13_000)))])
        .await
        .unwrap();
    let journal = newest_journal(directory.path());
    let before = used(&std::fs::read(&journal).unwrap());
    store
        .commit(vec![Write::PutMessage(Box::new(large(22, 20_000)))])
        .await
        .unwrap();
    drop(store);
    let whole = std::fs::read(&journal).unwrap();
    let after = used(&whole);
    let pages: Vec<_> = (before.div_ceil(PAGE)..after.div_ceil(PAGE)).collect();
    assert!(pages.len() >= 4, "{pages:?}");
    for page in pages {
        let mut torn = whole.clone();
        torn[page * PAGE..((page + 1) * PAGE).min(whole.len())].fill(0);
        std::fs::write(&journal, torn).unwrap();
        let store = FjallStore::open(directory.path()).await.unwrap();
        let messages = store.messages(CHANNEL, Page::Latest, 100).await.unwrap();
        assert_eq!(messages.len(), 21, "page {page}");
        assert_eq!(messages[0], large(21, 13_000));
        // It goes on where it was cut.
        store.commit(vec![put(message_id(2, 1))]).await.unwrap();
        drop(store);
        let store = FjallStore::open(directory.path()).await.unwrap();
        assert_eq!(
            store
                .messages(CHANNEL, Page::Latest, 100)
                .await
                .unwrap()
                .len(),
            22
        );
        drop(store);
        std::fs::write(&journal, &whole).unwrap();
    }
    let store = FjallStore::open(directory.path()).await.unwrap();
    assert_eq!(
        store.messages(CHANNEL, Page::Latest, 1).await.unwrap(),
        [large(22, 20_000)]
    );
}

#[tokio::test]
async fn damage_before_acknowledged_data_is_not_opened() {
    let directory = tempfile::tempdir().unwrap();
    let store = FjallStore::open(directory.path()).await.unwrap();
    for number in 1..=20 {
        store
            .commit(vec![put(message_id(1, number))])
            .await
            .unwrap();
    }
    drop(store);
    let journal = newest_journal(directory.path());
    let mut bytes = std::fs::read(&journal).unwrap();
    let middle = used(&bytes) / 2;
    bytes[middle] ^= 0xff;
    std::fs::write(&journal, &bytes).unwrap();
    let error = FjallStore::open(directory.path()).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
    assert_eq!(std::fs::read(&journal).unwrap(), bytes);
}

#[tokio::test]
async fn a_failed_commit_breaks_the_store_for_writes_only() {
    let directory = tempfile::tempdir().unwrap();
    let store = FjallStore::open(directory.path()).await.unwrap();
    store.commit(vec![put(message_id(1, 1))]).await.unwrap();
    store.fail_next_commit();
    let failed = store.commit(vec![put(message_id(1, 2))]).await;
    assert!(matches!(failed, Err(StoreError::Unknown(_))), "{failed:?}");
    assert!(matches!(
        store.commit(vec![put(message_id(1, 3))]).await,
        Err(StoreError::Broken(_))
    ));
    assert!(matches!(store.health(), Err(StoreError::Broken(_))));
    assert_eq!(
        ids(&store.messages(CHANNEL, Page::Latest, 9).await.unwrap()),
        [message_id(1, 1)]
    );
    assert!(matches!(store.close().await, Err(StoreError::Broken(_))));
    drop(store);
    let store = FjallStore::open(directory.path()).await.unwrap();
    assert_eq!(
        ids(&store.messages(CHANNEL, Page::Latest, 9).await.unwrap()),
        [message_id(1, 1)]
    );
    store.health().unwrap();
}

#[tokio::test]
async fn a_full_queue_answers_busy_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = FjallStore::open(directory.path()).await.unwrap();
    // One huge batch keeps the committer at work while the queue fills.
    let slow: Vec<_> = (1..=20_000)
        .map(|number| put(message_id(1, number)))
        .collect();
    let slow = store.commit(slow);
    let batch = || {
        (1..=8)
            .map(|number| put(message_id(2, number)))
            .collect::<Vec<_>>()
    };
    let mut queued = Vec::new();
    let mut refused = 0;
    for _ in 0..QUEUE_WRITES {
        queued.push(store.commit(batch()));
        if store.inner.committer.is_full(8) {
            let answer = store.commit(vec![put(message_id(3, 1)); 8]);
            match answer.await {
                Err(StoreError::Busy) => refused += 1,
                Ok(()) => continue,
                other => panic!("{other:?}"),
            }
            break;
        }
    }
    assert_eq!(refused, 1);
    slow.await.unwrap();
    let mut busy = 0;
    for commit in queued {
        match commit.await {
            Ok(()) => {}
            Err(StoreError::Busy) => busy += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(busy <= 1, "{busy}");
    store.commit(batch()).await.unwrap();
}

#[tokio::test]
async fn deletes_leave_no_piece_behind() {
    let directory = tempfile::tempdir().unwrap();
    let store = FjallStore::open(directory.path()).await.unwrap();
    let keys = |table| store.inner.tables.stored_keys(table);
    store
        .commit(vec![Write::PutMessage(Box::new(large(1, 100_000)))])
        .await
        .unwrap();
    assert!(keys(Table::Messages) > 30);
    store
        .commit(vec![Write::PutMessage(Box::new(large(1, 5_000)))])
        .await
        .unwrap();
    assert_eq!(keys(Table::Messages), 2);
    store.commit(vec![put(message_id(1, 1))]).await.unwrap();
    assert_eq!(keys(Table::Messages), 1);
    // Grown and deleted in one batch, and in one after the other.
    store
        .commit(vec![
            Write::PutMessage(Box::new(large(1, 9_000))),
            Write::DeleteMessage(CHANNEL, message_id(1, 1)),
        ])
        .await
        .unwrap();
    assert_eq!(keys(Table::Messages), 0);
    found(&store).await;
    store
        .commit(vec![
            Write::PutMessage(Box::new(large(1, 9_000))),
            Write::DeleteChannel(GUILD, CHANNEL),
        ])
        .await
        .unwrap();
    while store.purge_channel(CHANNEL, 10).await.unwrap() > 0 {}
    for table in [
        Table::Messages,
        Table::Buckets,
        Table::ChannelState,
        Table::Purges,
        Table::Pins,
        Table::Reactions,
    ] {
        assert_eq!(keys(table), 0, "{table:?}");
    }
}

#[tokio::test]
async fn one_process_at_a_time_and_no_other_format() {
    let directory = tempfile::tempdir().unwrap();
    let store = FjallStore::open(directory.path()).await.unwrap();
    let second = FjallStore::open(directory.path()).await.unwrap_err();
    assert!(
        matches!(&second, StoreError::Broken(text) if text.contains("another process")),
        "{second}"
    );
    drop(store);
    // A newer one, and one from before the first.
    for format in [2, 0] {
        let directory = tempfile::tempdir().unwrap();
        let store = FjallStore::open(directory.path()).await.unwrap();
        let key = keys::named(Table::Meta, "format").unwrap();
        let other = tables::Changes::from([(key, Some(value::encode_number(format)))]);
        let tables = &store.inner.tables;
        tables.write(&tables.reader(), &other).unwrap();
        drop(store);
        let refused = FjallStore::open(directory.path()).await.unwrap_err();
        let told = format!("format {format}");
        assert!(
            matches!(&refused, StoreError::Broken(text) if text.contains(&told)),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn reads_never_see_half_of_a_batch() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(FjallStore::open(directory.path()).await.unwrap());
    let writer = store.clone();
    let writes = tokio::spawn(async move {
        for round in 0..300_u64 {
            let set = |number: u64| {
                let mut record = record(message_id(number, 1));
                record.flags = round;
                Write::PutMessage(Box::new(record))
            };
            writer.commit((1..=20).map(set).collect()).await.unwrap();
        }
    });
    while !writes.is_finished() {
        let page = store.messages(CHANNEL, Page::Latest, 50).await.unwrap();
        assert!(page.len() == 20 || page.is_empty());
        assert!(
            page.windows(2).all(|pair| pair[0].flags == pair[1].flags),
            "half of a batch"
        );
    }
    writes.await.unwrap();
    assert_eq!(
        store
            .messages(CHANNEL, Page::After(Id::new(1)), 1)
            .await
            .unwrap()[0]
            .flags,
        299
    );
}
