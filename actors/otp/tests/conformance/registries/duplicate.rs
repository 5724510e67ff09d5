//! Duplicate keys: registering, dispatching, unregistering, partitions.

use std::collections::HashSet;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use otp::registry::{DispatchError, Keys, Registry, RegistryEvent, RegistryOptions, UpdateError};
use otp::{ExitReason, Node, Pid, eventually};
use parking_lot::Mutex;

use super::{
    Int, PARTITIONS, Term, duplicates, ear, expect_no_more, float, kill_and_see_down, next, sizes,
    sorted, trapping,
};
use crate::support::{node, within, worker};

crate::cases! {
    partitions: "REG-042";
    count_empty: "REG-043";
    count: "REG-044";
    register: "REG-045";
    register_across_processes: "REG-046";
    strict_compare: "REG-047";
    dispatch_serial: "REG-048";
    dispatch_parallel: "REG-049";
    unregister: "REG-050";
    unregister_none: "REG-051";
    listeners: "REG-059";
    invalid_keys: "REG-071";
    update_value: "REG-072";
    by_key: "REG-073";
}

async fn partitions() {
    let node = node();
    for keys in [Keys::DuplicateByPid, Keys::DuplicateByKey] {
        for partitions in PARTITIONS {
            let options = RegistryOptions::new().keys(keys).partitions(partitions);
            let registry = Registry::<u32>::with_options(&node, options);
            assert_eq!(registry.partitions(), partitions);
            assert_eq!(registry.key_kind(), keys);
            let mut processes = Vec::new();
            for _ in 0..20 {
                processes.push(worker(&node).await);
            }
            for key in 0..400 {
                registry
                    .register(key, &processes[key as usize % 20])
                    .unwrap();
            }
            let stats = registry.stats();
            assert_eq!(stats.by_key.len(), partitions);
            // By pid a few may be empty: there are only twenty.
            let used = stats.by_key.iter().filter(|entries| **entries > 0).count();
            assert!(used > partitions / 2, "{stats:?}");
            for process in &processes {
                kill_and_see_down(&node, process.pid()).await;
            }
            assert_eq!(sizes(&registry), (0, 0));
        }
    }
}

async fn count_empty() {
    for registry in duplicates::<u32, ()>(&node()) {
        assert_eq!(registry.count(), Ok(0));
    }
}

async fn count() {
    let node = node();
    let process = worker(&node).await;
    for registry in duplicates(&node) {
        registry.by(&process).register("hello", "value").unwrap();
        registry.by(&process).register("hello", "value").unwrap();
        assert_eq!(registry.count(), Ok(2));
    }
}

async fn register() {
    let node = node();
    for registry in duplicates(&node) {
        let process = worker(&node).await;
        within(&process, move |ctx| {
            let own = registry.by(&*ctx);
            assert_eq!(own.register("hello", "value"), Ok(()));
            assert_eq!(own.keys(), Ok(vec!["hello"]));
            assert_eq!(own.values(&"hello"), Ok(vec!["value"]));
            assert_eq!(own.register("hello", "value"), Ok(()));
            assert_eq!(own.keys(), Ok(vec!["hello", "hello"]));
            assert_eq!(own.values(&"hello"), Ok(vec!["value", "value"]));
            assert_eq!(own.register("world", "value"), Ok(()));
            assert_eq!(sorted(own.keys().unwrap()), ["hello", "hello", "world"]);
            let twice = vec![(ctx.pid(), "value"); 2];
            assert_eq!(registry.entries(&"hello"), Ok(twice));
        })
        .await;
    }
}

async fn register_across_processes() {
    let node = node();
    let (task, process) = (worker(&node).await, worker(&node).await);
    for registry in duplicates(&node) {
        registry.by(&task).register("hello", "world").unwrap();
        let own = registry.by(&process);
        assert_eq!(own.keys(), Ok(vec![]));
        assert_eq!(registry.by(&task).keys(), Ok(vec!["hello"]));
        assert_eq!(own.values(&"hello"), Ok(vec![]));
        assert_eq!(registry.by(&task).values(&"hello"), Ok(vec!["world"]));
        assert_eq!(own.register("hello", "value"), Ok(()));
        assert_eq!(own.keys(), Ok(vec!["hello"]));
        assert_eq!(own.values(&"hello"), Ok(vec!["value"]));
        let both = [(task.pid(), "world"), (process.pid(), "value")];
        assert_eq!(sorted(registry.entries(&"hello").unwrap()), both);
    }
}

