//! Registries and the life of processes: owners, holders, names.

use otp::registry::{LockError, MetaError, RegisterError, Registry, UpdateError, ViaError};
use otp::testing::TEST_DEADLINE;
use otp::{
    CallError, ExitReason, Options, Pid, StartError, Supervisor, SupervisorRef, UnknownRegistry,
    eventually,
};

use super::{PARTITIONS, duplicates, kill_and_see_down, sizes, trapping, unique};
use crate::support::{Begin, Log, Message, Plan, Worker, node, planned, stop, worker};

crate::cases! {
    owner_crash: "REG-001";
    links: "REG-026";
    unknown: "REG-027";
    via: "REG-028";
    via_with_value: "REG-029";
    duplicate_links: "REG-060";
    duplicate_unknown: "REG-061";
    duplicate_via: "REG-062";
    dead_processes_are_not_found: "REG-074";
}

async fn owner_crash() {
    let node = node();
    let mut registries = duplicates(&node);
    registries.extend(PARTITIONS.map(|partitions| unique(&node, partitions)));
    for registry in registries {
        let (one, two, three) = (
            worker(&node).await,
            worker(&node).await,
            worker(&node).await,
        );
        for key in ["hello", "hi"] {
            registry.register(key, &one).unwrap();
        }
        registry.register("world", &two).unwrap();
        registry.register("stays", &three).unwrap();
        one.cast(Message::Run(Box::new(|_| panic!("crashes"))));
        assert!(matches!(
            one.wait_for_exit().await,
            ExitReason::Panic { .. }
        ));
        kill_and_see_down(&node, two.pid()).await;
        for key in ["hello", "hi", "world"] {
            assert_eq!(registry.entries(&key), Ok(vec![]));
        }
        assert_eq!(registry.by(&one).keys(), Ok(vec![]));
        assert_eq!(registry.entries(&"stays"), Ok(vec![(three.pid(), ())]));
        assert_eq!(sizes(&registry), (1, 1));
        assert_eq!((registry.stats().keys, registry.stats().slots), (1, 1));
    }
}

/// What the link between a holder and its registry is good for.
async fn check_links(registry: Registry<&'static str>, node: otp::Node) {
    let owner = registry.start(Options::new()).await.unwrap();
    let plain = worker(&node).await;
    let ((holder, told), (former, untold)) = (trapping(&node).await, trapping(&node).await);
    for key in ["a", "b"] {
        registry.register(key, holder.pid()).unwrap();
    }
    for key in ["c", "d"] {
        registry.register(key, former.pid()).unwrap();
        registry.by(former.pid()).unregister(&key).unwrap();
    }
    registry.register("e", &plain).unwrap();
    // Still a holder after the first of two.
    registry.by(holder.pid()).unregister(&"a").unwrap();
    // The end of a holder is nothing to the registry.
    let short = worker(&node).await;
    registry.register("f", &short).unwrap();
    kill_and_see_down(&node, short.pid()).await;
    assert_eq!(registry.owner(), Some(owner));
    assert_eq!(registry.lookup(&"b"), Some(holder.pid()));
    // The end of the registry is a great deal to its holders, and nothing to former ones.
    kill_and_see_down(&node, owner).await;
    assert_eq!(plain.wait_for_exit().await, ExitReason::Killed);
    for server in [&holder, &former] {
        // Behind whatever it was sent before.
        server.call(Message::Get).await.unwrap();
    }
    assert_eq!(told.all(), ["EXIT killed"]);
    assert_eq!(untold.len(), 0);
}

async fn links() {
    for partitions in PARTITIONS {
        let node = node();
        check_links(unique(&node, partitions), node.clone()).await;
    }
}

async fn duplicate_links() {
    let node = node();
    for registry in duplicates(&node) {
        check_links(registry, node.clone()).await;
    }
}

