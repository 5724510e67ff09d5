//! The process of a [`Supervisor`].
//!
//! ```text
//!   requests ──▶ ┌────────────┐ ──start──▶ child: linked, and watched should it unlink itself
//!   Retry ─────▶ │ supervisor │ ◀─EXIT, DOWN──┘
//!      ▲         └────────────┘
//!      └─ a start that failed in a restart is tried again in its turn, and counts
//! ```
//!
//! * Started by [`Supervisor::start`], [`Supervisor::start_link`] or another supervisor.
//! * When it is stopped its children are stopped in reverse order. When it is killed they get an
//!   exit signal through their links.
//! * It calls nobody; but it waits for the `init` of a child, and for its end.
//! * A full mailbox refuses requests; EXITs of children and retries are never refused.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::context::Context;
use crate::exit_reason::ExitReason;
use crate::gen_server::{GenServer, Info, Init, Next, Status};
use crate::panics::guarded;
use crate::partition_supervisor::{PARTITIONS_KEY, PartitionError, Partitions};
use crate::report::SupervisorContext;
use crate::start::StartError;
use crate::supervisor::child_spec::{ChildSpec, Restart};
use crate::supervisor::child_start::Started;
use crate::supervisor::children::{Child, Children, Life};
use crate::supervisor::handle::{ChildCount, ChildState, SupervisorError};
use crate::supervisor::message::SupervisorMessage;
use crate::supervisor::spec_error::{SpecError, check_child};
use crate::supervisor::stopping::{Stopping, is_as_told};
use crate::supervisor::strategy::{AutoShutdown, RestartWindow, Strategy};
use crate::supervisor::telling::{tell, tell_progress};
use crate::supervisor::{SUPERVISOR_CHILDREN_MAX, Supervisor, SupervisorInit};

/// The process behind a [`crate::SupervisorRef`].
pub struct SupervisorServer {
    strategy: Strategy,
    auto_shutdown: AutoShutdown,
    window: RestartWindow,
    children: Children,
    partitions: Option<Partitions>,
}

impl GenServer for SupervisorServer {
    type Args = Supervisor;
    type Message = SupervisorMessage;

    async fn init(
        mut description: Supervisor,
        ctx: &mut Context<SupervisorServer>,
    ) -> Init<SupervisorServer> {
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
        if let Some(partitions) = &description.partitions {
            ctx.put(PARTITIONS_KEY, partitions.clone());
        }
        let mut supervisor = SupervisorServer {
            strategy: description.strategy,
            auto_shutdown: description.auto_shutdown,
            window: RestartWindow::new(description.intensity, description.period),
            children: Children::default(),
            partitions: description.partitions,
        };
        for spec in description.children {
            let (id, temporary) = (spec.id.clone(), spec.restart == Restart::Temporary);
            let key = supervisor.children.push(spec);
            match supervisor.start(key, ctx).await {
                Ok(_) => {}
                Err(StartError::Ignore) if temporary => supervisor.children.remove(key),
                Err(StartError::Ignore) => {}
                Err(error) => {
                    let why = format!("failed to start child {id}: {error}");
                    tell(ctx, SupervisorContext::StartError, &id, None, why_of(error));
                    supervisor.stop_all(ctx).await;
                    return Init::Stop(ExitReason::ShutdownWith(why.into()));
                }
            }
        }
        Init::Ok(supervisor)
    }

