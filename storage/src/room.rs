//! Room on a disk: what is written stops while there is some left, so that nothing is begun that finds
//! the disk full in the middle.
//!
//! ```text
//!  free on the disk ──────────────────────────────┐
//!  ████████████ used ████████████│   taken        │  reserve: refused with `Full`, nothing changed
//!                                └ journal, files ┘  tables and merges of the engine finish here
//! ```
//!
//! A journal that meets a full disk may hold half of a batch, and after a failed sync nobody knows what
//! it holds: then the store is broken until a fresh start. A refusal before it is harmless, and ends by
//! itself when there is room again. The engine writes by itself too (maps to tables, tables merged to
//! larger ones); the reserve is for that, so that reads and what was acknowledged never suffer.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes of a disk that are left free unless an operator says otherwise: more than all maps of the
/// engine, its journals and one merge take together.
pub const DISK_RESERVE: u64 = 512 * 1_024 * 1_024;

const MIB: u64 = 1_024 * 1_024;

/// The room on the disk of one directory.
#[derive(Debug)]
pub(crate) struct Room {
    directory: PathBuf,
    reserve: u64,
    /// Whose directory it is, in metrics.
    of: &'static str,
    full: AtomicBool,
}

impl Room {
    /// `reserve` in bytes; 0 never refuses.
    pub(crate) fn new(directory: impl Into<PathBuf>, reserve: u64, of: &'static str) -> Self {
        Self {
            directory: directory.into(),
            reserve,
            of,
            full: AtomicBool::new(false),
        }
    }

    /// Whether more than the reserve is free now. Asks the file system, which takes a microsecond;
    /// one that does not answer refuses nothing: the write itself will tell.
    ///
    /// # Errors
    /// A text for the operator. Nothing was changed.
    pub(crate) fn check(&self) -> Result<(), String> {
        let Ok(disk) = rustix::fs::statvfs(&self.directory) else {
            return Ok(());
        };
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        #[allow(clippy::cast_precision_loss)]
        metrics::gauge!("guildhall_disk_free_bytes", "of" => self.of).set(free as f64);
        let full = free < self.reserve;
        let was_full = self.full.swap(full, Ordering::Relaxed);
        if !full {
            if was_full {
                tracing::info!(
                    of = self.of,
                    free_mib = free / MIB,
                    "the disk has room again"
                );
            }
            return Ok(());
        }
        metrics::counter!("guildhall_disk_refused_total", "of" => self.of).increment(1);
        let text = format!(
            "the disk of {} has {} MiB free, of which {} MiB are kept (disk_reserve_mib)",
            self.directory.display(),
            free / MIB,
            self.reserve / MIB
        );
        if !was_full {
            tracing::error!(
                of = self.of,
                "{text}; writes are refused until there is room"
            );
        }
        Err(text)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn less_than_the_reserve_is_refused_and_told() {
        let directory = tempfile::tempdir().unwrap();
        Room::new(directory.path(), 0, "test").check().unwrap();
        let full = Room::new(directory.path(), u64::MAX, "test");
        let text = full.check().unwrap_err();
        assert!(text.contains("disk_reserve_mib"), "{text}");
        assert!(
            text.contains(&directory.path().display().to_string()),
            "{text}"
        );
    }

    #[test]
    fn a_disk_that_does_not_answer_refuses_nothing() {
        Room::new("/nowhere/at/all", u64::MAX, "test")
            .check()
            .unwrap();
    }
}
