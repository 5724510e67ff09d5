//! Moving a store under load: what was acknowledged is in the target, in order, whatever happens
//! meanwhile; and what ends a migration leaves the node as it was.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use model::channel::Channel;
use model::guild::Guild;
use model::member::MemberRecord;
use model::user::Account;
use model::{ChannelId, GuildId, Id, MessageId, UserId};
use storage::conformance::{
    ADA, BOB, CHANNEL, GUILD, account, emoji, file, found, message_id, put, reaction, record,
};
use storage::migrate::online::{Online, State, Status};
use storage::migrate::progress::Progress;
use storage::migrate::{self, Failure, Switch, identity};
use storage::store::{Page, RecordPatch, Write};
use storage::{Store, engine};

#[path = "support/keyspace.rs"]
mod keyspace;

use keyspace::Keyspace;

const DEADLINE: Duration = Duration::from_secs(240);

struct Node {
    switch: Arc<Switch>,
    online: Online,
    /// The store it began with, for a look behind the switch.
    source: Arc<dyn Store>,
    _directory: tempfile::TempDir,
}

impl Node {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("fjall:{}", directory.path().display());
        let source = engine::open(&url).await.unwrap();
        let switch = Arc::new(Switch::new(source.clone()));
        Self {
            online: Online::new(switch.clone(), &url),
            switch,
            source,
            _directory: directory,
        }
    }

    async fn until(&self, state: State) -> Status {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let status = self.online.status();
            if status.state == state {
                return status;
            }
            let ended = matches!(status.state, State::Failed | State::Cancelled);
            assert!(!ended && Instant::now() < deadline, "{status:?}");
            // A look now and then; the loop decides by the state.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn directory() -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("fjall:{}", directory.path().join("new").display());
    (directory, url)
}

async fn filled(store: &dyn Store, messages: u64) {
    found(store).await;
    let mut batch: Vec<_> = (0..messages)
        .map(|number| put(message_id(number / 200, number % 200)))
        .collect();
    batch.push(Write::PutReaction(reaction(message_id(0, 1), ADA, "👍", 5)));
    batch.push(Write::PutPin(CHANNEL, message_id(0, 2), 9));
    store.commit(batch).await.unwrap();
}

fn text(content: String) -> Box<RecordPatch> {
    Box::new(RecordPatch {
        content: Some(content),
        ..RecordPatch::default()
    })
}

/// A writer that does a bit of everything to its own channel and to old messages of a common one, and
/// remembers what was acknowledged.
struct Canary {
    number: u64,
    store: Arc<Switch>,
    acknowledged: Vec<MessageId>,
    deleted: Vec<MessageId>,
    /// What each old message that is this canary's said last.
    edited: std::collections::BTreeMap<MessageId, String>,
}

impl Canary {
    fn channel(&self) -> ChannelId {
        Id::new(5_000 + self.number)
    }

    async fn run(mut self, old: u64, stop: Arc<AtomicBool>, done: Arc<AtomicU64>) -> Self {
        let channel = self.channel();
        let commit = |batch| self.store.commit(batch);
        let name = format!("canary {}", self.number);
        let new = Write::PutChannel(Box::new(Channel::new(channel, GUILD, 0, name)));
        commit(vec![new]).await.unwrap();
        let mut step = 0;
        // A load, not as much as the disk takes: nothing waits for this.
        let mut pace = tokio::time::interval(Duration::from_millis(25));
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !stop.load(Ordering::Acquire) {
            step += 1;
            pace.tick().await;
            let id = message_id(100, step);
            let mut message = record(id);
            message.channel_id = channel;
            // Several at once, as a guild sends them.
            let sent = self
                .store
                .commit(vec![Write::PutMessage(Box::new(message))]);
            let react = |at_ms| {
                let mut one = reaction(id, ADA, "👍", at_ms);
                one.channel_id = channel;
                Write::PutReaction(one)
            };
            let mut batch = vec![react(step)];
            if step % 20 == 1 {
                batch.push(Write::PutPin(channel, id, step));
            }
            let reacted = self.store.commit(batch);
            sent.await.unwrap();
            reacted.await.unwrap();
            self.acknowledged.push(id);
            if step % 5 == 0 {
                let gone = Write::DeleteMessage(channel, id);
                self.store.commit(vec![gone]).await.unwrap();
                self.deleted.push(id);
            }
            if step % 3 == 0 {
                let again = vec![
                    Write::DeleteReaction(channel, message_id(100, 1), emoji("👍"), ADA),
                    Write::DeletePin(channel, message_id(100, 1)),
                ];
                self.store.commit(again).await.unwrap();
            }
            // An old message, copied or not yet.
            let number = (step * 8 + self.number) % old;
            let id = message_id(number / 200, number % 200);
            let content = format!("edited {step} by {}", self.number);
            let edit = vec![
                Write::PatchMessage(CHANNEL, id, text(content.clone())),
                Write::PutReaction(reaction(id, BOB, "❤", step)),
            ];
            self.store.commit(edit).await.unwrap();
            self.edited.insert(id, content);
            if step % 7 == 0 {
                let user = Id::new(self.number * 1_000_000 + step);
                let name = format!("user{user}");
                let account = account(user, &name, false);
                self.store.create_account(account).await.unwrap();
                let joined = model::time::from_unix_ms(step);
                let member = MemberRecord::new(GUILD, user, joined);
                let member = vec![Write::PutMember(Box::new(member))];
                self.store.commit(member).await.unwrap();
            }
            done.fetch_add(1, Ordering::AcqRel);
        }
        self
    }

