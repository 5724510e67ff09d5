//! Uploads: `multipart/form-data` with `payload_json` and `files[n]` (Discord docs, Reference,
//! "Uploading Files").
//!
//! Files go to the blob store while they arrive; no more of one than a part is in memory. What a message does not
//! keep in the end is removed again, also when the client goes away half-way.

use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use bytes::Bytes;
use chat::Chat;
use chat::files::{self, FileError, FilePlace};
use futures_util::{Stream, StreamExt as _, stream};
use model::attachment::Attachment;
use model::embed::Embed;
use model::limits::{ATTACHMENTS_MAX, FILENAME_MAX, UPLOAD_BYTES_MAX};
use model::message::Message;
use model::{AttachmentId, ChannelId};
use multer::{Constraints, Field, Multipart, SizeLimit};
use serde_json::{Map, Value};

use crate::body::JSON_BYTES_MAX;
use crate::error::{ApiError, Result};
use crate::image;

/// Longest pause between two pieces of an upload; then it is refused with 408.
pub(crate) const PIECE_TIME_MAX: Duration = Duration::from_secs(10);
/// Parts that are neither files nor `payload_json`; more are refused.
const FIELDS_MAX: usize = 64;

/// What was uploaded.
pub(crate) struct Upload {
    /// `payload_json`, or an object made of the bare parts.
    pub(crate) payload: Value,
    /// The files, in the order they came, already stored.
    pub(crate) files: Vec<UploadedFile>,
    /// Removes the files that nobody keeps.
    pub(crate) guard: FilesGuard,
}

/// A stored file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UploadedFile {
    /// `n` of `files[n]`: what `attachments[].id` of the payload refers to.
    pub(crate) number: u64,
    /// The attachment, without description.
    pub(crate) attachment: Attachment,
}

/// Stored files that no message refers to yet; removed when this is dropped.
pub(crate) struct FilesGuard {
    chat: Option<Chat>,
    places: Vec<FilePlace>,
}

impl FilesGuard {
    /// Nothing to guard.
    pub(crate) fn empty() -> Self {
        Self {
            chat: None,
            places: Vec::new(),
        }
    }

    /// A message keeps its attachments and the pictures of its embeds; all other files go.
    pub(crate) fn keep(&mut self, message: &Message) {
        self.places.retain(|place| {
            let path = place.url();
            let mut pictures = message.embeds.iter().flat_map(Embed::pictures);
            let attached = message
                .attachments
                .iter()
                .any(|kept| kept.id == place.attachment);
            !attached && !pictures.any(|(_, link)| link.ends_with(&path))
        });
    }

    /// It is not known whether a message refers to the files: they stay.
    pub(crate) fn keep_all(&mut self) {
        self.places.clear();
    }
}

impl Drop for FilesGuard {
    fn drop(&mut self) {
        let places = std::mem::take(&mut self.places);
        let Some(chat) = self.chat.take().filter(|_| !places.is_empty()) else {
            return;
        };
        tokio::spawn(async move {
            for place in places {
                files::delete(&chat, &place).await;
            }
        });
    }
}

/// Reads an upload to `channel`.
///
/// # Errors
/// 400 when it is truncated or malformed, 408 when it pauses too long, 413 past the limits; no
/// file is kept then.
pub(crate) async fn read(
    chat: &Chat,
    channel: ChannelId,
    boundary: String,
    body: Body,
) -> Result<Upload> {
    let limits = Constraints::new().size_limit(SizeLimit::new().whole_stream(UPLOAD_BYTES_MAX));
    let mut parts = Multipart::with_constraints(pieces(body), boundary, limits);
    let mut upload = Upload {
        payload: Value::Null,
        files: Vec::new(),
        guard: FilesGuard {
            chat: Some(chat.clone()),
            places: Vec::new(),
        },
    };
    let mut bare = Map::new();
    while let Some(part) = parts.next_field().await.map_err(|error| refusal(&error))? {
        let name = part.name().unwrap_or_default().to_owned();
        if name == "payload_json" {
            upload.payload = crate::body::parse(&text(part).await?)?;
        } else if part.file_name().is_some() {
            if upload.files.len() >= ATTACHMENTS_MAX {
                let message = format!("Must be {ATTACHMENTS_MAX} or fewer in length.");
                return Err(ApiError::field("files", "BASE_TYPE_MAX_LENGTH", message));
            }
            let number = number(&name).unwrap_or(upload.files.len() as u64);
            if upload.files.iter().any(|file| file.number == number) {
                return Err(ApiError::field(
                    "files",
                    "BASE_TYPE_UNIQUE",
                    "A file of this number was sent before.",
                ));
            }
            let attachment = store(chat, channel, part, &mut upload.guard).await?;
            upload.files.push(UploadedFile { number, attachment });
        } else if bare.len() < FIELDS_MAX {
            let bytes = text(part).await?;
            bare.insert(name, bare_value(&bytes));
        } else {
            return Err(ApiError::field(
                "_misc",
                "BASE_TYPE_MAX_LENGTH",
                "There are too many parts.",
            ));
        }
    }
    if upload.payload.is_null() {
        upload.payload = Value::Object(bare);
    }
    Ok(upload)
}

