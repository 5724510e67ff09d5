//! A commit on its way through the data service.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use super::flights::Flights;
use super::query::Changes;
use crate::error::StoreError;
use crate::store::{Commit, Result};

/// A pending commit of the data service: as [`Commit`], and no read that begins after it resolved
/// can miss what it wrote. Dropping it does not undo the batch.
#[derive(Debug)]
pub struct Acknowledged {
    pub(super) commit: Commit,
    pub(super) began: Instant,
    pub(super) changes: Vec<Changes>,
    pub(super) flights: Arc<Flights>,
}

impl Acknowledged {
    /// No newcomer joins a read that began before the batch was durable.
    fn close(&mut self) {
        for changes in self.changes.drain(..) {
            match changes {
                Changes::Nothing => {}
                Changes::Of(partition) => self.flights.close(partition),
                Changes::Everything => self.flights.close_all(),
            }
        }
    }
}

impl Future for Acknowledged {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        Pin::new(&mut this.commit).poll(cx).map(|settled| {
            this.close();
            metrics::histogram!("guildhall_store_commit_seconds")
                .record(this.began.elapsed().as_secs_f64());
            if let Err(error) = &settled {
                metrics::counter!("guildhall_store_commit_errors_total", "error" => kind(error))
                    .increment(1);
            }
            settled
        })
    }
}

impl Drop for Acknowledged {
    /// Whoever gave up waiting may still learn of the write elsewhere: close the flights all the same.
    fn drop(&mut self) {
        self.close();
    }
}

/// The name of an error in the metrics.
fn kind(error: &StoreError) -> &'static str {
    match error {
        StoreError::NotFound => "not_found",
        StoreError::Conflict(_) => "conflict",
        StoreError::Busy => "busy",
        StoreError::Fenced => "fenced",
        StoreError::Full(_) => "full",
        StoreError::NotApplied(_) => "not_applied",
        StoreError::TooLarge(_) => "too_large",
        StoreError::Unknown(_) => "unknown",
        StoreError::Broken(_) => "broken",
        StoreError::Corrupt(_) => "corrupt",
    }
}
