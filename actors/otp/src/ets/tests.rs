//! Each kind of table against a simple model, and what a walk may rely on.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use crate::ets::{self, Count, EtsError, Kind, Spec, Table, TableOptions, WriteConcurrency};
use crate::{Node, task};

type Numbers = Table<u8, Vec<i64>>;

/// One operation of a random story.
#[derive(Clone, Debug)]
enum Op {
    Insert(u8, i64),
    InsertAll(Vec<(u8, i64)>),
    InsertNew(u8, i64),
    InsertNewAll(Vec<(u8, i64)>),
    Delete(u8),
    Take(u8),
    DeleteObject(u8, i64),
    DeleteAll,
    Count(u8, i64),
    CountOr(u8, i64),
    Update(u8, i64),
    SelectDelete(u8, u8, i64),
    SelectReplace(i64),
    Fix,
    Unfix,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let key = || 0..12_u8;
    let value = || 0..4_i64;
    let list = move || prop::collection::vec((key(), value()), 0..6);
    let op = prop_oneof![
        6 => (key(), value()).prop_map(|(key, value)| Op::Insert(key, value)),
        2 => list().prop_map(Op::InsertAll),
        2 => (key(), value()).prop_map(|(key, value)| Op::InsertNew(key, value)),
        2 => list().prop_map(Op::InsertNewAll),
        3 => key().prop_map(Op::Delete),
        2 => key().prop_map(Op::Take),
        3 => (key(), value()).prop_map(|(key, value)| Op::DeleteObject(key, value)),
        1 => Just(Op::DeleteAll),
        2 => (key(), value()).prop_map(|(key, value)| Op::Count(key, value)),
        2 => (key(), value()).prop_map(|(key, value)| Op::CountOr(key, value)),
        2 => (key(), value()).prop_map(|(key, value)| Op::Update(key, value)),
        2 => (key(), key(), value()).prop_map(|(low, high, value)| Op::SelectDelete(low, high, value)),
        1 => value().prop_map(Op::SelectReplace),
        2 => Just(Op::Fix),
        2 => Just(Op::Unfix),
    ];
    prop::collection::vec(op, 0..80)
}

/// What a table should do, in the simplest way.
struct Model {
    kind: Kind,
    objects: BTreeMap<u8, Vec<i64>>,
}

impl Model {
    fn is_bag(&self) -> bool {
        matches!(self.kind, Kind::Bag | Kind::DuplicateBag)
    }

    fn insert(&mut self, key: u8, value: i64) {
        let values = self.objects.entry(key).or_default();
        match self.kind {
            Kind::Bag if values.contains(&value) => {}
            Kind::Bag | Kind::DuplicateBag => values.push(value),
            Kind::Set | Kind::OrderedSet => *values = vec![value],
        }
    }

    fn insert_new(&mut self, list: &[(u8, i64)]) -> bool {
        let free = list.iter().all(|(key, _)| !self.objects.contains_key(key));
        if free {
            list.iter()
                .for_each(|(key, value)| self.insert(*key, *value));
        }
        free
    }

    fn count(&mut self, key: u8, by: i64) -> Result<i64, EtsError> {
        if self.is_bag() {
            return Err(EtsError::WrongKind);
        }
        let values = self.objects.get_mut(&key).ok_or(EtsError::BadKey)?;
        values[0] += by;
        Ok(values[0])
    }

    fn retain(&mut self, keep: impl Fn(u8, i64) -> bool) -> usize {
        let before: usize = self.objects.values().map(Vec::len).sum();
        for (key, values) in &mut self.objects {
            values.retain(|value| keep(*key, *value));
        }
        self.objects.retain(|_, values| !values.is_empty());
        before - self.objects.values().map(Vec::len).sum::<usize>()
    }

    fn all(&self) -> Vec<(u8, i64)> {
        let each = self.objects.iter();
        each.flat_map(|(key, values)| values.iter().map(|value| (*key, *value)))
            .collect()
    }
}