/// `files[3]` → 3; `file2` → 2, as older libraries number them.
fn number(name: &str) -> Option<u64> {
    let inner = name
        .strip_prefix("files[")
        .and_then(|rest| rest.strip_suffix(']'));
    inner.or_else(|| name.strip_prefix("file"))?.parse().ok()
}

/// A part outside `payload_json`: objects, lists and booleans as JSON, all else as text.
fn bare_value(bytes: &[u8]) -> Value {
    match serde_json::from_slice(bytes) {
        Ok(value @ (Value::Object(_) | Value::Array(_) | Value::Bool(_))) => value,
        _ => match String::from_utf8_lossy(bytes).as_ref() {
            "True" => Value::Bool(true),
            "False" => Value::Bool(false),
            text => Value::String(text.to_owned()),
        },
    }
}

/// A small part as bytes.
async fn text(mut part: Field<'_>) -> Result<Vec<u8>> {
    let mut whole = Vec::new();
    while let Some(piece) = part.chunk().await.map_err(|error| refusal(&error))? {
        if whole.len() + piece.len() > JSON_BYTES_MAX {
            return Err(ApiError::too_large());
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole)
}

/// Stores a file while it arrives.
async fn store(
    chat: &Chat,
    channel: ChannelId,
    part: Field<'_>,
    guard: &mut FilesGuard,
) -> Result<Attachment> {
    let name: String = part
        .file_name()
        .unwrap_or_default()
        .chars()
        .take(FILENAME_MAX)
        .collect();
    let id: AttachmentId = chat.ids().next(chat::clock::now_ms());
    let place = FilePlace::new(channel, id, &name);
    // Guarded before it is stored: a client that goes away half-way must leave nothing.
    guard.places.push(place.clone());
    let mut head = Vec::new();
    let mut failed = None;
    let content = part.map(|piece| match piece {
        Ok(piece) => {
            let room = image::HEAD_BYTES.saturating_sub(head.len());
            head.extend_from_slice(&piece[..piece.len().min(room)]);
            Ok(piece)
        }
        Err(error) => {
            failed = Some(refusal(&error));
            Err(io::Error::other("the upload broke off"))
        }
    });
    let stored = files::put(chat, &place, content).await;
    let size = match stored {
        Ok(size) => size,
        Err(FileError::TooLarge) => return Err(ApiError::too_large()),
        Err(FileError::Interrupted) => return Err(failed.unwrap_or_else(broken_off)),
        Err(FileError::Busy) => return Err(ApiError::plain(StatusCode::SERVICE_UNAVAILABLE)),
        Err(FileError::Full) => {
            return Err(ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                0,
                crate::error::DISK_FULL,
            ));
        }
        Err(error) => {
            tracing::error!(%error, "a file could not be stored");
            return Err(ApiError::plain(StatusCode::SERVICE_UNAVAILABLE));
        }
    };
    let dimensions = image::size(&head);
    Ok(Attachment {
        id,
        content_type: image::media_type(&place.name).map(str::to_owned),
        description: None,
        size,
        url: place.url(),
        proxy_url: place.url(),
        filename: place.name,
        width: dimensions.map(|(width, _)| width),
        height: dimensions.map(|(_, height)| height),
        flags: 0,
    })
}

/// The body piece by piece; a pause that is too long ends it with an error.
fn pieces(body: Body) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    stream::unfold(Some(body.into_data_stream()), |pieces| async {
        let mut pieces = pieces?;
        match tokio::time::timeout(PIECE_TIME_MAX, pieces.next()).await {
            Ok(Some(Ok(piece))) => Some((Ok(piece), Some(pieces))),
            Ok(Some(Err(error))) => Some((Err(io::Error::other(error)), None)),
            Ok(None) => None,
            Err(_) => Some((Err(io::ErrorKind::TimedOut.into()), None)),
        }
    })
}

/// What a parser's error is to the client.
fn refusal(error: &multer::Error) -> ApiError {
    match error {
        multer::Error::StreamSizeExceeded { .. } | multer::Error::FieldSizeExceeded { .. } => {
            ApiError::too_large()
        }
        multer::Error::StreamReadFailed(source)
            if source
                .downcast_ref::<io::Error>()
                .is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) =>
        {
            ApiError::body_timeout()
        }
        _ => broken_off(),
    }
}

/// A multipart body that ends before its last boundary, or is none.
fn broken_off() -> ApiError {
    ApiError::field(
        "_misc",
        "MULTIPART_INVALID",
        "The multipart body is truncated or malformed.",
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn file_parts_are_numbered() {
        assert_eq!(number("files[3]"), Some(3));
        assert_eq!(number("file2"), Some(2));
        for name in [
            "file",
            "files",
            "files[]",
            "files[x]",
            "files[-1]",
            "upload",
        ] {
            assert_eq!(number(name), None, "{name}");
        }
    }

    #[test]
    fn bare_parts_keep_text_as_text() {
        assert_eq!(bare_value(b"hello"), json!("hello"));
        assert_eq!(bare_value(b"123"), json!("123"));
        assert_eq!(bare_value(b"true"), json!(true));
        assert_eq!(bare_value(b"True"), json!(true));
        assert_eq!(bare_value(b"[{\"title\":\"x\"}]"), json!([{"title": "x"}]));
    }
}
