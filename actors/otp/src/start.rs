//! Starting a process (`proc_lib:start_link/3`, `gen:start/6`).
//!
//! ```text
//!  starter ──▶ pid, name, registry keys, link ──▶ init ──Ok──────▶ running, starter gets a ref
//!                                                  └──anything else──▶ unlinked, names free,
//!                                                                      starter gets an error
//! ```
//!
//! `init` runs inside the starter's own wait: if the starter is dropped or gives up, the
//! half-started process is dropped with it.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use ractor::{Actor, SpawnErr};
use thiserror::Error;

use crate::carrier;
use crate::exit_reason::ExitReason;
use crate::gen_server::GenServer;
use crate::node::Node;
use crate::options::Options;
use crate::pid::Pid;
use crate::process::Process;
use crate::runner::{Begin, HalfStarted, Runner, Slot, Start};
use crate::server_ref::ServerRef;

/// Why a process did not start. In every case its names are free and nothing of it is left.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StartError {
    /// The name or key belongs to this process, which runs already: use it.
    #[error("already started as {0}")]
    AlreadyStarted(Pid),
    /// `init` chose not to run.
    #[error("init chose not to run")]
    Ignore,
    /// `init` failed, or the process was ended during it.
    #[error("init failed: {0}")]
    Failed(ExitReason),
    /// `init` took longer than [`Options::start_timeout`].
    #[error("init took too long")]
    Timeout,
}

/// Starts a server which nobody is linked to (`gen_server:start/3`). Returns after its `init`.
pub async fn start<S: GenServer>(
    node: &Node,
    args: S::Args,
    options: Options,
) -> Result<ServerRef<S>, StartError> {
    start_process(node.clone(), None, args, options).await
}

/// Starts a server, linked to `parent` if there is one.
pub(crate) fn start_process<S: GenServer>(
    node: Node,
    parent: Option<Arc<Process>>,
    args: S::Args,
    options: Options,
) -> BoxFuture<'static, Result<ServerRef<S>, StartError>> {
    start_with(node, parent, Begin::Init(args), options)
}

/// Starts a process that gets its state in either way.
pub(crate) fn start_with<S: GenServer>(
    node: Node,
    parent: Option<Arc<Process>>,
    begin: Begin<S>,
    options: Options,
) -> BoxFuture<'static, Result<ServerRef<S>, StartError>> {
    Box::pin(async move {
        let limit = options.start_timeout;
        let slot = Slot::default();
        // Whoever waits for the start is told by it; one that only asked for it is not.
        let waits = parent.clone().filter(|_| options.linked);
        let light = options.light || node.starts_light();
        let start = Start {
            node,
            pid: None,
            half_started: HalfStarted::new(slot.clone(), waits),
            parent,
            begin,
            options,
        };
        if light {
            let start = carrier::start_light(start);
            let process = match limit {
                None => start.await?,
                Some(limit) => match tokio::time::timeout(limit, start).await {
                    Ok(started) => started?,
                    Err(_) => return Err(StartError::Timeout),
                },
            };
            return Ok(ServerRef::new(process));
        }
        let spawn = Actor::spawn(None, Runner::<S>::new(), start);
        let spawned = match limit {
            None => spawn.await,
            Some(limit) => match tokio::time::timeout(limit, spawn).await {
                Ok(spawned) => spawned,
                Err(_) => return Err(StartError::Timeout),
            },
        };
        match (spawned, slot.get().map(|published| &published.process)) {
            (Ok(_), Some(process)) => Ok(ServerRef::new(process.clone())),
            (Ok(_), None) => Err(StartError::Failed(ExitReason::Killed)),
            (Err(error), process) => Err(start_error(error, process)),
        }
    })
}

fn start_error(error: SpawnErr, process: Option<&Arc<Process>>) -> StartError {
    if let SpawnErr::StartupFailed(error) = error
        && let Ok(error) = error.downcast::<StartError>()
    {
        return *error;
    }
    // The process was killed during `init`; its record knows by what.
    let reason = process.and_then(|process| process.exit_reason());
    StartError::Failed(reason.unwrap_or(ExitReason::Killed))
}
