//! Snowflake ids that cannot be mixed up: `Id<Guild>` is not `Id<User>`.
//!
//! They serialise as strings and accept strings and integers (Discord docs, Reference,
//! "Snowflakes"; older clients send integers).

pub use twilight_model::id::Id;
pub use twilight_model::id::marker;

/// Id of a guild.
pub type GuildId = Id<marker::GuildMarker>;
/// Id of a channel.
pub type ChannelId = Id<marker::ChannelMarker>;
/// Id of a user (bot or person).
pub type UserId = Id<marker::UserMarker>;
/// Id of a role; the `@everyone` role has the id of its guild.
pub type RoleId = Id<marker::RoleMarker>;
/// Id of a message.
pub type MessageId = Id<marker::MessageMarker>;
/// Id of an attachment.
pub type AttachmentId = Id<marker::AttachmentMarker>;
/// Id of a custom emoji.
pub type EmojiId = Id<marker::EmojiMarker>;
/// Id of an application; equal to the id of its bot user.
pub type ApplicationId = Id<marker::ApplicationMarker>;
