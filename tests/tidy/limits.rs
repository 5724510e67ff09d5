//! The limits of the operating guide: every one of the code has its place there, and every row tells
//! the value that the code has.

use std::collections::{BTreeMap, BTreeSet};

use super::guide::{GUIDE, words};
use super::{File, file};

/// Bounds of tools for tests, which no node has.
const OF_TESTS: [&str; 2] = ["RECORDED_MAX", "SHUFFLE_YIELDS_MAX"];

/// What clients may send: Discord's numbers, which the guide does not repeat.
const OF_DISCORD: &str = "model/src/limits.rs";

/// A constant of the code.
#[derive(Debug)]
struct Constant<'f> {
    path: &'f str,
    /// Seen outside its module.
    open: bool,
    value: &'f str,
}

/// All constants by name; a name may stand in several modules.
fn constants(files: &[File]) -> BTreeMap<&str, Vec<Constant<'_>>> {
    let mut found = BTreeMap::<_, Vec<_>>::new();
    for file in files.iter().filter(|file| is_source(&file.path)) {
        for line in file.text.split(';') {
            let Some((before, rest)) = line.rsplit_once("const ") else {
                continue;
            };
            let Some((name, rest)) = rest.split_once(':') else {
                continue;
            };
            let Some((_, value)) = rest.split_once('=') else {
                continue;
            };
            if is_name(name) {
                let before = before.lines().last().unwrap_or_default();
                found.entry(name).or_default().push(Constant {
                    path: &file.path,
                    open: before.trim_start().starts_with("pub"),
                    value: value.trim(),
                });
            }
        }
    }
    found
}

/// Code of a node, not of a test or a benchmark.
fn is_source(path: &str) -> bool {
    path.ends_with(".rs")
        && path.contains("src/")
        && !path.contains("/tests/")
        && !path.ends_with("tests.rs")
        && !path.starts_with("src/bench")
}

fn is_name(word: &str) -> bool {
    let upper = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    word.starts_with(|c: char| c.is_ascii_uppercase()) && word.chars().all(upper)
}

/// Whether the guide means a constant by this word.
fn is_limit(word: &str) -> bool {
    let variable = ["GUILDHALL_", "RUST_", "AWS_", "SSL_"]
        .iter()
        .any(|prefix| word.starts_with(prefix));
    word.contains('_') && is_name(word) && !variable
}

/// Names of constants in the `code` of a text.
fn names_in(text: &str) -> BTreeSet<&str> {
    let code = text.split('`').skip(1).step_by(2);
    code.flat_map(|code| words(code, is_limit)).collect()
}

/// The number an expression comes to, of a duration its milliseconds.
fn number(expression: &str, all: &BTreeMap<&str, Vec<Constant<'_>>>) -> Option<u64> {
    let expression = expression.trim();
    let duration = |unit: &str| {
        let inner = expression
            .strip_prefix("Duration::from_")?
            .strip_prefix(unit)?;
        inner.strip_prefix('(')?.strip_suffix(')')
    };
    if let Some(inner) = duration("secs") {
        return Some(number(inner, all)? * 1_000);
    }
    if let Some(inner) = duration("millis") {
        return number(inner, all);
    }
    for (operator, apply) in [
        (" + ", u64::checked_add as fn(u64, u64) -> Option<u64>),
        (" << ", |a, b| a.checked_shl(u32::try_from(b).ok()?)),
        (" * ", u64::checked_mul),
    ] {
        if let Some((left, right)) = expression.split_once(operator) {
            return apply(number(left, all)?, number(right, all)?);
        }
    }
    let word = expression.split(" as ").next()?.trim();
    match word {
        "u32::MAX" => Some(u64::from(u32::MAX)),
        "u16::MAX" => Some(u64::from(u16::MAX)),
        _ if is_name(word) => number(all.get(word)?.first()?.value, all),
        _ => word.replace('_', "").parse().ok(),
    }
}

/// How the guide may write a value.
fn written(constant: &Constant<'_>, all: &BTreeMap<&str, Vec<Constant<'_>>>) -> Vec<String> {
    let Some(number) = number(constant.value, all) else {
        return Vec::new();
    };
    if constant.value.contains("Duration") {
        let mut ways = vec![format!("{number} ms")];
        let seconds = number as f64 / 1_000.0;
        ways.push(format!("{seconds} s"));
        ways.push(format!("{} min", seconds / 60.0));
        return ways;
    }
    let mut ways = vec![with_commas(number)];
    for (unit, bytes) in [("KiB", 1 << 10), ("MiB", 1 << 20)] {
        if number.is_multiple_of(bytes) {
            ways.push(format!("{} {unit}", with_commas(number / bytes)));
        }
    }
    ways
}

