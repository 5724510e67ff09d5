//! The reference engine: maps behind one lock, made to be easy to believe.
//!
//! ```text
//!  commit ──▶ lock { check the whole batch; apply it } ──▶ settled
//!  reads  ──▶ lock { look, clone }
//! ```
//!
//! Nothing is durable and nothing queues, so "visible" and "durable" are the same instant. It holds
//! everything ever written until the process ends: for tests, demos and differential checks of the
//! other engines, not for production.

mod state;

use std::ops::Bound::{Excluded, Unbounded};

use async_trait::async_trait;
use parking_lot::Mutex;

use model::ban::BanRecord;
use model::emoji::ReactionEmoji;
use model::member::MemberRecord;
use model::message::MessageRecord;
use model::read_state::ReadState;
use model::user::{Account, User};
use model::{ChannelId, GuildId, MessageId, UserId};

use crate::fence::Epoch;
use crate::store::{Commit, EmojiCount, GuildSnapshot, LostFile, Page, Result, Store, Write};
use state::{State, all_of};

/// The engine behind `memory:`.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn commit(&self, batch: Vec<Write>) -> Commit {
        Commit::settled(self.state.lock().commit(batch))
    }

    fn claim(&self, guild: GuildId, epoch: Epoch) -> Commit {
        Commit::settled(self.state.lock().claim(guild, epoch))
    }

    async fn epoch(&self, guild: GuildId) -> Result<Epoch> {
        Ok(self.state.lock().epoch(guild))
    }

    async fn create_account(&self, account: Account) -> Result<()> {
        self.state.lock().create_account(account)
    }

    async fn account(&self, user: UserId) -> Result<Option<Account>> {
        Ok(self.state.lock().accounts.get(&user).cloned())
    }

    async fn accounts(&self, users: &[UserId]) -> Result<Vec<Option<Account>>> {
        let state = self.state.lock();
        Ok(users
            .iter()
            .map(|user| state.accounts.get(user).cloned())
            .collect())
    }

    async fn list_accounts(&self, after: Option<UserId>, limit: usize) -> Result<Vec<Account>> {
        let from = after.map_or(Unbounded, Excluded);
        let state = self.state.lock();
        Ok(state
            .accounts
            .range((from, Unbounded))
            .take(limit)
            .map(|(_, account)| account.clone())
            .collect())
    }

    async fn guild(&self, guild: GuildId) -> Result<Option<GuildSnapshot>> {
        Ok(self.state.lock().guild(guild))
    }

    async fn guild_without_members(&self, guild: GuildId) -> Result<Option<GuildSnapshot>> {
        Ok(self.state.lock().guild_without_members(guild))
    }

    async fn members(
        &self,
        guild: GuildId,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<(MemberRecord, User)>> {
        Ok(self.state.lock().members(guild, after, limit))
    }

    async fn list_guilds(&self, after: Option<GuildId>, limit: usize) -> Result<Vec<GuildId>> {
        let from = after.map_or(Unbounded, Excluded);
        let state = self.state.lock();
        Ok(state
            .guilds
            .range((from, Unbounded))
            .take(limit)
            .map(|(guild, _)| *guild)
            .collect())
    }

    async fn guilds_of(&self, user: UserId) -> Result<Vec<GuildId>> {
        Ok(self
            .state
            .lock()
            .guilds_of_user
            .range(all_of(user))
            .map(|(_, guild)| *guild)
            .collect())
    }

    async fn guild_of_channel(&self, channel: ChannelId) -> Result<Option<GuildId>> {
        Ok(self.state.lock().guild_of_channel.get(&channel).copied())
    }

    async fn ban(&self, guild: GuildId, user: UserId) -> Result<Option<BanRecord>> {
        Ok(self.state.lock().bans.get(&(guild, user)).cloned())
    }

    async fn bans(
        &self,
        guild: GuildId,
        before: Option<UserId>,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<BanRecord>> {
        Ok(self.state.lock().bans(guild, before, after, limit))
    }

    async fn message(
        &self,
        channel: ChannelId,
        message: MessageId,
    ) -> Result<Option<MessageRecord>> {
        Ok(self.state.lock().messages.get(&(channel, message)).cloned())
    }

    async fn messages_by_id(
        &self,
        channel: ChannelId,
        messages: &[MessageId],
    ) -> Result<Vec<Option<MessageRecord>>> {
        let state = self.state.lock();
        let message = |message: &MessageId| state.messages.get(&(channel, *message)).cloned();
        Ok(messages.iter().map(message).collect())
    }

    async fn messages(
        &self,
        channel: ChannelId,
        page: Page,
        limit: usize,
    ) -> Result<Vec<MessageRecord>> {
        Ok(self.state.lock().messages(channel, page, limit))
    }

    async fn pins(
        &self,
        channel: ChannelId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<(MessageRecord, u64)>> {
        Ok(self.state.lock().pins(channel, before, limit))
    }

    async fn pin_count(&self, channel: ChannelId) -> Result<usize> {
        Ok(self.state.lock().pins.range(all_of(channel)).count())
    }

    async fn reaction_counts(
        &self,
        channel: ChannelId,
        messages: &[MessageId],
    ) -> Result<Vec<Vec<EmojiCount>>> {
        let state = self.state.lock();
        Ok(messages
            .iter()
            .map(|message| state.counts((channel, *message)))
            .collect())
    }

    async fn reactors_of(
        &self,
        channel: ChannelId,
        of: &[(MessageId, ReactionEmoji)],
    ) -> Result<Vec<Vec<UserId>>> {
        let state = self.state.lock();
        let users = |(message, emoji): &(MessageId, ReactionEmoji)| {
            let users = state.reactors((channel, *message), emoji);
            users.into_iter().flatten().map(|(user, _)| *user).collect()
        };
        Ok(of.iter().map(users).collect())
    }

    async fn reacted(
        &self,
        channel: ChannelId,
        user: UserId,
        of: &[(MessageId, ReactionEmoji)],
    ) -> Result<Vec<bool>> {
        let state = self.state.lock();
        let among = |(message, emoji): &(MessageId, ReactionEmoji)| {
            let users = state.reactors((channel, *message), emoji);
            users.is_some_and(|users| users.contains_key(&user))
        };
        Ok(of.iter().map(among).collect())
    }

    async fn reactors(
        &self,
        channel: ChannelId,
        message: MessageId,
        emoji: &ReactionEmoji,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<UserId>> {
        let state = self.state.lock();
        let from = after.map_or(Unbounded, Excluded);
        let users = state.reactors((channel, message), emoji);
        let after = users
            .into_iter()
            .flat_map(|users| users.range((from, Unbounded)));
        Ok(after.take(limit).map(|(user, _)| *user).collect())
    }

    async fn read_state(&self, user: UserId, channel: ChannelId) -> Result<Option<ReadState>> {
        let state = self.state.lock();
        Ok(state.read_states.get(&(user, channel)).cloned())
    }

    async fn read_states(&self, user: UserId, limit: usize) -> Result<Vec<ReadState>> {
        let state = self.state.lock();
        let states = state.read_states.range(all_of(user)).take(limit);
        Ok(states.map(|(_, state)| state.clone()).collect())
    }

    async fn reaction_times(
        &self,
        channel: ChannelId,
        message: MessageId,
        emoji: &ReactionEmoji,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<(UserId, u64)>> {
        let state = self.state.lock();
        let from = after.map_or(Unbounded, Excluded);
        let users = state.reactors((channel, message), emoji);
        let after = users
            .into_iter()
            .flat_map(|users| users.range((from, Unbounded)));
        Ok(after.take(limit).map(|(user, at)| (*user, *at)).collect())
    }

    async fn setting(&self, name: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.state.lock().settings.get(name).cloned())
    }

    async fn list_settings(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>> {
        let from = after.map_or(Unbounded, Excluded);
        let state = self.state.lock();
        Ok(state
            .settings
            .range::<str, _>((from, Unbounded))
            .take(limit)
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect())
    }

    async fn purge_channel(&self, channel: ChannelId, limit: usize) -> Result<usize> {
        self.state.lock().purge(channel, limit)
    }

    async fn channels_to_purge(&self, limit: usize) -> Result<Vec<ChannelId>> {
        Ok(self
            .state
            .lock()
            .to_purge
            .iter()
            .take(limit)
            .copied()
            .collect())
    }

    async fn files_to_delete(&self, limit: usize) -> Result<Vec<LostFile>> {
        let state = self.state.lock();
        Ok(state.lost_files.values().take(limit).cloned().collect())
    }

    fn health(&self) -> Result<()> {
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        self.state.lock().closed = true;
        Ok(())
    }
}
