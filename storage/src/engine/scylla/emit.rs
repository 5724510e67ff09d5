//! What is different after a group of batches, as statements. Pure.
//!
//! Everything a group deletes has the first of its two timestamps, everything it puts the second:
//! then what it puts is not covered by the delete of a whole message's reactions or of a guild.

use scylla::value::CqlValue;

use super::changes::{Changes, diff, partition, whole};
use super::record::{column, int, is_patch, key, patch_values, put_values};
use super::statements::{Statement, big, blob, is};
use super::work::{PartRow, Work};
use crate::engine::value;
use crate::store::Result;

/// Tells the difference.
///
/// # Errors
/// [`crate::StoreError::TooLarge`] when a value is too long.
pub(super) fn emit(work: &Work, changes: &mut Changes) -> Result<()> {
    messages(work, changes)?;
    reactions(work, changes)?;
    channels(work, changes);
    guilds(work, changes)?;
    members(work, changes)?;
    for (user, slot) in &work.accounts {
        if let Some(account) = slot.now.as_ref().filter(|_| slot.now != slot.loaded) {
            let values = [big(int(*user)), blob(value::encode(account)?)];
            changes.put(Statement::PutAccount, (int(*user), 0), values);
        }
    }
    for ((kind, id), there) in &work.listed {
        changes.listed(*kind, *id, *there);
    }
    for ((channel, file), row) in &work.lost_files {
        let data = row.as_ref().map(value::encode).transpose()?;
        changes.lost_file(*channel, *file, data);
    }
    for ((user, channel), slot) in &work.read_states {
        let (at, key) = ((int(*user), 0), [big(int(*user)), big(int(*channel))]);
        match (&slot.loaded, &slot.now) {
            (Some(_), None) => changes.delete(Statement::DeleteReadState, at, key),
            (before, Some(state)) if before.as_ref() != Some(state) => {
                let values = key.into_iter().chain([blob(value::encode(state)?)]);
                changes.put(Statement::PutReadState, at, values);
            }
            _ => {}
        }
    }
    for (name, bytes) in &work.settings {
        let values = [
            is(CqlValue::Text(name.clone())),
            blob(value::encode_bytes(bytes)?),
        ];
        changes.put(Statement::PutSetting, (0, 0), values);
    }
    Ok(())
}

fn messages(work: &Work, changes: &mut Changes) -> Result<()> {
    for ((channel, message), slot) in &work.messages {
        let at = partition(*channel, *message);
        let timestamp = changes.ticks().put;
        match (&slot.loaded, &slot.now) {
            (Some(_), None) => changes.delete_message(*channel, *message),
            (None, None) => {}
            (Some(before), Some(now)) if is_patch(before, now) => {
                if let Some(values) = patch_values(before, now, timestamp)? {
                    changes.add(Statement::PatchMessage, at, values);
                }
            }
            (before, Some(now)) => {
                let values = put_values(before.as_ref(), now, timestamp)?;
                changes.add(Statement::PutMessage, at, values);
            }
        }
    }
    for ((channel, message), slot) in &work.pins {
        match (slot.loaded, slot.now) {
            (Some(_), None) => changes.delete_pin(*channel, *message),
            (before, Some(at_ms)) if before != Some(at_ms) => {
                let values = [big(int(*channel)), big(int(*message)), big(column(at_ms))];
                changes.put(Statement::PutPin, (int(*channel), 0), values);
            }
            _ => {}
        }
    }
    Ok(())
}

fn reactions(work: &Work, changes: &mut Changes) -> Result<()> {
    for (channel, message) in &work.cleared {
        changes.delete_reactions(*channel, *message);
    }
    for (place, emoji) in &work.cleared_emoji {
        if !work.cleared.contains(place) {
            let at = partition(place.0, place.1);
            let key = key(place.0, place.1)
                .into_iter()
                .chain([blob(emoji.clone())]);
            changes.delete(Statement::DeleteReactionsOfEmoji, at, key);
        }
    }
    for ((place, emoji, user), slot) in &work.reactions {
        let gone =
            work.cleared.contains(place) || work.cleared_emoji.contains(&(*place, emoji.clone()));
        let at = partition(place.0, place.1);
        let key = key(place.0, place.1)
            .into_iter()
            .chain([blob(emoji.clone()), big(int(*user))]);
        match (slot.loaded.filter(|_| !gone), slot.now) {
            (Some(_), None) => changes.delete(Statement::DeleteReaction, at, key),
            (before, Some(at_ms)) if before != Some(at_ms) => {
                changes.put(Statement::PutReaction, at, key.chain([big(column(at_ms))]));
            }
            _ => {}
        }
    }
    for (place, slot) in &work.counts {
        let at = partition(place.0, place.1);
        let gone = work.cleared.contains(place);
        let row = |emoji: &Vec<u8>| {
            key(place.0, place.1)
                .into_iter()
                .chain([blob(emoji.clone())])
        };
        for emoji in slot.loaded.keys() {
            if !gone && !slot.now.contains_key(emoji) {
                changes.delete(Statement::DeleteCount, at, row(emoji));
            }
        }
        for (emoji, counted) in &slot.now {
            if gone || slot.loaded.get(emoji) != Some(counted) {
                let values = row(emoji).chain([blob(value::encode(counted)?)]);
                changes.put(Statement::PutCount, at, values);
            }
        }
    }
    Ok(())
}

fn channels(work: &Work, changes: &mut Changes) {
    for (channel, bucket) in &work.buckets {
        let values = [big(int(*channel)), whole(*bucket)];
        changes.put(Statement::PutBucket, (int(*channel), 0), values);
    }
    for (channel, slot) in &work.channels {
        let (before, now) = (slot.loaded, slot.now);
        let columns = [
            diff(before.guild, now.guild, |guild| big(int(guild))),
            diff(before.last, now.last, |message| big(int(message))),
            diff(before.ceiling, now.ceiling, |message| big(int(message))),
            diff(before.newest_bucket, now.newest_bucket, whole),
        ];
        changes.channel_state(*channel, columns);
    }
}

fn guilds(work: &Work, changes: &mut Changes) -> Result<()> {
    for guild in &work.guilds_deleted {
        let key = [big(int(*guild))];
        changes.delete(Statement::DeleteGuild, (int(*guild), 0), key);
        changes.delete(
            Statement::DeleteMembersOfGuild,
            (int(*guild), 0),
            [big(int(*guild))],
        );
    }
    for ((guild, part, id), row) in &work.parts {
        let data = match row {
            PartRow::Settings(guild) => Some(value::encode(guild)?),
            PartRow::Role(role) => Some(value::encode(role)?),
            PartRow::Channel(channel) => Some(value::encode(channel)?),
            PartRow::Ban(ban) => Some(value::encode(ban)?),
            PartRow::Gone => None,
        };
        changes.part(*guild, *part, *id, data);
    }
    for (guild, slot) in &work.guild_last {
        let deleted = work.guilds_deleted.contains(guild);
        let before = slot.loaded.filter(|_| !deleted);
        if let Some(last) = slot.now.filter(|last| before != Some(*last)) {
            let values = [big(int(last)), big(int(*guild))];
            changes.patch(Statement::PatchGuildLast, (int(*guild), 0), values);
        }
    }
    Ok(())
}

fn members(work: &Work, changes: &mut Changes) -> Result<()> {
    for ((guild, user), member) in &work.members {
        if member.is_none() && work.guilds_deleted.contains(guild) {
            changes.guild_of_user(*guild, *user, false);
            continue;
        }
        let data = member.as_ref().map(value::encode).transpose()?;
        changes.member(*guild, *user, data);
    }
    Ok(())
}
