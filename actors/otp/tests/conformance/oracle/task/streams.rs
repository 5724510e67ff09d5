//! Twins about streams of tasks.

use std::time::Duration;

use futures_util::StreamExt;
use otp::counters::Counters;
use otp::task::stream::OnTimeout;
use otp::task::{self, StreamOptions, async_stream};
use otp::{MonitorRef, Pid};
use tokio::sync::oneshot;

use super::{Work, consumed, consumer, entry, exit, own, works};
use crate::oracle::stage::Stage;
use crate::oracle::trace::say;
use crate::oracle::{Scenario, scenario, stories, told};

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut list = told(stories!(Stage:
        stream_timeout_exits_the_caller,
        stream_stopped_early_ends_the_tasks,
        stream_is_lazy,
    ));
    for (order, ordered) in [("ordered", true), ("unordered", false)] {
        for (caller, trap) in [("plain", false), ("trapping", true)] {
            for (name, work) in works() {
                list.push(scenario(
                    format!("stream_{order}_{caller}_{name}"),
                    move |stage| stream_with(stage, ordered, trap, work.clone()),
                ));
            }
        }
    }
    for max in [1, 2, 5] {
        list.push(scenario(
            format!("stream_never_runs_more_than_{max}"),
            move |stage| stream_max(stage, max),
        ));
    }
    for count in [0, 1, 2, 5] {
        list.push(scenario(format!("stream_of_{count}"), move |stage| {
            stream_of(stage, count)
        }));
    }
    for (name, ordered) in [
        ("stream_slowest_first_is_ordered", true),
        ("stream_slowest_first_unordered", false),
    ] {
        list.push(scenario(name, move |stage| slowest_first(stage, ordered)));
    }
    for (name, zip) in [
        ("stream_timeout_kills_and_goes_on", false),
        ("stream_timeout_with_the_input", true),
    ] {
        list.push(scenario(name, move |stage| timeout(stage, zip)));
    }
    list
}

/// One at a time, so that the order of results is the same either way.
fn one_at_a_time() -> StreamOptions {
    StreamOptions::new().max_concurrency(1)
}

/// The second of three elements does the work. A linked failure ends a caller that does not trap.
async fn stream_with(mut stage: Stage, ordered: bool, trap: bool, work: Work) {
    let (node, trace) = (stage.node.clone(), stage.trace.clone());
    let monitor = consumer(&stage, async move {
        task::trap_exit(trap);
        let element = move |number: usize| {
            let work = work.clone();
            async move {
                if number == 2 {
                    work.run().await
                } else {
                    number.to_string()
                }
            }
        };
        let options = one_at_a_time().ordered(ordered);
        let mut stream = async_stream(&node, 1..=3, element, options).unwrap();
        while let Some(result) = stream.next().await {
            say!(trace, "result", entry(result));
        }
    });
    let monitor = monitor.await;
    consumed(&mut stage, monitor).await;
}

async fn stream_max(mut stage: Stage, max: usize) {
    let counters = Counters::new(2).unwrap();
    let (node, running) = (stage.node.clone(), counters.clone());
    let results = own(&stage, async move {
        let element = move |number: usize| {
            let running = running.clone();
            async move {
                running.add(0, 1).unwrap();
                if running.get(0).unwrap() > max as i64 {
                    running.add(1, 1).unwrap();
                }
                tokio::task::yield_now().await;
                running.sub(0, 1).unwrap();
                number.to_string()
            }
        };
        let options = StreamOptions::new().max_concurrency(max);
        let stream = async_stream(&node, 1..=8, element, options).unwrap();
        stream.collect::<Vec<_>>().await
    });
    for result in results.await {
        say!(stage.trace, "result", entry(result));
    }
    say!(stage.trace, "more_than_allowed", counters.get(1).unwrap());
    stage.nothing().await;
}

async fn stream_of(mut stage: Stage, count: usize) {
    let node = stage.node.clone();
    let results = own(&stage, async move {
        let double = |number: usize| async move { (number * 2).to_string() };
        let stream = async_stream(&node, (1..=9).take(count), double, StreamOptions::new());
        stream.unwrap().collect::<Vec<_>>().await
    });
    for result in results.await {
        say!(stage.trace, "result", entry(result));
    }
    stage.nothing().await;
}

