//! Twins about looking at the state, and changing it.

use std::time::Duration;

use otp::sys::{self, SysError};
use otp::{CallError, Next};
use tokio::sync::oneshot;

use super::{number, outcome, server, set, state};
use crate::oracle::actor::{Plan, busy, oops, run, sync};
use crate::oracle::stage::Stage;
use crate::oracle::trace::say;
use crate::oracle::{Scenario, stories, told};

pub(super) fn scenarios() -> Vec<Scenario> {
    told(stories!(Stage:
        get_state,
        get_state_of_a_name,
        get_state_sees_what_was_sent_before,
        get_state_while_suspended,
        get_state_takes_too_long,
        replace_state,
        replace_state_while_suspended,
        replace_state_that_crashes_keeps_the_state,
    ))
}

async fn get_state(stage: &mut Stage) {
    let (server, _) = server(stage, false).await;
    state(stage, &server).await;
    stage.nothing().await;
}

async fn get_state_of_a_name(stage: &mut Stage) {
    let plan = Plan {
        number: 5,
        ..stage.plan("target")
    };
    let _target = stage.start_named(plan).await.unwrap();
    let server = stage.node.whereis_ref("named").unwrap();
    state(stage, &server).await;
    stage.nothing().await;
}

async fn get_state_sees_what_was_sent_before(stage: &mut Stage) {
    let (server, _) = server(stage, false).await;
    run(&server, |actor, _| {
        actor.plan.number = 9;
        Box::pin(async { Next::Go })
    });
    state(stage, &server).await;
    stage.nothing().await;
}

async fn get_state_while_suspended(stage: &mut Stage) {
    let (server, _) = server(stage, false).await;
    sys::suspend(&server).await.unwrap();
    state(stage, &server).await;
    stage.nothing().await;
}

async fn get_state_takes_too_long(stage: &mut Stage) {
    let (server, _) = server(stage, false).await;
    let free = busy(&server).await;
    // Another limit than the default is set by whoever waits.
    let answer = tokio::time::timeout(Duration::from_millis(1), number(&server)).await;
    let answer = answer.unwrap_or(Err(SysError::Call(CallError::Timeout)));
    stage.trace.line(outcome("get_state", answer.map(drop)));
    drop(free);
    sync(&server).await;
    state(stage, &server).await;
}

async fn replace_state(stage: &mut Stage) {
    let (server, _) = server(stage, false).await;
    let (made, new) = oneshot::channel();
    let replaced = sys::replace_state(&server, |actor| {
        let new = actor.with_number(2);
        // What Erlang's function returns.
        let _ = made.send(new.plan.number);
        new
    });
    replaced.await.unwrap();
    say!(stage.trace, "replaced", new.await.unwrap());
    state(stage, &server).await;
    stage.nothing().await;
}

async fn replace_state_while_suspended(stage: &mut Stage) {
    let (server, _) = server(stage, false).await;
    sys::suspend(&server).await.unwrap();
    set(&server, 2).await.unwrap();
    state(stage, &server).await;
    sys::resume(&server).await.unwrap();
    state(stage, &server).await;
    stage.nothing().await;
}

async fn replace_state_that_crashes_keeps_the_state(stage: &mut Stage) {
    let (server, monitor) = server(stage, false).await;
    match sys::replace_state(&server, |_| oops()).await {
        Err(SysError::Failed(_)) => say!(stage.trace, "replace_state", "failed"),
        other => stage.trace.line(outcome("replace_state", other)),
    }
    state(stage, &server).await;
    stage.alive_or_down(&server, monitor).await;
    stage.nothing().await;
}
