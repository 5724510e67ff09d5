//! Adding, stopping, restarting and deleting children, and asking about them.

use std::sync::{Arc, Weak};

use otp::{
    CallError, ChildInfo, ChildKind, ChildSpec, DynamicSupervisor, ExitReason, Options, Restart,
    Strategy, Supervisor, SupervisorError, SupervisorRef,
};

use super::*;
use crate::support::node;

crate::cases! {
    children_have_a_life_cycle: "SUP-023", "SUP-095";
    a_start_may_give_more_than_a_process: "SUP-025";
    children_are_counted: "SUP-065";
    supervisors_are_counted_apart: "SUP-066";
    arguments_of_temporary_children_are_not_kept: "SUP-068";
    specifications_of_temporary_children_are_not_kept: "SUP-069";
    children_are_listed: "SUP-081";
    a_new_specification_is_accepted: "SUP-092", "SUP-093";
    a_child_starts_stops_and_is_forgotten: "SUP-096";
}

async fn children_have_a_life_cycle() {
    let (node, log) = (node(), Log::default());
    let supervisor = run(&node, Supervisor::one_for_one().child(child("a", &log))).await;
    let first = supervisor.child("a").await.unwrap();
    assert_eq!(counts(&supervisor).await, [1, 1, 0, 1]);
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
    // A stop, also of one that does not run.
    supervisor.terminate_child("a").await.unwrap();
    assert_eq!(log.all(), ["a init", "a terminate shutdown"]);
    assert_eq!(states(&supervisor).await, ["a stopped"]);
    assert_eq!(counts(&supervisor).await, [1, 0, 0, 1]);
    supervisor.terminate_child("a").await.unwrap();
    assert_eq!(
        supervisor.start_child(child("a", &log)).await,
        Err(SupervisorError::AlreadyPresent)
    );
    let second = supervisor.restart_child("a").await.unwrap();
    assert_ne!(first, second);
    assert_eq!(supervisor.child("a").await, Ok(second));
    supervisor.terminate_child("a").await.unwrap();
    supervisor.delete_child("a").await.unwrap();
    assert_eq!(counts(&supervisor).await, [0, 0, 0, 0]);
    for unknown in [
        supervisor.restart_child("a").await.map(drop),
        supervisor.delete_child("a").await,
        supervisor.terminate_child("a").await,
    ] {
        assert_eq!(unknown, Err(SupervisorError::NotFound));
    }
    supervisor.start_child(child("a", &log)).await.unwrap();
    // A supervisor that is not there.
    assert_eq!(SupervisorRef::whereis(&node, "nobody"), None);
    let other = run(&node, Supervisor::one_for_one()).await;
    other.stop(ExitReason::Shutdown, LONG).await.unwrap();
    let noproc = SupervisorError::Call(CallError::NoProc);
    assert_eq!(other.which_children().await, Err(noproc.clone()));
    assert_eq!(other.count_children().await, Err(noproc.clone()));
    assert_eq!(
        other.start_child(child("b", &log)).await,
        Err(noproc.clone())
    );
    assert_eq!(other.terminate_child("b").await, Err(noproc));
}

async fn a_start_may_give_more_than_a_process() {
    let (node, log) = (node(), Log::default());
    let numbers = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let extra = ChildSpec::function("a", move |start| {
        let number = numbers.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        async move {
            let started = start.server::<Worker>(Plan::default()).await?;
            Ok(started.with_info(format!("port {number}")))
        }
    });
    // Ignored at the start of the supervisor, and in a restart.
    let supervisor = run(&node, Supervisor::one_for_one().child(extra.clone())).await;
    let first = supervisor.child("a").await.unwrap();
    end(&node, first, crash()).await;
    assert_ne!(supervisor.child("a").await, Ok(first));
    supervisor.terminate_child("a").await.unwrap();
    // Given to whoever asks for a start.
    let started = supervisor.restart_child_with_info("a").await.unwrap();
    assert_eq!(
        started.info::<String>().as_deref(),
        Some(&"port 2".to_owned())
    );
    assert_eq!(started.info::<u32>(), None);
    assert_eq!(supervisor.child("a").await, Ok(started.pid()));
    let started = supervisor
        .start_child_with_info(extra.with_id("b"))
        .await
        .unwrap();
    assert_eq!(
        started.info::<String>().as_deref(),
        Some(&"port 3".to_owned())
    );
    let plain = supervisor
        .start_child_with_info(child("c", &log))
        .await
        .unwrap();
    assert_eq!(plain.info::<String>(), None);
}

