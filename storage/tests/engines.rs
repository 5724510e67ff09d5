//! Every engine against the suite: one line per engine.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use async_trait::async_trait;
use storage::Store;
use storage::conformance::Engine;

#[path = "support/keyspace.rs"]
mod keyspace;

use keyspace::Keyspace;

/// An engine opened by its URL, in a directory of its own.
struct ByUrl {
    directory: Option<tempfile::TempDir>,
}

#[async_trait]
impl Engine for ByUrl {
    async fn open(&self) -> Arc<dyn Store> {
        let url = self
            .directory
            .as_ref()
            .map(|directory| format!("fjall:{}", directory.path().display()));
        storage::engine::open(url.as_deref().unwrap_or("memory:"))
            .await
            .unwrap()
    }

    fn durable(&self) -> bool {
        self.directory.is_some()
    }
}

#[async_trait]
impl Engine for Keyspace {
    async fn open(&self) -> Arc<dyn Store> {
        storage::engine::open(self.url()).await.unwrap()
    }

    fn durable(&self) -> bool {
        true
    }
}

storage::engine_conformance!(memory, ByUrl { directory: None });
storage::engine_conformance!(
    fjall,
    ByUrl {
        directory: Some(tempfile::tempdir().unwrap())
    }
);
storage::engine_conformance!(
    scylla,
    match Keyspace::new() {
        Some(keyspace) => keyspace,
        None => return,
    }
);
