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
use crate::room::DISK_RESERVE;
use crate::store::{Result, Store};

/// Opens the store a URL names: `memory:`, `fjall:DIR` (a directory; made when missing) or
/// `scylla://[user:password@]host:port[,host:port…]/keyspace[?option=value…]`, with the options
/// `replication_factor` (3) and `datacenter` of a keyspace that is made, `consistency`
/// (`local_quorum`), `create` (`true`: make and migrate keyspace and tables), `tls` (`off`) with
/// `tls_ca`, `tls_cert`, `tls_key` and `tls_name`.
///
/// # Errors
/// [`StoreError::Broken`] with a text for the operator: an unknown scheme, a missing or locked
/// directory, no node that answers, a damaged file, or data written by a newer version. Nothing was changed, but a torn
/// tail of the journal, which is copied aside and cut off.
pub async fn open(url: &str) -> Result<Arc<dyn Store>> {
    open_with_reserve(url, DISK_RESERVE).await
}

/// The same, of a store on a local disk with this many bytes left free there: with less every write
/// is refused with [`StoreError::Full`].
///
/// # Errors
/// As [`open`].
pub async fn open_with_reserve(url: &str, reserve: u64) -> Result<Arc<dyn Store>> {
    let (scheme, rest) = url.split_once(':').unwrap_or((url, ""));
    match (scheme, rest) {
        ("memory", "") => Ok(Arc::new(memory::MemoryStore::new())),
        ("memory", _) => Err(refuse(url, "nothing may follow \"memory:\"")),
        ("fjall", "") => Err(refuse(url, "a directory must follow \"fjall:\"")),
        ("fjall", directory) => Ok(Arc::new(
            fjall::FjallStore::open_with_reserve(directory, reserve).await?,
        )),
        ("scylla", rest) => Ok(Arc::new(scylla::ScyllaStore::open(rest).await?)),
        _ => Err(refuse(
            url,
            "known are memory:, fjall:DIR and scylla://HOST:PORT/KEYSPACE",
        )),
    }
}

/// A store's URL as it may be shown and logged: without the password it may have.
pub fn shown(url: &str) -> String {
    let Some((login, rest)) = url.rsplit_once('@') else {
        return url.to_owned();
    };
    if url.starts_with("fjall:") {
        // A directory has no password.
        return url.to_owned();
    }
    // What is before an @ is told only where it is a name: as in a URL that is not torn.
    match login
        .strip_prefix("scylla://")
        .map(|login| login.split_once(':'))
    {
        Some(Some((name, _))) if !name.contains(['/', '@']) => {
            format!("scylla://{name}:***@{rest}")
        }
        Some(_) => format!("scylla://***@{rest}"),
        None => format!("***@{rest}"),
    }
}

fn refuse(url: &str, why: &str) -> StoreError {
    let url = shown(url);
    StoreError::Broken(format!("the URL \"{url}\": {why}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_password() {
        for (url, expected) in [
            ("memory:", "memory:"),
            ("fjall:/home/a@b/store", "fjall:/home/a@b/store"),
            ("scylla://h:1/k", "scylla://h:1/k"),
            (
                "scylla://ada:secret@h:1,i:2/k?create=false",
                "scylla://ada:***@h:1,i:2/k?create=false",
            ),
            (
                "scylla://ada:se/cr?et@secret@h:1/k",
                "scylla://ada:***@h:1/k",
            ),
            ("scylla://secret@h:1/k", "scylla://***@h:1/k"),
            ("scylla:/ada:secret@h:1/k", "***@h:1/k"),
            ("scyla://ada:secret@h:1/k", "***@h:1/k"),
            ("ada:secret@h", "***@h"),
        ] {
            assert_eq!(shown(url), expected);
        }
    }

    #[tokio::test]
    async fn no_error_shows_a_password() {
        for url in [
            "scyla://ada:secret@h:1/k",
            "scylla://ada:se/secret@h:1/k",
            "scylla:ada:secret@h",
        ] {
            let error = open(url).await.map(drop).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

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
