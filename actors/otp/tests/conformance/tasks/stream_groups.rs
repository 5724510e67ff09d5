//! async_stream with as many tasks as the limit, with more and with fewer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::{Stream, StreamExt};
use otp::{ExitReason, Node, task};
use task::stream::OnTimeout;
use task::{AsyncStream, StreamError, StreamOptions, async_stream};

use super::streams::{exit, sleep};
use super::{custom, inbox, links, millis, process};
use crate::support::node;

crate::cases! {
    a_closure_for_each_input [Paused]: "TASK-092";
    a_function_for_each_input [Paused]: "TASK-093";
    nothing_is_left [Paused]: "TASK-094";
    nothing_is_left_on_many_threads: "TASK-094";
    slowest_first [Paused]: "TASK-095";
    exits_are_entries_for_who_traps_exits [Paused]: "TASK-096";
    exits_end_who_does_not_trap [Paused]: "TASK-096";
    unused_tasks_are_shut_down [Paused]: "TASK-097";
    unused_tasks_leave_no_messages [Paused]: "TASK-098";
    two_can_be_zipped [Paused]: "TASK-099";
    two_can_be_zipped_when_they_fail [Paused]: "TASK-100";
    two_can_be_zipped_slowest_first [Paused]: "TASK-101";
    the_input_halts [Paused]: "TASK-102";
    the_input_halts_and_all_fail [Paused]: "TASK-103";
    the_input_halts_slowest_first [Paused]: "TASK-104";
    the_consumer_halts [Paused]: "TASK-105";
    the_consumer_halts_and_all_fail [Paused]: "TASK-106";
    the_consumer_halts_slowest_first [Paused]: "TASK-107";
    what_comes_after_it_is_cleaned_up [Paused]: "TASK-108";
    what_comes_before_it_is_cleaned_up [Paused]: "TASK-109";
    timeouts_may_kill_the_task_only [Paused]: "TASK-110";
    a_timeout_carries_its_input [Paused]: "TASK-111";
    an_exit_carries_its_input [Paused]: "TASK-112";
}

/// As many as the inputs, fewer, more.
const CONCURRENCY: [usize; 3] = [4, 2, 8];

fn options(concurrency: usize) -> StreamOptions {
    StreamOptions::new().max_concurrency(concurrency)
}

/// Longer than any test.
const FOREVER: u64 = u64::MAX >> 10;

async fn fail(input: u64) -> u64 {
    task::exit(custom(&input.to_string())).await
}

fn failed(input: u64) -> Result<u64, StreamError<u64>> {
    Err(exit(custom(&input.to_string())))
}

async fn items<X: Send + 'static>(
    stream: impl Stream<Item = Result<u64, StreamError<X>>>,
) -> Vec<Result<u64, StreamError<X>>> {
    stream.collect().await
}

fn sleeping(
    node: &Node,
    inputs: impl IntoIterator<Item = u64, IntoIter: Send + 'static>,
    concurrency: usize,
) -> AsyncStream<u64, u64> {
    async_stream(node, inputs, sleep, options(concurrency)).unwrap()
}

fn failing(
    node: &Node,
    inputs: impl IntoIterator<Item = u64, IntoIter: Send + 'static>,
    concurrency: usize,
) -> AsyncStream<u64, u64> {
    async_stream(node, inputs, fail, options(concurrency)).unwrap()
}

/// Runs a body as a process which traps exits, for each concurrency. Whatever a stream does, it
/// leaves that process without messages and links, and no task.
async fn each<F>(body: impl Fn(Node, usize) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    for concurrency in CONCURRENCY {
        for trap in [true, false] {
            let node = node();
            let inner = node.clone();
            let body = body(node.clone(), concurrency);
            process(&node, async move {
                task::trap_exit(trap);
                body.await;
                otp::eventually!(inner.process_count() == 1);
                assert_eq!((links(&inner), inbox(&inner)), (vec![], 0));
            })
            .await;
        }
    }
}

