//! The timers of one process.
//!
//! A timer is a small task which sleeps and then puts `Signal::Timer` into the mailbox. The
//! message itself stays here, so a cancelled timer has nothing left to deliver, whatever is
//! queued already.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::pid::{SerialHash, TimerRef};
use crate::process::Process;
use crate::signal::Signal;

/// All timers of a process; dropping it cancels them.
pub(crate) struct Timers<M> {
    last: u64,
    pending: HashMap<u64, Timer<M>, SerialHash>,
    receive_timeout: Option<(u64, AbortHandle)>,
    idle: Option<(u64, AbortHandle)>,
}

struct Timer<M> {
    payload: Payload<M>,
    /// When it runs out; `None` for one that repeats.
    due: Option<Instant>,
    task: AbortHandle,
}

enum Payload<M> {
    Once(M),
    Every {
        make: Box<dyn Fn() -> M + Send>,
        /// Whether a tick waits in the mailbox.
        waiting: Arc<AtomicBool>,
    },
}

/// What a timer's signal brought.
pub(crate) enum Expired<M> {
    Message(M),
    Cancelled,
}

impl<M> Timers<M> {
    /// No timers; the first is numbered after `last`, since the signal of an earlier one may still
    /// be on its way.
    pub(crate) fn after(last: u64) -> Timers<M> {
        Timers {
            last,
            pending: HashMap::default(),
            receive_timeout: None,
            idle: None,
        }
    }

    fn new_id(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// The number of the last timer.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// Whether nothing runs.
    pub(crate) fn is_unused(&self) -> bool {
        self.pending.is_empty() && self.receive_timeout.is_none() && self.idle.is_none()
    }

    pub(crate) fn once(&mut self, process: Arc<Process>, delay: Duration, message: M) -> TimerRef {
        self.once_at(process, Instant::now() + delay, message)
    }

    pub(crate) fn once_at(&mut self, process: Arc<Process>, due: Instant, message: M) -> TimerRef {
        let id = self.new_id();
        let task = signal_at(process, due, Signal::Timer { id });
        let timer = Timer {
            payload: Payload::Once(message),
            due: Some(due),
            task,
        };
        self.pending.insert(id, timer);
        TimerRef(id)
    }

    /// How long a timer has to run.
    pub(crate) fn left(&self, timer: TimerRef) -> Option<Duration> {
        let due = self.pending.get(&timer.0)?.due?;
        let left = due.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    pub(crate) fn every(
        &mut self,
        process: Arc<Process>,
        period: Duration,
        make: Box<dyn Fn() -> M + Send>,
    ) -> TimerRef {
        let id = self.new_id();
        let waiting = Arc::new(AtomicBool::new(false));
        let ticking = waiting.clone();
        // A period of zero would never let the mailbox rest.
        let period = period.max(Duration::from_millis(1));
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(period);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            ticks.tick().await;
            loop {
                ticks.tick().await;
                if !ticking.swap(true, Ordering::AcqRel) && !process.signal(Signal::Timer { id }) {
                    return;
                }
            }
        })
        .abort_handle();
        let payload = Payload::Every { make, waiting };
        let timer = Timer {
            payload,
            due: None,
            task,
        };
        self.pending.insert(id, timer);
        TimerRef(id)
    }

    pub(crate) fn cancel(&mut self, timer: TimerRef) -> bool {
        match self.pending.remove(&timer.0) {
            Some(timer) => {
                timer.task.abort();
                true
            }
            None => false,
        }
    }

    pub(crate) fn expired(&mut self, id: u64) -> Expired<M> {
        if let Some(Timer {
            payload: Payload::Every { make, waiting },
            ..
        }) = self.pending.get(&id)
        {
            waiting.store(false, Ordering::Release);
            return Expired::Message(make());
        }
        match self.pending.remove(&id) {
            Some(Timer {
                payload: Payload::Once(message),
                ..
            }) => Expired::Message(message),
            _ => Expired::Cancelled,
        }
    }

    // ---- the receive timeout --------------------------------------------------------------

    pub(crate) fn arm(&mut self, process: Arc<Process>, when: Instant) {
        self.disarm();
        let token = self.new_id();
        let task = signal_at(process, when, Signal::ReceiveTimeout { token });
        self.receive_timeout = Some((token, task));
    }

    pub(crate) fn disarm(&mut self) {
        for (_, task) in self
            .receive_timeout
            .take()
            .into_iter()
            .chain(self.idle.take())
        {
            task.abort();
        }
    }

    /// Counts the idle time from now on.
    pub(crate) fn arm_idle(&mut self, process: Arc<Process>, limit: Duration) {
        if self.idle.is_some() {
            return;
        }
        let token = self.new_id();
        let task = signal_at(process, Instant::now() + limit, Signal::Idle { token });
        self.idle = Some((token, task));
    }

    pub(crate) fn is_idle(&self, token: u64) -> bool {
        self.idle
            .as_ref()
            .is_some_and(|(current, _)| *current == token)
    }

    pub(crate) fn is_armed(&self, token: u64) -> bool {
        self.receive_timeout
            .as_ref()
            .is_some_and(|(current, _)| *current == token)
    }
}

/// A task that puts a signal into the mailbox at a given time.
fn signal_at(process: Arc<Process>, when: Instant, signal: Signal) -> AbortHandle {
    let wait = async move {
        tokio::time::sleep_until(when).await;
        process.signal(signal);
    };
    tokio::spawn(wait).abort_handle()
}

impl<M> Drop for Timers<M> {
    fn drop(&mut self) {
        self.disarm();
        for timer in self.pending.values() {
            timer.task.abort();
        }
    }
}
