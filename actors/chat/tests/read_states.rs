//! Read states as sessions see them: READY, MESSAGE_ACK to all of a person's sessions, mentions, and
//! what a drain leaves in the store.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use chat::guild::command::{Actor, ChannelPatch};
use chat::read_states::{self, Ack};
use chat::session::recorder::Recorder;
use chat::session::{self, Attached, Login};
use chat::{Chat, ChatConfig, ChatError, accounts, guild};
use model::intents::Intents;
use model::message::{Draft, Message};
use model::user::Account;
use model::{ChannelId, GuildId, Id, MessageId};
use otp::{Node, eventually};
use serde_json::{Value, json};
use storage::blob::BlobStore;
use storage::engine::memory::MemoryStore;
use storage::{DataService, Store as _};

struct World {
    chat: Chat,
    store: Arc<MemoryStore>,
    bot: Account,
    ada: Account,
    guild: GuildId,
    channel: ChannelId,
}

impl World {
    /// A guild of a bot with a person in it.
    async fn new() -> Self {
        let store = Arc::new(MemoryStore::new());
        let data = DataService::new(store.clone());
        let config = ChatConfig::default();
        let chat = Chat::start(Node::new("readers"), data, BlobStore::memory(), config)
            .await
            .unwrap();
        let bot = accounts::create_bot(&chat, "bot", 0).await.unwrap();
        let ada = accounts::create_user(&chat, "ada").await.unwrap();
        let made = guild::create_guild(&chat, &bot.user, "a guild").await;
        let made = made.unwrap().guild;
        guild::add_member(&chat, Actor::System, made.id, ada.user.id)
            .await
            .unwrap();
        Self {
            chat,
            store,
            bot,
            ada,
            guild: made.id,
            channel: made.system_channel_id.unwrap(),
        }
    }

    async fn post(&self, author: &Account, content: &str) -> Message {
        let draft = Draft {
            content: content.to_owned(),
            ..Default::default()
        };
        let actor = Actor::User(author.user.id);
        let posted = guild::post_message(&self.chat, actor, self.channel, draft);
        posted.await.unwrap()
    }

    /// Logs in; the session, and the entry of the channel in READY.
    async fn enter(&self) -> (Attached, Arc<Recorder>, Value) {
        let recorder = Recorder::new();
        let login = login_of(&self.ada);
        let attached = session::login(&self.chat, login, recorder.clone()).await;
        let ready = recorder.of("READY").remove(0);
        let entries = ready["read_state"]["entries"].as_array().unwrap();
        let entry = entries
            .iter()
            .find(|entry| entry["id"] == self.channel.to_string());
        let entry = entry.cloned().unwrap_or_default();
        (attached.unwrap(), recorder, entry)
    }

    async fn read(&self, message: MessageId, manual: Option<u32>) {
        let ack = Ack {
            message,
            manual,
            last_viewed: None,
        };
        let read = read_states::acknowledge(&self.chat, self.ada.user.id, self.channel, ack);
        read.await.unwrap();
    }
}

