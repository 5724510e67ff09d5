//! async_stream: time, options, callers, consumers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use otp::{ExitReason, Shutdown, task};
use task::stream::OnTimeout;
use task::stream::{
    STREAM_BUFFER_MAX, STREAM_CONCURRENCY_MAX, STREAM_TIMEOUT_MAX, StreamOptionsError,
};
use task::{StreamError, StreamOptions, async_stream, async_stream_from};
use tokio::sync::mpsc;

use super::{NOW, custom, inbox, links, millis, process};
use crate::support::node;

crate::cases! {
    a_timeout_ends_the_consumer [Paused]: "TASK-081";
    a_timeout_is_an_item_for_who_traps_exits [Paused]: "TASK-081";
    unordered_results_come_as_they_are_ready [Paused]: "TASK-082";
    unordered_with_killed_tasks [Paused]: "TASK-083";
    without_a_time_limit_it_waits [Paused]: "TASK-084";
    bad_concurrency_is_refused: "TASK-085";
    bad_on_timeout_is_refused: "TASK-086";
    bad_timeout_is_refused: "TASK-087";
    messages_to_the_consumer_are_left_alone: "TASK-088";
    callers_are_known_through_nesting: "TASK-089";
    it_may_be_consumed_elsewhere: "TASK-090";
    inputs_and_consumers_may_stop_early [Paused]: "TASK-091";
    nothing_runs_before_the_first_poll [Paused]: "TASK-091";
    a_stream_may_be_the_input [Paused];
    the_buffer_is_bounded [Paused];
}

pub(super) async fn sleep(millis: u64) -> u64 {
    tokio::time::sleep(Duration::from_millis(millis)).await;
    millis
}

/// An exit entry.
pub(super) fn exit<X>(reason: ExitReason) -> StreamError<X> {
    StreamError::Exit {
        reason,
        input: None,
    }
}

async fn a_timeout_ends_the_consumer() {
    let node = node();
    let inner = node.clone();
    let consumer = task::spawn(&node, "consumer", async move {
        let options = StreamOptions::new().timeout(NOW).max_concurrency(4);
        let inputs = [1_000, 2_000, 3_000];
        let stream = async_stream(&inner, inputs, sleep, options).unwrap();
        stream.collect::<Vec<_>>().await;
        unreachable!("it ended at its await");
    });
    assert_eq!(consumer.await, Err(ExitReason::Timeout));
    otp::eventually!(node.process_count() == 0);
}

async fn a_timeout_is_an_item_for_who_traps_exits() {
    let node = node();
    let inner = node.clone();
    process(&node, async move {
        task::trap_exit(true);
        let options = StreamOptions::new().timeout(millis(50)).max_concurrency(4);
        let inputs = [10, 100, 1_000, 1_000];
        let stream = async_stream(&inner, inputs, sleep, options).unwrap();
        let items: Vec<_> = stream.collect().await;
        assert_eq!(items, [Ok(10), Err(StreamError::Timeout)]);
        otp::eventually!(inner.process_count() == 1);
        assert_eq!(inbox(&inner), 0);
    })
    .await;
    // Outside of all processes there is nobody to end.
    let options = StreamOptions::new().timeout(NOW);
    let stream = async_stream(&node, [1_000], sleep, options).unwrap();
    let items: Vec<_> = stream.collect().await;
    assert_eq!(items, [Err(StreamError::Timeout)]);
}

async fn unordered_results_come_as_they_are_ready() {
    let node = node();
    for (concurrency, expected) in [(1, [400, 300, 200, 100]), (4, [100, 200, 300, 400])] {
        let options = StreamOptions::new()
            .max_concurrency(concurrency)
            .ordered(false);
        let stream = async_stream(&node, [400, 300, 200, 100], sleep, options).unwrap();
        let items: Vec<_> = stream.collect().await;
        assert_eq!(items, expected.map(Ok));
    }
}

async fn unordered_with_killed_tasks() {
    let node = node();
    let inner = node.clone();
    process(&node, async move {
        let options = StreamOptions::new()
            .max_concurrency(4)
            .ordered(false)
            .on_timeout(OnTimeout::KillTask)
            .timeout(millis(50));
        let stream = async_stream(&inner, [100, 1, 100, 1], sleep, options).unwrap();
        let items: Vec<_> = stream.collect().await;
        let late = || Err(exit(ExitReason::Timeout));
        assert_eq!(items, [Ok(1), Ok(1), late(), late()]);
        assert_eq!(inbox(&inner), 0);
    })
    .await;
}

