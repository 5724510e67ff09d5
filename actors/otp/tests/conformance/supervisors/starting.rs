//! How supervisors and their children start, and how they do not.

use otp::testing::Probe;
use otp::{
    AutoShutdown, ChildKind, ChildSpec, DEFAULT_SHUTDOWN, DynamicSupervisor, ExitReason, Options,
    Restart, Shutdown, SpecError, StartError, Strategy, Supervisor, SupervisorError,
    SupervisorInit, check_childspecs, eventually,
};

use super::*;
use crate::support::{Message, node};

crate::cases! {
    an_empty_supervisor_stops_with_shutdown: "SUP-001";
    init_may_ignore: "SUP-002";
    a_child_that_ignores_keeps_its_specification: "SUP-003";
    a_temporary_child_that_ignores_is_forgotten: "SUP-004", "SUP-005";
    a_wrong_init_is_an_error_that_says_so: "SUP-008";
    a_panic_in_init_is_an_error_with_its_place: "SUP-009";
    a_child_that_does_not_start_is_not_stored: "SUP-010";
    a_failed_restart_on_request_keeps_the_specification: "SUP-011";
    specifications_have_defaults: "SUP-013";
    wrong_specifications_are_refused: "SUP-015", "SUP-094";
    each_wrong_field_has_its_own_error: "SUP-026", "SUP-027";
    wrong_flags_are_refused: "SUP-028";
    a_specification_is_made_of_a_type_and_overridden: "SUP-083";
    a_specification_is_overridden_on_use: "SUP-084";
    flags_have_defaults: "SUP-085";
}

async fn an_empty_supervisor_stops_with_shutdown() {
    let node = node();
    let mut parent = Probe::start(&node).await.unwrap();
    let start = parent.run(|ctx| Supervisor::one_for_one().start_link(ctx, Options::new()));
    let supervisor = start.await.await.unwrap();
    assert_eq!(counts(&supervisor).await, [0, 0, 0, 0]);
    parent.exit(supervisor.pid(), ExitReason::Shutdown).await;
    assert_eq!(
        parent.expect_exit(supervisor.pid()).await,
        ExitReason::Shutdown
    );
}

async fn init_may_ignore() {
    let node = node();
    let mut parent = Probe::start(&node).await.unwrap();
    let start = parent.run(|ctx| {
        Supervisor::init(|| async { SupervisorInit::Ignore })
            .start_link(ctx, Options::new().name("s"))
    });
    assert_eq!(start.await.await, Err(StartError::Ignore));
    assert_eq!(node.whereis("s"), None);
    parent.expect_nothing().await;
    assert_eq!(node.process_count(), 1);
}

async fn a_child_that_ignores_keeps_its_specification() {
    let (node, log, script) = (node(), Log::default(), Script::default());
    script.then(Begin::Ignore);
    let supervisor = Supervisor::one_for_one().child(scripted("a", &log, &script));
    let supervisor = run(&node, supervisor.child(child("b", &log))).await;
    assert_eq!(states(&supervisor).await, ["a stopped", "b runs"]);
    assert_eq!(counts(&supervisor).await, [2, 1, 0, 2]);
    // The specification can be used.
    supervisor.restart_child("a").await.unwrap();
    assert_eq!(counts(&supervisor).await, [2, 2, 0, 2]);
    // The same for one that is added, and one that ignores a restart.
    script.then(Begin::Ignore);
    let added = supervisor.start_child(scripted("c", &log, &script)).await;
    assert_eq!(added, Err(SupervisorError::Start(StartError::Ignore)));
    script.then(Begin::Ignore);
    let restarted = supervisor.restart_child("c").await;
    assert_eq!(restarted, Err(SupervisorError::Start(StartError::Ignore)));
    assert_eq!(states(&supervisor).await, ["a runs", "b runs", "c stopped"]);
}

async fn a_temporary_child_that_ignores_is_forgotten() {
    let (node, log, script) = (node(), Log::default(), Script::default());
    script.then(Begin::Ignore).then(Begin::Ignore);
    let spec = || scripted("a", &log, &script).restart(Restart::Temporary);
    let supervisor = run(&node, Supervisor::one_for_one().child(spec())).await;
    assert_eq!(counts(&supervisor).await, [0, 0, 0, 0]);
    let added = supervisor.start_child(spec()).await;
    assert_eq!(added, Err(SupervisorError::Start(StartError::Ignore)));
    assert_eq!(counts(&supervisor).await, [0, 0, 0, 0]);
    supervisor.start_child(spec()).await.unwrap();
}

