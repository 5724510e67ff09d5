//! Twins about servers that are suspended.

use std::time::Duration;

use otp::sys::{self, SysError};
use otp::{
    CallError, DEFAULT_CALL_TIMEOUT, ExitReason, Next, ServerRef, Supervisor, SupervisorServer,
};

use super::{outcome, server};
use crate::oracle::actor::{self, Actor, Message, note, run, sync, within};
use crate::oracle::family::{PERIOD, child};
use crate::oracle::stage::Stage;
use crate::oracle::trace::{Trace, boom, say};
use crate::oracle::{Scenario, stories, sup, told};

pub(super) fn scenarios() -> Vec<Scenario> {
    told(stories!(Stage:
        suspended_it_keeps_its_queue,
        suspended_it_answers_no_call,
        suspended_a_call_waits_for_resume,
        suspended_infos_wait_too,
        suspended_downs_wait_too,
        suspended_timers_wait_too,
        suspend_twice_resume_once,
        resume_of_one_that_runs,
        suspend_waits_for_the_handler,
        status_tells_suspended,
        stop_request_while_suspended,
        kill_while_suspended,
        the_queue_is_lost_when_it_ends_suspended,
        supervisor_suspended_restarts_after_resume,
    ))
}

async fn suspend(server: &ServerRef<Actor>) {
    sys::suspend(server).await.unwrap();
}

async fn resume(server: &ServerRef<Actor>) {
    sys::resume(server).await.unwrap();
}

/// Says so, and resumes.
async fn tell_resume(stage: &Stage, server: &ServerRef<Actor>) {
    say!(stage.trace, "resume");
    resume(server).await;
}

async fn suspended_it_keeps_its_queue(stage: &mut Stage) {
    let (server, _) = server(stage, false).await;
    suspend(&server).await;
    for text in ["m1", "m2", "m3"] {
        note(&server, text);
    }
    tell_resume(stage, &server).await;
    sync(&server).await;
    stage.nothing().await;
}

fn tell_call(trace: &Trace, outcome: Result<String, CallError>) {
    match outcome {
        Ok(answer) => say!(trace, "call", answer),
        Err(error) => say!(trace, "call", "error", &error),
    }
}

async fn suspended_it_answers_no_call(stage: &mut Stage) {
    let (server, _) = server(stage, false).await;
    suspend(&server).await;
    let brief = Duration::from_millis(1);
    tell_call(&stage.trace, server.call_timeout(brief, Message::Get).await);
    resume(&server).await;
    tell_call(&stage.trace, server.call(Message::Get).await);
    stage.nothing().await;
}

async fn suspended_a_call_waits_for_resume(stage: &mut Stage) {
    let (server, _) = server(stage, false).await;
    suspend(&server).await;
    let caller = stage.worker("caller").await;
    let called = server.clone();
    run(&caller, move |actor, _| {
        Box::pin(async move {
            tell_call(&actor.plan.trace, called.call(Message::Get).await);
            Next::Go
        })
    });
    stage.queued(server.pid(), 1).await;
    tell_resume(stage, &server).await;
    stage.trace.wait("call", 1).await;
    stage.nothing().await;
}

async fn suspended_infos_wait_too(stage: &mut Stage) {
    let (server, monitor) = server(stage, true).await;
    suspend(&server).await;
    let pid = server.pid();
    stage
        .driver
        .run(move |ctx| {
            ctx.exit(pid, boom());
            ctx.send(pid, Box::new("hello"));
        })
        .await;
    tell_resume(stage, &server).await;
    stage.alive_or_down(&server, monitor).await;
    stage.nothing().await;
}

async fn suspended_downs_wait_too(stage: &mut Stage) {
    let (server, monitor) = server(stage, false).await;
    let other = stage.worker("other").await;
    let pid = other.pid();
    within(&server, move |ctx| ctx.monitor(pid)).await;
    suspend(&server).await;
    actor::stop(&other, boom());
    stage.queued(server.pid(), 1).await;
    tell_resume(stage, &server).await;
    stage.alive_or_down(&server, monitor).await;
    stage.nothing().await;
}

