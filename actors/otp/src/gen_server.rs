//! The `GenServer` behaviour: a process which owns a state and answers one message at a time.
//!
//! ```text
//!  clients ──cast/call──▶ ┌─────────┐   handle(message)    ┌────────────┐
//!  peers ──EXIT, DOWN───▶ │ mailbox │ ───────────────────▶ │ your state │
//!  timers ──────────────▶ └─────────┘   handle_info(info)  └────────────┘
//! ```
//!
//! * Started by [`crate::start`] (alone), [`crate::Context::start_link`] or a supervisor.
//! * When it dies its names are released, then its links and monitors fire.
//! * A full mailbox refuses casts and calls, never the runtime's own signals.
//!
//! Semantics: the `gen_server` manual page and OTP Design Principles, "gen_server Behaviour".
//!
//! | Erlang's manual, gen_server(3) | here |
//! |---|---|
//! | `init/1`: `{ok, State}`, with `Timeout`, `hibernate` or `{continue, Term}`; `ignore`; `{stop, Reason}` | [`Init`], variant by variant. The starter waits for it. |
//! | `handle_call/3`, `handle_cast/2` | One [`GenServer::handle`]: a request carries a [`crate::From`], and whoever holds it answers, then or later. |
//! | `handle_info/2` | [`GenServer::handle_info`] with an [`Info`]: EXIT, DOWN, a time-out, nodes, tables, untyped messages. |
//! | `{noreply, State, Timeout}`: "if an integer … no message is received within that time" | [`Next::Timeout`]: any message cancels it, and it comes as [`Info::Timeout`]. |
//! | `call/3` exits the caller: `timeout`, `noproc`, `{nodedown, Node}`, the reason of the server, `calling_self` | [`crate::CallError`], one variant for each; the caller decides. A late answer is dropped. |
//! | `terminate/2` runs before an orderly end; after an exit signal only if the server traps exits | The same: [`GenServer::terminate`]. |
//! | "If the gen_server is part of a supervision tree and is ordered by its supervisor to terminate" and traps exits, `terminate(shutdown, …)` | The same; without trapping it ends at its next await. |

use std::any::Any;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::context::Context;
use crate::ets::Transfer;
use crate::exit_reason::ExitReason;
use crate::pid::{MonitorRef, Pid, RequestRef};
use crate::start::StartError;
use crate::supervisor::child_spec::{DEFAULT_SHUTDOWN, Restart, Shutdown};

/// What a server's `init` decided.
#[must_use]
pub enum Init<S: GenServer> {
    /// Run with this state.
    Ok(S),
    /// Run with this state, and handle this message before anything from the mailbox
    /// (`{continue, _}`): the place for slow set-up which the starter need not wait for.
    Continue(S, S::Message),
    /// Run with this state, and get [`Info::Timeout`] if nothing arrives for this long.
    Timeout(S, Duration),
    /// Run with this state, and get [`Info::Timeout`] if nothing arrives until then
    /// (`{abs, true}`).
    TimeoutAt(S, Instant),
    /// Run with this state, and hibernate until something arrives; see [`Next::Hibernate`].
    Hibernate(S),
    /// Do not run; the starter gets [`crate::StartError::Ignore`], a supervisor goes on.
    Ignore,
    /// Do not run; the starter gets [`crate::StartError::Failed`].
    Stop(ExitReason),
}

/// What a server does after a callback.
#[must_use]
pub enum Next<S: GenServer> {
    /// Wait for the next message.
    Go,
    /// Handle this message before anything which is queued.
    Continue(S::Message),
    /// Wait, but if nothing arrives for this long get [`Info::Timeout`]. Zero means now: before
    /// anything which is queued, as a `{timeout, 0, _}` action does.
    Timeout(Duration),
    /// Wait, but if nothing arrives until then get [`Info::Timeout`] (`{abs, true}`).
    TimeoutAt(Instant),
    /// Wait, and meanwhile hold as little memory as possible: [`GenServer::hibernate`] is called,
    /// and the mailbox gives its buffer back.
    Hibernate,
    /// End: `terminate` runs, then names are released, then links and monitors fire.
    Stop(ExitReason),
}

/// A monitored process ended, or did not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Down {
    /// The monitor that fired; it is gone now.
    pub monitor: MonitorRef,
    /// The process it watched. [`Pid::serial`] is 0 where a monitored name had no process.
    pub pid: Pid,
    /// The name, if the monitor was set by name: `{Name, Node}` in Erlang.
    pub name: Option<Arc<str>>,
    /// Its reason.
    pub reason: ExitReason,
}

