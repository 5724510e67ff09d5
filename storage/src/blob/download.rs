//! A blob on its way out: which part of it, and its bytes.

use std::io::{self, Seek as _};
use std::ops::Range;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use object_store::{GetRange, GetResult, GetResultPayload};
use tokio::io::AsyncReadExt as _;

use super::{BlobError, Result, length};

/// Bytes read of a file at once.
const FILE_READ_BYTES: usize = 64 * 1_024;

/// A part of a blob, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// From this byte on.
    From(u64),
    /// From the first to the second, both included; a blob may end before it.
    Between(u64, u64),
    /// So many at the end; all when there are fewer.
    Last(u64),
}

/// A blob, or a part of one, that can be read.
#[derive(Debug)]
pub struct Blob {
    /// Length of the whole blob in bytes.
    pub len: u64,
    /// The bytes that [`Blob::into_stream`] has.
    pub range: Range<u64>,
    content: GetResultPayload,
}

impl Part {
    /// What a store is asked for; `None` when no byte can be meant.
    pub(super) fn asked(self) -> Option<GetRange> {
        // Servers read a greater number as nonsense, and answer as if nothing had been asked.
        const NUMBER_MAX: u64 = i64::MAX.unsigned_abs();
        match self {
            Self::From(first) => (first < NUMBER_MAX).then_some(GetRange::Offset(first)),
            Self::Between(first, last) => {
                let end = last.saturating_add(1).min(NUMBER_MAX);
                (first < end && first <= last).then_some(GetRange::Bounded(first..end))
            }
            Self::Last(bytes) => (bytes > 0).then(|| GetRange::Suffix(bytes.min(NUMBER_MAX))),
        }
    }

    pub(super) fn is_whole(self, len: u64) -> bool {
        match self {
            Self::From(first) => first == 0,
            Self::Between(first, last) => first == 0 && last >= len.saturating_sub(1),
            Self::Last(bytes) => bytes >= len,
        }
    }

    pub(super) fn is_outside(self, len: u64) -> bool {
        match self {
            Self::From(first) => first >= len,
            Self::Between(first, last) => first >= len || first > last,
            Self::Last(bytes) => bytes == 0 || len == 0,
        }
    }
}

impl Blob {
    pub(super) fn of(found: GetResult) -> Self {
        Self {
            len: found.meta.size,
            range: found.range,
            content: found.payload,
        }
    }

    /// All of the range in one piece; for small blobs.
    ///
    /// # Errors
    /// [`BlobError::Failed`].
    pub async fn read(self) -> Result<Bytes> {
        let mut whole = Vec::new();
        let mut pieces = self.into_stream();
        while let Some(piece) = pieces.next().await {
            whole.extend_from_slice(&piece?);
        }
        Ok(whole.into())
    }

    /// The bytes of the range, piece by piece. A bucket's bytes that break off are asked for again
    /// from there on; an error means that this did not help, or that a disk failed.
    pub fn into_stream(self) -> BoxStream<'static, io::Result<Bytes>> {
        let pieces = match self.content {
            GetResultPayload::File(file, _) => file_pieces(file, self.range),
            GetResultPayload::Stream(pieces) => pieces
                .map(|piece| piece.map_err(|error| io::Error::other(BlobError::from(error))))
                .boxed(),
        };
        let read = metrics::counter!("guildhall_blob_bytes_read_total");
        pieces
            .inspect(move |piece| {
                if let Ok(piece) = piece {
                    read.increment(length(piece));
                }
            })
            .boxed()
    }
}

fn file_pieces(
    mut file: std::fs::File,
    range: Range<u64>,
) -> BoxStream<'static, io::Result<Bytes>> {
    // A seek reads nothing: it does not wait for the disk.
    if let Err(error) = file.seek(io::SeekFrom::Start(range.start)) {
        return futures_util::stream::iter([Err(error)]).boxed();
    }
    let part = tokio::fs::File::from_std(file).take(range.end - range.start);
    tokio_util::io::ReaderStream::with_capacity(part, FILE_READ_BYTES).boxed()
}
