//! Components: the rules of version 1, the normal form, and what clients read out of it.

#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;

fn read(components: Value) -> Result<Value, FormErrors> {
    validate(&components, "components").map(|read| serde_json::to_value(read).unwrap())
}

/// One row with `children`.
fn row(children: Value) -> Value {
    json!([{"type": 1, "components": children}])
}

/// Code of the first fault at `path` below `components`.
fn code(components: Value, path: &str) -> String {
    let faults = read(components).expect_err("must be refused").to_json();
    let pointer = format!("/components/{path}/_errors/0/code");
    let found = faults.pointer(&pointer).and_then(Value::as_str);
    found
        .unwrap_or_else(|| panic!("no fault at {pointer} in {faults}"))
        .to_owned()
}

/// Code of the first fault at `path` of a component that is alone in its row.
fn code_of(component: Value, path: &str) -> String {
    code(row(json!([component])), &format!("0/components/0/{path}"))
}

fn button(id: &str) -> Value {
    json!({"type": 2, "style": 1, "label": "l", "custom_id": id})
}

#[test]
fn nothing_is_no_components() {
    assert_eq!(read(Value::Null), Ok(json!([])));
    assert_eq!(read(json!([])), Ok(json!([])));
}

#[test]
fn buttons_come_out_in_normal_form() {
    let sent = row(json!([
        {"type": 2, "style": 3, "label": "Go", "custom_id": "a", "disabled": null, "x": 1},
        {"type": 2, "style": 5, "url": "https://example.com", "emoji": {"name": "👍"}, "id": 9},
        {"type": 2, "style": 6, "sku_id": 77, "disabled": true, "id": 0},
        {"type": 2, "style": 2, "label": null, "custom_id": "b",
         "emoji": {"name": "wave", "id": 5, "animated": true}},
    ]));
    let expected = json!([{"type": 1, "id": 1, "components": [
        {"type": 2, "id": 2, "style": 3, "label": "Go", "custom_id": "a", "disabled": false},
        {"type": 2, "id": 9, "style": 5, "url": "https://example.com", "disabled": false,
         "emoji": {"id": null, "name": "👍"}},
        {"type": 2, "id": 3, "style": 6, "sku_id": "77", "disabled": true},
        {"type": 2, "id": 4, "style": 2, "custom_id": "b", "disabled": false,
         "emoji": {"id": "5", "name": "wave", "animated": true}},
    ]}]);
    assert_eq!(read(sent), Ok(expected));
}

#[test]
fn selects_come_out_in_normal_form() {
    let sent = json!([
        {"type": 1, "components": [{"type": 3, "custom_id": "s", "options": [
            {"label": "x", "value": "1", "description": "d", "emoji": {"name": "👍", "id": null}},
            {"label": "y", "value": "2", "default": true}], "max_values": 2, "placeholder": "p"}]},
        {"type": 1, "components": [{"type": 5, "custom_id": "u",
            "default_values": [{"id": "1", "type": "user"}]}]},
        {"type": 1, "components": [{"type": 6, "custom_id": "r", "min_values": 0,
            "default_values": []}]},
        {"type": 1, "components": [{"type": 7, "custom_id": "m", "max_values": 2,
            "default_values": [{"id": 1, "type": "role"}, {"id": 2, "type": "user"}]}]},
        {"type": 1, "components": [{"type": 8, "custom_id": "c", "channel_types": [0, 5, 0],
            "default_values": [{"id": 3}], "disabled": true}]},
    ]);
    let read = read(sent).unwrap();
    let of = |index: usize| read[index]["components"][0].clone();
    assert_eq!(
        of(0),
        json!({"type": 3, "id": 2, "custom_id": "s", "placeholder": "p", "min_values": 1,
            "max_values": 2, "disabled": false, "options": [
            {"label": "x", "value": "1", "description": "d", "default": false,
             "emoji": {"id": null, "name": "👍"}},
            {"label": "y", "value": "2", "default": true}]})
    );
    assert_eq!(
        of(1)["default_values"],
        json!([{"id": "1", "type": "user"}])
    );
    assert_eq!(of(2).get("default_values"), None);
    assert_eq!(of(2)["min_values"], 0);
    assert_eq!(
        of(3)["default_values"][1],
        json!({"id": "2", "type": "user"})
    );
    assert_eq!(
        of(4)["default_values"],
        json!([{"id": "3", "type": "channel"}])
    );
    assert_eq!(of(4)["channel_types"], json!([0, 5]));
    assert_eq!(of(4)["id"], 10);
}

