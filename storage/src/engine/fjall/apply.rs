//! What each [`Write`] changes in the tables.
//!
//! Runs in the committer alone, one batch after the other, so whatever reads before it writes here
//! (patches, counts, unique names) is linearizable without a lock.

use serde::Serialize;

use model::attachment::Attachment;
use model::channel::Channel;
use model::emoji::ReactionEmoji;
use model::member::MemberRecord;
use model::message::MessageRecord;
use model::reaction::ReactionRecord;
use model::read_state::ReadState;
use model::snowflake;
use model::user::Account;
use model::{ChannelId, GuildId, Id, MessageId, UserId};

use super::keys::{self, Key, Table};
use super::pending::Pending;
use super::value;
use crate::engine::rules::{self, Counted};
use crate::error::StoreError;
use crate::fence::Epoch;
use crate::store::{LastOf, LostFile, RecordPatch, Result, Write};

/// Applies a batch; on an error the caller discards whatever of it was applied.
///
/// # Errors
/// What [`Write`] says of each write, and failed reads.
pub(super) fn batch(pending: &mut Pending<'_>, batch: Vec<Write>) -> Result<()> {
    batch
        .into_iter()
        .try_for_each(|write| apply(pending, write))
}

fn apply(pending: &mut Pending<'_>, write: Write) -> Result<()> {
    match write {
        Write::Fence(guild, under) => {
            let claimed = epoch(pending, guild)?;
            if claimed > under {
                return Err(StoreError::Fenced);
            }
            if claimed < under {
                put_epoch(pending, guild, under);
            }
            Ok(())
        }
        Write::PutMessage(record) => put_message(pending, &record),
        Write::PatchMessage(channel, message, patch) => {
            patch_message(pending, channel, message, &patch)
        }
        Write::DeleteMessage(channel, message) => delete_message(pending, channel, message),
        Write::PutReaction(reaction) => put_reaction(pending, &reaction),
        Write::DeleteReaction(channel, message, emoji, user) => {
            delete_reaction(pending, channel, message, &emoji, user)
        }
        Write::ClearReactions(channel, message, emoji) => {
            clear_reactions(pending, channel, message, emoji.as_ref())
        }
        Write::PutPin(channel, message, at_ms) => put_pin(pending, channel, message, at_ms),
        Write::DeletePin(channel, message) => delete_pin(pending, channel, message),
        Write::ForgetFiles(channel, files) => {
            for file in files {
                pending.delete(keys::pair(Table::FilesToDelete, channel, file));
            }
            Ok(())
        }
        Write::LoseFiles(channel, files) => files.iter().try_for_each(|file| {
            let key = keys::pair(Table::FilesToDelete, channel, file.attachment_id);
            put(pending, key, file)
        }),
        Write::RaiseLastMessage(of, message) => {
            let key = match of {
                LastOf::Guild(guild) => keys::of(Table::GuildState, guild),
                LastOf::Channel(channel) => keys::of(Table::ChannelState, channel),
            };
            raise(pending, key, message)
        }
        Write::PutGuild(guild) => put(pending, keys::of(Table::Guilds, guild.id), &guild),
        Write::DeleteGuild(guild) => delete_guild(pending, guild),
        Write::PutChannel(channel) => put_channel(pending, &channel),
        Write::DeleteChannel(guild, channel) => delete_channel(pending, guild, channel),
        Write::PutRole(guild, role) => put(pending, keys::role(guild, role.id), &role),
        Write::DeleteRole(guild, role) => delete(pending, keys::role(guild, role)),
        Write::PutMember(member) => put_member(pending, &member),
        Write::DeleteMember(guild, user) => {
            pending.delete(keys::pair(Table::MemberByUser, user, guild));
            delete(pending, keys::member(guild, user))
        }
        Write::PutBan(ban) => put(
            pending,
            keys::pair(Table::Bans, ban.guild_id, ban.user_id),
            &ban,
        ),
        Write::DeleteBan(guild, user) => delete(pending, keys::pair(Table::Bans, guild, user)),
        Write::PutAccount(account) => put_account(pending, &account),
        Write::PutReadState(state) => put_read_state(pending, *state),
        Write::DeleteReadState(user, channel) => {
            delete(pending, keys::pair(Table::ReadStates, user, channel))
        }
        Write::PutSetting(name, bytes) => {
            pending.put(
                keys::named(Table::Settings, &name)?,
                value::encode_bytes(&bytes)?,
            );
            Ok(())
        }
    }
}

