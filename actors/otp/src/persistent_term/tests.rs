//! The table against a plain map.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;

use proptest::prelude::*;

use crate::persistent_term::{PersistentTerms, TermError};

/// A key whose hash says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Colliding(u8);

impl std::hash::Hash for Colliding {
    fn hash<H: std::hash::Hasher>(&self, hasher: &mut H) {
        hasher.write_u8(0);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, u8),
    PutNew(u8, u8),
    Erase(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..6_u8, 0..3_u8).prop_map(|(key, value)| Step::Put(key, value)),
        (0..6_u8, 0..3_u8).prop_map(|(key, value)| Step::PutNew(key, value)),
        (0..6_u8).prop_map(Step::Erase),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    #[test]
    fn terms_are_a_map(steps in steps()) {
        let terms = PersistentTerms::new();
        let mut model: HashMap<u8, u8> = HashMap::new();
        for step in steps {
            match step {
                Step::Put(key, value) => {
                    prop_assert_eq!(terms.put(Colliding(key), value), Ok(()));
                    model.insert(key, value);
                }
                Step::PutNew(key, value) => {
                    let expected = match model.get(&key) {
                        Some(old) if *old != value => Err(TermError::Exists),
                        _ => Ok(()),
                    };
                    model.entry(key).or_insert(value);
                    prop_assert_eq!(terms.put_new(Colliding(key), value), expected);
                }
                Step::Erase(key) => {
                    prop_assert_eq!(terms.erase(&Colliding(key)), model.remove(&key).is_some());
                }
            }
            prop_assert_eq!(terms.info().count, model.len());
            for key in 0..6 {
                let found = terms.find::<_, u8>(&Colliding(key)).map(|value| *value);
                prop_assert_eq!(found, model.get(&key).copied());
            }
        }
    }
}

#[test]
fn keys_of_different_types_are_different() {
    let terms = PersistentTerms::new();
    terms.put(1_u8, "byte").unwrap();
    terms.put(1_u64, "word").unwrap();
    assert_eq!(*terms.get::<_, &str>(&1_u8).unwrap(), "byte");
    assert_eq!(*terms.get::<_, &str>(&1_u64).unwrap(), "word");
    assert_eq!(terms.get::<_, u8>(&1_u8), Err(TermError::OtherType));
}
