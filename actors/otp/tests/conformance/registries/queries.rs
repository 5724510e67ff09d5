//! Matching and selecting, of unique and of duplicate keys.
//!
//! A pattern or a guard of a match specification is a closure over the value, or over key, pid
//! and value. `$1` in two places is a comparison.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use otp::registry::Registry;
use otp::{Node, Options, Pid, ServerRef};

use super::{
    Atom, Int, List, Map, PARTITIONS, Term, Tuple, a_map, duplicates, element, float, one_atom,
    sizes, sorted, triple, unique,
};
use crate::support::{Plan, Worker, node, worker};

crate::cases! {
    match_patterns: "REG-013";
    match_guards: "REG-014";
    count_match_patterns: "REG-016";
    count_match_guards: "REG-017";
    unregister_match_patterns: "REG-018";
    unregister_match_guards: "REG-019";
    select_empty: "REG-030";
    select_all: "REG-031";
    select_full: "REG-032";
    select_guards: "REG-033";
    select_many: "REG-034";
    select_bad_shape: "REG-035";
    count_select_full: "REG-036";
    count_select_guards: "REG-037";
    count_select_many: "REG-038";
    count_select_bad_shape: "REG-039";
    duplicate_match_patterns: "REG-052";
    duplicate_match_guards: "REG-053";
    duplicate_complex_keys: "REG-054";
    duplicate_count_match_patterns: "REG-055";
    duplicate_count_match_guards: "REG-056";
    duplicate_unregister_match_patterns: "REG-057";
    duplicate_unregister_match_guards: "REG-058";
    duplicate_select_empty: "REG-063";
    duplicate_select_all: "REG-064";
    duplicate_select_full: "REG-065";
    duplicate_select_guards: "REG-066";
    duplicate_select_many: "REG-067";
    duplicate_count_select_full: "REG-068";
    duplicate_count_select_guards: "REG-069";
    duplicate_count_select_many: "REG-070";
}

type Terms = Registry<&'static str, Term>;

fn uniques(node: &Node) -> [Terms; 2] {
    PARTITIONS.map(|partitions| unique(node, partitions))
}

// ---- what the patterns and guards of the reference say ------------------------------------------

/// `{first, :_, :_}`.
fn first_is(first: Term) -> impl Fn(&Term) -> bool {
    move |value| element(value, 0) == Some(&first)
}

/// `{:_, :atom, :_}`.
fn is_of_atom(value: &Term) -> bool {
    element(value, 1) == Some(&Atom("atom"))
}

/// `{:"$1", :_, :"$1"}`.
fn first_is_third(value: &Term) -> bool {
    element(value, 0).is_some() && element(value, 0) == element(value, 2)
}

/// `{:_, :_, :"$1"}` with a guard.
fn third(guard: impl Fn(i64) -> bool) -> impl Fn(&Term) -> bool {
    move |value| matches!(element(value, 2), Some(Int(number)) if guard(*number))
}

/// `{:"$1", :_, :_}` with a guard.
fn first(guard: impl Fn(i64) -> bool) -> impl Fn(&Term) -> bool {
    move |value| matches!(element(value, 0), Some(Int(number)) if guard(*number))
}

/// `{:_, :"$1", :_}` with `is_atom`.
fn second_is_atom(value: &Term) -> bool {
    matches!(element(value, 1), Some(Atom(_)))
}

/// `%{b: "b"}`.
fn maps_b(value: &Term) -> bool {
    matches!(value, Map(map) if map.get("b") == Some(&Atom("b")))
}

fn two_atom() -> Term {
    triple(Int(2), Atom("atom"), Int(2))
}

// ---- unique: one key ----------------------------------------------------------------------------

