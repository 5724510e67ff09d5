//! Presence: whether a user is there, and what they are doing; [`normalise`] makes one out of what
//! a client sent, tolerantly, so that no other client trips over it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::form::{Fields, FormErrors, check_list, fields::cut, join, read_snowflake};
use crate::id::{EmojiId, GuildId, UserId};
use crate::limits::{ACTIVITIES_MAX, ACTIVITY_TEXT_MAX, URL_MAX};

/// Online status (Discord docs, Gateway Events, "Update Presence Status Types").
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// There.
    #[default]
    Online,
    /// Do not disturb.
    Dnd,
    /// Away.
    Idle,
    /// There, but shown as offline.
    Invisible,
    /// Not there.
    Offline,
}

impl Status {
    /// As others see it: invisible is offline.
    pub fn shown(self) -> Self {
        if self == Self::Invisible {
            Self::Offline
        } else {
            self
        }
    }
}

/// What one session says of its user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// Status.
    pub status: Status,
    /// Activities in normal form (`created_at` set by the server).
    #[serde(default)]
    pub activities: Vec<Value>,
    /// Unix milliseconds since when idle.
    #[serde(default)]
    pub since: Option<u64>,
    /// Away from the keyboard.
    #[serde(default)]
    pub afk: bool,
}

/// The data of PRESENCE_UPDATE (Discord docs, Gateway Events, "Presence Update").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresenceUpdate {
    /// Whose.
    pub user: PresenceUser,
    /// In which guild.
    pub guild_id: GuildId,
    /// Status as shown.
    pub status: Status,
    /// Activities.
    pub activities: Vec<Value>,
    /// Status by platform.
    pub client_status: ClientStatus,
}

/// Status by platform, of those a user is on (Discord docs, Gateway Events, "Client Status
/// Object"). Three bytes, because there are two of them for everybody who is there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientStatus {
    /// In a desktop application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desktop: Option<Status>,
    /// On a telephone or tablet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mobile: Option<Status>,
    /// In a browser; also every bot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web: Option<Status>,
}

impl ClientStatus {
    /// Whether the user is on no platform.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The user of a presence: the id alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresenceUser {
    /// The user.
    pub id: UserId,
}

/// Activity types (Discord docs, Gateway Events, "Activity Types").
pub mod activity_kind {
    /// "Playing …".
    pub const PLAYING: i64 = 0;
    /// "Streaming …"; the only one that has a `url`.
    pub const STREAMING: i64 = 1;
    /// A custom status: `state` and `emoji`.
    pub const CUSTOM: i64 = 4;
    /// "Competing in …".
    pub const COMPETING: i64 = 5;
    /// What one does in a voice channel; people's clients send it. The last one.
    pub const HANG_STATUS: i64 = 6;
}

/// Makes a presence out of the `d` of op 3, or `presence` of IDENTIFY, at wall-clock time `now_ms`.
///
/// Tolerant where clients are sloppy: `null` is the default presence, `activities: null` is none,
/// `null` fields of an activity are not there, texts are cut at 128 characters, activities past
/// [`ACTIVITIES_MAX`] and those without a name are dropped. Of an activity `name`, `type`, `state`,
/// `url` (of streams) and `emoji` (of custom statuses) are kept, as Discord does for bots (Gateway
/// Events, "Activity Structure": "Bot users are only able to set `name`, `state`, `type`, and
/// `url`"); `id` and `created_at` are the server's: clients send `null` there, and some libraries
/// drop the whole event when it is echoed.
///
/// # Errors
/// An unknown status, an unknown activity type, or values of the wrong type; the presence stays as
/// it was, close the connection with 4002.
pub fn normalise(value: &Value, now_ms: u64) -> Result<Presence, FormErrors> {
    if value.is_null() {
        return Ok(Presence::default());
    }
    let mut errors = FormErrors::new();
    let mut presence = Presence::default();
    if let Some(fields) = Fields::of(value, "", &mut errors) {
        presence.status = status(&fields, &mut errors);
        presence.activities = activities(&fields, now_ms, &mut errors);
        // Seconds with fractions and 0 are seen in the wild; 0 means "not idle".
        presence.since = fields
            .get("since")
            .and_then(|since| since.as_u64().or_else(|| since.as_f64().map(|f| f as u64)))
            .filter(|since| *since != 0);
        presence.afk = fields.boolean("afk", &mut errors).unwrap_or(false);
    }
    errors.into_result()?;
    Ok(presence)
}

