//! Shutting a task down, politely and brutally.

use std::future::pending;

use otp::{ExitReason, Node, Shutdown, Task, TaskError, task};
use tokio::sync::oneshot;

use super::outcome::{foreign, not_owner};
use super::{NOW, custom, ended, inbox, links, millis, process, reason_of_replied, replied};
use crate::support::node;

crate::cases! {
    a_value_wins_over_an_abnormal_end: "TASK-058", "TASK-071";
    a_value_wins_over_a_normal_end: "TASK-059", "TASK-072";
    a_value_wins_over_a_shutdown: "TASK-060", "TASK-073";
    a_live_task_is_shut_down: "TASK-061";
    an_abnormal_end_is_told: "TASK-062", "TASK-075";
    a_normal_end_is_told: "TASK-063", "TASK-076";
    an_earlier_shutdown_is_one: "TASK-064";
    an_earlier_shutdown_is_no_kill: "TASK-077";
    an_earlier_kill_is_no_shutdown: "TASK-065";
    an_earlier_kill_is_one: "TASK-074";
    a_lost_connection_is_told: "TASK-066", "TASK-078";
    a_task_without_a_process: "TASK-067";
    shutdown_is_for_the_owner: "TASK-068";
    a_kill_cannot_be_trapped: "TASK-069";
    a_shutdown_which_is_trapped_ends_in_a_kill [Paused]: "TASK-079";
    an_outcome_is_given_out_once: "TASK-070", "TASK-080";
    the_value_that_comes_while_waiting_counts [Paused]: "TASK-058";
}

const POLITE: Shutdown = Shutdown::Timeout(std::time::Duration::from_secs(5));
const BRUTAL: Shutdown = Shutdown::Brutal;

async fn value_wins(node: &Node, reason: ExitReason) {
    for how in [POLITE, BRUTAL] {
        let task = replied(node, reason.clone()).await;
        assert_eq!(task.shutdown_with(how).await, Ok(Some(7)));
    }
}

async fn a_value_wins_over_an_abnormal_end() {
    let node = node();
    let really = reason_of_replied(&node, custom("abnormal")).await;
    assert_eq!(really, custom("abnormal"));
    value_wins(&node, custom("abnormal")).await;
}

async fn a_value_wins_over_a_normal_end() {
    let node = node();
    let really = reason_of_replied(&node, ExitReason::Normal).await;
    assert_eq!(really, ExitReason::Normal);
    value_wins(&node, ExitReason::Normal).await;
}

async fn a_value_wins_over_a_shutdown() {
    let node = node();
    let really = reason_of_replied(&node, ExitReason::Shutdown).await;
    assert_eq!(really, ExitReason::Shutdown);
    value_wins(&node, ExitReason::Shutdown).await;
}

async fn a_live_task_is_shut_down() {
    let node = node();
    let inner = node.clone();
    process(&node, async move {
        let task = task::async_(&inner, "slow", pending::<u32>());
        let pid = task.pid();
        assert_eq!(links(&inner), [pid]);
        assert_eq!(task.shutdown_with(POLITE).await, Ok(None));
        assert!(!inner.is_alive(pid));
        // Its owner is linked and does not trap exits, and yet lives.
        tokio::task::yield_now().await;
        assert_eq!((links(&inner), inbox(&inner)), (vec![], 0));
    })
    .await;
}

/// The outcome of shutting down a task which ended before, for this reason.
async fn after(node: &Node, reason: ExitReason, how: Shutdown) -> Result<Option<u32>, TaskError> {
    ended(node, reason).await.shutdown_with(how).await
}

async fn an_abnormal_end_is_told() {
    let node = node();
    for how in [POLITE, BRUTAL] {
        let error = TaskError::Exit(custom("abnormal"));
        assert_eq!(after(&node, custom("abnormal"), how).await, Err(error));
    }
}

