//! How supervisors and their children end.

use otp::testing::Probe;
use otp::{
    ChildSpec, ExitReason, Next, Options, Restart, Shutdown, Supervisor, SupervisorRef, eventually,
};

use super::*;
use crate::support::{Message, node, within};

crate::cases! {
    workers_may_have_as_long_as_they_need: "SUP-016";
    a_child_that_does_not_end_in_time_is_killed [Paused]: "SUP-017", "SUP-101";
    a_brutal_child_has_no_terminate: "SUP-019";
    children_that_end_by_themselves_do_not_hold_up_the_stop: "SUP-021";
    a_tree_that_crashes_while_it_starts_is_gone_at_once: "SUP-051";
    a_child_that_unlinks_itself_is_not_lost [Paused]: "SUP-055";
    only_its_parent_stops_a_supervisor: "SUP-098";
    a_killed_supervisor_leaves_no_orphans: "SUP-102";
}

async fn workers_may_have_as_long_as_they_need() {
    let (node, log) = (node(), Log::default());
    let inner = log.clone();
    let description = Supervisor::one_for_one()
        .child(child("worker", &log).shutdown(Shutdown::Infinity))
        .child(ChildSpec::supervisor("inner", move || {
            Supervisor::one_for_one().child(child("leaf", &inner))
        }));
    let supervisor = run(&node, description).await;
    let mut probe = Probe::start(&node).await.unwrap();
    let (worker, inner) = (
        supervisor.child("worker").await.unwrap(),
        supervisor.child("inner").await.unwrap(),
    );
    probe.monitor(worker).await;
    probe.monitor(inner).await;
    supervisor.stop(ExitReason::Shutdown, LONG).await.unwrap();
    assert_eq!(probe.expect_down(worker).await.1, ExitReason::Shutdown);
    assert_eq!(probe.expect_down(inner).await.1, ExitReason::Shutdown);
    assert_eq!(
        log.all()[2..],
        ["leaf terminate shutdown", "worker terminate shutdown"]
    );
}

