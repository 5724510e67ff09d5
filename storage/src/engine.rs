//! Engines: where the port ends. This file is the only list of them.
//!
//! ```text
//! "memory:"        ─▶ engine/memory.rs   the reference: maps behind a lock, gone with the process
//! "fjall:DIR"      ─▶ engine/fjall.rs    the default: an embedded log-structured tree in DIR
//! "scylla://HOST…" ─▶ engine/scylla.rs   a cluster: ScyllaDB or Apache Cassandra
//! ```
//!
//! A new engine is a file here, a line in [`open`] and a line in `storage/tests/engines.rs`.

mod rules;
mod places;
mod value;
pub mod memory;
pub mod fjall;
pub mod scylla;

use std::sync::Arc;

use crate::error::StoreError;
use crate::store::{Result, Store};

/// Opens the store a URL names: `memory:`, `fjall:DIR` (a directory; made when missing) or
/// `scylla://[user:password@]host:port[,host:port…]/keyspace[?option=value…]`, with the options
/// `replication_factor` (3) and `datacenter` of a keyspace that is made, `consistency`
/// (`local_quorum`) and `create` (`true`: make and migrate keyspace and tables).
///
/// # Errors
/// [`StoreError::Broken`] with a text for the operator: an unknown scheme, a missing or locked
/// directory, no node that answers, a damaged file, or data written by a newer version. Nothing was changed, but a torn
/// tail of the journal, which is copied aside and cut off.
pub async fn open(url: &str) -> Result<Arc<dyn Store>> {
    let (scheme, rest) = url.split_once(':').unwrap_or((url, ""));
    match (scheme, rest) {
        ("memory", "") => Ok(Arc::new(memory::MemoryStore::new())),
        ("memory", _) => Err(refuse(url, "nothing may follow \"memory:\"")),
        ("fjall", "") => Err(refuse(url, "a directory must follow \"fjall:\"")),
        ("fjall", directory) => Ok(Arc::new(fjall::FjallStore::open(directory).await?)),
        ("scylla", rest) => Ok(Arc::new(scylla::ScyllaStore::open(rest).await?)),
        _ => Err(refuse(
            url,
            "known are memory:, fjall:DIR and scylla://HOST:PORT/KEYSPACE",
        )),
    }
}

fn refuse(url: &str, why: &str) -> StoreError {
    StoreError::Broken(format!("cannot open the store \"{url}\": {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn unknown_urls_are_refused_with_what_is_known() {
        for url in ["", "memory", "redis:host", "fjall:", "memory:dir"] {
            match open(url).await.map(|_| ()) {
                Ok(()) => assert_eq!(url, "memory"),
                Err(StoreError::Broken(text)) => assert!(text.contains(url), "{text}"),
                Err(other) => panic!("{url}: {other}"),
            }
        }
    }
}