fn put<T: Serialize>(pending: &mut Pending<'_>, key: Key, record: &T) -> Result<()> {
    pending.put(key, value::encode(record)?);
    Ok(())
}

fn delete(pending: &mut Pending<'_>, key: Key) -> Result<()> {
    pending.delete(key);
    Ok(())
}

fn put_message(pending: &mut Pending<'_>, record: &MessageRecord) -> Result<()> {
    put(pending, keys::message(record.channel_id, record.id), record)?;
    let bucket = keys::bucket(record.channel_id, snowflake::bucket(record.id));
    if !pending.has(&bucket)? {
        pending.put(bucket, value::encode_bytes(&[])?);
    }
    raise(
        pending,
        keys::of(Table::ChannelState, record.channel_id),
        record.id,
    )?;
    raise(
        pending,
        keys::of(Table::GuildState, record.guild_id),
        record.id,
    )
}

/// Raises the last message id a row keeps.
fn raise(pending: &mut Pending<'_>, key: Key, id: MessageId) -> Result<()> {
    if pending.number(&key)?.is_none_or(|last| last < id.get()) {
        pending.put(key, value::encode_number(id.get()));
    }
    Ok(())
}

fn patch_message(
    pending: &mut Pending<'_>,
    channel: ChannelId,
    message: MessageId,
    patch: &RecordPatch,
) -> Result<()> {
    let key = keys::message(channel, message);
    let old = pending.get(&key)?.ok_or(StoreError::NotFound)?;
    let mut record: MessageRecord = value::decode(&old)?;
    if patch.attachments.is_some() {
        let before = std::mem::take(&mut record.attachments);
        patch.apply(&mut record);
        lose_files(pending, channel, before, &record.attachments)?;
    } else {
        patch.apply(&mut record);
    }
    put(pending, key, &record)
}

fn delete_message(pending: &mut Pending<'_>, channel: ChannelId, message: MessageId) -> Result<()> {
    let key = keys::message(channel, message);
    if let Some(old) = pending.get(&key)? {
        let old: MessageRecord = value::decode(&old)?;
        lose_files(pending, channel, old.attachments, &[])?;
    }
    pending.delete(key);
    delete_pin(pending, channel, message)?;
    clear_reactions(pending, channel, message, None)
}

/// Puts the files that were among `before` and are not among `after` on the list of those to delete.
fn lose_files(
    pending: &mut Pending<'_>,
    channel: ChannelId,
    before: Vec<Attachment>,
    after: &[Attachment],
) -> Result<()> {
    for file in LostFile::of(channel, before, after) {
        let key = keys::pair(Table::FilesToDelete, channel, file.attachment_id);
        put(pending, key, &file)?;
    }
    Ok(())
}

fn expect_message(pending: &Pending<'_>, channel: ChannelId, message: MessageId) -> Result<()> {
    if pending.has(&keys::message(channel, message))? {
        Ok(())
    } else {
        Err(StoreError::NotFound)
    }
}

fn put_reaction(pending: &mut Pending<'_>, reaction: &ReactionRecord) -> Result<()> {
    let (channel, message) = (reaction.channel_id, reaction.message_id);
    expect_message(pending, channel, message)?;
    let key = keys::reaction(channel, message, &reaction.emoji, reaction.user_id)?;
    if pending.has(&key)? {
        return Ok(());
    }
    pending.put(key, value::encode_number(reaction.at_ms));
    let key = keys::reacted(Table::ReactionCounts, channel, message, &reaction.emoji)?;
    let counted = match pending.get(&key)? {
        Some(old) => {
            let old: Counted = value::decode(&old)?;
            Counted {
                count: old.count + 1,
                ..old
            }
        }
        None => Counted {
            emoji: reaction.emoji.clone(),
            count: 1,
            first_at_ms: reaction.at_ms,
        },
    };
    put(pending, key, &counted)
}

