//! The words against plain wrapping arithmetic.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use crate::atomics::{Atomics, CompareExchange};

#[derive(Clone, Debug)]
enum Step {
    Put(usize, u64),
    Add(usize, u64),
    Sub(usize, u64),
    Exchange(usize, u64),
    /// Whether the expected value is the right one.
    Compare(usize, bool, u64),
}

/// Words near the limits are as likely as all others.
fn word() -> impl Strategy<Value = u64> {
    let half = u64::MAX / 2;
    prop_oneof![
        any::<u64>(),
        0..4_u64,
        (half - 2)..(half + 4),
        (u64::MAX - 3)..=u64::MAX,
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..3_usize, word()).prop_map(|(index, word)| Step::Put(index, word)),
        (0..3_usize, word()).prop_map(|(index, word)| Step::Add(index, word)),
        (0..3_usize, word()).prop_map(|(index, word)| Step::Sub(index, word)),
        (0..3_usize, word()).prop_map(|(index, word)| Step::Exchange(index, word)),
        (0..3_usize, any::<bool>(), word())
            .prop_map(|(index, right, word)| Step::Compare(index, right, word)),
    ];
    prop::collection::vec(step, 0..60)
}

macro_rules! against_a_model {
    ($name:ident, $kind:ty) => {
        proptest! {
            #[test]
            fn $name(steps in steps()) {
                let atomics = Atomics::<$kind>::new(3).unwrap();
                let mut model: [$kind; 3] = [0; 3];
                for step in steps {
                    match step {
                        Step::Put(index, word) => {
                            atomics.put(index, word as $kind).unwrap();
                            model[index] = word as $kind;
                        }
                        Step::Add(index, word) => {
                            model[index] = model[index].wrapping_add(word as $kind);
                            prop_assert_eq!(atomics.add_get(index, word as $kind), Ok(model[index]));
                        }
                        Step::Sub(index, word) => {
                            model[index] = model[index].wrapping_sub(word as $kind);
                            prop_assert_eq!(atomics.sub_get(index, word as $kind), Ok(model[index]));
                        }
                        Step::Exchange(index, word) => {
                            prop_assert_eq!(atomics.exchange(index, word as $kind), Ok(model[index]));
                            model[index] = word as $kind;
                        }
                        Step::Compare(index, right, word) => {
                            let expected = if right { model[index] } else { !model[index] };
                            let outcome = atomics.compare_exchange(index, expected, word as $kind);
                            if right {
                                prop_assert_eq!(outcome, Ok(CompareExchange::Exchanged));
                                model[index] = word as $kind;
                            } else {
                                prop_assert_eq!(outcome, Ok(CompareExchange::Actual(model[index])));
                            }
                        }
                    }
                    for (index, word) in model.iter().enumerate() {
                        prop_assert_eq!(atomics.get(index), Ok(*word));
                    }
                }
            }
        }
    };
}

against_a_model!(signed_words_are_wrapping_i64, i64);
against_a_model!(unsigned_words_are_wrapping_u64, u64);

#[test]
fn concurrent_adds_all_count() {
    let atomics = Atomics::<u64>::new(1).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..10_000).for_each(|_| atomics.add(0, 1).unwrap()));
        }
    });
    assert_eq!(atomics.get(0), Ok(40_000));
}
