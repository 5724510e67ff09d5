//! Twins of `sc_proc.erl`: exit signals, links, monitors, names, timers.

use std::time::Duration;

use otp::{ExitReason, Next, ServerRef, StartError};

use super::actor::{self, Actor, Ending, Plan, busy, note, run, sync, within};
use super::stage::Stage;
use super::trace::{How, boom, custom, reasons, say};
use super::{Scenario, scenario};

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
    list.extend(links());
    list.extend(signals());
    list.extend(monitors());
    list.extend(names());
    list.extend(timers());
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

// ---- links ------------------------------------------------------------------------------------

fn links() -> Vec<Scenario> {
    vec![
        scenario("link_to_a_dead_process_trapping", |stage| {
            link_dead(stage, true)
        }),
        scenario("link_to_a_dead_process_plain", |stage| {
            link_dead(stage, false)
        }),
        scenario("link_twice_gives_one_exit", |mut stage| async move {
            let peer = stage.worker("peer").await;
            stage.driver.link(peer.pid()).await;
            stage.driver.link(peer.pid()).await;
            actor::stop(&peer, boom());
            stage.driver.exit_of(peer.pid()).await;
            stage.nothing().await;
        }),
        scenario("link_from_both_sides_is_one_link", |mut stage| async move {
            let peer = stage.worker("peer").await;
            let me = stage.driver.pid();
            stage.driver.link(peer.pid()).await;
            within(&peer, move |ctx| ctx.link(me)).await;
            actor::stop(&peer, boom());
            stage.driver.exit_of(peer.pid()).await;
            stage.nothing().await;
        }),
        scenario(
            "unlink_after_two_links_removes_both",
            |mut stage| async move {
                let (peer, monitor) = stage.watched("peer", false).await;
                stage.driver.link(peer.pid()).await;
                stage.driver.link(peer.pid()).await;
                stage.driver.unlink(peer.pid()).await;
                actor::stop(&peer, boom());
                stage.driver.down(monitor).await;
                stage.nothing().await;
            },
        ),
        scenario("link_to_self_is_nothing", |mut stage| async move {
            let (target, monitor) = stage.watched("target", true).await;
            within(&target, |ctx| ctx.link(ctx.pid())).await;
            let links = stage.info(target.pid()).unwrap().links.len();
            say!(stage.trace, "links", links);
            actor::stop(&target, boom());
            stage.driver.down(monitor).await;
            stage.nothing().await;
        }),
        scenario("unlink_stops_the_exit", |mut stage| async move {
            let (peer, monitor) = stage.watched("peer", false).await;
            stage.driver.link(peer.pid()).await;
            stage.driver.unlink(peer.pid()).await;
            actor::stop(&peer, boom());
            stage.driver.down(monitor).await;
            stage.nothing().await;
        }),
        scenario("unlink_by_the_other_side", |mut stage| async move {
            let (peer, monitor) = stage.watched("peer", false).await;
            let me = stage.driver.pid();
            stage.driver.link(peer.pid()).await;
            within(&peer, move |ctx| ctx.unlink(me)).await;
            actor::stop(&peer, boom());
            stage.driver.down(monitor).await;
            stage.nothing().await;
        }),
        scenario("unlink_of_a_stranger_is_nothing", |mut stage| async move {
            let (peer, monitor) = stage.watched("peer", false).await;
            stage.driver.unlink(peer.pid()).await;
            stage.alive_or_down(&peer, monitor).await;
            stage.nothing().await;
        }),
        scenario("link_again_after_unlink", |mut stage| async move {
            let peer = stage.worker("peer").await;
            stage.driver.link(peer.pid()).await;
            stage.driver.unlink(peer.pid()).await;
            stage.driver.link(peer.pid()).await;
            actor::stop(&peer, boom());
            stage.driver.exit_of(peer.pid()).await;
            stage.nothing().await;
        }),
        scenario("links_are_seen_on_both_sides", |stage| async move {
            let (a, b) = (stage.worker("a").await, stage.worker("b").await);
            let (at_a, at_b) = (a.pid(), b.pid());
            within(&a, move |ctx| ctx.link(at_b)).await;
            say!(stage.trace, "a", "links", stage.links(at_a, at_b));
            say!(stage.trace, "b", "links", stage.links(at_b, at_a));
            within(&b, move |ctx| ctx.unlink(at_a)).await;
            stage.unlinked(at_a, at_b).await;
            say!(stage.trace, "a", "links", stage.links(at_a, at_b));
            say!(stage.trace, "b", "links", stage.links(at_b, at_a));
        }),
        scenario("a_link_works_both_ways_first_ends", |stage| {
            both_ways(stage, true)
        }),
        scenario("a_link_works_both_ways_second_ends", |stage| {
            both_ways(stage, false)
        }),
        scenario("a_chain_stops_at_one_that_traps", |mut stage| async move {
            let first = stage.worker("first").await;
            let (middle, middle_monitor) = stage.watched("middle", true).await;
            let (last, last_monitor) = stage.watched("last", false).await;
            link_two(&middle, &first, &last).await;
            actor::stop(&first, boom());
            stage.trace.wait("info middle", 1).await;
            stage.alive_or_down(&middle, middle_monitor).await;
            stage.alive_or_down(&last, last_monitor).await;
            stage.nothing().await;
        }),
        scenario("a_chain_stops_at_a_normal_end", |mut stage| async move {
            let first = stage.worker("first").await;
            let (middle, middle_monitor) = stage.watched("middle", false).await;
            let (last, last_monitor) = stage.watched("last", false).await;
            link_two(&middle, &first, &last).await;
            actor::stop(&first, ExitReason::Normal);
            stage.unlinked(middle.pid(), first.pid()).await;
            stage.alive_or_down(&middle, middle_monitor).await;
            stage.alive_or_down(&last, last_monitor).await;
            stage.nothing().await;
        }),
        scenario("trap_exit_may_be_switched_on_later", |stage| {
            switched(stage, false)
        }),
        scenario("trap_exit_may_be_switched_off_later", |stage| {
            switched(stage, true)
        }),
    ]
}

