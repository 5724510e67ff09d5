//! No JSON a client can send makes a validator panic (G16), and what a validator let through, it
//! lets through again unchanged.

use model::form::FormErrors;
use model::mentions::AllowedMentions;
use model::message::Nonce;
use model::{component, embed, presence};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// Keys that mean something somewhere, so that random objects get past the first check.
const KEYS: &[&str] = &[
    "type",
    "id",
    "title",
    "description",
    "url",
    "timestamp",
    "color",
    "footer",
    "text",
    "icon_url",
    "image",
    "thumbnail",
    "author",
    "name",
    "fields",
    "value",
    "inline",
    "components",
    "custom_id",
    "style",
    "label",
    "emoji",
    "animated",
    "disabled",
    "sku_id",
    "options",
    "default",
    "min_values",
    "max_values",
    "placeholder",
    "default_values",
    "channel_types",
    "parse",
    "users",
    "roles",
    "replied_user",
    "status",
    "activities",
    "game",
    "state",
    "since",
    "afk",
];

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3..30_i64).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        Just(json!(1e308)),
        Just(json!(-1e308)),
        "\\PC{0,20}".prop_map(Value::from),
        "[0-9]{1,40}".prop_map(Value::from),
        "(https?|attachment|ftp)://[a-z/.?#]{0,8}".prop_map(Value::from),
        "[0-9]{4}-[0-1][0-9]-[0-3][0-9]T[0-9:.]{0,12}[+-]?[0-9:é]{0,6}".prop_map(Value::from),
        "(user|role|channel|online|idle|users|everyone|👍|🅰)".prop_map(Value::from),
        (0..7_000_usize).prop_map(|length| Value::from("x".repeat(length))),
    ]
}

fn any_json() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(5, 60, 12, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..12).prop_map(Value::Array),
            prop::collection::vec((prop::sample::select(KEYS), inner), 0..12).prop_map(|pairs| {
                let pairs = pairs
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value));
                Value::Object(pairs.collect::<Map<_, _>>())
            }),
        ]
    })
}

/// A fault list can be shown, and is not longer than it may be.
fn check_faults(faults: &FormErrors) {
    assert!(!faults.is_empty() && faults.len() <= FormErrors::FAULTS_MAX);
    assert!(faults.to_json().to_string().len() < FormErrors::FAULTS_MAX * 1_000);
}

fn check_all(value: &Value) {
    match embed::validate(value, "embeds") {
        Ok(embeds) => {
            let json = serde_json::to_value(&embeds).expect("serialises");
            assert_eq!(embed::validate(&json, "embeds"), Ok(embeds));
        }
        Err(faults) => check_faults(&faults),
    }
    match component::validate(value, "components") {
        Ok(components) => {
            let json = serde_json::to_value(&components).expect("serialises");
            assert_eq!(component::validate(&json, "components"), Ok(components));
        }
        Err(faults) => check_faults(&faults),
    }
    match AllowedMentions::from_json(value, "allowed_mentions") {
        Ok(allowed) => {
            let json = serde_json::to_value(&allowed).expect("serialises");
            assert_eq!(
                AllowedMentions::from_json(&json, "allowed_mentions"),
                Ok(allowed)
            );
        }
        Err(faults) => check_faults(&faults),
    }
    match presence::normalise(value, 5) {
        Ok(presence) => {
            let json = serde_json::to_value(&presence).expect("serialises");
            assert_eq!(presence::normalise(&json, 5), Ok(presence));
        }
        Err(faults) => check_faults(&faults),
    }
    if let Err(faults) = Nonce::from_json(value, "nonce") {
        check_faults(&faults);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn validators_take_anything(value in any_json()) {
        check_all(&value);
    }

    #[test]
    fn validators_take_lists_of_anything(list in prop::collection::vec(any_json(), 0..4)) {
        let row = json!([{"type": 1, "components": list.clone()}]);
        check_all(&Value::Array(list.clone()));
        check_all(&row);
        check_all(&json!({"activities": list, "status": "online"}));
    }

    #[test]
    fn components_take_anything_below_a_right_type(
        kind in prop::sample::select(vec![2, 3, 5, 6, 7, 8]),
        style in 1..7,
        sent in any_json(),
        options in any_json(),
    ) {
        let mut child = json!({
            "type": kind, "style": style, "custom_id": "c", "label": "l", "url": "https://x",
            "options": options,
        });
        if let (Some(child), Value::Object(sent)) = (child.as_object_mut(), sent) {
            child.extend(sent);
            child.insert("type".to_owned(), json!(kind));
        }
        check_all(&json!([{"type": 1, "components": [child]}]));
    }

    #[test]
    fn times_take_anything(text in "[0-9TZ:.+ -]{0,40}|\\PC{0,30}") {
        if let Some(at) = model::time::parse(&text) {
            let written = at.iso_8601().to_string();
            prop_assert_eq!(model::time::parse(&written), Some(at));
        }
    }
}

#[test]
fn depth_does_not_matter() {
    let mut deep = json!({"type": 1});
    for _ in 0..100 {
        deep = json!({"type": 1, "components": [deep.clone()], "fields": [deep], "title": "t"});
        if deep.to_string().len() > 100_000 {
            break;
        }
    }
    check_all(&deep);
    check_all(&json!([deep]));
}
