//! Twins which are alone of their kind.

use std::time::Duration;

use futures_util::StreamExt;
use otp::task::stream::OnTimeout;
use otp::task::{self, StreamError, StreamOptions};
use otp::{ExitReason, SupervisorError, Task, TaskSupervisor, TaskSupervisorRef};

use super::{Kind, begin, children, has, impatient, start};
use crate::oracle::actor::{self, Actor, run};
use crate::oracle::family::done;
use crate::oracle::stage::Stage;
use crate::oracle::task::{awaited, entry, given, own, waiting};
use crate::oracle::trace::{Trace, boom, say};
use crate::oracle::{Scenario, scenario, stories, told};

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut list = told(stories!(Stage:
        children_are_counted,
        terminate_child,
        terminate_child_unknown,
        terminate_child_that_is_awaited_nolink,
        stop_ends_the_tasks,
        stop_with_a_task_that_does_not_end,
        nolink_a_crash_spares_the_owner,
        linked_a_crash_ends_the_owner,
        await_takes_too_long,
        stream_nolink_timeout_kills_and_goes_on,
        stream_nolink_at_max_children,
        requests_to_a_dead_supervisor,
    ));
    for (name, kind) in [
        ("linked_the_owner_ends_the_task_too", Kind::Async),
        ("nolink_the_owner_ends_the_task_stays", Kind::AsyncNolink),
    ] {
        list.push(scenario(name, move |stage| owner_ends(stage, kind)));
    }
    list
}

async fn new(stage: &Stage) -> TaskSupervisorRef {
    start(stage, TaskSupervisor::new()).await
}

async fn tell_children(stage: &Stage, sup: &TaskSupervisorRef) {
    say!(stage.trace, "children", children(sup).await.len());
}

async fn children_are_counted(stage: &mut Stage) {
    let sup = new(stage).await;
    let mut gates = Vec::new();
    for _ in 0..3 {
        let (go, work) = waiting();
        sup.start_child("task", work).await.unwrap();
        gates.push(go);
    }
    tell_children(stage, &sup).await;
    gates.remove(0).send("go").unwrap();
    has(&sup, 2).await;
    tell_children(stage, &sup).await;
    stage.nothing().await;
}

async fn terminate_child(stage: &mut Stage) {
    let sup = new(stage).await;
    let never = std::future::pending::<()>();
    let pid = sup.start_child("task", never).await.unwrap();
    let monitor = stage.driver.watch(pid).await;
    let answer = sup.terminate_child(pid).await;
    done(&stage.trace, "terminate_child", answer);
    stage.driver.down(monitor).await;
    tell_children(stage, &sup).await;
    stage.nothing().await;
}

async fn terminate_child_unknown(stage: &mut Stage) {
    let sup = new(stage).await;
    let answer = sup.terminate_child(stage.driver.pid()).await;
    done(&stage.trace, "terminate_child", answer);
    stage.nothing().await;
}

async fn terminate_child_that_is_awaited_nolink(stage: &mut Stage) {
    let sup = new(stage).await;
    let task = begin(stage, &sup, Kind::AsyncNolink, std::future::pending()).await;
    let mut task = task.unwrap();
    let answer = sup.terminate_child(task.pid()).await;
    done(&stage.trace, "terminate_child", answer);
    let answer = own(stage, async move {
        task.yield_(task::DEFAULT_AWAIT_TIMEOUT).await
    });
    say!(stage.trace, "yield", given(answer.await));
    stage.nothing().await;
}

/// Ends the supervisor as its parent does, and says the ends of a task and of it.
async fn stop(stage: &mut Stage, sup: &TaskSupervisorRef, pid: otp::Pid) {
    let monitor = stage.driver.watch(pid).await;
    let sup_monitor = stage.driver.watch(sup.pid()).await;
    stage.driver.unlink(sup.pid()).await;
    stage.driver.exit(sup.pid(), ExitReason::Shutdown).await;
    stage.driver.down(monitor).await;
    stage.driver.down(sup_monitor).await;
    stage.nothing().await;
}

async fn stop_ends_the_tasks(stage: &mut Stage) {
    let sup = new(stage).await;
    let never = std::future::pending::<()>();
    let pid = sup.start_child("task", never).await.unwrap();
    stop(stage, &sup, pid).await;
}

/// It traps exits by now.
struct Ready;

async fn stop_with_a_task_that_does_not_end(stage: &mut Stage) {
    let sup = new(stage).await;
    let (node, me) = (stage.node.clone(), stage.driver.pid());
    let work = async move {
        task::trap_exit(true);
        node.send(me, Box::new(Ready));
        std::future::pending::<()>().await;
    };
    let pid = sup.start_child(impatient(), work).await.unwrap();
    let Ready = stage.driver.receive().await;
    stop(stage, &sup, pid).await;
}

/// A task of the owner, which fails when it is told to. The owner of an unlinked one watches it:
/// Elixir does so by itself, but here an end is in the handle, not in the mailbox.
async fn failing_task(
    owner: &otp::ServerRef<Actor>,
    sup: &TaskSupervisorRef,
    kind: Kind,
) -> (Task<String>, tokio::sync::oneshot::Sender<()>) {
    let (go, gate) = tokio::sync::oneshot::channel::<()>();
    let work = async move {
        gate.await.expect("the twin says when");
        task::exit::<String>(boom()).await
    };
    let task = owned(owner, sup, kind, work).await;
    (task, go)
}

