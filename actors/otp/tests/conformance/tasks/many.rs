//! await_many and yield_many.

use std::future::pending;

use otp::{ExitReason, Node, Task, TaskError, task};
use task::{DEFAULT_AWAIT_TIMEOUT, OnYieldTimeout, YieldMany, await_many, yield_many};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::outcome::{foreign, not_owner};
use super::{NOW, custom, ended, inbox, is_panic, millis, process, replied};
use crate::support::node;

crate::cases! {
    await_many_gives_all_values: "TASK-027";
    await_many_keeps_the_order_of_the_tasks [Paused]: "TASK-028";
    await_many_of_none: "TASK-029";
    await_many_leaves_foreign_messages_alone: "TASK-030";
    await_many_leaves_further_messages_alone: "TASK-031";
    await_many_times_out [Paused]: "TASK-032";
    await_many_tells_the_reason: "TASK-033";
    await_many_fails_at_once_on_an_exit [Paused]: "TASK-034";
    await_many_fails_at_once_on_a_crash [Paused]: "TASK-035";
    await_many_fails_at_once_on_a_thrown_value [Paused]: "TASK-036";
    await_many_fails_at_once_on_a_panic [Paused]: "TASK-037";
    await_many_tells_of_a_lost_connection [Paused]: "TASK-038", "TASK-039";
    await_many_is_for_the_owner: "TASK-040";
    yield_many_prefers_a_value: "TASK-046";
    yield_many_gives_up [Paused]: "TASK-047";
    yield_many_kills_on_timeout: "TASK-048";
    yield_many_ignores_on_timeout: "TASK-049";
    yield_many_tells_an_end: "TASK-050";
    yield_many_tells_of_a_lost_connection: "TASK-051";
    yield_many_is_for_the_owner: "TASK-052";
    yield_many_of_different_tasks: "TASK-053";
    yield_many_stops_at_its_limit: "TASK-054";
    yield_many_returns_when_all_are_ready: "TASK-055";
    yield_many_does_nothing_on_its_limit: "TASK-056";
    yield_many_waits_as_long_as_it_takes [Paused]: "TASK-057";
}

async fn await_many_gives_all_values() {
    let node = node();
    let inner = node.clone();
    process(&node, async move {
        let tasks: Vec<_> = [1, 3, 9]
            .map(|value| task::async_(&inner, "value", async move { value }))
            .into();
        assert_eq!(
            await_many(tasks, DEFAULT_AWAIT_TIMEOUT).await.unwrap(),
            [1, 3, 9]
        );
        assert_eq!(inbox(&inner), 0);
    })
    .await;
}

async fn await_many_keeps_the_order_of_the_tasks() {
    let node = node();
    let tasks = [(30, 1), (10, 3), (20, 9)].map(|(delay, value)| {
        task::async_(&node, "value", async move {
            tokio::time::sleep(millis(delay)).await;
            value
        })
    });
    assert_eq!(await_many(tasks, millis(40)).await.unwrap(), [1, 3, 9]);
}

async fn await_many_of_none() {
    let tasks: Vec<Task<u32>> = Vec::new();
    assert_eq!(await_many(tasks, NOW).await, Ok(Vec::new()));
}

async fn await_many_leaves_foreign_messages_alone() {
    let node = node();
    let inner = node.clone();
    process(&node, async move {
        let me = task::self_pid().unwrap();
        let tasks = ["a", "b"].map(|value| task::async_(&inner, "value", async move { value }));
        assert!(inner.send(me, Box::new("anything")));
        assert!(inner.send(me, Box::new(("reference", "z"))));
        assert!(inner.send(me, Box::new(ExitReason::Killed)));
        let values = await_many(tasks, DEFAULT_AWAIT_TIMEOUT).await;
        assert_eq!(values.unwrap(), ["a", "b"]);
        assert_eq!(inbox(&inner), 3);
    })
    .await;
}

async fn await_many_leaves_further_messages_alone() {
    let node = node();
    let inner = node.clone();
    process(&node, async move {
        let me = task::self_pid().unwrap();
        let tasks = ["a", "b"].map(|value| {
            let sender = inner.clone();
            task::async_(&inner, "value", async move {
                assert!(sender.send(me, Box::new("other")));
                value
            })
        });
        let values = await_many(tasks, DEFAULT_AWAIT_TIMEOUT).await;
        assert_eq!(values.unwrap(), ["a", "b"]);
        assert_eq!(inbox(&inner), 2, "they are where they were sent to");
    })
    .await;
}

async fn await_many_times_out() {
    let node = node();
    let tasks = [task::async_(&node, "slow", pending::<u32>())];
    assert_eq!(await_many(tasks, NOW).await, Err(TaskError::Timeout));
    // One time for all of them together.
    let begun = Instant::now();
    let tasks = [60, 120].map(|delay| {
        task::async_(&node, "slow", async move {
            tokio::time::sleep(millis(delay)).await;
        })
    });
    assert_eq!(
        await_many(tasks, millis(100)).await,
        Err(TaskError::Timeout)
    );
    assert!(begun.elapsed() < millis(110));
}

