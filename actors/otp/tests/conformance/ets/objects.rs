//! Inserting and deleting.

use std::collections::BTreeMap;
use std::sync::Arc;

use otp::ets::{self, EtsError, Kind};

use super::{crowd, is_set, own, own_async, plain, public_tables, sorted, tables};

crate::cases! {
    kinds_of_tables: "ETS-002";
    empty: "ETS-008";
    bad_insert: "ETS-009";
    delete_key: "ETS-014";
    misc: "ETS-032";
    duplicates: "ETS-033";
    to_vec: "ETS-034";
    delete_object: "ETS-058";
    delete_all: "ETS-060";
    insert_list: "ETS-061";
    insert_list_is_isolated: "ETS-061", "ETS-107";
    insert_new: "ETS-068";
    types: "ETS-089";
    take: "ETS-095";
    order_and_equality: "ETS-104";
}

async fn kinds_of_tables() {
    own(|_| {
        for table in tables() {
            for (key, value) in [(1, 1), (1, 2), (1, 1), (2, 1)] {
                table.insert(key, value).unwrap();
            }
            let expected = match table.kind() {
                Kind::Set | Kind::OrderedSet => vec![1],
                Kind::Bag => vec![1, 2],
                Kind::DuplicateBag => vec![1, 2, 1],
            };
            assert_eq!(plain(&table.lookup(&1).unwrap()), expected);
            assert_eq!(table.size(), Some(expected.len() + 1));
        }
    })
    .await;
}

async fn empty() {
    own(|_| {
        for table in tables() {
            table.insert_all([]).unwrap();
            assert_eq!(table.insert_new_all([]), Ok(true));
            assert_eq!(table.size(), Some(0));
            assert_eq!(table.first(), Ok(None));
            assert_eq!(table.last(), Ok(None));
            assert_eq!(table.to_vec(), Ok(vec![]));
            assert_eq!(table.take(&1), Ok(vec![]));
            table.delete(&1).unwrap();
            table.delete_all().unwrap();
        }
    })
    .await;
}

async fn bad_insert() {
    // What is no object does not compile. An object under another key than its own is refused,
    // alone and in a list, of which nothing is inserted then.
    own(|_| {
        let table = ets::set::<i64, (i64, &str)>().key_by(|object| object.0);
        let table = table.create().unwrap();
        table.insert(1, (1, "one")).unwrap();
        assert_eq!(table.insert(2, (3, "three")), Err(EtsError::BadKey));
        let list = [(4, (4, "four")), (5, (6, "six"))];
        assert_eq!(table.insert_all(list), Err(EtsError::BadKey));
        assert_eq!(table.insert_new_all(list), Err(EtsError::BadKey));
        assert_eq!(table.insert_new(2, (3, "three")), Err(EtsError::BadKey));
        assert_eq!(table.size(), Some(1));
    })
    .await;
}

async fn delete_key() {
    own(|_| {
        for table in tables() {
            table.insert_all([(1, 1), (1, 2), (2, 1), (3, 1)]).unwrap();
            table.delete(&1).unwrap();
            assert_eq!(sorted(&table), [(2, 1), (3, 1)]);
            table.delete(&1).unwrap();
            assert_eq!(table.size(), Some(2));
            assert_eq!(table.lookup(&1), Ok(vec![]));
        }
    })
    .await;
}

async fn misc() {
    own(|_| {
        for table in tables() {
            for round in 1..=3 {
                for key in 0..100 {
                    table.insert(key, key).unwrap();
                }
                let size = if table.kind() == Kind::DuplicateBag {
                    100 * round
                } else {
                    100
                };
                assert_eq!(table.size(), Some(size));
            }
            for key in 0..100 {
                table.delete(&key).unwrap();
            }
            assert_eq!(table.size(), Some(0));
            assert_eq!(table.to_vec(), Ok(vec![]));
        }
    })
    .await;
}

async fn duplicates() {
    own(|_| {
        let table = ets::duplicate_bag::<i64, i64>().create().unwrap();
        for _ in 0..3 {
            table.insert(1, 7).unwrap();
            table.insert(2, 7).unwrap();
        }
        assert_eq!(plain(&table.lookup(&1).unwrap()), [7, 7, 7]);
        table.delete_object(&1, &7).unwrap();
        assert_eq!(sorted(&table), [(2, 7); 3], "all equal ones");
        table.delete(&2).unwrap();
        assert_eq!(table.size(), Some(0));
    })
    .await;
}

async fn to_vec() {
    own(|_| {
        for table in tables() {
            let objects: Vec<(i64, i64)> = (0..1_000).map(|key| (key, key * 2)).collect();
            table.insert_all(objects.clone()).unwrap();
            assert_eq!(sorted(&table), objects);
            // The values are the ones of the table.
            for (key, value) in table.to_vec().unwrap() {
                assert!(Arc::ptr_eq(&value, &table.get(&key).unwrap().unwrap()));
            }
        }
    })
    .await;
}

