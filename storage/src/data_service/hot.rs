//! Which channels are read most: a bounded count of the busiest ones.
//!
//! The Space-Saving algorithm (Metwally, Agrawal, El Abbadi 2005): a fixed number of counters; who
//! has none takes the smallest one over, with its count. A channel that has more than one read in
//! [`HOT_COUNTED_MAX`] of all is surely among them, and no count is too low. Counts halve every minute,
//! so that they tell of now.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use model::ChannelId;

/// Channels that are counted at a time.
pub const HOT_COUNTED_MAX: usize = 256;

/// How often counts are halved.
const HALVED_EVERY: Duration = Duration::from_secs(60);

/// A channel and how often it was read lately: about the reads of the last two minutes, older ones
/// counting less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HotChannel {
    /// The channel.
    pub channel: ChannelId,
    /// Its reads, joined ones too; never too low, and too high by at most one part in
    /// [`HOT_COUNTED_MAX`] of all reads.
    pub reads: u64,
}

/// The counters.
#[derive(Debug, Default)]
pub(super) struct Hot(Mutex<Counters>);

#[derive(Debug, Default)]
struct Counters {
    reads: HashMap<ChannelId, u64>,
    halved: Option<Instant>,
}

impl Hot {
    /// Counts a read.
    pub(super) fn count(&self, channel: ChannelId, now: Instant) {
        let mut counters = self.0.lock();
        counters.halve(now);
        if let Some(reads) = counters.reads.get_mut(&channel) {
            *reads += 1;
            return;
        }
        let mut taken_over = 0;
        if counters.reads.len() >= HOT_COUNTED_MAX
            && let Some((smallest, reads)) = counters.reads.iter().min_by_key(|(_, reads)| **reads)
        {
            let smallest = *smallest;
            taken_over = *reads;
            counters.reads.remove(&smallest);
        }
        counters.reads.insert(channel, taken_over + 1);
    }

    /// The busiest channels, at most `limit`, busiest first.
    pub(super) fn busiest(&self, limit: usize, now: Instant) -> Vec<HotChannel> {
        let mut counters = self.0.lock();
        counters.halve(now);
        let hot = |(channel, reads): (&ChannelId, &u64)| HotChannel {
            channel: *channel,
            reads: *reads,
        };
        let mut all: Vec<_> = counters.reads.iter().map(hot).collect();
        drop(counters);
        all.sort_unstable_by_key(|hot| (std::cmp::Reverse(hot.reads), hot.channel));
        all.truncate(limit);
        all
    }
}

impl Counters {
    fn halve(&mut self, now: Instant) {
        let since = *self.halved.get_or_insert(now);
        let periods = now.duration_since(since).as_secs() / HALVED_EVERY.as_secs();
        if periods > 0 {
            self.halved = Some(now);
            let by = u32::try_from(periods).unwrap_or(u32::MAX).min(63);
            self.reads.retain(|_, reads| {
                *reads >>= by;
                *reads > 0
            });
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use model::Id;
    use proptest::prelude::*;

    #[test]
    fn what_is_read_most_is_found_among_many_that_are_read_once() {
        let (hot, now) = (Hot::default(), Instant::now());
        for n in 0..10_000 {
            hot.count(Id::new(1_000 + n), now);
            if n % 10 == 0 {
                hot.count(Id::new(7), now);
            }
        }
        let busiest = hot.busiest(3, now);
        assert_eq!(busiest.len(), 3);
        assert_eq!(busiest[0].channel, Id::new(7));
        assert!((1_000..=1_000 + 11_000 / 256 + 1).contains(&busiest[0].reads));
    }

    #[test]
    fn counts_are_forgotten_with_time() {
        let (hot, now) = (Hot::default(), Instant::now());
        for _ in 0..8 {
            hot.count(Id::new(7), now);
        }
        let later = |periods| now + HALVED_EVERY * periods;
        assert_eq!(hot.busiest(1, later(1))[0].reads, 4);
        assert_eq!(hot.busiest(1, later(3))[0].reads, 1);
        assert!(hot.busiest(1, later(4)).is_empty());
        assert!(hot.busiest(1, later(4_000)).is_empty());
    }

    proptest! {
        #[test]
        fn no_count_is_too_low_and_there_are_never_too_many(reads in prop::collection::vec(1_u64..600, 0..3_000)) {
            let (hot, now) = (Hot::default(), Instant::now());
            let mut true_counts = HashMap::<u64, u64>::new();
            for read in &reads {
                hot.count(Id::new(*read), now);
                *true_counts.entry(*read).or_default() += 1;
            }
            let counted = hot.busiest(usize::MAX, now);
            prop_assert!(counted.len() <= HOT_COUNTED_MAX);
            let too_high = reads.len() as u64 / HOT_COUNTED_MAX as u64;
            for count in &counted {
                let truly = true_counts[&count.channel.get()];
                prop_assert!(count.reads >= truly && count.reads <= truly + too_high);
            }
            for (channel, truly) in true_counts {
                prop_assert!(truly <= too_high || counted.iter().any(|count| count.channel.get() == channel));
            }
        }
    }
}
