//! Messages: pages in all directions, patches, purges.

use model::channel::Channel;
use model::embed::Embed;
use model::snowflake::BUCKET_MS;
use model::{ChannelId, Id, MessageId};

use super::{CHANNEL, Engine, GUILD, file, found, ids, message_id, put, record};
use crate::error::StoreError;
use crate::store::{Page, RecordPatch, Store, Write};

async fn page(store: &dyn Store, page: Page, limit: usize) -> Vec<MessageId> {
    ids(&store.messages(CHANNEL, page, limit).await.unwrap())
}

/// Ten messages in buckets 1, 2 and 7 (3 to 6 are empty), oldest first, put out of order and with a
/// neighbour channel on either side.
async fn history(store: &dyn Store) -> Vec<MessageId> {
    let places = [
        (1, 1),
        (1, 2),
        (1, 3),
        (2, 0),
        (2, 1),
        (2, BUCKET_MS - 1),
        (7, 0),
        (7, 1),
        (7, 2),
        (7, 3),
    ];
    let messages = places
        .map(|(bucket, number)| message_id(bucket, number))
        .to_vec();
    let mut batch: Vec<_> = messages.iter().rev().map(|id| put(*id)).collect();
    batch.rotate_left(4);
    for neighbour in [CHANNEL.get() - 1, CHANNEL.get() + 1] {
        let mut other = record(message_id(2, 5));
        other.channel_id = Id::new(neighbour);
        batch.push(Write::PutMessage(Box::new(other)));
    }
    store.commit(batch).await.unwrap();
    messages
}

/// The newest first, from every starting point, whatever the limit.
pub async fn paging(engine: &dyn Engine) {
    let store = engine.open().await;
    assert!(page(&*store, Page::Latest, 50).await.is_empty());
    let messages = history(&*store).await;
    let newest_first = |range: &[MessageId]| range.iter().rev().copied().collect::<Vec<_>>();
    for limit in 0..=11 {
        let from = messages.len().saturating_sub(limit);
        assert_eq!(
            page(&*store, Page::Latest, limit).await,
            newest_first(&messages[from..])
        );
        for (at, id) in messages.iter().enumerate() {
            let below = &messages[at.saturating_sub(limit)..at];
            assert_eq!(
                page(&*store, Page::Before(*id), limit).await,
                newest_first(below),
                "before {at}, {limit}"
            );
            let above = &messages[at + 1..(at + 1 + limit).min(messages.len())];
            assert_eq!(
                page(&*store, Page::After(*id), limit).await,
                newest_first(above),
                "after {at}, {limit}"
            );
        }
    }
    let (first, last) = (messages[0], messages[9]);
    assert_eq!(
        page(&*store, Page::After(Id::new(1)), 2).await,
        newest_first(&messages[..2])
    );
    assert_eq!(
        page(&*store, Page::Before(Id::new(u64::MAX)), 1).await,
        [last]
    );
    assert!(page(&*store, Page::Before(first), 5).await.is_empty());
    assert!(page(&*store, Page::After(last), 5).await.is_empty());
}

/// Several by their ids: in the order asked, with gaps where there is none, across buckets.
pub async fn by_id(engine: &dyn Engine) {
    let store = engine.open().await;
    let all: Vec<_> = (0..40_u64).map(|n| message_id(1 + n % 4, 1 + n)).collect();
    let batch = all.iter().map(|message| put(*message)).collect();
    store.commit(batch).await.unwrap();
    let mut asked = all.clone();
    asked.reverse();
    asked.insert(7, message_id(9, 9));
    asked.push(asked[0]);
    let found = store.messages_by_id(CHANNEL, &asked).await.unwrap();
    let expected = |id: &MessageId| all.contains(id).then(|| record(*id));
    assert_eq!(found, asked.iter().map(expected).collect::<Vec<_>>());
    assert!(store.messages_by_id(CHANNEL, &[]).await.unwrap().is_empty());
    let elsewhere = store.messages_by_id(Id::new(1), &all[..1]).await.unwrap();
    assert_eq!(elsewhere, [None]);
}

