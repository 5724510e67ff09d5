//! The rows a group of batches needs before it can be applied, and how they are read: all at once.
//!
//! A write of a message needs none of it: its channel's state tells that no message so new was ever
//! put. An edit reads the message it changes; a reaction reads its message, whether the user has
//! reacted, and the counts. Every timestamp that is read moves the clock past it.

use std::collections::BTreeSet;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use scylla::value::CqlValue;

use model::message::MessageRecord;
use model::read_state::ReadState;
use model::user::Account;
use model::{ChannelId, GuildId, MessageId, UserId};

use super::changes::{Changes, Part};
use super::epochs;
use super::link::Link;
use super::record::{self, MessageRow, Written, id, int, key, number};
use super::statements::{Statement, big, blob, is};
use super::work::{ChannelState, Counts, Place, Slot, Work};
use crate::engine::{rules, value};
use crate::fence::Epoch;
use crate::store::{LastOf, Result, Write};

/// Reads one group has under way at once.
pub const FACTS_AT_ONCE: usize = 32;

/// Members of a guild that are deleted with it in one batch; of more the rest go before, in batches
/// of this size.
pub const MEMBERS_AT_ONCE_MAX: usize = 1_000;

/// What has to be read.
#[derive(Debug, Default)]
pub(super) struct Needs {
    messages: BTreeSet<Place>,
    /// Messages that are put: there already only when their channel has had newer ones.
    put: BTreeSet<Place>,
    pins: BTreeSet<Place>,
    counts: BTreeSet<Place>,
    reactions: BTreeSet<(Place, Vec<u8>, UserId)>,
    channels: BTreeSet<ChannelId>,
    guild_last: BTreeSet<GuildId>,
    guilds_deleted: BTreeSet<GuildId>,
    accounts: BTreeSet<UserId>,
    read_states: BTreeSet<(UserId, ChannelId)>,
    epochs: BTreeSet<GuildId>,
}

impl Needs {
    /// Adds what a batch needs.
    pub(super) fn add(&mut self, batch: &[Write]) {
        for write in batch {
            self.add_write(write);
        }
    }

    fn add_write(&mut self, write: &Write) {
        match write {
            Write::Fence(guild, _) => {
                self.epochs.insert(*guild);
            }
            Write::PutMessage(record) => {
                self.put.insert((record.channel_id, record.id));
                self.channels.insert(record.channel_id);
                self.guild_last.insert(record.guild_id);
            }
            Write::PatchMessage(channel, message, _) => {
                self.messages.insert((*channel, *message));
            }
            Write::DeleteMessage(channel, message) => {
                let place = (*channel, *message);
                self.messages.insert(place);
                self.pins.insert(place);
                self.counts.insert(place);
            }
            Write::PutReaction(reaction) => {
                let place = (reaction.channel_id, reaction.message_id);
                self.messages.insert(place);
                self.counts.insert(place);
                let emoji = rules::emoji_identity(&reaction.emoji);
                self.reactions.insert((place, emoji, reaction.user_id));
            }
            Write::DeleteReaction(channel, message, emoji, user) => {
                let place = (*channel, *message);
                self.counts.insert(place);
                let emoji = rules::emoji_identity(emoji);
                self.reactions.insert((place, emoji, *user));
            }
            Write::ClearReactions(channel, message, _) => {
                self.counts.insert((*channel, *message));
            }
            Write::PutPin(channel, message, _) => {
                self.messages.insert((*channel, *message));
                self.pins.insert((*channel, *message));
            }
            Write::DeletePin(channel, message) => {
                self.pins.insert((*channel, *message));
            }
            Write::RaiseLastMessage(LastOf::Guild(guild), _) => {
                self.guild_last.insert(*guild);
            }
            Write::RaiseLastMessage(LastOf::Channel(channel), _) => {
                self.channels.insert(*channel);
            }
            Write::PutChannel(channel) => {
                self.channels.insert(channel.id);
            }
            Write::DeleteChannel(_, channel) => {
                self.channels.insert(*channel);
            }
            Write::DeleteGuild(guild) => {
                self.guilds_deleted.insert(*guild);
                self.guild_last.insert(*guild);
            }
            Write::PutAccount(account) => {
                self.accounts.insert(account.user.id);
            }
            Write::PutReadState(state) => {
                self.read_states.insert((state.user_id, state.channel_id));
            }
            Write::DeleteReadState(user, channel) => {
                self.read_states.insert((*user, *channel));
            }
            Write::ForgetFiles(..)
            | Write::LoseFiles(..)
            | Write::PutGuild(_)
            | Write::PutRole(..)
            | Write::DeleteRole(..)
            | Write::PutMember(_)
            | Write::DeleteMember(..)
            | Write::PutBan(_)
            | Write::DeleteBan(..)
            | Write::PutSetting(..) => {}
        }
    }

