//! What can go wrong while a group is restarted, and who is not restarted with it.

use otp::{Next, Restart, Strategy, Supervisor};

use super::*;
use crate::support::{Message, node};

crate::cases! {
    another_child_fails_and_all_are_restarted_again: "SUP-034";
    another_child_fails_and_the_rest_is_restarted_from_it: "SUP-043";
    temporary_bystanders_are_not_restarted: "SUP-071";
    the_order_of_children_is_stable: "SUP-076";
    two_crashes_at_once_make_no_two_restarts_at_once: "SUP-104";
}

/// `a` crashes, and `b` does not start the first time after that.
async fn another_fails(strategy: Strategy) -> (Vec<String>, Vec<String>) {
    let (node, log, script) = (node(), Log::default(), Script::default());
    let supervisor = Supervisor::new(strategy)
        .intensity(3, HOUR)
        .child(child("a", &log))
        .child(scripted("b", &log, &script))
        .child(child("c", &log));
    let supervisor = run(&node, supervisor).await;
    log.clear();
    script.fails(1);
    end_named(&node, "a", crash()).await;
    otp::eventually!(counts(&supervisor).await == [3, 3, 0, 3]);
    let after = log.all();
    // Both attempts were counted: one more is allowed, and another is not.
    end_named(&node, "c", crash()).await;
    assert_eq!(counts(&supervisor).await, [3, 3, 0, 3]);
    let last = states(&supervisor).await;
    end_named(&node, "c", crash()).await;
    supervisor.wait_for_exit().await;
    (after, last)
}

async fn another_child_fails_and_all_are_restarted_again() {
    let (log, states) = another_fails(Strategy::OneForAll).await;
    assert_eq!(
        log,
        [
            "a terminate error: crash",
            "c terminate shutdown",
            "b terminate shutdown",
            "a init",
            "b init",
            // It did not start: the group again, from the beginning.
            "a terminate shutdown",
            "a init",
            "b init",
            "c init",
        ]
    );
    assert_eq!(states, ["a runs", "b runs", "c runs"]);
}

async fn another_child_fails_and_the_rest_is_restarted_from_it() {
    let (log, states) = another_fails(Strategy::RestForOne).await;
    assert_eq!(
        log,
        [
            "a terminate error: crash",
            "c terminate shutdown",
            "b terminate shutdown",
            "a init",
            "b init",
            // It did not start: from it on again, the one before it stays.
            "b init",
            "c init",
        ]
    );
    assert_eq!(states, ["a runs", "b runs", "c runs"]);
}

async fn temporary_bystanders_are_not_restarted() {
    for strategy in [Strategy::OneForAll, Strategy::RestForOne] {
        let (node, log) = (node(), Log::default());
        let supervisor = Supervisor::new(strategy)
            .intensity(4, HOUR)
            .child(child("a", &log))
            .child(child("t", &log).restart(Restart::Temporary))
            .child(child("b", &log))
            .child(child("u", &log).restart(Restart::Temporary));
        let supervisor = run(&node, supervisor).await;
        log.clear();
        end_named(&node, "a", ExitReason::Normal).await;
        assert_eq!(states(&supervisor).await, ["a runs", "b runs"]);
        assert_eq!(
            log.all(),
            [
                "a terminate normal",
                "u terminate shutdown",
                "b terminate shutdown",
                "t terminate shutdown",
                "a init",
                "b init"
            ]
        );
        // Not if the restart fails half-way either.
        let script = Script::default();
        supervisor
            .start_child(scripted("c", &log, &script))
            .await
            .unwrap();
        let temporary = child("v", &log).restart(Restart::Temporary);
        supervisor.start_child(temporary).await.unwrap();
        script.fails(1);
        end_named(&node, "a", crash()).await;
        otp::eventually!(counts(&supervisor).await == [3, 3, 0, 3]);
        assert!(
            !log.all()
                .iter()
                .skip(6)
                .any(|line| line == "t init" || line == "u init")
        );
        assert_eq!(log.all().iter().filter(|line| *line == "v init").count(), 1);
    }
}

async fn the_order_of_children_is_stable() {
    let (node, log) = (node(), Log::default());
    let ids = ["a", "b", "c", "d", "e"];
    let supervisor = Supervisor::one_for_one().intensity(20, HOUR);
    let supervisor = run(&node, supervisor.children(ids.map(|id| child(id, &log)))).await;
    let listed = || async {
        let children = supervisor.which_children().await.unwrap();
        children
            .iter()
            .map(|child| child.id.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(listed().await, ids);
    for id in ["c", "a", "e", "c"] {
        end_named(&node, id, crash()).await;
        assert_eq!(listed().await, ids);
    }
    supervisor.terminate_child("b").await.unwrap();
    supervisor.restart_child("b").await.unwrap();
    assert_eq!(listed().await, ids);
    // One that is added comes last, also one that was there before.
    supervisor.terminate_child("b").await.unwrap();
    supervisor.delete_child("b").await.unwrap();
    supervisor.start_child(child("b", &log)).await.unwrap();
    assert_eq!(listed().await, ["a", "c", "d", "e", "b"]);
    log.clear();
    supervisor.stop(ExitReason::Shutdown, LONG).await.unwrap();
    let order = ["b", "e", "d", "c", "a"].map(|id| format!("{id} terminate shutdown"));
    assert_eq!(log.all(), order);
}

async fn two_crashes_at_once_make_no_two_restarts_at_once() {
    for strategy in [Strategy::OneForAll, Strategy::RestForOne] {
        for _ in 0..50 {
            let (node, log) = (node(), Log::default());
            let supervisor = Supervisor::new(strategy).intensity(5, HOUR);
            let ids = ["a", "b", "c"];
            let supervisor = run(&node, supervisor.children(ids.map(|id| child(id, &log)))).await;
            log.clear();
            let workers = ids.map(|id| node.whereis_ref::<Worker>(id).unwrap());
            for worker in &workers {
                worker.cast(Message::Run(Box::new(|_| Next::Stop(crash()))));
            }
            // All have successors; of these none is told to crash.
            otp::eventually!(
                workers.iter().zip(ids).all(|(worker, id)| {
                    node.whereis(id).is_some_and(|pid| pid != worker.pid())
                })
            );
            assert_eq!(counts(&supervisor).await, [3, 3, 0, 3]);
            // However it went: nobody runs twice at once, and each group starts in order.
            let mut running = ids.to_vec();
            for line in log.all() {
                let (id, what) = line.split_once(' ').unwrap();
                if what == "init" {
                    assert!(!running.contains(&id), "{:?}", log.all());
                    assert!(running.iter().all(|other| *other < id), "{:?}", log.all());
                    running.push(ids[ids.iter().position(|one| *one == id).unwrap()]);
                } else {
                    running.retain(|one| *one != id);
                }
            }
            assert_eq!(running, ids);
            assert!(supervisor.is_alive());
        }
    }
}
