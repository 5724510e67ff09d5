//! Twins of `sc_task.ex`: await, yield and shutdown against every way a task can end, and streams.
//!
//! An outcome never is in the mailbox of the owner, so nothing is left there that Elixir has to
//! drain.

use std::fmt::Display;

use otp::task::{self, DEFAULT_AWAIT_TIMEOUT, StreamError};
use otp::{ExitReason, MonitorRef, Node, Shutdown, Task, TaskError};
use tokio::sync::oneshot;

use super::actor::oops;
use super::stage::Stage;
use super::trace::{reason_word, say, some_reasons};
use super::{Scenario, scenario};

mod many;
mod one;
mod owners;
mod streams;

pub(crate) fn scenarios() -> Vec<Scenario> {
    let mut list = Vec::new();
    for (name, work) in works() {
        for (request, over) in [
            (Request::Await, false),
            (Request::Yield, false),
            (Request::Yield, true),
            (Request::Shutdown, true),
            (Request::BrutalShutdown, true),
        ] {
            let when = if over { "_when_it_is_over" } else { "" };
            let work = work.clone();
            list.push(scenario(
                format!("{}{when}_{name}", request.name()),
                move |stage| one::outcome(stage, request, work.clone(), over),
            ));
        }
    }
    for request in [Request::Shutdown, Request::BrutalShutdown] {
        list.push(scenario(
            format!("{}_while_it_runs", request.name()),
            move |stage| one::running(stage, request),
        ));
    }
    list.extend(one::singles());
    list.extend(many::scenarios());
    list.extend(owners::scenarios());
    list.extend(streams::scenarios());
    list
}

/// What a task does: gives a value or ends for a reason.
#[derive(Clone)]
pub(crate) enum Work {
    Value,
    Exit(ExitReason),
    Crash,
    /// What is thrown in Elixir is a panic with something else than a text.
    Throw,
}

impl Work {
    pub(crate) async fn run(self) -> String {
        match self {
            Work::Value => "done".into(),
            Work::Exit(reason) => task::exit(reason).await,
            Work::Crash => oops(),
            Work::Throw => std::panic::resume_unwind(Box::new(17_u8)),
        }
    }
}

pub(crate) fn works() -> Vec<(&'static str, Work)> {
    let exits = [
        "normal",
        "shutdown",
        "shutdown_with",
        "kill",
        "custom",
        "error",
    ];
    let mut works = vec![("value", Work::Value)];
    works.extend(
        some_reasons(&exits)
            .into_iter()
            .map(|(name, reason)| (name, Work::Exit(reason))),
    );
    works.extend([("crash", Work::Crash), ("throw", Work::Throw)]);
    works
}

/// How the owner asks for the outcome.
#[derive(Clone, Copy)]
enum Request {
    Await,
    Yield,
    Shutdown,
    BrutalShutdown,
}

impl Request {
    fn name(self) -> &'static str {
        match self {
            Request::Await => "await",
            Request::Yield => "yield",
            Request::Shutdown => "shutdown",
            Request::BrutalShutdown => "brutal_shutdown",
        }
    }

    /// Has the driver, which is the owner, ask.
    async fn ask(self, stage: &Stage, mut task: Task<String>) -> String {
        match self {
            Request::Await => awaited(own(stage, task.await_value()).await),
            Request::Yield => {
                let answer = own(
                    stage,
                    async move { task.yield_(DEFAULT_AWAIT_TIMEOUT).await },
                );
                given(answer.await)
            }
            Request::Shutdown => {
                let how = Shutdown::Timeout(DEFAULT_AWAIT_TIMEOUT);
                given(own(stage, task.shutdown_with(how)).await)
            }
            Request::BrutalShutdown => {
                given(own(stage, task.shutdown_with(Shutdown::Brutal)).await)
            }
        }
    }
}

/// Has the driver do something with its tasks: only the owner may ask for an outcome.
pub(crate) async fn own<T: Send + 'static>(
    stage: &Stage,
    future: impl Future<Output = T> + Send + 'static,
) -> T {
    stage.driver.run_async(move |_| Box::pin(future)).await
}

/// A task of the driver.
async fn begin(stage: &Stage, work: impl Future<Output = String> + Send + 'static) -> Task<String> {
    let start = |ctx: &mut otp::Context<_>| task::async_(ctx.node(), "task", work);
    stage.driver.run(start).await
}

type Go = oneshot::Sender<&'static str>;

/// Waits until it is told what to give.
pub(crate) fn waiting() -> (Go, impl Future<Output = String> + Send + 'static) {
    let (go, gate) = oneshot::channel::<&'static str>();
    let work = async move {
        match gate.await {
            Ok(value) => value.to_owned(),
            Err(_) => std::future::pending().await,
        }
    };
    (go, work)
}

/// The same as a task of whoever calls this.
fn waiting_task(node: &Node) -> (Task<String>, Go) {
    let (go, work) = waiting();
    (task::async_(node, "task", work), go)
}

/// The same as a task of the driver.
async fn blocked(stage: &Stage) -> (Task<String>, Go) {
    let node = stage.node.clone();
    own(stage, async move { waiting_task(&node) }).await
}

pub(crate) fn awaited(outcome: Result<String, TaskError>) -> String {
    given(outcome.map(Some))
}

/// What a task gave.
pub(crate) fn given(outcome: Result<Option<String>, TaskError>) -> String {
    match outcome {
        Ok(None) => "none".into(),
        Ok(Some(value)) => format!("ok {value}"),
        Err(error) => exit(&error.exit_reason()),
    }
}

fn exit(reason: &ExitReason) -> String {
    format!("exit {}", reason_word(reason))
}

/// An entry of a stream.
pub(crate) fn entry<X: Display>(entry: Result<String, StreamError<X>>) -> String {
    match entry {
        Ok(value) => format!("ok {value}"),
        Err(StreamError::Exit {
            reason,
            input: None,
        }) => exit(&reason),
        Err(StreamError::Exit {
            reason,
            input: Some(input),
        }) => format!("{} input {input}", exit(&reason)),
        Err(StreamError::Timeout) => exit(&ExitReason::Timeout),
        Err(StreamError::Start(error)) => format!("refused {error}"),
    }
}

/// A consumer is through.
struct Over;

/// Starts a process which consumes something, watched by the driver from before it begins.
pub(crate) async fn consumer(
    stage: &Stage,
    consume: impl Future<Output = ()> + Send + 'static,
) -> MonitorRef {
    let (open, gate) = oneshot::channel::<()>();
    let (node, me) = (stage.node.clone(), stage.driver.pid());
    let pid = task::start(&stage.node, "consumer", async move {
        gate.await.expect("the twin opens it");
        consume.await;
        node.send(me, Box::new(Over));
    });
    let monitor = stage.driver.watch(pid).await;
    open.send(()).expect("the consumer waits");
    monitor
}

/// Says how the consumer came to its end.
pub(crate) async fn consumed(stage: &mut Stage, monitor: MonitorRef) {
    match stage.driver.receive_or_down::<Over>(monitor).await {
        Ok(Over) => say!(stage.trace, "over"),
        Err(reason) => say!(stage.trace, "caller", "ended", &reason),
    }
}
