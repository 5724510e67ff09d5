//! Looking into a running server, and changing it while it runs (`sys(3)`).
//!
//! ```text
//!  you ── get_state, suspend, replace_state, log, … ──▶ the server's own mailbox, in order
//!      ◀── answer, when the server gets to it ────────── a suspended server handles nothing else
//! ```
//!
//! Everything in here works on any server, whatever its messages are. Calls wait
//! [`crate::DEFAULT_CALL_TIMEOUT`]. A function that panics changes nothing, and is told as
//! [`SysError::Failed`].
//!
//! ```
//! # use otp::{Context, GenServer, Init, Next, Node, Options, sys};
//! # #[derive(Clone)] struct Counter(u64);
//! # impl GenServer for Counter {
//! #     type Args = u64; type Message = ();
//! #     async fn init(n: u64, _: &mut Context<Self>) -> Init<Self> { Init::Ok(Counter(n)) }
//! #     async fn handle(&mut self, (): (), _: &mut Context<Self>) -> Next<Self> { Next::Go }
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let node = Node::new("example");
//! let counter = otp::start::<Counter>(&node, 7, Options::new()).await?;
//! assert_eq!(sys::get_state(&counter).await?.0, 7);
//! sys::replace_state(&counter, |old| Counter(old.0 + 1)).await?;
//! assert_eq!(sys::get_state(&counter).await?.0, 8);
//! # Ok(())
//! # }
//! ```
//!
//! | Erlang's manual, sys(3) | here |
//! |---|---|
//! | `get_state/1`, `replace_state/2` | [`get_state`] of a server that can be cloned, else [`with_state`]; [`replace_state`]. A function that fails changes nothing. |
//! | `suspend/1`: "handles only system messages" | [`suspend`], [`resume`]. |
//! | `get_status/1`, shown by `format_status/1` | [`get_status`], [`crate::GenServer::format_status`]. |
//! | `log/2`, `trace/2`, `statistics/2`, `install/2`, `remove/2`, `no_debug/1` | Functions of the same names. A message is one event here, two there. |
//! | `change_code/4` of a suspended process | [`change_code`]. |
//! | `terminate/2` | [`terminate`]. |

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::sync::oneshot;

use crate::context::Context;
use crate::exit_reason::ExitReason;
use crate::gen_server::{GenServer, Status};
use crate::observer::Recorder;
use crate::panics::guarded_now;
use crate::pid::Pid;
use crate::server_ref::{CallError, DEFAULT_CALL_TIMEOUT, ServerRef};

/// Events a debug log keeps at most, whatever was asked for.
pub const LOG_EVENTS_MAX: usize = 10_000;

/// Debug functions a server has at most; a further one is refused.
pub const DEBUG_FUNCTIONS_MAX: usize = 16;

/// Why a system request failed. The state is as it was.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SysError {
    /// The server could not be asked, or did not answer.
    #[error("the server could not be asked: {0}")]
    Call(#[source] CallError),
    /// The function that was to look at the state, or to change it, panicked.
    #[error("the function failed: {0}")]
    Failed(ExitReason),
    /// The server must be suspended for this.
    #[error("the server is not suspended")]
    NotSuspended,
    /// The new state could not be made, in the words of the server.
    #[error("the state could not be changed: {0}")]
    CodeChange(String),
    /// There are as many debug functions as allowed.
    #[error("there are as many debug functions as allowed")]
    TooMany,
    /// Nobody asked for statistics, or for a log (`no_statistics`).
    #[error("this is not turned on")]
    Off,
}

/// Something for a server to do between two messages.
pub(crate) struct System<S: GenServer>(Request<S>);

type Request<S> = Box<dyn FnOnce(&mut S, &mut Context<S>) + Send>;

impl<S: GenServer> System<S> {
    pub(crate) fn run(self, server: &mut S, context: &mut Context<S>) {
        (self.0)(server, context);
    }
}

/// Has the server do something, and waits for what it gives.
async fn ask<S: GenServer, T: Send + 'static>(
    server: &ServerRef<S>,
    function: impl FnOnce(&mut S, &mut Context<S>) -> T + Send + 'static,
) -> Result<T, SysError> {
    if crate::panics::current_pid() == Some(server.pid()) {
        return Err(SysError::Call(CallError::CallingSelf));
    }
    let (sender, receiver) = oneshot::channel();
    let system = System(Box::new(move |server: &mut S, context: &mut Context<S>| {
        let _ = sender.send(guarded_now(|| function(server, context)));
    }));
    if server.process.request(system).is_err() {
        return Err(SysError::Call(CallError::NoProc));
    }
    match tokio::time::timeout(DEFAULT_CALL_TIMEOUT, receiver).await {
        Ok(Ok(answer)) => answer.map_err(SysError::Failed),
        Ok(Err(_)) => {
            let reason = server.process.wait().await;
            Err(SysError::Call(CallError::Exit(reason)))
        }
        Err(_) => Err(SysError::Call(CallError::Timeout)),
    }
}

