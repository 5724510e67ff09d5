//! Compression, as stock decompressors see it, over whole sessions.

use serde_json::json;

use crate::support::{ALL, Server};

async fn two_thousand_messages(compress: &str) {
    let server = Server::start().await;
    let mut socket = server
        .connect(&format!("v=10&encoding=json&compress={compress}"))
        .await;
    socket.op(10).await;
    // discord.py asks for both; the stream wins.
    let token = server.token(&server.bob);
    socket.send(json!({"op": 2, "d": {"token": token, "properties": {}, "intents": ALL, "compress": true}})).await;
    socket.event("GUILD_CREATE").await;
    for number in 0..2_000 {
        server
            .post(&format!("{number} ünïcode 🦀 {}", "x".repeat(number % 300)))
            .await;
        if number % 500 == 0 {
            socket.send(json!({"op": 1, "d": socket.last})).await;
        }
    }
    for number in 0..2_000 {
        let content = loop {
            let payload = socket.payload().await;
            if payload["t"] == "MESSAGE_CREATE" {
                break payload["d"]["content"].as_str().unwrap().to_owned();
            }
        };
        assert_eq!(
            content,
            format!("{number} ünïcode 🦀 {}", "x".repeat(number % 300))
        );
    }
    assert!(socket.binary > 2_000);
}

#[tokio::test]
async fn a_zlib_stream() {
    two_thousand_messages("zlib-stream").await;
}

#[tokio::test]
async fn a_zstd_stream() {
    two_thousand_messages("zstd-stream").await;
}

#[tokio::test]
async fn payload_compression_is_for_large_payloads_only() {
    let server = Server::start().await;
    let mut socket = server.hello().await;
    let token = server.token(&server.bob);
    socket.send(json!({"op": 2, "d": {"token": token, "properties": {}, "intents": ALL, "compress": true}})).await;
    socket.event("GUILD_CREATE").await;
    let before = socket.binary;
    server.post("short").await;
    assert_eq!(socket.event("MESSAGE_CREATE").await["content"], "short");
    assert_eq!(socket.binary, before);
    let long = "long 🦀 ".repeat(280);
    server.post(&long).await;
    assert_eq!(
        socket.event("MESSAGE_CREATE").await["content"]
            .as_str()
            .unwrap()
            .trim(),
        long.trim()
    );
}

#[tokio::test]
async fn without_asking_everything_is_text() {
    let server = Server::start().await;
    let (mut socket, _) = server.login(&server.bob).await;
    server.post(&"x".repeat(2_000)).await;
    socket.event("MESSAGE_CREATE").await;
    assert_eq!(socket.binary, 0);
}
