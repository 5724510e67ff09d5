//! Selecting: closures and ranges for match specifications, limits and continuations.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use otp::ets::{self, EtsError, Kind, Spec};

use super::{Numbers, crowd, own, own_async, plain, public_tables, sorted, tables};

crate::cases! {
    match_delete: "ETS-021";
    match_delete_of_a_bound_key: "ETS-022";
    specification_on_lists: "ETS-025";
    bound_key_in_chunks: "ETS-059";
    test_a_specification: "ETS-062";
    select_delete: "ETS-063";
    select_replace: "ETS-064";
    select_reverse: "ETS-065";
    what_is_ahead_disappears: "ETS-066";
    bad_specification: "ETS-067";
    thousands_in_chunks: "ETS-070";
    duplicates_of_a_bag: "ETS-091";
    select_meanwhile: "ETS-092";
    select_is_no_snapshot: "ETS-107";
}

fn fill(table: &Numbers, keys: i64) {
    table
        .insert_all((0..keys).map(|key| (key, key % 10)))
        .unwrap();
}

/// Everything, in parts of at most `limit`.
pub(super) fn chunks<T: 'static>(
    table: &Numbers,
    spec: &Spec<i64, i64, T>,
    limit: usize,
) -> Vec<T> {
    let mut all = Vec::new();
    let mut chunk = table.select_limit(spec, limit).unwrap();
    loop {
        assert!(chunk.found.len() <= limit);
        all.append(&mut chunk.found);
        let Some(more) = chunk.more else {
            return all;
        };
        chunk = more.next().unwrap();
    }
}

fn keys() -> Spec<i64, i64, i64> {
    Spec::new(|key: &i64, _| Some(*key))
}

async fn match_delete() {
    own(|_| {
        for table in tables() {
            fill(&table, 1_000);
            let threes = Spec::filter(|_, value: &i64| *value == 3);
            assert_eq!(table.select_delete(&threes), Ok(100));
            assert_eq!(table.select_delete(&threes), Ok(0));
            assert_eq!(table.size(), Some(900));
            assert_eq!(table.select_count(&threes), Ok(0));
            assert_eq!(table.select_delete(&Spec::all()), Ok(900));
            assert_eq!(table.first(), Ok(None));
        }
    })
    .await;
}

async fn match_delete_of_a_bound_key() {
    own(|_| {
        for table in tables() {
            table.insert_all([(1, 1), (1, 2), (1, 3), (2, 1)]).unwrap();
            let looked = Arc::new(AtomicUsize::new(0));
            let count = looked.clone();
            let spec = Spec::filter(move |_, value: &i64| {
                count.fetch_add(1, Ordering::Relaxed);
                *value >= 2
            });
            let deleted = table.select_delete(&spec.key(1)).unwrap();
            let bag = !super::is_set(&table);
            assert_eq!(deleted, if bag { 2 } else { 1 });
            assert_eq!(
                sorted(&table),
                if bag {
                    vec![(1, 1), (2, 1)]
                } else {
                    vec![(2, 1)]
                }
            );
            assert_eq!(
                looked.load(Ordering::Relaxed),
                if bag { 3 } else { 1 },
                "one key only"
            );
        }
    })
    .await;
}

async fn specification_on_lists() {
    own(|_| {
        let specs: Vec<Spec<i64, i64, i64>> = vec![
            keys(),
            Spec::new(|_: &i64, value: &Arc<i64>| Some(**value * 2)),
            Spec::new(|key: &i64, value: &Arc<i64>| (key % 3 == 0 && **value > 4).then_some(*key)),
            keys().range(10..20),
            keys().range(..=5),
            keys().key(7),
            Spec::new(|_: &i64, _: &Arc<i64>| None),
        ];
        for table in tables() {
            fill(&table, 100);
            for spec in &specs {
                let list = table.to_vec().unwrap();
                assert_eq!(spec.run(list), table.select(spec).unwrap());
                assert_eq!(
                    table.select_count(spec),
                    Ok(table.select(spec).unwrap().len())
                );
            }
        }
    })
    .await;
}

async fn bound_key_in_chunks() {
    own(|_| {
        for table in tables() {
            for value in 0..10 {
                table.insert(1, value).unwrap();
                table.insert(2, value).unwrap();
            }
            let spec = Spec::new(|_: &i64, value: &Arc<i64>| Some(**value)).key(1);
            let all = chunks(&table, &spec, 3);
            assert_eq!(all, plain(&table.lookup(&1).unwrap()));
            assert_eq!(chunks(&table, &spec.clone().key(9), 3), [0; 0]);
            let one = table.select_limit(&spec, 100).unwrap();
            assert_eq!((one.found, one.more.is_none()), (all, true));
        }
    })
    .await;
}

