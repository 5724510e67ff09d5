//! Messages: what is stored, and the object clients see.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::attachment::Attachment;
use crate::component::Component;
use crate::embed::Embed;
use crate::form::{FormErrors, check_integer};
use crate::id::{ChannelId, GuildId, MessageId, RoleId, UserId};
use crate::member::PartialMember;
use crate::reaction::Reaction;
use crate::snowflake;
use crate::time::{self, Timestamp};
use crate::user::User;

pub use crate::limits::{CONTENT_MAX, NONCE_MAX};

/// Message types (Discord docs, Message Resource, "Message Types").
pub mod kind {
    /// An ordinary message.
    pub const DEFAULT: u8 = 0;
    /// "X pinned a message".
    pub const CHANNEL_PINNED_MESSAGE: u8 = 6;
    /// "X joined".
    pub const USER_JOIN: u8 = 7;
    /// A reply to another message.
    pub const REPLY: u8 = 19;
}

/// Message flags (Discord docs, Message Resource, "Message Flags").
pub mod flags {
    /// Embeds are hidden.
    pub const SUPPRESS_EMBEDS: u64 = 1 << 2;
    /// No notification.
    pub const SUPPRESS_NOTIFICATIONS: u64 = 1 << 12;
    /// Built of components only (version 2).
    pub const IS_COMPONENTS_V2: u64 = 1 << 15;
    /// Flags a client may set when it creates a message.
    pub const SETTABLE: u64 = SUPPRESS_EMBEDS | SUPPRESS_NOTIFICATIONS;
}

/// A nonce: clients send integers or strings and get back what they sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Nonce {
    /// An integer.
    Integer(i64),
    /// Up to 25 characters.
    Text(String),
}

impl Nonce {
    /// Reads what a client sent at `path` (`nonce`); `null` is `None`.
    ///
    /// # Errors
    /// Neither text nor integer of 64 bits, or too long; answer 400 with 50035.
    pub fn from_json(value: &Value, path: &str) -> Result<Option<Self>, FormErrors> {
        let mut errors = FormErrors::new();
        let nonce = match value {
            Value::Null => None,
            Value::String(text) => {
                errors.check_length(path, text, 0, NONCE_MAX);
                Some(Self::Text(text.clone()))
            }
            other => check_integer(other, || path.to_owned(), i64::MIN, i64::MAX, &mut errors)
                .map(Self::Integer),
        };
        errors.into_result()?;
        Ok(nonce)
    }

    /// Whether it is short enough ([`NONCE_MAX`] characters).
    ///
    /// # Errors
    /// The fault at `nonce`; nothing was sent, answer 400 with 50035.
    pub fn validate(&self) -> Result<(), FormErrors> {
        let mut errors = FormErrors::new();
        if let Self::Text(text) = self {
            errors.check_length("nonce", text, 0, NONCE_MAX);
        }
        errors.into_result()
    }
}

/// Whether `content` is short enough ([`CONTENT_MAX`] characters).
///
/// # Errors
/// The fault at `content`; nothing was sent, answer 400 with 50035.
pub fn check_content(content: &str) -> Result<(), FormErrors> {
    let mut errors = FormErrors::new();
    errors.check_length("content", content, 0, CONTENT_MAX);
    errors.into_result()
}

/// Which message another one answers or points at (Discord docs, "Message Reference").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageReference {
    /// 0 = reply, 1 = forward.
    #[serde(rename = "type", default)]
    pub kind: u8,
    /// The message.
    pub message_id: Option<MessageId>,
    /// Its channel.
    pub channel_id: ChannelId,
    /// Its guild.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guild_id: Option<GuildId>,
}

/// What is stored for a message: ids, not copies, of the people and messages it names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageRecord {
    /// The message's id; its timestamp is in it.
    pub id: MessageId,
    /// The channel.
    pub channel_id: ChannelId,
    /// The guild.
    pub guild_id: GuildId,
    /// Who wrote it.
    pub author_id: UserId,
    /// See [`kind`].
    #[serde(rename = "type")]
    pub kind: u8,
    /// Text, at most 2,000 characters (4,000 for subscribers, not here).
    pub content: String,
    /// When it was last edited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited_timestamp: Option<Timestamp>,
    /// Spoken by clients.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tts: bool,
    /// Whether it notified everyone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mention_everyone: bool,
    /// Users it notified.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<UserId>,
    /// Roles it notified.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mention_roles: Vec<RoleId>,
    /// Files; their `url` is a path (see [`Attachment`]).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// Embeds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub embeds: Vec<Embed>,
    /// Components, version 1: rows of buttons and selects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<Component>,
    /// The nonce the author sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<Nonce>,
    /// Pinned in its channel.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pinned: bool,
    /// See [`flags`].
    #[serde(default)]
    pub flags: u64,
    /// What it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_reference: Option<MessageReference>,
}

