//! Folds over all objects of a table.

use std::sync::Arc;

use otp::ets;

use super::walking::{fill, once};
use super::{own, tables};

crate::cases! {
    fold_left_ordered: "ETS-040";
    fold_right_ordered: "ETS-041";
    fold_left: "ETS-042";
    fold_right: "ETS-043";
    fold_empty: "ETS-044";
}

const LETTERS: [(i64, i64); 4] = [(3, 30), (1, 10), (4, 40), (2, 20)];

fn keys_met(list: Vec<i64>, key: &i64, _: &Arc<i64>) -> Vec<i64> {
    let mut list = list;
    list.push(*key);
    list
}

async fn fold_left_ordered() {
    own(|_| {
        let table = ets::ordered_set().create().unwrap();
        table.insert_all(LETTERS).unwrap();
        assert_eq!(table.foldl(vec![], keys_met), Ok(vec![1, 2, 3, 4]));
    })
    .await;
}

async fn fold_right_ordered() {
    own(|_| {
        let table = ets::ordered_set().create().unwrap();
        table.insert_all(LETTERS).unwrap();
        assert_eq!(table.foldr(vec![], keys_met), Ok(vec![4, 3, 2, 1]));
    })
    .await;
}

async fn fold_left() {
    own(|_| {
        for table in tables() {
            fill(&table, 500);
            let sum = table.foldl(0, |sum, key, value| sum + key + **value);
            assert_eq!(sum, Ok(500 * 499));
        }
    })
    .await;
}

async fn fold_right() {
    own(|_| {
        for table in tables() {
            fill(&table, 500);
            let keys = table.foldr(vec![], keys_met).unwrap();
            assert_eq!(once(&keys), (0..500).collect());
        }
    })
    .await;
}

async fn fold_empty() {
    own(|_| {
        for table in tables() {
            assert_eq!(table.foldl(7, |_, _, _| panic!("there is nothing")), Ok(7));
            assert_eq!(table.foldr(7, |_, _, _| panic!("there is nothing")), Ok(7));
        }
    })
    .await;
}
