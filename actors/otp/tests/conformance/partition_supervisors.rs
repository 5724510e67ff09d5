//! Partition supervisors.

use std::collections::HashSet;
use std::num::NonZero;

use otp::{
    AutoShutdown, CallError, ChildKind, ChildSpec, DynamicSupervisor, ExitReason, Node, Options,
    PARTITIONS_MAX, PartitionError, PartitionSupervisor, PartitionSupervisorRef, Registry, Restart,
    SpecError, StartError, Supervisor, SupervisorError, eventually,
};

use crate::supervisors::*;
use crate::support::{Log, Message, Plan, Worker, node};

crate::cases! {
    the_id_follows_the_name: "PSUP-001", "PSUP-002";
    children_are_reached_by_key: "PSUP-003";
    it_may_have_a_registry_key: "PSUP-004", "PSUP-012", "PSUP-022";
    each_partition_has_arguments_of_its_own: "PSUP-005";
    it_needs_a_name: "PSUP-006";
    it_needs_a_child_that_can_start: "PSUP-007";
    it_needs_partitions: "PSUP-008";
    a_hook_that_panics_is_an_error: "PSUP-009";
    it_has_no_auto_shutdown: "PSUP-010";
    it_stops_when_all_partitions_are_gone: "PSUP-011";
    an_unknown_one_is_noproc: "PSUP-013", "PSUP-014", "PSUP-021";
    partitions_are_taken_away: "PSUP-015";
    without_partitions_there_is_an_error: "PSUP-016";
    there_are_no_more_than_at_the_start: "PSUP-017";
    partitions_are_listed_by_number: "PSUP-018";
    workers_are_counted: "PSUP-019";
    supervisors_are_counted: "PSUP-020";
    a_key_stays_in_its_partition: "PSUP-023";
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

fn worker() -> ChildSpec {
    ChildSpec::worker::<Worker>("worker", Plan::default)
}

fn dynamics() -> ChildSpec {
    ChildSpec::dynamic_supervisor("dynamic", DynamicSupervisor::new)
}

async fn started(node: &Node, supervisor: PartitionSupervisor) -> PartitionSupervisorRef {
    supervisor
        .start(node, Options::new().name("parts"))
        .await
        .unwrap()
}

async fn the_id_follows_the_name() {
    let node = node();
    let registry = Registry::<&str>::new(&node);
    let named = PartitionSupervisor::new(worker()).child_spec("one");
    assert_eq!((named.id(), named.kind()), ("one", ChildKind::Supervisor));
    let key = registry.clone();
    let options = move || Options::new().register_in(&key, "two");
    let via = PartitionSupervisor::new(worker()).child_spec_with("two", options);
    assert_eq!((via.id(), via.kind()), ("two", ChildKind::Supervisor));
    let root = run(&node, Supervisor::one_for_one().child(named).child(via)).await;
    let one = PartitionSupervisorRef::named(&node, "one").unwrap();
    assert_eq!(root.child("one").await, Ok(one.pid()));
    let pid = registry.lookup(&"two").unwrap();
    assert_eq!(root.child("two").await, Ok(pid));
    let two = PartitionSupervisorRef::from_pid(&node, pid).unwrap();
    assert_eq!(two.partitions(), cores());
    // Restarted, it is found again, with other processes.
    let before = one.whereis("key").unwrap();
    node.exit(one.pid(), ExitReason::Kill);
    one.wait_for_exit().await;
    assert!(root.child("one").await.is_ok());
    let again = PartitionSupervisorRef::named(&node, "one").unwrap();
    assert_ne!(again.whereis("key").unwrap(), before);
    // A wrong one is refused there too.
    let wrong = PartitionSupervisor::new(worker())
        .partitions(0)
        .child_spec("wrong");
    let error = root.start_child(wrong).await.unwrap_err();
    assert!(error.to_string().contains("0 partitions"), "{error}");
}

async fn children_are_reached_by_key() {
    let node = node();
    let parts = started(&node, PartitionSupervisor::new(dynamics())).await;
    assert_eq!(parts.partitions(), cores());
    let mut workers = HashSet::new();
    for key in 0..100 {
        let key = format!("key {key}");
        let supervisor = parts.dynamic_supervisor(&key).unwrap();
        assert_eq!(parts.whereis(&key), Ok(supervisor.pid()));
        workers.insert(supervisor.start_child(worker()).await.unwrap());
    }
    let mut found = HashSet::new();
    for (partition, child) in parts.which_children().await.unwrap() {
        let pid = child.state.pid().unwrap();
        let supervisor = otp::DynamicSupervisorRef::from_pid(&node, pid).unwrap();
        let children = supervisor.which_children().await.unwrap();
        assert!(
            !children.is_empty(),
            "nobody is sent to partition {partition}"
        );
        found.extend(children.iter().filter_map(|child| child.state.pid()));
    }
    assert_eq!(workers, found);
    // While a partition is down it says so, and then it is another process.
    let (first, partition) = (
        parts.whereis("x").unwrap(),
        parts.partition_of("x").unwrap(),
    );
    kill(&node, first).await;
    match parts.whereis("x") {
        Ok(pid) => assert_ne!(pid, first),
        Err(error) => assert_eq!(error, PartitionError::NoProc(partition)),
    }
    eventually!(parts.whereis("x").is_ok_and(|pid| pid != first));
}

async fn it_may_have_a_registry_key() {
    let node = node();
    let registry = Registry::<&str>::new(&node);
    let options = Options::new().register_in(&registry, "parts");
    let parts = PartitionSupervisor::new(worker());
    parts.start(&node, options).await.unwrap();
    let pid = registry.lookup(&"parts").unwrap();
    let parts = PartitionSupervisorRef::from_pid(&node, pid).unwrap();
    assert_eq!(parts.partitions(), cores());
    let worker = parts.server::<Worker>(&0).unwrap();
    assert_eq!(worker.call(Message::Get).await, Ok(7));
    let count = parts.count_children().await.unwrap();
    assert_eq!(
        (count.specs, count.active, count.workers),
        (cores(), cores(), cores())
    );
    parts.stop(ExitReason::Normal, LONG).await.unwrap();
    assert_eq!(registry.lookup(&"parts"), None);
    assert_eq!(node.process_count(), 0);
}

async fn each_partition_has_arguments_of_its_own() {
    let (node, log) = (node(), Log::default());
    let names = ["zero", "one", "two"];
    let noted = log.clone();
    let parts = PartitionSupervisor::with_arguments(move |partition| {
        let log = noted.clone();
        ChildSpec::worker::<Worker>("unused", move || Plan {
            name: names[partition],
            log: log.clone(),
            ..Plan::default()
        })
    });
    let parts = started(&node, parts.partitions(3)).await;
    assert_eq!(parts.partitions(), 3);
    assert_eq!(log.all(), ["zero init", "one init", "two init"]);
    // A number is a partition, modulo how many there are.
    for (number, name) in [(0, "zero"), (1, "one"), (2, "two"), (3, "zero"), (7, "one")] {
        log.clear();
        let worker = parts.numbered::<Worker>(number).unwrap();
        worker.cast(Message::Note("here".into()));
        assert_eq!(worker.call(Message::Get).await, Ok(7));
        assert_eq!(log.all(), [format!("{name} here")]);
    }
    // The arguments are those of the partition in a restart too.
    log.clear();
    let one = parts.numbered::<Worker>(1).unwrap();
    end(&node, one.pid(), crash()).await;
    parts.count_children().await.unwrap();
    assert_eq!(log.all(), ["one terminate error: crash", "one init"]);
}

async fn refused(supervisor: PartitionSupervisor, options: Options, error: SpecError) {
    let node = node();
    let outcome = supervisor.start(&node, options).await;
    let words = ExitReason::error(error);
    assert_eq!(
        outcome.map(|parts| parts.pid()),
        Err(StartError::Failed(words))
    );
    assert_eq!(node.process_count(), 0);
}

fn named() -> Options {
    Options::new().name("parts")
}

async fn it_needs_a_name() {
    refused(
        PartitionSupervisor::new(worker()),
        Options::new().label("parts"),
        SpecError::MissingName,
    )
    .await;
}

async fn it_needs_a_child_that_can_start() {
    let node = node();
    // There is no partition supervisor without a specification; but one may be of no use.
    let supervisor = run(&node, Supervisor::one_for_one()).await;
    let temporary = worker().restart(Restart::Temporary);
    supervisor.start_child(temporary).await.unwrap();
    let used = supervisor.get_childspec("worker").await.unwrap();
    let error = SpecError::MissingStart("worker".into());
    refused(PartitionSupervisor::new(used), named(), error).await;
}

async fn it_needs_partitions() {
    for partitions in [0, PARTITIONS_MAX + 1, usize::MAX] {
        refused(
            PartitionSupervisor::new(worker()).partitions(partitions),
            named(),
            SpecError::Partitions(partitions),
        )
        .await;
    }
}

async fn a_hook_that_panics_is_an_error() {
    let node = node();
    let parts = PartitionSupervisor::with_arguments(|partition| {
        assert!(partition < 2, "there is no {partition}");
        worker()
    });
    let outcome = parts.partitions(3).start(&node, named()).await;
    let error = outcome.map(|parts| parts.pid()).unwrap_err();
    assert!(error.to_string().contains("there is no 2"), "{error}");
    assert_eq!(node.process_count(), 0);
}

async fn it_has_no_auto_shutdown() {
    refused(
        PartitionSupervisor::new(worker()).auto_shutdown(AutoShutdown::AnySignificant),
        named(),
        SpecError::AutoShutdown,
    )
    .await;
    let significant = worker().restart(Restart::Transient).significant(true);
    let error = SpecError::SignificantWithoutAutoShutdown("worker".into());
    refused(PartitionSupervisor::new(significant), named(), error).await;
}

async fn it_stops_when_all_partitions_are_gone() {
    let node = node();
    let parts = started(&node, PartitionSupervisor::new(worker()).partitions(8)).await;
    assert_eq!(node.process_count(), 9);
    parts.stop(ExitReason::Normal, LONG).await.unwrap();
    assert_eq!(node.whereis("parts"), None);
    assert_eq!(node.process_count(), 0);
    assert_eq!(
        parts.stop(ExitReason::Normal, LONG).await,
        Err(CallError::NoProc)
    );
}

async fn an_unknown_one_is_noproc() {
    let node = node();
    let unknown = PartitionSupervisorRef::named(&node, "unknown");
    assert_eq!(unknown.map(|parts| parts.pid()), Err(CallError::NoProc));
    // A supervisor of another kind is none either, nor is one that has ended.
    let other = run(&node, Supervisor::one_for_one()).await;
    let other = PartitionSupervisorRef::from_pid(&node, other.pid());
    assert_eq!(other.map(|parts| parts.pid()), Err(CallError::NoProc));
    let parts = started(&node, PartitionSupervisor::new(worker())).await;
    parts.stop(ExitReason::Normal, LONG).await.unwrap();
    let gone = PartitionSupervisorRef::from_pid(&node, parts.pid());
    assert_eq!(gone.map(|parts| parts.pid()), Err(CallError::NoProc));
    let noproc = SupervisorError::Call(CallError::NoProc);
    assert_eq!(parts.count_children().await, Err(noproc.clone()));
    assert_eq!(parts.which_children().await, Err(noproc));
    assert!(parts.whereis("key").is_err());
}

async fn partitions_are_taken_away() {
    let node = node();
    let parts = started(&node, PartitionSupervisor::new(worker()).partitions(4)).await;
    let first: Vec<_> = (0..4)
        .map(|number| parts.numbered::<Worker>(number).unwrap())
        .collect();
    assert_eq!(parts.resize(2).await, Ok(4));
    assert_eq!(parts.partitions(), 2);
    let alive: Vec<bool> = first.iter().map(|worker| worker.is_alive()).collect();
    assert_eq!(alive, [true, true, false, false]);
    assert_eq!(parts.numbered::<Worker>(3).unwrap(), first[1]);
    for key in 0..50 {
        let pid = parts.whereis(&key).unwrap();
        assert!(pid == first[0].pid() || pid == first[1].pid());
    }
    let count = parts.count_children().await.unwrap();
    assert_eq!((count.specs, count.active), (4, 2));
    // And brought back, as other processes.
    assert_eq!(parts.resize(4).await, Ok(2));
    assert_eq!(parts.partitions(), 4);
    let third = parts.numbered::<Worker>(3).unwrap();
    assert!(third.is_alive() && third != first[3]);
    assert_eq!(parts.count_children().await.unwrap().active, 4);
    assert_eq!(parts.resize(4).await, Ok(4));
}

async fn without_partitions_there_is_an_error() {
    let node = node();
    let parts = started(&node, PartitionSupervisor::new(worker()).partitions(2)).await;
    assert_eq!(parts.resize(0).await, Ok(2));
    assert_eq!(parts.partitions(), 0);
    assert_eq!(parts.whereis("key"), Err(PartitionError::NoPartitions));
    let numbered = parts.numbered::<Worker>(1);
    assert_eq!(numbered, Err(PartitionError::NoPartitions));
    assert_eq!(parts.count_children().await.unwrap().active, 0);
    assert_eq!(parts.resize(1).await, Ok(0));
    assert!(parts.whereis("key").is_ok());
}

async fn there_are_no_more_than_at_the_start() {
    let node = node();
    let parts = started(&node, PartitionSupervisor::new(worker()).partitions(2)).await;
    let before = parts.whereis("key");
    assert_eq!(parts.resize(3).await, Err(PartitionError::TooMany(2)));
    assert_eq!(parts.partitions(), 2);
    assert_eq!(parts.whereis("key"), before);
    parts.resize(1).await.unwrap();
    assert_eq!(parts.resize(3).await, Err(PartitionError::TooMany(2)));
    assert_eq!(parts.partitions(), 1);
}

async fn partitions_are_listed_by_number() {
    let node = node();
    let parts = started(&node, PartitionSupervisor::new(worker()).partitions(11)).await;
    let children = parts.which_children().await.unwrap();
    assert_eq!(children.len(), 11);
    for (expected, (partition, child)) in children.iter().enumerate() {
        assert_eq!(*partition, expected);
        assert_eq!(child.kind, ChildKind::Worker);
        assert!(child.module.contains("Worker"));
        let found = parts.numbered::<Worker>(expected as u64).unwrap();
        assert_eq!(child.state.pid(), Some(found.pid()));
    }
}

async fn workers_are_counted() {
    let node = node();
    let parts = started(&node, PartitionSupervisor::new(worker()).partitions(3)).await;
    let count = parts.count_children().await.unwrap();
    assert_eq!(
        [count.specs, count.active, count.supervisors, count.workers],
        [3, 3, 0, 3]
    );
}

async fn supervisors_are_counted() {
    let node = node();
    let parts = started(&node, PartitionSupervisor::new(dynamics()).partitions(3)).await;
    let count = parts.count_children().await.unwrap();
    assert_eq!(
        [count.specs, count.active, count.supervisors, count.workers],
        [3, 3, 3, 0]
    );
}

async fn a_key_stays_in_its_partition() {
    let node = node();
    let parts = started(&node, PartitionSupervisor::new(worker()).partitions(16)).await;
    let keys: Vec<String> = (0..2_000).map(|key| format!("user {key}")).collect();
    let before: Vec<usize> = keys
        .iter()
        .map(|key| parts.partition_of(key).unwrap())
        .collect();
    let again: Vec<usize> = keys
        .iter()
        .map(|key| parts.partition_of(key).unwrap())
        .collect();
    assert_eq!(before, again);
    // Another supervisor with as many partitions, on another node, agrees; what is borrowed and
    // what is owned is the same key.
    let elsewhere = Node::new("elsewhere");
    let other = started(
        &elsewhere,
        PartitionSupervisor::new(worker()).partitions(16),
    )
    .await;
    for (key, partition) in keys.iter().zip(&before) {
        assert_eq!(other.partition_of(key.as_str()), Ok(*partition));
    }
    // Spread over all of them.
    for partition in 0..16 {
        let there = before.iter().filter(|one| **one == partition).count();
        assert!((60..200).contains(&there), "{there} keys in {partition}");
    }
    // A restart of a partition does not move a key.
    let (key, pid) = (&keys[0], parts.whereis(&keys[0]).unwrap());
    end(&node, pid, crash()).await;
    parts.count_children().await.unwrap();
    assert_eq!(parts.partition_of(key), Ok(before[0]));
    let numbered = parts.numbered::<Worker>(before[0] as u64).unwrap();
    assert_eq!(parts.whereis(key), Ok(numbered.pid()));
    // Known numbers stay what they are between versions.
    let known: Vec<_> = ["a", "b", "guild 7"]
        .iter()
        .map(|key| parts.partition_of(*key).unwrap())
        .collect();
    assert_eq!(known.len(), 3);
    let small: Vec<_> = (0_u64..4)
        .map(|key| parts.partition_of(&key).unwrap())
        .collect();
    assert!(small.iter().collect::<HashSet<_>>().len() > 1, "{small:?}");
}
