//! Streams of supervised tasks, linked and not.

use futures_util::StreamExt;
use otp::{ExitReason, Node, Shutdown, SupervisorError, TaskSupervisorRef, task};
use task::stream::{OnTimeout, StreamOptionsError};
use task::{AsyncStream, StreamError, StreamOptions};
use tokio::sync::mpsc;

use super::{small, supervisor};
use crate::support::node;
use crate::tasks::{custom, inbox, links, millis, process};

crate::cases! {
    linked_closure [Paused]: "TSUP-023";
    linked_function [Paused]: "TSUP-024";
    linked_leaves_nothing [Paused]: "TSUP-025";
    linked_slowest_first [Paused]: "TSUP-026";
    linked_exits [Paused]: "TSUP-027";
    linked_exits_end_who_does_not_trap [Paused]: "TSUP-027";
    linked_shuts_unused_tasks_down [Paused]: "TSUP-028";
    linked_leaves_no_messages [Paused]: "TSUP-029";
    linked_stops_cleanly_at_max_children [Paused]: "TSUP-030";
    linked_knows_its_callers [Paused]: "TSUP-031";
    linked_may_be_consumed_elsewhere [Paused]: "TSUP-032";
    a_timeout_carries_its_input [Paused]: "TSUP-033";
    a_bad_shutdown_is_refused [Paused]: "TSUP-034";
    the_consumer_halts_and_exits_carry_their_input [Paused]: "TSUP-035";
    free_closure [Paused]: "TSUP-036";
    free_function [Paused]: "TSUP-037";
    free_leaves_nothing [Paused]: "TSUP-038";
    free_slowest_first [Paused]: "TSUP-039";
    free_exits [Paused]: "TSUP-040";
    free_shuts_unused_tasks_down [Paused]: "TSUP-041";
    free_leaves_no_messages [Paused]: "TSUP-042";
    free_stops_cleanly_at_max_children [Paused]: "TSUP-043";
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Linked,
    Free,
}
use Kind::{Free, Linked};

const FOREVER: u64 = u64::MAX >> 10;

async fn sleep(millis: u64) -> u64 {
    tokio::time::sleep(std::time::Duration::from_millis(millis)).await;
    millis
}

async fn fail(input: u64) -> u64 {
    task::exit(custom(&input.to_string())).await
}

fn failed(input: u64) -> Result<u64, StreamError<u64>> {
    Err(StreamError::Exit {
        reason: custom(&input.to_string()),
        input: None,
    })
}

fn options() -> StreamOptions {
    StreamOptions::new().max_concurrency(4)
}

fn stream<F, W>(
    tasks: &TaskSupervisorRef,
    kind: Kind,
    inputs: impl IntoIterator<Item = u64, IntoIter: Send + 'static>,
    function: F,
    options: StreamOptions,
) -> AsyncStream<u64, u64>
where
    F: FnMut(u64) -> W + Send + 'static,
    W: Future<Output = u64> + Send + 'static,
{
    match kind {
        Linked => tasks.async_stream(inputs, function, options),
        Free => tasks.async_stream_nolink(inputs, function, options),
    }
    .unwrap()
}

type Items = Vec<Result<u64, StreamError<u64>>>;

/// Runs a body as a process, with a supervisor, which neither keeps tasks nor loses its links;
/// and leaves no message.
async fn clean<F>(trap: bool, body: impl FnOnce(Node, TaskSupervisorRef) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let node = node();
    let tasks = supervisor(&node).await;
    let inner = node.clone();
    let body = body(node.clone(), tasks.clone());
    process(&node, async move {
        task::trap_exit(trap);
        body.await;
        otp::eventually!(tasks.children().await == Ok(vec![]));
        otp::eventually!(inner.process_count() == 2);
        assert_eq!((links(&inner), inbox(&inner)), (vec![], 0));
        assert!(tasks.is_alive());
    })
    .await;
}

async fn closure(kind: Kind) {
    clean(false, move |node, tasks| async move {
        let supervisor = tasks.pid();
        let me = task::self_pid().unwrap();
        let function = move |input| {
            let node = node.clone();
            async move {
                let listed = node.processes();
                let pid = task::self_pid().unwrap();
                let info = listed.iter().find(|info| info.pid == pid).unwrap();
                assert_eq!(info.parent, Some(supervisor));
                assert_eq!(info.links.contains(&me), kind == Linked);
                input
            }
        };
        let stream = stream(&tasks, kind, 1..=4, function, options());
        let items: Items = stream.collect().await;
        assert_eq!(items, [1, 2, 3, 4].map(Ok));
    })
    .await;
}

