//! Walking over tables: first and next, folds, and fixed tables.

use std::collections::BTreeSet;

use otp::ets::{self, EtsError, Spec, Table};
use otp::{ExitReason, eventually, task};

use super::{Numbers, crowd, own, own_async, public_tables, stranger, tables};

crate::cases! {
    first_and_next: "ETS-023";
    first_and_next_meanwhile: "ETS-024";
    fixed_tables: "ETS-035";
    ordered: "ETS-045";
    fixed_next: "ETS-047";
    fixed_insert: "ETS-048";
    next_with_match_delete: "ETS-069";
    next_of_a_deleted_key: "ETS-071";
    grow_and_shrink: "ETS-072";
    growing_with_deleted: "ETS-073";
    shrinking_with_deleted: "ETS-074";
    first_lookup: "ETS-099";
    next_lookup: "ETS-100";
    prev_lookup: "ETS-101";
    last_lookup: "ETS-102";
    next_needs_a_fixed_table: "ETS-105";
}

pub(super) fn fill(table: &Numbers, keys: i64) {
    table.insert_all((0..keys).map(|key| (key, key))).unwrap();
}

/// All keys, as `first` and `next` meet them; each is shown to a closure on the way.
fn walk(table: &Numbers, mut meet: impl FnMut(i64)) -> Vec<i64> {
    let mut keys = Vec::new();
    let mut next = table.first().unwrap();
    while let Some(key) = next {
        keys.push(key);
        meet(key);
        next = table.next(&key).unwrap();
    }
    keys
}

/// Each key is met once.
pub(super) fn once(keys: &[i64]) -> BTreeSet<i64> {
    let set: BTreeSet<i64> = keys.iter().copied().collect();
    assert_eq!(set.len(), keys.len(), "a key was met twice: {keys:?}");
    set
}

async fn first_and_next() {
    own(|_| {
        for table in tables() {
            assert_eq!(table.first(), Ok(None));
            fill(&table, 1_000);
            assert_eq!(once(&walk(&table, |_| ())), (0..1_000).collect());
            // Deleting on the way.
            let fixed = table.fix().unwrap();
            let keys = walk(&table, |key| table.delete(&key).unwrap());
            assert_eq!(once(&keys), (0..1_000).collect());
            drop(fixed);
            assert_eq!((table.first(), table.size()), (Ok(None), Some(0)));
        }
    })
    .await;
}

async fn first_and_next_meanwhile() {
    own_async(|node| async move {
        for table in public_tables() {
            fill(&table, 300);
            let shared = table.clone();
            crowd(&node, 4, move |number| {
                let fixed = shared.fix().unwrap();
                let keys = walk(&shared, |key| {
                    if key % 4 == number as i64 {
                        shared.delete(&key).unwrap();
                    }
                });
                once(&keys);
                // Its own were there until it came to them.
                let mine: BTreeSet<i64> = (0..300).filter(|key| key % 4 == number as i64).collect();
                assert!(mine.is_subset(&once(&keys)));
                drop(fixed);
            })
            .await;
            assert_eq!(table.size(), Some(0));
            let info = table.info().unwrap();
            assert_eq!((info.fixed, info.graves), (false, 0));
        }
    })
    .await;
}

async fn fixed_tables() {
    own_async(|node| async move {
        let me = task::self_pid().unwrap();
        for table in tables() {
            let first = table.fix().unwrap();
            let second = table.fix().unwrap();
            let info = table.info().unwrap();
            assert_eq!((info.fixed, info.fixed_by), (true, vec![(me, 2)]));
            let since = info.fixed_since.unwrap();
            drop(first);
            let info = table.info().unwrap();
            assert_eq!(info.fixed_by, [(me, 1)]);
            assert_eq!(info.fixed_since, Some(since), "without a pause");
            // Another process counts for itself, and its end ends that.
            let other = table.clone();
            let holder = task::spawn(&node, "holder", async move {
                std::mem::forget((other.fix().unwrap(), other.fix().unwrap()));
                std::future::pending::<()>().await;
            });
            let pid = holder.pid();
            eventually!(table.info().unwrap().fixed_by == [(me, 1), (pid, 2)]);
            table.insert(1, 1).unwrap();
            table.delete(&1).unwrap();
            node.exit(pid, ExitReason::Kill);
            holder.await.unwrap_err();
            assert_eq!(table.info().unwrap().fixed_by, [(me, 1)]);
            drop(second);
            let info = table.info().unwrap();
            assert_eq!((info.fixed, info.fixed_by, info.graves), (false, vec![], 0));
            assert_eq!(info.fixed_since, None);
            // A guard that outlives its holder has no effect any more.
            let other = table.clone();
            let late = stranger(&node, move || other.fix().unwrap()).await;
            assert_eq!(table.info().unwrap().fixed_by, []);
            let mine = table.fix().unwrap();
            drop(late);
            assert!(table.info().unwrap().fixed);
            drop(mine);
            assert!(!table.info().unwrap().fixed);
        }
    })
    .await;
}

