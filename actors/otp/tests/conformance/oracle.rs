//! The oracle: each scenario of `oracle/sc_*` was run on a real Erlang and left a trace; its twin
//! here tells the same story to our runtime and must leave the same lines.
//!
//! ```text
//!   oracle/traces/<module>.trace ─┐
//!                                 ├─ equal? ─▶ a case `oracle::<module>::<scenario>`
//!   oracle/<module>.rs, 20 times ─┘
//! ```
//!
//! `oracle/missing.tsv` lists the scenarios without a twin, each with its reason.

mod actor;
mod app;
mod cnt;
mod driver;
mod dsup;
mod ets;
mod family;
mod gsrv;
mod proc;
mod psup;
mod reg;
mod stage;
mod sup;
mod sys;
mod task;
mod trace;
mod tsup;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use libtest_mimic::{Failed, Trial};

use stage::Stage;

/// How often each twin runs; `ORACLE_REPETITIONS` says otherwise.
const REPETITIONS: usize = 20;

/// Longest time one run of a twin may take.
const LIMIT: Duration = Duration::from_secs(20);

/// Scenarios without a twin: name and reason.
const MISSING: &str = include_str!("oracle/missing.tsv");

type Body = Arc<dyn Fn(Stage) -> BoxFuture<'static, ()> + Send + Sync>;

/// The twin of a recorded scenario.
pub(crate) struct Scenario {
    name: String,
    body: Body,
}

/// Builds a [`Scenario`].
pub(crate) fn scenario<F>(
    name: impl Into<String>,
    body: impl Fn(Stage) -> F + Send + Sync + 'static,
) -> Scenario
where
    F: Future<Output = ()> + Send + 'static,
{
    Scenario {
        name: name.into(),
        body: Arc::new(move |stage| Box::pin(body(stage))),
    }
}

/// Async functions over something that is lent to them, each under its own name: a table of stories.
macro_rules! stories {
    ($on:ty: $($name:ident),+ $(,)?) => {
        [$({
            fn told(on: &mut $on) -> futures_util::future::BoxFuture<'_, ()> {
                Box::pin($name(on))
            }
            (stringify!($name), told as $crate::oracle::Told<$on>)
        }),+]
    };
}
use stories;

/// A story of [`stories`].
type Told<On> = for<'a> fn(&'a mut On) -> BoxFuture<'a, ()>;

/// The twins of a table of stories.
fn told<const COUNT: usize>(table: [(&'static str, Told<Stage>); COUNT]) -> Vec<Scenario> {
    let twin = |(name, story): (&'static str, Told<Stage>)| {
        scenario(
            name,
            move |mut stage| async move { story(&mut stage).await },
        )
    };
    table.into_iter().map(twin).collect()
}

fn modules() -> Vec<(&'static str, Vec<Scenario>)> {
    vec![
        ("proc", proc::scenarios()),
        ("gsrv", gsrv::scenarios()),
        ("sup", sup::scenarios()),
        ("dsup", dsup::scenarios()),
        ("cnt", cnt::scenarios()),
        ("reg", reg::scenarios()),
        ("task", task::scenarios()),
        ("tsup", tsup::scenarios()),
        ("psup", psup::scenarios()),
        ("sys", sys::scenarios()),
        ("app", app::scenarios()),
        ("ets", ets::scenarios()),
    ]
}

/// All twins, and the case which counts them.
pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    let mut twins = BTreeSet::new();
    let mut recorded = BTreeMap::new();
    for path in trace_files() {
        let module = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        for (name, lines) in sections(&text) {
            recorded.insert(format!("{module}::{name}"), lines);
        }
    }
    for (module, scenarios) in modules() {
        for scenario in scenarios {
            let name = format!("{module}::{}", scenario.name);
            assert!(twins.insert(name.clone()), "two twins are called {name}");
            let lines = recorded.get(&name).cloned();
            trials.push(Trial::test(format!("oracle::{name}"), move || {
                let lines = lines.ok_or("there is no such scenario in the traces")?;
                repeat(&scenario.body, &lines)
            }));
        }
    }
    trials.push(Trial::test(
        "oracle::every_recorded_scenario_has_a_twin",
        move || complete(&recorded, &twins),
    ));
    trials
}

fn trace_files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("oracle/traces");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "trace"))
        .collect();
    files.sort();
    files
}

/// The scenarios of a trace file, each with its lines.
fn sections(text: &str) -> Vec<(String, Vec<String>)> {
    let mut sections: Vec<(String, Vec<String>)> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(name) = line.strip_prefix("## ") {
            sections.push((name.to_owned(), Vec::new()));
        } else if !line.starts_with('#') {
            sections.last_mut().unwrap().1.push(line.to_owned());
        }
    }
    sections
}

/// Runs a twin again and again; the first trace which differs fails it.
fn repeat(body: &Body, recorded: &[String]) -> Result<(), Failed> {
    let repetitions = std::env::var("ORACLE_REPETITIONS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(REPETITIONS);
    // Two workers, as the scenarios were recorded on two schedulers.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    for repetition in 1..=repetitions {
        let stage = runtime.block_on(Stage::new());
        let (trace, node) = (stage.trace.clone(), stage.node.clone());
        let run = runtime.spawn(body(stage));
        let outcome = runtime.block_on(async { tokio::time::timeout(LIMIT, run).await });
        let lines = trace.freeze();
        stage::clean(&node);
        let ended = match outcome {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("took longer than {LIMIT:?}")),
        };
        if let Some(ended) = ended {
            runtime.shutdown_background();
            return Err(format!("run {repetition}: {ended}, after {lines:#?}").into());
        }
        if lines != recorded {
            runtime.shutdown_background();
            return Err(difference(repetition, recorded, &lines).into());
        }
    }
    runtime.shutdown_background();
    Ok(())
}

fn difference(repetition: usize, recorded: &[String], lines: &[String]) -> String {
    let mut text = format!("run {repetition} differs: Erlang, ours\n");
    for index in 0..recorded.len().max(lines.len()) {
        let at = |lines: &[String]| lines.get(index).cloned().unwrap_or_default();
        let (theirs, ours) = (at(recorded), at(lines));
        let mark = if theirs == ours { ' ' } else { '!' };
        text.push_str(&format!("{mark} {theirs:45} {ours}\n"));
    }
    text
}

/// Every recorded scenario has a twin or a reason why not, never both.
fn complete(
    recorded: &BTreeMap<String, Vec<String>>,
    twins: &BTreeSet<String>,
) -> Result<(), Failed> {
    let mut missing = BTreeMap::new();
    for line in MISSING.lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, reason) = line.split_once('\t').unwrap_or((line, ""));
        missing.insert(name, reason);
    }
    let mut complaints = Vec::new();
    for name in recorded.keys().filter(|name| !twins.contains(*name)) {
        // A reason may be given for all scenarios of one beginning.
        let reason = missing.iter().find(|(listed, _)| matches(listed, name));
        match reason {
            None => complaints.push(format!("{name} has no twin, and no reason")),
            Some((_, &"")) => {
                complaints.push(format!("{name} has an empty reason"));
            }
            Some(_) => {}
        }
    }
    for listed in missing.keys() {
        let mut named = recorded.keys().filter(|name| matches(listed, name));
        if !named.any(|name| !twins.contains(name)) {
            complaints.push(format!("{listed} is listed and not missing"));
        }
    }
    if complaints.is_empty() {
        Ok(())
    } else {
        Err(complaints.join("\n").into())
    }
}

fn matches(listed: &str, name: &str) -> bool {
    match listed.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => listed == name,
    }
}
