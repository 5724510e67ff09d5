//! Every route against everyone who may not use it.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Client, Reply, Server};

/// Routes that need membership, with a body that would be accepted from one who may.
fn routes(server: &Server, message: &str) -> Vec<(Method, String, Option<Value>)> {
    let bob = server.bob.id();
    let everyone = server.guild;
    let thumb = "%F0%9F%91%8D";
    let channel = |rest: &str| server.at(rest);
    let guild = |rest: &str| server.in_guild(rest);
    let of_message = |rest: &str| server.at(&format!("/messages/{message}{rest}"));
    let (get, post, put, patch, delete) = (
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
    );
    vec![
        (get.clone(), guild(""), None),
        (
            patch.clone(),
            guild(""),
            Some(json!({"name": "Taken over"})),
        ),
        (delete.clone(), guild(""), None),
        (get.clone(), guild("/preview"), None),
        (get.clone(), guild("/channels"), None),
        (
            post.clone(),
            guild("/channels"),
            Some(json!({"name": "mine"})),
        ),
        (
            patch.clone(),
            guild("/channels"),
            Some(json!([{"id": server.channel, "position": 3}])),
        ),
        (get.clone(), guild("/roles"), None),
        (get.clone(), guild(&format!("/roles/{everyone}")), None),
        (post.clone(), guild("/roles"), Some(json!({"name": "mine"}))),
        (patch.clone(), guild("/roles"), Some(json!([]))),
        (
            patch.clone(),
            guild(&format!("/roles/{everyone}")),
            Some(json!({"permissions": "8"})),
        ),
        (delete.clone(), guild(&format!("/roles/{everyone}")), None),
        (get.clone(), guild("/members"), None),
        (get.clone(), guild("/members/search?query=b"), None),
        (get.clone(), guild(&format!("/members/{bob}")), None),
        (
            patch.clone(),
            guild(&format!("/members/{bob}")),
            Some(json!({"nick": "n"})),
        ),
        (
            patch.clone(),
            guild("/members/@me"),
            Some(json!({"nick": "n"})),
        ),
        (
            put.clone(),
            guild(&format!("/members/{bob}/roles/{everyone}")),
            None,
        ),
        (
            delete.clone(),
            guild(&format!("/members/{bob}/roles/{everyone}")),
            None,
        ),
        (delete.clone(), guild(&format!("/members/{bob}")), None),
        (get.clone(), guild("/bans"), None),
        (get.clone(), guild(&format!("/bans/{bob}")), None),
        (put.clone(), guild(&format!("/bans/{bob}")), Some(json!({}))),
        (delete.clone(), guild(&format!("/bans/{bob}")), None),
        (
            post.clone(),
            guild("/bulk-ban"),
            Some(json!({"user_ids": [bob]})),
        ),
        (get.clone(), guild("/emojis"), None),
        (get.clone(), guild("/stickers"), None),
        (get.clone(), guild("/webhooks"), None),
        (get.clone(), guild("/invites"), None),
        (get.clone(), guild("/threads/active"), None),
        (get.clone(), channel(""), None),
        (patch.clone(), channel(""), Some(json!({"name": "mine"}))),
        (delete.clone(), channel(""), None),
        (
            put.clone(),
            channel(&format!("/permissions/{everyone}")),
            Some(json!({"type": 0, "deny": "1024"})),
        ),
        (
            delete.clone(),
            channel(&format!("/permissions/{everyone}")),
            None,
        ),
        (get.clone(), channel("/webhooks"), None),
        (get.clone(), channel("/invites"), None),
        (get.clone(), channel("/messages"), None),
        (get.clone(), of_message(""), None),
        (
            post.clone(),
            channel("/messages"),
            Some(json!({"content": "x"})),
        ),
        (patch.clone(), of_message(""), Some(json!({"content": "x"}))),
        (delete.clone(), of_message(""), None),
        (
            post.clone(),
            channel("/messages/bulk-delete"),
            Some(json!({"messages": [message, "1"]})),
        ),
        (
            put.clone(),
            of_message(&format!("/reactions/{thumb}/@me")),
            None,
        ),
        (
            get.clone(),
            of_message(&format!("/reactions/{thumb}")),
            None,
        ),
        (
            delete.clone(),
            of_message(&format!("/reactions/{thumb}/@me")),
            None,
        ),
        (
            delete.clone(),
            of_message(&format!("/reactions/{thumb}/{bob}")),
            None,
        ),
        (
            delete.clone(),
            of_message(&format!("/reactions/{thumb}")),
            None,
        ),
        (delete.clone(), of_message("/reactions"), None),
        (get.clone(), channel("/messages/pins"), None),
        (
            put.clone(),
            channel(&format!("/messages/pins/{message}")),
            None,
        ),
        (
            delete.clone(),
            channel(&format!("/messages/pins/{message}")),
            None,
        ),
        (get, channel("/pins"), None),
        (put, channel(&format!("/pins/{message}")), None),
        (delete, channel(&format!("/pins/{message}")), None),
        (post, channel("/typing"), None),
    ]
}

/// Routes for people only: bots are refused for what they are, see `read_states.rs`.
fn of_people(server: &Server, message: &str) -> [(Method, String, Option<Value>); 3] {
    let ack = server.at(&format!("/messages/{message}/ack"));
    let paths = [ack, server.at("/pins/ack"), server.in_guild("/ack")];
    paths.map(|path| (Method::POST, path, None))
}

