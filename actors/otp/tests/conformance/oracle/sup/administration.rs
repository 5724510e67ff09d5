//! Twins about the administration of children.

use otp::{
    AutoShutdown, ChildState, ExitReason, Options, Restart, StartError, Strategy, Supervisor,
    SupervisorRef, eventually,
};

use super::{
    count, dealt_with, end, finish, nested, one_for_one, outcome, significant, start, state, stop,
    supervisor, try_start, which, with,
};
use crate::oracle::actor::{self, Actor, Begin, Plan, busy, sync};
use crate::oracle::family::{
    MANY, PERIOD, TYPES, answer, beginning, child, done, fails_later, planned, trapping,
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
        "get_childspec",
    ] {
        for state in ["running", "stopped", "unknown", "restarting"] {
            list.push(scenario(format!("admin_{request}_{state}"), move |stage| {
                admin(stage, request, state)
            }));
        }
    }
    list.extend(singles());
    list
}

async fn request(stage: &Stage, sup: &SupervisorRef, request: &str, id: &'static str) {
    let trace = &stage.trace;
    match request {
        "start_child" => answer(trace, request, sup.start_child(child(stage, id)).await),
        "terminate_child" => done(trace, request, sup.terminate_child(id).await),
        "restart_child" => answer(trace, request, sup.restart_child(id).await),
        "delete_child" => done(trace, request, sup.delete_child(id).await),
        "get_childspec" => match sup.get_childspec(id).await {
            Ok(spec) => {
                let types = TYPES.iter().find(|(_, kind)| *kind == spec.restart_type());
                let (restart, _) = types.unwrap();
                say!(trace, request, "ok", spec.id(), *restart);
            }
            Err(error) => done(trace, request, Err(error)),
        },
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
