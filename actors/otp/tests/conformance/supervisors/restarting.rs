//! When a child is started again, and how often.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use otp::{ChildSpec, ExitReason, Options, Restart, Supervisor};

use super::*;
use crate::support::node;

crate::cases! {
    crashes_below_the_limit_go_on_for_ever [Paused]: "SUP-029";
    a_permanent_child_is_restarted_after_normal: "SUP-045";
    a_transient_child_is_not_restarted_after_normal: "SUP-046";
    a_temporary_child_is_forgotten_after_normal: "SUP-047";
    a_permanent_child_is_restarted_after_shutdown: "SUP-048";
    a_transient_child_is_not_restarted_after_shutdown: "SUP-049";
    a_temporary_child_is_forgotten_after_shutdown: "SUP-050";
    a_permanent_child_is_restarted_after_a_crash: "SUP-052";
    a_transient_child_is_restarted_after_a_crash: "SUP-053";
    a_temporary_child_is_forgotten_after_a_crash: "SUP-054";
    the_limit_is_a_sliding_window [Paused]: "SUP-099";
    no_successor_before_the_end: "SUP-103";
    each_start_has_arguments_of_its_own: "SUP-105";
}

async fn crashes_below_the_limit_go_on_for_ever() {
    let (node, log) = (node(), Log::default());
    let supervisor = Supervisor::one_for_one().intensity(1, secs(1));
    let supervisor = run(&node, supervisor.child(child("a", &log))).await;
    for _ in 0..20 {
        let before = supervisor.child("a").await.unwrap();
        end(&node, before, crash()).await;
        assert_eq!(counts(&supervisor).await, [1, 1, 0, 1]);
        assert_ne!(supervisor.child("a").await, Ok(before));
        tokio::time::sleep(Duration::from_millis(1_100)).await;
    }
    supervisor.terminate_child("a").await.unwrap();
    supervisor.delete_child("a").await.unwrap();
}

/// Ends a child of this kind for each of the reasons; tells what is left each time.
async fn after(restart: Restart, reasons: &[ExitReason], expected: &str) {
    for reason in reasons {
        let (node, log) = (node(), Log::default());
        let supervisor = Supervisor::one_for_one().intensity(2, HOUR);
        let supervisor = run(&node, supervisor).await;
        let spec = child("a", &log).restart(restart);
        let first = supervisor.start_child(spec).await.unwrap();
        end(&node, first, reason.clone()).await;
        let left = states(&supervisor).await;
        match expected {
            "" => {
                assert_eq!(left, [""; 0], "{reason}");
                assert_eq!(counts(&supervisor).await, [0, 0, 0, 0]);
            }
            expected => {
                assert_eq!(left, [format!("a {expected}")], "{reason}");
                let active = usize::from(expected == "runs");
                assert_eq!(counts(&supervisor).await, [1, active, 0, 1]);
            }
        }
        assert_ne!(supervisor.child("a").await.ok(), Some(first));
        // What is left can be used.
        if expected == "stopped" {
            let second = supervisor.restart_child("a").await.unwrap();
            end(&node, second, reason.clone()).await;
            assert_eq!(states(&supervisor).await, ["a stopped"]);
        }
    }
}

fn shutdowns() -> [ExitReason; 2] {
    [
        ExitReason::Shutdown,
        ExitReason::ShutdownWith("some info".into()),
    ]
}

fn crashes() -> [ExitReason; 4] {
    [
        crash(),
        ExitReason::Killed,
        ExitReason::Custom("abnormal".into()),
        ExitReason::Timeout,
    ]
}

async fn a_permanent_child_is_restarted_after_normal() {
    after(Restart::Permanent, &[ExitReason::Normal], "runs").await;
}

async fn a_transient_child_is_not_restarted_after_normal() {
    after(Restart::Transient, &[ExitReason::Normal], "stopped").await;
}

async fn a_temporary_child_is_forgotten_after_normal() {
    after(Restart::Temporary, &[ExitReason::Normal], "").await;
}

async fn a_permanent_child_is_restarted_after_shutdown() {
    after(Restart::Permanent, &shutdowns(), "runs").await;
}

async fn a_transient_child_is_not_restarted_after_shutdown() {
    after(Restart::Transient, &shutdowns(), "stopped").await;
}

