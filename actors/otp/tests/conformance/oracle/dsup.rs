//! Twins of `sc_dsup.ex`: returns, restarts, limits and ends of dynamic supervisors.

use otp::{
    ChildSpec, ChildState, DynamicSupervisor, DynamicSupervisorRef, ExitReason, MonitorRef,
    Options, Pid, Restart, Shutdown, StartError, Strategy, SupervisorError, eventually,
};

use super::actor::{self, Actor, Begin, Plan, within};
use super::family::{
    MANY, PERIOD, TYPES, answer, beginning, child, counted, done, fails_later, failures, planned,
    shutdowns, stoppable, trapping,
};
use super::stage::Stage;
use super::trace::{How, Trace, boom, ends, say};
use super::{Scenario, scenario, sup};

pub(crate) fn scenarios() -> Vec<Scenario> {
    let mut list = Vec::new();
    for (kind, restart) in TYPES {
        for (end, how) in ends() {
            list.push(scenario(format!("restart_{kind}_{end}"), move |stage| {
                restarted(stage, restart, how.clone())
            }));
        }
        let mut begins = failures();
        begins.push(("ok", Begin::Run));
        begins.push(("ignore", Begin::Ignore));
        for (how, begin) in begins {
            list.push(scenario(
                format!("start_child_{how}_{kind}"),
                move |stage| start_child(stage, begin.clone(), restart),
            ));
        }
    }
    for restarts in 0..=3 {
        list.push(scenario(format!("intensity_{restarts}"), move |stage| {
            intensity(stage, restarts)
        }));
    }
    for (how, begin) in failures() {
        for times in [1, 2] {
            let begin = begin.clone();
            list.push(scenario(
                format!("restart_fails_{times}_times_{how}"),
                move |stage| restart_fails(stage, times, begin.clone()),
            ));
        }
    }
    list.push(scenario("restart_fails_until_the_limit", |stage| {
        restart_fails(stage, 1000, Begin::Stop(boom()))
    }));
    for (kind, restart) in [TYPES[0], TYPES[1]] {
        list.push(scenario(format!("restart_ignored_{kind}"), move |stage| {
            restart_ignored(stage, restart)
        }));
    }
    for (kind, shutdown, plan) in shutdowns() {
        for stop in [true, false] {
            let how = if stop { "stop" } else { "terminate_child" };
            list.push(scenario(
                format!("shutdown_{how}_{kind}_{plan}"),
                move |stage| shut_down(stage, stop, shutdown, plan),
            ));
        }
    }
    for state in ["running", "unknown", "ended", "restarting"] {
        list.push(scenario(format!("terminate_child_{state}"), move |stage| {
            terminate_child(stage, state)
        }));
    }
    for max in [0, 1, 2] {
        list.push(scenario(format!("max_children_{max}"), move |stage| {
            max_children(stage, max)
        }));
    }
    list.extend(singles());
    list.extend(parents());
    list
}

fn description() -> DynamicSupervisor {
    DynamicSupervisor::new().intensity(100, PERIOD)
}

fn allows(restarts: usize) -> DynamicSupervisor {
    DynamicSupervisor::new().intensity(restarts, PERIOD)
}

/// Linked to the driver, as its parent.
async fn start(stage: &Stage, description: DynamicSupervisor) -> DynamicSupervisorRef {
    let started = try_start(stage, description, Options::new());
    started.await.unwrap()
}

async fn try_start(
    stage: &Stage,
    description: DynamicSupervisor,
    options: Options,
) -> Result<DynamicSupervisorRef, StartError> {
    stage
        .driver
        .start_linked(move |ctx| description.start_link(ctx, options))
        .await
}

async fn add(sup: &DynamicSupervisorRef, spec: ChildSpec) -> Pid {
    sup.start_child(spec).await.unwrap()
}

/// The children that run, and whether others are being restarted.
async fn pids(sup: &DynamicSupervisorRef) -> Result<(Vec<Pid>, bool), SupervisorError> {
    let children = sup.which_children().await?;
    let pids = children.iter().filter_map(|child| child.state.pid());
    let restarting = children
        .iter()
        .any(|child| child.state == ChildState::Restarting);
    Ok((pids.collect(), restarting))
}

/// Says the children; `false` if there is nobody to ask.
async fn which(stage: &Stage, sup: &DynamicSupervisorRef) -> bool {
    match pids(sup).await {
        Ok((pids, _)) if pids.is_empty() => say!(stage.trace, "which"),
        Ok((pids, _)) => say!(stage.trace, "which", pids),
        Err(_) => return false,
    }
    true
}

async fn count(stage: &Stage, sup: &DynamicSupervisorRef) {
    counted(&stage.trace, sup.count_children().await.unwrap());
}

/// Ends a child, and waits until the supervisor has dealt with it.
async fn finish(stage: &Stage, sup: &DynamicSupervisorRef, pid: Pid, how: &How) {
    say!(stage.trace, "end", pid);
    let actor = stage.node.server_ref::<Actor>(pid).unwrap();
    stage.finish(&actor, how).await;
    eventually!(match pids(sup).await {
        Ok((pids, restarting)) => !pids.contains(&pid) && !restarting,
        Err(_) => true,
    });
}

async fn gone(stage: &mut Stage, sup: &DynamicSupervisorRef, monitor: MonitorRef) {
    stage.driver.exit_of(sup.pid()).await;
    stage.driver.down(monitor).await;
}

