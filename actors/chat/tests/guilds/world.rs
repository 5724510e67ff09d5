//! A guild with an owner and a member, on a store that can fail.

use std::sync::Arc;

use chat::guild::command::Actor;
use chat::session::recorder::Recorder;
use chat::session::{Attached, Login};
use chat::{Chat, ChatConfig, ChatError, accounts, guild, session};
use model::application::flags;
use model::intents::Intents;
use model::message::{Draft, Message};
use model::user::Account;
use model::{ChannelId, GuildId, MessageId};
use otp::{ExitReason, Node, Pid, eventually};
use storage::blob::BlobStore;
use storage::store::Page;
use storage::{DataService, Store as _};

use crate::upkeep::Told;
use storage::conformance::faulty::Faulty;

pub(crate) struct World {
    pub(crate) chat: Chat,
    pub(crate) store: Arc<Faulty>,
    pub(crate) owner: Account,
    pub(crate) member: Account,
    pub(crate) guild: GuildId,
    pub(crate) channel: ChannelId,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(ChatConfig::default()).await
    }

    pub(crate) async fn with(config: ChatConfig) -> Self {
        Self::with_upkeep(config, None).await
    }

    pub(crate) async fn with_upkeep(config: ChatConfig, upkeep: Option<Told>) -> Self {
        let store = upkeep.map_or_else(Faulty::new, Faulty::with_upkeep);
        let data = DataService::new(store.clone());
        let node = Node::new("guilds");
        let chat = Chat::start(node, data, BlobStore::memory(), config)
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

    /// A second node on the same store, with the same guild.
    pub(crate) async fn second(&self, config: ChatConfig) -> Self {
        let config = ChatConfig {
            worker: 1,
            ..config
        };
        let data = DataService::new(self.store.clone());
        let node = Node::new("second");
        let chat = Chat::start(node, data, BlobStore::memory(), config)
            .await
            .unwrap();
        Self {
            chat,
            store: self.store.clone(),
            owner: self.owner.clone(),
            member: self.member.clone(),
            guild: self.guild,
            channel: self.channel,
        }
    }

    pub(crate) async fn post(&self, content: &str) -> Result<Message, ChatError> {
        self.post_draft(Draft {
            content: content.to_owned(),
            ..Draft::default()
        })
        .await
    }

    pub(crate) async fn post_draft(&self, draft: Draft) -> Result<Message, ChatError> {
        guild::post_message(
            &self.chat,
            Actor::User(self.owner.user.id),
            self.channel,
            draft,
        )
        .await
    }

    pub(crate) async fn enter(&self, account: &Account) -> (Attached, Arc<Recorder>) {
        let recorder = Recorder::new();
        let login = Login::new(account.clone(), Intents::ALL);
        let attached = session::login(&self.chat, login, recorder.clone())
            .await
            .unwrap();
        eventually!(recorder.of("GUILD_CREATE").len() == 1);
        (attached, recorder)
    }

    /// The process of a kind (`guild`, `lane`) of the guild.
    pub(crate) fn process(&self, kind: &str) -> Option<Pid> {
        let label = format!("{kind} {}", self.guild);
        let found = self
            .chat
            .node()
            .processes()
            .into_iter()
            .find(|info| info.label.as_deref() == Some(&label));
        found.map(|info| info.pid)
    }

    pub(crate) async fn kill(&self, kind: &str) {
        let pid = self.process(kind).unwrap();
        self.chat.node().exit(pid, ExitReason::Kill);
        self.chat.node().wait_for_exit(pid).await;
    }

    /// Every stored message of the channel, oldest first.
    pub(crate) async fn stored(&self) -> Vec<(MessageId, String)> {
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
pub(crate) fn heard(recorder: &Recorder) -> Vec<(MessageId, String)> {
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
