//! Guilds, channels, overwrites and roles.

use serde_json::json;

use crate::support::Server;

#[tokio::test]
async fn a_guild_lives() {
    let server = Server::start().await;
    let made = server
        .cleo
        .post("/guilds", json!({"name": "Cleo's"}))
        .await
        .expect(201);
    let id = made["id"].as_str().unwrap().to_owned();
    assert_eq!(made["owner_id"], server.cleo.id());
    for key in [
        "roles",
        "emojis",
        "features",
        "icon",
        "afk_timeout",
        "nsfw_level",
        "preferred_locale",
    ] {
        assert!(made.get(key).is_some(), "{key}");
    }
    let path = format!("/guilds/{id}");
    let changed = server
        .cleo
        .patch(&path, json!({"name": "New name", "description": "d"}))
        .await
        .expect(200);
    assert_eq!(
        (&changed["name"], &changed["description"]),
        (&json!("New name"), &json!("d"))
    );
    let counted = server
        .cleo
        .get(&format!("{path}?with_counts=true"))
        .await
        .expect(200);
    assert_eq!(counted["approximate_member_count"], 1);
    assert!(
        server
            .cleo
            .get(&path)
            .await
            .expect(200)
            .get("approximate_member_count")
            .is_none()
    );
    assert_eq!(
        server
            .cleo
            .get(&format!("{path}/preview"))
            .await
            .expect(200)["name"],
        "New name"
    );
    server.cleo.delete(&path).await.expect(204);
    assert!(matches!(server.cleo.get(&path).await.status, 403 | 404));
}

#[tokio::test]
async fn guild_forms_are_judged() {
    let server = Server::start().await;
    server
        .ann
        .post("/guilds", json!({}))
        .await
        .refused_at("name");
    server
        .ann
        .post("/guilds", json!({"name": "x"}))
        .await
        .refused_at("name");
    server
        .ann
        .post("/guilds", json!({"name": "x".repeat(101)}))
        .await
        .refused_at("name");
    server
        .ann
        .patch(&server.in_guild(""), json!({"name": ""}))
        .await
        .refused_at("name");
    server
        .ann
        .patch(&server.in_guild(""), json!({"verification_level": 7}))
        .await
        .refused_at("verification_level");
}