async fn with_process() -> (Node, ServerRef<Worker>) {
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

// ---- selecting ----------------------------------------------------------------------------------

async fn check_select_empty(registries: impl IntoIterator<Item = Terms>) {
    for registry in registries {
        let all = registry.select(|key, pid, value| Some((*key, pid, value.clone())));
        assert_eq!(all, Ok(vec![]));
    }
}

async fn select_empty() {
    check_select_empty(uniques(&node())).await;
}

async fn select_all() {
    let (node, process) = with_process().await;
    for partitions in PARTITIONS {
        let registry = unique(&node, partitions);
        let name = Options::new().via(&registry.via("hello").unwrap());
        let named = otp::start::<Worker>(&node, Plan::default(), name).await;
        registry.by(&process).register("world", "value").unwrap();
        let all = registry.select(|key, pid, value| Some((*key, pid, *value)));
        let expected = [
            ("hello", named.unwrap().pid(), ""),
            ("world", process.pid(), "value"),
        ];
        assert_eq!(sorted(all.unwrap()), expected);
    }
}

/// The same for both kinds of keys, as in the reference: each key is there once.
async fn check_select_full(registries: impl IntoIterator<Item = Terms>, pid: Pid) {
    for registry in registries {
        let value = one_atom(1);
        registry.by(pid).register("hello", value.clone()).unwrap();
        type Spec<'a> = &'a dyn Fn(&&'static str, Pid, &Term) -> bool;
        let select = |spec: Spec<'_>| {
            let selected = registry.select(|key, pid, value| {
                spec(key, pid, value).then(|| (*key, pid, value.clone()))
            });
            selected.unwrap()
        };
        let hello = vec![("hello", pid, value.clone())];
        assert_eq!(select(&|key, _, _| *key == "hello"), hello);
        assert_eq!(select(&|_, by, _| by == pid), hello);
        assert_eq!(select(&|_, _, is| *is == value), hello);
        assert_eq!(select(&|key, _, _| *key == "world"), []);
        let as_float = first_is(float(1.0));
        assert_eq!(select(&|_, _, is| as_float(is)), []);
        assert_eq!(select(&|_, _, is| is_of_atom(is)), hello);
        assert_eq!(select(&|_, _, is| first_is_third(is)), hello);
        registry.by(pid).register("world", a_map()).unwrap();
        // What comes out need not be what is in there.
        let constant = registry
            .select(|key, by, is| (*key == "world" && by == pid && maps_b(is)).then_some("match"));
        assert_eq!(constant, Ok(vec!["match"]));
        let keys = registry.select(|key, _, _| Some(*key)).unwrap();
        assert_eq!(sorted(keys), ["hello", "world"]);
        let parts = registry.select(|_, _, is| element(is, 1).cloned());
        assert_eq!(parts, Ok(vec![Atom("atom")]));
    }
}

async fn check_select_guards(registries: impl IntoIterator<Item = Terms>, pid: Pid) {
    for registry in registries {
        registry.by(pid).register("hello", one_atom(2)).unwrap();
        let whole = |guard: &dyn Fn(&Term) -> bool| {
            let selected =
                registry.select(|key, pid, is| guard(is).then(|| (*key, pid, is.clone())));
            selected.unwrap()
        };
        let more_than = |limit| third(move |number| number > limit);
        assert_eq!(whole(&more_than(1)), [("hello", pid, one_atom(2))]);
        assert_eq!(whole(&more_than(2)), []);
        let key = registry.select(|key, _, is| second_is_atom(is).then_some(*key));
        assert_eq!(key, Ok(vec!["hello"]));
    }
}

async fn check_select_many(registries: impl IntoIterator<Item = Terms>, pid: Pid) {
    for registry in registries {
        for key in ["hello", "world", "other"] {
            registry.by(pid).register(key, Atom("value")).unwrap();
        }
        // Several specifications are several arms, of which the first that matches counts.
        let selected = registry.select(|key, _, value| match (*key, value) {
            ("hello", _) => Some(("first", "hello")),
            ("world", Atom("other")) => Some(("second", "world")),
            ("world" | "hello", Atom("value")) => Some(("third", *key)),
            _ => None,
        });
        let expected = [("first", "hello"), ("third", "world")];
        assert_eq!(sorted(selected.unwrap()), expected);
    }
}

async fn select_full() {
    let (node, process) = with_process().await;
    check_select_full(uniques(&node), process.pid()).await;
}

async fn select_guards() {
    let (node, process) = with_process().await;
    check_select_guards(uniques(&node), process.pid()).await;
}

async fn select_many() {
    let (node, process) = with_process().await;
    check_select_many(uniques(&node), process.pid()).await;
}

/// Whether a closure type has the shape that `select` asks for. The bound of the first, inherent
/// constant decides: where it does not hold the trait's constant is found instead. (That the call
/// itself does not compile then is a documentation test of the registry.)
struct Selects<F>(PhantomData<F>);
struct Counts<F>(PhantomData<F>);

trait OtherShape {
    const FITS: bool = false;
}

impl<F> OtherShape for Selects<F> {}
impl<F> OtherShape for Counts<F> {}

impl<F: FnMut(&&'static str, Pid, &Term) -> Option<u32>> Selects<F> {
    const FITS: bool = true;
}

impl<F: FnMut(&&'static str, Pid, &Term) -> bool> Counts<F> {
    const FITS: bool = true;
}

async fn select_bad_shape() {
    type Good = fn(&&'static str, Pid, &Term) -> Option<u32>;
    // What fits is taken.
    let registry = unique::<&'static str, Term>(&node(), 1);
    let good: Good = |_, _, _| Some(1);
    assert_eq!(registry.select(good), Ok(vec![]));
    assert!(Selects::<Good>::FITS);
    // What does not is not: one argument, the wrong order, a value instead of a choice.
    assert!(!Selects::<fn(&Term) -> Option<u32>>::FITS);
    assert!(!Selects::<fn(Pid, &&'static str, &Term) -> Option<u32>>::FITS);
    assert!(!Selects::<fn(&&'static str, Pid, &Term) -> u32>::FITS);
    assert!(!Selects::<fn(&u32, Pid, &Term) -> Option<u32>>::FITS);
}

async fn count_select_bad_shape() {
    type Good = fn(&&'static str, Pid, &Term) -> bool;
    let registry = unique::<&'static str, Term>(&node(), 1);
    let good: Good = |_, _, _| true;
    assert_eq!(registry.count_select(good), Ok(0));
    assert!(Counts::<Good>::FITS);
    assert!(!Counts::<fn(&Term) -> bool>::FITS);
    assert!(!Counts::<fn(Pid, &&'static str, &Term) -> bool>::FITS);
    assert!(!Counts::<fn(&&'static str, Pid, &Term) -> Option<u32>>::FITS);
    assert!(!Counts::<fn(&&'static str, Pid, &u32) -> bool>::FITS);
}

// ---- counting what would be selected ------------------------------------------------------------

async fn check_count_select_full(registries: impl IntoIterator<Item = Terms>, pid: Pid) {
    for registry in registries {
        let value = one_atom(1);
        registry.by(pid).register("hello", value.clone()).unwrap();
        assert_eq!(registry.count_select(|_, _, is| *is == value), Ok(1));
        assert_eq!(registry.count_select(|key, _, _| *key == "hello"), Ok(1));
        assert_eq!(registry.count_select(|_, _, is| is_of_atom(is)), Ok(1));
        assert_eq!(registry.count_select(|_, _, is| first_is_third(is)), Ok(1));
        assert_eq!(registry.count_select(|_, by, _| by == pid), Ok(1));
        let both = registry.count_select(|key, _, is| *key == "hello" && maps_b(is));
        assert_eq!(both, Ok(0));
        registry.by(pid).register("world", a_map()).unwrap();
        assert_eq!(registry.count_select(|key, _, _| *key == "world"), Ok(1));
        assert_eq!(registry.count_select(|_, _, _| true), Ok(2));
    }
}

async fn check_count_select_guards(registries: impl IntoIterator<Item = Terms>, pid: Pid) {
    for registry in registries {
        registry.by(pid).register("hello", one_atom(2)).unwrap();
        let count = |guard: &dyn Fn(&Term) -> bool| registry.count_select(|_, _, is| guard(is));
        assert_eq!(count(&second_is_atom), Ok(1));
        assert_eq!(count(&third(|number| number > 1)), Ok(1));
        assert_eq!(count(&third(|number| number > 2)), Ok(0));
    }
}

async fn check_count_select_many(registries: impl IntoIterator<Item = Terms>, pid: Pid) {
    for registry in registries {
        for key in ["hello", "world", "other"] {
            registry.by(pid).register(key, Atom("value")).unwrap();
        }
        // An entry which several arms accept counts once.
        let count = registry.count_select(|key, _, value| {
            *key == "hello" || *key == "world" || (*key == "hello" && *value == Atom("value"))
        });
        assert_eq!(count, Ok(2));
    }
}

async fn count_select_full() {
    let (node, process) = with_process().await;
    check_count_select_full(uniques(&node), process.pid()).await;
}

async fn count_select_guards() {
    let (node, process) = with_process().await;
    check_count_select_guards(uniques(&node), process.pid()).await;
}

async fn count_select_many() {
    let (node, process) = with_process().await;
    check_count_select_many(uniques(&node), process.pid()).await;
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

async fn duplicate_select_empty() {
    check_select_empty(duplicates(&node())).await;
}

async fn duplicate_select_all() {
    let (node, process) = with_process().await;
    let other = worker(&node).await;
    for registry in duplicates(&node) {
        for process in [&process, &process, &other] {
            registry.by(process).register("hello", "value").unwrap();
        }
        let all = registry.select(|key, pid, value| Some((*key, pid, *value)));
        let of = |pid| ("hello", pid, "value");
        let expected = [of(process.pid()), of(process.pid()), of(other.pid())];
        assert_eq!(sorted(all.unwrap()), expected);
    }
}

/// Registries in which every key is registered by three processes, so each result comes thrice.
async fn crowded(node: &Node) -> Vec<Terms> {
    let registries = duplicates::<&'static str, Term>(node);
    for _ in 0..3 {
        let process = worker(node).await;
        for registry in &registries {
            registry
                .by(&process)
                .register("hello", one_atom(2))
                .unwrap();
            registry.by(&process).register("world", a_map()).unwrap();
        }
    }
    registries
}

async fn duplicate_select_full() {
    let (node, process) = with_process().await;
    check_select_full(duplicates(&node), process.pid()).await;
    for registry in crowded(&node).await {
        let pids = registry.select(|key, pid, _| (*key == "hello").then_some(pid));
        assert_eq!(sorted(pids.unwrap()), sorted(pids_of(&registry, "hello")));
    }
}

/// The three processes of a key.
fn pids_of(registry: &Terms, key: &'static str) -> Vec<Pid> {
    let entries = registry.entries(&key).unwrap();
    assert_eq!(entries.len(), 3);
    entries.into_iter().map(|entry| entry.0).collect()
}

async fn duplicate_select_guards() {
    let (node, process) = with_process().await;
    check_select_guards(duplicates(&node), process.pid()).await;
    for registry in crowded(&node).await {
        let more = third(|number| number > 1);
        let keys = registry.select(|key, _, is| more(is).then_some(*key));
        assert_eq!(keys, Ok(vec!["hello"; 3]));
    }
}

async fn duplicate_select_many() {
    let (node, process) = with_process().await;
    check_select_many(duplicates(&node), process.pid()).await;
    for registry in crowded(&node).await {
        let keys = registry.select(|key, _, is| match is {
            is if maps_b(is) => Some(*key),
            is if is_of_atom(is) => Some(*key),
            _ => None,
        });
        let expected = ["hello", "hello", "hello", "world", "world", "world"];
        assert_eq!(sorted(keys.unwrap()), expected);
    }
}

async fn duplicate_count_select_full() {
    let (node, process) = with_process().await;
    check_count_select_full(duplicates(&node), process.pid()).await;
    for registry in crowded(&node).await {
        assert_eq!(registry.count_select(|key, _, _| *key == "hello"), Ok(3));
        assert_eq!(registry.count_select(|_, _, _| true), Ok(6));
    }
}

async fn duplicate_count_select_guards() {
    let (node, process) = with_process().await;
    check_count_select_guards(duplicates(&node), process.pid()).await;
    for registry in crowded(&node).await {
        let more = third(|number| number > 1);
        assert_eq!(registry.count_select(|_, _, is| more(is)), Ok(3));
    }
}

async fn duplicate_count_select_many() {
    let (node, process) = with_process().await;
    check_count_select_many(duplicates(&node), process.pid()).await;
    for registry in crowded(&node).await {
        let count = registry.count_select(|key, _, is| *key == "world" || is_of_atom(is));
        assert_eq!(count, Ok(6));
    }
}
