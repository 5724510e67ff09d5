//! What clients send, right and wrong.
#![allow(clippy::unwrap_used)]

use super::*;
use model::Id;
use proptest::prelude::*;
use serde_json::json;

fn read(value: &Value) -> Result<ClientPayload, CloseCode> {
    parse(value.to_string().as_bytes())
}

fn identify_with(key: &str, value: Value) -> Result<ClientPayload, CloseCode> {
    let mut data = json!({"token": "t", "properties": {}, "intents": 1});
    data[key] = value;
    read(&json!({"op": 2, "d": data}))
}

#[test]
fn heartbeats_of_all_libraries() {
    for (text, sequence) in [
        (r#"{"op":1,"d":null}"#, None),
        (r#"{"op":1}"#, None),
        (r#"{"op": 1, "d": 251, "s": null, "t": null}"#, Some(251)),
        (r#"{"d":7,"op":1}"#, Some(7)),
        (
            r#"{"op":40,"d":{"seq":9,"qos":{"ver":26,"active":true,"reasons":[]}}}"#,
            Some(9),
        ),
    ] {
        assert_eq!(
            parse(text.as_bytes()),
            Ok(ClientPayload::Heartbeat(sequence)),
            "{text}"
        );
    }
    for text in [
        r#"{"op":1,"d":"7"}"#,
        r#"{"op":1,"d":-1}"#,
        r#"{"op":1,"d":1.5}"#,
        r#"{"op":1,"d":{}}"#,
    ] {
        assert_eq!(
            parse(text.as_bytes()),
            Err(CloseCode::DecodeError),
            "{text}"
        );
    }
}

#[test]
fn what_is_no_payload_is_a_decode_error() {
    let deep = format!(
        r#"{{"op":3,"d":{}{}}}"#,
        "[".repeat(1_500),
        "]".repeat(1_500)
    );
    let deep_op = format!(r#"{{"op":{}{}}}"#, "[".repeat(1_500), "]".repeat(1_500));
    for text in [
        "",
        " ",
        "null",
        "7",
        "[]",
        "{}",
        "{",
        r#"{"op":"1"}"#,
        r#"{"op":1.5}"#,
        r#"{"op":null}"#,
        r#"{"op":1,"op":2}"#,
        r#"{"op":1}x"#,
        r#"{"op":NaN}"#,
        r#"{"op":1e400}"#,
        r#"{"op":3,"d":"\ud800"}"#,
        "\u{feff}{\"op\":1}",
        &deep,
        &deep_op,
    ] {
        assert_eq!(
            parse(text.as_bytes()),
            Err(CloseCode::DecodeError),
            "{text}"
        );
    }
    assert_eq!(
        parse(b"{\"op\":3,\"d\":{\"a\":\"\xff\"}}"),
        Err(CloseCode::DecodeError)
    );
}

#[test]
fn opcodes_nobody_knows() {
    for number in [
        "0",
        "5",
        "7",
        "9",
        "10",
        "11",
        "99",
        "-1",
        "18446744073709551615",
    ] {
        let text = format!(r#"{{"op":{number},"d":null}}"#);
        assert_eq!(
            parse(text.as_bytes()),
            Err(CloseCode::UnknownOpcode),
            "{text}"
        );
    }
}

#[test]
fn what_nothing_is_done_about() {
    let voice = json!({"op": 4, "d": {"guild_id": 1, "channel_id": null, "self_mute": false}});
    assert_eq!(
        read(&voice),
        Ok(ClientPayload::Ignored(Opcode::VoiceStateUpdate))
    );
    for op in [12, 13, 14, 31, 36, 37, 41, 43] {
        assert!(matches!(
            read(&json!({"op": op, "d": {}})),
            Ok(ClientPayload::Ignored(_))
        ));
    }
}

#[test]
fn identify_whole() {
    let payload = read(&json!({"op": 2, "d": {
        "token": "Bot abc.def.ghi",
        "properties": {"os": "linux", "browser": "Discord iOS", "device": "x"},
        "compress": true, "large_threshold": 1000, "shard": [3, 4], "intents": 53_608_447,
        "presence": {"status": "dnd", "activities": null, "since": null, "afk": false},
        "capabilities": 16381, "v": 3,
    }}));
    let Ok(ClientPayload::Identify(identify)) = payload else {
        panic!("{payload:?}")
    };
    assert_eq!(identify.token, "Bot abc.def.ghi");
    assert_eq!(identify.platform, Device::Mobile);
    assert!(identify.compress);
    assert_eq!(identify.large_threshold, 250);
    assert_eq!(identify.shard, Some((3, 4)));
    assert_eq!(identify.intents, Intents::from_bits(53_608_447));
    assert!(identify.presence.is_some());
}

#[test]
fn identify_of_a_person_is_short() {
    let payload = read(&json!({"op": 2, "d": {"token": "t"}}));
    let Ok(ClientPayload::Identify(identify)) = payload else {
        panic!("{payload:?}")
    };
    assert_eq!(
        (identify.intents, identify.shard, identify.presence),
        (None, None, None)
    );
    assert_eq!(identify.large_threshold, LARGE_THRESHOLD_DEFAULT);
    assert_eq!(identify.platform, Device::Desktop);
}

#[test]
fn phones_say_so_in_many_ways() {
    let mobile = |properties: Value| match identify_with("properties", properties.clone()) {
        Ok(ClientPayload::Identify(identify)) => identify.mobile,
        other => panic!("{properties}: {other:?}"),
    };
    for properties in [
        json!({"os": "iOS"}),
        json!({"os": "ANDROID", "browser": "Firefox"}),
        json!({"$os": "android"}),
        json!({"browser": "Discord iOS"}),
        json!({"os": "linux", "browser": "discord android"}),
        json!({"$browser": "DISCORD IOS"}),
    ] {
        assert!(mobile(properties.clone()), "{properties}");
    }
    for properties in [
        json!(null),
        json!({}),
        json!({"os": "linux", "browser": "Discord Client", "device": "Android"}),
        json!({"os": "Mac OS X", "browser": "Safari"}),
        json!({"os": "iOS 17"}),
        json!({"os": 7, "browser": ["Discord iOS"]}),
    ] {
        assert!(!mobile(properties.clone()), "{properties}");
    }
    // What presences show does not follow the case.
    let lower = identify_with("properties", json!({"browser": "discord ios"}));
    assert!(
        matches!(lower, Ok(ClientPayload::Identify(identify)) if identify.platform == Device::Desktop)
    );
}

#[test]
fn identify_refused() {
    for (key, value, code) in [
        ("token", json!(7), CloseCode::DecodeError),
        ("token", json!(null), CloseCode::DecodeError),
        ("properties", json!([]), CloseCode::DecodeError),
        ("compress", json!("yes"), CloseCode::DecodeError),
        ("large_threshold", json!("50"), CloseCode::DecodeError),
        ("presence", json!("online"), CloseCode::DecodeError),
        ("shard", json!("0"), CloseCode::DecodeError),
        ("shard", json!([0]), CloseCode::InvalidShard),
        ("shard", json!([0, 1, 2]), CloseCode::InvalidShard),
        ("shard", json!([1, 1]), CloseCode::InvalidShard),
        ("shard", json!([0, 0]), CloseCode::InvalidShard),
        ("shard", json!([-1, 1]), CloseCode::InvalidShard),
        (
            "shard",
            json!([0, 4_294_967_296_u64]),
            CloseCode::InvalidShard,
        ),
        ("shard", json!([0, SHARDS_MAX + 1]), CloseCode::InvalidShard),
        ("intents", json!("1"), CloseCode::DecodeError),
        ("intents", json!(-1), CloseCode::InvalidIntents),
        ("intents", json!(1.5), CloseCode::InvalidIntents),
        ("intents", json!(1_u64 << 27), CloseCode::InvalidIntents),
        ("intents", json!(u64::MAX), CloseCode::InvalidIntents),
    ] {
        assert_eq!(
            identify_with(key, value.clone()),
            Err(code),
            "{key} {value}"
        );
    }
    for d in [json!(null), json!([]), json!("x"), json!(1)] {
        assert_eq!(read(&json!({"op": 2, "d": d})), Err(CloseCode::DecodeError));
    }
}

#[test]
fn resume_needs_all_three() {
    let whole = json!({"token": "t", "session_id": "s", "seq": 5});
    let expected = Resume {
        token: "t".to_owned(),
        session_id: "s".to_owned(),
        sequence: 5,
    };
    assert_eq!(
        read(&json!({"op": 6, "d": whole})),
        Ok(ClientPayload::Resume(expected))
    );
    for key in ["token", "session_id", "seq"] {
        let mut without = whole.clone();
        without.as_object_mut().unwrap().remove(key);
        assert_eq!(
            read(&json!({"op": 6, "d": without})),
            Err(CloseCode::DecodeError)
        );
        let mut wrong = whole.clone();
        wrong[key] = json!([]);
        assert_eq!(
            read(&json!({"op": 6, "d": wrong})),
            Err(CloseCode::DecodeError)
        );
    }
}

fn members(data: Value) -> Result<ClientPayload, CloseCode> {
    read(&json!({"op": 8, "d": data}))
}

fn asked(data: Value) -> RequestMembers {
    match members(data) {
        Ok(ClientPayload::RequestMembers(asked)) => *asked,
        other => panic!("{other:?}"),
    }
}

#[test]
fn members_by_query() {
    let all =
        asked(json!({"guild_id": "7", "query": "", "limit": 0, "presences": true, "nonce": "n"}));
    assert_eq!(all.guild, Id::new(7));
    assert_eq!(all.request.query.as_deref(), Some(""));
    assert_eq!((all.request.limit, all.request.presences), (0, true));
    assert_eq!(all.nonce.as_deref(), Some("n"));
    assert_eq!(
        asked(json!({"guild_id": 7, "query": "a", "limit": 0}))
            .request
            .limit,
        QUERY_MEMBERS_MAX
    );
    assert_eq!(
        asked(json!({"guild_id": ["7"], "query": "a", "limit": 1_000}))
            .request
            .limit,
        QUERY_MEMBERS_MAX
    );
    assert_eq!(
        asked(json!({"guild_id": 7, "query": "", "limit": 5}))
            .request
            .limit,
        5
    );
    let long = "n".repeat(NONCE_BYTES_MAX + 1);
    assert_eq!(
        asked(json!({"guild_id": 7, "query": "", "nonce": long})).nonce,
        None
    );
}

#[test]
fn members_by_id() {
    let ids: Vec<String> = (1..=150).map(|id: u64| id.to_string()).collect();
    let many = asked(json!({"guild_id": "7", "user_ids": ids, "limit": 0}));
    assert_eq!(many.request.user_ids.len(), USER_IDS_MAX);
    assert_eq!(many.request.query, None);
    assert_eq!(
        asked(json!({"guild_id": "7", "user_ids": 5}))
            .request
            .user_ids,
        [Id::new(5)]
    );
}

#[test]
fn members_of_nothing_are_not_asked_for() {
    for data in [
        json!({"guild_id": [], "query": "", "limit": 0}),
        json!({"guild_id": null, "query": ""}),
        json!({"query": ""}),
        json!({"guild_id": "7"}),
        json!({"guild_id": "7", "user_ids": []}),
    ] {
        assert_eq!(
            members(data.clone()),
            Ok(ClientPayload::Ignored(Opcode::RequestGuildMembers)),
            "{data}"
        );
    }
}

#[test]
fn members_refused() {
    for data in [
        json!({"guild_id": "x", "query": ""}),
        json!({"guild_id": 0, "query": ""}),
        json!({"guild_id": {}, "query": ""}),
        json!({"guild_id": "7", "query": 1}),
        json!({"guild_id": "7", "query": "", "limit": -1}),
        json!({"guild_id": "7", "query": "", "limit": "all"}),
        json!({"guild_id": "7", "user_ids": ["x"]}),
        json!({"guild_id": "7", "query": "", "presences": 1}),
        json!([]),
        json!(null),
    ] {
        assert_eq!(members(data.clone()), Err(CloseCode::DecodeError), "{data}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    let key = prop_oneof![
        Just("token".to_owned()),
        Just("shard".to_owned()),
        Just("intents".to_owned()),
        Just("properties".to_owned()),
        Just("presence".to_owned()),
        Just("guild_id".to_owned()),
        Just("user_ids".to_owned()),
        Just("query".to_owned()),
        Just("limit".to_owned()),
        Just("session_id".to_owned()),
        Just("seq".to_owned()),
        "\\PC{0,6}",
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn arbitrary_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let answer = parse(&bytes);
        prop_assert!(matches!(
            answer,
            Ok(ClientPayload::Heartbeat(_)) | Err(CloseCode::DecodeError | CloseCode::UnknownOpcode)
        ));
    }

    #[test]
    fn arbitrary_data_is_answered(op in 0_u64..50, data in any_json()) {
        match read(&json!({"op": op, "d": data})) {
            Ok(payload) => prop_assert!(Opcode::from_client(op).is_some(), "{:?}", payload),
            Err(CloseCode::UnknownOpcode) => prop_assert_eq!(Opcode::from_client(op), None),
            Err(code) => prop_assert!(matches!(
                code,
                CloseCode::DecodeError | CloseCode::InvalidShard | CloseCode::InvalidIntents
            )),
        }
    }

    #[test]
    fn a_cut_payload_is_a_decode_error(cut in 1_usize..60) {
        let whole = r#"{"op":6,"d":{"token":"token","session_id":"id","seq":12345}}"#;
        prop_assert!(parse(whole.as_bytes()).is_ok());
        prop_assert_eq!(parse(&whole.as_bytes()[..whole.len() - cut]), Err(CloseCode::DecodeError));
    }
}