impl MessageRecord {
    /// An ordinary message without a text and without anything else.
    pub fn new(id: MessageId, channel_id: ChannelId, guild_id: GuildId, author_id: UserId) -> Self {
        Self {
            id,
            channel_id,
            guild_id,
            author_id,
            kind: kind::DEFAULT,
            content: String::new(),
            edited_timestamp: None,
            tts: false,
            mention_everyone: false,
            mentions: Vec::new(),
            mention_roles: Vec::new(),
            attachments: Vec::new(),
            embeds: Vec::new(),
            components: Vec::new(),
            nonce: None,
            pinned: false,
            flags: 0,
            message_reference: None,
        }
    }

    /// The message it answers, when it is a reply.
    pub fn answers(&self) -> Option<MessageId> {
        let reference = self.message_reference.as_ref()?;
        (self.kind == kind::REPLY).then_some(reference.message_id)?
    }

    /// When the message was made.
    pub fn timestamp(&self) -> Timestamp {
        time::from_unix_ms(snowflake::timestamp_ms(self.id))
    }

    /// Its files without those that an embed shows: Discord lists a file in one place only.
    pub fn shown_attachments(&self) -> impl Iterator<Item = &Attachment> {
        self.attachments.iter().filter(|file| {
            let mut pictures = self.embeds.iter().flat_map(Embed::pictures);
            pictures.all(|(_, link)| link != file.url)
        })
    }
}

/// A message on the wire (Discord docs, Message Resource, "Message Object").
///
/// `guild_id` and `member` are there in gateway events only; `reactions` only when there are some;
/// `referenced_message` only on replies, `null` when the answered message is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The message's id.
    pub id: MessageId,
    /// The channel.
    pub channel_id: ChannelId,
    /// Who wrote it.
    pub author: User,
    /// Text.
    pub content: String,
    /// When it was made.
    pub timestamp: Timestamp,
    /// When it was last edited.
    pub edited_timestamp: Option<Timestamp>,
    /// Spoken by clients.
    pub tts: bool,
    /// Whether it notified everyone.
    pub mention_everyone: bool,
    /// Users it notified.
    pub mentions: Vec<User>,
    /// Roles it notified.
    pub mention_roles: Vec<RoleId>,
    /// Files.
    pub attachments: Vec<Attachment>,
    /// Embeds.
    pub embeds: Vec<Embed>,
    /// Components.
    pub components: Vec<Component>,
    /// Reactions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reactions: Vec<Reaction>,
    /// The nonce the author sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<Nonce>,
    /// Pinned in its channel.
    pub pinned: bool,
    /// See [`kind`].
    #[serde(rename = "type")]
    pub kind: u8,
    /// See [`flags`].
    pub flags: u64,
    /// What it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_reference: Option<MessageReference>,
    /// The answered message; outer `None` = not a reply, inner `None` = it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referenced_message: Option<Option<Box<Message>>>,
    /// The guild (events only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guild_id: Option<GuildId>,
    /// The author's membership (events only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<PartialMember>,
}

impl Message {
    /// Joins the stored message with the people it names. `user` answers `None` for accounts that
    /// are gone; a placeholder takes their place.
    pub fn from_record(record: &MessageRecord, user: impl Fn(UserId) -> Option<User>) -> Self {
        let user = |id| user(id).unwrap_or_else(|| User::deleted(id));
        Self {
            id: record.id,
            channel_id: record.channel_id,
            author: user(record.author_id),
            content: record.content.clone(),
            timestamp: record.timestamp(),
            edited_timestamp: record.edited_timestamp,
            tts: record.tts,
            mention_everyone: record.mention_everyone,
            mentions: record.mentions.iter().copied().map(user).collect(),
            mention_roles: record.mention_roles.clone(),
            attachments: record.shown_attachments().cloned().collect(),
            embeds: record.embeds.clone(),
            components: record.components.clone(),
            reactions: Vec::new(),
            nonce: record.nonce.clone(),
            pinned: record.pinned,
            kind: record.kind,
            flags: record.flags,
            message_reference: record.message_reference.clone(),
            referenced_message: None,
            guild_id: None,
            member: None,
        }
    }
}