async fn a_child_that_does_not_end_in_time_is_killed() {
    let (node, log) = (node(), Log::default());
    let description = Supervisor::one_for_one()
        .child(child("good", &log))
        .child(stubborn("slow", &log).shutdown(Shutdown::Timeout(secs(1))));
    let supervisor = run(&node, description).await;
    let mut probe = Probe::start(&node).await.unwrap();
    let (good, slow) = (
        supervisor.child("good").await.unwrap(),
        supervisor.child("slow").await.unwrap(),
    );
    probe.monitor(good).await;
    probe.monitor(slow).await;
    log.clear();
    let begun = tokio::time::Instant::now();
    supervisor.stop(ExitReason::Shutdown, LONG).await.unwrap();
    // Not sooner than its time, and not much later.
    assert!(
        (secs(1)..secs(2)).contains(&begun.elapsed()),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(probe.expect_down(slow).await.1, ExitReason::Killed);
    assert_eq!(probe.expect_down(good).await.1, ExitReason::Shutdown);
    // Told to shut down first; the one before it only when it was gone.
    assert_eq!(
        log.all(),
        ["slow terminate shutdown", "good terminate shutdown"]
    );
}

async fn a_brutal_child_has_no_terminate() {
    let (node, log) = (node(), Log::default());
    let description = Supervisor::one_for_one()
        .child(child("a", &log).shutdown(Shutdown::Brutal))
        .child(child("b", &log));
    let supervisor = run(&node, description).await;
    let mut probe = Probe::start(&node).await.unwrap();
    let brutal = supervisor.child("a").await.unwrap();
    probe.monitor(brutal).await;
    log.clear();
    supervisor.stop(ExitReason::Shutdown, LONG).await.unwrap();
    assert_eq!(probe.expect_down(brutal).await.1, ExitReason::Killed);
    assert_eq!(log.all(), ["b terminate shutdown"]);
}

/// Ends another child while it is stopped itself, which the supervisor is about to stop next.
async fn children_that_end_by_themselves_do_not_hold_up_the_stop() {
    for reason in [
        ExitReason::Normal,
        ExitReason::Shutdown,
        ExitReason::ShutdownWith("x".into()),
        crash(),
        ExitReason::Killed,
    ] {
        for restart in [Restart::Permanent, Restart::Transient, Restart::Temporary] {
            let (node, log) = (node(), Log::default());
            let reports = reported(&node);
            let last = {
                let (node, reason) = (node.clone(), reason.clone());
                // Its end, which the supervisor waits for, ends the other one.
                ChildSpec::function("last", move |start| {
                    let (node, reason) = (node.clone(), reason.clone());
                    async move {
                        let plan = Plan {
                            name: "last",
                            ..Plan::default()
                        };
                        let started = start.server::<Worker>(plan).await?;
                        let watched = node.wait_for_exit(started.pid());
                        tokio::spawn(async move {
                            watched.await;
                            if let Some(pid) = node.whereis("racer") {
                                end(&node, pid, reason).await;
                            }
                        });
                        Ok(started)
                    }
                })
            };
            let description = Supervisor::one_for_one()
                .child(child("racer", &log).restart(restart))
                .child(last);
            let supervisor = run(&node, description).await;
            let racer = node.whereis_ref::<Worker>("racer").unwrap();
            supervisor.stop(ExitReason::Shutdown, LONG).await.unwrap();
            // Its own reason if it was faster, and never another.
            let ended = racer.wait_for_exit().await;
            assert!(ended == reason || ended == ExitReason::Shutdown, "{ended}");
            eventually!(node.process_count() == 0);
            for (context, what) in supervisor_reports(&reports) {
                assert_eq!(context, SupervisorContext::ShutdownError);
                assert_eq!(what, format!("racer: {reason}"));
            }
            // It was not restarted.
            assert_eq!(
                log.all()
                    .iter()
                    .filter(|line| *line == "racer init")
                    .count(),
                1
            );
        }
    }
}

async fn a_tree_that_crashes_while_it_starts_is_gone_at_once() {
    let (node, log) = (node(), Log::default());
    let mut parent = Probe::start(&node).await.unwrap();
    let reports = reported(&node);
    let inner = log.clone();
    let description =
        Supervisor::one_for_one()
            .child(child("a", &log))
            .child(ChildSpec::supervisor("inner", move || {
                let script = Script::default();
                script.then(Begin::Panic);
                let faulty = scripted("faulty", &inner, &script);
                Supervisor::one_for_one()
                    .child(child("b", &inner))
                    .child(faulty)
            }));
    let start = parent.run(|ctx| description.start_link(ctx, Options::new()));
    let error = start.await.await.unwrap_err().to_string();
    // The whole way to the reason is in it.
    for part in ["child inner", "child faulty", "init panics"] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(
        log.all(),
        [
            "a init",
            "b init",
            "faulty init",
            "b terminate shutdown",
            "a terminate shutdown"
        ]
    );
    parent.expect_nothing().await;
    assert_eq!(node.process_count(), 1);
    // Told where it happened, and not that children did not stop as told, which they did.
    let contexts: Vec<_> = supervisor_reports(&reports);
    let contexts: Vec<_> = contexts.into_iter().map(|(context, _)| context).collect();
    assert_eq!(contexts, [SupervisorContext::StartError; 2]);
}

async fn a_child_that_unlinks_itself_is_not_lost() {
    let (node, log) = (node(), Log::default());
    let description = Supervisor::one_for_one()
        .intensity(10, HOUR)
        .child(child("naughty", &log).shutdown(Shutdown::Timeout(secs(1))));
    let supervisor = run(&node, description).await;
    let unlink = |supervisor: &SupervisorRef| {
        let worker = node.whereis_ref::<Worker>("naughty").unwrap();
        let parent = supervisor.pid();
        async move {
            within(&worker, move |ctx| ctx.unlink(parent)).await;
            worker
        }
    };
    // Its death is noticed.
    let first = unlink(&supervisor).await;
    end(&node, first.pid(), crash()).await;
    assert_eq!(counts(&supervisor).await, [1, 1, 0, 1]);
    assert_ne!(supervisor.child("naughty").await, Ok(first.pid()));
    // It can be stopped, by itself and with the supervisor.
    let second = unlink(&supervisor).await;
    supervisor.terminate_child("naughty").await.unwrap();
    assert_eq!(second.wait_for_exit().await, ExitReason::Shutdown);
    supervisor.restart_child("naughty").await.unwrap();
    unlink(&supervisor).await;
    supervisor.stop(ExitReason::Shutdown, LONG).await.unwrap();
    assert_eq!(node.process_count(), 0);
}

async fn only_its_parent_stops_a_supervisor() {
    let (node, log) = (node(), Log::default());
    let parent = Probe::start(&node).await.unwrap();
    let description =
        Supervisor::one_for_one().children([child("a", &log), child("b", &log), child("c", &log)]);
    let start = parent.run(|ctx| description.start_link(ctx, Options::new()));
    let supervisor = start.await.await.unwrap();
    log.clear();
    let stranger = Probe::start(&node).await.unwrap();
    for reason in [ExitReason::Shutdown, crash(), ExitReason::Normal] {
        node.exit(supervisor.pid(), reason.clone());
        stranger.exit(supervisor.pid(), reason).await;
    }
    // Nor an exit signal of a child that lives on.
    let worker = node.whereis_ref::<Worker>("b").unwrap();
    let pid = supervisor.pid();
    within(&worker, move |ctx| ctx.exit(pid, crash())).await;
    assert_eq!(states(&supervisor).await, ["a runs", "b runs", "c runs"]);
    assert!(log.all().is_empty());
    assert_eq!(supervisor.child("b").await, Ok(worker.pid()));
    let watched = node.wait_for_exit(supervisor.pid());
    parent
        .run(|ctx| ctx.exit(ctx.pid(), ExitReason::Kill))
        .await;
    assert_eq!(watched.await, ExitReason::Killed);
    assert_eq!(
        log.all(),
        [
            "c terminate shutdown",
            "b terminate shutdown",
            "a terminate shutdown"
        ]
    );
}

async fn a_killed_supervisor_leaves_no_orphans() {
    let (node, log) = (node(), Log::default());
    let inner = log.clone();
    let inner_spec = ChildSpec::supervisor("inner", move || {
        let deep = inner.clone();
        Supervisor::one_for_one()
            .child(child("leaf", &inner))
            .child(ChildSpec::supervisor("deep", move || {
                Supervisor::one_for_one().child(child("deepest", &deep))
            }))
    });
    assert_eq!(inner_spec.shutdown_type(), Shutdown::Infinity);
    let brutal = inner_spec.shutdown(Shutdown::Brutal);
    let supervisor = run(&node, Supervisor::one_for_one().child(brutal)).await;
    let worker = node.whereis_ref::<Worker>("deepest").unwrap();
    supervisor.stop(ExitReason::Shutdown, LONG).await.unwrap();
    // Its supervisor hears of the kill, and stops it in good order.
    assert_eq!(worker.wait_for_exit().await, ExitReason::Shutdown);
    eventually!(node.process_count() == 0);
    assert!(log.all().contains(&"leaf terminate killed".to_owned()));
    // One that a worker is waiting in is gone too.
    let supervisor = run(&node, Supervisor::one_for_one().child(child("a", &log))).await;
    let worker = node.whereis_ref::<Worker>("a").unwrap();
    worker.cast(Message::Run(Box::new(|_| Next::Go)));
    node.exit(supervisor.pid(), ExitReason::Kill);
    eventually!(node.process_count() == 0);
}
