//! Applications. Each has a supervisor with one worker of its name; what happens to them is in a
//! log.

use otp::{Application, Applications, ChildSpec, ExitReason, Node, Options, Supervisor};

use crate::case::Case;
use crate::support::{Log, Plan, Worker};

mod changing;
mod draining;
mod ending;
mod environment;
mod starting;
mod stopping;

pub(crate) fn cases() -> Vec<Case> {
    [
        starting::cases(),
        environment::cases(),
        stopping::cases(),
        ending::cases(),
        draining::cases(),
        changing::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The supervisor of an application: one worker, registered, which traps exits and logs.
fn tree(name: &'static str, log: &Log) -> Supervisor {
    let log = log.clone();
    let spec = ChildSpec::worker::<Worker>("worker", move || Plan {
        name,
        trap: true,
        log: log.clone(),
        ..Plan::default()
    });
    let spec = spec.options(move || Options::new().name(format!("{name} worker")));
    Supervisor::one_for_one()
        .intensity(0, std::time::Duration::from_secs(1))
        .child(spec)
}

/// An application that logs its start, and in what state it is stopped.
fn application(name: &'static str, log: &Log) -> Application {
    let (starts, prep, stops) = (log.clone(), log.clone(), log.clone());
    Application::new(name, move |_| {
        let log = starts.clone();
        async move {
            log.add(format!("{name} start"));
            Ok(tree(name, &log))
        }
    })
    .prep_stop(move |_| {
        prep.add(format!("{name} prep_stop"));
        std::future::ready(())
    })
    .stop(move |_| {
        stops.add(format!("{name} stop"));
        std::future::ready(())
    })
}

/// One that does not start.
fn failing(name: &'static str, log: &Log) -> Application {
    let log = log.clone();
    Application::new(name, move |_| {
        log.add(format!("{name} start"));
        std::future::ready(Err(ExitReason::Error("no start".into())))
    })
}

async fn applications(node: &Node) -> Applications {
    Applications::of(node).await.unwrap()
}

/// The names of those that run, by name.
async fn running(applications: &Applications) -> Vec<String> {
    let all = applications.which().await.unwrap();
    let running = all
        .iter()
        .filter(|info| info.status == otp::ApplicationStatus::Running);
    running.map(|info| info.name.to_string()).collect()
}
