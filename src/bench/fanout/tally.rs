//! What arrived, how late, and what did not: shared counts, and one ledger per connection.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::{Notify, Semaphore};

/// Number of a message that is not measured.
pub(crate) const WARM_UP: u64 = u64::MAX;

/// Buckets of a power of two of a [`Histogram`]: a value is kept to about 3 %.
const STEPS: u64 = 32;
const BUCKETS: usize = (64 - 4) * STEPS as usize;

/// Counts shared by all connections of a run.
pub(crate) struct Tally {
    began: Instant,
    sessions: u32,
    /// Sessions that have received a message before the measurement.
    pub(crate) warm: AtomicUsize,
    /// From publishing to each delivery.
    pub(crate) latency: Histogram,
    /// From publishing to the last delivery of a message.
    pub(crate) last_latency: Histogram,
    /// The measured part is over: connections may end.
    pub(crate) stopping: AtomicBool,
    /// Room for further messages; `None` = no window.
    window: Option<Semaphore>,
    received: Vec<AtomicU32>,
    complete: AtomicU64,
    progress: Notify,
}

impl Tally {
    pub(crate) fn new(sessions: usize, messages: u64, window: usize) -> Self {
        Self {
            began: Instant::now(),
            sessions: u32::try_from(sessions).unwrap_or(u32::MAX),
            warm: AtomicUsize::new(0),
            latency: Histogram::default(),
            last_latency: Histogram::default(),
            stopping: AtomicBool::new(false),
            window: (window > 0).then(|| Semaphore::new(window)),
            received: (0..messages).map(|_| AtomicU32::new(0)).collect(),
            complete: AtomicU64::new(0),
            progress: Notify::new(),
        }
    }

    /// Microseconds since the run began.
    pub(crate) fn now(&self) -> u64 {
        self.micros(Instant::now())
    }

    /// An instant as microseconds since the run began.
    pub(crate) fn micros(&self, instant: Instant) -> u64 {
        u64::try_from(instant.duration_since(self.began).as_micros()).unwrap_or(u64::MAX)
    }

    /// How many messages there is room to keep account of.
    pub(crate) fn messages_max(&self) -> u64 {
        self.received.len() as u64
    }

    /// Waits until another message may be outstanding.
    pub(crate) async fn room(&self) {
        if let Some(window) = &self.window
            && let Ok(permit) = window.acquire().await
        {
            permit.forget();
        }
    }

    /// A message arrived at one more session, `latency` microseconds after it was published.
    pub(crate) fn delivered(&self, number: u64, latency: u64) {
        self.latency.add(latency);
        let Some(received) = self
            .received
            .get(usize::try_from(number).unwrap_or(usize::MAX))
        else {
            return;
        };
        if received.fetch_add(1, Ordering::AcqRel) + 1 == self.sessions {
            self.last_latency.add(latency);
            self.complete.fetch_add(1, Ordering::AcqRel);
            if let Some(window) = &self.window {
                window.add_permits(1);
            }
            self.progress.notify_waiters();
        }
    }

    /// Whether all sessions have all `count` messages within the limit.
    pub(crate) async fn wait_complete(&self, count: u64, limit: Duration) -> bool {
        let waiting = async {
            loop {
                let progress = self.progress.notified();
                if self.complete.load(Ordering::Acquire) >= count {
                    return;
                }
                // A wake-up between the look and the wait is caught by the time limit.
                let _ = tokio::time::timeout(Duration::from_millis(50), progress).await;
            }
        };
        tokio::time::timeout(limit, waiting).await.is_ok()
    }
}

/// Exact account of one connection.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Bit per measured message.
    seen: Vec<u64>,
    last_id: u64,
    /// Last sequence number.
    pub(crate) sequence: u64,
    /// Measured messages that arrived, repeats not counted.
    pub(crate) delivered: u64,
    /// Measured messages that never arrived.
    pub(crate) lost: u64,
    /// Messages that arrived again.
    pub(crate) duplicated: u64,
    /// Messages with an id below one that arrived before: ids rise in the order of a channel.
    pub(crate) reordered: u64,
    /// Sequence numbers left out or repeated.
    pub(crate) gaps: u64,
    /// Whether the connection ended before the run did.
    pub(crate) disconnects: u64,
    /// Bytes of the frames of measured messages.
    pub(crate) bytes: u64,
}

impl Ledger {
    /// Enters a measured message; answers whether it is new.
    pub(crate) fn enter(&mut self, number: u64, id: u64, bytes: usize) -> bool {
        let (word, bit) = ((number / 64) as usize, 1 << (number % 64));
        if self.seen.len() <= word {
            self.seen.resize(word + 1, 0);
        }
        if self.seen[word] & bit != 0 {
            self.duplicated += 1;
            return false;
        }
        self.seen[word] |= bit;
        self.delivered += 1;
        self.bytes += bytes as u64;
        if id < self.last_id {
            self.reordered += 1;
        }
        self.last_id = self.last_id.max(id);
        true
    }

