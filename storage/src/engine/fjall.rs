//! The embedded engine: a log-structured tree in a directory of this machine (the `fjall` crate).
//!
//! ```text
//!  writes ─▶ committer.rs (one thread) ─▶ apply.rs ─▶ pending.rs ─▶ tables.rs ─▶ journal, fdatasync
//!  reads  ─▶ reads.rs on a snapshot, on tokio's blocking threads ─▶ tables.rs
//!            keys.rs: where a row is        value.rs: what stands there
//!  open   ─▶ lock ─▶ repair.rs: cut a torn tail ─▶ tables.rs ─▶ format row
//! ```
//!
//! **What is guaranteed.** A batch is written to the journal, synced, put into the maps, published,
//! acknowledged: in that order, so nothing is visible before it is durable (reads go through
//! snapshots, which begin at what is published), and what was acknowledged survives a crash and a
//! power cut. While the disk has no more room than its reserve (`crate::room`), writes are refused
//! with [`StoreError::Full`]. After a failed write the store is broken, see [`committer`](self).
//!
//! **Why reads leave the async threads.** A read takes 10–100 µs, but up to 0.3 s when the tree
//! writes out a map or merges files. On a machine with two cores two such reads would stop every
//! session, so each read is one trip to a blocking thread; at most [`READS_AT_ONCE`] are there
//! together, at most [`READS_WAITING`] wait for a place, past that a read is refused with
//! [`StoreError::Busy`].
//!
//! Directory: `LOCK` (one process at a time), `tree/` (the tree), `tree/N.jnl.torn` (what a repair
//! cut off, for whoever wants to look at it; safe to delete).

mod keys;
mod value;
mod tables;
mod pending;
mod apply;
mod reads;
mod committer;
mod repair;

use std::fs::{File, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};
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

use super::places::Places;
use crate::error::StoreError;
use crate::fence::Epoch;
use crate::room::{DISK_RESERVE, Room};
use crate::store::{Commit, EmojiCount, GuildSnapshot, LostFile, Page, Result, Store, Write};
use committer::{Committer, Job};
use tables::{Reader, Tables};

pub use committer::{GROUP_BATCHES, QUEUE_BATCHES, QUEUE_WRITES};

/// Reads that may be in the tree at once.
pub const READS_AT_ONCE: usize = 16;

/// Reads that may wait for a place; past it a read is refused with [`StoreError::Busy`].
pub const READS_WAITING: usize = 8_192;

/// The file, and the bytes of it, that tell whether the disk under a broken store works again.
const PROBE: &str = "PROBE";
const PROBE_BYTES: usize = 256 * 1_024;

/// The engine behind `fjall:DIR`.
pub struct FjallStore {
    inner: Arc<Inner>,
    places: Places,
}

struct Inner {
    // In this order, which is the order they are dropped in: the writer, the tree, the lock.
    committer: Committer,
    tables: Tables,
    directory: PathBuf,
    room: Arc<Room>,
    _lock: File,
}

impl Drop for Inner {
    /// Blocks until what is queued is durable: normally nothing, the time of a sync at worst.
    fn drop(&mut self) {
        self.committer.close();
    }
}

impl FjallStore {
    /// Opens the store in `directory`, making it when it is not there, and repairs a torn tail.
    ///
    /// # Errors
    /// [`StoreError::Broken`] when another process has it open, the disk fails, or a newer version
    /// wrote it; [`StoreError::Corrupt`] when acknowledged data is damaged (then nothing is changed).
    pub async fn open(directory: impl Into<PathBuf>) -> Result<Self> {
        Self::open_with_reserve(directory, DISK_RESERVE).await
    }

    /// The same, with this many bytes left free on the disk instead of [`DISK_RESERVE`].
    ///
    /// # Errors
    /// As [`FjallStore::open`].
    pub async fn open_with_reserve(directory: impl Into<PathBuf>, reserve: u64) -> Result<Self> {
        let directory = directory.into();
        let inner = blocking(move || Inner::open(&directory, reserve)).await?;
        Ok(Self {
            inner: Arc::new(inner),
            places: Places::new(READS_AT_ONCE, READS_WAITING),
        })
    }

    /// Makes the next commit fail as if the disk had: for tests of what happens then.
    #[cfg(any(test, feature = "testsuite"))]
    pub fn fail_next_commit(&self) {
        self.inner.committer.fail_next_commit();
    }

    /// Runs a read on a blocking thread, on a snapshot made there.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Reader<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let place = self.places.take().await?;
        let inner = self.inner.clone();
        blocking(move || {
            let answer = work(&inner.tables.reader());
            drop(place);
            answer
        })
        .await
    }
}

