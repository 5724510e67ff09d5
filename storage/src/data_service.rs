//! The data service: the one door between the actors and the engines.
//!
//! ```text
//!  100 readers of one page ─┐                     ┌─ leader task ─▶ Store::messages ─┐
//!                           ├─▶ partition(channel)┤                                  ├─▶ all 100
//!                           │   flights + gate    └─ the other 99 wait for it ───────┘
//!  commit ─────────────────────▶ Store::commit ─▶ durable ─▶ flights of its channels closed ─▶ ack
//! ```
//!
//! Stateless in data, stateful in flight: identical concurrent page reads of a channel become one
//! ("How Discord Stores Trillions of Messages", data services). A read that begins after a write to
//! the channel was acknowledged never gets the answer of a flight that began before it: the ack
//! closes the channel's flights to newcomers first.
//!
//! A value, not a process: cheap to clone, shared by everyone. A leader runs in a task of its own
//! and outlives the reader who started it. At its limits it refuses with [`StoreError::Busy`];
//! nothing is queued without bound. Next hop: [`crate::engine`].

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

mod flights;

use flights::{Flights, PageRead};

/// Longest time a page read may take before its readers are told [`StoreError::Busy`].
pub const READ_DEADLINE: Duration = Duration::from_secs(5);

/// The store as the actors see it. Clones share the same flights and the same engine.
#[derive(Clone)]
pub struct DataService {
    store: Arc<dyn Store>,
    flights: Arc<Flights>,
}

impl std::fmt::Debug for DataService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataService")
            .field("channels_read", &self.flights.channels())
            .finish_non_exhaustive()
    }
}

