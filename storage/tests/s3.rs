//! Buckets when things go wrong: servers killed, credentials refused, buckets gone.
#![allow(clippy::unwrap_used)]

use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use storage::blob::{BlobError, BlobStore, UNFINISHED_AGE};

#[path = "support/s3.rs"]
mod s3;

use s3::{BUCKET, SECRET, Server, until};

const MIB: usize = 1_024 * 1_024;

fn text(error: &BlobError) -> String {
    let text = error.to_string();
    assert!(!text.contains(SECRET), "{text}");
    text
}

#[tokio::test]
async fn a_start_tells_what_is_wrong() {
    let Some(mut server) = Server::start() else {
        return;
    };
    let place = server.place("");
    let missing = place.replace(BUCKET, "no-such-bucket");
    let error = BlobStore::open(&missing).await.unwrap_err();
    assert!(text(&error).contains("bucket does not exist"), "{error}");
    for (id, secret) in [("testkeyid", "wrong"), ("wrong", SECRET)] {
        let keys = format!("[default]\naws_access_key_id={id}\naws_secret_access_key={secret}\n");
        std::fs::write(server.keys(), keys).unwrap();
        let error = BlobStore::open(&place).await.unwrap_err();
        assert!(text(&error).contains("credentials are refused"), "{error}");
    }
    server.kill();
    let begin = Instant::now();
    let error = BlobStore::open(&place).await.unwrap_err();
    assert!(text(&error).contains(&server.endpoint()), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(30));
}

/// The first part is stored, the second never: nothing is there, all else still is.
#[tokio::test]
async fn a_server_killed_in_the_middle_of_an_upload() {
    let Some(mut server) = Server::start() else {
        return;
    };
    let store = BlobStore::open(&server.place("")).await.unwrap();
    let old = Bytes::from_static(b"old");
    store.put_bytes("old", old.clone(), 9).await.unwrap();

    let piece = Bytes::from(vec![7; MIB]);
    let first = stream::iter(vec![piece.clone(); 6]).map(io::Result::Ok);
    let (killed, is_killed) = tokio::sync::oneshot::channel::<()>();
    let rest = stream::once(async move {
        is_killed.await.unwrap();
        Ok(piece)
    });
    let put = store.put("new", first.chain(rest), u64::MAX);
    let server = tokio::task::spawn_blocking(move || {
        until("a part is there", || server.unfinished() == 1);
        server.kill();
        killed.send(()).unwrap();
        server
    });
    let (put, server) = tokio::join!(put, server);
    let mut server = server.unwrap();
    let error = put.unwrap_err();
    assert!(matches!(error, BlobError::Failed(_)), "{error:?}");
    assert!(text(&error).contains(&server.endpoint()), "{error}");

    server.restart();
    let got = store.get("new").await;
    assert!(matches!(got, Err(BlobError::NotFound)), "{got:?}");
    assert_eq!(store.get("old").await.unwrap().read().await.unwrap(), old);
    let again = Bytes::from_static(b"again");
    store.put_bytes("new", again.clone(), 9).await.unwrap();
    assert_eq!(store.get("new").await.unwrap().read().await.unwrap(), again);
}

/// What a node that was killed left: aborted when it is old, and when it is ours.
#[tokio::test]
async fn uploads_that_nobody_completes_are_aborted() {
    let Some(server) = Server::start() else {
        return;
    };
    let store = BlobStore::open(&server.place("ours/a")).await.unwrap();
    let other = BlobStore::open(&server.place("others")).await.unwrap();
    let six = || {
        let pieces = stream::iter(vec![Bytes::from(vec![7; MIB]); 6]);
        pieces.map(io::Result::Ok).chain(stream::pending())
    };
    for (store, key) in [(&store, "1/2/a"), (&other, "1/2/b")] {
        let mut put = Box::pin(store.put(key, six(), u64::MAX));
        let begun = server.unfinished();
        while server.unfinished() == begun {
            let step = std::time::Duration::from_millis(20);
            assert!(tokio::time::timeout(step, &mut put).await.is_err());
        }
        // As if the node were killed: nothing is aborted.
        std::mem::forget(put);
    }
    assert_eq!(store.abort_unfinished(UNFINISHED_AGE).await.unwrap(), 0);
    assert_eq!(server.unfinished(), 2, "they are young");
    assert_eq!(store.abort_unfinished(Duration::ZERO).await.unwrap(), 1);
    assert_eq!(server.unfinished(), 1, "the other is not ours");
    assert_eq!(store.abort_unfinished(Duration::ZERO).await.unwrap(), 0);
    let memory = BlobStore::memory();
    assert_eq!(memory.abort_unfinished(Duration::ZERO).await.unwrap(), 0);
}

#[tokio::test]
async fn a_server_that_comes_back_soon_is_not_noticed() {
    let Some(mut server) = Server::start() else {
        return;
    };
    let store = BlobStore::open(&server.place("")).await.unwrap();
    server.kill();
    let content = Bytes::from(vec![3; MIB]);
    let put = store.put_bytes("a/b", content.clone(), u64::MAX);
    let restarted = tokio::task::spawn_blocking(move || {
        // Some attempts come too early.
        std::thread::sleep(Duration::from_millis(200));
        server.restart();
        server
    });
    let (put, server) = tokio::join!(put, restarted);
    let _server = server.unwrap();
    put.unwrap();
    assert_eq!(
        store.get("a/b").await.unwrap().read().await.unwrap(),
        content
    );
}

/// The download goes on where it broke off.
#[tokio::test]
async fn a_server_killed_in_the_middle_of_a_download() {
    let Some(mut server) = Server::start() else {
        return;
    };
    let store = BlobStore::open(&server.place("")).await.unwrap();
    let content: Vec<u8> = (0..30 * MIB).map(|at| (at >> 12) as u8).collect();
    store
        .put_bytes("big", content.clone().into(), u64::MAX)
        .await
        .unwrap();
    let mut pieces = store.get("big").await.unwrap().into_stream();
    let mut got = pieces.next().await.unwrap().unwrap().to_vec();
    server.restart();
    while let Some(piece) = pieces.next().await {
        got.extend_from_slice(&piece.unwrap());
    }
    assert!(got == content);
}

/// A bucket that is gone says nothing about blobs: no read may answer that there is none, and no
/// delete that it is done.
#[tokio::test]
async fn a_bucket_that_is_gone_is_a_failure() {
    let Some(server) = Server::start() else {
        return;
    };
    let store = BlobStore::open(&server.place("p")).await.unwrap();
    let content = Bytes::from_static(b"kept");
    store.put_bytes("a/b", content.clone(), 9).await.unwrap();
    let away = server.files().with_extension("away");
    std::fs::rename(server.files(), &away).unwrap();
    let failures = [
        store.get("a/b").await.err(),
        store.delete("a/b").await.err(),
        store.put_bytes("a/c", content.clone(), 9).await.err(),
    ];
    for error in failures {
        let error = error.unwrap();
        assert!(matches!(error, BlobError::Failed(_)), "{error:?}");
        assert!(text(&error).contains("bucket does not exist"), "{error}");
    }
    std::fs::rename(&away, server.files()).unwrap();
    assert_eq!(
        store.get("a/b").await.unwrap().read().await.unwrap(),
        content
    );
}
