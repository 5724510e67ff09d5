//! Twins which ask many tasks.

use std::time::Duration;

use otp::Task;
use otp::task::{DEFAULT_AWAIT_TIMEOUT, YieldMany, await_many, yield_many};

use super::{Request, Work, awaited, begin, blocked, exit, own, works};
use crate::oracle::stage::Stage;
use crate::oracle::trace::say;
use crate::oracle::{Scenario, scenario, stories, told};

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut list = told(stories!(Stage:
        await_many_keeps_the_order,
        await_many_of_none,
        await_many_takes_too_long,
        yield_many_some_are_late,
    ));
    for (name, work) in works() {
        for position in [1, 3] {
            for request in ["await_many", "yield_many"] {
                let work = work.clone();
                list.push(scenario(
                    format!("{request}_{name}_{position}"),
                    move |stage| many(stage, request, work.clone(), position),
                ));
            }
        }
    }
    list
}

/// Three tasks, one of which does the work; the others give values.
async fn many(mut stage: Stage, request: &'static str, work: Work, position: usize) {
    let mut tasks = Vec::new();
    for number in 1..=3 {
        let task = if number == position {
            begin(&stage, work.clone().run()).await
        } else {
            begin(&stage, async move { format!("value{number}") }).await
        };
        tasks.push(task);
    }
    let pids: Vec<_> = tasks.iter().map(Task::pid).collect();
    for pid in &pids {
        stage.gone(*pid).await;
    }
    match request {
        "await_many" => awaits(&stage, tasks, DEFAULT_AWAIT_TIMEOUT).await,
        _ => drop(yields(&stage, tasks, DEFAULT_AWAIT_TIMEOUT).await),
    }
    for pid in pids {
        stage.driver.forget(pid).await;
    }
    stage.nothing().await;
}

async fn awaits(stage: &Stage, tasks: Vec<Task<String>>, limit: Duration) {
    let answer = own(stage, await_many(tasks, limit)).await;
    let answer = answer.map(|values| values.join(" "));
    say!(stage.trace, "await_many", awaited(answer));
}

/// Gives the handles back.
async fn yields(stage: &Stage, mut tasks: Vec<Task<String>>, limit: Duration) -> Vec<Task<String>> {
    let (tasks, answers) = own(stage, async move {
        let options = YieldMany::new().timeout(limit);
        let answers = yield_many(&mut tasks, options).await;
        (tasks, answers)
    })
    .await;
    for answer in answers.unwrap() {
        let answer = match answer {
            None => "none".into(),
            Some(Ok(value)) => format!("ok {value}"),
            Some(Err(reason)) => exit(&reason),
        };
        say!(stage.trace, "yield_many", answer);
    }
    tasks
}

async fn await_many_keeps_the_order(stage: &mut Stage) {
    let mut tasks = Vec::new();
    let mut gates = Vec::new();
    for value in ["one", "two", "three"] {
        let (task, go) = blocked(stage).await;
        gates.push((task.pid(), go, value));
        tasks.push(task);
    }
    let pids: Vec<_> = tasks.iter().map(Task::pid).collect();
    for (pid, go, value) in gates.into_iter().rev() {
        go.send(value).unwrap();
        stage.gone(pid).await;
    }
    let values = own(stage, await_many(tasks, DEFAULT_AWAIT_TIMEOUT)).await;
    say!(stage.trace, "await_many", values.unwrap().join(" "));
    for pid in pids {
        stage.driver.forget(pid).await;
    }
    stage.nothing().await;
}

async fn await_many_of_none(stage: &mut Stage) {
    let none = Vec::<Task<String>>::new();
    let values = own(stage, await_many(none, DEFAULT_AWAIT_TIMEOUT)).await;
    say!(stage.trace, "await_many", values.unwrap().len());
    stage.nothing().await;
}

async fn await_many_takes_too_long(stage: &mut Stage) {
    let done = begin(stage, Work::Value.run()).await;
    let (late, _go) = blocked(stage).await;
    awaits(stage, vec![done, late], Duration::from_millis(5)).await;
}

async fn yield_many_some_are_late(stage: &mut Stage) {
    let done = begin(stage, Work::Value.run()).await;
    let (late, go) = blocked(stage).await;
    stage.gone(done.pid()).await;
    let mut tasks = yields(stage, vec![done, late], Duration::from_millis(1)).await;
    let late = tasks.pop().unwrap();
    say!(stage.trace, "alive", stage.node.is_alive(late.pid()));
    go.send("later").unwrap();
    say!(stage.trace, "yield", Request::Yield.ask(stage, late).await);
}