fn one(values: &[Arc<Vec<i64>>]) -> Vec<i64> {
    values.iter().map(|value| value[0]).collect()
}

fn objects(list: &[(u8, i64)]) -> Vec<(u8, Vec<i64>)> {
    list.iter()
        .map(|(key, value)| (*key, vec![*value]))
        .collect()
}

/// Runs a story on both, and compares after each step.
fn compare(table: &Numbers, ops: Vec<Op>) {
    let mut model = Model {
        kind: table.kind(),
        objects: BTreeMap::new(),
    };
    let mut fixes = Vec::new();
    for op in ops {
        match op {
            Op::Insert(key, value) => {
                model.insert(key, value);
                table.insert(key, vec![value]).unwrap();
            }
            Op::InsertAll(list) => {
                list.iter()
                    .for_each(|(key, value)| model.insert(*key, *value));
                table.insert_all(objects(&list)).unwrap();
            }
            Op::InsertNew(key, value) => {
                let expected = model.insert_new(&[(key, value)]);
                assert_eq!(table.insert_new(key, vec![value]), Ok(expected));
            }
            Op::InsertNewAll(list) => {
                let expected = model.insert_new(&list);
                assert_eq!(table.insert_new_all(objects(&list)), Ok(expected));
            }
            Op::Delete(key) => {
                model.objects.remove(&key);
                table.delete(&key).unwrap();
            }
            Op::Take(key) => {
                let expected = model.objects.remove(&key).unwrap_or_default();
                assert_eq!(one(&table.take(&key).unwrap()), expected);
            }
            Op::DeleteObject(key, value) => {
                model.retain(|one, other| (one, other) != (key, value));
                table.delete_object(&key, &vec![value]).unwrap();
            }
            Op::DeleteAll => {
                model.objects.clear();
                table.delete_all().unwrap();
            }
            Op::Count(key, by) => assert_eq!(table.count(&key, by), model.count(key, by)),
            Op::CountOr(key, by) => {
                let counted = table.update_counter_or(&key, &[Count::by(by)], vec![5]);
                if !model.is_bag() && !model.objects.contains_key(&key) {
                    model.insert(key, 5);
                }
                assert_eq!(counted, model.count(key, by).map(|sum| vec![sum]));
            }
            Op::Update(key, value) => {
                let updated = table.update(&key, |object| object[0] = value);
                if model.is_bag() {
                    assert_eq!(updated, Err(EtsError::WrongKind));
                } else {
                    let expected = model.objects.get_mut(&key).map(|values| values[0] = value);
                    assert_eq!(updated, Ok(expected));
                }
            }
            Op::SelectDelete(low, high, value) => {
                let spec = Spec::filter(move |_, object: &Vec<i64>| object[0] == value);
                let deleted = table.select_delete(&spec.range(low..=high));
                if low > high {
                    assert_eq!(deleted, Err(EtsError::BadSpec));
                } else {
                    let keep = |key, one| !(low..=high).contains(&key) || one != value;
                    assert_eq!(deleted, Ok(model.retain(keep)));
                }
            }
            Op::SelectReplace(value) => {
                let spec = Spec::new(move |_: &u8, object: &Arc<Vec<i64>>| {
                    (object[0] == value).then(|| vec![value + 10])
                });
                let replaced = table.select_replace(&spec);
                if model.kind == Kind::Bag {
                    assert_eq!(replaced, Err(EtsError::WrongKind));
                    continue;
                }
                let mut expected = 0;
                for one in model
                    .objects
                    .values_mut()
                    .flatten()
                    .filter(|one| **one == value)
                {
                    *one += 10;
                    expected += 1;
                }
                assert_eq!(replaced, Ok(expected));
            }
            Op::Fix => fixes.push(table.fix().unwrap()),
            Op::Unfix => drop(fixes.pop()),
        }
        check(table, &model);
    }
    drop(fixes);
    check(table, &model);
    let info = table.info().unwrap();
    assert_eq!((info.graves, info.fixed), (0, false));
}

