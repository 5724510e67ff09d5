//! Connections with a compression context: one stream for stock decompressors, and fewer bytes.

use chat::guild::command::Actor;
use gateway::GatewayConfig;
use gateway::socket::compression::{ContextFor, ContextPolicy};
use serde_json::{Value, json};

use crate::support::{ALL, Server, Socket};

/// Messages of one run.
const MESSAGES: usize = 60;

const BOTH: [&str; 2] = ["zlib-stream", "zstd-stream"];

async fn server(connections: ContextFor) -> Server {
    server_with(ContextPolicy {
        connections,
        ..ContextPolicy::default()
    })
    .await
}

async fn server_with(compression_context: ContextPolicy) -> Server {
    Server::with(GatewayConfig {
        rate_limits: false,
        compression_context,
        ..GatewayConfig::default()
    })
    .await
}

async fn connect(server: &Server, compress: &str) -> Socket {
    let query = format!("v=10&encoding=json&compress={compress}");
    let mut socket = server.connect(&query).await;
    socket.op(10).await;
    socket
}

/// A session of Bob's, up to its guild; gives its id as well.
async fn login(server: &Server, compress: &str, properties: Value) -> (Socket, String) {
    let mut socket = connect(server, compress).await;
    let token = server.token(&server.bob);
    let data = json!({"token": token, "properties": properties, "intents": ALL});
    socket.send(json!({"op": 2, "d": data})).await;
    let ready = socket.event("READY").await;
    socket.event("GUILD_CREATE").await;
    // Its login is behind it.
    socket.settle().await;
    (socket, ready["session_id"].as_str().unwrap().to_owned())
}

/// Posts some messages that are much alike, with heartbeats among them, and gives the bytes they took.
async fn bytes_of_a_run(server: &Server, socket: &mut Socket) -> usize {
    let before = socket.binary_bytes;
    for number in 0..MESSAGES {
        let content = format!("{number}: ünïcode 🦀 {}", "x".repeat(number % 30));
        server.post(&content).await;
        let message = socket.event("MESSAGE_CREATE").await;
        assert_eq!(message["content"], content);
        if number % 10 == 0 {
            socket.settle().await;
        }
    }
    socket.binary_bytes - before
}

#[tokio::test]
async fn a_connection_with_a_context_gets_half_the_bytes_and_less() {
    for compress in BOTH {
        let mut taken = Vec::new();
        for connections in [ContextFor::All, ContextFor::Off] {
            let server = server(connections).await;
            let (mut socket, _) = login(&server, compress, json!({"os": "linux"})).await;
            taken.push(bytes_of_a_run(&server, &mut socket).await);
        }
        assert!(taken[0] * 2 < taken[1], "{compress}: {taken:?}");
    }
}

#[tokio::test]
async fn what_goes_to_more_than_the_limit_is_shared() {
    for compress in BOTH {
        let server = server_with(ContextPolicy {
            connections: ContextFor::All,
            recipients_max: 1,
            ..ContextPolicy::default()
        })
        .await;
        let (mut socket, _) = login(&server, compress, json!({"os": "linux"})).await;
        let alone = bytes_of_a_run(&server, &mut socket).await;
        let (_another, _) = login(&server, compress, json!({"os": "linux"})).await;
        let shared = bytes_of_a_run(&server, &mut socket).await;
        assert!(alone * 2 < shared, "{compress}: {alone} of {shared}");
    }
}

#[tokio::test]
async fn a_guild_that_goes_around_the_context_does_no_harm() {
    for compress in BOTH {
        let server = server(ContextFor::All).await;
        let (mut socket, _) = login(&server, compress, json!({"os": "linux"})).await;
        let before = bytes_of_a_run(&server, &mut socket).await;
        let another = chat::guild::create_guild(&server.chat, &server.ann.user, "Another")
            .await
            .unwrap();
        let bob = server.bob.user.id;
        chat::guild::add_member(&server.chat, Actor::System, another.guild.id, bob)
            .await
            .unwrap();
        let guild = socket.event("GUILD_CREATE").await;
        assert_eq!(guild["name"], "Another");
        let after = bytes_of_a_run(&server, &mut socket).await;
        assert!(after < before * 2, "{compress}: {after} after {before}");
    }
}

#[tokio::test]
async fn a_phone_has_a_context_after_it_resumed_too() {
    let server = server(ContextFor::Mobile).await;
    let token = server.token(&server.bob);
    for compress in BOTH {
        let (mut other, _) = login(&server, compress, json!({"os": "Windows"})).await;
        let shared = bytes_of_a_run(&server, &mut other).await;
        let (mut phone, session) = login(&server, compress, json!({"$os": "android"})).await;
        let own = bytes_of_a_run(&server, &mut phone).await;
        assert!(own * 2 < shared, "{compress}: {own} of {shared}");
        let last = phone.last;
        phone.abort();
        server.post("while it was away").await;
        let mut phone = connect(&server, compress).await;
        phone.resume(&token, &session, last).await;
        phone.event("RESUMED").await;
        phone.settle().await;
        let resumed = bytes_of_a_run(&server, &mut phone).await;
        assert!(resumed * 2 < shared, "{compress}: {resumed} of {shared}");
    }
}
