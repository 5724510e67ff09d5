//! A function over many inputs, each in a task of its own (Elixir: `Task.async_stream/3`).
//!
//! ```text
//!  input ──poll──▶ ┌─────────────┐ ──start──▶ task, task, … at most max_concurrency alive
//!                  │ AsyncStream │
//!  consumer ◀─────┘ └───────────┘ ◀──value, reason── (waiting for its turn, if ordered)
//! ```
//!
//! Nothing runs before the first poll, and no task is started between polls. The tasks belong to
//! the process which *polls*, which need not be the one that made the stream. Dropping the stream
//! kills the tasks which run.
//!
//! What a failure does to the consumer:
//!
//! | consumer | a linked task fails, or a timeout with [`OnTimeout::Exit`] |
//! |---|---|
//! | a process | it ends with that reason, right at its `next().await` |
//! | a process which traps exits, or no process | it gets the error as an item |
//!
//! The tasks of a process which traps exits are not linked to it, so nothing of the stream is
//! ever in its mailbox.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as PollContext, Poll, ready};

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, FuturesUnordered, Stream};
use thiserror::Error;

use crate::exit_reason::ExitReason;
use crate::node::Node;
use crate::process::Process;
use crate::supervisor::handle::SupervisorError;
use crate::task::start::current_process;
use crate::task::worker::spawn_process;
use crate::task_supervisor::{Link, TaskOptions, TaskSupervisorRef};

mod element;
mod options;

use element::{Ended, Starting};
pub use options::{
    DEFAULT_STREAM_TIMEOUT, OnTimeout, STREAM_CONCURRENCY_MAX, STREAM_TIMEOUT_MAX, StreamOptions,
    StreamOptionsError,
};

/// How many results of an ordered stream wait for a slower one before them. Policy at the limit:
/// no further task is started until that one is ready.
pub const STREAM_BUFFER_MAX: usize = 10_000;

/// An entry of a stream which is not a value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StreamError<X> {
    /// A task ended without a value; the stream goes on. [`ExitReason::Timeout`]: it took too
    /// long and was killed.
    #[error("a task ended without a value: {reason}")]
    Exit {
        /// Why it ended.
        reason: ExitReason,
        /// What it worked on, after [`AsyncStream::zip_input_on_exit`].
        input: Option<X>,
    },
    /// A task took too long and [`OnTimeout::Exit`] applies. The last entry; the other tasks are
    /// killed.
    #[error("a task took too long")]
    Timeout,
    /// The supervisor did not start a task, for example because of its `max_children`: keep
    /// `max_concurrency` below that. The last entry; the other tasks are killed.
    #[error("a task was not started: {0}")]
    Start(SupervisorError),
}

type Item<X, T> = Result<T, StreamError<X>>;

/// Who starts the tasks.
enum Starter {
    Alone(Node),
    Supervisor(TaskSupervisorRef, Link),
}

impl Starter {
    fn node(&self) -> &Node {
        match self {
            Starter::Alone(node) => node,
            Starter::Supervisor(supervisor, _) => supervisor.node(),
        }
    }

    fn links(&self) -> bool {
        matches!(
            self,
            Starter::Alone(_) | Starter::Supervisor(_, Link::Linked)
        )
    }
}

type Job<T> = BoxFuture<'static, T>;

/// What became of an element, with its position and its input.
type Finished<X, T> = (u64, Option<X>, Ended<T>);

/// The values of a function over many inputs. Made by [`async_stream`] and its relatives; see
/// [the module](self).
#[must_use = "a stream does nothing until it is polled"]
pub struct AsyncStream<X, T> {
    starter: Starter,
    options: StreamOptions,
    /// Gone once it is used up, or the stream has failed.
    input: Option<BoxStream<'static, X>>,
    function: Box<dyn FnMut(X) -> Job<T> + Send>,
    /// How to keep an input for its exit entry.
    keep: Option<fn(&X) -> X>,
    running: FuturesUnordered<BoxFuture<'static, Finished<X, T>>>,
    /// Results which wait for one before them; at most [`STREAM_BUFFER_MAX`].
    waiting: HashMap<u64, Item<X, T>>,
    started: u64,
    delivered: u64,
}