/// Half above, then the message and what is below, also around ids that are not there.
pub async fn around(engine: &dyn Engine) {
    let store = engine.open().await;
    let messages = history(&*store).await;
    let m = |at: usize| messages[at];
    assert_eq!(
        page(&*store, Page::Around(m(5)), 4).await,
        [m(7), m(6), m(5), m(4)]
    );
    assert_eq!(
        page(&*store, Page::Around(m(5)), 3).await,
        [m(6), m(5), m(4)]
    );
    assert_eq!(page(&*store, Page::Around(m(5)), 1).await, [m(5)]);
    assert!(page(&*store, Page::Around(m(5)), 0).await.is_empty());
    assert_eq!(
        page(&*store, Page::Around(m(0)), 4).await,
        [m(2), m(1), m(0)]
    );
    assert_eq!(page(&*store, Page::Around(m(9)), 4).await, [m(9), m(8)]);
    let nobody = message_id(4, 9);
    assert_eq!(
        page(&*store, Page::Around(nobody), 4).await,
        [m(7), m(6), m(5), m(4)]
    );
}

/// One message in each of many buckets is one history; a deleted one leaves no hole.
pub async fn across_buckets(engine: &dyn Engine) {
    let store = engine.open().await;
    let all: Vec<_> = (0..40).map(|bucket| message_id(bucket * 3, 7)).collect();
    store
        .commit(all.iter().map(|id| put(*id)).collect())
        .await
        .unwrap();
    let gone = [all[10], all[11], all[12], all[39]];
    store
        .commit(
            gone.iter()
                .map(|id| Write::DeleteMessage(CHANNEL, *id))
                .collect(),
        )
        .await
        .unwrap();
    let mut left: Vec<_> = all
        .iter()
        .copied()
        .filter(|id| !gone.contains(id))
        .collect();
    left.reverse();
    let mut walked = Vec::new();
    let mut next = Page::Latest;
    loop {
        let messages = page(&*store, next, 7).await;
        let Some(last) = messages.last() else { break };
        next = Page::Before(*last);
        walked.extend(messages);
    }
    assert_eq!(walked, left);
    assert_eq!(store.message(CHANNEL, all[10]).await.unwrap(), None);
    assert_eq!(
        store.message(CHANNEL, all[9]).await.unwrap(),
        Some(record(all[9]))
    );
    assert_eq!(store.message(Id::new(1), all[9]).await.unwrap(), None);
}

/// Last message ids only rise, also when older messages come later or the newest is deleted.
pub async fn last_message_ids(engine: &dyn Engine) {
    let store = engine.open().await;
    found(&*store).await;
    let second = ChannelId::new(2_001);
    let mut elsewhere = record(message_id(6, 0));
    elsewhere.channel_id = second;
    let batch = vec![
        Write::PutChannel(Box::new(Channel::new(second, GUILD, 0, "second"))),
        put(message_id(5, 5)),
        put(message_id(5, 4)),
        Write::PutMessage(Box::new(elsewhere)),
    ];
    store.commit(batch).await.unwrap();
    store
        .commit(vec![
            Write::DeleteMessage(CHANNEL, message_id(5, 5)),
            put(message_id(2, 0)),
        ])
        .await
        .unwrap();
    let last = async |channel| {
        let snapshot = store.guild(GUILD).await.unwrap().unwrap();
        let found = snapshot
            .channels
            .iter()
            .find(|c| c.id == channel)
            .and_then(|c| c.last_message_id);
        (found, snapshot.last_message_id)
    };
    assert_eq!(
        last(CHANNEL).await,
        (Some(message_id(5, 5)), Some(message_id(6, 0)))
    );
    assert_eq!(last(second).await.0, Some(message_id(6, 0)));
    store
        .commit(vec![Write::DeleteChannel(GUILD, second)])
        .await
        .unwrap();
    assert_eq!(
        last(CHANNEL).await.1,
        Some(message_id(6, 0)),
        "ids of deleted channels count"
    );
}

