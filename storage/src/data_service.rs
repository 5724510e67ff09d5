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

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use model::ban::BanRecord;
use model::emoji::ReactionEmoji;
use model::member::MemberRecord;
use model::message::MessageRecord;
use model::read_state::ReadState;
use model::user::{Account, User};
use model::{ChannelId, GuildId, MessageId, UserId};

use crate::error::StoreError;
use crate::store::{Commit, GuildSnapshot, LostFile, Page, ReactionCount, Result, Store, Write};

pub mod admission;
mod flights;
pub mod hot;
mod query;

use flights::Flights;
pub use flights::{ACCOUNT_READS_MAX, CHANNEL_FLIGHTS_MAX, CHANNEL_READERS_MAX, CHANNEL_READS_MAX};
use hot::HotChannel;
pub use query::History;
use query::{Changes, Query};

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

    /// A read that others may join.
    async fn read<Q: Query>(&self, query: Q) -> Result<Arc<Q::Answer>> {
        count_read(Q::NAME);
        self.flights.read(query, &self.store).await
    }

    /// A read that nobody joins, because it is rare or each one is another.
    async fn pass<T>(
        &self,
        name: &'static str,
        read: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        count_read(name);
        self.flights.admission().check()?;
        metrics::counter!("guildhall_store_queries_total", "read" => name).increment(1);
        read.await
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

    /// A page of a channel's history, newest first.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when too many readers wait for this channel, the store is slow, or the
    /// read took longer than [`READ_DEADLINE`]; otherwise what the engine answers.
    pub async fn messages(
        &self,
        channel: ChannelId,
        page: Page,
        limit: usize,
    ) -> Result<Arc<Vec<MessageRecord>>> {
        self.read(query::Messages {
            channel,
            page,
            limit,
        })
        .await
    }

    /// A page of a channel's history, newest first, with what belongs to it: one read, joined, so
    /// that ten thousand readers of it are one, whatever it is made of.
    ///
    /// # Errors
    /// As [`DataService::messages`].
    pub async fn history(
        &self,
        channel: ChannelId,
        page: Page,
        limit: usize,
    ) -> Result<Arc<History>> {
        self.read(query::Histories {
            channel,
            page,
            limit,
        })
        .await
    }

    /// The reactions of a page as `reader` sees them, in the order of its messages. Asks the store
    /// for nothing but reactions that very many have used.
    ///
    /// # Errors
    /// What the engine answers.
    pub async fn reactions_on(
        &self,
        channel: ChannelId,
        history: &History,
        reader: UserId,
    ) -> Result<Vec<Vec<ReactionCount>>> {
        let messages = history.messages.iter().map(|message| message.id);
        self.seen_by(channel, messages, &history.reactions, reader)
            .await
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

    /// See [`Store::account`].
    ///
    /// # Errors
    /// What the engine answers.
    pub async fn account(&self, user: UserId) -> Result<Option<Account>> {
        Ok(self.accounts(&[user]).await?.pop().flatten())
    }

    /// See [`Store::accounts`].
    ///
    /// # Errors
    /// What the engine answers.
    pub async fn accounts(&self, users: &[UserId]) -> Result<Vec<Option<Account>>> {
        Ok(Arc::unwrap_or_clone(
            self.read(query::Accounts(users.to_vec())).await?,
        ))
    }

    /// See [`Store::list_accounts`].
    ///
    /// # Errors
    /// What the engine answers.
    pub async fn list_accounts(&self, after: Option<UserId>, limit: usize) -> Result<Vec<Account>> {
        self.pass("list_accounts", self.store.list_accounts(after, limit))
            .await
    }

    /// See [`Store::guild`].
    ///
    /// # Errors
    /// What the engine answers.
    pub async fn guild(&self, guild: GuildId) -> Result<Option<GuildSnapshot>> {
        self.pass("guild", self.store.guild(guild)).await
    }

    /// See [`Store::guild_without_members`].
    ///
    /// # Errors
    /// What the engine answers.
    pub async fn guild_without_members(&self, guild: GuildId) -> Result<Option<GuildSnapshot>> {
        self.pass(
            "guild_without_members",
            self.store.guild_without_members(guild),
        )
        .await
    }

    /// See [`Store::members`].
    ///
    /// # Errors
    /// What the engine answers.
    pub async fn members(
        &self,
        guild: GuildId,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<(MemberRecord, User)>> {
        self.pass("members", self.store.members(guild, after, limit))
            .await
    }

    /// See [`Store::list_guilds`].
    ///
    /// # Errors
    /// What the engine answers.
    pub async fn list_guilds(&self, after: Option<GuildId>, limit: usize) -> Result<Vec<GuildId>> {
        self.pass("list_guilds", self.store.list_guilds(after, limit))
            .await
    }

    /// See [`Store::guilds_of`].
    ///
    /// # Errors
    /// What the engine answers.
    pub async fn guilds_of(&self, user: UserId) -> Result<Vec<GuildId>> {
        self.pass("guilds_of", self.store.guilds_of(user)).await
    }

    /// See [`Store::guild_of_channel`].
    ///
    /// # Errors
    /// What the engine answers.
    pub async fn guild_of_channel(&self, channel: ChannelId) -> Result<Option<GuildId>> {
        Ok(Arc::unwrap_or_clone(
            self.read(query::GuildOfChannel(channel)).await?,
        ))
    }

    /// See [`Store::ban`].
    ///
    /// # Errors
    /// What the engine answers.
    pub async fn ban(&self, guild: GuildId, user: UserId) -> Result<Option<BanRecord>> {
        self.pass("ban", self.store.ban(guild, user)).await
    }

    /// See [`Store::bans`].
    ///
    /// # Errors
    /// What the engine answers.
    pub async fn bans(
        &self,
        guild: GuildId,
        before: Option<UserId>,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<BanRecord>> {
        self.pass("bans", self.store.bans(guild, before, after, limit))
            .await
    }

    /// See [`Store::message`].
    ///
    /// # Errors
    /// What the engine answers.
    pub async fn message(
        &self,
        channel: ChannelId,
        message: MessageId,
    ) -> Result<Option<MessageRecord>> {
        Ok(Arc::unwrap_or_clone(
            self.read(query::Message { channel, message }).await?,
        ))
    }

    /// See [`Store::pins`].
    ///
    /// # Errors
    /// What the engine answers.
    pub async fn pins(
        &self,
        channel: ChannelId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<(MessageRecord, u64)>> {
        Ok(Arc::unwrap_or_clone(
            self.read(query::Pins {
                channel,
                before,
                limit,
            })
            .await?,
        ))
    }

    /// See [`Store::pin_count`].
    ///
    /// # Errors
    /// What the engine answers.
    pub async fn pin_count(&self, channel: ChannelId) -> Result<usize> {
        Ok(Arc::unwrap_or_clone(
            self.read(query::PinCount(channel)).await?,
        ))
    }

    /// Reactions of several messages of a channel, as `reader` sees them, in the order asked. What
    /// everybody sees of them is one read, joined; with it come those who reacted, where they are
    /// few, so that a hot page costs the store nothing for each reader.
    ///
    /// # Errors
    /// What the engine answers.
    pub async fn reactions(
        &self,
        channel: ChannelId,
        messages: &[MessageId],
        reader: UserId,
    ) -> Result<Vec<Vec<ReactionCount>>> {
        let everybodys = self
            .read(query::Reactions {
                channel,
                messages: messages.to_vec(),
            })
            .await?;
        self.seen_by(channel, messages.iter().copied(), &everybodys, reader)
            .await
    }

    async fn seen_by(
        &self,
        channel: ChannelId,
        messages: impl Iterator<Item = MessageId>,
        reactions: &[Vec<query::Reacted>],
        reader: UserId,
    ) -> Result<Vec<Vec<ReactionCount>>> {
        let unsure: Vec<(MessageId, ReactionEmoji)> = messages
            .zip(reactions)
            .flat_map(|(message, reactions)| reactions.iter().map(move |one| (message, one)))
            .filter(|(_, reaction)| reaction.users.is_none())
            .map(|(message, reaction)| (message, reaction.emoji.clone()))
            .collect();
        let mut sure = if unsure.is_empty() {
            Vec::new()
        } else {
            let reacted = self.store.reacted(channel, reader, &unsure);
            self.pass("reacted", reacted).await?
        }
        .into_iter();
        let mut seen = |reaction: &query::Reacted| ReactionCount {
            emoji: reaction.emoji.clone(),
            count: reaction.count,
            me: match &reaction.users {
                Some(users) => users.binary_search(&reader).is_ok(),
                None => sure.next().unwrap_or_default(),
            },
        };
        Ok(reactions
            .iter()
            .map(|reactions| reactions.iter().map(&mut seen).collect())
            .collect())
    }

    /// See [`Store::reactors`].
    ///
    /// # Errors
    /// What the engine answers.
    pub async fn reactors(
        &self,
        channel: ChannelId,
        message: MessageId,
        emoji: &ReactionEmoji,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<UserId>> {
        let reactors = query::Reactors {
            channel,
            message,
            emoji: emoji.clone(),
            after,
            limit,
        };
        Ok(Arc::unwrap_or_clone(self.read(reactors).await?))
    }

    /// See [`Store::read_state`].
    ///
    /// # Errors
    /// What the engine answers.
    pub async fn read_state(&self, user: UserId, channel: ChannelId) -> Result<Option<ReadState>> {
        let read = self.store.read_state(user, channel);
        self.pass("read_state", read).await
    }

    /// See [`Store::read_states`].
    ///
    /// # Errors
    /// What the engine answers.
    pub async fn read_states(&self, user: UserId, limit: usize) -> Result<Vec<ReadState>> {
        let read = self.store.read_states(user, limit);
        self.pass("read_states", read).await
    }

    /// See [`Store::setting`].
    ///
    /// # Errors
    /// What the engine answers.
    pub async fn setting(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.pass("setting", self.store.setting(name)).await
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

    /// See [`Store::files_to_delete`].
    ///
    /// # Errors
    /// What the engine answers.
    pub async fn files_to_delete(&self, limit: usize) -> Result<Vec<LostFile>> {
        self.store.files_to_delete(limit).await
    }

    /// See [`Store::channels_to_purge`].
    ///
    /// # Errors
    /// What the engine answers.
    pub async fn channels_to_purge(&self, limit: usize) -> Result<Vec<ChannelId>> {
        self.store.channels_to_purge(limit).await
    }

    /// See [`Store::health`].
    ///
    /// # Errors
    /// [`StoreError::Broken`]: the node must stop.
    pub fn health(&self) -> Result<()> {
        self.store.health()
    }

    /// See [`Store::close`].
    ///
    /// # Errors
    /// As [`Store::close`].
    pub async fn close(&self) -> Result<()> {
        self.store.close().await
    }
}

fn count_read(what: &'static str) {
    metrics::counter!("guildhall_store_reads_total", "read" => what).increment(1);
}

/// A pending commit of the data service: as [`Commit`], and no read that begins after it resolved
/// can miss what it wrote. Dropping it does not undo the batch.
#[derive(Debug)]
pub struct Acknowledged {
    commit: Commit,
    began: Instant,
    changes: Vec<Changes>,
    flights: Arc<Flights>,
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
        StoreError::NotApplied(_) => "not_applied",
        StoreError::Unknown(_) => "unknown",
        StoreError::Broken(_) => "broken",
        StoreError::Corrupt(_) => "corrupt",
    }
}

#[cfg(test)]
mod tests;
