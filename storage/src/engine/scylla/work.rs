//! What a group of batches does to the rows it needs. Pure: rows that were read, plus batches, give
//! changed rows; [`super::emit`] tells the difference as statements.
//!
//! ```text
//!  facts.rs: rows as they are ─▶ Work ─▶ commit(batch) each, in order: check, then apply
//!                                          │ NotFound, Conflict: nothing of it is applied
//!                                          ▼
//!                                       emit.rs: what is now different ─▶ one batch of statements
//! ```

use std::collections::{BTreeMap, BTreeSet};

use model::attachment::Attachment;
use model::ban::BanRecord;
use model::channel::Channel;
use model::guild::Guild;
use model::member::MemberRecord;
use model::message::MessageRecord;
use model::reaction::ReactionRecord;
use model::read_state::ReadState;
use model::role::Role;
use model::user::Account;
use model::{AttachmentId, ChannelId, GuildId, MessageId, UserId};

use super::changes::{Kind, Part};
use super::record;
use crate::engine::rules::{self, Counted};
use crate::fence::Epoch;
use crate::store::{LastOf, LostFile, Result, Write};

/// Where a message is.
pub(super) type Place = (ChannelId, MessageId);

/// The counts of a message's reactions, by emoji.
pub(super) type Counts = BTreeMap<Vec<u8>, Counted>;

/// A row as it was read, and as it is now.
#[derive(Debug, Clone)]
pub(super) struct Slot<T> {
    /// As it was read.
    pub(super) loaded: T,
    /// As it is now.
    pub(super) now: T,
}

impl<T: Clone> Slot<T> {
    /// A row that was read.
    pub(super) fn new(loaded: T) -> Self {
        Self {
            now: loaded.clone(),
            loaded,
        }
    }
}

impl<T: Clone + Default> Default for Slot<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

/// What is kept for a channel beside its messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ChannelState {
    /// The guild it belongs to; `None` when it is deleted.
    pub(super) guild: Option<GuildId>,
    /// The last message id, as the port answers it.
    pub(super) last: Option<MessageId>,
    /// No message above this one was ever put, deleted channel or not: above it nothing need be
    /// read before a put. `None`: nothing is known.
    pub(super) ceiling: Option<MessageId>,
    /// A bucket that certainly has its row.
    pub(super) newest_bucket: Option<i32>,
}

/// A row of a guild that is changed: its new value, or `None` when it is gone.
#[derive(Debug, Clone)]
pub(super) enum PartRow {
    /// Settings.
    Settings(Box<Guild>),
    /// A role.
    Role(Box<Role>),
    /// A channel.
    Channel(Box<Channel>),
    /// A ban.
    Ban(BanRecord),
    /// No row.
    Gone,
}

/// The rows of a group.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) messages: BTreeMap<Place, Slot<Option<MessageRecord>>>,
    pub(super) pins: BTreeMap<Place, Slot<Option<u64>>>,
    pub(super) counts: BTreeMap<Place, Slot<Counts>>,
    pub(super) reactions: BTreeMap<(Place, Vec<u8>, UserId), Slot<Option<u64>>>,
    /// Messages whose reactions were all deleted, those with one emoji.
    pub(super) cleared: BTreeSet<Place>,
    pub(super) cleared_emoji: BTreeSet<(Place, Vec<u8>)>,
    pub(super) channels: BTreeMap<ChannelId, Slot<ChannelState>>,
    pub(super) buckets: BTreeSet<(ChannelId, i32)>,
    pub(super) guild_last: BTreeMap<GuildId, Slot<Option<MessageId>>>,
    pub(super) guilds_deleted: BTreeSet<GuildId>,
    pub(super) parts: BTreeMap<(GuildId, Part, u64), PartRow>,
    pub(super) members: BTreeMap<(GuildId, UserId), Option<Box<MemberRecord>>>,
    /// Members of the guilds that are deleted in this group.
    pub(super) members_loaded: BTreeMap<GuildId, Vec<UserId>>,
    pub(super) accounts: BTreeMap<UserId, Slot<Option<Account>>>,
    pub(super) listed: BTreeMap<(Kind, u64), bool>,
    pub(super) lost_files: BTreeMap<(ChannelId, AttachmentId), Option<LostFile>>,
    pub(super) read_states: BTreeMap<(UserId, ChannelId), Slot<Option<ReadState>>>,
    pub(super) settings: BTreeMap<String, Vec<u8>>,
    /// What the guilds of its fences were claimed under.
    pub(super) epochs: BTreeMap<GuildId, Epoch>,
}

impl Work {
    /// Applies a batch, or nothing of it.
    ///
    /// # Errors
    /// What [`Write`] says of each write.
    pub(super) fn commit(&mut self, batch: Vec<Write>) -> Result<()> {
        rules::check_batch(
            &batch,
            |channel, message| {
                let slot = self.messages.get(&(channel, message));
                slot.is_some_and(|slot| slot.now.is_some())
            },
            |user| self.accounts.get(&user)?.now.as_ref(),
            |guild| self.epoch(guild),
        )?;
        for write in batch {
            self.apply(write);
        }
        Ok(())
    }

