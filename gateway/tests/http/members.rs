//! Users, members and bans.

use serde_json::json;

use crate::support::{Reply, Server};

#[tokio::test]
async fn users_are_shown() {
    let server = Server::start().await;
    let own = server.cleo.get("/users/@me").await.expect(200);
    assert_eq!(
        (&own["username"], &own["mfa_enabled"]),
        (&json!("cleo"), &json!(false))
    );
    let other = server
        .cleo
        .get(&format!("/users/{}", server.ann.id()))
        .await
        .expect(200);
    assert_eq!(
        (&other["username"], &other["bot"]),
        (&json!("Ann"), &json!(true))
    );
    assert!(
        other.get("email").is_none(),
        "only its owner sees an address"
    );
    server.cleo.get("/users/1").await.refused(404, 10_013);
}

#[tokio::test]
async fn members_are_listed_searched_and_changed() {
    let server = Server::start().await;
    let bob = server.bob.id();
    let all = server
        .ann
        .get(&server.in_guild("/members?limit=1000"))
        .await
        .expect(200);
    assert_eq!(all.as_array().unwrap().len(), 2);
    let first = server
        .ann
        .get(&server.in_guild("/members"))
        .await
        .expect(200);
    assert_eq!(
        first.as_array().unwrap().len(),
        1,
        "one, when no limit is given"
    );
    let after = first[0]["user"]["id"].as_str().unwrap();
    let rest = server
        .ann
        .get(&server.in_guild(&format!("/members?limit=10&after={after}")))
        .await
        .expect(200);
    assert_eq!(rest.as_array().unwrap().len(), 1);
    let found = server
        .ann
        .get(&server.in_guild("/members/search?query=bo&limit=5"))
        .await
        .expect(200);
    assert_eq!(found[0]["user"]["id"], bob);
    server
        .ann
        .get(&server.in_guild("/members/search"))
        .await
        .refused_at("query");
    server
        .ann
        .get(&server.in_guild("/members?limit=1001"))
        .await
        .refused_at("limit");

    let path = server.in_guild(&format!("/members/{bob}"));
    assert_eq!(
        server
            .ann
            .patch(&path, json!({"nick": "Bobby"}))
            .await
            .expect(200)["nick"],
        "Bobby"
    );
    assert_eq!(
        server
            .ann
            .patch(&path, json!({"nick": ""}))
            .await
            .expect(200)["nick"],
        json!(null)
    );
    server
        .ann
        .patch(&path, json!({"nick": "x".repeat(33)}))
        .await
        .refused_at("nick");
    let own = server
        .bob
        .patch(&server.in_guild("/members/@me"), json!({"nick": "Me"}))
        .await
        .expect(200);
    assert_eq!(own["nick"], "Me");
    let older = server
        .bob
        .patch(
            &server.in_guild("/members/@me/nick"),
            json!({"nick": "You"}),
        )
        .await
        .expect(200);
    assert_eq!(older["nick"], "You");
    server
        .ann
        .get(&server.in_guild("/members/1"))
        .await
        .refused(404, 10_013);
    server
        .ann
        .get(&server.in_guild(&format!("/members/{}", server.cleo.id())))
        .await
        .refused(404, 10_007);
}

#[tokio::test]
async fn roles_are_given_and_taken() {
    let server = Server::start().await;
    let role = server
        .ann
        .post(&server.in_guild("/roles"), json!({"name": "r"}))
        .await
        .expect(200);
    let role = role["id"].as_str().unwrap();
    let member = server.in_guild(&format!("/members/{}", server.bob.id()));
    server
        .ann
        .put(&format!("{member}/roles/{role}"), json!({}))
        .await
        .expect(204);
    assert_eq!(
        server.ann.get(&member).await.expect(200)["roles"],
        json!([role])
    );
    server
        .ann
        .delete(&format!("{member}/roles/{role}"))
        .await
        .expect(204);
    assert_eq!(
        server.ann.get(&member).await.expect(200)["roles"],
        json!([])
    );
    server
        .ann
        .put(&format!("{member}/roles/1"), json!({}))
        .await
        .refused(404, 10_011);
    let both = server
        .ann
        .patch(&member, json!({"roles": [role]}))
        .await
        .expect(200);
    assert_eq!(both["roles"], json!([role]));
    assert_eq!(
        server
            .ann
            .patch(&member, json!({"roles": null}))
            .await
            .expect(200)["roles"],
        json!([])
    );
}

