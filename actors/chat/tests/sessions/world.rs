//! A chat system with a guild and two bots in it, and what connections of them were told.

use std::sync::Arc;

use chat::guild::command::Actor;
use chat::session::recorder::Recorder;
use chat::session::{self, Attached, Login, Platform};
use chat::{Chat, ChatConfig, accounts, guild};
use model::application::flags;
use model::intents::Intents;
use model::user::Account;
use model::{ChannelId, GuildId};
use otp::{ExitReason, Node, eventually};
use storage::DataService;
use storage::blob::BlobStore;
use storage::engine::memory::MemoryStore;

pub(crate) struct World {
    pub(crate) chat: Chat,
    pub(crate) owner: Account,
    pub(crate) member: Account,
    pub(crate) guild: GuildId,
    pub(crate) channel: ChannelId,
}

impl World {
    pub(crate) async fn new(config: ChatConfig) -> Self {
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

    pub(crate) async fn post(&self, content: &str) {
        post(&self.chat, &self.owner, self.channel, content).await;
    }

    /// Kills the process with this label, once there is one.
    pub(crate) async fn kill(&self, label: &str) {
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

pub(crate) async fn post(chat: &Chat, author: &Account, channel: ChannelId, content: &str) {
    let draft = model::message::Draft {
        content: content.to_owned(),
        ..Default::default()
    };
    guild::post_message(chat, Actor::User(author.user.id), channel, draft)
        .await
        .unwrap();
}

pub(crate) fn login_of(account: &Account) -> Login {
    Login {
        platform: Platform::Web,
        ..Login::new(account.clone(), Intents::ALL)
    }
}

/// Logs in and waits until the guilds have arrived.
pub(crate) async fn enter(chat: &Chat, login: Login, guilds: usize) -> (Attached, Arc<Recorder>) {
    let recorder = Recorder::new();
    let attached = session::login(chat, login, recorder.clone()).await.unwrap();
    eventually!(recorder.of("GUILD_CREATE").len() == guilds);
    (attached, recorder)
}

/// The texts of the messages a connection was told of.
pub(crate) fn texts(recorder: &Recorder) -> Vec<String> {
    let messages = recorder.of("MESSAGE_CREATE");
    messages
        .iter()
        .map(|message| message["content"].as_str().unwrap().to_owned())
        .collect()
}

pub(crate) fn assert_gapless(numbers: &[u64], first: u64) {
    let expected: Vec<u64> = (first..first + numbers.len() as u64).collect();
    assert_eq!(numbers, expected);
}

/// The last status of `of` that a connection was told.
pub(crate) fn status_seen(recorder: &Recorder, of: &Account) -> Option<String> {
    let updates = recorder.of("PRESENCE_UPDATE");
    let own = updates
        .iter()
        .rfind(|update| update["user"]["id"] == of.user.id.to_string())?;
    Some(own["status"].as_str().unwrap().to_owned())
}