/// That each operation says that the registry is not there.
async fn check_unknown(registry: &Registry<&'static str>, pid: Pid) {
    let unknown = UnknownRegistry;
    let own = registry.by(pid);
    assert_eq!(registry.check(), Err(unknown));
    assert_eq!(registry.register("hello", pid), Err(unknown.into()));
    assert_eq!(own.unregister(&"hello"), Err(unknown));
    assert_eq!(own.unregister_match(&"hello", |()| true), Err(unknown));
    let updated = own.update_value(&"hello", |()| ());
    assert_eq!(updated, Err(UpdateError::UnknownRegistry(unknown)));
    assert_eq!(own.keys(), Err(unknown));
    assert_eq!(own.values(&"hello"), Err(unknown));
    assert_eq!(registry.entries(&"hello"), Err(unknown));
    assert_eq!(registry.match_values(&"hello", |()| true), Err(unknown));
    assert_eq!(registry.count_match(&"hello", |()| true), Err(unknown));
    assert_eq!(registry.select(|_, _, ()| Some(())), Err(unknown));
    assert_eq!(registry.count_select(|_, _, ()| true), Err(unknown));
    assert_eq!(registry.count(), Err(unknown));
    let dispatched = registry.dispatch(&"hello", |_| panic!("not to be run"));
    assert_eq!(dispatched, Err(unknown.into()));
    let dispatched = registry.dispatch_parallel(&"hello", |_| panic!("not to be run"));
    assert_eq!(dispatched.await, Err(unknown.into()));
    let locked = registry.lock("hello", async { panic!("not to be run") });
    assert_eq!(
        locked.await,
        Err::<(), _>(LockError::UnknownRegistry(unknown))
    );
    assert_eq!(registry.meta::<u32>("key"), Err(unknown));
    let put = registry.put_meta("key", 1_u32);
    assert_eq!(put, Err(MetaError::UnknownRegistry(unknown)));
    assert_eq!(registry.delete_meta("key"), Err(unknown));
    let via = registry.via("hello").map(drop);
    assert_eq!(via, Err(ViaError::UnknownRegistry(unknown)));
    // Those which have no error to give find nothing.
    assert_eq!(registry.lookup(&"hello"), None);
    assert_eq!((registry.len(), registry.keys()), (0, vec![]));
}

async fn check_life(registry: Registry<&'static str>, node: otp::Node) {
    let supervisor = Supervisor::one_for_one().child(registry.child_spec("registry"));
    let process = worker(&node).await;
    check_unknown(&registry, process.pid()).await;
    let supervisor = supervisor.start(&node, Options::new()).await.unwrap();
    assert_eq!(registry.register("hello", &process), Ok(()));
    registry.put_meta("key", 1_u32).unwrap();
    let owner = registry.owner().unwrap();
    let again = registry.start(Options::new()).await;
    assert_eq!(again, Err(StartError::AlreadyStarted(owner)));

    // Somebody waits for a lock when the registry ends, and learns of it.
    let holder = otp::task::spawn(&node, "holder", {
        let registry = registry.clone();
        async move { registry.lock("lock", std::future::pending::<()>()).await }
    });
    eventually!(registry.stats().locks == 1);
    let waiting = registry.clone();
    let waiting = tokio::spawn(async move { waiting.lock("lock", async {}).await });
    tokio::task::yield_now().await;
    node.exit(owner, ExitReason::Kill);
    let waited = waiting.await.unwrap();
    assert_eq!(waited, Err(LockError::UnknownRegistry(UnknownRegistry)));
    holder.shutdown();
    assert!(holder.await.is_err());

    // It is restarted, and empty.
    assert_eq!(process.wait_for_exit().await, ExitReason::Killed);
    eventually!(registry.check().is_ok() && registry.owner() != Some(owner));
    assert_eq!(registry.count(), Ok(0));
    assert_eq!(registry.meta::<u32>("key"), Ok(None));
    let process = worker(&node).await;
    assert_eq!(registry.register("hello", &process), Ok(()));
    check_end(supervisor).await;
    check_unknown(&registry, process.pid()).await;
    assert_eq!(process.wait_for_exit().await, ExitReason::Shutdown);
    assert_eq!(sizes(&registry), (0, 0));
}

async fn check_end(supervisor: SupervisorRef) {
    let children = supervisor.which_children().await.unwrap();
    assert_eq!(children.len(), 1);
    let stopped = supervisor.stop(ExitReason::Shutdown, TEST_DEADLINE).await;
    assert_eq!(stopped, Ok(()));
}

async fn unknown() {
    for partitions in PARTITIONS {
        let node = node();
        check_life(unique(&node, partitions), node.clone()).await;
    }
}

async fn duplicate_unknown() {
    let node = node();
    for registry in duplicates::<_, ()>(&node) {
        let process = worker(&node).await;
        let owner = registry.start(Options::new()).await.unwrap();
        assert_eq!(registry.register("hello", process.pid()), Ok(()));
        assert_eq!(registry.register("hello", process.pid()), Ok(()));
        kill_and_see_down(&node, owner).await;
        let refused = registry.register("hello", process.pid());
        assert_eq!(
            refused,
            Err(RegisterError::UnknownRegistry(UnknownRegistry))
        );
        assert_eq!(registry.entries(&"hello"), Err(UnknownRegistry));
        assert_eq!(sizes(&registry), (0, 0));
    }
}

