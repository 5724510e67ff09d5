//! Discord's limits, each with the name used in an error and where it comes from.
//!
//! One place for every number that bounds what a client may send or a guild may hold. Numbers are
//! Discord's defaults without boosts or subscriptions (Discord docs, Message Resource, Guild
//! Resource, Channels Resource; and the API's JSON error codes 30001–30046, which name most of the
//! "maximum number of …" limits).
//!
//! What happens at a limit: a form that is too long is refused with code 50035 and the field's
//! fault; a collection that is full is refused with the JSON code named at the constant; nothing
//! is ever cut silently, except in presences, which Discord cuts too (see
//! [`crate::presence::normalise`]).

/// Characters of a message's text (Message Resource, "Create Message").
pub const CONTENT_MAX: usize = 2_000;
/// Characters of a nonce (Message Resource, "Create Message").
pub const NONCE_MAX: usize = 25;
/// How long the same (author, channel, nonce) answers the first message, in milliseconds
/// (Message Resource, "Create Message", `enforce_nonce`: "the past few minutes"; ten here).
pub const NONCE_WINDOW_MS: u64 = 10 * 60 * 1_000;

/// Embeds of a message (Message Resource, "Create Message").
pub const EMBEDS_MAX: usize = 10;
/// Characters of all embeds of a message together ("Embed Limits").
pub const EMBED_TOTAL_MAX: usize = 6_000;
/// Characters of an embed's title ("Embed Limits").
pub const EMBED_TITLE_MAX: usize = 256;
/// Characters of an embed's description ("Embed Limits").
pub const EMBED_DESCRIPTION_MAX: usize = 4_096;
/// Fields of an embed ("Embed Limits").
pub const EMBED_FIELDS_MAX: usize = 25;
/// Characters of a field's name ("Embed Limits").
pub const EMBED_FIELD_NAME_MAX: usize = 256;
/// Characters of a field's value ("Embed Limits").
pub const EMBED_FIELD_VALUE_MAX: usize = 1_024;
/// Characters of an embed's footer ("Embed Limits").
pub const EMBED_FOOTER_MAX: usize = 2_048;
/// Characters of an embed's author ("Embed Limits").
pub const EMBED_AUTHOR_MAX: usize = 256;
/// Characters of a link in an embed (OpenAPI document, `RichEmbed.url`).
pub const URL_MAX: usize = 2_048;

/// Action rows of a message (Component Reference, "Legacy Message Component Behavior").
pub const ACTION_ROWS_MAX: usize = 5;
/// Buttons of an action row (Component Reference, "Action Row").
pub const BUTTONS_MAX: usize = 5;
/// Characters of a custom id (Component Reference, "Custom ID").
pub const CUSTOM_ID_MAX: usize = 100;
/// Characters of a button's label (Component Reference, "Button").
pub const BUTTON_LABEL_MAX: usize = 80;
/// Characters of a link button's link (OpenAPI document, `ButtonComponentForMessageRequest`).
pub const BUTTON_URL_MAX: usize = 512;
/// Options of a select, and most values chosen (Component Reference, "String Select").
pub const SELECT_OPTIONS_MAX: usize = 25;
/// Characters of an option's label, value and description (Component Reference, "String Select").
pub const SELECT_OPTION_TEXT_MAX: usize = 100;
/// Characters of a select's placeholder (Component Reference, "String Select").
pub const SELECT_PLACEHOLDER_MAX: usize = 150;
/// Components of a version 2 message, nested ones included (Component Reference).
pub const COMPONENTS_V2_MAX: usize = 40;

/// Users, and roles, that one message can notify by name (Message Resource, "Allowed Mentions
/// Object": lists of at most 100).
pub const MENTIONS_MAX: usize = 100;

/// Files of a message (Reference, "Uploading Files").
pub const ATTACHMENTS_MAX: usize = 10;
/// Bytes of one file: 10 MiB (Reference, "Uploading Files").
pub const FILE_BYTES_MAX: u64 = 10 * 1_024 * 1_024;
/// Bytes of a whole upload: every file at its limit, and room for the JSON part.
pub const UPLOAD_BYTES_MAX: u64 = ATTACHMENTS_MAX as u64 * FILE_BYTES_MAX + 1_024 * 1_024;
/// Characters of an attachment's description (Message Resource, "Attachment Object").
pub const ATTACHMENT_DESCRIPTION_MAX: usize = 1_024;
/// Characters of a file's name.
pub const FILENAME_MAX: usize = 260;

/// Kinds of emoji on a message; full = 400 with code 30010.
pub const REACTIONS_MAX: usize = 20;
/// Pinned messages of a channel; full = 400 with code 30003.
pub const PINS_MAX: usize = 250;
/// Fewest messages of a bulk delete (Message Resource, "Bulk Delete Messages"); code 50016.
pub const BULK_DELETE_MIN: usize = 2;
/// Most messages of a bulk delete (Message Resource, "Bulk Delete Messages"); code 50016.
pub const BULK_DELETE_MAX: usize = 100;
/// Age from which a message cannot be bulk-deleted: 14 days in milliseconds; code 50034.
pub const BULK_DELETE_AGE_MS: u64 = 14 * 24 * 60 * 60 * 1_000;
/// Messages asked for when no `limit` is given (Message Resource, "Get Channel Messages").
pub const MESSAGES_DEFAULT: usize = 50;
/// Most messages of one page (Message Resource, "Get Channel Messages").
pub const MESSAGES_PAGE_MAX: usize = 100;
/// Users of a reaction asked for when no `limit` is given (Message Resource, "Get Reactions").
pub const REACTION_USERS_DEFAULT: usize = 25;
/// Most users of one page of a reaction (Message Resource, "Get Reactions").
pub const REACTION_USERS_PAGE_MAX: usize = 100;