/// Other routes that need a token.
const SIGNED_IN: [(Method, &str); 10] = [
    (Method::GET, "/users/@me"),
    (Method::GET, "/users/1"),
    (Method::GET, "/users/@me/guilds"),
    (Method::DELETE, "/users/@me/guilds/1"),
    (Method::GET, "/applications/@me"),
    (Method::GET, "/gateway/bot"),
    (Method::POST, "/guilds"),
    (Method::GET, "/voice/regions"),
    (Method::POST, "/read-states/ack-bulk"),
    (Method::DELETE, "/channels/1/messages/ack"),
];

async fn ask(
    client: &Client,
    token: Option<&str>,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> Reply {
    let mut request = client.anonymous(method, &format!("/api/v10{path}"));
    if let Some(token) = token {
        request = request.header("authorization", token);
    }
    if let Some(body) = body {
        request = request.json(&body);
    }
    Reply::of(request).await
}

#[tokio::test]
async fn without_a_good_token_no_route_answers() {
    let server = Server::start().await;
    let message = server.post("secret").await;
    let others = SIGNED_IN.map(|(method, path)| (method, path.to_owned(), None));
    let forged = server.ann.token.rsplit_once('.').unwrap().0.to_owned() + ".AAAA";
    let all = routes(&server, &message)
        .into_iter()
        .chain(of_people(&server, &message));
    for (method, path, body) in all.chain(others) {
        for token in [None, Some(forged.as_str())] {
            let reply = ask(&server.ann, token, method.clone(), &path, body.clone()).await;
            assert_eq!(reply.status, 401, "{method} {path} {}", reply.body);
        }
    }
    server.ann.get(&server.in_guild("")).await.expect(200);
}

#[tokio::test]
async fn strangers_get_nothing_and_change_nothing() {
    let server = Server::start().await;
    let message = server.post("secret").await;
    let all = routes(&server, &message)
        .into_iter()
        .chain(of_people(&server, &message));
    for (method, path, body) in all {
        let reply = server.cleo.send(method.clone(), &path, body).await;
        assert!(
            matches!(reply.status, 403 | 404),
            "{method} {path}: {} {}",
            reply.status,
            reply.body
        );
        assert!(
            reply.body["code"].as_u64().unwrap() > 0,
            "{method} {path}: {}",
            reply.body
        );
        assert!(
            !String::from_utf8_lossy(&reply.bytes).contains("secret"),
            "{method} {path}"
        );
    }
    let found = server.ann.get(&server.at("/messages")).await.expect(200);
    assert_eq!(found.as_array().unwrap().len(), 1);
    assert_eq!(
        server.ann.get(&server.in_guild("")).await.expect(200)["name"],
        "Test guild"
    );
    server
        .ann
        .get(&server.in_guild(&format!("/members/{}", server.bob.id())))
        .await
        .expect(200);
}

#[tokio::test]
async fn a_hidden_channel_is_closed_to_members() {
    let server = Server::start().await;
    let message = server.post("secret").await;
    server.deny_everyone(1 << 10).await;
    for (method, path, body) in routes(&server, &message) {
        if !path.starts_with("/channels/") {
            continue;
        }
        let reply = server.bob.send(method.clone(), &path, body).await;
        assert_eq!(
            (reply.status, &reply.body["code"]),
            (403, &json!(50_001)),
            "{method} {path}: {}",
            reply.body
        );
    }
    let channels = server
        .bob
        .get(&server.in_guild("/channels"))
        .await
        .expect(200);
    assert!(
        channels
            .as_array()
            .unwrap()
            .iter()
            .all(|channel| channel["id"] != server.channel.to_string())
    );
}

#[tokio::test]
async fn plain_members_may_not_manage() {
    let server = Server::start().await;
    let message = server.post("mine").await;
    let role = server
        .ann
        .post(&server.in_guild("/roles"), json!({"name": "r"}))
        .await
        .expect(200);
    let role = role["id"].as_str().unwrap();
    let ann = server.ann.id();
    let missing = [
        (
            Method::PATCH,
            server.in_guild(""),
            Some(json!({"name": "Taken"})),
        ),
        (
            Method::POST,
            server.in_guild("/channels"),
            Some(json!({"name": "x"})),
        ),
        (
            Method::POST,
            server.in_guild("/roles"),
            Some(json!({"name": "x"})),
        ),
        (
            Method::PATCH,
            server.in_guild(&format!("/roles/{role}")),
            Some(json!({"name": "x"})),
        ),
        (
            Method::DELETE,
            server.in_guild(&format!("/roles/{role}")),
            None,
        ),
        (
            Method::PUT,
            server.in_guild(&format!("/members/{}/roles/{role}", server.bob.id())),
            None,
        ),
        (
            Method::DELETE,
            server.in_guild(&format!("/members/{ann}")),
            None,
        ),
        (
            Method::PUT,
            server.in_guild(&format!("/bans/{ann}")),
            Some(json!({})),
        ),
        (Method::GET, server.in_guild("/bans"), None),
        (
            Method::PATCH,
            server.in_guild(&format!("/members/{ann}")),
            Some(json!({"nick": "x"})),
        ),
        (Method::PATCH, server.at(""), Some(json!({"name": "x"}))),
        (Method::DELETE, server.at(""), None),
        (
            Method::DELETE,
            server.at(&format!("/messages/{message}")),
            None,
        ),
        (Method::PUT, server.at(&format!("/pins/{message}")), None),
        (
            Method::DELETE,
            server.at(&format!("/messages/{message}/reactions")),
            None,
        ),
        (Method::GET, server.in_guild("/webhooks"), None),
    ];
    for (method, path, body) in missing {
        let reply = server.bob.send(method.clone(), &path, body).await;
        assert_eq!(
            (reply.status, &reply.body["code"]),
            (403, &json!(50_013)),
            "{method} {path}: {}",
            reply.body
        );
    }
}
