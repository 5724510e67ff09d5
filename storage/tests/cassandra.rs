//! What only a cluster can show: orphans and how they are healed, keyspaces of other versions, two
//! stores on one keyspace, a node that dies. Skipped without `GUILDHALL_TEST_CQL`.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use model::channel::{Channel, Overwrite};
use model::permissions::Permissions;
use model::read_state::ReadState;
use model::{Id, MessageId};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use storage::conformance::{
    ADA, BOB, CHANNEL, GUILD, account, found, ids, message_id, put, record,
};
use storage::engine::scylla::{Pace, ScyllaStore};
use storage::store::{Page, RecordPatch, Write};
use storage::upkeep::Upkeep as _;
use storage::{Epoch, Store, StoreError, engine};

#[path = "cassandra/fences.rs"]
mod fences;
#[path = "support/keyspace.rs"]
mod keyspace;

use keyspace::Keyspace;

/// A session of the test's own, that writes what the engine never would.
async fn raw(keyspace: &Keyspace) -> Session {
    let nodes = keyspace.nodes();
    let session = SessionBuilder::new()
        .known_nodes(nodes)
        .build()
        .await
        .unwrap();
    session.use_keyspace(keyspace.name(), false).await.unwrap();
    session
}

async fn open(keyspace: &Keyspace) -> ScyllaStore {
    let rest = keyspace.url().strip_prefix("scylla:").unwrap();
    ScyllaStore::open(rest).await.unwrap()
}

/// The edit that lost the race with a delete: an update of a row that is not there.
async fn late_edit(session: &Session, id: MessageId) {
    let bucket = i32::try_from(model::snowflake::bucket(id)).unwrap();
    let (channel, id) = (
        i64::try_from(CHANNEL.get()).unwrap(),
        i64::try_from(id.get()).unwrap(),
    );
    session
        .query_unpaged(
            "UPDATE messages SET content = 'ghost', edited_us = 1 WHERE channel_id = ? AND bucket = ? AND message_id = ?",
            (channel, bucket, id),
        )
        .await
        .unwrap();
}

async fn rows(session: &Session) -> i64 {
    let answer = session
        .query_unpaged("SELECT COUNT(*) FROM messages", ())
        .await
        .unwrap();
    let rows = answer.into_rows_result().unwrap();
    rows.single_row::<(i64,)>().unwrap().0
}

/// Never shown, from the first read on; gone after the worker looked at what the readers met.
#[tokio::test]
async fn an_orphan_is_never_shown_and_is_healed() {
    let Some(keyspace) = Keyspace::new() else {
        return;
    };
    let store = open(&keyspace).await;
    let raw = raw(&keyspace).await;
    let all: Vec<_> = (1..=6).map(|number| message_id(1, number)).collect();
    store
        .commit(all.iter().map(|id| put(*id)).collect())
        .await
        .unwrap();
    for ghost in [all[2], all[3], all[5]] {
        store
            .commit(vec![Write::DeleteMessage(CHANNEL, ghost)])
            .await
            .unwrap();
        late_edit(&raw, ghost).await;
    }
    assert_eq!(rows(&raw).await, 6, "the race has left rows behind");
    let left = [all[4], all[1], all[0]];
    // Whatever page, and also when an orphan takes a row's place in the answer.
    for limit in 1..=4 {
        let page = store.messages(CHANNEL, Page::Latest, limit).await.unwrap();
        assert_eq!(ids(&page), left[..limit.min(3)]);
    }
    let up = store
        .messages(CHANNEL, Page::After(all[1]), 9)
        .await
        .unwrap();
    assert_eq!(ids(&up), [all[4]]);
    assert_eq!(store.message(CHANNEL, all[2]).await.unwrap(), None);
    // It cannot be edited, reacted to or pinned either.
    let patch = RecordPatch {
        content: Some("again".to_owned()),
        ..RecordPatch::default()
    };
    let edit = vec![Write::PatchMessage(CHANNEL, all[2], Box::new(patch))];
    assert_eq!(store.commit(edit).await, Err(StoreError::NotFound));
    let pin = vec![Write::PutPin(CHANNEL, all[2], 1)];
    assert_eq!(store.commit(pin).await, Err(StoreError::NotFound));

    let mut worker = store.anti_entropy(Pace::default());
    assert_eq!(worker.heal_met().await.unwrap(), 3);
    assert_eq!(rows(&raw).await, 3);
    assert_eq!(worker.heal_met().await.unwrap(), 0);
    // A message put again on purpose is not covered by the delete.
    store.commit(vec![put(all[2])]).await.unwrap();
    assert_eq!(
        store.message(CHANNEL, all[2]).await.unwrap(),
        Some(record(all[2]))
    );
}

