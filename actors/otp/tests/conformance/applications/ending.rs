//! What the end of an application means for its node.

use otp::{ExitReason, NodeEnd, StartType, SupervisorRef, eventually};

use super::*;
use crate::supervisors::{LONG, crash, end_named};
use crate::support::node;

crate::cases! {
    a_transient_application_may_end_normally: "APP-013";
    the_end_of_a_permanent_application_ends_the_node: "APP-015";
    an_application_whose_supervisor_is_killed_is_stopped: "APP-016";
}

/// Two applications, of which the first is started so; and its supervisor.
async fn started(start_type: StartType) -> (Node, Applications, SupervisorRef, Log) {
    let (node, log) = (node(), Log::default());
    let apps = applications(&node).await;
    apps.load(application("a", &log)).await.unwrap();
    apps.load(application("b", &log)).await.unwrap();
    apps.start("a", start_type).await.unwrap();
    apps.start("b", StartType::Temporary).await.unwrap();
    let worker = node.whereis("a worker").unwrap();
    let top = node.process_info(worker).unwrap().parent.unwrap();
    let top = SupervisorRef::from_pid(&node, top).unwrap();
    log.clear();
    (node, apps, top, log)
}

async fn goes_on(apps: &Applications) {
    eventually!(running(apps).await == ["b"]);
    apps.start("a", StartType::Temporary).await.unwrap();
    assert_eq!(running(apps).await, ["a", "b"]);
}

/// The node ends because of `a`, and everything on it in good order.
async fn ends(node: &Node, apps: &Applications, log: &Log, reason: ExitReason) {
    let end = NodeEnd {
        application: "a".into(),
        reason,
    };
    assert_eq!(apps.node_end().await, end);
    eventually!(node.process_count() == 0);
    let all = log.all();
    let other: Vec<&String> = all.iter().filter(|line| line.starts_with("b ")).collect();
    assert_eq!(other, ["b prep_stop", "b terminate shutdown", "b stop"]);
    let mut own = all.clone();
    own.retain(|line| line.starts_with("a ") && line.ends_with("stop"));
    assert_eq!(own, ["a prep_stop", "a stop"], "{all:?}");
}

async fn a_transient_application_may_end_normally() {
    let (_node, apps, top, _) = started(StartType::Transient).await;
    top.stop(ExitReason::Normal, LONG).await.unwrap();
    goes_on(&apps).await;
    let (node, apps, _, log) = started(StartType::Transient).await;
    // Its worker crashes, and its supervisor gives up.
    end_named(&node, "a worker", crash()).await;
    ends(&node, &apps, &log, ExitReason::Shutdown).await;
}

async fn the_end_of_a_permanent_application_ends_the_node() {
    for reason in [ExitReason::Normal, ExitReason::Shutdown, crash()] {
        let (node, apps, top, log) = started(StartType::Permanent).await;
        top.stop(reason.clone(), LONG).await.unwrap();
        ends(&node, &apps, &log, reason).await;
    }
    // An ordered stop does not, and a temporary one never.
    let (_node, apps, _, _) = started(StartType::Permanent).await;
    apps.stop("a").await.unwrap();
    goes_on(&apps).await;
    let (_node, apps, top, _) = started(StartType::Temporary).await;
    top.stop(crash(), LONG).await.unwrap();
    goes_on(&apps).await;
}

async fn an_application_whose_supervisor_is_killed_is_stopped() {
    let (node, apps, top, log) = started(StartType::Temporary).await;
    node.exit(top.pid(), ExitReason::Kill);
    eventually!(running(&apps).await == ["b"]);
    eventually!(log.all().contains(&"a terminate killed".to_owned()));
    assert!(log.all().contains(&"a stop".to_owned()));
    goes_on(&apps).await;
    let (node, apps, top, log) = started(StartType::Permanent).await;
    node.exit(top.pid(), ExitReason::Kill);
    ends(&node, &apps, &log, ExitReason::Killed).await;
}