async fn test_a_specification() {
    let spec = Spec::new(|key: &i64, value: &Arc<i64>| (*key == **value).then_some("same"));
    assert_eq!(spec.test(&1, &Arc::new(1)), Some("same"));
    assert_eq!(spec.test(&1, &Arc::new(2)), None);
    let spec = spec.range(5..);
    assert_eq!(spec.test(&1, &Arc::new(1)), None);
    assert_eq!(spec.test(&5, &Arc::new(5)), Some("same"));
    assert_eq!(spec.clone().key(6).test(&5, &Arc::new(5)), None);
}

async fn select_delete() {
    own(|_| {
        for table in tables() {
            fill(&table, 2_000);
            let spec = Spec::new(|key: &i64, _: &Arc<i64>| (key % 7 == 0).then_some(()));
            let count = table.select_count(&spec).unwrap();
            assert_eq!(table.select_delete(&spec), Ok(count));
            assert_eq!(table.size(), Some(2_000 - count));
            assert!(sorted(&table).iter().all(|(key, _)| key % 7 != 0));
            assert_eq!(table.select_delete(&keys().range(100..200)), Ok(100 - 14));
            assert_eq!(table.info().unwrap().graves, 0);
        }
        // Somebody replaces an object right after the closure has seen it: what is there then
        // counts.
        for (new, deleted) in [(1, 1), (2, 0)] {
            let table = ets::set::<i64, i64>().create().unwrap();
            table.insert(7, 1).unwrap();
            let (inside, seen) = (table.clone(), AtomicUsize::new(0));
            let ones = Spec::filter(move |key: &i64, value: &i64| {
                if seen.fetch_add(1, Ordering::Relaxed) == 0 {
                    inside.insert(*key, new).unwrap();
                }
                *value == 1
            });
            assert_eq!(table.select_delete(&ones), Ok(deleted));
            assert_eq!(table.size(), Some(1 - deleted));
        }
    })
    .await;
}

async fn select_replace() {
    own(|_| {
        for table in tables() {
            fill(&table, 100);
            let spec =
                Spec::new(|key: &i64, value: &Arc<i64>| (key % 2 == 0).then(|| **value + 1_000));
            if table.kind() == Kind::Bag {
                assert_eq!(table.select_replace(&spec), Err(EtsError::WrongKind));
                continue;
            }
            assert_eq!(table.select_replace(&spec), Ok(50));
            for (key, value) in sorted(&table) {
                assert_eq!(value, key % 10 + if key % 2 == 0 { 1_000 } else { 0 });
            }
            assert_eq!(
                (table.size(), table.select_replace(&spec.key(3))),
                (Some(100), Ok(0))
            );
        }
        // The key must stay.
        let keyed = ets::set()
            .key_by(|object: &(i64, i64)| object.0)
            .create()
            .unwrap();
        keyed.insert_object((1, 1)).unwrap();
        let moves = Spec::new(|_: &i64, object: &Arc<(i64, i64)>| Some((object.0 + 1, 2)));
        assert_eq!(keyed.select_replace(&moves), Err(EtsError::BadKey));
        assert_eq!(*keyed.get(&1).unwrap().unwrap(), (1, 1));
    })
    .await;
}

async fn select_reverse() {
    own(|_| {
        let table = ets::ordered_set().create().unwrap();
        fill(&table, 100);
        let down: Vec<i64> = (0..100).rev().collect();
        assert_eq!(table.select_reverse(&keys()).unwrap(), down);
        let mut all = Vec::new();
        let mut chunk = Some(table.select_reverse_limit(&keys(), 7).unwrap());
        while let Some(mut part) = chunk {
            assert!(part.found.len() <= 7);
            all.append(&mut part.found);
            chunk = part.more.map(|more| more.next().unwrap());
        }
        assert_eq!(all, down);
        let part = table.select_reverse(&keys().range(10..13)).unwrap();
        assert_eq!(part, [12, 11, 10]);
        // Others have no order to reverse.
        for table in tables().into_iter().skip(1) {
            fill(&table, 100);
            let all: BTreeSet<i64> = table.select_reverse(&keys()).unwrap().into_iter().collect();
            assert_eq!(all.len(), 100);
        }
    })
    .await;
}