/// An orphan nobody reads is found by the scan, which goes on where it was after a restart, and rests
/// after a round, whoever is restarted.
#[tokio::test]
async fn the_scan_finds_what_nobody_reads() {
    let Some(keyspace) = Keyspace::new() else {
        return;
    };
    let store = open(&keyspace).await;
    let raw = raw(&keyspace).await;
    for bucket in 0..20 {
        store
            .commit(vec![put(message_id(bucket, 1))])
            .await
            .unwrap();
        late_edit(&raw, message_id(bucket, 2)).await;
    }
    assert_eq!(rows(&raw).await, 40);
    let pace = Pace {
        rows_per_second: 1_000_000,
        rest: Duration::from_secs(3_600),
    };
    // Each part of the scan by another worker: the cursor is in the keyspace.
    let mut steps = 0;
    'round: loop {
        let mut worker = store.anti_entropy(pace);
        for _ in 0..1_500 {
            steps += 1;
            if worker.scan_page().await.unwrap() == pace.rest {
                break 'round;
            }
        }
        assert!(steps < 10_000, "the scan does not come round");
    }
    assert_eq!(rows(&raw).await, 20);
    let page = store.messages(CHANNEL, Page::Latest, 50).await.unwrap();
    assert_eq!(page.len(), 20);
    late_edit(&raw, message_id(0, 2)).await;
    let mut worker = store.anti_entropy(pace);
    for _ in 0..3 {
        let pause = worker.step().await.unwrap();
        assert!(
            pause > Duration::from_secs(1),
            "it does not scan: {pause:?}"
        );
    }
    assert_eq!(rows(&raw).await, 21, "the hour is not over");
    // What a reader meets is healed all the same.
    assert_eq!(
        store.message(CHANNEL, message_id(0, 2)).await.unwrap(),
        None
    );
    worker.step().await.unwrap();
    assert_eq!(rows(&raw).await, 20);
}

/// Two stores on one keyspace, as two nodes have it: names are unique in both, writes of one are
/// seen by the other, and a writer whose clock is behind still wins over what it has read.
#[tokio::test]
async fn two_stores_share_a_keyspace() {
    let Some(keyspace) = Keyspace::new() else {
        return;
    };
    let (one, two) = (open(&keyspace).await, open(&keyspace).await);
    found(&one).await;
    assert_eq!(
        two.create_account(account(Id::new(9), "ada", false)).await,
        Err(StoreError::Conflict("username"))
    );
    let rivals = (10..18_u64).map(|user| {
        let store = if user % 2 == 0 { &one } else { &two };
        store.create_account(account(Id::new(user), "wanted", false))
    });
    let results = futures_util::future::join_all(rivals).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert!(
        results
            .iter()
            .all(|result| matches!(result, Ok(()) | Err(StoreError::Conflict("username"))))
    );
    let id = message_id(1, 1);
    one.commit(vec![put(id)]).await.unwrap();
    // As if a third node wrote with a clock that is an hour ahead.
    let raw = raw(&keyspace).await;
    let ahead = i64::try_from(
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_micros(),
    )
    .unwrap()
        + 3_600_000_000;
    let bucket = i32::try_from(model::snowflake::bucket(id)).unwrap();
    let text = "UPDATE messages USING TIMESTAMP ? SET content = 'ahead' WHERE channel_id = ? AND bucket = ? AND message_id = ?";
    let key = (
        ahead,
        i64::try_from(CHANNEL.get()).unwrap(),
        bucket,
        i64::try_from(id.get()).unwrap(),
    );
    raw.query_unpaged(text, key).await.unwrap();
    let patch = RecordPatch {
        content: Some("later".to_owned()),
        ..RecordPatch::default()
    };
    two.commit(vec![Write::PatchMessage(CHANNEL, id, Box::new(patch))])
        .await
        .unwrap();
    let seen = one.message(CHANNEL, id).await.unwrap().unwrap();
    assert_eq!(seen.content, "later");
    assert_eq!(two.guilds_of(ADA).await.unwrap(), [GUILD]);
    assert_eq!(two.guilds_of(BOB).await.unwrap(), [GUILD]);
}