    async fn check(&self, store: &dyn Store) {
        let channel = self.channel();
        let page = store.messages(channel, Page::Latest, usize::MAX).await;
        let mut there: Vec<_> = page.unwrap().into_iter().map(|record| record.id).collect();
        there.reverse();
        let mut expected = self.acknowledged.clone();
        expected.retain(|id| !self.deleted.contains(id));
        assert_eq!(there, expected, "canary {}", self.number);
        for (id, content) in &self.edited {
            let found = store.message(CHANNEL, *id).await.unwrap().unwrap();
            assert_eq!(&found.content, content, "message {id}");
        }
    }
}

async fn same(one: &Arc<dyn Store>, other: &Arc<dyn Store>) {
    let progress = Arc::new(Progress::new());
    let verified = migrate::compare(one, other, &progress).await.unwrap();
    assert!(verified.is_equal(), "{:?}", verified.differences);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_write_is_in_the_target() {
    let (_kept, url) = directory();
    under_load(&url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_write_is_in_a_cluster() {
    if let Some(keyspace) = Keyspace::new() {
        under_load(keyspace.url()).await;
    }
}

/// The whole way, under load from before the beginning to after the switch.
async fn under_load(url: &str) {
    const OLD: u64 = 800;
    const CANARIES: u64 = 4;
    let node = Node::new().await;
    filled(&*node.switch, OLD).await;
    let (stop, done) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let canaries: Vec<_> = (0..CANARIES)
        .map(|number| {
            let canary = Canary {
                number,
                store: node.switch.clone(),
                acknowledged: Vec::new(),
                deleted: Vec::new(),
                edited: std::collections::BTreeMap::new(),
            };
            tokio::spawn(canary.run(OLD, stop.clone(), done.clone()))
        })
        .collect();
    let more = async |some: u64| {
        let from = done.load(Ordering::Acquire);
        let deadline = Instant::now() + DEADLINE;
        while done.load(Ordering::Acquire) < from + some {
            assert!(Instant::now() < deadline, "the canaries write");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    more(CANARIES).await;
    node.online.start(url).await.unwrap();
    let status = node.until(State::Ready).await;
    // How many edits met what was not copied yet is chance; a quick copy leaves none.
    println!("edits of what was not copied yet: {}", status.skipped);
    more(CANARIES).await;
    node.online.switch().await.unwrap();
    assert_eq!(node.online.status().state, State::Switched);
    more(CANARIES).await;
    stop.store(true, Ordering::Release);
    let mut ended = Vec::new();
    for canary in canaries {
        ended.push(canary.await.unwrap());
    }
    for canary in &ended {
        canary.check(&*node.switch).await;
    }
    // The old store was left as it was at the switch, and says so.
    let told = migrate::servable(&*node.source).await.unwrap_err();
    assert!(told.to_string().contains(&identity(url)), "{told}");
    node.switch.close().await.unwrap();
    drop((node, ended));
    let target = engine::open(url).await.unwrap();
    migrate::servable(&*target).await.unwrap();
}

/// Until the switch the source has everything too; a cancelled migration leaves it alone, and the
/// next one finds what is missing, surplus and different in what it left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_one_is_taken_up_again() {
    let node = Node::new().await;
    filled(&*node.switch, 700).await;
    let (_kept, url) = directory();
    node.online.start(&url).await.unwrap();
    node.until(State::Ready).await;
    node.online.cancel().await.unwrap();
    assert_eq!(node.online.status().state, State::Cancelled);
    // What the target does not learn of.
    let other = GuildId::new(1_001);
    let lost = |id: u64| {
        let mut message = record(message_id(9, id));
        message.attachments = vec![file(id)];
        Write::PutMessage(Box::new(message))
    };
    let batch = vec![
        Write::DeleteMessage(CHANNEL, message_id(0, 7)),
        Write::PatchMessage(CHANNEL, message_id(0, 8), text("other".to_owned())),
        put(message_id(9, 9)),
        lost(77),
        Write::DeleteMessage(CHANNEL, message_id(9, 77)),
        Write::DeleteReaction(CHANNEL, message_id(0, 1), emoji("👍"), ADA),
        Write::PutReaction(reaction(message_id(0, 1), BOB, "👍", 8)),
        Write::DeletePin(CHANNEL, message_id(0, 2)),
        Write::DeleteMember(GUILD, BOB),
        Write::PutGuild(Box::new(Guild::new(other, "other", ADA))),
        Write::PutChannel(Box::new(Channel::new(Id::new(2_002), other, 0, "other"))),
    ];
    node.switch.commit(batch).await.unwrap();
    node.online.start(&url).await.unwrap();
    node.until(State::Ready).await;
    node.online.cancel().await.unwrap();
    let left = engine::open(&url).await.unwrap();
    same(&node.source, &left).await;
    left.close().await.unwrap();
    drop(left);
    // And a guild that goes, with all that is in it.
    let gone = vec![Write::DeleteGuild(GUILD)];
    node.switch.commit(gone).await.unwrap();
    while node.switch.purge_channel(CHANNEL, 100).await.unwrap() > 0 {}
    node.online.start(&url).await.unwrap();
    node.until(State::Ready).await;
    node.online.switch().await.unwrap();
    assert_eq!(node.switch.list_guilds(None, 9).await.unwrap(), [other]);
    let files = node.switch.files_to_delete(9).await.unwrap();
    assert_eq!(files.len(), 1);
    assert!(node.switch.channels_to_purge(9).await.unwrap().is_empty());
}

fn refused<T: std::fmt::Debug>(result: Result<T, Failure>, why: &str) {
    match result {
        Err(Failure::Refused(text)) => assert!(text.contains(why), "{text}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_is_refused_and_changes_nothing() {
    let node = Node::new().await;
    filled(&*node.switch, 10).await;
    refused(node.online.cancel().await, "no migration");
    refused(node.online.switch().await, "no migration is ready");
    refused(node.online.start("memory:").await, "memory");
    let own = format!("fjall:{}/.", node._directory.path().display());
    refused(node.online.start(&own).await, "the node uses");
    let full = engine::open("memory:").await.unwrap();
    found(&*full).await;
    assert!(matches!(
        node.online.start("redis:").await,
        Err(Failure::Target(_))
    ));
    assert_eq!(node.online.status().state, State::Idle);
    let (_kept, url) = directory();
    let occupied = engine::open(&url).await.unwrap();
    found(&*occupied).await;
    drop(occupied);
    refused(node.online.start(&url).await, "not empty");
    let (_kept, url) = directory();
    node.online.start(&url).await.unwrap();
    refused(node.online.start(&url).await, "under way");
    node.until(State::Ready).await;
    node.online.switch().await.unwrap();
    refused(node.online.start(&url).await, "has switched");
    refused(node.online.switch().await, "no migration is ready");
}

/// A target that fails ends the migration; the node goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_target_ends_the_migration_and_not_the_node() {
    let node = Node::new().await;
    filled(&*node.switch, 600).await;
    let (_kept, url) = directory();
    let target = storage::engine::fjall::FjallStore::open(url.trim_start_matches("fjall:"));
    let target = Arc::new(target.await.unwrap());
    let opened: Arc<dyn Store> = target.clone();
    node.online.start_with(&url, opened).await.unwrap();
    node.until(State::Ready).await;
    target.fail_next_commit();
    let account: Account = account(UserId::new(44), "eve", false);
    node.switch.create_account(account).await.unwrap();
    let deadline = Instant::now() + DEADLINE;
    while node.online.status().state != State::Failed {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let told = node.online.status().error.unwrap();
    assert!(told.contains("the target"), "{told}");
    let later = put(message_id(50, 1));
    node.switch.commit(vec![later]).await.unwrap();
    let found = node.switch.message(CHANNEL, message_id(50, 1)).await;
    assert!(found.unwrap().is_some());
}
