//! What each read of the port looks at in the tables; all on one snapshot, so never half of a batch.

use std::collections::BTreeMap;

use model::ban::BanRecord;
use model::channel::Channel;
use model::emoji::ReactionEmoji;
use model::member::MemberRecord;
use model::message::MessageRecord;
use model::read_state::ReadState;
use model::role::Role;
use model::user::{Account, User};
use model::{ChannelId, GuildId, Id, MessageId, UserId};
use serde::de::DeserializeOwned;

use super::keys::{self, Key, Table};
use super::tables::{Direction, Range, Reader, Row};
use super::value;
use crate::engine::rules::{self, Counted};
use crate::fence::Epoch;
use crate::store::{EmojiCount, GuildSnapshot, LostFile, Page, Result};

fn decoded<T: DeserializeOwned>(row: Result<Row>) -> Result<T> {
    value::decode(&row?.1)
}

impl Reader<'_> {
    fn record<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>> {
        self.get(key)?
            .map(|value| value::decode(&value))
            .transpose()
    }

    fn id<T>(&self, key: &Key) -> Result<Option<Id<T>>> {
        let number = self
            .get(key)?
            .map(|value| value::decode_number(&value))
            .transpose()?;
        Ok(number.and_then(Id::new_checked))
    }

    /// All records of a table that belong to `owner`, in key order.
    fn all_of<A, T: DeserializeOwned>(&self, table: Table, owner: Id<A>) -> Result<Vec<T>> {
        self.rows(Range::of(&keys::of(table, owner)), Direction::Forward)
            .map(decoded)
            .collect()
    }

    /// Ids in the keys of a table, from above `after`.
    fn ids<T>(&self, prefix: &Key, after: Option<&Key>, limit: usize) -> Result<Vec<Id<T>>> {
        let mut range = Range::of(prefix);
        if let Some(after) = after {
            range = range.after(after);
        }
        self.rows(range, Direction::Forward)
            .take(limit)
            .map(|row| keys::last_id(&row?.0))
            .collect()
    }

    /// See [`crate::Store::account`].
    pub(super) fn account(&self, user: UserId) -> Result<Option<Account>> {
        self.record(&keys::of(Table::Accounts, user))
    }

    /// See [`crate::Store::list_accounts`].
    pub(super) fn list_accounts(
        &self,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<Account>> {
        let mut range = Range::of(&Key::all(Table::Accounts));
        if let Some(after) = after {
            range = range.after(&keys::of(Table::Accounts, after));
        }
        self.rows(range, Direction::Forward)
            .take(limit)
            .map(decoded)
            .collect()
    }

    /// See [`crate::Store::guild`].
    pub(super) fn guild(&self, id: GuildId) -> Result<Option<GuildSnapshot>> {
        let Some(mut snapshot) = self.guild_without_members(id)? else {
            return Ok(None);
        };
        snapshot.members = self.members(id, None, usize::MAX)?;
        Ok(Some(snapshot))
    }

    /// See [`crate::Store::members`].
    pub(super) fn members(
        &self,
        guild: GuildId,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<(MemberRecord, User)>> {
        let mut range = Range::of(&keys::of(Table::Members, guild));
        if let Some(after) = after {
            range = range.after(&keys::pair(Table::Members, guild, after));
        }
        let mut members = Vec::new();
        for row in self.rows(range, Direction::Forward) {
            if members.len() >= limit {
                break;
            }
            let member: MemberRecord = decoded(row)?;
            if let Some(account) = self.account(member.user_id)? {
                members.push((member, account.user));
            }
        }
        Ok(members)
    }

    /// See [`crate::Store::guild_without_members`].
    pub(super) fn guild_without_members(&self, id: GuildId) -> Result<Option<GuildSnapshot>> {
        let Some(guild) = self.record(&keys::of(Table::Guilds, id))? else {
            return Ok(None);
        };
        let roles: Vec<Role> = self.all_of(Table::Roles, id)?;
        let mut channels: Vec<Channel> = self.all_of(Table::Channels, id)?;
        for channel in &mut channels {
            channel.last_message_id = self.id(&keys::of(Table::ChannelState, channel.id))?;
            let last_pin = self
                .rows(
                    Range::of(&keys::of(Table::PinsByTime, channel.id)),
                    Direction::Forward,
                )
                .next();
            let at_ms = last_pin
                .map(|row| value::decode_number(&row?.1))
                .transpose()?;
            channel.last_pin_timestamp = at_ms.map(model::time::from_unix_ms);
        }
        let last_message_id = self.id(&keys::of(Table::GuildState, id))?;
        Ok(Some(GuildSnapshot {
            guild,
            roles,
            channels,
            members: Vec::new(),
            last_message_id,
        }))
    }

    /// See [`crate::Store::list_guilds`].
    pub(super) fn list_guilds(&self, after: Option<GuildId>, limit: usize) -> Result<Vec<GuildId>> {
        let after = after.map(|guild| keys::of(Table::Guilds, guild));
        self.ids(&Key::all(Table::Guilds), after.as_ref(), limit)
    }

    /// See [`crate::Store::guilds_of`].
    pub(super) fn guilds_of(&self, user: UserId) -> Result<Vec<GuildId>> {
        self.ids(&keys::of(Table::MemberByUser, user), None, usize::MAX)
    }

    /// See [`crate::Store::guild_of_channel`].
    pub(super) fn guild_of_channel(&self, channel: ChannelId) -> Result<Option<GuildId>> {
        self.id(&keys::of(Table::ChannelGuild, channel))
    }

    /// See [`crate::Store::ban`].
    pub(super) fn ban(&self, guild: GuildId, user: UserId) -> Result<Option<BanRecord>> {
        self.record(&keys::pair(Table::Bans, guild, user))
    }

    /// See [`crate::Store::bans`].
    pub(super) fn bans(
        &self,
        guild: GuildId,
        before: Option<UserId>,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<BanRecord>> {
        let mut range = Range::of(&keys::of(Table::Bans, guild));
        if let Some(after) = after {
            range = range.after(&keys::pair(Table::Bans, guild, after));
        }
        if let Some(before) = before {
            range = range.before(&keys::pair(Table::Bans, guild, before));
        }
        if after.is_none() && before.is_some() {
            let nearest = self
                .rows(range, Direction::Backward)
                .take(limit)
                .map(decoded);
            let mut bans: Vec<_> = nearest.collect::<Result<_>>()?;
            bans.reverse();
            Ok(bans)
        } else {
            self.rows(range, Direction::Forward)
                .take(limit)
                .map(decoded)
                .collect()
        }
    }

    /// See [`crate::Store::message`].
    pub(super) fn message(
        &self,
        channel: ChannelId,
        message: MessageId,
    ) -> Result<Option<MessageRecord>> {
        self.record(&keys::message(channel, message))
    }

    /// See [`crate::Store::messages`].
    pub(super) fn messages(
        &self,
        channel: ChannelId,
        page: Page,
        limit: usize,
    ) -> Result<Vec<MessageRecord>> {
        let all = Range::of(&keys::of(Table::Messages, channel));
        match page {
            Page::Latest => self.downwards(all, limit),
            Page::Before(id) => self.downwards(all.after(&keys::message(channel, id)), limit),
            Page::After(id) => self.above(all.before(&keys::message(channel, id)), limit),
            Page::Around(id) => {
                let (above, below) = rules::around(limit);
                let mut page = self.above(all.before(&keys::message(channel, id)), above)?;
                let from_here = Range::of(&keys::of(Table::Messages, channel))
                    .starting_at(&keys::message(channel, id));
                page.extend(self.downwards(from_here, below)?);
                Ok(page)
            }
        }
    }

    /// The newest messages of a range, newest first: keys are in that order.
    fn downwards(&self, range: Range, limit: usize) -> Result<Vec<MessageRecord>> {
        self.rows(range, Direction::Forward)
            .take(limit)
            .map(decoded)
            .collect()
    }

    /// The oldest messages of a range, newest first.
    fn above(&self, range: Range, limit: usize) -> Result<Vec<MessageRecord>> {
        let upwards = self
            .rows(range, Direction::Backward)
            .take(limit)
            .map(decoded);
        let mut page: Vec<_> = upwards.collect::<Result<_>>()?;
        page.reverse();
        Ok(page)
    }

    /// See [`crate::Store::pins`].
    pub(super) fn pins(
        &self,
        channel: ChannelId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<(MessageRecord, u64)>> {
        let mut range = Range::of(&keys::of(Table::PinsByTime, channel));
        match before {
            None => {}
            Some(0) => return Ok(Vec::new()),
            Some(before) => range = range.starting_at(&keys::pins_from(channel, before - 1)),
        }
        let mut pins = Vec::new();
        for row in self.rows(range, Direction::Forward) {
            if pins.len() >= limit {
                break;
            }
            let (key, at_ms) = row?;
            if let Some(record) = self.message(channel, keys::last_inverted_id(&key)?)? {
                pins.push((record, value::decode_number(&at_ms)?));
            }
        }
        Ok(pins)
    }

    /// See [`crate::Store::pin_count`].
    pub(super) fn pin_count(&self, channel: ChannelId) -> Result<usize> {
        let pins = self.rows(
            Range::of(&keys::of(Table::Pins, channel)),
            Direction::Forward,
        );
        pins.map(|row| row.map(drop))
            .try_fold(0, |count, row| row.map(|()| count + 1))
    }

    /// See [`crate::Store::reaction_counts`], for one message.
    pub(super) fn reaction_counts(
        &self,
        channel: ChannelId,
        message: MessageId,
    ) -> Result<Vec<EmojiCount>> {
        let mut reactions: Vec<Counted> = Vec::new();
        for row in self.rows(
            Range::of(&keys::pair(Table::ReactionCounts, channel, message)),
            Direction::Forward,
        ) {
            reactions.push(decoded(row)?);
        }
        reactions.sort_by_cached_key(|counted| {
            (counted.first_at_ms, rules::emoji_identity(&counted.emoji))
        });
        let count = |counted: Counted| EmojiCount {
            emoji: counted.emoji,
            count: counted.count,
            first_at_ms: counted.first_at_ms,
        };
        Ok(reactions.into_iter().map(count).collect())
    }

    /// See [`crate::Store::reacted`], for one reaction.
    pub(super) fn reacted(
        &self,
        channel: ChannelId,
        user: UserId,
        message: MessageId,
        emoji: &ReactionEmoji,
    ) -> Result<bool> {
        self.has(&keys::reaction(channel, message, emoji, user)?)
    }

    /// See [`crate::Store::reactors`].
    pub(super) fn reactors(
        &self,
        channel: ChannelId,
        message: MessageId,
        emoji: &ReactionEmoji,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<UserId>> {
        let after = after
            .map(|user| keys::reaction(channel, message, emoji, user))
            .transpose()?;
        self.ids(
            &keys::reacted(Table::Reactions, channel, message, emoji)?,
            after.as_ref(),
            limit,
        )
    }

    /// See [`crate::Store::epoch`].
    pub(super) fn epoch(&self, guild: GuildId) -> Result<Epoch> {
        let claimed = self.get(&keys::of(Table::Epochs, guild))?;
        let claimed = claimed.map(|value| value::decode_number(&value));
        Ok(claimed.transpose()?.map_or(Epoch::NONE, Epoch))
    }

    /// See [`crate::Store::read_state`].
    pub(super) fn read_state(&self, user: UserId, channel: ChannelId) -> Result<Option<ReadState>> {
        self.record(&keys::pair(Table::ReadStates, user, channel))
    }

    /// See [`crate::Store::read_states`].
    pub(super) fn read_states(&self, user: UserId, limit: usize) -> Result<Vec<ReadState>> {
        let range = Range::of(&keys::of(Table::ReadStates, user));
        self.rows(range, Direction::Forward)
            .take(limit)
            .map(decoded)
            .collect()
    }

    /// See [`crate::Store::reaction_times`].
    pub(super) fn reaction_times(
        &self,
        channel: ChannelId,
        message: MessageId,
        emoji: &ReactionEmoji,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<(UserId, u64)>> {
        let all = keys::reacted(Table::Reactions, channel, message, emoji)?;
        let mut range = Range::of(&all);
        if let Some(user) = after {
            range = range.after(&keys::reaction(channel, message, emoji, user)?);
        }
        self.rows(range, Direction::Forward)
            .take(limit)
            .map(|row| {
                let (key, at_ms) = row?;
                Ok((keys::last_id(&key)?, value::decode_number(&at_ms)?))
            })
            .collect()
    }

    /// See [`crate::Store::list_settings`].
    pub(super) fn list_settings(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>> {
        // Keys are ordered by the length of the name first; settings are few, so all are sorted.
        let mut settings = BTreeMap::new();
        for row in self.rows(Range::of(&Key::all(Table::Settings)), Direction::Forward) {
            let (key, bytes) = row?;
            let name = keys::name_in(&key)?;
            if after.is_none_or(|after| name.as_str() > after) {
                settings.insert(name, value::decode_bytes(&bytes)?.to_vec());
            }
        }
        Ok(settings.into_iter().take(limit).collect())
    }

    /// See [`crate::Store::setting`].
    pub(super) fn setting(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let value = self.get(&keys::named(Table::Settings, name)?)?;
        value
            .map(|value| Ok(value::decode_bytes(&value)?.to_vec()))
            .transpose()
    }

    /// See [`crate::Store::files_to_delete`].
    pub(super) fn files_to_delete(&self, limit: usize) -> Result<Vec<LostFile>> {
        let range = Range::of(&Key::all(Table::FilesToDelete));
        self.rows(range, Direction::Forward)
            .take(limit)
            .map(decoded)
            .collect()
    }

    /// See [`crate::Store::channels_to_purge`].
    pub(super) fn channels_to_purge(&self, limit: usize) -> Result<Vec<ChannelId>> {
        self.ids(&Key::all(Table::Purges), None, limit)
    }
}
