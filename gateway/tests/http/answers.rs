//! Every answer of a GET route against what the public OpenAPI document says of it
//! (`answers.txt`): which keys are there, and which are never null.

use std::collections::BTreeMap;

use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use crate::support::{Reply, Server};

const FACTS: &str = include_str!("answers.txt");

#[derive(Default)]
struct Schema {
    need: Vec<&'static str>,
    not_null: Vec<&'static str>,
    within: BTreeMap<&'static str, &'static str>,
}

/// The routes with their schemas, and the schemas.
fn facts() -> (
    Vec<(&'static str, &'static str)>,
    BTreeMap<&'static str, Schema>,
) {
    let (mut routes, mut schemas) = (Vec::new(), BTreeMap::<_, Schema>::new());
    let mut name = "";
    for line in FACTS.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match *words.as_slice() {
            ["GET", path, schema] => routes.push((path, schema)),
            ["schema", schema] => name = schema,
            ["in", key, schema] => {
                schemas.entry(name).or_default().within.insert(key, schema);
            }
            ["need", ..] => schemas.entry(name).or_default().need.extend(&words[1..]),
            ["not-null", ..] => schemas
                .entry(name)
                .or_default()
                .not_null
                .extend(&words[1..]),
            ["#", ..] => {}
            _ => panic!("what is {line}?"),
        }
    }
    (routes, schemas)
}

fn judge(
    schemas: &BTreeMap<&str, Schema>,
    name: &str,
    at: &str,
    value: &Value,
    faults: &mut Vec<String>,
) {
    if let Value::Array(list) = value {
        for value in list {
            judge(schemas, name, at, value, faults);
        }
        return;
    }
    let Some(object) = value.as_object() else {
        return;
    };
    let schema = &schemas[name];
    for key in &schema.need {
        if !object.contains_key(*key) {
            faults.push(format!("{at} ({name}): {key} is missing"));
        }
    }
    for key in &schema.not_null {
        if object.get(*key) == Some(&Value::Null) {
            faults.push(format!("{at} ({name}): {key} is null"));
        }
    }
    for (key, inner) in &schema.within {
        if let Some(value) = object.get(*key) {
            judge(schemas, inner, &format!("{at}/{key}"), value, faults);
        }
    }
}

#[tokio::test]
async fn answers_are_as_the_api_description_says() {
    let server = Server::start().await;
    let ann = &server.ann;
    let embed = json!({"title": "t", "image": {"url": "attachment://a.png"},
        "fields": [{"name": "n", "value": "v"}], "footer": {"text": "f"}});
    let payload = json!({"content": format!("<@{}>", server.bob.id()), "embeds": [embed]});
    let form = Form::new()
        .text("payload_json", payload.to_string())
        .part("files[0]", Part::bytes(b"x".to_vec()).file_name("a.png"))
        .part("files[1]", Part::bytes(b"x".to_vec()).file_name("b.txt"));
    let request = ann.request(reqwest::Method::POST, &server.at("/messages"));
    let posted = Reply::of(request.multipart(form)).await.expect(200);
    let message = posted["id"].as_str().unwrap();
    let reaction = format!("/messages/{message}/reactions/%F0%9F%91%8D");
    let mine = server.at(&format!("{reaction}/@me"));
    ann.put(&mine, json!({})).await.expect(204);
    let pin = server.at(&format!("/messages/pins/{message}"));
    ann.put(&pin, json!({})).await.expect(204);
    let reply = json!({"content": "re", "message_reference": {"message_id": message}});
    ann.post(&server.at("/messages"), reply).await.expect(200);
    for body in [
        json!({"name": "voice", "type": 2}),
        json!({"name": "rooms", "type": 4}),
        json!({"name": "forum", "type": 15}),
    ] {
        let path = server.in_guild("/channels");
        ann.post(&path, body).await.expect(201);
    }
    let ban = server.in_guild(&format!("/bans/{}", server.cleo.id()));
    ann.put(&ban, json!({})).await.expect(204);

    let (routes, schemas) = facts();
    assert!(routes.len() > 20, "the facts are read");
    let mut faults = Vec::new();
    for (route, schema) in routes {
        // The user of a ban is another than the user of a member.
        let user = if route.contains("/bans/") {
            &server.cleo
        } else {
            &server.bob
        };
        let path = route
            .replace("{guild_id}", &server.guild.to_string())
            .replace("{channel_id}", &server.channel.to_string())
            .replace("{role_id}", &server.guild.to_string())
            .replace("{user_id}", &user.id())
            .replace("{message_id}", message)
            .replace("{emoji_name}", "%F0%9F%91%8D");
        let query = if route.ends_with("/search") {
            "?query=b"
        } else {
            ""
        };
        let answer = ann.get(&format!("{path}{query}")).await.expect(200);
        assert_ne!(answer, json!([]), "{route} says nothing");
        judge(&schemas, schema, route, &answer, &mut faults);
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
