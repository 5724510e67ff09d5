//! Children whose own end ends the supervisor.

use otp::{
    AutoShutdown, ChildSpec, DynamicSupervisor, ExitReason, Options, Restart, SpecError,
    StartError, Strategy, Supervisor, SupervisorError, SupervisorRef,
};

use super::*;
use crate::support::node;

crate::cases! {
    ordinary_temporary_children_end_nothing: "SUP-057";
    ordinary_transient_children_end_nothing: "SUP-058";
    significant_temporary_children_end_it_for_any_reason: "SUP-059";
    significant_transient_children_end_it_when_they_stay_ended: "SUP-060";
    dynamic_supervisors_have_no_significant_children: "SUP-061";
    a_significant_bystander_does_not_count: "SUP-062";
    an_auto_shutdown_is_an_end_with_shutdown: "SUP-063";
    significance_changes_while_it_runs: "SUP-064";
}

const MODES: [AutoShutdown; 3] = [
    AutoShutdown::Never,
    AutoShutdown::AnySignificant,
    AutoShutdown::AllSignificant,
];

async fn with(node: &Node, mode: AutoShutdown, children: Vec<ChildSpec>) -> SupervisorRef {
    let supervisor = Supervisor::one_for_one().intensity(5, HOUR);
    run(node, supervisor.auto_shutdown(mode).children(children)).await
}

/// Whether it has not begun to end: it answers.
async fn lives(supervisor: &SupervisorRef) -> bool {
    supervisor.count_children().await.is_ok()
}

async fn ordinary_temporary_children_end_nothing() {
    for mode in MODES {
        let (node, log) = (node(), Log::default());
        let supervisor = with(&node, mode, vec![]).await;
        let spec = || child("a", &log).restart(Restart::Temporary);
        supervisor.start_child(spec()).await.unwrap();
        supervisor.terminate_child("a").await.unwrap();
        assert!(lives(&supervisor).await);
        for reason in [ExitReason::Killed, crash(), ExitReason::Normal] {
            let pid = supervisor.start_child(spec()).await.unwrap();
            end(&node, pid, reason).await;
            assert!(lives(&supervisor).await);
        }
    }
}

async fn ordinary_transient_children_end_nothing() {
    for mode in MODES {
        let (node, log) = (node(), Log::default());
        let spec = child("a", &log).restart(Restart::Transient);
        let supervisor = with(&node, mode, vec![spec]).await;
        supervisor.terminate_child("a").await.unwrap();
        assert!(lives(&supervisor).await);
        supervisor.restart_child("a").await.unwrap();
        for reason in [ExitReason::Killed, crash()] {
            end_named(&node, "a", reason).await;
            assert_eq!(states(&supervisor).await, ["a runs"]);
        }
        end_named(&node, "a", ExitReason::Normal).await;
        assert_eq!(states(&supervisor).await, ["a stopped"]);
    }
}

/// Two significant children and an ordinary one.
async fn family(node: &Node, log: &Log, mode: AutoShutdown, restart: Restart) -> SupervisorRef {
    let spec = |id| child(id, log).restart(restart);
    let children = vec![
        spec("a").significant(true),
        spec("b").significant(true),
        spec("c"),
    ];
    with(node, mode, children).await
}

async fn ended(supervisor: &SupervisorRef, node: &Node) {
    assert_eq!(supervisor.wait_for_exit().await, ExitReason::Shutdown);
    assert_eq!(node.process_count(), 0);
}

/// With all-significant the first end is not enough, the second is.
async fn all_of(restart: Restart, reason: ExitReason) {
    let (node, log) = (node(), Log::default());
    let supervisor = family(&node, &log, AutoShutdown::AllSignificant, restart).await;
    end_named(&node, "a", reason.clone()).await;
    assert_eq!(counts(&supervisor).await[1], 2);
    end_named(&node, "b", reason.clone()).await;
    ended(&supervisor, &node).await;
    // One that was stopped on request is not waited for, and is no reason to end.
    let supervisor = family(&node, &log, AutoShutdown::AllSignificant, restart).await;
    supervisor.terminate_child("b").await.unwrap();
    assert!(lives(&supervisor).await);
    end_named(&node, "a", reason).await;
    ended(&supervisor, &node).await;
}

