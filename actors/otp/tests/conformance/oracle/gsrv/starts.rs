//! Twins about starts.

use std::time::Duration;

use otp::{ExitReason, MonitorRef, Options, ServerRef, StartError};

use crate::oracle::actor::{self, Actor, Begin, Plan, sync};
use crate::oracle::stage::Stage;
use crate::oracle::trace::{boom, say};
use crate::oracle::{Scenario, scenario};

const STARTS: [&str; 3] = ["start", "start_link", "start_monitor"];

pub(super) fn scenarios() -> Vec<Scenario> {
    let failures = [
        ("ignore", Begin::Ignore),
        ("stop_normal", Begin::Stop(ExitReason::Normal)),
        ("stop_shutdown", Begin::Stop(ExitReason::Shutdown)),
        ("stop_custom", Begin::Stop(boom())),
        ("stop_error", Begin::Stop(ExitReason::Error("bad".into()))),
        ("crash", Begin::Crash),
        ("exit_custom", Begin::Stop(boom())),
        ("timeout", Begin::Hang),
    ];
    let mut list = Vec::new();
    for how in STARTS {
        for named in [false, true] {
            let kind = if named { "named" } else { "unnamed" };
            for (name, begin) in failures.clone() {
                list.push(scenario(
                    format!("start_fails_{name}_{how}_{kind}"),
                    move |stage| start_fails(stage, begin.clone(), how, named),
                ));
            }
            list.push(scenario(
                format!("start_works_{how}_{kind}"),
                move |stage| start_works(stage, how, named),
            ));
        }
        list.push(scenario(
            format!("start_under_a_taken_name_{how}"),
            move |stage| start_taken(stage, how),
        ));
    }
    list
}

/// A server that was started, and the monitor of the driver, if that came with it.
type Started = (ServerRef<Actor>, Option<MonitorRef>);

async fn start(
    stage: &Stage,
    how: &str,
    plan: Plan,
    options: Options,
) -> Result<Started, StartError> {
    match how {
        "start" => {
            let server = otp::start(&stage.node, plan, options).await?;
            Ok((server, None))
        }
        "start_link" => {
            let start = move |ctx: &mut otp::Context<_>| ctx.start_link::<Actor>(plan, options);
            let server = stage.driver.start_linked(start).await?;
            Ok((server, None))
        }
        _ => {
            let started = stage
                .driver
                .run_async(|ctx| Box::pin(ctx.start_monitor::<Actor>(plan, options)));
            let (server, monitor) = started.await?;
            Ok((server, Some(monitor)))
        }
    }
}

fn options(named: bool) -> Options {
    if named {
        Options::new().name("named")
    } else {
        Options::new()
    }
}

async fn start_fails(mut stage: Stage, begin: Begin, how: &'static str, named: bool) {
    let mut options = options(named);
    if matches!(begin, Begin::Hang) {
        options = options.start_timeout(Duration::from_millis(1));
    }
    let plan = Plan {
        begin,
        ..stage.quiet("target")
    };
    match start(&stage, how, plan, options).await {
        Err(StartError::Ignore) => say!(stage.trace, "start", "ignore"),
        Err(StartError::Timeout) => say!(stage.trace, "start", "timeout"),
        Err(StartError::Failed(reason)) => say!(stage.trace, "start", "failed", &reason),
        other => say!(stage.trace, format!("{other:?}")),
    }
    stage.whereis("named");
    stage.nothing().await;
}

async fn start_works(mut stage: Stage, how: &'static str, named: bool) {
    let plan = stage.plan("target");
    let started = start(&stage, how, plan, options(named)).await;
    let (target, monitor) = started.unwrap();
    say!(stage.trace, "start", "ok", target.pid());
    stage.whereis("named");
    let monitor = match monitor {
        Some(monitor) => monitor,
        None => stage.driver.watch(target.pid()).await,
    };
    actor::stop(&target, boom());
    if how == "start_link" {
        stage.driver.exit_of(target.pid()).await;
    }
    stage.driver.down(monitor).await;
    stage.whereis("named");
    stage.nothing().await;
}

async fn start_taken(mut stage: Stage, how: &'static str) {
    let first = stage.start_named(stage.plan("first")).await.unwrap();
    let plan = stage.plan("second");
    match start(&stage, how, plan, options(true)).await {
        Err(StartError::AlreadyStarted(pid)) => say!(stage.trace, "start", "already_started", pid),
        other => say!(stage.trace, format!("{other:?}")),
    }
    stage.whereis("named");
    stage.nothing().await;
    sync(&first).await;
}