/// [`each`], for bodies whose tasks fail: those would end a process which does not trap exits.
async fn each_trapping<F>(body: impl Fn(Node, usize) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    for concurrency in CONCURRENCY {
        let node = node();
        let inner = node.clone();
        let body = body(node.clone(), concurrency);
        process(&node, async move {
            task::trap_exit(true);
            body.await;
            otp::eventually!(inner.process_count() == 1);
            assert_eq!((links(&inner), inbox(&inner)), (vec![], 0));
        })
        .await;
    }
}

/// Never more than the limit alive, by the process table and from within.
async fn bounded(node: Node, concurrency: usize, count: u64) {
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let peak = most.clone();
    let table = node.clone();
    let function = move |input: u64| {
        let (running, most, table) = (running.clone(), peak.clone(), table.clone());
        async move {
            let now = running.fetch_add(1, Ordering::SeqCst) + 1;
            most.fetch_max(now, Ordering::SeqCst);
            let processes = table.process_count() - 1;
            assert!(processes <= concurrency, "{processes} tasks alive");
            tokio::time::sleep(millis(1 + input % 3)).await;
            running.fetch_sub(1, Ordering::SeqCst);
            input
        }
    };
    let stream = async_stream(&node, 1..=count, function, options(concurrency)).unwrap();
    let expected: Vec<_> = (1..=count).map(Ok).collect();
    assert_eq!(items(stream).await, expected);
    let most = most.load(Ordering::SeqCst);
    assert_eq!(most, concurrency.min(usize::try_from(count).unwrap()));
}

async fn a_closure_for_each_input() {
    each(|node, concurrency| bounded(node, concurrency, 4)).await;
    each(|node, concurrency| bounded(node, concurrency, 100)).await;
}

async fn a_function_for_each_input() {
    each(|node, concurrency| async move {
        let mut stream = sleeping(&node, 1..=4, concurrency);
        for expected in 1..=4 {
            assert_eq!(stream.next().await, Some(Ok(expected)));
            assert!(stream.running() <= concurrency);
            assert!(node.process_count() <= 1 + concurrency);
        }
        assert_eq!(stream.next().await, None);
        assert_eq!(stream.next().await, None);
    })
    .await;
}

async fn nothing_is_left() {
    each(|node, concurrency| async move {
        let items = items(sleeping(&node, 1..=4, concurrency)).await;
        assert_eq!(items, [1, 2, 3, 4].map(Ok));
        assert_eq!(node.process_count(), 1, "at once");
        assert_eq!((links(&node), inbox(&node)), (vec![], 0));
    })
    .await;
}

async fn nothing_is_left_on_many_threads() {
    let node = node();
    for concurrency in CONCURRENCY.repeat(100) {
        let inner = node.clone();
        process(&node, async move {
            task::trap_exit(true);
            let function = |_: u64| async { task::self_pid().unwrap() };
            let mut stream = async_stream(&inner, 1..=4, function, options(concurrency)).unwrap();
            while let Some(pid) = stream.next().await {
                assert!(
                    !inner.is_alive(pid.unwrap()),
                    "its value comes after its end"
                );
            }
            assert_eq!((links(&inner), inbox(&inner)), (vec![], 0));
        })
        .await;
    }
    otp::eventually!(node.process_count() == 0);
}

async fn slowest_first() {
    each(|node, concurrency| async move {
        let items = items(sleeping(&node, (1..=4).rev(), concurrency)).await;
        assert_eq!(items, [4, 3, 2, 1].map(Ok));
    })
    .await;
}

async fn exits_are_entries_for_who_traps_exits() {
    each_trapping(|node, concurrency| async move {
        let items = items(failing(&node, 1..=4, concurrency)).await;
        assert_eq!(items, [1, 2, 3, 4].map(failed));
        assert_eq!(inbox(&node), 0, "no EXIT");
    })
    .await;
}

