//! The reads of the data service: those that are joined, and those that are only counted.

use std::future::Future;
use std::sync::Arc;

use model::ban::BanRecord;
use model::emoji::ReactionEmoji;
use model::member::MemberRecord;
use model::message::MessageRecord;
use model::read_state::ReadState;
use model::user::{Account, User};
use model::{ChannelId, GuildId, MessageId, UserId};

use super::DataService;
#[cfg(doc)]
use super::READ_DEADLINE;
use super::query::{self, History, Query};
#[cfg(doc)]
use crate::error::StoreError;
use crate::fence::Epoch;
#[cfg(doc)]
use crate::store::Store;
use crate::store::{GuildSnapshot, LostFile, Page, ReactionCount, Result};

impl DataService {
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

    /// See [`Store::epoch`].
    ///
    /// # Errors
    /// What the engine answers.
    pub async fn epoch(&self, guild: GuildId) -> Result<Epoch> {
        self.pass("epoch", self.store.epoch(guild)).await
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
}

fn count_read(what: &'static str) {
    metrics::counter!("guildhall_store_reads_total", "read" => what).increment(1);
}
