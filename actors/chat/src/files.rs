//! Files: the bytes of attachments, in the blob store. The edge's only way to them.
//!
//! A file is named by its channel, its attachment id and its name; what a message keeps is the
//! path `/attachments/{channel}/{attachment}/{name}`, so that a data directory can move.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures_util::Stream;
use model::limits::FILE_BYTES_MAX;
use model::{AttachmentId, ChannelId};
pub use storage::blob::Part;
use storage::blob::{Blob, BlobError, safe_file_name};
use storage::store::Write;

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

/// A file, or a part of one, that can be read.
#[derive(Debug)]
pub struct File(Blob);

impl File {
    /// Length of the whole file in bytes.
    pub fn len(&self) -> u64 {
        self.0.len
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes that [`File::into_stream`] has.
    pub fn range(&self) -> Range<u64> {
        self.0.range.clone()
    }

    /// The bytes, piece by piece; an error means that what is missing cannot be had now.
    pub fn into_stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        self.0.into_stream()
    }
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
    /// The file, of this many bytes, has none in the part asked for.
    #[error("the file ends at byte {0}")]
    OutOfRange(u64),
    /// Too many files are on their way. Nothing was stored; send it again later.
    #[error("too many files at once")]
    Busy,
    /// The disk has no room. Nothing was stored; send it again later.
    #[error("the disk is full")]
    Full,
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
            BlobError::OutOfRange(len) => Self::OutOfRange(len),
            BlobError::Busy => Self::Busy,
            BlobError::Full(_) => Self::Full,
            BlobError::Failed(_) | BlobError::BadPlace(_) => Self::Failed(error.to_string()),
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
            name: safe_name(name),
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

/// A file's name as it is kept: letters, digits, `.`, `_` and `-`, never empty.
pub fn safe_name(name: &str) -> String {
    safe_file_name(name)
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

/// Opens a file, or a part of it.
///
/// # Errors
/// [`FileError::NotFound`], [`FileError::OutOfRange`], [`FileError::Failed`].
pub async fn get(chat: &Chat, place: &FilePlace, part: Option<Part>) -> Result<File, FileError> {
    let found = match part {
        Some(part) => chat.blobs().get_part(&place.key(), part).await,
        None => chat.blobs().get(&place.key()).await,
    };
    Ok(File(found?))
}

/// Removes a file; one that is not there is no error. A failure leaves the file and is logged:
/// nothing refers to it any more.
pub async fn delete(chat: &Chat, place: &FilePlace) {
    if let Err(error) = chat.blobs().delete(&place.key()).await {
        tracing::warn!(file = place.url(), %error, "a file that nothing refers to was not removed");
    }
}

/// Files deleted in one step by [`clean`].
const CLEAN_STEP: usize = 100;

/// Deletes, in the background, the files that no message refers to any more: those an edit dropped
/// and those of messages that are gone. One such job runs at a time, whoever asks for it; it goes
/// through the list of the store a bounded step at a time until that is empty.
///
/// A file is deleted before it leaves the list, and the next start goes on with what is left; so a
/// crash leaves no file behind. A file that cannot be deleted is logged and stays on the list until
/// the job is asked for again.
pub(crate) fn clean(chat: &Chat) {
    if chat.cleaning().fetch_add(1, Ordering::AcqRel) > 0 {
        // The job that runs looks once more before it ends.
        return;
    }
    let (chat, node) = (chat.clone(), chat.node().clone());
    drop(otp::task::spawn(
        &node,
        "delete files".to_owned(),
        async move {
            let mut asked = chat.cleaning().load(Ordering::Acquire);
            loop {
                while clean_step(&chat).await {
                    tokio::task::yield_now().await;
                }
                match chat.cleaning().compare_exchange(
                    asked,
                    0,
                    Ordering::AcqRel,
                    Ordering::Acquire,
                ) {
                    Ok(_) => break,
                    Err(more) => asked = more,
                }
            }
        },
    ));
}

/// Deletes some files; answers whether there may be more to do now.
async fn clean_step(chat: &Chat) -> bool {
    let files = match chat.data().files_to_delete(CLEAN_STEP).await {
        Ok(files) => files,
        Err(error) => {
            tracing::warn!(%error, "cannot list the files to delete; trying again later");
            return false;
        }
    };
    let mut gone = BTreeMap::<ChannelId, Vec<AttachmentId>>::new();
    let listed = files.len();
    let mut deleted = 0;
    for file in files {
        let place = FilePlace::new(file.channel_id, file.attachment_id, &file.filename);
        match chat.blobs().delete(&place.key()).await {
            Ok(()) => {
                deleted += 1;
                let of_channel = gone.entry(file.channel_id).or_default();
                of_channel.push(file.attachment_id);
            }
            Err(error) => {
                tracing::warn!(file = place.url(), %error, "a file that nothing refers to was not deleted; trying again later");
            }
        }
    }
    if gone.is_empty() {
        return false;
    }
    metrics::counter!("guildhall_files_deleted_total").increment(deleted);
    let gone = gone
        .into_iter()
        .map(|(channel, files)| Write::ForgetFiles(channel, files));
    if let Err(error) = chat.data().commit(gone.collect()).await {
        tracing::warn!(%error, "deleted files stay on the list; trying again later");
        return false;
    }
    usize::try_from(deleted).is_ok_and(|deleted| deleted == listed)
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
