//! Selecting among all entries, of unique and of duplicate keys.

use std::marker::PhantomData;

use otp::{Node, Options, Pid};

use super::queries::{
    Terms, first_is, first_is_third, is_of_atom, maps_b, second_is_atom, third, uniques,
    with_process,
};
use super::{Atom, PARTITIONS, Term, a_map, duplicates, element, float, one_atom, sorted, unique};
use crate::support::{Plan, Worker, node, worker};

crate::cases! {
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
    duplicate_select_empty: "REG-063";
    duplicate_select_all: "REG-064";
    duplicate_select_full: "REG-065";
    duplicate_select_guards: "REG-066";
    duplicate_select_many: "REG-067";
    duplicate_count_select_full: "REG-068";
    duplicate_count_select_guards: "REG-069";
    duplicate_count_select_many: "REG-070";
}

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
            ("world", Atom("value")) => Some(("third", "world")),
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
    // What does not is not: one argument, the wrong order, a value instead of a choice, another
    // type of key.
    let fits = [
        Selects::<Good>::FITS,
        Selects::<fn(&Term) -> Option<u32>>::FITS,
        Selects::<fn(Pid, &&'static str, &Term) -> Option<u32>>::FITS,
        Selects::<fn(&&'static str, Pid, &Term) -> u32>::FITS,
        Selects::<fn(&u32, Pid, &Term) -> Option<u32>>::FITS,
    ];
    assert_eq!(fits, [true, false, false, false, false]);
}

async fn count_select_bad_shape() {
    type Good = fn(&&'static str, Pid, &Term) -> bool;
    let registry = unique::<&'static str, Term>(&node(), 1);
    let good: Good = |_, _, _| true;
    assert_eq!(registry.count_select(good), Ok(0));
    let fits = [
        Counts::<Good>::FITS,
        Counts::<fn(&Term) -> bool>::FITS,
        Counts::<fn(Pid, &&'static str, &Term) -> bool>::FITS,
        Counts::<fn(&&'static str, Pid, &Term) -> Option<u32>>::FITS,
        Counts::<fn(&&'static str, Pid, &u32) -> bool>::FITS,
    ];
    assert_eq!(fits, [true, false, false, false, false]);
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
            *key == "hello" || (*key != "other" && *value == Atom("value"))
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
