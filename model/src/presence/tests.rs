//! Presences: what sloppy clients send, and what strict clients read.

#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;
use crate::id::Id;

const NOW: u64 = 1_795_342_417_349;

fn activities(activities: Value) -> Vec<Value> {
    normalise(&json!({"activities": activities}), NOW)
        .unwrap()
        .activities
}

#[test]
fn nothing_is_online() {
    assert_eq!(normalise(&Value::Null, NOW), Ok(Presence::default()));
    assert_eq!(normalise(&json!({}), NOW), Ok(Presence::default()));
}

#[test]
fn reads_what_libraries_send() {
    // eris
    let sent = json!({"activities": null, "afk": false, "since": 0, "status": "offline"});
    let read = normalise(&sent, NOW).unwrap();
    assert_eq!(
        (read.status, read.activities.len(), read.since),
        (Status::Offline, 0, None)
    );
    // twilight: every field, null where unset
    let sent = json!({"since": null, "afk": null, "status": "idle", "activities": [{
        "application_id": null, "assets": null, "created_at": null, "details": null, "emoji": null,
        "flags": null, "id": null, "instance": null, "name": "n", "party": null, "secrets": null,
        "state": null, "timestamps": null, "type": 0, "url": null}]});
    let read = normalise(&sent, NOW).unwrap();
    let activity = read.activities[0].as_object().unwrap();
    assert_eq!(activity["created_at"], NOW);
    assert_eq!(activity["name"], "n");
    assert!(
        activity.values().all(|value| !value.is_null()),
        "{activity:?}"
    );
    // old clients
    let sent = json!({"status": "dnd", "game": {"name": "chess", "type": 0}, "since": 5.0});
    let read = normalise(&sent, NOW).unwrap();
    assert_eq!(
        (read.activities[0]["name"].clone(), read.since),
        (json!("chess"), Some(5))
    );
    assert_eq!(
        normalise(&json!({"game": null}), NOW),
        Ok(Presence::default())
    );
}

#[test]
fn only_what_discord_emits_is_kept() {
    let read = activities(json!([{
        "name": "n", "type": 1, "state": "s", "url": "https://twitch.tv/x", "details": "d",
        "timestamps": {"start": 1}, "assets": {"large_text": "x"}, "buttons": ["b"],
        "emoji": {"name": "👍"}, "created_at": 5, "id": "mine", "secrets": {"join": "j"},
    }]));
    let id = read[0]["id"].clone();
    assert_eq!(
        read,
        [
            json!({"name": "n", "type": 1, "state": "s", "url": "https://twitch.tv/x",
            "created_at": NOW, "id": id})
        ]
    );
    assert_eq!(id.as_str().unwrap().len(), 16);
    let read = activities(json!([{"name": "n", "type": 0, "url": "https://x"}]));
    assert_eq!(read[0].get("url"), None, "only streams have a link");
    let read = activities(json!([{"name": "n", "type": 1, "url": "nowhere"}]));
    assert_eq!(read[0].get("url"), None);
}

#[test]
fn a_custom_status_has_a_state_and_an_emoji() {
    let read = activities(json!([
        {"type": 4, "name": null, "state": "busy", "emoji": {"name": "w", "id": 5}},
        {"type": 4, "name": "Custom Status", "emoji": {"name": "👍", "id": null}},
        {"type": 4, "name": "Custom Status", "emoji": {"id": "7"}},
    ]));
    assert_eq!(read[0]["name"], "Custom Status");
    assert_eq!(read[0]["id"], "custom");
    assert_eq!(
        read[0]["emoji"],
        json!({"name": "w", "id": "5", "animated": false})
    );
    assert_eq!(read[1]["emoji"], json!({"name": "👍"}));
    assert_eq!(read[2].get("emoji"), None);
}

#[test]
fn texts_are_cut_and_lists_bounded() {
    let read = activities(json!([{"name": "é".repeat(200), "state": "é".repeat(200)}]));
    assert_eq!(read[0]["name"], "é".repeat(128));
    assert_eq!(read[0]["state"], "é".repeat(128));
    let many: Vec<Value> = (0..20).map(|n| json!({"name": n.to_string()})).collect();
    assert_eq!(activities(json!(many)).len(), ACTIVITIES_MAX);
    assert_eq!(
        activities(json!([{"name": ""}, {"type": 2}, null])),
        Vec::<Value>::new()
    );
}

#[test]
fn an_activity_keeps_its_id() {
    let id =
        |name: &str, kind: u8| activities(json!([{"name": name, "type": kind}]))[0]["id"].clone();
    assert_eq!(id("a", 0), id("a", 0));
    assert_ne!(id("a", 0), id("b", 0));
    assert_ne!(id("a", 0), id("a", 2));
}

#[test]
fn nonsense_is_refused() {
    for sent in [
        json!({"status": "away"}),
        json!({"status": 1}),
        json!({"activities": {}}),
        json!({"activities": ["x"]}),
        json!({"activities": [{"name": "n", "type": 7}]}),
        json!({"activities": [{"name": "n", "type": -1}]}),
        json!({"activities": [{"name": []}]}),
        json!({"afk": "no"}),
        json!([]),
        json!("online"),
    ] {
        assert!(normalise(&sent, NOW).is_err(), "{sent}");
    }
}

#[test]
fn invisible_is_shown_as_offline() {
    let read = normalise(&json!({"status": "invisible"}), NOW).unwrap();
    assert_eq!(read.status, Status::Invisible);
    assert_eq!(read.status.shown(), Status::Offline);
    assert_eq!(Status::Idle.shown(), Status::Idle);
}

#[test]
fn clients_parse_it() {
    let read = normalise(
        &json!({"status": "dnd", "activities": [
            {"name": "n", "type": 0, "created_at": null},
            {"type": 4, "state": "s", "emoji": {"name": "w", "id": "5"}},
            {"name": "t", "type": 1, "url": "https://twitch.tv/x"}]}),
        NOW,
    )
    .unwrap();
    let update = PresenceUpdate {
        user: PresenceUser { id: Id::new(1) },
        guild_id: Id::new(2),
        status: read.status.shown(),
        activities: read.activities,
        client_status: ClientStatus {
            web: Some(Status::Dnd),
            ..ClientStatus::default()
        },
    };
    let json = serde_json::to_string(&update).unwrap();
    assert!(
        json.ends_with(r#""client_status":{"web":"dnd"}}"#),
        "{json}"
    );
    use twilight_model::gateway::payload::incoming::PresenceUpdate as Theirs;
    let theirs: Theirs = serde_json::from_str(&json).unwrap();
    assert_eq!(theirs.activities.len(), 3);
    assert!(
        theirs
            .activities
            .iter()
            .all(|activity| activity.created_at == Some(NOW))
    );
    assert_eq!(
        theirs.activities[1].emoji.as_ref().unwrap().id.as_deref(),
        Some("5")
    );
}

#[test]
fn the_status_of_peoples_clients_is_an_activity_too() {
    let sent = json!({"activities": [{"name": "Hang Status", "type": 6, "state": "chilling"}]});
    let presence = normalise(&sent, 1).expect("a fair presence");
    assert_eq!(presence.activities[0]["type"], 6);
}