    /// Reads everything.
    ///
    /// # Errors
    /// [`crate::StoreError::NotApplied`] when no quorum answered, [`crate::StoreError::Corrupt`].
    pub(super) async fn load(self, link: &Link) -> Result<Work> {
        let mut work = Work::default();
        let mut channels = self.channels;
        for guild in self.guilds_deleted {
            channels.extend(channels_of(link, guild).await?);
            let users = empty_large(link, guild).await?;
            work.members_loaded.insert(guild, users);
        }
        let mut reads: Vec<BoxFuture<'_, Result<Fact>>> = Vec::new();
        for channel in channels {
            reads.push(Box::pin(async move {
                Ok(Fact::Channel(channel, channel_state(link, channel).await?))
            }));
        }
        for guild in self.guild_last {
            reads.push(Box::pin(async move {
                Ok(Fact::GuildLast(guild, guild_last(link, guild).await?))
            }));
        }
        for guild in self.epochs {
            reads.push(Box::pin(async move {
                Ok(Fact::Epoch(guild, epochs::epoch(link, guild).await?))
            }));
        }
        for place in self.messages.iter().copied() {
            reads.push(Box::pin(async move {
                Ok(Fact::Message(place, message(link, place).await?))
            }));
        }
        for place in self.pins {
            reads.push(Box::pin(async move {
                Ok(Fact::Pin(place, pin(link, place).await?))
            }));
        }
        for place in self.counts {
            reads.push(Box::pin(async move {
                Ok(Fact::Counts(place, counts(link, place).await?))
            }));
        }
        for (place, emoji, user) in self.reactions {
            reads.push(Box::pin(async move {
                let at_ms = reaction(link, place, &emoji, user).await?;
                Ok(Fact::Reaction((place, emoji, user), at_ms))
            }));
        }
        for user in self.accounts {
            reads.push(Box::pin(async move {
                Ok(Fact::Account(user, account(link, user).await?))
            }));
        }
        for place in self.read_states {
            reads.push(Box::pin(async move {
                Ok(Fact::ReadState(place, read_state(link, place).await?))
            }));
        }
        take(&mut work, reads).await?;
        let mut reads: Vec<BoxFuture<'_, Result<Fact>>> = Vec::new();
        for place in self.put {
            if self.messages.contains(&place) {
                continue;
            }
            let state = work.channels.get(&place.0).map(|slot| slot.loaded);
            let ceiling = state.and_then(|state| state.ceiling);
            if ceiling.is_some_and(|ceiling| place.1 > ceiling) {
                work.messages.insert(place, Slot::default());
            } else {
                reads.push(Box::pin(async move {
                    Ok(Fact::Message(place, message(link, place).await?))
                }));
            }
        }
        take(&mut work, reads).await?;
        Ok(work)
    }
}

/// A row that was read.
enum Fact {
    Message(Place, Option<MessageRecord>),
    Pin(Place, Option<u64>),
    Counts(Place, Counts),
    Reaction((Place, Vec<u8>, UserId), Option<u64>),
    Channel(ChannelId, ChannelState),
    GuildLast(GuildId, Option<MessageId>),
    Account(UserId, Option<Account>),
    ReadState((UserId, ChannelId), Option<ReadState>),
    Epoch(GuildId, Epoch),
}

async fn take(work: &mut Work, reads: Vec<BoxFuture<'_, Result<Fact>>>) -> Result<()> {
    let mut answers = stream::iter(reads).buffer_unordered(FACTS_AT_ONCE);
    while let Some(fact) = answers.try_next().await? {
        match fact {
            Fact::Message(place, row) => drop(work.messages.insert(place, Slot::new(row))),
            Fact::Pin(place, row) => drop(work.pins.insert(place, Slot::new(row))),
            Fact::Counts(place, row) => drop(work.counts.insert(place, Slot::new(row))),
            Fact::Reaction(key, row) => drop(work.reactions.insert(key, Slot::new(row))),
            Fact::Channel(channel, row) => drop(work.channels.insert(channel, Slot::new(row))),
            Fact::GuildLast(guild, row) => drop(work.guild_last.insert(guild, Slot::new(row))),
            Fact::Account(user, row) => drop(work.accounts.insert(user, Slot::new(row))),
            Fact::Epoch(guild, epoch) => drop(work.epochs.insert(guild, epoch)),
            Fact::ReadState(place, row) => drop(work.read_states.insert(place, Slot::new(row))),
        }
    }
    Ok(())
}

async fn message(link: &Link, (channel, message): Place) -> Result<Option<MessageRecord>> {
    let key = || key(channel, message).to_vec();
    let (rows, written) = tokio::try_join!(
        link.rows_now::<MessageRow>(Statement::Message, key()),
        written(link, (channel, message)),
    )?;
    if let Some(newest) = written.and_then(|written| written.newest()) {
        link.clock.observe(newest);
    }
    rows.into_iter()
        .next()
        .map_or(Ok(None), |row| row.into_record(channel))
}

/// When the columns of a message were written; `None` when there is no row.
///
/// # Errors
/// As [`Link::rows_now`].
pub(super) async fn written(link: &Link, (channel, message): Place) -> Result<Option<Written>> {
    let key = key(channel, message).to_vec();
    let rows = link.rows_now(Statement::MessageWritten, key).await?;
    Ok(rows.into_iter().next().map(Written::of))
}

