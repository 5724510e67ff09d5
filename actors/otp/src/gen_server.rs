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

use std::any::Any;
use std::future::Future;
use std::time::Duration;

use crate::context::Context;
use crate::exit_reason::ExitReason;
use crate::pid::{MonitorRef, Pid};

/// What a server's `init` decided.
#[must_use]
pub enum Init<S: GenServer> {
    /// Run with this state.
    Ok(S),
    /// Run with this state, and handle this message before anything from the mailbox
    /// (`{continue, _}`): the place for slow set-up which the starter need not wait for.
    Continue(S, S::Message),
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
    /// Wait, but if nothing arrives for this long get [`Info::Timeout`].
    Timeout(Duration),
    /// End: `terminate` runs, then names are released, then links and monitors fire.
    Stop(ExitReason),
}

/// What arrives besides the server's own messages.
#[derive(Debug)]
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
        /// The process it watched.
        pid: Pid,
        /// Its reason.
        reason: ExitReason,
    },
    /// Nothing arrived for as long as [`Next::Timeout`] asked.
    Timeout,
    /// An untyped message, sent with [`crate::Node::send`] to a bare pid.
    Message(Box<dyn Any + Send>),
}

/// A server process. Write the callbacks as plain `async fn`.
///
/// Panics in a callback end the process with [`ExitReason::Panic`]; nothing else is affected.
pub trait GenServer: Sized + Send + 'static {
    /// What `init` is given.
    type Args: Send + 'static;
    /// The messages of this server: one enum. A call is a variant with a [`crate::From`] inside.
    type Message: Send + 'static;

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
            tracing::debug!(%pid, ?info, "unexpected message");
            Next::Go
        }
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
