//! Twins of `sc_sys.erl`: system messages; what `proc_lib` promises of a start.

use otp::sys::{self, SysError};
use otp::{CallError, Destination, ExitReason, MonitorRef, ServerRef};

use super::actor::{self, Actor, Plan, child};
use super::stage::Stage;
use super::trace::{Word, boom, say, some_reasons};
use super::{Scenario, scenario};

mod debugging;
mod starts;
mod states;
mod suspended;

pub(crate) fn scenarios() -> Vec<Scenario> {
    let mut list = Vec::new();
    for (name, reason) in ends() {
        for (kind, trap) in TRAPPING {
            let reason = reason.clone();
            list.push(scenario(format!("terminate_{name}_{kind}"), move |stage| {
                terminate(stage, reason.clone(), trap, false)
            }));
        }
        let early = reason.clone();
        list.push(scenario(
            format!("terminate_while_suspended_{name}"),
            move |stage| terminate(stage, early.clone(), false, true),
        ));
        list.push(scenario(
            format!("parent_ends_while_suspended_{name}"),
            move |stage| parent(stage, reason.clone()),
        ));
    }
    let mut signals = ends();
    signals.push(("kill", ExitReason::Kill));
    for (name, reason) in signals {
        for (kind, trap) in TRAPPING {
            let reason = reason.clone();
            list.push(scenario(
                format!("signal_while_suspended_{name}_{kind}"),
                move |stage| signal(stage, reason.clone(), trap),
            ));
        }
    }
    for request in REQUESTS {
        list.push(scenario(
            format!("request_to_a_dead_process_{request}"),
            move |stage| dead(stage, request),
        ));
        list.push(scenario(
            format!("request_to_a_free_name_{request}"),
            move |stage| free_name(stage, request),
        ));
    }
    list.extend(states::scenarios());
    list.extend(suspended::scenarios());
    list.extend(debugging::scenarios());
    list.extend(starts::scenarios());
    list
}

const TRAPPING: [(&str, bool); 2] = [("plain", false), ("trapping", true)];

const REQUESTS: [&str; 6] = [
    "suspend",
    "resume",
    "get_state",
    "get_status",
    "replace_state",
    "terminate",
];

fn ends() -> Vec<(&'static str, ExitReason)> {
    some_reasons(&["normal", "shutdown", "shutdown_with", "custom"])
}

/// A server whose state is a number, 1.
async fn server(stage: &Stage, trap: bool) -> (ServerRef<Actor>, MonitorRef) {
    let plan = Plan {
        trap,
        number: 1,
        ..stage.plan("target")
    };
    stage.start_watched(plan).await
}

async fn number(server: &ServerRef<Actor>) -> Result<i64, SysError> {
    sys::with_state(server, |actor| actor.plan.number).await
}

/// Says the state.
async fn state(stage: &Stage, server: &ServerRef<Actor>) {
    say!(stage.trace, "state", number(server).await.unwrap());
}

async fn set(server: &ServerRef<Actor>, number: i64) -> Result<(), SysError> {
    sys::replace_state(server, move |actor| actor.with_number(number)).await
}

/// How a request went.
fn outcome(request: &str, outcome: Result<(), SysError>) -> Vec<Word> {
    let mut words = vec![Word::from(request)];
    match outcome {
        Ok(()) => words.push(Word::from("ok")),
        Err(SysError::Call(error)) => words.extend([Word::from("exit"), Word::from(&error)]),
        Err(error) => words.push(Word::from(error.to_string())),
    }
    words
}

async fn ask(request: &str, server: &ServerRef<Actor>) -> Result<(), SysError> {
    match request {
        "suspend" => sys::suspend(server).await,
        "resume" => sys::resume(server).await,
        "get_state" => number(server).await.map(drop),
        "get_status" => sys::get_status(server).await.map(drop),
        "replace_state" => set(server, 1).await,
        "terminate" => sys::terminate(server, ExitReason::Normal).await,
        other => panic!("{other}"),
    }
}

async fn terminate(mut stage: Stage, reason: ExitReason, trap: bool, suspended: bool) {
    let (server, monitor) = server(&stage, trap).await;
    if suspended {
        sys::suspend(&server).await.unwrap();
    }
    let answer = sys::terminate(&server, reason).await;
    stage.trace.line(outcome("terminate", answer));
    stage.driver.down(monitor).await;
    stage.nothing().await;
}

async fn signal(mut stage: Stage, reason: ExitReason, trap: bool) {
    let (server, monitor) = server(&stage, trap).await;
    sys::suspend(&server).await.unwrap();
    stage.driver.exit(server.pid(), reason).await;
    // Suspended, it answers no call; but system requests.
    if number(&server).await.is_ok() {
        say!(stage.trace, "alive");
        sys::resume(&server).await.unwrap();
        stage.alive_or_down(&server, monitor).await;
    } else {
        stage.driver.down(monitor).await;
    }
    stage.nothing().await;
}

async fn parent(mut stage: Stage, reason: ExitReason) {
    let parent = stage.worker("parent").await;
    let plan = Plan {
        trap: true,
        ..stage.plan("target")
    };
    let server = child(&parent, plan).await;
    let monitor = stage.driver.watch(server.pid()).await;
    sys::suspend(&server).await.unwrap();
    actor::stop(&parent, reason);
    stage.driver.down(monitor).await;
    stage.nothing().await;
}

async fn dead(mut stage: Stage, request: &'static str) {
    let (server, monitor) = server(&stage, false).await;
    actor::stop(&server, boom());
    stage.driver.down(monitor).await;
    stage
        .trace
        .line(outcome(request, ask(request, &server).await));
    stage.nothing().await;
}

async fn free_name(mut stage: Stage, request: &'static str) {
    let found: Result<_, CallError> = <str as Destination<Actor>>::resolve("nobody", &stage.node);
    let answer = match found {
        Ok(server) => ask(request, &server).await,
        Err(error) => Err(SysError::Call(error)),
    };
    stage.trace.line(outcome(request, answer));
    stage.nothing().await;
}
