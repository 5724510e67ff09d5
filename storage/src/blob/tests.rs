//! Blobs in a directory and in memory behave the same.
#![allow(clippy::unwrap_used)]

use futures_util::stream;
use tokio::io::AsyncSeekExt;

use super::*;

async fn both() -> (tempfile::TempDir, [BlobStore; 2]) {
    let directory = tempfile::tempdir().unwrap();
    let stores = [
        BlobStore::open(directory.path()).await.unwrap(),
        BlobStore::memory(),
    ];
    (directory, stores)
}

fn pieces(pieces: &[&'static str]) -> impl Stream<Item = io::Result<Bytes>> + use<> {
    stream::iter(
        pieces
            .iter()
            .map(|piece| Ok(Bytes::from_static(piece.as_bytes())))
            .collect::<Vec<_>>(),
    )
}

#[tokio::test]
async fn what_is_put_is_got() {
    let (_directory, stores) = both().await;
    for store in stores {
        let key = "attachments/1/2/cat.png";
        assert!(matches!(store.get(key).await, Err(BlobError::NotFound)));
        assert_eq!(
            store
                .put(key, pieces(&["hello", " ", "world"]), 11)
                .await
                .unwrap(),
            11
        );
        let mut blob = store.get(key).await.unwrap();
        assert_eq!(blob.len, 11);
        blob.content.seek(io::SeekFrom::Start(6)).await.unwrap();
        assert_eq!(blob.read().await.unwrap(), "world");
        assert_eq!(
            store
                .put_bytes(key, Bytes::from_static(b"over"), 100)
                .await
                .unwrap(),
            4
        );
        let stream: Vec<_> = store.get(key).await.unwrap().into_stream().collect().await;
        assert_eq!(
            stream
                .into_iter()
                .map(|piece| piece.unwrap())
                .collect::<Vec<_>>()
                .concat(),
            b"over"
        );
        assert!(store.delete(key).await.unwrap());
        assert!(!store.delete(key).await.unwrap());
        assert_eq!(store.put_bytes("empty", Bytes::new(), 0).await.unwrap(), 0);
        assert_eq!(store.get("empty").await.unwrap().len, 0);
        assert!(matches!(
            store.get("attachments/1").await,
            Err(BlobError::NotFound)
        ));
        assert!(matches!(
            store.get("empty/below").await,
            Err(BlobError::NotFound)
        ));
    }
}

#[tokio::test]
async fn a_failed_put_leaves_what_was_there_and_nothing_else() {
    let (directory, stores) = both().await;
    for store in stores {
        store
            .put_bytes("a/b", Bytes::from_static(b"old"), 9)
            .await
            .unwrap();
        assert!(matches!(
            store.put("a/b", pieces(&["12345", "67890"]), 9).await,
            Err(BlobError::TooLarge(9))
        ));
        let broken = stream::iter([Ok(Bytes::from_static(b"1")), Err(io::Error::other("gone"))]);
        assert!(matches!(
            store.put("a/b", broken, 9).await,
            Err(BlobError::Interrupted(_))
        ));
        assert_eq!(store.get("a/b").await.unwrap().read().await.unwrap(), "old");
    }
    assert_eq!(
        std::fs::read_dir(directory.path().join(INCOMING))
            .unwrap()
            .count(),
        0
    );
}

#[tokio::test]
async fn keys_stay_inside() {
    let (_directory, stores) = both().await;
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
        "a/.b",
        "a b",
        "ä",
        "a\\b",
        "a\0",
        &long,
        &deep,
    ];
    for store in stores {
        for key in keys {
            assert!(
                matches!(
                    store.put_bytes(key, Bytes::new(), 1).await,
                    Err(BlobError::InvalidKey(_))
                ),
                "{key:?}"
            );
            assert!(
                matches!(store.get(key).await, Err(BlobError::InvalidKey(_))),
                "{key:?}"
            );
            assert!(
                matches!(store.delete(key).await, Err(BlobError::InvalidKey(_))),
                "{key:?}"
            );
        }
    }
}

#[tokio::test]
async fn what_a_crash_left_is_removed_at_the_next_open() {
    let directory = tempfile::tempdir().unwrap();
    let store = BlobStore::open(directory.path()).await.unwrap();
    store
        .put_bytes("kept", Bytes::from_static(b"kept"), 9)
        .await
        .unwrap();
    let left = directory.path().join(INCOMING).join("7");
    std::fs::write(&left, "half").unwrap();
    let store = BlobStore::open(directory.path()).await.unwrap();
    assert!(!left.exists());
    assert_eq!(
        store.get("kept").await.unwrap().read().await.unwrap(),
        "kept"
    );
}

#[test]
fn file_names_become_parts_of_keys() {
    for (name, safe) in [
        ("cat.png", "cat.png"),
        ("my cat (1).png", "my_cat__1_.png"),
        ("../../etc/passwd", "_.._.._etc_passwd"),
        (".hidden", "_.hidden"),
        ("", "_"),
        ("Käse.txt", "K_se.txt"),
    ] {
        assert_eq!(safe_file_name(name), safe);
        check(safe).unwrap();
    }
    let long = safe_file_name(&format!("{}.tar.gz", "x".repeat(500)));
    assert!(long.len() == PART_MAX && long.ends_with(".gz"), "{long}");
}