/// The first element waits until the second is through.
async fn slowest_first(mut stage: Stage, ordered: bool) {
    let (node, trace) = (stage.node.clone(), stage.trace.clone());
    let (go, gate) = oneshot::channel::<()>();
    let (here, arrived) = oneshot::channel();
    let monitor: MonitorRef = consumer(&stage, async move {
        let mut first = Some((here, gate));
        let element = move |number: usize| {
            let first = first.take();
            async move {
                if let Some((here, gate)) = first {
                    here.send(()).unwrap();
                    gate.await.unwrap();
                }
                number.to_string()
            }
        };
        let options = StreamOptions::new().max_concurrency(2).ordered(ordered);
        let mut stream = async_stream(&node, 1..=2, element, options).unwrap();
        while let Some(result) = stream.next().await {
            say!(trace, "result", entry(result));
        }
    })
    .await;
    arrived.await.unwrap();
    if !ordered {
        stage.trace.wait("result", 1).await;
    }
    go.send(()).unwrap();
    consumed(&mut stage, monitor).await;
}

async fn timeout(stage: Stage, zip: bool) {
    let node = stage.node.clone();
    let results = own(&stage, async move {
        let element = |number: usize| async move {
            if number == 2 {
                std::future::pending::<()>().await;
            }
            number.to_string()
        };
        let options = one_at_a_time()
            .timeout(Duration::from_millis(20))
            .on_timeout(OnTimeout::KillTask);
        let mut stream = async_stream(&node, 1..=3, element, options).unwrap();
        if zip {
            stream = stream.zip_input_on_exit();
        }
        stream.collect::<Vec<_>>().await
    });
    for result in results.await {
        say!(stage.trace, "result", entry(result));
    }
}

/// A caller which does not trap ends at its `next`; in Elixir the exit is raised there.
async fn stream_timeout_exits_the_caller(stage: &mut Stage) {
    let node = stage.node.clone();
    let monitor = consumer(stage, async move {
        let never = |_: usize| std::future::pending::<String>();
        let options = StreamOptions::new().timeout(Duration::from_millis(1));
        let mut stream = async_stream(&node, [1], never, options).unwrap();
        stream.next().await;
    });
    let monitor = monitor.await;
    match stage.driver.receive_or_down::<super::Over>(monitor).await {
        Ok(super::Over) => say!(stage.trace, "stream", "ok"),
        Err(reason) => say!(stage.trace, "stream", exit(&reason)),
    }
}

/// The process of the second element.
struct Second(Pid);

async fn stream_stopped_early_ends_the_tasks(stage: &mut Stage) {
    let (node, me, trace) = (stage.node.clone(), stage.driver.pid(), stage.trace.clone());
    let first = own(stage, async move {
        let inside = node.clone();
        let element = move |number: usize| {
            let (trace, node) = (trace.clone(), inside.clone());
            async move {
                if number == 1 {
                    trace.wait("second runs", 1).await;
                    return number.to_string();
                }
                node.send(me, Box::new(Second(task::self_pid().unwrap())));
                say!(trace, "second", "runs");
                std::future::pending().await
            }
        };
        let options = StreamOptions::new().max_concurrency(2);
        let mut stream = async_stream(&node, 1..=2, element, options).unwrap();
        stream.next().await.unwrap()
    });
    say!(stage.trace, "result", entry(first.await));
    let Second(pid) = stage.driver.receive().await;
    // Elixir waits for the end of the tasks; the drop of a stream cannot.
    stage.gone(pid).await;
    say!(stage.trace, "alive", stage.node.is_alive(pid));
}

async fn stream_is_lazy(stage: &mut Stage) {
    let (node, me) = (stage.node.clone(), stage.driver.pid());
    own(stage, async move {
        let inside = node.clone();
        let element = move |number: usize| {
            inside.send(me, Box::new(number));
            async {}
        };
        drop(async_stream(&node, 1..=3, element, StreamOptions::new()).unwrap());
    })
    .await;
    stage.nothing().await;
}
