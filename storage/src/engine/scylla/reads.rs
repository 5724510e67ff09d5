//! What each read of the port asks the cluster.
//!
//! **A page of history** is one question for the channel's buckets and one for each bucket it takes:
//! first the newest, and when that holds too few, the next four together, then sixteen at a time. A
//! channel with one message in each bucket costs one question per message, a busy one two in all.
//! Rows without author are not shown and come onto the list of orphans.
//!
//! Reads of one call are made one after the other or together, without a snapshot: while a batch is
//! being applied, a call may see some of its partitions changed and others not yet.

mod guilds;
mod reactions;

use futures_util::future::try_join_all;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use scylla::value::CqlValue;
use serde::de::DeserializeOwned;

use model::message::MessageRecord;
use model::read_state::ReadState;
use model::{ChannelId, MessageId, UserId};

use super::changes::{SHARDS, tiny, whole};
use super::link::Link;
use super::record::{self, MessageRow, id, int, key, number};
use super::statements::{Statement, big, is};
use super::work::Place;
use crate::engine::{rules, value};
use crate::error::StoreError;
use crate::store::{LostFile, Page, Result};

/// Buckets a channel is asked for at once.
pub const BUCKETS_PAGE: usize = 64;

/// Keys one question may name in an `IN`: servers refuse more than a hundred.
pub const KEYS_IN_MAX: usize = 50;

/// Questions of one call under way at once.
pub const QUESTIONS_AT_ONCE: usize = 16;

/// How many buckets of a channel are asked together, from the nearest on.
const WAVES: [usize; 3] = [1, 4, 16];

/// Which way to walk over a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Down,
    Up,
}

fn rows_max(limit: usize) -> i32 {
    i32::try_from(limit).unwrap_or(i32::MAX)
}

impl Link {
    /// See [`crate::Store::message`].
    pub(super) async fn message(
        &self,
        channel: ChannelId,
        message: MessageId,
    ) -> Result<Option<MessageRecord>> {
        let key = key(channel, message).to_vec();
        let row = self.row::<MessageRow>(Statement::Message, key).await?;
        row.map_or(Ok(None), |row| self.shown(channel, row))
    }

    /// The message of a row, or `None` for an orphan, which is then to be healed.
    fn shown(&self, channel: ChannelId, row: MessageRow) -> Result<Option<MessageRecord>> {
        if row.is_orphan() {
            self.orphans.add((channel, id(row.message_id)?));
        }
        row.into_record(channel)
    }

    /// See [`crate::Store::messages_by_id`].
    pub(super) async fn messages_by_id(
        &self,
        channel: ChannelId,
        messages: &[MessageId],
    ) -> Result<Vec<Option<MessageRecord>>> {
        // Each in a partition of its own, mostly: one question for each.
        let asked: Vec<_> = messages
            .iter()
            .map(|message| self.message(channel, *message))
            .collect();
        stream::iter(asked)
            .buffered(QUESTIONS_AT_ONCE)
            .try_collect()
            .await
    }

    /// See [`crate::Store::messages`].
    pub(super) async fn messages(
        &self,
        channel: ChannelId,
        page: Page,
        limit: usize,
    ) -> Result<Vec<MessageRecord>> {
        match page {
            Page::Latest => self.walk(channel, Direction::Down, i64::MAX, limit).await,
            Page::Before(id) => self.walk(channel, Direction::Down, int(id), limit).await,
            Page::After(id) => self.above(channel, id, limit).await,
            Page::Around(id) => {
                let (above, below) = rules::around(limit);
                let from_here = int(id).saturating_add(1);
                let (mut page, rest) = tokio::try_join!(
                    self.above(channel, id, above),
                    self.walk(channel, Direction::Down, from_here, below),
                )?;
                page.extend(rest);
                Ok(page)
            }
        }
    }

