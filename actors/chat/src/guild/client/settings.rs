//! The guild itself: made, shown, changed, left, deleted.

use model::channel::Channel;
use model::guild::{Guild, GuildView, PartialGuild};
use model::member::MemberRecord;
use model::permissions::{self, Permissions};
use model::role::Role;
use model::user::User;
use model::{ChannelId, GuildId, UserId, limits, time};
use storage::store::Write;

use super::guild_access;
use crate::chat::Chat;
use crate::clock;
use crate::error::{ChatError, Refusal, Result};
use crate::guild::command::{Actor, Answer, Command, GuildPatch};
use crate::guild::execute;

/// Makes a guild with `@everyone`, a category and `#general`; its owner is its first member.
///
/// # Errors
/// A form error when the name is not 2–100 characters; [`Refusal::GuildsMax`].
pub async fn create_guild(chat: &Chat, owner: &User, name: &str) -> Result<GuildView> {
    let mut errors = model::form::FormErrors::new();
    errors.check_length("name", name.trim(), 2, 100);
    errors.into_result()?;
    if chat.data().guilds_of(owner.id).await?.len() >= limits::GUILDS_PER_USER_MAX {
        return Err(ChatError::Refused(Refusal::GuildsMax));
    }
    let now = clock::now_ms();
    let id: GuildId = chat.ids().next(now);
    let general: ChannelId = chat.ids().next(now);
    let mut guild = Guild::new(id, name.trim(), owner.id);
    guild.system_channel_id = Some(general);
    let everyone = Role::everyone(id, permissions::everyone_default());
    let channel = Channel::new(general, id, model::channel::kind::GUILD_TEXT, "general");
    let member = MemberRecord::new(id, owner.id, time::from_unix_ms(now));
    chat.data()
        .commit(vec![
            Write::PutGuild(Box::new(guild)),
            Write::PutRole(id, Box::new(everyone)),
            Write::PutChannel(Box::new(channel)),
            Write::PutMember(Box::new(member)),
        ])
        .await?;
    crate::session::joined(chat, owner.id, id).await;
    guild_view(chat, Actor::User(owner.id), id, false).await
}

/// The ids of all guilds, in order, from above `after`.
///
/// # Errors
/// When the store cannot be read.
pub async fn list(chat: &Chat, after: Option<GuildId>, limit: usize) -> Result<Vec<GuildId>> {
    Ok(chat.data().list_guilds(after, limit).await?)
}

/// A guild.
///
/// # Errors
/// [`crate::error::Missing::Guild`].
pub async fn guild_view(
    chat: &Chat,
    actor: Actor,
    guild: GuildId,
    with_counts: bool,
) -> Result<GuildView> {
    Ok(*expect!(
        execute(chat, guild, actor, Command::Guild { with_counts }).await?,
        Guild
    )?)
}

/// Changes a guild's settings.
///
/// # Errors
/// As the rules say.
pub async fn modify_guild(
    chat: &Chat,
    actor: Actor,
    guild: GuildId,
    patch: GuildPatch,
) -> Result<GuildView> {
    Ok(*expect!(
        execute(chat, guild, actor, Command::ModifyGuild(Box::new(patch))).await?,
        Guild
    )?)
}

/// Deletes a guild and everything in it.
///
/// # Errors
/// As the rules say.
pub async fn delete_guild(chat: &Chat, actor: Actor, guild: GuildId) -> Result<()> {
    execute(chat, guild, actor, Command::DeleteGuild)
        .await
        .map(drop)
}

/// The actor leaves a guild.
///
/// # Errors
/// [`Refusal::OwnerCannotLeave`], [`crate::error::Missing::Guild`].
pub async fn leave(chat: &Chat, actor: Actor, guild: GuildId) -> Result<()> {
    execute(chat, guild, actor, Command::Leave).await.map(drop)
}

/// How many guilds a user is in.
///
/// # Errors
/// When the store cannot be read.
pub async fn count_of(chat: &Chat, user: UserId) -> Result<usize> {
    Ok(chat.data().guilds_of(user).await?.len())
}

/// The guilds of a user, in id order, between `before` and `after`, at most `limit`.
///
/// # Errors
/// When the store or a guild does not answer.
pub async fn guilds_of(
    chat: &Chat,
    user: UserId,
    before: Option<GuildId>,
    after: Option<GuildId>,
    limit: usize,
) -> Result<Vec<PartialGuild>> {
    let ids = chat.data().guilds_of(user).await?;
    let wanted: Vec<GuildId> = ids
        .into_iter()
        .filter(|id| {
            before.is_none_or(|before| *id < before) && after.is_none_or(|after| *id > after)
        })
        .collect();
    let skip = if before.is_some() && after.is_none() {
        wanted.len().saturating_sub(limit)
    } else {
        0
    };
    let mut guilds = Vec::new();
    for id in wanted.into_iter().skip(skip).take(limit) {
        let view = guild_view(chat, Actor::User(user), id, false).await?;
        let permissions = guild_access(chat, Actor::User(user), id, Permissions::empty()).await?;
        guilds.push(PartialGuild {
            id,
            owner: view.guild.owner_id == user,
            name: view.guild.name,
            icon: view.guild.icon,
            banner: view.guild.banner,
            permissions,
            features: view.guild.features,
        });
    }
    Ok(guilds)
}