fn check(table: &Numbers, model: &Model) {
    let expected = model.all();
    assert_eq!(table.size(), Some(expected.len()));
    for key in 0..12 {
        let values = model.objects.get(&key).cloned().unwrap_or_default();
        assert_eq!(one(&table.lookup(&key).unwrap()), values);
        assert_eq!(table.member(&key), Ok(!values.is_empty()));
    }
    let mut list: Vec<(u8, i64)> = table
        .to_vec()
        .unwrap()
        .iter()
        .map(|(key, object)| (*key, object[0]))
        .collect();
    if table.kind() != Kind::OrderedSet {
        // The objects of a key are together and in order, keys are not.
        list.sort_by_key(|(key, _)| *key);
    }
    assert_eq!(list, expected);
    let mut keys = Vec::new();
    let mut key = table.first().unwrap();
    while let Some(current) = key {
        keys.push(current);
        key = table.next(&current).unwrap();
    }
    let mut chunked = Vec::new();
    let mut chunk = Some(table.select_limit(&Spec::all(), 3).unwrap());
    while let Some(part) = chunk {
        assert!(part.found.len() <= 3);
        chunked.extend(part.found.iter().map(|(key, object)| (*key, object[0])));
        chunk = part.more.map(|more| more.next().unwrap());
    }
    if table.kind() == Kind::OrderedSet {
        let mut back = Vec::new();
        let mut key = table.last().unwrap();
        while let Some(current) = key {
            back.push(current);
            key = table.prev(&current).unwrap();
        }
        back.reverse();
        assert_eq!(back, keys);
    } else {
        keys.sort_unstable();
        chunked.sort_by_key(|(key, _)| *key);
    }
    assert_eq!(keys, model.objects.keys().copied().collect::<Vec<_>>());
    assert_eq!(chunked, expected);
}

fn kinds() -> Vec<TableOptions<u8, Vec<i64>>> {
    let sharded = || ets::set().write_concurrency(WriteConcurrency::On);
    vec![
        ets::set(),
        sharded(),
        ets::ordered_set(),
        ets::bag(),
        ets::bag().read_concurrency(true),
        ets::duplicate_bag(),
    ]
}

/// Runs something as a process, on a runtime of its own.
fn in_a_process(body: impl FnOnce() + Send + 'static) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(async {
        let node = Node::new("test");
        task::spawn(&node, "owner", async move { body() })
            .await
            .unwrap();
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn tables_do_what_the_model_does(ops in ops()) {
        in_a_process(move || {
            for options in kinds() {
                compare(&options.create().unwrap(), ops.clone());
            }
        });
    }
}

#[test]
fn a_big_table_shrinks_when_it_is_emptied() {
    in_a_process(|| {
        let table = ets::set::<u32, ()>().create().unwrap();
        let small = table.info().unwrap().memory;
        for key in 0..10_000 {
            table.insert(key, ()).unwrap();
        }
        let big = table.info().unwrap().memory;
        for key in 0..10_000 {
            table.delete(&key).unwrap();
        }
        let after = table.info().unwrap().memory;
        assert!(after < small + (big - small) / 20, "{small} {big} {after}");
        // And it still works.
        table.insert(7, ()).unwrap();
        assert_eq!(table.first(), Ok(Some(7)));
    });
}

#[test]
fn keys_of_one_hash_are_told_apart() {
    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
    struct Same(u32);
    impl std::hash::Hash for Same {
        fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
    }
    in_a_process(|| {
        let table = ets::set::<Same, u32>().create().unwrap();
        for key in 0..200 {
            table.insert(Same(key), key).unwrap();
        }
        for key in (0..200).step_by(3) {
            table.delete(&Same(key)).unwrap();
        }
        for key in 0..200 {
            let found = table.get(&Same(key)).unwrap().map(|value| *value);
            assert_eq!(found, (key % 3 != 0).then_some(key));
        }
    });
}