/// Guilds of a bot; full = 400 with code 30001.
pub const GUILDS_MAX: usize = 2_500;
/// Channels of a guild, categories included; full = 400 with code 30013.
pub const CHANNELS_MAX: usize = 500;
/// Channels of a category; full = 400 with code 50035 at `parent_id`.
pub const CATEGORY_CHANNELS_MAX: usize = 50;
/// Roles of a guild, `@everyone` included; full = 400 with code 30005.
pub const ROLES_MAX: usize = 250;
/// Permission overwrites of a channel; full = 400 with code 30060.
pub const OVERWRITES_MAX: usize = 1_000;
/// Bans of a guild that are not of members who left; full = 400 with code 30035.
pub const BANS_MAX: usize = 1_000_000;
/// Most members of one page (Guild Resource, "List Guild Members").
pub const MEMBERS_PAGE_MAX: usize = 1_000;
/// Most bans of one page (Guild Resource, "Get Guild Bans").
pub const BANS_PAGE_MAX: usize = 1_000;
/// Most guilds of one page (User Resource, "Get Current User Guilds").
pub const GUILDS_PAGE_MAX: usize = 200;

/// Fewest characters of a guild's name (Guild Resource, "Create Guild").
pub const GUILD_NAME_MIN: usize = 2;
/// Most characters of a guild's name (Guild Resource, "Create Guild").
pub const GUILD_NAME_MAX: usize = 100;
/// Characters of a guild's description.
pub const GUILD_DESCRIPTION_MAX: usize = 300;
/// Fewest characters of a channel's name (Channels Resource, "Modify Channel").
pub const CHANNEL_NAME_MIN: usize = 1;
/// Most characters of a channel's name (Channels Resource, "Modify Channel").
pub const CHANNEL_NAME_MAX: usize = 100;
/// Characters of a channel's topic (Channels Resource, "Modify Channel").
pub const TOPIC_MAX: usize = 1_024;
/// Characters of a forum's topic (Channels Resource, "Modify Channel").
pub const FORUM_TOPIC_MAX: usize = 4_096;
/// Longest slow mode in seconds (Channels Resource, "Modify Channel").
pub const SLOW_MODE_MAX: u32 = 21_600;
/// Fewest characters of a role's name.
pub const ROLE_NAME_MIN: usize = 1;
/// Most characters of a role's name (Guild Resource, "Create Guild Role").
pub const ROLE_NAME_MAX: usize = 100;
/// Characters of a nickname (Users Resource, "Usernames and Nicknames").
pub const NICK_MAX: usize = 32;
/// Fewest characters of a user's name (Users Resource, "Usernames and Nicknames").
pub const USERNAME_MIN: usize = 2;
/// Most characters of a user's name (Users Resource, "Usernames and Nicknames").
pub const USERNAME_MAX: usize = 32;
/// Characters of an audit log reason (Audit Logs Resource, `X-Audit-Log-Reason`); longer ones are
/// refused.
pub const AUDIT_REASON_MAX: usize = 512;
/// Longest time-out of a member: 28 days in milliseconds (Guild Resource, "Modify Guild Member").
pub const TIMEOUT_MAX_MS: u64 = 28 * 24 * 60 * 60 * 1_000;
/// Longest stretch of messages a ban deletes: 7 days in seconds (Guild Resource, "Create Guild
/// Ban").
pub const BAN_DELETE_MESSAGE_SECONDS_MAX: u32 = 604_800;

/// Activities of a presence; later ones are dropped.
pub const ACTIVITIES_MAX: usize = 5;
/// Characters of an activity's name, state and details; longer ones are cut (Gateway Events,
/// "Activity Structure").
pub const ACTIVITY_TEXT_MAX: usize = 128;
/// Bytes of a payload a gateway client sends; more closes with 4002 (Gateway, "Sending Events").
pub const GATEWAY_PAYLOAD_MAX: usize = 4_096;
/// Payloads a gateway client sends per minute; more closes with 4008 (Gateway, "Rate Limiting").
pub const GATEWAY_SENDS_PER_MINUTE: u32 = 120;
/// Bytes of the nonce of a member request; longer ones are ignored (Gateway Events, "Request Guild
/// Members").
pub const CHUNK_NONCE_MAX: usize = 32;
/// Members of one GUILD_MEMBERS_CHUNK (Gateway Events, "Guild Members Chunk").
pub const CHUNK_MEMBERS_MAX: usize = 1_000;
/// User ids of one member request (Gateway Events, "Request Guild Members").
pub const CHUNK_USER_IDS_MAX: usize = 100;
/// Smallest `large_threshold` (Gateway Events, "Identify").
pub const LARGE_THRESHOLD_MIN: u64 = 50;
/// Largest `large_threshold` (Gateway Events, "Identify").
pub const LARGE_THRESHOLD_MAX: u64 = 250;

/// Most guilds of one user (Discord's limit; code 30001).
pub const GUILDS_PER_USER_MAX: usize = 100;
