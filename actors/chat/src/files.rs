//! Files: the bytes of attachments, in the blob store. The edge's only way to them.
//!
//! A file is named by its channel, its attachment id and its name; what a message keeps is the
//! path `/attachments/{channel}/{attachment}/{name}`, so that a data directory can move.

use std::io;

use bytes::Bytes;
use futures_util::Stream;
use model::limits::FILE_BYTES_MAX;
use model::{AttachmentId, ChannelId};
use storage::blob::{BlobError, safe_file_name};

use crate::chat::Chat;

/// Where a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePlace {
    /// The channel of its message.
    pub channel: ChannelId,
    /// Its attachment.
    pub attachment: AttachmentId,
    /// Its name, made safe by [`FilePlace::new`].
    pub name: String,
}

/// A file that can be read.
#[derive(Debug)]
pub struct File<S> {
    /// Its length in bytes.
    pub len: u64,
    /// Its bytes, piece by piece.
    pub content: S,
}

/// Why a file was not stored or found.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Larger than [`FILE_BYTES_MAX`]. Nothing was stored; send a smaller one.
    #[error("the file is larger than {FILE_BYTES_MAX} bytes")]
    TooLarge,
    /// It broke off while it arrived. Nothing was stored; send it again.
    #[error("the file broke off")]
    Interrupted,
    /// There is no such file.
    #[error("no such file")]
    NotFound,
    /// The blob store failed. A file being stored is not there.
    #[error("files are not available: {0}")]
    Failed(String),
}

impl From<BlobError> for FileError {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::TooLarge(_) => Self::TooLarge,
            BlobError::Interrupted(_) => Self::Interrupted,
            BlobError::NotFound | BlobError::InvalidKey(_) => Self::NotFound,
            BlobError::Io(error) => Self::Failed(error.to_string()),
        }
    }
}

impl FilePlace {
    /// The place of a file called `name` by its sender; the name is made safe: letters, digits,
    /// `.`, `_` and `-`, never empty.
    pub fn new(channel: ChannelId, attachment: AttachmentId, name: &str) -> Self {
        Self {
            channel,
            attachment,
            name: safe_file_name(name),
        }
    }

    /// The path a message keeps, below the public address.
    pub fn url(&self) -> String {
        format!(
            "/attachments/{}/{}/{}",
            self.channel, self.attachment, self.name
        )
    }

    fn key(&self) -> String {
        format!("{}/{}/{}", self.channel, self.attachment, self.name)
    }
}

/// Stores a file of at most [`FILE_BYTES_MAX`]; answers its length. Durable when this returns.
///
/// # Errors
/// As [`FileError`] says; then nothing is stored.
pub async fn put<S>(chat: &Chat, place: &FilePlace, content: S) -> Result<u64, FileError>
where
    S: Stream<Item = io::Result<Bytes>>,
{
    Ok(chat
        .blobs()
        .put(&place.key(), content, FILE_BYTES_MAX)
        .await?)
}

/// Opens a file.
///
/// # Errors
/// [`FileError::NotFound`], [`FileError::Failed`].
pub async fn get(
    chat: &Chat,
    place: &FilePlace,
) -> Result<File<impl Stream<Item = io::Result<Bytes>> + Send + 'static + use<>>, FileError> {
    let blob = chat.blobs().get(&place.key()).await?;
    Ok(File {
        len: blob.len,
        content: blob.into_stream(),
    })
}

/// Removes a file; one that is not there is no error. A failure leaves the file and is logged:
/// nothing refers to it any more.
pub async fn delete(chat: &Chat, place: &FilePlace) {
    if let Err(error) = chat.blobs().delete(&place.key()).await {
        tracing::warn!(file = place.url(), %error, "a file that nothing refers to was not removed");
    }
}

#[cfg(test)]
mod tests {
    use model::Id;

    use super::*;

    #[test]
    fn names_cannot_leave_their_place() {
        let place = FilePlace::new(Id::new(1), Id::new(2), "../../etc/passwd");
        assert!(!place.name.contains('/') && !place.name.starts_with('.'));
        assert_eq!(place.url(), format!("/attachments/1/2/{}", place.name));
    }
}
