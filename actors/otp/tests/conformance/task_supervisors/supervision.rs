//! The supervisor itself: as a child, by name, counting.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use otp::{
    ChildCount, ExitReason, Options, Registry, Restart, Shutdown, StartError, Strategy, Supervisor,
    SupervisorError, TaskOptions, TaskSupervisor, TaskSupervisorRef, task,
};
use tokio::sync::{mpsc, oneshot};

use super::supervisor;
use crate::support::node;
use crate::tasks::{custom, links, process};

crate::cases! {
    can_be_supervised_directly: "TSUP-001";
    several_can_be_supervised: "TSUP-002";
    counts_its_children: "TSUP-003";
    start_child_is_fire_and_forget: "TSUP-013";
    start_child_of_a_function: "TSUP-014";
    start_child_with_its_own_shutdown [Paused]: "TSUP-015";
    start_child_with_its_own_restart: "TSUP-016";
    too_many_restarts_end_it: "TSUP-016";
    start_child_knows_its_callers: "TSUP-017";
    terminate_child_by_pid: "TSUP-018";
}

async fn can_be_supervised_directly() {
    let node = node();
    let spec = TaskSupervisor::child_spec("tasks", TaskSupervisor::new)
        .options(|| Options::new().name("tasks"));
    let top = Supervisor::new(Strategy::OneForOne).child(spec);
    let top = top.start(&node, Options::new()).await.unwrap();
    let tasks = TaskSupervisorRef::whereis(&node, "tasks").unwrap();
    assert_eq!(tasks.pid(), top.child("tasks").await.unwrap());
    // Permanent: it comes back, empty.
    let task = tasks.async_nolink("slow", std::future::pending::<()>());
    let task = task.await.unwrap();
    node.exit(tasks.pid(), ExitReason::Kill);
    assert!(task.await.is_err());
    otp::eventually!(TaskSupervisorRef::whereis(&node, "tasks").is_some_and(|new| new != tasks));
    let again = TaskSupervisorRef::whereis(&node, "tasks").unwrap();
    assert_eq!(again.children().await, Ok(vec![]));
}

async fn several_can_be_supervised() {
    let node = node();
    let registry: Registry<&'static str> = Registry::new(&node);
    let by_key = registry.clone();
    let unnamed = || TaskSupervisor::child_spec("unnamed", TaskSupervisor::new);
    let top = Supervisor::new(Strategy::OneForOne)
        .child(
            TaskSupervisor::child_spec("one", TaskSupervisor::new)
                .options(|| Options::new().name("simple name")),
        )
        .child(
            TaskSupervisor::child_spec("two", TaskSupervisor::new)
                .options(|| Options::new().name("other name")),
        )
        .child(
            TaskSupervisor::child_spec("three", TaskSupervisor::new)
                .options(move || Options::new().register_in(&by_key, "key")),
        );
    let top = top.start(&node, Options::new()).await.unwrap();
    let fourth = top.start_child(unnamed()).await.unwrap();
    let found = [
        TaskSupervisorRef::whereis(&node, "simple name"),
        TaskSupervisorRef::whereis(&node, "other name"),
        TaskSupervisorRef::from_pid(&node, registry.lookup(&"key").unwrap()),
        TaskSupervisorRef::from_pid(&node, fourth),
    ];
    for supervisor in found {
        assert_eq!(supervisor.unwrap().children().await, Ok(vec![]));
    }
    let again = top.start_child(unnamed()).await;
    assert_eq!(again, Err(SupervisorError::AlreadyStarted(fourth)));
    // Only a task supervisor is one.
    let worker = crate::support::worker(&node).await;
    assert!(TaskSupervisorRef::from_pid(&node, worker.pid()).is_none());
    // A taken name is a start error as for any process.
    let options = Options::new().name("simple name");
    let taken = TaskSupervisor::new().start(&node, options).await;
    assert!(matches!(taken, Err(StartError::AlreadyStarted(_))));
}

