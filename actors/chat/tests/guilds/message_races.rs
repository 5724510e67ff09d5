//! Many ask for the same change of a message at once: it is made once, told once, and limits hold.
//!
//! The store holds all commits back until everybody has asked, so that nobody can have read what
//! another has changed.

use std::future::Future;
use std::sync::Arc;

use chat::error::{Missing, Refusal};
use chat::guild::command::Actor;
use chat::session::Attached;
use chat::session::recorder::Recorder;
use chat::{Chat, ChatError, guild};
use futures_util::future::join_all;
use model::emoji::ReactionEmoji;
use model::message::{Draft, MessagePatch, Nonce};
use model::user::Account;
use model::{ChannelId, MessageId, UserId, limits};
use otp::eventually;
use storage::Store as _;
use storage::store::Page;

use storage::conformance::faulty::Faulty;
use storage::conformance::reactions;

const TIMES: usize = 20;

struct World {
    chat: Chat,
    store: Arc<Faulty>,
    owner: Account,
    channel: ChannelId,
    recorder: Arc<Recorder>,
    _session: Attached,
}

impl World {
    async fn new() -> Self {
        let world = crate::world::World::new().await;
        let (session, recorder) = world.enter(&world.owner).await;
        Self {
            chat: world.chat,
            store: world.store,
            owner: world.owner,
            channel: world.channel,
            recorder,
            _session: session,
        }
    }

    fn actor(&self) -> Actor {
        Actor::User(self.owner.user.id)
    }

    fn user(&self) -> UserId {
        self.owner.user.id
    }

    async fn post(&self) -> MessageId {
        let draft = Draft {
            content: "hello".to_owned(),
            ..Draft::default()
        };
        guild::post_message(&self.chat, self.actor(), self.channel, draft)
            .await
            .unwrap()
            .id
    }

    /// Does all of these at once: nothing is durable before everybody has asked once.
    async fn race<T>(
        &self,
        all: impl IntoIterator<Item = impl Future<Output = Result<T, ChatError>>>,
    ) -> Vec<Result<T, ChatError>> {
        self.store.hold();
        let all = join_all(all);
        let release = async {
            // A commit is under way; whoever looks from here on sees nothing of it.
            eventually!(self.store.held() > 0);
            for _ in 0..1_000 {
                tokio::task::yield_now().await;
            }
            self.store.release().await;
        };
        let (answers, ()) = tokio::join!(all, release);
        answers
    }

    /// How many events of this name there were, once all have arrived.
    async fn told(&self, name: &str) -> usize {
        let last = self.post().await.to_string();
        eventually!(
            self.recorder
                .of("MESSAGE_CREATE")
                .iter()
                .any(|message| message["id"] == last.as_str())
        );
        self.recorder.of(name).len()
    }

    async fn kinds(&self, message: MessageId) -> usize {
        let counts = reactions(&*self.store, self.channel, &[message], self.user())
            .await
            .unwrap();
        counts[0].len()
    }

    async fn react(&self, message: MessageId, emoji: ReactionEmoji) -> Result<(), ChatError> {
        guild::add_reaction(&self.chat, self.actor(), self.channel, message, emoji).await
    }
}

fn emoji(number: u32) -> ReactionEmoji {
    let face = char::from_u32(0x1F600 + number).unwrap();
    ReactionEmoji::parse(&face.to_string()).unwrap()
}

fn count<T>(answers: &[Result<T, ChatError>], error: &ChatError) -> usize {
    let is = |answer: &&Result<T, ChatError>| answer.as_ref().err() == Some(error);
    answers.iter().filter(is).count()
}

