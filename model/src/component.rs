//! Message components, version 1: action rows of buttons or one select (Discord docs, Component
//! Reference, "Legacy Message Component Behavior"), and [`validate`], which makes them out of what
//! a client sent.
//!
//! ```text
//! components ─ 1..5 × action row (1) ┬ 1..5 × button (2)
//!                                    └ 1 × select (3 string, 5 user, 6 role, 7 both, 8 channel)
//! ```
//!
//! Version 2 components (flag `1 << 15`: sections, text displays, containers, …) are refused with
//! UNION_TYPE_CHOICES at their `type`, which is what Discord answers when the flag is not set.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::form::{Fields, FormErrors, check_integer, check_list, join, read_snowflake};
use crate::id::{EmojiId, Id, marker};
use crate::limits;

/// Component types (Discord docs, Component Reference, "Component Types").
pub mod kind {
    /// A row of buttons or one select.
    pub const ACTION_ROW: u8 = 1;
    /// A button.
    pub const BUTTON: u8 = 2;
    /// A select of given options.
    pub const STRING_SELECT: u8 = 3;
    /// A select of users.
    pub const USER_SELECT: u8 = 5;
    /// A select of roles.
    pub const ROLE_SELECT: u8 = 6;
    /// A select of users and roles.
    pub const MENTIONABLE_SELECT: u8 = 7;
    /// A select of channels.
    pub const CHANNEL_SELECT: u8 = 8;
}

/// Button styles (Discord docs, Component Reference, "Button Styles"); 1–4 send an interaction.
pub mod style {
    /// The first style that sends an interaction.
    pub const PRIMARY: u8 = 1;
    /// The last style that sends an interaction.
    pub const DANGER: u8 = 4;
    /// Opens a link.
    pub const LINK: u8 = 5;
    /// Opens a purchase.
    pub const PREMIUM: u8 = 6;
}

/// Channel types a channel select may be narrowed to.
const CHANNEL_TYPES: &[i64] = &[0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15, 16];

/// A top-level component (an action row), checked and put in normal form by [`validate`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Component(serde_json::Value);

impl Component {
    /// The component as it goes on the wire.
    pub fn as_json(&self) -> &Value {
        &self.0
    }
}

/// Makes components out of the array a client sent at `path` (`components`); `null` is none.
///
/// The answer is in normal form: every component has an `id` (the client's, or the next free
/// number in reading order), booleans are never `null`, keys that do not apply are gone.
///
/// # Errors
/// Every fault found, up to [`FormErrors::FAULTS_MAX`]; nothing was kept, answer 400 with 50035.
pub fn validate(value: &Value, path: &str) -> Result<Vec<Component>, FormErrors> {
    if value.is_null() {
        return Ok(Vec::new());
    }
    let mut reader = Reader::default();
    let rows = check_list(value, path, limits::ACTION_ROWS_MAX, &mut reader.errors);
    let mut read: Vec<Value> = rows
        .unwrap_or_default()
        .iter()
        .enumerate()
        .filter_map(|(index, row)| reader.row(row, join(path, index)))
        .collect();
    reader.errors.into_result()?;
    number(&mut read, &reader.ids);
    Ok(read.into_iter().map(Component).collect())
}

/// Gives every component without an id the next number that no other one has.
fn number(rows: &mut [Value], taken: &HashSet<i64>) {
    let mut free = (1_i64..).filter(|id| !taken.contains(id));
    let mut give = |component: &mut Value| {
        if let (Value::Object(map), Some(id)) = (component, free.next()) {
            map.insert("id".to_owned(), json!(id));
        }
    };
    for row in rows {
        if row.get("id").is_none() {
            give(row);
        }
        if let Some(Value::Array(children)) = row.get_mut("components") {
            for child in children
                .iter_mut()
                .filter(|child| child.get("id").is_none())
            {
                give(child);
            }
        }
    }
}

/// What must be unique in one message, and the faults found so far.
#[derive(Default)]
struct Reader {
    errors: FormErrors,
    custom_ids: HashSet<String>,
    ids: HashSet<i64>,
}

impl Reader {
    /// One top-level component.
    fn row(&mut self, value: &Value, path: String) -> Option<Value> {
        let fields = Fields::of(value, path, &mut self.errors)?;
        self.kind(&fields, &[kind::ACTION_ROW])?;
        let mut row = self.start(&fields, kind::ACTION_ROW);
        let Some(children) = fields.list("components", limits::BUTTONS_MAX, &mut self.errors)
        else {
            if fields.get("components").is_none() {
                fields.require("components", &mut self.errors);
            }
            return None;
        };
        if children.is_empty() {
            let message = format!("Must be between 1 and {} in length.", limits::BUTTONS_MAX);
            let at = fields.at("components");
            self.errors.push(at, "BASE_TYPE_BAD_LENGTH", message);
        }
        let mut read = Vec::with_capacity(children.len());
        for (index, child) in children.iter().enumerate() {
            let path = join(&fields.at("components"), index);
            if let Some(child) = self.child(child, path, children.len() > 1) {
                read.push(child);
            }
        }
        row.insert("components".to_owned(), Value::Array(read));
        Some(Value::Object(row))
    }

