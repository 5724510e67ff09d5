//! Moving everything of one store into another.
//!
//! ```text
//!  offline:  migrate() ─▶ copy.rs: walk the source, put into the target, checkpoint ─▶ verify.rs
//!  online:   online.rs: a job of the node ─▶ switch.rs: every batch also to the target ─▶ switched
//!
//!  scope.rs   what there is, in which order, how it is read: THE list of sections
//!  row.rs     what a row is, how it is written     apply.rs     batches
//!  position.rs  how far it is                      progress.rs  what is shown of it
//! ```
//!
//! Both go through the port alone, so they work between any two engines. Both end with both stores
//! read back and compared, row by row.
//!
//! Attachments are not in the store and are not touched.

mod apply;
mod copy;
mod mirror;
pub mod online;
mod position;
pub mod progress;
mod row;
mod scope;
mod switch;
mod verify;

use std::path::Path;
use std::sync::Arc;

use crate::error::StoreError;
use crate::store::{Result, Store, Write};
use copy::Checkpoint;
use position::{Marker, Position};
use progress::{Counts, Progress};

pub use apply::{
    ACCOUNTS_AT_ONCE_MAX, BATCH_BYTES_MAX, BATCH_WRITES_MAX, BATCHES_AT_ONCE_MAX, TRIES_MAX,
};
pub use copy::{SCOPES_AT_ONCE_MAX, SCOPES_OPEN_MAX};
pub use mirror::{MIRROR_BATCHES_MAX, MIRROR_WRITES_MAX};
pub use row::Difference;
pub use scope::{PIECE_ROWS, REACTORS_PAGE, WORK_LIST_MAX};
pub use switch::{HELD_BATCHES_MAX, HELD_TIME_MAX, Switch};
pub use verify::{DIFFERENCES_MAX, Differing, Digest, Verified};

/// Settings with such a name are the migrator's own: they say something about the store they are in,
/// and are not copied.
const MARKER_PREFIX: &str = "migration";

/// The setting that says how far a store is.
const MARKER: &str = "migration";

/// The setting two names of one store are found out by.
const PROBE: &str = "migration-probe";

/// Why a migration did not go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It was not begun: the text says why and what to do. Nothing was changed.
    #[error("{0}")]
    Refused(String),
    /// The store that is copied. Nothing in it was changed; the same command goes on.
    #[error("the source: {0}")]
    Source(StoreError),
    /// The store that is copied into. What it acknowledged is remembered; the same command goes on.
    #[error("the target: {0}")]
    Target(StoreError),
    /// A task of the migration ended early; the same command goes on.
    #[error("a part of the migration ended early: {0}")]
    Ended(String),
}

/// What a migration did.
#[derive(Debug, Clone)]
pub struct Report {
    /// Whether an earlier run had begun it.
    pub resumed: bool,
    /// What was copied, in all runs together.
    pub copied: Counts,
    /// Seconds the copy took in this run.
    pub copy_seconds: f64,
    /// What the comparison of both stores found.
    pub verified: Verified,
    /// Seconds it took.
    pub verify_seconds: f64,
}

/// What names a store, whichever way its URL is written: a directory by its real path, a cluster
/// without user, password and options.
pub fn identity(url: &str) -> String {
    if let Some(directory) = url.strip_prefix("fjall:") {
        let path = Path::new(directory);
        let real = path.canonicalize().or_else(|_| std::path::absolute(path));
        let real = real.unwrap_or_else(|_| path.to_owned());
        return format!("fjall:{}", real.display());
    }
    if let Some(rest) = url.strip_prefix("scylla://") {
        let rest = rest.split('?').next().unwrap_or_default();
        let rest = rest.rsplit_once('@').map_or(rest, |(_, hosts)| hosts);
        return format!("scylla://{}", rest.trim_end_matches('/'));
    }
    url.to_owned()
}

/// Copies everything of `source` into `target`, which is empty or was begun by this function from
/// the same source, and compares both. `from` names the source in the target's checkpoint, see
/// [`identity`]. Neither store may be written by anybody else meanwhile.
///
/// Given again after it was interrupted, in whatever way, it goes on where it was. Given again when
/// it is complete, it only compares.
///
/// # Errors
/// [`Failure`]. Stores that differ in the end are no failure: see [`Report::verified`].
pub async fn migrate(
    source: Arc<dyn Store>,
    target: Arc<dyn Store>,
    from: &str,
    progress: &Arc<Progress>,
) -> std::result::Result<Report, Failure> {
    let began = begin(&source, &target, from).await?;
    let resumed = began.is_some();
    let position = began.unwrap_or_else(|| Position::new(from));
    if position.online && !position.complete {
        return Err(Failure::Refused(
            "a node's migration into the target was interrupted; start it again there (`guildhall admin migrate --to URL`), or empty the target".to_owned(),
        ));
    }
    let complete = position.complete;
    let checkpoint = Arc::new(Checkpoint::new(target.clone(), position));
    let clock = std::time::Instant::now();
    if !complete {
        checkpoint.change(|_| ());
        checkpoint.keep().await.map_err(Failure::Target)?;
        copy::copy(&source, &checkpoint, progress).await?;
        checkpoint.change(|position| position.complete = true);
        let keep = apply::again(|| checkpoint.keep());
        keep.await.map_err(Failure::Target)?;
    }
    let copy_seconds = clock.elapsed().as_secs_f64();
    let clock = std::time::Instant::now();
    let verified = verify::verify(&source, &target, progress).await?;
    Ok(Report {
        resumed,
        copied: checkpoint.position().counts,
        copy_seconds,
        verified,
        verify_seconds: clock.elapsed().as_secs_f64(),
    })
}

