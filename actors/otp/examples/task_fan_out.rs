//! Asks many slow sources at once: a few at a time, each with a time limit, under a supervisor,
//! and one broken source does not hurt the others.
//!
//! `cargo run -p guildhall-otp --example task_fan_out`

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use otp::task::stream::OnTimeout;
use otp::task::{StreamError, StreamOptions, YieldMany, yield_many};
use otp::{ExitReason, Node, Options, TaskError, TaskSupervisor, task};

/// A source that takes a while; number 4 is broken, number 6 never answers.
async fn ask(source: u64) -> String {
    match source {
        4 => task::exit(ExitReason::error("no such host")).await,
        6 => std::future::pending().await,
        _ => tokio::time::sleep(Duration::from_millis(40 * (source % 3 + 1))).await,
    }
    format!("answer {source}")
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let node = Node::new("fan out");
    let supervisor = TaskSupervisor::new().max_children(100);
    let tasks = supervisor
        .start(&node, Options::new().name("tasks"))
        .await?;
    let begun = Instant::now();
    let at = || format!("{:>4} ms", begun.elapsed().as_millis());

    println!("eight sources, three at a time, 200 ms each, in order:");
    let options = StreamOptions::new()
        .max_concurrency(3)
        .timeout(Duration::from_millis(200))
        .on_timeout(OnTimeout::KillTask);
    let answers = tasks.async_stream_nolink(1..=8, ask, options)?;
    let mut answers = answers.zip_input_on_exit();
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(answer) => println!("{}  {answer}", at()),
            Err(StreamError::Exit { reason, input }) => {
                println!("{}  source {} failed: {reason}", at(), input.unwrap_or(0));
            }
            Err(error) => return Err(error.into()),
        }
    }
    drop(answers);

    println!("three sources; the first two answers are enough:");
    let mut race = Vec::new();
    for source in [5, 3, 1] {
        let label = format!("source {source}");
        race.push(tasks.async_nolink(label, ask(source)).await?);
    }
    let outcomes = yield_many(&mut race, YieldMany::new().limit(2)).await?;
    for (task, outcome) in race.into_iter().zip(outcomes) {
        match outcome {
            Some(Ok(answer)) => println!("{}  {answer}", at()),
            Some(Err(reason)) => println!("{}  failed: {reason}", at()),
            None => {
                println!("{}  {} is still at it and shut down", at(), task.pid());
                task.shutdown_with(otp::Shutdown::Brutal).await?;
            }
        }
    }

    println!("a failure that goes unnoticed by everybody but the one who asks:");
    let broken = tasks.async_nolink("broken", ask(4)).await?;
    match broken.await_value().await {
        Err(TaskError::Exit(reason)) => println!("{}  {reason}", at()),
        other => println!("{}  {other:?}?", at()),
    }
    println!("{}  tasks left: {:?}", at(), tasks.children().await?);
    node.stop().await;
    Ok(())
}
