//! Static supervisors.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use otp::testing::Probe;
use otp::{
    AutoShutdown, ChildCount, ChildSpec, ChildState, ExitReason, Node, Options, Restart, Shutdown,
    StartError, Strategy, Supervisor, SupervisorError, SupervisorRef, eventually,
};

use crate::support::{Begin, Log, Message, Plan, Worker, node};

const LONG: Duration = Duration::from_secs(10);

/// A trapping worker which logs, registered under its id.
fn child(id: &'static str, log: &Log) -> ChildSpec {
    let log = log.clone();
    ChildSpec::worker::<Worker>(id, move || Plan {
        name: id,
        trap: true,
        log: log.clone(),
        ..Plan::default()
    })
    .options(move || Options::new().name(id))
}

async fn three(node: &Node, strategy: Strategy, log: &Log) -> SupervisorRef {
    Supervisor::new(strategy)
        .child(child("a", log))
        .child(child("b", log))
        .child(child("c", log))
        .start(node, Options::new())
        .await
        .unwrap()
}

async fn crash(node: &Node, name: &str) {
    let worker = node.whereis_ref::<Worker>(name).unwrap();
    worker.cast(Message::Run(Box::new(|_| {
        otp::Next::Stop(ExitReason::Error("crash".into()))
    })));
    worker.wait_for_exit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn children_start_in_order_and_stop_in_reverse() {
    let node = node();
    let log = Log::default();
    let supervisor = three(&node, Strategy::OneForOne, &log).await;
    assert_eq!(log.all(), ["a init", "b init", "c init"]);
    log.clear();
    supervisor.stop(ExitReason::Shutdown, LONG).await.unwrap();
    assert_eq!(
        log.all(),
        [
            "c terminate shutdown",
            "b terminate shutdown",
            "a terminate shutdown"
        ]
    );
    assert_eq!(node.process_count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_strategy_restarts_whom_it_should() {
    for (strategy, expected) in [
        (
            Strategy::OneForOne,
            vec!["b terminate error: crash", "b init"],
        ),
        (
            Strategy::OneForAll,
            vec![
                "b terminate error: crash",
                "c terminate shutdown",
                "a terminate shutdown",
                "a init",
                "b init",
                "c init",
            ],
        ),
        (
            Strategy::RestForOne,
            vec![
                "b terminate error: crash",
                "c terminate shutdown",
                "b init",
                "c init",
            ],
        ),
    ] {
        let node = node();
        let log = Log::default();
        let supervisor = three(&node, strategy, &log).await;
        log.clear();
        crash(&node, "b").await;
        eventually!(log.len() == expected.len());
        assert_eq!(log.all(), expected, "{strategy:?}");
        let children = supervisor.which_children().await.unwrap();
        assert!(children.iter().all(|child| child.state.pid().is_some()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_does_not_start_fails_the_supervisor_and_stops_the_others() {
    let node = node();
    let log = Log::default();
    let failing = ChildSpec::worker::<Worker>("c", || Plan {
        begin: Begin::Stop(ExitReason::Error("no".into())),
        ..Plan::default()
    });
    let outcome = Supervisor::one_for_one()
        .child(child("a", &log))
        .child(child("b", &log))
        .child(failing)
        .start(&node, Options::new())
        .await;
    assert!(
        matches!(
            &outcome,
            Err(StartError::Failed(ExitReason::ShutdownWith(why))) if why.contains("child c")
        ),
        "{outcome:?}"
    );
    assert_eq!(
        log.all(),
        [
            "a init",
            "b init",
            "b terminate shutdown",
            "a terminate shutdown"
        ]
    );
    assert_eq!(node.process_count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_intensity_is_exact() {
    let node = node();
    let log = Log::default();
    let mut probe = Probe::start(&node).await.unwrap();
    let supervisor = Supervisor::one_for_one()
        .intensity(2, Duration::from_secs(600))
        .child(child("a", &log))
        .child(child("b", &log))
        .start(&node, Options::new())
        .await
        .unwrap();
    probe.monitor(supervisor.pid()).await;
    for _ in 0..2 {
        log.clear();
        crash(&node, "a").await;
        eventually!(log.all().contains(&"a init".to_owned()));
        assert!(supervisor.is_alive());
    }
    log.clear();
    crash(&node, "a").await;
    let (_, reason) = probe.expect_down(supervisor.pid()).await;
    assert_eq!(reason, ExitReason::Shutdown);
    assert_eq!(
        log.all(),
        ["a terminate error: crash", "b terminate shutdown"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn restart_types_decide_by_reason() {
    for (restart, reason, restarted, kept) in [
        (Restart::Permanent, ExitReason::Normal, true, true),
        (Restart::Transient, ExitReason::Normal, false, true),
        (Restart::Transient, ExitReason::Shutdown, false, true),
        (
            Restart::Transient,
            ExitReason::ShutdownWith("x".into()),
            false,
            true,
        ),
        (
            Restart::Transient,
            ExitReason::Error("x".into()),
            true,
            true,
        ),
        (Restart::Transient, ExitReason::Killed, true, true),
        (
            Restart::Temporary,
            ExitReason::Error("x".into()),
            false,
            false,
        ),
    ] {
        let node = node();
        let log = Log::default();
        let supervisor = Supervisor::one_for_one()
            .child(child("a", &log).restart(restart))
            .start(&node, Options::new())
            .await
            .unwrap();
        let first = supervisor.child("a").await.unwrap();
        let worker = node.server_ref::<Worker>(first).unwrap();
        if reason == ExitReason::Killed {
            node.exit(first, ExitReason::Kill);
        } else {
            let reason = reason.clone();
            worker.cast(Message::Run(Box::new(|_| otp::Next::Stop(reason))));
        }
        worker.wait_for_exit().await;
        // The EXIT is in the supervisor's mailbox, ahead of this question.
        let children = supervisor.which_children().await.unwrap();
        let states: Vec<bool> = children
            .iter()
            .map(|child| child.state.pid().is_some())
            .collect();
        let expected: Vec<bool> = kept.then_some(restarted).into_iter().collect();
        assert_eq!(states, expected, "{restart:?} {reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_ignores_its_start_is_kept_stopped() {
    let node = node();
    let supervisor = Supervisor::one_for_one()
        .child(ChildSpec::worker::<Worker>("a", || Plan {
            begin: Begin::Ignore,
            ..Plan::default()
        }))
        .start(&node, Options::new())
        .await
        .unwrap();
    let children = supervisor.which_children().await.unwrap();
    assert_eq!(children[0].state, ChildState::Stopped);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_overstays_is_killed() {
    let node = node();
    let log = Log::default();
    let stubborn = |id: &'static str, shutdown| {
        let log = log.clone();
        ChildSpec::worker::<Worker>(id, move || Plan {
            name: id,
            trap: true,
            hang_in_terminate: true,
            log: log.clone(),
            ..Plan::default()
        })
        .shutdown(shutdown)
    };
    let supervisor = Supervisor::one_for_one()
        .child(stubborn("brutal", Shutdown::Brutal))
        .child(stubborn(
            "slow",
            Shutdown::Timeout(Duration::from_millis(20)),
        ))
        .start(&node, Options::new())
        .await
        .unwrap();
    log.clear();
    supervisor.stop(ExitReason::Shutdown, LONG).await.unwrap();
    assert_eq!(log.all(), ["slow terminate shutdown"]);
    assert_eq!(node.process_count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn children_can_be_added_terminated_restarted_and_deleted() {
    let node = node();
    let log = Log::default();
    let supervisor = Supervisor::one_for_one()
        .start(&node, Options::new())
        .await
        .unwrap();
    let first = supervisor.start_child(child("a", &log)).await.unwrap();
    assert_eq!(
        supervisor.start_child(child("a", &log)).await,
        Err(SupervisorError::AlreadyStarted(first))
    );
    assert_eq!(
        supervisor.restart_child("a").await,
        Err(SupervisorError::Running)
    );
    assert_eq!(
        supervisor.delete_child("a").await,
        Err(SupervisorError::Running)
    );
    supervisor.terminate_child("a").await.unwrap();
    assert!(!node.is_alive(first));
    assert_eq!(
        supervisor.start_child(child("a", &log)).await,
        Err(SupervisorError::AlreadyPresent)
    );
    let second = supervisor.restart_child("a").await.unwrap();
    assert_ne!(first, second);
    assert_eq!(
        supervisor.count_children().await.unwrap(),
        ChildCount {
            specs: 1,
            active: 1,
            supervisors: 0,
            workers: 1
        }
    );
    supervisor.terminate_child("a").await.unwrap();
    supervisor.delete_child("a").await.unwrap();
    assert_eq!(
        supervisor.terminate_child("a").await,
        Err(SupervisorError::NotFound)
    );
    assert_eq!(supervisor.which_children().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_restart_is_retried_and_counts() {
    let node = node();
    let starts = Arc::new(AtomicUsize::new(0));
    let counting = starts.clone();
    // Starts, fails twice, starts again.
    let flaky = ChildSpec::worker::<Worker>("flaky", move || {
        let begin = match counting.fetch_add(1, Ordering::SeqCst) {
            1 | 2 => Begin::Stop(ExitReason::Error("not yet".into())),
            _ => Begin::Run,
        };
        Plan {
            begin,
            ..Plan::default()
        }
    })
    .options(|| Options::new().name("flaky"));
    let supervisor = Supervisor::one_for_one()
        .intensity(3, Duration::from_secs(600))
        .child(flaky)
        .start(&node, Options::new())
        .await
        .unwrap();
    crash(&node, "flaky").await;
    eventually!(node.whereis("flaky").is_some());
    assert_eq!(starts.load(Ordering::SeqCst), 4);
    assert!(supervisor.is_alive());
    crash(&node, "flaky").await;
    assert_eq!(supervisor.wait_for_exit().await, ExitReason::Shutdown);
}

#[tokio::test(flavor = "multi_thread")]
async fn supervisors_nest() {
    let node = node();
    let log = Log::default();
    let inner_log = log.clone();
    let root = Supervisor::one_for_one()
        .child(child("a", &log))
        .child(ChildSpec::supervisor("inner", move || {
            Supervisor::one_for_one()
                .intensity(0, Duration::from_secs(5))
                .child(child("b", &inner_log))
        }))
        .start(&node, Options::new())
        .await
        .unwrap();
    log.clear();
    // The inner supervisor allows no restart, so it ends and the root restarts it.
    let inner = root.child("inner").await.unwrap();
    crash(&node, "b").await;
    node.wait_for_exit(inner).await;
    eventually!(log.len() == 2);
    assert_eq!(log.all(), ["b terminate error: crash", "b init"]);
    assert_ne!(root.child("inner").await.unwrap(), inner);
    log.clear();
    root.stop(ExitReason::Shutdown, LONG).await.unwrap();
    assert_eq!(log.all(), ["b terminate shutdown", "a terminate shutdown"]);
    assert_eq!(node.process_count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_supervisor_takes_its_children_along() {
    let node = node();
    let log = Log::default();
    let supervisor = three(&node, Strategy::OneForOne, &log).await;
    log.clear();
    node.exit(supervisor.pid(), ExitReason::Kill);
    eventually!(node.process_count() == 0);
    let mut ended = log.all();
    ended.sort();
    assert_eq!(
        ended,
        [
            "a terminate killed",
            "b terminate killed",
            "c terminate killed"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn significant_children_end_their_supervisor() {
    for (auto, ends_after) in [
        (AutoShutdown::AnySignificant, 1),
        (AutoShutdown::AllSignificant, 2),
    ] {
        let node = node();
        let log = Log::default();
        let significant = |id| {
            child(id, &log)
                .restart(Restart::Transient)
                .significant(true)
        };
        let supervisor = Supervisor::one_for_one()
            .auto_shutdown(auto)
            .child(significant("a"))
            .child(significant("b"))
            .start(&node, Options::new())
            .await
            .unwrap();
        for (ended, name) in ["a", "b"].into_iter().enumerate().take(ends_after) {
            // Not gone yet: this many ends are not enough.
            assert!(supervisor.count_children().await.is_ok(), "{ended}");
            let worker = node.whereis_ref::<Worker>(name).unwrap();
            worker.cast(Message::Run(Box::new(|_| {
                otp::Next::Stop(ExitReason::Normal)
            })));
        }
        assert_eq!(supervisor.wait_for_exit().await, ExitReason::Shutdown);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn impossible_descriptions_are_refused() {
    let log = Log::default();
    for supervisor in [
        Supervisor::one_for_one()
            .child(child("a", &log))
            .child(child("a", &log)),
        Supervisor::one_for_one()
            .auto_shutdown(AutoShutdown::AnySignificant)
            .child(child("a", &log).significant(true)),
        Supervisor::one_for_one().child(
            child("a", &log)
                .restart(Restart::Transient)
                .significant(true),
        ),
    ] {
        let node = node();
        let outcome = supervisor.start(&node, Options::new()).await;
        assert!(
            matches!(&outcome, Err(StartError::Failed(ExitReason::Error(_)))),
            "{outcome:?}"
        );
    }
}
