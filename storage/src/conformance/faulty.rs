//! A store that can be told to fail, to hold commits or reads back, and that counts what it is
//! asked, over the memory engine.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};

use model::ban::BanRecord;
use model::emoji::ReactionEmoji;
use model::member::MemberRecord;
use model::message::MessageRecord;
use model::read_state::ReadState;
use model::user::{Account, User};
use model::{ChannelId, GuildId, MessageId, UserId};

use crate::engine::memory::MemoryStore;
use crate::error::StoreError;
use crate::fence::Epoch;
use crate::store::{Commit, EmojiCount, GuildSnapshot, LostFile, Page, Result, Store, Write};
use crate::upkeep::Upkeep;

type Held = (Vec<Write>, oneshot::Sender<Result<()>>);

type NewUpkeep = Box<dyn Fn() -> Box<dyn Upkeep> + Send + Sync>;

/// The store. Nothing fails and nothing is held back until it is told to.
#[derive(Default)]
pub struct Faulty {
    inner: MemoryStore,
    upkeep: Option<NewUpkeep>,
    state: Mutex<State>,
}

impl std::fmt::Debug for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Faulty")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct State {
    failing: Option<StoreError>,
    writes_max: Option<usize>,
    claims_failing: Option<StoreError>,
    held: Option<Vec<Held>>,
    commits: usize,
    unreadable: bool,
    reads: HashMap<&'static str, usize>,
    reads_held: Option<Arc<Semaphore>>,
    panics: usize,
}

impl Faulty {
    /// An empty store.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// An empty store that has work to be done in the background: by clones of `worker`.
    pub fn with_upkeep(worker: impl Upkeep + Clone + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            upkeep: Some(Box::new(move || Box::new(worker.clone()))),
            ..Self::default()
        })
    }

    /// Fails every commit from now on; nothing of them is applied.
    pub fn fail_with(&self, error: Option<StoreError>) {
        self.state.lock().failing = error;
    }

    /// Refuses commits of more writes from now on as too large, as a cluster does.
    pub fn refuse_above(&self, writes: usize) {
        self.state.lock().writes_max = Some(writes);
    }

    /// Fails every claim from now on; nothing of them is applied.
    pub fn fail_claims_with(&self, error: Option<StoreError>) {
        self.state.lock().claims_failing = error;
    }

    /// Fails to load guilds from now on.
    pub fn set_unreadable(&self, unreadable: bool) {
        self.state.lock().unreadable = unreadable;
    }

    /// Holds every commit back from now on.
    pub fn hold(&self) {
        self.state.lock().held = Some(Vec::new());
    }

    /// How many commits are held back.
    pub fn held(&self) -> usize {
        self.state.lock().held.as_ref().map_or(0, Vec::len)
    }

    /// How many commits were asked for.
    pub fn commits(&self) -> usize {
        self.state.lock().commits
    }

    /// How often one of its reads was asked for, by the name of the method.
    pub fn reads(&self, name: &str) -> usize {
        self.state
            .lock()
            .reads
            .get(name)
            .copied()
            .unwrap_or_default()
    }

    /// How many reads were asked for, all kinds together.
    pub fn all_reads(&self) -> usize {
        self.state.lock().reads.values().sum()
    }

    /// Applies what was held back, in order, and holds nothing back any more.
    pub async fn release(&self) {
        let held = self.state.lock().held.take().unwrap_or_default();
        for (batch, settle) in held {
            let _ = settle.send(self.inner.commit(batch).await);
        }
    }

    /// Holds every read back from now on, after it has read: what it answers is how it was then.
    pub fn hold_reads(&self) {
        self.state.lock().reads_held = Some(Arc::new(Semaphore::new(0)));
    }

    /// Lets so many of the reads that are held back answer.
    pub fn release_reads(&self, some: usize) {
        if let Some(held) = &self.state.lock().reads_held {
            held.add_permits(some);
        }
    }

    /// Lets all reads answer, from now on at once.
    pub fn release_all_reads(&self) {
        if let Some(held) = self.state.lock().reads_held.take() {
            held.close();
        }
    }

    /// Panics in the next `times` reads.
    pub fn panic_in_reads(&self, times: usize) {
        self.state.lock().panics = times;
    }

    /// A read of this name.
    async fn read<T>(
        &self,
        name: &'static str,
        read: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let panics = {
            let mut state = self.state.lock();
            *state.reads.entry(name).or_default() += 1;
            let panics = state.panics > 0;
            state.panics = state.panics.saturating_sub(1);
            panics
        };
        assert!(!panics, "made by a test");
        let answer = read.await;
        let held = self.state.lock().reads_held.clone();
        if let Some(held) = held
            && let Ok(turn) = held.acquire().await
        {
            turn.forget();
        }
        answer
    }
}

#[async_trait]
impl Store for Faulty {
    fn commit(&self, batch: Vec<Write>) -> Commit {
        let mut state = self.state.lock();
        state.commits += 1;
        if let Some(error) = &state.failing {
            return Commit::settled(Err(error.clone()));
        }
        if state.writes_max.is_some_and(|most| batch.len() > most) {
            let text = format!("{} writes", batch.len());
            return Commit::settled(Err(StoreError::TooLarge(text)));
        }
        if let Some(held) = &mut state.held {
            let (settle, commit) = Commit::new();
            held.push((batch, settle));
            return commit;
        }
        self.inner.commit(batch)
    }

    fn claim(&self, guild: GuildId, epoch: Epoch) -> Commit {
        match &self.state.lock().claims_failing {
            Some(error) => Commit::settled(Err(error.clone())),
            None => self.inner.claim(guild, epoch),
        }
    }

