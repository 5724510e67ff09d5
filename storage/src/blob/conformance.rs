//! What every place for blobs must do; run on a directory, memory and S3 by `tests/blobs.rs`.
#![allow(clippy::unwrap_used, missing_docs)]

use std::io;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};

use super::{BlobError, BlobStore, Part, UPLOADS_BYTES_MAX};
use crate::blob::key::{PART_MAX, PARTS_MAX};

/// More than two parts of a bucket.
const LARGE: usize = 12 * 1_024 * 1_024 + 17;

fn pieces(pieces: &[&'static str]) -> impl Stream<Item = io::Result<Bytes>> + use<> {
    let pieces = pieces
        .iter()
        .map(|piece| Ok(Bytes::from_static(piece.as_bytes())));
    stream::iter(pieces.collect::<Vec<_>>())
}

/// Bytes of which no two stretches are the same, in pieces of an odd size.
fn large(len: usize) -> (Vec<u8>, impl Stream<Item = io::Result<Bytes>> + use<>) {
    let whole: Vec<u8> = (0..len)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let chunks: Vec<_> = whole.chunks(70_001).map(Bytes::copy_from_slice).collect();
    (whole, stream::iter(chunks.into_iter().map(Ok)))
}

pub async fn what_is_put_is_got(store: BlobStore) {
    let key = "attachments/1/2/cat.png";
    assert!(matches!(store.get(key).await, Err(BlobError::NotFound)));
    let put = store.put(key, pieces(&["hello", " ", "world"]), 11).await;
    assert_eq!(put.unwrap(), 11);
    let blob = store.get(key).await.unwrap();
    assert_eq!((blob.len, blob.range.clone()), (11, 0..11));
    assert_eq!(blob.read().await.unwrap(), "hello world");
    let over = Bytes::from_static(b"over");
    assert_eq!(store.put_bytes(key, over, 100).await.unwrap(), 4);
    let stream: Vec<_> = store.get(key).await.unwrap().into_stream().collect().await;
    let stream: Vec<_> = stream.into_iter().map(|piece| piece.unwrap()).collect();
    assert_eq!(stream.concat(), b"over");
    store.delete(key).await.unwrap();
    assert!(matches!(store.get(key).await, Err(BlobError::NotFound)));
    store.delete(key).await.unwrap();
    assert_eq!(store.put_bytes("empty", Bytes::new(), 0).await.unwrap(), 0);
    assert_eq!(store.get("empty").await.unwrap().len, 0);
    assert_eq!(store.get("empty").await.unwrap().read().await.unwrap(), "");
    for missing in ["attachments/1", "empty/below"] {
        let got = store.get(missing).await;
        assert!(matches!(got, Err(BlobError::NotFound)), "{missing}");
    }
}

pub async fn large_blobs_come_back_whole_and_in_parts(store: BlobStore) {
    let (whole, content) = large(LARGE);
    let len = LARGE as u64;
    assert_eq!(store.put("l/1", content, len).await.unwrap(), len);
    let blob = store.get("l/1").await.unwrap();
    assert_eq!(blob.len, len);
    assert!(blob.read().await.unwrap() == whole);
    for (part, from, to) in [
        (Part::From(len - 5), LARGE - 5, LARGE),
        (Part::Between(0, 0), 0, 1),
        (Part::Between(5_242_870, 5_242_890), 5_242_870, 5_242_891),
        (Part::Between(len - 3, u64::MAX), LARGE - 3, LARGE),
        (Part::Last(9), LARGE - 9, LARGE),
        (Part::Last(len + 1), 0, LARGE),
    ] {
        let got = store.get_part("l/1", part).await;
        let blob = got.unwrap_or_else(|error| panic!("{part:?}: {error}"));
        assert_eq!(blob.range, from as u64..to as u64, "{part:?}");
        assert_eq!(blob.len, len, "{part:?}");
        assert!(blob.read().await.unwrap() == whole[from..to], "{part:?}");
    }
    store.put_bytes("l/2", Bytes::new(), 0).await.unwrap();
    for (key, part, ends) in [
        ("l/1", Part::From(len), len),
        ("l/1", Part::From(u64::MAX), len),
        ("l/1", Part::Between(len, len + 9), len),
        ("l/1", Part::Between(2, 1), len),
        ("l/1", Part::Last(0), len),
        ("l/2", Part::From(0), 0),
        ("l/2", Part::Last(3), 0),
    ] {
        let outside = store.get_part(key, part).await.unwrap_err();
        assert!(
            matches!(outside, BlobError::OutOfRange(end) if end == ends),
            "{key} {part:?}: {outside:?}"
        );
    }
    for part in [Part::From(0), Part::Last(0), Part::Between(1, 2)] {
        let missing = store.get_part("l/3", part).await.unwrap_err();
        assert!(matches!(missing, BlobError::NotFound), "{missing:?}");
    }
}

/// The caller looks afterwards that nothing unfinished is left.
pub async fn a_failed_put_leaves_what_was_there(store: BlobStore) {
    let old = Bytes::from_static(b"old");
    store.put_bytes("a/b", old, 9).await.unwrap();
    let put = store.put("a/b", pieces(&["12345", "67890"]), 9).await;
    assert!(matches!(put, Err(BlobError::TooLarge(9))));
    let broken = stream::iter([Ok(Bytes::from_static(b"1")), Err(io::Error::other("gone"))]);
    let put = store.put("a/b", broken, 9).await;
    assert!(matches!(put, Err(BlobError::Interrupted(_))));
    // Parts of it are with the store already.
    let (_, content) = large(LARGE);
    let put = store.put("a/b", content, LARGE as u64 - 1).await;
    assert!(matches!(put, Err(BlobError::TooLarge(_))), "{put:?}");
    let (_, content) = large(LARGE);
    let broken = content.chain(stream::iter([Err(io::Error::other("gone"))]));
    let put = store.put("a/b", broken, u64::MAX).await;
    assert!(matches!(put, Err(BlobError::Interrupted(_))), "{put:?}");
    assert_eq!(store.get("a/b").await.unwrap().read().await.unwrap(), "old");
}

/// A sender that goes away half-way leaves nothing, not even bytes that count as buffered.
pub async fn a_caller_that_stops_waiting_leaves_nothing(store: BlobStore) {
    let (_, content) = large(LARGE);
    let endless = content.chain(stream::pending());
    let put = store.put("gone", endless, u64::MAX);
    let waited = tokio::time::timeout(std::time::Duration::from_millis(300), put).await;
    assert!(waited.is_err(), "it waits for more");
    let got = store.get("gone").await;
    assert!(matches!(got, Err(BlobError::NotFound)));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while store.0.buffers.available_permits() < UPLOADS_BYTES_MAX {
        assert!(std::time::Instant::now() < deadline, "room is given back");
        tokio::task::yield_now().await;
    }
}

pub async fn keys_stay_inside(store: BlobStore) {
    let long = "x".repeat(PART_MAX + 1);
    let deep = ["a"; PARTS_MAX + 1].join("/");
    let keys = [
        "",
        "/",
        "/etc/passwd",
        "a//b",
        "a/",
        "..",
        "a/../b",
        ".incoming/1",
        ".guildhall",
        "a/.b",
        "a b",
        "a#1",
        "ä",
        "a\\b",
        "a\0",
        &long,
        &deep,
    ];
    for key in keys {
        let refused = [
            store.put_bytes(key, Bytes::new(), 1).await.err(),
            store.get(key).await.err(),
            store.get_part(key, Part::From(0)).await.err(),
            store.delete(key).await.err(),
        ];
        for error in refused {
            let error = error.unwrap();
            assert!(matches!(error, BlobError::InvalidKey(_)), "{key:?}");
        }
    }
}
