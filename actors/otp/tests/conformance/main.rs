//! The score: one case per rule of the reference suites of Erlang/OTP and Elixir, and a table of
//! how many hold here.
//!
//! ```text
//!   cases.tsv   every rule: id, class, where it comes from, what must hold
//!   <module>.rs the cases: a function, and the ids it proves        ─┐
//!   oracle/     scenarios with the trace Erlang left when it ran them ├─▶ table, exit code
//!   passed.txt  the ids that passed when this was last committed     ─┘
//!   misses.tsv  the ids that do not, each with its reason
//! ```
//!
//! Each case runs twice: with ractor actors and with light processes; an id holds when both pass.
//!
//! `cargo test -p guildhall-otp --test conformance [FILTER]`. An id of `passed.txt` that no longer
//! passes fails the run; so does one that passes and is not in it: `SCORE=write` brings the file
//! up to date.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod applications;
mod case;
mod counters;
mod ets;
mod gen_servers;
mod registries;
mod processes;
mod dynamic_supervisors;
mod partition_supervisors;
mod oracle;
mod score;
mod semaphores;
mod supervisors;
mod support;
mod sys;
mod task_supervisors;
mod tasks;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use case::{Carrier, Case};
use libtest_mimic::{Arguments, Trial};

/// All cases, module by module.
fn cases() -> Vec<Case> {
    [
        score::cases(),
        processes::cases(),
        gen_servers::cases(),
        tasks::cases(),
        task_supervisors::cases(),
        registries::cases(),
        ets::cases(),
        counters::cases(),
        semaphores::cases(),
        supervisors::cases(),
        dynamic_supervisors::cases(),
        partition_supervisors::cases(),
        applications::cases(),
        sys::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let results: Arc<Mutex<BTreeMap<&'static str, bool>>> = Arc::default();
    let carriers = [Carrier::Actors, Carrier::Tasks];
    let trials: Vec<Trial> = carriers
        .into_iter()
        .flat_map(|carrier| cases().into_iter().map(move |case| (carrier, case)))
        .map(|(carrier, case)| {
            let results = results.clone();
            Trial::test(case.name(), move || {
                let outcome = case.run(carrier);
                let mut results = results.lock().unwrap();
                for id in case.ids {
                    *results.entry(id).or_insert(true) &= outcome.is_ok();
                }
                outcome.map_err(Into::into)
            })
            .with_kind(format!("{carrier:?}"))
        })
        .chain(oracle::trials())
        .collect();
    let listing = arguments.list;
    let conclusion = libtest_mimic::run(&arguments, trials);
    let whole = !listing && conclusion.num_filtered_out == 0 && conclusion.num_ignored == 0;
    if whole && !score::report(&results.lock().unwrap()) {
        return ExitCode::from(101);
    }
    conclusion.exit_code()
}