async fn without_a_time_limit_it_waits() {
    let node = node();
    let options = StreamOptions::new().no_timeout();
    let stream = async_stream(&node, [3_600_000], sleep, options).unwrap();
    let items: Vec<_> = stream.collect().await;
    assert_eq!(items, [Ok(3_600_000)]);
}

/// What comes of a stream with these options.
fn refused(options: StreamOptions) -> Option<StreamOptionsError> {
    async_stream(&node(), [1], sleep, options).err()
}

async fn bad_concurrency_is_refused() {
    let with = |tasks| refused(StreamOptions::new().max_concurrency(tasks));
    assert_eq!(with(0), Some(StreamOptionsError::MaxConcurrency(0)));
    let above = STREAM_CONCURRENCY_MAX + 1;
    assert_eq!(with(above), Some(StreamOptionsError::MaxConcurrency(above)));
    assert_eq!(with(1), None);
    assert_eq!(with(STREAM_CONCURRENCY_MAX), None);
}

async fn bad_on_timeout_is_refused() {
    assert_eq!("exit".parse(), Ok(OnTimeout::Exit));
    assert_eq!("kill_task".parse(), Ok(OnTimeout::KillTask));
    let unknown = "unknown".parse::<OnTimeout>();
    assert_eq!(unknown, Err(StreamOptionsError::OnTimeout));
}

async fn bad_timeout_is_refused() {
    let with = |limit| refused(StreamOptions::new().timeout(limit));
    let above = STREAM_TIMEOUT_MAX + millis(1);
    assert_eq!(with(above), Some(StreamOptionsError::Timeout(above)));
    assert_eq!(
        with(Duration::MAX),
        Some(StreamOptionsError::Timeout(Duration::MAX))
    );
    assert_eq!(with(STREAM_TIMEOUT_MAX), None);
    assert_eq!(with(NOW), None);
    let forever = StreamOptions::new().shutdown(Shutdown::Infinity);
    assert_eq!(refused(forever), Some(StreamOptionsError::Shutdown));
}

async fn messages_to_the_consumer_are_left_alone() {
    let node = node();
    let inner = node.clone();
    process(&node, async move {
        task::trap_exit(true);
        let consumer = task::self_pid().unwrap();
        let sender = inner.clone();
        let function = move |input| {
            let sender = sender.clone();
            async move {
                // What looks like an end, of somebody else.
                sender.send(consumer, Box::new(("DOWN", custom("oops"))));
                sender.exit(consumer, custom("oops"));
                input
            }
        };
        let stream = async_stream(&inner, ["ok"], function, StreamOptions::new()).unwrap();
        let items: Vec<_> = stream.collect().await;
        assert_eq!(items, [Ok("ok")]);
        assert_eq!(inbox(&inner), 2, "they are where they were sent to");
    })
    .await;
}

async fn callers_are_known_through_nesting() {
    let node = node();
    let inner = node.clone();
    process(&node, async move {
        let grandparent = task::self_pid().unwrap();
        let nested = inner.clone();
        let function = move |()| {
            let node = nested.clone();
            async move {
                let (callers, parent) = (task::callers(), task::self_pid().unwrap());
                let function = |()| async { task::callers() };
                let stream = async_stream(&node, [()], function, StreamOptions::new());
                let inner: Vec<_> = stream.unwrap().collect().await;
                (callers, parent, inner)
            }
        };
        let stream = async_stream(&inner, [()], function, StreamOptions::new()).unwrap();
        let mut items: Vec<_> = stream.collect().await;
        let (callers, parent, nested) = items.pop().unwrap().unwrap();
        assert_eq!(callers, [grandparent]);
        assert_eq!(nested, [Ok(vec![parent, grandparent])]);
    })
    .await;
}

