//! What can be asked of a guild, as data: commands in, answers out.
//!
//! A command carries everything the pure rules of [`super::state`] need and cannot know
//! themselves (stored messages, accounts); the client functions of [`super`] fetch it first.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use model::ban::BanRecord;
use model::channel::{Channel, Overwrite};
use model::emoji::ReactionEmoji;
use model::guild::GuildView;
use model::member::Member;
use model::message::{Draft, Message, MessagePatch, MessageRecord};
use model::permissions::Permissions;
use model::presence::{ClientStatus, Presence};
use model::role::Role;
use model::user::User;
use model::{ChannelId, Id, MessageId, RoleId, Timestamp, UserId, id::marker};

use super::members::{Readable, Row};

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// A user; judged by the permissions it has in the guild.
    User(UserId),
    /// The operator (admin socket, `dev` bootstrap); may do everything.
    System,
}

/// What a reading of the store saw at least: everything the guild decided, up to a number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Look {
    /// Of which load of the guild; numbers of another mean nothing.
    pub load: u64,
    /// The number.
    pub settled: u64,
}

/// A message that was found in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// What it (and its reactions) was read at.
    pub look: Look,
    /// Where.
    pub channel: ChannelId,
    /// Which.
    pub message: MessageId,
    /// Who wrote it.
    pub author: UserId,
}

/// The reactions of a message as they were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reacted {
    /// How many users with each emoji.
    pub counts: Vec<(ReactionEmoji, u64)>,
    /// Whether the user the command is about is among those with the emoji it is about.
    pub already: bool,
}

/// One request to a guild. Answers are named in each variant's docs.
#[derive(Debug, Clone)]
pub enum Command {
    /// Post a message → [`Answer::Message`].
    PostMessage {
        /// Where.
        channel: ChannelId,
        /// What.
        draft: Box<Draft>,
        /// The answered message, already hydrated, when `draft.reply_to` names an existing one.
        reply_to: Option<Box<Message>>,
    },
    /// Edit a message → [`Answer::Message`] or [`Answer::LookAgain`].
    EditMessage {
        /// What the record was read at.
        look: Look,
        /// The message as stored when the edit was asked for.
        record: Box<MessageRecord>,
        /// The changes.
        patch: Box<MessagePatch>,
    },
    /// Delete one message → [`Answer::Done`] or [`Answer::LookAgain`].
    DeleteMessage {
        /// Which.
        found: Found,
        /// Whether it was pinned.
        pinned: bool,
    },
    /// Delete 2–100 messages younger than 14 days → [`Answer::Done`] or [`Answer::LookAgain`].
    BulkDelete {
        /// What they were read at.
        look: Look,
        /// Where.
        channel: ChannelId,
        /// Which are asked for; missing ones are ignored.
        messages: Vec<MessageId>,
        /// Those of them that are there, and whether they were pinned.
        found: Vec<(MessageId, bool)>,
    },
    /// React → [`Answer::Done`] or [`Answer::LookAgain`].
    AddReaction {
        /// On what.
        found: Found,
        /// With what.
        emoji: ReactionEmoji,
        /// The reactions the message has: a new kind needs ADD_REACTIONS and room, and one that the
        /// actor has made already changes nothing.
        read: Reacted,
    },
    /// Take a reaction back, one's own or (with MANAGE_MESSAGES) another's → [`Answer::Done`] or
    /// [`Answer::LookAgain`].
    RemoveReaction {
        /// On what.
        found: Found,
        /// Whose.
        user: UserId,
        /// Which.
        emoji: ReactionEmoji,
        /// The reactions the message has; without this one nothing changes.
        read: Reacted,
    },
    /// Remove all reactions, or all with one emoji → [`Answer::Done`] or [`Answer::LookAgain`].
    ClearReactions {
        /// On what.
        found: Found,
        /// Which; `None` = all.
        emoji: Option<ReactionEmoji>,
        /// The reactions the message has; without those nothing changes.
        read: Reacted,
    },
    /// Pin or unpin → [`Answer::Done`] or [`Answer::LookAgain`].
    SetPinned {
        /// What the record and the pins were read at.
        look: Look,
        /// The message as stored; one that is as wanted is left alone.
        record: Box<MessageRecord>,
        /// Pin or unpin.
        pinned: bool,
        /// How many pins the channel has.
        pins: usize,
    },
    /// Tell the channel that the actor is typing → [`Answer::Done`].
    Typing {
        /// Where.
        channel: ChannelId,
    },

