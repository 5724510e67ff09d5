//! Messages as rows, ids as columns.
//!
//! What is searched or changed alone has a column; deep values are blobs in the encoding the engines
//! share. A column stands only when it says something: an empty list or a false is no cell at all.

use scylla::DeserializeRow;
use scylla::value::{CqlValue, MaybeUnset};
use serde::Serialize;
use serde::de::DeserializeOwned;

use model::message::MessageRecord;
use model::{ChannelId, Id, MessageId, snowflake};

use super::statements::{Cell, big, blob, is};
use crate::engine::value;
use crate::error::StoreError;
use crate::store::Result;

/// An id as a column; ids that no snowflake reaches are all the greatest one.
pub(super) fn int<T>(id: Id<T>) -> i64 {
    i64::try_from(id.get()).unwrap_or(i64::MAX)
}

/// A column as an id.
///
/// # Errors
/// [`StoreError::Corrupt`].
pub(super) fn id<T>(column: i64) -> Result<Id<T>> {
    u64::try_from(column)
        .ok()
        .and_then(Id::new_checked)
        .ok_or_else(|| StoreError::Corrupt(format!("{column} is no id")))
}

/// The bucket of a message as a column.
pub(super) fn bucket(message: MessageId) -> i32 {
    i32::try_from(snowflake::bucket(message)).unwrap_or(i32::MAX)
}

/// A millisecond time as a column; numbers keep their bits.
pub(super) fn number(column: i64) -> u64 {
    u64::from_ne_bytes(column.to_ne_bytes())
}

/// A number of 64 bits as a column.
pub(super) fn column(number: u64) -> i64 {
    i64::from_ne_bytes(number.to_ne_bytes())
}

/// A row of `messages`.
#[derive(Debug, DeserializeRow)]
pub(super) struct MessageRow {
    pub(super) message_id: i64,
    guild_id: Option<i64>,
    author_id: Option<i64>,
    #[scylla(rename = "type")]
    kind: Option<i8>,
    content: Option<String>,
    flags: Option<i64>,
    edited_us: Option<i64>,
    tts: Option<bool>,
    mention_everyone: Option<bool>,
    pinned: Option<bool>,
    mentions: Option<Vec<i64>>,
    mention_roles: Option<Vec<i64>>,
    attachments: Option<Vec<u8>>,
    embeds: Option<Vec<u8>>,
    components: Option<Vec<u8>>,
    nonce: Option<Vec<u8>>,
    reference: Option<Vec<u8>>,
}

/// A row of [`super::statements::Statement::MessageWritten`].
#[derive(Debug)]
pub(super) struct Written(Vec<Option<i64>>);

/// Its columns.
pub(super) type WrittenRow = (
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
);

impl Written {
    /// What the columns say.
    pub(super) fn of(row: WrittenRow) -> Self {
        let (author, a, b, c, d, e, f, g, h, i, j) = row;
        Self(vec![author, a, b, c, d, e, f, g, h, i, j])
    }

    /// Whether the row has no author.
    pub(super) fn is_orphan(&self) -> bool {
        self.0.first().is_none_or(Option::is_none)
    }

    /// The greatest timestamp of its columns.
    pub(super) fn newest(&self) -> Option<i64> {
        self.0.iter().copied().flatten().max()
    }
}

impl MessageRow {
    /// Whether it has no author: what an edit leaves that met a delete. Never shown.
    pub(super) fn is_orphan(&self) -> bool {
        self.author_id.is_none() || self.guild_id.is_none()
    }

    /// The message, or `None` for an orphan.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`].
    pub(super) fn into_record(self, channel: ChannelId) -> Result<Option<MessageRecord>> {
        let (Some(author), Some(guild)) = (self.author_id, self.guild_id) else {
            return Ok(None);
        };
        let edited = self.edited_us.map(|us| {
            model::Timestamp::from_micros(us)
                .map_err(|_| StoreError::Corrupt(format!("{us} is no time")))
        });
        Ok(Some(MessageRecord {
            id: id(self.message_id)?,
            channel_id: channel,
            guild_id: id(guild)?,
            author_id: id(author)?,
            kind: u8::from_ne_bytes(self.kind.unwrap_or_default().to_ne_bytes()),
            content: self.content.unwrap_or_default(),
            edited_timestamp: edited.transpose()?,
            tts: self.tts.unwrap_or_default(),
            mention_everyone: self.mention_everyone.unwrap_or_default(),
            mentions: ids(self.mentions)?,
            mention_roles: ids(self.mention_roles)?,
            attachments: deep(self.attachments)?,
            embeds: deep(self.embeds)?,
            components: deep(self.components)?,
            nonce: deep(self.nonce)?,
            pinned: self.pinned.unwrap_or_default(),
            flags: number(self.flags.unwrap_or_default()),
            message_reference: deep(self.reference)?,
        }))
    }
}

fn ids<T>(column: Option<Vec<i64>>) -> Result<Vec<Id<T>>> {
    column.unwrap_or_default().into_iter().map(id).collect()
}

/// A deep value; a missing one is the empty one.
///
/// # Errors
/// [`StoreError::Corrupt`].
pub(super) fn deep<T: DeserializeOwned + Default>(column: Option<Vec<u8>>) -> Result<T> {
    column.map_or_else(|| Ok(T::default()), |bytes| value::decode(&bytes))
}

