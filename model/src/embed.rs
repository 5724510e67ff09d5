//! Embeds of a message (Discord docs, Message Resource, "Embed Object" and "Embed Limits"), and
//! [`validate`], which makes them out of what a client sent.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::form::fields::unsupported_scheme;
use crate::form::{Fields, FormErrors, check_list, join};
use crate::limits;
use crate::time;

/// A rich embed; absent fields are left out on the wire, as Discord does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Embed {
    /// Always `rich` for embeds a client sent.
    #[serde(rename = "type", default = "rich")]
    pub kind: String,
    /// Title, at most 256 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Text, at most 4,096 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Link of the title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// ISO 8601 time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    /// Colour as 0xRRGGBB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color: Option<u32>,
    /// Footer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub footer: Option<EmbedFooter>,
    /// Image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<EmbedMedia>,
    /// Thumbnail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thumbnail: Option<EmbedMedia>,
    /// Author.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<EmbedAuthor>,
    /// Fields, at most 25.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<EmbedField>,
}

fn rich() -> String {
    "rich".to_owned()
}

/// Footer of an embed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmbedFooter {
    /// Text, at most 2,048 characters.
    pub text: String,
    /// Icon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icon_url: Option<String>,
}

/// Image or thumbnail of an embed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmbedMedia {
    /// Where it is: http or https. In what a client sends also `attachment://name`; in what is
    /// stored the path of a file of the message.
    pub url: String,
}

/// Author of an embed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmbedAuthor {
    /// Name, at most 256 characters.
    pub name: String,
    /// Link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Icon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icon_url: Option<String>,
}

/// A field of an embed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmbedField {
    /// Name, 1–256 characters.
    pub name: String,
    /// Value, 1–1,024 characters.
    pub value: String,
    /// Whether it stands beside its neighbours.
    #[serde(default)]
    pub inline: bool,
}

/// Schemes of a link.
const LINK_SCHEMES: &[&str] = &["http", "https"];
/// Schemes of a picture: also the files of the message itself.
const MEDIA_SCHEMES: &[&str] = &["http", "https", "attachment"];

/// Where an embed has pictures.
const PICTURES: [&str; 4] = [
    "image.url",
    "thumbnail.url",
    "author.icon_url",
    "footer.icon_url",
];

impl Embed {
    /// Characters that count towards [`limits::EMBED_TOTAL_MAX`] (Discord docs, Message Resource,
    /// "Embed Limits": title, description, field names and values, footer text, author name).
    pub fn length(&self) -> usize {
        let optional = |text: Option<&String>| text.map_or(0, |text| text.chars().count());
        optional(self.title.as_ref())
            + optional(self.description.as_ref())
            + optional(self.footer.as_ref().map(|footer| &footer.text))
            + optional(self.author.as_ref().map(|author| &author.name))
            + self
                .fields
                .iter()
                .map(|field| field.name.chars().count() + field.value.chars().count())
                .sum::<usize>()
    }

    /// Links of its pictures, each with its path in the embed.
    pub fn pictures(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let image = self.image.as_ref().map(|image| &image.url);
        let thumbnail = self.thumbnail.as_ref().map(|image| &image.url);
        let author = self.author.as_ref().and_then(|it| it.icon_url.as_ref());
        let footer = self.footer.as_ref().and_then(|it| it.icon_url.as_ref());
        PICTURES
            .into_iter()
            .zip([image, thumbnail, author, footer])
            .filter_map(|(path, link)| Some((path, link?.as_str())))
    }

    /// The same, to be changed.
    pub fn pictures_mut(&mut self) -> impl Iterator<Item = (&'static str, &mut String)> {
        let image = self.image.as_mut().map(|image| &mut image.url);
        let thumbnail = self.thumbnail.as_mut().map(|image| &mut image.url);
        let author = self.author.as_mut().and_then(|it| it.icon_url.as_mut());
        let footer = self.footer.as_mut().and_then(|it| it.icon_url.as_mut());
        PICTURES
            .into_iter()
            .zip([image, thumbnail, author, footer])
            .filter_map(|(path, link)| Some((path, link?)))
    }

    /// Whether there is anything to see: text, fields or a picture.
    fn is_visible(&self) -> bool {
        self.title.is_some()
            || self.description.is_some()
            || self.footer.is_some()
            || self.author.is_some()
            || self.image.is_some()
            || self.thumbnail.is_some()
            || !self.fields.is_empty()
    }
}

/// Makes embeds out of the array a client sent at `path` (`embeds`); `null` is no embeds.
///
/// Follows Discord: the `type` a client sends is ignored (always `rich`), so are unknown keys,
/// `provider` and `video`; empty texts count as not sent; timestamps become UTC.
///
/// # Errors
/// Every fault found, up to [`FormErrors::FAULTS_MAX`]; nothing was kept, answer 400 with 50035.
pub fn validate(value: &Value, path: &str) -> Result<Vec<Embed>, FormErrors> {
    let mut errors = FormErrors::new();
    if value.is_null() {
        return Ok(Vec::new());
    }
    let list = check_list(value, path, limits::EMBEDS_MAX, &mut errors).unwrap_or_default();
    let mut embeds = Vec::with_capacity(list.len());
    for (index, value) in list.iter().enumerate() {
        if let Some(fields) = Fields::of(value, join(path, index), &mut errors) {
            embeds.push(read(&fields, &mut errors));
        }
    }
    if embeds.iter().map(Embed::length).sum::<usize>() > limits::EMBED_TOTAL_MAX {
        let message = format!(
            "Embed size exceeds maximum size of {}",
            limits::EMBED_TOTAL_MAX
        );
        errors.push(path, "MAX_EMBED_SIZE_EXCEEDED", message);
    }
    errors.into_result()?;
    Ok(embeds)
}

