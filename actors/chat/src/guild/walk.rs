//! Walks over the members of a guild: by the task of whoever asks, over the member table, never by
//! the guild's process.
//!
//! ```text
//! caller ─ReadMembers─▶ Guild: may they? ─▶ Readable ─▶ walk: a step, others' turn, a step, …
//!            ▲                                              │ table gone: its keeper died
//!            └──────────────── again ───────────────────────┘
//! ```
//!
//! At most [`WALKS_MAX`] at a time on a node; at most [`WALKS_WAITING_MAX`] wait for their turn, the
//! others get [`ChatError::Busy`].

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use metrics::{counter, gauge};
use model::UserId;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::CALL_LIMIT;
use super::members::{Gone, MemberTable, Row};
use crate::error::{ChatError, Result};

/// Walks at the same time on a node; further ones wait. Gauge `guildhall_member_walks`.
pub const WALKS_MAX: usize = 8;

/// Walks that wait; further ones get [`ChatError::Busy`]. Counter
/// `guildhall_member_walks_refused_total`.
pub const WALKS_WAITING_MAX: usize = 1_000;

/// Members looked at between two chances for others to run.
pub const WALK_STEP: usize = 512;

/// The walks of a node.
pub(crate) struct Walks {
    permits: Semaphore,
    waiting: AtomicUsize,
    /// Tests hold walks here: after each step a permit is needed.
    #[cfg(test)]
    pub(crate) gate: Semaphore,
}

impl Default for Walks {
    fn default() -> Self {
        Self {
            permits: Semaphore::new(WALKS_MAX),
            waiting: AtomicUsize::new(0),
            #[cfg(test)]
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
        }
    }
}

/// One that may walk; gives its permit back when it is dropped.
pub(crate) struct Walk<'w> {
    #[cfg(test)]
    walks: &'w Walks,
    _permit: SemaphorePermit<'w>,
}

/// One that waits.
struct Waiting<'w>(&'w AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Walk<'_> {
    fn drop(&mut self) {
        gauge!("guildhall_member_walks").decrement(1.0);
    }
}

impl Walks {
    /// How many walk, and how many wait.
    #[cfg(test)]
    pub(crate) fn under_way(&self) -> (usize, usize) {
        let walking = WALKS_MAX - self.permits.available_permits();
        (walking, self.waiting.load(Ordering::Relaxed))
    }

    /// Waits until it may walk.
    ///
    /// # Errors
    /// [`ChatError::Busy`]: too many wait, or it waited for [`CALL_LIMIT`].
    pub(crate) async fn begin(&self) -> Result<Walk<'_>> {
        let permit = match self.permits.try_acquire() {
            Ok(permit) => permit,
            Err(_) => self.wait().await?,
        };
        gauge!("guildhall_member_walks").increment(1.0);
        Ok(Walk {
            #[cfg(test)]
            walks: self,
            _permit: permit,
        })
    }

    async fn wait(&self) -> Result<SemaphorePermit<'_>> {
        let _waiting = Waiting(&self.waiting);
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= WALKS_WAITING_MAX {
            return Err(refused());
        }
        match tokio::time::timeout(CALL_LIMIT, self.permits.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(refused()),
        }
    }
}

fn refused() -> ChatError {
    counter!("guildhall_member_walks_refused_total").increment(1);
    ChatError::Busy
}

impl Walk<'_> {
    /// Lets others run; between two steps.
    pub(crate) async fn pause(&self) {
        #[cfg(test)]
        if let Ok(permit) = self.walks.gate.acquire().await {
            drop(permit);
        }
        tokio::task::yield_now().await;
    }

    /// The first `limit` members in id order, from above `after`, of whose names one begins with
    /// `query`, which is in lower case: user name, display name or nickname.
    ///
    /// # Errors
    /// [`Gone`]: begin again, with another table.
    pub(crate) async fn find(
        &self,
        table: &MemberTable,
        mut after: Option<UserId>,
        limit: usize,
        query: &str,
    ) -> std::result::Result<Vec<Arc<Row>>, Gone> {
        let mut found = Vec::new();
        loop {
            let page = table.page(after, WALK_STEP)?;
            let end = page.len() < WALK_STEP;
            after = page.last().map(|row| row.record.user_id);
            let room = limit - found.len();
            let named = page.into_iter().filter(|row| is_named(row, query));
            found.extend(named.take(room));
            if end || found.len() >= limit {
                return Ok(found);
            }
            self.pause().await;
        }
    }
}

fn is_named(row: &Row, query: &str) -> bool {
    if query.is_empty() {
        return true;
    }
    let names = [
        Some(&row.user.username),
        row.user.global_name.as_ref(),
        row.record.nick.as_ref(),
    ];
    names
        .into_iter()
        .flatten()
        .any(|name| name.to_lowercase().starts_with(query))
}
