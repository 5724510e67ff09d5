//! Unique keys: registering, values, listeners, metadata.

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};

use otp::registry::UpdateError;
use otp::registry::{META_MAX, MetaError, RegisterError, Registry, RegistryEvent, RegistryOptions};

use super::{
    Atom, Int, List, Map, PARTITIONS, Term, Tuple, ear, expect_no_more, float, kill_and_see_down,
    next, sizes, sorted, unique,
};
use crate::support::{node, within, worker};

crate::cases! {
    partitions: "REG-007";
    count_empty: "REG-008";
    count: "REG-009";
    register: "REG-010";
    register_across_processes: "REG-011";
    delayed_partition: "REG-012";
    reserved_keys: "REG-015";
    strict_equality: "REG-020";
    update_value: "REG-021";
    dispatch: "REG-022";
    unregister: "REG-023";
    unregister_none: "REG-024";
    listeners: "REG-025";
    no_growth: "REG-040";
    no_growth_across_processes: "REG-041";
    metadata: "REG-075";
}

async fn partitions() {
    let node = node();
    let process = worker(&node).await;
    for partitions in PARTITIONS {
        let registry = unique::<u32, ()>(&node, partitions);
        assert_eq!(registry.partitions(), partitions);
        for key in 0..400 {
            registry.register(key, &process).unwrap();
        }
        let stats = registry.stats();
        assert_eq!(stats.by_key.len(), partitions);
        assert!(stats.by_key.iter().all(|entries| *entries > 0), "{stats:?}");
    }
    assert_eq!(unique::<u32, ()>(&node, 0).partitions(), 1);
    let many = Registry::<u32>::with_options(&node, RegistryOptions::new().partition_per_core());
    assert!(many.partitions() >= 1);
}

async fn count_empty() {
    for partitions in PARTITIONS {
        let registry = unique::<u32, ()>(&node(), partitions);
        assert_eq!(registry.count(), Ok(0));
        assert!(registry.is_empty());
    }
}

async fn count() {
    let node = node();
    let process = worker(&node).await;
    for partitions in PARTITIONS {
        let registry = unique(&node, partitions);
        registry.by(&process).register("hello", "value").unwrap();
        registry.by(&process).register("world", "value").unwrap();
        assert_eq!(registry.count(), Ok(2));
    }
}

async fn register() {
    let node = node();
    for partitions in PARTITIONS {
        let registry = unique(&node, partitions);
        let process = worker(&node).await;
        // By the process itself, as in Elixir.
        within(&process, move |ctx| {
            let pid = ctx.pid();
            let own = registry.by(&*ctx);
            assert_eq!(own.register("hello", "value"), Ok(()));
            assert_eq!(own.keys(), Ok(vec!["hello"]));
            assert_eq!(own.values(&"hello"), Ok(vec!["value"]));
            assert_eq!(
                own.register("hello", "later"),
                Err(RegisterError::AlreadyRegistered(pid))
            );
            assert_eq!(own.keys(), Ok(vec!["hello"]));
            assert_eq!(own.values(&"hello"), Ok(vec!["value"]));
            assert_eq!(own.register("world", "value"), Ok(()));
            assert_eq!(sorted(own.keys().unwrap()), ["hello", "world"]);
        })
        .await;
    }
}

async fn register_across_processes() {
    let node = node();
    let (task, other) = (worker(&node).await, worker(&node).await);
    for partitions in PARTITIONS {
        let registry = unique(&node, partitions);
        registry.by(&task).register("hello", "value").unwrap();
        assert_eq!(registry.by(&task).keys(), Ok(vec!["hello"]));
        assert_eq!(registry.by(&task).values(&"hello"), Ok(vec!["value"]));
        assert_eq!(
            registry.by(&other).register("hello", "recent"),
            Err(RegisterError::AlreadyRegistered(task.pid()))
        );
        assert_eq!(registry.by(&other).keys(), Ok(vec![]));
        assert_eq!(registry.by(&other).values(&"hello"), Ok(vec![]));
        let found = registry.entries(&"hello");
        assert_eq!(found, Ok(vec![(task.pid(), "value")]));
    }
}

