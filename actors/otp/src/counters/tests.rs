//! Both kinds of counters against plain wrapping arithmetic.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use crate::counters::Counters;

#[derive(Clone, Debug)]
enum Step {
    Put(usize, i64),
    Add(usize, i64),
    Sub(usize, i64),
}

fn number() -> impl Strategy<Value = i64> {
    prop_oneof![
        any::<i64>(),
        -2..3_i64,
        (i64::MAX - 2)..=i64::MAX,
        i64::MIN..(i64::MIN + 3),
    ]
}

fn steps(size: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..size, number()).prop_map(|(index, number)| Step::Put(index, number)),
        (0..size, number()).prop_map(|(index, number)| Step::Add(index, number)),
        (0..size, number()).prop_map(|(index, number)| Step::Sub(index, number)),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    #[test]
    fn counters_are_wrapping_i64(steps in steps(10)) {
        for counters in [Counters::new(10).unwrap(), Counters::with_write_concurrency(10).unwrap()] {
            let mut model = [0_i64; 10];
            for step in &steps {
                match *step {
                    Step::Put(index, number) => {
                        counters.put(index, number).unwrap();
                        model[index] = number;
                    }
                    Step::Add(index, number) => {
                        counters.add(index, number).unwrap();
                        model[index] = model[index].wrapping_add(number);
                    }
                    Step::Sub(index, number) => {
                        counters.sub(index, number).unwrap();
                        model[index] = model[index].wrapping_sub(number);
                    }
                }
            }
            for (index, number) in model.iter().enumerate() {
                prop_assert_eq!(counters.get(index), Ok(*number));
            }
        }
    }
}