/// A patch changes what it names, in the order of the batches, and never brings a message back.
pub async fn patches(engine: &dyn Engine) {
    let store = engine.open().await;
    let id = message_id(1, 1);
    let patch = |patch: RecordPatch| Write::PatchMessage(CHANNEL, id, Box::new(patch));
    let say = |text: &str| {
        patch(RecordPatch {
            content: Some(text.to_owned()),
            ..RecordPatch::default()
        })
    };
    assert_eq!(
        store.commit(vec![say("nobody")]).await,
        Err(StoreError::NotFound)
    );
    let embeds = vec![Embed {
        title: Some("title".to_owned()),
        ..Embed::default()
    }];
    let flags = patch(RecordPatch {
        flags: Some(4),
        embeds: Some(embeds.clone()),
        ..RecordPatch::default()
    });
    store.commit(vec![put(id), say("edited")]).await.unwrap();
    let (first, second) = (
        store.commit(vec![flags]),
        store.commit(vec![say("edited again")]),
    );
    first.await.unwrap();
    second.await.unwrap();
    let mut expected = record(id);
    expected.content = "edited again".to_owned();
    expected.flags = 4;
    expected.embeds = embeds;
    assert_eq!(store.message(CHANNEL, id).await.unwrap(), Some(expected));
    let (gone, late) = (
        store.commit(vec![Write::DeleteMessage(CHANNEL, id)]),
        store.commit(vec![say("ghost")]),
    );
    gone.await.unwrap();
    assert_eq!(late.await, Err(StoreError::NotFound));
    assert_eq!(store.message(CHANNEL, id).await.unwrap(), None);
    store
        .commit(vec![Write::DeleteMessage(CHANNEL, id)])
        .await
        .unwrap();
}

/// A message that is put again is what was put last, whatever it had before.
pub async fn replaced(engine: &dyn Engine) {
    let store = engine.open().await;
    let id = message_id(1, 1);
    let mut full = record(id);
    full.edited_timestamp = Some(model::time::from_unix_ms(1_700_000_000_123));
    full.tts = true;
    full.mention_everyone = true;
    full.mentions = vec![Id::new(1), Id::new(u64::from(u32::MAX))];
    full.mention_roles = vec![Id::new(2)];
    full.embeds = vec![Embed {
        title: Some("title".to_owned()),
        ..Embed::default()
    }];
    full.nonce = Some(model::message::Nonce::Integer(-7));
    full.pinned = true;
    full.flags = 1 << 63;
    full.kind = 255;
    full.message_reference = Some(model::message::MessageReference {
        kind: 0,
        message_id: Some(message_id(1, 0)),
        channel_id: CHANNEL,
        guild_id: None,
    });
    let mut empty = record(id);
    empty.content = String::new();
    let put = |record: &model::message::MessageRecord| {
        store.commit(vec![Write::PutMessage(Box::new(record.clone()))])
    };
    for state in [&full, &empty, &full, &full, &empty] {
        put(state).await.unwrap();
        let seen = store.message(CHANNEL, id).await.unwrap();
        assert_eq!(seen.as_ref(), Some(state));
    }
    // In one batch, and after a delete in the same one.
    let batch = vec![
        Write::PutMessage(Box::new(full.clone())),
        Write::DeleteMessage(CHANNEL, id),
        Write::PutMessage(Box::new(empty.clone())),
    ];
    store.commit(batch).await.unwrap();
    assert_eq!(store.message(CHANNEL, id).await.unwrap(), Some(empty));
}

