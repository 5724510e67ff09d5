//! What a client may send, and how it is read out of bytes (Discord docs, Gateway Events, "Send
//! Events"). Strict about types, tolerant where real clients are known to be sloppy; each such
//! place says who.

use chat::guild::command::MembersRequest;
use model::form::read_snowflake;
use model::intents::Intents;
use model::{GuildId, UserId};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::close::CloseCode;
use super::opcode::Opcode;

mod subscriptions;

pub use subscriptions::{
    LIST_CHANNELS_MAX, RANGE_MEMBERS_MAX, RANGES_MAX, SUBSCRIBED_MEMBERS_MAX, SUBSCRIPTIONS_MAX,
    Subscriptions,
};

/// Longest payload a bot may send, bytes (Discord docs, Gateway, "Sending Events"); more is
/// answered with close 4002.
pub const BOT_PAYLOAD_BYTES_MAX: usize = 4_096;

/// Longest payload a person's client may send, bytes: such clients subscribe to many channels at
/// once. More is answered with close 4002.
pub const USER_PAYLOAD_BYTES_MAX: usize = 15 * 1_024;

/// `large_threshold` when none is sent (Discord docs, Gateway Events, "Identify Structure").
pub const LARGE_THRESHOLD_DEFAULT: u64 = 50;

/// Smallest and largest `large_threshold`; others are moved to the nearer end.
pub const LARGE_THRESHOLD_RANGE: std::ops::RangeInclusive<u64> = 50..=250;

/// Most shards a bot may cut its guilds into.
pub const SHARDS_MAX: u32 = 16_384;

/// Longest `nonce` of op 8, bytes; longer ones are dropped (Discord docs, "Request Guild Members").
pub const NONCE_BYTES_MAX: usize = 32;

/// Most `user_ids` of op 8 looked at; further ones are left out.
pub const USER_IDS_MAX: usize = 100;

/// Most members a prefix query of op 8 gives.
pub const QUERY_MEMBERS_MAX: usize = 100;

/// Longest session id looked at; longer ones name no session.
pub const SESSION_ID_BYTES_MAX: usize = 64;

/// How Discord's apps on phones name themselves in `browser`.
const DISCORD_APPS: [&str; 2] = ["Discord iOS", "Discord Android"];

/// One payload of a client.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientPayload {
    /// Op 1 and op 40: still there, and has everything up to this number.
    Heartbeat(Option<u64>),
    /// Op 2.
    Identify(Box<Identify>),
    /// Op 3: its `d`, for [`model::presence::normalise`].
    PresenceUpdate(Box<Value>),
    /// Op 6.
    Resume(Resume),
    /// Op 8.
    RequestMembers(Box<RequestMembers>),
    /// Op 14 and op 37.
    Subscriptions(Subscriptions),
    /// Well-formed, and nothing is done about it: voice (op 4), or a request that names no guild.
    Ignored(Opcode),
}

impl ClientPayload {
    /// Its opcode, for metrics.
    pub fn opcode(&self) -> Opcode {
        match self {
            Self::Heartbeat(_) => Opcode::Heartbeat,
            Self::Identify(_) => Opcode::Identify,
            Self::PresenceUpdate(_) => Opcode::PresenceUpdate,
            Self::Resume(_) => Opcode::Resume,
            Self::RequestMembers(_) => Opcode::RequestGuildMembers,
            Self::Subscriptions(subscriptions) => subscriptions.opcode,
            Self::Ignored(opcode) => *opcode,
        }
    }
}

/// Op 2 as asked (Discord docs, "Identify Structure").
#[derive(Debug, Clone, PartialEq)]
pub struct Identify {
    /// Token, perhaps with the prefix `Bot ` (eris sends it).
    pub token: String,
    /// Where the client runs, out of `properties`.
    pub platform: Device,
    /// Whether the client runs on a phone: `properties` say so by `os` or `browser`, in whatever
    /// case. Presences show [`Device::Mobile`] only for what Discord's own apps send.
    pub mobile: bool,
    /// Whether payload compression is wanted; transport compression overrides it.
    pub compress: bool,
    /// Members from which on offline ones are left out of GUILD_CREATE, 50–250.
    pub large_threshold: u64,
    /// Shard `[id, count]`, with `id < count`.
    pub shard: Option<(u32, u32)>,
    /// First presence as sent, for [`model::presence::normalise`].
    pub presence: Option<Value>,
    /// Intents; `None` = not sent, which only people may do.
    pub intents: Option<Intents>,
}

/// Kind of device a client says it runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// A desktop client, and every bot that says nothing else.
    Desktop,
    /// `browser` is `Discord iOS` or `Discord Android`.
    Mobile,
    /// A browser.
    Web,
}

