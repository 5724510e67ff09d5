//! Twins about stop requests, parents and children.

use std::time::Duration;

use otp::{CallError, DEFAULT_CALL_TIMEOUT, ExitReason, ServerRef};

use super::{stop_request, target, tell_stop};
use crate::oracle::actor::{self, Actor, Ending, Plan, busy, child, note};
use crate::oracle::stage::Stage;
use crate::oracle::trace::{boom, custom};
use crate::oracle::{Scenario, scenario};

pub(super) fn scenarios() -> Vec<Scenario> {
    let second = Duration::from_secs(1);
    vec![
        scenario("stop_request_normal", |mut stage| async move {
            let (server, monitor) = target(&stage, false).await;
            stop_request(&stage, &server, ExitReason::Normal, DEFAULT_CALL_TIMEOUT).await;
            stage.driver.down(monitor).await;
            stage.nothing().await;
        }),
        scenario("stop_request_of_a_name", |mut stage| async move {
            let target = stage.start_named(stage.plan("target")).await.unwrap();
            let monitor = stage.driver.watch(target.pid()).await;
            let server = stage.node.whereis_ref::<Actor>("named").unwrap();
            stop_request(&stage, &server, ExitReason::Normal, DEFAULT_CALL_TIMEOUT).await;
            stage.driver.down(monitor).await;
            stage.whereis("named");
            stage.nothing().await;
        }),
        scenario("stop_request_twice", move |mut stage| async move {
            let (server, monitor) = target(&stage, false).await;
            stop_request(&stage, &server, ExitReason::Normal, second).await;
            stage.driver.down(monitor).await;
            stop_request(&stage, &server, ExitReason::Normal, second).await;
        }),
        scenario("stop_request_of_a_free_name", move |stage| async move {
            match stage.node.whereis_ref::<Actor>("named") {
                Some(server) => stop_request(&stage, &server, ExitReason::Normal, second).await,
                None => tell_stop(&stage.trace, Err(CallError::NoProc)),
            }
        }),
        scenario("stop_request_takes_too_long", |mut stage| async move {
            let (server, monitor) = target(&stage, false).await;
            let free = busy(&server).await;
            stop_request(
                &stage,
                &server,
                ExitReason::Normal,
                Duration::from_millis(1),
            )
            .await;
            drop(free);
            stage.driver.down(monitor).await;
            stage.nothing().await;
        }),
        scenario("stop_request_waits_its_turn", |mut stage| async move {
            let (server, monitor) = target(&stage, false).await;
            note(&server, "m1");
            stop_request(&stage, &server, ExitReason::Normal, DEFAULT_CALL_TIMEOUT).await;
            stage.driver.down(monitor).await;
            stage.nothing().await;
        }),
        scenario(
            "stop_request_and_the_queue_behind_it",
            |mut stage| async move {
                let (server, monitor) = target(&stage, false).await;
                let free = busy(&server).await;
                stop_aside(&stage, &server);
                stage.queued(server.pid(), 1).await;
                note(&server, "late");
                drop(free);
                stage.trace.wait("stop", 1).await;
                stage.driver.down(monitor).await;
                stage.nothing().await;
            },
        ),
        scenario(
            "stop_request_to_one_that_is_killed",
            |mut stage| async move {
                let (server, monitor) = target(&stage, false).await;
                let _free = busy(&server).await;
                stop_aside(&stage, &server);
                stage.queued(server.pid(), 1).await;
                stage.driver.exit(server.pid(), ExitReason::Kill).await;
                stage.trace.wait("stop", 1).await;
                stage.driver.down(monitor).await;
                stage.nothing().await;
            },
        ),
        scenario("killed_while_terminate_runs", |stage| {
            while_terminate_runs(stage, ExitReason::Kill)
        }),
        scenario("signal_while_terminate_runs_plain", |stage| {
            while_terminate_runs(stage, custom("other"))
        }),
        scenario("terminate_runs_before_links_fire", |mut stage| async move {
            let (server, monitor) = target(&stage, true).await;
            stage.driver.link(server.pid()).await;
            actor::stop(&server, boom());
            stage.driver.exit_of(server.pid()).await;
            stage.driver.down(monitor).await;
            stage.nothing().await;
        }),
        scenario(
            "children_end_with_a_parent_that_stops",
            |mut stage| async move {
                let parent = stage.worker("parent").await;
                let mut monitors = Vec::new();
                for label in ["a", "b"] {
                    let child = child(&parent, stage.plan(label)).await;
                    monitors.push(stage.driver.watch(child.pid()).await);
                }
                actor::stop(&parent, boom());
                for monitor in monitors {
                    stage.driver.down(monitor).await;
                }
                stage.nothing().await;
            },
        ),
        scenario(
            "children_outlive_a_parent_that_ends_normally_plain",
            |mut stage| async move {
                let parent = stage.worker("parent").await;
                let child = child(&parent, stage.plan("a")).await;
                let monitor = stage.driver.watch(child.pid()).await;
                actor::stop(&parent, ExitReason::Normal);
                stage.unlinked(child.pid(), parent.pid()).await;
                stage.alive_or_down(&child, monitor).await;
                stage.nothing().await;
            },
        ),
        scenario("parent_traps_and_sees_its_child_end", |stage| async move {
            let plan = Plan {
                trap: true,
                ..stage.quiet("parent")
            };
            let parent = stage.start(plan).await;
            let child = child(&parent, stage.plan("a")).await;
            actor::stop(&child, boom());
            stage.trace.wait("info parent exit", 1).await;
        }),
    ]
}

fn stop_aside(stage: &Stage, server: &ServerRef<Actor>) {
    let (trace, server) = (stage.trace.clone(), server.clone());
    tokio::spawn(async move {
        let outcome = server.stop(ExitReason::Normal, DEFAULT_CALL_TIMEOUT).await;
        tell_stop(&trace, outcome);
    });
}

async fn while_terminate_runs(mut stage: Stage, reason: ExitReason) {
    let plan = Plan {
        ending: Ending::Hang,
        ..stage.plan("target")
    };
    let (server, monitor) = stage.start_watched(plan).await;
    actor::stop(&server, boom());
    stage.trace.wait("terminate", 1).await;
    stage.driver.exit(server.pid(), reason).await;
    stage.driver.down(monitor).await;
    stage.nothing().await;
}