async fn ordered() {
    own(|_| {
        let table = ets::ordered_set().create().unwrap();
        for number in 0..1_000_i64 {
            table.insert(number * 7_919 % 1_000, number).unwrap();
        }
        let keys = walk(&table, |_| ());
        assert_eq!(keys, (0..1_000).collect::<Vec<_>>());
        let mut back = Vec::new();
        let mut key = table.last().unwrap();
        while let Some(current) = key {
            back.push(current);
            key = table.prev(&current).unwrap();
        }
        assert_eq!(back, (0..1_000).rev().collect::<Vec<_>>());
        assert_eq!(table.next(&-5), Ok(Some(0)), "of a key that is not there");
        assert_eq!(table.prev(&-5), Ok(None));
        assert_eq!((table.next(&999), table.prev(&0)), (Ok(None), Ok(None)));
        assert_eq!(
            (table.next(&5_000), table.prev(&5_000)),
            (Ok(None), Ok(Some(999)))
        );
        let list = table.to_vec().unwrap();
        assert!(list.is_sorted_by_key(|(key, _)| *key));
        // Text in its order, and parts of keys.
        let words = ets::ordered_set::<(String, u8), ()>().create().unwrap();
        for word in ["b", "a", "ab", "aa", "B"] {
            words.insert((word.to_owned(), 1), ()).unwrap();
        }
        let all: Vec<_> = words
            .to_vec()
            .unwrap()
            .into_iter()
            .map(|(key, _)| key.0)
            .collect();
        assert_eq!(all, ["B", "a", "aa", "ab", "b"]);
    })
    .await;
}

async fn fixed_next() {
    own_async(|node| async move {
        for table in public_tables() {
            fill(&table, 500);
            let fixed = table.fix().unwrap();
            let first = table.first().unwrap().unwrap();
            // Somebody else deletes every second one, the one we stand on among them.
            let other = table.clone();
            stranger(&node, move || {
                (0..500)
                    .filter(|key| key % 2 == first % 2)
                    .for_each(|key| other.delete(&key).unwrap());
            })
            .await;
            assert_eq!(table.member(&first), Ok(false));
            let mut left = Vec::new();
            let mut next = table.next(&first).unwrap();
            while let Some(key) = next {
                left.push(key);
                next = table.next(&key).unwrap();
            }
            let expected = (0..500).filter(|key| key % 2 != first % 2);
            assert_eq!(once(&left), expected.collect());
            drop(fixed);
        }
    })
    .await;
}

async fn fixed_insert() {
    own(|_| {
        for table in tables() {
            fill(&table, 200);
            let fixed = table.fix().unwrap();
            let mut inserted = 1_000;
            let keys = walk(&table, |_| {
                // Growth behind its back; a walk must still end, also of an ordered table, which
                // goes up: so new keys are put below.
                inserted += 1;
                table.insert(-inserted, 0).unwrap();
            });
            let keys = once(&keys);
            assert!(keys.is_superset(&(0..200).collect()));
            drop(fixed);
            assert_eq!(once(&walk(&table, |_| ())).len(), table.size().unwrap());
        }
    })
    .await;
}

async fn next_with_match_delete() {
    own_async(|node| async move {
        for table in public_tables() {
            fill(&table, 400);
            let shared = table.clone();
            crowd(&node, 3, move |number| {
                if number == 0 {
                    let fixed = shared.fix().unwrap();
                    let keys = once(&walk(&shared, |_| ()));
                    assert!(keys.is_superset(&(300..400).collect()));
                    drop(fixed);
                    return;
                }
                for low in (0..300).step_by(10) {
                    let some = Spec::filter(move |key, _| (low..low + 10).contains(key));
                    shared.select_delete(&some).unwrap();
                }
            })
            .await;
            assert_eq!(table.size(), Some(100));
            assert_eq!(table.info().unwrap().graves, 0);
        }
    })
    .await;
}

async fn next_of_a_deleted_key() {
    own(|_| {
        let table = ets::ordered_set().create().unwrap();
        fill(&table, 10);
        for key in [0, 5, 9] {
            let (before, after) = (table.prev(&key), table.next(&key));
            table.delete(&key).unwrap();
            assert_eq!((table.prev(&key), table.next(&key)), (before, after));
        }
        // Deleting the neighbour while standing on a key.
        table.delete(&7).unwrap();
        assert_eq!((table.next(&6), table.prev(&8)), (Ok(Some(8)), Ok(Some(6))));
    })
    .await;
}

async fn grow_and_shrink() {
    own(|_| {
        for table in tables() {
            let small = table.info().unwrap().memory;
            for _ in 0..3 {
                for key in 0..5_000 {
                    table.insert(key, key).unwrap();
                    assert!(table.member(&(key / 2)).unwrap());
                }
                let big = table.info().unwrap().memory;
                for key in 0..5_000 {
                    table.delete(&key).unwrap();
                    assert!(!table.member(&(key / 2)).unwrap());
                }
                let after = table.info().unwrap().memory;
                assert_eq!(table.size(), Some(0));
                // Each of 64 parts may keep room for some keys.
                assert!(after < small + (big - small) / 2, "{small} {big} {after}");
            }
        }
    })
    .await;
}

