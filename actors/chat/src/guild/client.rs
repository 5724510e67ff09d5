//! Client functions of the guild process: each fetches what the pure rules cannot know, asks the
//! guild, and gives the answer its type. One file a noun.

use model::permissions::Permissions;
use model::{ChannelId, GuildId};

use super::command::{Actor, Answer, Command};
use crate::chat::Chat;
use crate::error::{ChatError, Result};

/// Takes the expected answer out of what a guild said.
macro_rules! expect {
    ($answer:expr, $variant:ident) => {
        match $answer {
            Answer::$variant(value) => Ok(value),
            other => Err(ChatError::Internal(format!("unexpected answer {other:?}"))),
        }
    };
}

mod ask;
pub(crate) use ask::execute;

mod sessions;
pub use sessions::*;

mod settings;
pub use settings::*;

mod channels;
pub use channels::*;

mod messages;
pub use messages::*;

mod roles;
pub use roles::*;

mod members;
pub use members::*;

mod bans;
pub use bans::*;

/// What the actor may do in a channel, if that includes `needs`.
///
/// # Errors
/// [`ChatError::MissingAccess`] without VIEW_CHANNEL, [`ChatError::MissingPermissions`] otherwise.
pub async fn access(
    chat: &Chat,
    actor: Actor,
    channel: ChannelId,
    needs: Permissions,
) -> Result<Permissions> {
    let guild = chat.guild_of(channel).await?;
    expect!(
        execute(chat, guild, actor, Command::Access { channel, needs }).await?,
        Permissions
    )
}

/// What the actor may do in a guild, if that includes `needs`.
///
/// # Errors
/// [`crate::error::Missing::Guild`] for strangers, [`ChatError::MissingPermissions`].
pub async fn guild_access(
    chat: &Chat,
    actor: Actor,
    guild: GuildId,
    needs: Permissions,
) -> Result<Permissions> {
    expect!(
        execute(chat, guild, actor, Command::GuildAccess { needs }).await?,
        Permissions
    )
}
