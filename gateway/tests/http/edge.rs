//! What is around every route: paths, versions, headers, bodies, health.

use reqwest::Method;
use serde_json::json;

use crate::support::{Reply, Server};

#[tokio::test]
async fn unknown_routes_methods_and_versions_are_answered_as_discord_does() {
    let server = Server::start().await;
    let unknown = server.ann.get("/no/such/route").await;
    assert_eq!(
        unknown.body,
        json!({"message": "404: Not Found", "code": 0})
    );
    assert_eq!(
        (unknown.status, unknown.header("content-type")),
        (404, "application/json")
    );
    let wrong = server.ann.send(Method::PUT, "/users/@me", None).await;
    assert_eq!(
        wrong.body,
        json!({"message": "405: Method Not Allowed", "code": 0})
    );
    assert_eq!(wrong.status, 405);
    for version in ["/api/v5", "/api/v11", "/api/v0"] {
        Reply::of(
            server
                .ann
                .anonymous(Method::GET, &format!("{version}/gateway")),
        )
        .await
        .refused(404, 50_041);
    }
    for prefix in ["/api", "/api/v9", "/api/v10"] {
        Reply::of(
            server
                .ann
                .anonymous(Method::GET, &format!("{prefix}/gateway")),
        )
        .await
        .expect(200);
    }
}

#[tokio::test]
async fn segments_are_decoded_and_tokens_come_in_three_forms() {
    let server = Server::start().await;
    assert_eq!(
        server.ann.get("/users/%40me").await.expect(200)["id"],
        server.ann.id()
    );
    for token in [
        format!("Bot {}", server.ann.token),
        format!("Bearer {}", server.ann.token),
        server.ann.token.clone(),
    ] {
        let request = server
            .ann
            .anonymous(Method::GET, "/api/v10/users/@me")
            .header("authorization", token);
        assert_eq!(Reply::of(request).await.expect(200)["id"], server.ann.id());
    }
    for token in ["Bot x", "Bot a.b.c", "", "Basic abc"] {
        let request = server
            .ann
            .anonymous(Method::GET, "/api/v10/users/@me")
            .header("authorization", token);
        assert_eq!(
            Reply::of(request).await.refused(401, 0),
            json!({"message": "401: Unauthorized", "code": 0})
        );
    }
}

#[tokio::test]
async fn the_gateway_tells_where_it_is() {
    let server = Server::start().await;
    let url = format!("ws://{}", server.address);
    let open = Reply::of(server.ann.anonymous(Method::GET, "/api/v10/gateway")).await;
    assert_eq!(open.expect(200), json!({"url": url}));
    let bot = server.ann.get("/gateway/bot").await.expect(200);
    assert_eq!((&bot["url"], &bot["shards"]), (&json!(url), &json!(1)));
    assert_eq!(bot["session_start_limit"]["max_concurrency"], 16);
    assert_eq!(bot["session_start_limit"]["remaining"], 1_000);
}

#[tokio::test]
async fn every_answer_carries_its_headers() {
    let server = Server::start().await;
    let reply = server.ann.get("/users/@me").await;
    assert_eq!(reply.header("content-type"), "application/json");
    assert_eq!(reply.header("x-content-type-options"), "nosniff");
    assert_eq!(reply.header("cache-control"), "no-store");
    assert_eq!(reply.header("x-request-id").len(), 16);
    assert!(reply.headers.get("access-control-allow-origin").is_none());
    let other = server.ann.get("/users/@me").await;
    assert_ne!(reply.header("x-request-id"), other.header("x-request-id"));
}

#[tokio::test]
async fn pages_from_elsewhere_may_ask_also_when_they_are_refused() {
    let server = Server::start().await;
    let preflight = server
        .ann
        .anonymous(Method::OPTIONS, "/api/v10/users/@me")
        .header("origin", "https://app.example")
        .header("access-control-request-method", "GET")
        .header("access-control-request-headers", "authorization,x-super");
    let preflight = Reply::of(preflight).await;
    assert_eq!(preflight.status, 204);
    assert_eq!(
        preflight.header("access-control-allow-origin"),
        "https://app.example"
    );
    assert_eq!(
        preflight.header("access-control-allow-headers"),
        "authorization,x-super"
    );
    let refused = server
        .ann
        .anonymous(Method::GET, "/api/v10/users/@me")
        .header("origin", "https://app.example");
    let refused = Reply::of(refused).await;
    assert_eq!(refused.status, 401);
    assert_eq!(
        refused.header("access-control-allow-origin"),
        "https://app.example"
    );
    assert_eq!(refused.header("access-control-allow-credentials"), "true");
}