async fn link_two(middle: &ServerRef<Actor>, one: &ServerRef<Actor>, two: &ServerRef<Actor>) {
    let (one, two) = (one.pid(), two.pid());
    within(middle, move |ctx| {
        ctx.link(one);
        ctx.link(two);
    })
    .await;
}

async fn link_dead(mut stage: Stage, trap: bool) {
    let (dead, monitor) = stage.watched("dead", false).await;
    actor::stop(&dead, boom());
    stage.driver.down(monitor).await;
    let (target, monitor) = stage.watched("target", trap).await;
    let pid = dead.pid();
    within(&target, move |ctx| ctx.link(pid)).await;
    stage.alive_or_down(&target, monitor).await;
    stage.nothing().await;
}

async fn both_ways(mut stage: Stage, first_ends: bool) {
    let (a, monitor_a) = stage.watched("a", false).await;
    let (b, monitor_b) = stage.watched("b", false).await;
    let pid = b.pid();
    within(&a, move |ctx| ctx.link(pid)).await;
    actor::stop(if first_ends { &a } else { &b }, boom());
    stage.driver.down(monitor_a).await;
    stage.driver.down(monitor_b).await;
    stage.nothing().await;
}

async fn switched(mut stage: Stage, before: bool) {
    let (target, monitor) = stage.watched("target", before).await;
    let was = within(&target, move |ctx| ctx.trap_exit(!before)).await;
    say!(stage.trace, "was", was);
    stage.driver.exit(target.pid(), boom()).await;
    stage.alive_or_down(&target, monitor).await;
    stage.nothing().await;
}

// ---- signals and messages ---------------------------------------------------------------------

