//! Places for reads: so many at the same time, and a bounded line before them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::StoreError;
use crate::store::Result;

/// The places of one store.
#[derive(Debug)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
    waiting_max: usize,
}

impl Places {
    /// `at_once` places, and a line of at most `waiting_max` before them.
    pub(super) fn new(at_once: usize, waiting_max: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(at_once)),
            waiting: AtomicUsize::new(0),
            waiting_max,
        }
    }

    /// Waits for a place; dropping what comes back frees it.
    ///
    /// # Errors
    /// [`StoreError::Busy`]: the line is full. Counter `guildhall_store_busy_total`, `where` =
    /// `reads`.
    pub(super) async fn take(&self) -> Result<OwnedSemaphorePermit> {
        let free = || Arc::clone(&self.free);
        if let Ok(place) = free().try_acquire_owned() {
            return Ok(place);
        }
        let _waiting = Waiting(&self.waiting);
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.waiting_max {
            metrics::counter!("guildhall_store_busy_total", "where" => "reads").increment(1);
            return Err(StoreError::Busy);
        }
        free().acquire_owned().await.map_err(|_| StoreError::Busy)
    }
}

/// One that waits, as long as it does.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn the_line_before_the_places_is_bounded_and_moves_on() {
        let places = Places::new(1, 1);
        let first = places.take().now_or_never().unwrap().unwrap();
        let mut second = Box::pin(places.take());
        assert!((&mut second).now_or_never().is_none(), "it waits");
        let third = places.take().now_or_never();
        assert!(matches!(third, Some(Err(StoreError::Busy))), "{third:?}");
        drop(first);
        let second = second.now_or_never().unwrap().unwrap();
        let mut fourth = Box::pin(places.take());
        assert!((&mut fourth).now_or_never().is_none(), "the line is free");
        drop(fourth);
        drop(second);
        assert!(matches!(places.take().now_or_never(), Some(Ok(_))));
    }
}