/// Deletes in a fixed table are hidden, and the memory comes back at the end of it.
fn with_deleted(table: &Table<i64, i64>, keys: i64, again: bool) {
    fill(table, keys);
    let fixed = table.fix().unwrap();
    for key in 0..keys {
        table.delete(&key).unwrap();
    }
    let info = table.info().unwrap();
    assert_eq!(info.size, 0);
    if !table.to_vec().unwrap().is_empty() || table.first() != Ok(None) {
        panic!("deleted keys are seen");
    }
    if table.kind() != ets::Kind::OrderedSet {
        assert_eq!(info.graves, keys as usize);
    }
    if again {
        // They come back, one by one, each in its place.
        fill(table, keys / 2);
        fill(table, keys * 2);
        assert_eq!(once(&walk(table, |_| ())), (0..keys * 2).collect());
        assert_eq!(table.info().unwrap().graves, 0);
    }
    drop(fixed);
    assert_eq!(table.info().unwrap().graves, 0);
    let expected = if again { 0..keys * 2 } else { 0..0 };
    assert_eq!(once(&walk(table, |_| ())), expected.collect());
}

async fn growing_with_deleted() {
    own(|_| {
        tables()
            .iter()
            .for_each(|table| with_deleted(table, 1_000, true))
    })
    .await;
}

async fn shrinking_with_deleted() {
    own(|_| {
        for table in tables() {
            with_deleted(&table, 3_000, false);
            fill(&table, 3_000);
            let before = table.info().unwrap().memory;
            table.select_delete(&Spec::all()).unwrap();
            let after = table.info().unwrap().memory;
            assert!(after < before / 2, "{before} {after}");
        }
    })
    .await;
}

/// A key, and its objects' numbers.
type Step = Result<Option<(i64, Vec<i64>)>, EtsError>;

fn step(found: Result<ets::Found<i64, i64>, EtsError>) -> Step {
    Ok(found?.map(|(key, values)| (key, super::plain(&values))))
}

async fn first_lookup() {
    own(|_| {
        for table in tables() {
            assert_eq!(step(table.first_lookup()), Ok(None));
            fill(&table, 50);
            let first = table.first().unwrap().unwrap();
            assert_eq!(step(table.first_lookup()), Ok(Some((first, vec![first]))));
        }
        let bag = ets::bag().create().unwrap();
        bag.insert_all([(1, 1), (1, 2)]).unwrap();
        assert_eq!(step(bag.first_lookup()), Ok(Some((1, vec![1, 2]))));
    })
    .await;
}

async fn next_lookup() {
    own(|_| {
        for table in tables() {
            fill(&table, 50);
            let mut keys = Vec::new();
            let mut found = table.first_lookup().unwrap();
            while let Some((key, values)) = found {
                assert_eq!(super::plain(&values), [key]);
                keys.push(key);
                found = table.next_lookup(&key).unwrap();
            }
            assert_eq!(keys, walk(&table, |_| ()));
        }
        let set = ets::set::<i64, i64>().create().unwrap();
        assert_eq!(step(set.next_lookup(&1)), Err(EtsError::BadKey));
    })
    .await;
}

async fn prev_lookup() {
    own(|_| {
        let table = ets::ordered_set().create().unwrap();
        fill(&table, 3);
        assert_eq!(step(table.prev_lookup(&2)), Ok(Some((1, vec![1]))));
        assert_eq!(step(table.prev_lookup(&0)), Ok(None));
        // Of the others there is no order: the same as next.
        for table in tables().into_iter().skip(1) {
            fill(&table, 50);
            for key in 0..50 {
                assert_eq!(table.prev_lookup(&key), table.next_lookup(&key));
            }
            assert_eq!(step(table.prev_lookup(&99)), Err(EtsError::BadKey));
        }
    })
    .await;
}

async fn last_lookup() {
    own(|_| {
        let table = ets::ordered_set().create().unwrap();
        assert_eq!(step(table.last_lookup()), Ok(None));
        fill(&table, 3);
        assert_eq!(step(table.last_lookup()), Ok(Some((2, vec![2]))));
        for table in tables().into_iter().skip(1) {
            fill(&table, 50);
            assert_eq!(table.last_lookup(), table.first_lookup());
        }
    })
    .await;
}

async fn next_needs_a_fixed_table() {
    own(|_| {
        for table in tables().into_iter().skip(1) {
            fill(&table, 10);
            let first = table.first().unwrap().unwrap();
            let second = table.next(&first);
            table.delete(&first).unwrap();
            assert_eq!(table.next(&first), Err(EtsError::BadKey));
            assert_eq!(table.next(&99), Err(EtsError::BadKey), "never there");
            table.insert(first, 1).unwrap();
            let fixed = table.fix().unwrap();
            let after = table.next(&first);
            table.delete(&first).unwrap();
            assert_eq!(table.next(&first), after);
            assert_eq!(table.next(&99), Err(EtsError::BadKey));
            drop(fixed);
            assert_eq!(table.next(&first), Err(EtsError::BadKey));
            assert!(second.is_ok());
        }
    })
    .await;
}
