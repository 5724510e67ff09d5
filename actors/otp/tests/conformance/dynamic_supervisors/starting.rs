//! How dynamic supervisors and their children start.

use otp::testing::Probe;
use otp::{
    AutoShutdown, ChildKind, ChildSpec, DEFAULT_MAX_CHILDREN, DynamicSupervisor,
    DynamicSupervisorRef, ExitReason, Options, Overflow, Registry, Restart, Shutdown, SpecError,
    StartError, Supervisor, SupervisorError, SupervisorInit,
};

use crate::supervisors::*;
use crate::support::{Begin, Log, Message, Plan, Worker, node};

crate::cases! {
    it_is_a_child_of_a_supervisor: "DSUP-001";
    there_are_several_under_one_parent: "DSUP-002";
    its_specification_can_be_overridden: "DSUP-003";
    it_has_defaults_and_refuses_what_is_wrong [Paused]: "DSUP-004";
    its_init_may_ignore_or_fail: "DSUP-005";
    a_taken_name_tells_who_has_it: "DSUP-006";
    options_reach_the_process: "DSUP-007";
    children_are_described_by_type_or_function: "DSUP-008", "DSUP-009";
    extra_arguments_reach_each_child: "DSUP-010";
    a_wrong_specification_is_an_error: "DSUP-011";
    a_start_gives_what_it_gives: "DSUP-012";
    a_start_that_panics_is_an_error: "DSUP-013";
    there_is_a_limit: "DSUP-014";
    every_shutdown_is_accepted [Paused]: "DSUP-025";
    a_wrong_shutdown_cannot_be_written: "DSUP-026";
}

async fn it_is_a_child_of_a_supervisor() {
    let node = node();
    let spec = ChildSpec::dynamic_supervisor("dynamic", DynamicSupervisor::new)
        .options(|| Options::new().name("dynamic"));
    let root = run(&node, Supervisor::one_for_one().child(spec)).await;
    let supervisor = DynamicSupervisorRef::whereis(&node, "dynamic").unwrap();
    assert_eq!(root.child("dynamic").await, Ok(supervisor.pid()));
    assert_eq!(supervisor.which_children().await, Ok(vec![]));
    assert_eq!(counts(&root).await, [1, 1, 1, 0]);
}

async fn there_are_several_under_one_parent() {
    let node = node();
    let registry = Registry::<&str>::new(&node);
    let key = registry.clone();
    let spec = |id| ChildSpec::dynamic_supervisor(id, DynamicSupervisor::new);
    let root = Supervisor::one_for_one()
        .child(spec("named").options(|| Options::new().name("named")))
        .child(spec("via").options(move || Options::new().register_in(&key, "via")));
    let root = run(&node, root).await;
    let unnamed = root.start_child(spec("unnamed")).await.unwrap();
    for pid in [
        node.whereis("named").unwrap(),
        registry.lookup(&"via").unwrap(),
        unnamed,
    ] {
        let supervisor = DynamicSupervisorRef::from_pid(&node, pid).unwrap();
        assert_eq!(supervisor.which_children().await, Ok(vec![]));
    }
    assert_eq!(
        root.start_child(spec("unnamed")).await,
        Err(SupervisorError::AlreadyStarted(unnamed))
    );
}

async fn its_specification_can_be_overridden() {
    let spec = || ChildSpec::dynamic_supervisor("dynamic", DynamicSupervisor::new);
    assert_eq!(
        (spec().id(), spec().kind()),
        ("dynamic", ChildKind::Supervisor)
    );
    assert_eq!(spec().restart_type(), Restart::Permanent);
    assert_eq!(spec().shutdown_type(), Shutdown::Infinity);
    let custom = spec()
        .with_id("other")
        .restart(Restart::Temporary)
        .shutdown(Shutdown::Timeout(secs(1)));
    assert_eq!(
        (custom.id(), custom.kind()),
        ("other", ChildKind::Supervisor)
    );
    assert_eq!(custom.restart_type(), Restart::Temporary);
    assert_eq!(custom.shutdown_type(), Shutdown::Timeout(secs(1)));
}