/// Everything a client said about a message it creates, already shaped but not yet judged by the
/// guild (permissions, slow mode and mentions are the guild's).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Draft {
    /// Text.
    pub content: String,
    /// Spoken by clients.
    pub tts: bool,
    /// Embeds.
    pub embeds: Vec<Embed>,
    /// Components.
    pub components: Vec<Component>,
    /// Files already written to the blob store.
    pub attachments: Vec<Attachment>,
    /// The nonce.
    pub nonce: Option<Nonce>,
    /// Whether a repeated nonce answers the first message instead of making a second one.
    pub enforce_nonce: bool,
    /// Who may be notified.
    pub allowed_mentions: Option<crate::mentions::AllowedMentions>,
    /// What it answers.
    pub reply_to: Option<MessageId>,
    /// Whether a reply to a missing message is an error (default) or an ordinary message.
    pub fail_if_not_exists: bool,
    /// Settable flags, see [`flags::SETTABLE`].
    pub flags: u64,
}

impl Draft {
    /// Whether there is nothing to post: answer 400 with 50006 "Cannot send an empty message".
    /// White space alone is nothing.
    pub fn is_empty(&self) -> bool {
        self.content.trim().is_empty()
            && self.embeds.is_empty()
            && self.components.is_empty()
            && self.attachments.is_empty()
    }

    /// Checks what the parts' own validators do not see: lengths of text and nonce, number of
    /// files, allowed mentions.
    ///
    /// # Errors
    /// Every fault found; nothing was sent, answer 400 with 50035.
    pub fn validate(&self) -> Result<(), FormErrors> {
        let mut errors = FormErrors::new();
        errors.check_length("content", &self.content, 0, CONTENT_MAX);
        let parts = [
            self.nonce.as_ref().map(Nonce::validate),
            self.allowed_mentions
                .as_ref()
                .map(|allowed| allowed.validate()),
        ];
        for fault in parts.into_iter().flatten().filter_map(Result::err) {
            errors.merge(fault);
        }
        if self.attachments.len() > crate::limits::ATTACHMENTS_MAX {
            let message = format!(
                "Must be {} or fewer in length.",
                crate::limits::ATTACHMENTS_MAX
            );
            errors.push("attachments", "BASE_TYPE_MAX_LENGTH", message);
        }
        errors.into_result()
    }
}

/// Changes to a message; `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessagePatch {
    /// New text; only its author may set it.
    pub content: Option<String>,
    /// New embeds.
    pub embeds: Option<Vec<Embed>>,
    /// New components.
    pub components: Option<Vec<Component>>,
    /// Attachments that stay, and new ones.
    pub attachments: Option<Vec<Attachment>>,
    /// New flags.
    pub flags: Option<u64>,
    /// Who may be notified by the new text.
    pub allowed_mentions: Option<crate::mentions::AllowedMentions>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_is_an_empty_draft() {
        let mut draft = Draft {
            content: " \n\t".to_owned(),
            ..Draft::default()
        };
        assert!(draft.is_empty());
        draft.embeds.push(Embed::default());
        assert!(!draft.is_empty());
    }

    #[test]
    fn draft_limits_are_exact() {
        let mut draft = Draft {
            content: "é".repeat(CONTENT_MAX),
            nonce: Some(Nonce::Text("n".repeat(NONCE_MAX))),
            ..Draft::default()
        };
        assert_eq!(draft.validate(), Ok(()));
        assert_eq!(check_content(&draft.content), Ok(()));
        draft.content.push('x');
        draft.nonce = Some(Nonce::Text("n".repeat(NONCE_MAX + 1)));
        let faults = draft.validate().expect_err("both too long").to_json();
        for key in ["content", "nonce"] {
            assert_eq!(faults[key]["_errors"][0]["code"], "BASE_TYPE_MAX_LENGTH");
        }
        assert!(check_content(&draft.content).is_err());
    }

    #[test]
    fn nonce_comes_back_as_it_was_sent() {
        let read = |json: serde_json::Value| {
            let nonce = Nonce::from_json(&json, "nonce");
            nonce.map(|nonce| serde_json::to_value(nonce).expect("serialises") == json)
        };
        for json in [
            serde_json::json!(null),
            serde_json::json!(-5),
            serde_json::json!(i64::MAX),
            serde_json::json!("8445181611477691181"),
        ] {
            assert_eq!(read(json), Ok(true));
        }
        assert!(read(serde_json::json!(u64::MAX)).is_err());
        assert!(read(serde_json::json!(true)).is_err());
        assert!(read(serde_json::json!("x".repeat(26))).is_err());
    }
}
