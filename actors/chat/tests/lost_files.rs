//! Files that no message refers to any more are deleted, also those a crash left behind.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use bytes::Bytes;
use chat::{Chat, ChatConfig};
use model::attachment::Attachment;
use model::message::MessageRecord;
use model::{ChannelId, Id};
use otp::Node;
use storage::blob::{BlobError, BlobStore};
use storage::conformance::file;
use storage::engine::memory::MemoryStore;
use storage::store::{Store as _, Write};
use storage::{DataService, StoreError};

const CHANNEL: ChannelId = Id::new(5);

fn record(id: u64) -> MessageRecord {
    // Not a name that a blob may have.
    let file = Attachment {
        filename: "a file.txt".to_owned(),
        ..file(1_000 + id)
    };
    MessageRecord {
        attachments: vec![file],
        ..MessageRecord::new(Id::new(id), CHANNEL, Id::new(4), Id::new(3))
    }
}

fn key(id: u64) -> String {
    format!("{CHANNEL}/{}/a_file.txt", 1_000 + id)
}

/// More than one step of the job; the node stopped after the deletion was durable and before the
/// files were deleted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_deletes_what_a_crash_left() -> Result<(), StoreError> {
    const LOST: u64 = 250;
    let (store, blobs) = (Arc::new(MemoryStore::new()), BlobStore::memory());
    let mut batch = Vec::new();
    for id in 1..=LOST + 1 {
        let content = Bytes::from_static(b"x");
        blobs.put_bytes(&key(id), content, 9).await.unwrap();
        batch.push(Write::PutMessage(Box::new(record(id))));
    }
    for id in 1..=LOST {
        batch.push(Write::DeleteMessage(CHANNEL, Id::new(id)));
    }
    store.commit(batch).await?;
    let data = DataService::new(store.clone());
    let config = ChatConfig::default();
    let _chat = Chat::start(Node::new("files"), data, blobs.clone(), config)
        .await
        .unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !store.files_to_delete(1).await?.is_empty() {
        assert!(std::time::Instant::now() < deadline, "the job goes on");
        tokio::task::yield_now().await;
    }
    for id in 1..=LOST {
        let found = blobs.get(&key(id)).await;
        assert!(matches!(found, Err(BlobError::NotFound)), "{id}");
    }
    assert!(blobs.get(&key(LOST + 1)).await.is_ok(), "it has a message");
    Ok(())
}
