//! Twins of `sc_tsup.ex`: linked and unlinked tasks, started children, limits, streams.

use futures_util::StreamExt;
use otp::task::StreamOptions;
use otp::{
    ExitReason, Options, Pid, Restart, SupervisorError, Task, TaskOptions, TaskSupervisor,
    TaskSupervisorRef, eventually, task,
};
use tokio::sync::oneshot;

use super::family::{PERIOD, TYPES};
use super::stage::Stage;
use super::task::{Work, awaited, consumed, consumer, entry, given, own};
use super::trace::{say, some_reasons};
use super::{Scenario, scenario};

mod singles;

pub(crate) fn scenarios() -> Vec<Scenario> {
    let mut list = Vec::new();
    for (name, work) in works() {
        for kind in [Kind::Async, Kind::AsyncNolink] {
            let work = work.clone();
            list.push(scenario(
                format!("{}_await_{name}", kind.name()),
                move |stage| await_one(stage, kind, work.clone()),
            ));
        }
        let yielded = work.clone();
        list.push(scenario(
            format!("async_nolink_yield_{name}"),
            move |stage| yield_one(stage, yielded.clone()),
        ));
        for (stream, linked) in [("stream_nolink", false), ("stream", true)] {
            let work = work.clone();
            list.push(scenario(format!("{stream}_{name}"), move |stage| {
                let work = work.clone();
                async move {
                    if linked {
                        stream_linked(stage, work).await;
                    } else {
                        stream_nolink(stage, work).await;
                    }
                }
            }));
        }
    }
    for (kind, restart) in TYPES {
        for (name, reason) in some_reasons(&["normal", "shutdown", "shutdown_with", "custom"]) {
            list.push(scenario(
                format!("start_child_{kind}_{name}"),
                move |stage| start_child(stage, restart, reason.clone()),
            ));
        }
    }
    for max in [0, 1, 2] {
        for kind in [Kind::Async, Kind::AsyncNolink, Kind::StartChild] {
            list.push(scenario(
                format!("max_children_{max}_{}", kind.name()),
                move |stage| max_children(stage, max, kind),
            ));
        }
    }
    list.extend(singles::scenarios());
    list
}

fn works() -> Vec<(&'static str, Work)> {
    let mut works = super::task::works();
    works.retain(|(name, _)| !["error", "throw"].contains(name));
    works
}

/// How a task is started.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Async,
    AsyncNolink,
    StartChild,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Async => "async",
            Kind::AsyncNolink => "async_nolink",
            Kind::StartChild => "start_child",
        }
    }
}

/// A task supervisor, linked to the driver.
async fn start(stage: &Stage, description: TaskSupervisor) -> TaskSupervisorRef {
    let start = move |ctx: &mut otp::Context<_>| description.start_link(ctx, Options::new());
    stage.driver.start_linked(start).await.unwrap()
}

/// A task of the driver, to be awaited.
async fn begin(
    stage: &Stage,
    sup: &TaskSupervisorRef,
    kind: Kind,
    work: impl Future<Output = String> + Send + 'static,
) -> Result<Task<String>, SupervisorError> {
    let sup = sup.clone();
    own(stage, async move {
        match kind {
            Kind::Async => sup.async_("task", work).await,
            _ => sup.async_nolink("task", work).await,
        }
    })
    .await
}

async fn children(sup: &TaskSupervisorRef) -> Vec<Pid> {
    sup.children().await.unwrap()
}

/// Waits until there are so many children.
async fn has(sup: &TaskSupervisorRef, count: usize) {
    eventually!(children(sup).await.len() == count);
}

async fn await_one(mut stage: Stage, kind: Kind, work: Work) {
    let sup = start(&stage, TaskSupervisor::new()).await;
    let task = begin(&stage, &sup, kind, work.run()).await.unwrap();
    let pid = task.pid();
    let answer = own(&stage, task.await_value()).await;
    say!(stage.trace, "await", awaited(answer));
    if kind == Kind::Async {
        stage.driver.forget(pid).await;
    }
    stage.gone(pid).await;
    has(&sup, 0).await;
    stage.nothing().await;
}

