//! Reactions: rows are the truth, counts follow them exactly.

use model::emoji::ReactionEmoji;
use model::reaction::ReactionRecord;
use model::{Id, UserId};

use super::{ADA, BOB, CHANNEL, Engine, emoji, message_id, put, reaction, reactions};
use crate::error::StoreError;
use crate::store::{EmojiCount, ReactionCount, Store, Write};

fn count(name: &str, count: u64, me: bool) -> ReactionCount {
    ReactionCount {
        emoji: emoji(name),
        count,
        me,
    }
}

async fn seen(store: &dyn Store, number: u64, reader: UserId) -> Vec<ReactionCount> {
    reactions(store, CHANNEL, &[message_id(1, number)], reader)
        .await
        .unwrap()
        .remove(0)
}

/// Each user counts once; a missing reaction can be taken away without harm.
pub async fn counting(engine: &dyn Engine) {
    let store = engine.open().await;
    let id = message_id(1, 1);
    let react = |user, name: &str, at_ms| Write::PutReaction(reaction(id, user, name, at_ms));
    let unreact = |user, name: &str| Write::DeleteReaction(CHANNEL, id, emoji(name), user);
    store
        .commit(vec![
            put(id),
            put(message_id(1, 2)),
            react(ADA, "👍", 10),
            react(ADA, "👍", 5),
        ])
        .await
        .unwrap();
    assert_eq!(seen(&*store, 1, ADA).await, [count("👍", 1, true)]);
    store
        .commit(vec![react(BOB, "👍", 20), react(BOB, "👍", 21)])
        .await
        .unwrap();
    store
        .commit(vec![unreact(BOB, "❤"), unreact(Id::new(9), "👍")])
        .await
        .unwrap();
    assert_eq!(seen(&*store, 1, Id::new(9)).await, [count("👍", 2, false)]);
    // Off and on in one batch, and twice off.
    store
        .commit(vec![
            unreact(ADA, "👍"),
            react(ADA, "👍", 30),
            unreact(BOB, "👍"),
            unreact(BOB, "👍"),
        ])
        .await
        .unwrap();
    assert_eq!(seen(&*store, 1, BOB).await, [count("👍", 1, false)]);
    store.commit(vec![unreact(ADA, "👍")]).await.unwrap();
    let pages = reactions(
        &*store,
        CHANNEL,
        &[message_id(1, 2), id, message_id(1, 3)],
        ADA,
    )
    .await
    .unwrap();
    assert_eq!(pages, [vec![], vec![], vec![]]);
    let racing: Vec<_> = (1..=40_u64)
        .map(|user| store.commit(vec![react(Id::new(user), "🎉", 50)]))
        .collect();
    for commit in racing {
        commit.await.unwrap();
    }
    assert_eq!(seen(&*store, 1, Id::new(7)).await, [count("🎉", 40, true)]);
}

/// Emoji stand in the order of their first use, also when the first user takes it back; a renamed
/// custom emoji is the same one.
pub async fn order(engine: &dyn Engine) {
    let store = engine.open().await;
    let id = message_id(1, 1);
    let react = |user, name: &str, at_ms| Write::PutReaction(reaction(id, user, name, at_ms));
    store
        .commit(vec![
            put(id),
            react(ADA, "z", 1),
            react(ADA, "a", 2),
            react(BOB, "z", 3),
        ])
        .await
        .unwrap();
    store
        .commit(vec![Write::DeleteReaction(CHANNEL, id, emoji("z"), ADA)])
        .await
        .unwrap();
    assert_eq!(
        seen(&*store, 1, ADA).await,
        [count("z", 1, false), count("a", 1, true)]
    );
    let custom = |name: &str| ReactionEmoji {
        id: Some(Id::new(77)),
        name: Some(name.to_owned()),
        animated: false,
    };
    let by = |user, name: &str| {
        let reaction = ReactionRecord {
            emoji: custom(name),
            ..reaction(id, user, "", 0)
        };
        Write::PutReaction(reaction)
    };
    store
        .commit(vec![by(ADA, "old"), by(BOB, "new")])
        .await
        .unwrap();
    let all = seen(&*store, 1, BOB).await;
    assert_eq!(
        all[0],
        ReactionCount {
            emoji: custom("old"),
            count: 2,
            me: true,
        }
    );
    assert_eq!(
        store
            .reactors(CHANNEL, id, &custom("newest"), None, 9)
            .await
            .unwrap(),
        [ADA, BOB]
    );
}

