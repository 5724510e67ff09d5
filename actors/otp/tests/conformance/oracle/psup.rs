//! Twins of `sc_psup.ex`: routing by key, counts, restarts, ends.

use otp::{
    CallError, ExitReason, Options, PartitionSupervisor, PartitionSupervisorRef, Pid, ServerRef,
    StartError, Strategy, eventually,
};

use super::actor::{self, Actor, Begin, Message, Plan};
use super::family::{PERIOD, child, counted, planned, trapping};
use super::stage::Stage;
use super::sup::STRATEGIES;
use super::trace::{How, Word, boom, ends, say};
use super::{Scenario, scenario, stories, told};

pub(crate) fn scenarios() -> Vec<Scenario> {
    let mut list = told(stories!(Stage:
        a_key_always_goes_to_the_same_partition,
        call_by_key,
        stop_ends_all_partitions,
        start_under_a_taken_name,
        unknown_supervisor,
        too_many_restarts_end_it,
        without_children_hook_all_partitions_are_alike,
    ));
    for count in [1, 2, 3, 4] {
        list.push(scenario(format!("partitions_{count}"), move |stage| {
            partitions(stage, count)
        }));
    }
    for count in [1, 2, 4] {
        list.push(scenario(
            format!("integer_keys_go_round_{count}"),
            move |stage| keys(stage, count),
        ));
    }
    for (name, strategy) in STRATEGIES {
        for (end, how) in ends() {
            list.push(scenario(
                format!("partition_ends_{name}_{end}"),
                move |stage| one_ends(stage, strategy, how.clone()),
            ));
        }
    }
    for position in 0..3 {
        list.push(scenario(
            format!("partition_fails_to_start_{position}"),
            move |stage| fails(stage, position),
        ));
    }
    list
}

const LABELS: [&str; 4] = ["partition0", "partition1", "partition2", "partition3"];

/// A partition which takes its label from its number.
fn partitioned(stage: &Stage, begin: Begin, count: usize) -> PartitionSupervisor {
    let plan = Plan {
        begin,
        ..trapping(stage, "any")
    };
    let description = PartitionSupervisor::with_arguments(move |partition| {
        let label = LABELS[partition];
        planned(
            label,
            Plan {
                label,
                ..plan.clone()
            },
        )
    });
    description.partitions(count).intensity(100, PERIOD)
}

fn plain(stage: &Stage, count: usize) -> PartitionSupervisor {
    partitioned(stage, Begin::Run, count)
}

/// Linked to the driver, as its parent.
async fn try_start(
    stage: &Stage,
    description: PartitionSupervisor,
) -> Result<PartitionSupervisorRef, StartError> {
    let options = Options::new().name("named");
    let start = move |ctx: &mut otp::Context<_>| description.start_link(ctx, options);
    stage.driver.start_linked(start).await
}

async fn start(stage: &Stage, description: PartitionSupervisor) -> PartitionSupervisorRef {
    try_start(stage, description).await.unwrap()
}

fn at(sup: &PartitionSupervisorRef, key: u64) -> Option<ServerRef<Actor>> {
    sup.numbered(key).ok()
}

fn pid_at(sup: &PartitionSupervisorRef, key: u64) -> Option<Pid> {
    at(sup, key).map(|server| server.pid())
}

async fn which(stage: &Stage, sup: &PartitionSupervisorRef) {
    let mut children = sup.which_children().await.unwrap();
    children.sort_by_key(|(partition, _)| *partition);
    let mut words = vec![Word::from("which")];
    for (partition, child) in children {
        words.extend([Word::from(partition), Word::from(child.state.pid())]);
    }
    stage.trace.line(words);
}

async fn count(stage: &Stage, sup: &PartitionSupervisorRef) {
    counted(&stage.trace, sup.count_children().await.unwrap());
}

async fn partitions(mut stage: Stage, partitions: usize) {
    let sup = start(&stage, plain(&stage, partitions)).await;
    say!(stage.trace, "partitions", sup.partitions());
    which(&stage, &sup).await;
    count(&stage, &sup).await;
    stage.nothing().await;
}