async fn delete_object() {
    own(|_| {
        for table in tables() {
            for (key, value) in [(1, 1), (1, 2), (1, 3), (2, 1)] {
                table.insert(key, value).unwrap();
            }
            table.delete_object(&1, &2).unwrap();
            table.delete_object(&1, &9).unwrap();
            table.delete_object(&9, &1).unwrap();
            let left: &[i64] = if is_set(&table) { &[3] } else { &[1, 3] };
            assert_eq!(plain(&table.lookup(&1).unwrap()), left);
            assert_eq!(table.member(&2), Ok(true));
            for value in left {
                table.delete_object(&1, value).unwrap();
            }
            assert_eq!(table.member(&1), Ok(false));
            assert_eq!(sorted(&table), [(2, 1)]);
            // The same while it is fixed.
            let fixed = table.fix().unwrap();
            table.delete_object(&2, &1).unwrap();
            assert_eq!((table.member(&2), table.size()), (Ok(false), Some(0)));
            table.insert(2, 5).unwrap();
            assert_eq!(sorted(&table), [(2, 5)]);
            drop(fixed);
            assert_eq!(sorted(&table), [(2, 5)]);
        }
    })
    .await;
}

async fn delete_all() {
    own_async(|node| async move {
        for table in public_tables() {
            table.insert_all((0..5_000).map(|key| (key, 1))).unwrap();
            table.delete_all().unwrap();
            assert_eq!((table.size(), table.first()), (Some(0), Ok(None)));
            table.insert(1, 1).unwrap();
            let fixed = table.fix().unwrap();
            table.insert_all((2..300).map(|key| (key, 1))).unwrap();
            table.delete_all().unwrap();
            assert_eq!((table.size(), table.first()), (Some(0), Ok(None)));
            table.insert(1, 2).unwrap();
            assert_eq!(sorted(&table), [(1, 2)]);
            drop(fixed);
            assert_eq!(sorted(&table), [(1, 2)]);
            assert_eq!(table.info().unwrap().graves, 0);
            // While others insert: what is there afterwards is what they inserted afterwards.
            let shared = table.clone();
            crowd(&node, 4, move |number| {
                for round in 0..500 {
                    if number == 0 {
                        shared.delete_all().unwrap();
                    } else {
                        shared.insert(round, number as i64).unwrap();
                    }
                }
            })
            .await;
            assert_eq!(table.size(), Some(table.to_vec().unwrap().len()));
            table.delete_all().unwrap();
            assert_eq!(table.size(), Some(0));
        }
    })
    .await;
}

async fn insert_list() {
    own(|_| {
        for table in tables() {
            table.insert_all([(1, 1), (2, 2), (1, 3)]).unwrap();
            let expected: &[i64] = if is_set(&table) { &[3] } else { &[1, 3] };
            assert_eq!(
                plain(&table.lookup(&1).unwrap()),
                expected,
                "the last one stays"
            );
            let many = (0..2_000).map(|key| (key, 0));
            table.insert_all(many).unwrap();
            assert_eq!(table.member(&1_999), Ok(true));
        }
    })
    .await;
}

/// Each list is there as a whole.
async fn insert_list_is_isolated() {
    own_async(|node| async move {
        // A reader that goes on to the next key never sees an older list there.
        for table in public_tables().into_iter().filter(is_set) {
            let keys = 0..40_i64;
            table.insert_all(keys.clone().map(|key| (key, 0))).unwrap();
            crowd(&node, 3, move |number| {
                if number == 0 {
                    for round in 1..=500 {
                        table
                            .insert_all(keys.clone().map(|key| (key, round)))
                            .unwrap();
                    }
                    return;
                }
                let mut newest = 0;
                while newest < 500 {
                    for key in keys.clone().rev() {
                        let value = *table.get(&key).unwrap().unwrap();
                        assert!(value >= newest, "{value} after {newest}");
                        newest = value;
                    }
                }
            })
            .await;
        }
    })
    .await;
}

async fn insert_new() {
    own(|_| {
        for table in tables() {
            assert_eq!(table.insert_new(1, 1), Ok(true));
            assert_eq!(table.insert_new(1, 2), Ok(false));
            assert_eq!(table.insert_new_all([(2, 2), (1, 3)]), Ok(false));
            assert_eq!(sorted(&table), [(1, 1)], "none of the list");
            assert_eq!(table.insert_new_all([(2, 2), (3, 3)]), Ok(true));
            assert_eq!(sorted(&table), [(1, 1), (2, 2), (3, 3)]);
            // One key twice in the list is no obstacle.
            assert_eq!(table.insert_new_all([(4, 1), (4, 2)]), Ok(true));
            let expected: &[i64] = if is_set(&table) { &[2] } else { &[1, 2] };
            assert_eq!(plain(&table.lookup(&4).unwrap()), expected);
            // A key that is deleted and kept for a walk is free.
            let fixed = table.fix().unwrap();
            table.delete(&1).unwrap();
            assert_eq!(table.insert_new(1, 7), Ok(true));
            drop(fixed);
            assert_eq!(plain(&table.lookup(&1).unwrap()), [7]);
        }
    })
    .await;
}

