//! What every engine must agree on and no record says by itself.

use model::emoji::ReactionEmoji;
use model::user::Account;

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
