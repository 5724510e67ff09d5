//! Stores that fail: what was acknowledged is stored and published, what failed was not.

use std::sync::Arc;

use chat::error::Missing;
use chat::guild::command::{Actor, RolePatch};
use chat::{ChatError, guild, history};
use model::message::{Draft, MessagePatch, Nonce};
use otp::eventually;
use storage::StoreError;

use crate::world::{World, heard};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledged_message_is_stored_and_published() {
    let world = World::new().await;
    let (_attached, recorder) = world.enter(&world.member).await;
    let message = world.post("hello").await.unwrap();
    assert_eq!(world.stored().await, [(message.id, "hello".to_owned())]);
    eventually!(heard(&recorder) == [(message.id, "hello".to_owned())]);
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
            ChatError::NotApplied("test".to_owned()),
        ),
        (
            StoreError::TooLarge("test".to_owned()),
            ChatError::TooLarge("test".to_owned()),
        ),
        (StoreError::Busy, ChatError::Busy),
        (
            StoreError::Full("test".to_owned()),
            ChatError::Full("test".to_owned()),
        ),
        (
            StoreError::Broken("test".to_owned()),
            ChatError::Broken("test".to_owned()),
        ),
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
async fn a_deletion_that_does_not_become_durable_did_not_happen() {
    let world = World::new().await;
    let (_attached, recorder) = world.enter(&world.member).await;
    world
        .store
        .fail_with(Some(StoreError::NotApplied("test".to_owned())));
    let owner = Actor::User(world.owner.user.id);
    let deleted = guild::delete_guild(&world.chat, owner, world.guild).await;
    assert_eq!(
        deleted.unwrap_err(),
        ChatError::NotApplied("test".to_owned())
    );
    world.store.fail_with(None);
    world.post("still here").await.unwrap();
    eventually!(heard(&recorder).len() == 1);
    assert!(recorder.of("GUILD_DELETE").is_empty());
}