async fn function(kind: Kind) {
    clean(false, move |_, tasks| async move {
        let mut stream = stream(&tasks, kind, 1..=4, sleep, options().max_concurrency(2));
        for expected in 1..=4 {
            assert_eq!(stream.next().await, Some(Ok(expected)));
            assert!(tasks.children().await.unwrap().len() <= 2);
        }
        assert_eq!(stream.next().await, None);
    })
    .await;
}

async fn leaves_nothing(kind: Kind) {
    for trap in [true, false] {
        clean(trap, move |node, tasks| async move {
            let stream = stream(&tasks, kind, 1..=4, sleep, options());
            let items: Items = stream.collect().await;
            assert_eq!(items, [1, 2, 3, 4].map(Ok));
            assert_eq!(node.process_count(), 2, "at once");
            assert_eq!(inbox(&node), 0);
        })
        .await;
    }
}

async fn slowest_first(kind: Kind) {
    clean(false, move |_, tasks| async move {
        let stream = stream(&tasks, kind, (1..=4).rev(), sleep, options());
        let items: Items = stream.collect().await;
        assert_eq!(items, [4, 3, 2, 1].map(Ok));
    })
    .await;
}

async fn exits(kind: Kind, trap: bool) {
    clean(trap, move |_, tasks| async move {
        let stream = stream(&tasks, kind, 1..=4, fail, options());
        let items: Items = stream.collect().await;
        assert_eq!(items, [1, 2, 3, 4].map(failed));
    })
    .await;
}

const ONE_ENDS: [u64; 4] = [0, FOREVER, FOREVER, FOREVER];

async fn shuts_unused_tasks_down(kind: Kind) {
    clean(false, move |node, tasks| async move {
        let stream = stream(&tasks, kind, ONE_ENDS, sleep, options());
        let items: Items = stream.take(1).collect().await;
        assert_eq!(items, [Ok(0)]);
        assert_eq!(links(&node), [], "at once");
    })
    .await;
    // The end of the consumer is the end of its tasks, too.
    let node = node();
    let tasks = supervisor(&node).await;
    let inner = tasks.clone();
    let consumer = task::spawn(&node, "consumer", async move {
        let stream = stream(&inner, kind, [FOREVER, FOREVER], sleep, options());
        stream.collect::<Items>().await
    });
    otp::eventually!(tasks.children().await.unwrap().len() == 2);
    node.exit(consumer.pid(), ExitReason::Kill);
    assert_eq!(consumer.await, Err(ExitReason::Killed));
    otp::eventually!(tasks.children().await == Ok(vec![]));
}

async fn leaves_no_messages(kind: Kind) {
    for trap in [true, false] {
        clean(trap, move |node, tasks| async move {
            let stream = stream(&tasks, kind, ONE_ENDS, sleep, options());
            let items: Items = stream.take(1).collect().await;
            assert_eq!((items, inbox(&node)), (vec![Ok(0)], 0));
        })
        .await;
    }
}

async fn stops_cleanly_at_max_children(kind: Kind) {
    clean(false, move |node, _unused| async move {
        let tasks = small(&node).await;
        let options = options().max_concurrency(2);
        let stream = stream(&tasks, kind, [FOREVER; 3], sleep, options);
        let items: Items = stream.collect().await;
        let refused = StreamError::Start(SupervisorError::MaxChildren);
        assert_eq!(items, [Err(refused)]);
        assert_eq!((links(&node), inbox(&node)), (vec![], 0));
        otp::eventually!(tasks.children().await == Ok(vec![]));
        let limit = std::time::Duration::from_secs(5);
        tasks.stop(ExitReason::Normal, limit).await.unwrap();
    })
    .await;
}

async fn linked_closure() {
    closure(Linked).await;
}

async fn free_closure() {
    closure(Free).await;
}

async fn linked_function() {
    function(Linked).await;
}

async fn free_function() {
    function(Free).await;
}

async fn linked_leaves_nothing() {
    leaves_nothing(Linked).await;
}

async fn free_leaves_nothing() {
    leaves_nothing(Free).await;
}

async fn linked_slowest_first() {
    slowest_first(Linked).await;
}

async fn free_slowest_first() {
    slowest_first(Free).await;
}

async fn linked_exits() {
    exits(Linked, true).await;
}

