//! The maps of the reference engine, and what each write and read does with them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{self, Excluded, Included};

use model::attachment::Attachment;
use model::ban::BanRecord;
use model::channel::Channel;
use model::emoji::ReactionEmoji;
use model::guild::Guild;
use model::member::MemberRecord;
use model::message::MessageRecord;
use model::reaction::ReactionRecord;
use model::read_state::ReadState;
use model::role::Role;
use model::user::{Account, User};
use model::{AttachmentId, ChannelId, GuildId, Id, MessageId, RoleId, UserId};

use crate::engine::rules;
use crate::error::StoreError;
use crate::fence::Epoch;
use crate::store::{EmojiCount, GuildSnapshot, LastOf, LostFile, Page, Result, Write};

/// Where a message is.
pub(super) type Place = (ChannelId, MessageId);

/// Everything the store holds.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) closed: bool,
    pub(super) accounts: BTreeMap<UserId, Account>,
    pub(super) names: BTreeMap<String, UserId>,
    pub(super) guilds: BTreeMap<GuildId, Guild>,
    pub(super) last_message_of_guild: BTreeMap<GuildId, MessageId>,
    pub(super) roles: BTreeMap<(GuildId, RoleId), Role>,
    pub(super) channels: BTreeMap<(GuildId, ChannelId), Channel>,
    pub(super) guild_of_channel: BTreeMap<ChannelId, GuildId>,
    pub(super) last_message_of_channel: BTreeMap<ChannelId, MessageId>,
    pub(super) members: BTreeMap<(GuildId, UserId), MemberRecord>,
    pub(super) guilds_of_user: BTreeSet<(UserId, GuildId)>,
    pub(super) bans: BTreeMap<(GuildId, UserId), BanRecord>,
    pub(super) messages: BTreeMap<Place, MessageRecord>,
    pub(super) pins: BTreeMap<Place, u64>,
    pub(super) reactions: BTreeMap<Place, BTreeMap<Vec<u8>, Reacted>>,
    pub(super) read_states: BTreeMap<(UserId, ChannelId), ReadState>,
    pub(super) settings: BTreeMap<String, Vec<u8>>,
    pub(super) to_purge: BTreeSet<ChannelId>,
    pub(super) lost_files: BTreeMap<(ChannelId, AttachmentId), LostFile>,
    epochs: BTreeMap<GuildId, Epoch>,
}

/// All reactions with one emoji on one message.
#[derive(Debug)]
pub(super) struct Reacted {
    pub(super) emoji: ReactionEmoji,
    pub(super) first_at_ms: u64,
    /// Who, and when, Unix milliseconds.
    pub(super) users: BTreeMap<UserId, u64>,
}

/// All keys whose first part is `first`: every id lies between the least and the greatest.
pub(super) fn all_of<A, B>(first: Id<A>) -> std::ops::RangeInclusive<(Id<A>, Id<B>)> {
    (first, Id::new(1))..=(first, Id::new(u64::MAX))
}

/// Bounds of keys made of two ids.
type PairRange<A, B> = (Bound<(Id<A>, Id<B>)>, Bound<(Id<A>, Id<B>)>);

/// The keys whose first part is `first` and whose second lies between two bounds, both left out.
fn between<A, B>(
    first: Id<A>,
    after: Option<Id<B>>,
    before: Option<Id<B>>,
) -> Option<PairRange<A, B>> {
    if let (Some(after), Some(before)) = (after, before)
        && after >= before
    {
        return None;
    }
    let from = after.map_or(Included((first, Id::new(1))), |id| Excluded((first, id)));
    let to = before.map_or(Included((first, Id::new(u64::MAX))), |id| {
        Excluded((first, id))
    });
    Some((from, to))
}

impl State {
    /// Applies a batch, whole or not at all.
    pub(super) fn commit(&mut self, batch: Vec<Write>) -> Result<()> {
        if self.closed {
            return Err(closed());
        }
        rules::check_batch(
            &batch,
            |channel, message| self.messages.contains_key(&(channel, message)),
            |user| self.accounts.get(&user),
            |guild| self.epoch(guild),
        )?;
        for write in batch {
            self.apply(write);
        }
        Ok(())
    }

    /// The epoch a guild was last claimed under.
    pub(super) fn epoch(&self, guild: GuildId) -> Epoch {
        self.epochs.get(&guild).copied().unwrap_or_default()
    }

    /// Claims a guild; see [`crate::Store::claim`].
    pub(super) fn claim(&mut self, guild: GuildId, epoch: Epoch) -> Result<()> {
        if self.closed {
            return Err(closed());
        }
        if self.epoch(guild) >= epoch {
            return Err(StoreError::Fenced);
        }
        self.epochs.insert(guild, epoch);
        Ok(())
    }