async fn counts_its_children() {
    let node = node();
    let tasks = supervisor(&node).await;
    assert_eq!(tasks.children().await, Ok(vec![]));
    assert_eq!(tasks.count_children().await, Ok(ChildCount::default()));
    let pid = tasks.start_child("slow", std::future::pending::<()>());
    let pid = pid.await.unwrap();
    assert_eq!(tasks.children().await, Ok(vec![pid]));
    let one = ChildCount {
        specs: 1,
        active: 1,
        supervisors: 0,
        workers: 1,
    };
    assert_eq!(tasks.count_children().await, Ok(one));
    node.exit(pid, ExitReason::Kill);
    otp::eventually!(tasks.count_children().await == Ok(ChildCount::default()));
}

/// What the module-function-arguments form starts.
pub(super) async fn wait_and_send(
    ready: oneshot::Sender<()>,
    go: oneshot::Receiver<()>,
    done: oneshot::Sender<&'static str>,
) -> &'static str {
    ready.send(()).unwrap();
    go.await.unwrap();
    done.send("done").unwrap();
    "done"
}

async fn start_child_is_fire_and_forget() {
    let node = node();
    let tasks = supervisor(&node).await;
    let inner = node.clone();
    process(&node, async move {
        let (go, gone) = oneshot::channel::<()>();
        let (done, is_done) = oneshot::channel();
        let pid = tasks.start_child("closure", async move {
            gone.await.unwrap();
            done.send("done").unwrap();
        });
        let pid = pid.await.unwrap();
        assert_eq!(tasks.children().await, Ok(vec![pid]));
        assert_eq!(links(&inner), []);
        let listed = inner.processes();
        let listed = listed.iter().find(|info| info.pid == pid).unwrap();
        assert_eq!(listed.parent, Some(tasks.pid()));
        assert_eq!(listed.links, [tasks.pid()]);
        assert_eq!(listed.label.as_deref(), Some("closure"));
        go.send(()).unwrap();
        assert_eq!(is_done.await, Ok("done"));
        // A crash reaches neither the caller nor the supervisor, and is not repaired.
        let pid = tasks.start_child("broken", task::exit::<()>(custom("oops")));
        let pid = pid.await.unwrap();
        inner.wait_for_exit(pid).await;
        otp::eventually!(tasks.children().await == Ok(vec![]));
    })
    .await;
}

async fn start_child_of_a_function() {
    let node = node();
    let tasks = supervisor(&node).await;
    let inner = node.clone();
    process(&node, async move {
        let (ready, is_ready) = oneshot::channel();
        let ((go, gone), (done, is_done)) = (oneshot::channel(), oneshot::channel());
        let pid = tasks.start_child("function", wait_and_send(ready, gone, done));
        let pid = pid.await.unwrap();
        is_ready.await.unwrap();
        assert_eq!(tasks.children().await, Ok(vec![pid]));
        assert_eq!(links(&inner), []);
        go.send(()).unwrap();
        assert_eq!(is_done.await, Ok("done"));
    })
    .await;
}

async fn start_child_with_its_own_shutdown() {
    let node = node();
    let tasks = supervisor(&node).await;
    let stubborn = || async {
        task::trap_exit(true);
        std::future::pending::<()>().await;
    };
    let brutal = TaskOptions::from("brutal").shutdown(Shutdown::Brutal);
    let patient = TaskOptions::from("patient").shutdown(Shutdown::Timeout(Duration::from_secs(9)));
    let brutal = tasks.start_child(brutal, stubborn()).await.unwrap();
    let patient = tasks.start_child(patient, stubborn()).await.unwrap();
    let polite = tasks.start_child("polite", std::future::pending::<()>());
    let polite = polite.await.unwrap();
    let begun = tokio::time::Instant::now();
    let ends = [brutal, patient, polite].map(|pid| {
        let end = node.wait_for_exit(pid);
        async move { (end.await, begun.elapsed().as_secs()) }
    });
    let (stopped, ends) = tokio::join!(
        tasks.stop(ExitReason::Shutdown, Duration::from_secs(20)),
        futures_util::future::join_all(ends)
    );
    assert_eq!(stopped, Ok(()));
    let expected = [
        (ExitReason::Killed, 0),
        (ExitReason::Killed, 9),
        (ExitReason::Shutdown, 0),
    ];
    assert_eq!(ends, expected);
}

