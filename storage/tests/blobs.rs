//! Every place for blobs against one suite; a bucket on a real server where there is one.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use bytes::Bytes;
use storage::blob::{BlobStore, conformance};

#[path = "support/s3.rs"]
mod s3;

use s3::{Server, until};

fn unfinished(directory: &Path) -> usize {
    std::fs::read_dir(directory.join(".incoming"))
        .unwrap()
        .count()
}

macro_rules! suite {
    ($($rule:ident),* $(,)?) => {
        mod directory {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $rule() {
                let directory = tempfile::tempdir().unwrap();
                let place = format!("file:{}", directory.path().display());
                conformance::$rule(BlobStore::open(&place).await.unwrap()).await;
                // What a caller left behind goes in the background.
                until("nothing unfinished is left", || unfinished(directory.path()) == 0);
            })*
        }
        mod memory {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $rule() {
                conformance::$rule(BlobStore::open("memory:").await.unwrap()).await;
            })*
        }
        mod bucket {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $rule() {
                let Some(server) = Server::start() else { return };
                conformance::$rule(BlobStore::open(&server.place("a/prefix")).await.unwrap()).await;
                until("nothing unfinished is left", || server.unfinished() == 0);
            })*
        }
    };
}

suite!(
    what_is_put_is_got,
    large_blobs_come_back_whole_and_in_parts,
    a_failed_put_leaves_what_was_there,
    a_caller_that_stops_waiting_leaves_nothing,
    keys_stay_inside,
);

#[tokio::test]
async fn what_a_crash_left_is_removed_at_the_next_open() {
    let directory = tempfile::tempdir().unwrap();
    let store = BlobStore::directory(directory.path()).await.unwrap();
    let kept = Bytes::from_static(b"kept");
    store.put_bytes("kept", kept, 9).await.unwrap();
    for left in ["7", "8#1"] {
        std::fs::write(directory.path().join(".incoming").join(left), "half").unwrap();
    }
    let store = BlobStore::directory(directory.path()).await.unwrap();
    assert_eq!(unfinished(directory.path()), 0);
    let found = store.get("kept").await.unwrap();
    assert_eq!(found.read().await.unwrap(), "kept");
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = BlobStore::directory(file.join("below")).await.unwrap_err();
    let named = file.join("below").display().to_string();
    assert!(error.to_string().contains(&named), "{error}");
}