    /// What a guild was claimed under, as it was read.
    pub(super) fn epoch(&self, guild: GuildId) -> Epoch {
        self.epochs.get(&guild).copied().unwrap_or_default()
    }

    fn apply(&mut self, write: Write) {
        match write {
            // A higher epoch was claimed before, see `epochs.rs`.
            Write::Fence(..) => {}
            Write::PutMessage(record) => self.put_message(*record),
            Write::PatchMessage(channel, message, patch) => {
                let slot = self.messages.entry((channel, message)).or_default();
                if let Some(record) = &mut slot.now {
                    let before = record.attachments.clone();
                    patch.apply(record);
                    let after = record.attachments.clone();
                    self.lose_files(channel, before, &after);
                }
            }
            Write::DeleteMessage(channel, message) => self.delete_message((channel, message)),
            Write::PutReaction(reaction) => self.put_reaction(reaction),
            Write::DeleteReaction(channel, message, emoji, user) => {
                let emoji = rules::emoji_identity(&emoji);
                self.delete_reaction((channel, message), emoji, user);
            }
            Write::ClearReactions(channel, message, None) => self.clear((channel, message)),
            Write::ClearReactions(channel, message, Some(emoji)) => {
                self.clear_emoji((channel, message), rules::emoji_identity(&emoji));
            }
            Write::PutPin(channel, message, at_ms) => {
                self.pins.entry((channel, message)).or_default().now = Some(at_ms);
            }
            Write::DeletePin(channel, message) => {
                self.pins.entry((channel, message)).or_default().now = None;
            }
            Write::ForgetFiles(channel, files) => {
                for file in files {
                    self.lost_files.insert((channel, file), None);
                }
            }
            Write::LoseFiles(channel, files) => {
                for file in files {
                    let at = (channel, file.attachment_id);
                    self.lost_files.insert(at, Some(file));
                }
            }
            Write::RaiseLastMessage(of, message) => {
                let last = match of {
                    LastOf::Guild(guild) => &mut self.guild_last.entry(guild).or_default().now,
                    LastOf::Channel(channel) => {
                        &mut self.channels.entry(channel).or_default().now.last
                    }
                };
                *last = (*last).max(Some(message));
            }
            Write::PutGuild(guild) => {
                self.listed.insert((Kind::Guild, guild.id.get()), true);
                let row = PartRow::Settings(guild.clone());
                self.put_part(guild.id, Part::Settings, guild.id.get(), row);
            }
            Write::DeleteGuild(guild) => self.delete_guild(guild),
            Write::PutChannel(channel) => self.put_channel(channel),
            Write::DeleteChannel(guild, channel) => self.delete_channel(guild, channel),
            Write::PutRole(guild, role) => {
                self.put_part(guild, Part::Role, role.id.get(), PartRow::Role(role));
            }
            Write::DeleteRole(guild, role) => {
                self.put_part(guild, Part::Role, role.get(), PartRow::Gone);
            }
            Write::PutMember(member) => {
                self.members
                    .insert((member.guild_id, member.user_id), Some(member));
            }
            Write::DeleteMember(guild, user) => {
                self.members.insert((guild, user), None);
            }
            Write::PutBan(ban) => {
                let user = ban.user_id.get();
                self.put_part(ban.guild_id, Part::Ban, user, PartRow::Ban(ban));
            }
            Write::DeleteBan(guild, user) => {
                self.put_part(guild, Part::Ban, user.get(), PartRow::Gone);
            }
            Write::PutAccount(account) => {
                let slot = self.accounts.entry(account.user.id).or_default();
                slot.now = Some(*account);
            }
            Write::PutReadState(mut state) => {
                let place = (state.user_id, state.channel_id);
                let slot = self.read_states.entry(place).or_default();
                if let Some(old) = &slot.now {
                    state.merge(old);
                }
                slot.now = Some(*state);
            }
            Write::DeleteReadState(user, channel) => {
                self.read_states.entry((user, channel)).or_default().now = None;
            }
            Write::PutSetting(name, value) => {
                self.settings.insert(name, value);
            }
        }
    }

    fn put_part(&mut self, guild: GuildId, part: Part, id: u64, row: PartRow) {
        self.parts.insert((guild, part, id), row);
    }

    fn put_message(&mut self, record: MessageRecord) {
        let id = record.id;
        let state = &mut self.channels.entry(record.channel_id).or_default().now;
        state.last = state.last.max(Some(id));
        state.ceiling = state.ceiling.max(Some(id));
        let bucket = record::bucket(id);
        if state.newest_bucket != Some(bucket) {
            self.buckets.insert((record.channel_id, bucket));
        }
        state.newest_bucket = state.newest_bucket.max(Some(bucket));
        let last = &mut self.guild_last.entry(record.guild_id).or_default().now;
        *last = (*last).max(Some(id));
        let place = (record.channel_id, id);
        self.messages.entry(place).or_default().now = Some(record);
    }

