//! Supervisors of tasks.

use otp::{Node, Options, TaskSupervisor, TaskSupervisorRef};

use crate::case::Case;

mod starting;
mod streams;
mod supervision;

pub(crate) fn cases() -> Vec<Case> {
    [supervision::cases(), starting::cases(), streams::cases()]
        .into_iter()
        .flatten()
        .collect()
}

async fn supervisor(node: &Node) -> TaskSupervisorRef {
    let description = TaskSupervisor::new();
    description.start(node, Options::new()).await.unwrap()
}

/// A supervisor which takes one task.
async fn small(node: &Node) -> TaskSupervisorRef {
    let description = TaskSupervisor::new().max_children(1);
    description.start(node, Options::new()).await.unwrap()
}
