//! Starting one child: what a start function gets, and what it gives.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::exit_reason::ExitReason;
use crate::gen_server::GenServer;
use crate::node::Node;
use crate::options::Options;
use crate::pid::Pid;
use crate::process::Process;
use crate::start::{StartError, start_process};

/// What a dynamic supervisor hands to the start of each of its children.
pub(crate) type Extra = Arc<dyn Any + Send + Sync>;

/// Handed to a start function ([`crate::ChildSpec::function`]): the right to start one child of
/// the supervisor that calls it.
pub struct ChildStart {
    supervisor: Arc<Process>,
    options: Options,
    extra: Option<Extra>,
}

impl ChildStart {
    pub(crate) fn new(
        supervisor: Arc<Process>,
        options: Options,
        extra: Option<Extra>,
    ) -> ChildStart {
        ChildStart {
            supervisor,
            options,
            extra,
        }
    }

    /// The node of the supervisor.
    pub fn node(&self) -> &Node {
        &self.supervisor.node
    }

    /// The supervisor.
    pub fn supervisor(&self) -> Pid {
        self.supervisor.pid
    }

    /// The extra arguments of the supervisor, if it has some of this type
    /// ([`crate::DynamicSupervisor::extra_arguments`]).
    pub fn extra<E: Send + Sync + 'static>(&self) -> Option<Arc<E>> {
        self.extra.clone()?.downcast().ok()
    }

    /// Starts a server linked to the supervisor, with the options of the specification.
    pub async fn server<S: GenServer>(self, args: S::Args) -> Result<Started, StartError> {
        let node = self.supervisor.node.clone();
        let server = start_process::<S>(node, Some(self.supervisor), args, self.options).await?;
        Ok(Started::new(server.process, false))
    }

    /// Makes a process that runs already a child: links it to the supervisor. It is watched,
    /// stopped and restarted as others are, but no progress report tells that it was started.
    ///
    /// # Errors
    /// [`ExitReason::NoProc`] if there is no such process on this node.
    pub fn running(self, pid: Pid) -> Result<Started, StartError> {
        let gone = || StartError::Failed(ExitReason::NoProc);
        let process = self.node().process(pid).ok_or_else(gone)?;
        self.supervisor.add_link(pid);
        if !process.add_link(self.supervisor.pid) {
            self.supervisor.remove_link(pid);
            return Err(gone());
        }
        Ok(Started::new(process, true))
    }
}

impl fmt::Debug for ChildStart {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ChildStart of {}", self.supervisor.pid)
    }
}

/// A child that was started.
#[derive(Clone)]
pub struct Started {
    pub(crate) process: Arc<Process>,
    info: Option<Extra>,
    /// It ran before.
    pub(crate) outside: bool,
}

impl Started {
    fn new(process: Arc<Process>, outside: bool) -> Started {
        Started {
            process,
            info: None,
            outside,
        }
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        self.process.pid
    }

    /// Adds information for whoever asked for the start (`{ok, Pid, Info}`). Nobody gets that of
    /// a restart.
    pub fn with_info<I: Send + Sync + 'static>(mut self, info: I) -> Started {
        self.info = Some(Arc::new(info));
        self
    }

    /// The extra information, if there is some of this type.
    pub fn info<I: Send + Sync + 'static>(&self) -> Option<Arc<I>> {
        self.info.clone()?.downcast().ok()
    }
}

impl fmt::Debug for Started {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Started({})", self.process.pid)
    }
}

impl PartialEq for Started {
    fn eq(&self, other: &Started) -> bool {
        self.pid() == other.pid()
    }
}

impl Eq for Started {}
