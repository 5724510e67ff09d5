//! Twins which ask one task.

use std::time::Duration;

use otp::{ExitReason, Shutdown, Task, eventually, task};

use super::{Request, Work, awaited, begin, blocked, given, own};
use crate::oracle::stage::Stage;
use crate::oracle::trace::say;
use crate::oracle::{Scenario, stories, told};

const BRIEF: Duration = Duration::from_millis(1);

pub(super) fn singles() -> Vec<Scenario> {
    told(stories!(Stage:
        await_takes_too_long,
        await_of_zero_takes_what_is_there,
        yield_takes_too_long_and_again,
        yield_then_shutdown,
        shutdown_of_a_task_that_traps_and_answers,
        shutdown_of_a_task_that_traps_and_never_ends,
        brutal_shutdown_of_a_task_that_traps,
        killed_from_outside_while_awaited,
        completed_needs_no_process,
        ignore_drops_the_answer,
        ignore_of_one_that_is_over,
    ))
}

pub(super) async fn outcome(mut stage: Stage, request: Request, work: Work, over: bool) {
    let task = begin(&stage, work.run()).await;
    let pid = task.pid();
    if over {
        stage.gone(pid).await;
    }
    say!(stage.trace, request.name(), request.ask(&stage, task).await);
    stage.gone(pid).await;
    match request {
        Request::Await | Request::Yield => stage.driver.forget(pid).await,
        Request::Shutdown | Request::BrutalShutdown => stage.driver.drop_exit(pid).await,
    }
    stage.nothing().await;
}

pub(super) async fn running(mut stage: Stage, request: Request) {
    let (task, _go) = blocked(&stage).await;
    let pid = task.pid();
    say!(stage.trace, request.name(), request.ask(&stage, task).await);
    say!(stage.trace, "alive", stage.node.is_alive(pid));
    stage.nothing().await;
}

/// Asks, and gives the handle back.
async fn yields(stage: &Stage, mut task: Task<String>, limit: Duration) -> Task<String> {
    let (task, answer) = own(stage, async move {
        let answer = task.yield_(limit).await;
        (task, answer)
    })
    .await;
    say!(stage.trace, "yield", given(answer));
    task
}

async fn await_takes_too_long(stage: &mut Stage) {
    let (task, go) = blocked(stage).await;
    let pid = task.pid();
    let answer = own(stage, task.await_within(BRIEF)).await;
    say!(stage.trace, "await", awaited(answer));
    say!(stage.trace, "alive", stage.node.is_alive(pid));
    go.send("late").unwrap();
    stage.gone(pid).await;
    stage.driver.forget(pid).await;
    stage.nothing().await;
}

async fn await_of_zero_takes_what_is_there(stage: &mut Stage) {
    let task = begin(stage, Work::Value.run()).await;
    let pid = task.pid();
    stage.gone(pid).await;
    let answer = own(stage, task.await_within(Duration::ZERO)).await;
    say!(stage.trace, "await", awaited(answer));
    stage.driver.forget(pid).await;
    stage.nothing().await;
}

async fn yield_takes_too_long_and_again(stage: &mut Stage) {
    let (task, go) = blocked(stage).await;
    let task = yields(stage, task, BRIEF).await;
    let pid = task.pid();
    say!(stage.trace, "alive", stage.node.is_alive(pid));
    go.send("later").unwrap();
    drop(yields(stage, task, task::DEFAULT_AWAIT_TIMEOUT).await);
    stage.driver.forget(pid).await;
    stage.nothing().await;
}

async fn yield_then_shutdown(stage: &mut Stage) {
    let (mut task, _go) = blocked(stage).await;
    let pid = task.pid();
    let answer = own(stage, async move {
        match task.yield_(BRIEF).await {
            Ok(None) => {
                let how = Shutdown::Timeout(task::DEFAULT_AWAIT_TIMEOUT);
                task.shutdown_with(how).await
            }
            answer => answer,
        }
    });
    say!(stage.trace, "yield", given(answer.await));
    say!(stage.trace, "alive", stage.node.is_alive(pid));
    stage.driver.drop_exit(pid).await;
    stage.nothing().await;
}

/// It traps exits by now.
struct Ready;

/// A task of the driver which traps. With a last word it gives that when it is asked to end: it
/// does not read its mailbox, but sees that something is there.
async fn trapping(stage: &mut Stage, last_word: Option<&'static str>) -> Task<String> {
    let (node, me) = (stage.node.clone(), stage.driver.pid());
    let work = async move {
        task::trap_exit(true);
        let myself = task::self_pid().unwrap();
        node.send(me, Box::new(Ready));
        let Some(last_word) = last_word else {
            return std::future::pending().await;
        };
        let asked = || {
            let info = node.process_info(myself);
            info.is_some_and(|info| info.mailbox_len > 0)
        };
        eventually!(asked());
        last_word.to_owned()
    };
    let task = begin(stage, work).await;
    let Ready = stage.driver.receive().await;
    task
}

async fn shutdown_of_a_task_that_traps_and_answers(stage: &mut Stage) {
    let task = trapping(stage, Some("last_word")).await;
    let pid = task.pid();
    let answer = Request::Shutdown.ask(stage, task).await;
    say!(stage.trace, "shutdown", answer);
    stage.driver.drop_exit(pid).await;
    stage.nothing().await;
}

async fn shutdown_of_a_task_that_traps_and_never_ends(stage: &mut Stage) {
    let task = trapping(stage, None).await;
    let pid = task.pid();
    let answer = own(stage, task.shutdown_with(Shutdown::Timeout(BRIEF))).await;
    say!(stage.trace, "shutdown", given(answer));
    say!(stage.trace, "alive", stage.node.is_alive(pid));
    stage.driver.drop_exit(pid).await;
    stage.nothing().await;
}

async fn brutal_shutdown_of_a_task_that_traps(stage: &mut Stage) {
    let task = trapping(stage, None).await;
    let pid = task.pid();
    let answer = Request::BrutalShutdown.ask(stage, task).await;
    say!(stage.trace, "shutdown", answer);
    stage.driver.drop_exit(pid).await;
    stage.nothing().await;
}

async fn killed_from_outside_while_awaited(stage: &mut Stage) {
    let (task, _go) = blocked(stage).await;
    let pid = task.pid();
    stage.driver.exit(pid, ExitReason::Kill).await;
    say!(stage.trace, "await", Request::Await.ask(stage, task).await);
    stage.driver.forget(pid).await;
    stage.nothing().await;
}

async fn completed_needs_no_process(stage: &mut Stage) {
    for request in [Request::Await, Request::Yield] {
        let task = stage
            .driver
            .run(|_| Task::completed("done".to_owned()))
            .await;
        say!(stage.trace, request.name(), request.ask(stage, task).await);
    }
    stage.nothing().await;
}

async fn ignore_drops_the_answer(stage: &mut Stage) {
    let (task, go) = blocked(stage).await;
    let pid = task.pid();
    own(stage, async move { task.ignore() }).await.unwrap();
    go.send("unwanted").unwrap();
    stage.gone(pid).await;
    stage.driver.drop_exit(pid).await;
    stage.nothing().await;
}

async fn ignore_of_one_that_is_over(stage: &mut Stage) {
    let task = begin(stage, Work::Value.run()).await;
    let pid = task.pid();
    stage.gone(pid).await;
    let answer = own(stage, async move { task.ignore() }).await;
    say!(stage.trace, "ignore", given(answer));
    stage.driver.drop_exit(pid).await;
    stage.nothing().await;
}
