//! Looking at single keys.

use std::sync::Arc;
use std::time::{Duration, Instant};

use otp::ets::{self, EtsError, Kind, Table};

use super::{is_set, own, plain, tables};

crate::cases! {
    time_of_a_lookup: "ETS-010";
    bad_lookup: "ETS-011";
    order_of_a_bag: "ETS-012";
    elements_of_several: "ETS-013";
    member: "ETS-057";
    element_or_default: "ETS-097";
    closures_hold_nobody_up;
}

/// The shortest time of some rounds of a thousand lookups.
fn lookups(table: &Table<u64, u64>, size: u64) -> Duration {
    let round = || {
        let begin = Instant::now();
        for number in 0..1_000_u64 {
            let key = number.wrapping_mul(0x9e37_79b9) % size;
            assert!(table.member(&key).unwrap());
        }
        begin.elapsed()
    };
    (0..30).map(|_| round()).min().unwrap()
}

async fn time_of_a_lookup() {
    own(|_| {
        for options in [ets::set::<u64, u64>(), ets::bag(), ets::duplicate_bag()] {
            let table = options.create().unwrap();
            table.insert_all((0..1_000).map(|key| (key, key))).unwrap();
            let small = lookups(&table, 1_000);
            table
                .insert_all((1_000..300_000).map(|key| (key, key)))
                .unwrap();
            let large = lookups(&table, 300_000);
            // A list would take 300 times as long. What is allowed for is the cache of the machine.
            assert!(large < small * 20, "{small:?} and {large:?}");
        }
    })
    .await;
}

async fn bad_lookup() {
    own(|node| {
        for table in tables() {
            table.insert(1, 1).unwrap();
            assert_eq!(table.get(&2), Ok(None));
            assert_eq!(table.lookup(&2), Ok(vec![]));
            assert_eq!(table.with(&2, |value| *value), Ok(None));
            let element = table.lookup_element(&2, |value| *value);
            assert_eq!(element, Err(EtsError::BadKey));
            table.delete_table().unwrap();
            assert_eq!(table.lookup(&1), Err(EtsError::BadTable));
        }
        let missing = node.tables().whereis::<i64, i64>("missing");
        assert_eq!(missing.unwrap_err(), EtsError::BadTable);
    })
    .await;
}

async fn order_of_a_bag() {
    own(|_| {
        for table in tables().iter().filter(|table| !is_set(table)) {
            let order = [5, 3, 9, 1, 7];
            for (number, value) in order.iter().enumerate() {
                table.insert(1, *value).unwrap();
                table.insert(2, number as i64).unwrap();
            }
            assert_eq!(plain(&table.lookup(&1).unwrap()), order);
            // An equal one stays where it is in a bag.
            table.insert(1, 3).unwrap();
            table.delete_object(&1, &9).unwrap();
            table.insert(1, 9).unwrap();
            let expected: &[i64] = if table.kind() == Kind::Bag {
                &[5, 3, 1, 7, 9]
            } else {
                &[5, 3, 1, 7, 3, 9]
            };
            assert_eq!(plain(&table.lookup(&1).unwrap()), expected);
            assert_eq!(plain(&table.lookup(&2).unwrap()), [0, 1, 2, 3, 4]);
        }
    })
    .await;
}

async fn elements_of_several() {
    own(|_| {
        for options in [ets::bag::<&str, (i64, &str)>(), ets::duplicate_bag()] {
            let table = options.create().unwrap();
            for object in [(1, "a"), (2, "b"), (3, "c")] {
                table.insert("key", object).unwrap();
            }
            let second = table.lookup_element(&"key", |object| object.1);
            assert_eq!(second, Ok(vec!["a", "b", "c"]));
            let missing = table.lookup_element(&"other", |object| object.1);
            assert_eq!(missing, Err(EtsError::BadKey));
        }
        let set = ets::set::<&str, (i64, &str)>().create().unwrap();
        set.insert("key", (1, "a")).unwrap();
        assert_eq!(set.lookup_element(&"key", |object| object.0), Ok(vec![1]));
    })
    .await;
}

async fn member() {
    own(|_| {
        for table in tables() {
            assert_eq!(table.member(&1), Ok(false));
            table.insert(1, 1).unwrap();
            table.insert(1, 2).unwrap();
            assert_eq!(table.member(&1), Ok(true));
            assert_eq!(table.member(&2), Ok(false));
            table.delete(&1).unwrap();
            assert_eq!(table.member(&1), Ok(false));
        }
    })
    .await;
}

async fn element_or_default() {
    own(|_| {
        for table in tables() {
            table.insert(1, 10).unwrap();
            let element = |key| table.lookup_element_or(&key, -1, |value| *value);
            assert_eq!(element(1), Ok(vec![10]));
            assert_eq!(element(2), Ok(vec![-1]));
            table.delete(&1).unwrap();
            assert_eq!(element(1), Ok(vec![-1]));
        }
    })
    .await;
}

/// A closure may use the table it looks into.
async fn closures_hold_nobody_up() {
    own(|_| {
        for table in tables() {
            table.insert(1, 1).unwrap();
            let inner = table.clone();
            let seen = table.with(&1, move |value| {
                inner.insert(2, *value + 1).unwrap();
                inner.delete(&1).unwrap();
                inner.get(&2).unwrap()
            });
            assert_eq!(seen, Ok(Some(Some(Arc::new(2)))));
            assert_eq!(table.member(&1), Ok(false));
            let inner = table.clone();
            let folded = table.foldl(0, move |sum, key, value| {
                inner.delete(key).unwrap();
                sum + **value
            });
            assert_eq!((folded, table.size()), (Ok(2), Some(0)));
        }
    })
    .await;
}
