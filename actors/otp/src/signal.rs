//! What travels in a mailbox: one envelope type, one lane, hence one order per sender.
//!
//! ractor delivers supervision events ahead of messages. Erlang does not: a watcher sees all a
//! process sent before it sees that process end. So EXIT, DOWN, timers and system requests ride
//! the mailbox here, in the same [`Envelope`] as the user's messages.

use std::any::Any;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::ets::Transfer;
use crate::exit_reason::ExitReason;
use crate::gen_server::{Down, GenServer};
use crate::pid::{Pid, RequestRef};
use crate::start::StartError;
use crate::sys::System;

/// One item of a mailbox.
pub(crate) enum Envelope<S: GenServer> {
    /// A cast, or a call with its reply handle inside.
    User(S::Message),
    /// What the runtime itself sends.
    Signal(Signal),
    /// A request to look at the state or to change it, for [`crate::sys`].
    System(System<S>),
}

impl<S: GenServer> Envelope<S> {
    /// Whether it is something that those who follow the process are to see: what is asked of the
    /// runtime itself is not.
    pub(crate) fn is_event(&self) -> bool {
        !matches!(
            self,
            Envelope::System(_) | Envelope::Signal(Signal::Pass(_))
        )
    }

    /// What it is, for people.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Envelope::User(message) => S::message_name(message),
            Envelope::Signal(signal) => signal.name(),
            Envelope::System(_) => "system",
        }
    }
}

/// The runtime's own mailbox items. None of them is refused by a full mailbox, except
/// [`Signal::Raw`], which is a message.
pub(crate) enum Signal {
    /// An exit signal which the receiver traps. One that came through a link carries the
    /// receiver's id of that link: it is void if the receiver has unlinked when it reaches it.
    Exit {
        from: Pid,
        reason: ExitReason,
        link: Option<u32>,
        /// The sender started the receiver: then the receiver ends, whatever it traps.
        of_parent: bool,
    },
    /// A monitored process ended.
    Down(Down),
    /// A timer of the receiver ran out.
    Timer { id: u64 },
    /// Nothing arrived for as long as `Next::Timeout` asked; void if `token` is not current.
    ReceiveTimeout { token: u64 },
    /// The process was idle for as long as its options say; void if `token` is not current.
    Idle { token: u64 },
    /// A system request to end in good order (`sys:terminate/2`).
    Stop { reason: ExitReason },
    /// The answer to a spawn request.
    Spawned {
        request: RequestRef,
        result: Result<Pid, StartError>,
    },
    /// A node was connected to, or lost.
    Node { name: Arc<str>, up: bool },
    /// A table that is the receiver's now.
    Transfer(Box<Transfer>),
    /// Nothing; somebody wants to know when the step before it is over.
    Pass(oneshot::Sender<()>),
    /// An untyped message.
    Raw(Box<dyn Any + Send>),
}

impl Signal {
    /// Whether a suspended process handles it.
    pub(crate) fn is_system(&self) -> bool {
        match self {
            Signal::Stop { .. } | Signal::Pass(_) => true,
            Signal::Exit { of_parent, .. } => *of_parent,
            _ => false,
        }
    }

    /// What it is, for people.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Signal::Exit { .. } => "EXIT",
            Signal::Down { .. } => "DOWN",
            Signal::Timer { .. } => "timer",
            Signal::ReceiveTimeout { .. } => "timeout",
            Signal::Idle { .. } => "idle",
            Signal::Stop { .. } => "stop",
            Signal::Spawned { .. } => "spawn_reply",
            Signal::Node { up: true, .. } => "nodeup",
            Signal::Node { up: false, .. } => "nodedown",
            Signal::Transfer(_) => "ETS-TRANSFER",
            Signal::Pass(_) => "pass",
            Signal::Raw(_) => "message",
        }
    }
}
