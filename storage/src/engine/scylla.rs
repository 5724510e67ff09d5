//! The engine for a cluster: ScyllaDB or Apache Cassandra, through CQL.
//!
//! ```text
//!  open   ─▶ url.rs ─▶ link.rs: connect ─▶ schema.rs: migrations ─▶ statements.rs: prepare
//!              start.rs: what a failed start means, what the server is set to
//!  writes ─▶ committer.rs: scopes.rs, queue.rs: what waits for what
//!              ─▶ facts.rs: rows it needs ─▶ work.rs: what becomes of them ─▶ emit.rs: statements
//!              ─▶ link.rs: one batch, tried until it is known ─▶ failure.rs: what an error means,
//!                 complaints.rs: said now and then
//!  reads  ─▶ reads.rs ─▶ record.rs: rows to messages
//!  names.rs: accounts     purge.rs: deleted channels     anti_entropy.rs: orphans
//!  epochs.rs: who owns a guild
//! ```
//!
//! **What is guaranteed.** A commit that was acknowledged was written by a quorum of the replicas,
//! and every later read asks a quorum: it is seen, as long as no more than a minority of the
//! replicas is lost. Batches of one channel, guild, user or setting take effect in the order of the
//! calls, one group at a time, by timestamps that strictly rise (`clock.rs`). A batch is one logged
//! batch: once its coordinator has its log, all of it will be applied, whatever dies. Patches,
//! reactions and pins of a missing message fail their batch, because what a batch needs is read by
//! the one group that may change it.
//!
//! **What is not.** A batch is atomic but not isolated: while it is being applied a reader may see
//! one partition changed and another not yet. A batch whose quorum failed midway is told as
//! [`StoreError::Unknown`]; it may be seen, and may still be applied later, with the timestamp it had.
//! Batches of different channels and guilds have no order among each other. Two nodes that write the
//! same read state in the same moment merge with what was there before: one of the two may be lost,
//! until that user reads on. All this presumes one
//! writer per guild at a time: each claims it, and of one that was fenced off nothing is acknowledged
//! (`epochs.rs`). What such a one was about to write when it was fenced may still be seen, also later, as
//! with every [`StoreError::Unknown`], and it can edit what the other has just deleted. That leaves a row without author, which no reader shows and
//! `anti_entropy.rs` deletes. Deleting a guild of more than [`MEMBERS_AT_ONCE_MAX`] members takes the
//! first of them out before. Why it is so: `docs/adr/0007-batches-on-a-cluster.md`.
//!
//! With `tls=on` connections are encrypted and nodes have to prove who they are: `tls.rs`.
//!
//! Durable is what the cluster calls durable: with one replica and `commitlog_sync: periodic` a power
//! cut takes seconds of acknowledged writes. Run three replicas, or `group`.

mod url;
mod clock;
mod failure;
mod complaints;
mod tls;
mod start;
mod schema;
mod statements;
mod record;
mod link;
mod scopes;
mod queue;
mod facts;
mod work;
mod changes;
mod emit;
mod committer;
mod epochs;
mod names;
mod purge;
mod reads;
mod anti_entropy;
#[cfg(any(test, feature = "testsuite"))]
mod stop;

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::oneshot;

use model::ban::BanRecord;
use model::emoji::ReactionEmoji;
use model::member::MemberRecord;
use model::message::MessageRecord;
use model::read_state::ReadState;
use model::user::{Account, User};
use model::{ChannelId, GuildId, MessageId, UserId};

use crate::error::StoreError;
use crate::fence::Epoch;
use crate::store::{Commit, EmojiCount, GuildSnapshot, LostFile, Page, Result, Store, Write};
use crate::upkeep::Upkeep;
use changes::Kind;
use committer::{Committer, Job};
use link::Link;

