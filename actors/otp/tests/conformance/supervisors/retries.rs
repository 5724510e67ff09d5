//! Restarts that fail, and are tried again while the supervisor does other things.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use otp::testing::Probe;
use otp::{
    ChildSpec, DynamicSupervisor, ExitReason, Options, Shutdown, StartError, Supervisor,
    SupervisorError,
};

use super::*;
use crate::support::node;

crate::cases! {
    a_supervisor_answers_between_attempts [Paused]: "SUP-073";
    a_rest_waits_for_the_one_that_fails [Paused]: "SUP-074";
    a_dynamic_supervisor_answers_between_attempts [Paused]: "SUP-075";
    a_restarting_child_is_known_and_not_active [Paused]: "SUP-067";
    a_failed_attempt_counts_and_does_not_block [Paused]: "SUP-100";
}

/// A child that, while the switch is on, needs two seconds to find out that it cannot start.
#[derive(Clone, Default)]
pub(super) struct Deadlock {
    fails: Arc<AtomicBool>,
    attempts: Arc<AtomicUsize>,
}

impl Deadlock {
    pub(super) fn spec(&self, id: &'static str) -> ChildSpec {
        let this = self.clone();
        ChildSpec::function(id, move |start| {
            let this = this.clone();
            async move {
                this.attempts.fetch_add(1, Ordering::SeqCst);
                if this.fails.load(Ordering::SeqCst) {
                    tokio::time::sleep(secs(2)).await;
                    return Err(StartError::Failed(ExitReason::error("deadlock")));
                }
                start.server::<Worker>(Plan::default()).await
            }
        })
        .shutdown(Shutdown::Brutal)
    }

    pub(super) fn fail(&self, fails: bool) {
        self.fails.store(fails, Ordering::SeqCst);
    }

    fn attempts(&self) -> usize {
        self.attempts.load(Ordering::SeqCst)
    }
}

async fn a_supervisor_answers_between_attempts() {
    let (node, deadlock) = (node(), Deadlock::default());
    let supervisor = run(&node, Supervisor::one_for_one().intensity(8, secs(10))).await;
    let first = supervisor.start_child(deadlock.spec("a")).await.unwrap();
    deadlock.fail(true);
    end(&node, first, crash()).await;
    tokio::time::sleep(secs(5)).await;
    assert_eq!(
        supervisor.start_child(deadlock.spec("a")).await,
        Err(SupervisorError::AlreadyPresent)
    );
    assert_eq!(
        supervisor.restart_child("a").await,
        Err(SupervisorError::Restarting)
    );
    assert_eq!(
        supervisor.delete_child("a").await,
        Err(SupervisorError::Restarting)
    );
    assert_eq!(states(&supervisor).await, ["a restarting"]);
    assert_eq!(counts(&supervisor).await, [1, 0, 0, 1]);
    supervisor.terminate_child("a").await.unwrap();
    assert_eq!(states(&supervisor).await, ["a stopped"]);
    let attempts = deadlock.attempts();
    tokio::time::sleep(secs(10)).await;
    assert_eq!(deadlock.attempts(), attempts, "nobody tries any more");
    deadlock.fail(false);
    let second = supervisor.restart_child("a").await.unwrap();
    // It can be stopped in the middle of it too.
    deadlock.fail(true);
    end(&node, second, crash()).await;
    tokio::time::sleep(secs(3)).await;
    supervisor.stop(ExitReason::Shutdown, LONG).await.unwrap();
    assert_eq!(node.process_count(), 0);
}

async fn a_rest_waits_for_the_one_that_fails() {
    let (node, log, deadlock) = (node(), Log::default(), Deadlock::default());
    let supervisor = Supervisor::rest_for_one()
        .intensity(8, secs(10))
        .child(child("one", &log).shutdown(Shutdown::Brutal))
        .child(deadlock.spec("two"))
        .child(child("three", &log).shutdown(Shutdown::Brutal));
    let supervisor = run(&node, supervisor).await;
    let one = node.whereis("one");
    deadlock.fail(true);
    end(&node, supervisor.child("two").await.unwrap(), crash()).await;
    tokio::time::sleep(secs(5)).await;
    assert_eq!(
        supervisor.start_child(deadlock.spec("two")).await,
        Err(SupervisorError::AlreadyPresent)
    );
    assert_eq!(
        supervisor.restart_child("two").await,
        Err(SupervisorError::Restarting)
    );
    assert_eq!(
        supervisor.delete_child("two").await,
        Err(SupervisorError::Restarting)
    );
    let expected = ["one runs", "two restarting", "three stopped"];
    assert_eq!(states(&supervisor).await, expected);
    assert_eq!(counts(&supervisor).await, [3, 1, 0, 3]);
    assert_eq!(node.whereis("one"), one);
    supervisor.terminate_child("two").await.unwrap();
    let expected = ["one runs", "two stopped", "three stopped"];
    assert_eq!(states(&supervisor).await, expected);
    deadlock.fail(false);
    let second = supervisor.restart_child("two").await.unwrap();
    deadlock.fail(true);
    end(&node, second, crash()).await;
    tokio::time::sleep(secs(3)).await;
    supervisor.stop(ExitReason::Shutdown, LONG).await.unwrap();
    assert_eq!(node.process_count(), 0);
}