    /// What may a reading of the channel's messages rely on that begins now? → [`Answer::Look`], or
    /// refused without VIEW_CHANNEL.
    Look {
        /// Where.
        channel: ChannelId,
    },
    /// May the actor do this in the channel? → [`Answer::Permissions`] with all it may do there.
    Access {
        /// Where.
        channel: ChannelId,
        /// What it needs; without VIEW_CHANNEL the answer is MissingAccess, for anything else
        /// MissingPermissions.
        needs: Permissions,
    },
    /// May the actor do this in the guild? → [`Answer::Permissions`].
    GuildAccess {
        /// What it needs.
        needs: Permissions,
    },

    /// The guild → [`Answer::Guild`].
    Guild {
        /// Whether to count members and presences.
        with_counts: bool,
    },
    /// Change settings → [`Answer::Guild`].
    ModifyGuild(Box<GuildPatch>),
    /// Delete the guild; owner only → [`Answer::Done`].
    DeleteGuild,
    /// Leave the guild → [`Answer::Done`].
    Leave,

    /// All channels the actor may see → [`Answer::Channels`].
    Channels,
    /// One channel → [`Answer::Channel`].
    Channel(ChannelId),
    /// Make a channel → [`Answer::Channel`].
    CreateChannel(Box<ChannelPatch>),
    /// Change a channel → [`Answer::Channel`].
    ModifyChannel(ChannelId, Box<ChannelPatch>),
    /// Delete a channel → [`Answer::Channel`] (as it was).
    DeleteChannel(ChannelId),
    /// Move channels → [`Answer::Done`].
    MoveChannels(Vec<ChannelMove>),
    /// Set an overwrite → [`Answer::Done`].
    PutOverwrite(ChannelId, Overwrite),
    /// Remove an overwrite → [`Answer::Done`].
    DeleteOverwrite(ChannelId, Id<marker::GenericMarker>),

    /// All roles → [`Answer::Roles`].
    Roles,
    /// One role → [`Answer::Role`].
    Role(RoleId),
    /// Make a role → [`Answer::Role`].
    CreateRole(Box<RolePatch>),
    /// Change a role → [`Answer::Role`].
    ModifyRole(RoleId, Box<RolePatch>),
    /// Delete a role → [`Answer::Done`].
    DeleteRole(RoleId),
    /// Reorder roles → [`Answer::Roles`], all of them.
    MoveRoles(Vec<(RoleId, u32)>),

    /// One member → [`Answer::Member`].
    Member(UserId),
    /// May the actor read the members? → [`Answer::Readable`]: it reads them by itself.
    ReadMembers,
    /// Add a user; refused for banned users → [`Answer::Member`] (an existing member is answered
    /// as it is).
    AddMember(Box<User>),
    /// Change a member → [`Answer::Member`].
    ModifyMember(UserId, Box<MemberPatch>),
    /// Give a role → [`Answer::Done`].
    AddMemberRole(UserId, RoleId),
    /// Take a role → [`Answer::Done`].
    RemoveMemberRole(UserId, RoleId),
    /// Remove a member → [`Answer::Done`].
    Kick(UserId),
    /// Ban a user, member or not → [`Answer::Done`].
    Ban {
        /// Whom.
        user: Box<User>,
        /// The row to store.
        record: BanRecord,
        /// The user's messages to delete with the ban, found by the caller.
        messages: Vec<(ChannelId, MessageId)>,
    },
    /// Lift a ban → [`Answer::Done`].
    Unban(Box<User>),

