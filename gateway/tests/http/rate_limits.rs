//! Rate limits as a client meets them.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

use crate::support::{Reply, Server};

#[tokio::test]
async fn the_sixth_message_waits_exactly_as_told() {
    let server = Server::with(true).await;
    let post = async || {
        server
            .ann
            .post(&server.at("/messages"), json!({"content": "x"}))
            .await
    };
    for left in (0..5).rev() {
        let reply = post().await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("x-ratelimit-limit"), "5");
        assert_eq!(reply.header("x-ratelimit-remaining"), left.to_string());
        assert!(!reply.header("x-ratelimit-bucket").is_empty());
    }
    let refused = post().await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("x-ratelimit-scope"), "user");
    assert!(
        refused.headers.get("via").is_some(),
        "some clients take a 429 without it for a ban"
    );
    assert!(refused.headers.get("x-ratelimit-global").is_none());
    assert_eq!(refused.body["message"], "You are being rate limited.");
    assert_eq!(refused.body["global"], false);
    let wait = refused.body["retry_after"].as_f64().unwrap();
    assert!(wait > 0.0 && wait <= 5.0, "{wait}");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    let other = server
        .bob
        .post(&server.at("/messages"), json!({"content": "x"}))
        .await;
    assert_eq!(other.status, 200, "another account has its own limit");
    // Not a guess at how long something takes: the promise under test is this very number.
    tokio::time::sleep(std::time::Duration::from_secs_f64(wait)).await;
    assert_eq!(post().await.status, 200, "after waiting as told");
}

#[tokio::test]
async fn an_account_has_a_limit_over_all_routes() {
    let server = Server::with(true).await;
    // Together, and again if this machine was too slow to send them within a second.
    let deadline = std::time::Instant::now() + crate::support::DEADLINE;
    let refused = loop {
        let paths: Vec<String> = (1..=120)
            .map(|number| format!("/channels/{number}"))
            .collect();
        let replies = join_all(paths.iter().map(|path| server.ann.get(path))).await;
        if let Some(refused) = replies.into_iter().find(|reply| reply.status == 429) {
            break refused;
        }
        assert!(std::time::Instant::now() < deadline, "never limited");
    };
    assert_eq!(refused.header("x-ratelimit-global"), "true");
    assert_eq!(refused.header("x-ratelimit-scope"), "global");
    assert_eq!(refused.body["global"], true);
}

#[tokio::test]
async fn limits_can_be_turned_off() {
    let server = Server::start().await;
    for _ in 0..20 {
        let reply = server
            .ann
            .post(&server.at("/messages"), json!({"content": "x"}))
            .await;
        assert_eq!(reply.status, 200);
        assert!(reply.headers.get("x-ratelimit-limit").is_none());
    }
}

#[tokio::test]
async fn routes_without_a_token_are_limited_by_address() {
    let server = Server::with(true).await;
    let reply = Reply::of(server.ann.anonymous(Method::GET, "/api/v10/gateway")).await;
    assert_eq!(reply.header("x-ratelimit-limit"), "50");
}
