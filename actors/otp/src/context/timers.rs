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

use crate::pid::{SerialHash, TimerRef};
use crate::process::Process;
use crate::signal::Signal;

/// All timers of a process; dropping it cancels them.
pub(crate) struct Timers<M> {
    next: u64,
    pending: HashMap<u64, Timer<M>, SerialHash>,
    receive_timeout: Option<(u64, AbortHandle)>,
}

struct Timer<M> {
    payload: Payload<M>,
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

impl<M> Default for Timers<M> {
    fn default() -> Timers<M> {
        Timers {
            next: 0,
            pending: HashMap::default(),
            receive_timeout: None,
        }
    }
}

impl<M> Timers<M> {
    fn new_id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(crate) fn once(&mut self, process: Arc<Process>, delay: Duration, message: M) -> TimerRef {
        let id = self.new_id();
        let task = tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            process.signal(Signal::Timer { id });
        })
        .abort_handle();
        let payload = Payload::Once(message);
        self.pending.insert(id, Timer { payload, task });
        TimerRef(id)
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
        self.pending.insert(id, Timer { payload, task });
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

    pub(crate) fn arm(&mut self, process: Arc<Process>, limit: Duration) {
        self.disarm();
        let token = self.new_id();
        let task = tokio::spawn(async move {
            if !limit.is_zero() {
                tokio::time::sleep(limit).await;
            }
            process.signal(Signal::ReceiveTimeout { token });
        })
        .abort_handle();
        self.receive_timeout = Some((token, task));
    }

    pub(crate) fn disarm(&mut self) {
        if let Some((_, task)) = self.receive_timeout.take() {
            task.abort();
        }
    }

    pub(crate) fn is_armed(&self, token: u64) -> bool {
        self.receive_timeout
            .as_ref()
            .is_some_and(|(current, _)| *current == token)
    }
}

impl<M> Drop for Timers<M> {
    fn drop(&mut self) {
        self.disarm();
        for timer in self.pending.values() {
            timer.task.abort();
        }
    }
}