    /// A button or a select; a select fills the row alone.
    fn child(&mut self, value: &Value, path: String, crowded: bool) -> Option<Value> {
        let fields = Fields::of(value, path, &mut self.errors)?;
        let kinds = [
            kind::BUTTON,
            kind::STRING_SELECT,
            kind::USER_SELECT,
            kind::ROLE_SELECT,
            kind::MENTIONABLE_SELECT,
            kind::CHANNEL_SELECT,
        ];
        let kind = self.kind(&fields, &kinds)?;
        let component = if kind == kind::BUTTON {
            self.button(&fields)
        } else {
            if crowded {
                self.errors.push(
                    fields.at("type"),
                    "COMPONENT_LAYOUT_WIDTH_EXCEEDED",
                    "The specified component exceeds the maximum width",
                );
            }
            self.select(&fields, kind)
        };
        component.map(Value::Object)
    }

    /// The `type`, one of `allowed`.
    fn kind(&mut self, fields: &Fields<'_>, allowed: &[u8]) -> Option<u8> {
        if fields.get("type").is_none() {
            fields.require("type", &mut self.errors);
            return None;
        }
        let number = fields.integer("type", 0, i64::from(u8::MAX), &mut self.errors)?;
        let found = allowed
            .iter()
            .copied()
            .find(|kind| i64::from(*kind) == number);
        if found.is_none() {
            let choices: Vec<String> = allowed.iter().map(u8::to_string).collect();
            let comma = if choices.len() == 1 { "," } else { "" };
            let message = format!(
                "Value of field \"type\" must be one of ({}{comma}).",
                choices.join(", ")
            );
            self.errors
                .push(fields.at("type"), "UNION_TYPE_CHOICES", message);
        }
        found
    }

    /// A component with its `type`, and its `id` when the client chose one (0 = not chosen).
    fn start(&mut self, fields: &Fields<'_>, kind: u8) -> Map<String, Value> {
        let mut map = Map::new();
        map.insert("type".to_owned(), json!(kind));
        let id = fields.integer("id", 0, i64::from(i32::MAX), &mut self.errors);
        if let Some(id) = id.filter(|id| *id != 0) {
            if !self.ids.insert(id) {
                self.errors.push(
                    fields.at("id"),
                    "COMPONENT_ID_DUPLICATED",
                    "Component id cannot be duplicated",
                );
            }
            map.insert("id".to_owned(), json!(id));
        }
        map
    }

    /// A `custom_id` that no other component of the message has.
    fn custom_id(&mut self, fields: &Fields<'_>) -> Option<String> {
        if fields.get("custom_id").is_none() {
            fields.require("custom_id", &mut self.errors);
            return None;
        }
        let id = fields.text("custom_id", 1, limits::CUSTOM_ID_MAX, &mut self.errors)?;
        if !self.custom_ids.insert(id.clone()) {
            self.errors.push(
                fields.at("custom_id"),
                "COMPONENT_CUSTOM_ID_DUPLICATED",
                "Component custom id cannot be duplicated",
            );
        }
        Some(id)
    }

    /// Says that `key` has no place beside the chosen style.
    fn forbid(&mut self, fields: &Fields<'_>, keys: &[&str]) {
        for key in keys {
            if fields.get(key).is_some() {
                self.errors.push(
                    fields.at(key),
                    "BUTTON_COMPONENT_FIELD_NOT_ALLOWED",
                    format!("A button of this style cannot have a {key}"),
                );
            }
        }
    }

