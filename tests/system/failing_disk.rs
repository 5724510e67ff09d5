//! A node whose disk is full, or fails: what a client sees, and how it goes on. Needs disks that can
//! fail: `tests/disk/run.sh cargo test --test system -- disk_`.

use std::time::Duration;

use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::json;
use twilight_http::Client;
use twilight_http::error::ErrorType;
use twilight_model::id::Id;

use crate::support::{ALL_INTENTS, Answer, Gateway, Http, Process, eventually};

#[path = "../../storage/tests/support/disk.rs"]
mod disk;

use disk::Disk;

const ARGUMENTS: [&str; 2] = ["--rate-limits", "off"];

async fn send(node: &Process, content: &str) -> Answer {
    let path = format!("/channels/{}/messages", node.var("CHANNEL_ID"));
    node.http_a()
        .post(&path, &json!({"content": content}))
        .await
}

async fn upload(node: &Process) -> Answer {
    let form = Form::new().part("files[0]", Part::bytes(vec![7; 9]).file_name("data.txt"));
    let (http, path) = (
        node.http_a(),
        format!("/channels/{}/messages", node.var("CHANNEL_ID")),
    );
    http.send(http.request(Method::POST, &path).multipart(form))
        .await
}

/// The contents of the channel's messages, newest first.
async fn history(node: &Process) -> Vec<String> {
    let path = format!("/channels/{}/messages", node.var("CHANNEL_ID"));
    let page = node.http_a().get(&path).await.ok("history");
    let content = |message: &serde_json::Value| message["content"].as_str().unwrap().to_owned();
    page.as_array().unwrap().iter().map(content).collect()
}

async fn metric(http: &Http, name: &str) -> f64 {
    let text = http.get_plain("/metrics").await.text;
    let values = text.lines().filter(|line| line.starts_with(name));
    let values = values.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
    values.sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disk_that_is_full_is_told_and_goes_on_when_there_is_room() {
    let Some(disk) = Disk::make("node-full", "ext4", "2G") else {
        return;
    };
    let mut node = Process::dev(disk.place(), &ARGUMENTS);
    send(&node, "before").await.ok("there is room");
    let mut reader = Gateway::login(node.addr(), node.var("TOKEN_B"), ALL_INTENTS).await;
    disk.fill(300);
    for _ in 0..3 {
        for refused in [send(&node, "refused").await, upload(&node).await] {
            refused.refused("the disk is full", 503, 0);
            let text = refused.body["message"].as_str().unwrap();
            assert!(
                text.contains("disk") && text.contains("nothing was changed"),
                "{text}"
            );
            assert!(refused.headers.contains_key("retry-after"), "{refused:?}");
        }
    }
    let stock = Client::builder()
        .token(format!("Bot {}", node.var("TOKEN_A")))
        .proxy(node.addr().to_string(), true)
        .ratelimiter(None)
        .build();
    let channel = Id::new(node.var("CHANNEL_ID").parse().unwrap());
    let told = stock.create_message(channel).content("refused").await;
    let told = told.unwrap_err();
    assert!(
        matches!(told.kind(), ErrorType::Response { status, .. } if status.get() == 503),
        "{told:?}"
    );
    // Everything else goes on.
    assert_eq!(history(&node).await, ["before"]);
    let another = Gateway::login(node.addr(), node.var("TOKEN_A"), ALL_INTENTS).await;
    another.close(1000).await;
    let http = node.http_a();
    for path in ["/healthz", "/readyz"] {
        assert_eq!(
            http.get_plain(path).await.status,
            200,
            "a restart does not help"
        );
    }
    assert!(metric(&http, "guildhall_disk_refused_total").await >= 6.0);
    assert!(metric(&http, "guildhall_disk_free_bytes{of=\"store\"}").await < 400.0 * 1_048_576.0);
    disk.free();
    let sent = stock.create_message(channel).content("after").await;
    assert!(sent.is_ok(), "there is room again: {sent:?}");
    upload(&node).await.ok("for files too");
    assert_eq!(history(&node).await, ["", "after", "before"]);
    // Nobody heard of what was refused.
    loop {
        let event = reader.dispatch("MESSAGE_CREATE").await;
        assert_ne!(event["content"], "refused");
        if event["content"] == "after" {
            break;
        }
    }
    // Full to the brim it still stops in order, and starts for those who read.
    disk.fill(0);
    node.terminate();
    assert!(node.wait(Duration::from_secs(30)).success());
    let mut node = Process::dev(disk.place(), &ARGUMENTS);
    assert_eq!(history(&node).await, ["", "after", "before"]);
    let refused = send(&node, "refused").await;
    refused.refused("the disk is full", 503, 0);
    node.terminate();
    assert!(node.wait(Duration::from_secs(30)).success());
}

/// The storage behind the disk gives out, which a sync tells when it is too late. Reads go on; when it
/// works again the node ends, to be started again, and has everything acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disk_that_fails_is_read_until_a_restart_helps() {
    let Some(disk) = Disk::make("node-thin", "thin", "2G") else {
        return;
    };
    let mut node = Process::dev(disk.place(), &ARGUMENTS);
    let mut acknowledged = Vec::new();
    for number in 0..20 {
        acknowledged.insert(0, format!("message {number}"));
        send(&node, &acknowledged[0]).await.ok("the disk works");
    }
    disk.fill(0);
    // What is already allocated is still written.
    let first = loop {
        let text = format!("message {}", acknowledged.len());
        let answer = send(&node, &text).await;
        if !answer.status.is_success() {
            break answer;
        }
        acknowledged.insert(0, text);
    };
    first.refused("it may be in the journal", 500, 0);
    for _ in 0..3 {
        let refused = send(&node, "refused").await;
        refused.refused("no more writes", 503, 0);
        let text = refused.body["message"].as_str().unwrap();
        assert!(
            text.contains("disk") && text.contains("nothing was changed"),
            "{text}"
        );
    }
    let http = node.http_a();
    eventually("it has looked at the disk", || async {
        let looks = metric(&http, "guildhall_store_mend_checks_total").await;
        (looks >= 2.0).then_some(())
    })
    .await;
    let newest = acknowledged.iter().take(50).cloned().collect::<Vec<_>>();
    assert_eq!(history(&node).await, newest, "reads go on");
    assert_eq!(http.get_plain("/healthz").await.status, 503);
    assert_eq!(metric(&http, "guildhall_store_broken_total").await, 1.0);
    disk.free();
    let ended = node.wait(Duration::from_secs(30));
    assert_eq!(ended.code(), Some(1), "it wants to be started again");
    drop(node);
    // Nothing is remembered but what is on the disk.
    disk.power();
    let mut node = Process::dev(disk.place(), &ARGUMENTS);
    send(&node, "after").await.ok("it writes again");
    let mut found = history(&node).await;
    assert_eq!(found.remove(0), "after");
    // The one with the unknown outcome may be there.
    if found.first() != newest.first() {
        found.remove(0);
    }
    assert!(!found.contains(&"refused".to_owned()));
    let both = found.len().min(newest.len());
    assert!(both >= 20);
    assert_eq!(found[..both], newest[..both]);
    node.terminate();
    assert!(node.wait(Duration::from_secs(30)).success());
}
