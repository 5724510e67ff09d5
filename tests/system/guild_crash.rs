//! A guild process that is killed under load loses no acknowledged message and no session; its
//! supervisor restarts it, and every acknowledged message is published.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use otp::ExitReason;
use serde_json::{Value, json};

use crate::support::{Http, TestNode, eventually};

const WRITERS: usize = 8;
const KILLS: usize = 5;
const MESSAGES_BETWEEN_KILLS: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn killing_the_guild_loses_nothing_acknowledged_and_no_session() {
    let node = TestNode::start().await;
    let mut gateway = node.gateway_b().await;
    let session = gateway.session_id.clone();
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            tokio::spawn(write(
                node.http_a(),
                node.channel(),
                writer,
                Arc::clone(&stop),
            ))
        })
        .collect();
    let mut received: Vec<String> = Vec::new();
    for _ in 0..KILLS {
        for _ in 0..MESSAGES_BETWEEN_KILLS {
            received.push(id_of(&gateway.dispatch("MESSAGE_CREATE").await));
        }
        kill_guild(&node).await;
    }
    stop.store(true, Ordering::Release);
    let mut acknowledged = Vec::new();
    for writer in writers {
        acknowledged.extend(writer.await.unwrap());
    }
    assert!(
        acknowledged.len() > KILLS * MESSAGES_BETWEEN_KILLS / 2,
        "the guild came back each time"
    );
    let last = node
        .http_a()
        .post_message(&node.channel(), "the last one")
        .await;
    acknowledged.push(id_of(&last));
    loop {
        received.push(id_of(&gateway.dispatch("MESSAGE_CREATE").await));
        if received.last() == acknowledged.last() {
            break;
        }
    }
    assert_eq!(gateway.session_id, session, "the session went on");
    let mut sorted = received.clone();
    sorted.sort_by_key(|id| id.parse::<u64>().unwrap());
    sorted.dedup();
    assert_eq!(
        received, sorted,
        "published once each, in the order of the channel"
    );
    let stored: Vec<String> = node
        .http_a()
        .all_messages(&node.channel())
        .await
        .iter()
        .map(id_of)
        .collect();
    for id in &acknowledged {
        assert!(stored.contains(id), "{id} was acknowledged and is stored");
        assert!(
            received.contains(id),
            "{id} was acknowledged and is published"
        );
    }
    for id in &received {
        assert!(stored.contains(id), "{id} was published and is stored");
    }
    gateway.close(1000).await;
    node.stop().await;
}

/// Writes until told to stop; answers the ids of acknowledged messages. A refusal while the guild
/// restarts is an honest answer; it is tried again.
async fn write(http: Http, channel: String, writer: usize, stop: Arc<AtomicBool>) -> Vec<String> {
    let path = format!("/channels/{channel}/messages");
    let mut acknowledged = Vec::new();
    let mut number = 0;
    while !stop.load(Ordering::Acquire) {
        number += 1;
        let answer = http
            .post(&path, &json!({"content": format!("{writer} {number}")}))
            .await;
        if answer.status.is_success() {
            acknowledged.push(id_of(&answer.body));
        } else {
            assert!(
                answer.status.is_server_error(),
                "only an honest refusal: {answer:?}"
            );
        }
    }
    acknowledged
}

/// Kills the guild's process and waits until another one runs.
async fn kill_guild(node: &TestNode) {
    let actors = node.node().chat().node();
    let label = format!("guild {}", node.guild());
    let find = || {
        let found = actors
            .processes()
            .into_iter()
            .find(|info| info.label.as_deref() == Some(&label));
        found.map(|info| info.pid)
    };
    let victim = eventually("the guild's process", || async { find() }).await;
    actors.exit(victim, ExitReason::Kill);
    eventually("another process of the guild", || async {
        find().filter(|pid| *pid != victim)
    })
    .await;
}

fn id_of(message: &Value) -> String {
    message["id"].as_str().unwrap().to_owned()
}
