//! What every engine must agree on and no record says by itself.

use std::collections::HashMap;

use model::emoji::ReactionEmoji;
use model::user::Account;
use model::{ChannelId, GuildId, MessageId, UserId};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::fence::Epoch;
use crate::store::{Result, Write};

/// Longest text in a key, in bytes; keeps an entry of the embedded engine's journal below one 4 KiB
/// page.
pub(super) const TEXT_MAX: usize = 512;

/// A text short enough to be part of a key.
///
/// # Errors
/// [`StoreError::NotApplied`].
pub(super) fn checked_text(text: &[u8]) -> Result<&[u8]> {
    if text.len() <= TEXT_MAX {
        Ok(text)
    } else {
        Err(StoreError::NotApplied(format!(
            "a name of {} bytes is longer than {TEXT_MAX}",
            text.len()
        )))
    }
}

/// How many users reacted with an emoji: derived from the rows of the reactions as they come and
/// go, so that a page of history need not count them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counted {
    /// The emoji as it was first used.
    pub(super) emoji: ReactionEmoji,
    /// How many users, never 0.
    pub(super) count: u64,
    /// When it was first used, Unix milliseconds.
    pub(super) first_at_ms: u64,
}

/// The name an account takes among people; `None` for bots, which may share names. Names that
/// differ only in case are the same.
pub(super) fn unique_name(account: &Account) -> Option<String> {
    (!account.user.bot).then(|| account.user.username.to_lowercase())
}

/// What makes two reactions the same: the id of a custom emoji whatever its name is now, or the
/// unicode emoji.
pub(super) fn emoji_identity(emoji: &ReactionEmoji) -> Vec<u8> {
    match emoji.id {
        Some(id) => [&[1], id.get().to_be_bytes().as_slice()].concat(),
        None => [&[0], emoji.name.as_deref().unwrap_or_default().as_bytes()].concat(),
    }
}

/// How many messages of a page of `limit` may lie above and at or below the one it is around.
pub(super) fn around(limit: usize) -> (usize, usize) {
    (limit / 2, limit - limit / 2)
}

/// Whether every write of a batch will find what it needs, the earlier ones of the batch counted in.
/// `has_message`, `account` and `epoch` say what is stored before it.
///
/// # Errors
/// [`StoreError::NotFound`], [`StoreError::Conflict`], [`StoreError::Fenced`], as [`Write`] says; nothing of the batch is to
/// be applied then.
pub(super) fn check_batch<'s>(
    batch: &[Write],
    has_message: impl Fn(ChannelId, MessageId) -> bool,
    account: impl Fn(UserId) -> Option<&'s Account>,
    epoch: impl Fn(GuildId) -> Epoch,
) -> Result<()> {
    let mut touched = HashMap::<(ChannelId, MessageId), bool>::new();
    let mut claimed = HashMap::<GuildId, Epoch>::new();
    for write in batch {
        let needs = match write {
            Write::Fence(guild, under) => {
                let before = claimed.get(guild).copied();
                if before.unwrap_or_else(|| epoch(*guild)) > *under {
                    return Err(StoreError::Fenced);
                }
                claimed.insert(*guild, *under);
                continue;
            }
            Write::PutMessage(record) => {
                touched.insert((record.channel_id, record.id), true);
                continue;
            }
            Write::DeleteMessage(channel, message) => {
                touched.insert((*channel, *message), false);
                continue;
            }
            Write::PatchMessage(channel, message, _) | Write::PutPin(channel, message, _) => {
                (*channel, *message)
            }
            Write::PutReaction(reaction) => (reaction.channel_id, reaction.message_id),
            Write::PutAccount(new) => {
                let old = account(new.user.id).ok_or(StoreError::NotFound)?;
                if unique_name(old) != unique_name(new) {
                    return Err(StoreError::Conflict("username"));
                }
                continue;
            }
            _ => continue,
        };
        let there = touched.get(&needs).copied();
        if !there.unwrap_or_else(|| has_message(needs.0, needs.1)) {
            return Err(StoreError::NotFound);
        }
    }
    Ok(())
}
