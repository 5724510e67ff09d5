//! Finding objects by a part of their key or value: closures and ranges for patterns.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use otp::ets::{self, Spec, Table};

use super::selecting::chunks;
use super::{crowd, own, own_async};

crate::cases! {
    match_values: "ETS-026";
    match_partly: "ETS-027";
    match_objects: "ETS-028";
    match_objects_partly: "ETS-029";
    partly_bound: "ETS-030";
    heavy_match: "ETS-031";
    match_in_order: "ETS-046";
    deep_keys: "ETS-090";
}

type Pairs = Table<(i64, i64), &'static str>;

fn pairs() -> Vec<Pairs> {
    let all = [
        ets::set(),
        ets::ordered_set(),
        ets::bag(),
        ets::duplicate_bag(),
    ];
    let made = all.map(|options| {
        let table = options.create().unwrap();
        for (key, value) in [((1, 1), "a"), ((1, 2), "b"), ((2, 1), "a"), ((2, 2), "c")] {
            table.insert(key, value).unwrap();
        }
        table
    });
    made.into()
}

fn found<T: Ord>(mut list: Vec<T>) -> Vec<T> {
    list.sort();
    list
}

async fn match_values() {
    own(|_| {
        for table in pairs() {
            // {{'$1', '_'}, a}
            let spec =
                Spec::new(|key: &(i64, i64), value: &Arc<&str>| (**value == "a").then_some(key.0));
            assert_eq!(found(table.select(&spec).unwrap()), [1, 2]);
            let nothing =
                Spec::new(|_: &(i64, i64), value: &Arc<&str>| (**value == "z").then_some(()));
            assert_eq!(table.select(&nothing), Ok(vec![]));
        }
    })
    .await;
}

