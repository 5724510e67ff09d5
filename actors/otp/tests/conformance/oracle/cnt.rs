//! Twins of `sc_cnt.erl`: counters, atomics, persistent terms. A story is a list of requests, in
//! the words of the trace.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use otp::atomics::{Atomics, CompareExchange};
use otp::counters::{Counters, IndexError};
use otp::persistent_term::{PersistentTerms, TermError};
use otp::task;

use super::stage::Stage;
use super::trace::{Trace, say};
use super::{Scenario, scenario};

/// Its name, and what is asked for.
type Story = (&'static str, &'static [&'static str]);

const COUNTERS: &[Story] = &[
    ("fresh", &["get 1", "get 3"]),
    ("add", &["add 1 5", "get 1"]),
    ("add_twice", &["add 1 5", "add 1 6", "get 1"]),
    ("sub", &["sub 1 5", "get 1"]),
    ("add_negative", &["add 1 -5", "get 1"]),
    ("put", &["put 1 42", "get 1", "put 1 -42", "get 1"]),
    ("put_after_add", &["add 1 5", "put 1 7", "add 1 1", "get 1"]),
    (
        "slots_are_independent",
        &["add 1 1", "add 2 2", "put 3 3", "get 1", "get 2", "get 3"],
    ),
    (
        "wraps_upwards",
        &["put 1 9223372036854775807", "add 1 1", "get 1"],
    ),
    (
        "wraps_downwards",
        &["put 1 -9223372036854775808", "sub 1 1", "get 1"],
    ),
    ("slot_zero", &["get 0"]),
    ("slot_beyond", &["get 4", "add 4 1", "put 4 1"]),
    ("size", &["size"]),
];

/// Those of both kinds of words.
const ATOMICS: &[Story] = &[
    ("fresh", &["get 1"]),
    ("put", &["put 1 7", "get 1"]),
    ("add_get", &["add_get 1 5", "add_get 1 6"]),
    ("sub_get", &["put 1 9", "sub_get 1 4"]),
    ("exchange", &["put 1 1", "exchange 1 2", "get 1"]),
    (
        "compare_exchange_holds",
        &["put 1 1", "compare_exchange 1 1 2", "get 1"],
    ),
    (
        "compare_exchange_fails",
        &["put 1 3", "compare_exchange 1 1 2", "get 1"],
    ),
    (
        "slots_are_independent",
        &["add 1 1", "add 2 2", "get 1", "get 2", "get 3"],
    ),
    ("slot_zero", &["get 0"]),
    ("slot_beyond", &["get 4", "add 4 1", "exchange 4 1"]),
    ("size", &["size"]),
];

const SIGNED: &[Story] = &[
    (
        "wraps_upwards",
        &["put 1 9223372036854775807", "add_get 1 1"],
    ),
    (
        "wraps_downwards",
        &["put 1 -9223372036854775808", "sub_get 1 1"],
    ),
    ("negative", &["put 1 -1", "get 1", "sub_get 1 1"]),
];

const UNSIGNED: &[Story] = &[
    (
        "wraps_upwards",
        &["put 1 18446744073709551615", "add_get 1 1"],
    ),
    ("wraps_downwards", &["sub_get 1 1"]),
    ("large", &["put 1 18446744073709551615", "get 1"]),
];

const TERMS: &[Story] = &[
    ("put_and_get", &["put k v", "get k"]),
    ("missing", &["get k"]),
    ("default", &["get k d", "put k v", "get k d"]),
    ("put_again", &["put k v", "put k w", "get k"]),
    ("put_the_same", &["put k v", "put k v", "get k"]),
    ("erase", &["put k v", "erase k", "get k"]),
    ("erase_missing", &["erase k"]),
    ("erase_twice", &["put k v", "erase k", "erase k"]),
    (
        "keys_are_distinct",
        &["put k v", "put l w", "get k", "get l", "erase k", "get l"],
    ),
];

/// The counters of each array, as in Erlang.
const SIZE: usize = 3;

type NewCounters = fn(usize) -> Counters;

const KINDS: [(&str, NewCounters); 2] = [
    ("atomics", |size| Counters::new(size).unwrap()),
    ("write_concurrency", |size| {
        Counters::with_write_concurrency(size).unwrap()
    }),
];

pub(crate) fn scenarios() -> Vec<Scenario> {
    let mut list = Vec::new();
    for (kind, new) in KINDS {
        stories(
            &mut list,
            &format!("counters_{kind}"),
            COUNTERS,
            move || {
                let counters = new(SIZE);
                move |request: &[&str]| array(counter(&counters, request))
            },
        );
        list.push(scenario(
            format!("many_processes_add_up_{kind}"),
            move |stage| many(stage, new(1)),
        ));
    }
    for table in [ATOMICS, SIGNED] {
        stories(&mut list, "atomics_signed", table, || {
            let atomics = Atomics::new(SIZE).unwrap();
            move |request: &[&str]| array(signed(&atomics, request))
        });
    }
    for table in [ATOMICS, UNSIGNED] {
        stories(&mut list, "atomics_unsigned", table, || {
            let atomics = Atomics::new(SIZE).unwrap();
            move |request: &[&str]| array(unsigned(&atomics, request))
        });
    }
    stories(&mut list, "persistent_term", TERMS, || {
        let terms = PersistentTerms::new();
        move |request: &[&str]| term(&terms, request)
    });
    list
}

/// The twins of a table: each begins with something new, and says what each request gave.
fn stories<F>(
    list: &mut Vec<Scenario>,
    about: &str,
    table: &'static [Story],
    new: impl Fn() -> F + Clone + Send + Sync + 'static,
) where
    F: Fn(&[&str]) -> String,
{
    for (name, requests) in table {
        let new = new.clone();
        list.push(scenario(format!("{about}_{name}"), move |stage| {
            tell(&stage.trace, requests, &new());
            std::future::ready(())
        }));
    }
}

fn tell(trace: &Trace, requests: &[&str], ask: &impl Fn(&[&str]) -> String) {
    for request in requests {
        let words: Vec<&str> = request.split(' ').collect();
        match (*request, ask(&words)) {
            ("size", size) => say!(trace, "size", size),
            (request, given) => say!(trace, request, "gives", given),
        }
    }
}

/// What a request to an array gave.
fn array(outcome: Result<String, IndexError>) -> String {
    outcome.unwrap_or_else(|_| "badarg".into())
}

/// Erlang counts from one.
fn index(text: &str) -> usize {
    text.parse::<usize>().unwrap().wrapping_sub(1)
}

fn number<T: FromStr<Err: Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

fn ok((): ()) -> String {
    "ok".into()
}

fn text(value: impl Display) -> String {
    value.to_string()
}

fn counter(counters: &Counters, request: &[&str]) -> Result<String, IndexError> {
    match *request {
        ["get", at] => counters.get(index(at)).map(text),
        ["put", at, value] => counters.put(index(at), number(value)).map(ok),
        ["add", at, value] => counters.add(index(at), number(value)).map(ok),
        ["sub", at, value] => counters.sub(index(at), number(value)).map(ok),
        ["size"] => Ok(text(counters.info().size)),
        _ => panic!("{request:?}"),
    }
}

/// The requests to atomics of one kind of words: that they are words is the crate's own secret.
macro_rules! atomic {
    ($name:ident, $word:ty) => {
        fn $name(atomics: &Atomics<$word>, request: &[&str]) -> Result<String, IndexError> {
            match *request {
                ["get", at] => atomics.get(index(at)).map(text),
                ["put", at, value] => atomics.put(index(at), number(value)).map(ok),
                ["add", at, value] => atomics.add(index(at), number(value)).map(ok),
                ["add_get", at, value] => atomics.add_get(index(at), number(value)).map(text),
                ["sub_get", at, value] => atomics.sub_get(index(at), number(value)).map(text),
                ["exchange", at, value] => atomics.exchange(index(at), number(value)).map(text),
                ["compare_exchange", at, expected, desired] => atomics
                    .compare_exchange(index(at), number(expected), number(desired))
                    .map(|outcome| match outcome {
                        CompareExchange::Exchanged => ok(()),
                        CompareExchange::Actual(value) => text(value),
                    }),
                ["size"] => Ok(text(atomics.info().size)),
                _ => panic!("{request:?}"),
            }
        }
    };
}

atomic!(signed, i64);
atomic!(unsigned, u64);

fn term(terms: &PersistentTerms, request: &[&str]) -> String {
    let key = request[1].to_owned();
    let outcome = match *request {
        ["put", _, value] => terms.put(key, value.to_owned()).map(ok),
        ["get", _] => terms.get::<_, String>(&key).map(text),
        ["get", _, default] => terms
            .get_or::<_, String>(&key, default.to_owned())
            .map(text),
        ["erase", _] => Ok(text(terms.erase(&key))),
        _ => panic!("{request:?}"),
    };
    match outcome {
        Ok(given) => given,
        Err(TermError::Missing) => "badarg".into(),
        Err(error) => text(error),
    }
}

async fn many(stage: Stage, counters: Counters) {
    let adding = (0..8).map(|_| {
        let counters = counters.clone();
        task::spawn(&stage.node, "adder", async move {
            for _ in 0..100 {
                counters.add(0, 1).unwrap();
            }
        })
    });
    for adder in adding.collect::<Vec<_>>() {
        adder.await.unwrap();
    }
    tell(&stage.trace, &["get 1"], &|request: &[&str]| {
        array(counter(&counters, request))
    });
}
