//! The cost of a child does not grow with the number of its siblings.
//!
//! Times are compared, not bounded: ten times as many children may take ten times as long, and
//! the slack is twice that, for the caches. A cost that grows with the number of siblings would
//! make it a hundred times. The best of several rounds is taken, because others use the machine.

use std::time::Instant;

use otp::{ChildSpec, DynamicSupervisor, ExitReason, Restart, Supervisor, eventually};

use super::*;
use crate::support::node;

crate::cases! {
    many_temporary_children_are_as_cheap_as_few: "SUP-070";
    many_children_are_as_cheap_as_few: "SUP-077";
}

const FEW: usize = 1_000;
const MANY: usize = 10 * FEW;
const ROUNDS: usize = 5;
const SLACK: f64 = 2.0;

/// The time of one child at both sizes: the best of some rounds, which end early when they agree.
async fn compare<F: Future<Output = Duration>>(measure: impl Fn(usize) -> F) {
    let (mut few, mut many) = (f64::MAX, f64::MAX);
    for _ in 0..ROUNDS {
        few = few.min(measure(FEW).await.as_secs_f64() / FEW as f64);
        many = many.min(measure(MANY).await.as_secs_f64() / MANY as f64);
        if many < few * SLACK {
            return;
        }
    }
    panic!("one of {FEW} takes {few:e} s, one of {MANY} takes {many:e} s");
}

/// What is measured is what is done to a few children, next to few or to many others.
async fn many_temporary_children_are_as_cheap_as_few() {
    compare(|size| async move {
        let node = node();
        let supervisor = dynamic(&node, DynamicSupervisor::new()).await;
        let spec = || ChildSpec::worker::<Worker>("w", Plan::default).restart(Restart::Temporary);
        let begun = Instant::now();
        let mut children = Vec::with_capacity(size);
        for _ in 0..size {
            children.push(supervisor.start_child(spec()).await.unwrap());
        }
        for pid in children {
            supervisor.terminate_child(pid).await.unwrap();
        }
        let taken = begun.elapsed();
        assert_eq!(dynamic_counts(&supervisor).await, [0, 0, 0, 0]);
        taken
    })
    .await;
}

async fn many_children_are_as_cheap_as_few() {
    compare(|size| async move {
        let node = node();
        let ids: Vec<String> = (0..size).map(|number| format!("child {number}")).collect();
        let spec = |id: &String| ChildSpec::worker::<Worker>(id.as_str(), Plan::default);
        let supervisor = Supervisor::one_for_one().intensity(size, HOUR);
        let begun = Instant::now();
        // One half in the description, the other added; then each is found, and stopped: a third
        // on request, a third by itself, a third with the supervisor.
        let supervisor = run(&node, supervisor.children(ids[..size / 2].iter().map(spec))).await;
        for id in &ids[size / 2..] {
            supervisor.start_child(spec(id)).await.unwrap();
        }
        for id in &ids[..size / 3] {
            let pid = supervisor.child(id).await.unwrap();
            supervisor.get_childspec_of(pid).await.unwrap();
            supervisor.terminate_child(id).await.unwrap();
            supervisor.delete_child(id).await.unwrap();
        }
        for id in &ids[size / 3..2 * size / 3] {
            let pid = supervisor.child(id).await.unwrap();
            kill(&node, pid).await;
            assert_ne!(supervisor.child(id).await, Ok(pid));
        }
        supervisor.stop(ExitReason::Shutdown, LONG).await.unwrap();
        let taken = begun.elapsed();
        eventually!(node.process_count() == 0);
        taken
    })
    .await;
}