/// A keyspace of a newer version is refused, and one that is not there when it must not be made.
#[tokio::test]
async fn other_versions_are_refused() {
    let Some(keyspace) = Keyspace::new() else {
        return;
    };
    let never = format!("{}&create=false", keyspace.url());
    assert!(matches!(
        engine::open(&never).await.map(drop),
        Err(StoreError::Broken(text)) if text.contains(keyspace.name())
    ));
    drop(open(&keyspace).await);
    drop(engine::open(&never).await.unwrap());
    let raw = raw(&keyspace).await;
    raw.query_unpaged(
        "INSERT INTO schema_versions (shard, version, applied_us) VALUES (0, 99, 0)",
        (),
    )
    .await
    .unwrap();
    assert!(matches!(
        engine::open(keyspace.url()).await.map(drop),
        Err(StoreError::Broken(text)) if text.contains("version 99")
    ));
    let nobody = "scylla://127.0.0.1:1/keyspace";
    assert!(matches!(
        engine::open(nobody).await.map(drop),
        Err(StoreError::Broken(text)) if text.contains("127.0.0.1:1")
    ));
}

/// A keyspace of the first version gets what came later, and keeps what it has.
#[tokio::test]
async fn an_older_version_is_migrated() {
    let Some(keyspace) = Keyspace::new() else {
        return;
    };
    let store = open(&keyspace).await;
    store.commit(vec![put(message_id(1, 1))]).await.unwrap();
    drop(store);
    let raw = raw(&keyspace).await;
    for statement in [
        "DROP TABLE guild_epochs",
        "DROP TABLE read_states",
        "DELETE FROM schema_versions WHERE shard = 0 AND version >= 2",
    ] {
        raw.query_unpaged(statement, ()).await.unwrap();
    }
    let store = open(&keyspace).await;
    let mut state = ReadState::new(ADA, CHANNEL);
    state.read(message_id(1, 1));
    let write = Write::PutReadState(Box::new(state.clone()));
    store.commit(vec![write]).await.unwrap();
    assert_eq!(store.read_states(ADA, 9).await.unwrap(), [state]);
    store.claim(GUILD, Epoch(1)).await.unwrap();
    let kept = store.message(CHANNEL, message_id(1, 1)).await.unwrap();
    assert_eq!(kept, Some(record(message_id(1, 1))));
}

/// A definite error that says that the same again is useless.
fn too_large(outcome: storage::store::Result<()>) {
    assert!(
        matches!(outcome, Err(StoreError::TooLarge(_))),
        "{outcome:?}"
    );
}

