//! Channels and their overwrites.

use model::channel::{Channel, Overwrite};
use model::{ChannelId, GuildId, Id, id::marker};

use crate::chat::Chat;
use crate::error::{ChatError, Result};
use crate::guild::command::{Actor, Answer, ChannelMove, ChannelPatch, Command};
use crate::guild::execute;
use crate::history;

/// The channels of a guild that the actor may see.
///
/// # Errors
/// [`crate::error::Missing::Guild`].
pub async fn channels(chat: &Chat, actor: Actor, guild: GuildId) -> Result<Vec<Channel>> {
    expect!(
        execute(chat, guild, actor, Command::Channels).await?,
        Channels
    )
}

/// One channel.
///
/// # Errors
/// [`crate::error::Missing::Channel`], [`ChatError::MissingAccess`].
pub async fn channel(chat: &Chat, actor: Actor, channel: ChannelId) -> Result<Channel> {
    let guild = chat.guild_of(channel).await?;
    Ok(*expect!(
        execute(chat, guild, actor, Command::Channel(channel)).await?,
        Channel
    )?)
}

/// Makes a channel.
///
/// # Errors
/// As the rules say.
pub async fn create_channel(
    chat: &Chat,
    actor: Actor,
    guild: GuildId,
    patch: ChannelPatch,
) -> Result<Channel> {
    Ok(*expect!(
        execute(chat, guild, actor, Command::CreateChannel(Box::new(patch))).await?,
        Channel
    )?)
}

/// Changes a channel.
///
/// # Errors
/// As the rules say.
pub async fn modify_channel(
    chat: &Chat,
    actor: Actor,
    channel: ChannelId,
    patch: ChannelPatch,
) -> Result<Channel> {
    let guild = chat.guild_of(channel).await?;
    let command = Command::ModifyChannel(channel, Box::new(patch));
    Ok(*expect!(
        execute(chat, guild, actor, command).await?,
        Channel
    )?)
}

/// Deletes a channel; its messages are removed in the background.
///
/// # Errors
/// As the rules say.
pub async fn delete_channel(chat: &Chat, actor: Actor, channel: ChannelId) -> Result<Channel> {
    let guild = chat.guild_of(channel).await?;
    let gone = *expect!(
        execute(chat, guild, actor, Command::DeleteChannel(channel)).await?,
        Channel
    )?;
    chat.forget_channel(channel);
    history::purge(chat, channel);
    Ok(gone)
}

/// Moves channels.
///
/// # Errors
/// As the rules say.
pub async fn move_channels(
    chat: &Chat,
    actor: Actor,
    guild: GuildId,
    moves: Vec<ChannelMove>,
) -> Result<()> {
    execute(chat, guild, actor, Command::MoveChannels(moves))
        .await
        .map(drop)
}

/// Sets an overwrite of a channel.
///
/// # Errors
/// As the rules say.
pub async fn put_overwrite(
    chat: &Chat,
    actor: Actor,
    channel: ChannelId,
    overwrite: Overwrite,
) -> Result<()> {
    let guild = chat.guild_of(channel).await?;
    execute(
        chat,
        guild,
        actor,
        Command::PutOverwrite(channel, overwrite),
    )
    .await
    .map(drop)
}

/// Removes an overwrite of a channel.
///
/// # Errors
/// As the rules say.
pub async fn delete_overwrite(
    chat: &Chat,
    actor: Actor,
    channel: ChannelId,
    id: Id<marker::GenericMarker>,
) -> Result<()> {
    let guild = chat.guild_of(channel).await?;
    execute(chat, guild, actor, Command::DeleteOverwrite(channel, id))
        .await
        .map(drop)
}
