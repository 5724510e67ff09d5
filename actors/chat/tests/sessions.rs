//! Sessions over a whole chat system on the memory store: login, guilds, resume, presence, and
//! what is left when something dies.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use chat::guild::command::{Actor, MembersRequest};
use chat::session::recorder::Recorder;
use chat::session::transport::Close;
use chat::session::{self, Attached, Login, Platform, ResumeError};
use chat::{Chat, ChatConfig, ChatError, accounts, guild};
use model::application::flags;
use model::intents::Intents;
use model::presence::{Presence, Status};
use model::user::Account;
use model::{ChannelId, GuildId};
use otp::{ExitReason, Node, eventually};
use storage::DataService;
use storage::blob::BlobStore;
use storage::engine::memory::MemoryStore;

struct World {
    chat: Chat,
    owner: Account,
    member: Account,
    guild: GuildId,
    channel: ChannelId,
}

impl World {
    async fn new(config: ChatConfig) -> Self {
        let data = DataService::new(Arc::new(MemoryStore::new()));
        let chat = Chat::start(Node::new("sessions"), data, BlobStore::memory(), config)
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
        let guild = made.guild.id;
        guild::add_member(&chat, Actor::System, guild, member.user.id)
            .await
            .unwrap();
        let channel = made.guild.system_channel_id.unwrap();
        Self {
            chat,
            owner,
            member,
            guild,
            channel,
        }
    }

    async fn post(&self, content: &str) {
        post(&self.chat, &self.owner, self.channel, content).await;
    }

    /// Kills the process with this label, once there is one.
    async fn kill(&self, label: &str) {
        let node = self.chat.node();
        let find = || {
            let mut all = node.processes().into_iter();
            all.find(|process| process.label.as_deref() == Some(label))
        };
        eventually!(find().is_some());
        let Some(process) = find() else { return };
        node.exit(process.pid, ExitReason::Kill);
        eventually!(!node.is_alive(process.pid));
    }
}

async fn post(chat: &Chat, author: &Account, channel: ChannelId, content: &str) {
    let draft = model::message::Draft {
        content: content.to_owned(),
        ..Default::default()
    };
    guild::post_message(chat, Actor::User(author.user.id), channel, draft)
        .await
        .unwrap();
}

fn login_of(account: &Account) -> Login {
    Login {
        account: account.clone(),
        intents: Intents::ALL,
        shard: None,
        large_threshold: 50,
        presence: None,
        platform: Platform::Web,
        mobile: false,
        version: 10,
        resume_gateway_url: "ws://127.0.0.1:1".into(),
    }
}

/// Logs in and waits until the guilds have arrived.
async fn enter(chat: &Chat, login: Login, guilds: usize) -> (Attached, Arc<Recorder>) {
    let recorder = Recorder::new();
    let attached = session::login(chat, login, recorder.clone()).await.unwrap();
    eventually!(recorder.of("GUILD_CREATE").len() == guilds);
    (attached, recorder)
}

/// The texts of the messages a connection was told of.
fn texts(recorder: &Recorder) -> Vec<String> {
    let messages = recorder.of("MESSAGE_CREATE");
    messages
        .iter()
        .map(|message| message["content"].as_str().unwrap().to_owned())
        .collect()
}

