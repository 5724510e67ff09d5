//! Twins about supervisors of supervisors.

use otp::{
    AutoShutdown, ChildSpec, ExitReason, Options, Restart, StartError, Strategy, Supervisor,
    SupervisorRef,
};

use super::{
    count, dealt_with, finish, gone, nested, one_for_one, significant, start, stop, supervisor,
    try_start, which, with,
};
use crate::oracle::actor::Begin;
use crate::oracle::family::{PERIOD, beginning, child};
use crate::oracle::stage::Stage;
use crate::oracle::trace::{How, boom, say};
use crate::oracle::{Scenario, scenario};

/// A supervisor which gives up at once.
fn strict() -> Supervisor {
    Supervisor::one_for_one().intensity(0, PERIOD)
}

async fn inner(stage: &Stage, sup: &SupervisorRef) -> SupervisorRef {
    let pid = sup.child("n").await.unwrap();
    SupervisorRef::from_pid(&stage.node, pid).unwrap()
}

/// The inner supervisor ends because a child of it did.
async fn escalation(
    mut stage: Stage,
    description: Supervisor,
    children: Vec<ChildSpec>,
    id: &'static str,
    reason: ExitReason,
    counts: bool,
) {
    let sup = start(&stage, description, children).await;
    let inner = inner(&stage, &sup).await;
    finish(&stage, &inner, id, &How::Stop(reason)).await;
    dealt_with(&sup, "n", inner.pid()).await;
    which(&stage, &sup).await;
    if counts {
        count(&stage, &sup).await;
    }
    stage.nothing().await;
}

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("tree_stops_from_the_last_leaf", |mut stage| async move {
            let leaves = vec![child(&stage, "c"), child(&stage, "d")];
            let inside = vec![child(&stage, "b"), nested(one_for_one(), "m", leaves)];
            let children = vec![
                child(&stage, "a"),
                nested(one_for_one(), "n", inside),
                child(&stage, "e"),
            ];
            let sup = start(&stage, one_for_one(), children).await;
            count(&stage, &sup).await;
            stop(&mut stage, &sup).await;
            stage.nothing().await;
        }),
        scenario("tree_partial_restart", |mut stage| async move {
            let inside = vec![child(&stage, "b"), child(&stage, "c")];
            let children = vec![child(&stage, "a"), nested(one_for_one(), "n", inside)];
            let sup = start(&stage, one_for_one(), children).await;
            let inner = inner(&stage, &sup).await;
            finish(&stage, &inner, "b", &How::Stop(boom())).await;
            which(&stage, &inner).await;
            which(&stage, &sup).await;
            stage.nothing().await;
        }),
        scenario("tree_escalation_restarts_the_inner_supervisor", |stage| {
            let inside = vec![child(&stage, "b"), child(&stage, "c")];
            let children = vec![child(&stage, "a"), nested(strict(), "n", inside)];
            escalation(stage, one_for_one(), children, "c", boom(), false)
        }),
        scenario("tree_escalation_restarts_those_after_it", |stage| {
            let children = vec![
                child(&stage, "a"),
                nested(strict(), "n", vec![child(&stage, "b")]),
                child(&stage, "c"),
            ];
            let description = supervisor(Strategy::RestForOne);
            escalation(stage, description, children, "b", boom(), false)
        }),
        scenario("tree_escalation_to_the_top", |mut stage| async move {
            let inside = vec![child(&stage, "b")];
            let children = vec![child(&stage, "a"), nested(strict(), "n", inside)];
            let sup = start(&stage, strict(), children).await;
            let monitor = stage.driver.watch(sup.pid()).await;
            let inner = inner(&stage, &sup).await;
            finish(&stage, &inner, "b", &How::Stop(boom())).await;
            gone(&mut stage, &sup, monitor).await;
            stage.nothing().await;
        }),
        scenario(
            "tree_transient_inner_supervisor_is_not_restarted",
            |stage| {
                let inside = nested(strict(), "n", vec![child(&stage, "b")]);
                let children = vec![child(&stage, "a"), inside.restart(Restart::Transient)];
                escalation(stage, one_for_one(), children, "b", boom(), false)
            },
        ),
        scenario(
            "tree_auto_shutdown_of_a_transient_inner_supervisor",
            |stage| {
                let description = one_for_one().auto_shutdown(AutoShutdown::AnySignificant);
                let inside = vec![significant(&stage, "b"), child(&stage, "c")];
                let inside = nested(description, "n", inside).restart(Restart::Transient);
                let children = vec![child(&stage, "a"), inside];
                escalation(
                    stage,
                    one_for_one(),
                    children,
                    "b",
                    ExitReason::Normal,
                    true,
                )
            },
        ),
        scenario("tree_start_fails_deep_inside", |mut stage| async move {
            let failing = beginning(&stage, "c", Begin::Stop(boom()));
            let inside = vec![child(&stage, "b"), failing];
            let children = vec![
                child(&stage, "a"),
                nested(one_for_one(), "n", inside),
                child(&stage, "d"),
            ];
            match try_start(&stage, with(one_for_one(), children), Options::new()).await {
                Err(StartError::Failed(reason)) => say!(stage.trace, "start", "failed", &reason),
                other => say!(stage.trace, format!("{other:?}")),
            }
            stage.nothing().await;
        }),
    ]
}
