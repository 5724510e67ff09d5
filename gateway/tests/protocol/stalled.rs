//! Readers that stop: the others have everything as it comes, and those who stopped read on without
//! a gap or are told that they cannot.

use futures_util::future::join_all;
use gateway::GatewayConfig;

use crate::support::{Said, Server, Socket, until};

/// Sessions of each kind.
const READERS: usize = 12;
const STALLED: usize = 4;
/// Kept for RESUME.
const KEPT: usize = 500;
/// Messages of about 2.8 KB: the kernel holds some hundred of them, a connection some dozen, the
/// ring [`KEPT`].
const MESSAGES: usize = 3_000;
/// Of these the last are within what is kept.
const LATE: usize = 300;

/// Reads up to message number `last`; the numbers, or those up to op 9.
async fn read(socket: &mut Socket, last: usize) -> (Vec<usize>, bool) {
    let mut numbers = Vec::new();
    loop {
        let payload = match socket.next().await {
            Said::Payload(payload) => payload,
            other => panic!("{other:?}"),
        };
        if payload["op"] == 9 {
            assert_eq!(payload["d"], false);
            return (numbers, true);
        }
        if payload["t"] != "MESSAGE_CREATE" {
            continue;
        }
        let content = payload["d"]["content"].as_str().unwrap();
        let number = content.split(' ').next().unwrap().parse().unwrap();
        numbers.push(number);
        if number == last {
            return (numbers, false);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_read_have_everything_and_those_who_stop_are_told() {
    let config = GatewayConfig {
        rate_limits: false,
        ..GatewayConfig::default()
    };
    let server = Server::keeping(config, KEPT).await;
    let token = server.token(&server.bob);
    let mut sockets = Vec::new();
    for _ in 0..READERS + 2 * STALLED {
        let mut socket = server.narrow().await;
        socket.identify(&token).await;
        socket.event("GUILD_CREATE").await;
        sockets.push(socket);
    }
    let mut late = sockets.split_off(READERS + STALLED);
    let mut stalled = sockets.split_off(READERS);
    let reading = sockets
        .into_iter()
        .map(|mut socket| tokio::spawn(async move { read(&mut socket, MESSAGES - 1).await }));
    let reading: Vec<_> = reading.collect();
    let text = "x".repeat(1_900);
    for number in 0..MESSAGES {
        server.post(&format!("{number} {text}")).await;
        if number + LATE < MESSAGES {
            // They stop later.
            for socket in &mut late {
                assert_eq!(read(socket, number).await, (vec![number], false));
            }
        }
    }
    for read in join_all(reading).await {
        assert_eq!(read.unwrap(), ((0..MESSAGES).collect(), false));
    }
    // Their rings are over the limit: their sessions have ended by themselves.
    until("the stalled are given up", async || {
        chat::session::count(&server.chat) == READERS + STALLED
    })
    .await;
    for socket in &mut stalled {
        let (numbers, told) = read(socket, MESSAGES - 1).await;
        assert!(told, "it cannot have all");
        assert_eq!(numbers, (0..numbers.len()).collect::<Vec<_>>(), "no gap");
        assert!(numbers.len() < MESSAGES - KEPT);
    }
    for socket in &mut late {
        let due = (MESSAGES - LATE..MESSAGES).collect();
        assert_eq!(read(socket, MESSAGES - 1).await, (due, false));
    }
}
