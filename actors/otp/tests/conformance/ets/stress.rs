//! Many processes at one table.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use otp::ets::{self, Count, EtsError, Kind, Spec, Table};

use super::{crowd, is_set, own, own_async, public_tables, sorted};

crate::cases! {
    delete_meanwhile: "ETS-018";
    delete_in_the_middle: "ETS-018";
    heavy_lookup: "ETS-037";
    heavy_lookup_element: "ETS-038";
    heavy_concurrent: "ETS-039";
    inserts: "ETS-075";
    fixed_deletes: "ETS-076";
    unfixes_and_fixes: "ETS-077";
    replaces: "ETS-078";
    select_deletes: "ETS-079";
}

const CROWD: usize = 4;

async fn delete_meanwhile() {
    own_async(|node| async move {
        for table in public_tables() {
            table.insert_all((0..1_000).map(|key| (key, key))).unwrap();
            let shared = table.clone();
            let deleted = Arc::new(AtomicUsize::new(0));
            let count = deleted.clone();
            crowd(&node, CROWD, move |number| {
                for key in 0..2_000 {
                    if number == 0 && key == 500 {
                        shared.delete_table().unwrap();
                    }
                    let results = [
                        shared.insert(key, key),
                        shared.get(&key).map(drop),
                        shared.first().map(drop),
                        shared.take(&key).map(drop),
                    ];
                    for result in results {
                        assert!(
                            matches!(result, Ok(()) | Err(EtsError::BadTable)),
                            "{result:?}"
                        );
                        count.fetch_add(usize::from(result.is_err()), Ordering::Relaxed);
                    }
                }
            })
            .await;
            assert!(
                deleted.load(Ordering::Relaxed) >= 4 * 1_500,
                "those of the deleter itself"
            );
            assert_eq!(table.insert(1, 1), Err(EtsError::BadTable));
        }
        assert!(node.tables().is_empty());
    })
    .await;
}

/// A key which deletes the table just when an operation is about to look for it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Killer(u8);

thread_local! {
    static VICTIM: RefCell<Option<Table<Killer, Arc<()>>>> = const { RefCell::new(None) };
}

impl Hash for Killer {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        if let Some(victim) = VICTIM.take() {
            victim.delete_table().unwrap();
        }
        self.0.hash(hasher);
    }
}

async fn delete_in_the_middle() {
    type Operation = fn(&Table<Killer, Arc<()>>, Arc<()>) -> Result<(), EtsError>;
    let operations: [Operation; 6] = [
        |table, value| table.insert(Killer(1), value),
        |table, value| table.insert_new(Killer(1), value).map(drop),
        |table, value| table.insert_all([(Killer(1), value)]),
        |table, _| table.get(&Killer(1)).map(drop),
        |table, _| table.take(&Killer(1)).map(drop),
        |table, _| table.delete_object(&Killer(1), &Arc::new(())),
    ];
    own(move |_| {
        for operation in operations {
            let table = ets::set::<Killer, Arc<()>>().create().unwrap();
            VICTIM.set(Some(table.clone()));
            let value = Arc::new(());
            assert_eq!(operation(&table, value.clone()), Err(EtsError::BadTable));
            // Nothing is left in what nobody can reach.
            assert_eq!(Arc::strong_count(&value), 1);
        }
    })
    .await;
}

async fn heavy_lookup() {
    own_async(|node| async move {
        for table in public_tables() {
            table
                .insert_all((0..2_000).map(|key| (key, key * 2)))
                .unwrap();
            crowd(&node, CROWD, move |_| {
                for key in 0..2_000 {
                    assert_eq!(**table.lookup(&key).unwrap().first().unwrap(), key * 2);
                }
            })
            .await;
        }
    })
    .await;
}

async fn heavy_lookup_element() {
    own_async(|node| async move {
        for table in public_tables() {
            table
                .insert_all((0..2_000).map(|key| (key, key * 2)))
                .unwrap();
            crowd(&node, CROWD, move |_| {
                for key in 0..2_000 {
                    let element = table.lookup_element(&key, |value| value + 1);
                    assert_eq!(element, Ok(vec![key * 2 + 1]));
                }
            })
            .await;
        }
    })
    .await;
}

async fn heavy_concurrent() {
    own_async(|node| async move {
        for table in public_tables().into_iter().filter(is_set) {
            table.insert_all((0..100).map(|key| (key, 0))).unwrap();
            let shared = table.clone();
            crowd(&node, CROWD, move |number| {
                for round in 0..3_000 {
                    let key = round % 100;
                    shared.update_counter(&key, &[Count::by(1)]).unwrap();
                    if number == 0 {
                        shared.insert(1_000 + round, round).unwrap();
                    } else {
                        drop(shared.get(&(1_000 + round)).unwrap());
                    }
                }
            })
            .await;
            // No update is lost.
            let each = (CROWD * 30) as i64;
            assert!((0..100).all(|key| table.get(&key) == Ok(Some(Arc::new(each)))));
            assert_eq!(table.size(), Some(3_100));
        }
    })
    .await;
}

