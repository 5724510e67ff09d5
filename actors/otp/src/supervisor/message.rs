//! The requests of a supervisor.

use std::sync::Arc;

use crate::partition_supervisor::PartitionError;
use crate::pid::Pid;
use crate::server_ref::From;
use crate::supervisor::Supervisor;
use crate::supervisor::child_spec::ChildSpec;
use crate::supervisor::child_start::Started;
use crate::supervisor::handle::{ChildCount, ChildInfo, SupervisorError};
use crate::supervisor::spec_error::SpecError;

/// The requests of a supervisor; use [`crate::SupervisorRef`].
pub enum SupervisorMessage {
    /// See [`crate::SupervisorRef::which_children`].
    WhichChildren(From<Vec<ChildInfo>>),
    /// See [`crate::SupervisorRef::which_child`].
    WhichChild {
        /// The child.
        id: Arc<str>,
        /// Who asks.
        from: From<Result<ChildInfo, SupervisorError>>,
    },
    /// See [`crate::SupervisorRef::count_children`].
    CountChildren(From<ChildCount>),
    /// See [`crate::SupervisorRef::get_childspec`].
    GetChildSpec {
        /// The child.
        id: Arc<str>,
        /// Who asks.
        from: From<Result<ChildSpec, SupervisorError>>,
    },
    /// See [`crate::SupervisorRef::get_childspec_of`].
    GetChildSpecOf {
        /// Its process.
        pid: Pid,
        /// Who asks.
        from: From<Result<ChildSpec, SupervisorError>>,
    },
    /// See [`crate::SupervisorRef::start_child`].
    StartChild {
        /// The child.
        spec: ChildSpec,
        /// Who asks.
        from: From<Result<Started, SupervisorError>>,
    },
    /// See [`crate::SupervisorRef::terminate_child`].
    TerminateChild {
        /// The child.
        id: Arc<str>,
        /// Who asks.
        from: From<Result<(), SupervisorError>>,
    },
    /// See [`crate::SupervisorRef::restart_child`].
    RestartChild {
        /// The child.
        id: Arc<str>,
        /// Who asks.
        from: From<Result<Started, SupervisorError>>,
    },
    /// See [`crate::SupervisorRef::delete_child`].
    DeleteChild {
        /// The child.
        id: Arc<str>,
        /// Who asks.
        from: From<Result<(), SupervisorError>>,
    },
    /// See [`crate::SupervisorRef::reconfigure`].
    Reconfigure {
        /// What it is to be.
        description: Box<Supervisor>,
        /// Who asks.
        from: From<Result<(), SpecError>>,
    },
    /// See [`crate::PartitionSupervisorRef::resize`].
    Resize {
        /// How many partitions are to run.
        to: usize,
        /// Who asks.
        from: From<Result<usize, PartitionError>>,
    },
    /// To itself: try again to restart a child.
    Retry {
        /// The child.
        id: Arc<str>,
    },
}

impl SupervisorMessage {
    /// What it is, for people.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            SupervisorMessage::WhichChildren(_) => "which_children",
            SupervisorMessage::WhichChild { .. } => "which_child",
            SupervisorMessage::CountChildren(_) => "count_children",
            SupervisorMessage::GetChildSpec { .. } => "get_childspec",
            SupervisorMessage::GetChildSpecOf { .. } => "get_childspec_of",
            SupervisorMessage::StartChild { .. } => "start_child",
            SupervisorMessage::TerminateChild { .. } => "terminate_child",
            SupervisorMessage::RestartChild { .. } => "restart_child",
            SupervisorMessage::DeleteChild { .. } => "delete_child",
            SupervisorMessage::Reconfigure { .. } => "reconfigure",
            SupervisorMessage::Resize { .. } => "resize",
            SupervisorMessage::Retry { .. } => "retry",
        }
    }
}