async fn exits_end_who_does_not_trap() {
    for concurrency in CONCURRENCY {
        let node = node();
        let inner = node.clone();
        let consumer = task::spawn(&node, "consumer", async move {
            items(failing(&inner, 1..=4, concurrency)).await
        });
        let reason = consumer.await.unwrap_err();
        assert!(
            (1..=4).any(|n| reason == custom(&n.to_string())),
            "{reason}"
        );
        otp::eventually!(node.process_count() == 0);
        // A normal end does not, as no link does.
        let inner = node.clone();
        let ends = process(&node, async move {
            let function = |_| task::exit(ExitReason::Normal);
            let stream = async_stream(&inner, [1], function, options(concurrency));
            items(stream.unwrap()).await
        });
        assert_eq!(ends.await, [Err(exit(ExitReason::Normal))]);
    }
}

const ONE_ENDS: [u64; 4] = [0, FOREVER, FOREVER, FOREVER];

async fn unused_tasks_are_shut_down() {
    each(|node, concurrency| async move {
        let stream = sleeping(&node, ONE_ENDS, concurrency).take(1);
        assert_eq!(items(stream).await, [Ok(0)]);
        assert_eq!(links(&node), [], "at once");
        otp::eventually!(node.process_count() == 1);
    })
    .await;
    // The end of the consumer is the end of its tasks, too.
    for trap in [true, false] {
        let node = node();
        let inner = node.clone();
        let consumer = task::spawn(&node, "consumer", async move {
            task::trap_exit(trap);
            items(sleeping(&inner, [FOREVER, FOREVER], 2)).await
        });
        otp::eventually!(node.process_count() == 3);
        node.exit(consumer.pid(), ExitReason::Kill);
        assert_eq!(consumer.await, Err(ExitReason::Killed));
        otp::eventually!(node.process_count() == 0);
    }
}

async fn unused_tasks_leave_no_messages() {
    each(|node, concurrency| async move {
        let stream = sleeping(&node, ONE_ENDS, concurrency).take(1);
        assert_eq!(items(stream).await, [Ok(0)]);
        assert_eq!(inbox(&node), 0);
        otp::eventually!(node.process_count() == 1);
        assert_eq!(inbox(&node), 0);
    })
    .await;
}

async fn two_can_be_zipped() {
    each(|node, concurrency| async move {
        let one = sleeping(&node, 1..=4, concurrency);
        let other = sleeping(&node, 1..=4, concurrency);
        let pairs: Vec<_> = one.zip(other).collect().await;
        assert_eq!(pairs, [1, 2, 3, 4].map(|n| (Ok(n), Ok(n))));
    })
    .await;
}

async fn two_can_be_zipped_when_they_fail() {
    each_trapping(|node, concurrency| async move {
        let one = failing(&node, 1..=4, concurrency);
        let other = failing(&node, 1..=4, concurrency);
        let pairs: Vec<_> = one.zip(other).collect().await;
        assert_eq!(pairs, [1, 2, 3, 4].map(|n| (failed(n), failed(n))));
    })
    .await;
}

async fn two_can_be_zipped_slowest_first() {
    each(|node, concurrency| async move {
        let one = sleeping(&node, (1..=4).rev(), concurrency);
        let other = sleeping(&node, (1..=4).rev(), concurrency);
        let pairs: Vec<_> = one.zip(other).collect().await;
        assert_eq!(pairs, [4, 3, 2, 1].map(|n| (Ok(n), Ok(n))));
    })
    .await;
}

async fn the_input_halts() {
    each(|node, concurrency| async move {
        let stream = sleeping(&node, (1..=8).take(4), concurrency);
        assert_eq!(items(stream).await, [1, 2, 3, 4].map(Ok));
    })
    .await;
}

async fn the_input_halts_and_all_fail() {
    each_trapping(|node, concurrency| async move {
        let stream = failing(&node, (1..=8).take(4), concurrency);
        assert_eq!(items(stream).await, [1, 2, 3, 4].map(failed));
    })
    .await;
}

async fn the_input_halts_slowest_first() {
    each(|node, concurrency| async move {
        let stream = sleeping(&node, (1..=8).rev().take(4), concurrency);
        assert_eq!(items(stream).await, [8, 7, 6, 5].map(Ok));
    })
    .await;
}

