//! Blobs: the bytes of attachments, in a local directory or a bucket of S3.
//!
//! ```text
//!  put ─▶ parts (blob/upload.rs) ─▶ object_store ─┬▶ directory: .incoming/N ─▶ fsync ─▶ rename to the key ─▶ fsync
//!                                                 ├▶ bucket:    PUT, or a multipart upload that is completed
//!                                                 └▶ memory
//!  get ─▶ one request for all of it or a part ─▶ length of the whole, bytes as they come (blob/download.rs)
//! ```
//!
//! A blob is there whole or not at all, and durable when [`BlobStore::put`] returns: a directory
//! syncs the file and every directory that changed (`object_store`'s `with_fsync`), S3 promises it.
//! What a crash leaves unfinished is in `.incoming`, which is emptied at the next open; in a bucket
//! it is multipart uploads that nobody completed: old ones are aborted at the next open, and a
//! lifecycle rule of the bucket is better (docs/operating.md says how to set it). Why uploads do not go straight to their
//! place in a directory: `object_store` would put its unfinished file beside it, and a start would
//! have to look through all directories for those.
//!
//! Keys are paths the caller makes of ids and [`safe_file_name`]; anything else is refused, so that
//! no key leaves the place. A caller never overwrites what others read: keys have new ids in them.

