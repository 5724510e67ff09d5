//! Changing versions without losing state: handing a server's state to its successor on another
//! node, and changing a server in place.
//!
//! ```text
//!   old server ── suspended ── export ──▶ HandedOver ──▶ heir ── import ── accept
//!       │                                                             │
//!       └── ended: callers look up the heir ◀─────────────────────────┘
//!       └── no: it goes on as it was
//! ```
//!
//! The state travels as bytes of a numbered version, so old and new code can meet: a server says
//! which versions it reads and writes, one release back at least.

use std::time::Duration;

use thiserror::Error;
use tokio::sync::oneshot;

use crate::exit_reason::ExitReason;
use crate::gen_server::{GenServer, Info};
use crate::pid::Pid;
use crate::server_ref::{CallError, DEFAULT_CALL_TIMEOUT, ServerRef};
use crate::sys::{self, SysError};

/// Why a state was not handed over. The old server goes on as it was.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HandOverError {
    /// The old server could not be asked.
    #[error("the old server could not be asked: {0}")]
    Sys(#[source] SysError),
    /// It could not write its state.
    #[error("the state could not be written: {0}")]
    Export(String),
    /// The heir is not there.
    #[error("the heir is not there")]
    NoHeir,
    /// The heir could not read the state.
    #[error("the heir refused: {0}")]
    Refused(String),
    /// The heir did not answer in time. If it took the state nevertheless there are two now: end
    /// one of them.
    #[error("the heir did not answer in time")]
    Timeout,
    /// The heir has the state, but the old server did not end: kill it.
    #[error("the old server did not end: {0}")]
    Leftover(#[source] CallError),
}

/// A server whose state can be handed to a successor.
pub trait HandOver: GenServer {
    /// The version of what [`HandOver::export`] writes by default.
    const VERSION: u32;

    /// Writes the state in this version, at most [`HandOver::VERSION`].
    ///
    /// # Errors
    /// Says why it cannot, for example because the version is too old.
    fn export(&self, version: u32) -> Result<Vec<u8>, String>;

    /// Makes this server what was exported by another, of its own version or an older one.
    ///
    /// # Errors
    /// Says why it cannot; the server must be as it was.
    fn import(&mut self, version: u32, state: &[u8]) -> Result<(), String>;
}

/// A state on its way. Arrives at the heir as [`Info::Message`]; its `handle_info` passes it to
/// [`HandedOver::from_info`] and [`HandedOver::accept`]s it (`ets(3)`, heir: `'ETS-TRANSFER'`).
#[derive(Debug)]
pub struct HandedOver {
    from: Pid,
    version: u32,
    state: Vec<u8>,
    answer: oneshot::Sender<Result<(), String>>,
}

impl HandedOver {
    /// The state in an untyped message, or the message.
    ///
    /// # Errors
    /// It is something else.
    pub fn from_info(info: Info) -> Result<HandedOver, Info> {
        match info {
            Info::Message(message) => match message.downcast::<HandedOver>() {
                Ok(handed) => Ok(*handed),
                Err(message) => Err(Info::Message(message)),
            },
            other => Err(other),
        }
    }

    /// The server it comes from.
    pub fn from(&self) -> Pid {
        self.from
    }

    /// Imports the state; the old server ends if that went well, and goes on if not. Returns
    /// whether it went well.
    pub fn accept<S: HandOver>(self, server: &mut S) -> bool {
        let imported = server.import(self.version, &self.state);
        let accepted = imported.is_ok();
        let _ = self.answer.send(imported);
        accepted
    }
}

/// Hands the state of a server to an heir, which may be on another node, in a version the heir
/// reads; then the old server ends with [`ExitReason::ShutdownWith`], saying who the heir is.
/// Messages that were there before are handled before.
///
/// # Errors
/// See [`HandOverError`]: the old server goes on as it was.
pub async fn hand_over<S: HandOver>(
    server: &ServerRef<S>,
    heir: Pid,
    version: u32,
    limit: Duration,
) -> Result<(), HandOverError> {
    sys::suspend(server).await.map_err(HandOverError::Sys)?;
    let handed = transfer(server, heir, version, limit).await;
    match handed {
        Ok(()) => {
            let reason = ExitReason::ShutdownWith(format!("handed over to {heir}").into());
            let ended = server.stop(reason, DEFAULT_CALL_TIMEOUT).await;
            ended.map_err(HandOverError::Leftover)
        }
        Err(error) => {
            sys::resume(server).await.map_err(HandOverError::Sys)?;
            Err(error)
        }
    }
}

async fn transfer<S: HandOver>(
    server: &ServerRef<S>,
    heir: Pid,
    version: u32,
    limit: Duration,
) -> Result<(), HandOverError> {
    let state = sys::with_state(server, move |server| server.export(version)).await;
    let state = state
        .map_err(HandOverError::Sys)?
        .map_err(HandOverError::Export)?;
    let (answer, answered) = oneshot::channel();
    let handed = HandedOver {
        from: server.pid(),
        version,
        state,
        answer,
    };
    let node = &server.process.node;
    if !node.send(heir, Box::new(handed)) {
        return Err(HandOverError::NoHeir);
    }
    match tokio::time::timeout(limit, answered).await {
        Ok(Ok(answer)) => answer.map_err(HandOverError::Refused),
        Ok(Err(_)) => Err(HandOverError::NoHeir),
        Err(_) => Err(HandOverError::Timeout),
    }
}

/// Changes a server in place to this version of the code (`release_handler`): suspends it, has it
/// make its new state from the old one ([`GenServer::code_change`]), and lets it go on. Messages
/// that arrive meanwhile wait.
///
/// # Errors
/// [`SysError::CodeChange`], [`SysError::Failed`]: it goes on with the state it had.
pub async fn upgrade<S: GenServer>(
    server: &ServerRef<S>,
    from_version: &str,
) -> Result<(), SysError> {
    sys::suspend(server).await?;
    let changed = sys::change_code(server, from_version).await;
    sys::resume(server).await?;
    changed
}
