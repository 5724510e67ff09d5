//! Messages: posting, reading, editing, deleting.

use serde_json::{Value, json};

use crate::support::{Reply, Server};

fn ids(page: &Value) -> Vec<String> {
    page.as_array()
        .unwrap()
        .iter()
        .map(|message| message["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_message_is_posted_whole() {
    let server = Server::start().await;
    let bob = server.bob.id();
    let body = json!({
        "content": format!("hello <@{bob}>"), "tts": false, "nonce": "n-1",
        "embeds": [{"title": "T", "fields": [{"name": "a", "value": "b"}], "color": 255}],
        "components": [{"type": 1, "components": [{"type": 2, "style": 1, "label": "Go", "custom_id": "go"}]}],
    });
    let posted = server
        .ann
        .post(&server.at("/messages"), body)
        .await
        .expect(200);
    assert_eq!(posted["author"]["id"], server.ann.id());
    assert_eq!(
        (&posted["nonce"], &posted["type"]),
        (&json!("n-1"), &json!(0))
    );
    assert_eq!(posted["mentions"][0]["id"], bob);
    assert_eq!(posted["embeds"][0]["title"], "T");
    assert_eq!(posted["components"][0]["components"][0]["custom_id"], "go");
    for key in [
        "edited_timestamp",
        "mention_roles",
        "attachments",
        "pinned",
        "flags",
        "timestamp",
        "mention_everyone",
    ] {
        assert!(posted.get(key).is_some(), "{key}");
    }
    let read = server
        .bob
        .get(&server.at(&format!("/messages/{}", posted["id"].as_str().unwrap())))
        .await
        .expect(200);
    assert_eq!(
        (&read["id"], &read["content"]),
        (&posted["id"], &posted["content"])
    );
}

#[tokio::test]
async fn forms_of_messages_are_judged() {
    let server = Server::start().await;
    let post = async |body: Value| server.ann.post(&server.at("/messages"), body).await;
    post(json!({})).await.refused(400, 50_006);
    post(json!({"content": " "})).await.refused(400, 50_006);
    post(json!({"content": "x".repeat(2_001)}))
        .await
        .refused_at("content");
    post(json!({"content": "é".repeat(2_000)}))
        .await
        .expect(200);
    post(json!({"embeds": [{"title": "x".repeat(257)}]}))
        .await
        .refused_at("embeds.0.title");
    post(json!({"embeds": vec![json!({"title": "x"}); 11]}))
        .await
        .refused_at("embeds");
    post(json!({"content": "x", "components": [{"type": 2}]}))
        .await
        .refused(400, 50_035);
    post(json!({"content": "x", "allowed_mentions": {"parse": ["users"], "users": ["1"]}}))
        .await
        .refused(400, 50_035);
    post(json!({"content": "x", "nonce": "n".repeat(26)}))
        .await
        .refused_at("nonce");
    post(json!({"content": "x", "message_reference": {"message_id": "1"}}))
        .await
        .refused_at("message_reference");
    post(json!({"content": "x", "poll": {}}))
        .await
        .refused_at("poll");
    post(json!({"content": ["x"]})).await.refused_at("content");
    assert_eq!(
        ids(&server.ann.get(&server.at("/messages")).await.expect(200)).len(),
        1
    );
}

#[tokio::test]
async fn history_is_paged_four_ways_newest_first() {
    let server = Server::start().await;
    let mut posted = Vec::new();
    for number in 0..7 {
        posted.push(server.post(&number.to_string()).await);
    }
    posted.reverse();
    let page = async |query: &str| {
        ids(&server
            .bob
            .get(&server.at(&format!("/messages{query}")))
            .await
            .expect(200))
    };
    assert_eq!(page("").await, posted);
    assert_eq!(page("?limit=3").await, posted[..3]);
    assert_eq!(
        page(&format!("?before={}&limit=2", posted[2])).await,
        posted[3..5]
    );
    assert_eq!(
        page(&format!("?after={}&limit=2", posted[4])).await,
        posted[2..4],
        "the oldest after it"
    );
    assert_eq!(
        page(&format!("?around={}&limit=3", posted[3])).await,
        posted[2..5]
    );
    assert_eq!(
        page("?after=0&limit=2").await,
        posted[5..],
        "from the beginning"
    );
    for limit in ["0", "101", "x", "-1"] {
        server
            .bob
            .get(&server.at(&format!("/messages?limit={limit}")))
            .await
            .refused_at("limit");
    }
    server.deny_everyone(1 << 16).await;
    assert_eq!(
        page("").await,
        Vec::<String>::new(),
        "without READ_MESSAGE_HISTORY the page is empty"
    );
    server
        .bob
        .get(&server.at(&format!("/messages/{}", posted[0])))
        .await
        .refused(403, 50_013);
}

#[tokio::test]
async fn replies_show_what_they_answer() {
    let server = Server::start().await;
    let first = server.post("first").await;
    let reply = json!({"content": "second", "message_reference": {"message_id": first, "channel_id": server.channel}});
    let reply = server
        .bob
        .post(&server.at("/messages"), reply)
        .await
        .expect(200);
    assert_eq!(reply["type"], 19);
    assert_eq!(reply["referenced_message"]["content"], "first");
    assert_eq!(reply["message_reference"]["message_id"], first);
    assert_eq!(reply["mentions"][0]["id"], server.ann.id());
    let quiet = json!({
        "content": "third", "message_reference": {"message_id": first},
        "allowed_mentions": {"parse": [], "replied_user": false},
    });
    assert_eq!(
        server
            .bob
            .post(&server.at("/messages"), quiet)
            .await
            .expect(200)["mentions"],
        json!([])
    );
    server
        .ann
        .delete(&server.at(&format!("/messages/{first}")))
        .await
        .expect(204);
    let read = server
        .bob
        .get(&server.at("/messages?limit=1"))
        .await
        .expect(200);
    assert_eq!(
        read[0]["referenced_message"],
        json!(null),
        "the answered message is gone"
    );
    let lax = json!({"content": "x", "message_reference": {"message_id": first, "fail_if_not_exists": false}});
    assert_eq!(
        server
            .bob
            .post(&server.at("/messages"), lax)
            .await
            .expect(200)["type"],
        0
    );
}

#[tokio::test]
async fn an_enforced_nonce_posts_once() {
    let server = Server::start().await;
    let body = json!({"content": "once", "nonce": 77, "enforce_nonce": true});
    let first = server
        .ann
        .post(&server.at("/messages"), body.clone())
        .await
        .expect(200);
    let second = server
        .ann
        .post(&server.at("/messages"), body.clone())
        .await
        .expect(200);
    assert_eq!(first["id"], second["id"]);
    assert_eq!(first["nonce"], 77, "as it was sent");
    let path = server.at(&format!("/messages/{}", first["id"].as_str().unwrap()));
    let edit = json!({"content": "edited"});
    server.ann.patch(&path, edit).await.expect(200);
    let after = server
        .ann
        .post(&server.at("/messages"), body.clone())
        .await
        .expect(200);
    assert_eq!(
        (&after["id"], &after["content"]),
        (&first["id"], &json!("edited")),
        "as the message is now"
    );
    let other = server
        .bob
        .post(&server.at("/messages"), body)
        .await
        .expect(200);
    assert_ne!(first["id"], other["id"], "another author's nonce");
    assert_eq!(
        ids(&server.ann.get(&server.at("/messages")).await.expect(200)).len(),
        2
    );
}

#[tokio::test]
async fn only_the_author_edits() {
    let server = Server::start().await;
    let id = server.post("before").await;
    let path = server.at(&format!("/messages/{id}"));
    let edited = server
        .ann
        .patch(&path, json!({"content": "after"}))
        .await
        .expect(200);
    assert_eq!(edited["content"], "after");
    assert!(edited["edited_timestamp"].is_string());
    server
        .bob
        .patch(&path, json!({"content": "mine"}))
        .await
        .refused(403, 50_005);
    server
        .ann
        .patch(&path, json!({"content": "x".repeat(2_001)}))
        .await
        .refused_at("content");
    let embedded = server
        .ann
        .patch(&path, json!({"embeds": [{"title": "T"}]}))
        .await
        .expect(200);
    assert_eq!(
        (&embedded["content"], &embedded["embeds"][0]["title"]),
        (&json!("after"), &json!("T"))
    );
    server
        .ann
        .patch(&server.at("/messages/1"), json!({"content": "x"}))
        .await
        .refused(404, 10_008);
}

#[tokio::test]
async fn messages_are_deleted_one_by_one_and_in_bulk() {
    let server = Server::start().await;
    let mut posted = Vec::new();
    for number in 0..5 {
        posted.push(server.post(&number.to_string()).await);
    }
    let one = server.at(&format!("/messages/{}", posted[0]));
    server.ann.delete(&one).await.expect(204);
    server.ann.delete(&one).await.refused(404, 10_008);
    let bulk = server.at("/messages/bulk-delete");
    // As integers, as discord.py sends them.
    let numbers: Vec<u64> = posted[1..3].iter().map(|id| id.parse().unwrap()).collect();
    server
        .ann
        .post(&bulk, json!({"messages": numbers}))
        .await
        .expect(204);
    assert_eq!(
        ids(&server.ann.get(&server.at("/messages")).await.expect(200)).len(),
        2
    );
    server
        .ann
        .post(&bulk, json!({"messages": [posted[3]]}))
        .await
        .refused(400, 50_016);
    let many: Vec<u64> = (1..=101).collect();
    server
        .ann
        .post(&bulk, json!({"messages": many}))
        .await
        .refused(400, 50_016);
    server
        .ann
        .post(&bulk, json!({"messages": [posted[3], "1"]}))
        .await
        .refused(400, 50_034);
    server
        .ann
        .post(&bulk, json!({}))
        .await
        .refused_at("messages");
    server
        .bob
        .post(&bulk, json!({"messages": [posted[3], posted[4]]}))
        .await
        .refused(403, 50_013);
}

#[tokio::test]
async fn slow_mode_and_missing_rights_stop_a_member() {
    let server = Server::start().await;
    server
        .ann
        .patch(&server.at(""), json!({"rate_limit_per_user": 60}))
        .await
        .expect(200);
    server
        .bob
        .post(&server.at("/messages"), json!({"content": "1"}))
        .await
        .expect(200);
    let slowed = server
        .bob
        .post(&server.at("/messages"), json!({"content": "2"}))
        .await;
    assert!(slowed.header("retry-after").parse::<u64>().unwrap() > 0);
    let slowed = slowed.refused(429, 20_016);
    assert!(slowed["retry_after"].as_f64().unwrap() > 50.0);
    server
        .ann
        .post(
            &server.at("/messages"),
            json!({"content": "owners are never slowed"}),
        )
        .await
        .expect(200);
    server.deny_everyone(1 << 11).await;
    server
        .bob
        .post(&server.at("/messages"), json!({"content": "3"}))
        .await
        .refused(403, 50_013);
}

#[tokio::test]
async fn typing_is_told() {
    let server = Server::start().await;
    let typing = server
        .bob
        .request(reqwest::Method::POST, &server.at("/typing"));
    assert_eq!(Reply::of(typing).await.status, 204);
}