    async fn handle(
        &mut self,
        message: SupervisorMessage,
        ctx: &mut Context<SupervisorServer>,
    ) -> Next<SupervisorServer> {
        match message {
            SupervisorMessage::WhichChildren(from) => {
                from.reply(self.children.iter().map(Child::info).collect());
            }
            SupervisorMessage::WhichChild { id, from } => {
                from.reply(self.child(&id).map(|(_, child)| child.info()));
            }
            SupervisorMessage::CountChildren(from) => from.reply(self.count_children()),
            SupervisorMessage::GetChildSpec { id, from } => {
                from.reply(self.child(&id).map(|(_, child)| child.spec.clone()));
            }
            SupervisorMessage::GetChildSpecOf { pid, from } => {
                let child = self.children.key_of_pid(pid);
                let child = child.and_then(|key| self.children.get(key));
                let spec = child.map(|child| child.spec.clone());
                from.reply(spec.ok_or(SupervisorError::NotFound));
            }
            SupervisorMessage::StartChild { spec, from } => {
                from.reply(self.start_child(spec, ctx).await);
            }
            SupervisorMessage::TerminateChild { id, from } => {
                from.reply(self.terminate_child(&id, ctx).await);
            }
            SupervisorMessage::RestartChild { id, from } => {
                from.reply(self.restart_child(&id, ctx).await);
            }
            SupervisorMessage::DeleteChild { id, from } => from.reply(self.delete_child(&id)),
            SupervisorMessage::Reconfigure { description, from } => {
                from.reply(self.reconfigure(*description));
            }
            SupervisorMessage::Resize { to, from } => from.reply(self.resize(to, ctx).await),
            SupervisorMessage::Retry { id } => {
                // Void if somebody terminated or restarted the child in the meantime.
                if let Ok((key, child)) = self.child(&id)
                    && matches!(child.life, Life::Restarting)
                {
                    return self.restart(key, ctx).await;
                }
            }
        }
        Next::Go
    }

    async fn handle_info(
        &mut self,
        info: Info,
        ctx: &mut Context<SupervisorServer>,
    ) -> Next<SupervisorServer> {
        let (Info::Exit { from, reason }
        | Info::Down {
            pid: from, reason, ..
        }) = info
        else {
            tracing::debug!(pid = %ctx.pid(), ?info, "a supervisor got an unexpected message");
            return Next::Go;
        };
        let ended = self.children.key_of_pid(from).filter(|key| {
            // Not if it lives: then somebody only sent an exit signal.
            self.children.get(*key).is_some_and(
                |child| matches!(&child.life, Life::Running { process, .. } if process.is_exited()),
            )
        });
        match ended {
            Some(key) => self.child_ended(key, reason, ctx).await,
            None => Next::Go,
        }
    }

    fn format_status(&self, status: &mut Status) {
        status.state = format!(
            "supervisor, {:?}, {} children",
            self.strategy,
            self.children.len()
        );
    }

    fn message_name(message: &SupervisorMessage) -> &'static str {
        message.name()
    }

    async fn terminate(&mut self, _reason: &ExitReason, ctx: &mut Context<SupervisorServer>) {
        self.stop_all(ctx).await;
    }
}

impl SupervisorServer {
    // ---- requests -------------------------------------------------------------------------

    fn child(&self, id: &str) -> Result<(usize, &Child), SupervisorError> {
        let key = self.children.key_of(id);
        key.and_then(|key| self.children.get(key).map(|child| (key, child)))
            .ok_or(SupervisorError::NotFound)
    }

    fn count_children(&self) -> ChildCount {
        let mut count = ChildCount::default();
        for child in self.children.iter() {
            count.add(child.spec.kind, matches!(child.life, Life::Running { .. }));
        }
        count
    }

    async fn start_child(
        &mut self,
        spec: ChildSpec,
        ctx: &mut Context<SupervisorServer>,
    ) -> Result<Started, SupervisorError> {
        if let Ok((_, child)) = self.child(&spec.id) {
            return Err(match child.state() {
                ChildState::Running(pid) => SupervisorError::AlreadyStarted(pid),
                ChildState::Restarting | ChildState::Stopped => SupervisorError::AlreadyPresent,
            });
        }
        check_child(&spec, self.auto_shutdown).map_err(SupervisorError::Spec)?;
        if self.children.len() >= SUPERVISOR_CHILDREN_MAX {
            return Err(SupervisorError::MaxChildren);
        }
        let temporary = spec.restart == Restart::Temporary;
        let key = self.children.push(spec);
        let started = self.start(key, ctx).await;
        // One that chose not to run is known, unless it is temporary; one that failed is not.
        match &started {
            Err(StartError::Ignore) if !temporary => {}
            Err(_) => self.children.remove(key),
            Ok(_) => {}
        }
        started.map_err(SupervisorError::Start)
    }

