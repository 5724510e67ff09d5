//! Tasks of a supervisor which are awaited.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use otp::{
    ExitReason, Node, Shutdown, SupervisorError, TaskError, TaskOptions, TaskSupervisorRef, task,
};
use tokio::sync::oneshot;

use super::supervision::wait_and_send;
use super::{small, supervisor};
use crate::support::node;
use crate::tasks::{NOW, custom, inbox, is_panic, links, process};

crate::cases! {
    async_starts_under_the_supervisor: "TSUP-004";
    async_fails_with_its_caller: "TSUP-004";
    async_with_its_own_shutdown [Paused]: "TSUP-005";
    async_is_refused_at_the_limit: "TSUP-006";
    async_knows_its_callers: "TSUP-007";
    async_of_a_function: "TSUP-008";
    async_nolink_does_not_link: "TSUP-009";
    async_nolink_fails_alone: "TSUP-009";
    async_nolink_with_its_own_shutdown [Paused]: "TSUP-010";
    async_nolink_is_refused_at_the_limit: "TSUP-011";
    async_nolink_of_a_function: "TSUP-012";
    nothing_comes_after_a_timeout: "TSUP-019";
    await_tells_a_thrown_value: "TSUP-020";
    await_tells_a_panic: "TSUP-021";
    await_tells_an_exit: "TSUP-022";
    a_task_whose_caller_gave_up_does_not_begin: "TSUP-004";
}

/// Starts a task, linked or not, looks at it, has it finish, and takes its value.
async fn starts(linked: bool) {
    let node = node();
    let tasks = supervisor(&node).await;
    let inner = node.clone();
    process(&node, async move {
        let (go, gone) = oneshot::channel::<()>();
        let work = async move {
            gone.await.unwrap();
            "done"
        };
        let task = if linked {
            tasks.async_("closure", work).await.unwrap()
        } else {
            tasks.async_nolink("closure", work).await.unwrap()
        };
        let pid = task.pid();
        assert_eq!(tasks.children().await, Ok(vec![pid]));
        assert_eq!(task.owner(), task::self_pid());
        assert_eq!(links(&inner).contains(&pid), linked);
        let listed = inner.processes();
        let listed = listed.iter().find(|info| info.pid == pid).unwrap();
        assert_eq!(listed.parent, Some(tasks.pid()));
        assert!(listed.links.contains(&tasks.pid()));
        assert_eq!(listed.label.as_deref(), Some("closure"));
        let end = inner.wait_for_exit(pid);
        go.send(()).unwrap();
        assert_eq!(task.await_value().await, Ok("done"));
        assert_eq!(end.await, ExitReason::Normal);
        assert_eq!(inbox(&inner), 0);
        otp::eventually!(tasks.children().await == Ok(vec![]));
    })
    .await;
}

async fn async_starts_under_the_supervisor() {
    starts(true).await;
}

async fn async_nolink_does_not_link() {
    starts(false).await;
}

async fn async_fails_with_its_caller() {
    let node = node();
    let tasks = supervisor(&node).await;
    // The task takes the caller along …
    let inner = tasks.clone();
    let owner = task::spawn(&node, "owner", async move {
        let _task = inner
            .async_("broken", task::exit::<()>(custom("oops")))
            .await;
        pending::<()>().await;
    });
    assert_eq!(owner.await, Err(custom("oops")));
    // … and the caller the task.
    let inner = tasks.clone();
    let (say, said) = oneshot::channel();
    let owner = task::spawn(&node, "owner", async move {
        let task = inner.async_("slow", pending::<()>()).await.unwrap();
        say.send(task.pid()).unwrap();
        pending::<()>().await;
    });
    let end = node.wait_for_exit(said.await.unwrap());
    node.exit(owner.pid(), custom("bye"));
    assert_eq!(end.await, custom("bye"));
    assert!(tasks.is_alive());
}