/// Nothing in it is pinned in place.
impl<X, T> Unpin for AsyncStream<X, T> {}

/// Applies a function to each input in a task linked to the consumer, at most
/// `max_concurrency` at a time (Elixir: `Task.async_stream/3`).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use futures_util::StreamExt;
/// use otp::{Node, task::{StreamOptions, async_stream}};
///
/// let node = Node::new("example");
/// let options = StreamOptions::new().max_concurrency(2);
/// let squares = async_stream(&node, 1..=4, |n| async move { n * n }, options)?;
/// let squares: Vec<_> = squares.collect().await;
/// assert_eq!(squares, [Ok(1), Ok(4), Ok(9), Ok(16)]);
/// # Ok(())
/// # }
/// ```
pub fn async_stream<I, F, W>(
    node: &Node,
    inputs: I,
    function: F,
    options: StreamOptions,
) -> Result<AsyncStream<I::Item, W::Output>, StreamOptionsError>
where
    I: IntoIterator,
    I::IntoIter: Send + 'static,
    I::Item: Send + 'static,
    F: FnMut(I::Item) -> W + Send + 'static,
    W: Future + Send + 'static,
    W::Output: Send + 'static,
{
    let inputs = futures_util::stream::iter(inputs);
    async_stream_from(node, inputs, function, options)
}

/// [`async_stream`] over the items of another stream.
pub fn async_stream_from<I, F, W>(
    node: &Node,
    inputs: I,
    function: F,
    options: StreamOptions,
) -> Result<AsyncStream<I::Item, W::Output>, StreamOptionsError>
where
    I: Stream + Send + 'static,
    I::Item: Send + 'static,
    F: FnMut(I::Item) -> W + Send + 'static,
    W: Future + Send + 'static,
    W::Output: Send + 'static,
{
    AsyncStream::new(Starter::Alone(node.clone()), inputs, function, options)
}

/// The streams of [`TaskSupervisorRef`].
pub(crate) fn supervised<I, F, W>(
    supervisor: &TaskSupervisorRef,
    link: Link,
    inputs: I,
    function: F,
    options: StreamOptions,
) -> Result<AsyncStream<I::Item, W::Output>, StreamOptionsError>
where
    I: IntoIterator,
    I::IntoIter: Send + 'static,
    I::Item: Send + 'static,
    F: FnMut(I::Item) -> W + Send + 'static,
    W: Future + Send + 'static,
    W::Output: Send + 'static,
{
    let starter = Starter::Supervisor(supervisor.clone(), link);
    let inputs = futures_util::stream::iter(inputs);
    AsyncStream::new(starter, inputs, function, options)
}

impl<X: Clone, T> AsyncStream<X, T> {
    /// Has each [`StreamError::Exit`] carry the input of its task, of which a copy is kept while
    /// the task runs (`zip_input_on_exit`).
    pub fn zip_input_on_exit(mut self) -> AsyncStream<X, T> {
        self.keep = Some(X::clone);
        self
    }
}

impl<X, T> AsyncStream<X, T> {
    /// How many tasks run, or are being started.
    pub fn running(&self) -> usize {
        self.running.len()
    }
}

impl<X: Send + 'static, T: Send + 'static> AsyncStream<X, T> {
    fn new<F, W>(
        starter: Starter,
        inputs: impl Stream<Item = X> + Send + 'static,
        mut function: F,
        options: StreamOptions,
    ) -> Result<AsyncStream<X, T>, StreamOptionsError>
    where
        F: FnMut(X) -> W + Send + 'static,
        W: Future<Output = T> + Send + 'static,
    {
        Ok(AsyncStream {
            starter,
            options: options.check()?,
            input: Some(inputs.boxed()),
            function: Box::new(move |input| Box::pin(function(input))),
            keep: None,
            running: FuturesUnordered::new(),
            waiting: HashMap::new(),
            started: 0,
            delivered: 0,
        })
    }

    /// The process to be linked with: the one which polls, unless it traps exits.
    fn consumer(&self) -> Option<Arc<Process>> {
        current_process(self.starter.node()).filter(|process| !process.traps_exit())
    }

