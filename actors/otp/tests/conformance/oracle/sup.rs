//! Twins of `sc_sup.erl`: restarts, start and stop order, shutdown kinds, intensity, auto
//! shutdown.

use otp::{
    AutoShutdown, ChildSpec, ChildState, ExitReason, MonitorRef, Options, Pid, Restart, Shutdown,
    StartError, Strategy, Supervisor, SupervisorRef, eventually,
};

use super::actor::{Actor, Begin};
use super::family::{
    PERIOD, TYPES, beginning, child, counted, fails_later, failures, shutdowns, stoppable,
};
use super::stage::Stage;
use super::trace::{How, boom, ends, say};
use super::{Scenario, family, scenario};

mod administration;
mod parents;
mod trees;

pub(crate) const STRATEGIES: [(&str, Strategy); 3] = [
    ("one_for_one", Strategy::OneForOne),
    ("one_for_all", Strategy::OneForAll),
    ("rest_for_one", Strategy::RestForOne),
];

const AUTO: [(&str, AutoShutdown); 3] = [
    ("never", AutoShutdown::Never),
    ("any_significant", AutoShutdown::AnySignificant),
    ("all_significant", AutoShutdown::AllSignificant),
];

pub(crate) fn scenarios() -> Vec<Scenario> {
    let mut list = Vec::new();
    for (name, strategy) in STRATEGIES {
        restarts(&mut list, name, strategy);
    }
    for (position, id) in ["a", "b", "c"].into_iter().enumerate() {
        for (how, begin) in failures() {
            let name = format!("start_fails_{how}_{}", position + 1);
            list.push(scenario(name, move |stage| {
                start_fails(stage, begin.clone(), id)
            }));
        }
    }
    for (name, restart) in TYPES {
        list.push(scenario(format!("start_ignored_{name}"), move |stage| {
            start_ignored(stage, restart)
        }));
        let mut begins = failures();
        begins.push(("ignore", Begin::Ignore));
        for (how, begin) in begins {
            list.push(scenario(
                format!("start_child_fails_{how}_{name}"),
                move |stage| start_child_fails(stage, begin.clone(), restart),
            ));
        }
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
    auto_shutdowns(&mut list);
    list.extend(administration::scenarios());
    list.extend(parents::scenarios());
    list.extend(trees::scenarios());
    list
}

fn restarts(list: &mut Vec<Scenario>, name: &'static str, strategy: Strategy) {
    for (kind, restart) in TYPES {
        for (end, how) in ends() {
            list.push(scenario(
                format!("restart_{name}_{kind}_{end}"),
                move |stage| restarted(stage, strategy, restart, how.clone()),
            ));
        }
    }
    list.push(scenario(format!("stop_order_{name}"), move |stage| {
        stop_order(stage, strategy)
    }));
    for restarts in 0..=3 {
        list.push(scenario(
            format!("intensity_{name}_{restarts}"),
            move |stage| intensity(stage, strategy, restarts),
        ));
    }
    list.push(scenario(
        format!("intensity_over_all_children_{name}"),
        move |stage| intensity_over_all(stage, strategy),
    ));
    for (how, begin) in failures() {
        for times in [1, 2] {
            let begin = begin.clone();
            list.push(scenario(
                format!("restart_fails_{times}_times_{how}_{name}"),
                move |stage| restart_fails(stage, strategy, times, begin.clone()),
            ));
        }
    }
    list.push(scenario(
        format!("restart_fails_until_the_limit_{name}"),
        move |stage| restart_fails(stage, strategy, 1000, Begin::Stop(boom())),
    ));
    for (kind, restart) in [TYPES[0], TYPES[1]] {
        list.push(scenario(
            format!("restart_ignored_{name}_{kind}"),
            move |stage| restart_ignored(stage, strategy, restart),
        ));
    }
    for (kind, restart) in [TYPES[1], TYPES[2]] {
        list.push(scenario(format!("{kind}_bystander_{name}"), move |stage| {
            bystander(stage, strategy, restart)
        }));
        list.push(scenario(
            format!("significant_bystander_{name}_{kind}"),
            move |stage| significant_bystander(stage, strategy, restart),
        ));
    }
    if strategy != Strategy::OneForOne {
        list.push(scenario(
            format!("another_child_fails_in_the_restart_{name}"),
            move |stage| another_fails(stage, strategy),
        ));
    }
}

// ---- building ---------------------------------------------------------------------------------

pub(crate) fn supervisor(strategy: Strategy) -> Supervisor {
    Supervisor::new(strategy).intensity(100, PERIOD)
}

pub(crate) fn with(supervisor: Supervisor, children: Vec<ChildSpec>) -> Supervisor {
    children.into_iter().fold(supervisor, Supervisor::child)
}

/// Linked to the driver, as its parent.
pub(crate) async fn try_start(
    stage: &Stage,
    description: Supervisor,
    options: Options,
) -> Result<SupervisorRef, StartError> {
    stage
        .driver
        .start_linked(move |ctx| description.start_link(ctx, options))
        .await
}

pub(crate) async fn start(
    stage: &Stage,
    description: Supervisor,
    children: Vec<ChildSpec>,
) -> SupervisorRef {
    let started = try_start(stage, with(description, children), Options::new());
    started.await.unwrap()
}

/// A child under which everything is stopped and restarted.
fn three(stage: &Stage, middle: ChildSpec) -> Vec<ChildSpec> {
    vec![child(stage, "a"), middle, child(stage, "c")]
}

async fn state(sup: &SupervisorRef, id: &str) -> Option<ChildState> {
    let children = sup.which_children().await.ok()?;
    let found = children.into_iter().find(|child| &*child.id == id);
    found.map(|child| child.state)
}

/// Says the children in start order; `false` if there is nobody to ask.
pub(crate) async fn which(stage: &Stage, sup: &SupervisorRef) -> bool {
    let Ok(children) = sup.which_children().await else {
        return false;
    };
    let mut words = vec!["which".into()];
    for child in children {
        words.push((&*child.id).into());
        words.push(match child.state {
            ChildState::Running(pid) => pid.into(),
            ChildState::Restarting => "restarting".into(),
            ChildState::Stopped => "stopped".into(),
        });
    }
    stage.trace.line(words);
    true
}

pub(crate) async fn count(stage: &Stage, sup: &SupervisorRef) {
    counted(&stage.trace, sup.count_children().await.unwrap());
}

/// Ends a child, and waits until the supervisor has dealt with it.
pub(crate) async fn finish(stage: &Stage, sup: &SupervisorRef, id: &str, how: &How) {
    let pid = sup.child(id).await.unwrap();
    end(stage, id, pid, how).await;
    dealt_with(sup, id, pid).await;
}

pub(crate) async fn end(stage: &Stage, id: &str, pid: Pid, how: &How) {
    say!(stage.trace, "end", id, pid);
    let actor = stage.node.server_ref::<Actor>(pid).unwrap();
    stage.finish(&actor, how).await;
}

pub(crate) async fn dealt_with(sup: &SupervisorRef, id: &str, pid: Pid) {
    eventually!(match sup.which_children().await {
        Err(_) => true,
        Ok(children) => children.iter().all(|child| {
            &*child.id != id
                || !matches!(child.state, ChildState::Running(at) if at == pid)
                    && child.state != ChildState::Restarting
        }),
    });
}

/// The supervisor ends by itself.
pub(crate) async fn gone(stage: &mut Stage, sup: &SupervisorRef, monitor: MonitorRef) {
    stage.driver.exit_of(sup.pid()).await;
    stage.driver.down(monitor).await;
}

pub(crate) async fn stop(stage: &mut Stage, sup: &SupervisorRef) {
    let monitor = stage.driver.watch(sup.pid()).await;
    say!(stage.trace, "stop");
    stage.driver.unlink(sup.pid()).await;
    stage.driver.exit(sup.pid(), ExitReason::Shutdown).await;
    stage.driver.down(monitor).await;
}

/// Tells whether the supervisor lives on. One that is about to end has decided so by now.
pub(crate) async fn outcome(mut stage: Stage, sup: &SupervisorRef, monitor: MonitorRef) {
    if !which(&stage, sup).await {
        gone(&mut stage, sup, monitor).await;
    }
    stage.nothing().await;
}

// ---- restarts ---------------------------------------------------------------------------------

async fn restarted(mut stage: Stage, strategy: Strategy, restart: Restart, how: How) {
    let children = three(&stage, child(&stage, "b").restart(restart));
    let sup = start(&stage, supervisor(strategy), children).await;
    finish(&stage, &sup, "b", &how).await;
    which(&stage, &sup).await;
    count(&stage, &sup).await;
    stage.nothing().await;
}

async fn stop_order(mut stage: Stage, strategy: Strategy) {
    let children = ["a", "b", "c", "d"].map(|id| child(&stage, id)).into();
    let sup = start(&stage, supervisor(strategy), children).await;
    stop(&mut stage, &sup).await;
    stage.nothing().await;
}

async fn intensity(mut stage: Stage, strategy: Strategy, restarts: usize) {
    let description = Supervisor::new(strategy).intensity(restarts, PERIOD);
    let children = three(&stage, child(&stage, "b"));
    let sup = start(&stage, description, children).await;
    let monitor = stage.driver.watch(sup.pid()).await;
    for _ in 0..restarts {
        finish(&stage, &sup, "b", &How::Stop(boom())).await;
        which(&stage, &sup).await;
    }
    finish(&stage, &sup, "b", &How::Stop(boom())).await;
    gone(&mut stage, &sup, monitor).await;
    stage.nothing().await;
}

async fn intensity_over_all(mut stage: Stage, strategy: Strategy) {
    let description = Supervisor::new(strategy).intensity(2, PERIOD);
    let children = three(&stage, child(&stage, "b"));
    let sup = start(&stage, description, children).await;
    let monitor = stage.driver.watch(sup.pid()).await;
    for id in ["a", "c", "b"] {
        finish(&stage, &sup, id, &How::Stop(boom())).await;
    }
    gone(&mut stage, &sup, monitor).await;
    stage.nothing().await;
}

async fn restart_fails(stage: Stage, strategy: Strategy, times: usize, begin: Begin) {
    let description = Supervisor::new(strategy).intensity(3, PERIOD);
    let failing = beginning(&stage, "b", fails_later(times, begin));
    let sup = start(&stage, description, three(&stage, failing)).await;
    let monitor = stage.driver.watch(sup.pid()).await;
    finish(&stage, &sup, "b", &How::Stop(boom())).await;
    outcome(stage, &sup, monitor).await;
}

async fn restart_ignored(mut stage: Stage, strategy: Strategy, restart: Restart) {
    let ignored = beginning(&stage, "b", fails_later(1, Begin::Ignore)).restart(restart);
    let sup = start(&stage, supervisor(strategy), three(&stage, ignored)).await;
    finish(&stage, &sup, "b", &How::Stop(boom())).await;
    which(&stage, &sup).await;
    count(&stage, &sup).await;
    family::answer(&stage.trace, "restart_child", sup.restart_child("b").await);
    stage.nothing().await;
}

async fn another_fails(mut stage: Stage, strategy: Strategy) {
    let description = Supervisor::new(strategy).intensity(3, PERIOD);
    let children = vec![
        child(&stage, "a"),
        child(&stage, "b"),
        beginning(&stage, "c", fails_later(1, Begin::Stop(boom()))),
        child(&stage, "d"),
    ];
    let sup = start(&stage, description, children).await;
    let (b, d) = (sup.child("b").await.unwrap(), sup.child("d").await.unwrap());
    end(&stage, "b", b, &How::Stop(boom())).await;
    dealt_with(&sup, "d", d).await;
    which(&stage, &sup).await;
    stage.nothing().await;
}

async fn bystander(mut stage: Stage, strategy: Strategy, restart: Restart) {
    let children = three(&stage, child(&stage, "b").restart(restart));
    let sup = start(&stage, supervisor(strategy), children).await;
    finish(&stage, &sup, "a", &How::Stop(boom())).await;
    which(&stage, &sup).await;
    stage.nothing().await;
}

// ---- starts and stops -------------------------------------------------------------------------

async fn start_fails(mut stage: Stage, begin: Begin, failing: &'static str) {
    let children = ["a", "b", "c"].map(|id| {
        if id == failing {
            beginning(&stage, id, begin.clone())
        } else {
            child(&stage, id)
        }
    });
    let description = with(supervisor(Strategy::OneForOne), children.into());
    match try_start(&stage, description, Options::new().name("named")).await {
        Err(StartError::Failed(reason)) => say!(stage.trace, "start", "failed", &reason),
        other => say!(stage.trace, format!("{other:?}")),
    }
    stage.whereis("named");
    stage.nothing().await;
}

async fn start_ignored(mut stage: Stage, restart: Restart) {
    let ignored = beginning(&stage, "b", Begin::Ignore).restart(restart);
    let children = three(&stage, ignored);
    let sup = start(&stage, supervisor(Strategy::OneForOne), children).await;
    which(&stage, &sup).await;
    count(&stage, &sup).await;
    stop(&mut stage, &sup).await;
    stage.nothing().await;
}

async fn start_child_fails(mut stage: Stage, begin: Begin, restart: Restart) {
    let children = vec![child(&stage, "a")];
    let sup = start(&stage, supervisor(Strategy::OneForOne), children).await;
    let failing = beginning(&stage, "b", begin).restart(restart);
    family::answer(&stage.trace, "start_child", sup.start_child(failing).await);
    which(&stage, &sup).await;
    count(&stage, &sup).await;
    stage.nothing().await;
}

async fn shut_down(mut stage: Stage, stops: bool, shutdown: Shutdown, kind: &'static str) {
    let spec = family::planned("a", stoppable(&stage, "a", kind)).shutdown(shutdown);
    let sup = start(&stage, supervisor(Strategy::OneForOne), vec![spec]).await;
    let monitor = stage.driver.watch(sup.child("a").await.unwrap()).await;
    if stops {
        let sup_monitor = stage.driver.watch(sup.pid()).await;
        stage.driver.unlink(sup.pid()).await;
        stage.driver.exit(sup.pid(), ExitReason::Shutdown).await;
        stage.driver.down(monitor).await;
        stage.driver.down(sup_monitor).await;
    } else {
        let answer = sup.terminate_child("a").await;
        stage.driver.down(monitor).await;
        family::done(&stage.trace, "terminate_child", answer);
        which(&stage, &sup).await;
    }
    stage.nothing().await;
}

// ---- auto shutdown ----------------------------------------------------------------------------

fn auto_shutdowns(list: &mut Vec<Scenario>) {
    for (name, auto) in [AUTO[1], AUTO[2]] {
        for (kind, restart) in [TYPES[1], TYPES[2]] {
            for (end, how) in ends() {
                let one = how.clone();
                list.push(scenario(
                    format!("auto_shutdown_{name}_{kind}_{end}"),
                    move |stage| auto_shutdown(stage, auto, restart, vec![one.clone()]),
                ));
                if auto == AutoShutdown::AllSignificant {
                    list.push(scenario(
                        format!("auto_shutdown_{name}_{kind}_both_{end}"),
                        move |stage| auto_shutdown(stage, auto, restart, vec![how.clone(); 2]),
                    ));
                }
            }
        }
        for (end, reason) in [("normal", ExitReason::Normal), ("custom", boom())] {
            list.push(scenario(
                format!("auto_shutdown_by_another_child_{name}_{end}"),
                move |stage| auto_other(stage, auto, reason.clone()),
            ));
        }
    }
    for (name, auto) in AUTO {
        for (kind, restart) in TYPES {
            list.push(scenario(
                format!("significant_refused_at_start_{name}_{kind}"),
                move |stage| significant_refused(stage, auto, restart),
            ));
        }
    }
}

async fn auto_shutdown(stage: Stage, auto: AutoShutdown, restart: Restart, hows: Vec<How>) {
    let significant = |id| child(&stage, id).restart(restart).significant(true);
    let children = vec![child(&stage, "a"), significant("b"), significant("c")];
    let description = supervisor(Strategy::OneForOne).auto_shutdown(auto);
    let sup = start(&stage, description, children).await;
    let monitor = stage.driver.watch(sup.pid()).await;
    for (id, how) in ["b", "c"].into_iter().zip(hows) {
        finish(&stage, &sup, id, &how).await;
    }
    outcome(stage, &sup, monitor).await;
}

async fn auto_other(stage: Stage, auto: AutoShutdown, reason: ExitReason) {
    let temporary = |id| child(&stage, id).restart(Restart::Temporary);
    let children = vec![temporary("a"), temporary("b").significant(true)];
    let description = supervisor(Strategy::OneForOne).auto_shutdown(auto);
    let sup = start(&stage, description, children).await;
    let monitor = stage.driver.watch(sup.pid()).await;
    finish(&stage, &sup, "a", &How::Stop(reason)).await;
    outcome(stage, &sup, monitor).await;
}

async fn significant_refused(mut stage: Stage, auto: AutoShutdown, restart: Restart) {
    let significant = child(&stage, "a").restart(restart).significant(true);
    let description = supervisor(Strategy::OneForOne).auto_shutdown(auto);
    let description = with(description, vec![significant]);
    match try_start(&stage, description, Options::new()).await {
        Ok(_) => say!(stage.trace, "start", "ok"),
        Err(_) => say!(stage.trace, "start", "refused"),
    }
    stage.nothing().await;
}

async fn significant_bystander(stage: Stage, strategy: Strategy, restart: Restart) {
    let significant = child(&stage, "b").restart(restart).significant(true);
    let children = vec![child(&stage, "a"), significant];
    let description = supervisor(strategy).auto_shutdown(AutoShutdown::AnySignificant);
    let sup = start(&stage, description, children).await;
    let monitor = stage.driver.watch(sup.pid()).await;
    finish(&stage, &sup, "a", &How::Stop(boom())).await;
    outcome(stage, &sup, monitor).await;
}

fn one_for_one() -> Supervisor {
    supervisor(Strategy::OneForOne)
}

fn significant(stage: &Stage, id: &'static str) -> ChildSpec {
    child(stage, id)
        .restart(Restart::Transient)
        .significant(true)
}

/// A supervisor as a child.
fn nested(description: Supervisor, id: &'static str, children: Vec<ChildSpec>) -> ChildSpec {
    let description = with(description, children);
    ChildSpec::supervisor(id, move || description.clone())
}