    /// A user's folded presence changed; from [`crate::presence`] → [`Answer::Done`].
    SetPresence {
        /// Whose.
        user: UserId,
        /// As others see it; `None` = offline.
        presence: Option<Presence>,
        /// Status by platform.
        client_status: ClientStatus,
    },
}

impl Command {
    /// The command's name in the metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::PostMessage { .. } => "post_message",
            Self::EditMessage { .. } => "edit_message",
            Self::DeleteMessage { .. } => "delete_message",
            Self::BulkDelete { .. } => "bulk_delete",
            Self::AddReaction { .. } => "add_reaction",
            Self::RemoveReaction { .. } => "remove_reaction",
            Self::ClearReactions { .. } => "clear_reactions",
            Self::SetPinned { .. } => "set_pinned",
            Self::Typing { .. } => "typing",
            Self::Look { .. } => "look",
            Self::Access { .. } => "access",
            Self::GuildAccess { .. } => "guild_access",
            Self::Guild { .. } => "guild",
            Self::ModifyGuild(..) => "modify_guild",
            Self::DeleteGuild => "delete_guild",
            Self::Leave => "leave",
            Self::Channels => "channels",
            Self::Channel(..) => "channel",
            Self::CreateChannel(..) => "create_channel",
            Self::ModifyChannel(..) => "modify_channel",
            Self::DeleteChannel(..) => "delete_channel",
            Self::MoveChannels(..) => "move_channels",
            Self::PutOverwrite(..) => "put_overwrite",
            Self::DeleteOverwrite(..) => "delete_overwrite",
            Self::Roles => "roles",
            Self::Role(..) => "role",
            Self::CreateRole(..) => "create_role",
            Self::ModifyRole(..) => "modify_role",
            Self::DeleteRole(..) => "delete_role",
            Self::MoveRoles(..) => "move_roles",
            Self::Member(..) => "member",
            Self::ReadMembers => "read_members",
            Self::AddMember(..) => "add_member",
            Self::ModifyMember(..) => "modify_member",
            Self::AddMemberRole(..) => "add_member_role",
            Self::RemoveMemberRole(..) => "remove_member_role",
            Self::Kick(..) => "kick",
            Self::Ban { .. } => "ban",
            Self::Unban(..) => "unban",
            Self::SetPresence { .. } => "set_presence",
        }
    }
}

/// What a guild answers.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Done; nothing to show.
    Done,
    /// A message, hydrated.
    Message(Box<Message>),
    /// Something was decided that the command's reading did not see: read again and ask again.
    /// Nothing was changed, and what was missed is in the store by now.
    LookAgain,
    /// What a reading that begins now can rely on.
    Look(Look),
    /// What the actor may do.
    Permissions(Permissions),
    /// The guild.
    Guild(Box<GuildView>),
    /// Channels in position order.
    Channels(Vec<Channel>),
    /// A channel.
    Channel(Box<Channel>),
    /// Roles in hierarchy order, lowest first.
    Roles(Vec<Role>),
    /// A role.
    Role(Box<Role>),
    /// A member.
    Member(Box<Member>),
    /// Where to read the members.
    Readable(Readable),
}

/// Op 8 as asked (Discord docs, Gateway Events, "Request Guild Members").
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MembersRequest {
    /// Prefix of the name; `Some("")` with limit 0 = all members.
    pub query: Option<String>,
    /// Most members for a query, 0 = all (only with an empty query).
    pub limit: usize,
    /// These members, at most 100.
    pub user_ids: Vec<UserId>,
    /// Whether presences are wanted.
    pub presences: bool,
}

/// Members found for op 8, not yet cut into chunks of 1,000.
#[derive(Debug, Clone)]
pub struct MembersFound {
    /// Members in id order.
    pub members: Vec<Arc<Row>>,
    /// Asked-for ids that are no members.
    pub not_found: Vec<UserId>,
    /// Roles there are: others that a member names are not shown.
    pub roles: Arc<HashSet<RoleId>>,
}