impl DataService {
    /// A service in front of `store`.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            flights: Arc::new(Flights::new(READ_DEADLINE)),
        }
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
        let mut channels: Vec<ChannelId> = batch.iter().filter_map(channel_of).collect();
        channels.dedup();
        Acknowledged {
            commit: self.store.commit(batch),
            began: Instant::now(),
            channels,
            flights: self.flights.clone(),
        }
    }

    /// A page of a channel's history, newest first; identical concurrent reads are joined.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when too many readers wait for this channel or the read took longer
    /// than [`READ_DEADLINE`]; otherwise what the engine answers.
    pub async fn messages(
        &self,
        channel: ChannelId,
        page: Page,
        limit: usize,
    ) -> Result<Vec<MessageRecord>> {
        count_read("messages");
        let store = self.store.clone();
        let work = || async move { store.messages(channel, page, limit).await };
        let answer = self
            .flights
            .read(
                PageRead {
                    channel,
                    page,
                    limit,
                },
                work,
            )
            .await?;
        Ok(Arc::try_unwrap(answer).unwrap_or_else(|shared| shared.as_ref().clone()))
    }

    /// See [`Store::create_account`].
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the name is taken.
    pub async fn create_account(&self, account: Account) -> Result<()> {
        self.store.create_account(account).await
    }

    /// See [`Store::account`].
    ///
    /// # Errors
    /// What the engine answers.
    pub async fn account(&self, user: UserId) -> Result<Option<Account>> {
        count_read("account");
        self.store.account(user).await
    }

    /// See [`Store::accounts`].
    ///
    /// # Errors
    /// What the engine answers.
    pub async fn accounts(&self, users: &[UserId]) -> Result<Vec<Option<Account>>> {
        count_read("accounts");
        self.store.accounts(users).await
    }

    /// See [`Store::list_accounts`].
    ///
    /// # Errors
    /// What the engine answers.
    pub async fn list_accounts(&self, after: Option<UserId>, limit: usize) -> Result<Vec<Account>> {
        count_read("list_accounts");
        self.store.list_accounts(after, limit).await
    }

    /// See [`Store::guild`].
    ///
    /// # Errors
    /// What the engine answers.
    pub async fn guild(&self, guild: GuildId) -> Result<Option<GuildSnapshot>> {
        count_read("guild");
        self.store.guild(guild).await
    }

    /// See [`Store::guild_without_members`].
    ///
    /// # Errors
    /// What the engine answers.
    pub async fn guild_without_members(&self, guild: GuildId) -> Result<Option<GuildSnapshot>> {
        count_read("guild_without_members");
        self.store.guild_without_members(guild).await
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
        count_read("members");
        self.store.members(guild, after, limit).await
    }

    /// See [`Store::list_guilds`].
    ///
    /// # Errors
    /// What the engine answers.
    pub async fn list_guilds(&self, after: Option<GuildId>, limit: usize) -> Result<Vec<GuildId>> {
        count_read("list_guilds");
        self.store.list_guilds(after, limit).await
    }

    /// See [`Store::guilds_of`].
    ///
    /// # Errors
    /// What the engine answers.
    pub async fn guilds_of(&self, user: UserId) -> Result<Vec<GuildId>> {
        count_read("guilds_of");
        self.store.guilds_of(user).await
    }

    /// See [`Store::guild_of_channel`].
    ///
    /// # Errors
    /// What the engine answers.
    pub async fn guild_of_channel(&self, channel: ChannelId) -> Result<Option<GuildId>> {
        count_read("guild_of_channel");
        self.store.guild_of_channel(channel).await
    }

    /// See [`Store::ban`].
    ///
    /// # Errors
    /// What the engine answers.
    pub async fn ban(&self, guild: GuildId, user: UserId) -> Result<Option<BanRecord>> {
        count_read("ban");
        self.store.ban(guild, user).await
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
        count_read("bans");
        self.store.bans(guild, before, after, limit).await
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
        count_read("message");
        self.store.message(channel, message).await
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
        count_read("pins");
        self.store.pins(channel, before, limit).await
    }

    /// See [`Store::pin_count`].
    ///
    /// # Errors
    /// What the engine answers.
    pub async fn pin_count(&self, channel: ChannelId) -> Result<usize> {
        count_read("pin_count");
        self.store.pin_count(channel).await
    }

    /// See [`Store::reactions`].
    ///
    /// # Errors
    /// What the engine answers.
    pub async fn reactions(
        &self,
        channel: ChannelId,
        messages: &[MessageId],
        reader: UserId,
    ) -> Result<Vec<Vec<ReactionCount>>> {
        count_read("reactions");
        self.store.reactions(channel, messages, reader).await
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
        count_read("reactors");
        self.store
            .reactors(channel, message, emoji, after, limit)
            .await
    }

    /// See [`Store::read_state`].
    ///
    /// # Errors
    /// What the engine answers.
    pub async fn read_state(&self, user: UserId, channel: ChannelId) -> Result<Option<ReadState>> {
        count_read("read_state");
        self.store.read_state(user, channel).await
    }

    /// See [`Store::read_states`].
    ///
    /// # Errors
    /// What the engine answers.
    pub async fn read_states(&self, user: UserId, limit: usize) -> Result<Vec<ReadState>> {
        count_read("read_states");
        self.store.read_states(user, limit).await
    }

    /// See [`Store::setting`].
    ///
    /// # Errors
    /// What the engine answers.
    pub async fn setting(&self, name: &str) -> Result<Option<Vec<u8>>> {
        count_read("setting");
        self.store.setting(name).await
    }

    /// See [`Store::purge_channel`].
    ///
    /// # Errors
    /// As [`Store::purge_channel`].
    pub async fn purge_channel(&self, channel: ChannelId, limit: usize) -> Result<usize> {
        let purged = self.store.purge_channel(channel, limit).await;
        self.flights.close(channel);
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

/// The channel whose history a write changes.
fn channel_of(write: &Write) -> Option<ChannelId> {
    match write {
        Write::PutMessage(record) => Some(record.channel_id),
        Write::PatchMessage(channel, ..) | Write::DeleteMessage(channel, ..) => Some(*channel),
        _ => None,
    }
}

/// A pending commit of the data service: as [`Commit`], and no read that begins after it resolved
/// can miss what it wrote. Dropping it does not undo the batch.
#[derive(Debug)]
pub struct Acknowledged {
    commit: Commit,
    began: Instant,
    channels: Vec<ChannelId>,
    flights: Arc<Flights>,
}

impl Future for Acknowledged {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        Pin::new(&mut this.commit).poll(cx).map(|settled| {
            for channel in this.channels.drain(..) {
                this.flights.close(channel);
            }
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
        for channel in self.channels.drain(..) {
            self.flights.close(channel);
        }
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
