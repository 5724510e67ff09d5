//! HELLO, IDENTIFY, READY, and who gets in.

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use futures_util::SinkExt as _;

use crate::support::{ALL, Server, identify};

#[tokio::test]
async fn hello_comes_first_and_heartbeats_are_answered_before_a_login() {
    let server = Server::start().await;
    let mut socket = server.connect("v=10&encoding=json").await;
    let hello = socket.payload().await;
    assert_eq!(
        (&hello["op"], &hello["d"]["heartbeat_interval"]),
        (&json!(10), &json!(41_250))
    );
    for payload in [
        json!({"op": 1, "d": null}),
        json!({"op": 1, "d": 5}),
        json!({"op": 40, "d": {"seq": 1}}),
    ] {
        socket.send(payload).await;
        assert_eq!(socket.op(11).await, json!({}));
    }
    socket.identify(&server.token(&server.ann)).await;
}

#[tokio::test]
async fn ready_then_the_guild() {
    let server = Server::start().await;
    let mut socket = server.hello().await;
    let ready = socket.identify(&server.token(&server.ann)).await;
    assert_eq!(ready["v"], 10);
    assert_eq!(ready["user"]["id"], server.ann.user.id.to_string());
    assert_eq!(
        ready["guilds"],
        json!([{"id": server.guild.to_string(), "unavailable": true}])
    );
    assert_eq!(ready["application"]["id"], server.ann.user.id.to_string());
    assert_eq!(
        ready["resume_gateway_url"],
        format!("ws://{}", server.address)
    );
    assert!(ready.get("shard").is_none());
    let created = socket.payload().await;
    assert_eq!(
        (&created["t"], &created["s"]),
        (&json!("GUILD_CREATE"), &json!(2))
    );
    assert_eq!(created["d"]["id"], server.guild.to_string());
    assert_eq!(created["d"]["unavailable"], false);
}

#[tokio::test]
async fn any_order_of_parameters_two_slashes_and_version_9() {
    let server = Server::start().await;
    let mut socket = server.connect("encoding=json&v=9").await;
    socket.op(10).await;
    assert_eq!(socket.identify(&server.token(&server.ann)).await["v"], 9);
    let stream = TcpStream::connect(server.address).await.unwrap();
    let url = format!("ws://{}//?v=10&encoding=json", server.address);
    tokio_tungstenite::client_async(url, stream).await.unwrap();
}

#[tokio::test]
async fn tokens_with_a_prefix_and_json_in_binary_frames() {
    let server = Server::start().await;
    let mut socket = server.hello().await;
    let text = identify(&format!("Bot {}", server.token(&server.ann))).to_string();
    socket
        .stream
        .send(Message::binary(text.into_bytes()))
        .await
        .unwrap();
    assert_eq!(socket.payload().await["t"], "READY");
}

#[tokio::test]
async fn people_need_no_intents() {
    let server = Server::start().await;
    let mut socket = server.hello().await;
    socket.send(json!({"op": 2, "d": {
        "token": server.token(&server.dora), "capabilities": 16_381, "properties": {"browser": "Firefox"},
        "presence": {"status": "online", "since": 0, "activities": [], "afk": false},
        "client_state": {"guild_versions": {}},
    }})).await;
    assert_eq!(socket.payload().await["t"], "READY");
    socket.event("GUILD_CREATE").await;
    server.post("seen by people").await;
    assert_eq!(
        socket.event("MESSAGE_CREATE").await["content"],
        "seen by people"
    );
}

#[tokio::test]
async fn a_message_reaches_the_other_bot() {
    let server = Server::start().await;
    let (mut ann, _) = server.login(&server.ann).await;
    let (mut bob, _) = server.login(&server.bob).await;
    server.post("hello").await;
    for socket in [&mut ann, &mut bob] {
        assert_eq!(socket.event("MESSAGE_CREATE").await["content"], "hello");
    }
}

#[tokio::test]
async fn a_guild_is_on_one_shard() {
    let server = Server::start().await;
    let home = (server.guild.get() >> 22) % 2;
    for shard in [0, 1] {
        let mut socket = server.hello().await;
        let token = server.token(&server.ann);
        socket.send(json!({"op": 2, "d": {"token": token, "properties": {}, "intents": ALL, "shard": [shard, 2]}})).await;
        let ready = socket.event("READY").await;
        assert_eq!(ready["shard"], json!([shard, 2]));
        assert_eq!(
            ready["guilds"].as_array().unwrap().len(),
            usize::from(shard == home)
        );
    }
}

#[tokio::test]
async fn a_login_too_soon_after_the_last_one_is_told_so_and_may_wait() {
    let server = Server::with(gateway::GatewayConfig::default()).await;
    server.login(&server.ann).await;
    let mut socket = server.hello().await;
    socket.send(identify(&server.token(&server.ann))).await;
    assert_eq!(socket.op(9).await, false);
    socket.settle().await;
    server.login(&server.bob).await;
    let left = server.context.sockets().session_starts(server.ann.user.id);
    assert_eq!(
        left.remaining,
        gateway::socket::limits::SESSION_STARTS_MAX - 1
    );
}

#[tokio::test]
async fn a_draining_node_takes_no_connections() {
    let server = Server::start().await;
    let (mut socket, _) = server.login(&server.ann).await;
    server.context.set_ready(false);
    let stream = TcpStream::connect(server.address).await.unwrap();
    let refused =
        tokio_tungstenite::client_async(format!("ws://{}/?v=10", server.address), stream).await;
    match refused {
        Err(tokio_tungstenite::tungstenite::Error::Http(response)) => {
            assert_eq!(response.status(), 503)
        }
        other => panic!("{other:?}"),
    }
    socket.settle().await;
}

#[tokio::test]
async fn a_broken_handshake_is_a_bad_request() {
    let server = Server::start().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let request = "GET /?v=10 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 400");
}
