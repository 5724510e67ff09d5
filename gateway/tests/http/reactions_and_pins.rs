//! Reactions and pins, by all their routes.

use serde_json::json;

use crate::support::Server;

const THUMB: &str = "%F0%9F%91%8D";

#[tokio::test]
async fn reactions_come_and_go() {
    let server = Server::start().await;
    let message = server.post("react").await;
    let path = |rest: &str| server.at(&format!("/messages/{message}/reactions{rest}"));
    let thumb = path(&format!("/{THUMB}"));
    for client in [&server.ann, &server.bob] {
        client
            .put(&format!("{thumb}/@me"), json!({}))
            .await
            .expect(204);
        client
            .put(&format!("{thumb}/@me"), json!({}))
            .await
            .expect(204);
    }
    let read = server
        .bob
        .get(&server.at(&format!("/messages/{message}")))
        .await
        .expect(200);
    let reaction = &read["reactions"][0];
    assert_eq!(
        (&reaction["count"], &reaction["me"]),
        (&json!(2), &json!(true))
    );
    assert_eq!(reaction["emoji"]["name"], "👍");
    let users = server.bob.get(&thumb).await.expect(200);
    assert_eq!(users.as_array().unwrap().len(), 2);
    let first = users[0]["id"].as_str().unwrap();
    let page = server
        .bob
        .get(&format!("{thumb}?limit=1&after={first}"))
        .await
        .expect(200);
    assert_eq!(page[0]["id"], users[1]["id"]);
    assert_eq!(
        server.bob.get(&format!("{thumb}?type=1")).await.expect(200),
        json!([])
    );
    server
        .bob
        .get(&format!("{thumb}?limit=101"))
        .await
        .refused_at("limit");

    server.bob.delete(&format!("{thumb}/@me")).await.expect(204);
    server
        .bob
        .delete(&format!("{thumb}/{}", server.ann.id()))
        .await
        .refused(403, 50_013);
    server
        .ann
        .delete(&format!("{thumb}/{}", server.ann.id()))
        .await
        .expect(204);
    assert_eq!(server.bob.get(&thumb).await.expect(200), json!([]));

    server
        .bob
        .put(&format!("{thumb}/@me"), json!({}))
        .await
        .expect(204);
    server
        .bob
        .put(&path("/%E2%9D%A4/@me"), json!({}))
        .await
        .expect(204);
    server.ann.delete(&thumb).await.expect(204);
    let read = server
        .bob
        .get(&server.at(&format!("/messages/{message}")))
        .await
        .expect(200);
    assert_eq!(read["reactions"].as_array().unwrap().len(), 1);
    server.ann.delete(&path("")).await.expect(204);
    let read = server
        .bob
        .get(&server.at(&format!("/messages/{message}")))
        .await
        .expect(200);
    assert!(read.get("reactions").is_none());
}

#[tokio::test]
async fn what_is_no_emoji_or_no_message_is_refused() {
    let server = Server::start().await;
    let message = server.post("react").await;
    let on = |message: &str, emoji: &str| {
        server.at(&format!("/messages/{message}/reactions/{emoji}/@me"))
    };
    for emoji in ["thumbsup", "a:b:c", "%20"] {
        server
            .bob
            .put(&on(&message, emoji), json!({}))
            .await
            .refused(400, 10_014);
    }
    server
        .bob
        .put(&on("1", THUMB), json!({}))
        .await
        .refused(404, 10_008);
    for number in 0..20_u32 {
        let emoji = char::from_u32(0x1f600 + number).unwrap().to_string();
        server
            .bob
            .put(&on(&message, &emoji), json!({}))
            .await
            .expect(204);
    }
    server
        .bob
        .put(&on(&message, THUMB), json!({}))
        .await
        .refused(400, 30_010);
}

#[tokio::test]
async fn pins_work_by_the_new_and_the_old_routes() {
    let server = Server::start().await;
    let first = server.post("first").await;
    let second = server.post("second").await;
    server
        .ann
        .put(&server.at(&format!("/messages/pins/{first}")), json!({}))
        .await
        .expect(204);
    server
        .ann
        .put(&server.at(&format!("/pins/{second}")), json!({}))
        .await
        .expect(204);
    let pins = server
        .bob
        .get(&server.at("/messages/pins"))
        .await
        .expect(200);
    assert_eq!(pins["has_more"], false);
    assert_eq!(
        pins["items"][0]["message"]["id"], second,
        "last pinned first"
    );
    assert!(pins["items"][0]["pinned_at"].is_string());
    let page = server
        .bob
        .get(&server.at("/messages/pins?limit=1"))
        .await
        .expect(200);
    assert_eq!(page["has_more"], true);
    let before = page["items"][0]["pinned_at"]
        .as_str()
        .unwrap()
        .replace('+', "%2B");
    let rest = server
        .bob
        .get(&server.at(&format!("/messages/pins?before={before}")))
        .await
        .expect(200);
    assert!(
        rest["items"]
            .as_array()
            .unwrap()
            .iter()
            .all(|item| item["message"]["id"] != second)
    );
    let old = server.bob.get(&server.at("/pins")).await.expect(200);
    assert_eq!(
        (&old[0]["id"], &old[1]["pinned"]),
        (&json!(second), &json!(true))
    );
    server
        .ann
        .delete(&server.at(&format!("/pins/{first}")))
        .await
        .expect(204);
    server
        .ann
        .delete(&server.at(&format!("/messages/pins/{second}")))
        .await
        .expect(204);
    assert_eq!(
        server.bob.get(&server.at("/pins")).await.expect(200),
        json!([])
    );
    server
        .ann
        .put(&server.at("/pins/1"), json!({}))
        .await
        .refused(404, 10_008);
    server
        .bob
        .get(&server.at("/messages/pins?limit=51"))
        .await
        .refused_at("limit");
    server
        .bob
        .get(&server.at("/messages/pins?before=soon"))
        .await
        .refused_at("before");
}

#[tokio::test]
async fn both_forms_of_an_emoji_are_one_reaction() {
    let server = Server::start().await;
    let message = server.post("x").await;
    let path = server.at(&format!("/messages/{message}"));
    let (bare, coloured) = ("%E2%9D%A4", "%E2%9D%A4%EF%B8%8F");
    let on = |emoji: &str, rest: &str| format!("{path}/reactions/{emoji}{rest}");
    server
        .ann
        .put(&on(coloured, "/@me"), json!({}))
        .await
        .expect(204);
    server
        .bob
        .put(&on(bare, "/@me"), json!({}))
        .await
        .expect(204);
    server
        .bob
        .put(&on(coloured, "/@me"), json!({}))
        .await
        .expect(204);
    let reactions = server.ann.get(&path).await.expect(200)["reactions"].clone();
    assert_eq!(
        (
            &reactions[0]["count"],
            &reactions[0]["emoji"]["name"],
            &reactions[1]
        ),
        (&json!(2), &json!("\u{2764}\u{fe0f}"), &json!(null))
    );
    let users = server.ann.get(&on(bare, "")).await.expect(200);
    assert_eq!(users.as_array().unwrap().len(), 2);
    server.ann.delete(&on(bare, "/@me")).await.expect(204);
    let left = server.ann.get(&on(coloured, "")).await.expect(200);
    assert_eq!(left[0]["id"], server.bob.id());
    server.ann.delete(&on(bare, "")).await.expect(204);
    let none = server.ann.get(&path).await.expect(200);
    assert_eq!(none.get("reactions"), None);
}
