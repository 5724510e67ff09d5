//! Twins about what is seen of a running server.

use otp::sys;

use super::server;
use crate::oracle::actor::{child, note, sync};
use crate::oracle::stage::Stage;
use crate::oracle::trace::say;
use crate::oracle::{Scenario, stories, told};

pub(super) fn scenarios() -> Vec<Scenario> {
    told(stories!(Stage:
        install_sees_every_event_until_removed,
        parent_and_ancestors,
    ))
}

async fn install_sees_every_event_until_removed(stage: &mut Stage) {
    let (server, _) = server(stage, false).await;
    let trace = stage.trace.clone();
    let seen = sys::install(&server, "seen", move |event, _| {
        if event.message.starts_with('m') && event.message != "message" {
            say!(trace, "seen", event.message);
        }
        true
    });
    seen.await.unwrap();
    note(&server, "m1");
    note(&server, "m2");
    sync(&server).await;
    assert!(sys::remove(&server, "seen").await.unwrap());
    note(&server, "m3");
    sync(&server).await;
    stage.nothing().await;
}

async fn parent_and_ancestors(stage: &mut Stage) {
    let parent = stage.start(stage.plan("parent")).await;
    let child = child(&parent, stage.plan("child")).await;
    let first = stage.info(child.pid()).and_then(|info| info.parent);
    say!(stage.trace, "parent", first);
    stage.nothing().await;
}
