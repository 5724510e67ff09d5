//! The ways to start a task, and what it knows of itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use otp::{ExitReason, Node, Options, Pid, Restart, Shutdown, Strategy, Supervisor, Task, task};
use tokio::sync::oneshot;

use super::{custom, inbox, links, process};
use crate::support::node;

crate::cases! {
    can_be_supervised_directly: "TASK-001";
    its_child_spec_can_be_overridden [Paused]: "TASK-002";
    async_links_and_gives_the_value: "TASK-003";
    async_with_a_function_and_its_arguments: "TASK-004";
    callers_are_known_through_nesting: "TASK-005";
    start_links_with_nobody: "TASK-006", "TASK-007";
    a_completed_task_needs_no_process: "TASK-008";
    start_link_links: "TASK-009", "TASK-010";
    start_link_knows_its_callers: "TASK-011";
    callers_are_bounded;
    what_a_task_can_ask_works_outside_too;
}

/// What the module-function-arguments form starts.
async fn wait_and_send(go: oneshot::Receiver<()>, done: oneshot::Sender<&'static str>) -> u32 {
    go.await.unwrap();
    done.send("done").unwrap();
    5
}

async fn can_be_supervised_directly() {
    let node = node();
    let starts = Arc::new(AtomicUsize::new(0));
    let (ran, count) = (starts.clone(), starts.clone());
    let supervisor = Supervisor::new(Strategy::OneForOne)
        .child(Task::child_spec("fine", move || {
            let ran = ran.clone();
            async move { ran.fetch_add(1, Ordering::SeqCst) }
        }))
        .child(Task::child_spec("broken", move || {
            let count = count.clone();
            async move {
                count.fetch_add(10, Ordering::SeqCst);
                task::exit::<()>(custom("broken")).await
            }
        }))
        .start(&node, Options::new())
        .await
        .unwrap();
    // Temporary: neither is started again, both are forgotten.
    otp::eventually!(supervisor.which_children().await.unwrap().is_empty());
    assert_eq!(starts.load(Ordering::SeqCst), 11);
    assert!(supervisor.is_alive());
}

async fn its_child_spec_can_be_overridden() {
    let node = node();
    let spec = Task::child_spec("plain", || async {});
    assert_eq!(spec.id(), "plain");
    assert!(
        format!("{spec:?}").contains("restart: Temporary"),
        "{spec:?}"
    );
    assert!(
        format!("{spec:?}").contains("shutdown: Timeout(5s)"),
        "{spec:?}"
    );

    let starts = Arc::new(AtomicUsize::new(0));
    let count = starts.clone();
    let supervisor = Supervisor::new(Strategy::OneForOne)
        .child(
            Task::child_spec("again", move || {
                let count = count.clone();
                async move {
                    if count.fetch_add(1, Ordering::SeqCst) == 2 {
                        std::future::pending::<()>().await;
                    }
                }
            })
            .restart(Restart::Permanent),
        )
        .child(
            Task::child_spec("stubborn", || async {
                task::trap_exit(true);
                std::future::pending::<()>().await;
            })
            .shutdown(Shutdown::Brutal),
        )
        .start(&node, Options::new())
        .await
        .unwrap();
    otp::eventually!(starts.load(Ordering::SeqCst) == 3);
    let stubborn = supervisor.child("stubborn").await.unwrap();
    let end = node.wait_for_exit(stubborn);
    let begun = tokio::time::Instant::now();
    supervisor.terminate_child("stubborn").await.unwrap();
    assert_eq!(end.await, ExitReason::Killed);
    assert!(begun.elapsed().is_zero(), "it was not given any time");
}

async fn async_links_and_gives_the_value() {
    let node = node();
    let inner = node.clone();
    process(&node, async move {
        let (go, gone) = oneshot::channel::<()>();
        let task = task::async_(&inner, "closure", async move {
            gone.await.unwrap();
            "done"
        });
        let pid = task.pid();
        assert!(task.has_process());
        assert_eq!(task.owner(), task::self_pid());
        assert_eq!(links(&inner), [pid]);
        let listed = inner.processes();
        let listed = listed.iter().find(|info| info.pid == pid).unwrap();
        assert_eq!(listed.label.as_deref(), Some("closure"));
        go.send(()).unwrap();
        let end = inner.wait_for_exit(pid);
        assert_eq!(task.await_value().await, Ok("done"));
        let end = end.await;
        assert!(matches!(end, ExitReason::Normal), "{end}");
        assert_eq!(inbox(&inner), 0);
        assert_eq!(links(&inner), []);
    })
    .await;
    // And it is linked for real: it ends with its owner.
    let inner = node.clone();
    let (say, said) = oneshot::channel();
    let owner = task::spawn(&node, "owner", async move {
        let task = task::async_(&inner, "linked", std::future::pending::<()>());
        say.send(task.pid()).unwrap();
        std::future::pending::<()>().await;
    });
    let end = node.wait_for_exit(said.await.unwrap());
    node.exit(owner.pid(), custom("bye"));
    assert_eq!(end.await, custom("bye"));
}

async fn async_with_a_function_and_its_arguments() {
    let node = node();
    let inner = node.clone();
    process(&node, async move {
        let ((go, gone), (done, is_done)) = (oneshot::channel(), oneshot::channel());
        let task = task::async_(&inner, "function", wait_and_send(gone, done));
        assert_eq!(links(&inner), [task.pid()]);
        go.send(()).unwrap();
        assert_eq!(task.await_value().await, Ok(5));
        assert_eq!(is_done.await, Ok("done"));
    })
    .await;
}

