//! Twins of `sc_gsrv.erl`: starts, calls and their failures, ends, continue, timeouts.

use std::time::Duration;

use otp::{CallError, ExitReason, From, MonitorRef, ServerRef};

use super::Scenario;
use super::actor::{Actor, Message, Plan};
use super::stage::Stage;
use super::trace::{Trace, say};

mod calls;
mod ends;
mod failing_calls;
mod order;
mod starts;
mod stops;

pub(crate) fn scenarios() -> Vec<Scenario> {
    [
        starts::scenarios(),
        calls::scenarios(),
        failing_calls::scenarios(),
        ends::scenarios(),
        order::scenarios(),
        stops::scenarios(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

async fn target(stage: &Stage, trap: bool) -> (ServerRef<Actor>, MonitorRef) {
    let plan = Plan {
        trap,
        ..stage.plan("target")
    };
    stage.start_watched(plan).await
}

/// Says how a call went.
fn tell(stage: &Trace, outcome: Result<String, CallError>) {
    match outcome {
        Ok(answer) => say!(stage, "call", "answer", answer),
        Err(error) => say!(stage, "call", "error", &error),
    }
}

/// The answer and the end that follows it have two observers: the answer is told last.
async fn call_then_down(
    mut stage: Stage,
    server: ServerRef<Actor>,
    monitor: MonitorRef,
    request: impl FnOnce(From<String>) -> Message + Send,
) {
    let outcome = server.call(request).await;
    stage.driver.down(monitor).await;
    tell(&stage.trace, outcome);
    stage.nothing().await;
}

async fn stop_request(
    stage: &Stage,
    server: &ServerRef<Actor>,
    reason: ExitReason,
    limit: Duration,
) {
    tell_stop(&stage.trace, server.stop(reason, limit).await);
}

fn tell_stop(trace: &Trace, outcome: Result<(), CallError>) {
    match outcome {
        Ok(()) => say!(trace, "stop", "ok"),
        Err(error) => say!(trace, "stop", "error", &error),
    }
}
