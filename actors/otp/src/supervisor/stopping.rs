//! Stopping one child: shutdown, wait, kill (`supervisor:shutdown/1`).

use std::sync::Arc;

use crate::context::Context;
use crate::exit_reason::ExitReason;
use crate::gen_server::GenServer;
use crate::pid::{MonitorRef, Pid};
use crate::process::Process;
use crate::supervisor::child_spec::{Restart, Shutdown};

/// A child which is on its way out.
pub(crate) struct Stopping {
    supervisor: Pid,
    child: Option<Arc<Process>>,
    shutdown: Shutdown,
}

impl Stopping {
    /// Cuts the link, so that the end is not also reported as an EXIT, and sends the exit signal.
    pub(crate) fn begin<S: GenServer>(
        context: &mut Context<S>,
        child: Pid,
        shutdown: Shutdown,
    ) -> Stopping {
        let process = context.node().process(child);
        Stopping::signal(context, child, process, shutdown)
    }

    /// The same for a child whose record is at hand, so that its reason is known even if it has
    /// ended already, and which is watched.
    pub(crate) fn begin_watched<S: GenServer>(
        context: &mut Context<S>,
        child: Arc<Process>,
        monitor: MonitorRef,
        shutdown: Shutdown,
    ) -> Stopping {
        context.demonitor(monitor, true);
        Stopping::signal(context, child.pid, Some(child), shutdown)
    }

    fn signal<S: GenServer>(
        context: &mut Context<S>,
        child: Pid,
        process: Option<Arc<Process>>,
        shutdown: Shutdown,
    ) -> Stopping {
        context.unlink(child);
        context.exit(
            child,
            match shutdown {
                Shutdown::Brutal => ExitReason::Kill,
                Shutdown::Timeout(_) | Shutdown::Infinity => ExitReason::Shutdown,
            },
        );
        Stopping {
            supervisor: context.pid(),
            child: process,
            shutdown,
        }
    }

    /// Waits for the end as long as the specification allows, then kills.
    pub(crate) async fn finish(self) -> ExitReason {
        let Some(child) = self.child else {
            return ExitReason::NoProc;
        };
        if let Shutdown::Timeout(limit) = self.shutdown {
            if let Ok(reason) = tokio::time::timeout(limit, child.wait()).await {
                return reason;
            }
            tracing::warn!(pid = %child.pid, ?limit, "child did not shut down in time, killing it");
            child.exit_signal(self.supervisor, ExitReason::Kill, false);
        }
        child.wait().await
    }
}

/// Whether a child that was stopped ended as it was told to; if not, it is reported.
pub(crate) fn is_as_told(reason: &ExitReason, shutdown: Shutdown, restart: Restart) -> bool {
    match reason {
        ExitReason::Shutdown | ExitReason::ShutdownWith(_) => true,
        ExitReason::Killed => shutdown == Shutdown::Brutal,
        ExitReason::Normal => restart != Restart::Permanent,
        _ => false,
    }
}
