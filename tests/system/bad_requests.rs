//! Bad input over HTTP: each case gets its documented status and JSON code, nothing is stored, and
//! an ordinary client goes on. Codes: Discord docs, Opcodes and Status Codes, "JSON Error Codes".

use serde_json::{Value, json};

use crate::support::http::raw;
use crate::support::{Http, TestNode};

#[tokio::test(flavor = "multi_thread")]
async fn who_is_asking() {
    let node = TestNode::start().await;
    for (case, authorization) in [
        ("nothing", None),
        ("an empty value", Some(String::new())),
        ("no token", Some("Bot ".to_owned())),
        ("nonsense", Some("Bot not.a.token".to_owned())),
        (
            "a wrong signature",
            Some(format!("Bot {}x", node.env().token_a)),
        ),
        ("another scheme", Some("Basic Zm9vOmJhcg==".to_owned())),
    ] {
        let http = Http::with_authorization(node.addr(), authorization);
        http.get("/users/@me").await.refused(case, 401, 0);
        let path = format!("/channels/{}/messages", node.channel());
        http.post(&path, &json!({"content": "no"}))
            .await
            .refused(case, 401, 0);
    }
    assert!(node.http_a().all_messages(&node.channel()).await.is_empty());
    node.still_works().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_routes_methods_and_things() {
    let node = TestNode::start().await;
    let http = node.http_a();
    let (guild, channel) = (node.guild(), node.channel());
    http.get("/nothing/here")
        .await
        .refused("unknown route", 404, 0);
    http.put("/users/@me", &json!({}))
        .await
        .refused("wrong method", 405, 0);
    for (case, path, code) in [
        ("channel", "/channels/1".to_owned(), 10003),
        ("guild", "/guilds/1".to_owned(), 10004),
        (
            "user as a member",
            format!("/guilds/{guild}/members/1"),
            10013,
        ),
        ("message", format!("/channels/{channel}/messages/1"), 10008),
        ("user", "/users/1".to_owned(), 10013),
        ("ban", format!("/guilds/{guild}/bans/1"), 10026),
    ] {
        http.get(&path)
            .await
            .refused(&format!("unknown {case}"), 404, code);
    }
    for path in [
        "/channels/x".to_owned(),
        "/channels/-1".to_owned(),
        format!("/channels/{}", "9".repeat(40)),
        format!("/channels/{channel}/messages/abc"),
        "/guilds/%00".to_owned(),
        "/users/me".to_owned(),
    ] {
        http.get(&path).await.refused(&path, 400, 50035);
    }
    for query in ["limit=0", "limit=101", "limit=x", "before=x", "after=1.5"] {
        let path = format!("/channels/{channel}/messages?{query}");
        http.get(&path).await.refused(query, 400, 50035);
    }
    node.still_works().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_too_much() {
    let node = TestNode::start().await;
    let (http, path) = (
        node.http_a(),
        format!("/channels/{}/messages", node.channel()),
    );
    let button = |id: &str| json!({"type": 2, "style": 1, "label": "x", "custom_id": id});
    let row = |items: Vec<Value>| json!({"type": 1, "components": items});
    let form = [
        ("oversize content", json!({"content": "x".repeat(2_001)})),
        ("content of a wrong type", json!({"content": {"a": 1}})),
        (
            "too many embeds",
            json!({"embeds": vec![json!({"title": "x"}); 11]}),
        ),
        (
            "a long title",
            json!({"embeds": [{"title": "x".repeat(257)}]}),
        ),
        (
            "a long description",
            json!({"embeds": [{"description": "x".repeat(4_097)}]}),
        ),
        (
            "too many fields",
            json!({"embeds": [{"fields": vec![json!({"name": "a", "value": "b"}); 26]}]}),
        ),
        (
            "embeds of 6,001 together",
            json!({"embeds": [
            {"description": "x".repeat(4_000)}, {"description": "x".repeat(2_001)}]}),
        ),
        ("embeds of a wrong type", json!({"embeds": "x"})),
        (
            "six rows",
            json!({"content": "x", "components":
            (0..6).map(|n| row(vec![button(&n.to_string())])).collect::<Vec<_>>()}),
        ),
        (
            "six buttons in a row",
            json!({"content": "x", "components":
            [row((0..6).map(|n| button(&n.to_string())).collect())]}),
        ),
        (
            "the same custom_id twice",
            json!({"content": "x", "components": [row(vec![button("a"), button("a")])]}),
        ),
        (
            "a button without an id",
            json!({"content": "x", "components": [row(vec![json!({"type": 2, "style": 1, "label": "x"})])]}),
        ),
        (
            "a label of 81",
            json!({"content": "x", "components":
            [row(vec![json!({"type": 2, "style": 1, "label": "x".repeat(81), "custom_id": "a"})])]}),
        ),
        (
            "a reply to nothing",
            json!({"content": "x", "message_reference": {"message_id": "1"}}),
        ),
        (
            "a nonce of 26",
            json!({"content": "x", "nonce": "x".repeat(26)}),
        ),
    ];
    for (case, body) in form {
        let answer = http.post(&path, &body).await;
        answer.refused(case, 400, 50035);
        assert!(
            answer.body["errors"].is_object(),
            "{case}: says which field: {answer:?}"
        );
    }
    http.post(&path, &json!({}))
        .await
        .refused("no content", 400, 50006);
    http.post(&path, &json!({"content": ""}))
        .await
        .refused("empty content", 400, 50006);
    // Exactly at the limits is fine.
    http.post(&path, &json!({"content": "x".repeat(2_000)}))
        .await
        .ok("2,000 characters");
    http.post(&path, &json!({"content": "é".repeat(2_000)}))
        .await
        .ok("characters, not bytes");
    assert_eq!(
        http.all_messages(&node.channel()).await.len(),
        2,
        "nothing refused was stored"
    );
    node.still_works().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_broken() {
    let node = TestNode::start().await;
    let (http, path) = (
        node.http_a(),
        format!("/channels/{}/messages", node.channel()),
    );
    let is_json = "application/json";
    http.post_raw(&path, is_json, b"{\"content\":".to_vec())
        .await
        .refused("malformed JSON", 400, 50109);
    http.post_raw(&path, is_json, b"\xff\xfe".to_vec())
        .await
        .refused("not UTF-8", 400, 50109);
    for (case, body) in [("a list", "[]"), ("a number", "7"), ("text", "\"x\"")] {
        http.post_raw(&path, is_json, body.into())
            .await
            .refused(case, 400, 50035);
    }
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let answer = http
        .post_raw(&path, is_json, format!("{{\"embeds\":{deep}}}").into())
        .await;
    assert_eq!(answer.status.as_u16(), 400, "deep nesting: {answer:?}");
    let answer = http
        .post_raw(&path, "text/plain", b"{\"content\":\"x\"}".to_vec())
        .await;
    assert!(
        matches!(answer.status.as_u16(), 400 | 415),
        "wrong content type: {answer:?}"
    );

    let boundary = "multipart/form-data; boundary=cut";
    let whole = "--cut\r\nContent-Disposition: form-data; name=\"files[0]\"; filename=\"a.txt\"\r\n\r\nhello\r\n--cut--\r\n";
    http.post_raw(&path, boundary, whole.into())
        .await
        .ok("a whole multipart body");
    for (case, body) in [
        ("cut in the data", &whole[..whole.len() - 12]),
        ("cut in the head", &whole[..30]),
        ("without a part", ""),
    ] {
        let answer = http.post_raw(&path, boundary, body.into()).await;
        assert_eq!(answer.status.as_u16(), 400, "multipart {case}: {answer:?}");
    }
    let answer = http
        .post_raw(&path, "multipart/form-data", whole.into())
        .await;
    assert_eq!(
        answer.status.as_u16(),
        400,
        "multipart without a boundary: {answer:?}"
    );

    let huge = http.post_raw(&path, is_json, vec![b' '; 4 << 20]).await;
    assert_eq!(huge.status.as_u16(), 413, "a body over the limit: {huge:?}");
    let mut file =
        b"--cut\r\nContent-Disposition: form-data; name=\"files[0]\"; filename=\"a\"\r\n\r\n"
            .to_vec();
    file.resize(file.len() + (11 << 20), b'x');
    file.extend_from_slice(b"\r\n--cut--\r\n");
    http.post_raw(&path, boundary, file)
        .await
        .refused("a file over 10 MiB", 413, 40005);

    assert_eq!(
        http.all_messages(&node.channel()).await.len(),
        1,
        "nothing refused was stored"
    );
    node.still_works().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_no_http() {
    let node = TestNode::start().await;
    let head = format!(
        "POST /api/v10/channels/{}/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bot {}\r\n",
        node.channel(),
        node.env().token_a
    );
    for (case, request, status) in [
        ("nonsense", "nonsense\r\n\r\n".to_owned(), Some("400")),
        (
            "a body shorter than it says",
            format!(
                "{head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{\"content\":\"x\"}}"
            ),
            None,
        ),
        (
            "a negative length",
            format!("{head}Content-Length: -1\r\n\r\n"),
            Some("400"),
        ),
        (
            "two lengths",
            format!("{head}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}"),
            Some("400"),
        ),
        (
            "a header of 1 MiB",
            format!("{head}X-Big: {}\r\n\r\n", "x".repeat(1 << 20)),
            None,
        ),
        (
            "an upgrade without a key",
            "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
                .to_owned(),
            Some("400"),
        ),
    ] {
        let answer = raw(node.addr(), request.as_bytes()).await;
        if let Some(status) = status {
            assert_eq!(
                answer.split_whitespace().nth(1),
                Some(status),
                "{case}: {answer:.200}"
            );
        }
        assert!(!answer.starts_with("HTTP/1.1 2"), "{case}: {answer:.200}");
    }
    assert!(node.http_a().all_messages(&node.channel()).await.is_empty());
    node.still_works().await;
    node.stop().await;
}

/// Not a bad request: who has asked may end its side and wait for the answer (RFC 9293, 3.6).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_ends_its_side_is_answered() {
    let node = TestNode::start().await;
    let request = format!(
        "GET /api/v10/channels/{}/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bot {}\r\n\r\n",
        node.channel(),
        node.env().token_a
    );
    // Whether the end is seen before the answer is there is chance.
    for _ in 0..50 {
        let answer = raw(node.addr(), request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer:.200}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_cannot_do_what_it_may_not() {
    let node = TestNode::start().await;
    let (a, b, guild) = (node.http_a(), node.http_b(), node.guild());
    let me = b.get("/users/@me").await.ok("who B is")["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let mine = a.post_message(&node.channel(), "A's").await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let message = format!("/channels/{}/messages/{mine}", node.channel());
    b.delete(&message)
        .await
        .refused("delete another's message", 403, 50013);
    b.patch(&message, &json!({"content": "x"}))
        .await
        .refused("edit another's message", 403, 50005);
    b.post(&format!("/guilds/{guild}/roles"), &json!({"name": "boss"}))
        .await
        .refused("make a role", 403, 50013);
    b.post(&format!("/guilds/{guild}/channels"), &json!({"name": "x"}))
        .await
        .refused("make a channel", 403, 50013);
    b.patch(&format!("/guilds/{guild}"), &json!({"name": "mine"}))
        .await
        .refused("rename the guild", 403, 50013);
    b.delete(&format!("/guilds/{guild}/members/1")).await;
    let a_id = a.get("/users/@me").await.ok("who A is")["id"]
        .as_str()
        .unwrap()
        .to_owned();
    b.delete(&format!("/guilds/{guild}/members/{a_id}"))
        .await
        .refused("kick the owner", 403, 50013);

    let hidden = json!({"name": "hidden", "permission_overwrites":
        [{"id": me, "type": 1, "allow": "0", "deny": "1024"}]});
    let hidden = a
        .post(&format!("/guilds/{guild}/channels"), &hidden)
        .await
        .ok("a hidden channel");
    let hidden = hidden["id"].as_str().unwrap();
    b.get(&format!("/channels/{hidden}"))
        .await
        .refused("see a hidden channel", 403, 50001);
    b.get(&format!("/channels/{hidden}/messages"))
        .await
        .refused("read it", 403, 50001);
    b.post(
        &format!("/channels/{hidden}/messages"),
        &json!({"content": "x"}),
    )
    .await
    .refused("write it", 403, 50001);
    let listed = b
        .get(&format!("/guilds/{guild}/channels"))
        .await
        .ok("list channels");
    assert!(
        listed
            .as_array()
            .unwrap()
            .iter()
            .all(|channel| channel["id"] != hidden),
        "{listed}"
    );
    node.still_works().await;
    node.stop().await;
}