async fn suspended_timers_wait_too(stage: &mut Stage) {
    let (server, monitor) = server(stage, false).await;
    suspend(&server).await;
    let brief = Duration::from_millis(1);
    let _timer = stage
        .node
        .send_after(server.pid(), brief, Box::new("timer"));
    stage.queued(server.pid(), 1).await;
    tell_resume(stage, &server).await;
    stage.alive_or_down(&server, monitor).await;
    stage.nothing().await;
}

fn tell(stage: &Stage, request: &str, answer: Result<(), SysError>) {
    stage.trace.line(outcome(request, answer));
}

async fn suspend_twice_resume_once(stage: &mut Stage) {
    let (server, monitor) = server(stage, false).await;
    tell(stage, "suspend", sys::suspend(&server).await);
    tell(stage, "suspend", sys::suspend(&server).await);
    tell(stage, "resume", sys::resume(&server).await);
    stage.alive_or_down(&server, monitor).await;
    stage.nothing().await;
}

async fn resume_of_one_that_runs(stage: &mut Stage) {
    let (server, monitor) = server(stage, false).await;
    tell(stage, "resume", sys::resume(&server).await);
    stage.alive_or_down(&server, monitor).await;
    stage.nothing().await;
}

async fn suspend_waits_for_the_handler(stage: &mut Stage) {
    let (server, _) = server(stage, false).await;
    run(&server, |actor, _| {
        say!(actor.plan.trace, "handled");
        Box::pin(async { Next::Go })
    });
    suspend(&server).await;
    say!(stage.trace, "suspended");
    stage.nothing().await;
}

async fn status(stage: &Stage, server: &ServerRef<Actor>) {
    let status = sys::get_status(server).await.unwrap();
    let word = if status.suspended {
        "suspended"
    } else {
        "running"
    };
    say!(stage.trace, "status", word);
}

async fn status_tells_suspended(stage: &mut Stage) {
    let (server, _) = server(stage, false).await;
    status(stage, &server).await;
    suspend(&server).await;
    status(stage, &server).await;
    resume(&server).await;
    status(stage, &server).await;
    stage.nothing().await;
}

async fn stop_request_while_suspended(stage: &mut Stage) {
    let (server, monitor) = server(stage, false).await;
    suspend(&server).await;
    let stopped = server.stop(ExitReason::Normal, DEFAULT_CALL_TIMEOUT).await;
    tell(stage, "stop", stopped.map_err(SysError::Call));
    stage.driver.down(monitor).await;
    stage.nothing().await;
}

async fn kill_while_suspended(stage: &mut Stage) {
    let (server, monitor) = server(stage, true).await;
    suspend(&server).await;
    stage.driver.exit(server.pid(), ExitReason::Kill).await;
    stage.driver.down(monitor).await;
    stage.nothing().await;
}

async fn the_queue_is_lost_when_it_ends_suspended(stage: &mut Stage) {
    let (server, monitor) = server(stage, false).await;
    suspend(&server).await;
    note(&server, "m1");
    sys::terminate(&server, ExitReason::Normal).await.unwrap();
    stage.driver.down(monitor).await;
    stage.nothing().await;
}

async fn supervisor_suspended_restarts_after_resume(stage: &mut Stage) {
    let description = Supervisor::one_for_one().intensity(5, PERIOD);
    let sup = sup::start(stage, description, vec![child(stage, "a")]).await;
    let pid = sup.child("a").await.unwrap();
    let server = stage.node.server_ref::<SupervisorServer>(sup.pid());
    let server = server.unwrap();
    sys::suspend(&server).await.unwrap();
    actor::stop(&stage.node.server_ref(pid).unwrap(), boom());
    stage.queued(sup.pid(), 1).await;
    say!(stage.trace, "resume");
    sys::resume(&server).await.unwrap();
    stage.trace.wait("init a", 2).await;
    stage.nothing().await;
}