/// Op 6 as asked (Discord docs, "Resume Structure").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    /// Token, perhaps with the prefix `Bot `.
    pub token: String,
    /// Session to go on with.
    pub session_id: String,
    /// Number of the last event the client has.
    pub sequence: u64,
}

/// Op 8 as asked (Discord docs, "Request Guild Members Structure").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestMembers {
    /// Guild.
    pub guild: GuildId,
    /// Which members.
    pub request: MembersRequest,
    /// Echoed in the chunks.
    pub nonce: Option<String>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    op: Value,
    #[serde(borrow, default)]
    d: Option<&'a RawValue>,
}

/// Reads one payload.
///
/// # Errors
/// The close code to end the connection with; nothing has been done.
pub fn parse(bytes: &[u8]) -> Result<ClientPayload, CloseCode> {
    let envelope: Envelope<'_> =
        serde_json::from_slice(bytes).map_err(|_| CloseCode::DecodeError)?;
    let opcode = match (envelope.op.as_u64(), envelope.op.as_i64()) {
        (Some(number), _) => Opcode::from_client(number).ok_or(CloseCode::UnknownOpcode)?,
        (None, Some(_)) => return Err(CloseCode::UnknownOpcode),
        (None, None) => return Err(CloseCode::DecodeError),
    };
    let data = envelope.d.map_or("null", RawValue::get);
    match opcode {
        Opcode::Heartbeat => heartbeat(data),
        Opcode::QosHeartbeat => qos_heartbeat(data),
        Opcode::Identify => identify(data),
        Opcode::PresenceUpdate => presence_update(data),
        Opcode::Resume => resume(data),
        Opcode::RequestGuildMembers => request_members(data),
        Opcode::LazyRequest => subscriptions::lazy_request(data),
        Opcode::GuildSubscriptionsBulk => subscriptions::bulk(data),
        other => Ok(ClientPayload::Ignored(other)),
    }
}

fn decode<'a, T: Deserialize<'a>>(data: &'a str) -> Result<T, CloseCode> {
    serde_json::from_str(data).map_err(|_| CloseCode::DecodeError)
}

fn heartbeat(data: &str) -> Result<ClientPayload, CloseCode> {
    decode(data).map(ClientPayload::Heartbeat)
}

/// Op 40 carries the number in `seq` (Fermi sends it instead of op 1 after the first answer).
fn qos_heartbeat(data: &str) -> Result<ClientPayload, CloseCode> {
    #[derive(Deserialize)]
    struct Qos {
        #[serde(default)]
        seq: Option<u64>,
    }
    let qos: Option<Qos> = decode(data)?;
    Ok(ClientPayload::Heartbeat(qos.and_then(|qos| qos.seq)))
}

fn identify(data: &str) -> Result<ClientPayload, CloseCode> {
    let fields: Map<String, Value> = decode(data)?;
    let properties = match fields.get("properties") {
        None | Some(Value::Null) => None,
        Some(Value::Object(properties)) => Some(properties),
        Some(_) => return Err(CloseCode::DecodeError),
    };
    let compress = match fields.get("compress") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(compress)) => *compress,
        Some(_) => return Err(CloseCode::DecodeError),
    };
    let large_threshold = match fields.get("large_threshold") {
        None | Some(Value::Null) => LARGE_THRESHOLD_DEFAULT,
        Some(Value::Number(number)) => number.as_u64().unwrap_or(0),
        Some(_) => return Err(CloseCode::DecodeError),
    };
    let presence = match fields.get("presence") {
        None | Some(Value::Null) => None,
        Some(presence @ Value::Object(_)) => Some(presence.clone()),
        Some(_) => return Err(CloseCode::DecodeError),
    };
    Ok(ClientPayload::Identify(Box::new(Identify {
        token: text(&fields, "token")?,
        platform: properties.map_or(Device::Desktop, device),
        mobile: properties.is_some_and(is_mobile),
        compress,
        large_threshold: large_threshold
            .clamp(*LARGE_THRESHOLD_RANGE.start(), *LARGE_THRESHOLD_RANGE.end()),
        shard: shard(fields.get("shard"))?,
        presence,
        intents: intents(fields.get("intents"))?,
    })))
}

fn text(fields: &Map<String, Value>, key: &str) -> Result<String, CloseCode> {
    fields
        .get(key)
        .and_then(Value::as_str)
        .map(str::to_owned)
        .ok_or(CloseCode::DecodeError)
}

/// Libraries name the keys `browser` or, from before version 8, `$browser`.
fn property<'a>(properties: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    properties
        .get(key)
        .or_else(|| properties.get(&format!("${key}")))
        .and_then(Value::as_str)
}

