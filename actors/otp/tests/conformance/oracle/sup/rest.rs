//! Twins of `sc_sup.erl`: administration of children, parents, trees.

use otp::{
    AutoShutdown, ChildSpec, ChildState, ExitReason, Options, Restart, StartError, Strategy,
    Supervisor, SupervisorRef, eventually,
};

use super::{
    count, dealt_with, end, finish, gone, outcome, start, state, stop, supervisor, try_start,
    which, with,
};
use crate::oracle::actor::{self, Actor, Begin, Plan, busy, sync, within};
use crate::oracle::family::{
    MANY, PERIOD, answer, beginning, child, done, fails_later, planned, trapping,
};
use crate::oracle::stage::Stage;
use crate::oracle::trace::{How, boom, say};
use crate::oracle::{Scenario, scenario};

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut list = Vec::new();
    for request in [
        "start_child",
        "terminate_child",
        "restart_child",
        "delete_child",
    ] {
        for state in ["running", "stopped", "unknown", "restarting"] {
            list.push(scenario(format!("admin_{request}_{state}"), move |stage| {
                admin(stage, request, state)
            }));
        }
    }
    list.extend(singles());
    list.extend(parents());
    list.extend(trees());
    list
}

fn one_for_one() -> Supervisor {
    supervisor(Strategy::OneForOne)
}

async fn request(stage: &Stage, sup: &SupervisorRef, request: &str, id: &'static str) {
    let trace = &stage.trace;
    match request {
        "start_child" => answer(trace, request, sup.start_child(child(stage, id)).await),
        "terminate_child" => done(trace, request, sup.terminate_child(id).await),
        "restart_child" => answer(trace, request, sup.restart_child(id).await),
        "delete_child" => done(trace, request, sup.delete_child(id).await),
        other => panic!("{other}"),
    }
}

async fn admin(mut stage: Stage, what: &'static str, in_state: &'static str) {
    let middle = if in_state == "restarting" {
        // How often it is tried is not fixed: no lines of it.
        let plan = Plan {
            quiet: true,
            begin: fails_later(MANY, Begin::Stop(boom())),
            ..trapping(&stage, "b")
        };
        planned("b", plan)
    } else {
        child(&stage, "b")
    };
    let children = vec![child(&stage, "a"), middle, child(&stage, "c")];
    let description = Supervisor::one_for_one().intensity(MANY, PERIOD);
    let sup = start(&stage, description, children).await;
    match in_state {
        "stopped" => sup.terminate_child("b").await.unwrap(),
        "restarting" => {
            let pid = sup.child("b").await.unwrap();
            actor::stop(&stage.node.server_ref::<Actor>(pid).unwrap(), boom());
            eventually!(state(&sup, "b").await == Some(ChildState::Restarting));
        }
        _ => {}
    }
    which(&stage, &sup).await;
    let id = if in_state == "unknown" { "x" } else { "b" };
    request(&stage, &sup, what, id).await;
    which(&stage, &sup).await;
    count(&stage, &sup).await;
    stage.nothing().await;
}

