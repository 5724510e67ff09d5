//! A blob on its way in: bytes are gathered to parts, parts are sent, and the last step makes a blob
//! of them.
//!
//! ```text
//! write ─▶ buffer ─full─▶ part ─▶ part …        S3: a multipart upload; a directory: a file of .incoming
//! finish ─▶ rest ─▶ complete (─▶ rename)        one part at most: a single put
//! abort, drop ─▶ what was sent is removed
//! ```
//!
//! One part of an upload is on its way at a time: the sender is read no faster than the store takes.
//! The last step runs in a task of its own, so that it is never left half-way by a caller who stops
//! waiting; who does so gets what was stored removed again.

use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt as _, PutPayload};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{Backend, BlobError, Result, UPLOAD_WAIT_MAX, in_time};

pub(super) struct Upload {
    backend: Arc<Backend>,
    /// Where the bytes go: the blob's place, or a file that becomes it.
    target: Path,
    place: Path,
    buffer: Buffer,
    parts: Option<Box<dyn MultipartUpload>>,
}

/// Bytes that wait for a part to be full, and the room they have of all buffers of the node.
#[derive(Default)]
struct Buffer {
    pieces: Vec<Bytes>,
    len: usize,
    room: Option<OwnedSemaphorePermit>,
}

impl Upload {
    pub(super) fn new(backend: Arc<Backend>, place: Path) -> Self {
        let target = backend.staging().unwrap_or_else(|| place.clone());
        Self {
            backend,
            target,
            place,
            buffer: Buffer::default(),
            parts: None,
        }
    }

    /// Takes a piece; waits while the store is slower than the sender.
    pub(super) async fn write(&mut self, mut piece: Bytes) -> Result<()> {
        while !piece.is_empty() {
            let room = self.backend.part_bytes - self.buffer.len;
            let taken = piece.split_to(piece.len().min(room));
            self.buffer.push(&self.backend, taken).await?;
            if self.buffer.len == self.backend.part_bytes {
                self.send_part().await?;
            }
        }
        Ok(())
    }

    async fn send_part(&mut self) -> Result<()> {
        self.backend.check_room()?;
        let Buffer { pieces, room, .. } = std::mem::take(&mut self.buffer);
        let parts = match &mut self.parts {
            Some(parts) => parts,
            none => {
                let began = in_time(self.backend.objects.put_multipart(&self.target)).await?;
                none.insert(began)
            }
        };
        in_time(parts.put_part(PutPayload::from_iter(pieces))).await?;
        drop(room);
        Ok(())
    }

    /// Makes a blob of what was written.
    pub(super) async fn finish(mut self) -> Result<()> {
        let last = LastStep {
            backend: Arc::clone(&self.backend),
            target: self.target.clone(),
            place: self.place.clone(),
            rest: std::mem::take(&mut self.buffer),
            parts: self.parts.take(),
        };
        let (answer, answered) = oneshot::channel();
        tokio::spawn(async move {
            let (backend, place) = (Arc::clone(&last.backend), last.place.clone());
            if let Err(unheard) = answer.send(last.run().await) {
                forget(&backend, &place, unheard).await;
            }
        });
        answered
            .await
            .unwrap_or_else(|_| Err(BlobError::Failed("the task that stores a blob died".into())))
    }

    /// Removes what was sent. A failure is logged and counted: nothing refers to what is left.
    pub(super) async fn abort(mut self) {
        if let Some(parts) = self.parts.take() {
            abort(parts, &self.target).await;
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(parts) = self.parts.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let target = self.target.clone();
            runtime.spawn(async move { abort(parts, &target).await });
        }
    }
}

impl Buffer {
    async fn push(&mut self, backend: &Backend, piece: Bytes) -> Result<()> {
        let bytes = u32::try_from(piece.len()).unwrap_or(u32::MAX);
        let room = Arc::clone(&backend.buffers).acquire_many_owned(bytes);
        let Ok(Ok(room)) = tokio::time::timeout(UPLOAD_WAIT_MAX, room).await else {
            metrics::counter!("guildhall_blob_uploads_refused_total").increment(1);
            return Err(BlobError::Busy);
        };
        self.len += piece.len();
        self.pieces.push(piece);
        match &mut self.room {
            Some(all) => all.merge(room),
            none => *none = Some(room),
        }
        Ok(())
    }
}

/// From bytes and parts to a blob; either there in the end or not.
struct LastStep {
    backend: Arc<Backend>,
    target: Path,
    place: Path,
    rest: Buffer,
    parts: Option<Box<dyn MultipartUpload>>,
}

impl LastStep {
    async fn run(mut self) -> Result<()> {
        let stored = in_time(self.store()).await;
        if stored.is_err()
            && let Some(parts) = self.parts.take()
        {
            abort(parts, &self.target).await;
        }
        stored?;
        if self.target == self.place {
            return Ok(());
        }
        let moved = in_time(self.backend.objects.rename(&self.target, &self.place)).await;
        if moved.is_err() {
            drop(in_time(self.backend.objects.delete(&self.target)).await);
        }
        moved
    }

    async fn store(&mut self) -> object_store::Result<()> {
        let rest = PutPayload::from_iter(self.rest.pieces.iter().cloned());
        match &mut self.parts {
            None => drop(self.backend.objects.put(&self.target, rest).await?),
            Some(parts) => {
                if rest.content_length() > 0 {
                    parts.put_part(rest).await?;
                }
                parts.complete().await?;
            }
        }
        Ok(())
    }
}

/// Nobody waits for the blob any more.
async fn forget(backend: &Backend, place: &Path, stored: Result<()>) {
    if stored.is_ok()
        && let Err(error) = in_time(backend.objects.delete(place)).await
    {
        tracing::warn!(%place, %error, "a blob that nobody waited for was not removed");
    }
}

async fn abort(mut parts: Box<dyn MultipartUpload>, target: &Path) {
    if let Err(error) = in_time(parts.abort()).await {
        metrics::counter!("guildhall_blob_aborts_failed_total").increment(1);
        tracing::warn!(%target, %error, "an unfinished upload was not removed; the bucket's lifecycle rule has to");
    }
}
