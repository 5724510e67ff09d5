//! Moving a store: everything arrives, an interrupted run goes on, what must be refused is, and a
//! difference is found and named.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use model::channel::Channel;
use model::guild::Guild;
use model::{ChannelId, GuildId, Id, UserId};
use proptest::prelude::*;
use storage::conformance::{
    ADA, BOB, CHANNEL, GUILD, account, emoji, found, message_id, put, reaction, record,
};
use storage::migrate::progress::{Kind, Progress, Seen, Stage};
use storage::migrate::{self, Difference, Failure, Report, identity};
use storage::store::Write;
use storage::{Epoch, Store, StoreError, engine};

#[path = "support/operations.rs"]
mod operations;
#[path = "support/keyspace.rs"]
mod keyspace;

use keyspace::Keyspace;
use operations::{CHANNELS, GUILDS, USERS, everything, write};

async fn memory() -> Arc<dyn Store> {
    engine::open("memory:").await.unwrap()
}

async fn moved(source: &Arc<dyn Store>, target: &Arc<dyn Store>) -> Result<Report, Failure> {
    let progress = Arc::new(Progress::new());
    migrate::migrate(source.clone(), target.clone(), "test:source", &progress).await
}

async fn differences(source: &Arc<dyn Store>, target: &Arc<dyn Store>) -> Vec<String> {
    let progress = Arc::new(Progress::new());
    let verified = migrate::compare(source, target, &progress).await.unwrap();
    assert_eq!(verified.is_equal(), verified.differences.is_empty());
    let (one, other) = verified.digests();
    assert_eq!(verified.is_equal(), one == other);
    let told = |one: &migrate::Differing| format!("{:?} {} {}", one.what, one.section, one.key);
    verified.differences.iter().map(told).collect()
}

/// A guild with some of everything, channels of one message and of many.
async fn filled(store: &dyn Store, messages: u64) {
    found(store).await;
    let long = ChannelId::new(2_001);
    let mut batch = vec![
        Write::PutChannel(Box::new(Channel::new(long, GUILD, 0, "long"))),
        put(message_id(1, 1)),
        Write::PutReaction(reaction(message_id(1, 1), ADA, "👍", 5)),
        Write::PutReaction(reaction(message_id(1, 1), BOB, "👍", 9)),
        // Shown first, though whoever used it first has taken it back.
        Write::PutReaction(reaction(message_id(1, 1), ADA, "z", 1)),
        Write::PutReaction(reaction(message_id(1, 1), BOB, "z", 3)),
        Write::PutReaction(reaction(message_id(1, 1), BOB, "a", 2)),
        Write::DeleteReaction(CHANNEL, message_id(1, 1), emoji("z"), ADA),
        Write::PutPin(CHANNEL, message_id(1, 1), 77),
        Write::PutSetting("secret".to_owned(), vec![1, 2, 3]),
    ];
    for number in 0..messages {
        let mut record = record(message_id(number / 100, number % 100));
        record.channel_id = long;
        batch.push(Write::PutMessage(Box::new(record)));
    }
    store.commit(batch).await.unwrap();
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Random writes, of which everything belongs to something the port can name: accounts, guilds and
/// channels exist, but for one channel that is still to be purged; all channels are of one guild.
async fn random_store(batches: &[Vec<Write>]) -> Arc<dyn Store> {
    let store = memory().await;
    for (number, user) in USERS.map(UserId::new).into_iter().enumerate() {
        let account = account(user, &format!("user{number}"), number % 2 == 0);
        store.create_account(account).await.unwrap();
    }
    for batch in batches {
        let mut batch = batch.clone();
        let gone =
            |write: &Write| matches!(write, Write::DeleteGuild(_) | Write::DeleteChannel(..));
        batch.retain(|write| !gone(write));
        for write in &mut batch {
            match write {
                Write::PutMessage(record) => record.guild_id = Id::new(GUILDS[0]),
                Write::PutChannel(channel) => channel.guild_id = Id::new(GUILDS[0]),
                _ => {}
            }
        }
        let _ = store.commit(batch).await;
    }
    let mut batch: Vec<Write> = GUILDS
        .map(GuildId::new)
        .map(|guild| Write::PutGuild(Box::new(Guild::new(guild, "guild", Id::new(10)))))
        .to_vec();
    batch.extend(CHANNELS.map(ChannelId::new).map(|channel| {
        let guild = Id::new(GUILDS[0]);
        Write::PutChannel(Box::new(Channel::new(channel, guild, 0, "channel")))
    }));
    batch.push(Write::DeleteChannel(
        Id::new(GUILDS[0]),
        Id::new(CHANNELS[2]),
    ));
    store.commit(batch).await.unwrap();
    store
}

/// From the embedded engine into a cluster and back: the same hash.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn into_a_cluster_and_back() {
    let Some(keyspace) = Keyspace::new() else {
        return;
    };
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let open = async |directory: &tempfile::TempDir| {
        let url = format!("fjall:{}", directory.path().display());
        engine::open(&url).await.unwrap()
    };
    let source = open(&one).await;
    filled(&*source, 3_000).await;
    let cluster = engine::open(keyspace.url()).await.unwrap();
    let there = moved(&source, &cluster).await.unwrap();
    assert!(there.verified.is_equal(), "{:?}", there.verified);
    let target = open(&two).await;
    let back = moved(&cluster, &target).await.unwrap();
    assert!(back.verified.is_equal(), "{:?}", back.verified);
    assert_eq!(there.verified.digests().0, back.verified.digests().1);
    assert_eq!(differences(&source, &target).await, [""; 0]);
}