    async fn terminate_child(
        &mut self,
        id: &str,
        ctx: &mut Context<SupervisorServer>,
    ) -> Result<(), SupervisorError> {
        let (key, child) = self.child(id)?;
        let temporary = child.spec.restart == Restart::Temporary;
        self.stop(key, ctx).await;
        if temporary {
            self.children.remove(key);
        }
        Ok(())
    }

    async fn restart_child(
        &mut self,
        id: &str,
        ctx: &mut Context<SupervisorServer>,
    ) -> Result<Started, SupervisorError> {
        let key = self.stopped(id)?;
        let started = self.start(key, ctx).await;
        started.map_err(SupervisorError::Start)
    }

    fn delete_child(&mut self, id: &str) -> Result<(), SupervisorError> {
        let key = self.stopped(id)?;
        self.children.remove(key);
        Ok(())
    }

    /// The child with this id, which must not run.
    fn stopped(&self, id: &str) -> Result<usize, SupervisorError> {
        let (key, child) = self.child(id)?;
        match child.life {
            Life::Running { .. } => Err(SupervisorError::Running),
            Life::Restarting => Err(SupervisorError::Restarting),
            Life::Stopped => Ok(key),
        }
    }

    fn reconfigure(&mut self, description: Supervisor) -> Result<(), SpecError> {
        description.check()?;
        self.strategy = description.strategy;
        self.auto_shutdown = description.auto_shutdown;
        self.window
            .change(description.intensity, description.period);
        for spec in description.children {
            match self.children.key_of(&spec.id) {
                Some(key) => self.children.respecify(key, spec),
                None => {
                    self.children.push(spec);
                }
            }
        }
        Ok(())
    }

    async fn resize(
        &mut self,
        to: usize,
        ctx: &mut Context<SupervisorServer>,
    ) -> Result<usize, PartitionError> {
        let Some(partitions) = self.partitions.clone() else {
            return Err(PartitionError::NotPartitioned);
        };
        if to > partitions.most() {
            return Err(PartitionError::TooMany(partitions.most()));
        }
        // Nobody is sent to those that go before they go, nor to those that come before they run.
        let from = partitions.shrink(to);
        for partition in (to..from).rev() {
            let _ = self.terminate_child(&Partitions::id(partition), ctx).await;
        }
        for partition in from..to {
            let id = Partitions::id(partition);
            if let Err(SupervisorError::Start(error)) = self.restart_child(&id, ctx).await {
                return Err(PartitionError::Start(partition, error));
            }
            partitions.grow(partition + 1);
        }
        Ok(from)
    }

    // ---- starting -------------------------------------------------------------------------

    /// Starts a child that does not run.
    async fn start(
        &mut self,
        key: usize,
        ctx: &mut Context<SupervisorServer>,
    ) -> Result<Started, StartError> {
        let Some(child) = self.children.get(key) else {
            return Err(StartError::Failed(ExitReason::NoProc));
        };
        let id = child.spec.id.clone();
        let started = child.spec.start(&ctx.process, None).await?;
        let monitor = ctx.monitor(started.pid());
        let process = started.process.clone();
        self.children
            .set_life(key, Life::Running { process, monitor });
        self.children.strip(key);
        tell_progress(ctx, &id, &started);
        Ok(started)
    }

    // ---- failures -------------------------------------------------------------------------

    async fn child_ended(
        &mut self,
        key: usize,
        reason: ExitReason,
        ctx: &mut Context<SupervisorServer>,
    ) -> Next<SupervisorServer> {
        let life = self.children.set_life(key, Life::Stopped);
        let (Some(Life::Running { process, monitor }), Some(child)) =
            (life, self.children.get(key))
        else {
            return Next::Go;
        };
        ctx.demonitor(monitor, true);
        let restart = child.spec.restart;
        if restart == Restart::Permanent || !reason.is_normal_for_transient() {
            let pid = Some(process.pid);
            let context = SupervisorContext::ChildTerminated;
            tell(ctx, context, &child.spec.id, pid, reason.clone());
        }
        if restart.applies_to(&reason) {
            return self.restart(key, ctx).await;
        }
        let significant = child.spec.significant;
        if restart == Restart::Temporary {
            self.children.remove(key);
        }
        let ends = significant
            && match self.auto_shutdown {
                AutoShutdown::Never => false,
                AutoShutdown::AnySignificant => true,
                AutoShutdown::AllSignificant => !self.significant_left(),
            };
        if ends {
            return Next::Stop(ExitReason::Shutdown);
        }
        Next::Go
    }