fn singles() -> Vec<Scenario> {
    vec![
        scenario("start_without_children", |mut stage| async move {
            let sup = start(&stage, one_for_one(), vec![]).await;
            which(&stage, &sup).await;
            count(&stage, &sup).await;
            stop(&mut stage, &sup).await;
            stage.nothing().await;
        }),
        scenario("start_under_a_taken_name", |mut stage| async move {
            let named = || Options::new().name("named");
            let first = with(one_for_one(), vec![child(&stage, "a")]);
            let first = try_start(&stage, first, named()).await.unwrap();
            let second = with(one_for_one(), vec![child(&stage, "b")]);
            match try_start(&stage, second, named()).await {
                Err(StartError::AlreadyStarted(pid)) => {
                    say!(stage.trace, "already_started", pid);
                    say!(stage.trace, "same", pid == first.pid());
                }
                other => say!(stage.trace, format!("{other:?}")),
            }
            stage.nothing().await;
        }),
        scenario(
            "start_with_two_children_of_one_id_is_refused",
            |mut stage| async move {
                let children = ["a", "b", "a"].map(|id| child(&stage, id)).into();
                let description = with(one_for_one(), children);
                match try_start(&stage, description, Options::new()).await {
                    Ok(_) => say!(stage.trace, "start", "ok"),
                    Err(_) => say!(stage.trace, "start", "refused"),
                }
                stage.nothing().await;
            },
        ),
        scenario(
            "a_child_already_started_elsewhere_is_an_error",
            |mut stage| async move {
                let other = stage.start_named(stage.plan("other")).await.unwrap();
                let sup = start(&stage, one_for_one(), vec![child(&stage, "a")]).await;
                let spec = planned("b", stage.plan("b")).options(|| Options::new().name("named"));
                answer(&stage.trace, "start_child", sup.start_child(spec).await);
                which(&stage, &sup).await;
                sync(&other).await;
                stage.nothing().await;
            },
        ),
        scenario("children_are_added_at_the_end", |mut stage| async move {
            let description = supervisor(Strategy::RestForOne);
            let sup = start(&stage, description, vec![child(&stage, "a")]).await;
            for id in ["b", "c"] {
                request(&stage, &sup, "start_child", id).await;
            }
            finish(&stage, &sup, "b", &How::Stop(boom())).await;
            which(&stage, &sup).await;
            stop(&mut stage, &sup).await;
            stage.nothing().await;
        }),
        scenario(
            "a_stopped_child_is_started_by_a_group_restart",
            |mut stage| async move {
                let children = ["a", "b", "c"].map(|id| child(&stage, id)).into();
                let sup = start(&stage, supervisor(Strategy::OneForAll), children).await;
                request(&stage, &sup, "terminate_child", "b").await;
                finish(&stage, &sup, "a", &How::Stop(boom())).await;
                which(&stage, &sup).await;
                stage.nothing().await;
            },
        ),
        scenario("terminate_child_twice", |mut stage| async move {
            let sup = start(&stage, one_for_one(), vec![child(&stage, "a")]).await;
            request(&stage, &sup, "terminate_child", "a").await;
            request(&stage, &sup, "terminate_child", "a").await;
            stage.nothing().await;
        }),
        scenario(
            "terminate_child_forgets_a_temporary_one",
            |mut stage| async move {
                let temporary = child(&stage, "a").restart(Restart::Temporary);
                let sup = start(&stage, one_for_one(), vec![temporary, child(&stage, "b")]).await;
                request(&stage, &sup, "terminate_child", "a").await;
                which(&stage, &sup).await;
                request(&stage, &sup, "restart_child", "a").await;
                stage.nothing().await;
            },
        ),
        scenario(
            "terminate_child_does_not_count_as_a_restart",
            |mut stage| async move {
                let description = Supervisor::one_for_one().intensity(0, PERIOD);
                let children = vec![child(&stage, "a"), child(&stage, "b")];
                let sup = start(&stage, description, children).await;
                for _ in 0..3 {
                    request(&stage, &sup, "terminate_child", "a").await;
                    request(&stage, &sup, "restart_child", "a").await;
                }
                which(&stage, &sup).await;
                stage.nothing().await;
            },
        ),
        scenario(
            "terminate_child_of_a_significant_one_does_not_count",
            |mut stage| async move {
                let description = one_for_one().auto_shutdown(AutoShutdown::AnySignificant);
                let children = vec![child(&stage, "a"), significant(&stage, "b")];
                let sup = start(&stage, description, children).await;
                request(&stage, &sup, "terminate_child", "b").await;
                which(&stage, &sup).await;
                stage.nothing().await;
            },
        ),
        scenario(
            "terminate_child_of_the_last_significant_one_but_one",
            |stage| async move {
                let description = one_for_one().auto_shutdown(AutoShutdown::AllSignificant);
                let children = vec![
                    child(&stage, "a"),
                    significant(&stage, "b"),
                    significant(&stage, "c"),
                ];
                let sup = start(&stage, description, children).await;
                let monitor = stage.driver.watch(sup.pid()).await;
                request(&stage, &sup, "terminate_child", "b").await;
                finish(&stage, &sup, "c", &How::Stop(ExitReason::Normal)).await;
                outcome(stage, &sup, monitor).await;
            },
        ),
        scenario("life_of_a_child", |mut stage| async move {
            let sup = start(&stage, one_for_one(), vec![]).await;
            for what in [
                "start_child",
                "start_child",
                "delete_child",
                "restart_child",
                "terminate_child",
                "start_child",
                "restart_child",
                "terminate_child",
                "delete_child",
                "delete_child",
            ] {
                request(&stage, &sup, what, "a").await;
            }
            which(&stage, &sup).await;
            count(&stage, &sup).await;
            stage.nothing().await;
        }),
        scenario(
            "restart_child_that_fails_keeps_it_stopped",
            |mut stage| async move {
                let failing = beginning(&stage, "a", fails_later(1, Begin::Stop(boom())));
                let sup = start(&stage, one_for_one(), vec![failing]).await;
                request(&stage, &sup, "terminate_child", "a").await;
                for _ in 0..2 {
                    request(&stage, &sup, "restart_child", "a").await;
                    which(&stage, &sup).await;
                }
                stage.nothing().await;
            },
        ),
        scenario("unknown_messages_are_ignored", |mut stage| async move {
            let sup = start(&stage, one_for_one(), vec![child(&stage, "a")]).await;
            stage.node.send(sup.pid(), Box::new("hello"));
            which(&stage, &sup).await;
            stage.nothing().await;
        }),
        scenario("several_restarts_below_the_limit", |mut stage| async move {
            let description = Supervisor::one_for_one().intensity(5, PERIOD);
            let children = vec![child(&stage, "a"), child(&stage, "b")];
            let sup = start(&stage, description, children).await;
            for id in ["a", "b", "a", "b"] {
                finish(&stage, &sup, id, &How::Stop(boom())).await;
            }
            which(&stage, &sup).await;
            stage.nothing().await;
        }),
        scenario("two_children_end_at_once_one_for_all", |stage| {
            two_end(stage, Strategy::OneForAll)
        }),
        scenario("two_children_end_at_once_rest_for_one", |stage| {
            two_end(stage, Strategy::RestForOne)
        }),
        scenario("names_are_free_for_the_successor", |stage| {
            successor(stage, How::Stop(boom()))
        }),
        scenario("names_are_free_for_the_successor_killed", |stage| {
            successor(stage, How::Signal(ExitReason::Kill))
        }),
        scenario(
            "counts_of_workers_and_supervisors",
            |mut stage| async move {
                let children = vec![
                    child(&stage, "a"),
                    child(&stage, "b").restart(Restart::Temporary),
                    nested(one_for_one(), "n", vec![child(&stage, "c")]),
                ];
                let sup = start(&stage, one_for_one(), children).await;
                count(&stage, &sup).await;
                sup.terminate_child("n").await.unwrap();
                count(&stage, &sup).await;
                sup.terminate_child("b").await.unwrap();
                count(&stage, &sup).await;
                sup.delete_child("n").await.unwrap();
                count(&stage, &sup).await;
                stage.nothing().await;
            },
        ),
        scenario("requests_to_a_dead_supervisor", |mut stage| async move {
            let sup = start(&stage, one_for_one(), vec![]).await;
            stop(&mut stage, &sup).await;
            for what in [
                "start_child",
                "terminate_child",
                "restart_child",
                "delete_child",
            ] {
                request(&stage, &sup, what, "a").await;
            }
            let which = sup.which_children().await.map(|_| ());
            done(&stage.trace, "which_children", which);
            stage.nothing().await;
        }),
    ]
}

