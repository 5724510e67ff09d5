//! From ids that passed to a table, and to a verdict.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

/// The rules, one a line: id, class, reference case, what must hold.
const RULES: &str = include_str!("cases.tsv");
/// What passed at the last commit, one id a line.
const PASSED: &str = include_str!("passed.txt");
/// What does not pass: id, reason and closest equivalent.
const MISSES: &str = include_str!("misses.tsv");

/// Modules in the order of the table.
const MODULES: [&str; 13] = [
    "PROC", "GSRV", "SUP", "DSUP", "PSUP", "TASK", "TSUP", "REG", "SYS", "APP", "ETS", "CNT", "SEM",
];

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// The first column.
fn ids(text: &str) -> BTreeSet<&str> {
    lines(text)
        .filter_map(|line| line.split('\t').next())
        .collect()
}

/// Passed and applicable rules.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Score {
    passed: usize,
    rules: usize,
}

impl Score {
    fn count(&mut self, passed: bool) {
        self.passed += usize::from(passed);
        self.rules += 1;
    }

    fn percent(self) -> f64 {
        100.0 * self.passed as f64 / self.rules.max(1) as f64
    }
}

impl std::fmt::Display for Score {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(&format!("{}/{}", self.passed, self.rules))
    }
}

/// The table, and a total for each class: A, E, D.
fn table(rules: &str, passed: &BTreeSet<&str>) -> String {
    let mut modules: BTreeMap<&str, Score> = BTreeMap::new();
    let mut classes: BTreeMap<&str, Score> = BTreeMap::new();
    let mut all = Score::default();
    for line in lines(rules) {
        let mut cells = line.split('\t');
        let (id, class) = (cells.next().unwrap(), cells.next().unwrap());
        let holds = passed.contains(id);
        modules
            .entry(id.split('-').next().unwrap())
            .or_default()
            .count(holds);
        classes.entry(class).or_default().count(holds);
        all.count(holds);
    }
    let mut text = String::new();
    for module in MODULES {
        if let Some(score) = modules.get(module) {
            let _ = writeln!(text, "  {module:5}{score:>9}  {:5.1} %", score.percent());
        }
    }
    let class = |name| classes.get(name).copied().unwrap_or_default();
    let direct = class("A");
    let equivalent = Score {
        passed: direct.passed + class("E").passed,
        rules: direct.rules + class("E").rules,
    };
    for (name, score) in [("A", direct), ("A+E", equivalent), ("all", all)] {
        let _ = writeln!(text, "  {name:5}{score:>9}  {:5.1} %", score.percent());
    }
    text
}

/// What is wrong with the lists, one complaint a line.
fn complaints(
    rules: &str,
    listed: &str,
    misses: &str,
    results: &BTreeMap<&str, bool>,
) -> Vec<String> {
    let (rules, listed, missed) = (ids(rules), ids(listed), ids(misses));
    let passed: BTreeSet<&str> = passed(results);
    let mut complaints = Vec::new();
    for id in results.keys().filter(|id| !rules.contains(*id)) {
        complaints.push(format!("{id} is no rule of cases.tsv"));
    }
    for id in listed.difference(&passed) {
        complaints.push(format!("{id} passed before and does not now"));
    }
    for id in passed.difference(&listed) {
        complaints.push(format!(
            "{id} passes and is not in passed.txt: SCORE=write adds it"
        ));
    }
    for id in passed.intersection(&missed) {
        complaints.push(format!("{id} passes and is in misses.tsv"));
    }
    for id in &rules {
        if !passed.contains(id) && !missed.contains(id) {
            complaints.push(format!(
                "{id} neither passes nor has a reason in misses.tsv"
            ));
        }
    }
    for line in lines(misses) {
        if line
            .split('\t')
            .nth(1)
            .is_none_or(|reason| reason.trim().is_empty())
        {
            complaints.push(format!("no reason in misses.tsv: {line}"));
        }
    }
    complaints
}

fn passed<'a>(results: &BTreeMap<&'a str, bool>) -> BTreeSet<&'a str> {
    results
        .iter()
        .filter_map(|(id, passed)| passed.then_some(*id))
        .collect()
}

/// Prints the table; `false` if the lists do not agree with it.
pub(crate) fn report(results: &BTreeMap<&str, bool>) -> bool {
    let passed = passed(results);
    println!("rules of Erlang/OTP and Elixir that hold (cases.tsv):");
    print!("{}", table(RULES, &passed));
    if std::env::var("SCORE").is_ok_and(|value| value == "write") {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/passed.txt");
        let list: String = passed.iter().map(|id| format!("{id}\n")).collect();
        std::fs::write(&path, list).unwrap();
        println!("wrote {}", path.display());
        return true;
    }
    let complaints = complaints(RULES, PASSED, MISSES, results);
    for complaint in complaints.iter().take(40) {
        println!("  {complaint}");
    }
    if complaints.len() > 40 {
        println!("  and {} more", complaints.len() - 40);
    }
    complaints.is_empty()
}

crate::cases! {
    the_lists_are_compared;
    the_table_counts;
}

const FEW: &str = "# id\nPROC-001\tA\tx\ty\nPROC-002\tE\tx\ty\nSUP-001\tD\tx\ty\n";

async fn the_lists_are_compared() {
    let all = |pairs: &[(&'static str, bool)]| pairs.iter().copied().collect::<BTreeMap<_, _>>();
    let misses = "SUP-001\tbecause\n";
    let fine = all(&[("PROC-001", true), ("PROC-002", true)]);
    let listed = "PROC-001\nPROC-002\n";
    assert_eq!(complaints(FEW, listed, misses, &fine), [""; 0]);
    let lost = all(&[("PROC-001", true), ("PROC-002", false)]);
    let said = complaints(FEW, listed, misses, &lost);
    assert!(
        said.iter()
            .any(|said| said == "PROC-002 passed before and does not now")
    );
    assert!(
        !complaints(FEW, "PROC-001\n", misses, &fine).is_empty(),
        "a new one is asked for"
    );
    assert!(
        !complaints(FEW, listed, "", &fine).is_empty(),
        "a miss without a reason"
    );
    let unknown = all(&[("PROC-001", true), ("PROC-002", true), ("PROC-9", true)]);
    assert!(!complaints(FEW, listed, misses, &unknown).is_empty());
}

async fn the_table_counts() {
    let text = table(FEW, &["PROC-001", "SUP-001"].into());
    assert!(text.contains("PROC       1/2"), "{text}");
    assert!(text.contains("A+E        1/2"), "{text}");
    assert!(text.contains("all        2/3"), "{text}");
}
