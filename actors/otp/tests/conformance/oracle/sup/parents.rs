//! Twins about the parents of supervisors.

use otp::{ExitReason, Options};

use super::{one_for_one, start, which, with};
use crate::oracle::actor::{self, Actor, Plan, within};
use crate::oracle::family::{child, planned};
use crate::oracle::stage::Stage;
use crate::oracle::trace::boom;
use crate::oracle::{Scenario, scenario};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario(
            "exit_signal_of_a_stranger_is_ignored",
            |mut stage| async move {
                let sup = start(&stage, one_for_one(), vec![child(&stage, "a")]).await;
                let other = stage.worker("other").await;
                let pid = sup.pid();
                within(&other, move |ctx| ctx.exit(pid, ExitReason::Shutdown)).await;
                which(&stage, &sup).await;
                stage.nothing().await;
            },
        ),
        scenario("parent_ends_the_supervisor_stops_in_order", |stage| {
            parent_ends(stage, boom())
        }),
        scenario("parent_ends_normally_the_supervisor_stops_too", |stage| {
            parent_ends(stage, ExitReason::Normal)
        }),
        scenario("supervisor_is_killed_trapping_children_stop", |stage| {
            killed(stage, true)
        }),
        scenario("supervisor_is_killed_plain_children_die", |stage| {
            killed(stage, false)
        }),
        scenario(
            "a_child_that_unlinked_itself_is_stopped_too",
            |mut stage| async move {
                let sup = start(&stage, one_for_one(), vec![child(&stage, "a")]).await;
                let pid = sup.child("a").await.unwrap();
                let monitor = stage.driver.watch(pid).await;
                let parent = sup.pid();
                let actor = stage.node.server_ref::<Actor>(pid).unwrap();
                within(&actor, move |ctx| ctx.unlink(parent)).await;
                stage.driver.unlink(parent).await;
                stage.driver.exit(parent, ExitReason::Shutdown).await;
                stage.driver.down(monitor).await;
                stage.nothing().await;
            },
        ),
    ]
}

async fn parent_ends(mut stage: Stage, reason: ExitReason) {
    let parent = stage.worker("parent").await;
    let children = vec![child(&stage, "a"), child(&stage, "b")];
    let description = with(one_for_one(), children);
    let start = within(&parent, move |ctx| {
        description.start_link(ctx, Options::new())
    });
    let sup = start.await.await.unwrap();
    let monitor = stage.driver.watch(sup.pid()).await;
    actor::stop(&parent, reason);
    stage.driver.down(monitor).await;
    stage.nothing().await;
}

async fn killed(mut stage: Stage, trap: bool) {
    let plan = Plan {
        trap,
        ..stage.plan("a")
    };
    let sup = start(&stage, one_for_one(), vec![planned("a", plan)]).await;
    let monitor = stage.driver.watch(sup.child("a").await.unwrap()).await;
    stage.driver.exit(sup.pid(), ExitReason::Kill).await;
    stage.driver.down(monitor).await;
    stage.driver.exit_of(sup.pid()).await;
    stage.nothing().await;
}