#[test]
fn clients_parse_it() {
    let sent = json!([
        {"type": 1, "components": [button("a"),
            {"type": 2, "style": 5, "url": "https://x", "emoji": {"name": "👍"}},
            {"type": 2, "style": 6, "sku_id": "1"},
            {"type": 2, "style": 4, "custom_id": "e", "emoji": {"id": "5", "name": "w"}}]},
        {"type": 1, "components": [{"type": 3, "custom_id": "s",
            "options": [{"label": "x", "value": "1", "emoji": {"name": "👍"}}]}]},
        {"type": 1, "components": [{"type": 7, "custom_id": "m", "max_values": 2,
            "default_values": [{"id": 1, "type": "role"}, {"id": 2, "type": "user"}]}]},
        {"type": 1, "components": [{"type": 8, "custom_id": "c", "channel_types": [0]}]},
    ]);
    use twilight_model::channel::message::Component as Theirs;
    let theirs: Vec<Theirs> = serde_json::from_value(read(sent).unwrap()).unwrap();
    assert_eq!(theirs.len(), 4);
    let Theirs::ActionRow(row) = &theirs[0] else {
        panic!("a row: {theirs:?}");
    };
    assert!(matches!(&row.components[0], Theirs::Button(b) if b.custom_id.as_deref() == Some("a")));
    let Theirs::ActionRow(row) = &theirs[2] else {
        panic!("a row: {theirs:?}");
    };
    assert!(matches!(
        &row.components[0],
        Theirs::SelectMenu(select) if select.default_values.as_ref().is_some_and(|d| d.len() == 2)
    ));
}

#[test]
fn rows_hold_five_buttons_or_one_select() {
    let buttons = |n: usize| (0..n).map(|i| button(&i.to_string())).collect::<Value>();
    let select = json!({"type": 5, "custom_id": "u"});
    assert!(read(row(buttons(5))).is_ok());
    assert_eq!(
        code(row(buttons(6)), "0/components"),
        "BASE_TYPE_MAX_LENGTH"
    );
    assert_eq!(code(row(json!([])), "0/components"), "BASE_TYPE_BAD_LENGTH");
    assert_eq!(
        code(json!([{"type": 1}]), "0/components"),
        "BASE_TYPE_REQUIRED"
    );
    assert_eq!(
        code(row(json!([button("a"), select])), "0/components/1/type"),
        "COMPONENT_LAYOUT_WIDTH_EXCEEDED"
    );
    let rows = |n: usize| {
        let row = |i: usize| json!({"type": 1, "components": [button(&i.to_string())]});
        (0..n).map(row).collect::<Value>()
    };
    assert!(read(rows(5)).is_ok());
    assert!(read(rows(6)).is_err());
}

#[test]
fn only_rows_stand_at_the_top() {
    assert_eq!(code(json!([button("a")]), "0/type"), "UNION_TYPE_CHOICES");
    assert_eq!(
        code(json!([{"type": 10, "content": "v2"}]), "0/type"),
        "UNION_TYPE_CHOICES"
    );
    assert_eq!(code(json!([{}]), "0/type"), "BASE_TYPE_REQUIRED");
    assert_eq!(code(json!([7]), "0"), "MODEL_TYPE_CONVERT");
    let nested = row(json!([{"type": 1, "components": [button("a")]}]));
    assert_eq!(code(nested, "0/components/0/type"), "UNION_TYPE_CHOICES");
    assert_eq!(
        code_of(json!({"type": 4, "custom_id": "t"}), "type"),
        "UNION_TYPE_CHOICES"
    );
}

