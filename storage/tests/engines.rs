//! Every engine against the suite: one line per engine.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use async_trait::async_trait;
use storage::Store;
use storage::conformance::Engine;

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

storage::engine_conformance!(memory, ByUrl { directory: None });
storage::engine_conformance!(
    fjall,
    ByUrl {
        directory: Some(tempfile::tempdir().unwrap())
    }
);
