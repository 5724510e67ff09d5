//! await, yield and ignore.

use std::sync::Arc;

use otp::{ExitReason, Node, Options, Task, TaskError, TaskSupervisor, TaskSupervisorRef, task};
use tokio::sync::oneshot;

use super::{NOW, custom, ended, inbox, is_panic, links, millis, process, replied};
use crate::support::node;

crate::cases! {
    ignore_gives_a_value_that_is_there: "TASK-012";
    ignore_drops_a_late_value: "TASK-013";
    ignore_gives_a_failure_that_is_there: "TASK-014";
    ignore_drops_a_late_failure: "TASK-015";
    ignore_tells_of_a_lost_connection: "TASK-016";
    ignore_of_a_completed_task: "TASK-017";
    nothing_comes_after_a_timeout: "TASK-018";
    await_times_out [Paused]: "TASK-019";
    await_waits_five_seconds_by_default [Paused]: "TASK-019";
    await_tells_a_normal_end: "TASK-020";
    await_tells_a_thrown_value: "TASK-021";
    await_tells_a_panic: "TASK-022";
    await_tells_an_exit: "TASK-023";
    a_failure_takes_its_owner_along: "TASK-022", "TASK-023";
    await_tells_of_a_lost_connection: "TASK-024";
    await_tells_of_a_lost_connection_by_name: "TASK-025";
    await_is_for_the_owner: "TASK-026";
    a_value_wins_over_the_end: "TASK-041";
    yield_gives_up_and_can_be_asked_again [Paused]: "TASK-042";
    yield_tells_an_end: "TASK-043";
    yield_tells_of_a_lost_connection: "TASK-044";
    yield_is_for_the_owner: "TASK-045";
}

async fn ignore_gives_a_value_that_is_there() {
    let node = node();
    let inner = node.clone();
    process(&node, async move {
        let task = task::async_(&inner, "fast", async { 5 });
        inner.wait_for_exit(task.pid()).await;
        assert_eq!(task.ignore(), Ok(Some(5)));
        assert_eq!(inbox(&inner), 0);
    })
    .await;
}

async fn ignore_drops_a_late_value() {
    let node = node();
    let inner = node.clone();
    process(&node, async move {
        let (go, gone) = oneshot::channel::<()>();
        let value = Arc::new(5);
        let late = value.clone();
        let task = task::async_(&inner, "late", async move {
            gone.await.unwrap();
            late
        });
        let pid = task.pid();
        assert_eq!(task.ignore(), Ok(None));
        assert_eq!(links(&inner), [], "it is unlinked");
        assert!(inner.is_alive(pid), "and runs on");
        go.send(()).unwrap();
        inner.wait_for_exit(pid).await;
        otp::eventually!(Arc::strong_count(&value) == 1);
        assert_eq!(inbox(&inner), 0);
    })
    .await;
}

async fn ignore_gives_a_failure_that_is_there() {
    let node = node();
    let inner = node.clone();
    process(&node, async move {
        task::trap_exit(true);
        let task = task::async_(&inner, "broken", task::exit::<u32>(custom("oops")));
        inner.wait_for_exit(task.pid()).await;
        assert_eq!(task.ignore(), Err(TaskError::Exit(custom("oops"))));
        // Only the EXIT of the link, which it traps.
        assert_eq!(inbox(&inner), 1);
    })
    .await;
}

async fn ignore_drops_a_late_failure() {
    let node = node();
    let inner = node.clone();
    process(&node, async move {
        let (go, gone) = oneshot::channel::<()>();
        let task = task::async_(&inner, "late", async move {
            gone.await.unwrap();
            task::exit::<u32>(custom("oops")).await
        });
        let end = inner.wait_for_exit(task.pid());
        assert_eq!(task.ignore(), Ok(None));
        go.send(()).unwrap();
        assert_eq!(end.await, custom("oops"));
        tokio::task::yield_now().await;
        assert_eq!(inbox(&inner), 0);
    })
    .await;
}

/// A task, not linked, whose connection was lost: what a watcher sees of that is the reason.
async fn lost(node: &Node) -> Task<u32> {
    ended(node, ExitReason::NoConnection).await
}

async fn ignore_tells_of_a_lost_connection() {
    let task = lost(&node()).await;
    let pid = task.pid();
    assert_eq!(task.ignore(), Err(TaskError::NodeDown(pid)));
}

async fn ignore_of_a_completed_task() {
    assert_eq!(Task::completed(5).ignore(), Ok(Some(5)));
}