async fn there_and_back(batches: &[Vec<Write>], url: &str) -> Result<(), TestCaseError> {
    let source = random_store(batches).await;
    let between = engine::open(url).await.unwrap();
    let report = moved(&source, &between).await.unwrap();
    prop_assert!(report.verified.is_equal(), "{:?}", report.verified);
    let back = memory().await;
    let report = moved(&between, &back).await.unwrap();
    prop_assert!(report.verified.is_equal(), "{:?}", report.verified);
    let expected = everything(&*source).await;
    for store in [between, back] {
        let found = everything(&*store).await;
        prop_assert_eq!(expected.len(), found.len());
        for (expected, found) in expected.iter().zip(&found) {
            // Where the migrator keeps how far it is; what else is there was compared by it.
            if !expected.starts_with("list_settings") {
                prop_assert_eq!(expected, found);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, max_shrink_iters: 10, ..ProptestConfig::default() })]

    #[test]
    fn everything_arrives_and_comes_back(batches in proptest::collection::vec(proptest::collection::vec(write(), 1..8), 1..40)) {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("fjall:{}", directory.path().display());
        runtime().block_on(there_and_back(&batches, &url))?;
    }
}

proptest! {
    // Each case makes a keyspace, which takes seconds.
    #![proptest_config(ProptestConfig { cases: 3, max_shrink_iters: 5, ..ProptestConfig::default() })]

    #[test]
    fn everything_arrives_in_a_cluster_and_comes_back(batches in proptest::collection::vec(proptest::collection::vec(write(), 1..8), 20..40)) {
        if let Some(keyspace) = Keyspace::new() {
            runtime().block_on(there_and_back(&batches, keyspace.url()))?;
        }
    }
}

/// Opens a directory as soon as the tasks of the run before have let go of it.
async fn open_again(url: &str) -> Arc<dyn Store> {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        match engine::open(url).await {
            Ok(store) => return store,
            Err(error) => assert!(std::time::Instant::now() < deadline, "{error}"),
        }
        tokio::task::yield_now().await;
    }
}