async fn it_may_be_consumed_elsewhere() {
    let node = node();
    let inner = node.clone();
    let (sender, mut receiver) = mpsc::channel(8);
    // Made by one process …
    let stream = process(&node, async move {
        let function = move |input: u32| {
            let sender = sender.clone();
            async move { sender.send((input, task::callers())).await.unwrap() }
        };
        async_stream(&inner, [1, 2, 3], function, StreamOptions::new()).unwrap()
    })
    .await;
    // … and consumed by another, to which the tasks belong.
    let (consumer, items) = process(&node, async move {
        let items: Vec<_> = stream.collect().await;
        (task::self_pid().unwrap(), items)
    })
    .await;
    assert_eq!(items, [Ok(()), Ok(()), Ok(())]);
    let mut seen = Vec::new();
    while let Ok((input, callers)) = receiver.try_recv() {
        assert_eq!(callers, [consumer]);
        seen.push(input);
    }
    seen.sort_unstable();
    assert_eq!(seen, [1, 2, 3]);
    otp::eventually!(node.process_count() == 0);
}

async fn inputs_and_consumers_may_stop_early() {
    let node = node();
    // An input which halts, in front of another one.
    let inputs = ["foo", "bar"].into_iter().take(1).chain(["1", "2"]);
    let function = |input| async move { input };
    let stream = async_stream(&node, inputs, function, StreamOptions::new()).unwrap();
    let items: Vec<_> = stream.collect().await;
    assert_eq!(items, [Ok("foo"), Ok("1"), Ok("2")]);
    // A stream within a stream which halts.
    let inner = node.clone();
    process(&node, async move {
        let options = StreamOptions::new().max_concurrency(4).no_timeout();
        let streams = inner.clone();
        let flat = futures_util::stream::iter(0..2).flat_map(move |_| {
            let inputs = [0, u64::MAX >> 10, u64::MAX >> 10];
            async_stream(&streams, inputs, sleep, options).unwrap()
        });
        let items: Vec<_> = flat.take(1).collect().await;
        assert_eq!(items, [Ok(0)]);
        assert_eq!(links(&inner), []);
        otp::eventually!(inner.process_count() == 1);
    })
    .await;
}

async fn nothing_runs_before_the_first_poll() {
    let node = node();
    let pulled = Arc::new(AtomicUsize::new(0));
    let count = pulled.clone();
    let inputs = (0..100).inspect(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let options = StreamOptions::new().max_concurrency(2);
    let mut stream = async_stream(&node, inputs, sleep, options).unwrap();
    tokio::time::sleep(millis(10)).await;
    assert_eq!(
        (pulled.load(Ordering::SeqCst), node.process_count()),
        (0, 0)
    );
    assert_eq!(stream.next().await, Some(Ok(0)));
    let after_one = pulled.load(Ordering::SeqCst);
    assert!(after_one <= 4, "{after_one}");
    // Between polls nothing new is started.
    tokio::time::sleep(millis(1_000)).await;
    assert_eq!(pulled.load(Ordering::SeqCst), after_one);
    drop(stream);
    otp::eventually!(node.process_count() == 0);
}

async fn a_stream_may_be_the_input() {
    let node = node();
    let (sender, mut receiver) = mpsc::channel::<u64>(1);
    let inputs = futures_util::stream::poll_fn(move |context| receiver.poll_recv(context));
    let options = StreamOptions::new().max_concurrency(2);
    let stream = async_stream_from(&node, inputs, sleep, options).unwrap();
    let feeding = tokio::spawn(async move {
        for input in [30, 20, 10] {
            sender.send(input).await.unwrap();
            tokio::time::sleep(millis(100)).await;
        }
    });
    let items: Vec<_> = stream.collect().await;
    assert_eq!(items, [Ok(30), Ok(20), Ok(10)]);
    feeding.await.unwrap();
}

async fn the_buffer_is_bounded() {
    let node = node();
    let started = Arc::new(AtomicUsize::new(0));
    let count = started.clone();
    let function = move |input: usize| {
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            if input == 0 {
                tokio::time::sleep(millis(60_000)).await;
            }
            input
        }
    };
    let options = StreamOptions::new().max_concurrency(8).no_timeout();
    let inputs = 0..STREAM_BUFFER_MAX + 100;
    let mut stream = async_stream(&node, inputs, function, options).unwrap();
    // The first is slow: all others wait for it, up to the limit.
    let early = tokio::time::timeout(millis(50_000), stream.next()).await;
    assert!(early.is_err());
    let before = started.load(Ordering::SeqCst);
    assert!(before <= STREAM_BUFFER_MAX + 8, "{before}");
    let items: Vec<_> = stream.collect().await;
    assert!(items.into_iter().eq((0..STREAM_BUFFER_MAX + 100).map(Ok)));
}
