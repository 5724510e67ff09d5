//! The arguments in a path: ids and emoji, each under the name it has in the route.

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::StatusCode;
use axum::http::request::Parts;
use chat::error::Missing;
use model::emoji::ReactionEmoji;
use model::{AttachmentId, ChannelId, GuildId, Id, MessageId, RoleId, UserId};

use crate::error::{ApiError, Result};

/// Characters of a wrong argument repeated in the error.
const SHOWN_MAX: usize = 80;

/// The arguments of the matched route, percent-decoded.
#[derive(Debug, Clone)]
pub(crate) struct Arguments(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Arguments {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let Ok(params) = RawPathParams::from_request_parts(parts, state).await else {
            return Err(ApiError::plain(StatusCode::NOT_FOUND));
        };
        Ok(Self(
            params
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        ))
    }
}

impl Arguments {
    /// The argument `name` as it is.
    pub(crate) fn text(&self, name: &str) -> Result<&str> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found
            .map(|(_, value)| value.as_str())
            .ok_or_else(|| ApiError::plain(StatusCode::NOT_FOUND))
    }

    /// The argument `name` as an id.
    ///
    /// # Errors
    /// 50035 with NUMBER_TYPE_COERCE at `name`, as Discord answers.
    pub(crate) fn id<T>(&self, name: &str) -> Result<Id<T>> {
        let text = self.text(name)?;
        parse_id(text).ok_or_else(|| {
            let shown: String = text.chars().take(SHOWN_MAX).collect();
            ApiError::field(
                name,
                "NUMBER_TYPE_COERCE",
                format!("Value \"{shown}\" is not snowflake."),
            )
        })
    }

    /// `{guild_id}`.
    pub(crate) fn guild(&self) -> Result<GuildId> {
        self.id("guild_id")
    }

    /// `{channel_id}`.
    pub(crate) fn channel(&self) -> Result<ChannelId> {
        self.id("channel_id")
    }

    /// `{message_id}`.
    pub(crate) fn message(&self) -> Result<MessageId> {
        self.id("message_id")
    }

    /// `{user_id}`.
    pub(crate) fn user(&self) -> Result<UserId> {
        self.id("user_id")
    }

    /// `{role_id}`.
    pub(crate) fn role(&self) -> Result<RoleId> {
        self.id("role_id")
    }

    /// `{attachment_id}`.
    pub(crate) fn attachment(&self) -> Result<AttachmentId> {
        self.id("attachment_id")
    }

    /// `{emoji}`: `👍`, `name:id`.
    ///
    /// # Errors
    /// 10014 "Unknown Emoji".
    pub(crate) fn emoji(&self) -> Result<ReactionEmoji> {
        ReactionEmoji::parse(self.text("emoji")?).ok_or_else(|| Missing::Emoji.into())
    }
}

/// A decimal id; signs, zero and anything else are none.
pub(crate) fn parse_id<T>(text: &str) -> Option<Id<T>> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse::<u64>().ok().and_then(Id::new_checked)
}

#[cfg(test)]
mod tests {
    use model::UserId;

    use super::parse_id;

    #[test]
    fn ids_are_decimal_and_above_zero() {
        assert_eq!(parse_id("7"), Some(UserId::new(7)));
        for bad in [
            "",
            "0",
            "-1",
            "+1",
            "1.0",
            "x",
            "18446744073709551616",
            " 1",
        ] {
            assert_eq!(
                parse_id::<model::id::marker::UserMarker>(bad),
                None,
                "{bad}"
            );
        }
    }
}