/// Stopped again and again, at whatever moment, it goes on and ends with everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_run_goes_on_where_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("fjall:{}", directory.path().display());
    let source = memory().await;
    filled(&*source, 5_000).await;
    let mut interrupted = 0;
    let report = loop {
        let target = open_again(&url).await;
        let progress = Arc::new(Progress::new());
        let run = migrate::migrate(source.clone(), target.clone(), "test:source", &progress);
        // Each run gets some pieces further than the one before.
        let enough = async {
            let copied = |seen: Seen| match seen.stage {
                Stage::Copying => seen.counts.of(Kind::Messages),
                Stage::Preparing | Stage::Verifying => 0,
            };
            while copied(progress.seen()) < 600 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            report = run => break report.unwrap(),
            () = enough => interrupted += 1,
        }
    };
    assert!(interrupted >= 3, "interrupted {interrupted} times");
    assert!(report.resumed);
    assert!(report.verified.is_equal(), "{:?}", report.verified);
    assert_eq!(report.copied.of(Kind::Messages), 5_001);
    let counts = &report.verified.counts;
    for (kind, some) in [
        (Kind::Messages, 5_001),
        (Kind::Reactions, 4),
        (Kind::Pins, 1),
        (Kind::Channels, 2),
        (Kind::Members, 2),
        (Kind::Accounts, 2),
        (Kind::Settings, 1),
    ] {
        assert_eq!(counts.of(kind), some, "{kind:?}");
    }
}

/// Given again when it is complete, it compares and changes nothing, whatever has happened since.
/// A copy knows of no claims: its node goes on under the epoch it has, and fences off what is lower.
#[tokio::test]
async fn a_copy_is_written_under_any_epoch() {
    let (source, target) = (memory().await, memory().await);
    filled(&*source, 10).await;
    source.claim(GUILD, Epoch(5)).await.unwrap();
    assert!(moved(&source, &target).await.unwrap().verified.is_equal());
    assert_eq!(target.epoch(GUILD).await, Ok(Epoch::NONE));
    let fenced = |epoch| vec![Write::Fence(GUILD, Epoch(epoch)), put(message_id(9, epoch))];
    target.commit(fenced(5)).await.unwrap();
    assert_eq!(target.commit(fenced(4)).await, Err(StoreError::Fenced));
    assert_eq!(target.epoch(GUILD).await, Ok(Epoch(5)));
}

#[tokio::test]
async fn a_complete_one_is_only_compared() {
    let (source, target) = (memory().await, memory().await);
    filled(&*source, 10).await;
    assert!(!moved(&source, &target).await.unwrap().resumed);
    migrate::servable(&*target).await.unwrap();
    let later = vec![Write::DeleteMessage(CHANNEL, message_id(1, 1))];
    target.commit(later).await.unwrap();
    let report = moved(&source, &target).await.unwrap();
    assert!(report.resumed && !report.verified.is_equal());
    // The message, and the last pin of its channel.
    assert_eq!(report.verified.differences.len(), 2);
    assert_eq!(
        target.message(CHANNEL, message_id(1, 1)).await.unwrap(),
        None
    );
}

/// Every kind of row that differs is named with its section.
#[tokio::test]
async fn differences_are_named() {
    let (source, target) = (memory().await, memory().await);
    filled(&*source, 1_000).await;
    moved(&source, &target).await.unwrap();
    assert_eq!(differences(&source, &target).await, [""; 0]);
    let long = ChannelId::new(2_001);
    let mut edited = record(message_id(3, 3));
    edited.channel_id = long;
    edited.content = "edited".to_owned();
    let mut extra = record(message_id(3, 500));
    extra.channel_id = long;
    let batch = vec![
        Write::PutSetting("secret".to_owned(), vec![1, 2]),
        Write::DeleteMember(GUILD, BOB),
        Write::PutMessage(Box::new(edited)),
        Write::PutMessage(Box::new(extra)),
        Write::DeleteMessage(long, message_id(5, 5)),
        Write::PutPin(CHANNEL, message_id(1, 1), 78),
        Write::PutGuild(Box::new(Guild::new(Id::new(1_001), "surplus", ADA))),
        Write::DeleteReaction(CHANNEL, message_id(1, 1), emoji("👍"), BOB),
    ];
    target.commit(batch).await.unwrap();
    let id = |bucket, number| message_id(bucket, number).get();
    let mut expected = vec![
        "Different settings \"secret\"".to_owned(),
        format!("Missing members of guild {GUILD} {BOB}"),
        format!("Different messages of channel {long} {}", id(3, 3)),
        format!("Surplus messages of channel {long} {}", id(3, 500)),
        format!("Missing messages of channel {long} {}", id(5, 5)),
        format!("Different messages of channel {CHANNEL} {}", id(1, 1)),
        format!("Different guilds of guild {GUILD} channel {CHANNEL}"),
        "Surplus guilds of guild 1001 settings 1001".to_owned(),
    ];
    let mut told = differences(&source, &target).await;
    expected.sort();
    told.sort();
    assert_eq!(told, expected);
    // Only the time of somebody's reaction, which no client sees.
    let (source, target) = (memory().await, memory().await);
    filled(&*source, 1).await;
    moved(&source, &target).await.unwrap();
    let again = vec![
        Write::DeleteReaction(CHANNEL, message_id(1, 1), emoji("👍"), BOB),
        Write::PutReaction(reaction(message_id(1, 1), BOB, "👍", 10)),
    ];
    target.commit(again).await.unwrap();
    assert_eq!(differences(&source, &target).await.len(), 1);
    let progress = Arc::new(Progress::new());
    let verified = migrate::compare(&source, &target, &progress).await.unwrap();
    assert_eq!(verified.differences[0].what, Difference::Different);
}

