//! Snowflakes: when an id was made, which 10-day bucket it falls in, and how new ones are made.
//!
//! ```text
//!  63                      22    17    12          0
//!  ┌───────────────────────┬─────┬─────┬───────────┐
//!  │ ms since 2015-01-01   │ wrk │ prc │ increment │   Discord docs, Reference, "Snowflakes"
//!  └───────────────────────┴─────┴─────┴───────────┘
//! ```

use crate::id::Id;

/// Unix milliseconds of the first instant a snowflake can name (2015-01-01T00:00:00Z).
pub const EPOCH_MS: u64 = 1_420_070_400_000;

/// Length of a storage bucket in milliseconds (10 days).
pub const BUCKET_MS: u64 = 864_000_000;

/// Unix milliseconds at which `id` was made.
pub fn timestamp_ms<T>(id: Id<T>) -> u64 {
    (id.get() >> 22) + EPOCH_MS
}

/// The 10-day bucket `id` falls in; buckets count from [`EPOCH_MS`].
pub fn bucket<T>(id: Id<T>) -> u32 {
    u32::try_from((id.get() >> 22) / BUCKET_MS).unwrap_or(u32::MAX)
}

/// The smallest id that could have been made at `unix_ms`.
pub fn floor_of<T>(unix_ms: u64) -> Id<T> {
    Id::new((unix_ms.saturating_sub(EPOCH_MS) << 22).max(1))
}

/// Makes ids that strictly rise, whatever the clock does.
///
/// When the clock steps back, ids go on from the last one (guarantee G2); after a restart, seed it
/// with the highest id found in the store through [`Generator::observe`].
#[derive(Debug, Clone)]
pub struct Generator {
    worker: u64,
    last: u64,
}

impl Generator {
    /// A generator for worker number `worker` (0–1023, the ten worker and process bits).
    pub fn new(worker: u16) -> Self {
        Self {
            worker: u64::from(worker & 0x3ff) << 12,
            last: 0,
        }
    }

    /// Never hand out an id at or below `id`.
    pub fn observe<T>(&mut self, id: Id<T>) {
        self.last = self.last.max(id.get());
    }

    /// The next id at wall-clock time `unix_ms`; strictly above every earlier one.
    pub fn next<T>(&mut self, unix_ms: u64) -> Id<T> {
        let at = (unix_ms.saturating_sub(EPOCH_MS) << 22) | self.worker;
        let next = if at > self.last { at } else { self.advance() };
        self.last = next;
        Id::new(next.max(1))
    }

    /// The id after `last`, keeping the worker bits: the increment, or the next millisecond.
    fn advance(&self) -> u64 {
        const INCREMENT: u64 = 0xfff;
        let (ms, increment) = (self.last >> 22, self.last & INCREMENT);
        let same_worker = (self.last & (0x3ff << 12)) == self.worker;
        if same_worker && increment < INCREMENT {
            self.last + 1
        } else {
            ((ms + 1) << 22) | self.worker
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::id::MessageId;

    #[test]
    fn ids_rise_when_the_clock_steps_back() {
        let mut ids = Generator::new(7);
        let mut last: MessageId = ids.next(EPOCH_MS + 10_000);
        for step in 0..10_000_u64 {
            let id = ids.next(EPOCH_MS + 10_000 - step % 5_000);
            assert!(id > last);
            last = id;
        }
        assert_eq!((last.get() >> 12) & 0x3ff, 7);
    }

    #[test]
    fn observe_moves_past_ids_of_other_workers() {
        let mut ids = Generator::new(1);
        let seen: MessageId = Id::new((5_000 << 22) | (1_023 << 12) | 4);
        ids.observe(seen);
        let next: MessageId = ids.next(EPOCH_MS + 1);
        assert!(next > seen);
    }

    #[test]
    fn bucket_is_ten_days() {
        let id: MessageId = floor_of(EPOCH_MS + BUCKET_MS * 3 + 5);
        assert_eq!(bucket(id), 3);
        assert_eq!(timestamp_ms(id), EPOCH_MS + BUCKET_MS * 3 + 5);
    }

    proptest! {
        #[test]
        fn ids_rise_and_name_their_time(
            worker in 0..1_024_u16,
            clock in vec(EPOCH_MS..EPOCH_MS + 5_000, 1..500),
            seen in vec(1..(5_000_u64 << 22), 0..3),
        ) {
            let mut ids = Generator::new(worker);
            let mut last = 0;
            let mut latest = 0;
            for seen in seen {
                ids.observe::<crate::id::marker::MessageMarker>(Id::new(seen));
                last = last.max(seen);
                latest = latest.max((seen >> 22) + EPOCH_MS);
            }
            for now in clock {
                let id: MessageId = ids.next(now);
                prop_assert!(id.get() > last);
                prop_assert_eq!((id.get() >> 12) & 0x3ff, u64::from(worker));
                latest = latest.max(now);
                // Never before the clock, and never further ahead than the ids force it to be.
                prop_assert!(timestamp_ms(id) >= now);
                prop_assert!(timestamp_ms(id) <= latest + 1);
                latest = latest.max(timestamp_ms(id));
                last = id.get();
            }
        }

        #[test]
        fn floor_splits_earlier_from_later(worker in 0..1_024_u16, at in 1..(1_u64 << 41), by in 0..5_000_u64) {
            let at = EPOCH_MS + at;
            let floor: MessageId = floor_of(at);
            let id: MessageId = Generator::new(worker).next(at + by);
            prop_assert!(id >= floor);
            let earlier: MessageId = Generator::new(worker).next(at - 1);
            prop_assert!(earlier < floor);
            prop_assert_eq!(u64::from(bucket(id)), (at + by - EPOCH_MS) / BUCKET_MS);
        }
    }
}