fn signals() -> Vec<Scenario> {
    vec![
        scenario("exit_twice_the_first_counts", |stage| {
            two_exits(stage, custom("first"), custom("second"))
        }),
        scenario("exit_then_kill_the_first_counts", |stage| {
            two_exits(stage, custom("first"), ExitReason::Kill)
        }),
        scenario("kill_then_exit_the_first_counts", |stage| {
            two_exits(stage, ExitReason::Kill, custom("second"))
        }),
        scenario("normal_then_exit_the_second_counts", |stage| {
            two_exits(stage, ExitReason::Normal, custom("second"))
        }),
        scenario(
            "exit_of_a_dead_process_is_nothing",
            |mut stage| async move {
                let (target, monitor) = stage.watched("target", false).await;
                actor::stop(&target, ExitReason::Normal);
                stage.driver.down(monitor).await;
                stage.driver.exit(target.pid(), boom()).await;
                stage.nothing().await;
            },
        ),
        scenario(
            "message_to_a_dead_process_is_nothing",
            |mut stage| async move {
                let (target, monitor) = stage.watched("target", false).await;
                actor::stop(&target, ExitReason::Normal);
                stage.driver.down(monitor).await;
                stage.node.send(target.pid(), Box::new("hello"));
                stage.nothing().await;
            },
        ),
        scenario("exit_hits_a_process_that_is_busy", |mut stage| async move {
            let (target, monitor) = stage.watched("target", false).await;
            let _free = busy(&target).await;
            stage.driver.exit(target.pid(), boom()).await;
            stage.driver.down(monitor).await;
            stage.nothing().await;
        }),
        scenario(
            "kill_hits_a_busy_process_that_traps",
            |mut stage| async move {
                let (target, monitor) = stage.watched("target", true).await;
                let _free = busy(&target).await;
                stage.driver.exit(target.pid(), ExitReason::Kill).await;
                stage.driver.down(monitor).await;
                stage.nothing().await;
            },
        ),
        scenario("messages_keep_their_order", |stage| async move {
            let target = stage.worker("target").await;
            for text in ["1", "2", "3", "4", "5"] {
                note(&target, text);
            }
            sync(&target).await;
        }),
        scenario(
            "messages_and_exits_keep_their_order_trapping",
            |mut stage| async move {
                let (target, monitor) = stage.watched("target", true).await;
                let free = busy(&target).await;
                note(&target, "m1");
                stage.driver.exit(target.pid(), custom("first")).await;
                note(&target, "m2");
                stage.driver.exit(target.pid(), custom("second")).await;
                note(&target, "m3");
                drop(free);
                stage.alive_or_down(&target, monitor).await;
                stage.nothing().await;
            },
        ),
        scenario(
            "nothing_behind_an_exit_is_handled",
            |mut stage| async move {
                let (target, monitor) = stage.watched("target", false).await;
                stage.driver.exit(target.pid(), boom()).await;
                note(&target, "late");
                stage.driver.down(monitor).await;
                stage.nothing().await;
            },
        ),
        scenario("queued_messages_are_lost_with_an_exit", |stage| {
            queued_lost(stage, boom(), false)
        }),
        scenario("queued_messages_are_lost_with_a_kill", |stage| {
            queued_lost(stage, ExitReason::Kill, true)
        }),
        scenario("messages_come_before_down", |mut stage| async move {
            let (target, _) = stage.watched("target", false).await;
            send_three_and_stop(&stage, &target, ExitReason::Normal);
            for _ in 0..4 {
                stage.driver.message().await;
            }
            stage.nothing().await;
        }),
        scenario("messages_come_before_exit", |mut stage| async move {
            let target = stage.worker("target").await;
            stage.driver.link(target.pid()).await;
            send_three_and_stop(&stage, &target, boom());
            for _ in 0..4 {
                stage.driver.message().await;
            }
            stage.nothing().await;
        }),
    ]
}

fn send_three_and_stop(stage: &Stage, target: &ServerRef<Actor>, reason: ExitReason) {
    let me = stage.driver.pid();
    run(target, move |_, ctx| {
        for text in ["m1", "m2", "m3"] {
            ctx.send(me, Box::new(text));
        }
        Box::pin(async { Next::Stop(reason) })
    });
}

async fn two_exits(mut stage: Stage, first: ExitReason, second: ExitReason) {
    let (target, monitor) = stage.watched("target", false).await;
    let _free = busy(&target).await;
    // In one turn, as the target must not end in between.
    let pid = target.pid();
    stage
        .driver
        .run(move |ctx| {
            ctx.exit(pid, first);
            ctx.exit(pid, second);
        })
        .await;
    stage.driver.down(monitor).await;
    stage.nothing().await;
}

async fn queued_lost(mut stage: Stage, reason: ExitReason, trap: bool) {
    let (target, monitor) = stage.watched("target", trap).await;
    let _free = busy(&target).await;
    note(&target, "m1");
    note(&target, "m2");
    stage.driver.exit(target.pid(), reason).await;
    stage.driver.down(monitor).await;
    stage.nothing().await;
}

// ---- monitors ---------------------------------------------------------------------------------