/// Values of any size come back whole, in both directions, and shrink and go without a trace.
pub async fn large_values(engine: &dyn Engine) {
    let store = engine.open().await;
    let sizes = [10_usize, 3_000, 3_072, 4_096, 13_000, 70_000, 300_000];
    let mut expected = Vec::new();
    for (number, size) in (1..).zip(sizes) {
        let mut large = record(message_id(1, number));
        large.content = (0..size)
            .map(|i| char::from(b'a' + u8::try_from(i % 23).unwrap()))
            .collect();
        store
            .commit(vec![Write::PutMessage(Box::new(large.clone()))])
            .await
            .unwrap();
        expected.push(large);
    }
    let oldest_first = expected.clone();
    expected.reverse();
    assert_eq!(
        store.messages(CHANNEL, Page::Latest, 50).await.unwrap(),
        expected
    );
    assert_eq!(
        store
            .messages(CHANNEL, Page::After(Id::new(1)), 50)
            .await
            .unwrap(),
        expected
    );
    for (at, message) in oldest_first.iter().enumerate() {
        assert_eq!(
            store.message(CHANNEL, message.id).await.unwrap().as_ref(),
            Some(message)
        );
        let above = store
            .messages(CHANNEL, Page::After(message.id), 1)
            .await
            .unwrap();
        assert_eq!(above.first(), oldest_first.get(at + 1));
        let below = store
            .messages(CHANNEL, Page::Before(message.id), 1)
            .await
            .unwrap();
        assert_eq!(
            below.first(),
            at.checked_sub(1).map(|below| &oldest_first[below])
        );
    }
    // Shrinks to one piece, grows again, goes: never a piece of the old one between.
    let id = message_id(1, 7);
    store.commit(vec![put(id)]).await.unwrap();
    assert_eq!(store.message(CHANNEL, id).await.unwrap(), Some(record(id)));
    assert_eq!(page(&*store, Page::Latest, 2).await, [id, message_id(1, 6)]);
    assert_eq!(page(&*store, Page::After(message_id(1, 6)), 5).await, [id]);
    store
        .commit(vec![Write::PutMessage(Box::new(expected[0].clone()))])
        .await
        .unwrap();
    assert_eq!(
        store.message(CHANNEL, id).await.unwrap().as_ref(),
        Some(&expected[0])
    );
    store
        .commit(vec![Write::DeleteMessage(CHANNEL, id)])
        .await
        .unwrap();
    assert_eq!(page(&*store, Page::Latest, 1).await, [message_id(1, 6)]);
    assert_eq!(
        page(&*store, Page::After(message_id(1, 5)), 5).await,
        [message_id(1, 6)]
    );
    store.commit(vec![put(id)]).await.unwrap();
    assert_eq!(store.message(CHANNEL, id).await.unwrap(), Some(record(id)));
}

/// A deleted channel is purged a slice at a time, newest first; a live one is not.
pub async fn purge(engine: &dyn Engine) {
    let store = engine.open().await;
    found(&*store).await;
    let messages = history(&*store).await;
    assert!(matches!(
        store.purge_channel(CHANNEL, 5).await,
        Err(StoreError::NotApplied(_))
    ));
    store
        .commit(vec![
            Write::PutPin(CHANNEL, messages[0], 1),
            Write::DeleteChannel(GUILD, CHANNEL),
        ])
        .await
        .unwrap();
    assert_eq!(page(&*store, Page::Latest, 50).await.len(), 10);
    let mut purged = Vec::new();
    loop {
        let some = store.purge_channel(CHANNEL, 4).await.unwrap();
        if some == 0 {
            break;
        }
        purged.push(some);
        let left = page(&*store, Page::Latest, 50).await.len();
        assert_eq!(left, 10 - purged.iter().sum::<usize>());
    }
    assert_eq!(purged, [4, 4, 2]);
    assert_eq!(store.pin_count(CHANNEL).await.unwrap(), 0);
    let neighbours = store
        .messages(Id::new(CHANNEL.get() + 1), Page::Latest, 9)
        .await
        .unwrap();
    assert_eq!(neighbours.len(), 1);
}

/// A channel that is half purged takes messages like any other, and those go with the rest.
pub async fn put_while_purged(engine: &dyn Engine) {
    let store = engine.open().await;
    found(&*store).await;
    let messages = history(&*store).await;
    store
        .commit(vec![Write::DeleteChannel(GUILD, CHANNEL)])
        .await
        .unwrap();
    assert_eq!(store.purge_channel(CHANNEL, 4).await.unwrap(), 4);
    // In the bucket that was emptied, above and below what was there, and over what is still there.
    let new = [message_id(7, 9), message_id(7, 0), messages[2]];
    store
        .commit(new.iter().map(|id| put(*id)).collect())
        .await
        .unwrap();
    let mut left = vec![new[0], new[1]];
    left.extend(messages[..6].iter().rev());
    assert_eq!(page(&*store, Page::Latest, 50).await, left);
    assert_eq!(store.purge_channel(CHANNEL, 50).await.unwrap(), 8);
    assert_eq!(store.purge_channel(CHANNEL, 50).await.unwrap(), 0);
    store.commit(vec![put(messages[0])]).await.unwrap();
    assert_eq!(page(&*store, Page::Latest, 50).await, [messages[0]]);
}