/// Users who reacted, in id order, page by page.
pub async fn paging_reactors(engine: &dyn Engine) {
    let store = engine.open().await;
    let id = message_id(1, 1);
    let users = [300_u64, 5, 70_000, 255, 256];
    let mut batch = vec![
        put(id),
        Write::PutReaction(reaction(id, Id::new(6), "👎", 1)),
    ];
    batch.extend(users.map(|user| Write::PutReaction(reaction(id, Id::new(user), "👍", user))));
    store.commit(batch).await.unwrap();
    let page = async |after: Option<u64>, limit| {
        let page = store
            .reactors(CHANNEL, id, &emoji("👍"), after.map(Id::new), limit)
            .await
            .unwrap();
        page.iter().map(|user| user.get()).collect::<Vec<_>>()
    };
    assert_eq!(page(None, 3).await, [5, 255, 256]);
    assert_eq!(page(Some(256), 3).await, [300, 70_000]);
    assert_eq!(page(Some(6), 1).await, [255]);
    assert_eq!(page(Some(70_000), 3).await, [0_u64; 0]);
    assert!(
        store
            .reactors(CHANNEL, id, &emoji("❤"), None, 3)
            .await
            .unwrap()
            .is_empty()
    );
}

/// When each user reacted, page by page, and when the emoji was first used, which outlives the one who
/// did.
pub async fn times(engine: &dyn Engine) {
    let store = engine.open().await;
    let id = message_id(1, 1);
    let react = |user, at_ms| Write::PutReaction(reaction(id, user, "👍", at_ms));
    let other = Write::PutReaction(reaction(id, ADA, "❤", 1));
    let batch = vec![
        put(id),
        other,
        react(ADA, 40),
        react(BOB, 50),
        react(BOB, 60),
        react(Id::new(5), 70),
    ];
    store.commit(batch).await.unwrap();
    let thumb = emoji("👍");
    let times = async |after, limit| {
        let times = store.reaction_times(CHANNEL, id, &thumb, after, limit);
        times.await.unwrap()
    };
    assert_eq!(times(None, 2).await, [(Id::new(5), 70), (ADA, 40)]);
    assert_eq!(times(Some(ADA), 9).await, [(BOB, 50)]);
    assert_eq!(times(None, 0).await, []);
    assert_eq!(times(Some(BOB), 9).await, []);
    let first = async || {
        let seen = store
            .reaction_counts(CHANNEL, &[id])
            .await
            .unwrap()
            .remove(0);
        let thumb = seen.into_iter().find(|count| count.emoji == emoji("👍"));
        thumb.map(|count| count.first_at_ms)
    };
    let unreact = |user| Write::DeleteReaction(CHANNEL, id, emoji("👍"), user);
    store.commit(vec![unreact(ADA)]).await.unwrap();
    assert_eq!(times(None, 9).await, [(Id::new(5), 70), (BOB, 50)]);
    assert_eq!(first().await, Some(40));
    let gone = vec![unreact(BOB), unreact(Id::new(5)), react(ADA, 90)];
    store.commit(gone).await.unwrap();
    assert_eq!(times(None, 9).await, [(ADA, 90)]);
    assert_eq!(first().await, Some(90));
}

