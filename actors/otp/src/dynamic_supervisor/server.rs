//! The process of a [`DynamicSupervisor`].
//!
//! ```text
//!   start_child(spec) ──▶ ┌────────────────────┐ ──start, link, monitor──▶ child, child, child …
//!   Retry ──────────────▶ │ dynamic supervisor │ ◀──EXIT, DOWN──────────── restart, or forget
//!      ▲                  └────────────────────┘
//!      └─ a start that failed in a restart is tried again in its turn, and counts
//! ```
//!
//! * Started by [`DynamicSupervisor::start`] or as a child of a supervisor.
//! * When it is stopped all children are told at once, and each gets its own time.
//! * It calls nobody; the `init` of a child runs within its own turn, so keep that short and use
//!   [`crate::Init::Continue`] for slow set-up.
//! * Table: one entry per child. Limit: [`DynamicSupervisor::max_children`], policy: refuse with
//!   [`SupervisorError::MaxChildren`]. A full mailbox refuses requests, never EXITs or retries.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use crate::context::Context;
use crate::dynamic_supervisor::DynamicSupervisor;
use crate::exit_reason::ExitReason;
use crate::gen_server::{GenServer, Info, Init, Next, Status};
use crate::panics::guarded;
use crate::pid::{MonitorRef, Pid, SerialHash};
use crate::process::Process;
use crate::report::SupervisorContext;
use crate::server_ref::From;
use crate::start::StartError;
use crate::supervisor::child_spec::{ChildKind, ChildSpec, Restart, Shutdown};
use crate::supervisor::child_start::{Extra, Started};
use crate::supervisor::handle::{ChildCount, ChildInfo, ChildState, SupervisorError};
use crate::supervisor::spec_error::check_child;
use crate::supervisor::stopping::{Stopping, is_as_told};
use crate::supervisor::strategy::{AutoShutdown, RestartWindow};
use crate::supervisor::telling::{tell, tell_progress};
use crate::supervisor::{SupervisorInit, why_of};

/// The process behind a [`crate::DynamicSupervisorRef`].
pub struct DynamicSupervisorServer {
    window: RestartWindow,
    max_children: usize,
    extra: Option<Extra>,
    /// By process; one that is being restarted by its last.
    children: HashMap<Pid, Child, SerialHash>,
}

/// What is kept of a child. A temporary one leaves its specification, and with it its arguments,
/// behind as soon as it runs.
struct Child {
    id: Arc<str>,
    module: &'static str,
    kind: ChildKind,
    shutdown: Shutdown,
    respawn: Option<Box<ChildSpec>>,
    restarting: bool,
    process: Arc<Process>,
    /// Tells of the end of a child that removed its link.
    monitor: MonitorRef,
}

impl Child {
    fn restart(&self) -> Restart {
        let respawn = self.respawn.as_ref();
        respawn.map_or(Restart::Temporary, |spec| spec.restart)
    }

    fn info(&self, pid: Pid) -> ChildInfo {
        ChildInfo {
            id: self.id.clone(),
            state: match self.restarting {
                true => ChildState::Restarting,
                false => ChildState::Running(pid),
            },
            kind: self.kind,
            module: self.module,
        }
    }

    fn spec(&self) -> ChildSpec {
        if let Some(spec) = &self.respawn {
            return (**spec).clone();
        }
        let mut spec = ChildSpec::bare(self.id.clone(), self.module);
        spec.kind = self.kind;
        spec.shutdown = self.shutdown;
        spec
    }
}

/// The requests of a dynamic supervisor; use [`crate::DynamicSupervisorRef`].
pub enum DynamicSupervisorMessage {
    /// See [`crate::DynamicSupervisorRef::start_child`].
    StartChild {
        /// The child.
        spec: ChildSpec,
        /// Who asks.
        from: From<Result<Started, SupervisorError>>,
    },
    /// See [`crate::DynamicSupervisorRef::terminate_child`].
    TerminateChild {
        /// The child.
        pid: Pid,
        /// Who asks.
        from: From<Result<(), SupervisorError>>,
    },
    /// See [`crate::DynamicSupervisorRef::which_children`].
    WhichChildren(From<Vec<ChildInfo>>),
    /// See [`crate::DynamicSupervisorRef::which_child`].
    WhichChild {
        /// The child.
        pid: Pid,
        /// Who asks.
        from: From<Result<ChildInfo, SupervisorError>>,
    },
    /// See [`crate::DynamicSupervisorRef::get_childspec`].
    GetChildSpec {
        /// The child.
        pid: Pid,
        /// Who asks.
        from: From<Result<ChildSpec, SupervisorError>>,
    },
    /// See [`crate::DynamicSupervisorRef::count_children`].
    CountChildren(From<ChildCount>),
    /// To itself: try again to restart the child which ran as this process.
    Retry {
        /// Its last process.
        pid: Pid,
    },
}

