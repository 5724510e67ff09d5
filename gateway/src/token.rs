//! Who asks: the account behind the `Authorization` header (Discord docs, Reference,
//! "Authentication"). `Bot `, `Bearer ` and bare tokens are the same to us.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use chat::guild::command::Actor;
use chat::{Chat, ChatError, accounts};
use model::UserId;
use model::message::Message;
use model::user::Account;

use crate::error::ApiError;

/// The account that sent a request; put there by [`crate::edge`] before a handler runs.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// The whole account.
    pub(crate) account: std::sync::Arc<Account>,
}

impl Caller {
    /// Its user id.
    pub(crate) fn id(&self) -> UserId {
        self.account.user.id
    }

    /// As the chat system names it.
    pub(crate) fn actor(&self) -> Actor {
        Actor::User(self.id())
    }

    /// A message as this caller gets it: without its content for a bot that may not read that.
    pub(crate) fn sees(&self, message: Message) -> Message {
        chat::content::as_seen_by(&self.account, message)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| ApiError::plain(StatusCode::UNAUTHORIZED))
    }
}

/// The caller a request's headers name.
///
/// # Errors
/// 401 without a token or with one that is not ours.
pub(crate) async fn authenticate(chat: &Chat, headers: &HeaderMap) -> Result<Caller, ApiError> {
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let token = token.ok_or(ChatError::Unauthorized)?;
    let account = accounts::authenticate(chat, token).await?;
    Ok(Caller {
        account: std::sync::Arc::new(account),
    })
}