fn monitors() -> Vec<Scenario> {
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

// ---- names ------------------------------------------------------------------------------------

fn names() -> Vec<Scenario> {
    vec![
        scenario("name_is_found", |stage| async move {
            let target = stage.start_named(stage.plan("target")).await.unwrap();
            stage.whereis("named");
            sync(&target).await;
        }),
        scenario(
            "name_unknown",
            |stage| async move { stage.whereis("nobody") },
        ),
        scenario("name_is_taken", |stage| async move {
            let _first = stage.start_named(stage.plan("first")).await.unwrap();
            match stage.start_named(stage.plan("second")).await {
                Err(StartError::AlreadyStarted(pid)) => say!(stage.trace, "already_started", pid),
                other => panic!("{other:?}"),
            }
            stage.whereis("named");
        }),
        scenario("name_is_free_before_down", |stage| {
            name_is_free(stage, How::Stop(boom()))
        }),
        scenario("name_is_free_before_down_killed", |stage| {
            name_is_free(stage, How::Signal(ExitReason::Kill))
        }),
        scenario("name_is_free_before_exit", |mut stage| async move {
            let target = stage.start_named(stage.plan("target")).await.unwrap();
            stage.driver.link(target.pid()).await;
            actor::stop(&target, boom());
            stage.driver.exit_of(target.pid()).await;
            stage.whereis("named");
        }),
        scenario(
            "name_can_be_taken_again_after_down",
            |mut stage| async move {
                let first = stage.start_named(stage.plan("first")).await.unwrap();
                let monitor = stage.driver.watch(first.pid()).await;
                actor::stop(&first, boom());
                stage.driver.down(monitor).await;
                let second = stage.start_named(stage.plan("second")).await.unwrap();
                stage.whereis("named");
                sync(&second).await;
            },
        ),
        scenario("name_stays_while_terminate_runs", |mut stage| async move {
            let plan = Plan {
                ending: Ending::Hang,
                ..stage.plan("target")
            };
            let target = stage.start_named(plan).await.unwrap();
            let monitor = stage.driver.watch(target.pid()).await;
            actor::stop(&target, ExitReason::Normal);
            stage.trace.wait("terminate", 1).await;
            stage.whereis("named");
            stage.driver.exit(target.pid(), ExitReason::Kill).await;
            stage.driver.down(monitor).await;
            stage.whereis("named");
        }),
    ]
}

async fn name_is_free(mut stage: Stage, how: How) {
    let target = stage.start_named(stage.plan("target")).await.unwrap();
    let monitor = stage.driver.watch(target.pid()).await;
    stage.finish(&target, &how).await;
    stage.driver.down(monitor).await;
    stage.whereis("named");
}

// ---- timers -----------------------------------------------------------------------------------

fn timers() -> Vec<Scenario> {
    vec![
        scenario("timer_fires", |stage| one_timer(stage, 1)),
        scenario("timer_of_zero_fires", |stage| one_timer(stage, 0)),
        scenario("timers_fire_in_order_of_time", |stage| async move {
            let target = stage.worker("target").await;
            after(&target, 20, "t2").await;
            after(&target, 1, "t1").await;
            stage.trace.wait("info target t2", 1).await;
        }),
        scenario("timer_cancelled_in_time", |stage| async move {
            let target = stage.worker("target").await;
            let timer = after(&target, 60_000, "t1").await;
            cancel(&stage, &target, timer).await;
            after(&target, 1, "t2").await;
            stage.trace.wait("info target t2", 1).await;
        }),
        scenario("timer_cancelled_twice", |stage| async move {
            let target = stage.worker("target").await;
            let timer = after(&target, 60_000, "t1").await;
            cancel(&stage, &target, timer).await;
            cancel(&stage, &target, timer).await;
        }),
        scenario("timer_cancelled_after_it_fired", |stage| async move {
            let target = stage.worker("target").await;
            let timer = after(&target, 1, "t1").await;
            stage.trace.wait("info target t1", 1).await;
            cancel(&stage, &target, timer).await;
        }),
        scenario(
            "timer_of_a_dead_process_is_nothing",
            |mut stage| async move {
                let (target, monitor) = stage.watched("target", false).await;
                after(&target, 1, "t1").await;
                actor::stop(&target, ExitReason::Normal);
                stage.driver.down(monitor).await;
                stage.nothing().await;
            },
        ),
    ]
}

async fn one_timer(stage: Stage, delay: u64) {
    let target = stage.worker("target").await;
    after(&target, delay, "t1").await;
    stage.trace.wait("info target t1", 1).await;
}

/// A timer of the target itself, whose message is told as an info.
async fn after(target: &ServerRef<Actor>, delay: u64, text: &'static str) -> otp::TimerRef {
    within(target, move |ctx| {
        ctx.send_after(Duration::from_millis(delay), actor::info(text))
    })
    .await
}

async fn cancel(stage: &Stage, target: &ServerRef<Actor>, timer: otp::TimerRef) {
    let cancelled = within(target, move |ctx| ctx.cancel(timer)).await;
    say!(stage.trace, "cancel", cancelled);
}
