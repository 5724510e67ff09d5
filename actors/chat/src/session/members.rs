//! Op 8: members on request, to one session only (Discord docs, Gateway Events, "Request Guild
//! Members").

use std::sync::Arc;
use std::time::Duration;

use model::event::Encoded;
use model::intents::Intents;
use model::member::Member;
use model::presence::PresenceUpdate;
use model::{GuildId, UserId};
use serde::Serialize;
use serde_json::json;

use super::login::{Attached, on_shard};
use super::ready::own;
use crate::guild;
use crate::guild::command::{Actor, MembersFound, MembersRequest};
use crate::guild::state::{presence_of, shown};

/// Most members in one GUILD_MEMBERS_CHUNK.
pub const CHUNK_MEMBERS_MAX: usize = 1_000;

/// Most members found by a prefix.
pub const QUERY_MEMBERS_MAX: usize = 100;

/// Most members asked for by id; further ids are ignored.
pub const MEMBER_IDS_MAX: usize = 100;

/// Longest nonce in bytes; a longer one is left out of the answer.
pub const NONCE_BYTES_MAX: usize = 32;

/// The data of GUILD_MEMBERS_CHUNK.
#[derive(Serialize)]
struct Chunk<'a> {
    guild_id: GuildId,
    members: &'a [Member],
    chunk_index: usize,
    chunk_count: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_found: Option<&'a [UserId]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presences: Option<Vec<PresenceUpdate>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
}

