//! Rate limits as clients see them: headers on every limited answer, 429 with what to do, and
//! what one account does leaves another's alone.

use std::collections::HashSet;

use serde_json::json;

use crate::support::http::Answer;
use crate::support::{Http, TestNode};

/// More requests at once than any bucket of a message route holds.
const BURST: usize = 40;

#[tokio::test(flavor = "multi_thread")]
async fn every_limited_answer_carries_the_bucket() {
    let node = TestNode::start_with(|config| config.rate_limits = true).await;
    let path = format!("/channels/{}/messages", node.channel());
    let answer = node.http_a().post(&path, &json!({"content": "one"})).await;
    assert!(answer.status.is_success(), "{answer:?}");
    let limit = number(&answer, "x-ratelimit-limit");
    let remaining = number(&answer, "x-ratelimit-remaining");
    assert_eq!(remaining, limit - 1.0, "{answer:?}");
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let reset = number(&answer, "x-ratelimit-reset");
    assert!(
        (reset - now.as_secs_f64()).abs() < 60.0,
        "seconds of the epoch: {answer:?}"
    );
    assert!(number(&answer, "x-ratelimit-reset-after") <= 60.0);
    let bucket = answer.headers["x-ratelimit-bucket"].clone();
    let other = node.http_a().get(&path).await;
    assert_ne!(
        other.headers.get("x-ratelimit-bucket"),
        Some(&bucket),
        "another bucket to read"
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn past_the_limit_it_is_429_and_says_when_to_come_back() {
    let node = TestNode::start_with(|config| config.rate_limits = true).await;
    let path = format!("/channels/{}/messages", node.channel());
    let body = json!({"content": "burst"});
    let (http, path, body) = (&node.http_a(), &path, &body);
    let answers = futures_util::future::join_all((0..BURST).map(|_| http.post(path, body))).await;
    let (taken, refused): (Vec<_>, Vec<_>) = answers
        .into_iter()
        .partition(|answer| answer.status.is_success());
    assert!(!taken.is_empty() && !refused.is_empty());
    for answer in &refused {
        assert_eq!(answer.status.as_u16(), 429, "{answer:?}");
        let retry_after = answer.body["retry_after"].as_f64().unwrap();
        assert!(retry_after > 0.0 && retry_after <= 60.0, "{answer:?}");
        assert!(answer.body["global"].is_boolean() && answer.body["message"].is_string());
        assert!(
            number(answer, "retry-after") >= retry_after.floor(),
            "{answer:?}"
        );
        let scope = answer.headers["x-ratelimit-scope"].to_str().unwrap();
        assert!(["user", "global", "shared"].contains(&scope), "{answer:?}");
    }
    // Refused ones were not stored, taken ones were.
    let taken: HashSet<_> = taken
        .iter()
        .map(|answer| answer.body["id"].clone())
        .collect();
    let stored = node.http_b().all_messages(&node.channel()).await;
    let stored: HashSet<_> = stored.iter().map(|message| message["id"].clone()).collect();
    assert_eq!(
        stored, taken,
        "exactly the accepted ones are there, and the other bot may still ask"
    );

    let wait = refused[0].body["retry_after"].as_f64().unwrap();
    tokio::time::sleep(std::time::Duration::from_secs_f64(wait + 0.05)).await;
    crate::support::eventually("the bucket refills", || async {
        http.post(path, body)
            .await
            .status
            .is_success()
            .then_some(())
    })
    .await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_global_limit_covers_all_routes_of_a_bot() {
    let node = TestNode::start_with(|config| config.rate_limits = true).await;
    let http = &node.http_a();
    let guild = node.guild();
    let paths: Vec<String> = (0..150)
        .map(|number| match number % 5 {
            0 => "/users/@me".to_owned(),
            1 => format!("/guilds/{guild}"),
            2 => format!("/guilds/{guild}/channels"),
            3 => format!("/guilds/{guild}/roles"),
            _ => format!("/channels/{}", node.channel()),
        })
        .collect();
    let answers = futures_util::future::join_all(paths.iter().map(|path| http.get(path))).await;
    let global = answers.iter().find(|answer| answer.body["global"] == true);
    let global = global.expect("150 requests at once are past 50 a second");
    assert_eq!(global.status.as_u16(), 429);
    assert_eq!(global.headers["x-ratelimit-global"], "true", "{global:?}");
    node.http_b()
        .get("/users/@me")
        .await
        .ok("the other bot has its own");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_limits_nothing_is_refused() {
    let node = TestNode::start().await;
    let path = format!("/channels/{}/messages", node.channel());
    let (http, path, body) = (&node.http_a(), &path, &json!({"content": "burst"}));
    for answer in futures_util::future::join_all((0..BURST).map(|_| http.post(path, body))).await {
        answer.ok("a burst without limits");
    }
    let nobody = Http::with_authorization(node.addr(), None);
    assert_eq!(nobody.get("/users/@me").await.status.as_u16(), 401);
    node.stop().await;
}

fn number(answer: &Answer, name: &str) -> f64 {
    let header = answer
        .headers
        .get(name)
        .unwrap_or_else(|| panic!("{name} in {answer:?}"));
    header.to_str().unwrap().parse().unwrap()
}