async fn await_many_tells_the_reason() {
    let node = node();
    let tasks = [task::async_(
        &node,
        "ends",
        task::exit::<u32>(ExitReason::Normal),
    )];
    let error = TaskError::Exit(ExitReason::Normal);
    assert_eq!(await_many(tasks, DEFAULT_AWAIT_TIMEOUT).await, Err(error));
}

/// What a linked owner which traps exits gets when the second of two tasks fails and the first
/// never ends. Fails if that takes any time.
async fn failure<F>(node: &Node, future: F) -> TaskError
where
    F: Future<Output = u32> + Send + 'static,
{
    let inner = node.clone();
    process(node, async move {
        task::trap_exit(true);
        let mut tasks = vec![task::async_(&inner, "slow", pending::<u32>())];
        // Many, so that the order in which they are looked at cannot matter.
        tasks.extend((0..50).map(|_| task::async_(&inner, "slow", pending::<u32>())));
        tasks.push(task::async_(&inner, "fails", future));
        let pids: Vec<_> = tasks.iter().map(Task::pid).collect();
        let begun = Instant::now();
        let error = await_many(tasks, DEFAULT_AWAIT_TIMEOUT).await.unwrap_err();
        assert!(begun.elapsed().is_zero());
        for pid in &pids {
            inner.exit(*pid, ExitReason::Kill);
        }
        for pid in &pids {
            inner.wait_for_exit(*pid).await;
        }
        // The EXIT of each link, which it traps, and nothing else.
        otp::eventually!(inbox(&inner) == pids.len());
        error
    })
    .await
}

async fn await_many_fails_at_once_on_an_exit() {
    let error = failure(&node(), task::exit(ExitReason::Normal)).await;
    assert_eq!(error, TaskError::Exit(ExitReason::Normal));
}

async fn await_many_fails_at_once_on_a_crash() {
    let error = failure(&node(), task::exit(custom("unknown"))).await;
    assert_eq!(error, TaskError::Exit(custom("unknown")));
    assert_eq!(error.exit_reason(), custom("unknown"));
}

async fn await_many_fails_at_once_on_a_thrown_value() {
    let error = failure(&node(), async { std::panic::panic_any(42) }).await;
    assert!(
        is_panic(&error.exit_reason(), "a panic without a text"),
        "{error}"
    );
}

async fn await_many_fails_at_once_on_a_panic() {
    let error = failure(&node(), async { panic!("oops") }).await;
    assert!(is_panic(&error.exit_reason(), "oops"), "{error}");
}

async fn await_many_tells_of_a_lost_connection() {
    let node = node();
    let error = failure(&node, task::exit(ExitReason::NoConnection)).await;
    assert!(matches!(error, TaskError::NodeDown(_)), "{error}");
    let lost = ended(&node, ExitReason::NoConnection).await;
    let pid = lost.pid();
    let tasks = [task::async_(&node, "slow", pending::<u32>()), lost];
    let error = await_many(tasks, DEFAULT_AWAIT_TIMEOUT).await;
    assert_eq!(error, Err(TaskError::NodeDown(pid)));
}

async fn await_many_is_for_the_owner() {
    let node = node();
    let other = foreign(&node).await;
    let error = not_owner(&other);
    let tasks = [task::async_(&node, "slow", pending::<u32>()), other];
    assert_eq!(await_many(tasks, millis(1)).await, Err(error));
}

async fn yield_many_prefers_a_value() {
    let mut tasks = [replied(&node(), custom("abnormal")).await];
    let options = YieldMany::new().timeout(NOW);
    let outcomes = yield_many(&mut tasks, options).await;
    assert_eq!(outcomes, Ok(vec![Some(Ok(7))]));
}

async fn yield_many_gives_up() {
    let node = node();
    let mut tasks = [task::async_(&node, "slow", pending::<u32>())];
    let options = YieldMany::new().timeout(NOW);
    assert_eq!(yield_many(&mut tasks, options).await, Ok(vec![None]));
    assert!(node.is_alive(tasks[0].pid()));
    let begun = Instant::now();
    let outcomes = yield_many(&mut tasks, YieldMany::default()).await;
    assert_eq!(outcomes, Ok(vec![None]));
    assert_eq!(begun.elapsed().as_secs(), 5);
}

async fn yield_many_kills_on_timeout() {
    let node = node();
    let inner = node.clone();
    process(&node, async move {
        task::trap_exit(true);
        let mut tasks = [task::async_(&inner, "slow", pending::<u32>())];
        let options = YieldMany::new()
            .timeout(NOW)
            .on_timeout(OnYieldTimeout::KillTask);
        assert_eq!(yield_many(&mut tasks, options).await, Ok(vec![None]));
        assert!(!inner.is_alive(tasks[0].pid()));
        assert_eq!(inbox(&inner), 0, "not even an EXIT");
    })
    .await;
}

