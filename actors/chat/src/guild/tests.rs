//! A guild with its whole family: members, lists and posts while its processes die, and walks that
//! take long.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

use metrics::Gauge;
use model::application::flags;
use model::event::{Audience, Encoded};
use model::intents::Intents;
use model::member::MemberRecord;
use model::message::Draft;
use model::permissions::Permissions;
use model::user::{Account, User};
use model::{Id, MessageId};
use otp::{Node, eventually};
use serde_json::Value;
use storage::blob::BlobStore;
use storage::engine::memory::MemoryStore;
use storage::store::Write;
use storage::{DataService, Store};

use super::command::{MemberPatch, MembersRequest, RolePatch};
use super::*;
use crate::accounts;
use crate::chat::ChatConfig;
use crate::presence::Platform;
use crate::session::recorder::Recorder;
use crate::session::replay::ReplayLimits;
use crate::session::{self, Attached, Login};

struct World {
    chat: Chat,
    store: Arc<MemoryStore>,
    owner: Account,
    member: Account,
    guild: GuildId,
    channel: ChannelId,
}

impl World {
    async fn new() -> Self {
        let store = Arc::new(MemoryStore::new());
        let data = DataService::new(store.clone());
        let node = Node::new("guild");
        let chat = Chat::start(node, data, BlobStore::memory(), ChatConfig::default())
            .await
            .unwrap();
        let bot = |name| accounts::create_bot(&chat, name, flags::ALL_PRIVILEGED);
        let (owner, member) = (bot("owner").await.unwrap(), bot("member").await.unwrap());
        let made = create_guild(&chat, &owner.user, "a guild").await.unwrap();
        let (guild, channel) = (made.guild.id, made.guild.system_channel_id.unwrap());
        add_member(&chat, Actor::System, guild, member.user.id)
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

    async fn enter(&self, account: &Account) -> (Attached, Arc<Recorder>) {
        let recorder = Recorder::new();
        let login = Login {
            account: account.clone(),
            intents: Intents::ALL,
            shard: None,
            large_threshold: 50,
            presence: None,
            platform: Platform::Web,
            mobile: false,
            version: 10,
            resume_gateway_url: "ws://127.0.0.1:1".into(),
        };
        let attached = session::login(&self.chat, login, recorder.clone())
            .await
            .unwrap();
        eventually!(recorder.of("GUILD_CREATE").len() == 1);
        (attached, recorder)
    }

    async fn post(&self, text: &str) -> Result<model::message::Message> {
        let draft = Draft {
            content: text.to_owned(),
            ..Draft::default()
        };
        post_message(
            &self.chat,
            Actor::User(self.owner.user.id),
            self.channel,
            draft,
        )
        .await
    }

    fn process(&self, kind: &str) -> Option<Pid> {
        let label = format!("{kind} {}", self.guild);
        let mut all = self.chat.node().processes().into_iter();
        all.find(|info| info.label.as_deref() == Some(&label))
            .map(|info| info.pid)
    }

    async fn kill(&self, kind: &str) {
        // Found and taken in one look: it may die of another's death right after.
        let found = parking_lot::Mutex::new(None);
        eventually!({
            *found.lock() = self.process(kind);
            found.lock().is_some()
        });
        let Some(pid) = found.into_inner() else {
            return;
        };
        self.chat.node().exit(pid, ExitReason::Kill);
        self.chat.node().wait_for_exit(pid).await;
    }

    /// A sidebar that watches the first members.
    fn sidebar(&self) -> Sidebar {
        let outbox = Arc::new(Outbox::new(ReplayLimits::default(), Gauge::noop()));
        let recorder = Recorder::new();
        let ready = Encoded::new("READY", None, Audience::Guild, Intents::NONE, &"");
        outbox
            .attach(recorder.clone(), 0, &Arc::new(ready))
            .unwrap();
        let sidebar = Sidebar { outbox, recorder };
        self.watch(&sidebar, vec![(self.channel, vec![(0, 99)])]);
        sidebar
    }

    fn watch(&self, sidebar: &Sidebar, channels: Vec<(ChannelId, Vec<(u32, u32)>)>) {
        let outbox = Arc::clone(&sidebar.outbox);
        let user = self.member.user.id;
        watch_members(
            &self.chat,
            self.guild,
            "sidebar".into(),
            user,
            channels,
            outbox,
        );
    }
}

struct Sidebar {
    outbox: Arc<Outbox>,
    recorder: Arc<Recorder>,
}

impl Sidebar {
    /// What its client shows: each row as text, after all operations so far.
    fn rows(&self) -> Vec<String> {
        let mut rows: Vec<Option<String>> = Vec::new();
        let row = |item: &Value| match item.get("group") {
            Some(group) => format!("{} {}", group["id"].as_str().unwrap(), group["count"]),
            None => {
                let member = &item["member"];
                let name = member["nick"].as_str();
                name.unwrap_or(member["user"]["username"].as_str().unwrap())
                    .to_owned()
            }
        };
        for update in self.recorder.of("GUILD_MEMBER_LIST_UPDATE") {
            for op in update["ops"].as_array().unwrap() {
                let index = op["index"].as_u64().unwrap_or_default() as usize;
                match op["op"].as_str().unwrap() {
                    "SYNC" => {
                        let items = op["items"].as_array().unwrap().iter();
                        rows = items.map(|item| Some(row(item))).collect();
                    }
                    "INSERT" => rows.insert(index, Some(row(&op["item"]))),
                    "UPDATE" => rows[index] = Some(row(&op["item"])),
                    "DELETE" => drop(rows.remove(index)),
                    other => panic!("{other}"),
                }
            }
        }
        rows.into_iter().map(Option::unwrap).collect()
    }