    fn significant_left(&self) -> bool {
        self.children
            .iter()
            .any(|child| child.spec.significant && !matches!(child.life, Life::Stopped))
    }

    /// Restarts a child and those its failure concerns.
    async fn restart(
        &mut self,
        failed: usize,
        ctx: &mut Context<SupervisorServer>,
    ) -> Next<SupervisorServer> {
        let Some(child) = self.children.get(failed) else {
            return Next::Go;
        };
        if !self.window.allow(Instant::now()) {
            let reason = ExitReason::error("too many restarts");
            let context = SupervisorContext::Shutdown;
            tell(ctx, context, &child.spec.id, child.state().pid(), reason);
            return Next::Stop(ExitReason::Shutdown);
        }
        ctx.node().counters().restarted();
        let affected = self.strategy.affected(failed, self.children.end());
        let affected = self.children.keys(affected);
        for key in affected.iter().rev() {
            self.stop(*key, ctx).await;
        }
        for key in affected {
            let Some(child) = self.children.get(key) else {
                continue;
            };
            if child.spec.restart == Restart::Temporary {
                // Taken along; nobody can start it again.
                self.children.remove(key);
                continue;
            }
            let id = child.spec.id.clone();
            match self.start(key, ctx).await {
                Ok(_) | Err(StartError::Ignore) => {}
                Err(error) => {
                    let context = SupervisorContext::StartError;
                    tell(ctx, context, &id, None, why_of(error));
                    self.remove_temporary_after(key);
                    return self.retry(key, id, ctx);
                }
            }
        }
        Next::Go
    }

    /// Those who were stopped with the others, and come after one that does not start.
    fn remove_temporary_after(&mut self, key: usize) {
        if self.strategy == Strategy::OneForOne {
            return;
        }
        for key in self.children.keys(key..self.children.end()) {
            let child = self.children.get(key);
            if child.is_some_and(|child| child.spec.restart == Restart::Temporary) {
                self.children.remove(key);
            }
        }
    }

    /// Tries again through the mailbox, so that requests get their turn; it counts as a restart.
    fn retry(
        &mut self,
        key: usize,
        id: Arc<str>,
        ctx: &mut Context<SupervisorServer>,
    ) -> Next<SupervisorServer> {
        self.children.set_life(key, Life::Restarting);
        let retry = SupervisorMessage::Retry { id };
        if let Err(refused) = ctx.self_ref().try_cast(retry) {
            // A timer is never refused, and waits its turn as well.
            ctx.send_after(Duration::ZERO, refused.into_message());
        }
        Next::Go
    }

    // ---- stopping -------------------------------------------------------------------------

    /// Stops all children, in reverse order.
    async fn stop_all(&mut self, ctx: &mut Context<SupervisorServer>) {
        for key in self.children.keys(0..self.children.end()).into_iter().rev() {
            self.stop(key, ctx).await;
        }
    }

    async fn stop(&mut self, key: usize, ctx: &mut Context<SupervisorServer>) {
        let life = self.children.set_life(key, Life::Stopped);
        let (Some(Life::Running { process, monitor }), Some(child)) =
            (life, self.children.get(key))
        else {
            return;
        };
        let (pid, shutdown) = (process.pid, child.spec.shutdown);
        let reason = Stopping::begin_watched(ctx, process, monitor, shutdown)
            .finish()
            .await;
        tracing::debug!(child = %child.spec.id, %pid, %reason, "child stopped");
        if !is_as_told(&reason, shutdown, child.spec.restart) {
            let context = SupervisorContext::ShutdownError;
            tell(ctx, context, &child.spec.id, Some(pid), reason);
        }
    }
}

/// Why a child did not start, as the reason of a report.
pub(crate) fn why_of(error: StartError) -> ExitReason {
    match error {
        StartError::Failed(reason) => reason,
        other => ExitReason::error(other),
    }
}