async fn children_are_counted() {
    let node = node();
    let supervisor = dynamic(&node, DynamicSupervisor::new()).await;
    let spec = || ChildSpec::worker::<Worker>("w", Plan::default).restart(Restart::Temporary);
    for _ in 0..200 {
        supervisor.start_child(spec()).await.unwrap();
    }
    assert_eq!(dynamic_counts(&supervisor).await, [200, 200, 0, 200]);
    for child in supervisor.which_children().await.unwrap().iter().take(150) {
        end(&node, child.state.pid().unwrap(), ExitReason::Killed).await;
    }
    assert_eq!(dynamic_counts(&supervisor).await, [50, 50, 0, 50]);
    // The same of a static one, where what is stopped stays known.
    let log = Log::default();
    let ids = ["a", "b", "c"];
    let supervisor = Supervisor::one_for_one().children(ids.map(|id| child(id, &log)));
    let supervisor = run(&node, supervisor).await;
    supervisor.terminate_child("b").await.unwrap();
    assert_eq!(counts(&supervisor).await, [3, 2, 0, 3]);
}

async fn supervisors_are_counted_apart() {
    let node = node();
    let supervisor = dynamic(&node, DynamicSupervisor::new()).await;
    for _ in 0..100 {
        let spec = ChildSpec::supervisor("s", Supervisor::one_for_one);
        let spec = spec.restart(Restart::Temporary);
        supervisor.start_child(spec).await.unwrap();
    }
    let worker = ChildSpec::worker::<Worker>("w", Plan::default);
    supervisor.start_child(worker).await.unwrap();
    assert_eq!(dynamic_counts(&supervisor).await, [101, 101, 100, 1]);
    let children = supervisor.which_children().await.unwrap();
    for child in children
        .iter()
        .filter(|child| child.kind == ChildKind::Supervisor)
    {
        let pid = child.state.pid().unwrap();
        kill(&node, pid).await;
    }
    assert_eq!(dynamic_counts(&supervisor).await, [1, 1, 0, 1]);
}

/// Arguments whose life can be watched.
fn watched_arguments(restart: Restart) -> (ChildSpec, Weak<Log>) {
    let big = Arc::new(Log::default());
    let weak = Arc::downgrade(&big);
    let spec = ChildSpec::worker::<Worker>("a", move || Plan {
        begin: if big.len() == 0 {
            Begin::Run
        } else {
            Begin::Ignore
        },
        ..Plan::default()
    });
    (spec.restart(restart), weak)
}

async fn arguments_of_temporary_children_are_not_kept() {
    let node = node();
    for strategy in [
        Strategy::OneForOne,
        Strategy::OneForAll,
        Strategy::RestForOne,
    ] {
        for restart in [Restart::Permanent, Restart::Transient, Restart::Temporary] {
            let (spec, arguments) = watched_arguments(restart);
            let supervisor = run(&node, Supervisor::new(strategy)).await;
            supervisor.start_child(spec).await.unwrap();
            assert_eq!(counts(&supervisor).await, [1, 1, 0, 1]);
            let kept = arguments.upgrade().is_some();
            assert_eq!(
                kept,
                restart != Restart::Temporary,
                "{strategy:?} {restart:?}"
            );
            // In a description just as well.
            let (spec, arguments) = watched_arguments(restart);
            let _supervisor = run(&node, Supervisor::new(strategy).child(spec)).await;
            assert_eq!(arguments.upgrade().is_some(), restart != Restart::Temporary);
        }
    }
    for restart in [Restart::Permanent, Restart::Temporary] {
        let (spec, arguments) = watched_arguments(restart);
        let supervisor = dynamic(&node, DynamicSupervisor::new()).await;
        supervisor.start_child(spec).await.unwrap();
        assert_eq!(dynamic_counts(&supervisor).await, [1, 1, 0, 1]);
        assert_eq!(arguments.upgrade().is_some(), restart != Restart::Temporary);
    }
}

async fn specifications_of_temporary_children_are_not_kept() {
    let (node, log) = (node(), Log::default());
    for strategy in [
        Strategy::OneForOne,
        Strategy::OneForAll,
        Strategy::RestForOne,
    ] {
        let supervisor = run(&node, Supervisor::new(strategy).intensity(20, HOUR)).await;
        for (restart, reason, kept) in [
            (Restart::Permanent, Some(ExitReason::Killed), "runs"),
            (Restart::Permanent, Some(ExitReason::Normal), "runs"),
            (Restart::Permanent, Some(crash()), "runs"),
            (Restart::Permanent, None, "stopped"),
            (Restart::Transient, Some(ExitReason::Killed), "runs"),
            (Restart::Transient, Some(ExitReason::Normal), "stopped"),
            (Restart::Transient, Some(crash()), "runs"),
            (Restart::Transient, None, "stopped"),
            (Restart::Temporary, Some(ExitReason::Killed), ""),
            (Restart::Temporary, Some(ExitReason::Normal), ""),
            (Restart::Temporary, Some(crash()), ""),
            (Restart::Temporary, None, ""),
        ] {
            let spec = || child("a", &log).restart(restart);
            let pid = supervisor.start_child(spec()).await.unwrap();
            match reason {
                Some(reason) => end(&node, pid, reason).await,
                None => supervisor.terminate_child("a").await.unwrap(),
            }
            let again = supervisor.start_child(spec()).await;
            match kept {
                "runs" => assert!(matches!(again, Err(SupervisorError::AlreadyStarted(_)))),
                "stopped" => assert_eq!(again, Err(SupervisorError::AlreadyPresent)),
                _ => assert!(again.is_ok(), "{again:?}"),
            }
            supervisor.terminate_child("a").await.unwrap();
            if restart != Restart::Temporary {
                supervisor.delete_child("a").await.unwrap();
            }
        }
    }
}

