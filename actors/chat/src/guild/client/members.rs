//! Members.

use model::member::Member;
use model::user::User;
use model::{GuildId, RoleId, UserId};

use crate::chat::Chat;
use crate::error::{ChatError, Missing, Refusal, Result};
use crate::guild::command::{Actor, Answer, Command, MemberPatch, MembersFound, MembersRequest};
use crate::guild::execute;

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
/// [`Missing::Guild`].
pub async fn members(
    chat: &Chat,
    actor: Actor,
    guild: GuildId,
    after: Option<UserId>,
    limit: usize,
) -> Result<Vec<Member>> {
    expect!(
        execute(chat, guild, actor, Command::Members { after, limit }).await?,
        Members
    )
}

/// Members whose name begins with `query`.
///
/// # Errors
/// [`Missing::Guild`].
pub async fn search_members(
    chat: &Chat,
    actor: Actor,
    guild: GuildId,
    query: String,
    limit: usize,
) -> Result<Vec<Member>> {
    expect!(
        execute(chat, guild, actor, Command::SearchMembers { query, limit }).await?,
        Members
    )
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

/// Members for op 8.
///
/// # Errors
/// [`Missing::Guild`].
pub async fn request_members(
    chat: &Chat,
    actor: Actor,
    guild: GuildId,
    request: MembersRequest,
) -> Result<MembersFound> {
    Ok(*expect!(
        execute(
            chat,
            guild,
            actor,
            Command::RequestMembers(Box::new(request))
        )
        .await?,
        Chunk
    )?)
}