async fn strict_compare() {
    let node = node();
    let process = worker(&node).await;
    for registry in duplicates::<Term, ()>(&node) {
        registry.register(float(1.0), &process).unwrap();
        registry.register(Int(1), &process).unwrap();
        let keys = registry.by(&process).keys().unwrap();
        assert_eq!(sorted(keys), [Int(1), float(1.0)]);
        assert_eq!(registry.entries(&Int(1)).unwrap().len(), 1);
    }
}

/// Registers processes under a key until it has entries in that many partitions. Returns all
/// entries.
async fn spread(
    node: &Node,
    registry: &Registry<&'static str, u32>,
    partitions: usize,
) -> Vec<(Pid, u32)> {
    let mut entries = Vec::new();
    let mut value = 0;
    loop {
        let used = registry.stats().by_key;
        if used.iter().filter(|entries| **entries > 0).count() == partitions {
            return entries;
        }
        let process = worker(node).await;
        for _ in 0..2 {
            registry.by(&process).register("hello", value).unwrap();
            entries.push((process.pid(), value));
            value += 1;
        }
    }
}

async fn dispatch_serial() {
    let node = node();
    for registry in duplicates(&node) {
        let absent = registry.dispatch(&"hello", |_| panic!("not to be run"));
        assert_eq!(absent, Ok(()));
        // Entries of a key are in several partitions only if those are by pid.
        let by_pid = registry.key_kind() == Keys::DuplicateByPid && registry.partitions() > 1;
        let groups = if by_pid { 3 } else { 1 };
        let expected = spread(&node, &registry, groups).await;
        let other = worker(&node).await;
        registry.by(&other).register("world", 77).unwrap();

        // It runs in the caller: it borrows from it.
        let mut calls = Vec::new();
        let done = registry.dispatch(&"hello", |entries| calls.push(entries.to_vec()));
        assert_eq!(done, Ok(()));
        assert_eq!(calls.len(), groups);
        assert_eq!(sorted(calls.concat()), sorted(expected.clone()));
        // A partition is one call, and has the entries of a process together.
        let pids = |call: &Vec<(Pid, u32)>| call.iter().map(|entry| entry.0).collect();
        let pids: Vec<HashSet<Pid>> = calls.iter().map(pids).collect();
        let all: usize = pids.iter().map(HashSet::len).sum();
        assert_eq!(all, pids.iter().flatten().collect::<HashSet<_>>().len());
        let mut calls = Vec::new();
        let done = registry.dispatch(&"world", |entries| calls.push(entries.to_vec()));
        assert_eq!(done, Ok(()));
        assert_eq!(calls, [[(other.pid(), 77)]]);

        // A crash in one partition is an error for the caller, and nothing to the other ones.
        let mut calls = 0;
        let crashed = registry.dispatch(&"hello", |_| {
            calls += 1;
            assert!(calls > 1, "the first one crashes");
        });
        assert!(is_crash(&crashed, "the first one crashes"), "{crashed:?}");
        assert_eq!(calls, groups);
        assert_eq!(registry.count(), Ok(expected.len() + 1));
    }
}

fn is_crash(outcome: &Result<(), DispatchError>, why: &str) -> bool {
    match outcome {
        Err(DispatchError::Crashed(ExitReason::Panic { message, .. })) => message.contains(why),
        _ => false,
    }
}

