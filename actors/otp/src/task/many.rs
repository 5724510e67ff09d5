//! Asking many tasks for their outcomes.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use crate::exit_reason::ExitReason;
use crate::supervisor::child_spec::Shutdown;
use crate::task::outcome::{DEFAULT_AWAIT_TIMEOUT, TaskError};
use crate::task::{State, Task};

/// What [`yield_many`] knows of one task: its value, the reason why there is none, or nothing yet.
pub type Yielded<T> = Option<Result<T, ExitReason>>;

/// What [`yield_many`] does with tasks which are not ready in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnYieldTimeout {
    /// They run on and can be asked again.
    #[default]
    Nothing,
    /// They run on, unlinked, and nothing more is heard of them; see [`Task::ignore`].
    Ignore,
    /// They are killed.
    KillTask,
}

/// How [`yield_many`] waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct YieldMany {
    timeout: Option<Duration>,
    limit: Option<usize>,
    on_timeout: OnYieldTimeout,
}

impl YieldMany {
    /// For all tasks, at most 5 seconds, and the tasks are left alone.
    pub fn new() -> YieldMany {
        YieldMany {
            timeout: Some(DEFAULT_AWAIT_TIMEOUT),
            limit: None,
            on_timeout: OnYieldTimeout::Nothing,
        }
    }

    /// How long to wait for all of them together.
    pub fn timeout(mut self, limit: Duration) -> YieldMany {
        self.timeout = Some(limit);
        self
    }

    /// Wait as long as it takes (`infinity`).
    pub fn no_timeout(mut self) -> YieldMany {
        self.timeout = None;
        self
    }

    /// Return as soon as this many have an outcome; the others are left alone then, whatever
    /// [`YieldMany::on_timeout`] says.
    pub fn limit(mut self, tasks: usize) -> YieldMany {
        self.limit = Some(tasks);
        self
    }

    /// What to do with those which are not ready in time.
    pub fn on_timeout(mut self, what: OnYieldTimeout) -> YieldMany {
        self.on_timeout = what;
        self
    }
}

impl Default for YieldMany {
    fn default() -> YieldMany {
        YieldMany::new()
    }
}

/// Waits at most `limit` for the values of all tasks, and gives them in the order of the tasks
/// (Elixir: `Task.await_many/2`). The first failure is returned at once; the other tasks run on
/// then, with their links. As for [`Task::await_within`] the caller does not exit but decides.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), otp::TaskError> {
/// use otp::{Node, task};
///
/// let node = Node::new("example");
/// let tasks = (1..=3).map(|n| task::async_(&node, "square", async move { n * n }));
/// let squares = task::await_many(tasks, task::DEFAULT_AWAIT_TIMEOUT).await?;
/// assert_eq!(squares, [1, 4, 9]);
/// # Ok(())
/// # }
/// ```
pub async fn await_many<T>(
    tasks: impl IntoIterator<Item = Task<T>>,
    limit: Duration,
) -> Result<Vec<T>, TaskError> {
    let tasks: Vec<Task<T>> = tasks.into_iter().collect();
    for task in &tasks {
        task.check_owner()?;
    }
    let mut values: Vec<Option<T>> = tasks.iter().map(|_| None).collect();
    let mut waiting: FuturesUnordered<_> = tasks
        .into_iter()
        .enumerate()
        .map(|(position, mut task)| async move {
            let outcome = task.outcome().await;
            (position, task.pid(), outcome)
        })
        .collect();
    let all = async {
        while let Some((position, pid, outcome)) = waiting.next().await {
            let value = outcome.map_err(|reason| TaskError::of_end(pid, reason))?;
            values[position] = Some(value);
        }
        Ok(())
    };
    match tokio::time::timeout(limit, all).await {
        Ok(done) => done?,
        Err(_) => return Err(TaskError::Timeout),
    }
    Ok(values.into_iter().flatten().collect())
}

/// Looks which of the tasks have an outcome within a time (Elixir: `Task.yield_many/2`). Gives one
/// entry for each task, in their order; those without an outcome can be asked again.
///
/// [`TaskError::NodeDown`] and [`TaskError::NotOwner`] concern the whole call; outcomes it has
/// taken by then are lost with it.
pub async fn yield_many<T>(
    tasks: &mut [Task<T>],
    options: YieldMany,
) -> Result<Vec<Yielded<T>>, TaskError> {
    for task in tasks.iter() {
        task.check_owner()?;
    }
    let mut outcomes: Vec<Yielded<T>> = tasks.iter().map(|_| None).collect();
    let in_time = collect(tasks, &mut outcomes, options).await?;
    if in_time {
        return Ok(outcomes);
    }
    for (task, outcome) in tasks.iter_mut().zip(&mut outcomes) {
        if outcome.is_some() {
            continue;
        }
        let last = match options.on_timeout {
            OnYieldTimeout::Nothing => continue,
            OnYieldTimeout::Ignore => task.forget(),
            OnYieldTimeout::KillTask => {
                let last = task.shut_down(Shutdown::Brutal).await;
                task.state = State::Handled;
                last
            }
        };
        *outcome = match last {
            Ok(value) => value.map(Ok),
            Err(TaskError::Exit(reason)) => Some(Err(reason)),
            Err(error) => return Err(error),
        };
    }
    Ok(outcomes)
}

/// Fills in outcomes as they come; `false` if the time ran out first.
async fn collect<T>(
    tasks: &mut [Task<T>],
    outcomes: &mut [Yielded<T>],
    options: YieldMany,
) -> Result<bool, TaskError> {
    let mut wanted = options.limit.unwrap_or(tasks.len()).min(tasks.len());
    let deadline = options.timeout.map(|limit| (Instant::now(), limit));
    let mut waiting: FuturesUnordered<_> = tasks
        .iter_mut()
        .enumerate()
        .map(|(position, task)| async move {
            let outcome = task.outcome().await;
            (position, task.pid(), outcome)
        })
        .collect();
    while wanted > 0 {
        let next = match deadline {
            Some((begun, limit)) => {
                let left = limit.saturating_sub(begun.elapsed());
                match tokio::time::timeout(left, waiting.next()).await {
                    Ok(next) => next,
                    Err(_) => return Ok(false),
                }
            }
            None => waiting.next().await,
        };
        let Some((position, pid, outcome)) = next else {
            break;
        };
        if let Err(ExitReason::NoConnection) = outcome {
            return Err(TaskError::NodeDown(pid));
        }
        outcomes[position] = Some(outcome);
        wanted -= 1;
    }
    Ok(true)
}
