//! Twins of `sc_proc.erl`: exit signals, links, monitors, names, timers, aliases, spawn requests.

use otp::ExitReason;

use super::actor::within;
use super::stage::Stage;
use super::trace::{How, boom, reasons};
use super::{Scenario, scenario};

mod aliases;
mod links;
mod monitors;
mod names;
mod signals;
mod spawn_requests;
mod timers;

pub(crate) fn scenarios() -> Vec<Scenario> {
    let mut list = Vec::new();
    for trap in [false, true] {
        for (name, reason) in reasons() {
            let (other, own) = (reason.clone(), reason);
            let key = format!("{name}_{}", trapping(trap));
            list.push(scenario(format!("exit_other_{key}"), move |stage| {
                exit_other(stage, other.clone(), trap)
            }));
            list.push(scenario(format!("exit_self_{key}"), move |stage| {
                exit_self(stage, own.clone(), trap)
            }));
        }
        for (name, how) in ends() {
            let key = format!("{name}_{}", trapping(trap));
            list.push(scenario(format!("link_peer_{key}"), move |stage| {
                link_peer(stage, how.clone(), trap)
            }));
        }
    }
    for (name, how) in ends() {
        list.push(scenario(format!("monitor_end_{name}"), move |stage| {
            monitor_end(stage, how.clone())
        }));
    }
    let chained = [
        ("signal_kill", How::Signal(ExitReason::Kill)),
        ("own_kill", How::Stop(ExitReason::Kill)),
        ("custom", How::Stop(boom())),
        ("shutdown", How::Stop(ExitReason::Shutdown)),
        ("crash", How::Crash),
    ];
    for (name, how) in chained {
        for length in [1, 2, 4] {
            let how = how.clone();
            list.push(scenario(format!("chain_{name}_{length}"), move |stage| {
                chain(stage, how.clone(), length)
            }));
        }
    }
    list.extend(links::scenarios());
    list.extend(signals::scenarios());
    list.extend(monitors::scenarios());
    list.extend(names::scenarios());
    list.extend(timers::scenarios());
    list.extend(aliases::scenarios());
    list.extend(spawn_requests::scenarios());
    list
}

fn ends() -> Vec<(&'static str, How)> {
    let mut ends: Vec<(&str, How)> = reasons()
        .into_iter()
        .map(|(name, reason)| (name, How::Stop(reason)))
        .collect();
    ends.push(("crash", How::Crash));
    ends.push(("signal_kill", How::Signal(ExitReason::Kill)));
    ends.push(("signal_custom", How::Signal(boom())));
    ends
}

fn trapping(trap: bool) -> &'static str {
    if trap { "trapping" } else { "plain" }
}

// ---- how an exit signal acts on its receiver --------------------------------------------------

async fn exit_other(mut stage: Stage, reason: ExitReason, trap: bool) {
    let (target, monitor) = stage.watched("target", trap).await;
    stage.driver.exit(target.pid(), reason).await;
    stage.alive_or_down(&target, monitor).await;
    stage.nothing().await;
}

async fn exit_self(mut stage: Stage, reason: ExitReason, trap: bool) {
    let (target, monitor) = stage.watched("target", trap).await;
    within(&target, move |ctx| ctx.exit(ctx.pid(), reason)).await;
    stage.alive_or_down(&target, monitor).await;
    stage.nothing().await;
}

async fn link_peer(mut stage: Stage, how: How, trap: bool) {
    let (target, monitor) = stage.watched("target", trap).await;
    let peer = stage.worker("peer").await;
    let pid = peer.pid();
    within(&target, move |ctx| ctx.link(pid)).await;
    stage.finish(&peer, &how).await;
    stage.unlinked(target.pid(), pid).await;
    stage.alive_or_down(&target, monitor).await;
    stage.nothing().await;
}

async fn monitor_end(mut stage: Stage, how: How) {
    let (target, monitor) = stage.watched("target", false).await;
    stage.finish(&target, &how).await;
    stage.driver.down(monitor).await;
    stage.nothing().await;
}

async fn chain(mut stage: Stage, how: How, length: usize) {
    let first = stage.worker("first").await;
    let mut last = first.pid();
    for _ in 1..length {
        let next = stage.worker("next").await;
        within(&next, move |ctx| ctx.link(last)).await;
        last = next.pid();
    }
    stage.driver.link(last).await;
    stage.finish(&first, &how).await;
    stage.driver.exit_of(last).await;
    stage.nothing().await;
}