async fn dispatch_parallel() {
    let node = node();
    for registry in duplicates(&node) {
        let absent = registry.dispatch_parallel(&"hello", |_| panic!("not to be run"));
        assert_eq!(absent.await, Ok(()));
        let parallel = registry.key_kind() == Keys::DuplicateByPid && registry.partitions() > 1;
        let groups = if parallel { 2 } else { 1 };
        let expected = spread(&node, &registry, groups).await;
        let processes = node.process_count();

        // Each one waits until all are at work, which needs all at the same time.
        let meeting = Arc::new(Barrier::new(groups));
        let calls = Arc::new(Mutex::new(Vec::new()));
        let dispatcher = {
            let (meeting, calls, node) = (meeting.clone(), calls.clone(), node.clone());
            move |entries: &[(Pid, u32)]| {
                meeting.wait();
                let more = node.process_count() - processes;
                calls.lock().push((more, entries.to_vec()));
                meeting.wait();
            }
        };
        let done = registry.dispatch_parallel(&"hello", dispatcher).await;
        assert_eq!(done, Ok(()));
        let calls: Vec<_> = std::mem::take(&mut *calls.lock());
        assert_eq!(calls.len(), groups);
        for (more, _) in &calls {
            // A process for each, or none: the caller does it.
            assert_eq!(*more, if parallel { groups } else { 0 });
        }
        let all = calls.into_iter().flat_map(|call| call.1);
        assert_eq!(sorted(all.collect()), sorted(expected.clone()));

        // A crash is an error for the caller, which lives and gets no signal, and nothing to the
        // others.
        let (process, told) = trapping(&node).await;
        let first = expected[0].0;
        let served = Arc::new(Mutex::new(0));
        let dispatch = {
            let (registry, served) = (registry.clone(), served.clone());
            let crashing = move |entries: &[(Pid, u32)]| {
                assert!(entries[0].0 != first, "the first one crashes");
                *served.lock() += 1;
            };
            async move { registry.dispatch_parallel(&"hello", crashing).await }
        };
        let caller = within(&process, move |ctx| ctx.spawn_link_task(dispatch)).await;
        let crashed = tokio::time::timeout(Duration::from_secs(10), caller).await;
        let crashed = crashed.unwrap().unwrap();
        assert!(is_crash(&crashed, "the first one crashes"), "{crashed:?}");
        assert_eq!(*served.lock(), groups - 1);
        eventually!(told.len() > 0);
        assert_eq!(
            told.all(),
            ["EXIT normal"],
            "from the caller, which ended well"
        );
    }
}

async fn unregister() {
    let node = node();
    let (process, other) = (worker(&node).await, worker(&node).await);
    for registry in duplicates::<_, ()>(&node) {
        let own = registry.by(&process);
        for key in ["hello", "hello", "world"] {
            registry.register(key, &process).unwrap();
        }
        registry.register("hello", &other).unwrap();
        assert_eq!(sorted(own.keys().unwrap()), ["hello", "hello", "world"]);
        own.unregister(&"hello").unwrap();
        assert_eq!(own.keys(), Ok(vec!["world"]));
        // Those of others stay.
        assert_eq!(registry.entries(&"hello"), Ok(vec![(other.pid(), ())]));
        own.unregister(&"world").unwrap();
        assert_eq!(own.keys(), Ok(vec![]));
        assert_eq!(sizes(&registry), (1, 1));
    }
}

async fn unregister_none() {
    let node = node();
    let process = worker(&node).await;
    for registry in duplicates::<&str, ()>(&node) {
        assert_eq!(registry.by(&process).unregister(&"hello"), Ok(()));
        assert_eq!(sizes(&registry), (0, 0));
    }
}

