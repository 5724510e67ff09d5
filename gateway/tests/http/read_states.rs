//! What people have read: who may say so, and what is refused.

use chat::guild::command::Actor;
use reqwest::Method;
use serde_json::json;

use crate::support::Server;

/// A server in whose guild Cleo, a person, is a member.
async fn with_cleo() -> Server {
    let server = Server::start().await;
    let cleo = server.cleo.account.user.id;
    chat::guild::add_member(&server.chat, Actor::System, server.guild, cleo)
        .await
        .unwrap();
    server
}

#[tokio::test]
async fn what_clients_send_is_taken() {
    let server = with_cleo().await;
    let message = server.post("hello").await;
    let ack = server.at(&format!("/messages/{message}/ack"));
    for body in [
        json!({}),
        json!({"token": null, "last_viewed": 4_000}),
        json!({"token": "abc", "manual": true, "mention_count": 3}),
        json!({"manual": true, "mention_count": null, "flags": 1}),
    ] {
        let reply = server.cleo.post(&ack, body.clone()).await.expect(200);
        assert_eq!(reply, json!({"token": null}), "{body}");
    }
    // Nothing at all, as one client sends it.
    let nothing = server.cleo.send(Method::POST, &ack, None).await;
    nothing.expect(200);
    let bulk = json!({"read_states": [
        {"channel_id": server.channel.to_string(), "message_id": message, "read_state_type": 0},
        {"channel_id": server.channel.get(), "message_id": 5},
        {"channel_id": "77", "message_id": "5", "read_state_type": 0},
        {"channel_id": "77", "message_id": "5", "read_state_type": 2},
    ]});
    let taken = server.cleo.post("/read-states/ack-bulk", bulk).await;
    taken.expect(204);
    let guild = server.cleo.post(&server.in_guild("/ack"), json!({})).await;
    assert_eq!(guild.expect(200), json!({"token": null}));
    let pins = server.cleo.post(&server.at("/pins/ack"), json!({})).await;
    pins.expect(204);
    for _ in 0..2 {
        let forgotten = server.cleo.delete(&server.at("/messages/ack")).await;
        forgotten.expect(204);
    }
}

#[tokio::test]
async fn what_is_malformed_is_named() {
    let server = with_cleo().await;
    let cleo = &server.cleo;
    let ack = server.at("/messages/5/ack");
    for (body, at) in [
        (json!({"manual": "yes"}), "manual"),
        (json!({"mention_count": -1}), "mention_count"),
        (json!({"mention_count": 1_000_001}), "mention_count"),
        (json!({"last_viewed": "x"}), "last_viewed"),
    ] {
        cleo.post(&ack, body).await.refused_at(at);
    }
    for path in ["/messages/0/ack", "/messages/x/ack"] {
        let reply = cleo.post(&server.at(path), json!({})).await;
        reply.refused_at("message_id");
    }
    let many = vec![json!({"channel_id": "5", "message_id": "5"}); 101];
    for (body, at) in [
        (json!({}), "read_states"),
        (json!({"read_states": {}}), "read_states"),
        (json!({"read_states": many}), "read_states"),
        (json!({"read_states": [7]}), "read_states.0"),
        (
            json!({"read_states": [{"message_id": "5"}]}),
            "read_states.0.channel_id",
        ),
        (
            json!({"read_states": [{"channel_id": "5"}]}),
            "read_states.0.message_id",
        ),
        (
            json!({"read_states": [{"channel_id": "x", "message_id": "5"}]}),
            "read_states.0.channel_id",
        ),
        (
            json!({"read_states": [{"channel_id": "5", "message_id": "5", "read_state_type": -1}]}),
            "read_states.0.read_state_type",
        ),
    ] {
        let reply = cleo.post("/read-states/ack-bulk", body).await;
        reply.refused_at(at);
    }
}

#[tokio::test]
async fn bots_and_who_sees_nothing_are_refused() {
    let server = with_cleo().await;
    let message = server.post("hello").await;
    let routes = [
        (Method::POST, server.at(&format!("/messages/{message}/ack"))),
        (Method::POST, server.at("/pins/ack")),
        (Method::DELETE, server.at("/messages/ack")),
        (Method::POST, server.in_guild("/ack")),
        (Method::POST, "/read-states/ack-bulk".to_owned()),
    ];
    for (method, path) in &routes {
        let reply = server.ann.send(method.clone(), path, Some(json!({}))).await;
        reply.refused(403, 20_001);
    }
    server.deny_everyone(1 << 10).await;
    for (method, path) in &routes[..2] {
        let reply = server
            .cleo
            .send(method.clone(), path, Some(json!({})))
            .await;
        reply.refused(403, 50_001);
    }
    let guild = server.cleo.post(&server.in_guild("/ack"), json!({})).await;
    guild.expect(200);
}