async fn start_child_with_its_own_restart() {
    let node = node();
    let tasks = supervisor(&node).await;
    let (sender, mut started) = mpsc::channel(8);
    let waiting = move || {
        let sender = sender.clone();
        async move {
            sender.send(task::self_pid().unwrap()).await.unwrap();
            std::future::pending::<()>().await;
        }
    };
    // Permanent: whatever it ended for.
    let factory = waiting.clone();
    let pid = tasks.start_child_restarting("always", Restart::Permanent, factory);
    let pid = pid.await.unwrap();
    assert_eq!(started.recv().await, Some(pid));
    let end = node.wait_for_exit(pid);
    node.exit(pid, ExitReason::Shutdown);
    assert_eq!(end.await, ExitReason::Shutdown);
    let next = started.recv().await.unwrap();
    assert_ne!(next, pid);
    assert_eq!(tasks.children().await, Ok(vec![next]));
    tasks.terminate_child(next).await.unwrap();
    // Transient: only if it failed.
    let pid = tasks.start_child_restarting("failures", Restart::Transient, waiting);
    let pid = pid.await.unwrap();
    assert_eq!(started.recv().await, Some(pid));
    node.exit(pid, custom("oops"));
    let next = started.recv().await.unwrap();
    node.exit(next, ExitReason::Shutdown);
    otp::eventually!(tasks.children().await == Ok(vec![]));
    assert!(started.try_recv().is_err());
}

async fn too_many_restarts_end_it() {
    let node = node();
    let starts = Arc::new(AtomicUsize::new(0));
    let description = TaskSupervisor::new().intensity(2, Duration::from_secs(60));
    let tasks = description.start(&node, Options::new()).await.unwrap();
    let count = starts.clone();
    let broken = move || {
        count.fetch_add(1, Ordering::SeqCst);
        task::exit::<()>(custom("oops"))
    };
    let child = tasks.start_child_restarting("broken", Restart::Permanent, broken);
    child.await.unwrap();
    assert_eq!(tasks.wait_for_exit().await, ExitReason::Shutdown);
    assert_eq!(starts.load(Ordering::SeqCst), 3);
}

async fn start_child_knows_its_callers() {
    let node = node();
    let tasks = supervisor(&node).await;
    process(&node, async move {
        let grandparent = task::self_pid().unwrap();
        let (say, said) = oneshot::channel();
        let nested = tasks.clone();
        let child = tasks.start_child("outer", async move {
            let (callers, parent) = (task::callers(), task::self_pid().unwrap());
            let (tell, told) = oneshot::channel();
            let child = nested.start_child("inner", async move {
                tell.send(task::callers()).unwrap();
            });
            child.await.unwrap();
            say.send((callers, parent, told.await.unwrap())).unwrap();
        });
        child.await.unwrap();
        let (callers, parent, of_inner) = said.await.unwrap();
        assert_eq!(callers, [grandparent]);
        assert_eq!(of_inner, [parent, grandparent]);
        // A task which is started again still works for the same ones.
        let (sender, mut receiver) = mpsc::channel(2);
        let child = tasks.start_child_restarting("again", Restart::Transient, move || {
            let sender = sender.clone();
            async move {
                if sender.send(task::callers()).await.is_ok() {
                    task::exit::<()>(custom("oops")).await;
                }
            }
        });
        child.await.unwrap();
        for _ in 0..2 {
            assert_eq!(receiver.recv().await.unwrap(), [grandparent]);
        }
    })
    .await;
}

async fn terminate_child_by_pid() {
    let node = node();
    let tasks = supervisor(&node).await;
    let pid = tasks.start_child("slow", std::future::pending::<()>());
    let pid = pid.await.unwrap();
    let end = node.wait_for_exit(pid);
    assert_eq!(tasks.children().await, Ok(vec![pid]));
    assert_eq!(tasks.terminate_child(pid).await, Ok(()));
    assert_eq!(end.await, ExitReason::Shutdown);
    assert_eq!(tasks.children().await, Ok(vec![]));
    let again = tasks.terminate_child(pid).await;
    assert_eq!(again, Err(SupervisorError::NotFound));
}