    fn apply(&mut self, write: Write) {
        match write {
            Write::Fence(guild, epoch) => {
                self.epochs.insert(guild, epoch);
            }
            Write::PutMessage(record) => self.put_message(*record),
            Write::PatchMessage(channel, message, patch) => {
                if let Some(record) = self.messages.get_mut(&(channel, message)) {
                    let before = record.attachments.clone();
                    patch.apply(record);
                    let after = record.attachments.clone();
                    self.lose_files(channel, before, &after);
                }
            }
            Write::DeleteMessage(channel, message) => self.delete_message((channel, message)),
            Write::PutReaction(reaction) => self.put_reaction(reaction),
            Write::DeleteReaction(channel, message, emoji, user) => {
                self.delete_reaction((channel, message), &emoji, user);
            }
            Write::ClearReactions(channel, message, None) => {
                self.reactions.remove(&(channel, message));
            }
            Write::ClearReactions(channel, message, Some(emoji)) => {
                if let Some(reactions) = self.reactions.get_mut(&(channel, message)) {
                    reactions.remove(&rules::emoji_identity(&emoji));
                }
            }
            Write::PutPin(channel, message, at_ms) => {
                self.pins.insert((channel, message), at_ms);
            }
            Write::DeletePin(channel, message) => {
                self.pins.remove(&(channel, message));
            }
            Write::ForgetFiles(channel, files) => {
                for file in files {
                    self.lost_files.remove(&(channel, file));
                }
            }
            Write::LoseFiles(channel, files) => {
                for file in files {
                    self.lost_files.insert((channel, file.attachment_id), file);
                }
            }
            Write::RaiseLastMessage(of, message) => self.raise(of, message),
            Write::PutGuild(guild) => {
                self.guilds.insert(guild.id, *guild);
            }
            Write::DeleteGuild(guild) => self.delete_guild(guild),
            Write::PutChannel(channel) => self.put_channel(*channel),
            Write::DeleteChannel(guild, channel) => self.delete_channel(guild, channel),
            Write::PutRole(guild, role) => {
                self.roles.insert((guild, role.id), *role);
            }
            Write::DeleteRole(guild, role) => {
                self.roles.remove(&(guild, role));
            }
            Write::PutMember(member) => {
                self.guilds_of_user
                    .insert((member.user_id, member.guild_id));
                self.members
                    .insert((member.guild_id, member.user_id), *member);
            }
            Write::DeleteMember(guild, user) => {
                self.guilds_of_user.remove(&(user, guild));
                self.members.remove(&(guild, user));
            }
            Write::PutBan(ban) => {
                self.bans.insert((ban.guild_id, ban.user_id), ban);
            }
            Write::DeleteBan(guild, user) => {
                self.bans.remove(&(guild, user));
            }
            Write::PutAccount(account) => {
                self.accounts.insert(account.user.id, *account);
            }
            Write::PutReadState(state) => {
                let place = (state.user_id, state.channel_id);
                let merge = |old: &mut ReadState| old.merge(&state);
                let row = self.read_states.entry(place).and_modify(merge);
                row.or_insert_with(|| *state.clone());
            }
            Write::DeleteReadState(user, channel) => {
                self.read_states.remove(&(user, channel));
            }
            Write::PutSetting(name, value) => {
                self.settings.insert(name, value);
            }
        }
    }

    fn put_message(&mut self, record: MessageRecord) {
        self.raise(LastOf::Channel(record.channel_id), record.id);
        self.raise(LastOf::Guild(record.guild_id), record.id);
        self.messages.insert((record.channel_id, record.id), record);
    }

    fn raise(&mut self, of: LastOf, message: MessageId) {
        let last = match of {
            LastOf::Guild(guild) => self.last_message_of_guild.entry(guild).or_insert(message),
            LastOf::Channel(channel) => {
                let last = self.last_message_of_channel.entry(channel);
                last.or_insert(message)
            }
        };
        *last = (*last).max(message);
    }

    fn delete_message(&mut self, place: Place) {
        if let Some(old) = self.messages.remove(&place) {
            self.lose_files(place.0, old.attachments, &[]);
        }
        self.pins.remove(&place);
        self.reactions.remove(&place);
    }

    fn lose_files(&mut self, channel: ChannelId, before: Vec<Attachment>, after: &[Attachment]) {
        for file in LostFile::of(channel, before, after) {
            self.lost_files.insert((channel, file.attachment_id), file);
        }
    }