    fn updates(&self) -> usize {
        self.recorder.of("GUILD_MEMBER_LIST_UPDATE").len()
    }
}

fn heard(recorder: &Recorder) -> Vec<(MessageId, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let said = |message: &Value| {
        let id = text(&message["id"]).parse().unwrap();
        (id, text(&message["content"]))
    };
    recorder.of("MESSAGE_CREATE").iter().map(said).collect()
}

/// What dies, and nobody notices.
const MORTALS: [&str; 4] = ["keeper", "guild", "list", "relay 0 of"];

/// Deaths in one guild: more within ten seconds, and its supervisor would give it up, rightly so.
const DEATHS: usize = 28;

/// Posts, and changes of members, while [`DEATHS`] processes die in turn, all of [`MORTALS`] equally
/// often.
async fn live_through() {
    // Those who work are at most two requests ahead of the deaths, and every death waits for all of
    // them: there is work at each, and no request meets more than two. (One that finds its guild dying
    // five times is given up, and rightly so.)
    const EACH: usize = DEATHS + 2;
    const WORKERS: usize = 5;
    let world = Arc::new(World::new().await);
    let (_one, ours) = world.enter(&world.owner).await;
    let (_two, theirs) = world.enter(&world.member).await;
    let sidebar = world.sidebar();
    let died = Arc::new(AtomicUsize::new(0));
    let done: Arc<[AtomicUsize; WORKERS]> = Arc::default();
    let posters: Vec<_> = (1..WORKERS)
        .map(|poster| {
            let (world, died, done) = (world.clone(), died.clone(), done.clone());
            tokio::spawn(async move {
                let mut said = BTreeMap::new();
                for number in 0..EACH {
                    eventually!(number < died.load(SeqCst) + 2);
                    let text = format!("{poster}:{number}");
                    said.insert(world.post(&text).await.unwrap().id, text);
                    done[poster].fetch_add(1, SeqCst);
                }
                said
            })
        })
        .collect();
    let changer = {
        let (world, died, done) = (world.clone(), died.clone(), done.clone());
        tokio::spawn(async move {
            // Members as they were answered to be.
            let mut names = BTreeMap::new();
            for number in 0..EACH {
                eventually!(number < died.load(SeqCst) + 2);
                let name = format!("user{number}");
                let user = accounts::create_user(&world.chat, &name).await.unwrap();
                let (chat, id) = (&world.chat, user.user.id);
                add_member(chat, Actor::System, world.guild, id)
                    .await
                    .unwrap();
                names.insert(id, name);
                if number % 3 == 1 {
                    kick(chat, Actor::System, world.guild, id).await.unwrap();
                    names.remove(&id);
                }
                if number % 3 == 2 {
                    let nick = format!("Nick {}", 100 - number);
                    let patch = MemberPatch {
                        nick: Some(Some(nick.clone())),
                        ..MemberPatch::default()
                    };
                    let changed = modify_member(chat, Actor::System, world.guild, id, patch).await;
                    changed.unwrap();
                    names.insert(id, nick);
                }
                // Read your writes, whatever has died meanwhile.
                let listed = members(chat, Actor::System, world.guild, None, 1_000).await;
                assert_eq!(listed.unwrap().len(), names.len() + 2);
                done[0].fetch_add(1, SeqCst);
            }
            names
        })
    };
    for kill in 0..DEATHS {
        eventually!(done.iter().all(|done| done.load(SeqCst) >= kill));
        world.kill(MORTALS[kill % MORTALS.len()]).await;
        died.fetch_add(1, SeqCst);
    }
    let mut said = BTreeMap::new();
    for poster in posters {
        said.extend(poster.await.unwrap());
    }
    let names = changer.await.unwrap();
    let said: Vec<(MessageId, String)> = said.into_iter().collect();
    assert_eq!(said.len(), (WORKERS - 1) * EACH);
    for recorder in [&ours, &theirs] {
        eventually!(heard(recorder).len() >= said.len());
        assert_eq!(heard(recorder), said, "each once, in order");
        assert!(recorder.closes().is_empty(), "no op 9");
    }
    let mut expected = vec!["online 2", "member", "owner"];
    let offline = format!("offline {}", names.len());
    expected.push(&offline);
    let mut sorted: Vec<&str> = names.values().map(String::as_str).collect();
    sorted.sort_by_key(|name| name.to_lowercase());
    expected.extend(sorted);
    eventually!(sidebar.rows() == expected);
    let stored = world.store.members(world.guild, None, 1_000).await.unwrap();
    let found = members(&world.chat, Actor::System, world.guild, None, 1_000).await;
    let found: Vec<UserId> = found.unwrap().iter().map(|member| member.user.id).collect();
    let stored: Vec<UserId> = stored.iter().map(|(record, _)| record.user_id).collect();
    assert_eq!(found, stored, "the table is the truth of the store");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_deaths_each_of_keepers_guilds_lists_and_relays_are_noticed_by_nobody() {
    const EACH: usize = 100;
    let worlds = (EACH * MORTALS.len()).div_ceil(DEATHS);
    assert_eq!(DEATHS % MORTALS.len(), 0, "equally often");
    let worlds: Vec<_> = (0..worlds).map(|_| tokio::spawn(live_through())).collect();
    for world in worlds {
        world.await.unwrap();
    }
}

/// The lane puts a change into the table before it says that it is settled: permissions, which are
/// answered at once, never show it, then not, then again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoke_that_was_seen_is_not_taken_back() {
    let world = Arc::new(World::new().await);
    let (guild, user) = (world.guild, world.member.user.id);
    let needs = Permissions::MANAGE_CHANNELS;
    let patch = RolePatch {
        permissions: Some(needs),
        ..RolePatch::default()
    };
    let role = create_role(&world.chat, Actor::System, guild, patch).await;
    let role = role.unwrap().id;
    let may = || async {
        let asked = Command::GuildAccess { needs };
        let answer = execute(&world.chat, guild, Actor::User(user), asked).await;
        answer.is_ok()
    };
    for _ in 0..20 {
        let given = add_member_role(&world.chat, Actor::System, guild, user, role).await;
        given.unwrap();
        assert!(may().await);
        let revoking = {
            let world = world.clone();
            tokio::spawn(async move {
                remove_member_role(&world.chat, Actor::System, guild, user, role).await
            })
        };
        while may().await {}
        while !revoking.is_finished() {
            assert!(!may().await, "a revoke was taken back");
        }
        revoking.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_walk_over_a_hundred_thousand_members_holds_up_nobody() {
    const MEMBERS: u64 = 100_000;
    let world = Arc::new(World::new().await);
    let mut writes = Vec::new();
    for id in 1..=MEMBERS {
        let user = User::new(Id::new(id), format!("u{id}"), false);
        let record = MemberRecord::new(world.guild, user.id, model::time::from_unix_ms(0));
        writes.push(Write::PutMember(Box::new(record)));
        let account = Account {
            user,
            email: None,
            application: None,
            token_generation: 0,
        };
        world.store.create_account(account).await.unwrap();
    }
    world.store.commit(writes).await.unwrap();
    // Written behind the guild's back: it has to look.
    world.kill("keeper").await;
    let ask = |query: &str| {
        let (world, query) = (world.clone(), query.to_owned());
        let request = MembersRequest {
            query: Some(query),
            ..MembersRequest::default()
        };
        let actor = Actor::User(world.owner.user.id);
        tokio::spawn(async move { request_members(&world.chat, actor, world.guild, request).await })
    };
    let walks = world.chat.guilds().walks();
    let held = walks.gate.forget_permits(usize::MAX);
    let all: Vec<_> = (0..walk::WALKS_MAX + 4).map(|_| ask("")).collect();
    let named = ask("U99999");
    eventually!(walks.under_way() == (walk::WALKS_MAX, 5));
    for number in 0..50 {
        world.post(&number.to_string()).await.unwrap();
    }
    let server = world.chat.guilds().lookup(world.guild).unwrap();
    assert_eq!(server.mailbox_len(), 0, "the guild has nothing left to do");
    assert!(all.iter().all(|one| !one.is_finished()), "they are held");
    walks.gate.add_permits(held);
    for one in all {
        let found = one.await.unwrap().unwrap();
        assert_eq!(found.members.len() as u64, MEMBERS + 2);
        assert!(found.members.is_sorted_by_key(|row| row.record.user_id));
    }
    assert_eq!(named.await.unwrap().unwrap().members.len(), 1);
    eventually!(walks.under_way() == (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_are_found_by_name_by_id_and_in_order() {
    let world = World::new().await;
    let patch = MemberPatch {
        nick: Some(Some("Zoë".to_owned())),
        ..MemberPatch::default()
    };
    let (chat, guild, bob) = (&world.chat, world.guild, world.member.user.id);
    modify_member(chat, Actor::System, guild, bob, patch)
        .await
        .unwrap();
    let search = |query: &str| search_members(chat, Actor::System, guild, query.to_owned(), 10);
    let ids = |found: Vec<model::member::Member>| {
        let ids = found.iter().map(|member| member.user.id);
        ids.collect::<Vec<_>>()
    };
    assert_eq!(ids(search("zOË").await.unwrap()), [bob]);
    assert_eq!(ids(search("memb").await.unwrap()), [bob]);
    assert_eq!(search("o").await.unwrap().len(), 1);
    let after = members(chat, Actor::System, guild, Some(world.owner.user.id), 10).await;
    assert_eq!(ids(after.unwrap()), [bob]);
    let asked = MembersRequest {
        user_ids: vec![bob, Id::new(404)],
        ..MembersRequest::default()
    };
    let found = request_members(chat, Actor::User(bob), guild, asked)
        .await
        .unwrap();
    assert_eq!(
        (found.members.len(), found.not_found),
        (1, vec![Id::new(404)])
    );
    let stranger = Actor::User(Id::new(404));
    let refused = members(chat, stranger, guild, None, 10).await;
    assert_eq!(refused.unwrap_err(), ChatError::MissingAccess);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_follows_roles_presences_and_who_may_see_the_channel() {
    let world = World::new().await;
    let sidebar = world.sidebar();
    eventually!(sidebar.rows() == ["offline 2", "member", "owner"]);
    let (attached, _recorder) = world.enter(&world.owner).await;
    eventually!(sidebar.rows() == ["online 1", "owner", "offline 1", "member"]);
    let hoisted = command::RolePatch {
        hoist: Some(true),
        ..command::RolePatch::default()
    };
    let (chat, guild, owner) = (&world.chat, world.guild, world.owner.user.id);
    let role = create_role(chat, Actor::System, guild, hoisted)
        .await
        .unwrap()
        .id;
    add_member_role(chat, Actor::System, guild, owner, role)
        .await
        .unwrap();
    let heading = format!("{role} 1");
    eventually!(sidebar.rows() == [&heading, "owner", "offline 1", "member"]);
    delete_role(chat, Actor::System, guild, role).await.unwrap();
    eventually!(sidebar.rows() == ["online 1", "owner", "offline 1", "member"]);
    let last = sidebar
        .recorder
        .of("GUILD_MEMBER_LIST_UPDATE")
        .pop()
        .unwrap();
    assert_eq!(
        (&last["id"], &last["online_count"]),
        (&"everyone".into(), &1.into())
    );

    // Whoever may not see the channel is not in its list, and is told nothing of it.
    let view = model::permissions::Permissions::VIEW_CHANNEL;
    let none = model::permissions::Permissions::empty();
    let hide = model::channel::Overwrite::role(guild.cast(), none, view);
    put_overwrite(chat, Actor::System, world.channel, hide)
        .await
        .unwrap();
    // A list of its own would come at once: what changes now must not.
    let updates = sidebar.updates();
    attached.end();
    eventually!(chat.presences().of(owner).is_none());
    let patch = MemberPatch {
        nick: Some(Some("quiet".to_owned())),
        ..MemberPatch::default()
    };
    modify_member(chat, Actor::User(owner), guild, owner, patch)
        .await
        .unwrap();
    let show = model::channel::Overwrite::member(world.member.user.id, view, none);
    put_overwrite(chat, Actor::System, world.channel, show)
        .await
        .unwrap();
    // An owner sees every channel.
    eventually!(sidebar.rows() == ["offline 2", "member", "quiet"]);
    assert_eq!(sidebar.updates(), updates + 1, "one SYNC of the new list");
    let last = sidebar
        .recorder
        .of("GUILD_MEMBER_LIST_UPDATE")
        .pop()
        .unwrap();
    assert!(
        last["id"].as_str().unwrap().parse::<u32>().is_ok(),
        "{last}"
    );

    // Nothing else happens: the list comes again by itself.
    world.kill("list").await;
    eventually!(sidebar.updates() == updates + 2);
    world.kill("guild").await;
    eventually!(sidebar.updates() == updates + 3);
    world.kill("keeper").await;
    eventually!(sidebar.updates() == updates + 4);
    assert_eq!(sidebar.rows(), ["offline 2", "member", "quiet"]);

    world.watch(&sidebar, Vec::new());
    eventually!(Arc::strong_count(&sidebar.outbox) == 1);
}
