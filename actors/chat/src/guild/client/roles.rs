//! Roles.

use model::role::Role;
use model::{GuildId, RoleId};

use crate::chat::Chat;
use crate::error::{ChatError, Result};
use crate::guild::command::{Actor, Answer, Command, RolePatch};
use crate::guild::execute;

/// All roles, lowest first.
///
/// # Errors
/// [`crate::error::Missing::Guild`].
pub async fn roles(chat: &Chat, actor: Actor, guild: GuildId) -> Result<Vec<Role>> {
    expect!(execute(chat, guild, actor, Command::Roles).await?, Roles)
}

/// One role.
///
/// # Errors
/// [`crate::error::Missing::Role`].
pub async fn role(chat: &Chat, actor: Actor, guild: GuildId, role: RoleId) -> Result<Role> {
    Ok(*expect!(
        execute(chat, guild, actor, Command::Role(role)).await?,
        Role
    )?)
}

/// Makes a role.
///
/// # Errors
/// As the rules say.
pub async fn create_role(
    chat: &Chat,
    actor: Actor,
    guild: GuildId,
    patch: RolePatch,
) -> Result<Role> {
    Ok(*expect!(
        execute(chat, guild, actor, Command::CreateRole(Box::new(patch))).await?,
        Role
    )?)
}

/// Changes a role.
///
/// # Errors
/// As the rules say.
pub async fn modify_role(
    chat: &Chat,
    actor: Actor,
    guild: GuildId,
    role: RoleId,
    patch: RolePatch,
) -> Result<Role> {
    Ok(*expect!(
        execute(
            chat,
            guild,
            actor,
            Command::ModifyRole(role, Box::new(patch))
        )
        .await?,
        Role
    )?)
}

/// Deletes a role; members lose it.
///
/// # Errors
/// As the rules say.
pub async fn delete_role(chat: &Chat, actor: Actor, guild: GuildId, role: RoleId) -> Result<()> {
    execute(chat, guild, actor, Command::DeleteRole(role))
        .await
        .map(drop)
}

/// Reorders roles; answers all of them.
///
/// # Errors
/// As the rules say.
pub async fn move_roles(
    chat: &Chat,
    actor: Actor,
    guild: GuildId,
    moves: Vec<(RoleId, u32)>,
) -> Result<Vec<Role>> {
    expect!(
        execute(chat, guild, actor, Command::MoveRoles(moves)).await?,
        Roles
    )
}