impl std::fmt::Debug for FjallStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FjallStore")
            .field("health", &self.health())
            .finish_non_exhaustive()
    }
}

impl Inner {
    fn open(directory: &Path, reserve: u64) -> Result<Self> {
        let tree = directory.join("tree");
        let failed = |error: std::io::Error| {
            StoreError::Broken(format!("cannot open {}: {error}", directory.display()))
        };
        std::fs::create_dir_all(directory).map_err(failed)?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(directory.join("LOCK"))
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::Broken(format!(
                    "another process has {} open; stop it or use another directory",
                    directory.display()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        repair::repair(&tree)?;
        let tables = Tables::open(&tree)?;
        let room = Arc::new(Room::new(directory, reserve, "store"));
        Ok(Self {
            committer: Committer::start(tables.clone(), room.clone())?,
            tables,
            directory: directory.to_owned(),
            room,
            _lock: lock,
        })
    }

    /// Whether the disk takes writes: tried with a file of its own, never with one of the tree.
    fn mended(&self) -> Result<()> {
        self.room.check().map_err(StoreError::Broken)?;
        let path = self.directory.join(PROBE);
        let probe = || -> std::io::Result<()> {
            let mut file = File::create(&path)?;
            file.write_all(&vec![b'.'; PROBE_BYTES])?;
            file.sync_all()?;
            std::fs::remove_file(&path)?;
            File::open(&self.directory)?.sync_all()
        };
        probe().map_err(|error| {
            // Where it could not be removed now it is written over next time.
            let _ = std::fs::remove_file(&path);
            StoreError::Broken(format!(
                "{} takes no writes: {error}",
                self.directory.display()
            ))
        })
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        Err(StoreError::Broken(format!(
            "a task of the store ended early: {error}"
        )))
    })
}

async fn settled<T>(wait: oneshot::Receiver<Result<T>>) -> Result<T> {
    wait.await.unwrap_or_else(|_| {
        Err(StoreError::Unknown(
            "the store stopped before it answered".to_owned(),
        ))
    })
}

#[async_trait]
impl Store for FjallStore {
    fn commit(&self, batch: Vec<Write>) -> Commit {
        let (settle, commit) = Commit::new();
        self.inner.committer.submit(Job::Batch(batch, settle));
        commit
    }

    fn claim(&self, guild: GuildId, epoch: Epoch) -> Commit {
        let (settle, commit) = Commit::new();
        self.inner
            .committer
            .submit(Job::Claim(guild, epoch, settle));
        commit
    }

    async fn epoch(&self, guild: GuildId) -> Result<Epoch> {
        self.read(move |reader| reader.epoch(guild)).await
    }

    async fn create_account(&self, account: Account) -> Result<()> {
        let (settle, wait) = oneshot::channel();
        self.inner
            .committer
            .submit(Job::CreateAccount(Box::new(account), settle));
        settled(wait).await
    }

    async fn account(&self, user: UserId) -> Result<Option<Account>> {
        self.read(move |reader| reader.account(user)).await
    }

    async fn accounts(&self, users: &[UserId]) -> Result<Vec<Option<Account>>> {
        let users = users.to_vec();
        self.read(move |reader| users.into_iter().map(|user| reader.account(user)).collect())
            .await
    }

    async fn list_accounts(&self, after: Option<UserId>, limit: usize) -> Result<Vec<Account>> {
        self.read(move |reader| reader.list_accounts(after, limit))
            .await
    }

    async fn guild(&self, guild: GuildId) -> Result<Option<GuildSnapshot>> {
        self.read(move |reader| reader.guild(guild)).await
    }

    async fn guild_without_members(&self, guild: GuildId) -> Result<Option<GuildSnapshot>> {
        self.read(move |reader| reader.guild_without_members(guild))
            .await
    }