#[test]
fn styles_choose_their_fields() {
    let not_allowed = "BUTTON_COMPONENT_FIELD_NOT_ALLOWED";
    let required = "BASE_TYPE_REQUIRED";
    for (component, path, expected) in [
        (
            json!({"type": 2, "label": "l", "custom_id": "a"}),
            "style",
            required,
        ),
        (
            json!({"type": 2, "style": 7, "label": "l"}),
            "style",
            "NUMBER_TYPE_MAX",
        ),
        (
            json!({"type": 2, "style": 1, "label": "l"}),
            "custom_id",
            required,
        ),
        (
            json!({"type": 2, "style": 1, "custom_id": "a"}),
            "label",
            required,
        ),
        (
            json!({"type": 2, "style": 1, "label": "l", "custom_id": "a", "url": "https://x"}),
            "url",
            not_allowed,
        ),
        (
            json!({"type": 2, "style": 5, "label": "l"}),
            "url",
            required,
        ),
        (
            json!({"type": 2, "style": 5, "label": "l", "url": "javascript://x"}),
            "url",
            "URL_TYPE_INVALID_SCHEME",
        ),
        (
            json!({"type": 2, "style": 5, "label": "l", "url": "https://x", "custom_id": "a"}),
            "custom_id",
            not_allowed,
        ),
        (json!({"type": 2, "style": 6}), "sku_id", required),
        (
            json!({"type": 2, "style": 6, "sku_id": "1", "label": "l"}),
            "label",
            not_allowed,
        ),
        (
            json!({"type": 2, "style": 1, "custom_id": "a", "emoji": {"name": "thumbsup"}}),
            "emoji",
            "COMPONENT_INVALID_EMOJI",
        ),
        (
            json!({"type": 2, "style": 1, "custom_id": "a", "label": "x".repeat(81)}),
            "label",
            "BASE_TYPE_MAX_LENGTH",
        ),
        (
            json!({"type": 2, "style": 1, "custom_id": "", "label": "l"}),
            "custom_id",
            "BASE_TYPE_BAD_LENGTH",
        ),
        (
            json!({"type": 2, "style": 1, "custom_id": "x".repeat(101), "label": "l"}),
            "custom_id",
            "BASE_TYPE_BAD_LENGTH",
        ),
    ] {
        assert_eq!(code_of(component.clone(), path), expected, "{component}");
    }
}

#[test]
fn selects_have_limits() {
    let options = |n: usize| {
        let one = |i: usize| json!({"label": "l", "value": i.to_string()});
        (0..n).map(one).collect::<Value>()
    };
    let string = |options: Value| json!({"type": 3, "custom_id": "s", "options": options});
    assert!(read(row(json!([string(options(25))]))).is_ok());
    assert_eq!(
        code_of(string(options(26)), "options"),
        "BASE_TYPE_MAX_LENGTH"
    );
    assert_eq!(code_of(string(json!([])), "options"), "BASE_TYPE_REQUIRED");
    let twice = json!([{"label": "l", "value": "1"}, {"label": "l", "value": "1"}]);
    assert_eq!(
        code_of(string(twice), "options/1/value"),
        "SELECT_COMPONENT_OPTION_VALUE_DUPLICATED"
    );
    for (component, path, expected) in [
        (
            json!({"type": 5, "custom_id": "u", "min_values": 3, "max_values": 2}),
            "min_values",
            "SELECT_COMPONENT_MIN_VALUES_TOO_LARGE",
        ),
        (
            json!({"type": 5, "custom_id": "u", "max_values": 26}),
            "max_values",
            "NUMBER_TYPE_MAX",
        ),
        (
            json!({"type": 5, "custom_id": "u", "max_values": 0}),
            "max_values",
            "NUMBER_TYPE_MIN",
        ),
        (
            json!({"type": 5, "custom_id": "u", "placeholder": "x".repeat(151)}),
            "placeholder",
            "BASE_TYPE_MAX_LENGTH",
        ),
        (
            json!({"type": 5, "custom_id": "u", "default_values": [{"id": 1, "type": "role"}]}),
            "default_values/0/type",
            "BASE_TYPE_CHOICES",
        ),
        (
            json!({"type": 7, "custom_id": "u", "default_values": [{"id": 1}]}),
            "default_values/0/type",
            "BASE_TYPE_CHOICES",
        ),
        (
            json!({"type": 8, "custom_id": "u", "channel_types": [99]}),
            "channel_types/0",
            "BASE_TYPE_CHOICES",
        ),
        (json!({"type": 8}), "custom_id", "BASE_TYPE_REQUIRED"),
    ] {
        assert_eq!(code_of(component.clone(), path), expected, "{component}");
    }
}

#[test]
fn ids_are_unique_in_a_message() {
    let twice = row(json!([button("a"), button("a")]));
    assert_eq!(
        code(twice, "0/components/1/custom_id"),
        "COMPONENT_CUSTOM_ID_DUPLICATED"
    );
    let mut numbered = json!([button("a"), button("b")]);
    numbered[0]["id"] = json!(2);
    let read = read(row(numbered.clone())).unwrap();
    let ids = [
        &read[0]["id"],
        &read[0]["components"][0]["id"],
        &read[0]["components"][1]["id"],
    ];
    assert_eq!(ids, [1, 2, 3]);
    numbered[1]["id"] = json!(2);
    assert_eq!(
        code(row(numbered), "0/components/1/id"),
        "COMPONENT_ID_DUPLICATED"
    );
}

#[test]
fn a_stored_component_reads_back() {
    let read = validate(&row(json!([button("a")])), "components").unwrap();
    let json = serde_json::to_string(&read).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Component>>(&json).unwrap(), read);
    assert_eq!(read[0].as_json()["type"], 1);
}