async fn inserts() {
    own_async(|node| async move {
        for table in public_tables() {
            let shared = table.clone();
            crowd(&node, CROWD, move |number| {
                for round in 0..1_000 {
                    let key = round * CROWD as i64 + number as i64;
                    shared.insert(key, key).unwrap();
                    shared.insert_all([(-1, key), (-2 - key, key)]).unwrap();
                }
            })
            .await;
            let all = sorted(&table);
            assert_eq!(table.size(), Some(all.len()));
            let keys: BTreeSet<i64> = all.iter().map(|(key, _)| *key).collect();
            assert_eq!(keys.len(), 8 * 1_000 + 1);
            let shared_key = all.iter().filter(|(key, _)| *key == -1).count();
            assert_eq!(shared_key, if is_set(&table) { 1 } else { 4_000 });
        }
    })
    .await;
}

/// Inserts and deletes while others have the table fixed: nothing is left in the end.
async fn fixed_deletes() {
    own_async(|node| async move {
        for table in public_tables() {
            let shared = table.clone();
            crowd(&node, CROWD, move |number| {
                let mine = (number as i64 * 1_000)..(number as i64 + 1) * 1_000;
                for _ in 0..3 {
                    let fixed = shared.fix().unwrap();
                    mine.clone()
                        .for_each(|key| shared.insert(key, key).unwrap());
                    mine.clone().for_each(|key| shared.delete(&key).unwrap());
                    drop(fixed);
                }
                mine.clone()
                    .for_each(|key| assert!(!shared.member(&key).unwrap()));
            })
            .await;
            let info = table.info().unwrap();
            assert_eq!((info.size, info.graves, info.fixed), (0, 0, false));
            assert_eq!(table.first(), Ok(None));
        }
    })
    .await;
}

/// A key that is deleted and comes back while the table is fixed and freed all the time.
async fn unfixes_and_fixes() {
    own_async(|node| async move {
        for table in public_tables() {
            table.insert_all((0..200).map(|key| (key, key))).unwrap();
            let shared = table.clone();
            crowd(&node, CROWD, move |number| {
                for round in 0..100 {
                    match number {
                        0 => drop(shared.fix().unwrap()),
                        1 => {
                            let fixed = shared.fix().unwrap();
                            let mut seen = BTreeSet::new();
                            let mut next = shared.first().unwrap();
                            while let Some(key) = next {
                                assert!(seen.insert(key), "{key} twice");
                                next = shared.next(&key).unwrap();
                            }
                            assert!(seen.is_superset(&(0..100).collect()));
                            drop(fixed);
                        }
                        _ => {
                            for key in (100..200).filter(|key| key % 2 == number as i64 % 2) {
                                shared.delete(&key).unwrap();
                                shared.insert(key, round).unwrap();
                            }
                        }
                    }
                }
            })
            .await;
            let keys: Vec<i64> = sorted(&table).iter().map(|(key, _)| *key).collect();
            assert_eq!(keys, (0..200).collect::<Vec<_>>());
            assert_eq!(table.info().unwrap().graves, 0);
        }
    })
    .await;
}

async fn replaces() {
    own_async(|node| async move {
        for table in public_tables() {
            if table.kind() == Kind::Bag {
                continue;
            }
            table.insert_all((0..100).map(|key| (key, 0))).unwrap();
            let shared = table.clone();
            let replaced = Arc::new(AtomicUsize::new(0));
            let count = replaced.clone();
            crowd(&node, CROWD, move |_| {
                let next = Spec::new(|_: &i64, value: &Arc<i64>| Some(**value + 1));
                for _ in 0..25 {
                    let some = shared.select_replace(&next).unwrap();
                    count.fetch_add(some, Ordering::Relaxed);
                }
            })
            .await;
            // Each replacement was of the object that was there, so they add up.
            let sum: i64 = sorted(&table).iter().map(|(_, value)| value).sum();
            assert_eq!(sum, replaced.load(Ordering::Relaxed) as i64);
            if is_set(&table) {
                assert_eq!(sum, (CROWD * 25 * 100) as i64);
            }
            assert_eq!(table.size(), Some(100));
        }
    })
    .await;
}

async fn select_deletes() {
    own_async(|node| async move {
        for table in public_tables() {
            table
                .insert_all((0..4_000).map(|key| (key, key % 10)))
                .unwrap();
            let shared = table.clone();
            let deleted = Arc::new(AtomicUsize::new(0));
            let count = deleted.clone();
            crowd(&node, CROWD, move |_| {
                for digit in 0..9 {
                    let spec = Spec::filter(move |_, value: &i64| *value == digit);
                    let some = shared.select_delete(&spec).unwrap();
                    count.fetch_add(some, Ordering::Relaxed);
                }
            })
            .await;
            // Each object was deleted once, whoever did it.
            assert_eq!(deleted.load(Ordering::Relaxed), 3_600);
            assert!(sorted(&table).iter().all(|(_, value)| *value == 9));
            assert_eq!((table.size(), table.info().unwrap().graves), (Some(400), 0));
        }
    })
    .await;
}