async fn significant_temporary_children_end_it_for_any_reason() {
    for reason in [ExitReason::Killed, crash(), ExitReason::Normal] {
        let (node, log) = (node(), Log::default());
        let any = AutoShutdown::AnySignificant;
        let supervisor = family(&node, &log, any, Restart::Temporary).await;
        // Not when it is stopped on request, and not an ordinary one.
        supervisor.terminate_child("a").await.unwrap();
        end_named(&node, "c", reason.clone()).await;
        assert!(lives(&supervisor).await);
        end_named(&node, "b", reason.clone()).await;
        ended(&supervisor, &node).await;
        all_of(Restart::Temporary, reason).await;
    }
}

async fn significant_transient_children_end_it_when_they_stay_ended() {
    let (node, log) = (node(), Log::default());
    let any = AutoShutdown::AnySignificant;
    let supervisor = family(&node, &log, any, Restart::Transient).await;
    supervisor.terminate_child("a").await.unwrap();
    supervisor.restart_child("a").await.unwrap();
    // It is restarted then.
    for reason in [ExitReason::Killed, crash()] {
        end_named(&node, "a", reason).await;
        assert_eq!(counts(&supervisor).await, [3, 3, 0, 3]);
    }
    end_named(&node, "a", ExitReason::Normal).await;
    ended(&supervisor, &node).await;
    for reason in [
        ExitReason::Normal,
        ExitReason::Shutdown,
        ExitReason::ShutdownWith("done".into()),
    ] {
        all_of(Restart::Transient, reason).await;
    }
}

async fn dynamic_supervisors_have_no_significant_children() {
    let (node, log) = (node(), Log::default());
    for mode in [AutoShutdown::AnySignificant, AutoShutdown::AllSignificant] {
        let supervisor = DynamicSupervisor::new().auto_shutdown(mode);
        assert_eq!(supervisor.check(), Err(SpecError::AutoShutdown));
        let error = supervisor.start(&node, Options::new()).await.unwrap_err();
        let words = ExitReason::error(SpecError::AutoShutdown);
        assert_eq!(error, StartError::Failed(words));
    }
    let supervisor = DynamicSupervisor::new().auto_shutdown(AutoShutdown::Never);
    let supervisor = dynamic(&node, supervisor).await;
    let spec = child("a", &log)
        .restart(Restart::Temporary)
        .significant(true);
    let refused = SpecError::SignificantWithoutAutoShutdown("a".into());
    assert_eq!(
        supervisor.start_child(spec).await,
        Err(SupervisorError::Spec(refused))
    );
    supervisor.stop(ExitReason::Shutdown, LONG).await.unwrap();
}

async fn a_significant_bystander_does_not_count() {
    for strategy in [
        Strategy::OneForOne,
        Strategy::OneForAll,
        Strategy::RestForOne,
    ] {
        for mode in [AutoShutdown::AnySignificant, AutoShutdown::AllSignificant] {
            let (node, log) = (node(), Log::default());
            let spec = |id| child(id, &log).restart(Restart::Transient);
            let supervisor = Supervisor::new(strategy)
                .intensity(5, HOUR)
                .auto_shutdown(mode);
            let supervisor = supervisor
                .child(spec("a").significant(true))
                .child(spec("b"))
                .child(spec("c").significant(true));
            let supervisor = run(&node, supervisor).await;
            let before = pids(&supervisor).await;
            end_named(&node, "b", ExitReason::Killed).await;
            assert_eq!(
                counts(&supervisor).await,
                [3, 3, 0, 3],
                "{strategy:?} {mode:?}"
            );
            let after = pids(&supervisor).await;
            let taken = [
                strategy == Strategy::OneForAll,
                true,
                strategy != Strategy::OneForOne,
            ];
            for (index, taken) in taken.into_iter().enumerate() {
                assert_eq!(before[index] != after[index], taken);
            }
            // A temporary one that is not started again does not count either.
            let temporary = child("t", &log)
                .restart(Restart::Temporary)
                .significant(true);
            supervisor.start_child(temporary).await.unwrap();
            end_named(&node, "b", crash()).await;
            assert!(lives(&supervisor).await);
            supervisor.stop(ExitReason::Shutdown, LONG).await.unwrap();
        }
    }
}