async fn what_is_ahead_disappears() {
    own(|_| {
        for table in tables() {
            fill(&table, 500);
            let first = table.select_limit(&keys(), 5).unwrap();
            assert_eq!(first.found.len(), 5);
            // All but the last few of those that are ahead.
            let seen: BTreeSet<i64> = first.found.iter().copied().collect();
            let last: BTreeSet<i64> = (0..500).filter(|key| !seen.contains(key)).take(3).collect();
            for key in (0..500).filter(|key| !last.contains(key)) {
                table.delete(&key).unwrap();
            }
            let mut left = Vec::new();
            let mut more = first.more;
            while let Some(next) = more {
                let mut chunk = next.next().unwrap();
                left.append(&mut chunk.found);
                more = chunk.more;
            }
            assert_eq!(left.into_iter().collect::<BTreeSet<_>>(), last);
            assert_eq!(table.info().unwrap().graves, 0, "the continuation is gone");
        }
    })
    .await;
}

async fn bad_specification() {
    own(|_| {
        for table in tables() {
            fill(&table, 10);
            let (high, low) = (5, 3);
            let inverted = keys().range(high..low);
            assert_eq!(table.select(&inverted), Err(EtsError::BadSpec));
            assert_eq!(table.select_reverse(&inverted), Err(EtsError::BadSpec));
            assert_eq!(table.select_count(&inverted), Err(EtsError::BadSpec));
            assert_eq!(table.select_delete(&inverted), Err(EtsError::BadSpec));
            let limited = table.select_limit(&inverted, 1).map(|chunk| chunk.found);
            assert_eq!(limited, Err(EtsError::BadSpec));
            let none = table.select_limit(&keys(), 0).map(|chunk| chunk.found);
            assert_eq!(none, Err(EtsError::BadSpec));
            let none = table
                .select_reverse_limit(&keys(), 0)
                .map(|chunk| chunk.found);
            assert_eq!(none, Err(EtsError::BadSpec));
            // A range with nothing in it is fine.
            use std::ops::Bound::Excluded;
            assert_eq!(table.select(&keys().range(5..5)), Ok(vec![]));
            assert_eq!(
                table.select(&keys().range((Excluded(5), Excluded(5)))),
                Ok(vec![])
            );
            assert_eq!(table.size(), Some(10));
        }
    })
    .await;
}

async fn thousands_in_chunks() {
    own(|_| {
        for table in tables() {
            fill(&table, 10_000);
            for limit in [1, 7, 128, 1_000, 20_000] {
                let mut all = chunks(&table, &keys(), limit);
                assert_eq!(all.len(), 10_000);
                all.sort_unstable();
                assert!(all.iter().copied().eq(0..10_000));
            }
        }
    })
    .await;
}

async fn duplicates_of_a_bag() {
    own(|_| {
        let table = ets::duplicate_bag().create().unwrap();
        for _ in 0..5 {
            table.insert_all([(1, 1), (1, 2), (2, 1)]).unwrap();
        }
        let ones = Spec::new(|_: &i64, value: &Arc<i64>| (**value == 1).then_some(()));
        assert_eq!(table.select(&ones).unwrap().len(), 10);
        assert_eq!(chunks(&table, &ones, 3).len(), 10);
        assert_eq!(table.select_count(&ones.clone().key(1)), Ok(5));
        assert_eq!(table.select_delete(&ones.key(1)), Ok(5));
        assert_eq!(plain(&table.lookup(&1).unwrap()), [2; 5]);
        assert_eq!(table.size(), Some(10));
    })
    .await;
}

async fn select_meanwhile() {
    own_async(|node| async move {
        for table in public_tables() {
            fill(&table, 100);
            let shared = table.clone();
            crowd(&node, 4, move |number| {
                for round in 0..100_i64 {
                    match number {
                        0 => {
                            let all = shared.select(&Spec::all()).unwrap();
                            assert!(all.iter().filter(|(key, _)| *key < 100).count() >= 100);
                        }
                        1 => drop(chunks(&shared, &keys(), 10)),
                        _ => {
                            let key = 1_000 + round % 50;
                            shared.insert(key, round).unwrap();
                            shared.delete(&(key - 1)).unwrap();
                        }
                    }
                }
            })
            .await;
            assert_eq!(table.info().unwrap().graves, 0);
        }
    })
    .await;
}

/// A select shows each object as it is when it comes to it, and lets others write meanwhile.
async fn select_is_no_snapshot() {
    own(|_| {
        let table = ets::ordered_set::<i64, i64>().create().unwrap();
        table.insert_all((0..1_000).map(|key| (key, 0))).unwrap();
        let inside = table.clone();
        let spec = Spec::new(move |key: &i64, value: &Arc<i64>| {
            if *key == 0 {
                inside.insert(999, 1).unwrap();
                inside.insert(2_000, 1).unwrap();
                inside.delete(&998).unwrap();
            }
            Some((*key, **value))
        });
        let found = table.select(&spec).unwrap();
        assert_eq!(found.len(), 1_000);
        assert_eq!(found[998..], [(999, 1), (2_000, 1)]);
    })
    .await;
}
