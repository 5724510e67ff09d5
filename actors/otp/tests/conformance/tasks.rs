//! Tasks. The owner of a task is mostly a task itself here: a process whose body is plain code,
//! and which never reads its mailbox, so that whatever got into it can be counted.

use std::future::Future;
use std::time::Duration;

use otp::{ExitReason, Node, Pid, ProcessInfo, Task, task};

use crate::case::Case;

mod many;
mod outcome;
mod reports;
mod shutdown;
mod starting;
mod stream_groups;
mod streams;

pub(crate) fn cases() -> Vec<Case> {
    [
        starting::cases(),
        outcome::cases(),
        many::cases(),
        shutdown::cases(),
        streams::cases(),
        stream_groups::cases(),
        reports::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// No time at all.
pub(crate) const NOW: Duration = Duration::ZERO;

pub(crate) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Runs a body as a process which nobody is linked to.
pub(crate) async fn process<F>(node: &Node, body: F) -> F::Output
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    match task::spawn(node, "owner", body).await {
        Ok(value) => value,
        Err(reason) => panic!("the process ended with {reason}"),
    }
}

/// The running process in the process list.
fn me(node: &Node) -> ProcessInfo {
    let pid = task::self_pid().unwrap();
    let mut list = node.processes();
    list.retain(|info| info.pid == pid);
    list.pop().unwrap()
}

/// How much the running process has in its mailbox.
pub(crate) fn inbox(node: &Node) -> usize {
    me(node).mailbox_len
}

/// Whom the running process is linked to.
pub(crate) fn links(node: &Node) -> Vec<Pid> {
    me(node).links
}

pub(crate) fn custom(text: &str) -> ExitReason {
    ExitReason::Custom(text.into())
}

/// Whether a reason is a panic with this text.
pub(crate) fn is_panic(reason: &ExitReason, text: &str) -> bool {
    matches!(reason, ExitReason::Panic { message, .. } if &**message == text)
}

/// A task, not linked, which has ended for this reason without a value.
pub(crate) async fn ended(node: &Node, reason: ExitReason) -> Task<u32> {
    let task = if reason == ExitReason::Killed {
        let task = task::spawn(node, "dummy", std::future::pending());
        node.exit(task.pid(), ExitReason::Kill);
        task
    } else {
        task::spawn(node, "dummy", task::exit(reason))
    };
    node.wait_for_exit(task.pid()).await;
    task
}

/// A task, not linked, which has left its value 7 and then ended for this reason.
pub(crate) async fn replied(node: &Node, reason: ExitReason) -> Task<u32> {
    let exiting = node.clone();
    let task = task::spawn(node, "dummy", async move {
        // It dies of this at its next await, and there is none.
        exiting.exit(task::self_pid().unwrap(), reason);
        7
    });
    node.wait_for_exit(task.pid()).await;
    task
}

/// The reason a task of [`replied`] really ended for.
pub(crate) async fn reason_of_replied(node: &Node, reason: ExitReason) -> ExitReason {
    let exiting = node.clone();
    let (say, said) = tokio::sync::oneshot::channel();
    let task = task::spawn(node, "dummy", async move {
        let pid = said.await.unwrap();
        exiting.exit(pid, reason);
        7
    });
    let end = node.wait_for_exit(task.pid());
    say.send(task.pid()).unwrap();
    end.await
}