async fn an_auto_shutdown_is_an_end_with_shutdown() {
    for significant in [true, false] {
        let (node, log) = (node(), Log::default());
        let inner = log.clone();
        let spec = ChildSpec::supervisor("inner", move || {
            let worker = child("worker", &inner).restart(Restart::Transient);
            Supervisor::one_for_one()
                .auto_shutdown(AutoShutdown::AnySignificant)
                .child(worker.significant(true))
        });
        let spec = spec.restart(Restart::Transient).significant(significant);
        let supervisor = with(&node, AutoShutdown::AnySignificant, vec![spec]).await;
        let inner = supervisor.child("inner").await.unwrap();
        let watched = node.wait_for_exit(inner);
        end_named(&node, "worker", ExitReason::Normal).await;
        assert_eq!(watched.await, ExitReason::Shutdown);
        if significant {
            ended(&supervisor, &node).await;
        } else {
            // It stays ended, and that is all.
            assert_eq!(states(&supervisor).await, ["inner stopped"]);
        }
        assert_eq!(
            log.all()
                .iter()
                .filter(|line| *line == "worker init")
                .count(),
            1
        );
    }
}

async fn significance_changes_while_it_runs() {
    let any = AutoShutdown::AnySignificant;
    let describe = |mode, log: &Log, significant| {
        let spec = child("a", log).restart(Restart::Transient);
        Supervisor::one_for_one()
            .auto_shutdown(mode)
            .child(spec.significant(significant))
    };
    // Refused by one without auto-shutdown, and nothing has changed.
    let (node, log) = (node(), Log::default());
    let supervisor = run(&node, describe(AutoShutdown::Never, &log, false)).await;
    let pid = supervisor.child("a").await;
    let refused = SpecError::SignificantWithoutAutoShutdown("a".into());
    let changed = supervisor
        .reconfigure(describe(AutoShutdown::Never, &log, true))
        .await;
    assert_eq!(changed, Err(SupervisorError::Spec(refused)));
    assert_eq!(supervisor.child("a").await, pid);
    assert!(
        !supervisor
            .get_childspec("a")
            .await
            .unwrap()
            .is_significant()
    );
    supervisor.stop(ExitReason::Shutdown, LONG).await.unwrap();
    // Becomes significant: the process stays, its end counts.
    let supervisor = run(&node, describe(any, &log, false)).await;
    let pid = supervisor.child("a").await;
    supervisor
        .reconfigure(describe(any, &log, true))
        .await
        .unwrap();
    assert_eq!(supervisor.child("a").await, pid);
    end_named(&node, "a", ExitReason::Normal).await;
    ended(&supervisor, &node).await;
    // Is not any more.
    let supervisor = run(&node, describe(any, &log, true)).await;
    supervisor
        .reconfigure(describe(any, &log, false))
        .await
        .unwrap();
    end_named(&node, "a", ExitReason::Normal).await;
    assert_eq!(states(&supervisor).await, ["a stopped"]);
    // New children are known, and do not run; those that are not named stay.
    let more = Supervisor::rest_for_one().child(child("b", &log));
    supervisor.reconfigure(more).await.unwrap();
    assert_eq!(states(&supervisor).await, ["a stopped", "b stopped"]);
    supervisor.restart_child("a").await.unwrap();
    supervisor.restart_child("b").await.unwrap();
    let b = node.whereis("b");
    end_named(&node, "a", crash()).await;
    assert_eq!(counts(&supervisor).await, [2, 2, 0, 2]);
    assert_ne!(node.whereis("b"), b);
}
