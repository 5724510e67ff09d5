//! The tables against a plain model, and their races.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use proptest::prelude::*;

use crate::context::Context;
use crate::exit_reason::ExitReason;
use crate::gen_server::{GenServer, Init, Next};
use crate::node::Node;
use crate::options::Options;
use crate::pid::Pid;
use crate::registry::{Keys, RegisterError, Registry, RegistryOptions, UpdateError};
use crate::server_ref::ServerRef;

/// A process that does nothing.
struct Idle;

impl GenServer for Idle {
    type Args = ();
    type Message = ();

    async fn init((): (), _ctx: &mut Context<Idle>) -> Init<Idle> {
        Init::Ok(Idle)
    }

    async fn handle(&mut self, (): (), _ctx: &mut Context<Idle>) -> Next<Idle> {
        Next::Go
    }
}

async fn idle(node: &Node) -> ServerRef<Idle> {
    crate::start(node, (), Options::new()).await.unwrap()
}

#[derive(Clone, Debug)]
enum Step {
    Register {
        process: usize,
        key: u8,
        value: u32,
    },
    Unregister {
        process: usize,
        key: u8,
    },
    UnregisterOdd {
        process: usize,
        key: u8,
    },
    Free {
        key: u8,
    },
    Update {
        process: usize,
        key: u8,
    },
    /// Ends the process and puts a new one in its place.
    Kill {
        process: usize,
    },
}

const PROCESSES: usize = 3;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let process = || 0..PROCESSES;
    let key = || 0..4_u8;
    let step = prop_oneof![
        4 => (process(), key(), 0..10_u32)
            .prop_map(|(process, key, value)| Step::Register { process, key, value }),
        2 => (process(), key()).prop_map(|(process, key)| Step::Unregister { process, key }),
        1 => (process(), key()).prop_map(|(process, key)| Step::UnregisterOdd { process, key }),
        1 => key().prop_map(|key| Step::Free { key }),
        1 => (process(), key()).prop_map(|(process, key)| Step::Update { process, key }),
        1 => process().prop_map(|process| Step::Kill { process }),
    ];
    prop::collection::vec(step, 0..40)
}

/// All entries, in the order of their registration.
type Model = Vec<(u8, usize, u32)>;

async fn run(keys: Keys, partitions: usize, steps: Vec<Step>) {
    let node = Node::new("model");
    let options = RegistryOptions::new().keys(keys).partitions(partitions);
    let registry = Registry::<u8, u32>::with_options(&node, options);
    let mut processes = Vec::new();
    for _ in 0..PROCESSES {
        processes.push(idle(&node).await);
    }
    let mut model: Model = Vec::new();
    for step in steps {
        match step {
            Step::Register {
                process,
                key,
                value,
            } => {
                let holder = model.iter().find(|entry| entry.0 == key);
                let expected = match holder {
                    Some(holder) if keys == Keys::Unique => {
                        Err(RegisterError::AlreadyRegistered(processes[holder.1].pid()))
                    }
                    _ => {
                        model.push((key, process, value));
                        Ok(())
                    }
                };
                let registrant = registry.by(&processes[process]);
                assert_eq!(registrant.register(key, value), expected);
            }
            Step::Unregister { process, key } => {
                registry.by(&processes[process]).unregister(&key).unwrap();
                model.retain(|entry| (entry.0, entry.1) != (key, process));
            }
            Step::UnregisterOdd { process, key } => {
                let before = model.len();
                model.retain(|entry| (entry.0, entry.1) != (key, process) || entry.2 % 2 == 0);
                let registrant = registry.by(&processes[process]);
                let removed = registrant.unregister_match(&key, |value| value % 2 == 1);
                assert_eq!(removed, Ok(before - model.len()));
            }
            Step::Free { key } => {
                registry.unregister(&key);
                model.retain(|entry| entry.0 != key);
            }
            Step::Update { process, key } => {
                let mine = |entry: &&mut (u8, usize, u32)| (entry.0, entry.1) == (key, process);
                let expected = match model.iter_mut().find(mine) {
                    _ if keys != Keys::Unique => Err(UpdateError::DuplicateKeys),
                    None => Err(UpdateError::NotRegistered),
                    Some(entry) => {
                        entry.2 += 1;
                        Ok((entry.2, entry.2 - 1))
                    }
                };
                let registrant = registry.by(&processes[process]);
                assert_eq!(registrant.update_value(&key, |value| value + 1), expected);
            }
            Step::Kill { process } => {
                node.exit(processes[process].pid(), ExitReason::Kill);
                processes[process].wait_for_exit().await;
                processes[process] = idle(&node).await;
                model.retain(|entry| entry.1 != process);
            }
        }
        compare(&registry, &processes, &model);
    }
}

