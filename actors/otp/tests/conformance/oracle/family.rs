//! What the twins of supervisors share: children, and how a supervisor answered.

use std::time::Duration;

use otp::{ChildCount, ChildSpec, ExitReason, Pid, Restart, Shutdown, StartError, SupervisorError};

use super::actor::{Actor, Begin, Ending, Plan};
use super::stage::Stage;
use super::trace::{Trace, boom, say};

/// The period of all supervisors here.
pub(crate) const PERIOD: Duration = Duration::from_secs(5);

/// So many restarts that no twin reaches the limit.
pub(crate) const MANY: usize = 100_000_000;

pub(crate) const TYPES: [(&str, Restart); 3] = [
    ("permanent", Restart::Permanent),
    ("transient", Restart::Transient),
    ("temporary", Restart::Temporary),
];

/// A child which traps, so that its `terminate` runs.
pub(crate) fn child(stage: &Stage, id: &'static str) -> ChildSpec {
    planned(id, trapping(stage, id))
}

pub(crate) fn trapping(stage: &Stage, id: &'static str) -> Plan {
    Plan {
        trap: true,
        ..stage.plan(id)
    }
}

pub(crate) fn planned(id: &'static str, plan: Plan) -> ChildSpec {
    ChildSpec::worker::<Actor>(id, move || plan.clone())
}

/// A child whose `init` does something.
pub(crate) fn beginning(stage: &Stage, id: &'static str, begin: Begin) -> ChildSpec {
    let plan = Plan {
        begin,
        ..trapping(stage, id)
    };
    planned(id, plan)
}

/// Does something at starts from the second on, so many times.
pub(crate) fn fails_later(times: usize, begin: Begin) -> Begin {
    Begin::script(move |start| {
        if start > 1 && start < 2 + times {
            begin.clone()
        } else {
            Begin::Run
        }
    })
}

/// How a start fails.
pub(crate) fn failures() -> Vec<(&'static str, Begin)> {
    vec![
        ("stop", Begin::Stop(boom())),
        ("crash", Begin::Crash),
        // Erlang's exit/1 in init.
        ("exit", Begin::Stop(boom())),
    ]
}

/// Ways to be stopped, with children that fit them.
pub(crate) fn shutdowns() -> Vec<(&'static str, Shutdown, &'static str)> {
    let kinds = [
        ("brutal", Shutdown::Brutal),
        ("timeout", Shutdown::Timeout(PERIOD)),
        // Long enough that a child gets to its `terminate` on a busy machine.
        ("short", Shutdown::Timeout(Duration::from_millis(100))),
        ("infinity", Shutdown::Infinity),
    ];
    let mut list = Vec::new();
    for (kind, shutdown) in kinds {
        for child in ["plain", "trapping", "hanging", "failing"] {
            let fits = match (kind, child) {
                ("brutal" | "short", "hanging") | ("timeout" | "infinity", "failing") => true,
                ("short", _) | (_, "hanging" | "failing") => false,
                _ => true,
            };
            if fits {
                list.push((kind, shutdown, child));
            }
        }
    }
    list
}

/// A child of [`shutdowns`].
pub(crate) fn stoppable(stage: &Stage, id: &'static str, kind: &str) -> Plan {
    Plan {
        trap: kind != "plain",
        ending: match kind {
            "hanging" => Ending::Hang,
            "failing" => Ending::Exit(ExitReason::Custom("why".into())),
            _ => Ending::Return,
        },
        ..stage.plan(id)
    }
}

/// Says how a request went.
pub(crate) fn answer(trace: &Trace, request: &str, result: Result<Pid, SupervisorError>) {
    match result {
        Ok(pid) => say!(trace, request, "ok", pid),
        Err(error) => refused(trace, request, error),
    }
}

/// The same, of a request which gives nothing.
pub(crate) fn done(trace: &Trace, request: &str, result: Result<(), SupervisorError>) {
    match result {
        Ok(()) => say!(trace, request, "ok"),
        Err(error) => refused(trace, request, error),
    }
}

fn refused(trace: &Trace, request: &str, error: SupervisorError) {
    match error {
        SupervisorError::AlreadyStarted(pid) => {
            say!(trace, request, "error", "already_started", pid);
        }
        SupervisorError::AlreadyPresent => say!(trace, request, "error", "already_present"),
        SupervisorError::Running => say!(trace, request, "error", "running"),
        SupervisorError::Restarting => say!(trace, request, "error", "restarting"),
        SupervisorError::NotFound => say!(trace, request, "error", "not_found"),
        SupervisorError::MaxChildren => say!(trace, request, "error", "max_children"),
        SupervisorError::Start(StartError::Ignore) => say!(trace, request, "ignored"),
        SupervisorError::Start(StartError::Failed(reason)) => {
            say!(trace, request, "failed", &reason);
        }
        SupervisorError::Start(StartError::AlreadyStarted(pid)) => {
            say!(trace, request, "failed", "already_started", pid);
        }
        SupervisorError::Start(StartError::Timeout) => say!(trace, request, "failed", "timeout"),
        SupervisorError::Spec(error) => say!(trace, request, "error", error.to_string()),
        SupervisorError::Call(error) => say!(trace, request, "error", &error),
    }
}

pub(crate) fn counted(trace: &Trace, count: ChildCount) {
    say!(
        trace,
        "count",
        "specs",
        count.specs,
        "active",
        count.active,
        "supervisors",
        count.supervisors,
        "workers",
        count.workers
    );
}