fn significant(stage: &Stage, id: &'static str) -> ChildSpec {
    child(stage, id)
        .restart(Restart::Transient)
        .significant(true)
}

/// The second ends while the supervisor deals with the first: it waits for the end of c.
async fn two_end(mut stage: Stage, strategy: Strategy) {
    let children = ["a", "b", "c"].map(|id| child(&stage, id)).into();
    let sup = start(&stage, supervisor(strategy), children).await;
    let a = sup.child("a").await.unwrap();
    let b = sup.child("b").await.unwrap();
    let c = sup.child("c").await.unwrap();
    let free = busy(&stage.node.server_ref::<Actor>(c).unwrap()).await;
    end(&stage, "a", a, &How::Stop(boom())).await;
    stage.queued(c, 1).await;
    let monitor = stage.driver.watch(b).await;
    end(&stage, "b", b, &How::Stop(boom())).await;
    stage.driver.down(monitor).await;
    drop(free);
    dealt_with(&sup, "a", a).await;
    which(&stage, &sup).await;
    stage.nothing().await;
}

async fn successor(mut stage: Stage, how: How) {
    let spec = child(&stage, "a").options(|| Options::new().name("named"));
    let sup = start(&stage, one_for_one(), vec![spec]).await;
    finish(&stage, &sup, "a", &how).await;
    stage.whereis("named");
    which(&stage, &sup).await;
    stage.nothing().await;
}

// ---- parents ----------------------------------------------------------------------------------

fn parents() -> Vec<Scenario> {
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

// ---- trees ------------------------------------------------------------------------------------

/// A supervisor as a child.
fn nested(description: Supervisor, id: &'static str, children: Vec<ChildSpec>) -> ChildSpec {
    let description = with(description, children);
    ChildSpec::supervisor(id, move || description.clone())
}

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

fn trees() -> Vec<Scenario> {
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
