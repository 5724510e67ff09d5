//! Twins of `sc_dsup.ex`: returns, restarts, limits and ends of dynamic supervisors.

use otp::{
    ChildSpec, ChildState, DynamicSupervisor, DynamicSupervisorRef, ExitReason, MonitorRef,
    Options, Pid, Restart, Shutdown, StartError, SupervisorError, eventually,
};

use super::actor::{self, Actor, Begin, Plan};
use super::family::{
    MANY, PERIOD, TYPES, answer, beginning, child, counted, done, fails_later, failures, planned,
    shutdowns, stoppable, trapping,
};
use super::stage::Stage;
use super::trace::{How, boom, ends, say};
use super::{Scenario, scenario};

mod parents;
mod singles;

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
    list.extend(singles::scenarios());
    list.extend(parents::scenarios());
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