use std::io;
use std::path::{Path as FilePath, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{GetOptions, ObjectStore, ObjectStoreExt as _};
use tokio::sync::Semaphore;

use crate::room::{DISK_RESERVE, Room};

#[cfg(feature = "testsuite")]
pub mod conformance;
mod download;
mod fault;
mod key;
mod place;
mod s3;
mod upload;

pub use download::{Blob, Part};
pub use key::safe_file_name;
use place::Place;
use upload::Upload;

/// Where unfinished blobs of a directory are written.
const INCOMING: &str = ".incoming";

/// Bytes gathered before a file of a directory is written to.
const FILE_PART_BYTES: usize = 256 * 1_024;

/// Most bytes of uploads in memory, of all that are on their way; further ones wait.
pub const UPLOADS_BYTES_MAX: usize = 128 * 1_024 * 1_024;
/// Longest wait of an upload for room in memory; then it is refused.
pub const UPLOAD_WAIT_MAX: Duration = Duration::from_secs(5);
/// Longest time of one step of an operation: a part, the last step of an upload, the begin of a
/// read, a delete.
pub const BLOB_STEP_TIME_MAX: Duration = Duration::from_secs(30);
/// Age from which on an unfinished upload to a bucket is nobody's any more.
pub const UNFINISHED_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// Most tries of a delete; each repeats what its server was too busy for besides.
pub const DELETE_TRIES_MAX: usize = 2;

/// A failed operation on a blob.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The key is not one a caller may use. Nothing was changed.
    #[error("invalid blob key {0:?}")]
    InvalidKey(String),
    /// The place for blobs cannot be used as it was given; an operator has to mend it.
    #[error("{0}")]
    BadPlace(String),
    /// There is no such blob.
    #[error("no such blob")]
    NotFound,
    /// The blob, of this many bytes, has none in the range asked for.
    #[error("the blob ends at byte {0}")]
    OutOfRange(u64),
    /// The content is larger than the limit, in bytes. Nothing was stored.
    #[error("the blob is larger than {0} bytes")]
    TooLarge(u64),
    /// The content broke off while it was read. Nothing was stored; the sender should try again.
    #[error("the content broke off: {0}")]
    Interrupted(#[source] io::Error),
    /// Too many uploads are on their way. Nothing was stored; the sender should try again.
    #[error("too many uploads at once")]
    Busy,
    /// The disk of the directory has no room but its reserve. Nothing was stored; the sender may try
    /// again when an operator has made room.
    #[error("the disk is full; nothing was stored: {0}")]
    Full(String),
    /// The store failed or did not answer in time, after all repetitions. A blob being put is not
    /// there; only when the answer of a server to its last step was lost it may be, and whoever
    /// asked for it should delete it.
    #[error("blob storage failed: {0}")]
    Failed(String),
}

impl From<io::Error> for BlobError {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Result of an operation on blobs.
pub type Result<T> = std::result::Result<T, BlobError>;

/// Where blobs are kept. Clones share one store.
#[derive(Debug, Clone)]
pub struct BlobStore(Arc<Backend>);

#[derive(Debug)]
struct Backend {
    objects: Arc<dyn ObjectStore>,
    /// What keys begin with in a bucket.
    prefix: String,
    /// A directory: blobs are made in [`INCOMING`], under these numbers, and renamed.
    staged: Option<AtomicU64>,
    /// A directory: what its disk has room for.
    room: Option<Room>,
    part_bytes: usize,
    /// The bucket, if it is one.
    bucket: Option<s3::S3>,
    /// Bytes there is room for in memory.
    buffers: Arc<Semaphore>,
}

impl BlobStore {
    /// Opens the place an operator named: `DIR`, `file:DIR`, `memory:` or
    /// `s3://BUCKET[/PREFIX][?endpoint=URL&region=NAME&credentials=FILE|instance&profile=NAME]`,
    /// with the credentials of a bucket from the environment (`AWS_ACCESS_KEY_ID`, …) or a file. A
    /// bucket is written to, so that what is wrong with it is known now.
    ///
    /// # Errors
    /// [`BlobError::BadPlace`] and [`BlobError::Failed`] say what is wrong; neither has a secret in
    /// it.
    pub async fn open(place: &str) -> Result<Self> {
        Self::open_with_reserve(place, DISK_RESERVE).await
    }

    /// The same, where a directory leaves this many bytes free on its disk instead of
    /// [`DISK_RESERVE`].
    ///
    /// # Errors
    /// As [`BlobStore::open`].
    pub async fn open_with_reserve(place: &str, reserve: u64) -> Result<Self> {
        match Place::parse(place)? {
            Place::Directory(root) => Self::directory_with_reserve(root, reserve).await,
            Place::Memory => Ok(Self::memory()),
            Place::S3(bucket) => {
                let opened = s3::open(&bucket).await?;
                let objects: Arc<dyn ObjectStore> = opened.objects.clone();
                let store = Self(Arc::new(Backend {
                    prefix: bucket.prefix,
                    bucket: Some(opened),
                    ..Backend::over(objects, s3::PART_BYTES)
                }));
                store.abort_unfinished_behind();
                Ok(store)
            }
        }
    }

    /// Opens a directory (made when missing) and removes what an earlier crash left unfinished.
    ///
    /// # Errors
    /// [`BlobError::Failed`] when the directory cannot be made, read or written.
    pub async fn directory(root: impl Into<PathBuf>) -> Result<Self> {
        Self::directory_with_reserve(root.into(), DISK_RESERVE).await
    }

    async fn directory_with_reserve(root: PathBuf, reserve: u64) -> Result<Self> {
        let made = prepare(&root).await;
        made.map_err(|error| BlobError::Failed(format!("{}: {error}", root.display())))?;
        let objects = LocalFileSystem::new_with_prefix(&root)?.with_fsync(true);
        Ok(Self(Arc::new(Backend {
            staged: Some(AtomicU64::new(0)),
            room: Some(Room::new(root, reserve, "blobs")),
            ..Backend::over(Arc::new(objects), FILE_PART_BYTES)
        })))
    }

    /// A store in memory, gone with the last clone: for tests and demos.
    pub fn memory() -> Self {
        let objects = Arc::new(InMemory::new());
        Self(Arc::new(Backend::over(objects, FILE_PART_BYTES)))
    }

    /// Aborts the uploads to a bucket that began more than `age` ago and were not completed, at most a
    /// page of them; answers how many. Elsewhere there are none.
    ///
    /// # Errors
    /// [`BlobError::Failed`]: the bucket may not be asked for them, or not now; those that are left
    /// are seen by nobody and cost storage.
    pub async fn abort_unfinished(&self, age: Duration) -> Result<usize> {
        match &self.0.bucket {
            Some(bucket) => bucket.abort_unfinished(age).await,
            None => Ok(0),
        }
    }

    fn abort_unfinished_behind(&self) {
        let store = self.clone();
        tokio::spawn(async move {
            match store.abort_unfinished(UNFINISHED_AGE).await {
                Ok(0) => {}
                Ok(count) => tracing::info!(count, "old unfinished uploads were aborted"),
                Err(error) => {
                    tracing::warn!(%error, "old unfinished uploads stay; a lifecycle rule of the bucket can remove them");
                }
            }
        });
    }

    /// Stores `content` under `key`, over what was there, and answers its length in bytes. It is
    /// durable when this returns. When the caller stops waiting for it, nothing is under the key in
    /// the end.
    ///
    /// # Errors
    /// [`BlobError::TooLarge`] past `limit` bytes, [`BlobError::Interrupted`] when the stream
    /// fails, [`BlobError::InvalidKey`], [`BlobError::Busy`], [`BlobError::Full`],
    /// [`BlobError::Failed`]; what was there
    /// before still is.
    pub async fn put<S>(&self, key: &str, content: S, limit: u64) -> Result<u64>
    where
        S: Stream<Item = io::Result<Bytes>>,
    {
        let place = self.0.place(key)?;
        self.0.check_room()?;
        let mut upload = Upload::new(Arc::clone(&self.0), place);
        let stored = match receive(&mut upload, content, limit).await {
            Ok(size) => {
                let began = Instant::now();
                let stored = upload.finish().await;
                timed("put", began);
                stored.map(|()| size)
            }
            Err(error) => {
                upload.abort().await;
                Err(error)
            }
        };
        let stored = stored.map_err(|error| match error {
            // Of the place, or of an upload that somebody else removed: no answer for a put.
            BlobError::NotFound => BlobError::Failed("the place of the blob is gone".to_owned()),
            other => other,
        });
        let size = count("put", stored)?;
        metrics::counter!("guildhall_blob_bytes_written_total").increment(size);
        Ok(size)
    }

    /// Stores bytes that are already in memory; see [`BlobStore::put`].
    ///
    /// # Errors
    /// As [`BlobStore::put`].
    pub async fn put_bytes(&self, key: &str, content: Bytes, limit: u64) -> Result<u64> {
        self.put(key, futures_util::stream::iter([Ok(content)]), limit)
            .await
    }

    /// Opens a blob for reading.
    ///
    /// # Errors
    /// [`BlobError::NotFound`], [`BlobError::InvalidKey`], [`BlobError::Failed`].
    pub async fn get(&self, key: &str) -> Result<Blob> {
        let place = self.0.place(key)?;
        let began = Instant::now();
        let found = in_time(self.0.objects.get(&place)).await;
        timed("get", began);
        Ok(Blob::of(count("get", found)?))
    }

    /// Opens a part of a blob for reading, with one request to a bucket.
    ///
    /// # Errors
    /// As [`BlobStore::get`], and [`BlobError::OutOfRange`] when no byte of the part is there.
    pub async fn get_part(&self, key: &str, part: Part) -> Result<Blob> {
        let place = self.0.place(key)?;
        let began = Instant::now();
        let found = match part.asked() {
            Some(range) => {
                let options = GetOptions::new().with_range(Some(range));
                in_time(self.0.objects.get_opts(&place, options)).await
            }
            None => {
                let whole = in_time(self.0.objects.get(&place)).await;
                whole.and_then(|whole| Err(BlobError::OutOfRange(whole.meta.size)))
            }
        };
        let found = match found.map(Blob::of) {
            Ok(found) if found.range.is_empty() => Err(BlobError::OutOfRange(found.len)),
            Err(BlobError::Failed(why)) => {
                // Each store says in a way of its own that nothing is there; the length tells.
                match in_time(self.0.objects.head(&place)).await {
                    Ok(whole) if part.is_outside(whole.size) => {
                        Err(BlobError::OutOfRange(whole.size))
                    }
                    // Some servers answer with the whole then, which is not taken for a part.
                    Ok(whole) if part.is_whole(whole.size) => {
                        in_time(self.0.objects.get(&place)).await.map(Blob::of)
                    }
                    _ => Err(BlobError::Failed(why)),
                }
            }
            other => other,
        };
        timed("get", began);
        count("get", found)
    }

    /// Removes a blob; one that is not there is no error.
    ///
    /// # Errors
    /// [`BlobError::InvalidKey`]; [`BlobError::Failed`]: it may still be there, try again.
    pub async fn delete(&self, key: &str) -> Result<()> {
        let place = self.0.place(key)?;
        let began = Instant::now();
        let mut tries = 1..=DELETE_TRIES_MAX;
        let deleted = loop {
            // A connection that breaks says nothing of a delete, and `object_store` does not repeat
            // it; done twice it is what it is done once.
            match in_time(self.0.objects.delete(&place)).await {
                Err(BlobError::Failed(_)) if tries.next() < Some(DELETE_TRIES_MAX) => {}
                Err(BlobError::NotFound) => break Ok(()),
                other => break other,
            }
        };
        timed("delete", began);
        count("delete", deleted)
    }
}

impl Backend {
    fn over(objects: Arc<dyn ObjectStore>, part_bytes: usize) -> Self {
        Self {
            objects,
            prefix: String::new(),
            staged: None,
            room: None,
            part_bytes,
            bucket: None,
            buffers: Arc::new(Semaphore::new(UPLOADS_BYTES_MAX)),
        }
    }

    fn place(&self, key: &str) -> Result<Path> {
        key::check(key)?;
        Ok(if self.prefix.is_empty() {
            Path::from(key)
        } else {
            Path::from(format!("{}/{key}", self.prefix))
        })
    }

    /// Whether there is room for more.
    fn check_room(&self) -> Result<()> {
        let checked = self.room.as_ref().map_or(Ok(()), Room::check);
        checked.map_err(BlobError::Full)
    }

    /// Where an upload is gathered, if that is not its place.
    fn staging(&self) -> Option<Path> {
        let number = self.staged.as_ref()?.fetch_add(1, Ordering::Relaxed);
        Some(Path::from(format!("{INCOMING}/{number}")))
    }
}

/// Makes the directory and empties [`INCOMING`].
async fn prepare(root: &FilePath) -> io::Result<()> {
    let incoming = root.join(INCOMING);
    tokio::fs::create_dir_all(&incoming).await?;
    let mut unfinished = tokio::fs::read_dir(&incoming).await?;
    while let Some(file) = unfinished.next_entry().await? {
        tracing::info!(file = %file.path().display(), "removing an unfinished blob");
        tokio::fs::remove_file(file.path()).await?;
    }
    Ok(())
}

/// Gives the content to an upload; answers how much it was.
async fn receive(
    upload: &mut Upload,
    content: impl Stream<Item = io::Result<Bytes>>,
    limit: u64,
) -> Result<u64> {
    let mut content = pin!(content);
    let mut size = 0_u64;
    while let Some(piece) = content.next().await {
        let piece = piece.map_err(BlobError::Interrupted)?;
        size += length(&piece);
        if size > limit {
            return Err(BlobError::TooLarge(limit));
        }
        upload.write(piece).await?;
    }
    Ok(size)
}

/// A step of an operation, held to [`BLOB_STEP_TIME_MAX`].
async fn in_time<T, E>(step: impl Future<Output = std::result::Result<T, E>>) -> Result<T>
where
    BlobError: From<E>,
{
    match tokio::time::timeout(BLOB_STEP_TIME_MAX, step).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(BlobError::Failed(format!(
            "no answer within {} s",
            BLOB_STEP_TIME_MAX.as_secs()
        ))),
    }
}

fn timed(operation: &'static str, began: Instant) {
    metrics::histogram!("guildhall_blob_seconds", "operation" => operation)
        .record(began.elapsed().as_secs_f64());
}

/// Counts what the store is to blame for.
fn count<T>(operation: &'static str, outcome: Result<T>) -> Result<T> {
    if matches!(outcome, Err(BlobError::Failed(_))) {
        metrics::counter!("guildhall_blob_failures_total", "operation" => operation).increment(1);
    }
    outcome
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
