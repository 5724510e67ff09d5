//! Connections that are lost and come back: nothing is missing, nothing comes twice, and what cannot go
//! on says so.

use std::time::Duration;

use chat::ChatConfig;
use chat::session::recorder::Recorder;
use chat::session::transport::Close;
use chat::session::{self, ResumeError};
use model::user::Account;
use otp::eventually;

use super::world::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resuming_a_hundred_times_loses_and_repeats_nothing() {
    let world = World::new(ChatConfig::default()).await;
    let (mut attached, mut recorder) = enter(&world.chat, login_of(&world.member), 1).await;
    let id = attached.session_id().to_owned();
    let (mut numbers, mut heard) = (Vec::new(), Vec::new());
    for round in 0..100 {
        world.post(&format!("{round} while here")).await;
        if round % 3 == 0 {
            eventually!(texts(&recorder).contains(&format!("{round} while here")));
        }
        attached.lost();
        numbers.extend(recorder.numbers());
        heard.extend(texts(&recorder));
        world.post(&format!("{round} while away")).await;
        recorder = Recorder::new();
        let last = *numbers.last().unwrap();
        attached = session::resume(&world.chat, &world.member, &id, last, recorder.clone())
            .await
            .unwrap();
        assert_eq!(attached.session_id(), id);
        assert_eq!(
            recorder
                .names()
                .iter()
                .filter(|name| *name == "RESUMED")
                .count(),
            1
        );
    }
    world.post("end").await;
    eventually!(texts(&recorder).contains(&"end".to_owned()));
    numbers.extend(recorder.numbers());
    heard.extend(texts(&recorder));
    assert_gapless(&numbers, 1);
    let mut expected: Vec<String> = (0..100)
        .flat_map(|round| [format!("{round} while here"), format!("{round} while away")])
        .collect();
    expected.push("end".into());
    assert_eq!(heard, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_resumed_says_so() {
    let world = World::new(ChatConfig::default()).await;
    let (attached, recorder) = enter(&world.chat, login_of(&world.member), 1).await;
    let id = attached.session_id().to_owned();
    let try_resume = |account: Account, id: String, seq: u64| {
        let chat = world.chat.clone();
        async move {
            session::resume(&chat, &account, &id, seq, Recorder::new())
                .await
                .err()
        }
    };
    assert_eq!(
        try_resume(world.member.clone(), id.clone(), 999).await,
        Some(ResumeError::InvalidSequence)
    );
    assert_eq!(
        try_resume(world.owner.clone(), id.clone(), 1).await,
        Some(ResumeError::Unknown)
    );
    assert_eq!(
        try_resume(world.member.clone(), "f".repeat(32), 1).await,
        Some(ResumeError::Unknown)
    );
    assert_eq!(
        try_resume(world.member.clone(), "short".into(), 1).await,
        Some(ResumeError::Unknown)
    );
    world.post("undisturbed").await;
    eventually!(texts(&recorder) == ["undisturbed"]);
    attached.end();
    eventually!(session::count(&world.chat) == 0);
    assert_eq!(
        try_resume(world.member.clone(), id, 1).await,
        Some(ResumeError::Unknown)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_session_ends_after_the_window() {
    let config = ChatConfig {
        resume_window: Duration::from_millis(50),
        ..ChatConfig::default()
    };
    let world = World::new(config).await;
    let (attached, _recorder) = enter(&world.chat, login_of(&world.member), 1).await;
    assert_eq!(session::count(&world.chat), 1);
    attached.lost();
    eventually!(session::count(&world.chat) == 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_falls_behind_while_away_is_lost() {
    let config = ChatConfig {
        replay_events_max: 10,
        ..ChatConfig::default()
    };
    let world = World::new(config).await;
    let (attached, recorder) = enter(&world.chat, login_of(&world.member), 1).await;
    let (id, last) = (
        attached.session_id().to_owned(),
        *recorder.numbers().last().unwrap(),
    );
    attached.lost();
    for number in 0..20 {
        world.post(&number.to_string()).await;
    }
    eventually!(session::count(&world.chat) == 0);
    let resumed = session::resume(&world.chat, &world.member, &id, last, Recorder::new()).await;
    assert_eq!(resumed.err(), Some(ResumeError::Unknown));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_connection_takes_over() {
    let world = World::new(ChatConfig::default()).await;
    let (old, first) = enter(&world.chat, login_of(&world.member), 1).await;
    let last = old.last_sequence();
    let second = Recorder::new();
    let id = old.session_id().to_owned();
    let new = session::resume(&world.chat, &world.member, &id, last, second.clone())
        .await
        .unwrap();
    assert_eq!(first.closes(), [Close::Replaced]);
    // The old connection's task ends now; that must not park the new one.
    old.lost();
    world.post("still here").await;
    eventually!(texts(&second) == ["still here"]);
    assert_eq!(new.last_sequence(), *second.numbers().last().unwrap());
}
