//! The data service: the one door between the actors and the engines.
//!
//! ```text
//!  100 readers of one page ─┐                     ┌─ leader task ─▶ Store::messages ─┐
//!                           ├─▶ partition(channel)┤                                  ├─▶ all 100
//!                           │   flights + gate    └─ the other 99 wait for it ───────┘
//!  commit ─────────────────────▶ Store::commit ─▶ durable ─▶ flights of what it changed closed ─▶ ack
//! ```
//!
//! Stateless in data, stateful in flight: identical concurrent reads become one ("How Discord Stores
//! Trillions of Messages", data services); which reads can be joined is listed in
//! `data_service/query.rs`. A read that begins after a write was acknowledged never gets the answer
//! of a flight that began before it: the ack closes the flights of what was written to newcomers
//! first.
//!
//! There is no cache. On one node all reads of a channel meet here; it is the reads' partition that a
//! cluster would route by.
//!
//! A value, not a process: cheap to clone, shared by everyone. A leader runs in a task of its own
//! and outlives the reader who started it; when it dies (the engine panicked) its readers elect
//! another, once. At its limits and when the store is slow it refuses with [`StoreError::Busy`], of
//! which clients hear as 503 with Retry-After; nothing is queued without bound. Next hop:
//! [`crate::engine`].
//!
//! Metrics: reads `guildhall_store_reads_total`, of which joined
//! `guildhall_store_reads_joined_total`; what reached the store `guildhall_store_queries_total`;
//! gauges `guildhall_store_readers`, `guildhall_store_flights`, `guildhall_store_reads_in_store`;
//! what was refused `guildhall_store_busy_total`, by limit. The busiest channels:
//! [`DataService::hot_channels`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use model::user::Account;
use model::{ChannelId, GuildId};

use crate::error::StoreError;
use crate::fence::Epoch;
use crate::store::{Commit, Result, Store, Write};

mod acknowledged;
pub mod admission;
mod flights;
pub mod hot;
mod query;
mod reads;

pub use acknowledged::Acknowledged;
use flights::Flights;
pub use flights::{ACCOUNT_READS_MAX, CHANNEL_FLIGHTS_MAX, CHANNEL_READERS_MAX, CHANNEL_READS_MAX};
use hot::HotChannel;
use query::Changes;
pub use query::History;

/// Longest time a read may take before its readers are told [`StoreError::Busy`]. A page of history is
/// up to three queries one after the other, each of which a cluster that has just lost a node may take
/// seconds for.
pub const READ_DEADLINE: Duration = Duration::from_secs(10);

/// The store as the actors see it. Clones share the same flights and the same engine.
#[derive(Clone)]
pub struct DataService {
    store: Arc<dyn Store>,
    flights: Arc<Flights>,
}

impl std::fmt::Debug for DataService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataService")
            .field("partitions_read", &self.flights.partitions())
            .finish_non_exhaustive()
    }
}

impl DataService {
    /// A service in front of `store`.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            flights: Arc::new(Flights::new(READ_DEADLINE, true)),
        }
    }

    /// One that joins nothing: each read is a query of its own. To measure what joining is worth.
    pub fn without_joining(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            flights: Arc::new(Flights::new(READ_DEADLINE, false)),
        }
    }

    /// The channels that are read most, busiest first, at most `limit`.
    pub fn hot_channels(&self, limit: usize) -> Vec<HotChannel> {
        self.flights.hot().busiest(limit, Instant::now())
    }

    /// How many wait for a read that can be joined, at this moment.
    pub fn readers(&self) -> usize {
        self.flights.readers()
    }

    /// The engine behind it, for whoever starts and stops it.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Queues a batch in the order of the calls; see [`Store::commit`].
    ///
    /// # Errors
    /// Through the future, as [`Store::commit`].
    pub fn commit(&self, batch: Vec<Write>) -> Acknowledged {
        let mut changes: Vec<Changes> = batch
            .iter()
            .map(query::changes)
            .filter(|changes| *changes != Changes::Nothing)
            .collect();
        changes.dedup();
        Acknowledged {
            commit: self.store.commit(batch),
            began: Instant::now(),
            changes,
            flights: self.flights.clone(),
        }
    }

    /// Queues a batch of the owner of a guild, who claimed it under `epoch`: fenced, see
    /// [`Write::Fence`]. Everything a guild's process writes goes this way.
    ///
    /// # Errors
    /// Through the future, as [`Store::commit`]; [`StoreError::Fenced`]: nothing was changed, and the
    /// guild is another one's.
    pub fn commit_owned(&self, guild: GuildId, epoch: Epoch, batch: Vec<Write>) -> Acknowledged {
        let mut fenced = Vec::with_capacity(batch.len() + 1);
        fenced.push(Write::Fence(guild, epoch));
        fenced.extend(batch);
        self.commit(fenced)
    }

    /// A batch that is refused before it comes to the store; nothing is changed.
    pub fn refused(&self, error: StoreError) -> Acknowledged {
        Acknowledged {
            commit: Commit::settled(Err(error)),
            began: Instant::now(),
            changes: Vec::new(),
            flights: self.flights.clone(),
        }
    }

    /// Claims a guild, see [`Store::claim`]. No read that begins after it joins one that began before:
    /// that one may have missed what the last owner was told is written.
    ///
    /// # Errors
    /// As [`Store::claim`].
    pub async fn claim(&self, guild: GuildId, epoch: Epoch) -> Result<()> {
        let claimed = self.store.claim(guild, epoch).await;
        self.flights.close_all();
        claimed
    }

    /// See [`Store::create_account`].
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the name is taken.
    pub async fn create_account(&self, account: Account) -> Result<()> {
        let created = self.store.create_account(account).await;
        self.flights.close(query::Partition::Accounts);
        created
    }

    /// See [`Store::purge_channel`].
    ///
    /// # Errors
    /// As [`Store::purge_channel`].
    pub async fn purge_channel(&self, channel: ChannelId, limit: usize) -> Result<usize> {
        let purged = self.store.purge_channel(channel, limit).await;
        self.flights.close(query::Partition::Channel(channel));
        purged
    }

    /// See [`Store::health`].
    ///
    /// # Errors
    /// [`StoreError::Broken`]: the node must be started again, as soon as that helps
    /// ([`DataService::mended`]).
    pub fn health(&self) -> Result<()> {
        self.store.health()
    }

    /// See [`Store::mended`].
    ///
    /// # Errors
    /// As [`Store::mended`].
    pub async fn mended(&self) -> Result<()> {
        self.store.mended().await
    }

    /// See [`Store::close`].
    ///
    /// # Errors
    /// As [`Store::close`].
    pub async fn close(&self) -> Result<()> {
        self.store.close().await
    }
}

#[cfg(test)]
mod tests;