async fn a_wrong_init_is_an_error_that_says_so() {
    let node = node();
    let mut parent = Probe::start(&node).await.unwrap();
    let why = ExitReason::Custom("bad return".into());
    let stop = why.clone();
    let start = parent.run(move |ctx| {
        let init = move || std::future::ready(SupervisorInit::Stop(stop.clone()));
        Supervisor::init(init).start_link(ctx, Options::new().name("s"))
    });
    assert_eq!(start.await.await, Err(StartError::Failed(why)));
    assert_eq!(node.whereis("s"), None);
    parent.expect_nothing().await;
    assert_eq!(node.process_count(), 1);
}

async fn a_panic_in_init_is_an_error_with_its_place() {
    let node = node();
    let mut parent = Probe::start(&node).await.unwrap();
    let start = parent.run(|ctx| {
        Supervisor::init(|| async { panic!("no idea") }).start_link(ctx, Options::new())
    });
    let error = start.await.await.unwrap_err();
    let StartError::Failed(ExitReason::Panic { message, location }) = error else {
        panic!("{error:?}");
    };
    assert_eq!(&*message, "no idea");
    assert!(location.contains("starting.rs:"), "{location}");
    parent.expect_nothing().await;
    assert_eq!(node.process_count(), 1);
}

async fn a_child_that_does_not_start_is_not_stored() {
    let (node, log, script) = (node(), Log::default(), Script::default());
    let supervisor = run(&node, Supervisor::one_for_one()).await;
    script.fails(1);
    script.then(Begin::Panic);
    let first = supervisor.start_child(scripted("a", &log, &script)).await;
    let reason = ExitReason::Error("no start".into());
    assert_eq!(
        first,
        Err(SupervisorError::Start(StartError::Failed(reason)))
    );
    let second = supervisor.start_child(scripted("a", &log, &script)).await;
    assert!(matches!(
        second,
        Err(SupervisorError::Start(StartError::Failed(
            ExitReason::Panic { .. }
        )))
    ));
    assert_eq!(counts(&supervisor).await, [0, 0, 0, 0]);
    assert_eq!(node.whereis("a"), None);
    // A start function that fails, or panics itself.
    let failing = ChildSpec::function("f", |_| async { Err(StartError::Timeout) });
    assert_eq!(
        supervisor.start_child(failing).await,
        Err(SupervisorError::Start(StartError::Timeout))
    );
    let panicking = ChildSpec::function("f", |start| async move {
        assert_eq!(start.node().name(), "elsewhere");
        Err(StartError::Ignore)
    });
    assert!(supervisor.start_child(panicking).await.is_err());
    assert_eq!(counts(&supervisor).await, [0, 0, 0, 0]);
}

async fn a_failed_restart_on_request_keeps_the_specification() {
    let (node, log, script) = (node(), Log::default(), Script::default());
    let supervisor = Supervisor::one_for_one().child(scripted("a", &log, &script));
    let supervisor = run(&node, supervisor).await;
    supervisor.terminate_child("a").await.unwrap();
    script.fails(1);
    let restarted = supervisor.restart_child("a").await;
    assert!(matches!(
        restarted,
        Err(SupervisorError::Start(StartError::Failed(_)))
    ));
    assert_eq!(states(&supervisor).await, ["a stopped"]);
    assert_eq!(counts(&supervisor).await, [1, 0, 0, 1]);
    supervisor.restart_child("a").await.unwrap();
}

async fn specifications_have_defaults() {
    let (node, log) = (node(), Log::default());
    let worker = ChildSpec::worker::<Worker>("w", Plan::default);
    let supervisor = ChildSpec::supervisor("s", Supervisor::one_for_one);
    let description = Supervisor::one_for_one().child(worker).child(supervisor);
    let supervisor = run(&node, description).await;
    let spec = supervisor.get_childspec("w").await.unwrap();
    assert_eq!(spec.id(), "w");
    assert_eq!(spec.restart_type(), Restart::Permanent);
    assert_eq!(spec.shutdown_type(), Shutdown::Timeout(secs(5)));
    assert_eq!(DEFAULT_SHUTDOWN, secs(5));
    assert_eq!(spec.kind(), ChildKind::Worker);
    assert!(!spec.is_significant() && spec.can_start());
    assert!(spec.module().contains("Worker"));
    let pid = supervisor.child("s").await.unwrap();
    let spec = supervisor.get_childspec_of(pid).await.unwrap();
    assert_eq!((spec.id(), spec.kind()), ("s", ChildKind::Supervisor));
    assert_eq!(spec.shutdown_type(), Shutdown::Infinity);
    let unknown = supervisor.get_childspec("x").await;
    assert_eq!(unknown.unwrap_err(), SupervisorError::NotFound);
    let unknown = supervisor.get_childspec_of(supervisor.pid()).await;
    assert_eq!(unknown.unwrap_err(), SupervisorError::NotFound);
    // Of a temporary child there is no more than can be looked at.
    let temporary = child("t", &log).restart(Restart::Temporary);
    supervisor.start_child(temporary).await.unwrap();
    let spec = supervisor.get_childspec("t").await.unwrap();
    assert!(!spec.can_start());
    assert_eq!(spec.restart_type(), Restart::Temporary);
}