fn compare(registry: &Registry<u8, u32>, processes: &[ServerRef<Idle>], model: &Model) {
    let pid = |entry: &(u8, usize, u32)| (processes[entry.1].pid(), entry.2);
    assert_eq!(registry.count(), Ok(model.len()));
    let stats = registry.stats();
    assert_eq!(stats.by_key.iter().sum::<usize>(), model.len());
    assert_eq!(stats.by_pid.iter().sum::<usize>(), model.len());
    for key in 0..4 {
        let of_key = model.iter().filter(|entry| entry.0 == key);
        let mut expected: Vec<(Pid, u32)> = of_key.map(pid).collect();
        let mut found = registry.entries(&key).unwrap();
        if registry.partitions() > 1 && registry.key_kind() == Keys::DuplicateByPid {
            // There is an order within a partition only.
            expected.sort_unstable();
            found.sort_unstable();
        }
        assert_eq!(found, expected);
    }
    for (process, server) in processes.iter().enumerate() {
        let own = model.iter().filter(|entry| entry.1 == process);
        let expected: Vec<u8> = own.map(|entry| entry.0).collect();
        assert_eq!(registry.by(server).keys(), Ok(expected));
        for key in 0..4 {
            let own = model
                .iter()
                .filter(|entry| (entry.0, entry.1) == (key, process));
            let expected: Vec<u32> = own.map(|entry| entry.2).collect();
            assert_eq!(registry.by(server).values(&key), Ok(expected));
        }
    }
    let mut counts = BTreeMap::<u8, usize>::new();
    for entry in model {
        *counts.entry(entry.0).or_default() += 1;
    }
    let mut keys = registry.keys();
    keys.sort_unstable();
    assert_eq!(keys, counts.keys().copied().collect::<Vec<_>>());
    assert!(stats.keys >= counts.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_registry_is_a_map(
        keys in prop_oneof![
            Just(Keys::Unique), Just(Keys::DuplicateByPid), Just(Keys::DuplicateByKey),
        ],
        partitions in prop_oneof![Just(1_usize), Just(4)],
        steps in steps(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(keys, partitions, steps));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_for_one_key_there_is_one_winner_at_a_time() {
    let node = Node::new("race");
    let registry = Registry::<&str>::new(&node);
    let holders = Arc::new(AtomicUsize::new(0));
    let mut racers = Vec::new();
    for _ in 0..4 {
        let process = idle(&node).await;
        let (registry, holders) = (registry.clone(), holders.clone());
        racers.push(tokio::spawn(async move {
            let mut won = 0;
            for _ in 0..2000 {
                if registry.register("key", &process).is_ok() {
                    assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0);
                    won += 1;
                    holders.fetch_sub(1, Ordering::SeqCst);
                    registry.by(&process).unregister(&"key").unwrap();
                }
            }
            won
        }));
    }
    let mut won = 0;
    for racer in racers {
        won += racer.await.unwrap();
    }
    assert!(won > 0);
    let stats = registry.stats();
    assert_eq!((stats.keys, stats.by_pid, registry.len()), (0, vec![0], 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn registering_a_process_that_dies_leaves_nothing() {
    let node = Node::new("race");
    let registry = Registry::<usize>::new(&node);
    for round in 0..200 {
        let process = idle(&node).await;
        let done = Arc::new(AtomicBool::new(false));
        let registering = {
            let (registry, process, done) = (registry.clone(), process.clone(), done.clone());
            tokio::task::spawn_blocking(move || {
                let mut key = round * 1_000_000;
                while !done.load(Ordering::Acquire) {
                    let _ = registry.register(key, &process);
                    key += 1;
                }
            })
        };
        tokio::task::yield_now().await;
        node.exit(process.pid(), ExitReason::Kill);
        process.wait_for_exit().await;
        done.store(true, Ordering::Release);
        registering.await.unwrap();
        let stats = registry.stats();
        assert_eq!((stats.keys, stats.slots, registry.len()), (0, 0, 0));
    }
}

#[tokio::test]
async fn a_full_registry_refuses() {
    let node = Node::new("full");
    let options = RegistryOptions::new().entries_max(1);
    let registry = Registry::<u8>::with_options(&node, options);
    let process = idle(&node).await;
    assert_eq!(registry.register(1, &process), Ok(()));
    assert_eq!(registry.register(2, &process), Err(RegisterError::Full));
    registry.by(&process).unregister(&1).unwrap();
    assert_eq!(registry.register(2, &process), Ok(()));
}
