//! Changing objects, and counting.

use std::sync::Arc;

use otp::ets::{self, Count, EtsError, Table};

use super::{crowd, is_set, own, own_async, public_tables, tables};

crate::cases! {
    update_element: "ETS-052";
    update_counter: "ETS-053";
    bad_counters: "ETS-054";
    counter_with_default: "ETS-055";
    counters_while_the_table_grows: "ETS-056";
    update_or_default: "ETS-098";
    counter_of_nothing: "ETS-106";
}

fn sets() -> Vec<Table<i64, [i64; 3]>> {
    [ets::set(), ets::ordered_set()]
        .map(|options| options.create().unwrap())
        .into()
}

async fn update_element() {
    own_async(|node| async move {
        for table in sets() {
            table.insert(1, [1, 2, 3]).unwrap();
            let one = table.update(&1, |object| object[0] = 10);
            assert_eq!(one, Ok(Some(())));
            let several = table.update(&1, |object| (object[1], object[2]) = (20, 30));
            assert_eq!(several, Ok(Some(())));
            assert_eq!(*table.get(&1).unwrap().unwrap(), [10, 20, 30]);
            // Nothing there: nothing is called, nothing is inserted.
            let missing = table.update(&2, |_| panic!("there is nothing to change"));
            assert_eq!((missing, table.size()), (Ok(None::<()>), Some(1)));
            // Who holds the object keeps what it has.
            let held = table.get(&1).unwrap().unwrap();
            table.update(&1, |object| object[0] = 11).unwrap();
            assert_eq!((held[0], table.get(&1).unwrap().unwrap()[0]), (10, 11));
        }
        // The key stays.
        let table = ets::set()
            .key_by(|object: &[i64; 3]| object[0])
            .create()
            .unwrap();
        table.insert_object([1, 2, 3]).unwrap();
        let refused = table.update(&1, |object| *object = [2, 20, 30]);
        assert_eq!(refused, Err(EtsError::BadKey));
        assert_eq!(*table.get(&1).unwrap().unwrap(), [1, 2, 3]);
        // Not for bags.
        for table in tables().iter().filter(|table| !is_set(table)) {
            table.insert(1, 1).unwrap();
            assert_eq!(table.update(&1, |_| ()), Err(EtsError::WrongKind));
        }
        // At one moment: no change is lost.
        for table in public_tables().into_iter().filter(is_set) {
            table.insert(1, 0).unwrap();
            let shared = table.clone();
            crowd(&node, 4, move |_| {
                for _ in 0..500 {
                    shared.update(&1, |value| *value += 1).unwrap();
                }
            })
            .await;
            assert_eq!(table.get(&1), Ok(Some(Arc::new(2_000))));
        }
    })
    .await;
}

async fn update_counter() {
    own(|_| {
        for table in sets() {
            table.insert(1, [0, 10, 100]).unwrap();
            let count = |counts: &[Count]| table.update_counter(&1, counts);
            assert_eq!(count(&[Count::by(5)]), Ok(vec![5]));
            assert_eq!(count(&[Count::by(-7)]), Ok(vec![-2]));
            assert_eq!(
                count(&[Count::by(1).at(1), Count::by(1).at(2)]),
                Ok(vec![11, 101])
            );
            // One after the other, also on one counter.
            assert_eq!(count(&[Count::by(1); 3]), Ok(vec![-1, 0, 1]));
            assert_eq!(count(&[]), Ok(vec![]));
            // Past the threshold: upwards above it, downwards below it.
            let up = Count::by(1).limit(3, 0);
            assert_eq!(count(&[up, up, up]), Ok(vec![2, 3, 0]));
            let down = Count::by(-2).limit(-3, 7);
            assert_eq!(count(&[down, down]), Ok(vec![-2, 7]));
            assert_eq!(count(&[Count::by(0).limit(6, 50)]), Ok(vec![50]));
            assert_eq!(table.count(&1, -50), Ok(0));
            assert_eq!(*table.get(&1).unwrap().unwrap(), [0, 11, 101]);
        }
        // The key is no counter.
        let keyed = ets::set()
            .key_by(|object: &[i64; 3]| object[0])
            .create()
            .unwrap();
        keyed.insert_object([1, 2, 3]).unwrap();
        assert_eq!(keyed.count(&1, 1), Err(EtsError::BadKey));
        assert_eq!(keyed.update_counter(&1, &[Count::by(1).at(1)]), Ok(vec![3]));
        assert_eq!(*keyed.get(&1).unwrap().unwrap(), [1, 3, 3]);
    })
    .await;
}

