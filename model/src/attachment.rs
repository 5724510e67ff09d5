//! Attachments of a message.

use serde::{Deserialize, Serialize};

use crate::id::AttachmentId;

/// A file attached to a message (Discord docs, Message Resource, "Attachment Object").
///
/// `url` and `proxy_url` are made when the object goes on the wire: what is stored is the path
/// below the server's public address, so that a data directory can move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The attachment's id.
    pub id: AttachmentId,
    /// File name as shown.
    pub filename: String,
    /// Alternative text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Media type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Bytes.
    pub size: u64,
    /// Where the file is.
    pub url: String,
    /// Where the file is, through the proxy; equal to `url` here.
    pub proxy_url: String,
    /// Pixels, for images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Pixels, for images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Attachment flags.
    #[serde(default)]
    pub flags: u64,
}