/// The callers of a task, and of one within it, with the pid of the outer one.
async fn nested(node: Node) -> (Vec<Pid>, Pid, Vec<Pid>) {
    let outer = task::callers();
    let parent = task::self_pid().unwrap();
    let inner = task::async_(&node, "inner", async { task::callers() });
    (outer, parent, inner.await_value().await.unwrap())
}

async fn callers_are_known_through_nesting() {
    let node = node();
    let inner = node.clone();
    process(&node, async move {
        assert_eq!(task::callers(), [], "started from outside of all processes");
        let grandparent = task::self_pid().unwrap();
        let task = task::async_(&inner, "outer", nested(inner.clone()));
        let (callers, parent, of_inner) = task.await_value().await.unwrap();
        assert_eq!(callers, [grandparent]);
        assert_eq!(of_inner, [parent, grandparent]);
    })
    .await;
    // From a server too, which has no callers itself.
    let worker = crate::support::worker(&node).await;
    let server = worker.pid();
    let task = crate::support::within(&worker, |ctx| {
        assert_eq!(task::callers(), []);
        task::async_(ctx.node(), "task", async { task::callers() })
    })
    .await;
    assert_eq!(task.await.unwrap(), [server]);
}

async fn start_links_with_nobody() {
    let node = node();
    let inner = node.clone();
    process(&node, async move {
        let (go, gone) = oneshot::channel::<()>();
        let (done, is_done) = oneshot::channel();
        let pid = task::start(&inner, "closure", async move {
            gone.await.unwrap();
            done.send("done").unwrap();
        });
        assert!(inner.is_alive(pid));
        assert_eq!(links(&inner), []);
        go.send(()).unwrap();
        assert_eq!(is_done.await, Ok("done"));

        let ((go, gone), (done, is_done)) = (oneshot::channel(), oneshot::channel());
        let pid = task::start(&inner, "function", wait_and_send(gone, done));
        assert!(inner.is_alive(pid));
        assert_eq!(links(&inner), []);
        go.send(()).unwrap();
        assert_eq!(is_done.await, Ok("done"));

        // Its failure reaches nobody.
        let pid = task::start(&inner, "broken", task::exit::<()>(custom("oops")));
        inner.wait_for_exit(pid).await;
        tokio::task::yield_now().await;
        assert_eq!(inbox(&inner), 0);
    })
    .await;
}

async fn a_completed_task_needs_no_process() {
    let node = node();
    let task = Task::completed("done");
    assert!(!task.has_process());
    assert!(!node.is_alive(task.pid()));
    assert_eq!(node.process_count(), 0);
    assert_eq!(task.await_value().await, Ok("done"));
    assert_eq!(Task::completed(3).await, Ok(3));
}

async fn start_link_links() {
    let node = node();
    let inner = node.clone();
    process(&node, async move {
        let (go, gone) = oneshot::channel::<()>();
        let (done, is_done) = oneshot::channel();
        let pid = task::start_link(&inner, "closure", async move {
            gone.await.unwrap();
            done.send("done").unwrap();
        });
        assert_eq!(links(&inner), [pid]);
        go.send(()).unwrap();
        assert_eq!(is_done.await, Ok("done"));

        let ((go, gone), (done, is_done)) = (oneshot::channel(), oneshot::channel());
        let pid = task::start_link(&inner, "function", wait_and_send(gone, done));
        assert!(links(&inner).contains(&pid));
        go.send(()).unwrap();
        assert_eq!(is_done.await, Ok("done"));
    })
    .await;
    let inner = node.clone();
    let owner = task::spawn(&node, "owner", async move {
        task::start_link(&inner, "broken", task::exit::<()>(custom("oops")));
        std::future::pending::<()>().await;
    });
    assert_eq!(owner.await, Err(custom("oops")));
}

async fn start_link_knows_its_callers() {
    let node = node();
    let inner = node.clone();
    process(&node, async move {
        let grandparent = task::self_pid().unwrap();
        let (say, said) = oneshot::channel();
        let outer = inner.clone();
        task::start_link(&inner, "outer", async move {
            let (callers, parent) = (task::callers(), task::self_pid().unwrap());
            let (tell, told) = oneshot::channel();
            task::start_link(&outer, "inner", async move {
                tell.send(task::callers()).unwrap();
            });
            say.send((callers, parent, told.await.unwrap())).unwrap();
        });
        let (callers, parent, of_inner) = said.await.unwrap();
        assert_eq!(callers, [grandparent]);
        assert_eq!(of_inner, [parent, grandparent]);
    })
    .await;
}

/// A chain of tasks, each started by the one before; gives what the last one knows.
fn chain(node: Node, length: usize) -> futures_util::future::BoxFuture<'static, Vec<Pid>> {
    Box::pin(async move {
        if length == 0 {
            return task::callers();
        }
        let next = task::async_(&node, "link", chain(node.clone(), length - 1));
        next.await.unwrap()
    })
}

async fn callers_are_bounded() {
    let node = node();
    let known = process(&node, chain(node.clone(), 10)).await;
    assert_eq!(known.len(), 10);
    let known = process(&node, chain(node.clone(), task::CALLERS_MAX + 5)).await;
    assert_eq!(known.len(), task::CALLERS_MAX);
    assert!(
        known.is_sorted_by(|a, b| a > b),
        "the nearest ones, nearest first"
    );
}

async fn what_a_task_can_ask_works_outside_too() {
    assert_eq!(task::self_pid(), None);
    assert_eq!(task::callers(), []);
    assert!(!task::trap_exit(true));
    task::set_label("nothing");
    let node = node();
    let task = task::async_(&node, "unlinked", async { task::callers() });
    assert_eq!(task.owner(), None);
    assert_eq!(task.await_value().await.unwrap(), []);
}