async fn yield_many_ignores_on_timeout() {
    let node = node();
    let inner = node.clone();
    process(&node, async move {
        let (go, gone) = oneshot::channel::<()>();
        let mut tasks = [task::async_(&inner, "slow", async move {
            gone.await.unwrap();
            5
        })];
        let pid = tasks[0].pid();
        let options = YieldMany::new()
            .timeout(NOW)
            .on_timeout(OnYieldTimeout::Ignore);
        assert_eq!(yield_many(&mut tasks, options).await, Ok(vec![None]));
        assert!(inner.is_alive(pid));
        assert_eq!(super::links(&inner), []);
        go.send(()).unwrap();
        inner.wait_for_exit(pid).await;
        assert_eq!(tasks[0].yield_(NOW).await, Ok(None));
    })
    .await;
}

async fn yield_many_tells_an_end() {
    let node = node();
    let mut tasks = [task::async_(
        &node,
        "ends",
        task::exit::<u32>(ExitReason::Normal),
    )];
    let outcomes = yield_many(&mut tasks, YieldMany::new()).await;
    assert_eq!(outcomes, Ok(vec![Some(Err(ExitReason::Normal))]));
}

async fn yield_many_tells_of_a_lost_connection() {
    let mut tasks = [ended(&node(), ExitReason::NoConnection).await];
    let error = TaskError::NodeDown(tasks[0].pid());
    let outcomes = yield_many(&mut tasks, YieldMany::new()).await;
    assert_eq!(outcomes, Err(error));
}

async fn yield_many_is_for_the_owner() {
    let node = node();
    let other = foreign(&node).await;
    let error = not_owner(&other);
    let mut tasks = [task::async_(&node, "slow", pending::<u32>()), other];
    let options = YieldMany::new().timeout(millis(1));
    assert_eq!(yield_many(&mut tasks, options).await, Err(error));
}

/// One with a value, one that never ends, one that ended without a value.
async fn different(node: &Node) -> [Task<u32>; 3] {
    [
        replied(node, custom("abnormal")).await,
        task::spawn(node, "slow", pending::<u32>()),
        ended(node, ExitReason::Normal).await,
    ]
}

async fn yield_many_of_different_tasks() {
    let mut tasks = different(&node()).await;
    let outcomes = yield_many(&mut tasks, YieldMany::new().timeout(NOW)).await;
    let expected = vec![Some(Ok(7)), None, Some(Err(ExitReason::Normal))];
    assert_eq!(outcomes, Ok(expected));
}

async fn yield_many_stops_at_its_limit() {
    let mut tasks = different(&node()).await;
    let options = YieldMany::new().limit(1).no_timeout();
    let outcomes = yield_many(&mut tasks, options).await;
    assert_eq!(outcomes, Ok(vec![Some(Ok(7)), None, None]));
    // What was not counted was not lost.
    let outcomes = yield_many(&mut tasks[1..], options).await;
    assert_eq!(outcomes, Ok(vec![None, Some(Err(ExitReason::Normal))]));
}

async fn yield_many_returns_when_all_are_ready() {
    let node = node();
    let mut tasks = [task::async_(&node, "fast", async { "done" })];
    let options = YieldMany::new().limit(2).no_timeout();
    let outcomes = yield_many(&mut tasks, options).await;
    assert_eq!(outcomes, Ok(vec![Some(Ok("done"))]));
}

async fn yield_many_does_nothing_on_its_limit() {
    let node = node();
    let inner = node.clone();
    process(&node, async move {
        task::trap_exit(true);
        let mut tasks = [
            task::async_(&inner, "slow", pending::<u32>()),
            task::async_(&inner, "fast", async { 5 }),
        ];
        let pid = tasks[0].pid();
        let options = YieldMany::new()
            .limit(1)
            .on_timeout(OnYieldTimeout::KillTask);
        let outcomes = yield_many(&mut tasks, options.no_timeout()).await;
        assert_eq!(outcomes, Ok(vec![None, Some(Ok(5))]));
        assert!(inner.is_alive(pid));
        let outcomes = yield_many(&mut tasks[..1], options.timeout(NOW)).await;
        assert_eq!(outcomes, Ok(vec![None]));
        assert!(!inner.is_alive(pid));
    })
    .await;
}

async fn yield_many_waits_as_long_as_it_takes() {
    let node = node();
    let day = millis(24 * 3_600 * 1_000);
    let mut tasks = [
        replied(&node, ExitReason::Normal).await,
        task::spawn(&node, "slow", async move {
            tokio::time::sleep(day).await;
            8
        }),
        ended(&node, ExitReason::Normal).await,
    ];
    let outcomes = yield_many(&mut tasks, YieldMany::new().no_timeout()).await;
    let expected = vec![Some(Ok(7)), Some(Ok(8)), Some(Err(ExitReason::Normal))];
    assert_eq!(outcomes, Ok(expected));
}