async fn a_temporary_child_is_forgotten_after_shutdown() {
    after(Restart::Temporary, &shutdowns(), "").await;
}

async fn a_permanent_child_is_restarted_after_a_crash() {
    after(Restart::Permanent, &crashes(), "runs").await;
}

async fn a_transient_child_is_restarted_after_a_crash() {
    after(Restart::Transient, &crashes(), "runs").await;
}

async fn a_temporary_child_is_forgotten_after_a_crash() {
    after(Restart::Temporary, &crashes(), "").await;
}

async fn the_limit_is_a_sliding_window() {
    let (node, log) = (node(), Log::default());
    let supervisor = Supervisor::one_for_one().intensity(2, secs(10));
    let supervisor = run(&node, supervisor.child(child("a", &log))).await;
    // At 0, 6, 12, 18 …: never more than two within ten seconds, though many together.
    for _ in 0..6 {
        end_named(&node, "a", crash()).await;
        assert_eq!(counts(&supervisor).await, [1, 1, 0, 1]);
        tokio::time::sleep(secs(6)).await;
    }
    // The last was six seconds ago; these are the second and the third within ten.
    end_named(&node, "a", crash()).await;
    assert_eq!(counts(&supervisor).await, [1, 1, 0, 1]);
    end_named(&node, "a", crash()).await;
    assert_eq!(supervisor.wait_for_exit().await, ExitReason::Shutdown);
    // With an intensity of 0 the first failure is too much.
    let supervisor = Supervisor::one_for_one().intensity(0, secs(10));
    let supervisor = run(&node, supervisor.child(child("a", &log))).await;
    log.clear();
    end_named(&node, "a", crash()).await;
    assert_eq!(supervisor.wait_for_exit().await, ExitReason::Shutdown);
    assert_eq!(log.all(), ["a terminate error: crash"]);
}

async fn no_successor_before_the_end() {
    for _ in 0..100 {
        let (node, log) = (node(), Log::default());
        let seen = Log::default();
        let (notes, watched) = (seen.clone(), node.clone());
        let previous: Arc<Mutex<Option<otp::Pid>>> = Arc::default();
        // Notes at each start whether the name is free and the one before is gone.
        let spec = {
            let log = log.clone();
            ChildSpec::worker::<Worker>("a", move || {
                let before = *previous.lock();
                if let Some(before) = before {
                    notes.add(format!(
                        "free {} gone {}",
                        watched.whereis("a").is_none(),
                        !watched.is_alive(before)
                    ));
                }
                Plan {
                    name: "a",
                    trap: true,
                    log: log.clone(),
                    ..Plan::default()
                }
            })
            .options(|| Options::new().name("a"))
        };
        let supervisor = Supervisor::one_for_one().intensity(3, HOUR).child(spec);
        let supervisor = run(&node, supervisor).await;
        let first = supervisor.child("a").await.unwrap();
        end(&node, first, crash()).await;
        assert_ne!(supervisor.child("a").await, Ok(first));
        assert_eq!(log.all(), ["a init", "a terminate error: crash", "a init"]);
        assert!(seen.all().iter().all(|line| line == "free true gone true"));
    }
}

async fn each_start_has_arguments_of_its_own() {
    let node = node();
    let made = Arc::new(AtomicUsize::new(0));
    let counted = made.clone();
    // Arguments that could not be cloned: a new one each time.
    let spec = ChildSpec::worker::<Worker>("a", move || {
        counted.fetch_add(1, Ordering::SeqCst);
        Plan::default()
    });
    let supervisor = Supervisor::one_for_one().intensity(10, HOUR).child(spec);
    let supervisor = run(&node, supervisor).await;
    for starts in 2..6 {
        end(&node, supervisor.child("a").await.unwrap(), crash()).await;
        assert_eq!(counts(&supervisor).await, [1, 1, 0, 1]);
        assert_eq!(made.load(Ordering::SeqCst), starts);
    }
    // Where there is only one it is a temporary child, and is used once.
    let supervisor = run(&node, Supervisor::one_for_one()).await;
    let once = ChildSpec::once::<Worker>("once", Plan::default());
    let pid = supervisor.start_child(once).await.unwrap();
    end(&node, pid, crash()).await;
    assert_eq!(counts(&supervisor).await, [0, 0, 0, 0]);
}