async fn async_nolink_fails_alone() {
    let node = node();
    let tasks = supervisor(&node).await;
    let inner = node.clone();
    process(&node, async move {
        let task = tasks.async_nolink("broken", task::exit::<()>(custom("oops")));
        let task = task.await.unwrap();
        assert_eq!(
            task.await_value().await,
            Err(TaskError::Exit(custom("oops")))
        );
        let task = tasks.async_nolink("broken", async { panic!("oops") });
        let outcome: Result<(), TaskError> = task.await.unwrap().await_value().await;
        let error = outcome.unwrap_err();
        assert!(is_panic(&error.exit_reason(), "oops"), "{error}");
        tokio::task::yield_now().await;
        assert_eq!((inbox(&inner), links(&inner)), (0, vec![]));
    })
    .await;
    // Nor does the end of the caller reach the task.
    let tasks = supervisor(&node).await;
    let inner = tasks.clone();
    let pid = process(&node, async move {
        let task = inner.async_nolink("slow", pending::<()>()).await;
        task.unwrap().pid()
    });
    let pid = pid.await;
    assert_eq!(tasks.children().await, Ok(vec![pid]));
}

/// The reason and the seconds after which a task which ignores exits ends with its supervisor.
async fn with_shutdown(linked: bool, shutdown: Shutdown) -> (ExitReason, u64) {
    let node = node();
    let tasks = supervisor(&node).await;
    let (say, ready) = oneshot::channel();
    let work = async move {
        task::trap_exit(true);
        say.send(()).unwrap();
        pending::<()>().await;
    };
    let options = TaskOptions::new().shutdown(shutdown);
    let task = if linked {
        tasks.async_(options, work).await.unwrap()
    } else {
        tasks.async_nolink(options, work).await.unwrap()
    };
    ready.await.unwrap();
    let begun = tokio::time::Instant::now();
    let limit = Duration::from_secs(60);
    let (stopped, outcome) = tokio::join!(tasks.stop(ExitReason::Shutdown, limit), task);
    assert_eq!(stopped, Ok(()));
    (outcome.unwrap_err(), begun.elapsed().as_secs())
}

async fn custom_shutdown(linked: bool) {
    let brutal = with_shutdown(linked, Shutdown::Brutal).await;
    assert_eq!(brutal, (ExitReason::Killed, 0));
    let patient = with_shutdown(linked, Shutdown::Timeout(Duration::from_secs(9))).await;
    assert_eq!(patient, (ExitReason::Killed, 9));
}

async fn async_with_its_own_shutdown() {
    custom_shutdown(true).await;
}

async fn async_nolink_with_its_own_shutdown() {
    custom_shutdown(false).await;
}

async fn async_is_refused_at_the_limit() {
    let node = node();
    let tasks = small(&node).await;
    let first = tasks.async_("slow", pending::<()>()).await.unwrap();
    let refused = tasks.async_("one more", async {}).await;
    assert_eq!(refused.err(), Some(SupervisorError::MaxChildren));
    assert_eq!(tasks.children().await, Ok(vec![first.pid()]));
}

async fn async_nolink_is_refused_at_the_limit() {
    let node = node();
    let tasks = small(&node).await;
    let first = tasks.async_nolink("slow", pending::<()>()).await.unwrap();
    let refused = tasks.async_nolink("one more", async {}).await;
    assert_eq!(refused.err(), Some(SupervisorError::MaxChildren));
    // There is room again when the first has ended.
    assert_eq!(first.shutdown_with(Shutdown::Brutal).await, Ok(None));
    otp::eventually!(tasks.children().await == Ok(vec![]));
    let next = tasks.async_nolink("next", async { 5 }).await.unwrap();
    assert_eq!(next.await_value().await, Ok(5));
}

async fn async_knows_its_callers() {
    let node = node();
    let tasks = supervisor(&node).await;
    let table = node.clone();
    process(&node, async move {
        let grandparent = task::self_pid().unwrap();
        let nested = tasks.clone();
        let outer = tasks.async_("outer", async move {
            let (callers, parent) = (task::callers(), task::self_pid().unwrap());
            let listed = table.processes();
            let me = listed.iter().find(|info| info.pid == parent).unwrap();
            assert_eq!(
                me.parent,
                Some(nested.pid()),
                "the supervisor is its ancestor"
            );
            let inner = nested.async_("inner", async { task::callers() });
            let inner = inner.await.unwrap().await_value().await.unwrap();
            (callers, parent, inner)
        });
        let outer = outer.await.unwrap().await_value().await;
        let (callers, parent, of_inner) = outer.unwrap();
        assert_eq!(callers, [grandparent]);
        assert_eq!(of_inner, [parent, grandparent]);
    })
    .await;
}

