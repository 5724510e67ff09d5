//! When children are started again.

use otp::{
    ChildSpec, ChildState, DynamicSupervisor, DynamicSupervisorRef, ExitReason, Options, Pid,
    Restart, StartError, SupervisorError, eventually,
};

use crate::supervisors::*;
use crate::support::{Begin, Log, Plan, Worker, node};

crate::cases! {
    temporary_children_are_not_restarted: "DSUP-015";
    transient_children_are_restarted_after_a_crash: "DSUP-016";
    permanent_children_are_always_restarted: "DSUP-017";
    a_restart_takes_what_the_start_gives [Paused]: "DSUP-018";
    a_child_that_does_not_come_back_counts [Paused]: "DSUP-019";
    a_child_that_came_back_counts: "DSUP-020";
    extra_arguments_reach_each_restart: "DSUP-021";
    a_restart_is_tried_again_until_it_succeeds: "DSUP-022";
    too_many_restarts_end_it: "DSUP-023";
    attempts_count: "DSUP-024";
    a_restarting_child_can_be_stopped [Paused]: "DSUP-037";
}

fn spec(script: &Script) -> ChildSpec {
    let script = script.clone();
    ChildSpec::worker::<Worker>("w", move || Plan {
        begin: script.next(),
        ..Plan::default()
    })
}

/// Workers and active ones.
async fn count(supervisor: &DynamicSupervisorRef) -> (usize, usize) {
    let count = supervisor.count_children().await.unwrap();
    (count.workers, count.active)
}

async fn restarts(restart: Restart, reason: ExitReason, restarted: bool) {
    let node = crate::support::node();
    let supervisor = dynamic(&node, DynamicSupervisor::new()).await;
    let spec = spec(&Script::default()).restart(restart);
    let first = supervisor.start_child(spec).await.unwrap();
    end(&node, first, reason.clone()).await;
    let expected = usize::from(restarted);
    assert_eq!(
        count(&supervisor).await,
        (expected, expected),
        "{restart:?} {reason}"
    );
    let children = supervisor.which_children().await.unwrap();
    assert!(
        children
            .iter()
            .all(|child| child.state.pid() != Some(first))
    );
}

fn clean() -> [ExitReason; 3] {
    [
        ExitReason::Normal,
        ExitReason::Shutdown,
        ExitReason::ShutdownWith("signal".into()),
    ]
}

async fn temporary_children_are_not_restarted() {
    for reason in clean().into_iter().chain([crash(), ExitReason::Killed]) {
        restarts(Restart::Temporary, reason, false).await;
    }
}

async fn transient_children_are_restarted_after_a_crash() {
    for reason in clean() {
        restarts(Restart::Transient, reason, false).await;
    }
    for reason in [crash(), ExitReason::Killed] {
        restarts(Restart::Transient, reason, true).await;
    }
}

async fn permanent_children_are_always_restarted() {
    for reason in clean().into_iter().chain([crash(), ExitReason::Killed]) {
        restarts(Restart::Permanent, reason, true).await;
    }
}

/// A child whose first start is good, and whose later ones do this, slowly if they fail.
fn later(begin: Option<Begin>) -> ChildSpec {
    let first = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    ChildSpec::function("w", move |start| {
        let first = first.swap(false, std::sync::atomic::Ordering::SeqCst);
        let begin = begin.clone();
        async move {
            match begin {
                Some(begin) if !first => {
                    tokio::time::sleep(secs(1)).await;
                    let plan = Plan {
                        begin,
                        ..Plan::default()
                    };
                    start.server::<Worker>(plan).await
                }
                Some(_) => start.server::<Worker>(Plan::default()).await,
                None => {
                    let started = start.server::<Worker>(Plan::default()).await?;
                    Ok(started.with_info("extra"))
                }
            }
        }
    })
}

async fn a_restart_takes_what_the_start_gives() {
    let node = node();
    let supervisor = dynamic(&node, DynamicSupervisor::new().intensity(100_000, secs(5))).await;
    let fails = Begin::Stop(ExitReason::Error("found".into()));
    for (begin, workers, active) in [
        (Some(Begin::Run), 1, 1),
        (None, 2, 2),
        (Some(Begin::Ignore), 2, 2),
        (Some(fails), 3, 2),
        (Some(Begin::Panic), 4, 2),
    ] {
        let pid = supervisor.start_child(later(begin)).await.unwrap();
        end(&node, pid, ExitReason::Shutdown).await;
        assert_eq!(count(&supervisor).await, (workers, active));
    }
    let children = supervisor.which_children().await.unwrap();
    let restarting = children
        .iter()
        .filter(|child| child.state == ChildState::Restarting);
    assert_eq!(restarting.count(), 2);
}