async fn match_partly() {
    own(|_| {
        for table in pairs() {
            // {{1, '$1'}, '$2'}
            let spec =
                Spec::new(|key: &(i64, i64), value: &Arc<&'static str>| Some((key.1, **value)));
            let spec = spec.range((1, i64::MIN)..=(1, i64::MAX));
            assert_eq!(found(table.select(&spec).unwrap()), [(1, "a"), (2, "b")]);
            // {{'$1', '$1'}, '_'}
            let same =
                Spec::new(|key: &(i64, i64), _: &Arc<&str>| (key.0 == key.1).then_some(key.0));
            assert_eq!(found(table.select(&same).unwrap()), [1, 2]);
        }
    })
    .await;
}

async fn match_objects() {
    own(|_| {
        for table in pairs() {
            let objects = table
                .select(&Spec::filter(|_, value: &&str| *value == "a"))
                .unwrap();
            let mut plain: Vec<_> = objects.iter().map(|(key, value)| (*key, **value)).collect();
            plain.sort_unstable();
            assert_eq!(plain, [((1, 1), "a"), ((2, 1), "a")]);
            // They are the objects of the table.
            for (key, value) in objects {
                assert!(Arc::ptr_eq(&value, &table.get(&key).unwrap().unwrap()));
            }
        }
    })
    .await;
}

async fn match_objects_partly() {
    own(|_| {
        for table in pairs() {
            let spec = Spec::filter(|key: &(i64, i64), _: &&str| key.1 == 2);
            assert_eq!(table.select(&spec).unwrap().len(), 2);
            let bound = Spec::all().key((2, 2));
            let objects = table.select(&bound).unwrap();
            assert_eq!((objects.len(), *objects[0].1), (1, "c"));
            assert_eq!(table.select(&Spec::all().key((9, 9))), Ok(vec![]));
        }
    })
    .await;
}

async fn partly_bound() {
    own(|_| {
        let table = ets::ordered_set::<(i64, i64), i64>().create().unwrap();
        let all = (0..100).flat_map(|one| (0..100).map(move |two| ((one, two), one * two)));
        table.insert_all(all).unwrap();
        let looked = Arc::new(AtomicUsize::new(0));
        let count = looked.clone();
        let spec = Spec::new(move |_: &(i64, i64), value: &Arc<i64>| {
            count.fetch_add(1, Ordering::Relaxed);
            Some(**value)
        });
        // {{7, '_'}, '$1'}: looks at that part of the tree and nothing else.
        let sevens = spec.clone().range((7, i64::MIN)..=(7, i64::MAX));
        assert_eq!(
            table.select(&sevens).unwrap(),
            (0..100).map(|two| 7 * two).collect::<Vec<_>>()
        );
        assert_eq!(looked.swap(0, Ordering::Relaxed), 100);
        let chunk = table
            .select_limit(&spec.clone().range((50, 0)..), 10)
            .unwrap();
        assert_eq!(chunk.found.len(), 10);
        assert_eq!(looked.swap(0, Ordering::Relaxed), 10);
        assert_eq!(table.select_count(&spec.clone().key((3, 3))), Ok(1));
        assert_eq!(looked.swap(0, Ordering::Relaxed), 1);
        let below = table
            .select_reverse_limit(&spec.range(..(50, 0)), 1)
            .unwrap();
        assert_eq!(below.found, [49 * 99]);
        assert_eq!(looked.load(Ordering::Relaxed), 1);
    })
    .await;
}

async fn heavy_match() {
    own_async(|node| async move {
        let table = ets::ordered_set::<i64, i64>().public().create().unwrap();
        table.insert_all((0..20_000).map(|key| (key, key))).unwrap();
        let shared = table.clone();
        crowd(&node, 4, move |number| {
            for round in 0..200 {
                let low = (number as i64 * 5_000 + round * 7) % 19_000;
                let looked = Arc::new(AtomicUsize::new(0));
                let count = looked.clone();
                let spec = Spec::new(move |key: &i64, _: &Arc<i64>| {
                    count.fetch_add(1, Ordering::Relaxed);
                    Some(*key)
                });
                let part = shared.select(&spec.range(low..low + 50)).unwrap();
                assert_eq!(part, (low..low + 50).collect::<Vec<_>>());
                assert_eq!(looked.load(Ordering::Relaxed), 50);
            }
        })
        .await;
    })
    .await;
}

async fn match_in_order() {
    own(|_| {
        let table = ets::ordered_set().create().unwrap();
        for number in 0..1_000_i64 {
            table.insert(number * 7_919 % 1_000, number).unwrap();
        }
        let even = Spec::new(|key: &i64, _: &Arc<i64>| (key % 2 == 0).then_some(*key));
        let expected: Vec<i64> = (0..1_000).step_by(2).collect();
        assert_eq!(table.select(&even).unwrap(), expected);
        assert_eq!(chunks(&table, &even, 7), expected);
        let range = even.range(501..=510);
        assert_eq!(table.select(&range).unwrap(), [502, 504, 506, 508, 510]);
    })
    .await;
}

async fn deep_keys() {
    type Deep = (i64, Vec<(String, Option<i64>)>);
    own(|_| {
        for options in [ets::set::<Deep, i64>(), ets::ordered_set(), ets::bag()] {
            let table = options.create().unwrap();
            for number in 0..100 {
                let inside = vec![("a".to_owned(), None), ("b".to_owned(), Some(number % 7))];
                table.insert((number, inside), number).unwrap();
            }
            let threes = Spec::new(|key: &Deep, value: &Arc<i64>| {
                key.1
                    .iter()
                    .any(|(_, inside)| *inside == Some(3))
                    .then_some(**value)
            });
            let expected: Vec<i64> = (0..100).filter(|number| number % 7 == 3).collect();
            assert_eq!(found(table.select(&threes).unwrap()), expected);
            let tens = threes.range((10, vec![])..(20, vec![]));
            assert_eq!(found(table.select(&tens).unwrap()), [10, 17]);
        }
    })
    .await;
}