async fn a_dynamic_supervisor_answers_between_attempts() {
    let (node, deadlock) = (node(), Deadlock::default());
    let supervisor = dynamic(&node, DynamicSupervisor::new().intensity(8, secs(10))).await;
    let first = supervisor.start_child(deadlock.spec("a")).await.unwrap();
    deadlock.fail(true);
    end(&node, first, crash()).await;
    tokio::time::sleep(secs(5)).await;
    let children = supervisor.which_children().await.unwrap();
    assert_eq!(children[0].state, ChildState::Restarting);
    assert_eq!(dynamic_counts(&supervisor).await, [1, 0, 0, 1]);
    supervisor.terminate_child(first).await.unwrap();
    assert_eq!(supervisor.which_children().await, Ok(vec![]));
    deadlock.fail(false);
    let second = supervisor.start_child(deadlock.spec("a")).await.unwrap();
    deadlock.fail(true);
    end(&node, second, crash()).await;
    tokio::time::sleep(secs(3)).await;
    supervisor.stop(ExitReason::Shutdown, LONG).await.unwrap();
    assert_eq!(node.process_count(), 0);
}

async fn a_restarting_child_is_known_and_not_active() {
    let (node, deadlock) = (node(), Deadlock::default());
    let supervisor = dynamic(&node, DynamicSupervisor::new().intensity(20, secs(10))).await;
    for started in 1..=3 {
        supervisor.start_child(deadlock.spec("a")).await.unwrap();
        assert_eq!(
            dynamic_counts(&supervisor).await,
            [started, started, 0, started]
        );
    }
    let pids = || async {
        let children = supervisor.which_children().await.unwrap();
        children
            .iter()
            .filter_map(|child| child.state.pid())
            .collect::<Vec<_>>()
    };
    for pid in pids().await {
        end(&node, pid, crash()).await;
    }
    assert_eq!(dynamic_counts(&supervisor).await, [3, 3, 0, 3]);
    deadlock.fail(true);
    for pid in &pids().await[..2] {
        end(&node, *pid, crash()).await;
    }
    tokio::time::sleep(secs(7)).await;
    assert_eq!(dynamic_counts(&supervisor).await, [3, 1, 0, 3]);
    deadlock.fail(false);
    tokio::time::sleep(secs(7)).await;
    assert_eq!(dynamic_counts(&supervisor).await, [3, 3, 0, 3]);
    for left in (0..3).rev() {
        supervisor.terminate_child(pids().await[0]).await.unwrap();
        assert_eq!(dynamic_counts(&supervisor).await, [left, left, 0, left]);
    }
    // The same of a static supervisor.
    let supervisor = Supervisor::one_for_one()
        .intensity(20, secs(10))
        .child(deadlock.spec("a"));
    let supervisor = run(&node, supervisor).await;
    deadlock.fail(true);
    end(&node, supervisor.child("a").await.unwrap(), crash()).await;
    tokio::time::sleep(secs(5)).await;
    assert_eq!(states(&supervisor).await, ["a restarting"]);
    assert_eq!(counts(&supervisor).await, [1, 0, 0, 1]);
}

async fn a_failed_attempt_counts_and_does_not_block() {
    let (node, deadlock) = (node(), Deadlock::default());
    let mut probe = Probe::start(&node).await.unwrap();
    // Five attempts, two seconds each: the sixth would be one too many.
    let supervisor = Supervisor::one_for_one()
        .intensity(5, HOUR)
        .child(deadlock.spec("a"));
    let supervisor = supervisor
        .start(&node, Options::new().mailbox_max(1))
        .await
        .unwrap();
    probe.monitor(supervisor.pid()).await;
    deadlock.fail(true);
    let begun = tokio::time::Instant::now();
    end(&node, supervisor.child("a").await.unwrap(), crash()).await;
    // A question that was asked during the first attempt is answered before the last; and with
    // a mailbox that is full of it the attempts still go on.
    tokio::time::sleep(secs(1)).await;
    assert_eq!(counts(&supervisor).await, [1, 0, 0, 1]);
    assert!(begun.elapsed() < secs(3), "{:?}", begun.elapsed());
    assert_eq!(
        probe.expect_down(supervisor.pid()).await.1,
        ExitReason::Shutdown
    );
    assert_eq!(begun.elapsed().as_secs(), 10);
    assert_eq!(deadlock.attempts(), 1 + 5);
}
