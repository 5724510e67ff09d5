//! A coarse clock: a number that a thread of the node moves on, so that reading it costs one load.
//!
//! For what needs an age, not a time: how long a message has waited, how long a handler has held
//! its worker. It is real time also where a test has paused tokio's clock.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// One step of the clock.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// Steps since the node began; wraps after 497 days, and ages are differences.
#[derive(Debug, Default)]
pub(crate) struct Clock(AtomicU32);

impl Clock {
    pub(crate) fn now(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Sets the number of steps.
    pub(crate) fn set(&self, steps: u32) {
        self.0.store(steps, Ordering::Relaxed);
    }

    /// Milliseconds since a reading.
    pub(crate) fn since_ms(&self, then: u32) -> u64 {
        u64::from(self.now().wrapping_sub(then)) * TICK.as_millis() as u64
    }
}