/// The status; not sent is online.
fn status(fields: &Fields<'_>, errors: &mut FormErrors) -> Status {
    let Some(value) = fields.get("status") else {
        return Status::default();
    };
    serde_json::from_value(value.clone()).unwrap_or_else(|_| {
        errors.push(
            fields.at("status"),
            "BASE_TYPE_CHOICES",
            "Value must be one of ('online', 'dnd', 'idle', 'invisible', 'offline').",
        );
        Status::default()
    })
}

/// The activities; old clients send one as `game`.
fn activities(fields: &Fields<'_>, now_ms: u64, errors: &mut FormErrors) -> Vec<Value> {
    let path = fields.at("activities");
    let list = match (fields.get("activities"), fields.get("game")) {
        (Some(list), _) => check_list(list, &path, usize::MAX, errors).unwrap_or_default(),
        (None, Some(game)) => std::slice::from_ref(game),
        (None, None) => &[],
    };
    list.iter()
        .enumerate()
        .filter(|(_, value)| !value.is_null())
        .filter_map(|(index, value)| {
            let fields = Fields::of(value, join(&path, index), errors)?;
            activity(&fields, now_ms, errors)
        })
        .take(ACTIVITIES_MAX)
        .collect()
}

/// One activity in normal form; `None` when it has no name to show.
fn activity(fields: &Fields<'_>, now_ms: u64, errors: &mut FormErrors) -> Option<Value> {
    let kind = match fields.get("type") {
        Some(_) => fields.integer("type", 0, activity_kind::HANG_STATUS, errors)?,
        None => activity_kind::PLAYING,
    };
    let mut text = |key: &str| {
        let text = fields.text(key, 0, usize::MAX, errors)?;
        Some(cut(&text, ACTIVITY_TEXT_MAX)).filter(|text| !text.trim().is_empty())
    };
    let name = match (text("name"), kind) {
        (Some(name), _) => name,
        (None, activity_kind::CUSTOM) => "Custom Status".to_owned(),
        (None, _) => return None,
    };
    let state = text("state");

    let mut activity = Map::new();
    activity.insert("id".to_owned(), json!(activity_id(kind, &name)));
    activity.insert("name".to_owned(), json!(name));
    activity.insert("type".to_owned(), json!(kind));
    activity.insert("created_at".to_owned(), json!(now_ms));
    if let Some(state) = state {
        activity.insert("state".to_owned(), json!(state));
    }
    if kind == activity_kind::STREAMING {
        // A link that is no link is dropped, not refused: the stream still shows.
        let url = fields.url("url", URL_MAX, &["http", "https"], &mut FormErrors::new());
        if let Some(url) = url {
            activity.insert("url".to_owned(), json!(url));
        }
    }
    if kind == activity_kind::CUSTOM
        && let Some(emoji) = emoji(fields)
    {
        activity.insert("emoji".to_owned(), emoji);
    }
    Some(Value::Object(activity))
}

/// The emoji of a custom status; one without a name is none.
fn emoji(fields: &Fields<'_>) -> Option<Value> {
    let mut ignored = FormErrors::new();
    let emoji = fields.object("emoji", &mut ignored)?;
    let name = emoji.text("name", 1, usize::MAX, &mut ignored)?;
    let mut read = Map::new();
    read.insert("name".to_owned(), json!(cut(&name, 64)));
    let id: Option<EmojiId> = emoji.get("id").and_then(read_snowflake);
    if let Some(id) = id {
        let animated = emoji.boolean("animated", &mut ignored).unwrap_or(false);
        read.insert("id".to_owned(), json!(id));
        read.insert("animated".to_owned(), json!(animated));
    }
    Some(Value::Object(read))
}

/// An id that is the same for the same activity: `custom`, or 16 hexadecimal digits (FNV-1a of
/// type and name, so that it does not change with every update).
fn activity_id(kind: i64, name: &str) -> String {
    if kind == activity_kind::CUSTOM {
        return "custom".to_owned();
    }
    let hash = kind
        .to_le_bytes()
        .iter()
        .chain(name.as_bytes())
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests;
