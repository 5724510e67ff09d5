//! What a client claims when it logs in, checked: who it is, what it may hear of, what it shows.

use chat::session::Platform;
use chat::{Chat, ChatError, accounts, clock};
use model::intents::Intents;
use model::presence::{self, Presence};
use model::user::Account;

use crate::protocol::CloseCode;
use crate::protocol::payload::{Device, Identify};

/// The account of a token.
pub(super) async fn account_of(chat: &Chat, token: &str) -> Result<Account, CloseCode> {
    match accounts::authenticate(chat, token).await {
        Ok(account) => Ok(account),
        Err(ChatError::Unauthorized) => Err(CloseCode::AuthenticationFailed),
        Err(error) => {
            tracing::warn!(%error, "a login could not be checked");
            Err(CloseCode::UnknownError)
        }
    }
}

/// The intents a login has (Discord docs, Gateway, "Gateway Intents"): people who send none have
/// all, bots must send them and need a grant for the privileged ones.
pub(super) fn intents_of(identify: &Identify, account: &Account) -> Result<Intents, CloseCode> {
    if !account.user.bot {
        return Ok(identify.intents.unwrap_or(Intents::ALL));
    }
    let intents = identify.intents.ok_or(CloseCode::InvalidIntents)?;
    let flags = account
        .application
        .as_ref()
        .map_or(0, |application| application.flags);
    match intents.allowed_for(flags) {
        true => Ok(intents),
        false => Err(CloseCode::DisallowedIntents),
    }
}

/// A presence as sent, in normal form.
pub(super) fn presence_of(value: &serde_json::Value) -> Result<Presence, CloseCode> {
    presence::normalise(value, clock::now_ms()).map_err(|_| CloseCode::DecodeError)
}

/// Where the client runs, as presences show it.
pub(super) fn platform_of(device: Device) -> Platform {
    match device {
        Device::Desktop => Platform::Desktop,
        Device::Mobile => Platform::Mobile,
        Device::Web => Platform::Web,
    }
}

#[cfg(test)]
mod tests;