fn delete_reaction(
    pending: &mut Pending<'_>,
    channel: ChannelId,
    message: MessageId,
    emoji: &ReactionEmoji,
    user: UserId,
) -> Result<()> {
    let key = keys::reaction(channel, message, emoji, user)?;
    if !pending.has(&key)? {
        return Ok(());
    }
    pending.delete(key);
    let key = keys::reacted(Table::ReactionCounts, channel, message, emoji)?;
    let Some(old) = pending.get(&key)? else {
        return Err(StoreError::Corrupt(format!(
            "reactions of message {message} are not counted"
        )));
    };
    let old: Counted = value::decode(&old)?;
    if old.count > 1 {
        put(
            pending,
            key,
            &Counted {
                count: old.count - 1,
                ..old
            },
        )
    } else {
        delete(pending, key)
    }
}

fn clear_reactions(
    pending: &mut Pending<'_>,
    channel: ChannelId,
    message: MessageId,
    emoji: Option<&ReactionEmoji>,
) -> Result<()> {
    for table in [Table::Reactions, Table::ReactionCounts] {
        let prefix = match emoji {
            Some(emoji) => keys::reacted(table, channel, message, emoji)?,
            None => keys::pair(table, channel, message),
        };
        pending.delete_all(&prefix)?;
    }
    Ok(())
}

fn put_pin(
    pending: &mut Pending<'_>,
    channel: ChannelId,
    message: MessageId,
    at_ms: u64,
) -> Result<()> {
    expect_message(pending, channel, message)?;
    delete_pin(pending, channel, message)?;
    pending.put(
        keys::pair(Table::Pins, channel, message),
        value::encode_number(at_ms),
    );
    pending.put(
        keys::pin_at(channel, at_ms, message),
        value::encode_number(at_ms),
    );
    Ok(())
}

fn delete_pin(pending: &mut Pending<'_>, channel: ChannelId, message: MessageId) -> Result<()> {
    let key = keys::pair(Table::Pins, channel, message);
    if let Some(at_ms) = pending.number(&key)? {
        pending.delete(keys::pin_at(channel, at_ms, message));
        pending.delete(key);
    }
    Ok(())
}

fn delete_guild(pending: &mut Pending<'_>, guild: GuildId) -> Result<()> {
    for key in pending.keys(&keys::of(Table::Channels, guild))? {
        delete_channel(pending, guild, keys::last_id(key.in_table())?)?;
    }
    for key in pending.keys(&keys::of(Table::Members, guild))? {
        let user: UserId = keys::last_id(key.in_table())?;
        pending.delete(keys::pair(Table::MemberByUser, user, guild));
        pending.delete(key);
    }
    pending.delete_all(&keys::of(Table::Roles, guild))?;
    pending.delete_all(&keys::of(Table::Bans, guild))?;
    pending.delete(keys::of(Table::GuildState, guild));
    delete(pending, keys::of(Table::Guilds, guild))
}

fn put_channel(pending: &mut Pending<'_>, channel: &Channel) -> Result<()> {
    let mapping = keys::of(Table::ChannelGuild, channel.id);
    if let Some(old) = pending.number(&mapping)?.and_then(Id::new_checked)
        && old != channel.guild_id
    {
        pending.delete(keys::channel(old, channel.id));
    }
    pending.put(mapping, value::encode_number(channel.guild_id.get()));
    pending.delete(keys::of(Table::Purges, channel.id));
    put(
        pending,
        keys::channel(channel.guild_id, channel.id),
        channel,
    )
}

fn delete_channel(pending: &mut Pending<'_>, guild: GuildId, channel: ChannelId) -> Result<()> {
    let mapping = keys::of(Table::ChannelGuild, channel);
    if pending.number(&mapping)? == Some(guild.get()) {
        pending.delete(mapping);
        pending.delete(keys::channel(guild, channel));
        pending.delete(keys::of(Table::ChannelState, channel));
        pending.put(keys::of(Table::Purges, channel), value::encode_bytes(&[])?);
    }
    Ok(())
}

