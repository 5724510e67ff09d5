//! Bans, and the messages that go with them.

use model::ban::{Ban, BanRecord};
use model::permissions::Permissions;
use model::user::User;
use model::{ChannelId, GuildId, MessageId, UserId, snowflake};
use storage::store::Page;

use super::{channels, guild_access};
use crate::chat::Chat;
use crate::clock;
use crate::error::{ChatError, Missing, Result};
use crate::guild::command::{Actor, Command};
use crate::guild::execute;

/// Bans a user, and deletes what they wrote in the last `delete_message_seconds`.
///
/// # Errors
/// [`Missing::User`], or as the rules say.
pub async fn ban(
    chat: &Chat,
    actor: Actor,
    guild: GuildId,
    user: UserId,
    reason: Option<String>,
    delete_message_seconds: u64,
) -> Result<()> {
    guild_access(chat, actor, guild, Permissions::BAN_MEMBERS).await?;
    let found = chat
        .user_of(user)
        .await?
        .ok_or(ChatError::NotFound(Missing::User))?;
    let mut messages = Vec::new();
    if delete_message_seconds > 0 {
        let since = clock::now_ms().saturating_sub(delete_message_seconds * 1_000);
        for channel in channels(chat, Actor::System, guild).await? {
            messages.extend(written_since(chat, channel.id, user, since).await?);
        }
    }
    let record = BanRecord {
        guild_id: guild,
        user_id: user,
        reason,
    };
    let command = Command::Ban {
        user: Box::new(User::clone(&found)),
        record,
        messages,
    };
    execute(chat, guild, actor, command).await.map(drop)
}

/// Most messages a ban looks through per channel.
const BAN_SCAN_MAX: usize = 1_000;

async fn written_since(
    chat: &Chat,
    channel: ChannelId,
    user: UserId,
    since_ms: u64,
) -> Result<Vec<(ChannelId, MessageId)>> {
    let mut found = Vec::new();
    let mut page = Page::Latest;
    for _ in 0..BAN_SCAN_MAX / 100 {
        let records = chat.data().messages(channel, page, 100).await?;
        let Some(oldest) = records.last().map(|record| record.id) else {
            break;
        };
        found.extend(
            records
                .iter()
                .filter(|record| {
                    record.author_id == user && snowflake::timestamp_ms(record.id) >= since_ms
                })
                .map(|record| (channel, record.id)),
        );
        if snowflake::timestamp_ms(oldest) < since_ms {
            break;
        }
        page = Page::Before(oldest);
    }
    Ok(found)
}

/// Lifts a ban.
///
/// # Errors
/// [`Missing::Ban`], or as the rules say.
pub async fn unban(chat: &Chat, actor: Actor, guild: GuildId, user: UserId) -> Result<()> {
    guild_access(chat, actor, guild, Permissions::BAN_MEMBERS).await?;
    if chat.data().ban(guild, user).await?.is_none() {
        return Err(ChatError::NotFound(Missing::Ban));
    }
    let found = chat
        .user_of(user)
        .await?
        .map_or_else(|| User::deleted(user), |user| User::clone(&user));
    execute(chat, guild, actor, Command::Unban(Box::new(found)))
        .await
        .map(drop)
}

/// One ban.
///
/// # Errors
/// [`Missing::Ban`], or as the rules say.
pub async fn get_ban(chat: &Chat, actor: Actor, guild: GuildId, user: UserId) -> Result<Ban> {
    guild_access(chat, actor, guild, Permissions::BAN_MEMBERS).await?;
    let record = chat
        .data()
        .ban(guild, user)
        .await?
        .ok_or(ChatError::NotFound(Missing::Ban))?;
    hydrate_ban(chat, record).await
}

/// Bans in user id order.
///
/// # Errors
/// As the rules say.
pub async fn bans(
    chat: &Chat,
    actor: Actor,
    guild: GuildId,
    before: Option<UserId>,
    after: Option<UserId>,
    limit: usize,
) -> Result<Vec<Ban>> {
    guild_access(chat, actor, guild, Permissions::BAN_MEMBERS).await?;
    let mut bans = Vec::new();
    for record in chat.data().bans(guild, before, after, limit).await? {
        bans.push(hydrate_ban(chat, record).await?);
    }
    Ok(bans)
}

async fn hydrate_ban(chat: &Chat, record: BanRecord) -> Result<Ban> {
    let user = chat.user_of(record.user_id).await?;
    let user = user.map_or_else(|| User::deleted(record.user_id), |user| User::clone(&user));
    Ok(Ban {
        user,
        reason: record.reason,
    })
}
