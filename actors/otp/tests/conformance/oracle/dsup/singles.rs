//! Twins which are alone of their kind.

use otp::{ExitReason, Options, StartError};

use super::{
    add, allows, count, description, finish, get_stuck, gone, start, stuck, try_start, which,
};
use crate::oracle::actor::{Begin, Plan};
use crate::oracle::family::{MANY, answer, beginning, child, done, planned, trapping};
use crate::oracle::stage::Stage;
use crate::oracle::trace::{How, boom, say};
use crate::oracle::{Scenario, scenario};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("start_without_children", |mut stage| async move {
            let sup = start(&stage, description()).await;
            which(&stage, &sup).await;
            count(&stage, &sup).await;
            stage.nothing().await;
        }),
        scenario("start_under_a_taken_name", |mut stage| async move {
            let named = || Options::new().name("named");
            let first = try_start(&stage, description(), named()).await.unwrap();
            match try_start(&stage, description(), named()).await {
                Err(StartError::AlreadyStarted(pid)) => {
                    say!(stage.trace, "start", "error", "already_started", pid);
                }
                other => say!(stage.trace, format!("{other:?}")),
            }
            let same = stage.node.whereis("named") == Some(first.pid());
            say!(stage.trace, "same", same);
            stage.nothing().await;
        }),
        scenario("children_may_share_an_id", |mut stage| async move {
            let sup = start(&stage, description()).await;
            for _ in 0..3 {
                let started = sup.start_child(child(&stage, "a")).await;
                answer(&stage.trace, "start_child", started);
            }
            which(&stage, &sup).await;
            stage.nothing().await;
        }),
        scenario(
            "only_the_failed_child_is_replaced",
            |mut stage| async move {
                let sup = start(&stage, description()).await;
                add(&sup, child(&stage, "a")).await;
                let failing = add(&sup, child(&stage, "b")).await;
                add(&sup, child(&stage, "c")).await;
                finish(&stage, &sup, failing, &How::Stop(boom())).await;
                which(&stage, &sup).await;
                stage.nothing().await;
            },
        ),
        scenario(
            "intensity_counts_over_all_children",
            |mut stage| async move {
                let sup = start(&stage, allows(1)).await;
                let monitor = stage.driver.watch(sup.pid()).await;
                let a = add(&sup, child(&stage, "a")).await;
                let plan = Plan {
                    quiet: true,
                    ..trapping(&stage, "b")
                };
                let b = add(&sup, planned("b", plan)).await;
                finish(&stage, &sup, b, &How::Stop(boom())).await;
                finish(&stage, &sup, a, &How::Stop(boom())).await;
                gone(&mut stage, &sup, monitor).await;
                stage.nothing().await;
            },
        ),
        scenario(
            "a_child_in_retry_counts_for_max_children",
            |mut stage| async move {
                let sup = start(&stage, allows(MANY).max_children(1)).await;
                let pid = add(&sup, stuck(&stage)).await;
                get_stuck(&stage, &sup, pid).await;
                let refused = sup.start_child(child(&stage, "b")).await;
                answer(&stage.trace, "start_child", refused);
                count(&stage, &sup).await;
                stage.nothing().await;
            },
        ),
        scenario(
            "a_failed_start_does_not_count_for_max_children",
            |mut stage| async move {
                let sup = start(&stage, description().max_children(1)).await;
                let failing = beginning(&stage, "a", Begin::Stop(boom()));
                for spec in [failing, child(&stage, "b"), child(&stage, "c")] {
                    answer(&stage.trace, "start_child", sup.start_child(spec).await);
                }
                stage.nothing().await;
            },
        ),
        scenario("terminate_child_is_no_restart", |mut stage| async move {
            let sup = start(&stage, allows(0)).await;
            let a = add(&sup, child(&stage, "a")).await;
            add(&sup, child(&stage, "b")).await;
            done(
                &stage.trace,
                "terminate_child",
                sup.terminate_child(a).await,
            );
            which(&stage, &sup).await;
            stage.nothing().await;
        }),
        scenario("children_stop_together_the_first_waits", |stage| {
            stops_together(stage, "a", "terminate b")
        }),
        scenario("children_stop_together_the_last_waits", |stage| {
            stops_together(stage, "b", "terminate a")
        }),
    ]
}

/// Both are told at once: the line of one comes when that of the other is there.
async fn stops_together(mut stage: Stage, waiting: &'static str, line: &'static str) {
    let sup = start(&stage, description()).await;
    for id in ["a", "b"] {
        let plan = Plan {
            before: (id == waiting).then_some(line),
            ..trapping(&stage, id)
        };
        add(&sup, planned(id, plan)).await;
    }
    let monitor = stage.driver.watch(sup.pid()).await;
    stage.driver.unlink(sup.pid()).await;
    stage.driver.exit(sup.pid(), ExitReason::Shutdown).await;
    stage.driver.down(monitor).await;
    stage.nothing().await;
}