fn assert_gapless(numbers: &[u64], first: u64) {
    let expected: Vec<u64> = (first..first + numbers.len() as u64).collect();
    assert_eq!(numbers, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_gets_ready_then_its_guilds_then_what_happens() {
    let world = World::new(ChatConfig::default()).await;
    let (attached, recorder) = enter(&world.chat, login_of(&world.member), 1).await;
    world.post("hello").await;
    eventually!(texts(&recorder) == ["hello"]);

    let received = recorder.received();
    assert_eq!(received[0].name, "READY");
    assert_eq!(received[0].sequence, 1);
    assert_eq!(received[0].data["session_id"], attached.session_id());
    let id = world.guild.to_string();
    assert_eq!(
        received[0].data["guilds"],
        serde_json::json!([{ "id": id, "unavailable": true }])
    );
    let create = &recorder.of("GUILD_CREATE")[0];
    assert_eq!(create["id"], id);
    assert_eq!(create["unavailable"], false);
    assert_gapless(&recorder.numbers(), 1);
    assert_eq!(attached.last_sequence(), recorder.len() as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resuming_a_hundred_times_loses_and_repeats_nothing() {
    let world = World::new(ChatConfig::default()).await;
    let (mut attached, mut recorder) = enter(&world.chat, login_of(&world.member), 1).await;
    let id = attached.session_id().to_owned();
    let (mut numbers, mut heard) = (Vec::new(), Vec::new());
    for round in 0..100 {
        world.post(&format!("{round} while here")).await;
        if round % 3 == 0 {
            eventually!(texts(&recorder).contains(&format!("{round} while here")));
        }
        attached.lost();
        numbers.extend(recorder.numbers());
        heard.extend(texts(&recorder));
        world.post(&format!("{round} while away")).await;
        recorder = Recorder::new();
        let last = *numbers.last().unwrap();
        attached = session::resume(&world.chat, &world.member, &id, last, recorder.clone())
            .await
            .unwrap();
        assert_eq!(attached.session_id(), id);
        assert_eq!(
            recorder
                .names()
                .iter()
                .filter(|name| *name == "RESUMED")
                .count(),
            1
        );
    }
    world.post("end").await;
    eventually!(texts(&recorder).contains(&"end".to_owned()));
    numbers.extend(recorder.numbers());
    heard.extend(texts(&recorder));
    assert_gapless(&numbers, 1);
    let mut expected: Vec<String> = (0..100)
        .flat_map(|round| [format!("{round} while here"), format!("{round} while away")])
        .collect();
    expected.push("end".into());
    assert_eq!(heard, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_resumed_says_so() {
    let world = World::new(ChatConfig::default()).await;
    let (attached, recorder) = enter(&world.chat, login_of(&world.member), 1).await;
    let id = attached.session_id().to_owned();
    let try_resume = |account: Account, id: String, seq: u64| {
        let chat = world.chat.clone();
        async move {
            session::resume(&chat, &account, &id, seq, Recorder::new())
                .await
                .err()
        }
    };
    assert_eq!(
        try_resume(world.member.clone(), id.clone(), 999).await,
        Some(ResumeError::InvalidSequence)
    );
    assert_eq!(
        try_resume(world.owner.clone(), id.clone(), 1).await,
        Some(ResumeError::Unknown)
    );
    assert_eq!(
        try_resume(world.member.clone(), "f".repeat(32), 1).await,
        Some(ResumeError::Unknown)
    );
    assert_eq!(
        try_resume(world.member.clone(), "short".into(), 1).await,
        Some(ResumeError::Unknown)
    );
    world.post("undisturbed").await;
    eventually!(texts(&recorder) == ["undisturbed"]);
    attached.end();
    eventually!(session::count(&world.chat) == 0);
    assert_eq!(
        try_resume(world.member.clone(), id, 1).await,
        Some(ResumeError::Unknown)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_session_ends_after_the_window() {
    let config = ChatConfig {
        resume_window: Duration::from_millis(50),
        ..ChatConfig::default()
    };
    let world = World::new(config).await;
    let (attached, _recorder) = enter(&world.chat, login_of(&world.member), 1).await;
    assert_eq!(session::count(&world.chat), 1);
    attached.lost();
    eventually!(session::count(&world.chat) == 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_falls_behind_while_away_is_lost() {
    let config = ChatConfig {
        replay_events_max: 10,
        ..ChatConfig::default()
    };
    let world = World::new(config).await;
    let (attached, recorder) = enter(&world.chat, login_of(&world.member), 1).await;
    let (id, last) = (
        attached.session_id().to_owned(),
        *recorder.numbers().last().unwrap(),
    );
    attached.lost();
    for number in 0..20 {
        world.post(&number.to_string()).await;
    }
    eventually!(session::count(&world.chat) == 0);
    let resumed = session::resume(&world.chat, &world.member, &id, last, Recorder::new()).await;
    assert_eq!(resumed.err(), Some(ResumeError::Unknown));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_takes_only_so_many_sessions() {
    let config = ChatConfig {
        sessions_max: 2,
        ..ChatConfig::default()
    };
    let world = World::new(config).await;
    let first = session::login(&world.chat, login_of(&world.member), Recorder::new())
        .await
        .unwrap();
    let _second = session::login(&world.chat, login_of(&world.member), Recorder::new())
        .await
        .unwrap();
    let refused = session::login(&world.chat, login_of(&world.member), Recorder::new()).await;
    assert_eq!(refused.err(), Some(ChatError::Busy));
    first.end();
    eventually!(session::count(&world.chat) == 1);
    assert!(
        session::login(&world.chat, login_of(&world.member), Recorder::new())
            .await
            .is_ok()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_shard_gets_its_guilds() {
    let world = World::new(ChatConfig::default()).await;
    let number = u32::try_from((world.guild.get() >> 22) % 2).unwrap();
    let mut mine = login_of(&world.member);
    mine.shard = Some((number, 2));
    let mut other = login_of(&world.member);
    other.shard = Some((1 - number, 2));
    let (_a, mine) = enter(&world.chat, mine, 1).await;
    let (_b, other) = enter(&world.chat, other, 0).await;
    world.post("sharded").await;
    eventually!(texts(&mine) == ["sharded"]);
    assert_eq!(other.received()[0].data["guilds"], serde_json::json!([]));
    assert_eq!(
        other.received()[0].data["shard"],
        serde_json::json!([1 - number, 2])
    );
    assert!(other.of("GUILD_CREATE").is_empty());
    assert!(texts(&other).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_joins_gets_the_guild_and_who_is_kicked_loses_it() {
    let world = World::new(ChatConfig::default()).await;
    let late = accounts::create_bot(&world.chat, "late", flags::ALL_PRIVILEGED)
        .await
        .unwrap();
    let (_attached, recorder) = enter(&world.chat, login_of(&late), 0).await;
    for round in 0..3 {
        guild::add_member(&world.chat, Actor::System, world.guild, late.user.id)
            .await
            .unwrap();
        eventually!(recorder.of("GUILD_CREATE").len() == round + 1);
        let create = recorder.of("GUILD_CREATE").pop().unwrap();
        assert!(
            create.get("unavailable").is_none(),
            "left out for a guild newly joined"
        );
        world.post(&format!("{round}")).await;
        eventually!(texts(&recorder).last() == Some(&round.to_string()));
        let owner = Actor::User(world.owner.user.id);
        guild::kick(&world.chat, owner, world.guild, late.user.id)
            .await
            .unwrap();
        eventually!(recorder.of("GUILD_DELETE").len() == round + 1);
        world.post("secret").await;
    }
    let (_member, witness) = enter(&world.chat, login_of(&world.member), 1).await;
    world.post("end").await;
    eventually!(texts(&witness) == ["end"]);
    assert_eq!(texts(&recorder), ["0", "1", "2"]);
    assert_gapless(&recorder.numbers(), 1);
}

/// What a passive session is told of others would be wrong from the start, and in a storm of logins
/// a list for each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_is_told_of_itself_alone_when_a_large_guild_arrives() {
    let config = ChatConfig {
        passive_members_min: 2,
        ..ChatConfig::default()
    };
    let world = World::new(config).await;
    let listed = |recorder: &Recorder, key: &str| -> Vec<String> {
        let create = &recorder.of("GUILD_CREATE")[0];
        let all = create[key].as_array().unwrap().iter();
        all.map(|one| one["user"]["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let everybody = ["owner", "member"].map(|name| match name {
        "owner" => world.owner.user.id.to_string(),
        _ => world.member.user.id.to_string(),
    });
    let person = accounts::create_user(&world.chat, "person").await.unwrap();
    let (_bot, bot) = enter(&world.chat, login_of(&world.member), 1).await;
    // Which of the two depends on whether the guild was loaded first.
    let itself = world.member.user.id.to_string();
    eventually!(
        listed(&bot, "presences").contains(&itself)
            || status_seen(&bot, &world.member) == Some("online".into())
    );
    assert_eq!(
        listed(&bot, "members"),
        everybody,
        "a guild of two is small"
    );

    guild::add_member(&world.chat, Actor::System, world.guild, person.user.id)
        .await
        .unwrap();
    let (_person, recorder) = enter(&world.chat, login_of(&person), 1).await;
    let own = [person.user.id.to_string()];
    assert_eq!(listed(&recorder, "members"), own);
    assert_eq!(recorder.of("GUILD_CREATE")[0]["member_count"], 3);
    assert!(
        listed(&recorder, "presences").is_empty(),
        "not even the bot's, whose changes it would not be told of"
    );
    // Bots are never passive, and asked for presences.
    let (_again, bot) = enter(&world.chat, login_of(&world.member), 1).await;
    assert_eq!(listed(&bot, "members").len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_dies_is_not_noticed() {
    let world = World::new(ChatConfig::default()).await;
    let (_attached, recorder) = enter(&world.chat, login_of(&world.member), 1).await;
    let mut due = Vec::new();
    for round in 0..10 {
        world.kill(&format!("relay 0 of {}", world.guild)).await;
        due.push(round.to_string());
        world.post(&round.to_string()).await;
    }
    eventually!(texts(&recorder) == due);
    assert_gapless(&recorder.numbers(), 1);
    assert_eq!(recorder.closes(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_lane_invalidates_the_sessions() {
    let world = World::new(ChatConfig::default()).await;
    let (attached, recorder) = enter(&world.chat, login_of(&world.member), 1).await;
    let id = attached.session_id().to_owned();
    world.kill(&format!("lane {}", world.guild)).await;
    eventually!(recorder.closes() == [Close::InvalidSession { resumable: false }]);
    eventually!(session::count(&world.chat) == 0);
    let resumed = session::resume(&world.chat, &world.member, &id, 1, Recorder::new()).await;
    assert_eq!(resumed.err(), Some(ResumeError::Unknown));
    // The next one is served by the successor.
    let (_attached, recorder) = enter(&world.chat, login_of(&world.member), 1).await;
    world.post("again").await;
    eventually!(texts(&recorder) == ["again"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_session_leaves_nothing_behind() {
    let world = World::new(ChatConfig::default()).await;
    let (_witness, watching) = enter(&world.chat, login_of(&world.owner), 1).await;
    let (attached, recorder) = enter(&world.chat, login_of(&world.member), 1).await;
    eventually!(status_seen(&watching, &world.member) == Some("online".into()));
    let label = format!("session {}", attached.session_id());
    let processes = world.chat.node().processes();
    let process = processes
        .iter()
        .find(|process| process.label.as_deref() == Some(&*label))
        .unwrap();
    world.chat.node().exit(process.pid, ExitReason::Kill);
    eventually!(recorder.closes() == [Close::InvalidSession { resumable: false }]);
    eventually!(session::count(&world.chat) == 1);
    eventually!(status_seen(&watching, &world.member) == Some("offline".into()));
}

/// The last status of `of` that a connection was told.
fn status_seen(recorder: &Recorder, of: &Account) -> Option<String> {
    let updates = recorder.of("PRESENCE_UPDATE");
    let own = updates
        .iter()
        .rfind(|update| update["user"]["id"] == of.user.id.to_string())?;
    Some(own["status"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presence_is_seen_by_the_others_and_limited() {
    let world = World::new(ChatConfig::default()).await;
    let (_witness, watching) = enter(&world.chat, login_of(&world.owner), 1).await;
    let (first, _r1) = enter(&world.chat, login_of(&world.member), 1).await;
    eventually!(status_seen(&watching, &world.member) == Some("online".into()));
    let said = |status| Presence {
        status,
        ..Presence::default()
    };
    first.set_presence(said(Status::Idle));
    eventually!(status_seen(&watching, &world.member) == Some("idle".into()));
    // A second, more active session wins; when it ends, the first shows again.
    let mut mobile = login_of(&world.member);
    (mobile.platform, mobile.presence) = (Platform::Mobile, Some(said(Status::Dnd)));
    let (second, _r2) = enter(&world.chat, mobile, 1).await;
    eventually!(status_seen(&watching, &world.member) == Some("dnd".into()));
    let update = watching.of("PRESENCE_UPDATE").pop().unwrap();
    assert_eq!(
        update["client_status"],
        serde_json::json!({ "web": "idle", "mobile": "dnd" })
    );
    second.end();
    eventually!(status_seen(&watching, &world.member) == Some("idle".into()));
    // READY and three more make five with the one above: the rest waits.
    for status in [Status::Dnd, Status::Online, Status::Invisible] {
        first.set_presence(said(status));
    }
    eventually!(status_seen(&watching, &world.member) == Some("offline".into()));
    for _ in 0..50 {
        first.set_presence(said(Status::Online));
    }
    world.post("marker").await;
    eventually!(texts(&watching).contains(&"marker".to_owned()));
    assert_eq!(
        status_seen(&watching, &world.member),
        Some("offline".into())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_on_request_go_to_this_session_only() {
    let world = World::new(ChatConfig::default()).await;
    let (_other, other) = enter(&world.chat, login_of(&world.owner), 1).await;
    let (attached, recorder) = enter(&world.chat, login_of(&world.member), 1).await;
    let all = || MembersRequest {
        query: Some(String::new()),
        presences: true,
        ..MembersRequest::default()
    };
    attached
        .request_members(world.guild, all(), Some("n".into()))
        .await;
    let chunk = recorder.of("GUILD_MEMBERS_CHUNK").pop().unwrap();
    assert_eq!(chunk["members"].as_array().unwrap().len(), 2);
    assert_eq!(chunk["presences"].as_array().unwrap().len(), 2);
    assert_eq!(
        (&chunk["chunk_index"], &chunk["chunk_count"]),
        (&0.into(), &1.into())
    );
    assert_eq!(chunk["nonce"], "n");
    attached.request_members(world.guild, all(), None).await;
    let limited = recorder.of("RATE_LIMITED").pop().unwrap();
    assert_eq!(limited["opcode"], 8);
    assert_eq!(limited["meta"]["guild_id"], world.guild.to_string());
    let ids = MembersRequest {
        user_ids: vec![world.owner.user.id, model::Id::new(5)],
        ..MembersRequest::default()
    };
    attached
        .request_members(world.guild, ids, Some("x".repeat(33)))
        .await;
    let chunk = recorder.of("GUILD_MEMBERS_CHUNK").pop().unwrap();
    assert_eq!(chunk["members"].as_array().unwrap().len(), 1);
    assert_eq!(chunk["not_found"], serde_json::json!(["5"]));
    assert!(chunk.get("nonce").is_none(), "longer than 32 bytes");
    assert!(other.of("GUILD_MEMBERS_CHUNK").is_empty());
    assert_gapless(&recorder.numbers(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn void_tokens_end_sessions() {
    let world = World::new(ChatConfig::default()).await;
    let (_attached, recorder) = enter(&world.chat, login_of(&world.member), 1).await;
    session::revoke(&world.chat, world.member.user.id);
    eventually!(recorder.closes() == [Close::Revoked]);
    eventually!(session::count(&world.chat) == 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joining_and_leaving_in_a_hurry_ends_where_it_ended() {
    let world = World::new(ChatConfig::default()).await;
    let busy = accounts::create_bot(&world.chat, "busy", flags::ALL_PRIVILEGED)
        .await
        .unwrap();
    let (_attached, recorder) = enter(&world.chat, login_of(&busy), 0).await;
    for _ in 0..30 {
        guild::add_member(&world.chat, Actor::System, world.guild, busy.user.id)
            .await
            .unwrap();
        guild::kick(&world.chat, Actor::System, world.guild, busy.user.id)
            .await
            .unwrap();
    }
    guild::add_member(&world.chat, Actor::System, world.guild, busy.user.id)
        .await
        .unwrap();
    let id = world.guild.to_string();
    let has_guild = || {
        let received = recorder.received();
        let last = received
            .iter()
            .rfind(|event| event.data["id"] == id && event.name.starts_with("GUILD_"));
        last.is_some_and(|event| event.name == "GUILD_CREATE")
    };
    // It may have been served in between; in the end it must be, and stay so.
    let mut number = 0;
    eventually!({
        number += 1;
        world.post(&number.to_string()).await;
        has_guild() && texts(&recorder).contains(&number.to_string())
    });
    assert_gapless(&recorder.numbers(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presence_survives_its_process() {
    let world = World::new(ChatConfig::default()).await;
    let (_witness, watching) = enter(&world.chat, login_of(&world.owner), 1).await;
    let (attached, _recorder) = enter(&world.chat, login_of(&world.member), 1).await;
    eventually!(status_seen(&watching, &world.member) == Some("online".into()));
    let node = world.chat.node();
    let process = node.whereis(chat::presence::NAME).unwrap();
    node.exit(process, ExitReason::Kill);
    // Said while it is dead or just after: either way it is told.
    attached.set_presence(Presence {
        status: Status::Dnd,
        ..Presence::default()
    });
    eventually!(status_seen(&watching, &world.member) == Some("dnd".into()));
    assert_ne!(node.whereis(chat::presence::NAME), Some(process));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_connection_takes_over() {
    let world = World::new(ChatConfig::default()).await;
    let (old, first) = enter(&world.chat, login_of(&world.member), 1).await;
    let last = old.last_sequence();
    let second = Recorder::new();
    let id = old.session_id().to_owned();
    let new = session::resume(&world.chat, &world.member, &id, last, second.clone())
        .await
        .unwrap();
    assert_eq!(first.closes(), [Close::Replaced]);
    // The old connection's task ends now; that must not park the new one.
    old.lost();
    world.post("still here").await;
    eventually!(texts(&second) == ["still here"]);
    assert_eq!(new.last_sequence(), *second.numbers().last().unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_sends_everybody_away() {
    let world = World::new(ChatConfig::default()).await;
    let (_a, one) = enter(&world.chat, login_of(&world.member), 1).await;
    let (_b, two) = enter(&world.chat, login_of(&world.owner), 1).await;
    world
        .chat
        .drain(Duration::from_millis(20), Duration::from_secs(5))
        .await;
    assert_eq!(one.closes(), [Close::Reconnect]);
    assert_eq!(two.closes(), [Close::Reconnect]);
    let refused = session::login(&world.chat, login_of(&world.member), Recorder::new()).await;
    assert_eq!(refused.err(), Some(ChatError::Unavailable));
}