/// Whatever limit a request is over, each is told in the same way, and the connection it came on, with
/// what others sent on it, stays good.
#[tokio::test]
async fn each_limit_of_the_server_is_told_as_too_large() {
    const MIB: usize = 1_024 * 1_024;
    let Some(keyspace) = Keyspace::new() else {
        return;
    };
    let store = open(&keyspace).await;
    let set = |name: &str, bytes: usize| Write::PutSetting(name.to_owned(), vec![7; bytes]);
    for (what, batch) in [
        ("one mutation", vec![set("one", 9 * MIB)]),
        ("a batch", vec![set("one", 2 * MIB), put(message_id(1, 2))]),
        (
            "a request",
            vec![set("one", 10 * MIB), set("two", 10 * MIB)],
        ),
        ("a value", vec![set("one", 17 * MIB)]),
    ] {
        let neighbour = store.commit(vec![put(message_id(1, 1))]);
        let began = Instant::now();
        let outcome = store.commit(batch).await;
        eprintln!("{what}: {outcome:?} after {:?}", began.elapsed());
        too_large(outcome);
        neighbour.await.unwrap();
        assert_eq!(store.setting("one").await.unwrap(), None, "{what}");
        store.commit(vec![set(what, 1)]).await.unwrap();
    }
}

/// Batches of several callers that go together, of which some make them too many: those alone fail,
/// and nothing of them is there. On a Cassandra as it comes: `tests/cassandra/run.sh --as-it-comes`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_who_is_too_large_fails_of_those_that_go_together() {
    // Above 50 KiB; what is guessed of them is not, so they share groups with others.
    const OVERWRITES: u64 = 1_000;
    let Some(keyspace) = Keyspace::new() else {
        return;
    };
    let store = open(&keyspace).await;
    found(&*Arc::new(open(&keyspace).await)).await;
    let mut wide = Channel::new(CHANNEL, GUILD, 0, "wide");
    let overwrite = |number| Overwrite {
        id: Id::new((1 << 40) + number),
        kind: 1,
        allow: Permissions::all(),
        deny: Permissions::empty(),
    };
    wide.permission_overwrites = (0..OVERWRITES).map(overwrite).collect();
    let commits: Vec<_> = (1..=30)
        .map(|number| {
            let mut batch = vec![put(message_id(1, number))];
            let large = number % 10 == 5;
            if large {
                batch.push(Write::PutChannel(Box::new(wide.clone())));
            }
            (number, large, store.commit(batch))
        })
        .collect();
    let mut kept = Vec::new();
    for (number, large, commit) in commits {
        if large && keyspace.as_it_comes() {
            too_large(commit.await);
        } else {
            commit.await.unwrap();
            kept.push(message_id(1, number));
        }
    }
    kept.reverse();
    let page = store.messages(CHANNEL, Page::Latest, 50).await.unwrap();
    assert_eq!(ids(&page), kept);
    let guild = store.guild(GUILD).await.unwrap().unwrap();
    let channel = guild.channels.iter().find(|one| one.id == CHANNEL).unwrap();
    assert_eq!(channel.name == "wide", !keyspace.as_it_comes());
}

/// A batch that no server takes is refused and changes nothing; its neighbours are not touched.
#[tokio::test]
async fn a_batch_too_large_leaves_its_neighbours_alone() {
    let Some(keyspace) = Keyspace::new() else {
        return;
    };
    let store = open(&keyspace).await;
    let mut large = record(message_id(1, 2));
    large.content = "x".repeat(12 * 1_024 * 1_024);
    let commits = [
        store.commit(vec![put(message_id(1, 1))]),
        store.commit(vec![Write::PutMessage(Box::new(large))]),
        store.commit(vec![put(message_id(1, 3))]),
    ];
    let [first, refused, last] = commits;
    first.await.unwrap();
    too_large(refused.await);
    last.await.unwrap();
    let page = store.messages(CHANNEL, Page::Latest, 9).await.unwrap();
    assert_eq!(ids(&page), [message_id(1, 3), message_id(1, 1)]);
}

