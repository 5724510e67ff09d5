//! A point at which a test stops what comes by, to do something in between. Not in a build for users.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Semaphore;

/// The point. Nothing is stopped until it is told to.
#[derive(Debug, Default)]
pub(super) struct Stop {
    gate: Mutex<Option<Arc<Semaphore>>>,
    waiting: AtomicUsize,
}

impl Stop {
    /// Stops whatever comes from now on.
    pub(super) fn stop(&self) -> Stopped<'_> {
        *self.gate.lock() = Some(Arc::new(Semaphore::new(0)));
        Stopped(self)
    }

    /// Something came to the point: it waits while that is stopped.
    pub(super) async fn reached(&self) {
        let gate = self.gate.lock().clone();
        if let Some(gate) = gate {
            self.waiting.fetch_add(1, Ordering::SeqCst);
            // Closed: it goes on.
            let _ = gate.acquire().await;
            self.waiting.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// The point is stopped as long as this lives.
#[derive(Debug)]
pub struct Stopped<'s>(&'s Stop);

impl Stopped<'_> {
    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.0.waiting.load(Ordering::SeqCst)
    }
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        if let Some(gate) = self.0.gate.lock().take() {
            gate.close();
        }
    }
}
