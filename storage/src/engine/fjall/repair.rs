//! Repairs the journal before the tree reads it: a torn tail is cut off, damage is told apart.
//!
//! ```text
//!  journal: ┌─ batch ─┬─ batch ─┬─ batch ─┬─ torn ─┬ zeros …
//!           Start n,seqno · Item × n · End xxh3 "FJL\x03"
//!                                         ▲ cut here (the rest is copied aside first)
//! ```
//!
//! A batch is written, then synced, then acknowledged, and the next one is written only after that.
//! So a broken batch with nothing behind it was never acknowledged and may go; a broken batch with a
//! whole batch behind it was, and the disk has lost it: then the store must not open as if nothing
//! had happened (the tree by itself would, silently dropping everything from there on). The tree
//! also stops with `ChecksumMismatch` at some torn tails that are harmless; here they are cut.
//!
//! What is read here is what the disk holds, not only what the system remembers: each journal is synced
//! first (a process that was killed leaves pages that nobody synced, and what is shown after this start
//! must survive the next power cut), and what is remembered of it is dropped (after a sync that failed
//! pages may be remembered as written that never were).
//!
//! Layout of the journal: `journal/entry.rs` of fjall 3.1.13, which the workspace pins.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use crate::error::StoreError;
use crate::store::Result;

const TAG_START: u8 = 1;
const TAG_ITEM: u8 = 2;
const TAG_END: u8 = 3;
const TAG_CLEAR: u8 = 4;

/// Last bytes of each batch.
const TRAILER: [u8; 4] = *b"FJL\x03";

/// Bytes of a Start: tag, item count, sequence number.
const START_LENGTH: usize = 1 + 4 + 8;

/// Bytes of an Item before its key: tag, type, compression, keyspace, key length, value length,
/// stored length.
const ITEM_HEAD: usize = 1 + 1 + 1 + 8 + 2 + 4 + 4;

/// Bytes of a Clear: tag, keyspace.
const CLEAR_LENGTH: usize = 1 + 8;

/// Bytes of an End: tag, checksum, trailer.
const END_LENGTH: usize = 1 + 8 + TRAILER.len();

/// What a journal holds.
#[derive(Debug, PartialEq, Eq)]
enum Judgement {
    /// Whole batches, then zeros or nothing.
    Sound,
    /// Whole batches up to this byte, then rubbish with no whole batch in it.
    Torn(usize),
    /// Broken at this byte with a whole batch behind it at that one.
    Damaged(usize, usize),
}

/// Checks all journals in `directory` and cuts a torn tail off the newest one.
///
/// # Errors
/// [`StoreError::Corrupt`] when acknowledged batches are damaged (nothing is changed; restore a
/// backup), [`StoreError::Broken`] when the disk fails.
pub(super) fn repair(directory: &Path) -> Result<()> {
    let mut journals = journals(directory).map_err(|error| failed(directory, &error))?;
    journals.sort_unstable();
    let newest = journals.pop();
    for (_, path) in &journals {
        // A sealed journal was synced as a whole before the next one began.
        if let Judgement::Torn(at) | Judgement::Damaged(at, _) = judge(&read(path)?) {
            return Err(damaged(path, at));
        }
    }
    let Some((_, path)) = newest else {
        return Ok(());
    };
    let journal = read(&path)?;
    match judge(&journal) {
        Judgement::Sound => Ok(()),
        Judgement::Damaged(at, _) => Err(damaged(&path, at)),
        Judgement::Torn(at) => cut(&path, &journal, at).map_err(|error| failed(&path, &error)),
    }
}

fn journals(directory: &Path) -> std::io::Result<Vec<(u64, PathBuf)>> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut journals = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let number = path
            .file_name()
            .and_then(|name| name.to_str()?.strip_suffix(".jnl")?.parse().ok());
        if let Some(number) = number {
            journals.push((number, path));
        }
    }
    Ok(journals)
}