    /// A button: styles 1–4 carry a custom id, 5 a link, 6 a SKU and nothing else.
    fn button(&mut self, fields: &Fields<'_>) -> Option<Map<String, Value>> {
        let mut button = self.start(fields, kind::BUTTON);
        if fields.get("style").is_none() {
            fields.require("style", &mut self.errors);
            return None;
        }
        let style = fields.integer(
            "style",
            i64::from(style::PRIMARY),
            i64::from(style::PREMIUM),
            &mut self.errors,
        )?;
        button.insert("style".to_owned(), json!(style));
        let label = fields
            .text("label", 0, limits::BUTTON_LABEL_MAX, &mut self.errors)
            .filter(|label| !label.is_empty());
        let emoji = self.emoji(fields);
        let needs_face = style != i64::from(style::PREMIUM);
        if needs_face && label.is_none() && emoji.is_none() && fields.get("emoji").is_none() {
            fields.require("label", &mut self.errors);
        }
        if let Some(label) = label.filter(|_| needs_face) {
            button.insert("label".to_owned(), json!(label));
        }
        if let Some(emoji) = emoji.filter(|_| needs_face) {
            button.insert("emoji".to_owned(), emoji);
        }
        if style <= i64::from(style::DANGER) {
            self.forbid(fields, &["url", "sku_id"]);
            button.insert("custom_id".to_owned(), json!(self.custom_id(fields)?));
        } else if style == i64::from(style::LINK) {
            self.forbid(fields, &["custom_id", "sku_id"]);
            button.insert("url".to_owned(), json!(self.link(fields)?));
        } else {
            self.forbid(fields, &["custom_id", "url", "label", "emoji"]);
            if fields.get("sku_id").is_none() {
                fields.require("sku_id", &mut self.errors);
            }
            let sku: Id<marker::SkuMarker> = fields.snowflake("sku_id", &mut self.errors)?;
            button.insert("sku_id".to_owned(), json!(sku));
        }
        let disabled = fields.boolean("disabled", &mut self.errors);
        button.insert("disabled".to_owned(), json!(disabled.unwrap_or(false)));
        Some(button)
    }

    /// The link of a link button; `discord://` opens the client.
    fn link(&mut self, fields: &Fields<'_>) -> Option<String> {
        let schemes = ["http", "https", "discord"];
        let before = self.errors.len();
        let url = fields.url("url", limits::BUTTON_URL_MAX, &schemes, &mut self.errors);
        if url.is_none() && self.errors.len() == before {
            fields.require("url", &mut self.errors);
        }
        url
    }

    /// A partial emoji: `{name}` of a unicode emoji, or `{id, name, animated}`.
    fn emoji(&mut self, fields: &Fields<'_>) -> Option<Value> {
        let emoji = fields.object("emoji", &mut self.errors)?;
        let id: Option<EmojiId> = emoji.get("id").and_then(read_snowflake);
        let named_id = emoji.get("id").is_none() || id.is_some();
        let name = emoji
            .text("name", 0, 64, &mut self.errors)
            .filter(|name| !name.is_empty());
        let animated = emoji.boolean("animated", &mut self.errors);
        match (id, name) {
            (Some(id), name) => Some(json!({
                "id": id, "name": name, "animated": animated.unwrap_or(false),
            })),
            (None, Some(name)) if named_id && is_unicode_emoji(&name) => {
                Some(json!({"id": null, "name": name}))
            }
            _ => {
                let code = "COMPONENT_INVALID_EMOJI";
                self.errors.push(fields.at("emoji"), code, "Invalid emoji");
                None
            }
        }
    }

    /// A select of `kind`.
    fn select(&mut self, fields: &Fields<'_>, kind: u8) -> Option<Map<String, Value>> {
        let mut select = self.start(fields, kind);
        let custom_id = self.custom_id(fields);
        let most = i64::try_from(limits::SELECT_OPTIONS_MAX).unwrap_or(i64::MAX);
        let min = fields.integer("min_values", 0, most, &mut self.errors);
        let max = fields.integer("max_values", 1, most, &mut self.errors);
        let (min, max) = (min.unwrap_or(1), max.unwrap_or(1));
        if min > max && fields.get("max_values").is_some() {
            self.errors.push(
                fields.at("min_values"),
                "SELECT_COMPONENT_MIN_VALUES_TOO_LARGE",
                "Min values cannot be greater than max values",
            );
        }
        let placeholder = fields.text(
            "placeholder",
            0,
            limits::SELECT_PLACEHOLDER_MAX,
            &mut self.errors,
        );
        let disabled = fields.boolean("disabled", &mut self.errors);
        select.insert("custom_id".to_owned(), json!(custom_id));
        if let Some(placeholder) = placeholder.filter(|text| !text.is_empty()) {
            select.insert("placeholder".to_owned(), json!(placeholder));
        }
        select.insert("min_values".to_owned(), json!(min));
        select.insert("max_values".to_owned(), json!(max.max(min)));
        select.insert("disabled".to_owned(), json!(disabled.unwrap_or(false)));
        if kind == kind::STRING_SELECT {
            select.insert("options".to_owned(), Value::Array(self.options(fields)));
        } else if let Some(values) = self.default_values(fields, kind, max.max(min)) {
            select.insert("default_values".to_owned(), Value::Array(values));
        }
        if kind == kind::CHANNEL_SELECT
            && let Some(types) = self.channel_types(fields)
        {
            select.insert("channel_types".to_owned(), json!(types));
        }
        Some(select)
    }