async fn a_normal_end_is_told() {
    let node = node();
    for how in [POLITE, BRUTAL] {
        let error = TaskError::Exit(ExitReason::Normal);
        assert_eq!(after(&node, ExitReason::Normal, how).await, Err(error));
    }
}

async fn an_earlier_shutdown_is_one() {
    assert_eq!(after(&node(), ExitReason::Shutdown, POLITE).await, Ok(None));
}

async fn an_earlier_shutdown_is_no_kill() {
    let outcome = after(&node(), ExitReason::Shutdown, BRUTAL).await;
    assert_eq!(outcome, Err(TaskError::Exit(ExitReason::Shutdown)));
}

async fn an_earlier_kill_is_no_shutdown() {
    let outcome = after(&node(), ExitReason::Killed, POLITE).await;
    assert_eq!(outcome, Err(TaskError::Exit(ExitReason::Killed)));
}

async fn an_earlier_kill_is_one() {
    assert_eq!(after(&node(), ExitReason::Killed, BRUTAL).await, Ok(None));
}

async fn a_lost_connection_is_told() {
    let node = node();
    for how in [POLITE, BRUTAL] {
        let task = ended(&node, ExitReason::NoConnection).await;
        let error = TaskError::NodeDown(task.pid());
        assert_eq!(task.shutdown_with(how).await, Err(error));
    }
}

async fn a_task_without_a_process() {
    for how in [POLITE, BRUTAL] {
        let task = Task::completed(5);
        assert_eq!(task.shutdown_with(how).await, Ok(Some(5)));
    }
}

async fn shutdown_is_for_the_owner() {
    let node = node();
    for how in [POLITE, BRUTAL] {
        let task = foreign(&node).await;
        let error = not_owner(&task);
        assert_eq!(task.shutdown_with(how).await, Err(error));
    }
}

/// A task of the running process which ignores all exit signals, and does so already.
async fn stubborn(node: &Node) -> Task<u32> {
    let (say, ready) = oneshot::channel();
    let task = task::async_(node, "stubborn", async move {
        task::trap_exit(true);
        say.send(()).unwrap();
        pending().await
    });
    ready.await.unwrap();
    task
}

async fn a_kill_cannot_be_trapped() {
    let node = node();
    let inner = node.clone();
    process(&node, async move {
        let task = stubborn(&inner).await;
        assert_eq!(task.shutdown_with(BRUTAL).await, Ok(None));
        assert_eq!(inbox(&inner), 0);
    })
    .await;
}

async fn a_shutdown_which_is_trapped_ends_in_a_kill() {
    let node = node();
    let inner = node.clone();
    process(&node, async move {
        let begun = tokio::time::Instant::now();
        let task = stubborn(&inner).await;
        let outcome = task.shutdown_with(Shutdown::Timeout(millis(10))).await;
        assert_eq!(outcome, Err(TaskError::Exit(ExitReason::Killed)));
        assert!(begun.elapsed() >= millis(10));
        assert_eq!(inbox(&inner), 0);
    })
    .await;
}

async fn an_outcome_is_given_out_once() {
    let node = node();
    for how in [POLITE, BRUTAL] {
        let error = TaskError::Exit(ExitReason::NoProc);
        assert_eq!(
            after(&node, ExitReason::NoProc, how).await,
            Err(error.clone())
        );
        let mut task = replied(&node, ExitReason::Normal).await;
        assert_eq!(task.yield_(NOW).await, Ok(Some(7)));
        assert_eq!(task.shutdown_with(how).await, Err(error));
    }
}

async fn the_value_that_comes_while_waiting_counts() {
    let node = node();
    let (say, ready) = oneshot::channel();
    let task = task::async_(&node, "finishing", async move {
        task::trap_exit(true);
        say.send(()).unwrap();
        tokio::time::sleep(millis(100)).await;
        5
    });
    ready.await.unwrap();
    assert_eq!(task.shutdown_with(POLITE).await, Ok(Some(5)));
}
