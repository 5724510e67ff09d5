//! A store that can be told to fail, or to hold commits back, over the memory engine.

use std::sync::Arc;

use async_trait::async_trait;
use model::ban::BanRecord;
use model::emoji::ReactionEmoji;
use model::member::MemberRecord;
use model::message::MessageRecord;
use model::user::{Account, User};
use model::{ChannelId, GuildId, MessageId, UserId};
use parking_lot::Mutex;
use storage::engine::memory::MemoryStore;
use storage::store::{Commit, GuildSnapshot, LostFile, Page, ReactionCount, Result, Write};
use storage::{Store, StoreError};
use tokio::sync::oneshot;

type Held = (Vec<Write>, oneshot::Sender<Result<()>>);

#[derive(Default)]
pub(crate) struct Faulty {
    inner: MemoryStore,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    failing: Option<StoreError>,
    held: Option<Vec<Held>>,
    commits: usize,
    unreadable: bool,
    member_pages: usize,
}

impl Faulty {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Fails every commit from now on; nothing of them is applied.
    pub(crate) fn fail_with(&self, error: Option<StoreError>) {
        self.state.lock().failing = error;
    }

    /// Fails to load guilds from now on.
    pub(crate) fn set_unreadable(&self, unreadable: bool) {
        self.state.lock().unreadable = unreadable;
    }

    /// Holds every commit back from now on.
    pub(crate) fn hold(&self) {
        self.state.lock().held = Some(Vec::new());
    }

    /// How many commits are held back.
    pub(crate) fn held(&self) -> usize {
        self.state.lock().held.as_ref().map_or(0, Vec::len)
    }

    /// How many commits were asked for.
    pub(crate) fn commits(&self) -> usize {
        self.state.lock().commits
    }

    /// How often members of a guild were read.
    pub(crate) fn member_pages(&self) -> usize {
        self.state.lock().member_pages
    }

    /// Applies what was held back, in order, and holds nothing back any more.
    pub(crate) async fn release(&self) {
        let held = self.state.lock().held.take().unwrap_or_default();
        for (batch, settle) in held {
            let _ = settle.send(self.inner.commit(batch).await);
        }
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
        if let Some(held) = &mut state.held {
            let (settle, commit) = Commit::new();
            held.push((batch, settle));
            return commit;
        }
        self.inner.commit(batch)
    }

    async fn create_account(&self, account: Account) -> Result<()> {
        self.inner.create_account(account).await
    }

    async fn account(&self, user: UserId) -> Result<Option<Account>> {
        self.inner.account(user).await
    }

    async fn accounts(&self, users: &[UserId]) -> Result<Vec<Option<Account>>> {
        self.inner.accounts(users).await
    }

    async fn list_accounts(&self, after: Option<UserId>, limit: usize) -> Result<Vec<Account>> {
        self.inner.list_accounts(after, limit).await
    }

    async fn guild(&self, guild: GuildId) -> Result<Option<GuildSnapshot>> {
        if self.state.lock().unreadable {
            return Err(StoreError::Busy);
        }
        self.inner.guild(guild).await
    }

    async fn guild_without_members(&self, guild: GuildId) -> Result<Option<GuildSnapshot>> {
        if self.state.lock().unreadable {
            return Err(StoreError::Busy);
        }
        self.inner.guild_without_members(guild).await
    }

    async fn members(
        &self,
        guild: GuildId,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<(MemberRecord, User)>> {
        self.state.lock().member_pages += 1;
        self.inner.members(guild, after, limit).await
    }

    async fn list_guilds(&self, after: Option<GuildId>, limit: usize) -> Result<Vec<GuildId>> {
        self.inner.list_guilds(after, limit).await
    }

    async fn guilds_of(&self, user: UserId) -> Result<Vec<GuildId>> {
        self.inner.guilds_of(user).await
    }

    async fn guild_of_channel(&self, channel: ChannelId) -> Result<Option<GuildId>> {
        self.inner.guild_of_channel(channel).await
    }

    async fn ban(&self, guild: GuildId, user: UserId) -> Result<Option<BanRecord>> {
        self.inner.ban(guild, user).await
    }

    async fn bans(
        &self,
        guild: GuildId,
        before: Option<UserId>,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<BanRecord>> {
        self.inner.bans(guild, before, after, limit).await
    }

    async fn message(
        &self,
        channel: ChannelId,
        message: MessageId,
    ) -> Result<Option<MessageRecord>> {
        self.inner.message(channel, message).await
    }

    async fn messages(
        &self,
        channel: ChannelId,
        page: Page,
        limit: usize,
    ) -> Result<Vec<MessageRecord>> {
        self.inner.messages(channel, page, limit).await
    }

    async fn pins(
        &self,
        channel: ChannelId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<(MessageRecord, u64)>> {
        self.inner.pins(channel, before, limit).await
    }

    async fn pin_count(&self, channel: ChannelId) -> Result<usize> {
        self.inner.pin_count(channel).await
    }

    async fn reactions(
        &self,
        channel: ChannelId,
        messages: &[MessageId],
        reader: UserId,
    ) -> Result<Vec<Vec<ReactionCount>>> {
        self.inner.reactions(channel, messages, reader).await
    }

    async fn reactors(
        &self,
        channel: ChannelId,
        message: MessageId,
        emoji: &ReactionEmoji,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<UserId>> {
        self.inner
            .reactors(channel, message, emoji, after, limit)
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
        times.await
    }

    async fn list_settings(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>> {
        self.inner.list_settings(after, limit).await
    }

    async fn setting(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.inner.setting(name).await
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

    fn health(&self) -> Result<()> {
        self.inner.health()
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}