fn put_member(pending: &mut Pending<'_>, member: &MemberRecord) -> Result<()> {
    let by_user = keys::pair(Table::MemberByUser, member.user_id, member.guild_id);
    if !pending.has(&by_user)? {
        pending.put(by_user, value::encode_bytes(&[])?);
    }
    put(
        pending,
        keys::member(member.guild_id, member.user_id),
        member,
    )
}

fn put_read_state(pending: &mut Pending<'_>, mut state: ReadState) -> Result<()> {
    let key = keys::pair(Table::ReadStates, state.user_id, state.channel_id);
    if let Some(old) = pending.get(&key)? {
        state.merge(&value::decode(&old)?);
    }
    put(pending, key, &state)
}

fn put_account(pending: &mut Pending<'_>, account: &Account) -> Result<()> {
    let key = keys::of(Table::Accounts, account.user.id);
    let old: Account = value::decode(&pending.get(&key)?.ok_or(StoreError::NotFound)?)?;
    if rules::unique_name(&old) != rules::unique_name(account) {
        return Err(StoreError::Conflict("username"));
    }
    put(pending, key, account)
}

/// Creates an account; see [`crate::Store::create_account`].
///
/// # Errors
/// [`StoreError::Conflict`] when the id or the name is taken.
pub(super) fn create_account(pending: &mut Pending<'_>, account: &Account) -> Result<()> {
    let key = keys::of(Table::Accounts, account.user.id);
    if pending.has(&key)? {
        return Err(StoreError::Conflict("id"));
    }
    if let Some(name) = rules::unique_name(account) {
        let name = keys::named(Table::Names, &name)?;
        if pending.has(&name)? {
            return Err(StoreError::Conflict("username"));
        }
        pending.put(name, value::encode_number(account.user.id.get()));
    }
    put(pending, key, account)
}

/// Claims a guild; see [`crate::Store::claim`].
///
/// # Errors
/// [`StoreError::Fenced`] when it was claimed under this or a higher epoch.
pub(super) fn claim(pending: &mut Pending<'_>, guild: GuildId, under: Epoch) -> Result<()> {
    if epoch(pending, guild)? >= under {
        return Err(StoreError::Fenced);
    }
    put_epoch(pending, guild, under);
    Ok(())
}

fn epoch(pending: &Pending<'_>, guild: GuildId) -> Result<Epoch> {
    let claimed = pending.number(&keys::of(Table::Epochs, guild))?;
    Ok(claimed.map_or(Epoch::NONE, Epoch))
}

fn put_epoch(pending: &mut Pending<'_>, guild: GuildId, epoch: Epoch) {
    let key = keys::of(Table::Epochs, guild);
    pending.put(key, value::encode_number(epoch.0));
}

/// Deletes messages of a channel that is gone; see [`crate::Store::purge_channel`].
///
/// # Errors
/// [`StoreError::NotApplied`] when the channel is still there.
pub(super) fn purge(pending: &mut Pending<'_>, channel: ChannelId, limit: usize) -> Result<usize> {
    if pending.has(&keys::of(Table::ChannelGuild, channel))? {
        return Err(StoreError::NotApplied(format!(
            "channel {channel} is still there; delete it first"
        )));
    }
    let mut purged = 0;
    // By bucket, and an empty bucket loses its row: a later round does not walk again over
    // everything that earlier rounds deleted.
    for bucket in pending.keys(&keys::of(Table::Buckets, channel))? {
        let left = limit - purged;
        let messages =
            pending.some_keys(&keys::messages_of_bucket(&bucket), left.saturating_add(1))?;
        for key in messages.iter().take(left) {
            delete_message(pending, channel, keys::last_inverted_id(key.in_table())?)?;
            purged += 1;
        }
        if messages.len() > left {
            return Ok(purged);
        }
        pending.delete(bucket);
    }
    pending.delete(keys::of(Table::ChannelState, channel));
    pending.delete(keys::of(Table::Purges, channel));
    Ok(purged)
}
