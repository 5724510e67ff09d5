//! Matching the values of one key, unique or duplicate.
//!
//! A pattern or a guard of a match specification is a closure over the value, or over key, pid
//! and value. `$1` in two places is a comparison.

use std::collections::BTreeMap;

use otp::registry::Registry;
use otp::{Node, Pid, ServerRef};

use super::{
    Atom, Int, List, Map, PARTITIONS, Term, Tuple, a_map, duplicates, element, float, one_atom,
    sizes, triple, unique,
};
use crate::support::{Worker, node, worker};

crate::cases! {
    match_patterns: "REG-013";
    match_guards: "REG-014";
    count_match_patterns: "REG-016";
    count_match_guards: "REG-017";
    unregister_match_patterns: "REG-018";
    unregister_match_guards: "REG-019";
    duplicate_match_patterns: "REG-052";
    duplicate_match_guards: "REG-053";
    duplicate_complex_keys: "REG-054";
    duplicate_count_match_patterns: "REG-055";
    duplicate_count_match_guards: "REG-056";
    duplicate_unregister_match_patterns: "REG-057";
    duplicate_unregister_match_guards: "REG-058";
}

pub(super) type Terms = Registry<&'static str, Term>;

pub(super) fn uniques(node: &Node) -> [Terms; 2] {
    PARTITIONS.map(|partitions| unique(node, partitions))
}

// ---- what the patterns and guards of the reference say ------------------------------------------

/// `{first, :_, :_}`.
pub(super) fn first_is(first: Term) -> impl Fn(&Term) -> bool {
    move |value| element(value, 0) == Some(&first)
}

/// `{:_, :atom, :_}`.
pub(super) fn is_of_atom(value: &Term) -> bool {
    element(value, 1) == Some(&Atom("atom"))
}

/// `{:"$1", :_, :"$1"}`.
pub(super) fn first_is_third(value: &Term) -> bool {
    element(value, 0).is_some() && element(value, 0) == element(value, 2)
}

/// `{:_, :_, :"$1"}` with a guard.
pub(super) fn third(guard: impl Fn(i64) -> bool) -> impl Fn(&Term) -> bool {
    move |value| matches!(element(value, 2), Some(Int(number)) if guard(*number))
}

/// `{:"$1", :_, :_}` with a guard.
fn first(guard: impl Fn(i64) -> bool) -> impl Fn(&Term) -> bool {
    move |value| matches!(element(value, 0), Some(Int(number)) if guard(*number))
}

/// `{:_, :"$1", :_}` with `is_atom`.
pub(super) fn second_is_atom(value: &Term) -> bool {
    matches!(element(value, 1), Some(Atom(_)))
}

/// `%{b: "b"}`.
pub(super) fn maps_b(value: &Term) -> bool {
    matches!(value, Map(map) if map.get("b") == Some(&Atom("b")))
}

fn two_atom() -> Term {
    triple(Int(2), Atom("atom"), Int(2))
}

// ---- unique: one key ----------------------------------------------------------------------------

pub(super) async fn with_process() -> (Node, ServerRef<Worker>) {
    let node = node();
    let process = worker(&node).await;
    (node, process)
}

async fn match_patterns() {
    let (node, process) = with_process().await;
    for registry in uniques(&node) {
        let own = registry.by(&process);
        own.register("hello", one_atom(1)).unwrap();
        let found = Ok(vec![(process.pid(), one_atom(1))]);
        let hello = |matches: &dyn Fn(&Term) -> bool| registry.match_values(&"hello", matches);
        assert_eq!(hello(&first_is(Int(1))), found);
        assert_eq!(hello(&first_is(float(1.0))), Ok(vec![]));
        assert_eq!(hello(&is_of_atom), found);
        assert_eq!(hello(&first_is_third), found);
        assert_eq!(hello(&|_| true), found);
        // No key stands for all keys.
        assert_eq!(registry.match_values(&"_", |_| true), Ok(vec![]));
        own.register("world", a_map()).unwrap();
        let world = registry.match_values(&"world", maps_b);
        assert_eq!(world, Ok(vec![(process.pid(), a_map())]));
    }
}

async fn match_guards() {
    let (node, process) = with_process().await;
    for registry in uniques(&node) {
        registry
            .by(&process)
            .register("hello", one_atom(2))
            .unwrap();
        let found = Ok(vec![(process.pid(), one_atom(2))]);
        let hello = |matches: &dyn Fn(&Term) -> bool| registry.match_values(&"hello", matches);
        assert_eq!(hello(&third(|number| number > 1)), found);
        assert_eq!(hello(&third(|number| number > 2)), Ok(vec![]));
        assert_eq!(hello(&second_is_atom), found);
    }
}