/// What arrives besides the server's own messages.
#[derive(Debug)]
#[non_exhaustive]
pub enum Info {
    /// A linked process ended, or somebody sent an exit signal, while this process traps exits.
    Exit {
        /// The process that ended, or the sender of the signal.
        from: Pid,
        /// Its reason.
        reason: ExitReason,
    },
    /// A monitored process ended, or did not exist (`NoProc`).
    Down {
        /// The monitor that fired; it is gone now.
        monitor: MonitorRef,
        /// The process it watched. [`Pid::serial`] is 0 where a monitored name had no process.
        pid: Pid,
        /// The name, if the monitor was set by name: `{Name, Node}` in Erlang.
        name: Option<Arc<str>>,
        /// Its reason.
        reason: ExitReason,
    },
    /// Nothing arrived for as long as [`Next::Timeout`] asked.
    Timeout,
    /// The answer to [`Context::spawn_request`]: always before any EXIT or DOWN of the process.
    Spawned {
        /// The request.
        request: RequestRef,
        /// The process, which may have ended again already, or why there is none.
        result: Result<Pid, StartError>,
    },
    /// A node was connected to; after [`Context::monitor_nodes`].
    NodeUp(Arc<str>),
    /// The connection to a node was lost; after [`Context::monitor_nodes`]. All messages from it
    /// came before this.
    NodeDown(Arc<str>),
    /// A table that is this process' now: it was given away, or its owner has ended and this
    /// process was its heir (`'ETS-TRANSFER'`).
    Transfer(Transfer),
    /// An untyped message, sent with [`crate::Node::send`] to a bare pid, a name or an alias.
    Message(Box<dyn Any + Send>),
}

/// What a crash report or [`crate::sys::get_status`] shows of a server. A server hides or
/// shortens what should not be seen in [`GenServer::format_status`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The state, as text.
    pub state: String,
    /// The message being handled, by name, if any.
    pub message: Option<String>,
    /// The exit reason, in a crash report.
    pub reason: Option<ExitReason>,
    /// The debug log, oldest first.
    pub log: Vec<String>,
}

/// A server process. Write the callbacks as plain `async fn`.
///
/// Panics in a callback end the process with [`ExitReason::Panic`]; nothing else is affected.
pub trait GenServer: Sized + Send + 'static {
    /// What `init` is given.
    type Args: Send + 'static;
    /// The messages of this server: one enum. A call is a variant with a [`crate::From`] inside.
    type Message: Send + 'static;

    /// When a child of this kind is started again, unless its specification says otherwise
    /// (Elixir: `use GenServer, restart: _`).
    const RESTART: Restart = Restart::Permanent;
    /// How a child of this kind is stopped, unless its specification says otherwise
    /// (Elixir: `use GenServer, shutdown: _`).
    const SHUTDOWN: Shutdown = Shutdown::Timeout(DEFAULT_SHUTDOWN);

    /// Builds the state. The starter waits for it. On any failure the names are free and nothing
    /// is left when the starter sees the error.
    fn init(args: Self::Args, ctx: &mut Context<Self>) -> impl Future<Output = Init<Self>> + Send;

    /// Handles one message.
    fn handle(
        &mut self,
        message: Self::Message,
        ctx: &mut Context<Self>,
    ) -> impl Future<Output = Next<Self>> + Send;

    /// Handles EXIT, DOWN, timeouts and untyped messages. By default they are logged.
    fn handle_info(
        &mut self,
        info: Info,
        ctx: &mut Context<Self>,
    ) -> impl Future<Output = Next<Self>> + Send {
        let pid = ctx.pid();
        async move {
            tracing::warn!(%pid, ?info, "unexpected message");
            Next::Go
        }
    }

    /// What the server is in a crash report and in [`crate::sys::get_status`]. By default the
    /// state is shown as the name of its type. A panic in here never hides what it was called
    /// for.
    fn format_status(&self, status: &mut Status) {
        let _ = status;
    }

    /// What a message is called in reports, traces and process information. Called while the
    /// mailbox is locked: return a constant.
    fn message_name(message: &Self::Message) -> &'static str {
        let _ = message;
        "message"
    }

    /// What a message counts against [`crate::Options::mailbox_bytes_max`]. Called while the
    /// mailbox is locked.
    fn message_bytes(message: &Self::Message) -> usize {
        std::mem::size_of_val(message)
    }

    /// Whose call a message is, for crash reports: [`crate::From::caller`] of its handle.
    fn message_client(message: &Self::Message) -> Option<Pid> {
        let _ = message;
        None
    }

    /// Lets go of what can be made again: called before the server hibernates.
    fn hibernate(&mut self) {}

    /// Makes the state of this version of the code from that of an earlier one
    /// (`code_change/3`), for [`crate::sys::change_code`].
    ///
    /// # Errors
    /// Says why it cannot; the server goes on with the state it has.
    fn code_change(&self, from_version: &str) -> Result<Self, String> {
        Err(format!(
            "there is no code_change from version {from_version}"
        ))
    }

    /// The last thing a server does: after [`Next::Stop`], after a panic, and when its parent
    /// ends while it traps exits. Not after a kill, nor when an exit signal hits a process which
    /// does not trap (`gen_server:terminate/2`).
    fn terminate(
        &mut self,
        reason: &ExitReason,
        ctx: &mut Context<Self>,
    ) -> impl Future<Output = ()> + Send {
        let _ = (reason, ctx);
        async {}
    }
}