async fn a_child_that_does_not_come_back_counts() {
    let node = node();
    let supervisor = DynamicSupervisor::new()
        .max_children(1)
        .intensity(100_000, secs(5));
    let supervisor = dynamic(&node, supervisor).await;
    let fails = Begin::Stop(ExitReason::Error("found".into()));
    let pid = supervisor.start_child(later(Some(fails))).await.unwrap();
    end(&node, pid, ExitReason::Shutdown).await;
    assert_eq!(count(&supervisor).await, (1, 0));
    let refused = supervisor.start_child(spec(&Script::default())).await;
    assert_eq!(refused, Err(SupervisorError::MaxChildren));
}

async fn a_child_that_came_back_counts() {
    let node = node();
    let supervisor = dynamic(&node, DynamicSupervisor::new().max_children(1)).await;
    let pid = supervisor
        .start_child(spec(&Script::default()))
        .await
        .unwrap();
    end(&node, pid, ExitReason::Shutdown).await;
    assert_eq!(count(&supervisor).await, (1, 1));
    let refused = supervisor.start_child(spec(&Script::default())).await;
    assert_eq!(refused, Err(SupervisorError::MaxChildren));
}

async fn extra_arguments_reach_each_restart() {
    let (node, log) = (node(), Log::default());
    let supervisor = DynamicSupervisor::new().extra_arguments(log.clone());
    let supervisor = dynamic(&node, supervisor).await;
    let spec = ChildSpec::worker_with::<Worker, Log>("w", |log| Plan {
        name: "w",
        log: log.clone(),
        ..Plan::default()
    });
    let spec = spec.restart(Restart::Transient);
    let pid = supervisor.start_child(spec).await.unwrap();
    assert_eq!(count(&supervisor).await, (1, 1));
    end(&node, pid, crash()).await;
    assert_eq!(count(&supervisor).await, (1, 1));
    assert_eq!(log.all(), ["w init", "w terminate error: crash", "w init"]);
}

/// A child that is registered, and how many starts fail.
async fn flaky(node: &otp::Node, restarts: usize, fails: usize) -> (DynamicSupervisorRef, Pid) {
    let script = Script::default();
    let supervisor = DynamicSupervisor::new().intensity(restarts, HOUR);
    let supervisor = dynamic(node, supervisor).await;
    let spec = spec(&script).options(|| Options::new().name("w"));
    let pid = supervisor.start_child(spec).await.unwrap();
    script.fails(fails);
    end(node, pid, ExitReason::Shutdown).await;
    (supervisor, pid)
}

async fn a_restart_is_tried_again_until_it_succeeds() {
    let node = node();
    let (supervisor, pid) = flaky(&node, 5, 4).await;
    eventually!(count(&supervisor).await == (1, 1));
    let children = supervisor.which_children().await.unwrap();
    assert_eq!(children.len(), 1);
    assert_ne!(children[0].state.pid(), Some(pid));
    assert_eq!(node.whereis("w"), children[0].state.pid());
}

async fn too_many_restarts_end_it() {
    let node = node();
    let supervisor = dynamic(&node, DynamicSupervisor::new().intensity(1, HOUR)).await;
    let bystander = supervisor
        .start_child(spec(&Script::default()))
        .await
        .unwrap();
    let watched = node.wait_for_exit(bystander);
    let first = supervisor
        .start_child(spec(&Script::default()))
        .await
        .unwrap();
    end(&node, first, ExitReason::Shutdown).await;
    assert_eq!(count(&supervisor).await, (2, 2));
    let second = supervisor.which_children().await.unwrap()[1]
        .state
        .pid()
        .unwrap();
    end(&node, second, ExitReason::Shutdown).await;
    assert_eq!(supervisor.wait_for_exit().await, ExitReason::Shutdown);
    assert_eq!(watched.await, ExitReason::Shutdown);
    assert_eq!(node.process_count(), 0);
}

async fn attempts_count() {
    let node = node();
    // Ten are allowed: the tenth that fails leaves no other.
    let (supervisor, _) = flaky(&node, 10, 10).await;
    assert_eq!(supervisor.wait_for_exit().await, ExitReason::Shutdown);
    let (supervisor, _) = flaky(&node, 10, 9).await;
    eventually!(count(&supervisor).await == (1, 1));
}

async fn a_restarting_child_can_be_stopped() {
    let node = node();
    let supervisor = dynamic(&node, DynamicSupervisor::new().intensity(100_000, secs(5))).await;
    let fails = Begin::Stop(ExitReason::Error("found".into()));
    let pid = supervisor.start_child(later(Some(fails))).await.unwrap();
    end(&node, pid, ExitReason::Shutdown).await;
    assert_eq!(count(&supervisor).await, (1, 0));
    supervisor.terminate_child(pid).await.unwrap();
    assert_eq!(
        supervisor.terminate_child(pid).await,
        Err(SupervisorError::NotFound)
    );
    assert_eq!(count(&supervisor).await, (0, 0));
    // The attempt that was under way leaves nothing.
    tokio::time::sleep(secs(5)).await;
    assert_eq!(count(&supervisor).await, (0, 0));
    assert_eq!(node.process_count(), 1);
    let unknown = Err(SupervisorError::NotFound);
    assert_eq!(supervisor.terminate_child(supervisor.pid()).await, unknown);
    let _ = StartError::Ignore;
}
