//! Supervisors. Children are trapping workers that log, registered under their ids; what their
//! next starts do is in a script.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use otp::report::{Report, SupervisorContext};
use otp::{
    ChildSpec, ChildState, DynamicSupervisor, DynamicSupervisorRef, ExitReason, Node, Options, Pid,
    Supervisor, SupervisorRef,
};
use parking_lot::Mutex;

use crate::case::Case;
use crate::support::{Begin, Log, Plan, Worker, stop};

mod administration;
mod groups;
mod instances;
mod instances_life;
mod names;
mod reports;
mod restarting;
mod retries;
mod scale;
mod significant;
mod starting;
mod stopping;
mod strategies;

pub(crate) fn cases() -> Vec<Case> {
    [
        starting::cases(),
        stopping::cases(),
        administration::cases(),
        restarting::cases(),
        strategies::cases(),
        groups::cases(),
        retries::cases(),
        instances::cases(),
        instances_life::cases(),
        significant::cases(),
        names::cases(),
        reports::cases(),
        scale::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// More than any case takes.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// An hour: restarts of a whole case count together.
pub(crate) const HOUR: Duration = Duration::from_secs(3_600);

pub(crate) fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(crate) fn crash() -> ExitReason {
    ExitReason::Error("crash".into())
}

/// What the next starts of a child do; when it is empty they run.
#[derive(Clone, Default)]
pub(crate) struct Script(Arc<Mutex<VecDeque<Begin>>>);

impl Script {
    pub(crate) fn then(&self, begin: Begin) -> &Script {
        self.0.lock().push_back(begin);
        self
    }

    pub(crate) fn fails(&self, times: usize) {
        for _ in 0..times {
            self.then(Begin::Stop(ExitReason::Error("no start".into())));
        }
    }

    pub(crate) fn next(&self) -> Begin {
        self.0.lock().pop_front().unwrap_or_default()
    }
}

/// A child that runs.
pub(crate) fn child(id: &'static str, log: &Log) -> ChildSpec {
    scripted(id, log, &Script::default())
}

pub(crate) fn scripted(id: &'static str, log: &Log, script: &Script) -> ChildSpec {
    let (log, script) = (log.clone(), script.clone());
    ChildSpec::worker::<Worker>(id, move || Plan {
        name: id,
        trap: true,
        begin: script.next(),
        log: log.clone(),
        ..Plan::default()
    })
    .options(move || Options::new().name(id))
}

/// A child that never gets out of its `terminate`.
pub(crate) fn stubborn(id: &'static str, log: &Log) -> ChildSpec {
    let log = log.clone();
    ChildSpec::worker::<Worker>(id, move || Plan {
        name: id,
        trap: true,
        hang_in_terminate: true,
        log: log.clone(),
        ..Plan::default()
    })
}

pub(crate) async fn run(node: &Node, supervisor: Supervisor) -> SupervisorRef {
    supervisor.start(node, Options::new()).await.unwrap()
}

pub(crate) async fn dynamic(node: &Node, supervisor: DynamicSupervisor) -> DynamicSupervisorRef {
    supervisor.start(node, Options::new()).await.unwrap()
}

/// Has a worker end by itself, or killed; its supervisor knows when this is over.
pub(crate) async fn end(node: &Node, pid: Pid, reason: ExitReason) {
    let worker = node.server_ref::<Worker>(pid).unwrap();
    if reason == ExitReason::Killed {
        node.exit(pid, ExitReason::Kill);
    } else {
        stop(&worker, reason);
    }
    worker.wait_for_exit().await;
}

/// Kills a process of any kind; its supervisor knows when this is over.
pub(crate) async fn kill(node: &Node, pid: Pid) {
    let watched = node.wait_for_exit(pid);
    node.exit(pid, ExitReason::Kill);
    watched.await;
}

/// The same for one that is registered.
pub(crate) async fn end_named(node: &Node, name: &str, reason: ExitReason) {
    end(node, node.whereis(name).unwrap(), reason).await;
}

/// Specifications, active, supervisors, workers.
pub(crate) async fn counts(supervisor: &SupervisorRef) -> [usize; 4] {
    let count = supervisor.count_children().await.unwrap();
    [count.specs, count.active, count.supervisors, count.workers]
}

pub(crate) async fn dynamic_counts(supervisor: &DynamicSupervisorRef) -> [usize; 4] {
    let count = supervisor.count_children().await.unwrap();
    [count.specs, count.active, count.supervisors, count.workers]
}

/// Each child by id: `runs`, `restarting` or `stopped`.
pub(crate) async fn states(supervisor: &SupervisorRef) -> Vec<String> {
    let children = supervisor.which_children().await.unwrap();
    let states = children.iter().map(|child| {
        let state = match child.state {
            ChildState::Running(_) => "runs",
            ChildState::Restarting => "restarting",
            ChildState::Stopped => "stopped",
        };
        format!("{} {state}", child.id)
    });
    states.collect()
}

/// The processes of all children, in order.
pub(crate) async fn pids(supervisor: &SupervisorRef) -> Vec<Option<Pid>> {
    let children = supervisor.which_children().await.unwrap();
    children.iter().map(|child| child.state.pid()).collect()
}

/// Everything a node reports.
pub(crate) fn reported(node: &Node) -> Arc<Mutex<Vec<Report>>> {
    let reports: Arc<Mutex<Vec<Report>>> = Arc::default();
    let kept = reports.clone();
    assert!(node.on_report(move |report| kept.lock().push(report.clone())));
    reports
}

/// The supervisor reports among them: context, child, reason.
pub(crate) fn supervisor_reports(reports: &Mutex<Vec<Report>>) -> Vec<(SupervisorContext, String)> {
    let reports = reports.lock();
    let reports = reports.iter().filter_map(|report| match report {
        Report::Supervisor(report) => Some((
            report.context,
            format!("{}: {}", report.child, report.reason),
        )),
        _ => None,
    });
    reports.collect()
}
