//! Every close code, and what becomes of the session.

use std::time::Duration;

use futures_util::SinkExt as _;
use gateway::GatewayConfig;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::support::{ALL, Server, identify, until};

/// What a fresh connection is closed with after it sent `text`.
async fn after(server: &Server, text: impl Into<String>) -> u16 {
    let mut socket = server.hello().await;
    socket
        .stream
        .send(Message::text(text.into()))
        .await
        .unwrap();
    socket.closed().await
}

fn identify_with(token: &str, key: &str, value: Value) -> String {
    let mut payload = identify(token);
    payload["d"][key] = value;
    payload.to_string()
}

#[tokio::test]
async fn before_a_login() {
    let server = Server::start().await;
    for text in [
        "",
        "{",
        "[]",
        "null",
        "1",
        r#"{"op":"2"}"#,
        r#"{"op":2,"d":[]}"#,
        r#"{"op":1,"d":"x"}"#,
        "\u{1f980}",
    ] {
        assert_eq!(after(&server, text).await, 4002, "{text}");
    }
    assert_eq!(
        after(
            &server,
            format!(r#"{{"op":1,"d":null,"x":"{}"}}"#, "x".repeat(4_096))
        )
        .await,
        4002
    );
    for op in [0, 5, 7, 9, 10, 11, 99] {
        assert_eq!(
            after(&server, json!({"op": op, "d": null}).to_string()).await,
            4001
        );
    }
    for text in [
        json!({"op": 3, "d": {}}),
        json!({"op": 8, "d": {}}),
        json!({"op": 4, "d": {}}),
    ] {
        assert_eq!(after(&server, text.to_string()).await, 4003);
    }
}

#[tokio::test]
async fn logins_refused() {
    let server = Server::start().await;
    let (ann, cleo) = (server.token(&server.ann), server.token(&server.cleo));
    let forged = ann.rsplit_once('.').unwrap().0.to_owned() + ".AAAA";
    for token in ["", "x", "a.b.c", &forged, &"x".repeat(1_000)] {
        assert_eq!(after(&server, identify(token).to_string()).await, 4004);
        let resume = json!({"op": 6, "d": {"token": token, "session_id": "s", "seq": 0}});
        assert_eq!(after(&server, resume.to_string()).await, 4004);
    }
    for shard in [
        json!([1, 1]),
        json!([0, 0]),
        json!([5, 2]),
        json!([0]),
        json!([-1, 2]),
    ] {
        assert_eq!(
            after(&server, identify_with(&ann, "shard", shard)).await,
            4010
        );
    }
    for intents in [json!(1_u64 << 27), json!(u64::MAX), json!(-1), json!(null)] {
        assert_eq!(
            after(&server, identify_with(&ann, "intents", intents)).await,
            4013
        );
    }
    assert_eq!(
        after(&server, identify_with(&cleo, "intents", json!(ALL))).await,
        4014
    );
    assert_eq!(
        after(&server, identify_with(&cleo, "intents", json!(1 << 15))).await,
        4014
    );
    let presence = json!({"status": "dancing"});
    assert_eq!(
        after(&server, identify_with(&ann, "presence", presence)).await,
        4002
    );
    let mut socket = server.hello().await;
    socket
        .send(json!({"op": 2, "d": {"token": cleo, "properties": {}, "intents": 1 | 1 << 9}}))
        .await;
    assert_eq!(socket.payload().await["t"], "READY");
}

#[tokio::test]
async fn versions_and_encodings_refused() {
    let server = Server::start().await;
    for query in [
        "v=8&encoding=json",
        "v=x",
        "v=10&encoding=etf",
        "v=10&encoding=json&compress=br",
    ] {
        let mut socket = server.connect(query).await;
        assert_eq!(socket.closed().await, 4012, "{query}");
    }
}

#[tokio::test]
async fn a_second_login_ends_the_connection_but_not_the_session() {
    let server = Server::start().await;
    let token = server.token(&server.ann);
    let (mut socket, ready) = server.login(&server.ann).await;
    let session = ready["session_id"].as_str().unwrap();
    socket.send(identify(&token)).await;
    assert_eq!(socket.closed().await, 4005);
    let mut again = server.hello().await;
    again.resume(&token, session, socket.last).await;
    again.event("RESUMED").await;
    again.resume(&token, session, again.last).await;
    assert_eq!(again.closed().await, 4005);
}

#[tokio::test]
async fn too_many_payloads_a_minute() {
    let server = Server::with(GatewayConfig::default()).await;
    let (mut socket, _) = server.login(&server.ann).await;
    let voice = json!({"op": 4, "d": {"guild_id": null}});
    // IDENTIFY was the first one.
    for _ in 0..119 {
        socket.send(voice.clone()).await;
    }
    socket.settle().await;
    socket.send(voice).await;
    assert_eq!(socket.closed().await, 4008);
    let mut socket = server.hello().await;
    for _ in 0..120 {
        socket.send(json!({"op": 1, "d": null})).await;
        socket.op(11).await;
    }
    socket.send(json!({"op": 1, "d": null})).await;
    assert_eq!(socket.closed().await, 4008);
}

#[tokio::test]
async fn silence_is_closed_and_the_session_waits() {
    let heartbeat_interval = Duration::from_millis(600);
    let config = GatewayConfig {
        heartbeat_interval,
        rate_limits: false,
        ..GatewayConfig::default()
    };
    let server = Server::with(config).await;
    let (mut socket, ready) = server.login(&server.ann).await;
    assert_eq!(socket.closed().await, 4009);
    let mut again = server.hello().await;
    again
        .resume(
            &server.token(&server.ann),
            ready["session_id"].as_str().unwrap(),
            socket.last,
        )
        .await;
    again.event("RESUMED").await;
    let until_late = tokio::time::Instant::now() + heartbeat_interval * 3;
    while tokio::time::Instant::now() < until_late {
        again.settle().await;
    }
}

#[tokio::test]
async fn who_does_not_log_in_is_closed() {
    let login_within = Duration::from_secs(1);
    let config = GatewayConfig {
        login_within,
        rate_limits: false,
        ..GatewayConfig::default()
    };
    let server = Server::with(config).await;
    let mut silent = server.hello().await;
    let mut beating = server.hello().await;
    beating.settle().await;
    assert_eq!(beating.closed().await, 4003);
    assert_eq!(silent.closed().await, 4003);
    let (mut socket, _) = server.login(&server.ann).await;
    let until_late = tokio::time::Instant::now() + login_within * 2;
    while tokio::time::Instant::now() < until_late {
        socket.settle().await;
    }
}

#[tokio::test]
async fn a_client_that_says_goodbye_is_gone_and_any_other_may_come_back() {
    let server = Server::start().await;
    let token = server.token(&server.ann);
    for (code, resumable) in [
        (1000, false),
        (1001, false),
        (4000, true),
        (1006, true),
        (3000, true),
    ] {
        let (mut socket, ready) = server.login(&server.ann).await;
        let session = ready["session_id"].as_str().unwrap().to_owned();
        let last = socket.last;
        if code == 1006 {
            socket.abort();
        } else {
            socket
                .stream
                .close(Some(CloseFrame {
                    code: code.into(),
                    reason: "bye".into(),
                }))
                .await
                .unwrap();
            assert_eq!(socket.closed().await, code);
        }
        // The session process ends a moment after the connection.
        until("the answer to RESUME", async || {
            let mut again = server.hello().await;
            again.resume(&token, &session, last).await;
            let answer = again.payload().await;
            match resumable {
                true => answer["t"] == "RESUMED",
                false => answer["op"] == 9 && answer["d"] == false,
            }
        })
        .await;
    }
}

#[tokio::test]
async fn void_tokens_end_sessions() {
    let server = Server::start().await;
    let (mut socket, _) = server.login(&server.ann).await;
    chat::session::revoke(&server.chat, server.ann.user.id);
    assert_eq!(socket.closed().await, 4004);
}

#[tokio::test]
async fn a_drain_asks_to_come_back() {
    let server = Server::start().await;
    let (mut socket, _) = server.login(&server.ann).await;
    let chat = server.chat.clone();
    let draining =
        tokio::spawn(async move { chat.drain(Duration::ZERO, Duration::from_secs(10)).await });
    assert_eq!(socket.op(7).await, Value::Null);
    socket
        .stream
        .close(Some(CloseFrame {
            code: 4000.into(),
            reason: "reconnecting".into(),
        }))
        .await
        .unwrap();
    assert_eq!(socket.closed().await, 4000);
    draining.await.unwrap();
}