pub use anti_entropy::{AntiEntropy, ORPHANS_MAX, Pace};
pub use facts::{FACTS_AT_ONCE, MEMBERS_AT_ONCE_MAX};
pub use link::{
    CQL_READS_AT_ONCE, CQL_READS_WAITING, READ_TIME_MAX, REQUEST_BYTES_MAX, SESSION_TIME_MAX,
    SPECULATE_AFTER, WRITE_TIME_MAX, WRITE_TRIES_MAX,
};
pub use names::{CLAIM_MAX, CLAIM_TRIES_MAX};
pub use purge::PURGE_STEP_MAX;
pub use queue::{
    GROUP_BATCHES_MAX, GROUP_BYTES_MAX, GROUPS_AT_ONCE_MAX, WAITING_BATCHES_MAX, WAITING_WRITES_MAX,
};
pub use reads::{BUCKETS_PAGE, KEYS_IN_MAX, QUESTIONS_AT_ONCE};
pub use start::BATCH_BYTES_NEEDED;
pub use statements::PAGE_ROWS;
pub use tls::CERTIFICATES_MAX;
pub use url::CONTACT_POINTS_MAX;

pub(crate) use scopes::bytes;

/// The engine behind `scylla://…`.
pub struct ScyllaStore {
    link: Arc<Link>,
    committer: Arc<Committer>,
}

impl ScyllaStore {
    /// Connects to the cluster of a URL, what follows `scylla:`, and makes keyspace and tables when
    /// they are missing and the URL allows it.
    ///
    /// # Errors
    /// [`StoreError::Broken`] with a text for the operator: a bad URL, no node that answers, a
    /// keyspace of a newer version.
    pub async fn open(rest: &str) -> Result<Self> {
        let cluster = url::Cluster::parse(rest)
            .map_err(|why| StoreError::Broken(format!("the URL of the cluster: {why}")))?;
        let link = Arc::new(Link::open(&cluster).await?);
        Ok(Self {
            committer: Committer::new(link.clone()),
            link,
        })
    }

    /// The worker that finds and deletes orphans, see [`AntiEntropy`]. One per keyspace is enough;
    /// more do no harm.
    pub fn anti_entropy(&self, pace: Pace) -> AntiEntropy {
        AntiEntropy::new(self.link.clone(), pace)
    }

    /// Stops every group of batches between what it reads and what it writes, from now on until the
    /// answer is dropped: for tests of what comes between.
    #[cfg(any(test, feature = "testsuite"))]
    pub fn stop_before_writes(&self) -> stop::Stopped<'_> {
        self.link.stop.stop()
    }
}

impl std::fmt::Debug for ScyllaStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScyllaStore")
            .field("health", &self.health())
            .finish_non_exhaustive()
    }
}

async fn settled<T>(wait: oneshot::Receiver<Result<T>>) -> Result<T> {
    wait.await.unwrap_or_else(|_| {
        Err(StoreError::Unknown(
            "the store stopped before it answered".to_owned(),
        ))
    })
}

#[async_trait]
impl Store for ScyllaStore {
    fn commit(&self, batch: Vec<Write>) -> Commit {
        let (settle, commit) = Commit::new();
        self.committer.submit(Job::Batch(batch, settle));
        commit
    }

    fn claim(&self, guild: GuildId, epoch: Epoch) -> Commit {
        let (settle, commit) = Commit::new();
        self.committer.submit(Job::Claim(guild, epoch, settle));
        commit
    }

    async fn epoch(&self, guild: GuildId) -> Result<Epoch> {
        let _place = self.link.place().await?;
        epochs::epoch(&self.link, guild).await
    }

    async fn create_account(&self, account: Account) -> Result<()> {
        let (settle, wait) = oneshot::channel();
        self.committer
            .submit(Job::CreateAccount(Box::new(account), settle));
        settled(wait).await
    }

    async fn account(&self, user: UserId) -> Result<Option<Account>> {
        Ok(self
            .link
            .accounts(&[user])
            .await?
            .into_iter()
            .flatten()
            .next())
    }

    async fn accounts(&self, users: &[UserId]) -> Result<Vec<Option<Account>>> {
        self.link.accounts(users).await
    }

    async fn list_accounts(&self, after: Option<UserId>, limit: usize) -> Result<Vec<Account>> {
        self.link.list_accounts(after, limit).await
    }

    async fn guild(&self, guild: GuildId) -> Result<Option<GuildSnapshot>> {
        self.link.guild(guild).await
    }

    async fn guild_without_members(&self, guild: GuildId) -> Result<Option<GuildSnapshot>> {
        self.link.guild_without_members(guild).await
    }

