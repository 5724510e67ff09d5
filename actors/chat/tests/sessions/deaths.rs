//! Processes that die: a session goes on without a gap, or ends honestly.

use chat::ChatConfig;
use chat::session::recorder::Recorder;
use chat::session::transport::Close;
use chat::session::{self, ResumeError};
use otp::{ExitReason, eventually};

use super::world::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_dies_is_not_noticed() {
    let world = World::new(ChatConfig::default()).await;
    let (_attached, recorder) = enter(&world.chat, login_of(&world.member), 1).await;
    let mut due = Vec::new();
    for round in 0..10 {
        world.kill(&format!("relay 0 of {}", world.guild)).await;
        due.push(round.to_string());
        world.post(&round.to_string()).await;
    }
    eventually!(texts(&recorder) == due);
    assert_gapless(&recorder.numbers(), 1);
    assert_eq!(recorder.closes(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_lane_invalidates_the_sessions() {
    let world = World::new(ChatConfig::default()).await;
    let (attached, recorder) = enter(&world.chat, login_of(&world.member), 1).await;
    let id = attached.session_id().to_owned();
    world.kill(&format!("lane {}", world.guild)).await;
    eventually!(recorder.closes() == [Close::InvalidSession { resumable: false }]);
    eventually!(session::count(&world.chat) == 0);
    let resumed = session::resume(&world.chat, &world.member, &id, 1, Recorder::new()).await;
    assert_eq!(resumed.err(), Some(ResumeError::Unknown));
    // The next one is served by the successor.
    let (_attached, recorder) = enter(&world.chat, login_of(&world.member), 1).await;
    world.post("again").await;
    eventually!(texts(&recorder) == ["again"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_session_leaves_nothing_behind() {
    let world = World::new(ChatConfig::default()).await;
    let (_witness, watching) = enter(&world.chat, login_of(&world.owner), 1).await;
    let (attached, recorder) = enter(&world.chat, login_of(&world.member), 1).await;
    eventually!(status_seen(&watching, &world.member) == Some("online".into()));
    let label = format!("session {}", attached.session_id());
    let processes = world.chat.node().processes();
    let process = processes
        .iter()
        .find(|process| process.label.as_deref() == Some(&*label))
        .unwrap();
    world.chat.node().exit(process.pid, ExitReason::Kill);
    eventually!(recorder.closes() == [Close::InvalidSession { resumable: false }]);
    eventually!(session::count(&world.chat) == 1);
    eventually!(status_seen(&watching, &world.member) == Some("offline".into()));
}