fn login_of(account: &Account) -> Login {
    Login::new(account.clone(), Intents::ALL)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ack_goes_to_all_sessions_and_into_the_next_ready() {
    let world = World::new().await;
    let (_one, first, entry) = world.enter().await;
    assert_eq!(entry, Value::Null, "nothing was ever read");
    let (_two, second, _) = world.enter().await;
    let old = world.post(&world.bot, "old").await.id;
    let new = world.post(&world.bot, "new").await.id;
    world.read(new, None).await;
    for recorder in [&first, &second] {
        eventually!(recorder.of("MESSAGE_ACK").len() == 1);
        let ack = recorder.of("MESSAGE_ACK").remove(0);
        assert_eq!(ack["channel_id"], world.channel.to_string());
        assert_eq!(ack["message_id"], new.to_string());
        assert_eq!(ack["mention_count"], 0);
        assert!(ack.get("manual").is_none());
    }
    // Older: nothing changes and nobody is told. By hand: back it goes.
    world.read(old, None).await;
    world.read(old, Some(1)).await;
    eventually!(first.of("MESSAGE_ACK").len() == 2);
    let ack = first.of("MESSAGE_ACK").remove(1);
    assert_eq!(ack["message_id"], old.to_string());
    assert_eq!(
        (&ack["manual"], &ack["mention_count"]),
        (&json!(true), &json!(1))
    );
    let (_three, _, entry) = world.enter().await;
    assert_eq!(entry["last_message_id"], old.to_string());
    assert_eq!(entry["mention_count"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mentions_raise_the_count_and_ones_own_message_reads() {
    let world = World::new().await;
    let name = format!("<@{}> look", world.ada.user.id);
    world.post(&world.bot, &name).await;
    world.post(&world.bot, "nobody in particular").await;
    let last = world.post(&world.bot, &name).await;
    world.post(&world.bot, "@everyone").await;
    let (_attached, recorder, entry) = world.enter().await;
    assert_eq!(entry["mention_count"], 2, "@everyone is the client's");
    assert_eq!(entry["last_message_id"], "0");
    world.read(last.id, None).await;
    eventually!(recorder.of("MESSAGE_ACK").len() == 1);
    let mine = world.post(&world.ada, "seen").await;
    let (_again, _, entry) = world.enter().await;
    assert_eq!(entry["last_message_id"], mine.id.to_string());
    assert_eq!(entry["mention_count"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_leaves_everything_in_the_store() {
    let world = World::new().await;
    let message = world.post(&world.bot, "the last").await;
    world.read(message.id, None).await;
    let user = world.ada.user.id;
    let stored = world.store.read_states(user, 9).await.unwrap();
    assert!(stored.is_empty(), "it is written behind");
    let (spread, deadline) = (Duration::from_millis(1), Duration::from_secs(10));
    world.chat.drain(spread, deadline).await;
    let stored = world.store.read_states(user, 9).await.unwrap();
    assert_eq!(stored[0].last_message_id, Some(message.id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guild_is_read_at_once_pins_are_looked_at_and_states_forgotten() {
    let world = World::new().await;
    let (chat, user) = (&world.chat, world.ada.user.id);
    let (_attached, recorder, _) = world.enter().await;
    let message = world.post(&world.bot, "pinned").await.id;
    let owner = Actor::User(world.bot.user.id);
    read_states::acknowledge_pins(chat, user, world.channel)
        .await
        .unwrap();
    assert!(recorder.of("CHANNEL_PINS_ACK").is_empty(), "no pin yet");
    guild::set_pinned(chat, owner, world.channel, message, true)
        .await
        .unwrap();
    for _ in 0..2 {
        read_states::acknowledge_pins(chat, user, world.channel)
            .await
            .unwrap();
        read_states::acknowledge_guild(chat, user, world.guild)
            .await
            .unwrap();
    }
    eventually!(recorder.of("MESSAGE_ACK").len() == 1);
    assert_eq!(recorder.of("CHANNEL_PINS_ACK").len(), 1, "once each");
    let (_again, _, entry) = world.enter().await;
    assert!(
        entry["last_pin_timestamp"].as_str() > Some("2000"),
        "{entry}"
    );
    assert_ne!(entry["last_message_id"], "0");
    read_states::forget(chat, user, world.channel)
        .await
        .unwrap();
    let (_third, _, entry) = world.enter().await;
    assert_eq!(entry, Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_see_a_channel_reads_nothing_there() {
    let world = World::new().await;
    let stranger = accounts::create_user(&world.chat, "eve").await.unwrap();
    let ack = Ack {
        message: Id::new(5),
        manual: None,
        last_viewed: None,
    };
    let (chat, user) = (&world.chat, stranger.user.id);
    let refused = read_states::acknowledge(chat, user, world.channel, ack).await;
    assert_eq!(refused, Err(ChatError::MissingAccess));
    let refused = read_states::acknowledge(chat, user, Id::new(77), ack).await;
    assert!(matches!(refused, Err(ChatError::NotFound(_))));
    // Of several, those are left out.
    let hidden = ChannelPatch {
        name: Some("hidden".to_owned()),
        ..Default::default()
    };
    let owner = Actor::User(world.bot.user.id);
    let other = guild::create_channel(chat, owner, world.guild, hidden).await;
    let other = other.unwrap().id;
    let acks = vec![(Id::new(77), Id::new(5)), (other, Id::new(6))];
    read_states::acknowledge_many(chat, user, acks.clone())
        .await
        .unwrap();
    world
        .chat
        .drain(Duration::ZERO, Duration::from_secs(10))
        .await;
    assert!(world.store.read_states(user, 9).await.unwrap().is_empty());
}
