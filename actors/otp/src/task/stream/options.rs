//! How a stream of tasks runs, and what it refuses.

use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

use crate::supervisor::child_spec::{DEFAULT_SHUTDOWN, Shutdown};

/// How long one task of a stream may take unless [`StreamOptions::timeout`] says otherwise.
pub const DEFAULT_STREAM_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest time limit of a task of a stream: that of Erlang's timers, about 49 days. Without
/// any limit: [`StreamOptions::no_timeout`].
pub const STREAM_TIMEOUT_MAX: Duration = Duration::from_millis(u32::MAX as u64);

/// The most tasks one stream runs at the same time.
pub const STREAM_CONCURRENCY_MAX: usize = 65_536;

/// What happens when a task of a stream takes too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnTimeout {
    /// The stream fails and its consumer ends; see [`super::StreamError::Timeout`].
    #[default]
    Exit,
    /// The task is killed, its entry is an exit with [`crate::ExitReason::Timeout`], and the
    /// stream goes on.
    KillTask,
}

/// Why a stream was not made. Nothing was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum StreamOptionsError {
    /// It must be between 1 and [`STREAM_CONCURRENCY_MAX`].
    #[error("max_concurrency must be between 1 and {STREAM_CONCURRENCY_MAX}, not {0}")]
    MaxConcurrency(usize),
    /// It must be at most [`STREAM_TIMEOUT_MAX`].
    #[error("timeout must be at most {STREAM_TIMEOUT_MAX:?} or none, not {0:?}")]
    Timeout(Duration),
    /// It must be a time or brutal: a task which is never killed would hold its supervisor up.
    #[error("shutdown must be a time or brutal")]
    Shutdown,
    /// Not the name of an [`OnTimeout`].
    #[error("on_timeout must be exit or kill_task")]
    OnTimeout,
}

impl FromStr for OnTimeout {
    type Err = StreamOptionsError;

    /// From a configuration: `exit` or `kill_task`.
    fn from_str(text: &str) -> Result<OnTimeout, StreamOptionsError> {
        match text {
            "exit" => Ok(OnTimeout::Exit),
            "kill_task" => Ok(OnTimeout::KillTask),
            _ => Err(StreamOptionsError::OnTimeout),
        }
    }
}

/// How a stream of tasks runs (Elixir: the options of `Task.async_stream/3`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamOptions {
    pub(super) max_concurrency: usize,
    pub(super) ordered: bool,
    pub(super) timeout: Option<Duration>,
    pub(super) on_timeout: OnTimeout,
    pub(super) shutdown: Shutdown,
}

impl StreamOptions {
    /// As many tasks at a time as there are processor cores, results in the order of the input,
    /// [`DEFAULT_STREAM_TIMEOUT`] for each task, exit on timeout.
    pub fn new() -> StreamOptions {
        StreamOptions {
            max_concurrency: std::thread::available_parallelism().map_or(1, usize::from),
            ordered: true,
            timeout: Some(DEFAULT_STREAM_TIMEOUT),
            on_timeout: OnTimeout::Exit,
            shutdown: Shutdown::Timeout(DEFAULT_SHUTDOWN),
        }
    }

    /// How many tasks may be alive at the same time, 1 to [`STREAM_CONCURRENCY_MAX`].
    pub fn max_concurrency(mut self, tasks: usize) -> StreamOptions {
        self.max_concurrency = tasks;
        self
    }

    /// Whether results come in the order of the input, or as they are ready.
    pub fn ordered(mut self, ordered: bool) -> StreamOptions {
        self.ordered = ordered;
        self
    }

    /// How long each task may take, at most [`STREAM_TIMEOUT_MAX`].
    pub fn timeout(mut self, limit: Duration) -> StreamOptions {
        self.timeout = Some(limit);
        self
    }

    /// Let each task take as long as it wants (`infinity`).
    pub fn no_timeout(mut self) -> StreamOptions {
        self.timeout = None;
        self
    }

    /// What happens when a task takes too long.
    pub fn on_timeout(mut self, what: OnTimeout) -> StreamOptions {
        self.on_timeout = what;
        self
    }

    /// How the supervisor stops a task of this stream; only for streams under a
    /// [`crate::TaskSupervisor`].
    pub fn shutdown(mut self, shutdown: Shutdown) -> StreamOptions {
        self.shutdown = shutdown;
        self
    }

    pub(super) fn check(self) -> Result<StreamOptions, StreamOptionsError> {
        if self.max_concurrency == 0 || self.max_concurrency > STREAM_CONCURRENCY_MAX {
            return Err(StreamOptionsError::MaxConcurrency(self.max_concurrency));
        }
        if let Some(limit) = self.timeout.filter(|limit| *limit > STREAM_TIMEOUT_MAX) {
            return Err(StreamOptionsError::Timeout(limit));
        }
        if self.shutdown == Shutdown::Infinity {
            return Err(StreamOptionsError::Shutdown);
        }
        Ok(self)
    }
}

impl Default for StreamOptions {
    fn default() -> StreamOptions {
        StreamOptions::new()
    }
}
