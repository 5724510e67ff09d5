//! The client side of a supervisor.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::exit_reason::ExitReason;
use crate::node::Node;
use crate::pid::Pid;
use crate::server_ref::{CallError, ServerRef};
use crate::start::StartError;
use crate::supervisor::child_spec::{ChildKind, ChildSpec};
use crate::supervisor::child_start::Started;
use crate::supervisor::spec_error::SpecError;
use crate::supervisor::{Supervisor, SupervisorMessage, SupervisorServer};

/// Why a supervisor refused a request. Its children are as before.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SupervisorError {
    /// A child with this id runs already.
    #[error("already started as {0}")]
    AlreadyStarted(Pid),
    /// A child with this id is known but does not run: restart or delete it.
    #[error("a child with this id exists, but does not run")]
    AlreadyPresent,
    /// The child runs; terminate it first.
    #[error("the child runs")]
    Running,
    /// The child is being restarted.
    #[error("the child is being restarted")]
    Restarting,
    /// There is no such child.
    #[error("there is no such child")]
    NotFound,
    /// There are as many children as allowed; retry when some have ended.
    #[error("there are as many children as allowed")]
    MaxChildren,
    /// The specification is wrong; nothing was started.
    #[error("the specification is wrong: {0}")]
    Spec(#[source] SpecError),
    /// The child did not start.
    #[error("the child did not start: {0}")]
    Start(#[source] StartError),
    /// The supervisor could not be asked.
    #[error("the supervisor could not be asked: {0}")]
    Call(#[source] CallError),
}

/// What a supervisor knows of one child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildInfo {
    /// The id of its specification.
    pub id: Arc<str>,
    /// Whether it runs.
    pub state: ChildState,
    /// Worker or supervisor.
    pub kind: ChildKind,
    /// The type of its server (`supervisor(3)`, modules).
    pub module: &'static str,
}

/// Whether a child runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildState {
    /// It runs as this process.
    Running(Pid),
    /// It ended, and could not be started again yet.
    Restarting,
    /// It does not run, and will not by itself.
    Stopped,
}

impl ChildState {
    /// The process, if it runs.
    pub fn pid(self) -> Option<Pid> {
        match self {
            ChildState::Running(pid) => Some(pid),
            ChildState::Restarting | ChildState::Stopped => None,
        }
    }
}

/// How many children a supervisor has (`supervisor:count_children/1`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChildCount {
    /// Specifications, running or not.
    pub specs: usize,
    /// Children which run.
    pub active: usize,
    /// Specifications of supervisors.
    pub supervisors: usize,
    /// Specifications of workers.
    pub workers: usize,
}

impl ChildCount {
    pub(crate) fn add(&mut self, kind: ChildKind, running: bool) {
        self.specs += 1;
        self.active += usize::from(running);
        match kind {
            ChildKind::Supervisor => self.supervisors += 1,
            ChildKind::Worker => self.workers += 1,
        }
    }
}

/// A reference to a running [`crate::Supervisor`]. All requests wait for as long as the
/// supervisor lives, because the limits are those of its children (`supervisor(3)`: infinity).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SupervisorRef {
    pub(crate) server: ServerRef<SupervisorServer>,
}

impl SupervisorRef {
    /// The supervisor with this pid, if there is one.
    pub fn from_pid(node: &Node, pid: Pid) -> Option<SupervisorRef> {
        node.server_ref(pid).map(|server| SupervisorRef { server })
    }

    /// The supervisor registered under this name, if there is one.
    pub fn whereis(node: &Node, name: &str) -> Option<SupervisorRef> {
        SupervisorRef::from_pid(node, node.whereis(name)?)
    }

    /// The supervisor's pid.
    pub fn pid(&self) -> Pid {
        self.server.pid()
    }

    /// Whether it has not ended.
    pub fn is_alive(&self) -> bool {
        self.server.is_alive()
    }

    /// All children, in start order.
    pub async fn which_children(&self) -> Result<Vec<ChildInfo>, SupervisorError> {
        let children = self.server.call_infinity(SupervisorMessage::WhichChildren);
        children.await.map_err(SupervisorError::Call)
    }

    /// What is known of one child (`supervisor:which_child/2`).
    pub async fn which_child(&self, id: &str) -> Result<ChildInfo, SupervisorError> {
        let id = id.into();
        self.server
            .call_infinity(|from| SupervisorMessage::WhichChild { id, from })
            .await
            .map_err(SupervisorError::Call)?
    }