/// Puts the links of the message's own files in the place of `attachment://name`, in embeds that
/// were sent at `path` (Discord docs, Message Resource, "Uploading Files", "Using Attachments within
/// Embeds"). `link` finds the link of a file by the name a client gave it.
///
/// # Errors
/// A name that no file has is refused as Discord does: then the scheme is left, which is none of a
/// link.
pub fn resolve_files(
    embeds: &mut [Embed],
    path: &str,
    link: impl Fn(&str) -> Option<String>,
    errors: &mut FormErrors,
) {
    for (index, embed) in embeds.iter_mut().enumerate() {
        for (key, picture) in embed.pictures_mut() {
            let Some((scheme, name)) = picture.split_once("://") else {
                continue;
            };
            if !scheme.eq_ignore_ascii_case("attachment") {
                continue;
            }
            match link(name) {
                Some(link) => *picture = link,
                None => errors.push(
                    join(&join(path, index), key),
                    "URL_TYPE_INVALID_SCHEME",
                    unsupported_scheme(scheme),
                ),
            }
        }
    }
}

/// One embed; faults go to `errors`.
fn read(fields: &Fields<'_>, errors: &mut FormErrors) -> Embed {
    // A fault of its own is enough: "nothing to see" is said only of embeds that are well formed.
    let before = errors.len();
    let embed = Embed {
        kind: rich(),
        title: text(fields, "title", limits::EMBED_TITLE_MAX, errors),
        description: text(fields, "description", limits::EMBED_DESCRIPTION_MAX, errors),
        url: fields.url("url", limits::URL_MAX, LINK_SCHEMES, errors),
        timestamp: timestamp(fields, errors),
        color: color(fields, errors),
        footer: footer(fields, errors),
        image: media(fields, "image", errors),
        thumbnail: media(fields, "thumbnail", errors),
        author: author(fields, errors),
        fields: list_of_fields(fields, errors),
    };
    if errors.len() == before && !embed.is_visible() {
        fields.require("description", errors);
    }
    embed
}

/// A text that is not blank.
fn text(fields: &Fields<'_>, key: &str, max: usize, errors: &mut FormErrors) -> Option<String> {
    fields
        .text(key, 0, max, errors)
        .filter(|text| !text.trim().is_empty())
}

/// The colour; old clients send floats.
fn color(fields: &Fields<'_>, errors: &mut FormErrors) -> Option<u32> {
    fields
        .integer("color", 0, 0xff_ff_ff, errors)
        .and_then(|color| u32::try_from(color).ok())
}

/// The time, put into UTC.
fn timestamp(fields: &Fields<'_>, errors: &mut FormErrors) -> Option<String> {
    let written = fields.text("timestamp", 0, 64, errors)?;
    let parsed = time::parse(&written);
    if parsed.is_none() {
        errors.push(
            fields.at("timestamp"),
            "DATE_TIME_TYPE_PARSE",
            format!(
                "Could not parse {}. Should be ISO8601.",
                crate::form::fields::cut(&written, 64)
            ),
        );
    }
    parsed.map(|at| at.iso_8601().to_string())
}

/// The footer; one without text is none.
fn footer(fields: &Fields<'_>, errors: &mut FormErrors) -> Option<EmbedFooter> {
    let footer = fields.object("footer", errors)?;
    let icon_url = footer.url("icon_url", limits::URL_MAX, MEDIA_SCHEMES, errors);
    let text = text(&footer, "text", limits::EMBED_FOOTER_MAX, errors)?;
    Some(EmbedFooter { text, icon_url })
}

/// The author; one without name is none.
fn author(fields: &Fields<'_>, errors: &mut FormErrors) -> Option<EmbedAuthor> {
    let author = fields.object("author", errors)?;
    let url = author.url("url", limits::URL_MAX, LINK_SCHEMES, errors);
    let icon_url = author.url("icon_url", limits::URL_MAX, MEDIA_SCHEMES, errors);
    let name = text(&author, "name", limits::EMBED_AUTHOR_MAX, errors)?;
    Some(EmbedAuthor {
        name,
        url,
        icon_url,
    })
}

/// A picture; one without link is none.
fn media(fields: &Fields<'_>, key: &str, errors: &mut FormErrors) -> Option<EmbedMedia> {
    let media = fields.object(key, errors)?;
    let url = media.url("url", limits::URL_MAX, MEDIA_SCHEMES, errors)?;
    Some(EmbedMedia { url })
}

/// The fields of an embed.
fn list_of_fields(fields: &Fields<'_>, errors: &mut FormErrors) -> Vec<EmbedField> {
    let Some(list) = fields.list("fields", limits::EMBED_FIELDS_MAX, errors) else {
        return Vec::new();
    };
    let path = fields.at("fields");
    let mut read = Vec::with_capacity(list.len());
    for (index, value) in list.iter().enumerate() {
        let Some(field) = Fields::of(value, join(&path, index), errors) else {
            continue;
        };
        let name = field.required_text("name", limits::EMBED_FIELD_NAME_MAX, errors);
        let value = field.required_text("value", limits::EMBED_FIELD_VALUE_MAX, errors);
        let inline = field.boolean("inline", errors).unwrap_or(false);
        if let (Some(name), Some(value)) = (name, value) {
            read.push(EmbedField {
                name,
                value,
                inline,
            });
        }
    }
    read
}

#[cfg(test)]
mod tests;
