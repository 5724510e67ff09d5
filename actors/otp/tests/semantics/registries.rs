//! Registries and one process per key.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use otp::{
    CallError, ExitReason, GenRegistry, Options, RegisterError, Registry, StartError, Supervisor,
};

use crate::support::{Begin, Log, Message, Plan, Worker, node, stop, worker};

#[tokio::test(flavor = "multi_thread")]
async fn a_key_belongs_to_one_process_until_it_ends() {
    let node = node();
    let registry = Registry::<u64>::new(&node);
    let one = worker(&node).await;
    let two = worker(&node).await;
    assert_eq!(registry.register(1, one.pid()), Ok(()));
    assert_eq!(
        registry.register(1, two.pid()),
        Err(RegisterError::AlreadyRegistered(one.pid()))
    );
    assert_eq!(registry.lookup_ref::<Worker>(&1), Some(one.clone()));
    assert_eq!((registry.len(), registry.keys()), (1, vec![1]));
    stop(&one, ExitReason::Normal);
    one.wait_for_exit().await;
    assert_eq!(registry.lookup(&1), None);
    assert_eq!(registry.register(1, one.pid()), Err(RegisterError::NoProc));
    assert_eq!(registry.register(1, two.pid()), Ok(()));
    assert_eq!(registry.unregister(&1), Some(two.pid()));
    assert!(registry.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_an_old_holder_does_not_free_a_new_one() {
    let node = node();
    let registry = Registry::<u64>::new(&node);
    let one = worker(&node).await;
    let two = worker(&node).await;
    registry.register(1, one.pid()).unwrap();
    registry.unregister(&1);
    registry.register(1, two.pid()).unwrap();
    stop(&one, ExitReason::Normal);
    one.wait_for_exit().await;
    assert_eq!(registry.lookup(&1), Some(two.pid()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_concurrent_lookups_make_one_start() {
    let node = node();
    let registry = GenRegistry::<u32, Worker>::new(&node);
    let log = Log::default();
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let mut callers = Vec::new();
    for _ in 0..100 {
        let registry = registry.clone();
        let log = log.clone();
        callers.push(tokio::spawn(async move {
            registry
                .lookup_or_start(&7, || {
                    CALLS.fetch_add(1, Ordering::SeqCst);
                    Plan {
                        log,
                        ..Plan::default()
                    }
                })
                .await
                .unwrap()
                .pid()
        }));
    }
    let mut pids = Vec::new();
    for caller in callers {
        pids.push(caller.await.unwrap());
    }
    pids.dedup();
    assert_eq!(pids.len(), 1);
    assert_eq!(log.all(), ["init"]);
    assert_eq!(CALLS.load(Ordering::SeqCst), 1);
    assert_eq!(registry.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_start_is_told_to_all_and_leaves_nothing() {
    let node = node();
    let registry = GenRegistry::<u32, Worker>::new(&node);
    let failing = || Plan {
        begin: Begin::Stop(ExitReason::Error("no".into())),
        ..Plan::default()
    };
    let expected = StartError::Failed(ExitReason::Error("no".into()));
    let callers: Vec<_> = (0..20)
        .map(|_| {
            let registry = registry.clone();
            tokio::spawn(async move { registry.lookup_or_start(&7, failing).await })
        })
        .collect();
    for caller in callers {
        assert_eq!(caller.await.unwrap().unwrap_err(), expected);
    }
    assert_eq!((registry.count(), registry.keys()), (0, vec![]));
    let retry = registry.lookup_or_start(&7, Plan::default).await.unwrap();
    assert_eq!(retry.call(Message::Get).await, Ok(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_free_when_its_process_has_ended() {
    let node = node();
    let registry = GenRegistry::<u32, Worker>::with_options(&node, |key| {
        Options::new().label(format!("worker {key}"))
    });
    let first = registry.lookup_or_start(&1, Plan::default).await.unwrap();
    assert_eq!(
        registry.stop(&2, ExitReason::Shutdown).await,
        Err(CallError::NoProc)
    );
    assert_eq!(registry.stop(&1, ExitReason::Shutdown).await, Ok(()));
    assert_eq!(registry.lookup(&1), None);
    let second = registry.lookup_or_start(&1, Plan::default).await.unwrap();
    assert_ne!(first.pid(), second.pid());
    let mut seen = Vec::new();
    registry.for_each(|key, server| seen.push((*key, server.pid())));
    assert_eq!(seen, [(1, second.pid())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_goes_on_when_its_caller_is_dropped() {
    let node = node();
    let registry = GenRegistry::<u32, Worker>::new(&node);
    let caller = {
        let registry = registry.clone();
        tokio::spawn(async move { registry.lookup_or_start(&1, Plan::default).await })
    };
    caller.abort();
    let server = registry.lookup_or_start(&1, Plan::default).await.unwrap();
    assert_eq!(registry.lookup(&1), Some(server));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supervised_registry_ends_its_processes_in_order() {
    let node = node();
    let registry = GenRegistry::<u32, Worker>::new(&node);
    let supervisor = Supervisor::one_for_one()
        .child(registry.child_spec("workers"))
        .start(&node, Options::new())
        .await
        .unwrap();
    let log = Log::default();
    for key in 0..3 {
        let log = log.clone();
        registry
            .lookup_or_start(&key, || Plan {
                trap: true,
                log,
                ..Plan::default()
            })
            .await
            .unwrap();
    }
    log.clear();
    supervisor
        .stop(ExitReason::Shutdown, Duration::from_secs(5))
        .await
        .unwrap();
    assert_eq!(log.all(), ["terminate shutdown"; 3]);
    assert_eq!((registry.count(), node.process_count()), (0, 0));
    let refused = registry.lookup_or_start(&9, Plan::default).await;
    assert_eq!(refused.unwrap_err(), StartError::Failed(ExitReason::NoProc));
}