async fn nothing_comes_after_a_timeout() {
    let node = node();
    let inner = node.clone();
    process(&node, async move {
        let (go, gone) = oneshot::channel::<()>();
        let value = Arc::new(5);
        let late = value.clone();
        let task = task::async_(&inner, "late", async move {
            gone.await.unwrap();
            late
        });
        let pid = task.pid();
        assert_eq!(task.await_within(NOW).await, Err(TaskError::Timeout));
        assert!(inner.is_alive(pid), "it runs on");
        go.send(()).unwrap();
        inner.wait_for_exit(pid).await;
        otp::eventually!(Arc::strong_count(&value) == 1);
        assert_eq!(inbox(&inner), 0);
    })
    .await;
}

async fn await_times_out() {
    let node = node();
    let inner = node.clone();
    process(&node, async move {
        let begun = tokio::time::Instant::now();
        let task = task::async_(&inner, "slow", std::future::pending::<u32>());
        let error = task.await_within(millis(20)).await.unwrap_err();
        assert_eq!(error, TaskError::Timeout);
        assert_eq!(error.exit_reason(), ExitReason::Timeout);
        assert!(begun.elapsed() >= millis(20) && begun.elapsed() < millis(25));
    })
    .await;
    // Ending with that reason, as Elixir's await does, takes the task along.
    let inner = node.clone();
    let (say, said) = oneshot::channel();
    let owner = task::spawn(&node, "owner", async move {
        let task = task::async_(&inner, "slow", std::future::pending::<u32>());
        say.send(inner.wait_for_exit(task.pid())).ok().unwrap();
        let error = task.await_within(NOW).await.unwrap_err();
        task::exit::<()>(error.exit_reason()).await;
    });
    assert_eq!(said.await.unwrap().await, ExitReason::Timeout);
    assert_eq!(owner.await, Err(ExitReason::Timeout));
}

async fn await_waits_five_seconds_by_default() {
    let node = node();
    let begun = tokio::time::Instant::now();
    let task = task::async_(&node, "slow", std::future::pending::<u32>());
    assert_eq!(task.await_value().await, Err(TaskError::Timeout));
    assert_eq!(begun.elapsed().as_secs(), 5);
}

async fn await_tells_a_normal_end() {
    let node = node();
    let inner = node.clone();
    process(&node, async move {
        let task = task::async_(&inner, "ends", task::exit::<u32>(ExitReason::Normal));
        let error = TaskError::Exit(ExitReason::Normal);
        assert_eq!(task.await_value().await, Err(error));
    })
    .await;
}

/// What a linked owner which traps exits gets from `await_value`.
async fn failure<F>(node: &Node, future: F) -> ExitReason
where
    F: Future<Output = u32> + Send + 'static,
{
    let inner = node.clone();
    process(node, async move {
        task::trap_exit(true);
        let task = task::async_(&inner, "fails", future);
        match task.await_value().await {
            Err(TaskError::Exit(reason)) => reason,
            other => panic!("{other:?}"),
        }
    })
    .await
}

async fn await_tells_a_thrown_value() {
    let node = node();
    let reason = failure(&node, async { std::panic::panic_any(42) }).await;
    assert!(is_panic(&reason, "a panic without a text"), "{reason}");
    // An error of the application is a value like any other.
    let task = task::async_(&node, "says no", async { Err::<u32, _>("unknown") });
    assert_eq!(task.await_value().await, Ok(Err("unknown")));
}

async fn await_tells_a_panic() {
    let reason = failure(&node(), async { panic!("oops") }).await;
    assert!(is_panic(&reason, "oops"), "{reason}");
    let ExitReason::Panic { location, .. } = reason else {
        unreachable!()
    };
    assert!(location.contains("outcome.rs"), "{location}");
}

async fn await_tells_an_exit() {
    let reason = failure(&node(), task::exit(custom("unknown"))).await;
    assert_eq!(reason, custom("unknown"));
}

async fn a_failure_takes_its_owner_along() {
    let node = node();
    for _ in 0..50 {
        let inner = node.clone();
        let owner = task::spawn(&node, "owner", async move {
            let task = task::async_(&inner, "fails", task::exit::<u32>(custom("unknown")));
            // It may get the error, but it does not get beyond its next await.
            let _ = task.await_value().await;
            std::future::pending::<()>().await;
        });
        assert_eq!(owner.await, Err(custom("unknown")));
        let inner = node.clone();
        let owner = task::spawn(&node, "owner", async move {
            let task = task::async_(&inner, "fails", async { panic!("oops") });
            let _: Result<(), TaskError> = task.await_value().await;
            std::future::pending::<()>().await;
        });
        let reason = owner.await.unwrap_err();
        assert!(is_panic(&reason, "oops"), "{reason}");
    }
}