    /// The options of a string select, 1 to 25.
    fn options(&mut self, fields: &Fields<'_>) -> Vec<Value> {
        let list = fields.list("options", limits::SELECT_OPTIONS_MAX, &mut self.errors);
        let Some(list) = list else {
            if fields.get("options").is_none() {
                fields.require("options", &mut self.errors);
            }
            return Vec::new();
        };
        if list.is_empty() {
            fields.require("options", &mut self.errors);
        }
        let path = fields.at("options");
        let mut values = HashSet::new();
        let mut options = Vec::with_capacity(list.len());
        for (index, value) in list.iter().enumerate() {
            let Some(option) = Fields::of(value, join(&path, index), &mut self.errors) else {
                continue;
            };
            let max = limits::SELECT_OPTION_TEXT_MAX;
            let label = option.required_text("label", max, &mut self.errors);
            let value = option.required_text("value", max, &mut self.errors);
            let description = option.text("description", 0, max, &mut self.errors);
            let default = option.boolean("default", &mut self.errors);
            let emoji = self.emoji(&option);
            let (Some(label), Some(value)) = (label, value) else {
                continue;
            };
            if !values.insert(value.clone()) {
                self.errors.push(
                    option.at("value"),
                    "SELECT_COMPONENT_OPTION_VALUE_DUPLICATED",
                    "The specified option value is already used",
                );
            }
            let mut read = Map::new();
            read.insert("label".to_owned(), json!(label));
            read.insert("value".to_owned(), json!(value));
            if let Some(description) = description.filter(|text| !text.is_empty()) {
                read.insert("description".to_owned(), json!(description));
            }
            if let Some(emoji) = emoji {
                read.insert("emoji".to_owned(), emoji);
            }
            read.insert("default".to_owned(), json!(default.unwrap_or(false)));
            options.push(Value::Object(read));
        }
        options
    }

    /// The values chosen from the start; `None` when there are none.
    fn default_values(&mut self, fields: &Fields<'_>, kind: u8, max: i64) -> Option<Vec<Value>> {
        let allowed: &[&str] = match kind {
            kind::USER_SELECT => &["user"],
            kind::ROLE_SELECT => &["role"],
            kind::MENTIONABLE_SELECT => &["user", "role"],
            _ => &["channel"],
        };
        let max = usize::try_from(max).unwrap_or(limits::SELECT_OPTIONS_MAX);
        let list = fields.list("default_values", max, &mut self.errors)?;
        let path = fields.at("default_values");
        let mut values = Vec::with_capacity(list.len());
        for (index, value) in list.iter().enumerate() {
            let Some(entry) = Fields::of(value, join(&path, index), &mut self.errors) else {
                continue;
            };
            if entry.get("id").is_none() {
                entry.require("id", &mut self.errors);
            }
            let id: Option<Id<marker::GenericMarker>> = entry.snowflake("id", &mut self.errors);
            // The kind may be left out where only one is possible.
            let named = entry.text("type", 0, 16, &mut self.errors);
            let named = match (named, allowed) {
                (None, [only]) => (*only).to_owned(),
                (named, _) => named.unwrap_or_default(),
            };
            if !allowed.contains(&named.as_str()) {
                let message = format!("Value must be one of ('{}').", allowed.join("', '"));
                self.errors
                    .push(entry.at("type"), "BASE_TYPE_CHOICES", message);
            }
            if let Some(id) = id {
                values.push(json!({"id": id, "type": named}));
            }
        }
        (!values.is_empty()).then_some(values)
    }

    /// The channel types a channel select is narrowed to, each once.
    fn channel_types(&mut self, fields: &Fields<'_>) -> Option<Vec<i64>> {
        let list = fields.list("channel_types", CHANNEL_TYPES.len(), &mut self.errors)?;
        let path = fields.at("channel_types");
        let mut types = Vec::with_capacity(list.len());
        for (index, value) in list.iter().enumerate() {
            let at = || join(&path, index);
            let Some(kind) = check_integer(value, at, 0, i64::from(u8::MAX), &mut self.errors)
            else {
                continue;
            };
            if !CHANNEL_TYPES.contains(&kind) {
                let choices: Vec<String> = CHANNEL_TYPES.iter().map(i64::to_string).collect();
                let message = format!("Value must be one of ({}).", choices.join(", "));
                self.errors.push(at(), "BASE_TYPE_CHOICES", message);
            } else if !types.contains(&kind) {
                types.push(kind);
            }
        }
        (!types.is_empty()).then_some(types)
    }
}

/// Whether `name` can be a unicode emoji: something beyond ASCII and no plain letters. (Keycaps
/// such as `1️⃣` begin with an ASCII digit; `🅰` counts as alphabetic in Unicode.)
fn is_unicode_emoji(name: &str) -> bool {
    !name.is_ascii()
        && !name
            .chars()
            .any(|c| c.is_ascii_alphabetic() || c.is_whitespace())
}

#[cfg(test)]
mod tests;
