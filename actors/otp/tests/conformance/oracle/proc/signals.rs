//! Twins about signals and messages.

use otp::{ExitReason, Next, ServerRef};

use crate::oracle::actor::{self, Actor, busy, note, run, sync};
use crate::oracle::stage::Stage;
use crate::oracle::trace::{boom, custom};
use crate::oracle::{Scenario, scenario};

pub(super) fn scenarios() -> Vec<Scenario> {
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
