//! Members that leave, and what they may not see.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chat::error::Missing;
use chat::guild::command::Actor;
use chat::{ChatError, guild};
use model::channel::Overwrite;
use model::permissions::Permissions;
use otp::eventually;

use crate::world::{World, heard};

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