async fn wrong_specifications_are_refused() {
    let (node, log) = (node(), Log::default());
    let supervisor = run(&node, Supervisor::one_for_one().child(child("a", &log))).await;
    let refused = |error| Err(SupervisorError::Spec(error));
    assert_eq!(
        supervisor.start_child(child("", &log)).await,
        refused(SpecError::MissingId)
    );
    let temporary = child("t", &log).restart(Restart::Temporary);
    supervisor.start_child(temporary).await.unwrap();
    let kept = supervisor.get_childspec("t").await.unwrap();
    assert_eq!(
        supervisor.start_child(kept.clone().with_id("u")).await,
        refused(SpecError::MissingStart("u".into()))
    );
    assert_eq!(states(&supervisor).await, ["a runs", "t runs"]);
    // At the start of a supervisor, in the same words, and before any child starts.
    log.clear();
    let description = Supervisor::one_for_one()
        .child(child("b", &log))
        .child(kept);
    assert_eq!(
        description.check(),
        Err(SpecError::MissingStart("t".into()))
    );
    let error = description.start(&node, Options::new()).await.unwrap_err();
    let words = ExitReason::error(SpecError::MissingStart("t".into()));
    assert_eq!(error, StartError::Failed(words));
    let duplicates = Supervisor::one_for_one().children([child("b", &log), child("b", &log)]);
    assert_eq!(duplicates.check(), Err(SpecError::Duplicate("b".into())));
    assert!(duplicates.start(&node, Options::new()).await.is_err());
    assert!(log.all().is_empty());
}

async fn each_wrong_field_has_its_own_error() {
    let log = Log::default();
    let significant = |restart| child("a", &log).restart(restart).significant(true);
    let never = AutoShutdown::Never;
    let any = AutoShutdown::AnySignificant;
    for (specs, auto, expected) in [
        (vec![child("a", &log), child("b", &log)], never, Ok(())),
        (vec![child("", &log)], never, Err(SpecError::MissingId)),
        (
            vec![child("a", &log), child("b", &log), child("a", &log)],
            never,
            Err(SpecError::Duplicate("a".into())),
        ),
        (
            vec![significant(Restart::Permanent)],
            any,
            Err(SpecError::PermanentSignificant("a".into())),
        ),
        (
            vec![significant(Restart::Transient)],
            never,
            Err(SpecError::SignificantWithoutAutoShutdown("a".into())),
        ),
        (vec![significant(Restart::Transient)], any, Ok(())),
        (vec![significant(Restart::Temporary)], any, Ok(())),
        // Any way to stop is right for any kind.
        (
            vec![
                child("a", &log).shutdown(Shutdown::Brutal).as_supervisor(),
                child("b", &log).shutdown(Shutdown::Infinity),
                child("c", &log)
                    .as_supervisor()
                    .shutdown(Shutdown::Timeout(secs(0))),
            ],
            never,
            Ok(()),
        ),
    ] {
        assert_eq!(check_childspecs(&specs, auto), expected);
        // A supervisor with them does the same.
        let started = Supervisor::one_for_one()
            .auto_shutdown(auto)
            .children(specs)
            .start(&node(), Options::new())
            .await;
        match expected {
            Ok(()) => assert!(started.is_ok()),
            Err(error) => assert_eq!(
                started.unwrap_err(),
                StartError::Failed(ExitReason::error(error))
            ),
        }
    }
}

