//! The nouns of Guildhall: one set of types for the wire and for the disk.
//!
//! Everything here is plain data and pure functions: no async, no clock, no randomness, no I/O.
//! Objects serialise whole, with `null` where a field is unset, because Discord's API does and
//! clients rely on it (Discord docs, Reference, "Nullable and Optional Resource Fields").
//!
//! In story order: ids and time, people, guilds and what is in them, what is said there, who may
//! see it, and what a session is told about it.

pub mod id;
pub mod snowflake;
pub mod time;
pub mod limits;

pub mod user;
pub mod application;

pub mod guild;
pub mod role;
pub mod channel;
pub mod member;
pub mod ban;
pub mod permissions;

pub mod form;
pub mod emoji;
pub mod embed;
pub mod component;
pub mod attachment;
pub mod message;
pub mod reaction;
pub mod mentions;
pub mod read_state;

pub mod presence;
pub mod intents;
pub mod event;

pub use id::{
    ApplicationId, AttachmentId, ChannelId, EmojiId, GuildId, Id, MessageId, RoleId, UserId,
};
pub use time::Timestamp;

/// A field that Discord's objects carry and that nothing here sets yet: always `null` on the wire.
pub type Unset = Option<serde_json::Value>;
