//! Guilds and lanes that die, start and drain: what was acknowledged is there once and was published
//! once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chat::error::Missing;
use chat::guild::command::Actor;
use chat::session::transport::Close;
use chat::{ChatError, accounts, guild};
use model::message::{Draft, Nonce};
use model::{GuildId, Id, MessageId};
use otp::eventually;

use crate::world::{World, heard};

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
async fn members_are_read_from_the_store_once_however_often_the_guild_dies() {
    let world = World::new().await;
    let (_attached, recorder) = world.enter(&world.member).await;
    let members = || guild::members(&world.chat, Actor::System, world.guild, None, 10);
    let before = members().await.unwrap();
    assert_eq!((before.len(), world.store.reads("members")), (2, 1));
    for _ in 0..3 {
        world.kill("guild").await;
        assert_eq!(members().await.unwrap(), before);
    }
    assert_eq!(world.store.reads("members"), 1, "they are in the table");
    world.kill("keeper").await;
    assert_eq!(members().await.unwrap(), before);
    assert_eq!(world.store.reads("members"), 2, "the table is filled anew");
    // What is on its way when the guild dies is in the table when it is back.
    let third = accounts::create_user(&world.chat, "third").await.unwrap();
    world.store.hold();
    let added = {
        let (chat, guild, user) = (world.chat.clone(), world.guild, third.user.id);
        tokio::spawn(async move { guild::add_member(&chat, Actor::System, guild, user).await })
    };
    eventually!(world.store.held() == 1);
    assert_eq!(members().await.unwrap(), before, "it is not durable yet");
    world.kill("guild").await;
    world.store.release().await;
    added.await.unwrap().unwrap();
    assert_eq!(members().await.unwrap().len(), 3);
    assert_eq!(world.store.reads("members"), 2);
    assert!(recorder.closes().is_empty(), "no session noticed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_does_not_become_durable_is_none() {
    let world = World::new().await;
    let third = accounts::create_user(&world.chat, "third").await.unwrap();
    let add = || guild::add_member(&world.chat, Actor::System, world.guild, third.user.id);
    let members = || guild::members(&world.chat, Actor::System, world.guild, None, 10);
    assert_eq!(members().await.unwrap().len(), 2);
    world
        .store
        .fail_with(Some(storage::StoreError::NotApplied("test".to_owned())));
    let refused = ChatError::NotApplied("test".to_owned());
    assert_eq!(add().await.unwrap_err(), refused);
    let kicked = guild::kick(
        &world.chat,
        Actor::System,
        world.guild,
        world.member.user.id,
    )
    .await;
    assert_eq!(kicked, Err(refused));
    world.store.fail_with(None);
    assert_eq!(members().await.unwrap().len(), 2);
    add().await.unwrap();
    assert_eq!(members().await.unwrap().len(), 3);
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
