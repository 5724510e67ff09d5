//! Twins about calls of servers that end meanwhile.

use otp::{ExitReason, Next};

use super::calls::{call, call_aside};
use super::target;
use crate::oracle::actor::{Message, ask, busy, crash_holding, run};
use crate::oracle::stage::Stage;
use crate::oracle::trace::{How, reasons, some_reasons};
use crate::oracle::{Scenario, scenario};

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut list = Vec::new();
    for (name, reason) in local_reasons() {
        list.push(scenario(format!("call_server_stops_{name}"), {
            let how = How::Stop(reason.clone());
            move |stage| call_ends(stage, how.clone())
        }));
        if name != "normal" {
            list.push(scenario(
                format!("call_server_exits_by_signal_{name}"),
                move |stage| call_signal(stage, reason.clone()),
            ));
        }
    }
    list.push(scenario("call_server_stops_crash", |stage| {
        call_ends(stage, How::Crash)
    }));
    let mut queued: Vec<(&str, How)> =
        some_reasons(&["normal", "shutdown", "shutdown_with", "custom"])
            .into_iter()
            .map(|(name, reason)| (name, How::Stop(reason)))
            .collect();
    queued.push(("crash", How::Crash));
    queued.push(("signal_kill", How::Signal(ExitReason::Kill)));
    for (name, how) in queued {
        list.push(scenario(
            format!("call_in_queue_of_a_server_that_stops_{name}"),
            move |stage| call_queued(stage, how.clone()),
        ));
    }
    list
}

/// A call reports noconnection as the node that is down.
fn local_reasons() -> Vec<(&'static str, ExitReason)> {
    let mut list = reasons();
    list.retain(|(name, _)| *name != "noconnection");
    list
}

async fn call_ends(mut stage: Stage, how: How) {
    let (server, monitor) = target(&stage, false).await;
    let request = ask(move |from, _, _| {
        Box::pin(async move {
            match how {
                How::Stop(reason) => Next::Stop(reason),
                _ => crash_holding(from),
            }
        })
    });
    call(&stage, &server, request).await;
    stage.driver.down(monitor).await;
    stage.nothing().await;
}

async fn call_signal(mut stage: Stage, reason: ExitReason) {
    let (server, monitor) = target(&stage, false).await;
    let killer = stage.worker("killer").await;
    let request = ask(move |from, _, ctx| {
        let me = ctx.pid();
        run(&killer, move |_, ctx| {
            ctx.exit(me, reason);
            Box::pin(async { Next::Go })
        });
        Box::pin(async move {
            let _held = from;
            std::future::pending().await
        })
    });
    call(&stage, &server, request).await;
    stage.driver.down(monitor).await;
    stage.nothing().await;
}

async fn call_queued(mut stage: Stage, how: How) {
    let (server, monitor) = target(&stage, false).await;
    let free = busy(&server).await;
    let signal = matches!(how, How::Signal(_));
    if !signal {
        stage.finish(&server, &how).await;
    }
    call_aside(&stage, &server, Message::Get);
    let queued = if signal { 1 } else { 2 };
    stage.queued(server.pid(), queued).await;
    if signal {
        stage.finish(&server, &how).await;
    } else {
        drop(free);
    }
    stage.trace.wait("call", 1).await;
    stage.driver.down(monitor).await;
    stage.nothing().await;
}
