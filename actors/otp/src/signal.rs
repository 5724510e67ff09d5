//! What travels in a mailbox: one envelope type, one lane, hence one order per sender.
//!
//! ractor delivers supervision events ahead of messages. Erlang does not: a watcher sees all a
//! process sent before it sees that process end. So EXIT, DOWN, timers and system requests ride
//! the message lane here, in the same [`Envelope`] as the user's messages.

use std::any::Any;

use crate::exit_reason::ExitReason;
use crate::gen_server::GenServer;
use crate::pid::{MonitorRef, Pid};

/// One item of a mailbox.
pub(crate) enum Envelope<S: GenServer> {
    /// A cast, or a call with its reply handle inside.
    User(S::Message),
    /// Everything the runtime itself sends.
    Signal(Signal),
}

/// The runtime's own mailbox items. None of them is refused by a full mailbox.
pub(crate) enum Signal {
    /// An exit signal which the receiver traps. `linked` tells it came through a link, in which
    /// case it counts only while that link still exists when the receiver reaches it.
    Exit {
        from: Pid,
        reason: ExitReason,
        linked: bool,
    },
    /// A monitored process ended.
    Down {
        monitor: MonitorRef,
        pid: Pid,
        reason: ExitReason,
    },
    /// A timer of the receiver ran out.
    Timer { id: u64 },
    /// Nothing arrived for as long as `Next::Timeout` asked; void if `token` is not current.
    ReceiveTimeout { token: u64 },
    /// A system request to end in good order (`sys:terminate/2`).
    Stop { reason: ExitReason },
    /// An untyped message.
    Raw(Box<dyn Any + Send>),
}