async fn it_has_defaults_and_refuses_what_is_wrong() {
    let (node, log) = (node(), Log::default());
    // Three restarts in five seconds; a limit on children no sane node reaches; no extra
    // arguments.
    const { assert!(DEFAULT_MAX_CHILDREN >= 1_000_000) };
    let supervisor = dynamic(&node, DynamicSupervisor::new()).await;
    let without = ChildSpec::worker_with::<Worker, u32>("w", |_| Plan::default());
    let error = supervisor.start_child(without).await.unwrap_err();
    assert!(
        error.to_string().contains("no extra arguments of type u32"),
        "{error}"
    );
    for restarts in 0..2 {
        // Twice three of them, five seconds apart.
        for _ in 0..3 {
            let pid = supervisor.start_child(child("a", &log)).await.unwrap();
            end(&node, pid, crash()).await;
            let children = supervisor.which_children().await.unwrap();
            let pid = children[0].state.pid().unwrap();
            supervisor.terminate_child(pid).await.unwrap();
        }
        if restarts == 0 {
            tokio::time::sleep(secs(6)).await;
        }
    }
    let pid = supervisor.start_child(child("a", &log)).await.unwrap();
    end(&node, pid, crash()).await;
    assert_eq!(supervisor.wait_for_exit().await, ExitReason::Shutdown);
    for (wrong, error) in [
        (
            DynamicSupervisor::new().intensity(1, secs(0)),
            SpecError::Period,
        ),
        (
            DynamicSupervisor::new().auto_shutdown(AutoShutdown::AnySignificant),
            SpecError::AutoShutdown,
        ),
    ] {
        assert_eq!(wrong.check(), Err(error.clone()));
        let started = wrong.start(&node, Options::new()).await;
        let words = ExitReason::error(error);
        assert_eq!(started.unwrap_err(), StartError::Failed(words));
    }
    assert_eq!(node.process_count(), 0);
}

async fn its_init_may_ignore_or_fail() {
    let node = node();
    let mut parent = Probe::start(&node).await.unwrap();
    let start = parent.run(|ctx| {
        DynamicSupervisor::init(|| async { SupervisorInit::Ignore }).start_link(ctx, Options::new())
    });
    assert_eq!(start.await.await, Err(StartError::Ignore));
    let start = parent.run(|ctx| {
        let init = || async { SupervisorInit::Stop(ExitReason::Custom("unknown".into())) };
        DynamicSupervisor::init(init).start_link(ctx, Options::new())
    });
    let reason = ExitReason::Custom("unknown".into());
    assert_eq!(start.await.await, Err(StartError::Failed(reason)));
    let start = parent.run(|ctx| {
        DynamicSupervisor::init(|| async { panic!("no idea") }).start_link(ctx, Options::new())
    });
    let panic = start.await.await;
    assert!(matches!(
        panic,
        Err(StartError::Failed(ExitReason::Panic { .. }))
    ));
    // And one that is fine.
    let fine = || async { SupervisorInit::Ok(DynamicSupervisor::new().max_children(0)) };
    let supervisor = dynamic(&node, DynamicSupervisor::init(fine)).await;
    let spec = ChildSpec::worker::<Worker>("w", Plan::default);
    assert_eq!(
        supervisor.start_child(spec).await,
        Err(SupervisorError::MaxChildren)
    );
    supervisor.stop(ExitReason::Normal, LONG).await.unwrap();
    parent.expect_nothing().await;
    assert_eq!(node.process_count(), 1);
}

