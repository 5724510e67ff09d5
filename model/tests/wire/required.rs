//! Holds an object against the fields that clients and the API description ask for
//! (`required_fields.txt`).

use std::collections::BTreeMap;

use serde_json::Value;

/// What one object must have.
#[derive(Default)]
struct Required {
    need: Vec<&'static str>,
    not_null: Vec<&'static str>,
}

fn required() -> BTreeMap<&'static str, Required> {
    let mut blocks: BTreeMap<&str, Required> = BTreeMap::new();
    let mut block = "";
    for line in include_str!("required_fields.txt").lines() {
        let line = line.trim();
        if let Some(path) = line.strip_prefix("need ") {
            blocks.entry(block).or_default().need.push(path);
        } else if let Some(path) = line.strip_prefix("not-null ") {
            blocks.entry(block).or_default().not_null.push(path);
        } else if !line.is_empty() && !line.starts_with('#') {
            block = line;
        }
    }
    blocks
}

/// The values at `path` below `value`: `None` where the last key is missing. Nothing where a key
/// before the last is missing or null.
fn values<'v>(value: &'v Value, path: &str) -> Vec<Option<&'v Value>> {
    let (key, rest) = path.split_once('/').unwrap_or((path, ""));
    let (key, each) = key
        .strip_suffix("[]")
        .map_or((key, false), |key| (key, true));
    let found = value.get(key);
    if rest.is_empty() {
        return vec![found];
    }
    match found {
        Some(Value::Array(list)) if each => {
            list.iter().flat_map(|value| values(value, rest)).collect()
        }
        Some(object @ Value::Object(_)) if !each => values(object, rest),
        _ => vec![],
    }
}

/// What is wrong with `value` as a `block`.
pub(crate) fn faults(block: &str, value: &Value) -> Vec<String> {
    let required = required();
    let required = required
        .get(block)
        .unwrap_or_else(|| panic!("no block {block}"));
    assert!(!required.need.is_empty(), "{block} asks for nothing");
    let missing = required
        .need
        .iter()
        .filter(|path| values(value, path).contains(&None))
        .map(|path| format!("{block}: {path} is missing"));
    let null = required
        .not_null
        .iter()
        .filter(|path| values(value, path).contains(&Some(&Value::Null)))
        .map(|path| format!("{block}: {path} is null"));
    missing.chain(null).collect()
}