impl GenServer for DynamicSupervisorServer {
    type Args = DynamicSupervisor;
    type Message = DynamicSupervisorMessage;

    async fn init(
        mut description: DynamicSupervisor,
        ctx: &mut Context<DynamicSupervisorServer>,
    ) -> Init<DynamicSupervisorServer> {
        ctx.trap_exit(true);
        while let Some(init) = description.init.take() {
            match guarded(async move { init().await }).await {
                Ok(SupervisorInit::Ok(made)) => description = made,
                Ok(SupervisorInit::Ignore) => return Init::Ignore,
                Ok(SupervisorInit::Stop(reason)) | Err(reason) => return Init::Stop(reason),
            }
        }
        if let Err(error) = description.check() {
            return Init::Stop(ExitReason::error(error));
        }
        Init::Ok(DynamicSupervisorServer {
            window: RestartWindow::new(description.intensity, description.period),
            max_children: description.max_children,
            extra: description.extra,
            children: HashMap::default(),
        })
    }

    async fn handle(
        &mut self,
        message: DynamicSupervisorMessage,
        ctx: &mut Context<DynamicSupervisorServer>,
    ) -> Next<DynamicSupervisorServer> {
        match message {
            DynamicSupervisorMessage::StartChild { spec, from } => {
                from.reply(self.start_child(spec, ctx).await);
            }
            DynamicSupervisorMessage::TerminateChild { pid, from } => {
                from.reply(self.terminate_child(pid, ctx).await);
            }
            DynamicSupervisorMessage::WhichChildren(from) => from.reply(self.which_children()),
            DynamicSupervisorMessage::WhichChild { pid, from } => {
                from.reply(self.child(pid).map(|child| child.info(pid)));
            }
            DynamicSupervisorMessage::GetChildSpec { pid, from } => {
                from.reply(self.child(pid).map(Child::spec));
            }
            DynamicSupervisorMessage::CountChildren(from) => from.reply(self.count_children()),
            DynamicSupervisorMessage::Retry { pid } => {
                // Void if the child was terminated in the meantime.
                if self.child(pid).is_ok_and(|child| child.restarting) {
                    return self.restart(pid, ctx).await;
                }
            }
        }
        Next::Go
    }

    async fn handle_info(
        &mut self,
        info: Info,
        ctx: &mut Context<DynamicSupervisorServer>,
    ) -> Next<DynamicSupervisorServer> {
        let (Info::Exit { from, reason }
        | Info::Down {
            pid: from, reason, ..
        }) = info
        else {
            tracing::debug!(pid = %ctx.pid(), ?info, "a supervisor got an unexpected message");
            return Next::Go;
        };
        let Some(child) = self.children.get(&from) else {
            return Next::Go;
        };
        if child.restarting || !child.process.is_exited() {
            // It lives: somebody only sent an exit signal.
            return Next::Go;
        }
        ctx.demonitor(child.monitor, true);
        let restart = child.restart();
        if restart == Restart::Permanent || !reason.is_normal_for_transient() {
            let context = SupervisorContext::ChildTerminated;
            tell(ctx, context, &child.id, Some(from), reason.clone());
        }
        if restart.applies_to(&reason) {
            return self.restart(from, ctx).await;
        }
        self.children.remove(&from);
        Next::Go
    }

    fn format_status(&self, status: &mut Status) {
        status.state = format!("dynamic supervisor, {} children", self.children.len());
    }

    fn message_name(message: &DynamicSupervisorMessage) -> &'static str {
        match message {
            DynamicSupervisorMessage::StartChild { .. } => "start_child",
            DynamicSupervisorMessage::TerminateChild { .. } => "terminate_child",
            DynamicSupervisorMessage::WhichChildren(_) => "which_children",
            DynamicSupervisorMessage::WhichChild { .. } => "which_child",
            DynamicSupervisorMessage::GetChildSpec { .. } => "get_childspec",
            DynamicSupervisorMessage::CountChildren(_) => "count_children",
            DynamicSupervisorMessage::Retry { .. } => "retry",
        }
    }

    async fn terminate(
        &mut self,
        _reason: &ExitReason,
        ctx: &mut Context<DynamicSupervisorServer>,
    ) {
        let children: Vec<Child> = self.children.drain().map(|(_, child)| child).collect();
        let mut ending = Vec::with_capacity(children.len());
        for child in children.into_iter().filter(|child| !child.restarting) {
            let (process, monitor) = (child.process.clone(), child.monitor);
            let stopping = Stopping::begin_watched(ctx, process, monitor, child.shutdown);
            ending.push(async move { (child, stopping.finish().await) });
        }
        for (child, reason) in join_all(ending).await {
            tell_unless_as_told(&child, reason, ctx);
        }
    }
}