/// What is left to purge is on a list until it is done, whether the channel went alone or with its
/// guild.
pub async fn purge_list(engine: &dyn Engine) {
    let store = engine.open().await;
    found(&*store).await;
    let second = ChannelId::new(2_001);
    let batch = vec![
        Write::PutChannel(Box::new(Channel::new(second, GUILD, 0, "second"))),
        put(message_id(1, 1)),
    ];
    store.commit(batch).await.unwrap();
    assert!(store.channels_to_purge(9).await.unwrap().is_empty());
    store
        .commit(vec![Write::DeleteChannel(GUILD, second)])
        .await
        .unwrap();
    store.commit(vec![Write::DeleteGuild(GUILD)]).await.unwrap();
    assert_eq!(store.channels_to_purge(9).await.unwrap(), [CHANNEL, second]);
    assert_eq!(store.channels_to_purge(1).await.unwrap(), [CHANNEL]);
    assert_eq!(store.purge_channel(second, 5).await.unwrap(), 0);
    assert_eq!(store.channels_to_purge(9).await.unwrap(), [CHANNEL]);
    assert_eq!(store.purge_channel(CHANNEL, 5).await.unwrap(), 1);
    assert!(store.channels_to_purge(9).await.unwrap().is_empty());
}

/// A file is to be deleted as soon as nothing refers to it, until it is said to be deleted.
pub async fn lost_files(engine: &dyn Engine) {
    let store = engine.open().await;
    found(&*store).await;
    let with = |number: u64, files: &[u64]| {
        let mut record = record(message_id(1, number));
        record.attachments = files.iter().copied().map(file).collect();
        Write::PutMessage(Box::new(record))
    };
    let batch = vec![
        with(1, &[11, 12, 13]),
        with(2, &[21]),
        with(3, &[31]),
        put(message_id(1, 4)),
    ];
    store.commit(batch).await.unwrap();
    let lost = async || {
        let files = store.files_to_delete(99).await.unwrap();
        files
            .into_iter()
            .map(|file| {
                assert_eq!(file.channel_id, CHANNEL);
                assert_eq!(file.filename, format!("{}.txt", file.attachment_id));
                file.attachment_id.get()
            })
            .collect::<Vec<_>>()
    };
    let patch = |patch: RecordPatch| {
        vec![Write::PatchMessage(
            CHANNEL,
            message_id(1, 1),
            Box::new(patch),
        )]
    };
    let text = RecordPatch {
        content: Some("edited".to_owned()),
        ..RecordPatch::default()
    };
    store.commit(patch(text)).await.unwrap();
    assert!(lost().await.is_empty(), "an edit that drops none");
    let files = RecordPatch {
        attachments: Some(vec![file(12)]),
        ..RecordPatch::default()
    };
    store.commit(patch(files)).await.unwrap();
    assert_eq!(lost().await, [11, 13]);
    let batch = vec![
        Write::DeleteMessage(CHANNEL, message_id(1, 2)),
        Write::DeleteMessage(CHANNEL, message_id(1, 4)),
    ];
    store.commit(batch).await.unwrap();
    assert_eq!(lost().await, [11, 13, 21]);
    assert_eq!(store.files_to_delete(2).await.unwrap().len(), 2);
    let gone = Write::ForgetFiles(CHANNEL, vec![Id::new(11), Id::new(21), Id::new(99)]);
    store.commit(vec![gone]).await.unwrap();
    assert_eq!(lost().await, [13]);
    let gone = Write::DeleteChannel(GUILD, CHANNEL);
    store.commit(vec![gone]).await.unwrap();
    assert_eq!(store.purge_channel(CHANNEL, 99).await.unwrap(), 3 - 1);
    assert_eq!(lost().await, [12, 13, 31]);
}
