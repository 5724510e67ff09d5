//! Reads of reactions: they share the partitions of their messages, so a page costs one question per
//! bucket and kind.

use std::collections::{BTreeMap, HashMap, HashSet};

use futures_util::stream::{self, StreamExt, TryStreamExt};
use scylla::deserialize::row::DeserializeRow;
use scylla::value::CqlValue;

use model::emoji::ReactionEmoji;
use model::{ChannelId, MessageId, UserId};

use super::{KEYS_IN_MAX, QUESTIONS_AT_ONCE, rows_max};
use crate::engine::rules::{self, Counted};
use crate::engine::scylla::changes::whole;
use crate::engine::scylla::link::Link;
use crate::engine::scylla::record::{self, id, int, key, number};
use crate::engine::scylla::statements::{Statement, big, blob, is};
use crate::engine::scylla::work::Counts;
use crate::engine::value;
use crate::store::{EmojiCount, Result};

/// A message and the identity of an emoji.
type Reacted = (MessageId, Vec<u8>);

fn identities(of: &[(MessageId, ReactionEmoji)]) -> Vec<Reacted> {
    of.iter()
        .map(|(message, emoji)| (*message, rules::emoji_identity(emoji)))
        .collect()
}

impl Link {
    /// See [`crate::Store::reaction_counts`].
    pub(in crate::engine::scylla) async fn reaction_counts(
        &self,
        channel: ChannelId,
        messages: &[MessageId],
    ) -> Result<Vec<Vec<EmojiCount>>> {
        let keys = messages
            .iter()
            .map(|message| (*message, CqlValue::BigInt(int(*message))));
        let rows = self
            .in_buckets::<(i64, Vec<u8>, Vec<u8>, Option<i64>)>(Statement::Counts, channel, keys)
            .await?;
        let mut counts = HashMap::<MessageId, Counts>::new();
        for (message, emoji, data, _) in rows {
            let counted: Counted = value::decode(&data)?;
            counts
                .entry(id(message)?)
                .or_default()
                .insert(emoji, counted);
        }
        let in_order = |message| {
            let mut counts: Vec<_> = counts
                .get(message)
                .cloned()
                .unwrap_or_default()
                .into_iter()
                .collect();
            counts.sort_by_cached_key(|(emoji, counted)| (counted.first_at_ms, emoji.clone()));
            let seen = |(_, counted): (Vec<u8>, Counted)| EmojiCount {
                emoji: counted.emoji,
                count: counted.count,
                first_at_ms: counted.first_at_ms,
            };
            counts.into_iter().map(seen).collect()
        };
        Ok(messages.iter().map(in_order).collect())
    }

    /// See [`crate::Store::reactors_of`].
    pub(in crate::engine::scylla) async fn reactors_of(
        &self,
        channel: ChannelId,
        of: &[(MessageId, ReactionEmoji)],
    ) -> Result<Vec<Vec<UserId>>> {
        let of = identities(of);
        let keys = of.iter().map(|(message, emoji)| {
            let key = vec![
                Some(CqlValue::BigInt(int(*message))),
                Some(CqlValue::Blob(emoji.clone())),
            ];
            (*message, CqlValue::Tuple(key))
        });
        let rows = self
            .in_buckets::<(i64, Vec<u8>, i64)>(Statement::ReactorsOf, channel, keys)
            .await?;
        let mut users = HashMap::<Reacted, Vec<UserId>>::new();
        for (message, emoji, user) in rows {
            users
                .entry((id(message)?, emoji))
                .or_default()
                .push(id(user)?);
        }
        Ok(of
            .iter()
            .map(|reacted| users.get(reacted).cloned().unwrap_or_default())
            .collect())
    }

    /// See [`crate::Store::reacted`].
    pub(in crate::engine::scylla) async fn reacted(
        &self,
        channel: ChannelId,
        user: UserId,
        of: &[(MessageId, ReactionEmoji)],
    ) -> Result<Vec<bool>> {
        let of = identities(of);
        let keys = of.iter().map(|(message, emoji)| {
            let key = vec![
                Some(CqlValue::BigInt(int(*message))),
                Some(CqlValue::Blob(emoji.clone())),
                Some(CqlValue::BigInt(int(user))),
            ];
            (*message, CqlValue::Tuple(key))
        });
        let rows = self
            .in_buckets::<(i64, Vec<u8>)>(Statement::ReactionsOfUser, channel, keys)
            .await?;
        let rows = rows
            .into_iter()
            .map(|(message, emoji)| Ok((id(message)?, emoji)));
        let reacted = rows.collect::<Result<HashSet<Reacted>>>()?;
        Ok(of.iter().map(|of| reacted.contains(of)).collect())
    }

    /// The rows of a statement that asks a bucket of a channel for a list of keys, for all buckets
    /// these messages are in.
    async fn in_buckets<R>(
        &self,
        statement: Statement,
        channel: ChannelId,
        keys: impl Iterator<Item = (MessageId, CqlValue)>,
    ) -> Result<Vec<R>>
    where
        R: for<'f, 'm> DeserializeRow<'f, 'm>,
    {
        let mut by_bucket = BTreeMap::<i32, Vec<CqlValue>>::new();
        for (message, key) in keys {
            by_bucket
                .entry(record::bucket(message))
                .or_default()
                .push(key);
        }
        let mut asked = Vec::new();
        for (bucket, keys) in by_bucket {
            for some in keys.chunks(KEYS_IN_MAX) {
                let some = is(CqlValue::List(some.to_vec()));
                asked.push(self.rows::<R>(statement, vec![big(int(channel)), whole(bucket), some]));
            }
        }
        let mut rows = Vec::new();
        let mut answers = stream::iter(asked).buffer_unordered(QUESTIONS_AT_ONCE);
        while let Some(some) = answers.try_next().await? {
            rows.extend(some);
        }
        Ok(rows)
    }

    /// See [`crate::Store::reactors`].
    pub(in crate::engine::scylla) async fn reactors(
        &self,
        channel: ChannelId,
        message: MessageId,
        emoji: &ReactionEmoji,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<UserId>> {
        let times = self.reaction_times(channel, message, emoji, after, limit);
        Ok(times.await?.into_iter().map(|(user, _)| user).collect())
    }

    /// See [`crate::Store::reaction_times`].
    pub(in crate::engine::scylla) async fn reaction_times(
        &self,
        channel: ChannelId,
        message: MessageId,
        emoji: &ReactionEmoji,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<(UserId, u64)>> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let mut values = key(channel, message).to_vec();
        values.extend([
            blob(rules::emoji_identity(emoji)),
            big(after.map_or(0, int)),
            whole(rows_max(limit)),
        ]);
        let rows = self
            .rows::<(i64, Option<i64>)>(Statement::Reactors, values)
            .await?;
        rows.into_iter()
            .map(|(user, at_ms)| Ok((id(user)?, number(at_ms.unwrap_or_default()))))
            .collect()
    }
}
