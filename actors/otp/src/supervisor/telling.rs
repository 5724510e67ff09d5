//! What supervisors report.

use crate::context::Context;
use crate::exit_reason::ExitReason;
use crate::gen_server::GenServer;
use crate::pid::Pid;
use crate::report::{ProgressReport, Report, SupervisorContext, SupervisorReport};
use crate::supervisor::child_start::Started;

use std::sync::Arc;

/// Reports that a supervisor had to act.
pub(crate) fn tell<S: GenServer>(
    ctx: &Context<S>,
    context: SupervisorContext,
    child: &Arc<str>,
    child_pid: Option<Pid>,
    reason: ExitReason,
) {
    ctx.node()
        .report(&Report::Supervisor(Box::new(SupervisorReport {
            supervisor: ctx.pid(),
            name: ctx.process.name(),
            context,
            reason,
            child: child.clone(),
            child_pid,
        })));
}

/// Reports that a child runs, unless it ran before.
pub(crate) fn tell_progress<S: GenServer>(ctx: &Context<S>, child: &Arc<str>, started: &Started) {
    if !started.outside {
        ctx.node()
            .report(&Report::Progress(Box::new(ProgressReport {
                supervisor: ctx.pid(),
                child: child.clone(),
                child_pid: started.pid(),
            })));
    }
}