/// One emoji or all are cleared, those of the same batch too.
pub async fn clearing(engine: &dyn Engine) {
    let store = engine.open().await;
    let id = message_id(1, 1);
    let react = |user, name: &str, at_ms| Write::PutReaction(reaction(id, user, name, at_ms));
    store
        .commit(vec![
            put(id),
            react(ADA, "👍", 1),
            react(BOB, "👍", 2),
            react(BOB, "❤", 3),
        ])
        .await
        .unwrap();
    let clear = Write::ClearReactions(CHANNEL, id, Some(emoji("👍")));
    store
        .commit(vec![react(Id::new(9), "👍", 4), clear])
        .await
        .unwrap();
    assert_eq!(seen(&*store, 1, BOB).await, [count("❤", 1, true)]);
    assert!(
        store
            .reactors(CHANNEL, id, &emoji("👍"), None, 9)
            .await
            .unwrap()
            .is_empty()
    );
    store.commit(vec![react(ADA, "👍", 9)]).await.unwrap();
    assert_eq!(
        seen(&*store, 1, ADA).await,
        [count("❤", 1, false), count("👍", 1, true)]
    );
    store
        .commit(vec![
            Write::ClearReactions(CHANNEL, id, None),
            react(ADA, "🎉", 10),
        ])
        .await
        .unwrap();
    assert_eq!(seen(&*store, 1, ADA).await, [count("🎉", 1, true)]);
}

/// A reaction cannot outlive its message or be added to one that is gone.
pub async fn need_their_message(engine: &dyn Engine) {
    let store = engine.open().await;
    let id = message_id(1, 1);
    let react = || Write::PutReaction(reaction(id, ADA, "👍", 1));
    assert_eq!(store.commit(vec![react()]).await, Err(StoreError::NotFound));
    store.commit(vec![put(id), react()]).await.unwrap();
    store
        .commit(vec![Write::DeleteMessage(CHANNEL, id)])
        .await
        .unwrap();
    assert_eq!(store.commit(vec![react()]).await, Err(StoreError::NotFound));
    store.commit(vec![put(id)]).await.unwrap();
    assert!(seen(&*store, 1, ADA).await.is_empty());
}

/// Who reacted to many messages at once, across buckets: each in the order asked, users in id order.
pub async fn several_at_once(engine: &dyn Engine) {
    let store = engine.open().await;
    let messages: Vec<_> = (0..70_u64)
        .map(|n| message_id(1 + n % 3, 100 - n))
        .collect();
    let mut batch: Vec<_> = messages.iter().map(|message| put(*message)).collect();
    let mut expected = Vec::new();
    for (n, message) in messages.iter().enumerate() {
        let some: Vec<_> = [Id::new(900), BOB, ADA, Id::new(2)]
            .into_iter()
            .take(n % 5)
            .collect();
        batch.extend(
            some.iter()
                .map(|user| Write::PutReaction(reaction(*message, *user, "👍", 5))),
        );
        expected.push(some);
    }
    batch.push(Write::PutReaction(reaction(messages[9], ADA, "❤", 6)));
    store.commit(batch).await.unwrap();
    let of: Vec<_> = messages
        .iter()
        .map(|message| (*message, emoji("👍")))
        .collect();
    let users = store.reactors_of(CHANNEL, &of).await.unwrap();
    for (users, expected) in users.iter().zip(&mut expected) {
        expected.sort_unstable();
        assert_eq!(users, expected);
    }
    let reacted = store.reacted(CHANNEL, ADA, &of).await.unwrap();
    let ada: Vec<_> = expected.iter().map(|users| users.contains(&ADA)).collect();
    assert_eq!(reacted, ada);
    let both = [
        (messages[9], emoji("🎉")),
        (messages[9], emoji("❤")),
        (message_id(7, 7), emoji("❤")),
    ];
    assert_eq!(
        store.reactors_of(CHANNEL, &both).await.unwrap(),
        [vec![], vec![ADA], vec![]]
    );
    assert_eq!(
        store.reacted(CHANNEL, ADA, &both).await.unwrap(),
        [false, true, false]
    );
    assert!(store.reactors_of(CHANNEL, &[]).await.unwrap().is_empty());
    assert!(store.reacted(CHANNEL, ADA, &[]).await.unwrap().is_empty());
    let counts = store.reaction_counts(CHANNEL, &messages).await.unwrap();
    let number = |counts: &Vec<EmojiCount>| counts.iter().map(|count| count.count).sum::<u64>();
    let counts: Vec<_> = counts.iter().map(number).collect();
    let expected: Vec<_> = (0..70_u64).map(|n| n % 5 + u64::from(n == 9)).collect();
    assert_eq!(counts, expected);
}