    fn delete_message(&mut self, place: Place) {
        if let Some(old) = self.messages.entry(place).or_default().now.take() {
            self.lose_files(place.0, old.attachments, &[]);
        }
        self.pins.entry(place).or_default().now = None;
        self.clear(place);
    }

    fn lose_files(&mut self, channel: ChannelId, before: Vec<Attachment>, after: &[Attachment]) {
        for file in LostFile::of(channel, before, after) {
            self.lost_files
                .insert((channel, file.attachment_id), Some(file));
        }
    }

    fn put_reaction(&mut self, reaction: ReactionRecord) {
        let place = (reaction.channel_id, reaction.message_id);
        let identity = rules::emoji_identity(&reaction.emoji);
        let key = (place, identity.clone(), reaction.user_id);
        let slot = self.reactions.entry(key).or_default();
        if slot.now.is_some() {
            return;
        }
        slot.now = Some(reaction.at_ms);
        let counts = &mut self.counts.entry(place).or_default().now;
        let counted = counts.entry(identity).or_insert_with(|| Counted {
            emoji: reaction.emoji,
            count: 0,
            first_at_ms: reaction.at_ms,
        });
        counted.count += 1;
    }

    fn delete_reaction(&mut self, place: Place, emoji: Vec<u8>, user: UserId) {
        let slot = self
            .reactions
            .entry((place, emoji.clone(), user))
            .or_default();
        if slot.now.take().is_none() {
            return;
        }
        let counts = &mut self.counts.entry(place).or_default().now;
        if let Some(counted) = counts.get_mut(&emoji) {
            counted.count = counted.count.saturating_sub(1);
            if counted.count == 0 {
                counts.remove(&emoji);
            }
        }
    }

    fn clear(&mut self, place: Place) {
        let slot = self.counts.entry(place).or_default();
        slot.now.clear();
        // Without counts nothing was there, and a delete would only be a tombstone.
        if !slot.loaded.is_empty() {
            self.cleared.insert(place);
        }
        let first = (place, Vec::new(), UserId::new(1));
        let of_place = self.reactions.range_mut(first..);
        for (_, slot) in of_place.take_while(|((at, ..), _)| *at == place) {
            slot.now = None;
        }
    }

    fn clear_emoji(&mut self, place: Place, emoji: Vec<u8>) {
        let slot = self.counts.entry(place).or_default();
        slot.now.remove(&emoji);
        let first = (place, emoji.clone(), UserId::new(1));
        let of_emoji = self.reactions.range_mut(first..);
        for (_, slot) in of_emoji.take_while(|((at, of, _), _)| *at == place && *of == emoji) {
            slot.now = None;
        }
        if slot.loaded.contains_key(&emoji) {
            self.cleared_emoji.insert((place, emoji));
        }
    }

    fn delete_guild(&mut self, guild: GuildId) {
        let of_guild =
            |(_, slot): &(&ChannelId, &Slot<ChannelState>)| slot.now.guild == Some(guild);
        let channels: Vec<_> = self
            .channels
            .iter()
            .filter(of_guild)
            .map(|(id, _)| *id)
            .collect();
        for channel in channels {
            self.delete_channel(guild, channel);
        }
        let pending = self
            .members
            .range((guild, UserId::new(1))..=(guild, UserId::new(u64::MAX)));
        let mut users: Vec<_> = pending.map(|((_, user), _)| *user).collect();
        users.extend(self.members_loaded.get(&guild).into_iter().flatten());
        for user in users {
            self.members.insert((guild, user), None);
        }
        self.parts.retain(|(of, ..), _| *of != guild);
        self.guilds_deleted.insert(guild);
        self.guild_last.entry(guild).or_default().now = None;
        self.listed.insert((Kind::Guild, guild.get()), false);
    }

    fn put_channel(&mut self, channel: Box<Channel>) {
        let (id, guild) = (channel.id, channel.guild_id);
        let state = &mut self.channels.entry(id).or_default().now;
        let old = state.guild.replace(guild);
        if let Some(old) = old.filter(|old| *old != guild) {
            self.put_part(old, Part::Channel, id.get(), PartRow::Gone);
        }
        self.listed.insert((Kind::Purge, id.get()), false);
        self.put_part(guild, Part::Channel, id.get(), PartRow::Channel(channel));
    }

    fn delete_channel(&mut self, guild: GuildId, channel: ChannelId) {
        let state = &mut self.channels.entry(channel).or_default().now;
        if state.guild == Some(guild) {
            state.guild = None;
            state.last = None;
            self.put_part(guild, Part::Channel, channel.get(), PartRow::Gone);
            self.listed.insert((Kind::Purge, channel.get()), true);
        }
    }
}