/// The journal without the zeros it was made with.
fn read(path: &Path) -> Result<Vec<u8>> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let file = File::open(path)?;
        file.sync_all()?;
        // A hint: a file system that does not take it (tmpfs) has no other copy to look at.
        let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
        BufReader::new(file).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let mut bytes = read().map_err(|error| failed(path, &error))?;
    let used = bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    bytes.truncate(used);
    Ok(bytes)
}

fn judge(journal: &[u8]) -> Judgement {
    let mut good = 0;
    while let Some(length) = batch_length(journal.get(good..).unwrap_or_default()) {
        good += length;
    }
    if good >= journal.len() {
        return Judgement::Sound;
    }
    let behind = (good + 1..journal.len()).find(|at| {
        let rest = journal.get(*at..).unwrap_or_default();
        rest.first() == Some(&TAG_START) && batch_length(rest).is_some()
    });
    behind.map_or(Judgement::Torn(good), |behind| {
        Judgement::Damaged(good, behind)
    })
}

/// The length of the whole and intact batch that `bytes` begin with.
fn batch_length(bytes: &[u8]) -> Option<usize> {
    let start = bytes.get(..START_LENGTH)?;
    if *start.first()? != TAG_START {
        return None;
    }
    let items = u32::from_le_bytes(start.get(1..5)?.try_into().ok()?);
    let mut at = START_LENGTH;
    let mut checksum = Xxh3::new();
    for _ in 0..items {
        let length = entry_length(bytes.get(at..)?)?;
        checksum.update(bytes.get(at..at + length)?);
        at += length;
    }
    let end = bytes.get(at..at + END_LENGTH)?;
    let expected = u64::from_le_bytes(end.get(1..9)?.try_into().ok()?);
    let sound =
        *end.first()? == TAG_END && end.ends_with(&TRAILER) && expected == checksum.digest();
    sound.then_some(at + END_LENGTH)
}

/// The length of the entry that `bytes` begin with.
fn entry_length(bytes: &[u8]) -> Option<usize> {
    match *bytes.first()? {
        TAG_CLEAR => Some(CLEAR_LENGTH),
        TAG_ITEM => {
            let head = bytes.get(..ITEM_HEAD)?;
            let key = u16::from_le_bytes(head.get(11..13)?.try_into().ok()?);
            let stored = u32::from_le_bytes(head.get(17..21)?.try_into().ok()?);
            ITEM_HEAD
                .checked_add(usize::from(key))?
                .checked_add(usize::try_from(stored).ok()?)
        }
        _ => None,
    }
}

/// Copies what follows byte `at` aside and cuts the journal off there.
fn cut(path: &Path, journal: &[u8], at: usize) -> std::io::Result<()> {
    let aside = free_name(path);
    std::fs::write(&aside, journal.get(at..).unwrap_or_default())?;
    File::open(&aside)?.sync_all()?;
    let journal = File::options().write(true).open(path)?;
    journal.set_len(u64::try_from(at).unwrap_or(u64::MAX))?;
    journal.sync_all()?;
    if let Some(directory) = path.parent() {
        File::open(directory)?.sync_all()?;
    }
    metrics::counter!("guildhall_store_torn_tails_total").increment(1);
    tracing::warn!(
        journal = %path.display(), kept_bytes = at, copy = %aside.display(),
        "the journal ended in a torn batch that nobody was told of; it was cut off"
    );
    Ok(())
}

fn free_name(path: &Path) -> PathBuf {
    let name = |number: u32| match number {
        0 => path.with_extension("jnl.torn"),
        number => path.with_extension(format!("jnl.torn.{number}")),
    };
    (0..)
        .map(name)
        .find(|name| !name.exists())
        .unwrap_or_else(|| name(0))
}

fn damaged(path: &Path, at: usize) -> StoreError {
    StoreError::Corrupt(format!(
        "{} is damaged at byte {at} and acknowledged data follows; nothing was changed, restore a backup",
        path.display()
    ))
}

fn failed(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Broken(format!("cannot check {}: {error}", path.display()))
}

#[cfg(test)]
mod tests;
