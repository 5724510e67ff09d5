//! Blobs: the bytes of attachments, in files of a local directory.
//!
//! ```text
//!  put ─▶ DIR/.incoming/N ─▶ write, fsync ─▶ rename to DIR/<key> ─▶ fsync of its directory ─▶ size
//!  get ─▶ open DIR/<key> ─▶ length and content
//! ```
//!
//! A blob is there whole or not at all: what a crash leaves in `.incoming` is removed at the next
//! open. Keys are paths the caller makes of ids and [`safe_file_name`]; anything else is refused,
//! so that no key leaves the directory.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use parking_lot::RwLock;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeek, AsyncSeekExt, AsyncWriteExt, ReadBuf};

/// Where unfinished blobs are written.
const INCOMING: &str = ".incoming";

/// Most parts of a key.
const PARTS_MAX: usize = 8;

/// Longest part of a key, in bytes.
const PART_MAX: usize = 200;

/// A failed operation on a blob.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The key is not one a caller may use. Nothing was changed.
    #[error("invalid blob key {0:?}")]
    InvalidKey(String),
    /// There is no such blob.
    #[error("no such blob")]
    NotFound,
    /// The content is larger than the limit, in bytes. Nothing was stored.
    #[error("the blob is larger than {0} bytes")]
    TooLarge(u64),
    /// The content broke off while it was read. Nothing was stored; the sender should try again.
    #[error("the content broke off: {0}")]
    Interrupted(#[source] io::Error),
    /// The disk failed. A blob being put is not there.
    #[error("blob storage failed: {0}")]
    Io(#[from] io::Error),
}

/// Result of an operation on blobs.
pub type Result<T> = std::result::Result<T, BlobError>;

/// Where blobs are kept. Clones share one store.
#[derive(Debug, Clone)]
pub struct BlobStore(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Directory(Arc<Directory>),
    Memory(Arc<RwLock<BTreeMap<String, Bytes>>>),
}

#[derive(Debug)]
struct Directory {
    root: PathBuf,
    next: AtomicU64,
}

/// A blob that can be read.
#[derive(Debug)]
pub struct Blob {
    /// Its length in bytes.
    pub len: u64,
    /// Its bytes, from the first one on; seek to read a part.
    pub content: Content,
}

/// The bytes of a blob: a file or memory.
#[derive(Debug)]
pub enum Content {
    /// A file of the directory.
    File(tokio::fs::File),
    /// Memory.
    Memory(io::Cursor<Bytes>),
}

impl BlobStore {
    /// Opens a directory (made when missing) and removes what an earlier crash left unfinished.
    ///
    /// # Errors
    /// [`BlobError::Io`] when the directory cannot be made, read or written.
    pub async fn open(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        let incoming = root.join(INCOMING);
        tokio::fs::create_dir_all(&incoming).await?;
        let mut unfinished = tokio::fs::read_dir(&incoming).await?;
        while let Some(file) = unfinished.next_entry().await? {
            tracing::info!(file = %file.path().display(), "removing an unfinished blob");
            tokio::fs::remove_file(file.path()).await?;
        }
        Ok(Self(Kind::Directory(Arc::new(Directory {
            root,
            next: AtomicU64::new(0),
        }))))
    }

    /// A store in memory, gone with the last clone: for tests and demos.
    pub fn memory() -> Self {
        Self(Kind::Memory(Arc::default()))
    }

    /// Stores `content` under `key`, over what was there, and answers its length in bytes. It is
    /// durable when this returns.
    ///
    /// # Errors
    /// [`BlobError::TooLarge`] past `limit` bytes, [`BlobError::Interrupted`] when the stream
    /// fails, [`BlobError::InvalidKey`], [`BlobError::Io`]; in all cases what was there before
    /// still is.
    pub async fn put<S>(&self, key: &str, content: S, limit: u64) -> Result<u64>
    where
        S: Stream<Item = io::Result<Bytes>>,
    {
        check(key)?;
        let size = match &self.0 {
            Kind::Directory(directory) => directory.put(key, content, limit).await,
            Kind::Memory(blobs) => {
                let whole = collect(content, limit).await?;
                let size = length(&whole);
                blobs.write().insert(key.to_owned(), whole);
                Ok(size)
            }
        }?;
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
    /// [`BlobError::NotFound`], [`BlobError::InvalidKey`], [`BlobError::Io`].
    pub async fn get(&self, key: &str) -> Result<Blob> {
        check(key)?;
        match &self.0 {
            Kind::Directory(directory) => {
                let file = tokio::fs::File::open(directory.root.join(key))
                    .await
                    .map_err(missing)?;
                let about = file.metadata().await?;
                if !about.is_file() {
                    return Err(BlobError::NotFound);
                }
                Ok(Blob {
                    len: about.len(),
                    content: Content::File(file),
                })
            }
            Kind::Memory(blobs) => {
                let bytes = blobs.read().get(key).cloned().ok_or(BlobError::NotFound)?;
                Ok(Blob {
                    len: length(&bytes),
                    content: Content::Memory(io::Cursor::new(bytes)),
                })
            }
        }
    }

    /// Removes a blob; answers whether there was one.
    ///
    /// # Errors
    /// [`BlobError::InvalidKey`], [`BlobError::Io`].
    pub async fn delete(&self, key: &str) -> Result<bool> {
        check(key)?;
        match &self.0 {
            Kind::Directory(directory) => match tokio::fs::remove_file(directory.root.join(key))
                .await
                .map_err(missing)
            {
                Ok(()) => Ok(true),
                Err(BlobError::NotFound) => Ok(false),
                Err(error) => Err(error),
            },
            Kind::Memory(blobs) => Ok(blobs.write().remove(key).is_some()),
        }
    }
}

impl Directory {
    async fn put(
        &self,
        key: &str,
        content: impl Stream<Item = io::Result<Bytes>>,
        limit: u64,
    ) -> Result<u64> {
        let incoming = self
            .root
            .join(INCOMING)
            .join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        let unfinished = Unfinished(&incoming);
        let size = write_file(&incoming, content, limit).await?;
        let place = self.root.join(key);
        if let Some(parent) = place.parent() {
            self.make_directories(parent).await?;
            tokio::fs::rename(&incoming, &place).await?;
            std::mem::forget(unfinished);
            sync_directory(parent).await?;
        }
        Ok(size)
    }

    /// Makes the directories down to `parent`, each one durable in the one above it.
    async fn make_directories(&self, parent: &Path) -> Result<()> {
        let Ok(below) = parent.strip_prefix(&self.root) else {
            return Ok(());
        };
        let mut at = self.root.clone();
        for part in below.components() {
            let above = at.clone();
            at.push(part);
            match tokio::fs::create_dir(&at).await {
                Ok(()) => sync_directory(&above).await?,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Removes an incoming file that did not become a blob, also when the caller gave up waiting.
struct Unfinished<'a>(&'a Path);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(self.0)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(file = %self.0.display(), %error, "an unfinished blob could not be removed");
        }
    }
}

async fn write_file(
    path: &Path,
    content: impl Stream<Item = io::Result<Bytes>>,
    limit: u64,
) -> Result<u64> {
    let mut file = tokio::fs::File::create_new(path).await?;
    let mut content = pin!(content);
    let mut size = 0_u64;
    while let Some(piece) = content.next().await {
        let piece = piece.map_err(BlobError::Interrupted)?;
        size += length(&piece);
        if size > limit {
            return Err(BlobError::TooLarge(limit));
        }
        file.write_all(&piece).await?;
    }
    file.flush().await?;
    file.sync_all().await?;
    Ok(size)
}

async fn sync_directory(path: &Path) -> Result<()> {
    tokio::fs::File::open(path).await?.sync_all().await?;
    Ok(())
}

async fn collect(content: impl Stream<Item = io::Result<Bytes>>, limit: u64) -> Result<Bytes> {
    let mut content = pin!(content);
    let mut whole = Vec::new();
    while let Some(piece) = content.next().await {
        whole.extend_from_slice(&piece.map_err(BlobError::Interrupted)?);
        if length(&whole) > limit {
            return Err(BlobError::TooLarge(limit));
        }
    }
    Ok(whole.into())
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn missing(error: io::Error) -> BlobError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => BlobError::NotFound,
        _ => BlobError::Io(error),
    }
}

fn check(key: &str) -> Result<()> {
    let part_is_safe = |part: &str| {
        (1..=PART_MAX).contains(&part.len()) && !part.starts_with('.') && part.bytes().all(is_safe)
    };
    if key.split('/').count() <= PARTS_MAX && key.split('/').all(part_is_safe) {
        Ok(())
    } else {
        Err(BlobError::InvalidKey(key.chars().take(PART_MAX).collect()))
    }
}

fn is_safe(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

/// A file name that can be the last part of a key: other characters become `_`, it never begins
/// with a dot, is never empty and keeps its extension when it has to be cut.
pub fn safe_file_name(name: &str) -> String {
    const EXTENSION_MAX: usize = 20;
    let clean = |text: &str| -> String {
        text.chars()
            .map(|c| {
                if u8::try_from(c).is_ok_and(is_safe) {
                    c
                } else {
                    '_'
                }
            })
            .collect()
    };
    let mut name = clean(name);
    if name.is_empty() || name.starts_with('.') {
        name.insert(0, '_');
    }
    if name.len() > PART_MAX {
        let extension = match name.rfind('.') {
            Some(dot) if name.len() - dot <= EXTENSION_MAX => name.split_off(dot),
            _ => String::new(),
        };
        name.truncate(PART_MAX - extension.len());
        name.push_str(&extension);
    }
    name
}

impl Blob {
    /// The whole content; for small blobs.
    ///
    /// # Errors
    /// [`BlobError::Io`].
    pub async fn read(mut self) -> Result<Bytes> {
        let mut whole = Vec::new();
        self.content.read_to_end(&mut whole).await?;
        Ok(whole.into())
    }

    /// `len` bytes of the content from byte `from` on, piece by piece; fewer where it ends.
    ///
    /// # Errors
    /// [`BlobError::Io`].
    pub async fn into_part(
        mut self,
        from: u64,
        len: u64,
    ) -> Result<impl Stream<Item = io::Result<Bytes>> + Send + 'static> {
        self.content.seek(io::SeekFrom::Start(from)).await?;
        Ok(tokio_util::io::ReaderStream::new(self.content.take(len)))
    }

    /// The content piece by piece.
    pub fn into_stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        tokio_util::io::ReaderStream::new(self.content)
    }
}

impl AsyncRead for Content {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        match self.get_mut() {
            Self::File(file) => Pin::new(file).poll_read(cx, buf),
            Self::Memory(bytes) => Pin::new(bytes).poll_read(cx, buf),
        }
    }
}

impl AsyncSeek for Content {
    fn start_seek(self: Pin<&mut Self>, position: io::SeekFrom) -> io::Result<()> {
        match self.get_mut() {
            Self::File(file) => Pin::new(file).start_seek(position),
            Self::Memory(bytes) => Pin::new(bytes).start_seek(position),
        }
    }

    fn poll_complete(
        self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<u64>> {
        match self.get_mut() {
            Self::File(file) => Pin::new(file).poll_complete(cx),
            Self::Memory(bytes) => Pin::new(bytes).poll_complete(cx),
        }
    }
}

#[cfg(test)]
mod tests;
