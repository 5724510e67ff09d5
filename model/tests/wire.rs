//! What goes on the wire: every field that clients need is there, and a strict client library
//! (`twilight-model`) reads each object back with its values.

use model::attachment::Attachment;
use model::ban::Ban;
use model::channel::{self, Channel, Overwrite};
use model::emoji::ReactionEmoji;
use model::guild::{Guild, GuildCreate, GuildView, PartialGuild};
use model::id::{ChannelId, GuildId, Id, MessageId, RoleId, UserId};
use model::member::{Member, MemberRecord};
use model::message::{self, Message, MessageRecord, MessageReference, Nonce};
use model::permissions::{Permissions, everyone_default};
use model::presence::{self, ClientStatus, PresenceUpdate, PresenceUser, Status};
use model::reaction::Reaction;
use model::role::Role;
use model::snowflake::EPOCH_MS;
use model::time::{self, Timestamp};
use model::user::{Account, User};
use model::{component, embed};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use twilight_model::gateway::payload::incoming as theirs;

use crate::required::faults;

#[path = "wire/required.rs"]
mod required;

const GUILD: GuildId = Id::new(1_574_004_909_756_383_236);
const CHANNEL: ChannelId = Id::new(1_574_004_996_855_300_745);
const ALICE: UserId = Id::new(1_574_004_909_680_885_761);
const BOB: UserId = Id::new(1_574_004_909_710_245_890);
const ROLE: RoleId = Id::new(1_574_004_909_756_383_999);
const NOW: u64 = 1_795_342_417_349;

fn at() -> Timestamp {
    time::from_unix_ms(NOW)
}

fn user(id: UserId) -> User {
    User::new(
        id,
        if id == ALICE { "AliceBot" } else { "bob" },
        id == ALICE,
    )
}

fn role() -> Role {
    let mut role = Role::new(ROLE, "mods", Permissions::KICK_MEMBERS, 1);
    role.color = 0xff;
    role.colors.primary_color = 0xff;
    role
}

fn text_channel() -> Channel {
    let mut channel = Channel::new(CHANNEL, GUILD, channel::kind::GUILD_TEXT, "general");
    channel.permission_overwrites = vec![
        Overwrite::role(ROLE, Permissions::SEND_MESSAGES, Permissions::empty()),
        Overwrite::member(BOB, Permissions::empty(), Permissions::ADD_REACTIONS),
    ];
    channel
}

fn member(id: UserId) -> Member {
    let mut record = MemberRecord::new(GUILD, id, at());
    record.roles = vec![ROLE];
    record.with_user(&user(id))
}

fn presence_update() -> PresenceUpdate {
    let sent = json!({"status": "dnd", "activities": [
        {"name": "acceptance", "type": 0, "created_at": null},
        {"type": 4, "state": "busy", "emoji": {"name": "👍"}},
    ]});
    let presence = presence::normalise(&sent, NOW).expect("a fair presence");
    PresenceUpdate {
        user: PresenceUser { id: ALICE },
        guild_id: GUILD,
        status: presence.status.shown(),
        activities: presence.activities,
        client_status: ClientStatus {
            web: Some(Status::Dnd),
            ..ClientStatus::default()
        },
    }
}

fn guild_create() -> GuildCreate {
    let voice = Channel::new(Id::new(7), GUILD, channel::kind::GUILD_VOICE, "Lounge");
    let category = Channel::new(Id::new(8), GUILD, channel::kind::GUILD_CATEGORY, "Rooms");
    GuildCreate {
        guild: Guild::new(GUILD, "Stub Guild", ALICE),
        roles: vec![Role::everyone(GUILD, everyone_default()), role()],
        emojis: vec![],
        stickers: vec![],
        joined_at: Some(at()),
        large: false,
        unavailable: Some(false),
        member_count: 2,
        voice_states: vec![],
        members: Some(vec![member(ALICE), member(BOB)]),
        channels: vec![category, text_channel(), voice],
        threads: vec![],
        presences: Some(vec![presence_update()]),
        stage_instances: vec![],
        guild_scheduled_events: vec![],
        soundboard_sounds: vec![],
    }
}

