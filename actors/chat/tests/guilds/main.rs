//! Guilds that die, stores that fail, members that leave: what was acknowledged is there once and
//! was published once, what failed was not, and nobody sees what they may not.

#![allow(clippy::unwrap_used)]

#[path = "guild_lifecycle/faulty.rs"]
mod faulty;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use chat::error::Missing;
use chat::guild::command::{Actor, RolePatch};
use chat::session::recorder::Recorder;
use chat::session::transport::Close;
use chat::session::{self, Attached, Login, Platform};
use chat::{Chat, ChatConfig, ChatError, accounts, guild, history};
use model::application::flags;
use model::channel::Overwrite;
use model::intents::Intents;
use model::message::{Draft, Message, MessagePatch, Nonce};
use model::permissions::Permissions;
use model::user::Account;
use model::{ChannelId, GuildId, Id, MessageId};
use otp::{ExitReason, Node, Pid, eventually};
use storage::blob::BlobStore;
use storage::store::Page;
use storage::{DataService, Store as _, StoreError};

use faulty::Faulty;

struct World {
    chat: Chat,
    store: Arc<Faulty>,
    owner: Account,
    member: Account,
    guild: GuildId,
    channel: ChannelId,
}

impl World {
    async fn new() -> Self {
        let store = Faulty::new();
        let data = DataService::new(store.clone());
        let node = Node::new("guilds");
        let chat = Chat::start(node, data, BlobStore::memory(), ChatConfig::default())
            .await
            .unwrap();
        let owner = accounts::create_bot(&chat, "owner", flags::ALL_PRIVILEGED)
            .await
            .unwrap();
        let member = accounts::create_bot(&chat, "member", flags::ALL_PRIVILEGED)
            .await
            .unwrap();
        let made = guild::create_guild(&chat, &owner.user, "a guild")
            .await
            .unwrap();
        let (guild, channel) = (made.guild.id, made.guild.system_channel_id.unwrap());
        guild::add_member(&chat, Actor::System, guild, member.user.id)
            .await
            .unwrap();
        Self {
            chat,
            store,
            owner,
            member,
            guild,
            channel,
        }
    }

    async fn post(&self, content: &str) -> Result<Message, ChatError> {
        self.post_draft(Draft {
            content: content.to_owned(),
            ..Draft::default()
        })
        .await
    }

    async fn post_draft(&self, draft: Draft) -> Result<Message, ChatError> {
        guild::post_message(
            &self.chat,
            Actor::User(self.owner.user.id),
            self.channel,
            draft,
        )
        .await
    }

    async fn enter(&self, account: &Account) -> (Attached, Arc<Recorder>) {
        let recorder = Recorder::new();
        let login = Login {
            account: account.clone(),
            intents: Intents::ALL,
            shard: None,
            large_threshold: 50,
            presence: None,
            platform: Platform::Web,
            version: 10,
            resume_gateway_url: "ws://127.0.0.1:1".into(),
        };
        let attached = session::login(&self.chat, login, recorder.clone())
            .await
            .unwrap();
        eventually!(recorder.of("GUILD_CREATE").len() == 1);
        (attached, recorder)
    }

    /// The process of a kind (`guild`, `lane`, `relay`) of the guild.
    fn process(&self, kind: &str) -> Option<Pid> {
        let label = format!("{kind} {}", self.guild);
        let found = self
            .chat
            .node()
            .processes()
            .into_iter()
            .find(|info| info.label.as_deref() == Some(&label));
        found.map(|info| info.pid)
    }

    async fn kill(&self, kind: &str) {
        let pid = self.process(kind).unwrap();
        self.chat.node().exit(pid, ExitReason::Kill);
        self.chat.node().wait_for_exit(pid).await;
    }

    /// Every stored message of the channel, oldest first.
    async fn stored(&self) -> Vec<(MessageId, String)> {
        let (mut all, mut page) = (Vec::new(), Page::Latest);
        loop {
            let records = self.store.messages(self.channel, page, 100).await.unwrap();
            let Some(last) = records.last() else { break };
            page = Page::Before(last.id);
            all.extend(
                records
                    .into_iter()
                    .map(|record| (record.id, record.content)),
            );
        }
        all.reverse();
        all
    }
}

