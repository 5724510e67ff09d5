//! Whom a failure concerns: one child, all, or the rest.

use otp::{ChildSpec, ExitReason, Restart, Strategy, Supervisor, eventually};

use super::*;
use crate::support::node;

crate::cases! {
    one_for_one_replaces_the_failed_child: "SUP-030";
    one_for_one_escalates: "SUP-031";
    one_for_all_replaces_all: "SUP-032";
    one_for_all_escalates: "SUP-033";
    rest_for_one_replaces_the_rest: "SUP-041";
    rest_for_one_escalates: "SUP-042";
    rest_for_one_stops_in_reverse_and_starts_in_order: "SUP-097";
    a_tree_fails_in_parts: "SUP-056";
}

/// Three children, of which those on the list have other processes after a crash of `b`; and a
/// third crash is too much.
async fn replaces(strategy: Strategy, replaced: [bool; 3]) {
    let (node, log) = (node(), Log::default());
    let supervisor = Supervisor::new(strategy).intensity(2, HOUR);
    let supervisor = supervisor.children(["a", "b", "c"].map(|id| child(id, &log)));
    let supervisor = run(&node, supervisor).await;
    let before = pids(&supervisor).await;
    end_named(&node, "b", crash()).await;
    let after = pids(&supervisor).await;
    assert_eq!(counts(&supervisor).await, [3, 3, 0, 3]);
    for (index, replaced) in replaced.into_iter().enumerate() {
        assert_eq!(before[index] != after[index], replaced, "{index}");
        assert_eq!(!node.is_alive(before[index].unwrap()), replaced);
    }
    // The group counts as one restart.
    end_named(&node, "c", crash()).await;
    assert_eq!(counts(&supervisor).await, [3, 3, 0, 3]);
    end_named(&node, "a", crash()).await;
    assert_eq!(supervisor.wait_for_exit().await, ExitReason::Shutdown);
    eventually!(node.process_count() == 0);
}

async fn one_for_one_replaces_the_failed_child() {
    replaces(Strategy::OneForOne, [false, true, false]).await;
}

async fn one_for_all_replaces_all() {
    replaces(Strategy::OneForAll, [true, true, true]).await;
}

async fn rest_for_one_replaces_the_rest() {
    replaces(Strategy::RestForOne, [false, true, true]).await;
}

/// One child crashes, and this one of the two does not start any more.
async fn escalates(strategy: Strategy, faulty: &'static str) {
    let (node, log, script) = (node(), Log::default(), Script::default());
    let spec = |id| match id == faulty {
        true => scripted(id, &log, &script),
        false => child(id, &log),
    };
    let supervisor = Supervisor::new(strategy).intensity(4, HOUR);
    let supervisor = run(&node, supervisor.child(spec("a")).child(spec("b"))).await;
    let reports = reported(&node);
    script.fails(100);
    let bystander = node.whereis_ref::<Worker>("b").unwrap();
    end_named(&node, "a", crash()).await;
    assert_eq!(supervisor.wait_for_exit().await, ExitReason::Shutdown);
    assert_eq!(bystander.wait_for_exit().await, ExitReason::Shutdown);
    assert_eq!(node.process_count(), 0);
    // Each attempt counts: four of them, and none after that.
    let failed = format!("{faulty} init");
    assert_eq!(
        log.all().iter().filter(|line| **line == failed).count(),
        1 + 4
    );
    let last = supervisor_reports(&reports).pop().unwrap();
    assert_eq!(last.0, SupervisorContext::Shutdown);
}

async fn one_for_one_escalates() {
    escalates(Strategy::OneForOne, "a").await;
}

async fn one_for_all_escalates() {
    escalates(Strategy::OneForAll, "b").await;
    escalates(Strategy::OneForAll, "a").await;
}

async fn rest_for_one_escalates() {
    escalates(Strategy::RestForOne, "b").await;
}

async fn rest_for_one_stops_in_reverse_and_starts_in_order() {
    let (node, log) = (node(), Log::default());
    let supervisor = Supervisor::rest_for_one();
    let supervisor = supervisor.children(["w0", "w1", "w2", "w3"].map(|id| child(id, &log)));
    let supervisor = run(&node, supervisor).await;
    assert_eq!(log.all(), ["w0 init", "w1 init", "w2 init", "w3 init"]);
    let first = node.whereis("w0");
    log.clear();
    end_named(&node, "w1", crash()).await;
    assert_eq!(counts(&supervisor).await, [4, 4, 0, 4]);
    assert_eq!(
        log.all(),
        [
            "w1 terminate error: crash",
            "w3 terminate shutdown",
            "w2 terminate shutdown",
            "w1 init",
            "w2 init",
            "w3 init"
        ]
    );
    assert_eq!(node.whereis("w0"), first);
}

async fn a_tree_fails_in_parts() {
    let (node, log, script) = (node(), Log::default(), Script::default());
    let inner = log.clone();
    let first = ChildSpec::supervisor("sup1", move || {
        let supervisor = Supervisor::one_for_one().intensity(4, HOUR);
        supervisor
            .child(child("one", &inner))
            .child(child("two", &inner))
    });
    let empty = || Supervisor::one_for_one().intensity(4, HOUR);
    let second = ChildSpec::supervisor("sup2", empty);
    let third = ChildSpec::supervisor("sup3", empty).restart(Restart::Transient);
    let top = run(&node, Supervisor::one_for_all().intensity(4, HOUR)).await;
    let inner = |pid| SupervisorRef::from_pid(&node, pid).unwrap();
    let sup1 = inner(top.start_child(first).await.unwrap());
    let sup2 = inner(top.start_child(second).await.unwrap());
    top.start_child(third).await.unwrap();
    top.terminate_child("sup3").await.unwrap();
    assert_eq!(counts(&top).await, [3, 2, 3, 0]);
    assert_eq!(counts(&sup1).await, [2, 2, 0, 2]);
    let three = scripted("three", &log, &script);
    sup2.start_child(three).await.unwrap();
    let four = sup2.start_child(child("four", &log)).await.unwrap();
    // Only what crashed is replaced.
    let before = pids(&sup1).await;
    end(&node, four, crash()).await;
    assert_eq!(counts(&sup2).await, [2, 2, 0, 2]);
    assert_ne!(sup2.child("four").await, Ok(four));
    assert_eq!(pids(&sup1).await, before);
    // A supervisor that gives up takes its siblings along; what was added to it is lost, what was
    // stopped on request is started with the group.
    script.fails(100);
    end_named(&node, "three", crash()).await;
    sup2.wait_for_exit().await;
    eventually!(
        node.whereis("two")
            .is_some_and(|pid| Some(pid) != before[1])
    );
    assert_eq!(states(&top).await, ["sup1 runs", "sup2 runs", "sup3 runs"]);
    assert_eq!(counts(&top).await, [3, 3, 3, 0]);
    let [one, two, three] = pids(&top).await[..] else {
        panic!("three supervisors");
    };
    assert_eq!(counts(&inner(one.unwrap())).await, [2, 2, 0, 2]);
    assert_eq!(counts(&inner(two.unwrap())).await, [0, 0, 0, 0]);
    assert_eq!(counts(&inner(three.unwrap())).await, [0, 0, 0, 0]);
    // And in the end from the leaves of the last to those of the first.
    log.clear();
    top.stop(ExitReason::Shutdown, LONG).await.unwrap();
    assert_eq!(
        log.all(),
        ["two terminate shutdown", "one terminate shutdown"]
    );
    assert_eq!(node.process_count(), 0);
}