async fn restarted(mut stage: Stage, restart: Restart, how: How) {
    let sup = start(&stage, description()).await;
    add(&sup, child(&stage, "a")).await;
    let pid = add(&sup, child(&stage, "b").restart(restart)).await;
    finish(&stage, &sup, pid, &how).await;
    which(&stage, &sup).await;
    count(&stage, &sup).await;
    stage.nothing().await;
}

async fn start_child(mut stage: Stage, begin: Begin, restart: Restart) {
    let sup = start(&stage, description()).await;
    let spec = beginning(&stage, "a", begin).restart(restart);
    answer(&stage.trace, "start_child", sup.start_child(spec).await);
    which(&stage, &sup).await;
    count(&stage, &sup).await;
    stage.nothing().await;
}

async fn intensity(mut stage: Stage, restarts: usize) {
    let sup = start(&stage, allows(restarts)).await;
    let monitor = stage.driver.watch(sup.pid()).await;
    add(&sup, child(&stage, "a")).await;
    for _ in 0..=restarts {
        let (running, _) = pids(&sup).await.unwrap();
        finish(&stage, &sup, running[0], &How::Stop(boom())).await;
    }
    gone(&mut stage, &sup, monitor).await;
    stage.nothing().await;
}

async fn restart_fails(mut stage: Stage, times: usize, begin: Begin) {
    let sup = start(&stage, allows(3)).await;
    let monitor = stage.driver.watch(sup.pid()).await;
    let pid = add(&sup, beginning(&stage, "a", fails_later(times, begin))).await;
    finish(&stage, &sup, pid, &How::Stop(boom())).await;
    if !which(&stage, &sup).await {
        gone(&mut stage, &sup, monitor).await;
    }
    stage.nothing().await;
}

async fn restart_ignored(mut stage: Stage, restart: Restart) {
    let sup = start(&stage, description()).await;
    let spec = beginning(&stage, "a", fails_later(1, Begin::Ignore)).restart(restart);
    let pid = add(&sup, spec).await;
    finish(&stage, &sup, pid, &How::Stop(boom())).await;
    which(&stage, &sup).await;
    count(&stage, &sup).await;
    stage.nothing().await;
}

async fn shut_down(mut stage: Stage, stops: bool, shutdown: Shutdown, kind: &'static str) {
    let sup = start(&stage, description()).await;
    let spec = planned("a", stoppable(&stage, "a", kind)).shutdown(shutdown);
    let pid = add(&sup, spec).await;
    let monitor = stage.driver.watch(pid).await;
    if stops {
        let sup_monitor = stage.driver.watch(sup.pid()).await;
        stage.driver.unlink(sup.pid()).await;
        stage.driver.exit(sup.pid(), ExitReason::Shutdown).await;
        stage.driver.down(monitor).await;
        stage.driver.down(sup_monitor).await;
    } else {
        let answer = sup.terminate_child(pid).await;
        stage.driver.down(monitor).await;
        done(&stage.trace, "terminate_child", answer);
        which(&stage, &sup).await;
    }
    stage.nothing().await;
}

/// A child which starts once, and then never again; it tells nothing.
fn stuck(stage: &Stage) -> ChildSpec {
    let plan = Plan {
        quiet: true,
        begin: fails_later(MANY, Begin::Stop(boom())),
        ..trapping(stage, "a")
    };
    planned("a", plan)
}

/// Ends a [`stuck`] child; it is being restarted from now on.
async fn get_stuck(stage: &Stage, sup: &DynamicSupervisorRef, pid: Pid) {
    actor::stop(&stage.node.server_ref::<Actor>(pid).unwrap(), boom());
    eventually!(pids(sup).await == Ok((vec![], true)));
}

async fn terminate_child(mut stage: Stage, state: &'static str) {
    let sup = start(&stage, allows(MANY)).await;
    let spec = if state == "restarting" {
        stuck(&stage)
    } else {
        child(&stage, "a")
    };
    let pid = add(&sup, spec).await;
    let mut target = pid;
    match state {
        "unknown" => target = stage.worker("stranger").await.pid(),
        "ended" => {
            let monitor = stage.driver.watch(pid).await;
            sup.terminate_child(pid).await.unwrap();
            stage.driver.down(monitor).await;
        }
        "restarting" => get_stuck(&stage, &sup, pid).await,
        _ => {}
    }
    let answer = sup.terminate_child(target).await;
    done(&stage.trace, "terminate_child", answer);
    which(&stage, &sup).await;
    count(&stage, &sup).await;
    if state == "unknown" {
        say!(stage.trace, "stranger", stage.node.is_alive(target));
    }
    stage.nothing().await;
}

async fn max_children(mut stage: Stage, max: usize) {
    let sup = start(&stage, description().max_children(max)).await;
    let spec = child(&stage, "a").restart(Restart::Temporary);
    let mut answers = Vec::new();
    for _ in 0..=max {
        answers.push(sup.start_child(spec.clone()).await);
    }
    for result in &answers {
        answer(&stage.trace, "start_child", result.clone());
    }
    if let Ok(first) = answers[0] {
        finish(&stage, &sup, first, &How::Stop(ExitReason::Normal)).await;
        answer(&stage.trace, "start_child", sup.start_child(spec).await);
    }
    count(&stage, &sup).await;
    stage.nothing().await;
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

fn singles() -> Vec<Scenario> {
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

fn parents() -> Vec<Scenario> {
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
