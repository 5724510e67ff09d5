//! Dynamic supervisors.

use std::time::Duration;

use otp::{
    ChildSpec, DynamicSupervisor, DynamicSupervisorRef, ExitReason, Node, Options, Restart,
    Shutdown, Supervisor, SupervisorError, eventually,
};

use crate::support::{Begin, Log, Message, Plan, Worker, node, stop};

const LONG: Duration = Duration::from_secs(10);

async fn dynamic(node: &Node) -> DynamicSupervisorRef {
    DynamicSupervisor::new()
        .start(node, Options::new())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn typed_children_are_started_and_restarted() {
    let node = node();
    let supervisor = dynamic(&node).await;
    let options = Options::new().name("child");
    let child = supervisor
        .start_child_server::<Worker>(Plan::default, options, Restart::Permanent)
        .await
        .unwrap();
    assert_eq!(child.call(Message::Get).await, Ok(7));
    stop(&child, ExitReason::Normal);
    child.wait_for_exit().await;
    eventually!(node.whereis("child").is_some());
    assert_ne!(node.whereis("child"), Some(child.pid()));
    assert_eq!(supervisor.count_children().await.unwrap().active, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn temporary_children_leave_no_trace() {
    let node = node();
    let supervisor = dynamic(&node).await;
    let child = supervisor
        .start_child_once::<Worker>(Plan::default(), Options::new())
        .await
        .unwrap();
    stop(&child, ExitReason::Error("crash".into()));
    child.wait_for_exit().await;
    assert_eq!(supervisor.which_children().await.unwrap(), []);
    assert_eq!(
        supervisor.terminate_child(child.pid()).await,
        Err(SupervisorError::NotFound)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_a_limit() {
    let node = node();
    let supervisor = DynamicSupervisor::new()
        .max_children(1)
        .start(&node, Options::new())
        .await
        .unwrap();
    let spec = ChildSpec::worker::<Worker>("w", Plan::default).restart(Restart::Temporary);
    let first = supervisor.start_child(spec.clone()).await.unwrap();
    assert_eq!(
        supervisor.start_child(spec.clone()).await,
        Err(SupervisorError::MaxChildren)
    );
    supervisor.terminate_child(first).await.unwrap();
    assert!(!node.is_alive(first));
    supervisor.start_child(spec).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_start_leaves_nothing() {
    let node = node();
    let supervisor = dynamic(&node).await;
    let spec = ChildSpec::worker::<Worker>("w", || Plan {
        begin: Begin::Panic,
        ..Plan::default()
    });
    let outcome = supervisor.start_child(spec).await;
    assert!(matches!(outcome, Err(SupervisorError::Start(_))));
    assert_eq!(supervisor.which_children().await.unwrap(), []);
    assert_eq!(node.process_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn children_are_stopped_all_at_once_each_with_its_limit() {
    let node = node();
    let supervisor = dynamic(&node).await;
    let log = Log::default();
    for _ in 0..20 {
        let log = log.clone();
        let spec = ChildSpec::worker::<Worker>("w", move || Plan {
            trap: true,
            hang_in_terminate: true,
            log: log.clone(),
            ..Plan::default()
        })
        .shutdown(Shutdown::Timeout(Duration::from_secs(3)));
        supervisor.start_child(spec).await.unwrap();
    }
    log.clear();
    let begun = tokio::time::Instant::now();
    supervisor.stop(ExitReason::Shutdown, LONG).await.unwrap();
    // One after another would have taken a minute.
    assert!(begun.elapsed() < Duration::from_secs(4));
    assert_eq!(log.all(), ["terminate shutdown"; 20]);
    assert_eq!(node.process_count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_restarts_end_it_and_all_children() {
    let node = node();
    let root = Supervisor::one_for_one()
        .child(
            ChildSpec::dynamic_supervisor("dynamic", || {
                DynamicSupervisor::new().intensity(1, Duration::from_secs(600))
            })
            .options(|| Options::new().name("dynamic")),
        )
        .start(&node, Options::new())
        .await
        .unwrap();
    let supervisor = DynamicSupervisorRef::whereis(&node, "dynamic").unwrap();
    let options = || Options::new();
    let bystander = supervisor
        .start_child_server::<Worker>(Plan::default, options(), Restart::Permanent)
        .await
        .unwrap();
    for _ in 0..2 {
        let child = supervisor
            .start_child_server::<Worker>(Plan::default, options(), Restart::Permanent)
            .await
            .unwrap();
        stop(&child, ExitReason::Error("crash".into()));
        child.wait_for_exit().await;
    }
    assert_eq!(supervisor.wait_for_exit().await, ExitReason::Shutdown);
    assert_eq!(bystander.wait_for_exit().await, ExitReason::Shutdown);
    // Its own supervisor starts it again, empty.
    eventually!(DynamicSupervisorRef::whereis(&node, "dynamic").is_some());
    assert!(root.is_alive());
}