async fn delayed_partition() {
    let node = node();
    for partitions in PARTITIONS {
        let registry = unique(&node, partitions);
        let (holder, other) = (worker(&node).await, worker(&node).await);
        registry.by(&holder).register("hello", "value").unwrap();
        assert_eq!(
            registry.by(&other).register("hello", "other"),
            Err(RegisterError::AlreadyRegistered(holder.pid()))
        );
        // The partition is busy in every way there is: somebody walks over its entries and does
        // not come back, so does a dispatcher, and the lock of the key is taken.
        let (started, starts) = mpsc::channel();
        let mut gates = Vec::new();
        let mut busy = Vec::new();
        for dispatching in [false, true] {
            let (gate, closed) = mpsc::channel::<()>();
            gates.push(gate);
            let (registry, started) = (registry.clone(), started.clone());
            busy.push(tokio::task::spawn_blocking(move || {
                let hang = || {
                    started.send(()).unwrap();
                    closed.recv().unwrap_err();
                };
                if dispatching {
                    registry.dispatch(&"hello", |_| hang()).unwrap();
                } else {
                    let walk = |_: &_, _, _: &_| {
                        hang();
                        None::<()>
                    };
                    registry.select(walk).unwrap();
                }
            }));
        }
        let locked = {
            let (registry, started) = (registry.clone(), started.clone());
            tokio::spawn(async move {
                let hang = async {
                    started.send(()).unwrap();
                    std::future::pending::<()>().await;
                };
                registry.lock("hello", hang).await
            })
        };
        let starts =
            tokio::task::spawn_blocking(move || (0..3).for_each(|_| starts.recv().unwrap()));
        starts.await.unwrap();
        kill_and_see_down(&node, holder.pid()).await;
        assert_eq!(registry.by(&other).register("hello", "other"), Ok(()));
        let found = registry.entries(&"hello");
        assert_eq!(found, Ok(vec![(other.pid(), "other")]));
        drop(gates);
        for busy in busy {
            busy.await.unwrap();
        }
        locked.abort();
    }
}

/// Keys which mean something in a match specification, and a map with its superset.
fn tricky_keys(label: i64) -> Vec<Term> {
    let map = BTreeMap::from([("label", Int(label)), ("b", Atom("b"))]);
    let mut superset = map.clone();
    superset.insert("a", Atom("a"));
    vec![
        Tuple(vec![Atom("good"), Int(label)]),
        Atom("_"),
        Tuple(vec![Atom("$1"), Int(label)]),
        List(vec![Atom("$$"), Int(label)]),
        Map(map),
        Map(superset),
    ]
}

async fn reserved_keys() {
    let node = node();
    let process = worker(&node).await;
    for partitions in PARTITIONS {
        let registry = unique::<Term, i64>(&node, partitions);
        let own = registry.by(&process);
        for round in 0..2 {
            let keys = tricky_keys(round);
            for (value, key) in (0..).zip(&keys) {
                own.register(key.clone(), value).unwrap();
            }
            for (value, key) in (0..).zip(&keys) {
                let found = registry.match_values(key, |_| true);
                assert_eq!(found, Ok(vec![(process.pid(), value)]));
                assert_eq!(registry.count_match(key, |_| true), Ok(1));
            }
            for (value, key) in (0..).zip(&keys).skip(1).take(4) {
                if round == 0 {
                    assert_eq!(own.unregister_match(key, |it| *it == value), Ok(1));
                } else {
                    own.unregister(key).unwrap();
                }
                assert_eq!(registry.entries(key), Ok(vec![]));
            }
            // Neither of these was meant by any of the others.
            assert_eq!(registry.entries(&keys[0]), Ok(vec![(process.pid(), 0)]));
            assert_eq!(registry.entries(&keys[5]), Ok(vec![(process.pid(), 5)]));
        }
    }
}