#[tokio::test]
async fn a_time_out_silences() {
    let server = Server::start().await;
    let member = server.in_guild(&format!("/members/{}", server.bob.id()));
    let until = chat::clock::now_ms() + 600_000;
    let until = model::time::from_unix_ms(until);
    server
        .ann
        .patch(&member, json!({"communication_disabled_until": until}))
        .await
        .expect(200);
    server
        .bob
        .post(&server.at("/messages"), json!({"content": "x"}))
        .await
        .refused(403, 50_013);
    server.bob.get(&server.at("/messages")).await.expect(200);
    server
        .ann
        .patch(&member, json!({"communication_disabled_until": null}))
        .await
        .expect(200);
    server
        .bob
        .post(&server.at("/messages"), json!({"content": "x"}))
        .await
        .expect(200);
    server
        .ann
        .patch(&member, json!({"communication_disabled_until": "soon"}))
        .await
        .refused_at("communication_disabled_until");
}

#[tokio::test]
async fn members_are_kicked_banned_and_let_in_again() {
    let server = Server::start().await;
    let bob = server.bob.id();
    let member = server.in_guild(&format!("/members/{bob}"));
    server.ann.delete(&member).await.expect(204);
    server.ann.get(&member).await.refused(404, 10_007);
    let agreed = json!({"access_token": server.bob.token});
    server.ann.put(&member, agreed.clone()).await.expect(201);
    server.ann.put(&member, agreed.clone()).await.expect(204);

    server
        .bob
        .post(&server.at("/messages"), json!({"content": "spam"}))
        .await
        .expect(200);
    let ban = server.in_guild(&format!("/bans/{bob}"));
    let request = server
        .ann
        .request(reqwest::Method::PUT, &ban)
        .header("x-audit-log-reason", "sp%C3%A4m")
        .json(&json!({"delete_message_seconds": 3_600}));
    Reply::of(request).await.expect(204);
    let banned = server.ann.get(&ban).await.expect(200);
    assert_eq!(
        (&banned["reason"], &banned["user"]["id"]),
        (&json!("späm"), &json!(bob))
    );
    assert_eq!(
        server
            .ann
            .get(&server.in_guild("/bans"))
            .await
            .expect(200)
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        server.ann.get(&server.at("/messages")).await.expect(200),
        json!([]),
        "the spam is gone"
    );
    server
        .ann
        .put(&member, agreed.clone())
        .await
        .refused(403, 40_007);
    server.ann.delete(&ban).await.expect(204);
    server.ann.get(&ban).await.refused(404, 10_026);
    server.ann.delete(&ban).await.refused(404, 10_026);
    server.ann.put(&member, agreed).await.expect(201);

    server
        .ann
        .put(&ban, json!({"delete_message_seconds": 604_801}))
        .await
        .refused_at("delete_message_seconds");
    let bulk = server.in_guild("/bulk-ban");
    server
        .ann
        .post(&bulk, json!({}))
        .await
        .refused_at("user_ids");
    let done = server
        .ann
        .post(&bulk, json!({"user_ids": [bob, "1"]}))
        .await
        .expect(200);
    assert_eq!(done, json!({"banned_users": [bob], "failed_users": ["1"]}));
}

#[tokio::test]
async fn nobody_is_added_who_did_not_agree() {
    let server = Server::start().await;
    let (bob, cleo) = (&server.bob, &server.cleo);
    let member = server.in_guild(&format!("/members/{}", cleo.id()));
    server
        .ann
        .put(&member, json!({}))
        .await
        .refused_at("access_token");
    let of_another = json!({"access_token": server.ann.token});
    let broken = json!({"access_token": format!("{}x", cleo.token)});
    for body in [of_another, broken, json!({"access_token": "x"})] {
        server.ann.put(&member, body).await.refused(403, 50_025);
    }
    // One who is in already is no exception.
    let of_bob = server.in_guild(&format!("/members/{}", bob.id()));
    let stolen = json!({"access_token": cleo.token});
    server.ann.put(&of_bob, stolen).await.refused(403, 50_025);

    let agreed = json!({"access_token": cleo.token});
    let everyone = server.in_guild(&format!("/roles/{}", server.guild));
    let none = json!({"permissions": "0"});
    server.ann.patch(&everyone, none).await.expect(200);
    bob.put(&member, agreed.clone()).await.refused(403, 50_013);
    cleo.put(&member, agreed.clone()).await.refused(403, 20_002);
    server.ann.get(&member).await.refused(404, 10_007);
    server.ann.put(&member, agreed).await.expect(201);
    cleo.put(&member, json!({})).await.refused(403, 20_002);
}

#[tokio::test]
async fn listing_all_members_needs_the_privileged_intent() {
    let server = Server::start().await;
    let plain = chat::accounts::create_bot(&server.chat, "Plain", 0)
        .await
        .unwrap();
    let user = plain.user.id;
    chat::guild::add_member(
        &server.chat,
        chat::guild::command::Actor::System,
        server.guild,
        user,
    )
    .await
    .unwrap();
    let mut client = server.bob.clone();
    client.token = chat::accounts::issue_token(&server.chat, &plain);
    client
        .get(&server.in_guild("/members"))
        .await
        .refused(403, 50_001);
    client
        .get(&server.in_guild("/members/search?query=b"))
        .await
        .expect(200);
}
