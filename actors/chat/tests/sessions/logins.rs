//! Who may log in, what a login is given, and how it is ended from outside.

use std::time::Duration;

use chat::session::recorder::Recorder;
use chat::session::transport::Close;
use chat::{ChatConfig, ChatError, session};
use otp::eventually;

use super::world::*;

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
async fn void_tokens_end_sessions() {
    let world = World::new(ChatConfig::default()).await;
    let (_attached, recorder) = enter(&world.chat, login_of(&world.member), 1).await;
    session::revoke(&world.chat, world.member.user.id);
    eventually!(recorder.closes() == [Close::Revoked]);
    eventually!(session::count(&world.chat) == 0);
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
