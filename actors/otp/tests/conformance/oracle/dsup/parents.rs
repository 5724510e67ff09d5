//! Twins about the parents of dynamic supervisors.

use otp::{
    ChildSpec, DynamicSupervisorRef, ExitReason, Options, Strategy, SupervisorError, eventually,
};

use super::{add, description, start, which};
use crate::oracle::actor::{self, Plan, within};
use crate::oracle::family::{PERIOD, child, planned};
use crate::oracle::stage::Stage;
use crate::oracle::trace::{Trace, boom, say};
use crate::oracle::{Scenario, scenario, sup};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario(
            "exit_signal_of_a_stranger_is_ignored",
            |mut stage| async move {
                let sup = start(&stage, description()).await;
                add(&sup, child(&stage, "a")).await;
                let other = stage.worker("other").await;
                let pid = sup.pid();
                within(&other, move |ctx| ctx.exit(pid, ExitReason::Shutdown)).await;
                which(&stage, &sup).await;
                stage.nothing().await;
            },
        ),
        scenario("parent_ends_the_children_stop", |mut stage| async move {
            let parent = stage.worker("parent").await;
            let start = within(&parent, |ctx| description().start_link(ctx, Options::new()));
            let sup = start.await.await.unwrap();
            add(&sup, child(&stage, "a")).await;
            let monitor = stage.driver.watch(sup.pid()).await;
            actor::stop(&parent, boom());
            stage.driver.down(monitor).await;
            stage.nothing().await;
        }),
        scenario("supervisor_is_killed_trapping_child_stops", |stage| {
            killed(stage, true)
        }),
        scenario("supervisor_is_killed_plain_child_dies", |stage| {
            killed(stage, false)
        }),
        scenario("stop_of_a_supervisor_by_request", |mut stage| async move {
            let sup = start(&stage, description()).await;
            add(&sup, child(&stage, "a")).await;
            let monitor = stage.driver.watch(sup.pid()).await;
            stage.driver.unlink(sup.pid()).await;
            sup.stop(ExitReason::Normal, PERIOD).await.unwrap();
            say!(stage.trace, "stop", "ok");
            stage.driver.down(monitor).await;
            stage.nothing().await;
        }),
        scenario(
            "under_a_supervisor_it_is_restarted_empty",
            |mut stage| async move {
                let spec = named("named");
                let top =
                    sup::start(&stage, sup::supervisor(Strategy::OneForOne), vec![spec]).await;
                let sup = DynamicSupervisorRef::whereis(&stage.node, "named").unwrap();
                let pid = add(&sup, child(&stage, "a")).await;
                let monitor = stage.driver.watch(pid).await;
                stage.driver.exit(sup.pid(), ExitReason::Kill).await;
                stage.driver.down(monitor).await;
                let old = sup.pid();
                eventually!(stage.node.whereis("named").is_some_and(|pid| pid != old));
                // It has its name before it runs.
                eventually!(top.child("named").await.is_ok_and(|pid| pid != old));
                let sup = DynamicSupervisorRef::whereis(&stage.node, "named").unwrap();
                which(&stage, &sup).await;
                sup::count(&stage, &top).await;
                stage.nothing().await;
            },
        ),
        scenario("two_under_one_supervisor", |mut stage| async move {
            let specs = vec![named("one"), named("two")];
            let top = sup::start(&stage, sup::supervisor(Strategy::OneForOne), specs).await;
            let one = DynamicSupervisorRef::whereis(&stage.node, "one").unwrap();
            let two = DynamicSupervisorRef::whereis(&stage.node, "two").unwrap();
            add(&one, child(&stage, "a")).await;
            add(&two, child(&stage, "b")).await;
            which(&stage, &one).await;
            which(&stage, &two).await;
            sup::count(&stage, &top).await;
            stage.nothing().await;
        }),
        scenario("requests_to_a_dead_supervisor", |mut stage| async move {
            let sup = start(&stage, description()).await;
            let monitor = stage.driver.watch(sup.pid()).await;
            stage.driver.unlink(sup.pid()).await;
            sup.stop(ExitReason::Normal, PERIOD).await.unwrap();
            stage.driver.down(monitor).await;
            let me = stage.driver.pid();
            let started = sup.start_child(child(&stage, "a")).await;
            exits(&stage.trace, "start_child", started.err());
            let terminated = sup.terminate_child(me).await;
            exits(&stage.trace, "terminate_child", terminated.err());
            let which = sup.which_children().await;
            exits(&stage.trace, "which_children", which.err());
            let count = sup.count_children().await;
            exits(&stage.trace, "count_children", count.err());
            stage.nothing().await;
        }),
    ]
}

/// A call exits in Elixir.
fn exits(trace: &Trace, request: &str, error: Option<SupervisorError>) {
    match error {
        Some(SupervisorError::Call(error)) => say!(trace, request, "exit", &error),
        other => say!(trace, request, format!("{other:?}")),
    }
}

/// A dynamic supervisor as a child.
fn named(name: &'static str) -> ChildSpec {
    ChildSpec::dynamic_supervisor(name, description).options(move || Options::new().name(name))
}

async fn killed(mut stage: Stage, trap: bool) {
    let sup = start(&stage, description()).await;
    let plan = Plan {
        trap,
        ..stage.plan("a")
    };
    let pid = add(&sup, planned("a", plan)).await;
    let monitor = stage.driver.watch(pid).await;
    stage.driver.exit(sup.pid(), ExitReason::Kill).await;
    stage.driver.down(monitor).await;
    stage.driver.exit_of(sup.pid()).await;
    stage.nothing().await;
}