/// More differences than anybody reads are counted.
#[tokio::test]
async fn many_differences_are_counted() {
    let (source, target) = (memory().await, memory().await);
    filled(&*source, 1_000).await;
    let progress = Arc::new(Progress::new());
    let verified = migrate::compare(&source, &target, &progress).await.unwrap();
    assert_eq!(verified.differences.len(), migrate::DIFFERENCES_MAX);
    // 1,001 messages; settings, last message and two channels; accounts, members, a setting.
    assert_eq!(verified.differences_total, 1_001 + 4 + 2 + 2 + 1);
}

fn refused<T: std::fmt::Debug>(result: Result<T, Failure>, why: &str) {
    match result {
        Err(Failure::Refused(text)) => assert!(text.contains(why), "{text}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_must_not_be_copied_into_is_refused() {
    let source = memory().await;
    filled(&*source, 2).await;
    let full = memory().await;
    filled(&*full, 1).await;
    refused(moved(&source, &full).await, "not empty");
    assert_eq!(full.setting("migration").await.unwrap(), None);
    refused(moved(&source, &source).await, "not empty");
    let empty = memory().await;
    refused(moved(&empty, &empty).await, "same store");
    let target = memory().await;
    moved(&source, &target).await.unwrap();
    let progress = Arc::new(Progress::new());
    let other = migrate::migrate(full, target.clone(), "test:other", &progress).await;
    refused(other, "test:source");
    let damaged = vec![Write::PutSetting("migration".to_owned(), b"{".to_vec())];
    target.commit(damaged).await.unwrap();
    let result = moved(&source, &target).await;
    assert!(
        matches!(&result, Err(Failure::Target(StoreError::Corrupt(_)))),
        "{result:?}"
    );
}

/// Half a store is no source, and no node serves from it.
#[tokio::test]
async fn a_half_copied_store_is_not_used() {
    let source = memory().await;
    filled(&*source, 2_000).await;
    let target = memory().await;
    let progress = Arc::new(Progress::new());
    let run = migrate::migrate(source.clone(), target.clone(), "test:source", &progress);
    let begun = async {
        while progress.seen().counts.of(Kind::Messages) == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        report = run => panic!("{report:?}"),
        () = begun => {}
    }
    let told = migrate::servable(&*target).await.unwrap_err().to_string();
    assert!(told.contains("test:source"), "{told}");
    let next = memory().await;
    refused(moved(&target, &next).await, "not complete");
    moved(&source, &target).await.unwrap();
    migrate::servable(&*target).await.unwrap();
    let report = moved(&target, &next).await.unwrap();
    assert!(report.verified.is_equal());
}

#[test]
fn a_store_has_one_identity() {
    let directory = tempfile::tempdir().unwrap();
    let inside = directory.path().join("a");
    std::fs::create_dir(&inside).unwrap();
    let path = inside.display();
    assert_eq!(
        identity(&format!("fjall:{path}/../a/")),
        identity(&format!("fjall:{path}"))
    );
    assert_eq!(
        identity("scylla://ada:p%40ss@one:1,two:2/keyspace?consistency=quorum"),
        "scylla://one:1,two:2/keyspace"
    );
    assert_ne!(identity("fjall:nowhere/a"), identity("fjall:nowhere/b"));
    assert_eq!(identity("memory:"), "memory:");
}