fn successes<T>(answers: &[Result<T, ChatError>]) -> usize {
    answers.iter().filter(|answer| answer.is_ok()).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_reaction_is_told_once() {
    let world = World::new().await;
    let message = world.post().await;
    let answers = world
        .race((0..TIMES).map(|_| world.react(message, emoji(0))))
        .await;
    assert_eq!(successes(&answers), TIMES, "{answers:?}");
    assert_eq!(world.told("MESSAGE_REACTION_ADD").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reaction_is_taken_back_once() {
    let world = World::new().await;
    let message = world.post().await;
    world.react(message, emoji(0)).await.unwrap();
    let (chat, actor, user) = (&world.chat, world.actor(), world.user());
    let remove = |_| guild::remove_reaction(chat, actor, world.channel, message, user, emoji(0));
    let answers = world.race((0..TIMES).map(remove)).await;
    assert_eq!(successes(&answers), TIMES, "{answers:?}");
    assert_eq!(world.told("MESSAGE_REACTION_REMOVE").await, 1);
    let clear = |_| guild::clear_reactions(chat, actor, world.channel, message, None);
    world.react(message, emoji(0)).await.unwrap();
    let answers = world.race((0..TIMES).map(clear)).await;
    assert_eq!(successes(&answers), TIMES, "{answers:?}");
    assert_eq!(world.told("MESSAGE_REACTION_REMOVE_ALL").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_of_kinds_of_reactions_holds() {
    let world = World::new().await;
    let message = world.post().await;
    let answers = world
        .race((0..30).map(|number| world.react(message, emoji(number))))
        .await;
    assert_eq!(successes(&answers), limits::REACTIONS_MAX, "{answers:?}");
    assert_eq!(
        count(&answers, &ChatError::Refused(Refusal::ReactionsMax)),
        10
    );
    assert_eq!(world.kinds(message).await, limits::REACTIONS_MAX);
    assert_eq!(
        world.told("MESSAGE_REACTION_ADD").await,
        limits::REACTIONS_MAX
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_deleted_once() {
    let world = World::new().await;
    let message = world.post().await;
    let delete = |_| guild::delete_message(&world.chat, world.actor(), world.channel, message);
    let answers = world.race((0..TIMES).map(delete)).await;
    assert_eq!(successes(&answers), 1, "{answers:?}");
    let gone = ChatError::NotFound(Missing::Message);
    assert_eq!(count(&answers, &gone), TIMES - 1);
    assert_eq!(world.told("MESSAGE_DELETE").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_are_deleted_in_bulk_once() {
    let world = World::new().await;
    let messages = vec![world.post().await, world.post().await];
    let delete =
        |_| guild::bulk_delete(&world.chat, world.actor(), world.channel, messages.clone());
    let answers = world.race((0..TIMES).map(delete)).await;
    assert_eq!(successes(&answers), TIMES, "{answers:?}");
    assert_eq!(world.told("MESSAGE_DELETE_BULK").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_pinned_once() {
    let world = World::new().await;
    let message = world.post().await;
    let pin = |_| guild::set_pinned(&world.chat, world.actor(), world.channel, message, true);
    let answers = world.race((0..TIMES).map(pin)).await;
    assert_eq!(successes(&answers), TIMES, "{answers:?}");
    assert_eq!(world.told("CHANNEL_PINS_UPDATE").await, 1);
    let notes = world.recorder.of("MESSAGE_CREATE");
    assert_eq!(notes.iter().filter(|note| note["type"] == 6).count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_of_pins_holds() {
    let world = World::new().await;
    let pin = |message| guild::set_pinned(&world.chat, world.actor(), world.channel, message, true);
    for _ in 0..limits::PINS_MAX - 2 {
        let message = world.post().await;
        pin(message).await.unwrap();
    }
    let mut more = Vec::new();
    for _ in 0..8 {
        more.push(world.post().await);
    }
    let answers = world.race(more.into_iter().map(pin)).await;
    assert_eq!(successes(&answers), 2, "{answers:?}");
    assert_eq!(count(&answers, &ChatError::Refused(Refusal::PinsMax)), 6);
    let pins = world.store.pin_count(world.channel).await.unwrap();
    assert_eq!(pins, limits::PINS_MAX);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_happens_to_a_message_after_its_deletion() {
    let world = World::new().await;
    let (chat, actor, channel) = (&world.chat, world.actor(), world.channel);
    let gone = ChatError::NotFound(Missing::Message);
    let message = world.post().await;
    // Handed over first; everything else has read the message already.
    world.store.hold();
    let delete = guild::delete_message(chat, actor, channel, message);
    let late = async {
        eventually!(world.store.held() == 1);
        let patch = MessagePatch {
            content: Some("edited".to_owned()),
            ..MessagePatch::default()
        };
        let all = async {
            tokio::join!(
                guild::set_pinned(chat, actor, channel, message, true),
                world.react(message, emoji(0)),
                async {
                    guild::edit_message(chat, actor, channel, message, patch)
                        .await
                        .map(drop)
                },
            )
        };
        let release = async {
            for _ in 0..1_000 {
                tokio::task::yield_now().await;
            }
            assert_eq!(world.store.held(), 1, "nothing else is handed over");
            world.store.release().await;
        };
        tokio::join!(all, release).0
    };
    let (deleted, late) = tokio::join!(delete, late);
    assert_eq!(deleted, Ok(()));
    let gone = Err(gone);
    assert_eq!(late, (gone.clone(), gone.clone(), gone));
    assert_eq!(world.told("MESSAGE_UPDATE").await, 0);
    assert_eq!(world.told("CHANNEL_PINS_UPDATE").await, 0);
    let stored = world
        .store
        .messages(channel, Page::Latest, 10)
        .await
        .unwrap();
    assert!(stored.iter().all(|record| record.kind == 0), "no note");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_nonce_answers_the_message_as_it_is_now() {
    let world = World::new().await;
    let (chat, actor, channel) = (&world.chat, world.actor(), world.channel);
    let draft = || Draft {
        content: "first".to_owned(),
        nonce: Some(Nonce::Integer(1)),
        enforce_nonce: true,
        ..Draft::default()
    };
    let post = || guild::post_message(chat, actor, channel, draft());
    let first = post().await.unwrap();
    let patch = MessagePatch {
        content: Some("edited".to_owned()),
        ..MessagePatch::default()
    };
    guild::edit_message(chat, actor, channel, first.id, patch)
        .await
        .unwrap();
    let again = post().await.unwrap();
    assert_eq!((again.id, again.content.as_str()), (first.id, "edited"));
    guild::delete_message(chat, actor, channel, first.id)
        .await
        .unwrap();
    let new = post().await.unwrap();
    assert_ne!(new.id, first.id, "what was deleted is not answered");
    assert_eq!(new.content, "first");
}
