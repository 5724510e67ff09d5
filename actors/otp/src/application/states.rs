//! What the controller knows of each application.

use std::sync::Arc;

use crate::application::master::Master;
use crate::application::{Application, ApplicationError, StartType};
use crate::server_ref::{From, ServerRef};

/// How many applications a node has loaded at most. One more is refused.
pub const APPLICATIONS_MAX: usize = 4_096;

/// Whether an application runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplicationStatus {
    /// It is loaded, and was not started or has ended.
    Loaded,
    /// It was started, and waits for permission to run.
    Held,
    /// Its tree is being started.
    Starting,
    /// It runs.
    Running,
    /// It is being stopped.
    Stopping,
}

/// What is known of one application (`which_applications/0`, `loaded_applications/0`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplicationInfo {
    /// Its name.
    pub name: Arc<str>,
    /// What it depends on.
    pub dependencies: Vec<Arc<str>>,
    /// Whether it runs.
    pub status: ApplicationStatus,
}

/// Whoever waits for a start or a stop. The answer to a start tells whether it was the asker's.
pub(super) type Waiter<T> = From<Result<T, ApplicationError>>;

/// One application.
pub(super) struct Entry {
    pub(super) application: Application,
    pub(super) permitted: bool,
    pub(super) life: Life,
}

/// Whether it runs.
#[derive(Default)]
pub(super) enum Life {
    #[default]
    Loaded,
    Held(StartType),
    Starting {
        master: ServerRef<Master>,
        start_type: StartType,
        waiters: Vec<Waiter<bool>>,
        /// Who waits for it to be permitted.
        permits: Vec<Waiter<()>>,
    },
    Running {
        master: ServerRef<Master>,
        start_type: StartType,
    },
    Stopping {
        master: ServerRef<Master>,
        waiters: Vec<Waiter<()>>,
        /// Why it does not run afterwards: it is not permitted any more.
        held: Option<StartType>,
        killed: bool,
    },
}

impl Life {
    pub(super) fn master(&self) -> Option<&ServerRef<Master>> {
        match self {
            Life::Loaded | Life::Held(_) => None,
            Life::Starting { master, .. }
            | Life::Running { master, .. }
            | Life::Stopping { master, .. } => Some(master),
        }
    }

    pub(super) fn status(&self) -> ApplicationStatus {
        match self {
            Life::Loaded => ApplicationStatus::Loaded,
            Life::Held(_) => ApplicationStatus::Held,
            Life::Starting { .. } => ApplicationStatus::Starting,
            Life::Running { .. } => ApplicationStatus::Running,
            Life::Stopping { .. } => ApplicationStatus::Stopping,
        }
    }
}

impl Entry {
    pub(super) fn new(application: Application, permitted: bool) -> Entry {
        Entry {
            application,
            permitted,
            life: Life::Loaded,
        }
    }

    pub(super) fn info(&self) -> ApplicationInfo {
        ApplicationInfo {
            name: self.application.name.clone(),
            dependencies: self.application.dependencies.clone(),
            status: self.life.status(),
        }
    }
}
