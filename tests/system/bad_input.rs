//! Bad input at the gateway: each case gets its documented close code, and nobody else notices.
//! Codes: Discord docs, Opcodes and Status Codes, "Gateway Close Event Codes".

use std::time::Duration;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::gateway::identify;
use crate::support::{ALL_INTENTS, Gateway, Received, TestNode};

#[tokio::test(flavor = "multi_thread")]
async fn broken_payloads_before_identify() {
    let node = TestNode::start().await;
    for (case, text, code) in [
        ("malformed JSON", "{\"op\":1,".to_owned(), 4002),
        ("not an object", "[1,2,3]".to_owned(), 4002),
        ("no opcode", "{}".to_owned(), 4002),
        (
            "opcode of a wrong type",
            "{\"op\":\"x\",\"d\":null}".to_owned(),
            4002,
        ),
        ("unknown opcode", "{\"op\":99,\"d\":null}".to_owned(), 4001),
        (
            "deeply nested",
            format!("{}{}", "[".repeat(2_000), "]".repeat(2_000)),
            4002,
        ),
        (
            "presence before identify",
            json!({"op": 3, "d": {}}).to_string(),
            4003,
        ),
        (
            "members before identify",
            json!({"op": 8, "d": {}}).to_string(),
            4003,
        ),
        (
            "oversize payload",
            json!({"op": 1, "d": null, "x": "y".repeat(4_096)}).to_string(),
            4002,
        ),
        (
            "identify without a body",
            json!({"op": 2, "d": null}).to_string(),
            4002,
        ),
    ] {
        let mut gateway = Gateway::connect(node.addr()).await;
        gateway.send_text(text).await;
        assert_eq!(gateway.closed().await, Some(code), "{case}");
    }
    node.still_works().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_identifies() {
    let node = TestNode::start().await;
    let token = &node.env().token_b;
    let with = |change: &dyn Fn(&mut Value)| {
        let mut payload = identify(token, ALL_INTENTS);
        change(&mut payload["d"]);
        payload
    };
    for (case, payload, code) in [
        ("bad token", identify("not.a.token", ALL_INTENTS), 4004),
        (
            "a token with a wrong signature",
            identify(&format!("{token}x"), ALL_INTENTS),
            4004,
        ),
        ("empty token", identify("", ALL_INTENTS), 4004),
        (
            "token of a wrong type",
            with(&|d| d["token"] = json!(7)),
            4002,
        ),
        ("invalid intents", identify(token, 1 << 40), 4013),
        (
            "shard beyond the count",
            with(&|d| d["shard"] = json!([2, 2])),
            4010,
        ),
        ("no shards", with(&|d| d["shard"] = json!([0, 0])), 4010),
    ] {
        let mut gateway = Gateway::connect(node.addr()).await;
        gateway.send(&payload).await;
        assert_eq!(gateway.closed().await, Some(code), "{case}");
    }
    for (case, shard) in [
        ("one number", json!([0])),
        ("words", json!(["a", "b"])),
        ("text", json!("0/1")),
    ] {
        let mut gateway = Gateway::connect(node.addr()).await;
        gateway.send(&with(&|d| d["shard"] = shard.clone())).await;
        let code = gateway.closed().await;
        assert!(
            matches!(code, Some(4002 | 4010)),
            "shard as {case}: {code:?}"
        );
    }
    node.still_works().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_really_send_is_taken() {
    let node = TestNode::start().await;
    let token = &node.env().token_b;
    // The Bot prefix, JSON in a binary frame, a heartbeat first, any order of parameters, `//`.
    let mut gateway = Gateway::connect_to(node.addr(), "//?encoding=json&v=9").await;
    assert_eq!(gateway.payload().await["op"], 10);
    gateway.send(&json!({"op": 1, "d": null})).await;
    gateway.opcode(11).await;
    let payload = identify(&format!("Bot {token}"), ALL_INTENTS).to_string();
    gateway.send_message(Message::binary(payload)).await;
    gateway.read_ready().await;
    gateway.dispatch("GUILD_CREATE").await;
    gateway.heartbeat().await;
    gateway.close(1000).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_payloads_after_identify() {
    let node = TestNode::start().await;
    let token = &node.env().token_b;
    for (case, payload, code) in [
        ("second identify", identify(token, ALL_INTENTS), 4005),
        ("unknown opcode", json!({"op": 77, "d": {}}), 4001),
        ("a server's opcode", json!({"op": 11, "d": null}), 4001),
        ("presence that is none", json!({"op": 3, "d": [1]}), 4002),
        ("members that are none", json!({"op": 8, "d": "all"}), 4002),
        (
            "heartbeat of a wrong type",
            json!({"op": 1, "d": {"a": 1}}),
            4002,
        ),
    ] {
        let mut gateway = node.gateway_b().await;
        gateway.send(&payload).await;
        assert_eq!(gateway.closed().await, Some(code), "{case}");
    }
    node.still_works().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_version_is_4012() {
    let node = TestNode::start().await;
    for path in [
        "/?v=3&encoding=json",
        "/?v=99&encoding=json",
        "/?v=ten&encoding=json",
    ] {
        let mut gateway = Gateway::connect_to(node.addr(), path).await;
        assert_eq!(gateway.closed().await, Some(4012), "{path}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_payloads_are_4008() {
    let node = TestNode::start_with(|config| config.rate_limits = true).await;
    let mut gateway = node.gateway_b().await;
    let presence =
        json!({"op": 3, "d": {"since": null, "activities": [], "status": "idle", "afk": false}});
    // The socket may be closed while the rest is being sent.
    for _ in 0..200 {
        if gateway
            .send_bytes(&masked(0x81, presence.to_string().as_bytes()))
            .await
            .is_err()
        {
            break;
        }
    }
    let code = gateway.closed().await;
    assert!(matches!(code, Some(4008)), "{code:?}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_thousand_fragments_are_cut_early_and_memory_stays_flat() {
    let node = TestNode::start().await;
    let before = resident_kib();
    let mut gateway = Gateway::connect(node.addr()).await;
    let mut frames = masked(0x01, b" ");
    for _ in 0..40_000 {
        frames.extend_from_slice(&masked(0x00, b" "));
    }
    // No final frame: a server that waits for the end of the message would wait for ever.
    let _ = gateway.send_bytes(&frames).await;
    let code = gateway.closed().await;
    assert!(
        matches!(code, Some(1002 | 1008 | 1009 | 4002) | None),
        "{code:?}"
    );
    let grown = resident_kib().saturating_sub(before);
    assert!(grown < 64 * 1_024, "{grown} KiB for a few bytes");
    node.still_works().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_frames_end_only_their_own_connection() {
    let node = TestNode::start().await;
    let mut masked_huge = vec![0x81, 0x80 | 127];
    masked_huge.extend_from_slice(&u64::MAX.to_be_bytes());
    masked_huge.extend_from_slice(&[0; 4]);
    for (case, bytes) in [
        ("not masked", vec![0x81, 0x02, b'{', b'}']),
        ("reserved bits", masked(0xF1, b"{}")),
        ("reserved opcode", masked(0x83, b"{}")),
        ("a frame of 2^64 bytes", masked_huge),
        ("a frame of 1 MiB", masked(0x81, &vec![b' '; 1 << 20])),
        ("continuation of nothing", masked(0x80, b"{}")),
        ("a control frame in pieces", masked(0x09, b"ping")),
        ("invalid UTF-8", masked(0x81, &[0xC3, 0x28])),
        ("not WebSocket at all", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
    ] {
        let mut gateway = Gateway::connect(node.addr()).await;
        let _ = gateway.send_bytes(&bytes).await;
        match gateway.receive().await {
            Received::Closed(_) => {}
            Received::Payload(payload) => panic!("{case}: {payload}"),
        }
    }
    node.still_works().await;
    node.stop().await;
}

/// A connection that never speaks is closed by the server, without help of the client. The limit
/// is the handshake's; a busy machine gets some room.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_socket_is_closed() {
    let node = TestNode::start().await;
    let begin = tokio::time::Instant::now();
    let silent = tokio::net::TcpStream::connect(node.addr()).await.unwrap();
    let mut gateway = Gateway::connect(node.addr()).await;
    let limit = Duration::from_secs(90);
    let ended = tokio::time::timeout(limit, async {
        // Each read waits at most its own deadline; the connection is looked at until it ends.
        let closed = gateway.closed_within(limit).await;
        let mut byte = [0];
        silent.readable().await.unwrap();
        let read = silent.try_read(&mut byte);
        (closed, read.map(|count| count == 0).unwrap_or(true))
    })
    .await;
    let (code, silent_closed) = ended.expect("both are closed in time");
    assert!(
        matches!(code, Some(4003 | 4009)),
        "{code:?} after {:?}",
        begin.elapsed()
    );
    assert!(
        silent_closed,
        "a socket that never sent a request is closed too"
    );
    node.still_works().await;
    node.stop().await;
}

/// A client frame: first byte, mask, payload.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x12, 0x34, 0x56, 0x78];
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&mask);
    frame.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    frame
}

/// Resident memory of this process, which carries the node.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
