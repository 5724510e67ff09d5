//! A chat system with a guild and two bots in it, and a sidebar that watches its member list.

use std::sync::Arc;

use metrics::Gauge;
use model::application::flags;
use model::event::{Audience, Encoded};
use model::intents::Intents;
use model::message::Draft;
use model::user::Account;
use model::{ChannelId, GuildId, MessageId};
use otp::{ExitReason, Node, Pid, eventually};
use serde_json::Value;
use storage::DataService;
use storage::blob::BlobStore;
use storage::engine::memory::MemoryStore;

use crate::accounts;
use crate::chat::{Chat, ChatConfig};
use crate::error::Result;
use crate::guild::command::Actor;
use crate::guild::*;
use crate::session::outbox::Outbox;
use crate::session::recorder::Recorder;
use crate::session::replay::ReplayLimits;
use crate::session::{self, Attached, Login};

pub(super) struct World {
    pub(super) chat: Chat,
    pub(super) store: Arc<MemoryStore>,
    pub(super) owner: Account,
    pub(super) member: Account,
    pub(super) guild: GuildId,
    pub(super) channel: ChannelId,
}

impl World {
    pub(super) async fn new() -> Self {
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

    pub(super) async fn enter(&self, account: &Account) -> (Attached, Arc<Recorder>) {
        let recorder = Recorder::new();
        let login = Login::new(account.clone(), Intents::ALL);
        let attached = session::login(&self.chat, login, recorder.clone())
            .await
            .unwrap();
        eventually!(recorder.of("GUILD_CREATE").len() == 1);
        (attached, recorder)
    }

    pub(super) async fn post(&self, text: &str) -> Result<model::message::Message> {
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

    pub(super) fn process(&self, kind: &str) -> Option<Pid> {
        let label = format!("{kind} {}", self.guild);
        let mut all = self.chat.node().processes().into_iter();
        all.find(|info| info.label.as_deref() == Some(&label))
            .map(|info| info.pid)
    }

    pub(super) async fn kill(&self, kind: &str) {
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
    pub(super) fn sidebar(&self) -> Sidebar {
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

    pub(super) fn watch(&self, sidebar: &Sidebar, channels: Vec<(ChannelId, Vec<(u32, u32)>)>) {
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

pub(super) struct Sidebar {
    pub(super) outbox: Arc<Outbox>,
    pub(super) recorder: Arc<Recorder>,
}

impl Sidebar {
    /// What its client shows: each row as text, after all operations so far.
    pub(super) fn rows(&self) -> Vec<String> {
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

    pub(super) fn updates(&self) -> usize {
        self.recorder.of("GUILD_MEMBER_LIST_UPDATE").len()
    }
}

pub(super) fn heard(recorder: &Recorder) -> Vec<(MessageId, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let said = |message: &Value| {
        let id = text(&message["id"]).parse().unwrap();
        (id, text(&message["content"]))
    };
    recorder.of("MESSAGE_CREATE").iter().map(said).collect()
}
