//! Timers addressed to a process or a name (`erlang:send_after/3,4`).
//!
//! ```text
//!   send_after(to, delay, message) ──▶ one small task, which sleeps ──▶ message, or nothing if
//!        └─▶ NodeTimer: cancel, left                                    nobody is there
//!                                          ends by itself with the process it is for
//! ```

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::distribution::Address;
use crate::node::Node;
use crate::pid::Pid;

/// How many timers to pids and names a node runs at once. A further one is refused: it has run out
/// from the start, without its message, and is counted (`otp_messages_refused_total`).
pub const NODE_TIMERS_MAX: usize = 1_000_000;

/// Whom a timer of [`Node::send_after`] is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimerTarget {
    /// A process. The timer ends with it; for a process of another node it runs out.
    Pid(Pid),
    /// Whoever has the name when the timer runs out.
    Name(Arc<str>),
}

impl From<Pid> for TimerTarget {
    fn from(pid: Pid) -> TimerTarget {
        TimerTarget::Pid(pid)
    }
}

impl From<&str> for TimerTarget {
    fn from(name: &str) -> TimerTarget {
        TimerTarget::Name(name.into())
    }
}

/// A timer of [`Node::send_after`]. Dropping it lets it run on.
#[derive(Clone)]
pub struct NodeTimer {
    due: Instant,
    over: Arc<AtomicBool>,
    task: Option<AbortHandle>,
}

impl NodeTimer {
    /// Takes the timer back (`erlang:cancel_timer/1`): the message is not sent after this. Returns
    /// how long it had to run; `None` if it has run out, was cancelled, or ended with its process.
    pub fn cancel(&self) -> Option<Duration> {
        let left = self.due.saturating_duration_since(Instant::now());
        if self.over.swap(true, Ordering::AcqRel) {
            return None;
        }
        if let Some(task) = &self.task {
            task.abort();
        }
        Some(left)
    }

    /// How long it has to run (`erlang:read_timer/1`); `None` as for [`NodeTimer::cancel`].
    pub fn left(&self) -> Option<Duration> {
        let left = self.due.saturating_duration_since(Instant::now());
        (!self.over.load(Ordering::Acquire)).then_some(left)
    }
}

impl fmt::Debug for NodeTimer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("NodeTimer");
        shown.field("left", &self.left()).finish()
    }
}

/// Counts a timer for as long as its task exists, however that ends.
struct Counted(Node);

impl Counted {
    /// `None` if there are too many already.
    fn new(node: &Node) -> Option<Counted> {
        let counted = Counted(node.clone());
        let before = node.inner.timers.fetch_add(1, Ordering::Relaxed);
        (before < NODE_TIMERS_MAX).then_some(counted)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.inner.timers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Node {
    /// Sends an untyped message later (`erlang:send_after/3`). It is dropped if nobody is there
    /// when the timer runs out; a timer to a process of this node is cancelled by itself when the
    /// process ends. At most [`NODE_TIMERS_MAX`] at once. A process that wants to wake itself uses
    /// [`crate::Context::send_after`].
    pub fn send_after(
        &self,
        to: impl Into<TimerTarget>,
        delay: Duration,
        message: Box<dyn Any + Send>,
    ) -> NodeTimer {
        self.send_at(to, Instant::now() + delay, message)
    }

    /// [`Node::send_after`] at a given time, at once if that has passed (`{abs, true}`).
    pub fn send_at(
        &self,
        to: impl Into<TimerTarget>,
        when: Instant,
        message: Box<dyn Any + Send>,
    ) -> NodeTimer {
        let over = Arc::new(AtomicBool::new(false));
        let Some(counted) = Counted::new(self).filter(|_| !self.is_fenced_off()) else {
            self.counters().refused();
            over.store(true, Ordering::Release);
            return NodeTimer {
                due: when,
                over,
                task: None,
            };
        };
        let to = to.into();
        let process = match &to {
            TimerTarget::Pid(pid) => self.process(*pid),
            TimerTarget::Name(_) => None,
        };
        // A process of this node that is gone already gets nothing, as one that ends meanwhile.
        let gone = matches!(&to, TimerTarget::Pid(pid) if self.is_local(*pid)) && process.is_none();
        let fired = over.clone();
        let task = tokio::spawn(async move {
            let node = &counted.0;
            let ended = async {
                match process {
                    Some(process) => drop(process.wait().await),
                    None if gone => {}
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = ended => drop(fired.swap(true, Ordering::AcqRel)),
                () = tokio::time::sleep_until(when) => {
                    if !fired.swap(true, Ordering::AcqRel) {
                        let address = match to {
                            TimerTarget::Pid(pid) => Address::Pid(pid),
                            TimerTarget::Name(name) => Address::Name(name),
                        };
                        node.deliver_message(address, message);
                    }
                }
            }
        });
        NodeTimer {
            due: when,
            over,
            task: Some(task.abort_handle()),
        }
    }

    /// How many timers of [`Node::send_after`] run.
    pub fn timer_count(&self) -> usize {
        self.inner.timers.load(Ordering::Relaxed)
    }
}
