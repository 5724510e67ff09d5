//! Members.

use std::sync::Arc;

use model::member::Member;
use model::user::User;
use model::{GuildId, RoleId, UserId, limits};

use crate::chat::Chat;
use crate::error::{ChatError, Missing, Refusal, Result};
use crate::guild::command::{Actor, Answer, Command, MemberPatch, MembersFound, MembersRequest};
use crate::guild::members::{Gone, Readable, Row};
use crate::guild::{ATTEMPTS_MAX, execute};
use crate::session::members::QUERY_MEMBERS_MAX;

/// One member.
///
/// # Errors
/// [`Missing::Member`] (or [`Missing::User`] when there is no such account).
pub async fn member(chat: &Chat, actor: Actor, guild: GuildId, user: UserId) -> Result<Member> {
    match execute(chat, guild, actor, Command::Member(user)).await {
        Err(ChatError::NotFound(Missing::Member)) if chat.user_of(user).await?.is_none() => {
            Err(ChatError::NotFound(Missing::User))
        }
        other => Ok(*expect!(other?, Member)?),
    }
}

/// Members in id order.
///
/// # Errors
/// [`Missing::Guild`]; [`ChatError::Busy`].
pub async fn members(
    chat: &Chat,
    actor: Actor,
    guild: GuildId,
    after: Option<UserId>,
    limit: usize,
) -> Result<Vec<Member>> {
    let limit = limit.min(limits::MEMBERS_PAGE_MAX);
    let (readable, found) = read(chat, actor, guild, &Wanted::Next { after, limit }).await?;
    Ok(found.iter().map(|row| readable.member(row)).collect())
}

/// Members whose user name, display name or nickname begins with `query`, whatever the case.
///
/// # Errors
/// [`Missing::Guild`]; [`ChatError::Busy`].
pub async fn search_members(
    chat: &Chat,
    actor: Actor,
    guild: GuildId,
    query: String,
    limit: usize,
) -> Result<Vec<Member>> {
    let limit = limit.min(limits::MEMBERS_PAGE_MAX);
    let (readable, found) = read(chat, actor, guild, &Wanted::Named { query, limit }).await?;
    Ok(found.iter().map(|row| readable.member(row)).collect())
}

/// Which members are to be read.
enum Wanted {
    /// The next in id order.
    Next { after: Option<UserId>, limit: usize },
    /// Those whose name begins with this.
    Named { query: String, limit: usize },
    /// These, as far as they are members.
    Ids(Vec<UserId>),
}

/// Reads members: asks the guild whether the actor may, then walks over the member table in the
/// task of the caller. Begins again with the next table when this one ends with its keeper.
async fn read(
    chat: &Chat,
    actor: Actor,
    guild: GuildId,
    wanted: &Wanted,
) -> Result<(Readable, Vec<Arc<Row>>)> {
    for _ in 0..ATTEMPTS_MAX {
        let readable = expect!(
            execute(chat, guild, actor, Command::ReadMembers).await?,
            Readable
        )?;
        let Ok(table) = readable.table() else {
            continue;
        };
        let found = match wanted {
            Wanted::Next { after, limit } => {
                let walk = chat.guilds().walks().begin().await?;
                walk.find(table, *after, *limit, "").await
            }
            Wanted::Named { query, limit } => {
                let walk = chat.guilds().walks().begin().await?;
                walk.find(table, None, *limit, &query.to_lowercase()).await
            }
            Wanted::Ids(ids) => {
                let found: std::result::Result<Vec<_>, Gone> =
                    ids.iter().map(|id| table.get(*id)).collect();
                found.map(|found| found.into_iter().flatten().collect())
            }
        };
        if let Ok(found) = found {
            return Ok((readable, found));
        }
    }
    Err(ChatError::Unavailable)
}

/// Adds a user to a guild; the user's sessions get the guild.
///
/// # Errors
/// [`Refusal::Banned`], [`ChatError::MissingPermissions`], [`Missing::User`].
pub async fn add_member(chat: &Chat, actor: Actor, guild: GuildId, user: UserId) -> Result<Member> {
    let found = chat
        .user_of(user)
        .await?
        .ok_or(ChatError::NotFound(Missing::User))?;
    if chat.data().ban(guild, user).await?.is_some() {
        return Err(ChatError::Refused(Refusal::Banned));
    }
    let command = Command::AddMember(Box::new(User::clone(&found)));
    let member = *expect!(execute(chat, guild, actor, command).await?, Member)?;
    crate::session::joined(chat, user, guild).await;
    Ok(member)
}

/// Changes a member.
///
/// # Errors
/// As the rules say.
pub async fn modify_member(
    chat: &Chat,
    actor: Actor,
    guild: GuildId,
    user: UserId,
    patch: MemberPatch,
) -> Result<Member> {
    Ok(*expect!(
        execute(
            chat,
            guild,
            actor,
            Command::ModifyMember(user, Box::new(patch))
        )
        .await?,
        Member
    )?)
}

/// Gives a member a role.
///
/// # Errors
/// As the rules say.
pub async fn add_member_role(
    chat: &Chat,
    actor: Actor,
    guild: GuildId,
    user: UserId,
    role: RoleId,
) -> Result<()> {
    execute(chat, guild, actor, Command::AddMemberRole(user, role))
        .await
        .map(drop)
}

/// Takes a role from a member.
///
/// # Errors
/// As the rules say.
pub async fn remove_member_role(
    chat: &Chat,
    actor: Actor,
    guild: GuildId,
    user: UserId,
    role: RoleId,
) -> Result<()> {
    execute(chat, guild, actor, Command::RemoveMemberRole(user, role))
        .await
        .map(drop)
}

/// Removes a member.
///
/// # Errors
/// As the rules say.
pub async fn kick(chat: &Chat, actor: Actor, guild: GuildId, user: UserId) -> Result<()> {
    execute(chat, guild, actor, Command::Kick(user))
        .await
        .map(drop)
}

/// Members for op 8: those asked for by id, at most [`limits::CHUNK_USER_IDS_MAX`], or those whose
/// name begins with the query, at most [`QUERY_MEMBERS_MAX`]; all for an empty query without a limit.
///
/// # Errors
/// [`Missing::Guild`]; [`ChatError::Busy`].
pub async fn request_members(
    chat: &Chat,
    actor: Actor,
    guild: GuildId,
    request: MembersRequest,
) -> Result<MembersFound> {
    let query = request.query.unwrap_or_default();
    let limit = match request.limit {
        0 if query.is_empty() => usize::MAX,
        0 => QUERY_MEMBERS_MAX,
        limit => limit.min(QUERY_MEMBERS_MAX),
    };
    let mut ids = request.user_ids;
    ids.truncate(limits::CHUNK_USER_IDS_MAX);
    let mut not_found = ids.clone();
    let wanted = match ids.is_empty() {
        true => Wanted::Named { query, limit },
        false => Wanted::Ids(ids),
    };
    let (readable, members) = read(chat, actor, guild, &wanted).await?;
    not_found.retain(|id| members.iter().all(|row| row.record.user_id != *id));
    Ok(MembersFound {
        members,
        not_found,
        roles: readable.roles,
    })
}