async fn strict_equality() {
    let node = node();
    let process = worker(&node).await;
    for partitions in PARTITIONS {
        let registry = unique::<Term, ()>(&node, partitions);
        registry.register(float(1.0), &process).unwrap();
        registry.register(Int(1), &process).unwrap();
        let keys = registry.by(&process).keys().unwrap();
        assert_eq!(sorted(keys), [Int(1), float(1.0)]);
    }
}

async fn update_value() {
    let node = node();
    let (process, other) = (worker(&node).await, worker(&node).await);
    for partitions in PARTITIONS {
        let registry = unique::<_, i32>(&node, partitions);
        let own = registry.by(&process);
        let never = |_: &i32| -> i32 { panic!("not to be run") };
        let refused = Err(UpdateError::NotRegistered);
        assert_eq!(own.update_value(&"hello", never), refused);
        registry.by(&other).register("hello", 7).unwrap();
        assert_eq!(own.update_value(&"hello", never), refused);
        assert_eq!(registry.entries(&"hello"), Ok(vec![(other.pid(), 7)]));
        own.register("world", 1).unwrap();
        assert_eq!(own.update_value(&"world", |value| value + 1), Ok((2, 1)));
        assert_eq!(registry.entries(&"world"), Ok(vec![(process.pid(), 2)]));
        assert_eq!(own.values(&"world"), Ok(vec![2]));
    }
}

async fn dispatch() {
    let node = node();
    let process = worker(&node).await;
    for partitions in PARTITIONS {
        let registry = unique(&node, partitions);
        let absent = registry.dispatch(&"hello", |_| panic!("not to be run"));
        assert_eq!(absent, Ok(()));
        registry.by(&process).register("hello", "value").unwrap();
        let mut calls = Vec::new();
        let done = registry.dispatch(&"hello", |entries| calls.push(entries.to_vec()));
        assert_eq!(done, Ok(()));
        assert_eq!(calls, [[(process.pid(), "value")]]);
    }
}

async fn unregister() {
    let node = node();
    let (process, other) = (worker(&node).await, worker(&node).await);
    for partitions in PARTITIONS {
        let registry = unique::<_, ()>(&node, partitions);
        let own = registry.by(&process);
        registry.register("hello", &process).unwrap();
        registry.register("world", &process).unwrap();
        // Another process cannot take it.
        registry.by(&other).unregister(&"hello").unwrap();
        assert_eq!(sorted(own.keys().unwrap()), ["hello", "world"]);
        own.unregister(&"hello").unwrap();
        assert_eq!(own.keys(), Ok(vec!["world"]));
        own.unregister(&"hello").unwrap();
        own.unregister(&"world").unwrap();
        assert_eq!(own.keys(), Ok(vec![]));
        assert_eq!(registry.register("hello", &other), Ok(()));
    }
}

async fn unregister_none() {
    let node = node();
    let process = worker(&node).await;
    for partitions in PARTITIONS {
        let registry = unique::<&str, ()>(&node, partitions);
        assert_eq!(registry.by(&process).unregister(&"hello"), Ok(()));
        assert_eq!(sizes(&registry), (0, 0));
    }
}

