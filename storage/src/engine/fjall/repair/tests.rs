//! Judging journals made by hand: sound, torn, damaged.
#![allow(clippy::unwrap_used)]

use super::*;

/// A batch as fjall writes it, of items with these values.
fn batch(values: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![TAG_START];
    bytes.extend(u32::try_from(values.len()).unwrap().to_le_bytes());
    bytes.extend(7_u64.to_le_bytes());
    let mut items = Vec::new();
    for value in values {
        let length = u32::try_from(value.len()).unwrap().to_le_bytes();
        items.extend([TAG_ITEM, 0, 0]);
        items.extend(1_u64.to_le_bytes());
        items.extend(3_u16.to_le_bytes());
        items.extend(length);
        items.extend(length);
        items.extend(b"key");
        items.extend(*value);
    }
    let mut checksum = Xxh3::new();
    checksum.update(&items);
    bytes.extend(items);
    bytes.push(TAG_END);
    bytes.extend(checksum.digest().to_le_bytes());
    bytes.extend(TRAILER);
    bytes
}

fn directory_with(journals: &[(&str, &[u8])]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, bytes) in journals {
        std::fs::write(directory.path().join(name), bytes).unwrap();
    }
    directory
}

#[test]
fn sound_torn_and_damaged_are_told_apart() {
    let (a, b) = (batch(&[b"one", b"two"]), batch(&[&[7; 5_000]]));
    assert_eq!(judge(&[]), Judgement::Sound);
    assert_eq!(judge(&[a.clone(), b.clone()].concat()), Judgement::Sound);
    for cut in 1..b.len() {
        let torn = [&a[..], &b[..cut]].concat();
        assert_eq!(judge(&torn), Judgement::Torn(a.len()), "cut at {cut}");
    }
    for flip in 0..b.len() {
        // The sequence number is not part of the checksum; fjall does not see it either.
        if (5..START_LENGTH).contains(&flip) {
            continue;
        }
        let mut broken = [a.clone(), b.clone()].concat();
        broken[a.len() + flip] ^= 0x40;
        assert_eq!(judge(&broken), Judgement::Torn(a.len()), "flipped {flip}");
        broken.extend(&a);
        assert_eq!(
            judge(&broken),
            Judgement::Damaged(a.len(), a.len() + b.len()),
            "flipped {flip}"
        );
    }
}

#[test]
fn a_torn_tail_is_copied_and_cut_and_a_second_one_too() {
    let (good, torn) = (batch(&[b"one"]), &batch(&[b"two"])[..20]);
    let directory = directory_with(&[
        ("3.jnl", &good),
        ("4.jnl", &[&good[..], torn, &[0; 500]].concat()),
    ]);
    for copy in ["4.jnl.torn", "4.jnl.torn.1"] {
        repair(directory.path()).unwrap();
        assert_eq!(std::fs::read(directory.path().join("4.jnl")).unwrap(), good);
        let kept = std::fs::read(directory.path().join(copy)).unwrap();
        assert!(torn.starts_with(&kept) && kept.len() > 5);
        std::fs::write(directory.path().join("4.jnl"), [&good[..], torn].concat()).unwrap();
    }
}

#[test]
fn damage_of_acknowledged_data_is_refused_and_left_alone() {
    let good = batch(&[b"one"]);
    let mut bad = good.clone();
    bad[30] ^= 1;
    let newest = [&bad[..], &good].concat();
    for (journals, damaged) in [
        (vec![("1.jnl", &newest)], "1.jnl"),
        (vec![("1.jnl", &bad), ("2.jnl", &good)], "1.jnl"),
    ] {
        let journals: Vec<_> = journals
            .into_iter()
            .map(|(name, bytes)| (name, bytes.as_slice()))
            .collect();
        let directory = directory_with(&journals);
        let error = repair(directory.path()).unwrap_err();
        assert!(
            matches!(&error, StoreError::Corrupt(text) if text.contains(damaged)),
            "{error}"
        );
        for (name, bytes) in journals {
            assert_eq!(std::fs::read(directory.path().join(name)).unwrap(), bytes);
        }
    }
}

#[test]
fn no_directory_and_no_journal_are_fine() {
    let directory = directory_with(&[("notes.txt", b"no journal")]);
    repair(directory.path()).unwrap();
    repair(&directory.path().join("missing")).unwrap();
}
