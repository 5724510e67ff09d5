//! Mentions: what is found in a text, and what an author may hold back.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn users(content: &str) -> Vec<u64> {
    scan(content).users.iter().map(|id| id.get()).collect()
}

fn roles(content: &str) -> Vec<u64> {
    scan(content).roles.iter().map(|id| id.get()).collect()
}

fn mentioned() -> Mentioned {
    scan("<@1> <@2> <@&3> <@&4> @everyone")
}

#[test]
fn finds_each_form_once_in_order() {
    assert_eq!(users("<@2> hi <@!1> and <@2>"), [2, 1]);
    assert_eq!(roles("<@&9><@&8>"), [9, 8]);
    assert!(scan("hello @everyone").everyone);
    assert!(scan("a@here").everyone);
    assert_eq!(scan("everyone here"), Mentioned::default());
}

#[test]
fn a_role_and_a_user_of_one_id_are_two() {
    let found = scan("<@5><@&5>");
    assert_eq!((found.users.len(), found.roles.len()), (1, 1));
}

#[test]
fn near_misses_are_no_mentions() {
    for text in [
        "<@>",
        "<@!>",
        "<@&>",
        "<@0>",
        "<@-1>",
        "<@1",
        "<@ 1>",
        "<@1a>",
        "@1>",
        "<#1>",
        "<@!&1>",
        "<@99999999999999999999>",
        "<@+1>",
        "<@１>",
    ] {
        assert_eq!(scan(text), Mentioned::default(), "{text}");
    }
    assert_eq!(users("<@<@7>"), [7], "a false start hides nothing");
    assert_eq!(users("<@18446744073709551615>"), [u64::MAX]);
}

#[test]
fn code_is_not_read() {
    for text in [
        "`<@1>`",
        "``<@1>``",
        "```\n<@1> @everyone\n```",
        "```rs\n<@1>```",
        "`` ` <@1> ``",
        "``` ` <@1> ```",
        "x `@here` y",
    ] {
        assert_eq!(scan(text), Mentioned::default(), "{text}");
    }
    assert_eq!(users("`a` <@1> `b`"), [1], "between two codes");
    assert_eq!(users("` <@1>"), [1], "an open backtick is a backtick");
    assert_eq!(users("``` <@1> `"), [1], "so is an open fence");
    assert_eq!(
        users("`<@1>`` <@2>"),
        [1, 2],
        "runs of different length do not close"
    );
}

#[test]
fn a_kind_is_bounded() {
    let text: String = (1..=300).map(|id| format!("<@{id}><@&{id}>")).collect();
    let found = scan(&text);
    assert_eq!(
        (found.users.len(), found.roles.len()),
        (MENTIONS_MAX, MENTIONS_MAX)
    );
}

#[test]
fn without_allowed_mentions_everything_notifies() {
    assert_eq!(allow(None, mentioned()), mentioned());
    assert!(notifies_replied(None));
}

#[test]
fn parse_and_lists_narrow() {
    let read = |json| {
        AllowedMentions::from_json(&json, "allowed_mentions")
            .unwrap()
            .unwrap()
    };
    let nothing = read(json!({"parse": []}));
    assert_eq!(nothing.apply(&mentioned()), Mentioned::default());
    assert!(!notifies_replied(Some(&nothing)));
    assert_eq!(read(json!({})).apply(&mentioned()), Mentioned::default());

    let some = read(json!({"parse": ["roles"], "users": ["2", 77], "replied_user": true}));
    let left = some.apply(&mentioned());
    assert_eq!(left.users, [UserId::new(2)]);
    assert_eq!(left.roles, mentioned().roles);
    assert!(!left.everyone);
    assert!(notifies_replied(Some(&some)));

    let all = read(json!({"parse": ["everyone", "users", "roles", null], "users": null}));
    assert_eq!(all.apply(&mentioned()), mentioned());
}

#[test]
fn refuses_as_discord_does() {
    let code = |json: Value, pointer: &str| {
        let faults = AllowedMentions::from_json(&json, "allowed_mentions").unwrap_err();
        let found = faults
            .to_json()
            .pointer(pointer)
            .cloned()
            .unwrap_or_default();
        found.as_str().unwrap_or_default().to_owned()
    };
    let exclusive = "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE";
    let at = "/allowed_mentions/_errors/0/code";
    assert_eq!(
        code(json!({"parse": ["users"], "users": ["1"]}), at),
        exclusive
    );
    assert_eq!(
        code(json!({"parse": ["roles"], "roles": ["1"]}), at),
        exclusive
    );
    assert_eq!(
        code(
            json!({"parse": ["users", "here"]}),
            "/allowed_mentions/parse/1/_errors/0/code"
        ),
        "BASE_TYPE_CHOICES"
    );
    let many: Vec<u64> = (1..=101).collect();
    assert_eq!(
        code(
            json!({"users": many}),
            "/allowed_mentions/users/_errors/0/code"
        ),
        "BASE_TYPE_MAX_LENGTH"
    );
    assert_eq!(
        code(
            json!({"roles": ["x"]}),
            "/allowed_mentions/roles/0/_errors/0/code"
        ),
        "NUMBER_TYPE_COERCE"
    );
    assert_eq!(code(json!("users"), at), "MODEL_TYPE_CONVERT");
    let listed = AllowedMentions {
        users: (1..=101).map(UserId::new).collect(),
        ..AllowedMentions::default()
    };
    assert!(listed.validate().is_err());
    assert_eq!(AllowedMentions::from_json(&Value::Null, "x"), Ok(None));
}

proptest! {
    #[test]
    fn scan_never_panics_and_is_bounded(text in "[<>@!&0-9`é a-z\n]{0,400}|\\PC{0,200}") {
        let found = scan(&text);
        prop_assert!(found.users.len() <= MENTIONS_MAX && found.roles.len() <= MENTIONS_MAX);
        for user in &found.users {
            let plain = format!("<@{user}>");
            // Leading zeros are read as the number: only canonical ids are looked for.
            prop_assert!(text.contains(&plain) || text.contains("<@0") || text.contains("<@!"));
        }
    }

    #[test]
    fn a_mention_in_plain_text_is_found(
        id in 1..=u64::MAX,
        before in "[^`<@]{0,40}",
        after in "[^`]{0,40}",
    ) {
        let found = users(&format!("{before}<@{id}>{after}"));
        prop_assert_eq!(found.first(), Some(&id));
    }

    #[test]
    fn allowing_only_takes_away(text in "(<@[1-9]>|<@&[1-9]>|@here| ){0,20}", json in "(users|roles|everyone)?") {
        let found = scan(&text);
        let allowed = AllowedMentions { parse: vec![json], ..AllowedMentions::default() };
        let left = allowed.apply(&found);
        prop_assert!(left.users.iter().all(|id| found.users.contains(id)));
        prop_assert!(left.roles.iter().all(|id| found.roles.contains(id)));
        prop_assert!(found.everyone || !left.everyone);
    }
}