async fn bad_counters() {
    own(|_| {
        for table in sets() {
            let before = [1, 2, i64::MAX];
            table.insert(1, before).unwrap();
            let held = table.get(&1).unwrap().unwrap();
            let good = Count::by(1);
            for (bad, error) in [
                (Count::by(1).at(3), EtsError::BadPosition),
                (Count::by(1).at(usize::MAX), EtsError::BadPosition),
                (Count::by(1).at(2), EtsError::Overflow),
            ] {
                for list in [&[bad][..], &[good, bad], &[good, good.at(1), bad, good]] {
                    assert_eq!(table.update_counter(&1, list), Err(error));
                    assert_eq!(
                        *table.get(&1).unwrap().unwrap(),
                        before,
                        "nothing of the list"
                    );
                }
                let missing = table.update_counter_or(&2, &[good, bad], before);
                assert_eq!(missing, Err(error));
                assert_eq!(table.member(&2), Ok(false), "no default either");
            }
            assert_eq!(*held, before);
        }
        for table in tables().iter().filter(|table| !is_set(table)) {
            table.insert(1, 1).unwrap();
            assert_eq!(table.count(&1, 1), Err(EtsError::WrongKind));
            let with_default = table.update_counter_or(&2, &[Count::by(1)], 0);
            assert_eq!(with_default, Err(EtsError::WrongKind));
        }
    })
    .await;
}

async fn counter_with_default() {
    own(|_| {
        for table in sets() {
            let count = |key, by| table.update_counter_or(&key, &[Count::by(by).at(1)], [7, 10, 0]);
            assert_eq!(count(1, 5), Ok(vec![15]), "of the default");
            assert_eq!(count(1, 5), Ok(vec![20]), "of what is there");
            assert_eq!(*table.get(&1).unwrap().unwrap(), [7, 20, 0]);
            let nothing = table.update_counter_or(&2, &[], [1, 2, 3]);
            assert_eq!((nothing, table.member(&2)), (Ok(vec![]), Ok(true)));
            // After a deletion in a fixed table the default counts again.
            let fixed = table.fix().unwrap();
            table.delete(&1).unwrap();
            assert_eq!(count(1, 1), Ok(vec![11]));
            drop(fixed);
            assert_eq!(table.size(), Some(2));
        }
        // A default whose key is another one.
        let keyed = ets::set()
            .key_by(|object: &[i64; 3]| object[0])
            .create()
            .unwrap();
        let wrong = keyed.update_counter_or(&1, &[Count::by(1).at(1)], [2, 0, 0]);
        assert_eq!((wrong, keyed.size()), (Err(EtsError::BadKey), Some(0)));
    })
    .await;
}

async fn counters_while_the_table_grows() {
    own_async(|node| async move {
        for table in public_tables().into_iter().filter(is_set) {
            let shared = table.clone();
            crowd(&node, 4, move |number| {
                for round in 0..4_000 {
                    if number == 3 {
                        shared.insert(1_000 + round, 0).unwrap();
                    } else {
                        let counts = [Count::by(1)];
                        shared.update_counter_or(&(round % 10), &counts, 0).unwrap();
                    }
                }
            })
            .await;
            for key in 0..10 {
                assert_eq!(table.get(&key), Ok(Some(Arc::new(1_200))));
            }
            assert_eq!(table.size(), Some(4_010));
        }
    })
    .await;
}

async fn update_or_default() {
    own_async(|node| async move {
        for table in sets() {
            let set = |key| table.update_or(&key, [1, 2, 3], |object| object[1] = 20);
            set(1).unwrap();
            assert_eq!(*table.get(&1).unwrap().unwrap(), [1, 20, 3]);
            table.insert(2, [7, 8, 9]).unwrap();
            set(2).unwrap();
            assert_eq!(*table.get(&2).unwrap().unwrap(), [7, 20, 9]);
        }
        for table in public_tables().into_iter().filter(is_set) {
            let shared = table.clone();
            crowd(&node, 4, move |_| {
                for round in 0..400 {
                    shared
                        .update_or(&(round % 4), 0, |value| *value += 1)
                        .unwrap();
                }
            })
            .await;
            for key in 0..4 {
                assert_eq!(table.get(&key), Ok(Some(Arc::new(400))));
            }
        }
    })
    .await;
}

async fn counter_of_nothing() {
    own(|_| {
        for table in sets() {
            assert_eq!(table.count(&1, 1), Err(EtsError::BadKey));
            assert_eq!(table.update_counter(&1, &[]), Err(EtsError::BadKey));
            assert_eq!(table.size(), Some(0));
        }
    })
    .await;
}
