//! What a person has read, over the wire and over restarts of the node.

use serde_json::{Value, json};

use crate::support::{ALL_INTENTS, DEADLINE, Gateway, Http, Process};

/// The entry of #general in READY of the demo's person.
async fn entry(node: &Process) -> Value {
    let gateway = Gateway::identified(node.addr(), node.var("USER_TOKEN"), ALL_INTENTS).await;
    let entries = gateway.ready["read_state"]["entries"].as_array().unwrap();
    let channel = node.var("CHANNEL_ID");
    let of_channel = entries.iter().find(|entry| entry["id"] == *channel);
    of_channel.cloned().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_read_survives_a_shutdown_and_is_merged_with_what_comes_after() {
    let directory = tempfile::tempdir().unwrap();
    let mut node = Process::dev(directory.path(), &[]);
    let (bot, person) = (node.http_a(), {
        let token = node.var("USER_TOKEN").to_owned();
        Http::with_authorization(node.addr(), Some(token))
    });
    let me = person.get("/users/@me").await.ok("who am I");
    let name = json!({"content": format!("<@{}>", me["id"].as_str().unwrap())});
    let messages = format!("/channels/{}/messages", node.var("CHANNEL_ID"));
    let first = bot.post(&messages, &name).await.ok("a mention");
    let second = bot.post(&messages, &name).await.ok("another");
    let mut gateway = Gateway::login(node.addr(), node.var("USER_TOKEN"), ALL_INTENTS).await;
    let ack = format!("{messages}/{}/ack", first["id"].as_str().unwrap());
    let answer = person.post(&ack, &json!({})).await.ok("an ack");
    assert_eq!(answer, json!({"token": null}));
    let told = gateway.dispatch("MESSAGE_ACK").await;
    assert_eq!(told["message_id"], first["id"]);
    assert_eq!(told["mention_count"], 1, "the second is after it");
    gateway.close(1000).await;
    node.terminate();
    assert!(node.wait(DEADLINE).success());

    let again = Process::dev(directory.path(), &[]);
    let read = entry(&again).await;
    assert_eq!(read["last_message_id"], first["id"]);
    assert_eq!(read["mention_count"], 1);
    again.http_a().post(&messages, &name).await.ok("a third");
    let read = entry(&again).await;
    assert_eq!(
        read["mention_count"], 2,
        "those in the store and the new one"
    );
    let token = again.var("USER_TOKEN").to_owned();
    let person = Http::with_authorization(again.addr(), Some(token));
    let ack = format!("{messages}/{}/ack", second["id"].as_str().unwrap());
    person.post(&ack, &json!({})).await.ok("an ack");
    let read = entry(&again).await;
    assert_eq!(read["last_message_id"], second["id"]);
    assert_eq!(read["mention_count"], 1);
}
