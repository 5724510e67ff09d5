//! What others see of who is there.

use chat::ChatConfig;
use chat::session::Platform;
use model::presence::{Presence, Status};
use otp::{ExitReason, eventually};

use super::world::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presence_is_seen_by_the_others_and_limited() {
    let world = World::new(ChatConfig::default()).await;
    let (_witness, watching) = enter(&world.chat, login_of(&world.owner), 1).await;
    let (first, _r1) = enter(&world.chat, login_of(&world.member), 1).await;
    eventually!(status_seen(&watching, &world.member) == Some("online".into()));
    let said = |status| Presence {
        status,
        ..Presence::default()
    };
    first.set_presence(said(Status::Idle));
    eventually!(status_seen(&watching, &world.member) == Some("idle".into()));
    // A second, more active session wins; when it ends, the first shows again.
    let mut mobile = login_of(&world.member);
    (mobile.platform, mobile.presence) = (Platform::Mobile, Some(said(Status::Dnd)));
    let (second, _r2) = enter(&world.chat, mobile, 1).await;
    eventually!(status_seen(&watching, &world.member) == Some("dnd".into()));
    let update = watching.of("PRESENCE_UPDATE").pop().unwrap();
    assert_eq!(
        update["client_status"],
        serde_json::json!({ "web": "idle", "mobile": "dnd" })
    );
    second.end();
    eventually!(status_seen(&watching, &world.member) == Some("idle".into()));
    // READY and three more make five with the one above: the rest waits.
    for status in [Status::Dnd, Status::Online, Status::Invisible] {
        first.set_presence(said(status));
    }
    eventually!(status_seen(&watching, &world.member) == Some("offline".into()));
    for _ in 0..50 {
        first.set_presence(said(Status::Online));
    }
    world.post("marker").await;
    eventually!(texts(&watching).contains(&"marker".to_owned()));
    assert_eq!(
        status_seen(&watching, &world.member),
        Some("offline".into())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presence_survives_its_process() {
    let world = World::new(ChatConfig::default()).await;
    let (_witness, watching) = enter(&world.chat, login_of(&world.owner), 1).await;
    let (attached, _recorder) = enter(&world.chat, login_of(&world.member), 1).await;
    eventually!(status_seen(&watching, &world.member) == Some("online".into()));
    let node = world.chat.node();
    let process = node.whereis(chat::presence::NAME).unwrap();
    node.exit(process, ExitReason::Kill);
    // Said while it is dead or just after: either way it is told.
    attached.set_presence(Presence {
        status: Status::Dnd,
        ..Presence::default()
    });
    eventually!(status_seen(&watching, &world.member) == Some("dnd".into()));
    assert_ne!(node.whereis(chat::presence::NAME), Some(process));
}
