//! How a guild is asked: it is started if it does not run, and asked again when it certainly did not
//! begin.

use metrics::counter;
use model::GuildId;
use otp::SendError;
use tokio::time::Instant;

use crate::chat::Chat;
use crate::error::{ChatError, Result};
use crate::guild::command::{Actor, Answer, Command};
use crate::guild::reply::Reply;
use crate::guild::{ATTEMPTS_MAX, CALL_LIMIT, Message};

/// Asks a guild, which is started if it does not run. Asked again when it certainly did not begin.
///
/// # Errors
/// As the rules of [`crate::guild::state`] say. [`crate::error::Missing::Guild`]: there is no such guild.
/// [`ChatError::Busy`], [`ChatError::Unavailable`], [`ChatError::NotApplied`], [`ChatError::TooLarge`],
/// [`ChatError::Full`], [`ChatError::Broken`]: nothing was changed.
/// [`ChatError::Unknown`]: it may have been.
pub(crate) async fn execute(
    chat: &Chat,
    guild: GuildId,
    actor: Actor,
    command: Command,
) -> Result<Answer> {
    ask(chat, guild, |reply| Message::Execute {
        actor,
        command: Box::new(command.clone()),
        reply,
    })
    .await
}

/// Asks a guild whatever `request` makes of a handle for the answer.
pub(super) async fn ask<T>(
    chat: &Chat,
    guild: GuildId,
    request: impl Fn(Reply<T>) -> Message,
) -> Result<T> {
    let deadline = Instant::now() + CALL_LIMIT;
    let mut attempts = 0;
    while attempts < ATTEMPTS_MAX {
        let server = chat.guilds().running(chat, guild, deadline).await?;
        let (reply, answer) = Reply::new();
        match server.try_cast(request(reply)) {
            Ok(()) => {}
            Err(SendError::NoProc(_)) => {
                // It is ending, and is found under its key until it has ended.
                let ended = tokio::time::timeout_at(deadline, server.wait_for_exit()).await;
                if ended.is_err() {
                    break;
                }
                continue;
            }
            // In both cases nothing was sent.
            Err(SendError::Full(_) | SendError::NodeDown(_)) => return Err(ChatError::Busy),
        }
        match tokio::time::timeout_at(deadline, answer).await {
            Ok(Ok(answer)) => return answer,
            // Dropped: the guild ended before it began with the request.
            Ok(Err(_)) => counter!("guildhall_guild_asked_again_total").increment(1),
            Err(_) => {
                return Err(ChatError::Unknown(
                    "the guild did not answer in time".to_owned(),
                ));
            }
        }
        attempts += 1;
    }
    Err(ChatError::Unavailable)
}