/// Changed settings of a guild; `None` leaves a field, `Some(None)` unsets it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GuildPatch {
    /// 2–100 characters.
    pub name: Option<String>,
    /// Icon hash.
    pub icon: Option<Option<String>>,
    /// Description.
    pub description: Option<Option<String>>,
    /// New owner; the actor must be the owner.
    pub owner_id: Option<UserId>,
    /// 0–4.
    pub verification_level: Option<u8>,
    /// 0–1.
    pub default_message_notifications: Option<u8>,
    /// 0–2.
    pub explicit_content_filter: Option<u8>,
    /// A voice channel.
    pub afk_channel_id: Option<Option<ChannelId>>,
    /// 60, 300, 900, 1800 or 3600 seconds.
    pub afk_timeout: Option<u32>,
    /// A text channel.
    pub system_channel_id: Option<Option<ChannelId>>,
    /// Flags.
    pub system_channel_flags: Option<u64>,
    /// A text channel.
    pub rules_channel_id: Option<Option<ChannelId>>,
    /// A text channel.
    pub public_updates_channel_id: Option<Option<ChannelId>>,
    /// A text channel.
    pub safety_alerts_channel_id: Option<Option<ChannelId>>,
    /// Language.
    pub preferred_locale: Option<String>,
    /// Whether the boost bar shows.
    pub premium_progress_bar_enabled: Option<bool>,
}

/// A new channel, or changes to one; `None` leaves a field (or its default).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChannelPatch {
    /// 1–100 characters; required for a new channel.
    pub name: Option<String>,
    /// See [`model::channel::kind`].
    pub kind: Option<u8>,
    /// 0–1,024 characters.
    pub topic: Option<Option<String>>,
    /// Place in the list.
    pub position: Option<u32>,
    /// Category.
    pub parent_id: Option<Option<ChannelId>>,
    /// All overwrites.
    pub permission_overwrites: Option<Vec<Overwrite>>,
    /// Age-restricted.
    pub nsfw: Option<bool>,
    /// Seconds, 0–21,600.
    pub rate_limit_per_user: Option<u32>,
    /// Minutes.
    pub default_auto_archive_duration: Option<Option<u32>>,
    /// Bits per second.
    pub bitrate: Option<u32>,
    /// Member limit.
    pub user_limit: Option<u32>,
    /// Flags.
    pub flags: Option<u64>,
}

/// One entry of "Modify Guild Channel Positions".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelMove {
    /// Which.
    pub id: ChannelId,
    /// Where to.
    pub position: Option<u32>,
    /// Into which category.
    pub parent_id: Option<Option<ChannelId>>,
    /// Whether to take over the category's overwrites.
    pub lock_permissions: bool,
}

/// A new role, or changes to one; `None` leaves a field (or its default).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RolePatch {
    /// At most 100 characters.
    pub name: Option<String>,
    /// What it allows; for a new role the default is what `@everyone` has.
    pub permissions: Option<Permissions>,
    /// 0xRRGGBB.
    pub color: Option<u32>,
    /// Colours of gradient roles; overrides `color`.
    pub colors: Option<model::role::RoleColors>,
    /// Listed apart.
    pub hoist: Option<bool>,
    /// Anyone may mention it.
    pub mentionable: Option<bool>,
    /// Emoji icon.
    pub unicode_emoji: Option<Option<String>>,
}

/// Changes to a member.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemberPatch {
    /// Nickname, at most 32 characters; an empty one unsets it.
    pub nick: Option<Option<String>>,
    /// All roles.
    pub roles: Option<Vec<RoleId>>,
    /// Timeout; at most 28 days ahead.
    pub communication_disabled_until: Option<Option<Timestamp>>,
    /// Muted in voice.
    pub mute: Option<bool>,
    /// Deafened in voice.
    pub deaf: Option<bool>,
    /// Member flags.
    pub flags: Option<u64>,
}

/// Users by id, for hydration.
pub type Users = HashMap<UserId, User>;