/// The same for both kinds of keys.
async fn check_count_match_patterns(registries: impl IntoIterator<Item = Terms>, pid: Pid) {
    for registry in registries {
        registry.by(pid).register("hello", one_atom(1)).unwrap();
        let hello = |matches: &dyn Fn(&Term) -> bool| registry.count_match(&"hello", matches);
        assert_eq!(hello(&first_is(Int(1))), Ok(1));
        assert_eq!(hello(&first_is(float(1.0))), Ok(0));
        assert_eq!(hello(&is_of_atom), Ok(1));
        assert_eq!(hello(&first_is_third), Ok(1));
        assert_eq!(hello(&|_| true), Ok(1));
        assert_eq!(registry.count_match(&"_", |_| true), Ok(0));
        registry.by(pid).register("world", a_map()).unwrap();
        assert_eq!(registry.count_match(&"world", maps_b), Ok(1));
    }
}

async fn check_count_match_guards(registries: impl IntoIterator<Item = Terms>, pid: Pid) {
    for registry in registries {
        registry.by(pid).register("hello", one_atom(2)).unwrap();
        let hello = |matches: &dyn Fn(&Term) -> bool| registry.count_match(&"hello", matches);
        assert_eq!(hello(&third(|number| number > 1)), Ok(1));
        assert_eq!(hello(&third(|number| number > 2)), Ok(0));
        assert_eq!(hello(&second_is_atom), Ok(1));
    }
}

async fn count_match_patterns() {
    let (node, process) = with_process().await;
    check_count_match_patterns(uniques(&node), process.pid()).await;
}

async fn count_match_guards() {
    let (node, process) = with_process().await;
    check_count_match_guards(uniques(&node), process.pid()).await;
}

async fn unregister_match_patterns() {
    let (node, process) = with_process().await;
    let other = worker(&node).await;
    for registry in uniques(&node) {
        let own = registry.by(&process);
        own.register("hello", one_atom(1)).unwrap();
        own.register("other", one_atom(1)).unwrap();
        let there = Ok(vec![(process.pid(), one_atom(1))]);
        assert_eq!(own.unregister_match(&"hello", first_is(Int(2))), Ok(0));
        assert_eq!(registry.entries(&"hello"), there);
        assert_eq!(own.unregister_match(&"hello", first_is(float(1.0))), Ok(0));
        assert_eq!(registry.entries(&"hello"), there);
        // Nobody but the caller's own.
        let stranger = registry.by(&other);
        assert_eq!(stranger.unregister_match(&"hello", is_of_atom), Ok(0));
        assert_eq!(registry.entries(&"hello"), there);
        assert_eq!(own.unregister_match(&"hello", is_of_atom), Ok(1));
        assert_eq!(registry.entries(&"hello"), Ok(vec![]));
        assert_eq!(registry.entries(&"other"), there);
        assert_eq!(sizes(&registry), (1, 1));
    }
}

async fn unregister_match_guards() {
    let (node, process) = with_process().await;
    for registry in uniques(&node) {
        let own = registry.by(&process);
        own.register("hello", one_atom(1)).unwrap();
        let more = first(|number| number > 1);
        assert_eq!(own.unregister_match(&"hello", more), Ok(0));
        let less = first(|number| number < 2);
        assert_eq!(own.unregister_match(&"hello", less), Ok(1));
        assert_eq!(registry.entries(&"hello"), Ok(vec![]));
    }
}

// ---- duplicate keys -----------------------------------------------------------------------------

async fn duplicate_match_patterns() {
    let (node, process) = with_process().await;
    for registry in duplicates::<&'static str, Term>(&node) {
        let own = registry.by(&process);
        own.register("hello", one_atom(1)).unwrap();
        own.register("hello", two_atom()).unwrap();
        own.register("world", one_atom(1)).unwrap();
        let one = (process.pid(), one_atom(1));
        let two = (process.pid(), two_atom());
        let both = [one.clone(), two.clone()];
        let hello =
            |matches: &dyn Fn(&Term) -> bool| registry.match_values(&"hello", matches).unwrap();
        assert_eq!(hello(&first_is(Int(1))), [one]);
        assert_eq!(hello(&first_is(float(1.0))), []);
        assert_eq!(hello(&is_of_atom), both);
        assert_eq!(hello(&first_is_third), both);
        assert_eq!(hello(&first_is(Int(2))), [two]);
        assert_eq!(hello(&first_is(float(2.0))), []);
    }
}