async fn keys(mut stage: Stage, partitions: usize) {
    let sup = start(&stage, plain(&stage, partitions)).await;
    for key in 0..=7 {
        say!(stage.trace, "key", key.to_string(), pid_at(&sup, key));
    }
    stage.nothing().await;
}

async fn one_ends(mut stage: Stage, strategy: Strategy, how: How) {
    let sup = start(&stage, plain(&stage, 3).strategy(strategy)).await;
    let ending = at(&sup, 1).unwrap();
    say!(stage.trace, "end", ending.pid());
    stage.finish(&ending, &how).await;
    eventually!(pid_at(&sup, 1).is_some_and(|pid| pid != ending.pid()));
    which(&stage, &sup).await;
    stage.nothing().await;
}

async fn fails(mut stage: Stage, position: usize) {
    let begin = Begin::script(move |start| {
        if start == position + 1 {
            Begin::Stop(boom())
        } else {
            Begin::Run
        }
    });
    match try_start(&stage, partitioned(&stage, begin, 3)).await {
        Ok(sup) => say!(stage.trace, "start", "ok", sup.pid()),
        Err(_) => say!(stage.trace, "start", "failed"),
    }
    stage.whereis("named");
    stage.nothing().await;
}

async fn a_key_always_goes_to_the_same_partition(stage: &mut Stage) {
    let sup = start(stage, plain(stage, 4)).await;
    let pairs = [
        (sup.whereis(&'s'), sup.whereis(&'s')),
        (sup.whereis("text"), sup.whereis("text")),
        (sup.whereis(&(1, 2)), sup.whereis(&(1, 2))),
    ];
    for (one, again) in pairs {
        say!(stage.trace, "same", one.is_ok() && one == again);
    }
    stage.nothing().await;
}

async fn call_by_key(stage: &mut Stage) {
    let sup = start(stage, plain(stage, 2)).await;
    let answer = at(&sup, 1).unwrap().call(Message::Get).await;
    say!(stage.trace, "answer", answer.unwrap());
    stage.nothing().await;
}

async fn stop_ends_all_partitions(stage: &mut Stage) {
    let sup = start(stage, plain(stage, 3)).await;
    stage.driver.unlink(sup.pid()).await;
    let monitor = stage.driver.watch(sup.pid()).await;
    match sup.stop(ExitReason::Normal, PERIOD).await {
        Ok(()) => say!(stage.trace, "stop", "ok"),
        Err(error) => say!(stage.trace, "stop", &error),
    }
    stage.driver.down(monitor).await;
    stage.whereis("named");
    stage.nothing().await;
}

async fn start_under_a_taken_name(stage: &mut Stage) {
    let first = start(stage, plain(stage, 1)).await;
    match try_start(stage, plain(stage, 1)).await {
        Err(StartError::AlreadyStarted(pid)) => {
            say!(stage.trace, "start", "error", "already_started", pid);
        }
        other => say!(stage.trace, "start", other.is_ok()),
    }
    let same = stage.node.whereis("named") == Some(first.pid());
    say!(stage.trace, "same", same);
    stage.nothing().await;
}

async fn unknown_supervisor(stage: &mut Stage) {
    for request in ["partitions", "count_children"] {
        let found: Result<_, CallError> = PartitionSupervisorRef::named(&stage.node, "nobody");
        match found {
            Ok(_) => say!(stage.trace, request, "ok"),
            Err(error) => say!(stage.trace, request, "exit", &error),
        }
    }
    stage.nothing().await;
}

async fn too_many_restarts_end_it(stage: &mut Stage) {
    let sup = start(stage, plain(stage, 1).intensity(0, PERIOD)).await;
    let monitor = stage.driver.watch(sup.pid()).await;
    let ending = at(&sup, 0).unwrap();
    say!(stage.trace, "end", ending.pid());
    actor::stop(&ending, boom());
    stage.driver.exit_of(sup.pid()).await;
    stage.driver.down(monitor).await;
    stage.nothing().await;
}

async fn without_children_hook_all_partitions_are_alike(stage: &mut Stage) {
    let description = PartitionSupervisor::new(child(stage, "same")).partitions(2);
    let sup = start(stage, description).await;
    which(stage, &sup).await;
    count(stage, &sup).await;
    stage.nothing().await;
}
