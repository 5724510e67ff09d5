//! Twins about what `proc_lib` promises of a start, and of a stop.

use std::time::Duration;

use otp::{
    Context, DEFAULT_CALL_TIMEOUT, ExitReason, GenServer, Init, Next, Options, Pid, ServerRef,
    StartError,
};

use super::{outcome, server};
use crate::oracle::stage::Stage;
use crate::oracle::trace::{Trace, boom, say};
use crate::oracle::{Scenario, stories, told};

pub(super) fn scenarios() -> Vec<Scenario> {
    told(stories!(Stage:
        start_returns_after_init,
        start_that_ends_before_its_init_is_over,
        start_that_takes_too_long_is_killed,
        stop_of_any_process,
    ))
}

/// A process which does nothing but begin.
struct Beginner;

enum Begin {
    /// Says so.
    Say(Trace),
    End(ExitReason),
    /// Tells the driver who it is, and never comes back.
    Hang(Pid),
}

/// A process that begins.
struct Here(Pid);

impl GenServer for Beginner {
    type Args = Begin;
    type Message = ();

    async fn init(begin: Begin, ctx: &mut Context<Beginner>) -> Init<Beginner> {
        match begin {
            Begin::Say(trace) => say!(trace, "init"),
            Begin::End(reason) => return Init::Stop(reason),
            Begin::Hang(driver) => {
                ctx.send(driver, Box::new(Here(ctx.pid())));
                std::future::pending::<()>().await;
            }
        }
        Init::Ok(Beginner)
    }

    async fn handle(&mut self, (): (), _ctx: &mut Context<Beginner>) -> Next<Beginner> {
        Next::Go
    }
}

async fn start(
    stage: &Stage,
    begin: Begin,
    options: Options,
) -> Result<ServerRef<Beginner>, StartError> {
    otp::start(&stage.node, begin, options).await
}

fn tell(stage: &Stage, started: Result<ServerRef<Beginner>, StartError>) {
    match started {
        Ok(server) => say!(stage.trace, "start", "ok", server.pid()),
        Err(StartError::Timeout) => say!(stage.trace, "start", "timeout"),
        Err(StartError::Failed(reason)) => say!(stage.trace, "start", "failed", &reason),
        Err(error) => say!(stage.trace, "start", error.to_string()),
    }
}

async fn start_returns_after_init(stage: &mut Stage) {
    let begin = Begin::Say(stage.trace.clone());
    tell(stage, start(stage, begin, Options::new()).await);
    stage.nothing().await;
}

async fn start_that_ends_before_its_init_is_over(stage: &mut Stage) {
    tell(
        stage,
        start(stage, Begin::End(boom()), Options::new()).await,
    );
    stage.nothing().await;
}

async fn start_that_takes_too_long_is_killed(stage: &mut Stage) {
    let options = Options::new().start_timeout(Duration::from_millis(5));
    let begin = Begin::Hang(stage.driver.pid());
    tell(stage, start(stage, begin, options).await);
    let Here(pid) = stage.driver.receive().await;
    stage.gone(pid).await;
    say!(stage.trace, "alive", stage.node.is_alive(pid));
    stage.nothing().await;
}

async fn stop_of_any_process(stage: &mut Stage) {
    let (server, monitor) = server(stage, false).await;
    let stopped = server.stop(ExitReason::Normal, DEFAULT_CALL_TIMEOUT).await;
    let stopped = stopped.map_err(otp::sys::SysError::Call);
    stage.trace.line(outcome("stop", stopped));
    stage.driver.down(monitor).await;
    stage.nothing().await;
}