#[tokio::test]
async fn bodies_are_judged_before_anything_else_happens() {
    let server = Server::start().await;
    let post = || server.ann.request(Method::POST, &server.at("/messages"));
    let json_type = ("content-type", "application/json");
    let broken = post()
        .header(json_type.0, json_type.1)
        .body("{\"content\":");
    Reply::of(broken).await.refused(400, 50_109);
    let deep = post()
        .header(json_type.0, json_type.1)
        .body("[".repeat(100_000));
    Reply::of(deep).await.refused(400, 50_109);
    let list = post().header(json_type.0, json_type.1).body("[]");
    Reply::of(list).await.refused(400, 50_035);
    let text = post()
        .header("content-type", "text/plain")
        .body("{\"content\":\"x\"}");
    let refused = Reply::of(text).await.refused(400, 50_035);
    assert_eq!(
        refused["errors"]["_errors"][0]["code"],
        "CONTENT_TYPE_INVALID"
    );
    let long = post()
        .header(json_type.0, json_type.1)
        .body(" ".repeat(300_000));
    Reply::of(long).await.refused(413, 40_005);
    let zipped = post()
        .header("content-encoding", "gzip")
        .header(json_type.0, json_type.1)
        .body("{}");
    Reply::of(zipped).await.refused(415, 0);
    assert_eq!(
        server.ann.get(&server.at("/messages")).await.expect(200),
        json!([]),
        "nothing was posted"
    );
}

#[tokio::test]
async fn bad_snowflakes_are_named() {
    let server = Server::start().await;
    for (path, key) in [
        ("/channels/x", "channel_id"),
        ("/guilds/-1", "guild_id"),
        ("/users/0", "user_id"),
        ("/channels/99999999999999999999999", "channel_id"),
        ("/channels/x/messages", "channel_id"),
    ] {
        let refused = server.ann.get(path).await.refused_at(key);
        assert_eq!(
            refused["errors"][key]["_errors"][0]["code"],
            "NUMBER_TYPE_COERCE"
        );
    }
    server
        .ann
        .get(&server.at("/messages?before=x"))
        .await
        .refused_at("before");
}

#[tokio::test]
async fn the_root_is_a_page_for_people_and_a_socket_for_clients() {
    let server = Server::start().await;
    let page = Reply::of(
        server
            .ann
            .anonymous(Method::GET, "/")
            .header("accept", "text/html,*/*"),
    )
    .await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").starts_with("text/html"));
    assert!(
        page.header("content-security-policy")
            .contains("script-src 'sha256-")
    );
    Reply::of(server.ann.anonymous(Method::GET, "/"))
        .await
        .refused(426, 0);
}

#[tokio::test]
async fn operators_see_health_and_metrics() {
    let server = Server::start().await;
    server.ann.get("/users/@me").await.expect(200);
    let plain = async |path: &str| Reply::of(server.ann.anonymous(Method::GET, path)).await;
    assert_eq!(plain("/healthz").await.status, 200);
    assert_eq!(plain("/readyz").await.status, 200);
    let metrics = plain("/metrics").await;
    let text = String::from_utf8(metrics.bytes).unwrap();
    assert!(text.contains("guildhall_http_requests_total{route=\"/api/v10/users/@me\",method=\"GET\",status=\"200\"}"), "{text}");
    assert!(text.contains("guildhall_http_request_seconds_bucket"));
    server.context.set_ready(false);
    assert_eq!(plain("/readyz").await.status, 503);
    assert_eq!(plain("/healthz").await.status, 200);
}

#[tokio::test]
async fn what_stock_clients_read_when_they_start_is_there() {
    let server = Server::start().await;
    for path in [
        "/voice/regions",
        "/soundboard-default-sounds",
        &server.in_guild("/emojis"),
        &server.in_guild("/stickers"),
    ] {
        assert_eq!(server.bob.get(path).await.expect(200), json!([]), "{path}");
    }
    assert_eq!(
        server.bob.get("/sticker-packs").await.expect(200)["sticker_packs"],
        json!([])
    );
    for path in ["/applications/@me", "/oauth2/applications/@me"] {
        let application = server.ann.get(path).await.expect(200);
        assert_eq!(application["id"], server.ann.id());
        assert_eq!(application["bot"]["bot"], true);
        assert!(application["flags"].is_u64() && application["owner"]["id"].is_string());
    }
    server
        .cleo
        .get("/applications/@me")
        .await
        .refused(403, 20_002);
    let own = format!(
        "/applications/{}/commands?with_localizations=true",
        server.ann.id()
    );
    assert_eq!(server.ann.get(&own).await.expect(200), json!([]));
    server.bob.get(&own).await.refused(403, 20_012);
}

#[tokio::test]
async fn a_server_that_is_told_to_stop_answers_and_returns() {
    use tokio_util::sync::CancellationToken;
    let server = Server::start().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let (context, stopped) = (server.context.clone(), stop.clone());
    let serving = tokio::spawn(gateway::server::serve(listener, context, async move {
        stopped.cancelled().await
    }));
    // Leaves an idle connection open.
    let answer = reqwest::get(format!("http://{address}/healthz"))
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    stop.cancel();
    tokio::time::timeout(crate::support::DEADLINE, serving)
        .await
        .unwrap()
        .unwrap();
    assert!(
        reqwest::get(format!("http://{address}/healthz"))
            .await
            .is_err()
    );
}