async fn the_consumer_halts() {
    each(|node, concurrency| async move {
        let stream = sleeping(&node, 1..=8, concurrency).take(4);
        assert_eq!(items(stream).await, [1, 2, 3, 4].map(Ok));
    })
    .await;
}

async fn the_consumer_halts_and_all_fail() {
    each_trapping(|node, concurrency| async move {
        let stream = failing(&node, 1..=8, concurrency).take(4);
        assert_eq!(items(stream).await, [1, 2, 3, 4].map(failed));
    })
    .await;
}

async fn the_consumer_halts_slowest_first() {
    each(|node, concurrency| async move {
        let stream = sleeping(&node, (1..=8).rev(), concurrency).take(4);
        assert_eq!(items(stream).await, [8, 7, 6, 5].map(Ok));
    })
    .await;
}

/// Notes that it was dropped.
struct CleanUp(Arc<AtomicBool>);

impl Drop for CleanUp {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

async fn what_comes_after_it_is_cleaned_up() {
    each(|node, concurrency| async move {
        for taken in [4, 2] {
            let cleaned = Arc::new(AtomicBool::new(false));
            let clean_up = CleanUp(cleaned.clone());
            let stream = sleeping(&node, 1..=4, concurrency).map(move |item| {
                let _needed = &clean_up;
                item
            });
            let seen = items(stream.take(taken)).await;
            assert_eq!(seen.len(), taken);
            assert!(cleaned.load(Ordering::SeqCst));
        }
    })
    .await;
}

async fn what_comes_before_it_is_cleaned_up() {
    each(|node, concurrency| async move {
        let cleaned = Arc::new(AtomicBool::new(false));
        let clean_up = CleanUp(cleaned.clone());
        let inputs = (1..=4).inspect(move |_| {
            let _needed = &clean_up;
        });
        let mut stream = sleeping(&node, inputs, concurrency);
        let mut seen = Vec::new();
        while let Some(item) = stream.next().await {
            seen.push(item);
        }
        assert_eq!(seen, [1, 2, 3, 4].map(Ok));
        assert!(
            cleaned.load(Ordering::SeqCst),
            "though the stream is still here"
        );
        drop(stream);

        let cleaned = Arc::new(AtomicBool::new(false));
        let clean_up = CleanUp(cleaned.clone());
        let inputs = (1..=4).inspect(move |_| {
            let _needed = &clean_up;
        });
        let stream = sleeping(&node, inputs, concurrency);
        assert_eq!(items(stream.take(1)).await, [Ok(1)]);
        assert!(cleaned.load(Ordering::SeqCst));
    })
    .await;
}

async fn timeouts_may_kill_the_task_only() {
    each(|node, concurrency| async move {
        let options = options(concurrency)
            .on_timeout(OnTimeout::KillTask)
            .timeout(millis(50));
        let stream = async_stream(&node, [100, 1, 100, 1], sleep, options).unwrap();
        let late = || Err(exit(ExitReason::Timeout));
        assert_eq!(items(stream).await, [late(), Ok(1), late(), Ok(1)]);
        assert_eq!((inbox(&node), node.process_count()), (0, 1));
    })
    .await;
}

async fn a_timeout_carries_its_input() {
    each(|node, concurrency| async move {
        let options = options(concurrency)
            .on_timeout(OnTimeout::KillTask)
            .timeout(millis(50));
        let stream = async_stream(&node, [1, 100], sleep, options).unwrap();
        let late = StreamError::Exit {
            reason: ExitReason::Timeout,
            input: Some(100),
        };
        let items = items(stream.zip_input_on_exit()).await;
        assert_eq!(items, [Ok(1), Err(late)]);
    })
    .await;
}

async fn an_exit_carries_its_input() {
    each_trapping(|node, concurrency| async move {
        let stream = failing(&node, 1..=8, concurrency).zip_input_on_exit();
        let expected = [1, 2, 3, 4].map(|input: u64| {
            Err(StreamError::Exit {
                reason: custom(&input.to_string()),
                input: Some(input),
            })
        });
        assert_eq!(items(stream.take(4)).await, expected);
    })
    .await;
}