impl DynamicSupervisorServer {
    fn child(&self, pid: Pid) -> Result<&Child, SupervisorError> {
        self.children.get(&pid).ok_or(SupervisorError::NotFound)
    }

    async fn start_child(
        &mut self,
        spec: ChildSpec,
        ctx: &mut Context<DynamicSupervisorServer>,
    ) -> Result<Started, SupervisorError> {
        check_child(&spec, AutoShutdown::Never).map_err(SupervisorError::Spec)?;
        if self.children.len() >= self.max_children {
            return Err(SupervisorError::MaxChildren);
        }
        let started = spec.start(&ctx.process, self.extra.as_ref()).await;
        let started = started.map_err(SupervisorError::Start)?;
        self.keep(&started, spec, ctx);
        Ok(started)
    }

    async fn terminate_child(
        &mut self,
        pid: Pid,
        ctx: &mut Context<DynamicSupervisorServer>,
    ) -> Result<(), SupervisorError> {
        let child = self.children.remove(&pid);
        let child = child.ok_or(SupervisorError::NotFound)?;
        if !child.restarting {
            let (process, monitor) = (child.process.clone(), child.monitor);
            let stopping = Stopping::begin_watched(ctx, process, monitor, child.shutdown);
            let reason = stopping.finish().await;
            tell_unless_as_told(&child, reason, ctx);
        }
        Ok(())
    }

    fn which_children(&self) -> Vec<ChildInfo> {
        let mut pids: Vec<Pid> = self.children.keys().copied().collect();
        pids.sort_unstable();
        let children = pids.into_iter().filter_map(|pid| {
            let child = self.children.get(&pid)?;
            Some(child.info(pid))
        });
        children.collect()
    }

    fn count_children(&self) -> ChildCount {
        let mut count = ChildCount::default();
        for child in self.children.values() {
            count.add(child.kind, !child.restarting);
        }
        count
    }

    async fn restart(
        &mut self,
        pid: Pid,
        ctx: &mut Context<DynamicSupervisorServer>,
    ) -> Next<DynamicSupervisorServer> {
        let Some(child) = self.children.get_mut(&pid) else {
            return Next::Go;
        };
        child.restarting = true;
        let Some(spec) = child.respawn.clone() else {
            return Next::Go;
        };
        if !self.window.allow(Instant::now()) {
            let reason = ExitReason::error("too many restarts");
            tell(
                ctx,
                SupervisorContext::Shutdown,
                &spec.id,
                Some(pid),
                reason,
            );
            return Next::Stop(ExitReason::Shutdown);
        }
        ctx.node().counters().restarted();
        match spec.start(&ctx.process, self.extra.as_ref()).await {
            Ok(successor) => {
                self.children.remove(&pid);
                self.keep(&successor, *spec, ctx);
            }
            Err(StartError::Ignore) => {
                self.children.remove(&pid);
            }
            Err(error) => {
                let context = SupervisorContext::StartError;
                tell(ctx, context, &spec.id, None, why_of(error));
                // Through the mailbox, so that requests get their turn; it counts as a restart.
                let retry = DynamicSupervisorMessage::Retry { pid };
                if let Err(refused) = ctx.self_ref().try_cast(retry) {
                    // A timer is never refused, and waits its turn as well.
                    ctx.send_after(Duration::ZERO, refused.into_message());
                }
            }
        }
        Next::Go
    }

    fn keep(
        &mut self,
        started: &Started,
        spec: ChildSpec,
        ctx: &mut Context<DynamicSupervisorServer>,
    ) {
        let pid = started.pid();
        tell_progress(ctx, &spec.id, started);
        let child = Child {
            id: spec.id.clone(),
            module: spec.module,
            kind: spec.kind,
            shutdown: spec.shutdown,
            respawn: (spec.restart != Restart::Temporary).then(|| Box::new(spec)),
            restarting: false,
            process: started.process.clone(),
            monitor: ctx.monitor(pid),
        };
        self.children.insert(pid, child);
    }
}

/// Reports a child that was stopped and did not end as it was told to.
fn tell_unless_as_told(child: &Child, reason: ExitReason, ctx: &Context<DynamicSupervisorServer>) {
    if !is_as_told(&reason, child.shutdown, child.restart()) {
        let context = SupervisorContext::ShutdownError;
        tell(ctx, context, &child.id, Some(child.process.pid), reason);
    }
}