async fn listeners() {
    let node = node();
    let kinds = [Keys::DuplicateByPid, Keys::DuplicateByKey];
    let kinds = kinds
        .into_iter()
        .flat_map(|keys| PARTITIONS.map(|count| (keys, count)));
    for (number, (keys, partitions)) in kinds.enumerate() {
        let name = format!("ear {number}");
        let options = RegistryOptions::new().keys(keys).partitions(partitions);
        let registry = Registry::with_options(&node, options.listener(name.as_str()));
        let (_ear, mut events) = ear(&node, &name).await;
        let (task, process) = (worker(&node).await, worker(&node).await);
        let registered = |pid, value| RegistryEvent::Registered {
            registry: registry.clone(),
            key: "hello",
            pid,
            value,
        };
        registry.by(&task).register("hello", "world").unwrap();
        assert_eq!(next(&mut events).await, registered(task.pid(), "world"));
        for value in ["one", "two"] {
            registry.by(&process).register("hello", value).unwrap();
            assert_eq!(next(&mut events).await, registered(process.pid(), value));
        }
        // One message for both entries, and none as long as one of them is left.
        let own = registry.by(&process);
        assert_eq!(
            own.unregister_match(&"hello", |value| *value == "one"),
            Ok(1)
        );
        own.unregister(&"hello").unwrap();
        let expected = RegistryEvent::Unregistered {
            registry: registry.clone(),
            key: "hello",
            pid: process.pid(),
        };
        assert_eq!(next(&mut events).await, expected);
        kill_and_see_down(&node, task.pid()).await;
        expect_no_more(&mut events, &registry, process.pid()).await;
    }
}

async fn invalid_keys() {
    // There is no fourth kind to ask for: this does not compile if one is added.
    let kind = |keys: Keys| match keys {
        Keys::Unique => "unique",
        Keys::DuplicateByPid => "duplicate:pid",
        Keys::DuplicateByKey => "duplicate:key",
    };
    for keys in [Keys::Unique, Keys::DuplicateByPid, Keys::DuplicateByKey] {
        assert_eq!(kind(keys).parse(), Ok(keys));
    }
    assert_eq!("duplicate".parse(), Ok(Keys::DuplicateByPid));
    for wrong in ["duplicate:invalid", "duplicate:", "Unique", ""] {
        let refused = wrong.parse::<Keys>().unwrap_err().to_string();
        assert!(refused.contains(wrong), "{refused}");
    }
}

async fn update_value() {
    let node = node();
    let process = worker(&node).await;
    for registry in duplicates(&node) {
        registry.by(&process).register("hello", 1).unwrap();
        let never = |_: &u32| -> u32 { panic!("not to be run") };
        for key in ["hello", "absent"] {
            let refused = registry.by(&process).update_value(&key, never);
            assert_eq!(refused, Err(UpdateError::DuplicateKeys));
        }
        assert_eq!(registry.entries(&"hello"), Ok(vec![(process.pid(), 1)]));
    }
}

async fn by_key() {
    let node = node();
    let registry = |keys| {
        let options = RegistryOptions::new().keys(keys).partitions(8);
        Registry::<u32, u32>::with_options(&node, options)
    };
    let (by_key, by_pid) = (
        registry(Keys::DuplicateByKey),
        registry(Keys::DuplicateByPid),
    );
    let used = |registry: &Registry<u32, u32>| {
        let stats = registry.stats();
        stats.by_key.iter().filter(|count| **count > 0).count()
    };
    let mut processes = Vec::new();
    for value in 0..30 {
        let process = worker(&node).await;
        for registry in [&by_key, &by_pid] {
            registry.by(&process).register(7, value).unwrap();
        }
        processes.push(process);
    }
    // All entries of a key are in one partition; with the other kind they are not.
    assert_eq!(used(&by_key), 1);
    assert!(used(&by_pid) > 1);
    // So one call of a dispatcher has them all, in the order of registration, and so does a lookup.
    let expected: Vec<(Pid, u32)> = processes.iter().map(|it| it.pid()).zip(0..).collect();
    let mut calls = Vec::new();
    let done = by_key.dispatch(&7, |entries| calls.push(entries.to_vec()));
    assert_eq!((done, calls), (Ok(()), vec![expected.clone()]));
    assert_eq!(by_key.entries(&7), Ok(expected));
    // Other keys are in other partitions.
    for key in 8..200 {
        by_key.by(&processes[0]).register(key, 0).unwrap();
    }
    assert_eq!(used(&by_key), 8);
    for process in &processes {
        kill_and_see_down(&node, process.pid()).await;
    }
    assert_eq!((sizes(&by_key), sizes(&by_pid)), ((0, 0), (0, 0)));
}