/// Compares two stores that nobody writes to meanwhile; changes nothing.
///
/// # Errors
/// [`Failure`]. Stores that differ are no failure: see [`Verified::is_equal`].
pub async fn compare(
    source: &Arc<dyn Store>,
    target: &Arc<dyn Store>,
    progress: &Arc<Progress>,
) -> std::result::Result<Verified, Failure> {
    verify::verify(source, target, progress).await
}

/// Whether a node may serve from a store.
///
/// # Errors
/// [`StoreError::Broken`] with a text for the operator: it is only half copied, or its node has
/// switched to another one, which has everything that is newer.
pub async fn servable(store: &dyn Store) -> Result<()> {
    match marker(store).await? {
        Some(Marker::Target(position)) if !position.complete => Err(StoreError::Broken(format!(
            "a migration from {} into it is not complete; finish it first (the same command again goes on), or use the source",
            position.from
        ))),
        Some(Marker::Moved { to }) => Err(StoreError::Broken(format!(
            "its node has switched to {to}, which has everything that is newer: set storage to that"
        ))),
        _ => Ok(()),
    }
}

/// Looks at both stores before anything is copied: how far an earlier run has come, or `None` when
/// the target is empty.
async fn begin(
    source: &Arc<dyn Store>,
    target: &Arc<dyn Store>,
    from: &str,
) -> std::result::Result<Option<Position>, Failure> {
    let refused = |text: String| Err(Failure::Refused(text));
    if let Err(StoreError::Broken(text)) = servable(&**source).await {
        return refused(format!("the source cannot be copied: {text}"));
    }
    let begun = match marker(&**target).await.map_err(Failure::Target)? {
        Some(Marker::Target(position)) if position.from == from => Some(position),
        Some(Marker::Target(position)) => {
            return refused(format!(
                "the target was filled from {}, not from {from}; empty it, or name another",
                position.from
            ));
        }
        Some(Marker::Moved { to }) => {
            return refused(format!(
                "the target was left for {to}; empty it, or name another"
            ));
        }
        None if is_empty(&**target).await.map_err(Failure::Target)? => None,
        None => {
            return refused(
                "the target is not empty, and not by this migration; empty it, or name another"
                    .to_owned(),
            );
        }
    };
    if same_store(&**source, &**target).await? {
        return refused("source and target are the same store".to_owned());
    }
    Ok(begun)
}

/// Whether both are one store under two names: what is written to the one is seen in the other.
async fn same_store(source: &dyn Store, target: &dyn Store) -> std::result::Result<bool, Failure> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let nonce = format!(
        "{}-{}",
        std::process::id(),
        now.unwrap_or_default().as_nanos()
    );
    let probe = Write::PutSetting(PROBE.to_owned(), nonce.clone().into_bytes());
    target.commit(vec![probe]).await.map_err(Failure::Target)?;
    let seen = source.setting(PROBE).await.map_err(Failure::Source)?;
    Ok(seen == Some(nonce.into_bytes()))
}

async fn marker(store: &dyn Store) -> Result<Option<Marker>> {
    let bytes = store.setting(MARKER).await?;
    let marker = bytes.map(|bytes| Marker::from_bytes(&bytes)).transpose();
    marker.map_err(|why| {
        StoreError::Corrupt(format!(
            "the migrator's checkpoint (setting {MARKER:?}) cannot be read: {why}"
        ))
    })
}

async fn keep_marker(store: &dyn Store, marker: &Marker) -> Result<()> {
    let write = Write::PutSetting(MARKER.to_owned(), marker.to_bytes());
    store.commit(vec![write]).await
}

/// Whether a store holds nothing but what the migrator may have left there.
async fn is_empty(store: &dyn Store) -> Result<bool> {
    let settings = store.list_settings(None, PIECE_ROWS).await?;
    Ok(settings
        .iter()
        .all(|(name, _)| name.starts_with(MARKER_PREFIX))
        && store.list_accounts(None, 1).await?.is_empty()
        && store.list_guilds(None, 1).await?.is_empty()
        && store.files_to_delete(1).await?.is_empty()
        && store.channels_to_purge(1).await?.is_empty())
}