    async fn above(
        &self,
        channel: ChannelId,
        after: MessageId,
        limit: usize,
    ) -> Result<Vec<MessageRecord>> {
        let mut page = self.walk(channel, Direction::Up, int(after), limit).await?;
        page.reverse();
        Ok(page)
    }

    /// Messages beyond `from`, which is left out, the nearest first.
    async fn walk(
        &self,
        channel: ChannelId,
        direction: Direction,
        from: i64,
        limit: usize,
    ) -> Result<Vec<MessageRecord>> {
        let mut found = Vec::new();
        let mut bucket = match direction {
            _ if from == i64::MAX => i32::MAX,
            _ => record::bucket(id(from)?),
        };
        let mut waves = WAVES.iter().chain(WAVES.last().into_iter().cycle());
        while found.len() < limit {
            let buckets = self.buckets(channel, direction, bucket).await?;
            let mut rest = buckets.as_slice();
            while !rest.is_empty() && found.len() < limit {
                let wave = waves.next().copied().unwrap_or(1).min(rest.len());
                let (now, later) = rest.split_at(wave);
                rest = later;
                let left = limit - found.len();
                let asked = now
                    .iter()
                    .map(|bucket| self.of_bucket(channel, *bucket, direction, from, left));
                for messages in try_join_all(asked).await? {
                    found.extend(messages);
                }
            }
            match (buckets.last(), direction) {
                (Some(last), Direction::Down) if buckets.len() == BUCKETS_PAGE => bucket = last - 1,
                (Some(last), Direction::Up) if buckets.len() == BUCKETS_PAGE => bucket = last + 1,
                _ => break,
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    async fn buckets(
        &self,
        channel: ChannelId,
        direction: Direction,
        from: i32,
    ) -> Result<Vec<i32>> {
        let statement = match direction {
            Direction::Down => Statement::BucketsDown,
            Direction::Up => Statement::BucketsUp,
        };
        let values = vec![
            big(int(channel)),
            whole(from),
            whole(rows_max(BUCKETS_PAGE)),
        ];
        let rows = self.rows::<(i32,)>(statement, values).await?;
        Ok(rows.into_iter().map(|(bucket,)| bucket).collect())
    }

    /// Messages of one bucket. Orphans are no messages, so it may take a second question.
    async fn of_bucket(
        &self,
        channel: ChannelId,
        bucket: i32,
        direction: Direction,
        mut from: i64,
        limit: usize,
    ) -> Result<Vec<MessageRecord>> {
        let statement = match direction {
            Direction::Down => Statement::MessagesBelow,
            Direction::Up => Statement::MessagesAbove,
        };
        let mut found = Vec::new();
        while found.len() < limit {
            let asked = limit - found.len();
            let values = vec![
                big(int(channel)),
                whole(bucket),
                big(from),
                whole(rows_max(asked)),
            ];
            let rows = self.rows::<MessageRow>(statement, values).await?;
            let some = rows.len();
            for row in rows {
                from = row.message_id;
                found.extend(self.shown(channel, row)?);
            }
            if some < asked {
                break;
            }
        }
        Ok(found)
    }

    /// See [`crate::Store::pins`].
    pub(super) async fn pins(
        &self,
        channel: ChannelId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<(MessageRecord, u64)>> {
        let rows = self
            .rows::<(i64, Option<i64>)>(Statement::Pins, vec![big(int(channel))])
            .await?;
        let mut pins: Vec<(u64, MessageId)> = Vec::with_capacity(rows.len());
        for (message, at_ms) in rows {
            let at_ms = number(at_ms.unwrap_or_default());
            if before.is_none_or(|before| at_ms < before) {
                pins.push((at_ms, id(message)?));
            }
        }
        pins.sort_unstable_by(|one, other| other.cmp(one));
        let mut found = Vec::new();
        let mut rest = pins.as_slice();
        while found.len() < limit && !rest.is_empty() {
            let some = (limit - found.len()).min(rest.len());
            let (now, later) = rest.split_at(some);
            rest = later;
            let asked = now.iter().map(|(at_ms, message)| async move {
                let record = self.message(channel, *message).await?;
                Ok::<_, StoreError>(record.map(|record| (record, *at_ms)))
            });
            let asked: Vec<_> = asked.collect();
            let mut answers = stream::iter(asked).buffered(QUESTIONS_AT_ONCE);
            while let Some(pin) = answers.try_next().await? {
                found.extend(pin);
            }
        }
        Ok(found)
    }

    /// See [`crate::Store::pin_count`].
    pub(super) async fn pin_count(&self, channel: ChannelId) -> Result<usize> {
        let count = self
            .row::<(i64,)>(Statement::PinCount, vec![big(int(channel))])
            .await?;
        Ok(usize::try_from(count.map_or(0, |(count,)| count)).unwrap_or_default())
    }

    /// See [`crate::Store::read_state`].
    pub(super) async fn read_state(
        &self,
        user: UserId,
        channel: ChannelId,
    ) -> Result<Option<ReadState>> {
        let key = vec![big(int(user)), big(int(channel))];
        let row = self
            .row::<(Option<Vec<u8>>, Option<i64>)>(Statement::ReadState, key)
            .await?;
        let data = row.and_then(|(data, _)| data);
        data.map(|data| value::decode(&data)).transpose()
    }

    /// See [`crate::Store::read_states`].
    pub(super) async fn read_states(&self, user: UserId, limit: usize) -> Result<Vec<ReadState>> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let values = vec![big(int(user)), whole(rows_max(limit))];
        all_decoded(self.rows(Statement::ReadStates, values).await?)
    }

    /// See [`crate::Store::list_settings`].
    pub(super) async fn list_settings(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>> {
        let from = after.unwrap_or_default().to_owned();
        // One more, for the one it begins above.
        let asked = rows_max(limit.saturating_add(1));
        let values = vec![is(CqlValue::Text(from)), whole(asked)];
        let rows = self
            .rows::<(String, Option<Vec<u8>>)>(Statement::Settings, values)
            .await?;
        rows.into_iter()
            .filter(|(name, _)| after != Some(name.as_str()))
            .take(limit)
            .map(|(name, bytes)| {
                let bytes = bytes.unwrap_or_default();
                Ok((name, value::decode_bytes(&bytes)?.to_vec()))
            })
            .collect()
    }

    /// See [`crate::Store::setting`].
    pub(super) async fn setting(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let values = vec![is(CqlValue::Text(name.to_owned()))];
        let row = self
            .row::<(Option<Vec<u8>>,)>(Statement::Setting, values)
            .await?;
        row.and_then(|(value,)| value)
            .map(|bytes| Ok(value::decode_bytes(&bytes)?.to_vec()))
            .transpose()
    }

    /// See [`crate::Store::files_to_delete`].
    pub(super) async fn files_to_delete(&self, limit: usize) -> Result<Vec<LostFile>> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let asked = (0..SHARDS).map(|shard| {
            let values = vec![tiny(shard), whole(rows_max(limit))];
            self.rows::<(Option<Vec<u8>>,)>(Statement::LostFiles, values)
        });
        let rows = try_join_all(asked).await?.into_iter().flatten().collect();
        let mut files: Vec<LostFile> = all_decoded(rows)?;
        files.sort_unstable_by_key(|file| (file.channel_id, file.attachment_id));
        files.truncate(limit);
        Ok(files)
    }

    /// Rows of messages as the search for orphans sees them.
    pub(super) fn place_of(channel: i64, message: i64) -> Result<Place> {
        Ok((id(channel)?, id(message)?))
    }
}

fn all_decoded<T: DeserializeOwned>(rows: Vec<(Option<Vec<u8>>,)>) -> Result<Vec<T>> {
    rows.into_iter()
        .filter_map(|(data,)| data)
        .map(|data| value::decode(&data))
        .collect()
}