async fn take() {
    own_async(|node| async move {
        for table in public_tables() {
            table.insert_all([(1, 1), (1, 2), (2, 1)]).unwrap();
            let expected: &[i64] = if is_set(&table) { &[2] } else { &[1, 2] };
            assert_eq!(plain(&table.take(&1).unwrap()), expected);
            assert_eq!(table.take(&1), Ok(vec![]));
            assert_eq!(sorted(&table), [(2, 1)]);
            // Each object is taken once, whoever tries.
            table.insert_all((0..1_000).map(|key| (key, 0))).unwrap();
            let before = table.size().unwrap();
            let taken = Arc::new(parking_lot::Mutex::new(0));
            let (shared, count) = (table.clone(), taken.clone());
            crowd(&node, 4, move |_| {
                for key in 0..1_000 {
                    *count.lock() += shared.take(&key).unwrap().len();
                }
            })
            .await;
            assert_eq!((*taken.lock(), table.size()), (before, Some(0)));
        }
    })
    .await;
}

/// As in Erlang: numbers that are the same in order, and not equal.
#[derive(Clone, Copy, Debug)]
enum Number {
    Int(i64),
    Float(f64),
}

impl Number {
    fn value(self) -> f64 {
        match self {
            Number::Int(number) => number as f64,
            Number::Float(number) => number,
        }
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Number) -> bool {
        match (self, other) {
            (Number::Int(one), Number::Int(other)) => one == other,
            (Number::Float(one), Number::Float(other)) => one == other,
            _ => false,
        }
    }
}

impl Eq for Number {}

impl std::hash::Hash for Number {
    fn hash<H: std::hash::Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.value().to_bits());
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Number) -> std::cmp::Ordering {
        self.value().total_cmp(&other.value())
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Number) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

async fn order_and_equality() {
    own(|_| {
        let (int, float) = (Number::Int(1), Number::Float(1.0));
        let ordered = ets::ordered_set().create().unwrap();
        ordered.insert(int, "int").unwrap();
        ordered.insert(float, "float").unwrap();
        assert_eq!(ordered.size(), Some(1));
        assert_eq!(ordered.get(&int).unwrap().as_deref(), Some(&"float"));
        // The object is the new one, key and all.
        assert_eq!(ordered.first(), Ok(Some(float)));
        assert_eq!(ordered.insert_new(int, "again"), Ok(false));
        for table in [ets::set(), ets::bag(), ets::duplicate_bag()] {
            let table = table.create().unwrap();
            table.insert(int, "int").unwrap();
            table.insert(float, "float").unwrap();
            assert_eq!(table.size(), Some(2));
            assert_eq!(table.get(&int).unwrap().as_deref(), Some(&"int"));
            assert_eq!(table.get(&float).unwrap().as_deref(), Some(&"float"));
        }
    })
    .await;
}

async fn types() {
    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    enum Key {
        Number(i128),
        Text(String),
        Bytes(Vec<u8>),
        Pair(Box<(Key, Key)>),
        Nothing,
    }
    fn check<V: PartialEq + std::fmt::Debug + Send + Sync + 'static>(value: fn() -> V) {
        let keys = [
            Key::Number(i128::MIN),
            Key::Text("text".into()),
            Key::Bytes(vec![0; 1_000]),
            Key::Pair(Box::new((Key::Nothing, Key::Number(7)))),
            Key::Nothing,
        ];
        for options in [
            ets::set(),
            ets::ordered_set(),
            ets::bag(),
            ets::duplicate_bag(),
        ] {
            let table = options.create().unwrap();
            for key in &keys {
                table.insert(key.clone(), value()).unwrap();
            }
            for key in &keys {
                assert_eq!(*table.get(key).unwrap().unwrap(), value());
            }
            assert_eq!(table.size(), Some(keys.len()));
        }
    }
    own(|node| {
        check(|| ());
        check(|| 1.5_f64);
        check(|| "text".to_owned());
        check(|| BTreeMap::from([(1, vec![Some("one")])]));
        let pid = node.outside();
        let pids = ets::set().create().unwrap();
        pids.insert(pid, vec![Arc::new(pid)]).unwrap();
        assert!(pids.member(&pid).unwrap());
    })
    .await;
}
