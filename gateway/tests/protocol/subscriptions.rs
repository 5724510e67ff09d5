//! Large guilds for people: what comes before and after a client says that it shows one.

use std::time::Duration;

use chat::ChatConfig;
use serde_json::{Value, json};

use crate::support::{Server, Socket};

/// A server on which a guild of three members is a large one.
async fn server() -> Server {
    Server::with_chat(ChatConfig {
        passive_members_min: 2,
        passive_update_every: Duration::from_millis(50),
        ..ChatConfig::default()
    })
    .await
}

/// The names and contents of what comes up to and including a message with this content.
async fn until(socket: &mut Socket, content: &str) -> Vec<Value> {
    let mut all = Vec::new();
    loop {
        let event = socket.payload().await;
        if event["op"] != 0 {
            continue;
        }
        let last = event["t"] == "MESSAGE_CREATE" && event["d"]["content"] == content;
        all.push(event);
        if last {
            return all;
        }
    }
}

fn contents(events: &[Value]) -> Vec<&str> {
    let messages = events.iter().filter(|event| event["t"] == "MESSAGE_CREATE");
    messages
        .map(|it| it["d"]["content"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn a_person_gets_mentions_until_op_37_and_everything_after() {
    let server = server().await;
    let (mut dora, _) = server.login(&server.dora).await;
    let mention = format!("<@{}>", server.dora.user.id);
    for content in ["one", &mention, "two"] {
        server.post(content).await;
    }
    let update = dora.event("PASSIVE_UPDATE_V2").await;
    assert_eq!(update["guild_id"], server.guild.to_string());
    let channel = server.channel.to_string();
    assert_eq!(update["updated_channels"][0]["id"], channel);
    for empty in [
        "updated_voice_states",
        "removed_voice_states",
        "updated_members",
    ] {
        assert_eq!(update[empty], json!([]));
    }
    server.post("@everyone").await;
    let heard = until(&mut dora, "@everyone").await;
    assert!(!contents(&heard).contains(&"two"), "{heard:?}");

    let guild = server.guild.to_string();
    let wants = json!({"typing": true, "channels": {channel: [[0, 99]]}});
    dora.send(json!({"op": 37, "d": {"subscriptions": {guild: wants}}}))
        .await;
    // Nothing answers op 37: what tells is that messages come.
    let mut number = 0;
    let heard = loop {
        number += 1;
        server.post(&format!("after {number}")).await;
        server.post(&mention).await;
        let heard = until(&mut dora, &mention).await;
        if contents(&heard).contains(&&format!("after {number}")[..]) {
            break heard;
        }
    };
    assert_eq!(contents(&heard), [&format!("after {number}"), &mention]);
    server.post("last").await;
    assert_eq!(contents(&until(&mut dora, "last").await), ["last"]);
}

#[tokio::test]
async fn what_a_client_shows_survives_resume() {
    let server = server().await;
    let (mut dora, ready) = server.login(&server.dora).await;
    let subscribe = json!({"op": 14, "d": {"guild_id": server.guild.to_string(), "channels": {}}});
    dora.send(subscribe).await;
    let mention = format!("<@{}>", server.dora.user.id);
    loop {
        server.post("plain").await;
        server.post(&mention).await;
        if contents(&until(&mut dora, &mention).await).contains(&"plain") {
            break;
        }
    }
    let last = dora.last;
    dora.abort();
    server.post("missed").await;
    let mut again = server.hello().await;
    let token = server.token(&server.dora);
    let session = ready["session_id"].as_str().unwrap();
    again.resume(&token, session, last).await;
    assert_eq!(contents(&until(&mut again, "missed").await), ["missed"]);
    server.post("new").await;
    assert_eq!(contents(&until(&mut again, "new").await), ["new"]);
}

#[tokio::test]
async fn bots_get_everything_and_their_subscriptions_change_nothing() {
    let server = server().await;
    let (mut bob, _) = server.login(&server.bob).await;
    server.post("one").await;
    assert_eq!(contents(&until(&mut bob, "one").await), ["one"]);
    let guild = server.guild.to_string();
    bob.send(json!({"op": 37, "d": {"subscriptions": {guild.clone(): {"typing": true}}}}))
        .await;
    bob.send(json!({"op": 14, "d": {"guild_id": guild}})).await;
    bob.settle().await;
    server.post("two").await;
    assert_eq!(contents(&until(&mut bob, "two").await), ["two"]);
}

#[tokio::test]
async fn nonsense_is_a_decode_error_and_strangers_guilds_are_let_pass() {
    let server = server().await;
    let (mut dora, _) = server.login(&server.dora).await;
    dora.send(json!({"op": 37, "d": {"subscriptions": {"12345": {"channels": {"1": [[0, 99]]}}}}}))
        .await;
    dora.send(json!({"op": 14, "d": {"guild_id": "12345"}}))
        .await;
    dora.settle().await;
    dora.send(json!({"op": 37, "d": {"subscriptions": {"12345": {"channels": [[0, 99]]}}}}))
        .await;
    assert_eq!(dora.closed().await, 4002);
}
