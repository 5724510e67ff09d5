//! More logins than the node admits: who waits, who goes first, and what the rest are told.

use std::time::Duration;

use gateway::GatewayConfig;
use gateway::socket::admission::{Rate, WAIT_MAX};
use serde_json::json;

use crate::support::{Said, Server, identify};

fn config(identifies: Rate, resumes: Rate) -> GatewayConfig {
    GatewayConfig {
        rate_limits: false,
        identifies,
        resumes,
        ..GatewayConfig::default()
    }
}

#[tokio::test]
async fn a_login_that_waits_is_alive_and_has_its_turn() {
    let server = Server::with(config(Rate::new(2, 1), Rate::new(1, 1))).await;
    let token = server.token(&server.bob);
    let mut first = server.hello().await;
    first.identify(&token).await;
    let mut second = server.hello().await;
    second.send(identify(&token)).await;
    // Heartbeats are answered while it waits.
    second.send(json!({"op": 1, "d": null})).await;
    assert_eq!(second.payload().await["op"], 11);
    assert_eq!(second.payload().await["t"], "READY");
}

#[tokio::test]
async fn a_second_login_while_the_first_waits_is_4005() {
    let server = Server::with(config(Rate::new(1, 1), Rate::new(1, 1))).await;
    let token = server.token(&server.bob);
    server.hello().await.identify(&token).await;
    let mut socket = server.hello().await;
    socket.send(identify(&token)).await;
    socket.send(identify(&token)).await;
    assert_eq!(socket.closed().await, 4005);
}

#[tokio::test]
async fn a_resume_goes_before_identifies_that_wait() {
    let server = Server::with(config(Rate::new(1, 1), Rate::new(50, 1))).await;
    let token = server.token(&server.bob);
    let mut socket = server.hello().await;
    let ready = socket.identify(&token).await;
    let session = ready["session_id"].as_str().unwrap();
    let last = socket.last;
    socket.abort();
    let mut identifying = Vec::new();
    for _ in 0..3 {
        let mut socket = server.hello().await;
        socket.send(identify(&token)).await;
        identifying.push(socket);
    }
    let mut socket = server.hello().await;
    socket.resume(&token, session, last).await;
    socket.event("RESUMED").await;
    let mut last = identifying.pop().unwrap();
    last.send(json!({"op": 1, "d": null})).await;
    assert_eq!(last.payload().await["op"], 11, "it still waits");
}

#[tokio::test]
async fn who_cannot_be_admitted_in_time_is_told_to_come_back() {
    let server = Server::with(config(Rate::new(1, 1), Rate::new(1, 1))).await;
    let token = server.token(&server.bob);
    let mut socket = server.hello().await;
    let ready = socket.identify(&token).await;
    let session = ready["session_id"].as_str().unwrap();
    // Fills both lines: each of these waits its turn, or more.
    let mut waiting = Vec::new();
    for number in 0..2 * (WAIT_MAX.as_secs() + 2) {
        let mut socket = server.hello().await;
        match number % 2 {
            0 => socket.send(identify(&token)).await,
            _ => socket.resume(&token, session, 1).await,
        }
        waiting.push(socket);
    }
    let mut late = server.hello().await;
    late.send(identify(&token)).await;
    let mut later = server.hello().await;
    later.resume(&token, session, 1).await;
    let told = tokio::time::timeout(Duration::from_secs(8), async {
        (late.next().await, later.next().await)
    });
    let (late, later) = told.await.expect("not held for longer than that");
    match (late, later) {
        (Said::Payload(identify), Said::Payload(resume)) => {
            assert_eq!(
                (&identify["op"], &identify["d"]),
                (&json!(9), &json!(false))
            );
            assert_eq!(resume["op"], 7, "its session stays: {resume}");
        }
        other => panic!("{other:?}"),
    }
}