async fn children_are_listed() {
    let (node, log) = (node(), Log::default());
    let supervisor = run(&node, Supervisor::one_for_one()).await;
    assert_eq!(supervisor.which_children().await, Ok(vec![]));
    assert_eq!(
        supervisor.which_child("x").await,
        Err(SupervisorError::NotFound)
    );
    let one = supervisor.start_child(child("one", &log)).await.unwrap();
    let spec = ChildSpec::supervisor("two", Supervisor::one_for_one);
    let two = supervisor.start_child(spec).await.unwrap();
    let info = |id: &str, state, kind, module| ChildInfo {
        id: id.into(),
        state,
        kind,
        module,
    };
    let module = std::any::type_name::<Worker>();
    let first = info("one", ChildState::Running(one), ChildKind::Worker, module);
    let module = std::any::type_name::<otp::SupervisorServer>();
    let second = info(
        "two",
        ChildState::Running(two),
        ChildKind::Supervisor,
        module,
    );
    let all = supervisor.which_children().await.unwrap();
    assert_eq!(all, [first.clone(), second.clone()]);
    assert_eq!(supervisor.which_child("one").await, Ok(first.clone()));
    assert_eq!(supervisor.which_child("two").await, Ok(second.clone()));
    supervisor.terminate_child("one").await.unwrap();
    let stopped = ChildInfo {
        state: ChildState::Stopped,
        ..first
    };
    assert_eq!(supervisor.which_child("one").await, Ok(stopped.clone()));
    assert_eq!(
        supervisor.which_children().await.unwrap(),
        [stopped, second]
    );
    supervisor.delete_child("one").await.unwrap();
    assert_eq!(
        supervisor.which_child("one").await,
        Err(SupervisorError::NotFound)
    );
    assert_eq!(states(&supervisor).await, ["two runs"]);
}

async fn a_new_specification_is_accepted() {
    let (node, log) = (node(), Log::default());
    let supervisor = run(&node, Supervisor::one_for_one()).await;
    // A whole one, and one that is made of a type only.
    let first = supervisor.start_child(child("a", &log)).await.unwrap();
    let spec = ChildSpec::worker::<Worker>("b", Plan::default);
    let second = supervisor.start_child(spec).await.unwrap();
    let running: Vec<_> = pids(&supervisor).await;
    assert_eq!(running, [Some(first), Some(second)]);
    assert!(node.is_alive(first) && node.is_alive(second));
    let info = node.process_info(first).unwrap();
    assert_eq!(info.parent, Some(supervisor.pid()));
    assert!(info.links.contains(&supervisor.pid()));
}

async fn a_child_starts_stops_and_is_forgotten() {
    let (node, log) = (node(), Log::default());
    let supervisor = Supervisor::one_for_one().start(&node, Options::new().name("s"));
    let supervisor = supervisor.await.unwrap();
    assert_eq!(supervisor.which_children().await, Ok(vec![]));
    assert_eq!(counts(&supervisor).await, [0, 0, 0, 0]);
    let first = supervisor.start_child(child("a", &log)).await.unwrap();
    assert_eq!(pids(&supervisor).await, [Some(first)]);
    assert_eq!(counts(&supervisor).await, [1, 1, 0, 1]);
    assert_eq!(
        supervisor.delete_child("a").await,
        Err(SupervisorError::Running)
    );
    assert_eq!(supervisor.terminate_child("a").await, Ok(()));
    assert!(!node.is_alive(first));
    let second = supervisor.restart_child("a").await.unwrap();
    assert_eq!(node.whereis("a"), Some(second));
    assert_eq!(supervisor.terminate_child("a").await, Ok(()));
    assert_eq!(supervisor.delete_child("a").await, Ok(()));
    supervisor.stop(ExitReason::Normal, LONG).await.unwrap();
    assert_eq!(
        log.all(),
        [
            "a init",
            "a terminate shutdown",
            "a init",
            "a terminate shutdown"
        ]
    );
    assert_eq!(node.process_count(), 0);
}