async fn yield_one(mut stage: Stage, work: Work) {
    let sup = start(&stage, TaskSupervisor::new()).await;
    let task = begin(&stage, &sup, Kind::AsyncNolink, work.run()).await;
    let mut task = task.unwrap();
    let pid = task.pid();
    let answer = own(&stage, async move {
        task.yield_(task::DEFAULT_AWAIT_TIMEOUT).await
    });
    say!(stage.trace, "yield", given(answer.await));
    stage.gone(pid).await;
    stage.nothing().await;
}

/// A task runs.
struct Started(Pid);

/// The first start ends when it is told to; another waits for ever.
async fn start_child(mut stage: Stage, restart: Restart, reason: ExitReason) {
    let sup = start(&stage, TaskSupervisor::new().intensity(100, PERIOD)).await;
    let (go, gate) = oneshot::channel::<()>();
    let gate = parking_lot::Mutex::new(Some(gate));
    let (node, me) = (stage.node.clone(), stage.driver.pid());
    let factory = move || {
        let (gate, node, reason) = (gate.lock().take(), node.clone(), reason.clone());
        async move {
            node.send(me, Box::new(Started(task::self_pid().unwrap())));
            match gate {
                Some(gate) => gate.await.expect("the twin says when"),
                None => std::future::pending().await,
            }
            task::exit::<()>(reason).await;
        }
    };
    let started = match restart {
        Restart::Temporary => sup.start_child("task", factory()).await,
        _ => sup.start_child_restarting("task", restart, factory).await,
    };
    let pid = started.unwrap();
    let Started(first) = stage.driver.receive().await;
    say!(stage.trace, "started", first);
    go.send(()).unwrap();
    eventually!(!children(&sup).await.contains(&pid));
    // By now a restart would be among the children; its message may be under way.
    match (stage.driver.received().await, children(&sup).await.len()) {
        (Some(Started(again)), _) => say!(stage.trace, "started", again),
        (None, 0) => say!(stage.trace, "gone"),
        (None, _) => {
            let Started(again) = stage.driver.receive().await;
            say!(stage.trace, "started", again);
        }
    }
    stage.nothing().await;
}

/// The second of three elements does the work.
fn second(
    work: Work,
) -> impl FnMut(usize) -> futures_util::future::BoxFuture<'static, String> + Send + 'static {
    move |number| {
        let work = work.clone();
        Box::pin(async move {
            if number == 2 {
                work.run().await
            } else {
                number.to_string()
            }
        })
    }
}

async fn stream_nolink(mut stage: Stage, work: Work) {
    let sup = start(&stage, TaskSupervisor::new()).await;
    let options = StreamOptions::new().max_concurrency(1);
    let results = own(&stage, async move {
        let stream = sup.async_stream_nolink(1..=3, second(work), options);
        stream.unwrap().collect::<Vec<_>>().await
    });
    for result in results.await {
        say!(stage.trace, "result", entry(result));
    }
    stage.nothing().await;
}

async fn stream_linked(mut stage: Stage, work: Work) {
    let sup = start(&stage, TaskSupervisor::new()).await;
    let trace = stage.trace.clone();
    let options = StreamOptions::new().max_concurrency(1);
    let monitor = consumer(&stage, async move {
        let mut stream = sup.async_stream(1..=3, second(work), options).unwrap();
        while let Some(result) = stream.next().await {
            say!(trace, "result", entry(result));
        }
    });
    let monitor = monitor.await;
    consumed(&mut stage, monitor).await;
}

async fn max_children(stage: Stage, max: usize, kind: Kind) {
    let sup = start(&stage, TaskSupervisor::new().max_children(max)).await;
    for _ in 0..=max {
        let blocked = std::future::pending::<String>();
        let answer = match kind {
            Kind::StartChild => sup.start_child("task", blocked).await.map(|_| ()),
            kind => begin(&stage, &sup, kind, blocked).await.map(drop),
        };
        match answer {
            Ok(()) => say!(stage.trace, kind.name(), "ok"),
            Err(SupervisorError::MaxChildren) => say!(stage.trace, kind.name(), "refused"),
            Err(error) => say!(stage.trace, kind.name(), error.to_string()),
        }
    }
}

/// A task which never ends by itself, and is killed as soon as it was asked to end.
fn impatient() -> TaskOptions {
    let brief = std::time::Duration::from_millis(1);
    TaskOptions::from("task").shutdown(otp::Shutdown::Timeout(brief))
}