fn record(id: u64, author_id: UserId, content: &str) -> MessageRecord {
    serde_json::from_value(json!({
        "id": id.to_string(), "channel_id": CHANNEL, "guild_id": GUILD, "author_id": author_id,
        "type": message::kind::DEFAULT, "content": content, "flags": 0,
    }))
    .expect("a record with nothing but its required fields")
}

/// Bob answers Alice with everything a message can carry.
fn reply() -> Message {
    let asked = record(1_574_004_996_884_660_877, ALICE, "edited");
    let mut record = record(1_574_004_996_955_964_048, BOB, "re <@1574004909680885761>");
    record.kind = message::kind::REPLY;
    record.mentions = vec![ALICE];
    record.mention_roles = vec![ROLE];
    record.nonce = Some(Nonce::Text("77".to_owned()));
    record.message_reference = Some(MessageReference {
        kind: 0,
        message_id: Some(asked.id),
        channel_id: CHANNEL,
        guild_id: Some(GUILD),
    });
    record.attachments = vec![Attachment {
        id: Id::new(5),
        filename: "a.png".to_owned(),
        description: None,
        content_type: Some("image/png".to_owned()),
        size: 3,
        url: "https://cdn.example.com/a.png".to_owned(),
        proxy_url: "https://cdn.example.com/a.png".to_owned(),
        width: Some(1),
        height: None,
        flags: 0,
    }];
    let embeds = json!([{"title": "t", "timestamp": "2026-11-22T12:00:00Z", "color": 1,
        "fields": [{"name": "n", "value": "v"}], "author": {"name": "a"},
        "footer": {"text": "f"}, "image": {"url": "attachment://a.png"}}]);
    record.embeds = embed::validate(&embeds, "embeds").expect("fair embeds");
    let components = json!([{"type": 1, "components": [
        {"type": 2, "style": 1, "label": "Go", "custom_id": "b1"},
        {"type": 2, "style": 5, "url": "https://example.com", "emoji": {"name": "👍"}}]}]);
    record.components = component::validate(&components, "components").expect("fair components");
    let mut message = Message::from_record(&record, |id| Some(user(id)));
    message.referenced_message = Some(Some(Box::new(Message::from_record(&asked, |_| None))));
    message.guild_id = Some(GUILD);
    message.member = Some(member(BOB).member);
    message.reactions = vec![Reaction::new(thumbs_up(), 3, true)];
    message
}

fn thumbs_up() -> ReactionEmoji {
    ReactionEmoji::parse("👍").expect("an emoji")
}

fn json_of(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("serialises")
}