async fn a_taken_name_tells_who_has_it() {
    let node = node();
    let parent = Probe::start(&node).await.unwrap();
    let start =
        || parent.run(|ctx| DynamicSupervisor::new().start_link(ctx, Options::new().name("d")));
    let supervisor = start().await.await.unwrap();
    assert_eq!(node.whereis("d"), Some(supervisor.pid()));
    let info = node.process_info(parent.pid()).unwrap();
    assert!(info.links.contains(&supervisor.pid()));
    let second = start().await.await;
    assert_eq!(second, Err(StartError::AlreadyStarted(supervisor.pid())));
    supervisor.stop(ExitReason::Normal, LONG).await.unwrap();
    assert_eq!(node.whereis("d"), None);
}

async fn options_reach_the_process() {
    let node = node();
    let options = Options::new()
        .label("guilds")
        .mailbox_max(2)
        .overflow(Overflow::DropNewest);
    let supervisor = DynamicSupervisor::new()
        .start(&node, options)
        .await
        .unwrap();
    assert_eq!(node.label(supervisor.pid()).as_deref(), Some("guilds"));
    // Busy, so that what is sent to it stays in the mailbox: two fit.
    let (open, gate) = tokio::sync::oneshot::channel::<()>();
    let gate = std::sync::Arc::new(tokio::sync::Mutex::new(Some(gate)));
    let (begun, has_begun) = tokio::sync::oneshot::channel::<()>();
    let begun = std::sync::Arc::new(parking_lot::Mutex::new(Some(begun)));
    let spec = ChildSpec::function("w", move |start| {
        let (gate, begun) = (gate.clone(), begun.clone());
        async move {
            if let Some(begun) = begun.lock().take() {
                let _ = begun.send(());
            }
            let gate = gate.lock().await.take();
            if let Some(gate) = gate {
                let _ = gate.await;
            }
            start.server::<Worker>(Plan::default()).await
        }
    });
    let asked = supervisor.clone();
    let start = tokio::spawn(async move { asked.start_child(spec).await });
    has_begun.await.unwrap();
    for _ in 0..10 {
        node.send(supervisor.pid(), Box::new(()));
    }
    assert_eq!(node.process_info(supervisor.pid()).unwrap().mailbox_len, 2);
    open.send(()).unwrap();
    start.await.unwrap().unwrap();
}

async fn children_are_described_by_type_or_function() {
    let (node, log) = (node(), Log::default());
    let supervisor = dynamic(&node, DynamicSupervisor::new()).await;
    let by_type = supervisor.start_child(child("a", &log)).await.unwrap();
    let function = ChildSpec::function("b", |start| async move {
        start.server::<Worker>(Plan::default()).await
    });
    let by_function = supervisor.start_child(function).await.unwrap();
    let typed = supervisor
        .start_child_server::<Worker>(Plan::default, Options::new(), Restart::Permanent)
        .await
        .unwrap();
    let once = supervisor
        .start_child_once::<Worker>(Plan::default(), Options::new())
        .await
        .unwrap();
    assert_eq!(typed.call(Message::Get).await, Ok(7));
    assert_eq!(once.call(Message::Get).await, Ok(7));
    for pid in [by_type, by_function, typed.pid(), once.pid()] {
        let info = node.process_info(pid).unwrap();
        assert_eq!(info.parent, Some(supervisor.pid()));
        assert!(info.links.contains(&supervisor.pid()));
    }
    assert_eq!(dynamic_counts(&supervisor).await, [4, 4, 0, 4]);
}

