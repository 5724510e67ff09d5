//! READY, RESUMED and the other events a session is told about itself (Discord docs, Gateway
//! Events, "Ready", "Resumed").
//!
//! Everything clients are known to read is there, empty where there is nothing to say.

use std::sync::Arc;

use model::event::{Audience, Encoded};
use model::intents::Intents;
use model::read_state::ReadState;
use model::user::{Account, CurrentUser};
use model::{ApplicationId, GuildId};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Login;
use crate::read_states::client::entry;

/// A guild that is about to arrive with GUILD_CREATE.
#[derive(Serialize)]
struct UnavailableGuild {
    id: GuildId,
    unavailable: bool,
}

#[derive(Serialize)]
struct ReadyApplication {
    id: ApplicationId,
    flags: u64,
}

#[derive(Serialize)]
struct Ready<'a> {
    v: u8,
    user: CurrentUser,
    guilds: Vec<UnavailableGuild>,
    session_id: &'a str,
    session_type: &'static str,
    resume_gateway_url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    application: Option<ReadyApplication>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shard: Option<(u32, u32)>,
    /// Of people.
    #[serde(skip_serializing_if = "Option::is_none")]
    read_state: Option<ReadStateList>,
    user_settings: Map<String, Value>,
    private_channels: [Value; 0],
    relationships: [Value; 0],
    presences: [Value; 0],
    guild_join_requests: [Value; 0],
    geo_ordered_rtc_regions: [Value; 0],
    auth: Map<String, Value>,
    #[serde(rename = "_trace")]
    trace: [&'static str; 1],
}

/// All read states, in the versioned form; every client known takes it.
#[derive(Serialize)]
struct ReadStateList {
    version: u64,
    partial: bool,
    entries: Vec<Value>,
}

/// READY of a session that begins with `guilds`; a person's with `read_states`.
pub(super) fn ready(
    login: &Login,
    session_id: &str,
    guilds: &[GuildId],
    read_states: Option<&[ReadState]>,
) -> Arc<Encoded> {
    let Account { application, .. } = &login.account;
    let data = Ready {
        v: login.version,
        user: login.account.current_user(),
        guilds: guilds
            .iter()
            .map(|id| UnavailableGuild {
                id: *id,
                unavailable: true,
            })
            .collect(),
        session_id,
        session_type: "normal",
        resume_gateway_url: &login.resume_gateway_url,
        application: application.as_ref().map(|it| ReadyApplication {
            id: it.id,
            flags: it.flags,
        }),
        shard: login.shard,
        read_state: read_states.map(|states| ReadStateList {
            version: states.iter().map(|state| state.version).max().unwrap_or(0),
            partial: false,
            entries: states.iter().map(entry).collect(),
        }),
        user_settings: Map::new(),
        private_channels: [],
        relationships: [],
        presences: [],
        guild_join_requests: [],
        geo_ordered_rtc_regions: [],
        auth: Map::new(),
        trace: [TRACE],
    };
    own("READY", Intents::NONE, &data)
}

/// RESUMED: the replay is complete.
pub(super) fn resumed() -> Arc<Encoded> {
    own("RESUMED", Intents::NONE, &json!({ "_trace": [TRACE] }))
}

/// GUILD_DELETE of a guild named in READY of which the user is no member any more.
pub(super) fn guild_gone(guild: GuildId) -> Arc<Encoded> {
    own("GUILD_DELETE", Intents::GUILDS, &json!({ "id": guild }))
}

/// An event for one session, appended to its outbox directly.
pub(super) fn own(name: &'static str, intents: Intents, data: &impl Serialize) -> Arc<Encoded> {
    Arc::new(Encoded::new(name, None, Audience::Guild, intents, data))
}

/// Who served it.
const TRACE: &str = "guildhall";

#[cfg(test)]
mod tests {
    use super::*;
    use model::Id;
    use model::application::Application;
    use model::user::User;

    fn value(event: &Encoded) -> Value {
        let body = &event.body[..event.body.len() - 1];
        serde_json::from_slice(body).expect("a body is JSON and a brace")
    }

    #[test]
    fn ready_has_what_clients_read() {
        let user = User::new(Id::new(7), "bot", true);
        let application = Application {
            id: Id::new(7),
            name: "bot".into(),
            description: String::new(),
            flags: 8_192,
        };
        let account = Account {
            user,
            email: None,
            application: Some(application),
            token_generation: 0,
        };
        let login = Login {
            shard: Some((1, 2)),
            resume_gateway_url: "ws://here".into(),
            ..Login::new(account, Intents::ALL)
        };
        let mut state = ReadState::new(Id::new(7), Id::new(5));
        state.mention(Id::new(6));
        let person = value(&ready(&login, "cafe", &[], Some(&[state])));
        let entry = &person["read_state"]["entries"][0];
        assert_eq!(
            (&entry["id"], &entry["channel_id"]),
            (&json!("5"), &json!("5"))
        );
        assert_eq!(entry["last_message_id"], "0", "never null");
        assert_eq!(entry["mention_count"], 1);
        assert_eq!(
            entry["last_pin_timestamp"],
            "1970-01-01T00:00:00.000000+00:00"
        );
        assert_eq!(person["read_state"]["partial"], false);
        let ready = value(&ready(&login, "cafe", &[Id::new(9)], None));
        assert!(ready.get("read_state").is_none());
        assert_eq!(ready["v"], 10);
        assert_eq!(ready["guilds"], json!([{ "id": "9", "unavailable": true }]));
        assert_eq!(ready["session_id"], "cafe");
        assert_eq!(ready["resume_gateway_url"], "ws://here");
        assert_eq!(ready["application"], json!({ "id": "7", "flags": 8_192 }));
        assert_eq!(ready["shard"], json!([1, 2]));
        assert_eq!(ready["user"]["id"], "7");
        assert_eq!(ready["user"]["mfa_enabled"], false);
        for empty in [
            "private_channels",
            "relationships",
            "presences",
            "guild_join_requests",
        ] {
            assert_eq!(ready[empty], json!([]), "{empty}");
        }
        assert_eq!(value(&resumed())["_trace"], json!(["guildhall"]));
    }
}
