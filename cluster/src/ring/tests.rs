//! The ring against what it promises: the same everywhere, even, and calm when members change.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use proptest::collection::btree_set;
use proptest::prelude::*;

use super::*;

const KEYS: u64 = 20_000;

fn ring(count: usize) -> Ring {
    Ring::new((1..=count).map(|number| (format!("node-{number}"), 1)))
}

fn loads(ring: &Ring) -> BTreeMap<String, u64> {
    let mut loads = BTreeMap::new();
    for key in 0..KEYS {
        *loads
            .entry(ring.owner(key).unwrap().to_string())
            .or_default() += 1;
    }
    loads
}

/// A change of hash, byte order or point layout would send every key elsewhere: it must be seen.
#[test]
fn golden_owners() {
    let ring = ring(8);
    let keys = [1, 2, 3, 42, 1_000, 175_928_847_299_117_063, u64::MAX];
    let owners: Vec<&str> = keys
        .iter()
        .map(|key| &**ring.owner(*key).unwrap())
        .collect();
    assert_eq!(owners, GOLDEN);
    // Published for 0 bytes by the authors of xxh3: the hash itself is the one that is meant.
    assert_eq!(xxh3_64(b""), 0x2d06_8005_38d3_94c2);
}

const GOLDEN: [&str; 7] = [
    "node-6", "node-7", "node-3", "node-3", "node-5", "node-7", "node-3",
];

#[test]
fn eight_members_share_evenly() {
    let loads = loads(&ring(8));
    assert_eq!(loads.len(), 8);
    let mean = KEYS as f64 / 8.0;
    let max = *loads.values().max().unwrap() as f64;
    let min = *loads.values().min().unwrap() as f64;
    assert!(max / mean <= 1.15, "max/mean {}", max / mean);
    assert!(min / mean >= 0.80, "min/mean {}", min / mean);
}

#[test]
fn weight_is_share() {
    let loads = loads(&Ring::new([("small", 1), ("large", 3), ("none", 0)]));
    assert_eq!(loads.get("none"), None);
    let share = loads["large"] as f64 / KEYS as f64;
    assert!((0.68..0.82).contains(&share), "{share}");
}

#[test]
fn nobody_owns_a_key_of_an_empty_ring() {
    assert_eq!(Ring::new(Vec::<(&str, u32)>::new()).owner(7), None);
    assert_eq!(Ring::new([("idle", 0)]).owner(7), None);
}

#[test]
fn pins_beat_the_hash_and_go_with_their_member() {
    let ring = ring(3);
    let other = if &**ring.owner(7).unwrap() == "node-1" {
        "node-2"
    } else {
        "node-1"
    };
    let pinned = ring.pinned(7, other);
    assert_eq!(&**pinned.owner(7).unwrap(), other);
    assert_eq!(pinned.previous_owner(7), ring.owner(7));
    assert_eq!(pinned.unpinned(7).owner(7), ring.owner(7));
    assert_eq!(ring.pinned(7, "stranger"), ring);
    let left: Vec<_> = ["node-1", "node-2", "node-3"]
        .into_iter()
        .filter(|name| *name != other)
        .collect();
    let without = pinned.with_members(left.iter().map(|name| (*name, 1)));
    assert_ne!(&**without.owner(7).unwrap(), other);
    assert_eq!(&**without.previous_owner(7).unwrap(), other);
    assert_eq!(without.generation(), 3);
}

#[test]
fn only_one_generation_is_kept() {
    let mut ring = ring(2);
    for key in 0..100 {
        ring = ring.pinned(key, "node-1");
    }
    assert!(ring.previous.as_ref().unwrap().previous.is_none());
    assert_eq!(ring.generation(), 101);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// A new member takes keys, and no other key moves.
    #[test]
    fn a_new_member_only_takes(names in btree_set("[a-z]{1,8}", 1..8), new in "[A-Z]{1,8}") {
        let before = Ring::new(names.iter().map(|name| (name.as_str(), 1)));
        let after = before.with_members(names.iter().chain([&new]).map(|name| (name.as_str(), 1)));
        let mut moved = 0;
        for key in 0..2_000 {
            let (then, now) = (before.owner(key).unwrap(), after.owner(key).unwrap());
            if then != now {
                prop_assert_eq!(&**now, new.as_str());
                moved += 1;
            }
            prop_assert_eq!(after.previous_owner(key), Some(then));
        }
        // About one in n+1; far more would mean the ring reshuffles.
        let fair = 2_000.0 / (names.len() + 1) as f64;
        prop_assert!(f64::from(moved) < fair * 1.6, "{} of {}", moved, fair);
    }

    /// The order in which members are named does not matter.
    #[test]
    fn order_of_members_does_not_matter(names in btree_set("[a-z]{1,8}", 1..8), key in any::<u64>()) {
        let forward = Ring::new(names.iter().map(|name| (name.as_str(), 1)));
        let backward = Ring::new(names.iter().rev().map(|name| (name.as_str(), 1)));
        prop_assert_eq!(forward.owner(key), backward.owner(key));
    }
}