async fn via() {
    let node = node();
    for partitions in PARTITIONS {
        let registry = unique::<_, ()>(&node, partitions);
        let name = registry.via("hello").unwrap();
        // Nobody has it.
        assert_eq!(name.whereis(), Ok(None));
        let call = name.call::<Worker, _, _>(Message::Get).await;
        assert_eq!(call, Err(CallError::NoProc));
        let answer = node.call::<Worker, _, _>(&name, Message::Get).await;
        assert_eq!(answer, Err(CallError::NoProc));
        assert_eq!(name.send(Box::new(1_u32)), Err(CallError::NoProc));
        name.cast::<Worker>(Message::Note("lost".into()));

        // A process is started under it.
        let log = Log::default();
        let plan = || Plan {
            log: log.clone(),
            ..Plan::default()
        };
        let start = |plan| otp::start::<Worker>(&node, plan, Options::new().via(&name));
        let process = start(plan()).await.unwrap();
        assert_eq!(name.whereis(), Ok(Some(process.pid())));
        assert_eq!(name.call::<Worker, _, _>(Message::Get).await, Ok(7));
        let answer = node.call::<Worker, _, _>(&name, Message::Get).await;
        assert_eq!(answer, Ok(7), "the name is a destination");
        name.cast::<Worker>(Message::Note("cast".into()));
        assert_eq!(name.send(Box::new(1_u32)), Ok(()));
        eventually!(log.all() == ["init", "cast", "message"]);

        // A second one is not, with either way to say it.
        let taken = Err(StartError::AlreadyStarted(process.pid()));
        assert_eq!(start(plan()).await, taken);
        let options = Options::new().register_in(&registry, "hello");
        assert_eq!(otp::start::<Worker>(&node, plan(), options).await, taken);
        assert_eq!(
            name.register(process.pid()),
            Err(RegisterError::AlreadyRegistered(process.pid()))
        );

        // It can be given back and taken again, and is free after the end.
        name.unregister(&process).unwrap();
        assert_eq!(name.whereis(), Ok(None));
        name.register(&process).unwrap();
        stop(&process, ExitReason::Normal);
        process.wait_for_exit().await;
        assert_eq!(name.whereis(), Ok(None));

        // An init that fails does not keep it.
        let fails = Plan {
            begin: Begin::Stop(ExitReason::error("oops")),
            ..plan()
        };
        let failed = start(fails).await;
        assert_eq!(failed, Err(StartError::Failed(ExitReason::error("oops"))));
        assert_eq!((name.whereis(), sizes(&registry)), (Ok(None), (0, 0)));
        assert!(start(plan()).await.is_ok());
    }
}

async fn via_with_value() {
    let node = node();
    for partitions in PARTITIONS {
        let registry = unique(&node, partitions);
        let name = registry.via_with("hello", "value").unwrap();
        let options = Options::new().via(&name);
        let process = otp::start::<Worker>(&node, Plan::default(), options).await;
        let pid = process.unwrap().pid();
        assert_eq!(registry.entries(&"hello"), Ok(vec![(pid, "value")]));
        // Without one it gets nothing: the default.
        let other = Options::new().via(&registry.via("world").unwrap());
        let process = otp::start::<Worker>(&node, Plan::default(), other).await;
        let pid = process.unwrap().pid();
        assert_eq!(registry.entries(&"world"), Ok(vec![(pid, "")]));
    }
}

async fn duplicate_via() {
    let node = node();
    for registry in duplicates::<&str, ()>(&node) {
        let refused = registry.via("hello").map(drop);
        assert_eq!(refused, Err(ViaError::DuplicateKeys));
        let refused = registry.via_with("hello", ()).map(drop);
        assert_eq!(refused, Err(ViaError::DuplicateKeys));
        let options = Options::new().register_in(&registry, "hello");
        let refused = otp::start::<Worker>(&node, Plan::default(), options).await;
        let why = ExitReason::error(ViaError::DuplicateKeys);
        assert_eq!(refused, Err(StartError::Failed(why)));
        assert_eq!(sizes(&registry), (0, 0));
    }
}

async fn dead_processes_are_not_found() {
    let node = node();
    let mut registries = duplicates(&node);
    registries.extend(PARTITIONS.map(|partitions| unique(&node, partitions)));
    for registry in registries {
        // A process in its `terminate` exists, and so do its entries.
        let log = Log::default();
        let plan = Plan {
            hang_in_terminate: true,
            log: log.clone(),
            ..Plan::default()
        };
        let slow = planned(&node, plan).await;
        registry.register("slow", &slow).unwrap();
        stop(&slow, ExitReason::Normal);
        eventually!(log.all() == ["init", "terminate normal"]);
        assert_eq!(registry.lookup(&"slow"), Some(slow.pid()));
        // Whoever knows of an end finds no entry, by whatever way they know.
        for _ in 0..50 {
            let process = worker(&node).await;
            registry.register("hello", &process).unwrap();
            node.exit(process.pid(), ExitReason::Kill);
            eventually!(!node.is_alive(process.pid()));
            assert_eq!(registry.lookup(&"hello"), None);
            assert_eq!(registry.lookup_ref::<Worker>(&"hello"), None);
            assert_eq!(registry.entries(&"hello"), Ok(vec![]));
            let selected = registry.select(|_, pid, ()| Some(pid));
            assert_eq!(selected, Ok(vec![slow.pid()]));
            if let Ok(name) = registry.via("hello") {
                assert_eq!(name.whereis(), Ok(None));
            }
        }
    }
}
