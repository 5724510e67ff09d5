//! Admission: when the store is slow and much is asked of it already, a further read is refused at
//! once and told to come back, instead of waiting in a line that only grows.
//!
//! Slow is what the last reads took, smoothed. A few reads are always let in, so that a store that
//! has recovered is noticed. Gauges `guildhall_store_reads_in_store` and
//! `guildhall_store_read_smoothed_seconds`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::error::StoreError;
use crate::store::Result;

/// Reads in the store up to which a further one is let in, however slow they are.
pub const READS_ALWAYS_MAX: usize = 64;

/// What a read takes, smoothed over the last ones, from which on further reads are refused while
/// [`READS_ALWAYS_MAX`] are in the store.
pub const READ_SLOW: Duration = Duration::from_secs(1);

/// The newest read has one part in so many of the smoothed time.
const SMOOTHING: u64 = 8;

/// What is known of the store's pace.
#[derive(Debug, Default)]
pub(super) struct Admission {
    in_store: AtomicUsize,
    /// What a read takes, in microseconds, smoothed.
    took: AtomicU64,
}

/// A read in the store, as long as it lasts: until it is answered or given up.
#[derive(Debug)]
pub(super) struct InStore {
    admission: Arc<Admission>,
    began: Instant,
}

impl Admission {
    /// Whether one more read may wait for the store.
    ///
    /// # Errors
    /// [`StoreError::Busy`]: the store is slow.
    pub(super) fn check(&self) -> Result<()> {
        let slow = self.took.load(Ordering::Relaxed) >= micros(READ_SLOW);
        if slow && self.in_store.load(Ordering::Relaxed) >= READS_ALWAYS_MAX {
            metrics::counter!("guildhall_store_busy_total", "where" => "slow_store").increment(1);
            return Err(StoreError::Busy);
        }
        Ok(())
    }

    /// A read goes into the store now.
    pub(super) fn enter(self: &Arc<Self>, read: &'static str) -> InStore {
        metrics::counter!("guildhall_store_queries_total", "read" => read).increment(1);
        metrics::gauge!("guildhall_store_reads_in_store").increment(1.0);
        self.in_store.fetch_add(1, Ordering::Relaxed);
        InStore {
            admission: Arc::clone(self),
            began: Instant::now(),
        }
    }

    fn learn(&self, took: Duration) {
        let sample = micros(took);
        let smooth = |old: u64| Some(old - old / SMOOTHING + sample / SMOOTHING);
        // The closure never refuses.
        let _ = self
            .took
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, smooth);
        let seconds = Duration::from_micros(self.took.load(Ordering::Relaxed)).as_secs_f64();
        metrics::gauge!("guildhall_store_read_smoothed_seconds").set(seconds);
    }
}

impl Drop for InStore {
    fn drop(&mut self) {
        metrics::gauge!("guildhall_store_reads_in_store").decrement(1.0);
        self.admission.in_store.fetch_sub(1, Ordering::Relaxed);
        self.admission.learn(self.began.elapsed());
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_slow_store_takes_a_few_reads_and_refuses_the_rest_until_it_is_quick_again() {
        let admission = Arc::new(Admission::default());
        let many: Vec<_> = (0..READS_ALWAYS_MAX)
            .map(|_| admission.enter("test"))
            .collect();
        admission.check().unwrap();
        for _ in 0..100 {
            admission.learn(READ_SLOW * 2);
        }
        assert_eq!(admission.check(), Err(StoreError::Busy));
        let mut many = many.into_iter();
        let (one, rest) = (many.next(), many);
        let rest: Vec<_> = rest.collect();
        // Without what it took counting: the clock of a test is not the point here.
        let one = std::mem::ManuallyDrop::new(one);
        admission.in_store.fetch_sub(1, Ordering::Relaxed);
        admission.check().unwrap();
        admission.in_store.fetch_add(1, Ordering::Relaxed);
        assert_eq!(admission.check(), Err(StoreError::Busy));
        for _ in 0..100 {
            admission.learn(Duration::from_millis(1));
        }
        admission.check().unwrap();
        drop((std::mem::ManuallyDrop::into_inner(one), rest));
        assert_eq!(admission.in_store.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn the_smoothed_time_follows_what_reads_take() {
        let admission = Admission::default();
        for _ in 0..100 {
            admission.learn(Duration::from_millis(80));
        }
        let took = admission.took.load(Ordering::Relaxed);
        assert!((75_000..=80_000).contains(&took), "{took}");
    }
}