/// Three replicas, one killed in the middle of the writing: every write that was acknowledged is
/// there, in order, and writes and reads go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quorum_goes_on_without_a_third() {
    let pids = std::env::var("GUILDHALL_TEST_CQL_PIDS").unwrap_or_default();
    let pids: Vec<&str> = pids.split_whitespace().collect();
    let [_, _, third] = pids[..] else {
        keyspace::skip("the test of three nodes needs tests/cassandra/run.sh --nodes 3");
        return;
    };
    let Some(keyspace) = Keyspace::with_replicas(3) else {
        return;
    };
    let store: Arc<ScyllaStore> = Arc::new(open(&keyspace).await);
    found(&*store).await;
    let second = Id::new(2_001);
    store
        .commit(vec![Write::PutChannel(Box::new(Channel::new(
            second, GUILD, 0, "second",
        )))])
        .await
        .unwrap();
    let mut acknowledged = Vec::new();
    let mut slowest = Duration::ZERO;
    for number in 1..=300_u64 {
        if number == 100 {
            let killed = std::process::Command::new("kill")
                .args(["-KILL", third])
                .status()
                .unwrap();
            assert!(killed.success());
        }
        let began = Instant::now();
        let commits: Vec<_> = (0..4)
            .map(|part| {
                let id = message_id(1, number * 10 + part);
                let mut elsewhere = record(id);
                elsewhere.channel_id = second;
                let batch = vec![put(id), Write::PutMessage(Box::new(elsewhere))];
                (id, store.commit(batch))
            })
            .collect();
        for (id, commit) in commits {
            commit.await.unwrap();
            acknowledged.push(id);
        }
        slowest = slowest.max(began.elapsed());
        let page = store.messages(CHANNEL, Page::Latest, 4).await.unwrap();
        let newest: Vec<_> = acknowledged.iter().rev().take(4).copied().collect();
        assert_eq!(ids(&page), newest);
    }
    eprintln!("slowest round of four commits: {slowest:?}");
    for channel in [CHANNEL, second] {
        let page = store.messages(channel, Page::Latest, 2_000).await.unwrap();
        let expected: Vec<_> = acknowledged.iter().rev().copied().collect();
        assert_eq!(ids(&page), expected);
    }
    assert_eq!(
        store
            .create_account(account(Id::new(77), "ada", false))
            .await,
        Err(StoreError::Conflict("username"))
    );
    store
        .create_account(account(Id::new(77), "eve", false))
        .await
        .unwrap();
    store.close().await.unwrap();
}

/// Figures for whoever changes the engine: `--ignored --nocapture rates`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn rates() {
    let Some(keyspace) = Keyspace::new() else {
        return;
    };
    let store = Arc::new(open(&keyspace).await);
    let message = |guild: u64, number: u64| {
        let mut message = record(message_id(3, number));
        message.guild_id = Id::new(guild);
        message.channel_id = Id::new(10_000 + guild);
        vec![Write::PutMessage(Box::new(message))]
    };
    let mut times = Vec::new();
    for number in 1..=300 {
        let began = Instant::now();
        store.commit(message(1, number)).await.unwrap();
        times.push(began.elapsed());
    }
    times.sort();
    eprintln!("one at a time: p50 {:?}, p99 {:?}", times[150], times[297]);
    for (guilds, each) in [(1, 5_000_u64), (16, 500), (64, 150)] {
        let began = Instant::now();
        let mut commits = Vec::new();
        for number in 1_000..1_000 + each {
            commits.extend((1..=guilds).map(|guild| store.commit(message(guild, number))));
        }
        for commit in commits {
            commit.await.unwrap();
        }
        let rate = (guilds * each) as f64 / began.elapsed().as_secs_f64();
        eprintln!("{guilds} guilds at once: {rate:.0} messages a second");
    }
    let mut times = Vec::new();
    for _ in 0..300 {
        let began = Instant::now();
        let page = store.messages(Id::new(10_001), Page::Latest, 50).await;
        assert_eq!(page.unwrap().len(), 50);
        times.push(began.elapsed());
    }
    times.sort();
    eprintln!("latest 50: p50 {:?}, p99 {:?}", times[150], times[297]);
}
