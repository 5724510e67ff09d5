//! Guilds: their settings, and the views of them that go on the wire.

use serde::{Deserialize, Serialize};

use crate::Unset;
use crate::channel::Channel;
use crate::id::{ApplicationId, ChannelId, GuildId, UserId};
use crate::member::Member;
use crate::presence::PresenceUpdate;
use crate::role::Role;
use crate::time::Timestamp;

/// The settings of a guild, stored and sent as they are (Discord docs, Guild Resource, "Guild
/// Object"); roles, channels and members are stored beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guild {
    /// The guild's id.
    pub id: GuildId,
    /// Name.
    pub name: String,
    /// Icon hash.
    pub icon: Option<String>,
    /// Icon hash in templates.
    pub icon_hash: Option<String>,
    /// Invite splash hash.
    pub splash: Option<String>,
    /// Discovery splash hash.
    pub discovery_splash: Option<String>,
    /// Who owns it.
    pub owner_id: UserId,
    /// Deprecated voice region.
    pub region: String,
    /// Channel for idle voice members.
    pub afk_channel_id: Option<ChannelId>,
    /// Seconds until a voice member is idle.
    pub afk_timeout: u32,
    /// Whether the widget is on.
    pub widget_enabled: bool,
    /// Channel the widget invites to.
    pub widget_channel_id: Option<ChannelId>,
    /// Verification level (0–4).
    pub verification_level: u8,
    /// 0 = all messages notify, 1 = only mentions.
    pub default_message_notifications: u8,
    /// Explicit content filter (0–2).
    pub explicit_content_filter: u8,
    /// Enabled features.
    pub features: Vec<String>,
    /// Whether moderators need two-factor authentication.
    pub mfa_level: u8,
    /// The application that made it.
    pub application_id: Option<ApplicationId>,
    /// Where joins and boosts are told.
    pub system_channel_id: Option<ChannelId>,
    /// What is told there.
    pub system_channel_flags: u64,
    /// The rules channel of a community.
    pub rules_channel_id: Option<ChannelId>,
    /// Most presences; `null` = no limit.
    pub max_presences: Option<u64>,
    /// Most members.
    pub max_members: u64,
    /// Vanity invite.
    pub vanity_url_code: Option<String>,
    /// Description.
    pub description: Option<String>,
    /// Banner hash.
    pub banner: Option<String>,
    /// Boost level.
    pub premium_tier: u8,
    /// Boosts.
    pub premium_subscription_count: u64,
    /// Language.
    pub preferred_locale: String,
    /// Where moderators get notices.
    pub public_updates_channel_id: Option<ChannelId>,
    /// Most users with video.
    pub max_video_channel_users: u32,
    /// Most users with video in a stage.
    pub max_stage_video_channel_users: u32,
    /// Age restriction level.
    pub nsfw_level: u8,
    /// Age-restricted.
    pub nsfw: bool,
    /// Whether the boost bar shows.
    pub premium_progress_bar_enabled: bool,
    /// Where safety alerts go.
    pub safety_alerts_channel_id: Option<ChannelId>,
    /// Raid measures.
    pub incidents_data: Unset,
    /// Hub kind.
    pub hub_type: Option<u8>,
    /// Onboarding.
    pub latest_onboarding_question_id: Unset,
    /// Home header hash.
    pub home_header: Option<String>,
}

