//! Twins about timers.

use std::time::Duration;

use otp::{ExitReason, ServerRef};

use crate::oracle::actor::{self, Actor, within};
use crate::oracle::stage::Stage;
use crate::oracle::trace::say;
use crate::oracle::{Scenario, scenario};

pub(super) fn scenarios() -> Vec<Scenario> {
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