/// What a connection was told was said, in order.
fn heard(recorder: &Recorder) -> Vec<(MessageId, String)> {
    let messages = recorder.of("MESSAGE_CREATE");
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    messages
        .iter()
        .map(|message| {
            (
                text(&message["id"]).parse().unwrap(),
                text(&message["content"]),
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledged_message_is_stored_and_published() {
    let world = World::new().await;
    let (_attached, recorder) = world.enter(&world.member).await;
    let message = world.post("hello").await.unwrap();
    assert_eq!(world.stored().await, [(message.id, "hello".to_owned())]);
    eventually!(heard(&recorder) == [(message.id, "hello".to_owned())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn taking_back_a_reaction_that_is_not_there_tells_nobody() {
    let world = World::new().await;
    let (_attached, recorder) = world.enter(&world.owner).await;
    let message = world.post("hello").await.unwrap().id;
    let thumb = model::emoji::ReactionEmoji::parse("👍").unwrap();
    let (chat, member) = (&world.chat, world.member.user.id);
    let remove = |actor, user| {
        guild::remove_reaction(chat, actor, world.channel, message, user, thumb.clone())
    };
    let own = Actor::User(member);
    remove(own, member).await.unwrap();
    guild::add_reaction(chat, own, world.channel, message, thumb.clone())
        .await
        .unwrap();
    remove(own, member).await.unwrap();
    remove(own, member).await.unwrap();
    let others = remove(own, world.owner.user.id).await;
    assert_eq!(others, Err(ChatError::MissingPermissions));
    world.post("last").await.unwrap();
    eventually!(heard(&recorder).len() == 2);
    assert_eq!(recorder.of("MESSAGE_REACTION_REMOVE").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_the_guild_under_load_loses_and_repeats_nothing() {
    const POSTERS: usize = 16;
    const EACH: usize = 40;
    const KILLS: usize = 12;
    let world = Arc::new(World::new().await);
    let (attached, recorder) = world.enter(&world.member).await;
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let posters: Vec<_> = (0..POSTERS)
        .map(|poster| {
            let (world, count) = (world.clone(), acknowledged.clone());
            tokio::spawn(async move {
                let (mut acked, mut refused) = (Vec::new(), Vec::new());
                for number in 0..EACH {
                    let text = format!("{poster}:{number}");
                    match world.post(&text).await {
                        Ok(message) => acked.push((message.id, text)),
                        // Certain: it must not be there.
                        Err(ChatError::Unavailable | ChatError::Busy) => refused.push(text),
                        Err(other) => panic!("{text}: {other}"),
                    }
                    count.fetch_add(1, Ordering::SeqCst);
                }
                (acked, refused)
            })
        })
        .collect();
    for kill in 1..=KILLS {
        let at = kill * POSTERS * EACH / (KILLS + 1);
        eventually!(acknowledged.load(Ordering::SeqCst) >= at && world.process("guild").is_some());
        world.kill("guild").await;
    }
    let (mut acked, mut refused) = (BTreeMap::new(), Vec::new());
    for poster in posters {
        let (done, not) = poster.await.unwrap();
        // One poster's messages are in the order it sent them.
        assert!(done.is_sorted_by_key(|(id, _)| *id));
        acked.extend(done);
        refused.extend(not);
    }
    let stored = world.stored().await;
    let acked: Vec<(MessageId, String)> = acked.into_iter().collect();
    assert_eq!(
        stored, acked,
        "every acknowledged message once, in order, and nothing else"
    );
    assert_eq!(
        refused,
        Vec::<String>::new(),
        "callers do not notice the restarts"
    );
    assert_eq!(acked.len(), POSTERS * EACH);
    eventually!(heard(&recorder).len() >= acked.len());
    assert_eq!(heard(&recorder), acked, "published once, in the same order");
    assert!(recorder.closes().is_empty(), "no session is lost");
    assert_eq!(attached.last_sequence(), recorder.len() as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_shown_before_it_is_durable_even_if_the_guild_dies() {
    let world = Arc::new(World::new().await);
    let (_attached, recorder) = world.enter(&world.member).await;
    let told = recorder.len();
    world.store.hold();
    let post = |text: &'static str| {
        let world = world.clone();
        tokio::spawn(async move { world.post(text).await.unwrap().id })
    };
    let first = post("first");
    eventually!(world.store.held() == 1);
    world.kill("guild").await;
    let second = post("second");
    eventually!(world.process("guild").is_some());
    assert!(!first.is_finished() && !second.is_finished());
    assert_eq!(recorder.len(), told, "nothing is durable, nothing is shown");
    world.store.release().await;
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    assert!(first < second);
    let both = [(first, "first".to_owned()), (second, "second".to_owned())];
    eventually!(heard(&recorder) == both);
    assert_eq!(world.stored().await, both);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_commit_publishes_nothing_and_leaves_nothing_in_memory() {
    let world = World::new().await;
    let (_attached, recorder) = world.enter(&world.member).await;
    let draft = |text: &str| Draft {
        content: text.to_owned(),
        nonce: Some(Nonce::Integer(1)),
        enforce_nonce: true,
        ..Draft::default()
    };
    for (error, expected) in [
        (
            StoreError::NotApplied("test".to_owned()),
            ChatError::Unavailable,
        ),
        (StoreError::Busy, ChatError::Busy),
        (
            StoreError::Unknown("test".to_owned()),
            ChatError::Unknown("test".to_owned()),
        ),
    ] {
        world.store.fail_with(Some(error));
        assert_eq!(world.post_draft(draft("lost")).await.unwrap_err(), expected);
        let role = guild::create_role(
            &world.chat,
            Actor::System,
            world.guild,
            RolePatch::default(),
        )
        .await;
        assert_eq!(role.unwrap_err(), expected);
        world.store.fail_with(None);
        let roles = guild::roles(&world.chat, Actor::System, world.guild)
            .await
            .unwrap();
        assert_eq!(roles.len(), 1, "the role is forgotten");
    }
    // The nonce of the lost message names nothing.
    let kept = world.post_draft(draft("kept")).await.unwrap();
    assert_eq!(kept.content, "kept");
    eventually!(!heard(&recorder).is_empty());
    assert_eq!(heard(&recorder), [(kept.id, "kept".to_owned())]);
    assert!(recorder.of("GUILD_ROLE_CREATE").is_empty());
    assert_eq!(world.stored().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guild_that_cannot_be_loaded_says_so_and_comes_back() {
    let world = World::new().await;
    world.store.set_unreadable(true);
    world.kill("guild").await;
    assert_eq!(world.post("now").await.unwrap_err(), ChatError::Unavailable);
    world.store.set_unreadable(false);
    // It tries again by itself.
    eventually!(world.post("later").await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_lane_refuses_and_loses_nothing() {
    let world = Arc::new(World::new().await);
    world.store.hold();
    let flood = guild::lane::DEPTH_MAX + 200;
    let posts: Vec<_> = (0..flood)
        .map(|number| {
            let world = world.clone();
            tokio::spawn(async move { world.post(&number.to_string()).await })
        })
        .collect();
    eventually!(world.store.held() > guild::lane::DEPTH_MAX);
    // Refused ones come back while the lane still waits.
    eventually!(posts.iter().filter(|post| post.is_finished()).count() >= 150);
    world.store.release().await;
    let (mut acked, mut busy) = (0, 0);
    for post in posts {
        match post.await.unwrap() {
            Ok(_) => acked += 1,
            Err(error) => {
                assert_eq!(error, ChatError::Busy);
                busy += 1;
            }
        }
    }
    assert!(busy >= 150, "{busy}");
    assert_eq!(world.stored().await.len(), acked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_that_dies_invalidates_the_sessions_honestly() {
    let world = World::new().await;
    let (_attached, recorder) = world.enter(&world.member).await;
    world.kill("lane").await;
    eventually!(recorder.closes() == [Close::InvalidSession { resumable: false }]);
    world.post("on we go").await.unwrap();
    let (_attached, recorder) = world.enter(&world.member).await;
    world.post("again").await.unwrap();
    eventually!(heard(&recorder).len() == 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nonce_is_good_across_the_death_of_the_guild() {
    let world = World::new().await;
    let (_attached, recorder) = world.enter(&world.member).await;
    let draft = || Draft {
        content: "once".to_owned(),
        nonce: Some(Nonce::Text("n".to_owned())),
        enforce_nonce: true,
        ..Draft::default()
    };
    let first = world.post_draft(draft()).await.unwrap();
    world.kill("guild").await;
    let second = world.post_draft(draft()).await.unwrap();
    assert_eq!(first.id, second.id);
    let third = world.post("other").await.unwrap();
    assert!(third.id > first.id);
    eventually!(heard(&recorder).len() == 2);
    assert_eq!(world.stored().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edits_and_pins_publish_the_message_as_it_is_stored() {
    let world = World::new().await;
    let (_attached, recorder) = world.enter(&world.member).await;
    let owner = Actor::User(world.owner.user.id);
    let message = world.post("one").await.unwrap();
    let emoji = model::emoji::ReactionEmoji {
        id: None,
        name: Some("👍".to_owned()),
        animated: false,
    };
    guild::add_reaction(&world.chat, owner, world.channel, message.id, emoji)
        .await
        .unwrap();
    let patch = || MessagePatch {
        content: Some("two".to_owned()),
        ..MessagePatch::default()
    };
    let edited = guild::edit_message(&world.chat, owner, world.channel, message.id, patch())
        .await
        .unwrap();
    assert_eq!(
        (edited.content.as_str(), edited.edited_timestamp.is_some()),
        ("two", true)
    );
    assert!(
        edited.reactions[0].me,
        "the answer is the editor's own view"
    );
    guild::set_pinned(&world.chat, owner, world.channel, message.id, true)
        .await
        .unwrap();
    eventually!(recorder.of("MESSAGE_UPDATE").len() == 2 && heard(&recorder).len() == 2);
    let updates = recorder.of("MESSAGE_UPDATE");
    assert_eq!(
        (&updates[0]["content"], &updates[0]["pinned"]),
        (&"two".into(), &false.into())
    );
    assert_eq!(updates[0]["guild_id"], world.guild.to_string());
    assert!(updates[0]["member"]["joined_at"].is_string());
    assert_eq!(updates[0]["reactions"][0]["me"], false);
    assert_eq!(updates[1]["pinned"], true);
    let (pins, more) = history::pins(&world.chat, owner, world.channel, None, 50)
        .await
        .unwrap();
    assert!(pins.len() == 1 && !more);

    guild::delete_message(&world.chat, owner, world.channel, message.id)
        .await
        .unwrap();
    let gone = guild::edit_message(&world.chat, owner, world.channel, message.id, patch()).await;
    assert_eq!(gone.unwrap_err(), ChatError::NotFound(Missing::Message));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hiding_a_channel_is_a_fence_under_load() {
    let world = Arc::new(World::new().await);
    let (_attached, recorder) = world.enter(&world.member).await;
    let (_owner_attached, everything) = world.enter(&world.owner).await;
    let stop = Arc::new(AtomicBool::new(false));
    let poster = {
        let (world, stop, everything) = (world.clone(), stop.clone(), everything.clone());
        tokio::spawn(async move {
            let mut posted = 0;
            while !stop.load(Ordering::SeqCst) {
                let shown = everything.len();
                world.post("psst").await.unwrap();
                posted += 1;
                // Not faster than it is delivered, or the test only reads its own backlog.
                eventually!(everything.len() > shown);
            }
            posted
        })
    };
    let everyone: model::RoleId = world.guild.cast();
    for _ in 0..10 {
        let shown = recorder.len();
        eventually!(recorder.len() > shown + 3);
        let hide = Overwrite::role(everyone, Permissions::empty(), Permissions::VIEW_CHANNEL);
        guild::put_overwrite(&world.chat, Actor::System, world.channel, hide)
            .await
            .unwrap();
        let shown = everything.len();
        eventually!(everything.len() > shown + 5);
        let target = everyone.cast();
        guild::delete_overwrite(&world.chat, Actor::System, world.channel, target)
            .await
            .unwrap();
    }
    stop.store(true, Ordering::SeqCst);
    let posted: usize = poster.await.unwrap();
    eventually!(heard(&everything).len() == posted);
    let mut hidden = false;
    for received in recorder.received() {
        match received.name.as_str() {
            "CHANNEL_DELETE" => hidden = true,
            "CHANNEL_CREATE" => hidden = false,
            "MESSAGE_CREATE" | "CHANNEL_UPDATE" => {
                assert!(!hidden, "{} of a hidden channel", received.name)
            }
            _ => {}
        }
    }
    assert_eq!(recorder.of("CHANNEL_DELETE").len(), 10);
    assert!(
        heard(&recorder).len() <= posted - 10 * 4,
        "what was said meanwhile is not shown"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kicked_member_gets_nothing_more_and_may_come_back() {
    let world = World::new().await;
    let (_attached, recorder) = world.enter(&world.member).await;
    let id = world.member.user.id;
    guild::kick(&world.chat, Actor::System, world.guild, id)
        .await
        .unwrap();
    world.post("without you").await.unwrap();
    eventually!(recorder.of("GUILD_DELETE").len() == 1);
    assert_eq!(
        recorder.of("GUILD_DELETE")[0],
        serde_json::json!({"id": world.guild.to_string()})
    );
    let access = guild::guild_view(&world.chat, Actor::User(id), world.guild, false).await;
    assert_eq!(access.unwrap_err(), ChatError::MissingAccess);
    guild::add_member(&world.chat, Actor::System, world.guild, id)
        .await
        .unwrap();
    eventually!(recorder.of("GUILD_CREATE").len() == 2);
    assert!(
        recorder.of("GUILD_CREATE")[1].get("unavailable").is_none(),
        "newly joined"
    );
    world.post("with you").await.unwrap();
    eventually!(!heard(&recorder).is_empty());
    assert_eq!(heard(&recorder)[0].1, "with you");
    guild::ban(&world.chat, Actor::System, world.guild, id, None, 0)
        .await
        .unwrap();
    let back = guild::add_member(&world.chat, Actor::System, world.guild, id).await;
    assert_eq!(
        back.unwrap_err(),
        ChatError::Refused(chat::error::Refusal::Banned)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_guild_is_gone_with_its_messages() {
    let world = World::new().await;
    let (_attached, recorder) = world.enter(&world.member).await;
    world.post("last words").await.unwrap();
    let owner = Actor::User(world.owner.user.id);
    guild::delete_guild(&world.chat, owner, world.guild)
        .await
        .unwrap();
    eventually!(recorder.of("GUILD_DELETE").len() == 1);
    assert_eq!(
        world.post("more").await.unwrap_err(),
        ChatError::NotFound(Missing::Channel)
    );
    let view = guild::guild_view(&world.chat, owner, world.guild, false).await;
    assert_eq!(view.unwrap_err(), ChatError::NotFound(Missing::Guild));
    // Purged in the background.
    eventually!(world.stored().await.is_empty());
    assert!(recorder.closes().is_empty(), "the session lives on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_that_does_not_become_durable_did_not_happen() {
    let world = World::new().await;
    let (_attached, recorder) = world.enter(&world.member).await;
    world
        .store
        .fail_with(Some(StoreError::NotApplied("test".to_owned())));
    let owner = Actor::User(world.owner.user.id);
    let deleted = guild::delete_guild(&world.chat, owner, world.guild).await;
    assert_eq!(deleted.unwrap_err(), ChatError::Unavailable);
    world.store.fail_with(None);
    world.post("still here").await.unwrap();
    eventually!(heard(&recorder).len() == 1);
    assert!(recorder.of("GUILD_DELETE").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_is_no_guild_where_there_is_none() {
    let world = World::new().await;
    let nowhere: GuildId = Id::new(404);
    let view = guild::guild_view(&world.chat, Actor::System, nowhere, false).await;
    assert_eq!(view.unwrap_err(), ChatError::NotFound(Missing::Guild));
    let stranger = accounts::create_user(&world.chat, "stranger")
        .await
        .unwrap();
    let view = guild::guild_view(
        &world.chat,
        Actor::User(stranger.user.id),
        world.guild,
        false,
    )
    .await;
    assert_eq!(view.unwrap_err(), ChatError::MissingAccess);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_cost_no_commit_and_many_ask_one_guild_to_start() {
    let world = Arc::new(World::new().await);
    let commits = world.store.commits();
    let asked: Vec<_> = (0..50)
        .map(|_| {
            let world = world.clone();
            tokio::spawn(async move {
                guild::channels(&world.chat, Actor::System, world.guild)
                    .await
                    .unwrap()
                    .len()
            })
        })
        .collect();
    for answer in asked {
        assert_eq!(answer.await.unwrap(), 1);
    }
    assert_eq!(world.store.commits(), commits);
    let label = format!("guild {}", world.guild);
    let running = world
        .chat
        .node()
        .processes()
        .into_iter()
        .filter(|info| info.label.as_deref() == Some(&label));
    assert_eq!(running.count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn draining_settles_what_was_taken_and_takes_no_more() {
    let world = Arc::new(World::new().await);
    let (_attached, recorder) = world.enter(&world.member).await;
    world.store.hold();
    let post = {
        let world = world.clone();
        tokio::spawn(async move { world.post("just in time").await })
    };
    eventually!(world.store.held() == 1);
    let drain = {
        let chat = world.chat.clone();
        tokio::spawn(async move { chat.drain(Duration::ZERO, Duration::from_secs(20)).await })
    };
    eventually!(recorder.closes() == [Close::Reconnect]);
    world.store.release().await;
    let message = post.await.unwrap().unwrap();
    drain.await.unwrap();
    assert_eq!(
        world.stored().await,
        [(message.id, "just in time".to_owned())]
    );
    assert_eq!(
        world.post("too late").await.unwrap_err(),
        ChatError::Unavailable
    );
    assert!(world.process("guild").is_none() && world.process("lane").is_none());
}