impl Guild {
    /// A guild with Discord's default settings.
    pub fn new(id: GuildId, name: impl Into<String>, owner_id: UserId) -> Self {
        Self {
            id,
            name: name.into(),
            icon: None,
            icon_hash: None,
            splash: None,
            discovery_splash: None,
            owner_id,
            region: "deprecated".to_owned(),
            afk_channel_id: None,
            afk_timeout: 300,
            widget_enabled: false,
            widget_channel_id: None,
            verification_level: 0,
            default_message_notifications: 0,
            explicit_content_filter: 0,
            features: Vec::new(),
            mfa_level: 0,
            application_id: None,
            system_channel_id: None,
            system_channel_flags: 0,
            rules_channel_id: None,
            max_presences: None,
            max_members: 500_000,
            vanity_url_code: None,
            description: None,
            banner: None,
            premium_tier: 0,
            premium_subscription_count: 0,
            preferred_locale: "en-US".to_owned(),
            public_updates_channel_id: None,
            max_video_channel_users: 25,
            max_stage_video_channel_users: 50,
            nsfw_level: 0,
            nsfw: false,
            premium_progress_bar_enabled: false,
            safety_alerts_channel_id: None,
            incidents_data: None,
            hub_type: None,
            latest_onboarding_question_id: None,
            home_header: None,
        }
    }
}

/// A guild as the HTTP API answers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GuildView {
    /// Settings.
    #[serde(flatten)]
    pub guild: Guild,
    /// Roles, lowest first.
    pub roles: Vec<Role>,
    /// Custom emoji; none yet.
    pub emojis: Vec<serde_json::Value>,
    /// Stickers; none yet.
    pub stickers: Vec<serde_json::Value>,
    /// With `?with_counts=true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approximate_member_count: Option<u64>,
    /// With `?with_counts=true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approximate_presence_count: Option<u64>,
}

/// A guild in the list of a user's guilds (Discord docs, User Resource, "Get Current User Guilds").
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartialGuild {
    /// The guild's id.
    pub id: GuildId,
    /// Name.
    pub name: String,
    /// Icon hash.
    pub icon: Option<String>,
    /// Banner hash.
    pub banner: Option<String>,
    /// Whether the reader owns it.
    pub owner: bool,
    /// The reader's permissions, without overwrites.
    pub permissions: crate::permissions::Permissions,
    /// Enabled features.
    pub features: Vec<String>,
}

/// The data of GUILD_CREATE (Discord docs, Gateway Events, "Guild Create").
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GuildCreate {
    /// Settings.
    #[serde(flatten)]
    pub guild: Guild,
    /// Roles, lowest first.
    pub roles: Vec<Role>,
    /// Custom emoji; none yet.
    pub emojis: Vec<serde_json::Value>,
    /// Stickers; none yet.
    pub stickers: Vec<serde_json::Value>,
    /// When the receiver joined; `None` (left out) = said in the receiver's own part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub joined_at: Option<Timestamp>,
    /// More members than the session's `large_threshold`.
    pub large: bool,
    /// `Some(false)` when the guild becomes available; `None` (left out) when newly joined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unavailable: Option<bool>,
    /// All members, listed or not.
    pub member_count: u64,
    /// Voice states; none yet.
    pub voice_states: Vec<serde_json::Value>,
    /// Members the receiver is given at once; `None` (left out) = in the receiver's own part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members: Option<Vec<Member>>,
    /// Channels the receiver may see.
    pub channels: Vec<Channel>,
    /// Threads; none yet.
    pub threads: Vec<serde_json::Value>,
    /// Presences of the online among `members`; left out with these.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presences: Option<Vec<PresenceUpdate>>,
    /// Stages; none yet.
    pub stage_instances: Vec<serde_json::Value>,
    /// Scheduled events; none yet.
    pub guild_scheduled_events: Vec<serde_json::Value>,
    /// Soundboard sounds; none yet.
    pub soundboard_sounds: Vec<serde_json::Value>,
}

/// What of GUILD_CREATE is the receiver's alone, when the rest is shared with others
/// ([`crate::event::Encoded::spliced`]). Its fields are those of [`GuildCreate`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GuildCreateOwn {
    /// When the receiver joined.
    pub joined_at: Timestamp,
    /// The receiver alone; `None` = among the members in the shared part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members: Option<[Member; 1]>,
    /// The receiver's, if there is one; left out with `members`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presences: Option<Vec<PresenceUpdate>>,
}
