//! Twins about monitors.

use otp::{ExitReason, Next};

use crate::oracle::actor::{self, run, within};
use crate::oracle::stage::Stage;
use crate::oracle::trace::{boom, say};
use crate::oracle::{Scenario, scenario};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("monitor_of_a_dead_process", |mut stage| async move {
            let (target, monitor) = stage.watched("target", false).await;
            actor::stop(&target, boom());
            stage.driver.down(monitor).await;
            let again = stage.driver.watch(target.pid()).await;
            stage.driver.down(again).await;
            stage.nothing().await;
        }),
        scenario("monitor_twice_gives_two_downs", |mut stage| async move {
            let (target, first) = stage.watched("target", false).await;
            let second = stage.driver.watch(target.pid()).await;
            actor::stop(&target, boom());
            stage.driver.down(first).await;
            stage.driver.down(second).await;
            stage.nothing().await;
        }),
        scenario("monitor_is_one_way", |mut stage| async move {
            let (watcher, watcher_monitor) = stage.watched("watcher", false).await;
            let (target, target_monitor) = stage.watched("target", false).await;
            let pid = target.pid();
            within(&watcher, move |ctx| ctx.monitor(pid)).await;
            actor::stop(&watcher, boom());
            stage.driver.down(watcher_monitor).await;
            stage.alive_or_down(&target, target_monitor).await;
            stage.nothing().await;
        }),
        scenario("monitor_of_self_never_fires", |mut stage| async move {
            let (target, monitor) = stage.watched("target", false).await;
            within(&target, |ctx| ctx.monitor(ctx.pid())).await;
            stage.alive_or_down(&target, monitor).await;
            actor::stop(&target, boom());
            stage.driver.down(monitor).await;
            stage.nothing().await;
        }),
        scenario("two_watchers_each_get_a_down", |mut stage| async move {
            let (target, monitor) = stage.watched("target", false).await;
            let watcher = stage.worker("watcher").await;
            let pid = target.pid();
            within(&watcher, move |ctx| ctx.monitor(pid)).await;
            actor::stop(&target, boom());
            stage.trace.wait("info watcher down", 1).await;
            stage.driver.down(monitor).await;
            stage.nothing().await;
        }),
        scenario("demonitor_before_the_end", |mut stage| async move {
            let (target, monitor) = stage.watched("target", false).await;
            let other = stage.driver.watch(target.pid()).await;
            demonitor(&stage, monitor, false).await;
            actor::stop(&target, boom());
            stage.driver.down(other).await;
            stage.nothing().await;
        }),
        scenario("demonitor_one_of_two", |mut stage| async move {
            let (target, first) = stage.watched("target", false).await;
            let second = stage.driver.watch(target.pid()).await;
            demonitor(&stage, first, false).await;
            actor::stop(&target, boom());
            stage.driver.down(second).await;
            stage.nothing().await;
        }),
        scenario("demonitor_twice_is_harmless", |mut stage| async move {
            let (target, monitor) = stage.watched("target", false).await;
            demonitor(&stage, monitor, false).await;
            demonitor(&stage, monitor, false).await;
            actor::stop(&target, boom());
            stage.gone(target.pid()).await;
            stage.nothing().await;
        }),
        scenario("demonitor_keeps_a_down_that_arrived", |stage| {
            demonitor_arrived(stage, false)
        }),
        scenario("demonitor_flush_drops_a_down_that_arrived", |stage| {
            demonitor_arrived(stage, true)
        }),
        scenario(
            "demonitor_flush_spares_other_downs",
            |mut stage| async move {
                let (target, first) = stage.watched("target", false).await;
                let second = stage.driver.watch(target.pid()).await;
                let (other, third) = stage.watched("other", false).await;
                let (target, other) = (target.clone(), other.clone());
                stage
                    .driver
                    .run_async(move |ctx| {
                        Box::pin(async move {
                            actor::stop(&target, boom());
                            actor::stop(&other, ExitReason::Normal);
                            otp::eventually!(ctx.mailbox_len() >= 3);
                            ctx.demonitor(first, true);
                        })
                    })
                    .await;
                stage.driver.down(second).await;
                stage.driver.down(third).await;
                stage.nothing().await;
            },
        ),
        scenario("demonitor_after_down", |mut stage| async move {
            let (target, monitor) = stage.watched("target", false).await;
            actor::stop(&target, boom());
            stage.driver.down(monitor).await;
            demonitor(&stage, monitor, false).await;
            stage.nothing().await;
        }),
        scenario("demonitor_by_another_process", |mut stage| async move {
            let (target, monitor) = stage.watched("target", false).await;
            let other = stage.worker("other").await;
            within(&other, move |ctx| ctx.demonitor(monitor, false)).await;
            actor::stop(&target, boom());
            stage.driver.down(monitor).await;
            stage.nothing().await;
        }),
        scenario("monitor_and_link_both_fire", |mut stage| async move {
            let (target, monitor) = stage.watched("target", false).await;
            stage.driver.link(target.pid()).await;
            actor::stop(&target, boom());
            stage.driver.exit_of(target.pid()).await;
            stage.driver.down(monitor).await;
            stage.nothing().await;
        }),
        scenario("the_watcher_ends_first", |mut stage| async move {
            let (watcher, watcher_monitor) = stage.watched("watcher", false).await;
            let (target, target_monitor) = stage.watched("target", false).await;
            let pid = target.pid();
            within(&watcher, move |ctx| ctx.monitor(pid)).await;
            actor::stop(&watcher, ExitReason::Normal);
            stage.driver.down(watcher_monitor).await;
            actor::stop(&target, boom());
            stage.driver.down(target_monitor).await;
            stage.nothing().await;
        }),
        scenario(
            "killing_what_one_watches_and_ending",
            |mut stage| async move {
                let (watcher, watcher_monitor) = stage.watched("watcher", false).await;
                let (target, target_monitor) = stage.watched("target", false).await;
                let (watched, pid) = (watcher.pid(), target.pid());
                within(&target, move |ctx| ctx.monitor(watched)).await;
                run(&watcher, move |_, ctx| {
                    ctx.exit(pid, ExitReason::Kill);
                    Box::pin(async { Next::Stop(ExitReason::Normal) })
                });
                stage.driver.down(target_monitor).await;
                stage.driver.down(watcher_monitor).await;
                stage.nothing().await;
            },
        ),
    ]
}

async fn demonitor(stage: &Stage, monitor: otp::MonitorRef, flush: bool) {
    let waiting = stage.driver.demonitor(monitor, flush).await;
    say!(stage.trace, "demonitor", waiting);
}

/// The DOWN is in the mailbox of the driver, which is in a handler meanwhile.
async fn demonitor_arrived(mut stage: Stage, flush: bool) {
    let (target, monitor) = stage.watched("target", false).await;
    let ending = target.clone();
    let waiting = stage
        .driver
        .run_async(move |ctx| {
            Box::pin(async move {
                actor::stop(&ending, boom());
                otp::eventually!(ctx.mailbox_len() >= 1);
                ctx.demonitor(monitor, flush)
            })
        })
        .await;
    say!(stage.trace, "demonitor", waiting);
    if flush {
        say!(stage.trace, "no_down");
    } else {
        stage.driver.down(monitor).await;
    }
    stage.nothing().await;
}