    fn put_reaction(&mut self, reaction: ReactionRecord) {
        let place = (reaction.channel_id, reaction.message_id);
        let identity = rules::emoji_identity(&reaction.emoji);
        let reacted = self
            .reactions
            .entry(place)
            .or_default()
            .entry(identity)
            .or_insert_with(|| Reacted {
                emoji: reaction.emoji,
                first_at_ms: reaction.at_ms,
                users: BTreeMap::new(),
            });
        let at_ms = reacted.users.entry(reaction.user_id);
        at_ms.or_insert(reaction.at_ms);
    }

    fn delete_reaction(&mut self, place: Place, emoji: &ReactionEmoji, user: UserId) {
        let identity = rules::emoji_identity(emoji);
        if let Some(reactions) = self.reactions.get_mut(&place)
            && let Some(reacted) = reactions.get_mut(&identity)
        {
            reacted.users.remove(&user);
            if reacted.users.is_empty() {
                reactions.remove(&identity);
            }
        }
    }

    fn delete_guild(&mut self, guild: GuildId) {
        let channels: Vec<_> = self
            .channels
            .range(all_of(guild))
            .map(|((_, channel), _)| *channel)
            .collect();
        for channel in channels {
            self.delete_channel(guild, channel);
        }
        self.guilds.remove(&guild);
        self.last_message_of_guild.remove(&guild);
        self.roles.retain(|(of, _), _| *of != guild);
        self.members.retain(|(of, _), _| *of != guild);
        self.guilds_of_user.retain(|(_, of)| *of != guild);
        self.bans.retain(|(of, _), _| *of != guild);
    }

    fn put_channel(&mut self, channel: Channel) {
        if let Some(old) = self.guild_of_channel.insert(channel.id, channel.guild_id)
            && old != channel.guild_id
        {
            self.channels.remove(&(old, channel.id));
        }
        self.to_purge.remove(&channel.id);
        self.channels
            .insert((channel.guild_id, channel.id), channel);
    }

    fn delete_channel(&mut self, guild: GuildId, channel: ChannelId) {
        if self.guild_of_channel.get(&channel) == Some(&guild) {
            self.guild_of_channel.remove(&channel);
            self.channels.remove(&(guild, channel));
            self.last_message_of_channel.remove(&channel);
            self.to_purge.insert(channel);
        }
    }

    /// See [`crate::Store::create_account`].
    pub(super) fn create_account(&mut self, account: Account) -> Result<()> {
        if self.closed {
            return Err(closed());
        }
        if self.accounts.contains_key(&account.user.id) {
            return Err(StoreError::Conflict("id"));
        }
        if let Some(name) = rules::unique_name(&account) {
            if self.names.contains_key(&name) {
                return Err(StoreError::Conflict("username"));
            }
            self.names.insert(name, account.user.id);
        }
        self.accounts.insert(account.user.id, account);
        Ok(())
    }

    /// See [`crate::Store::guild`].
    pub(super) fn guild(&self, id: GuildId) -> Option<GuildSnapshot> {
        Some(GuildSnapshot {
            members: self.members(id, None, usize::MAX),
            ..self.guild_without_members(id)?
        })
    }

    /// See [`crate::Store::members`].
    pub(super) fn members(
        &self,
        guild: GuildId,
        after: Option<UserId>,
        limit: usize,
    ) -> Vec<(MemberRecord, User)> {
        let Some(range) = between(guild, after, None) else {
            return Vec::new();
        };
        self.members
            .range(range)
            .filter_map(|((_, user), member)| {
                let account = self.accounts.get(user)?;
                Some((member.clone(), account.user.clone()))
            })
            .take(limit)
            .collect()
    }

    /// See [`crate::Store::guild_without_members`].
    pub(super) fn guild_without_members(&self, id: GuildId) -> Option<GuildSnapshot> {
        let guild = self.guilds.get(&id)?.clone();
        let mut channels: Vec<_> = self
            .channels
            .range(all_of(id))
            .map(|(_, channel)| channel.clone())
            .collect();
        for channel in &mut channels {
            channel.last_message_id = self.last_message_of_channel.get(&channel.id).copied();
            let pins = self.pins.range(all_of(channel.id)).map(|(_, at_ms)| *at_ms);
            channel.last_pin_timestamp = pins.max().map(model::time::from_unix_ms);
        }
        Some(GuildSnapshot {
            guild,
            roles: self
                .roles
                .range(all_of(id))
                .map(|(_, role)| role.clone())
                .collect(),
            channels,
            members: Vec::new(),
            last_message_id: self.last_message_of_guild.get(&id).copied(),
        })
    }

    /// Messages of a channel from the newest below `before` on.
    fn downwards(
        &self,
        channel: ChannelId,
        before: Option<MessageId>,
    ) -> impl Iterator<Item = &MessageRecord> {
        let range = between(channel, None, before);
        range
            .into_iter()
            .flat_map(|range| self.messages.range(range).rev())
            .map(|(_, record)| record)
    }