    async fn members(
        &self,
        guild: GuildId,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<(MemberRecord, User)>> {
        self.link.members(guild, after, limit).await
    }

    async fn list_guilds(&self, after: Option<GuildId>, limit: usize) -> Result<Vec<GuildId>> {
        self.link.listed(Kind::Guild, after, limit).await
    }

    async fn guilds_of(&self, user: UserId) -> Result<Vec<GuildId>> {
        self.link.guilds_of(user).await
    }

    async fn guild_of_channel(&self, channel: ChannelId) -> Result<Option<GuildId>> {
        Ok(self.link.channel_state(channel).await?.guild)
    }

    async fn ban(&self, guild: GuildId, user: UserId) -> Result<Option<BanRecord>> {
        self.link.ban(guild, user).await
    }

    async fn bans(
        &self,
        guild: GuildId,
        before: Option<UserId>,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<BanRecord>> {
        self.link.bans(guild, before, after, limit).await
    }

    async fn message(
        &self,
        channel: ChannelId,
        message: MessageId,
    ) -> Result<Option<MessageRecord>> {
        self.link.message(channel, message).await
    }

    async fn messages_by_id(
        &self,
        channel: ChannelId,
        messages: &[MessageId],
    ) -> Result<Vec<Option<MessageRecord>>> {
        self.link.messages_by_id(channel, messages).await
    }

    async fn messages(
        &self,
        channel: ChannelId,
        page: Page,
        limit: usize,
    ) -> Result<Vec<MessageRecord>> {
        self.link.messages(channel, page, limit).await
    }

    async fn pins(
        &self,
        channel: ChannelId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<(MessageRecord, u64)>> {
        self.link.pins(channel, before, limit).await
    }

    async fn pin_count(&self, channel: ChannelId) -> Result<usize> {
        self.link.pin_count(channel).await
    }

    async fn reaction_counts(
        &self,
        channel: ChannelId,
        messages: &[MessageId],
    ) -> Result<Vec<Vec<EmojiCount>>> {
        self.link.reaction_counts(channel, messages).await
    }

    async fn reactors_of(
        &self,
        channel: ChannelId,
        of: &[(MessageId, ReactionEmoji)],
    ) -> Result<Vec<Vec<UserId>>> {
        self.link.reactors_of(channel, of).await
    }

    async fn reacted(
        &self,
        channel: ChannelId,
        user: UserId,
        of: &[(MessageId, ReactionEmoji)],
    ) -> Result<Vec<bool>> {
        self.link.reacted(channel, user, of).await
    }

    async fn reactors(
        &self,
        channel: ChannelId,
        message: MessageId,
        emoji: &ReactionEmoji,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<UserId>> {
        self.link
            .reactors(channel, message, emoji, after, limit)
            .await
    }

    async fn read_state(&self, user: UserId, channel: ChannelId) -> Result<Option<ReadState>> {
        self.link.read_state(user, channel).await
    }

    async fn read_states(&self, user: UserId, limit: usize) -> Result<Vec<ReadState>> {
        self.link.read_states(user, limit).await
    }

    async fn reaction_times(
        &self,
        channel: ChannelId,
        message: MessageId,
        emoji: &ReactionEmoji,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<(UserId, u64)>> {
        self.link
            .reaction_times(channel, message, emoji, after, limit)
            .await
    }

    async fn setting(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.link.setting(name).await
    }

    async fn list_settings(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>> {
        self.link.list_settings(after, limit).await
    }

    async fn purge_channel(&self, channel: ChannelId, limit: usize) -> Result<usize> {
        let (settle, wait) = oneshot::channel();
        self.committer.submit(Job::Purge(channel, limit, settle));
        settled(wait).await
    }

    async fn channels_to_purge(&self, limit: usize) -> Result<Vec<ChannelId>> {
        self.link.listed(Kind::Purge, None, limit).await
    }

    async fn files_to_delete(&self, limit: usize) -> Result<Vec<LostFile>> {
        self.link.files_to_delete(limit).await
    }

    fn upkeep(&self) -> Option<Box<dyn Upkeep>> {
        Some(Box::new(self.anti_entropy(Pace::default())))
    }

    fn health(&self) -> Result<()> {
        self.committer.health()
    }

    async fn close(&self) -> Result<()> {
        self.committer.close().await;
        self.health()
    }
}