/// How to bind a column that now says `now` and said `before`, `None` for nothing.
fn changed<T: PartialEq>(
    now: Option<T>,
    before: Option<T>,
    bind: impl FnOnce(T) -> Result<Cell>,
) -> Result<Cell> {
    if now == before {
        return Ok(MaybeUnset::Unset);
    }
    now.map_or(Ok(MaybeUnset::Set(None)), bind)
}

fn some<T>(said: bool, value: T) -> Option<T> {
    said.then_some(value)
}

fn bind_flag(flag: bool) -> Result<Cell> {
    Ok(is(CqlValue::Boolean(flag)))
}

fn bind_number(number: i64) -> Result<Cell> {
    Ok(big(number))
}

fn bind_ids<T>(ids: &[Id<T>]) -> Result<Cell> {
    let ids = ids.iter().map(|id| CqlValue::BigInt(int(*id))).collect();
    Ok(is(CqlValue::List(ids)))
}

fn bind_deep<T: Serialize + ?Sized>(deep: &T) -> Result<Cell> {
    Ok(blob(value::encode(deep)?))
}

/// The ten columns a patch may change, in the order of the statement, over what `before` had;
/// unchanged ones are left unset.
fn patchable(now: &MessageRecord, before: Option<&MessageRecord>) -> Result<Vec<Cell>> {
    let micros = |record: &MessageRecord| record.edited_timestamp.map(|at| at.as_micros());
    Ok(vec![
        changed(Some(&now.content), before.map(|old| &old.content), |text| {
            Ok(is(CqlValue::Text(text.clone())))
        })?,
        changed(
            Some(column(now.flags)),
            before.map(|old| column(old.flags)),
            bind_number,
        )?,
        changed(micros(now), before.and_then(micros), bind_number)?,
        changed(
            some(now.mention_everyone, true),
            before.and_then(|old| some(old.mention_everyone, true)),
            bind_flag,
        )?,
        changed(
            some(now.pinned, true),
            before.and_then(|old| some(old.pinned, true)),
            bind_flag,
        )?,
        changed(
            filled(&now.mentions),
            before.and_then(|old| filled(&old.mentions)),
            bind_ids,
        )?,
        changed(
            filled(&now.mention_roles),
            before.and_then(|old| filled(&old.mention_roles)),
            bind_ids,
        )?,
        changed(
            filled(&now.attachments),
            before.and_then(|old| filled(&old.attachments)),
            bind_deep,
        )?,
        changed(
            filled(&now.embeds),
            before.and_then(|old| filled(&old.embeds)),
            bind_deep,
        )?,
        changed(
            filled(&now.components),
            before.and_then(|old| filled(&old.components)),
            bind_deep,
        )?,
    ])
}

fn filled<T>(list: &[T]) -> Option<&[T]> {
    (!list.is_empty()).then_some(list)
}

/// The key of a message's row.
pub(super) fn key(channel: ChannelId, message: MessageId) -> [Cell; 3] {
    [
        big(int(channel)),
        is(CqlValue::Int(bucket(message))),
        big(int(message)),
    ]
}

/// The values of an update of `before` to `now`, or `None` when no column of a patch changes.
///
/// # Errors
/// [`StoreError::TooLarge`] when a value is too long.
pub(super) fn patch_values(
    before: &MessageRecord,
    now: &MessageRecord,
    timestamp: i64,
) -> Result<Option<Vec<Cell>>> {
    let columns = patchable(now, Some(before))?;
    if columns.iter().all(|cell| matches!(cell, MaybeUnset::Unset)) {
        return Ok(None);
    }
    let mut values = vec![big(timestamp)];
    values.extend(columns);
    values.extend(key(now.channel_id, now.id));
    Ok(Some(values))
}

/// The values of an insert of `now` over `before`: columns that do not change are left as they are.
///
/// # Errors
/// [`StoreError::TooLarge`] when a value is too long.
pub(super) fn put_values(
    before: Option<&MessageRecord>,
    now: &MessageRecord,
    timestamp: i64,
) -> Result<Vec<Cell>> {
    let mut columns = patchable(now, before)?.into_iter();
    let mut next = || columns.next().unwrap_or(MaybeUnset::Unset);
    let content = next();
    let flags = next();
    let edited = next();
    let everyone = next();
    let pinned = next();
    let (mentions, roles) = (next(), next());
    let (attachments, embeds, components) = (next(), next(), next());
    let kind = i8::from_ne_bytes(now.kind.to_ne_bytes());
    let mut values = key(now.channel_id, now.id).to_vec();
    values.extend([
        big(int(now.guild_id)),
        big(int(now.author_id)),
        is(CqlValue::TinyInt(kind)),
        content,
        flags,
        edited,
        changed(
            some(now.tts, true),
            before.and_then(|old| some(old.tts, true)),
            bind_flag,
        )?,
        everyone,
        pinned,
        mentions,
        roles,
        attachments,
        embeds,
        components,
        changed(
            now.nonce.as_ref(),
            before.and_then(|old| old.nonce.as_ref()),
            bind_deep,
        )?,
        changed(
            now.message_reference.as_ref(),
            before.and_then(|old| old.message_reference.as_ref()),
            bind_deep,
        )?,
        big(timestamp),
    ]);
    Ok(values)
}

/// Whether two states of a message differ at most in columns a patch may change.
pub(super) fn is_patch(before: &MessageRecord, now: &MessageRecord) -> bool {
    before.id == now.id
        && before.channel_id == now.channel_id
        && before.guild_id == now.guild_id
        && before.author_id == now.author_id
        && before.kind == now.kind
        && before.tts == now.tts
        && before.nonce == now.nonce
        && before.message_reference == now.message_reference
}
