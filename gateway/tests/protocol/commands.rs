//! What a client may ask for once it is in.

use serde_json::json;

use crate::support::Server;

#[tokio::test]
async fn members_come_in_chunks_with_the_nonce() {
    let server = Server::start().await;
    let (mut socket, _) = server.login(&server.ann).await;
    let guild = server.guild.to_string();
    socket.send(json!({"op": 8, "d": {"guild_id": guild, "query": "", "limit": 0, "presences": true, "nonce": "n1"}})).await;
    let chunk = socket.event("GUILD_MEMBERS_CHUNK").await;
    assert_eq!(
        (&chunk["guild_id"], &chunk["nonce"]),
        (&json!(guild), &json!("n1"))
    );
    assert_eq!(
        (&chunk["chunk_index"], &chunk["chunk_count"]),
        (&json!(0), &json!(1))
    );
    assert_eq!(chunk["members"].as_array().unwrap().len(), 3);
    let ids = json!([server.bob.user.id.to_string(), "1"]);
    socket
        .send(json!({"op": 8, "d": {"guild_id": server.guild.get(), "user_ids": ids, "limit": 0}}))
        .await;
    let chunk = socket.event("GUILD_MEMBERS_CHUNK").await;
    assert_eq!(chunk["members"][0]["user"]["username"], "Bob");
    assert_eq!(chunk["not_found"], json!(["1"]));
    socket
        .send(json!({"op": 8, "d": {"guild_id": [guild], "query": "bo", "limit": 10}}))
        .await;
    let chunk = socket.event("GUILD_MEMBERS_CHUNK").await;
    assert_eq!(chunk["members"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn members_of_a_guild_are_for_its_own_shard() {
    let server = Server::start().await;
    let home = (server.guild.get() >> 22) % 2;
    let token = server.token(&server.ann);
    let request = json!({"op": 8, "d":
        {"guild_id": server.guild.to_string(), "query": "b", "limit": 1}});
    for shard in [0, 1] {
        let mut socket = server.hello().await;
        let properties =
            json!({"token": token, "properties": {}, "intents": 1, "shard": [shard, 2]});
        socket.send(json!({"op": 2, "d": properties})).await;
        socket.event("READY").await;
        if shard == home {
            socket.send(request.clone()).await;
            socket.event("GUILD_MEMBERS_CHUNK").await;
        } else {
            let before = socket.last;
            socket.send(request.clone()).await;
            socket.settle().await;
            assert_eq!(socket.last, before, "nothing was sent");
        }
    }
}

#[tokio::test]
async fn presence_is_seen_by_the_other_and_nonsense_is_a_decode_error() {
    let server = Server::start().await;
    let (mut ann, _) = server.login(&server.ann).await;
    let (mut bob, _) = server.login(&server.bob).await;
    let activity = json!({"name": "chess", "type": 0, "created_at": null});
    bob.send(json!({"op": 3, "d": {"since": null, "status": "dnd", "afk": false, "activities": [activity]}})).await;
    loop {
        let seen = ann.event("PRESENCE_UPDATE").await;
        if seen["user"]["id"] == server.bob.user.id.to_string() && seen["status"] == "dnd" {
            assert_eq!(seen["activities"][0]["name"], "chess");
            assert!(seen["activities"][0]["created_at"].is_u64());
            break;
        }
    }
    bob.send(
        json!({"op": 3, "d": {"status": "dancing", "activities": [], "since": null, "afk": false}}),
    )
    .await;
    assert_eq!(bob.closed().await, 4002);
    ann.settle().await;
}

#[tokio::test]
async fn what_nothing_is_done_about_is_let_pass() {
    let server = Server::start().await;
    let (mut socket, _) = server.login(&server.dora).await;
    for payload in [
        json!({"op": 4, "d": {"guild_id": null, "channel_id": null, "self_mute": false, "self_deaf": false}}),
        json!({"op": 8, "d": {"guild_id": [], "query": "", "limit": 0}}),
        json!({"op": 37, "d": {"subscriptions": {}}}),
        json!({"op": 41, "d": {"initialization_timestamp": 1}}),
        json!({"op": 31, "d": {"guild_ids": []}}),
    ] {
        socket.send(payload).await;
    }
    socket.settle().await;
}

#[tokio::test]
async fn people_may_send_longer_payloads_than_bots() {
    let server = Server::start().await;
    let long = |bytes| json!({"op": 41, "d": {"padding": "x".repeat(bytes)}});
    let (mut dora, _) = server.login(&server.dora).await;
    dora.send(long(10_000)).await;
    dora.settle().await;
    dora.send(long(15_500)).await;
    assert_eq!(dora.closed().await, 4002);
    let (mut ann, _) = server.login(&server.ann).await;
    ann.send(long(10_000)).await;
    assert_eq!(ann.closed().await, 4002);
}
