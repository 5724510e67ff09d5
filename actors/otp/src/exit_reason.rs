//! Why a process ended: a value every link, monitor and failed call carries.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The reason of a process' end (Erlang Reference Manual, "Processes", section Exit Signals).
///
/// Two kinds of reason are *clean*: [`ExitReason::Normal`] and the shutdowns. Everything else is
/// logged as a crash.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ExitReason {
    /// The process had nothing left to do. Linked processes which do not trap exits ignore it.
    Normal,
    /// An ordered stop, as supervisors send it.
    Shutdown,
    /// An ordered stop with an explanation.
    ShutdownWith(Arc<str>),
    /// The untrappable order to die. Seen as a reason only when a process stops *itself* with it.
    Kill,
    /// What links and monitors see of a process which was ended by [`ExitReason::Kill`].
    Killed,
    /// There is no such process.
    NoProc,
    /// The connection to the process' node was lost.
    NoConnection,
    /// Something it waited for took too long.
    Timeout,
    /// Its code panicked.
    Panic {
        /// The text of the panic.
        message: Arc<str>,
        /// `file:line:column` of the panic, empty if unknown.
        location: Arc<str>,
    },
    /// It gave up because of an error, in words.
    Error(Arc<str>),
    /// A reason which only the application understands.
    Custom(Arc<str>),
}

impl ExitReason {
    /// An [`ExitReason::Error`] from anything printable.
    pub fn error(error: impl fmt::Display) -> ExitReason {
        ExitReason::Error(error.to_string().into())
    }

    /// Whether a transient child which ended so stays ended: normal, shutdown and shutdown with
    /// an explanation (OTP Design Principles, "Supervisor Behaviour", restart types).
    pub fn is_normal_for_transient(&self) -> bool {
        matches!(
            self,
            ExitReason::Normal | ExitReason::Shutdown | ExitReason::ShutdownWith(_)
        )
    }
}

impl fmt::Display for ExitReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExitReason::Normal => formatter.write_str("normal"),
            ExitReason::Shutdown => formatter.write_str("shutdown"),
            ExitReason::ShutdownWith(why) => write!(formatter, "shutdown: {why}"),
            ExitReason::Kill => formatter.write_str("kill"),
            ExitReason::Killed => formatter.write_str("killed"),
            ExitReason::NoProc => formatter.write_str("noproc"),
            ExitReason::NoConnection => formatter.write_str("noconnection"),
            ExitReason::Timeout => formatter.write_str("timeout"),
            ExitReason::Panic { message, location } => {
                write!(formatter, "panic: {message} at {location}")
            }
            ExitReason::Error(why) => write!(formatter, "error: {why}"),
            ExitReason::Custom(what) => write!(formatter, "custom: {what}"),
        }
    }
}
