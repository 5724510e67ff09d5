//! Embeds: each limit exactly, what is dropped, and what is refused with which code.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn one(embed: Value) -> Result<Embed, FormErrors> {
    validate(&json!([embed]), "embeds").map(|embeds| embeds[0].clone())
}

/// Code of the first fault at `path` below the first embed.
fn code(embed: Value, path: &str) -> String {
    let faults = one(embed).expect_err("must be refused").to_json();
    let pointer = format!("/embeds/0/{path}/_errors/0/code");
    let found = faults.pointer(&pointer).and_then(Value::as_str);
    found
        .unwrap_or_else(|| panic!("no fault at {pointer} in {faults}"))
        .to_owned()
}

#[test]
fn nothing_is_no_embeds() {
    assert_eq!(validate(&Value::Null, "embeds"), Ok(vec![]));
    assert_eq!(validate(&json!([]), "embeds"), Ok(vec![]));
}

#[test]
fn a_full_embed_comes_out_in_normal_form() {
    let embed = one(json!({
        "type": "video", "title": "t", "description": "d", "url": "https://example.com/a?b#c",
        "timestamp": "2026-11-22T12:00:00.000Z", "color": 65280.0, "unknown": [1],
        "footer": {"text": "f", "icon_url": "attachment://a.png", "proxy_icon_url": "x"},
        "image": {"url": "HTTP://example.com"}, "thumbnail": {"url": "attachment://b.png"},
        "author": {"name": "a", "url": "http://example.com", "icon_url": null},
        "fields": [{"name": "n", "value": 5, "inline": true}, {"name": "n", "value": "v"}],
        "provider": {"name": "p"}, "video": {"url": "x"},
    }));
    assert_eq!(
        serde_json::to_value(embed.unwrap()).unwrap(),
        json!({
            "type": "rich", "title": "t", "description": "d", "url": "https://example.com/a?b#c",
            "timestamp": "2026-11-22T12:00:00.000000+00:00", "color": 65280,
            "footer": {"text": "f", "icon_url": "attachment://a.png"},
            "image": {"url": "HTTP://example.com"}, "thumbnail": {"url": "attachment://b.png"},
            "author": {"name": "a", "url": "http://example.com"},
            "fields": [
                {"name": "n", "value": "5", "inline": true},
                {"name": "n", "value": "v", "inline": false},
            ],
        })
    );
}

#[test]
fn lengths_are_exact() {
    let text = |n: usize| "é".repeat(n);
    let field =
        |name: usize, value: usize| json!({"fields": [{"name": text(name), "value": text(value)}]});
    for (fits, over, path) in [
        (
            json!({"title": text(256)}),
            json!({"title": text(257)}),
            "title",
        ),
        (
            json!({"description": text(4096)}),
            json!({"description": text(4097)}),
            "description",
        ),
        (
            json!({"footer": {"text": text(2048)}}),
            json!({"footer": {"text": text(2049)}}),
            "footer/text",
        ),
        (
            json!({"author": {"name": text(256)}}),
            json!({"author": {"name": text(257)}}),
            "author/name",
        ),
        (field(256, 1), field(257, 1), "fields/0/name"),
        (field(1, 1024), field(1, 1025), "fields/0/value"),
    ] {
        assert!(one(fits).is_ok(), "{path}");
        assert_eq!(code(over, path), "BASE_TYPE_MAX_LENGTH", "{path}");
    }
    let fields = |n: usize| json!({"fields": vec![json!({"name": "n", "value": "v"}); n]});
    assert!(one(fields(25)).is_ok());
    assert_eq!(code(fields(26), "fields"), "BASE_TYPE_MAX_LENGTH");
    let embeds = |n: usize| Value::Array(vec![json!({"title": "t"}); n]);
    assert!(validate(&embeds(10), "embeds").is_ok());
    assert!(validate(&embeds(11), "embeds").is_err());
}

#[test]
fn the_sum_is_over_all_embeds() {
    let embeds = |last: usize| {
        json!([
            {"description": "x".repeat(4096), "footer": {"text": "x".repeat(900)}},
            {"title": "x".repeat(4), "author": {"name": "x".repeat(200)},
             "fields": [{"name": "x".repeat(100), "value": "x".repeat(600)}],
             "description": "x".repeat(last)},
        ])
    };
    assert!(validate(&embeds(100), "embeds").is_ok());
    let faults = validate(&embeds(101), "embeds").unwrap_err().to_json();
    assert_eq!(
        faults["embeds"]["_errors"][0]["code"],
        "MAX_EMBED_SIZE_EXCEEDED"
    );
}