/// `value` as a client library's type, through text as on the wire.
fn parse<T: DeserializeOwned>(value: &impl Serialize) -> T {
    let text = serde_json::to_string(value).expect("serialises");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

fn member_event(id: UserId) -> Value {
    let mut value = json_of(&member(id));
    value["guild_id"] = json!(GUILD);
    value
}

#[test]
fn events_have_what_clients_need() {
    let message = json_of(&reply());
    for key in [
        "member",
        "guild_id",
        "referenced_message",
        "message_reference",
    ] {
        assert!(message.get(key).is_some(), "{key}");
    }
    let role = json!({"guild_id": GUILD, "role": role()});
    let ban = json!({"guild_id": GUILD, "user": user(BOB)});
    let chunk = json!({
        "guild_id": GUILD, "members": [member(ALICE), member(BOB)], "chunk_index": 0,
        "chunk_count": 1, "presences": [presence_update()],
    });
    let found: Vec<String> = [
        ("event GUILD_CREATE", json_of(&guild_create())),
        ("event CHANNEL_CREATE", json_of(&text_channel())),
        ("event GUILD_ROLE_CREATE", role),
        ("event GUILD_MEMBER_ADD", member_event(BOB)),
        ("event GUILD_BAN_ADD", ban),
        ("event MESSAGE_CREATE", message.clone()),
        ("event MESSAGE_UPDATE", message),
        ("event PRESENCE_UPDATE", json_of(&presence_update())),
        ("event GUILD_MEMBERS_CHUNK", chunk),
    ]
    .iter()
    .flat_map(|(block, value)| faults(block, value))
    .collect();
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn answers_have_what_the_api_description_requires() {
    let message = json_of(&reply());
    let guild = GuildView {
        guild: Guild::new(GUILD, "g", ALICE),
        roles: vec![role()],
        emojis: vec![],
        stickers: vec![],
        approximate_member_count: Some(2),
        approximate_presence_count: Some(1),
    };
    let partial = PartialGuild {
        id: GUILD,
        name: "g".to_owned(),
        icon: None,
        banner: None,
        owner: true,
        permissions: Permissions::all(),
        features: vec![],
    };
    let account: Account = Account {
        user: user(ALICE),
        email: None,
        application: None,
        token_generation: 0,
    };
    let ban = Ban {
        user: user(BOB),
        reason: None,
    };
    let found: Vec<String> = [
        (
            "rest MessageAttachmentResponse",
            message["attachments"][0].clone(),
        ),
        ("rest MessageEmbedResponse", message["embeds"][0].clone()),
        (
            "rest MessageEmbedFieldResponse",
            message["embeds"][0]["fields"][0].clone(),
        ),
        (
            "rest MessageReactionResponse",
            message["reactions"][0].clone(),
        ),
        (
            "rest MessageReactionCountDetailsResponse",
            message["reactions"][0]["count_details"].clone(),
        ),
        (
            "rest MessageReactionEmojiResponse",
            message["reactions"][0]["emoji"].clone(),
        ),
        (
            "rest MessageReferenceResponse",
            message["message_reference"].clone(),
        ),
        (
            "rest BasicMessageResponse",
            message["referenced_message"].clone(),
        ),
        ("rest MessageResponse", message),
        ("rest GuildMemberResponse", json_of(&member(BOB))),
        ("rest GuildRoleResponse", json_of(&role())),
        ("rest GuildRoleColorsResponse", json_of(&role().colors)),
        ("rest GuildChannelResponse", json_of(&text_channel())),
        (
            "rest ChannelPermissionOverwriteResponse",
            json_of(&text_channel().permission_overwrites[0]),
        ),
        ("rest GuildResponse", json_of(&guild)),
        ("rest GuildWithCountsResponse", json_of(&guild)),
        ("rest MyGuildResponse", json_of(&partial)),
        ("rest UserResponse", json_of(&user(BOB))),
        ("rest UserPIIResponse", json_of(&account.current_user())),
        ("rest GuildBanResponse", json_of(&ban)),
    ]
    .iter()
    .flat_map(|(block, value)| faults(block, value))
    .collect();
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn a_missing_field_is_found() {
    let mut guild = json_of(&guild_create());
    assert_eq!(faults("event GUILD_CREATE", &guild), Vec::<String>::new());
    guild["channels"][1]
        .as_object_mut()
        .expect("a channel")
        .remove("topic");
    guild["roles"][0]["permissions"] = Value::Null;
    guild["members"] = Value::Null;
    let found = faults("event GUILD_CREATE", &guild).join("\n");
    assert!(found.contains("channels[]/topic is missing"), "{found}");
    assert!(found.contains("members is null"), "{found}");
}

#[test]
fn unset_fields_are_null_not_absent() {
    let guild = json_of(&guild_create());
    for key in [
        "icon",
        "description",
        "vanity_url_code",
        "hub_type",
        "incidents_data",
    ] {
        assert_eq!(guild.get(key), Some(&Value::Null), "{key}");
    }
    let member = json_of(&member(BOB));
    for key in [
        "nick",
        "avatar",
        "banner",
        "premium_since",
        "communication_disabled_until",
    ] {
        assert_eq!(member.get(key), Some(&Value::Null), "{key}");
    }
    let message = json_of(&reply());
    assert_eq!(message["edited_timestamp"], Value::Null);
    assert_eq!(
        message["referenced_message"]["author"]["username"],
        "Deleted User"
    );
    assert_eq!(
        json_of(&user(BOB)).get("bot"),
        None,
        "people have no `bot` key"
    );
    let mut joined = guild_create();
    joined.unavailable = None;
    assert_eq!(
        json_of(&joined).get("unavailable"),
        None,
        "a newly joined guild"
    );
}

#[test]
fn a_strict_client_reads_a_guild() {
    let theirs::GuildCreate::Available(guild) = parse(&guild_create()) else {
        panic!("an available guild");
    };
    assert_eq!((guild.id, guild.owner_id), (GUILD, ALICE));
    assert_eq!(guild.member_count, Some(2));
    assert_eq!(guild.roles.len(), 2);
    assert_eq!(guild.roles[0].permissions, everyone_default());
    assert_eq!(guild.members[1].user.name, "bob");
    assert_eq!(guild.members[0].joined_at.map(time::unix_ms), Some(NOW));
    let overwrites = guild.channels[1].permission_overwrites.as_ref();
    assert_eq!(overwrites.map(Vec::len), Some(2));
    assert_eq!(guild.channels[2].bitrate, Some(64_000));
    assert_eq!(guild.presences[0].activities[0].created_at, Some(NOW));
    let view = GuildView {
        guild: Guild::new(GUILD, "g", ALICE),
        roles: vec![role()],
        emojis: vec![],
        stickers: vec![],
        approximate_member_count: None,
        approximate_presence_count: None,
    };
    let guild: twilight_model::guild::Guild = parse(&view);
    assert_eq!(guild.roles[0].colors.primary_color, 0xff);
}

#[test]
fn a_strict_client_reads_a_message() {
    let created: theirs::MessageCreate = parse(&reply());
    assert_eq!(created.author.name, "bob");
    assert_eq!(created.mentions[0].id, ALICE);
    assert_eq!(created.mention_roles, [ROLE]);
    assert_eq!(created.attachments[0].size, 3);
    assert_eq!(created.embeds[0].fields.len(), 1);
    assert_eq!(created.components.len(), 1);
    assert_eq!(created.reactions[0].count, 3);
    assert_eq!(
        created.member.as_ref().map(|member| member.roles.len()),
        Some(1)
    );
    let asked = created
        .referenced_message
        .as_ref()
        .expect("the answered message");
    assert_eq!(asked.content, "edited");
    let updated: theirs::MessageUpdate = parse(&reply());
    assert_eq!(updated.id, created.id);
    // A reply to a message that is gone.
    let mut orphan = reply();
    orphan.referenced_message = Some(None);
    assert_eq!(
        json_of(&orphan).get("referenced_message"),
        Some(&Value::Null)
    );
    let orphan: theirs::MessageCreate = parse(&orphan);
    assert!(orphan.referenced_message.is_none());
}

#[test]
fn a_strict_client_reads_the_rest() {
    let added: theirs::MemberAdd = parse(&member_event(BOB));
    assert_eq!((added.guild_id, added.user.id), (GUILD, BOB));
    let channel: theirs::ChannelCreate = parse(&text_channel());
    assert_eq!(channel.name.as_deref(), Some("general"));
    let role: theirs::RoleCreate = parse(&json!({"guild_id": GUILD, "role": role()}));
    assert_eq!(role.role.permissions, Permissions::KICK_MEMBERS);
    let presence: theirs::PresenceUpdate = parse(&presence_update());
    assert_eq!(presence.activities.len(), 2);
    let ban: theirs::BanAdd = parse(&json!({"guild_id": GUILD, "user": user(BOB)}));
    assert_eq!(ban.user.id, BOB);
    let account = Account {
        user: user(ALICE),
        email: None,
        application: None,
        token_generation: 0,
    };
    let current: twilight_model::user::CurrentUser = parse(&account.current_user());
    assert!(current.bot && !current.mfa_enabled);
}

#[test]
fn what_is_stored_reads_back() {
    fn same<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) {
        assert_eq!(&parse::<T>(value), value);
    }
    same(&Guild::new(GUILD, "g", ALICE));
    same(&role());
    same(&text_channel());
    same(&MemberRecord::new(GUILD, ALICE, at()));
    same(&member(BOB));
    same(&reply());
    same(&presence_update());
    same(&Reaction::new(thumbs_up(), 1, false));
    let mut stored = record(9 << 22, BOB, "x");
    stored.edited_timestamp = Some(at());
    stored.tts = true;
    stored.mentions = vec![ALICE];
    same(&stored);
    let id: MessageId = stored.id;
    assert_eq!(time::unix_ms(stored.timestamp()), EPOCH_MS + 9);
    assert_eq!(model::snowflake::timestamp_ms(id), EPOCH_MS + 9);
}