async fn pin(link: &Link, (channel, message): Place) -> Result<Option<u64>> {
    let key = vec![big(int(channel)), big(int(message))];
    let rows = link
        .rows_now::<(Option<i64>, Option<i64>)>(Statement::Pin, key)
        .await?;
    Ok(seen(link, rows).map(number))
}

async fn read_state(
    link: &Link,
    (user, channel): (UserId, ChannelId),
) -> Result<Option<ReadState>> {
    let key = vec![big(int(user)), big(int(channel))];
    let rows = link
        .rows_now::<(Option<Vec<u8>>, Option<i64>)>(Statement::ReadState, key)
        .await?;
    let data = seen(link, rows);
    data.map(|data| value::decode(&data)).transpose()
}

/// The value of a cell that was read with its timestamp.
fn seen<T>(link: &Link, rows: Vec<(Option<T>, Option<i64>)>) -> Option<T> {
    let (value, written) = rows.into_iter().next()?;
    if let Some(written) = written {
        link.clock.observe(written);
    }
    value
}

async fn counts(link: &Link, (channel, message): Place) -> Result<Counts> {
    let ids = CqlValue::List(vec![CqlValue::BigInt(int(message))]);
    let values = vec![
        big(int(channel)),
        is(CqlValue::Int(record::bucket(message))),
        is(ids),
    ];
    let rows = link
        .rows_now::<(i64, Vec<u8>, Vec<u8>, Option<i64>)>(Statement::Counts, values)
        .await?;
    let mut counts = Counts::new();
    for (_, emoji, data, written) in rows {
        link.clock.observe(written.unwrap_or_default());
        counts.insert(emoji, value::decode(&data)?);
    }
    Ok(counts)
}

async fn reaction(
    link: &Link,
    (channel, message): Place,
    emoji: &[u8],
    user: UserId,
) -> Result<Option<u64>> {
    let mut values = key(channel, message).to_vec();
    values.extend([blob(emoji.to_vec()), big(int(user))]);
    let rows = link
        .rows_now::<(Option<i64>, Option<i64>)>(Statement::Reaction, values)
        .await?;
    Ok(seen(link, rows).map(number))
}

type StateRow = (
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i32>,
    Option<i64>,
    Option<i64>,
);

/// The state of a channel.
///
/// # Errors
/// As [`Link::rows_now`].
pub(super) async fn channel_state(link: &Link, channel: ChannelId) -> Result<ChannelState> {
    let rows = link
        .rows_now::<StateRow>(Statement::ChannelState, vec![big(int(channel))])
        .await?;
    let Some((guild, last, ceiling, newest_bucket, written, raised)) = rows.into_iter().next()
    else {
        return Ok(ChannelState::default());
    };
    link.clock.observe(written.max(raised).unwrap_or_default());
    Ok(ChannelState {
        guild: guild.map(id).transpose()?,
        last: last.map(id).transpose()?,
        ceiling: ceiling.map(id).transpose()?,
        newest_bucket,
    })
}

async fn guild_last(link: &Link, guild: GuildId) -> Result<Option<MessageId>> {
    let rows = link
        .rows_now::<(Option<i64>, Option<i64>)>(Statement::GuildLast, vec![big(int(guild))])
        .await?;
    seen(link, rows).map(id).transpose()
}

/// The account of a user, for a write.
///
/// # Errors
/// As [`Link::rows_now`].
pub(super) async fn account(link: &Link, user: UserId) -> Result<Option<Account>> {
    let rows = link
        .rows_now::<(Option<Vec<u8>>, Option<i64>)>(Statement::Account, vec![big(int(user))])
        .await?;
    seen(link, rows)
        .map(|data| value::decode(&data))
        .transpose()
}

async fn channels_of(link: &Link, guild: GuildId) -> Result<Vec<ChannelId>> {
    let values = vec![big(int(guild)), Part::Channel.cell()];
    let rows = link.rows_now::<(i64,)>(Statement::PartIds, values).await?;
    rows.into_iter().map(|(channel,)| id(channel)).collect()
}

/// The members of a guild that is to be deleted; all but [`MEMBERS_AT_ONCE_MAX`] are gone before.
async fn empty_large(link: &Link, guild: GuildId) -> Result<Vec<UserId>> {
    let rows = link
        .rows_now::<(i64,)>(Statement::MemberIds, vec![big(int(guild))])
        .await?;
    let mut users: Vec<UserId> = rows
        .into_iter()
        .map(|(user,)| id(user))
        .collect::<Result<_>>()?;
    while users.len() > MEMBERS_AT_ONCE_MAX {
        let some = users.split_off(users.len() - MEMBERS_AT_ONCE_MAX);
        let mut changes = Changes::new(link.clock.next());
        for user in some {
            changes.member(guild, user, None);
        }
        link.write(&changes.into_list()).await?;
    }
    Ok(users)
}