fn is_mobile(properties: &Map<String, Value>) -> bool {
    let says = |key: &str, names: [&str; 2]| {
        property(properties, key)
            .is_some_and(|value| names.iter().any(|name| value.eq_ignore_ascii_case(name)))
    };
    says("os", ["iOS", "Android"]) || says("browser", DISCORD_APPS)
}

fn device(properties: &Map<String, Value>) -> Device {
    match property(properties, "browser") {
        Some(browser) if DISCORD_APPS.contains(&browser) => Device::Mobile,
        Some("Chrome" | "Firefox" | "Safari" | "Edge" | "Opera" | "Guildhall page") => Device::Web,
        _ => Device::Desktop,
    }
}

fn shard(value: Option<&Value>) -> Result<Option<(u32, u32)>, CloseCode> {
    let pair = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(pair)) => pair,
        Some(_) => return Err(CloseCode::DecodeError),
    };
    let [id, count] = pair.as_slice() else {
        return Err(CloseCode::InvalidShard);
    };
    let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
    match (number(id), number(count)) {
        (Some(id), Some(count)) if id < count && count <= SHARDS_MAX => Ok(Some((id, count))),
        _ => Err(CloseCode::InvalidShard),
    }
}

fn intents(value: Option<&Value>) -> Result<Option<Intents>, CloseCode> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => {
            let intents = number.as_u64().and_then(Intents::from_bits);
            intents.map(Some).ok_or(CloseCode::InvalidIntents)
        }
        Some(_) => Err(CloseCode::DecodeError),
    }
}

fn presence_update(data: &str) -> Result<ClientPayload, CloseCode> {
    let fields: Map<String, Value> = decode(data)?;
    Ok(ClientPayload::PresenceUpdate(Box::new(Value::Object(
        fields,
    ))))
}

fn resume(data: &str) -> Result<ClientPayload, CloseCode> {
    #[derive(Deserialize)]
    struct Data {
        token: String,
        session_id: String,
        seq: u64,
    }
    let Data {
        token,
        session_id,
        seq,
    } = decode(data)?;
    Ok(ClientPayload::Resume(Resume {
        token,
        session_id,
        sequence: seq,
    }))
}

fn request_members(data: &str) -> Result<ClientPayload, CloseCode> {
    let fields: Map<String, Value> = decode(data)?;
    // One guild; user clients send it in a list, and DPS an empty one.
    let guild = match fields.get("guild_id") {
        Some(Value::Array(guilds)) => guilds.first(),
        other => other,
    };
    let Some(guild) = guild.filter(|guild| !guild.is_null()) else {
        return Ok(ClientPayload::Ignored(Opcode::RequestGuildMembers));
    };
    let guild: GuildId = read_snowflake(guild).ok_or(CloseCode::DecodeError)?;
    let user_ids: Vec<UserId> = match fields.get("user_ids") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(ids)) => {
            let ids: Option<_> = ids.iter().take(USER_IDS_MAX).map(read_snowflake).collect();
            ids.ok_or(CloseCode::DecodeError)?
        }
        Some(one) => vec![read_snowflake(one).ok_or(CloseCode::DecodeError)?],
    };
    let query = match fields.get("query") {
        None | Some(Value::Null) => None,
        Some(Value::String(query)) => Some(query.clone()),
        Some(_) => return Err(CloseCode::DecodeError),
    };
    let limit = match fields.get("limit") {
        None | Some(Value::Null) => 0,
        Some(limit) => limit.as_u64().ok_or(CloseCode::DecodeError)?,
    };
    let presences = match fields.get("presences") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(presences)) => *presences,
        Some(_) => return Err(CloseCode::DecodeError),
    };
    let nonce = fields
        .get("nonce")
        .and_then(Value::as_str)
        .filter(|nonce| nonce.len() <= NONCE_BYTES_MAX);
    let (query, limit) = match query {
        _ if !user_ids.is_empty() => (None, 0),
        Some(query) if query.is_empty() && limit == 0 => (Some(query), 0),
        Some(query) => {
            let limit = usize::try_from(limit).unwrap_or(QUERY_MEMBERS_MAX);
            let limit = if limit == 0 {
                QUERY_MEMBERS_MAX
            } else {
                limit.min(QUERY_MEMBERS_MAX)
            };
            (Some(query), limit)
        }
        // Asks for nobody.
        None => return Ok(ClientPayload::Ignored(Opcode::RequestGuildMembers)),
    };
    Ok(ClientPayload::RequestMembers(Box::new(RequestMembers {
        guild,
        request: MembersRequest {
            query,
            limit,
            user_ids,
            presences,
        },
        nonce: nonce.map(str::to_owned),
    })))
}

#[cfg(test)]
mod tests;