#[tokio::test]
async fn the_guilds_of_a_user_are_paged() {
    let server = Server::start().await;
    let mut ids = vec![server.guild.to_string()];
    for number in 0..3 {
        let made = server
            .ann
            .post("/guilds", json!({"name": format!("Guild {number}")}))
            .await
            .expect(201);
        ids.push(made["id"].as_str().unwrap().to_owned());
    }
    let listed = async |query: &str| -> Vec<String> {
        let page = server
            .ann
            .get(&format!("/users/@me/guilds{query}"))
            .await
            .expect(200);
        page.as_array()
            .unwrap()
            .iter()
            .map(|guild| guild["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(listed("").await, ids);
    assert_eq!(listed("?limit=2").await, ids[..2]);
    assert_eq!(
        listed(&format!("?after={}&limit=2", ids[1])).await,
        ids[2..]
    );
    assert_eq!(
        listed(&format!("?before={}&limit=2", ids[3])).await,
        ids[1..3]
    );
    let counted = server
        .ann
        .get("/users/@me/guilds?with_counts=1")
        .await
        .expect(200);
    assert_eq!(counted[0]["approximate_member_count"], 2);
    assert_eq!(counted[0]["owner"], true);
    assert!(counted[0]["permissions"].is_string());
    server
        .ann
        .get("/users/@me/guilds?limit=201")
        .await
        .refused_at("limit");
    server
        .bob
        .delete(&format!("/users/@me/guilds/{}", server.guild))
        .await
        .expect(204);
    assert_eq!(
        server.bob.get("/users/@me/guilds").await.expect(200),
        json!([])
    );
    assert_eq!(
        server
            .ann
            .delete(&format!("/users/@me/guilds/{}", server.guild))
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn channels_live() {
    let server = Server::start().await;
    let body = json!({"name": "news", "type": 0, "topic": "All of it", "rate_limit_per_user": 5, "nsfw": false});
    let made = server
        .ann
        .post(&server.in_guild("/channels"), body)
        .await
        .expect(201);
    let path = format!("/channels/{}", made["id"].as_str().unwrap());
    assert_eq!(
        (&made["topic"], &made["rate_limit_per_user"]),
        (&json!("All of it"), &json!(5))
    );
    assert_eq!(made["guild_id"], server.guild.to_string());
    let changed = server
        .ann
        .patch(&path, json!({"name": "olds", "topic": null}))
        .await
        .expect(200);
    assert_eq!(
        (&changed["name"], &changed["topic"]),
        (&json!("olds"), &json!(null))
    );
    assert_eq!(server.bob.get(&path).await.expect(200)["name"], "olds");
    let moves = json!([{"id": made["id"], "position": 0}, {"id": server.channel, "position": 1}]);
    server
        .ann
        .patch(&server.in_guild("/channels"), moves)
        .await
        .expect(204);
    let category = json!({"name": "Group", "type": 4});
    let category = server
        .ann
        .post(&server.in_guild("/channels"), category)
        .await
        .expect(201);
    // Some libraries send ids as integers.
    let parent: u64 = category["id"].as_str().unwrap().parse().unwrap();
    assert_eq!(
        server
            .ann
            .patch(&path, json!({"parent_id": parent}))
            .await
            .expect(200)["parent_id"],
        category["id"]
    );
    assert_eq!(server.ann.delete(&path).await.expect(200)["id"], made["id"]);
    server.ann.get(&path).await.refused(404, 10_003);
    server.ann.get("/channels/1").await.refused(404, 10_003);
    server
        .ann
        .post(&server.in_guild("/channels"), json!({}))
        .await
        .refused_at("name");
    server
        .ann
        .post(
            &server.in_guild("/channels"),
            json!({"name": "x", "type": 1}),
        )
        .await
        .refused_at("type");
}

#[tokio::test]
async fn overwrites_hide_and_show() {
    let server = Server::start().await;
    let bob = server.bob.id();
    server.deny_everyone(1 << 10).await;
    server.bob.get(&server.at("")).await.refused(403, 50_001);
    let own = server.at(&format!("/permissions/{bob}"));
    server
        .ann
        .put(&own, json!({"type": 1, "allow": 1024, "deny": "0"}))
        .await
        .expect(204);
    let channel = server.bob.get(&server.at("")).await.expect(200);
    assert_eq!(
        channel["permission_overwrites"].as_array().unwrap().len(),
        2
    );
    server.ann.delete(&own).await.expect(204);
    server.bob.get(&server.at("")).await.refused(403, 50_001);
    server
        .ann
        .put(&own, json!({"allow": "0"}))
        .await
        .refused_at("type");
    server
        .ann
        .put(&own, json!({"type": 1, "allow": "lots"}))
        .await
        .refused_at("allow");
}

#[tokio::test]
async fn roles_live() {
    let server = Server::start().await;
    let path = server.in_guild("/roles");
    let body = json!({"name": "Mods", "permissions": "8192", "color": 255, "hoist": true});
    let mods = server.ann.post(&path, body).await.expect(200);
    assert_eq!(
        (&mods["permissions"], &mods["hoist"]),
        (&json!("8192"), &json!(true))
    );
    let plain = server.ann.post(&path, json!({})).await.expect(200);
    assert_eq!(plain["name"], "new role");
    let one = format!("{path}/{}", mods["id"].as_str().unwrap());
    assert_eq!(
        server
            .ann
            .patch(&one, json!({"name": "Moderators"}))
            .await
            .expect(200)["name"],
        "Moderators"
    );
    assert_eq!(server.bob.get(&one).await.expect(200)["name"], "Moderators");
    let moved = server
        .ann
        .patch(&path, json!([{"id": mods["id"], "position": 2}]))
        .await
        .expect(200);
    assert_eq!(moved.as_array().unwrap().len(), 3);
    assert_eq!(
        server
            .bob
            .get(&path)
            .await
            .expect(200)
            .as_array()
            .unwrap()
            .len(),
        3
    );
    server.ann.delete(&one).await.expect(204);
    server.ann.get(&one).await.refused(404, 10_011);
    server
        .ann
        .post(&path, json!({"permissions": "x"}))
        .await
        .refused_at("permissions");
    server
        .ann
        .post(&path, json!({"name": "x".repeat(101)}))
        .await
        .refused_at("name");
    server
        .ann
        .patch(&path, json!([{"position": 1}]))
        .await
        .refused_at("0.id");
}