impl Attached {
    /// Sends the members asked for as GUILD_MEMBERS_CHUNK events to this session; nothing when
    /// the guild is of another shard, the user is not in it, the guild cannot be reached, or a bot asks for all members
    /// without the GUILD_MEMBERS intent. A bot that asks for all members more often than every
    /// 30 s gets RATE_LIMITED instead. Presences are empty without the GUILD_PRESENCES intent.
    pub async fn request_members(
        &self,
        guild: GuildId,
        request: MembersRequest,
        nonce: Option<String>,
    ) {
        if !on_shard(self.shard, guild) {
            tracing::debug!(user = %self.user, %guild, "members of another shard's guild");
            return;
        }
        let nonce = nonce.filter(|nonce| nonce.len() <= NONCE_BYTES_MAX);
        let request = bounded(request);
        if self.is_bot() && asks_for_all(&request) {
            if !self.intents.contains(Intents::GUILD_MEMBERS) {
                tracing::debug!(user = %self.user, %guild, "all members need the GUILD_MEMBERS intent");
                return;
            }
            if let Err(wait) = self.chat.sessions().take_all_members(self.user, guild) {
                metrics::counter!("guildhall_members_rate_limited_total").increment(1);
                self.outbox
                    .append(&rate_limited(guild, nonce.as_deref(), wait));
                return;
            }
        }
        let blind = request.presences && !self.intents.contains(Intents::GUILD_PRESENCES);
        let wants_presences = request.presences;
        match guild::request_members(&self.chat, Actor::User(self.user), guild, request).await {
            Ok(found) => {
                let presence = |user| {
                    let (presence, client_status) = self.chat.presences().of(user)?;
                    let shown = (shown(presence)?, client_status);
                    Some(presence_of(guild, user, Some(shown)))
                };
                let presences = match (wants_presences, blind) {
                    (false, _) => Presences::Unasked,
                    (true, true) => Presences::Hidden,
                    (true, false) => Presences::Of(&presence),
                };
                // One after the other, made as it is sent: of a large guild all of them would be
                // hundreds of megabytes.
                for index in 0..chunk_count(&found) {
                    let chunk = chunk(guild, &found, &presences, nonce.as_deref(), index);
                    if self.outbox.append(&chunk).closed {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            }
            Err(error) => tracing::debug!(user = %self.user, %guild, %error, "members not sent"),
        }
    }
}

/// Whether a request is for every member of the guild.
fn asks_for_all(request: &MembersRequest) -> bool {
    request.user_ids.is_empty() && request.limit == 0 && request.query.as_deref() == Some("")
}

/// The request within the documented bounds.
fn bounded(mut request: MembersRequest) -> MembersRequest {
    request.user_ids.truncate(MEMBER_IDS_MAX);
    if !request.user_ids.is_empty() {
        request.query = None;
    } else if request.query.as_deref() != Some("") || request.limit != 0 {
        request.limit = match request.limit {
            0 => QUERY_MEMBERS_MAX,
            limit => limit.min(QUERY_MEMBERS_MAX),
        };
    }
    request
}

/// Where presences of members come from.
enum Presences<'a> {
    /// Nobody asked for them.
    Unasked,
    /// The session may not see them.
    Hidden,
    /// From here; `None` = offline, left out.
    Of(&'a (dyn Fn(UserId) -> Option<PresenceUpdate> + Sync)),
}

/// How many chunks the members make; an empty answer is one empty chunk.
fn chunk_count(found: &MembersFound) -> usize {
    found.members.len().div_ceil(CHUNK_MEMBERS_MAX).max(1)
}

/// One chunk. Ids that are no members are named in the first, presences go with their members.
fn chunk(
    guild: GuildId,
    found: &MembersFound,
    presences: &Presences<'_>,
    nonce: Option<&str>,
    chunk_index: usize,
) -> Arc<Encoded> {
    let start = chunk_index * CHUNK_MEMBERS_MAX;
    let end = found.members.len().min(start + CHUNK_MEMBERS_MAX);
    let rows = &found.members[start..end];
    let members: Vec<Member> = rows
        .iter()
        .map(|row| row.member(|id| found.roles.contains(id)))
        .collect();
    let presences = match presences {
        Presences::Unasked => None,
        Presences::Hidden => Some(Vec::new()),
        Presences::Of(of) => {
            let users = rows.iter().map(|row| row.record.user_id);
            Some(users.filter_map(of).collect())
        }
    };
    let not_found = (chunk_index == 0 && !found.not_found.is_empty()).then_some(&*found.not_found);
    let data = Chunk {
        guild_id: guild,
        members: &members,
        chunk_index,
        chunk_count: chunk_count(found),
        not_found,
        presences,
        nonce,
    };
    own("GUILD_MEMBERS_CHUNK", Intents::NONE, &data)
}

/// RATE_LIMITED (Discord docs, Gateway Events, "Rate Limited").
fn rate_limited(guild: GuildId, nonce: Option<&str>, wait: Duration) -> Arc<Encoded> {
    let mut meta = json!({ "guild_id": guild });
    if let Some(nonce) = nonce {
        meta["nonce"] = nonce.into();
    }
    let retry_after = (wait.as_secs_f64() * 1_000.0).ceil() / 1_000.0;
    own(
        "RATE_LIMITED",
        Intents::NONE,
        &json!({ "opcode": 8, "retry_after": retry_after, "meta": meta }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guild::members::Row;
    use model::Id;
    use model::member::MemberRecord;
    use model::user::User;

    fn body(event: &Encoded) -> serde_json::Value {
        serde_json::from_slice(&event.body[..event.body.len() - 1])
            .expect("a body is JSON and a brace")
    }

    fn found(members: u64) -> MembersFound {
        let member = |id: u64| {
            let user = User::new(Id::new(id), "u", false);
            let epoch = model::time::from_unix_ms(0);
            let mut record = MemberRecord::new(Id::new(1), user.id, epoch);
            record.roles = vec![Id::new(7), Id::new(8)];
            Arc::new(Row { record, user })
        };
        MembersFound {
            members: (1..=members).map(member).collect(),
            not_found: Vec::new(),
            roles: Arc::new([Id::new(8)].into()),
        }
    }

    fn chunks(guild: GuildId, found: &MembersFound, nonce: Option<&str>) -> Vec<Arc<Encoded>> {
        let one = |index| chunk(guild, found, &Presences::Unasked, nonce, index);
        (0..chunk_count(found)).map(one).collect()
    }

    #[test]
    fn roles_that_are_gone_are_not_shown() {
        let chunks = chunks(Id::new(1), &found(1), None);
        assert_eq!(body(&chunks[0])["members"][0]["roles"], json!(["8"]));
    }

    #[test]
    fn presences_go_with_their_members() {
        let found = found(1_500);
        let there = |user: UserId| {
            let there = user.get() == 1 || user.get() == 1_200;
            there.then(|| presence_of(Id::new(1), user, None))
        };
        let named = |index: usize, presences: &Presences<'_>| {
            let chunk = body(&chunk(Id::new(1), &found, presences, None, index));
            let presences = chunk["presences"].as_array().cloned().unwrap_or_default();
            let id = |one: &serde_json::Value| one["user"]["id"].as_str().map(str::to_owned);
            presences.iter().filter_map(id).collect::<Vec<_>>()
        };
        assert_eq!(named(0, &Presences::Of(&there)), ["1"]);
        assert_eq!(named(1, &Presences::Of(&there)), ["1200"]);
        assert!(named(0, &Presences::Hidden).is_empty());
    }

    #[test]
    fn every_member_is_in_one_chunk() {
        for (members, expected) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (2_500, 3)] {
            let chunks = chunks(Id::new(1), &found(members), Some("n"));
            assert_eq!(chunks.len(), expected, "{members}");
            let mut seen = 0;
            for (index, chunk) in chunks.iter().enumerate() {
                let body = body(chunk);
                let here = body["members"].as_array().expect("members").len();
                assert!(here <= CHUNK_MEMBERS_MAX);
                seen += here as u64;
                assert_eq!(body["chunk_index"], index);
                assert_eq!(body["chunk_count"], expected);
                assert_eq!(body["nonce"], "n");
                assert!(body.get("presences").is_none());
            }
            assert_eq!(seen, members);
        }
    }

    #[test]
    fn unknown_ids_are_named_once() {
        let mut found = found(1_500);
        found.not_found = vec![Id::new(9_999)];
        let chunks = chunks(Id::new(1), &found, None);
        assert_eq!(body(&chunks[0])["not_found"], json!(["9999"]));
        assert!(body(&chunks[1]).get("not_found").is_none());
    }

    #[test]
    fn requests_are_held_to_the_documented_bounds() {
        let all = MembersRequest {
            query: Some(String::new()),
            ..MembersRequest::default()
        };
        assert!(asks_for_all(&bounded(all)));
        let prefix = MembersRequest {
            query: Some("a".into()),
            ..MembersRequest::default()
        };
        assert_eq!(bounded(prefix).limit, QUERY_MEMBERS_MAX);
        let ids = MembersRequest {
            user_ids: vec![Id::new(1); 200],
            ..MembersRequest::default()
        };
        assert_eq!(bounded(ids).user_ids.len(), MEMBER_IDS_MAX);
    }

    #[test]
    fn too_soon_says_when() {
        let body = body(&rate_limited(
            Id::new(5),
            Some("x"),
            Duration::from_millis(1_500),
        ));
        assert_eq!(
            body,
            json!({ "opcode": 8, "retry_after": 1.5, "meta": { "guild_id": "5", "nonce": "x" } })
        );
    }
}