    async fn epoch(&self, guild: GuildId) -> Result<Epoch> {
        self.inner.epoch(guild).await
    }

    async fn create_account(&self, account: Account) -> Result<()> {
        self.inner.create_account(account).await
    }

    async fn account(&self, user: UserId) -> Result<Option<Account>> {
        self.read("account", self.inner.account(user)).await
    }

    async fn accounts(&self, users: &[UserId]) -> Result<Vec<Option<Account>>> {
        self.read("accounts", self.inner.accounts(users)).await
    }

    async fn list_accounts(&self, after: Option<UserId>, limit: usize) -> Result<Vec<Account>> {
        self.read("list_accounts", self.inner.list_accounts(after, limit))
            .await
    }

    async fn guild(&self, guild: GuildId) -> Result<Option<GuildSnapshot>> {
        if self.state.lock().unreadable {
            return Err(StoreError::Busy);
        }
        self.read("guild", self.inner.guild(guild)).await
    }

    async fn guild_without_members(&self, guild: GuildId) -> Result<Option<GuildSnapshot>> {
        if self.state.lock().unreadable {
            return Err(StoreError::Busy);
        }
        self.read(
            "guild_without_members",
            self.inner.guild_without_members(guild),
        )
        .await
    }

    async fn members(
        &self,
        guild: GuildId,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<(MemberRecord, User)>> {
        self.read("members", self.inner.members(guild, after, limit))
            .await
    }

    async fn list_guilds(&self, after: Option<GuildId>, limit: usize) -> Result<Vec<GuildId>> {
        self.read("list_guilds", self.inner.list_guilds(after, limit))
            .await
    }

    async fn read_state(&self, user: UserId, channel: ChannelId) -> Result<Option<ReadState>> {
        self.read("read_state", self.inner.read_state(user, channel))
            .await
    }

    async fn read_states(&self, user: UserId, limit: usize) -> Result<Vec<ReadState>> {
        self.read("read_states", self.inner.read_states(user, limit))
            .await
    }

    async fn guilds_of(&self, user: UserId) -> Result<Vec<GuildId>> {
        self.read("guilds_of", self.inner.guilds_of(user)).await
    }

    async fn guild_of_channel(&self, channel: ChannelId) -> Result<Option<GuildId>> {
        self.read("guild_of_channel", self.inner.guild_of_channel(channel))
            .await
    }

    async fn ban(&self, guild: GuildId, user: UserId) -> Result<Option<BanRecord>> {
        self.read("ban", self.inner.ban(guild, user)).await
    }

    async fn bans(
        &self,
        guild: GuildId,
        before: Option<UserId>,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<BanRecord>> {
        self.read("bans", self.inner.bans(guild, before, after, limit))
            .await
    }

    async fn message(
        &self,
        channel: ChannelId,
        message: MessageId,
    ) -> Result<Option<MessageRecord>> {
        self.read("message", self.inner.message(channel, message))
            .await
    }

    async fn messages_by_id(
        &self,
        channel: ChannelId,
        messages: &[MessageId],
    ) -> Result<Vec<Option<MessageRecord>>> {
        self.read(
            "messages_by_id",
            self.inner.messages_by_id(channel, messages),
        )
        .await
    }

    async fn messages(
        &self,
        channel: ChannelId,
        page: Page,
        limit: usize,
    ) -> Result<Vec<MessageRecord>> {
        self.read("messages", self.inner.messages(channel, page, limit))
            .await
    }

    async fn pins(
        &self,
        channel: ChannelId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<(MessageRecord, u64)>> {
        self.read("pins", self.inner.pins(channel, before, limit))
            .await
    }

    async fn pin_count(&self, channel: ChannelId) -> Result<usize> {
        self.read("pin_count", self.inner.pin_count(channel)).await
    }

    async fn reaction_counts(
        &self,
        channel: ChannelId,
        messages: &[MessageId],
    ) -> Result<Vec<Vec<EmojiCount>>> {
        self.read(
            "reaction_counts",
            self.inner.reaction_counts(channel, messages),
        )
        .await
    }

    async fn reactors_of(
        &self,
        channel: ChannelId,
        of: &[(MessageId, ReactionEmoji)],
    ) -> Result<Vec<Vec<UserId>>> {
        self.read("reactors_of", self.inner.reactors_of(channel, of))
            .await
    }

    async fn reacted(
        &self,
        channel: ChannelId,
        user: UserId,
        of: &[(MessageId, ReactionEmoji)],
    ) -> Result<Vec<bool>> {
        self.read("reacted", self.inner.reacted(channel, user, of))
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
        self.read(
            "reactors",
            self.inner.reactors(channel, message, emoji, after, limit),
        )
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
        let times = self
            .inner
            .reaction_times(channel, message, emoji, after, limit);
        self.read("reaction_times", times).await
    }

    async fn list_settings(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>> {
        self.read("list_settings", self.inner.list_settings(after, limit))
            .await
    }

    async fn setting(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.read("setting", self.inner.setting(name)).await
    }

    async fn purge_channel(&self, channel: ChannelId, limit: usize) -> Result<usize> {
        self.inner.purge_channel(channel, limit).await
    }

    async fn files_to_delete(&self, limit: usize) -> Result<Vec<LostFile>> {
        self.inner.files_to_delete(limit).await
    }

    async fn channels_to_purge(&self, limit: usize) -> Result<Vec<ChannelId>> {
        self.inner.channels_to_purge(limit).await
    }

    fn upkeep(&self) -> Option<Box<dyn Upkeep>> {
        self.upkeep.as_ref().map(|new| new())
    }

    fn health(&self) -> Result<()> {
        self.inner.health()
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}