async fn wrong_flags_are_refused() {
    let node = node();
    let zero = Supervisor::one_for_one().intensity(1, Duration::ZERO);
    assert_eq!(zero.check(), Err(SpecError::Period));
    let error = zero.start(&node, Options::new()).await.unwrap_err();
    assert_eq!(
        error,
        StartError::Failed(ExitReason::error(SpecError::Period))
    );
    let zero = DynamicSupervisor::new().intensity(1, Duration::ZERO);
    let error = zero.start(&node, Options::new()).await.unwrap_err();
    assert_eq!(
        error,
        StartError::Failed(ExitReason::error(SpecError::Period))
    );
    // From an init as well.
    let zero = || {
        std::future::ready(SupervisorInit::Ok(
            Supervisor::one_for_one().intensity(1, Duration::ZERO),
        ))
    };
    let error = Supervisor::init(zero)
        .start(&node, Options::new())
        .await
        .unwrap_err();
    assert_eq!(
        error,
        StartError::Failed(ExitReason::error(SpecError::Period))
    );
    // No restart at all, and the shortest period, are fine.
    let strict = Supervisor::one_for_one().intensity(0, Duration::from_nanos(1));
    strict.start(&node, Options::new()).await.unwrap();
    assert_eq!(node.process_count(), 1);
}

/// What a module with its own specification looks like.
struct Stack;

impl Stack {
    fn child_spec(id: &'static str, log: &Log) -> ChildSpec {
        child(id, log).restart(Restart::Transient)
    }
}

async fn a_specification_is_made_of_a_type_and_overridden() {
    let spec = ChildSpec::worker::<Worker>("stack", Plan::default);
    assert_eq!(spec.restart_type(), Restart::Permanent);
    let log = Log::default();
    let spec = Stack::child_spec("stack", &log);
    assert_eq!(
        (spec.id(), spec.restart_type()),
        ("stack", Restart::Transient)
    );
    let supervisor = ChildSpec::supervisor("sup", Supervisor::one_for_one);
    assert_eq!(supervisor.kind(), ChildKind::Supervisor);
    assert!(supervisor.module().contains("SupervisorServer"));
    let custom = supervisor
        .restart(Restart::Temporary)
        .shutdown(Shutdown::Timeout(secs(1)));
    assert_eq!(custom.restart_type(), Restart::Temporary);
    assert_eq!(custom.shutdown_type(), Shutdown::Timeout(secs(1)));
    let node = node();
    let root = run(&node, Supervisor::one_for_one().child(custom).child(spec)).await;
    assert_eq!(counts(&root).await, [2, 2, 1, 1]);
}

async fn a_specification_is_overridden_on_use() {
    let (node, log) = (node(), Log::default());
    let spec = child("a", &log);
    let other = spec
        .clone()
        .with_id("b")
        .restart(Restart::Temporary)
        .shutdown(Shutdown::Infinity)
        .options(|| Options::new().name("other"));
    assert_eq!(other.id(), "b");
    assert_eq!(other.restart_type(), Restart::Temporary);
    assert_eq!(other.shutdown_type(), Shutdown::Infinity);
    // The one it was made of is as it was.
    assert_eq!((spec.id(), spec.restart_type()), ("a", Restart::Permanent));
    let supervisor = run(&node, Supervisor::one_for_one().child(spec).child(other)).await;
    assert_eq!(node.whereis("a"), supervisor.child("a").await.ok());
    assert_eq!(node.whereis("other"), supervisor.child("b").await.ok());
}

async fn flags_have_defaults() {
    assert_eq!((otp::DEFAULT_INTENSITY, otp::DEFAULT_PERIOD), (3, secs(5)));
    let (node, log) = (node(), Log::default());
    // Three restarts are allowed, the fourth is too much.
    let supervisor = Supervisor::new(Strategy::OneForOne).child(child("a", &log));
    let supervisor = run(&node, supervisor).await;
    for _ in 0..3 {
        end_named(&node, "a", crash()).await;
        assert_eq!(counts(&supervisor).await, [1, 1, 0, 1]);
    }
    end_named(&node, "a", crash()).await;
    assert_eq!(supervisor.wait_for_exit().await, ExitReason::Shutdown);
    // And with flags of its own.
    let supervisor = Supervisor::one_for_all().intensity(1, secs(2));
    let supervisor = run(
        &node,
        supervisor.child(child("a", &log)).child(child("b", &log)),
    )
    .await;
    let before = pids(&supervisor).await;
    end_named(&node, "a", crash()).await;
    let after = pids(&supervisor).await;
    assert!(before[1] != after[1] && after[1].is_some());
    let worker = node.whereis_ref::<Worker>("b").unwrap();
    assert_eq!(worker.call(Message::Get).await, Ok(7));
    end_named(&node, "b", crash()).await;
    assert_eq!(supervisor.wait_for_exit().await, ExitReason::Shutdown);
    eventually!(node.process_count() == 0);
}