    /// Enters the sequence number of a dispatch.
    pub(crate) fn number(&mut self, sequence: u64) {
        if sequence != self.sequence + 1 {
            self.gaps += 1;
        }
        self.sequence = sequence;
    }

    /// Closes the account: what is missing of `published` messages is lost.
    pub(crate) fn finish(mut self, published: u64) -> Self {
        self.lost = published.saturating_sub(self.delivered);
        self
    }

    /// Adds another connection's counts.
    pub(crate) fn add(&mut self, other: &Self) {
        self.delivered += other.delivered;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
        self.gaps += other.gaps;
        self.disconnects += other.disconnects;
        self.bytes += other.bytes;
    }
}

/// Counts of microseconds in buckets that grow with the value.
pub(crate) struct Histogram {
    buckets: Box<[AtomicU64]>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl Histogram {
    pub(crate) fn add(&self, micros: u64) {
        self.buckets[Self::bucket(micros)].fetch_add(1, Ordering::Relaxed);
    }

    fn bucket(value: u64) -> usize {
        if value < STEPS {
            return value as usize;
        }
        let shift = u64::from(value.ilog2()) - 5;
        ((shift + 1) * STEPS + (value >> shift) - STEPS) as usize
    }

    /// Lowest value of a bucket.
    fn value(bucket: usize) -> u64 {
        let bucket = bucket as u64;
        if bucket < STEPS {
            return bucket;
        }
        let shift = bucket / STEPS - 1;
        (STEPS + bucket % STEPS) << shift
    }

    /// The value below which this share of all lies, in microseconds; 0 when there is none.
    pub(crate) fn quantile(&self, share: f64) -> u64 {
        let counts: Vec<u64> = self
            .buckets
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .collect();
        let rank = (counts.iter().sum::<u64>() as f64 * share).ceil() as u64;
        let mut below = 0;
        for (bucket, count) in counts.into_iter().enumerate() {
            below += count;
            if below >= rank.max(1) {
                return Self::value(bucket);
            }
        }
        0
    }

    /// p50, p90, p99, p99.9 and the highest, in milliseconds.
    pub(crate) fn to_json(&self) -> Value {
        let ms = |share| super::round(self.quantile(share) as f64 / 1e3);
        json!({"p50": ms(0.5), "p90": ms(0.9), "p99": ms(0.99), "p999": ms(0.999), "max": ms(1.0)})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_sees_lost_repeated_and_reordered_messages_and_gaps() {
        let mut ledger = Ledger::default();
        for sequence in [1, 2, 4] {
            ledger.number(sequence);
        }
        assert!(ledger.enter(0, 10, 5));
        assert!(ledger.enter(2, 12, 5));
        assert!(!ledger.enter(2, 12, 5));
        assert!(ledger.enter(1, 11, 5));
        let ledger = ledger.finish(5);
        assert_eq!(
            (ledger.delivered, ledger.lost, ledger.duplicated),
            (3, 2, 1)
        );
        assert_eq!((ledger.reordered, ledger.gaps, ledger.bytes), (1, 1, 15));
    }

    #[test]
    fn buckets_keep_values_to_three_percent_and_rise() {
        let mut last = 0;
        for value in (0..2_000).chain((1..40).map(|power| (1_u64 << power) + 7)) {
            let kept = Histogram::value(Histogram::bucket(value));
            assert!(
                kept <= value && value - kept <= value / 32,
                "{value} is kept as {kept}"
            );
        }
        for bucket in 1..BUCKETS {
            let value = Histogram::value(bucket);
            assert!(value > last, "{bucket}");
            assert_eq!(Histogram::bucket(value), bucket);
            last = value;
        }
    }

    #[test]
    fn quantiles_are_those_of_the_values() {
        let histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), 0);
        for value in 1..=100 {
            histogram.add(value);
        }
        assert_eq!(histogram.quantile(0.5), 50);
        assert!((96..=99).contains(&histogram.quantile(0.99)));
    }

    #[tokio::test]
    async fn a_message_is_complete_and_makes_room_when_all_have_it() {
        let tally = Tally::new(2, 10, 1);
        tally.room().await;
        tally.delivered(0, 5);
        assert!(!tally.wait_complete(1, Duration::from_millis(1)).await);
        tally.delivered(0, 9);
        assert!(tally.wait_complete(1, Duration::from_secs(5)).await);
        tally.room().await;
        assert_eq!(tally.last_latency.quantile(1.0), 9);
    }
}