async fn extra_arguments_reach_each_child() {
    let (node, log) = (node(), Log::default());
    let supervisor = DynamicSupervisor::new().extra_arguments(log.clone());
    let supervisor = dynamic(&node, supervisor).await;
    for name in ["a", "b"] {
        let spec = ChildSpec::worker_with::<Worker, Log>(name, move |log| Plan {
            name,
            log: log.clone(),
            ..Plan::default()
        });
        supervisor.start_child(spec).await.unwrap();
    }
    let function = ChildSpec::function("c", |start| async move {
        let log = start.extra::<Log>().ok_or(StartError::Ignore)?;
        let plan = Plan {
            name: "c",
            log: (*log).clone(),
            ..Plan::default()
        };
        start.server::<Worker>(plan).await
    });
    supervisor.start_child(function).await.unwrap();
    assert_eq!(log.all(), ["a init", "b init", "c init"]);
    // Children that do not want them are as they were.
    let plain = ChildSpec::worker::<Worker>("d", Plan::default);
    supervisor.start_child(plain).await.unwrap();
    let other = ChildSpec::worker_with::<Worker, u32>("e", |_| Plan::default());
    assert!(supervisor.start_child(other).await.is_err());
    assert_eq!(dynamic_counts(&supervisor).await, [4, 4, 0, 4]);
}

async fn a_wrong_specification_is_an_error() {
    let (node, log) = (node(), Log::default());
    let supervisor = dynamic(&node, DynamicSupervisor::new()).await;
    let temporary = child("t", &log).restart(Restart::Temporary);
    let pid = supervisor.start_child(temporary).await.unwrap();
    let used = supervisor.get_childspec(pid).await.unwrap();
    let significant = child("s", &log)
        .restart(Restart::Temporary)
        .significant(true);
    let permanent = child("p", &log).significant(true);
    for (spec, error) in [
        (child("", &log), SpecError::MissingId),
        (used, SpecError::MissingStart("t".into())),
        (
            significant,
            SpecError::SignificantWithoutAutoShutdown("s".into()),
        ),
        (permanent, SpecError::PermanentSignificant("p".into())),
    ] {
        let outcome = supervisor.start_child(spec).await;
        assert_eq!(outcome, Err(SupervisorError::Spec(error)));
        assert_eq!(dynamic_counts(&supervisor).await, [1, 1, 0, 1]);
    }
    assert_eq!(log.all(), ["t init"]);
}

/// A child whose next starts do this.
fn starting(script: &Script) -> ChildSpec {
    let script = script.clone();
    ChildSpec::worker::<Worker>("w", move || Plan {
        begin: script.next(),
        ..Plan::default()
    })
}

async fn a_start_gives_what_it_gives() {
    let (node, script) = (node(), Script::default());
    let supervisor = dynamic(&node, DynamicSupervisor::new()).await;
    let found = ExitReason::Error("found".into());
    script
        .then(Begin::Run)
        .then(Begin::Ignore)
        .then(Begin::Stop(found.clone()));
    let informed = ChildSpec::function("i", |start| async move {
        let started = start.server::<Worker>(Plan::default()).await?;
        Ok(started.with_info(5_u8))
    });
    let started = supervisor.start_child_with_info(informed).await.unwrap();
    assert_eq!(started.info::<u8>().as_deref(), Some(&5));
    let start = || supervisor.start_child(starting(&script));
    start().await.unwrap();
    assert_eq!(
        start().await,
        Err(SupervisorError::Start(StartError::Ignore))
    );
    let failed = SupervisorError::Start(StartError::Failed(found));
    assert_eq!(start().await, Err(failed));
    assert_eq!(dynamic_counts(&supervisor).await, [2, 2, 0, 2]);
}