/// 1234567 → 1,234,567.
fn with_commas(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Whether a text has these words, not as a part of a longer number or word.
fn tells(text: &str, what: &str) -> bool {
    let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric());
    text.match_indices(what).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + what.len()..]);
        let (mut left, mut right) = (before.chars().rev(), after.chars());
        let (near, far) = (left.next(), left.next());
        let (next, then) = (right.next(), right.next());
        let inner = |c: Option<char>| matches!(c, Some(',' | '.'));
        let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
        !(part(near) || part(next) || inner(near) && digit(far) || inner(next) && digit(then))
    })
}

/// What the guide says of limits against the constants of the code, both ways.
pub(super) fn check_limits(files: &[File], guide: &str) -> Vec<String> {
    let all = constants(files);
    let named = names_in(guide);
    let gone = named
        .iter()
        .filter(|name| !all.contains_key(**name))
        .map(|name| format!("{GUIDE}: names {name}, which is no constant"));
    let untold = all.iter().filter(|(name, found)| {
        let limit = |one: &Constant<'_>| one.open && one.path != OF_DISCORD;
        let of_a_node = name.ends_with("_MAX") && !OF_TESTS.contains(*name);
        of_a_node && found.iter().any(limit) && !named.contains(*name)
    });
    let untold = untold.map(|(name, found)| format!("{GUIDE}: has no {name} of {}", found[0].path));
    let mut complaints: Vec<String> = gone.chain(untold).collect();
    for row in guide.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split(" | ").collect();
        let [first, value, ..] = *cells.as_slice() else {
            continue;
        };
        let told = format!("{first} {value}");
        for name in names_in(first) {
            let Some(found) = all.get(name) else {
                continue;
            };
            let ways: Vec<String> = found.iter().flat_map(|one| written(one, &all)).collect();
            if !ways.iter().any(|way| tells(&told, way)) {
                let ways = ways.join("\" or \"");
                complaints.push(format!("{GUIDE}: {name} is \"{ways}\", not \"{value}\""));
            }
        }
    }
    complaints
}

#[test]
fn the_limit_rules_can_fail() {
    let code = [
        file(
            "a/src/b.rs",
            "/// Most.\npub const SENT_MAX: usize = 4 * 1_024;\nconst INNER_MAX: u8 = 1;\n\
             pub(crate) const TIME_MAX: Duration = Duration::from_secs(90);\n\
             pub const BOTH_MAX: u64 = 2 * SENT_MAX as u64 + 1;\n",
        ),
        file("a/src/tests.rs", "pub const OF_A_TEST_MAX: usize = 1;"),
        file(OF_DISCORD, "pub const CONTENT_MAX: usize = 2_000;"),
    ];
    let true_rows =
        "| `SENT_MAX`, `BOTH_MAX`, what | 4 KiB, 8,193 | x |\n| `TIME_MAX` | 1.5 min | x |";
    assert_eq!(check_limits(&code, true_rows), [""; 0]);
    let in_prose = "`SENT_MAX` (4,096), `BOTH_MAX`, `TIME_MAX`, `GUILDHALL_LISTEN` and SIGTERM";
    assert_eq!(check_limits(&code, in_prose), [""; 0]);
    for (wrong, says) in [
        (true_rows.replace("4 KiB", "4 MiB"), "SENT_MAX is"),
        (true_rows.replace("4 KiB", "14 KiB"), "SENT_MAX is"),
        (true_rows.replace("8,193", "8,193,000"), "BOTH_MAX is"),
        (true_rows.replace("1.5 min", "90 ms"), "TIME_MAX is"),
        (
            true_rows.replace("TIME_MAX", "LOST_MAX"),
            "LOST_MAX, which is no constant",
        ),
        (true_rows.replace("`TIME_MAX`", "time"), "has no TIME_MAX"),
    ] {
        let complaints = check_limits(&code, &wrong).join("\n");
        assert!(complaints.contains(says), "{wrong}: {complaints}");
    }
}