    /// Starts tasks as long as there is input and room.
    fn start(&mut self, context: &mut PollContext<'_>) {
        while self.running.len() < self.options.max_concurrency
            && self.waiting.len() < STREAM_BUFFER_MAX
            && let Some(input) = &mut self.input
            && let Poll::Ready(next) = input.as_mut().poll_next(context)
        {
            match next {
                Some(input) => self.start_one(input),
                None => self.input = None,
            }
        }
    }

    fn start_one(&mut self, input: X) {
        let kept = self.keep.map(|keep| keep(&input));
        let job = (self.function)(input);
        let starting: Starting<T> = match &self.starter {
            Starter::Alone(node) => {
                let consumer = self.consumer();
                let task = spawn_process(node, consumer.as_ref(), "task".into(), job);
                Box::pin(std::future::ready(Ok(task)))
            }
            Starter::Supervisor(supervisor, link) => {
                let link = if self.consumer().is_some() {
                    *link
                } else {
                    Link::Free
                };
                let supervisor = supervisor.clone();
                let options = TaskOptions::new().shutdown(self.options.shutdown);
                Box::pin(async move { supervisor.begin(options, link, job).await })
            }
        };
        let (position, limit) = (self.started, self.options.timeout);
        self.started += 1;
        self.running.push(Box::pin(async move {
            (position, kept, element::run(starting, limit).await)
        }));
    }

    /// The last entry: everything which runs is killed.
    fn fail(&mut self, error: StreamError<X>) -> Poll<Option<Item<X, T>>> {
        self.input = None;
        self.waiting.clear();
        self.running.clear();
        // Nothing is left to be delivered, not even out of order.
        self.delivered = self.started;
        Poll::Ready(Some(Err(error)))
    }

    /// Ends the consumer, if it is a process which does not trap exits; `false` if it lives on.
    fn take_consumer_along(&self, reason: &ExitReason) -> bool {
        match self.consumer() {
            Some(consumer) if *reason != ExitReason::Normal => {
                consumer.exit_signal(consumer.pid, reason.clone(), false);
                true
            }
            _ => false,
        }
    }

    /// Takes up what became of one element; `None` if there is nothing to deliver yet.
    fn take(&mut self, finished: Finished<X, T>) -> Option<Poll<Option<Item<X, T>>>> {
        let (position, input, ended) = finished;
        let item = match ended {
            Ended::Value(value) => Ok(value),
            Ended::Failed(reason) => {
                if self.starter.links() && self.take_consumer_along(&reason) {
                    return Some(Poll::Pending);
                }
                Err(StreamError::Exit { reason, input })
            }
            Ended::TimedOut => match self.options.on_timeout {
                OnTimeout::KillTask => Err(StreamError::Exit {
                    reason: ExitReason::Timeout,
                    input,
                }),
                OnTimeout::Exit => {
                    let last = self.fail(StreamError::Timeout);
                    if self.take_consumer_along(&ExitReason::Timeout) {
                        return Some(Poll::Pending);
                    }
                    return Some(last);
                }
            },
            Ended::Refused(error) => return Some(self.fail(StreamError::Start(error))),
        };
        if self.options.ordered {
            self.waiting.insert(position, item);
            return None;
        }
        self.delivered += 1;
        Some(Poll::Ready(Some(item)))
    }
}

impl<X: Send + 'static, T: Send + 'static> Stream for AsyncStream<X, T> {
    type Item = Item<X, T>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut PollContext<'_>,
    ) -> Poll<Option<Item<X, T>>> {
        let stream = &mut *self;
        loop {
            if let Some(item) = stream.waiting.remove(&stream.delivered) {
                stream.delivered += 1;
                return Poll::Ready(Some(item));
            }
            stream.start(context);
            match ready!(stream.running.poll_next_unpin(context)) {
                Some(finished) => {
                    if let Some(answer) = stream.take(finished) {
                        return answer;
                    }
                }
                None if stream.input.is_none() => return Poll::Ready(None),
                None => return Poll::Pending,
            }
        }
    }
}