async fn a_start_that_panics_is_an_error() {
    let (node, script) = (node(), Script::default());
    let supervisor = dynamic(&node, DynamicSupervisor::new()).await;
    script.then(Begin::Panic);
    let in_factory = ChildSpec::worker::<Worker>("f", || panic!("factory panics"));
    let in_options = starting(&Script::default()).options(|| panic!("options panic"));
    let in_function = ChildSpec::function("g", |start| async move {
        drop(start);
        panic!("function panics")
    });
    for (spec, words) in [
        (starting(&script), "init panics"),
        (in_factory, "factory panics"),
        (in_options, "options panic"),
        (in_function, "function panics"),
    ] {
        let outcome = supervisor.start_child(spec).await;
        let Err(SupervisorError::Start(StartError::Failed(ExitReason::Panic { message, .. }))) =
            outcome
        else {
            panic!("{outcome:?}");
        };
        assert_eq!(&*message, words);
    }
    let exits = ChildSpec::function("h", |start| async move {
        start
            .node()
            .exit(start.supervisor(), ExitReason::Custom("oops".into()));
        Err(StartError::Failed(ExitReason::Custom("oops".into())))
    });
    let oops = StartError::Failed(ExitReason::Custom("oops".into()));
    assert_eq!(
        supervisor.start_child(exits).await,
        Err(SupervisorError::Start(oops))
    );
    assert_eq!(dynamic_counts(&supervisor).await, [0, 0, 0, 0]);
    assert_eq!(node.process_count(), 1);
}

async fn there_is_a_limit() {
    let node = node();
    let none = dynamic(&node, DynamicSupervisor::new().max_children(0)).await;
    let spec = || starting(&Script::default()).restart(Restart::Temporary);
    assert_eq!(
        none.start_child(spec()).await,
        Err(SupervisorError::MaxChildren)
    );
    let two = dynamic(&node, DynamicSupervisor::new().max_children(2)).await;
    let first = two.start_child(spec()).await.unwrap();
    let second = two.start_child(spec()).await.unwrap();
    assert_eq!(
        two.start_child(spec()).await,
        Err(SupervisorError::MaxChildren)
    );
    // There is room when one dies, and when one is stopped.
    end(&node, first, crash()).await;
    two.start_child(spec()).await.unwrap();
    assert_eq!(
        two.start_child(spec()).await,
        Err(SupervisorError::MaxChildren)
    );
    two.terminate_child(second).await.unwrap();
    two.start_child(spec()).await.unwrap();
    assert_eq!(dynamic_counts(&two).await, [2, 2, 0, 2]);
}

async fn every_shutdown_is_accepted() {
    let (node, log) = (node(), Log::default());
    for (shutdown, ended) in [
        (Shutdown::Brutal, ExitReason::Killed),
        (Shutdown::Timeout(secs(0)), ExitReason::Killed),
        (Shutdown::Timeout(secs(1)), ExitReason::Shutdown),
        (Shutdown::Infinity, ExitReason::Shutdown),
    ] {
        let supervisor = dynamic(&node, DynamicSupervisor::new()).await;
        // With no time at all even a quick end is too slow.
        let spec = match shutdown {
            Shutdown::Timeout(limit) if limit.is_zero() => stubborn("w", &log),
            _ => child("w", &log),
        };
        let pid = supervisor
            .start_child(spec.shutdown(shutdown))
            .await
            .unwrap();
        let watched = node.wait_for_exit(pid);
        supervisor.stop(ExitReason::Shutdown, LONG).await.unwrap();
        assert_eq!(watched.await, ended, "{shutdown:?}");
    }
}

async fn a_wrong_shutdown_cannot_be_written() {
    // A time is never negative, and nothing that is not one of the three is a `Shutdown`: what is
    // an error there does not compile here. What is left is that all values are distinct.
    let all = [
        Shutdown::Brutal,
        Shutdown::Infinity,
        Shutdown::Timeout(secs(0)),
        Shutdown::Timeout(std::time::Duration::MAX),
    ];
    for (index, one) in all.iter().enumerate() {
        assert_eq!(all.iter().position(|other| other == one), Some(index));
    }
    // And the longest time is as good as any: it does not overflow.
    let (node, log) = (node(), Log::default());
    let supervisor = dynamic(&node, DynamicSupervisor::new()).await;
    let spec = child("w", &log).shutdown(all[3]);
    let pid = supervisor.start_child(spec).await.unwrap();
    supervisor.terminate_child(pid).await.unwrap();
    assert_eq!(log.all(), ["w init", "w terminate shutdown"]);
}