    /// The process of one child; [`SupervisorError::NotFound`] if it does not run.
    pub async fn child(&self, id: &str) -> Result<Pid, SupervisorError> {
        let child = self.which_child(id).await?;
        child.state.pid().ok_or(SupervisorError::NotFound)
    }

    /// How a child is started (`supervisor:get_childspec/2`). That of a temporary child can be
    /// looked at, but not started from ([`ChildSpec::can_start`]).
    pub async fn get_childspec(&self, id: &str) -> Result<ChildSpec, SupervisorError> {
        let id = id.into();
        self.server
            .call_infinity(|from| SupervisorMessage::GetChildSpec { id, from })
            .await
            .map_err(SupervisorError::Call)?
    }

    /// How the child that runs as this process is started.
    pub async fn get_childspec_of(&self, pid: Pid) -> Result<ChildSpec, SupervisorError> {
        self.server
            .call_infinity(|from| SupervisorMessage::GetChildSpecOf { pid, from })
            .await
            .map_err(SupervisorError::Call)?
    }

    /// How many children there are.
    pub async fn count_children(&self) -> Result<ChildCount, SupervisorError> {
        let count = self.server.call_infinity(SupervisorMessage::CountChildren);
        count.await.map_err(SupervisorError::Call)
    }

    /// Adds a child after the others and starts it. If it does not start nothing is added;
    /// except if it chose not to run ([`StartError::Ignore`]) and is not temporary: then it is
    /// known, and does not run.
    pub async fn start_child(&self, spec: ChildSpec) -> Result<Pid, SupervisorError> {
        let started = self.start_child_with_info(spec).await?;
        Ok(started.pid())
    }

    /// [`SupervisorRef::start_child`], with the extra information the start gave, if any
    /// (`{ok, Pid, Info}`).
    pub async fn start_child_with_info(&self, spec: ChildSpec) -> Result<Started, SupervisorError> {
        self.server
            .call_infinity(|from| SupervisorMessage::StartChild { spec, from })
            .await
            .map_err(SupervisorError::Call)?
    }

    /// Stops a child; it stays known, unless it is temporary.
    pub async fn terminate_child(&self, id: &str) -> Result<(), SupervisorError> {
        let id = id.into();
        self.server
            .call_infinity(|from| SupervisorMessage::TerminateChild { id, from })
            .await
            .map_err(SupervisorError::Call)?
    }

    /// Starts a child which does not run.
    pub async fn restart_child(&self, id: &str) -> Result<Pid, SupervisorError> {
        let started = self.restart_child_with_info(id).await?;
        Ok(started.pid())
    }

    /// [`SupervisorRef::restart_child`], with the extra information the start gave, if any.
    pub async fn restart_child_with_info(&self, id: &str) -> Result<Started, SupervisorError> {
        let id = id.into();
        self.server
            .call_infinity(|from| SupervisorMessage::RestartChild { id, from })
            .await
            .map_err(SupervisorError::Call)?
    }

    /// Forgets a child which was terminated.
    pub async fn delete_child(&self, id: &str) -> Result<(), SupervisorError> {
        let id = id.into();
        self.server
            .call_infinity(|from| SupervisorMessage::DeleteChild { id, from })
            .await
            .map_err(SupervisorError::Call)?
    }

    /// Makes it what another description says, without stopping or starting anything
    /// (`supervisor(3)`, code change): strategy, intensity and auto-shutdown; known children are
    /// restarted and stopped by their new specifications; new ones are known and do not run;
    /// those the description does not name stay as they are.
    ///
    /// # Errors
    /// [`SupervisorError::Spec`]: nothing has changed.
    pub async fn reconfigure(&self, description: Supervisor) -> Result<(), SupervisorError> {
        let description = Box::new(description);
        self.server
            .call_infinity(|from| SupervisorMessage::Reconfigure { description, from })
            .await
            .map_err(SupervisorError::Call)?
            .map_err(SupervisorError::Spec)
    }

    /// Stops the children in reverse order, then the supervisor.
    pub async fn stop(&self, reason: ExitReason, limit: Duration) -> Result<(), CallError> {
        self.server.stop(reason, limit).await
    }

    /// Waits until the supervisor has ended and tells why.
    pub async fn wait_for_exit(&self) -> ExitReason {
        self.server.wait_for_exit().await
    }
}