async fn duplicate_match_guards() {
    let (node, process) = with_process().await;
    for registry in duplicates::<&'static str, Term>(&node) {
        let own = registry.by(&process);
        own.register("hello", one_atom(1)).unwrap();
        own.register("hello", two_atom()).unwrap();
        let one = (process.pid(), one_atom(1));
        let both = [one.clone(), (process.pid(), two_atom())];
        let hello =
            |matches: &dyn Fn(&Term) -> bool| registry.match_values(&"hello", matches).unwrap();
        assert_eq!(hello(&first(|number| number < 2)), [one]);
        assert_eq!(hello(&first(|number| number > 3)), []);
        assert_eq!(hello(&first(|number| number < 3)), both);
        assert_eq!(hello(&second_is_atom), both);
    }
}

async fn duplicate_complex_keys() {
    let (node, process) = with_process().await;
    let map = BTreeMap::from([("label", Int(1)), ("b", Atom("b"))]);
    let mut superset = map.clone();
    superset.insert("a", Atom("a"));
    let keys = [
        Atom("_"),
        Tuple(vec![Atom("$1"), Int(1)]),
        Tuple(vec![Atom("other"), Int(1)]),
        List(vec![Atom("$$"), Int(1)]),
        Map(map),
        Map(superset),
    ];
    for registry in duplicates::<Term, i64>(&node) {
        let own = registry.by(&process);
        for (number, key) in (0..).zip(&keys) {
            own.register(key.clone(), number).unwrap();
            own.register(key.clone(), number + 100).unwrap();
        }
        for (number, key) in (0..).zip(&keys) {
            let entry = |value| (process.pid(), value);
            let both = registry.match_values(key, |_| true);
            assert_eq!(both, Ok(vec![entry(number), entry(number + 100)]));
            let big = registry.match_values(key, |value| *value >= 100);
            assert_eq!(big, Ok(vec![entry(number + 100)]));
            assert_eq!(registry.count_match(key, |value| *value < 100), Ok(1));
        }
        for key in &keys[..5] {
            assert_eq!(own.unregister_match(key, |value| *value < 100), Ok(1));
            assert_eq!(registry.count_match(key, |_| true), Ok(1));
        }
        assert_eq!(registry.count_match(&keys[5], |_| true), Ok(2));
    }
}

async fn duplicate_count_match_patterns() {
    let (node, process) = with_process().await;
    check_count_match_patterns(duplicates(&node), process.pid()).await;
    // And each entry of a key counts.
    for registry in duplicates::<&'static str, Term>(&node) {
        for value in [one_atom(1), one_atom(1), two_atom(), a_map()] {
            registry.by(&process).register("hello", value).unwrap();
        }
        assert_eq!(registry.count_match(&"hello", is_of_atom), Ok(3));
        assert_eq!(registry.count_match(&"hello", first_is(Int(1))), Ok(2));
    }
}

async fn duplicate_count_match_guards() {
    let (node, process) = with_process().await;
    check_count_match_guards(duplicates(&node), process.pid()).await;
    for registry in duplicates::<&'static str, Term>(&node) {
        for number in 0..10 {
            let value = one_atom(number);
            registry.by(&process).register("hello", value).unwrap();
        }
        let more = third(|number| number > 6);
        assert_eq!(registry.count_match(&"hello", more), Ok(3));
    }
}

async fn duplicate_unregister_match_patterns() {
    let (node, process) = with_process().await;
    let other = worker(&node).await;
    for registry in duplicates::<&'static str, Term>(&node) {
        let own = registry.by(&process);
        own.register("hello", one_atom(1)).unwrap();
        own.register("hello", two_atom()).unwrap();
        let foreign = registry.by(&other);
        foreign.register("hello", two_atom()).unwrap();
        assert_eq!(own.unregister_match(&"hello", first_is(Int(2))), Ok(1));
        assert_eq!(own.values(&"hello"), Ok(vec![one_atom(1)]));
        assert_eq!(foreign.values(&"hello"), Ok(vec![two_atom()]));
        own.register("hello", two_atom()).unwrap();
        assert_eq!(own.unregister_match(&"hello", first_is(float(2.0))), Ok(0));
        assert_eq!(own.values(&"hello"), Ok(vec![one_atom(1), two_atom()]));
        assert_eq!(own.keys(), Ok(vec!["hello", "hello"]));
        assert_eq!(own.unregister_match(&"hello", is_of_atom), Ok(2));
        let left = registry.entries(&"hello");
        assert_eq!(left, Ok(vec![(other.pid(), two_atom())]));
        assert_eq!(sizes(&registry), (1, 1));
    }
}

async fn duplicate_unregister_match_guards() {
    let (node, process) = with_process().await;
    for registry in duplicates::<&'static str, Term>(&node) {
        let own = registry.by(&process);
        own.register("hello", one_atom(1)).unwrap();
        own.register("hello", two_atom()).unwrap();
        let less = first(|number| number < 2);
        assert_eq!(own.unregister_match(&"hello", less), Ok(1));
        let left = registry.entries(&"hello");
        assert_eq!(left, Ok(vec![(process.pid(), two_atom())]));
    }
}
