//! The operating guide names every metric, limit and configuration key, and none that is not there.

use std::collections::BTreeSet;

use super::limits::check_limits;
use super::{File, file, none, repository, text};

pub(super) const GUIDE: &str = "docs/operating.md";

/// Words of `text` that are made of `alphabet` and that `wanted` takes.
pub(super) fn words(text: &str, wanted: impl Fn(&str) -> bool) -> BTreeSet<&str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| wanted(word))
        .collect()
}

fn is_metric(word: &str) -> bool {
    ["guildhall_", "otp_"].iter().any(|prefix| {
        word.strip_prefix(prefix).is_some_and(|rest| {
            !rest.is_empty() && rest.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        })
    })
}

/// Names of metrics the code gives: string literals of that form, outside of tests.
fn metrics_in(files: &[File]) -> BTreeSet<&str> {
    let sources = files.iter().filter(|file| {
        file.path.ends_with(".rs") && file.path.contains("src/") && !file.path.ends_with("tests.rs")
    });
    sources
        .flat_map(|file| {
            file.text
                .split("#[cfg(test)]\nmod tests {")
                .next()
                .unwrap_or_default()
                .split('"')
        })
        .filter(|word| is_metric(word))
        .collect()
}

fn check_metrics(files: &[File], guide: &str) -> Vec<String> {
    let (given, told) = (metrics_in(files), words(guide, is_metric));
    let untold = given
        .difference(&told)
        .map(|name| format!("{GUIDE}: does not tell of {name}"));
    let gone = told
        .difference(&given)
        .map(|name| format!("{GUIDE}: tells of {name}, which nothing gives"));
    untold.chain(gone).collect()
}

/// Every key of the configuration has its row.
fn check_keys(config: &str, guide: &str) -> Vec<String> {
    let fields = config
        .split_once("pub struct Config {")
        .and_then(|(_, rest)| rest.split_once("\n}"))
        .map_or("", |(fields, _)| fields);
    fields
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(':'))
        .filter(|(key, _)| !guide.contains(&format!("| `{key}` |")))
        .map(|(key, _)| format!("{GUIDE}: has no row for the key {key}"))
        .collect()
}

#[test]
fn the_operating_guide_is_complete() {
    let files = repository();
    let guide = text(&files, GUIDE);
    let mut complaints = check_metrics(&files, guide);
    complaints.extend(check_limits(&files, guide));
    complaints.extend(check_keys(text(&files, "src/config.rs"), guide));
    none(complaints);
}

#[test]
fn the_guide_rules_can_fail() {
    let code = [file("a/src/b.rs", "counter!(\"guildhall_sent_total\");")];
    assert_eq!(check_metrics(&code, "`guildhall_sent_total`"), [""; 0]);
    assert_eq!(check_metrics(&code, "").len(), 1);
    assert_eq!(
        check_metrics(&code, "`guildhall_sent_total` `guildhall_lost_total`").len(),
        1
    );
    let config = "pub struct Config {\n    /// Where.\n    pub listen: SocketAddr,\n}\n";
    assert_eq!(check_keys(config, "| `listen` | … |"), [""; 0]);
    assert_eq!(check_keys(config, "listen").len(), 1);
}