async fn function(linked: bool) {
    let node = node();
    let tasks = supervisor(&node).await;
    process(&node, async move {
        let (ready, is_ready) = oneshot::channel();
        let ((go, gone), (done, is_done)) = (oneshot::channel(), oneshot::channel());
        let work = wait_and_send(ready, gone, done);
        let task = if linked {
            tasks.async_("function", work).await.unwrap()
        } else {
            tasks.async_nolink("function", work).await.unwrap()
        };
        assert_eq!(tasks.children().await, Ok(vec![task.pid()]));
        is_ready.await.unwrap();
        go.send(()).unwrap();
        assert_eq!(task.await_value().await, Ok("done"));
        assert_eq!(is_done.await, Ok("done"));
    })
    .await;
}

async fn async_of_a_function() {
    function(true).await;
}

async fn async_nolink_of_a_function() {
    function(false).await;
}

async fn nothing_comes_after_a_timeout() {
    let node = node();
    let tasks = supervisor(&node).await;
    let inner = node.clone();
    process(&node, async move {
        let (go, gone) = oneshot::channel::<()>();
        let value = Arc::new(5);
        let late = value.clone();
        let task = tasks.async_("late", async move {
            gone.await.unwrap();
            late
        });
        let task = task.await.unwrap();
        let end = inner.wait_for_exit(task.pid());
        assert_eq!(task.await_within(NOW).await, Err(TaskError::Timeout));
        go.send(()).unwrap();
        assert_eq!(end.await, ExitReason::Normal);
        otp::eventually!(Arc::strong_count(&value) == 1);
        assert_eq!(inbox(&inner), 0);
    })
    .await;
}

/// What a linked caller which traps exits gets.
async fn failure<F>(node: &Node, tasks: TaskSupervisorRef, future: F) -> ExitReason
where
    F: Future<Output = u32> + Send + 'static,
{
    process(node, async move {
        task::trap_exit(true);
        let task = tasks.async_("fails", future).await.unwrap();
        match task.await_value().await {
            Err(TaskError::Exit(reason)) => reason,
            other => panic!("{other:?}"),
        }
    })
    .await
}

async fn await_tells_a_thrown_value() {
    let node = node();
    let tasks = supervisor(&node).await;
    let reason = failure(&node, tasks, async { std::panic::panic_any(42) }).await;
    assert!(is_panic(&reason, "a panic without a text"), "{reason}");
}

async fn await_tells_a_panic() {
    let node = node();
    let tasks = supervisor(&node).await;
    let reason = failure(&node, tasks, async { panic!("oops") }).await;
    assert!(is_panic(&reason, "oops"), "{reason}");
}

async fn await_tells_an_exit() {
    let node = node();
    let tasks = supervisor(&node).await;
    let reason = failure(&node, tasks, task::exit(custom("unknown"))).await;
    assert_eq!(reason, custom("unknown"));
}

async fn a_task_whose_caller_gave_up_does_not_begin() {
    let node = node();
    let tasks = supervisor(&node).await;
    let begun = Arc::new(());
    for _ in 0..100 {
        let sign = begun.clone();
        let starting = tasks.async_("given up", async move {
            let _begun = sign;
            pending::<()>().await;
        });
        // At most one poll: enough to ask the supervisor, not to hear from it.
        tokio::select! {
            biased;
            task = starting => drop(task.unwrap().shutdown_with(Shutdown::Brutal).await),
            () = std::future::ready(()) => {}
        }
    }
    otp::eventually!(tasks.children().await == Ok(vec![]));
    assert_eq!(Arc::strong_count(&begun), 1);
}