#[test]
fn wrong_values_are_named() {
    for (embed, path, expected) in [
        (
            json!({"title": "t", "color": 0x100_0000}),
            "color",
            "NUMBER_TYPE_MAX",
        ),
        (
            json!({"title": "t", "color": -1}),
            "color",
            "NUMBER_TYPE_MIN",
        ),
        (
            json!({"title": "t", "color": "red"}),
            "color",
            "NUMBER_TYPE_COERCE",
        ),
        (
            json!({"title": "t", "url": "ftp://x"}),
            "url",
            "URL_TYPE_INVALID_SCHEME",
        ),
        (
            json!({"title": "t", "url": "attachment://x"}),
            "url",
            "URL_TYPE_INVALID_SCHEME",
        ),
        (
            json!({"title": "t", "url": "x"}),
            "url",
            "URL_TYPE_INVALID_URL",
        ),
        (
            json!({"title": "t", "url": "https://"}),
            "url",
            "URL_TYPE_INVALID_URL",
        ),
        (
            json!({"title": "t", "url": "https://a b"}),
            "url",
            "URL_TYPE_INVALID_URL",
        ),
        (
            json!({"image": {"url": "data://x"}}),
            "image/url",
            "URL_TYPE_INVALID_SCHEME",
        ),
        (
            json!({"title": "t", "timestamp": "soon"}),
            "timestamp",
            "DATE_TIME_TYPE_PARSE",
        ),
        (json!({"title": []}), "title", "STRING_TYPE_CONVERT"),
        (json!({"fields": {}}), "fields", "LIST_TYPE_CONVERT"),
        (json!({"fields": [1]}), "fields/0", "MODEL_TYPE_CONVERT"),
        (
            json!({"fields": [{"name": "n"}]}),
            "fields/0/value",
            "BASE_TYPE_REQUIRED",
        ),
        (
            json!({"fields": [{"name": " ", "value": "v"}]}),
            "fields/0/name",
            "BASE_TYPE_REQUIRED",
        ),
        (
            json!({"fields": [{"name": "n", "value": "v", "inline": 1}]}),
            "fields/0/inline",
            "BOOLEAN_TYPE_CONVERT",
        ),
        (json!({"footer": "f"}), "footer", "MODEL_TYPE_CONVERT"),
    ] {
        assert_eq!(code(embed.clone(), path), expected, "{embed}");
    }
}

#[test]
fn an_embed_must_show_something() {
    for embed in [
        json!({}),
        json!({"color": 1, "url": "https://x"}),
        json!({"title": " ", "description": ""}),
        json!({"author": {"url": "https://x"}, "footer": {}, "image": {}, "fields": []}),
        json!({"title": null, "description": null, "fields": null, "image": null}),
    ] {
        assert_eq!(
            code(embed.clone(), "description"),
            "BASE_TYPE_REQUIRED",
            "{embed}"
        );
    }
}

#[test]
fn clients_parse_it() {
    let embed = one(json!({
        "title": "t", "timestamp": "2026-01-01", "fields": [{"name": "n", "value": "v"}],
        "image": {"url": "https://x"}, "author": {"name": "a"}, "footer": {"text": "f"},
    }));
    let json = serde_json::to_string(&embed.unwrap()).unwrap();
    let theirs: twilight_model::channel::message::Embed = serde_json::from_str(&json).unwrap();
    assert_eq!(theirs.kind, "rich");
    assert_eq!(theirs.fields.len(), 1);
}

proptest! {
    #[test]
    fn what_passes_is_within_the_limits(
        titles in proptest::collection::vec((0..300_usize, 0..4_200_usize), 0..12),
    ) {
        let sent: Vec<Value> = titles
            .iter()
            .map(|(title, description)| json!({
                "title": "x".repeat(*title), "description": "x".repeat(*description),
            }))
            .collect();
        let fits = sent.len() <= 10
            && titles.iter().all(|(t, d)| *t <= 256 && *d <= 4096 && t + d > 0)
            && titles.iter().map(|(t, d)| t + d).sum::<usize>() <= 6000;
        prop_assert_eq!(validate(&Value::Array(sent), "embeds").is_ok(), fits);
    }
}