    async fn members(
        &self,
        guild: GuildId,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<(MemberRecord, User)>> {
        self.read(move |reader| reader.members(guild, after, limit))
            .await
    }

    async fn list_guilds(&self, after: Option<GuildId>, limit: usize) -> Result<Vec<GuildId>> {
        self.read(move |reader| reader.list_guilds(after, limit))
            .await
    }

    async fn guilds_of(&self, user: UserId) -> Result<Vec<GuildId>> {
        self.read(move |reader| reader.guilds_of(user)).await
    }

    async fn guild_of_channel(&self, channel: ChannelId) -> Result<Option<GuildId>> {
        self.read(move |reader| reader.guild_of_channel(channel))
            .await
    }

    async fn ban(&self, guild: GuildId, user: UserId) -> Result<Option<BanRecord>> {
        self.read(move |reader| reader.ban(guild, user)).await
    }

    async fn bans(
        &self,
        guild: GuildId,
        before: Option<UserId>,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<BanRecord>> {
        self.read(move |reader| reader.bans(guild, before, after, limit))
            .await
    }

    async fn message(
        &self,
        channel: ChannelId,
        message: MessageId,
    ) -> Result<Option<MessageRecord>> {
        self.read(move |reader| reader.message(channel, message))
            .await
    }

    async fn messages_by_id(
        &self,
        channel: ChannelId,
        messages: &[MessageId],
    ) -> Result<Vec<Option<MessageRecord>>> {
        let messages = messages.to_vec();
        self.read(move |reader| {
            let message = |message| reader.message(channel, message);
            messages.into_iter().map(message).collect()
        })
        .await
    }

    async fn messages(
        &self,
        channel: ChannelId,
        page: Page,
        limit: usize,
    ) -> Result<Vec<MessageRecord>> {
        self.read(move |reader| reader.messages(channel, page, limit))
            .await
    }

    async fn pins(
        &self,
        channel: ChannelId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<(MessageRecord, u64)>> {
        self.read(move |reader| reader.pins(channel, before, limit))
            .await
    }

    async fn pin_count(&self, channel: ChannelId) -> Result<usize> {
        self.read(move |reader| reader.pin_count(channel)).await
    }

    async fn reaction_counts(
        &self,
        channel: ChannelId,
        messages: &[MessageId],
    ) -> Result<Vec<Vec<EmojiCount>>> {
        let messages = messages.to_vec();
        self.read(move |reader| {
            let counts = |message| reader.reaction_counts(channel, message);
            messages.into_iter().map(counts).collect()
        })
        .await
    }

    async fn reactors_of(
        &self,
        channel: ChannelId,
        of: &[(MessageId, ReactionEmoji)],
    ) -> Result<Vec<Vec<UserId>>> {
        let of = of.to_vec();
        self.read(move |reader| {
            of.iter()
                .map(|(message, emoji)| reader.reactors(channel, *message, emoji, None, usize::MAX))
                .collect()
        })
        .await
    }

    async fn reacted(
        &self,
        channel: ChannelId,
        user: UserId,
        of: &[(MessageId, ReactionEmoji)],
    ) -> Result<Vec<bool>> {
        let of = of.to_vec();
        self.read(move |reader| {
            of.iter()
                .map(|(message, emoji)| reader.reacted(channel, user, *message, emoji))
                .collect()
        })
        .await
    }

    async fn reactors(
        &self,
        channel: ChannelId,
        message: MessageId,
        emoji: &ReactionEmoji,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<UserId>> {
        let emoji = emoji.clone();
        self.read(move |reader| reader.reactors(channel, message, &emoji, after, limit))
            .await
    }

    async fn read_state(&self, user: UserId, channel: ChannelId) -> Result<Option<ReadState>> {
        self.read(move |reader| reader.read_state(user, channel))
            .await
    }

    async fn read_states(&self, user: UserId, limit: usize) -> Result<Vec<ReadState>> {
        self.read(move |reader| reader.read_states(user, limit))
            .await
    }

    async fn reaction_times(
        &self,
        channel: ChannelId,
        message: MessageId,
        emoji: &ReactionEmoji,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<(UserId, u64)>> {
        let emoji = emoji.clone();
        self.read(move |reader| reader.reaction_times(channel, message, &emoji, after, limit))
            .await
    }

    async fn setting(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let name = name.to_owned();
        self.read(move |reader| reader.setting(&name)).await
    }

    async fn list_settings(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>> {
        let after = after.map(str::to_owned);
        self.read(move |reader| reader.list_settings(after.as_deref(), limit))
            .await
    }

    async fn purge_channel(&self, channel: ChannelId, limit: usize) -> Result<usize> {
        let (settle, wait) = oneshot::channel();
        self.inner
            .committer
            .submit(Job::Purge(channel, limit, settle));
        settled(wait).await
    }

    async fn channels_to_purge(&self, limit: usize) -> Result<Vec<ChannelId>> {
        self.read(move |reader| reader.channels_to_purge(limit))
            .await
    }

    async fn files_to_delete(&self, limit: usize) -> Result<Vec<LostFile>> {
        self.read(move |reader| reader.files_to_delete(limit)).await
    }

    fn health(&self) -> Result<()> {
        self.inner.committer.health()
    }

    async fn mended(&self) -> Result<()> {
        let inner = self.inner.clone();
        blocking(move || inner.mended()).await
    }

    async fn close(&self) -> Result<()> {
        let inner = self.inner.clone();
        blocking(move || {
            inner.committer.close();
            Ok(())
        })
        .await?;
        self.health()
    }
}

#[cfg(test)]
mod tests;
