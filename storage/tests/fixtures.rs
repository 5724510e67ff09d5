//! Data of earlier versions opens, and has exactly what was written then.
//!
//! `fixtures/fjall-N.pack.zst` is a directory of the embedded engine as the version with format N left
//! it, files one after the other, compressed. A new format gets one of its own: raise `NEWEST`, then
//! `cargo test -p guildhall-storage --test fixtures -- --ignored make`. Never change one that is there.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::ban::BanRecord;
use model::channel::Channel;
use model::guild::Guild;
use model::permissions::Permissions;
use model::role::Role;
use model::{ChannelId, Id};
use storage::conformance::{
    ADA, BOB, CHANNEL, GUILD, account, emoji, found, message_id, put, reaction, record,
};
use storage::migrate::progress::Progress;
use storage::migrate::{self};
use storage::store::{LastOf, LostFile, RecordPatch, Write};
use storage::{Store, engine};

/// The newest format that has a fixture.
const NEWEST: u32 = 1;

fn pack_of(format: u32) -> PathBuf {
    let name = format!("tests/fixtures/fjall-{format}.pack.zst");
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// What every fixture holds: something of everything that format 1 could say.
async fn fill(store: &dyn Store) {
    found(store).await;
    let bot = account(Id::new(3_003), "ada", true);
    store.create_account(bot).await.unwrap();
    let gone = ChannelId::new(2_009);
    let mut long = record(message_id(2, 1));
    // Longer than one piece of a value.
    long.content = "long ".repeat(2_000);
    let mut elsewhere = record(message_id(4, 1));
    elsewhere.channel_id = gone;
    let patch = RecordPatch {
        content: Some("edited".to_owned()),
        edited_timestamp: Some(model::time::from_unix_ms(1_700_000_123_456)),
        pinned: Some(true),
        ..RecordPatch::default()
    };
    let id = |number| message_id(1, number);
    let role = Role::new(Id::new(500), "keepers", Permissions::empty(), 1);
    let mut renamed = account(BOB, "bob", false);
    renamed.user.global_name = Some("Bob the Bold".to_owned());
    let batches = [
        vec![
            Write::PutChannel(Box::new(Channel::new(gone, GUILD, 0, "gone"))),
            Write::PutRole(GUILD, Box::new(role)),
            Write::PutBan(BanRecord {
                guild_id: GUILD,
                user_id: Id::new(77),
                reason: Some("spam".to_owned()),
            }),
            Write::PutAccount(Box::new(renamed)),
            Write::PutSetting("secret".to_owned(), vec![0, 1, 2, 255]),
            Write::PutSetting(String::new(), Vec::new()),
        ],
        (1..=30).map(|number| put(id(number))).collect(),
        vec![
            Write::PutMessage(Box::new(long)),
            Write::PutMessage(Box::new(elsewhere)),
            Write::PatchMessage(CHANNEL, id(3), Box::new(patch)),
            Write::PutPin(CHANNEL, id(3), 1_700_000_200_000),
            Write::DeleteMessage(CHANNEL, id(30)),
            Write::PutReaction(reaction(id(4), ADA, "👍", 100)),
            Write::PutReaction(reaction(id(4), BOB, "👍", 200)),
            Write::PutReaction(reaction(id(4), BOB, "❤", 150)),
            Write::DeleteReaction(CHANNEL, id(4), emoji("👍"), ADA),
            Write::RaiseLastMessage(LastOf::Channel(CHANNEL), message_id(3, 3)),
            Write::LoseFiles(
                CHANNEL,
                vec![LostFile {
                    channel_id: CHANNEL,
                    attachment_id: Id::new(9_001),
                    filename: "cat.png".to_owned(),
                }],
            ),
            Write::DeleteChannel(GUILD, gone),
            Write::PutGuild(Box::new(Guild::new(Id::new(1_001), "empty", BOB))),
        ],
    ];
    for batch in batches {
        store.commit(batch).await.unwrap();
    }
}

fn files(directory: &Path, under: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, under, found);
        } else {
            let name = path.strip_prefix(under).unwrap().to_owned();
            found.insert(name, std::fs::read(&path).unwrap());
        }
    }
}

fn pack(directory: &Path) -> Vec<u8> {
    let mut found = BTreeMap::new();
    files(directory, directory, &mut found);
    let mut packed = Vec::new();
    for (name, bytes) in found {
        for part in [name.to_str().unwrap().as_bytes(), &bytes] {
            packed.extend(u64::try_from(part.len()).unwrap().to_be_bytes());
            packed.extend(part);
        }
    }
    zstd::encode_all(packed.as_slice(), 19).unwrap()
}

fn unpack(packed: &[u8], directory: &Path) {
    let packed = zstd::decode_all(packed).unwrap();
    let mut rest = packed.as_slice();
    let mut part = || {
        let (length, after) = rest.split_first_chunk::<8>()?;
        let length = usize::try_from(u64::from_be_bytes(*length)).unwrap();
        let (part, after) = after.split_at(length);
        rest = after;
        Some(part)
    };
    while let Some(name) = part() {
        let path = directory.join(std::str::from_utf8(name).unwrap());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, part().unwrap()).unwrap();
    }
}

#[tokio::test]
async fn every_earlier_format_opens_with_its_content() {
    for format in 1..=NEWEST {
        let directory = tempfile::tempdir().unwrap();
        unpack(&std::fs::read(pack_of(format)).unwrap(), directory.path());
        let url = format!("fjall:{}", directory.path().display());
        let old = engine::open(&url).await.unwrap();
        let expected = engine::open("memory:").await.unwrap();
        fill(&*expected).await;
        let progress = Arc::new(Progress::new());
        let verified = migrate::compare(&expected, &old, &progress).await.unwrap();
        assert!(verified.is_equal(), "format {format}: {verified:?}");
        assert_eq!(verified.sections["messages"].1.rows, 30);
        // And it goes on being used.
        let later = vec![put(message_id(9, 9))];
        old.commit(later).await.unwrap();
        drop(old);
        let again = engine::open(&url).await.unwrap();
        let later = again.message(CHANNEL, message_id(9, 9)).await.unwrap();
        assert!(later.is_some());
    }
}

/// Leaves the data of today's version for later ones.
#[tokio::test]
#[ignore = "makes a fixture"]
async fn make() {
    let path = pack_of(NEWEST);
    assert!(!path.exists(), "{} is there", path.display());
    let directory = tempfile::tempdir().unwrap();
    let url = format!("fjall:{}", directory.path().display());
    let store = engine::open(&url).await.unwrap();
    fill(&*store).await;
    store.close().await.unwrap();
    drop(store);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, pack(directory.path())).unwrap();
}