async fn listeners() {
    let node = node();
    for (partitions, name) in PARTITIONS.into_iter().zip(["ear 1", "ear 8"]) {
        let options = RegistryOptions::new().partitions(partitions).listener(name);
        let registry = Registry::with_options(&node, options);
        let (task, process) = (worker(&node).await, worker(&node).await);
        // Nobody has the name yet.
        registry.by(&process).register("unheard", "value").unwrap();
        let (_ear, mut events) = ear(&node, name).await;
        registry.by(&task).register("hello", "world").unwrap();
        let expected = RegistryEvent::Registered {
            registry: registry.clone(),
            key: "hello",
            pid: task.pid(),
            value: "world",
        };
        assert_eq!(next(&mut events).await, expected);
        registry.by(&process).register("world", "value").unwrap();
        let expected = RegistryEvent::Registered {
            registry: registry.clone(),
            key: "world",
            pid: process.pid(),
            value: "value",
        };
        assert_eq!(next(&mut events).await, expected);
        registry.by(&process).unregister(&"world").unwrap();
        let expected = RegistryEvent::Unregistered {
            registry: registry.clone(),
            key: "world",
            pid: process.pid(),
        };
        assert_eq!(next(&mut events).await, expected);
        // What is refused, updated, or ends is not told.
        let refused = registry.by(&process).register("hello", "again");
        assert!(refused.is_err());
        let updated = registry.by(&task).update_value(&"hello", |_| "new");
        assert!(updated.is_ok());
        kill_and_see_down(&node, task.pid()).await;
        expect_no_more(&mut events, &registry, process.pid()).await;
    }
}

async fn no_growth() {
    let node = node();
    let process = worker(&node).await;
    for partitions in PARTITIONS {
        let registry = unique::<_, ()>(&node, partitions);
        assert_eq!(sizes(&registry), (0, 0));
        registry.register("hello", &process).unwrap();
        registry.register("world", &process).unwrap();
        let before = registry.stats();
        assert_eq!(sizes(&registry), (2, 2));
        for _ in 0..100 {
            assert!(registry.register("hello", &process).is_err());
        }
        assert_eq!(registry.stats(), before);
    }
}

async fn no_growth_across_processes() {
    let node = node();
    for partitions in PARTITIONS {
        let registry = unique::<_, ()>(&node, partitions);
        let (task, process) = (worker(&node).await, worker(&node).await);
        registry.register("hello", &task).unwrap();
        assert_eq!(sizes(&registry), (1, 1));
        let before = registry.stats();
        for _ in 0..100 {
            assert!(registry.register("hello", &process).is_err());
        }
        // Not even a slot for the process which got nothing.
        assert_eq!(registry.stats(), before);
        registry.register("world", &process).unwrap();
        assert_eq!(sizes(&registry), (2, 2));
        assert!(registry.register("hello", &process).is_err());
        assert_eq!(sizes(&registry), (2, 2));
        // Nor does one which is dead.
        kill_and_see_down(&node, task.pid()).await;
        let dead = registry.register("again", &task);
        assert_eq!(dead, Err(RegisterError::NoProc));
        assert_eq!((sizes(&registry), registry.stats().keys), ((1, 1), 1));
    }
}

async fn metadata() {
    let options = RegistryOptions::new().meta("custom", "value");
    let registry = Registry::<u32>::with_options(&node(), options);
    assert_eq!(registry.meta("custom"), Ok(Some(Arc::new("value"))));
    assert_eq!(registry.meta::<&str>("unknown"), Ok(None));
    assert_eq!(registry.meta::<u32>("custom"), Ok(None), "of another type");
    registry.put_meta("custom", 7_u32).unwrap();
    assert_eq!(registry.meta("custom"), Ok(Some(Arc::new(7_u32))));
    registry.put_meta("other", vec![1]).unwrap();
    registry.delete_meta("custom").unwrap();
    registry.delete_meta("custom").unwrap();
    assert_eq!(registry.meta::<u32>("custom"), Ok(None));
    assert_eq!(registry.meta("other"), Ok(Some(Arc::new(vec![1]))));
    // None of it is an entry.
    assert_eq!(registry.count(), Ok(0));
    for key in 1..META_MAX {
        registry.put_meta(key.to_string(), ()).unwrap();
    }
    assert_eq!(registry.put_meta("one more", ()), Err(MetaError::Full));
    assert_eq!(registry.put_meta("other", ()), Ok(()));
}