async fn linked_exits_end_who_does_not_trap() {
    let node = node();
    let tasks = supervisor(&node).await;
    let inner = tasks.clone();
    let consumer = task::spawn(&node, "consumer", async move {
        let stream = stream(&inner, Linked, 1..=4, fail, options());
        stream.collect::<Items>().await
    });
    let reason = consumer.await.unwrap_err();
    assert!(
        (1..=4).any(|n| reason == custom(&n.to_string())),
        "{reason}"
    );
    otp::eventually!(tasks.children().await == Ok(vec![]));
    assert!(tasks.is_alive());
}

async fn free_exits() {
    exits(Free, false).await;
    exits(Free, true).await;
}

async fn linked_shuts_unused_tasks_down() {
    shuts_unused_tasks_down(Linked).await;
}

async fn free_shuts_unused_tasks_down() {
    shuts_unused_tasks_down(Free).await;
}

async fn linked_leaves_no_messages() {
    leaves_no_messages(Linked).await;
}

async fn free_leaves_no_messages() {
    leaves_no_messages(Free).await;
}

async fn linked_stops_cleanly_at_max_children() {
    stops_cleanly_at_max_children(Linked).await;
}

async fn free_stops_cleanly_at_max_children() {
    stops_cleanly_at_max_children(Free).await;
}

async fn linked_knows_its_callers() {
    clean(false, |_, tasks| async move {
        let grandparent = task::self_pid().unwrap();
        let nested = tasks.clone();
        let function = move |()| {
            let tasks = nested.clone();
            async move {
                let (callers, parent) = (task::callers(), task::self_pid().unwrap());
                let function = |()| async { task::callers() };
                let stream = tasks.async_stream([()], function, options()).unwrap();
                let inner: Vec<_> = stream.collect().await;
                (callers, parent, inner)
            }
        };
        let stream = tasks.async_stream([()], function, options()).unwrap();
        let mut items: Vec<_> = stream.collect().await;
        let (callers, parent, inner) = items.pop().unwrap().unwrap();
        assert_eq!(callers, [grandparent]);
        assert_eq!(inner, [Ok(vec![parent, grandparent])]);
    })
    .await;
}

async fn linked_may_be_consumed_elsewhere() {
    clean(false, |node, tasks| async move {
        let (sender, mut receiver) = mpsc::channel(8);
        let function = move |input: u64| {
            let sender = sender.clone();
            async move { sender.send((input, task::callers())).await.unwrap() }
        };
        let stream = tasks.async_stream([1, 2, 3], function, options()).unwrap();
        let consumer = task::start(&node, "consumer", stream.collect::<Vec<_>>());
        let mut seen = Vec::new();
        while let Some((input, callers)) = receiver.recv().await {
            assert_eq!(callers.first(), Some(&consumer));
            seen.push(input);
        }
        seen.sort_unstable();
        assert_eq!(seen, [1, 2, 3]);
    })
    .await;
}

async fn a_timeout_carries_its_input() {
    clean(false, |_, tasks| async move {
        let options = options()
            .on_timeout(OnTimeout::KillTask)
            .timeout(millis(50));
        let stream = stream(&tasks, Linked, [1, 100], sleep, options);
        let items: Items = stream.zip_input_on_exit().collect().await;
        let late = StreamError::Exit {
            reason: ExitReason::Timeout,
            input: Some(100),
        };
        assert_eq!(items, [Ok(1), Err(late)]);
    })
    .await;
}

async fn a_bad_shutdown_is_refused() {
    let node = node();
    let tasks = supervisor(&node).await;
    let options = options().shutdown(Shutdown::Infinity);
    let linked = tasks.async_stream([1], sleep, options).err();
    assert_eq!(linked, Some(StreamOptionsError::Shutdown));
    let free = tasks.async_stream_nolink([1], sleep, options).err();
    assert_eq!(free, Some(StreamOptionsError::Shutdown));
    for shutdown in [Shutdown::Brutal, Shutdown::Timeout(millis(0))] {
        let options = options.shutdown(shutdown);
        assert!(tasks.async_stream([1], sleep, options).is_ok());
    }
}

async fn the_consumer_halts_and_exits_carry_their_input() {
    clean(true, |_, tasks| async move {
        let stream = stream(&tasks, Linked, 1..=8, fail, options());
        let items: Items = stream.zip_input_on_exit().take(4).collect().await;
        let expected = [1, 2, 3, 4].map(|input: u64| {
            Err(StreamError::Exit {
                reason: custom(&input.to_string()),
                input: Some(input),
            })
        });
        assert_eq!(items, expected);
    })
    .await;
}