async fn await_tells_of_a_lost_connection() {
    let task = lost(&node()).await;
    let pid = task.pid();
    let error = task.await_value().await.unwrap_err();
    assert_eq!(error, TaskError::NodeDown(pid));
    assert_eq!(error.exit_reason(), ExitReason::NoConnection);
}

async fn await_tells_of_a_lost_connection_by_name() {
    let node = node();
    let options = Options::new().name("tasks");
    TaskSupervisor::new().start(&node, options).await.unwrap();
    let supervisor = TaskSupervisorRef::whereis(&node, "tasks").unwrap();
    let task = supervisor
        .async_nolink("lost", std::future::pending::<u32>())
        .await
        .unwrap();
    let pid = task.pid();
    node.exit(pid, ExitReason::NoConnection);
    assert_eq!(task.await_value().await, Err(TaskError::NodeDown(pid)));
}

/// A task of another process, handed out.
#[expect(clippy::async_yields_async, reason = "the handle is what is wanted")]
pub(super) async fn foreign(node: &Node) -> Task<u32> {
    let inner = node.clone();
    process(
        node,
        async move { task::async_(&inner, "foreign", async { 5 }) },
    )
    .await
}

/// What somebody who does not own the task gets.
pub(super) fn not_owner(task: &Task<u32>) -> TaskError {
    assert!(task.owner().is_some());
    TaskError::NotOwner {
        task: task.pid(),
        owner: task.owner(),
        caller: task::self_pid(),
    }
}

async fn await_is_for_the_owner() {
    let node = node();
    let inner = node.clone();
    process(&node, async move {
        let task = foreign(&inner).await;
        let error = not_owner(&task);
        assert_eq!(task.await_within(millis(1)).await, Err(error.clone()));
        assert!(error.to_string().contains("must be asked by its owner"));
    })
    .await;
    // Outside of all processes one is not the owner either.
    let task = foreign(&node).await;
    let error = not_owner(&task);
    assert_eq!(task.await_value().await, Err(error));
}

async fn a_value_wins_over_the_end() {
    let node = node();
    let mut task = replied(&node, custom("abnormal")).await;
    assert_eq!(
        super::reason_of_replied(&node, custom("abnormal")).await,
        custom("abnormal"),
        "the end really is another one"
    );
    assert_eq!(task.yield_(NOW).await, Ok(Some(7)));
    let task = replied(&node, custom("abnormal")).await;
    assert_eq!(task.await_within(NOW).await, Ok(7));
    let task = replied(&node, custom("abnormal")).await;
    assert_eq!(task.await, Ok(7));
}

async fn yield_gives_up_and_can_be_asked_again() {
    let node = node();
    let inner = node.clone();
    process(&node, async move {
        let mut task = task::async_(&inner, "slow", async {
            tokio::time::sleep(millis(100)).await;
            5
        });
        assert_eq!(task.yield_(NOW).await, Ok(None));
        assert_eq!(task.yield_(millis(50)).await, Ok(None));
        assert!(inner.is_alive(task.pid()));
        assert_eq!(task.yield_(millis(60)).await, Ok(Some(5)));
        assert_eq!(task.yield_(millis(60)).await, Ok(None), "given out already");
        assert_eq!(task.await, Err(ExitReason::NoProc));
        assert_eq!(inbox(&inner), 0);
    })
    .await;
}

async fn yield_tells_an_end() {
    let node = node();
    let inner = node.clone();
    process(&node, async move {
        let mut task = task::async_(&inner, "ends", task::exit::<u32>(ExitReason::Normal));
        let error = TaskError::Exit(ExitReason::Normal);
        assert_eq!(task.yield_(millis(5_000)).await, Err(error));
    })
    .await;
}

async fn yield_tells_of_a_lost_connection() {
    let mut task = lost(&node()).await;
    let pid = task.pid();
    assert_eq!(task.yield_(NOW).await, Err(TaskError::NodeDown(pid)));
}

async fn yield_is_for_the_owner() {
    let mut task = foreign(&node()).await;
    let error = not_owner(&task);
    assert_eq!(task.yield_(millis(1)).await, Err(error));
}
