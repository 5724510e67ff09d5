//! Timestamps of writes: microseconds of the wall clock that strictly rise in this process.
//!
//! A cluster keeps, of two writes to one cell, the one with the greater timestamp, and of a write
//! and a delete with the same one the delete. So the order of batches is the order of their
//! timestamps, whatever way they travel, also when one is sent twice.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Timestamps a group of batches takes: what it deletes, then what it puts, which must not be
/// covered by the delete of a whole range in the same group.
const TICKS: i64 = 2;

/// The clock of one store.
#[derive(Debug, Default)]
pub(super) struct Clock(AtomicI64);

/// The timestamps of one group of batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticks {
    /// Of what it deletes.
    pub(super) delete: i64,
    /// Of what it puts.
    pub(super) put: i64,
}

impl Clock {
    /// The next timestamps: now, or just above the last ones when the clock stands or steps back.
    pub(super) fn next(&self) -> Ticks {
        self.next_at(now())
    }

    fn next_at(&self, now: i64) -> Ticks {
        let following = |last: i64| now.max(last.saturating_add(1)).saturating_add(TICKS - 1);
        let last = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
                Some(following(last))
            })
            .unwrap_or_else(|last| last);
        let put = following(last);
        Ticks {
            delete: put - 1,
            put,
        }
    }

    /// Later timestamps are above this one, which a row that is to be changed has: then a node whose
    /// clock is behind still changes what another node wrote.
    pub(super) fn observe(&self, timestamp: i64) {
        self.0.fetch_max(timestamp, Ordering::Relaxed);
    }
}

/// Microseconds since 1970.
pub(super) fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn timestamps_rise_whatever_the_clock_does(
            steps in proptest::collection::vec((0_i64..1_000, proptest::option::of(0_i64..2_000)), 1..100),
        ) {
            let clock = Clock::default();
            let mut last = 0;
            for (now, seen) in steps {
                if let Some(seen) = seen {
                    clock.observe(seen);
                    last = last.max(seen);
                }
                let ticks = clock.next_at(now);
                prop_assert!(ticks.delete > last && ticks.put > ticks.delete);
                prop_assert!(ticks.delete >= now && ticks.put <= (last + 1).max(now) + 1);
                last = ticks.put;
            }
        }
    }
}