// ---- the state ------------------------------------------------------------------------------

/// A copy of the state (`sys:get_state/1`).
pub async fn get_state<S: GenServer + Clone>(server: &ServerRef<S>) -> Result<S, SysError> {
    with_state(server, S::clone).await
}

/// Looks at the state, where it cannot be copied.
pub async fn with_state<S: GenServer, T: Send + 'static>(
    server: &ServerRef<S>,
    look: impl FnOnce(&S) -> T + Send + 'static,
) -> Result<T, SysError> {
    ask(server, move |state, _| look(state)).await
}

/// Puts another state in place of the state (`sys:replace_state/2`). If the function panics the
/// state stays.
pub async fn replace_state<S: GenServer>(
    server: &ServerRef<S>,
    make: impl FnOnce(&S) -> S + Send + 'static,
) -> Result<(), SysError> {
    ask(server, move |state, _| {
        let new = make(state);
        *state = new;
    })
    .await
}

/// Has the server make the state of this version of the code from that of an earlier one
/// ([`GenServer::code_change`], `sys:change_code/4`). It must be suspended, so that no message is
/// handled in between.
pub async fn change_code<S: GenServer>(
    server: &ServerRef<S>,
    from_version: &str,
) -> Result<(), SysError> {
    let from_version = from_version.to_owned();
    let change = move |state: &mut S, context: &mut Context<S>| {
        if !context.process.is_suspended() {
            return Err(SysError::NotSuspended);
        }
        let new = state
            .code_change(&from_version)
            .map_err(SysError::CodeChange)?;
        *state = new;
        Ok(())
    };
    ask(server, change).await?
}

// ---- suspending -----------------------------------------------------------------------------

/// Has the server handle nothing but system requests until [`resume`] (`sys:suspend/1`): messages
/// wait, in order. It still ends when it is stopped, killed, or its parent ends. Suspending twice
/// is suspending once.
pub async fn suspend<S: GenServer>(server: &ServerRef<S>) -> Result<(), SysError> {
    ask(server, |_, context| context.process.set_suspended(true)).await
}

/// Has the server go on (`sys:resume/1`).
pub async fn resume<S: GenServer>(server: &ServerRef<S>) -> Result<(), SysError> {
    ask(server, |_, context| context.process.set_suspended(false)).await
}

/// Ends the server in good order (`sys:terminate/2`): its `terminate` runs, also while it is
/// suspended. Waits for the end.
pub async fn terminate<S: GenServer>(
    server: &ServerRef<S>,
    reason: ExitReason,
) -> Result<(), SysError> {
    let stopped = server.stop(reason, DEFAULT_CALL_TIMEOUT).await;
    stopped.map_err(SysError::Call)
}

/// What [`get_status`] tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerStatus {
    /// The server.
    pub pid: Pid,
    /// Its type.
    pub server: &'static str,
    /// The process which started it.
    pub parent: Option<Pid>,
    /// Whether it is suspended.
    pub suspended: bool,
    /// The server as it wants to be seen ([`GenServer::format_status`]).
    pub status: Status,
}

/// What the server is, as it wants to be seen (`sys:get_status/1`).
pub async fn get_status<S: GenServer>(server: &ServerRef<S>) -> Result<ServerStatus, SysError> {
    ask(server, |state, context| ServerStatus {
        pid: context.pid(),
        server: std::any::type_name::<S>(),
        parent: context.parent(),
        suspended: context.process.is_suspended(),
        status: context.status(Some(state), None),
    })
    .await
}

// ---- debugging ------------------------------------------------------------------------------

/// What a debug function sees: a message has been taken from the mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The message, by name.
    pub message: &'static str,
}

impl fmt::Display for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "got {}", self.message)
    }
}

/// Sees every event, with the state before it is handled. `false` takes it out again.
type DebugFunction<S> = Box<dyn FnMut(Event, &S) -> bool + Send>;

/// The debug side of a server; none for most.
pub(crate) struct Debug<S: GenServer> {
    log: VecDeque<Event>,
    log_max: usize,
    trace: bool,
    statistics: Option<(Instant, Arc<Recorder>)>,
    functions: Vec<(Arc<str>, DebugFunction<S>)>,
}

impl<S: GenServer> Default for Debug<S> {
    fn default() -> Debug<S> {
        Debug {
            log: VecDeque::new(),
            log_max: 0,
            trace: false,
            statistics: None,
            functions: Vec::new(),
        }
    }
}