/// A task of the owner.
async fn owned(
    owner: &otp::ServerRef<Actor>,
    sup: &TaskSupervisorRef,
    kind: Kind,
    work: impl Future<Output = String> + Send + 'static,
) -> Task<String> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let sup = sup.clone();
    run(owner, move |_, ctx| {
        Box::pin(async move {
            let task = match kind {
                Kind::Async => sup.async_("task", work).await,
                _ => sup.async_nolink("task", work).await,
            };
            let task = task.unwrap();
            if kind == Kind::AsyncNolink {
                ctx.monitor(task.pid());
            }
            let _ = sender.send(task);
            otp::Next::Go
        })
    });
    receiver.await.unwrap()
}

async fn nolink_a_crash_spares_the_owner(stage: &mut Stage) {
    let sup = new(stage).await;
    let (owner, monitor) = stage.watched("owner", false).await;
    let (_task, go) = failing_task(&owner, &sup, Kind::AsyncNolink).await;
    go.send(()).unwrap();
    stage.trace.wait("info owner down", 1).await;
    stage.alive_or_down(&owner, monitor).await;
}

async fn linked_a_crash_ends_the_owner(stage: &mut Stage) {
    let sup = new(stage).await;
    let (owner, monitor) = stage.watched("owner", false).await;
    let (_task, go) = failing_task(&owner, &sup, Kind::Async).await;
    go.send(()).unwrap();
    stage.driver.down(monitor).await;
    stage.nothing().await;
}

async fn owner_ends(mut stage: Stage, kind: Kind) {
    let sup = new(&stage).await;
    let (owner, owner_monitor) = stage.watched("owner", false).await;
    let (_go, work) = waiting();
    let task = owned(&owner, &sup, kind, work).await;
    let monitor = stage.driver.watch(task.pid()).await;
    actor::stop(&owner, boom());
    stage.driver.down(owner_monitor).await;
    if kind == Kind::Async {
        stage.driver.down(monitor).await;
    } else {
        say!(stage.trace, "alive", stage.node.is_alive(task.pid()));
    }
    stage.nothing().await;
}

async fn await_takes_too_long(stage: &mut Stage) {
    let sup = new(stage).await;
    let (go, work) = waiting();
    let task = begin(stage, &sup, Kind::AsyncNolink, work).await.unwrap();
    let pid = task.pid();
    let answer = own(stage, task.await_within(Duration::from_millis(1))).await;
    say!(stage.trace, "await", awaited(answer));
    go.send("late").unwrap();
    stage.gone(pid).await;
    stage.nothing().await;
}

async fn stream_nolink_timeout_kills_and_goes_on(stage: &mut Stage) {
    let sup = new(stage).await;
    let element = |number: usize| async move {
        if number == 2 {
            std::future::pending::<()>().await;
        }
        number.to_string()
    };
    let options = StreamOptions::new()
        .max_concurrency(1)
        .timeout(Duration::from_millis(20))
        .on_timeout(OnTimeout::KillTask);
    let results = own(stage, async move {
        let stream = sup.async_stream_nolink(1..=3, element, options).unwrap();
        stream.collect::<Vec<_>>().await
    });
    for result in results.await {
        say!(stage.trace, "result", entry(result));
    }
    stage.nothing().await;
}

async fn stream_nolink_at_max_children(stage: &mut Stage) {
    let sup = start(stage, TaskSupervisor::new().max_children(1)).await;
    let never = std::future::pending::<()>();
    sup.start_child("task", never).await.unwrap();
    let results = own(stage, async move {
        let same = |number: usize| async move { number };
        let stream = sup.async_stream_nolink(1..=2, same, StreamOptions::new());
        stream.unwrap().collect::<Vec<_>>().await
    });
    let refused = |result: &Result<_, StreamError<_>>| {
        matches!(
            result,
            Err(StreamError::Start(SupervisorError::MaxChildren))
        )
    };
    let word = if results.await.iter().any(refused) {
        "refused"
    } else {
        "ok"
    };
    say!(stage.trace, "stream", word);
}

async fn requests_to_a_dead_supervisor(stage: &mut Stage) {
    let sup = new(stage).await;
    let monitor = stage.driver.watch(sup.pid()).await;
    stage.driver.unlink(sup.pid()).await;
    stage.driver.exit(sup.pid(), ExitReason::Kill).await;
    stage.driver.down(monitor).await;
    let started = sup.start_child("task", async {}).await;
    exits(&stage.trace, "start_child", started.err());
    let task = begin(stage, &sup, Kind::AsyncNolink, async { "ok".into() }).await;
    exits(&stage.trace, "async_nolink", task.err());
    exits(&stage.trace, "children", sup.children().await.err());
    stage.nothing().await;
}

/// A call exits in Elixir.
fn exits(trace: &Trace, request: &str, error: Option<SupervisorError>) {
    match error {
        Some(SupervisorError::Call(error)) => say!(trace, request, "exit", &error),
        other => say!(trace, request, format!("{other:?}")),
    }
}
