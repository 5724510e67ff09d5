//! Work in the background that an engine needs done: small steps, one after the other.
//!
//! Whoever runs a store asks it for its upkeep ([`crate::Store::upkeep`]) and runs it as a process
//! under a supervisor, or with [`run`]. It can be stopped and started anew at any time: what it must
//! remember it keeps in the store.

use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::store::Result;

/// Pause after a step that failed.
pub const UPKEEP_RETRY: Duration = Duration::from_secs(10);

/// A worker of an engine.
#[async_trait]
pub trait Upkeep: Send {
    /// Does a little and answers how long to wait before the next step.
    ///
    /// # Errors
    /// What the engine answers; the step is done again later, nothing is lost.
    async fn step(&mut self) -> Result<Duration>;
}

/// Steps until it is told to stop; a failed step is repeated after [`UPKEEP_RETRY`].
pub async fn run(upkeep: Box<dyn Upkeep>, stop: CancellationToken) {
    run_with(upkeep, stop, UPKEEP_RETRY).await;
}

async fn run_with(mut upkeep: Box<dyn Upkeep>, stop: CancellationToken, retry: Duration) {
    loop {
        let pause = tokio::select! {
            () = stop.cancelled() => return,
            step = upkeep.step() => step.unwrap_or_else(|error| {
                tracing::warn!(%error, "a step of the store's upkeep failed");
                retry
            }),
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::error::StoreError;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    struct Counting(Arc<AtomicU32>, CancellationToken);

    #[async_trait]
    impl Upkeep for Counting {
        async fn step(&mut self) -> Result<Duration> {
            match self.0.fetch_add(1, Ordering::Relaxed) {
                0 => Err(StoreError::Busy),
                1..4 => Ok(Duration::ZERO),
                _ => {
                    self.1.cancel();
                    // The rest after it is cut short.
                    Ok(Duration::from_secs(1_000))
                }
            }
        }
    }

    #[tokio::test]
    async fn steps_go_on_after_an_error_until_it_is_stopped() {
        let (steps, stop) = (Arc::new(AtomicU32::new(0)), CancellationToken::new());
        let counting = Box::new(Counting(steps.clone(), stop.clone()));
        run_with(counting, stop, Duration::ZERO).await;
        assert_eq!(steps.load(Ordering::Relaxed), 5);
    }
}
