//! The content of messages, for bots that may read it and for those that may not.

use chat::guild::command::Actor;
use serde_json::{Value, json};

use crate::support::{Client, Server};

/// A member without the flag of the privileged intent.
async fn plain_bot(server: &Server) -> Client {
    let plain = chat::accounts::create_bot(&server.chat, "Plain", 0)
        .await
        .unwrap();
    chat::guild::add_member(&server.chat, Actor::System, server.guild, plain.user.id)
        .await
        .unwrap();
    let mut client = server.bob.clone();
    client.token = chat::accounts::issue_token(&server.chat, &plain);
    client.account = plain;
    client
}

fn is_blank(message: &Value) -> bool {
    message["content"] == "" && message["embeds"] == json!([]) && message["components"] == json!([])
}

#[tokio::test]
async fn content_is_for_those_who_may_read_it_by_every_route() {
    let server = Server::start().await;
    let plain = plain_bot(&server).await;
    let post = async |client: &Client, body: Value| -> String {
        let posted = client.post(&server.at("/messages"), body).await.expect(200);
        assert!(!is_blank(&posted), "one's own");
        posted["id"].as_str().unwrap().to_owned()
    };
    let secret = post(
        &server.ann,
        json!({"content": "secret", "embeds": [{"title": "secret"}],
            "components": [{"type": 1, "components":
                [{"type": 2, "style": 1, "label": "secret", "custom_id": "x"}]}]}),
    )
    .await;
    let mention = json!({"content": format!("to <@{}>", plain.id())});
    let mention = post(&server.ann, mention).await;
    let answer = json!({"content": "re", "message_reference": {"message_id": secret}});
    let answer = post(&server.bob, answer).await;
    let own = post(&plain, json!({"content": "mine"})).await;
    let pin = server.at(&format!("/messages/pins/{secret}"));
    server.ann.put(&pin, json!({})).await.expect(204);

    let of = |id: &str| server.at(&format!("/messages/{id}"));
    for (id, blank) in [
        (&secret, true),
        (&answer, true),
        (&mention, false),
        (&own, false),
    ] {
        let seen = plain.get(&of(id)).await.expect(200);
        assert_eq!(is_blank(&seen), blank, "{seen}");
        let seen = server.bob.get(&of(id)).await.expect(200);
        assert!(!is_blank(&seen), "Bob may read it: {seen}");
    }
    for path in ["/messages", "/messages/pins", "/pins"] {
        let page = plain.get(&server.at(path)).await;
        assert!(page.status == 200 && !page.bytes.is_empty(), "{path}");
        let text = String::from_utf8(page.bytes).unwrap();
        assert!(
            text.contains(&secret) && !text.contains("\"secret\""),
            "{path}: {text}"
        );
    }
    // What a moderator is answered about another's message is no way round it.
    let role = json!({"permissions": u64::MAX.to_string()});
    let everyone = server.in_guild(&format!("/roles/{}", server.guild));
    server.ann.patch(&everyone, role).await.expect(200);
    let hidden = plain
        .patch(&of(&secret), json!({"flags": 4}))
        .await
        .expect(200);
    assert!(is_blank(&hidden), "{hidden}");
}
