//! Purging a deleted channel: bucket by bucket, newest first, in steps that can stop anywhere.
//!
//! A bucket that is gone loses its whole partitions, which is one tombstone instead of one per
//! message, and its row in `channel_buckets`, so that no reader looks into it again. Files of the
//! messages come onto the list of lost files in the same batch. Only then the channel leaves the
//! list of those to purge: whatever stops the job, the next call goes on.

use model::attachment::Attachment;
use model::{ChannelId, MessageId};
use scylla::value::{CqlValue, MaybeUnset};

use super::changes::{Changes, Kind, whole};
use super::facts;
use super::link::Link;
use super::record::{deep, id, int};
use super::statements::{Statement, big, is};
use crate::engine::value;
use crate::error::StoreError;
use crate::store::{LostFile, Result};

/// Messages deleted by one batch, and of which one query asks for reactions.
pub const PURGE_STEP_MAX: usize = 100;

/// A message that goes.
struct Going {
    message: MessageId,
    files: Vec<Attachment>,
    /// An orphan goes too, but is no message.
    counts: bool,
}

/// Deletes messages of a channel that is gone; see [`crate::Store::purge_channel`]. Its caller holds
/// the lane of the channel.
///
/// # Errors
/// [`StoreError::NotApplied`] when the channel is still there; otherwise what was deleted so far
/// stays deleted.
pub(super) async fn purge(link: &Link, channel: ChannelId, limit: usize) -> Result<usize> {
    if facts::channel_state(link, channel).await?.guild.is_some() {
        return Err(StoreError::NotApplied(format!(
            "channel {channel} is still there; delete it first"
        )));
    }
    let mut purged = 0;
    let pins: Vec<MessageId> = link
        .rows_now::<(i64, Option<i64>)>(Statement::Pins, vec![big(int(channel))])
        .await?
        .into_iter()
        .map(|(message, _)| id(message))
        .collect::<Result<_>>()?;
    let values = vec![big(int(channel)), whole(i32::MAX), whole(i32::MAX)];
    let buckets = link
        .rows_now::<(i32,)>(Statement::BucketsDown, values)
        .await?;
    for (bucket,) in buckets {
        loop {
            let left = limit - purged;
            let step = left.min(PURGE_STEP_MAX);
            let (messages, more) = newest(link, channel, bucket, step).await?;
            purged += messages.iter().filter(|going| going.counts).count();
            let mut changes = Changes::new(link.clock.next());
            let at = (int(channel), i64::from(bucket));
            for going in &messages {
                for file in LostFile::of(channel, going.files.clone(), &[]) {
                    let data = value::encode(&file)?;
                    changes.lost_file(channel, file.attachment_id, Some(data));
                }
                if pins.contains(&going.message) {
                    changes.delete_pin(channel, going.message);
                }
            }
            if more {
                let reacted = with_reactions(link, channel, bucket, &messages).await?;
                for going in &messages {
                    changes.delete_message(channel, going.message);
                    if reacted.contains(&going.message) {
                        changes.delete_reactions(channel, going.message);
                    }
                }
                link.write(&changes.into_list()).await?;
                if purged == limit {
                    return Ok(purged);
                }
                continue;
            }
            let key = || [big(int(channel)), whole(bucket)];
            changes.delete(Statement::DeleteMessagesOfBucket, at, key());
            changes.delete(Statement::DeleteReactionsOfBucket, at, key());
            changes.delete(Statement::DeleteCountsOfBucket, at, key());
            changes.delete(Statement::DeleteBucket, (int(channel), 0), key());
            // Whoever puts into this channel again has to write the bucket's row again.
            let unset = || MaybeUnset::Unset;
            let state = [unset(), unset(), unset(), MaybeUnset::Set(None)];
            changes.channel_state(channel, state);
            link.write(&changes.into_list()).await?;
            break;
        }
    }
    let mut changes = Changes::new(link.clock.next());
    let key = || [big(int(channel))];
    let at = (int(channel), 0);
    changes.delete(Statement::DeletePinsOfChannel, at, key());
    changes.delete(Statement::DeleteChannelState, at, key());
    changes.listed(Kind::Purge, channel.get(), false);
    link.write(&changes.into_list()).await?;
    Ok(purged)
}

/// The newest rows of a bucket, at most `step`, and whether there are more.
async fn newest(
    link: &Link,
    channel: ChannelId,
    bucket: i32,
    step: usize,
) -> Result<(Vec<Going>, bool)> {
    let more = i32::try_from(step).unwrap_or(i32::MAX).saturating_add(1);
    let values = vec![big(int(channel)), whole(bucket), whole(more)];
    let rows = link
        .rows_now::<(i64, Option<i64>, Option<Vec<u8>>)>(Statement::MessagesToPurge, values)
        .await?;
    let more = rows.len() > step;
    let messages = rows
        .into_iter()
        .take(step)
        .map(|(message, author, files)| {
            Ok(Going {
                message: id(message)?,
                files: deep(files)?,
                counts: author.is_some(),
            })
        })
        .collect::<Result<_>>()?;
    Ok((messages, more))
}

async fn with_reactions(
    link: &Link,
    channel: ChannelId,
    bucket: i32,
    messages: &[Going],
) -> Result<Vec<MessageId>> {
    if messages.is_empty() {
        return Ok(Vec::new());
    }
    let ids = messages
        .iter()
        .map(|going| CqlValue::BigInt(int(going.message)))
        .collect();
    let values = vec![big(int(channel)), whole(bucket), is(CqlValue::List(ids))];
    let rows = link
        .rows_now::<(i64, Vec<u8>, Vec<u8>, Option<i64>)>(Statement::Counts, values)
        .await?;
    rows.into_iter().map(|(message, ..)| id(message)).collect()
}