    /// The oldest messages above `after`, newest first.
    fn above(&self, channel: ChannelId, after: MessageId, limit: usize) -> Vec<MessageRecord> {
        let range = between(channel, Some(after), None);
        let upwards = range
            .into_iter()
            .flat_map(|range| self.messages.range(range));
        let mut page: Vec<_> = upwards
            .take(limit)
            .map(|(_, record)| record.clone())
            .collect();
        page.reverse();
        page
    }

    /// See [`crate::Store::messages`].
    pub(super) fn messages(
        &self,
        channel: ChannelId,
        page: Page,
        limit: usize,
    ) -> Vec<MessageRecord> {
        match page {
            Page::Latest => self.downwards(channel, None).take(limit).cloned().collect(),
            Page::Before(id) => self
                .downwards(channel, Some(id))
                .take(limit)
                .cloned()
                .collect(),
            Page::After(id) => self.above(channel, id, limit),
            Page::Around(id) => {
                let (above, below) = rules::around(limit);
                let mut page = self.above(channel, id, above);
                let at = self.messages.get(&(channel, id));
                page.extend(
                    at.into_iter()
                        .chain(self.downwards(channel, Some(id)))
                        .take(below)
                        .cloned(),
                );
                page
            }
        }
    }

    /// See [`crate::Store::pins`].
    pub(super) fn pins(
        &self,
        channel: ChannelId,
        before: Option<u64>,
        limit: usize,
    ) -> Vec<(MessageRecord, u64)> {
        let pins = self.pins.range(all_of(channel));
        let mut pins: Vec<_> = pins
            .filter(|(_, at_ms)| before.is_none_or(|before| **at_ms < before))
            .collect();
        pins.sort_by_key(|(place, at_ms)| std::cmp::Reverse((**at_ms, **place)));
        let with_message =
            |(place, at_ms): (&Place, &u64)| Some((self.messages.get(place)?.clone(), *at_ms));
        pins.into_iter()
            .filter_map(with_message)
            .take(limit)
            .collect()
    }

    /// Reactions of one message as `reader` sees them.
    pub(super) fn counts(&self, place: Place) -> Vec<EmojiCount> {
        let Some(reactions) = self.reactions.get(&place) else {
            return Vec::new();
        };
        let mut reactions: Vec<_> = reactions.iter().collect();
        reactions.sort_by_key(|(identity, reacted)| (reacted.first_at_ms, *identity));
        let count = |(_, reacted): (&Vec<u8>, &Reacted)| EmojiCount {
            emoji: reacted.emoji.clone(),
            count: u64::try_from(reacted.users.len()).unwrap_or(u64::MAX),
            first_at_ms: reacted.first_at_ms,
        };
        reactions.into_iter().map(count).collect()
    }

    /// Who reacted to a message with an emoji.
    pub(super) fn reactors(
        &self,
        place: Place,
        emoji: &ReactionEmoji,
    ) -> Option<&BTreeMap<UserId, u64>> {
        let all = self.reactions.get(&place)?;
        let reacted = all.get(&rules::emoji_identity(emoji))?;
        Some(&reacted.users)
    }

    /// See [`crate::Store::bans`].
    pub(super) fn bans(
        &self,
        guild: GuildId,
        before: Option<UserId>,
        after: Option<UserId>,
        limit: usize,
    ) -> Vec<BanRecord> {
        let Some(range) = between(guild, after, before) else {
            return Vec::new();
        };
        let bans = self.bans.range(range).map(|(_, ban)| ban.clone());
        if after.is_none() && before.is_some() {
            let mut nearest: Vec<_> = bans.rev().take(limit).collect();
            nearest.reverse();
            nearest
        } else {
            bans.take(limit).collect()
        }
    }

    /// See [`crate::Store::purge_channel`].
    pub(super) fn purge(&mut self, channel: ChannelId, limit: usize) -> Result<usize> {
        if self.closed {
            return Err(closed());
        }
        if self.guild_of_channel.contains_key(&channel) {
            return Err(StoreError::NotApplied(format!(
                "channel {channel} is still there; delete it first"
            )));
        }
        let places: Vec<_> = self
            .messages
            .range(all_of(channel))
            .rev()
            .take(limit)
            .map(|(place, _)| *place)
            .collect();
        for place in &places {
            self.delete_message(*place);
        }
        if self.messages.range(all_of(channel)).next().is_none() {
            self.to_purge.remove(&channel);
            self.last_message_of_channel.remove(&channel);
        }
        Ok(places.len())
    }
}

fn closed() -> StoreError {
    StoreError::NotApplied("the store is closed".to_owned())
}