impl<S: GenServer> Debug<S> {
    pub(crate) fn event(&mut self, event: Event, pid: Pid, server: Option<&S>) {
        if self.log_max > 0 {
            if self.log.len() >= self.log_max {
                self.log.pop_front();
            }
            self.log.push_back(event);
        }
        if self.trace {
            tracing::info!(%pid, message = event.message, "got");
        }
        if let Some(server) = server {
            self.functions.retain_mut(|(_, function)| {
                // One that panics is taken out; the server is not concerned.
                guarded_now(|| function(event, server)).unwrap_or(false)
            });
        }
    }

    pub(crate) fn log_lines(&self) -> Vec<String> {
        self.log.iter().map(ToString::to_string).collect()
    }
}

/// Keeps the last `events` events, at most [`LOG_EVENTS_MAX`]; 0 turns it off (`sys:log/2`).
pub async fn log<S: GenServer>(server: &ServerRef<S>, events: usize) -> Result<(), SysError> {
    ask(server, move |_, context| {
        let debug = context.debug();
        debug.log_max = events.min(LOG_EVENTS_MAX);
        while debug.log.len() > debug.log_max {
            debug.log.pop_front();
        }
    })
    .await
}

/// The events that were kept, oldest first (`sys:log(_, get)`).
pub async fn get_log<S: GenServer>(server: &ServerRef<S>) -> Result<Vec<Event>, SysError> {
    ask(server, |_, context| {
        let debug = context.debug.as_ref();
        debug.map_or(Vec::new(), |debug| debug.log.iter().copied().collect())
    })
    .await
}

/// Tells `tracing` of events as they happen, or stops to (`sys:trace/2`).
pub async fn trace<S: GenServer>(server: &ServerRef<S>, on: bool) -> Result<(), SysError> {
    ask(server, move |_, context| context.debug().trace = on).await
}

/// What a server has done since statistics were turned on (`sys:statistics/2`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// How long ago they were turned on.
    pub running: Duration,
    /// Messages and signals it took from its mailbox.
    pub messages_in: u64,
    /// Messages it sent.
    pub messages_out: u64,
}

/// Counts messages, or stops to.
pub async fn statistics<S: GenServer>(server: &ServerRef<S>, on: bool) -> Result<(), SysError> {
    ask(server, move |_, context| {
        let process = context.process.clone();
        let debug = context.debug();
        if let Some((_, recorder)) = debug.statistics.take() {
            process.remove_observer(&recorder);
        }
        if on {
            let recorder = Arc::new(Recorder::counting());
            process.add_observer(recorder.clone());
            debug.statistics = Some((Instant::now(), recorder));
        }
    })
    .await
}

/// The counts so far; [`SysError::Off`] if they are not turned on.
pub async fn get_statistics<S: GenServer>(server: &ServerRef<S>) -> Result<Statistics, SysError> {
    ask(server, |_, context| {
        let debug = context.debug.as_ref();
        let (since, recorder) = debug
            .and_then(|debug| debug.statistics.as_ref())
            .ok_or(SysError::Off)?;
        Ok(Statistics {
            running: since.elapsed(),
            messages_in: recorder.received.load(Ordering::Relaxed),
            messages_out: recorder.sent.load(Ordering::Relaxed),
        })
    })
    .await?
}

/// Has a function see every event with the state, until it gives `false` or is [`remove`]d
/// (`sys:install/2`). A name that is in use is given to the new one. [`SysError::TooMany`] with
/// more than [`DEBUG_FUNCTIONS_MAX`].
pub async fn install<S: GenServer>(
    server: &ServerRef<S>,
    name: &str,
    function: impl FnMut(Event, &S) -> bool + Send + 'static,
) -> Result<(), SysError> {
    let name: Arc<str> = name.into();
    ask(server, move |_, context| {
        let functions = &mut context.debug().functions;
        functions.retain(|(one, _)| *one != name);
        if functions.len() >= DEBUG_FUNCTIONS_MAX {
            return Err(SysError::TooMany);
        }
        functions.push((name, Box::new(function)));
        Ok(())
    })
    .await?
}

/// Takes a debug function out (`sys:remove/2`). Returns whether it was there.
pub async fn remove<S: GenServer>(server: &ServerRef<S>, name: &str) -> Result<bool, SysError> {
    let name = name.to_owned();
    ask(server, move |_, context| {
        let functions = &mut context.debug().functions;
        let before = functions.len();
        functions.retain(|(one, _)| **one != *name);
        functions.len() < before
    })
    .await
}

/// Turns all debugging off (`sys:no_debug/1`).
pub async fn no_debug<S: GenServer>(server: &ServerRef<S>) -> Result<(), SysError> {
    ask(server, |_, context| {
        if let Some(debug) = context.debug.take()
            && let Some((_, recorder)) = debug.statistics
        {
            context.process.remove_observer(&recorder);
        }
    })
    .await
}

impl<S: GenServer> Context<S> {
    fn debug(&mut self) -> &mut Debug<S> {
        self.debug.get_or_insert_default()
    }
}
