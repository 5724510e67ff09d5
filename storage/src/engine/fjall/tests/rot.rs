//! Bits that flip in files that nobody writes any more.

use super::*;
use crate::conformance::{ADA, BOB, emoji, reaction, reactions};

/// Flips that are tried; GUILDHALL_TEST_FLIPS names another number.
const FLIPS: u64 = 30;

/// Messages written out to files, some with reactions and a pin, with holes.
async fn written(directory: &Path) -> Vec<String> {
    let store = FjallStore::open(directory).await.unwrap();
    found(&store).await;
    for number in 1..=600_u64 {
        let id = message_id(1 + number / 200, number);
        let text = large(number, usize::try_from(number * 37 % 1_900).unwrap()).content;
        let mut record = record(id);
        record.content = text;
        let mut batch = vec![Write::PutMessage(Box::new(record))];
        if number % 7 == 0 {
            batch.push(Write::PutReaction(reaction(id, BOB, "👍", number)));
        }
        if number % 50 == 0 {
            batch.push(Write::PutPin(CHANNEL, id, number));
        }
        if number % 11 == 0 {
            let earlier = message_id(1 + (number - 5) / 200, number - 5);
            batch.push(Write::DeleteMessage(CHANNEL, earlier));
        }
        store.commit(batch).await.unwrap();
        if number % 150 == 0 {
            store.inner.tables.write_out();
        }
    }
    store.inner.tables.write_out();
    let all = everything(&store).await.unwrap();
    store.close().await.unwrap();
    all
}

/// All that was written, as the port tells it.
async fn everything(store: &FjallStore) -> Result<Vec<String>> {
    let mut all = vec![
        format!("{:?}", store.guild(GUILD).await?),
        format!("{:?}", store.list_accounts(None, 9).await?),
        format!("{:?}", store.guilds_of(ADA).await?),
        format!("{:?}", store.pins(CHANNEL, None, 99).await?),
    ];
    let mut page = Page::Latest;
    loop {
        let messages = store.messages(CHANNEL, page, 100).await?;
        let Some(last) = messages.last() else {
            return Ok(all);
        };
        page = Page::Before(last.id);
        let reactions = reactions(store, CHANNEL, &ids(&messages), BOB).await?;
        all.push(format!("{messages:?} {reactions:?}"));
        let users = store
            .reactors(CHANNEL, last.id, &emoji("👍"), None, 9)
            .await?;
        all.push(format!("{users:?}"));
    }
}

/// The files below `directory` that are complete: all but the journals, whose tails are for
/// `repair.rs`.
fn closed(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            closed(&path, found);
        } else if path.extension().is_none_or(|extension| extension != "jnl") {
            found.push(path);
        }
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

/// A fixed sequence of numbers (SplitMix64), so that a failure can be repeated.
fn scattered(number: u64) -> u64 {
    let mut z = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Names the directory to the process that reads it.
const DIRECTORY: &str = "GUILDHALL_TEST_ROT";

/// What a process of its own reads, if it comes to an end: the tree may panic while it cleans up after
/// it found its list of files damaged, which ends the whole process.
fn told_by_another_process(directory: &Path) -> Option<Vec<String>> {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture"])
        .arg("engine::fjall::tests::rot::tells_everything")
        .env(DIRECTORY, directory)
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let told = text.lines().find_map(|line| line.strip_prefix("told: "));
    let told = output.status.success().then_some(told).flatten()?;
    Some(serde_json::from_str(told).unwrap())
}

/// The other process.
#[tokio::test]
#[ignore = "run by the test below"]
async fn tells_everything() {
    let Ok(directory) = std::env::var(DIRECTORY) else {
        return;
    };
    let store = FjallStore::open(directory).await.unwrap();
    let told = everything(&store).await.unwrap();
    println!("told: {}", serde_json::to_string(&told).unwrap());
}

#[tokio::test]
async fn a_flipped_bit_is_detected_or_harmless() {
    let original = tempfile::tempdir().unwrap();
    let truth = written(original.path()).await;
    let mut files = Vec::new();
    closed(original.path(), &mut files);
    files.sort();
    let sizes: Vec<u64> = files
        .iter()
        .map(|file| file.metadata().unwrap().len())
        .collect();
    let all: u64 = sizes.iter().sum();
    assert!(all > 100_000, "most of it is in closed files: {all} bytes");
    let flips = std::env::var("GUILDHALL_TEST_FLIPS");
    let flips = flips.map_or(FLIPS, |flips| flips.parse().unwrap());
    let (mut detected, mut harmless) = (0, 0);
    for flip in 1..=flips {
        // Each small file as often as the large ones, or the lists of files were never hit.
        let (file, byte) = if flip % 2 == 0 {
            let mut at = scattered(flip) % all;
            let which = sizes.iter().position(|size| {
                let here = at < *size;
                at = if here { at } else { at - size };
                here
            });
            (which.unwrap(), at)
        } else {
            let which = usize::try_from(scattered(flip) % files.len() as u64).unwrap();
            (which, scattered(flip + 1_000) % sizes[which].max(1))
        };
        if sizes[file] == 0 {
            continue;
        }
        let broken = tempfile::tempdir().unwrap();
        copy(original.path(), broken.path());
        let path = broken
            .path()
            .join(files[file].strip_prefix(original.path()).unwrap());
        let mut bytes = std::fs::read(&path).unwrap();
        let bit = scattered(flip + 2_000) % 8;
        bytes[usize::try_from(byte).unwrap()] ^= 1 << bit;
        std::fs::write(&path, bytes).unwrap();
        match told_by_another_process(broken.path()) {
            None => detected += 1,
            Some(told) => {
                assert!(
                    told == truth,
                    "flip {flip}: bit {bit} of byte {byte} of {} tells something else",
                    files[file].display()
                );
                harmless += 1;
            }
        }
    }
    println!(
        "{flips} flips in {} files, {all} bytes: {detected} detected, {harmless} harmless",
        files.len()
    );
    assert!(
        detected > flips / 4,
        "flips are where they matter: {detected}"
    );
}
