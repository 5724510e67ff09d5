//! Op 14 and op 37: what a person's client shows of its guilds (unofficial documentation of user
//! clients, Gateway Events, "Guild Subscriptions Bulk"). Bots do not send them.
//!
//! Only what is acted on is kept: that a guild is named, and the ranges of its member lists. The
//! rest (`typing`, `threads`, `activities`, `member_updates`, `members`, `thread_member_lists`) has
//! to be of its type; a session that shows a guild gets all of it anyway.

use chat::session::{GuildSubscription, ListRanges};
use model::form::read_snowflake;
use model::{Id, UserId};
use serde_json::{Map, Value};

use super::super::close::CloseCode;
use super::{ClientPayload, Opcode, decode};

/// Most guilds of one op 37 looked at; further ones are left out. As many as a person may be in.
pub const SUBSCRIPTIONS_MAX: usize = 200;

/// Most channels of one guild whose member lists are looked at; further ones are left out. Clients
/// show one, or a few beside each other.
pub const LIST_CHANNELS_MAX: usize = 10;

/// Most ranges of one member list looked at; further ones are left out. Clients send up to three.
pub const RANGES_MAX: usize = 5;

/// Most members of one range; a longer range is cut to this. Clients send ranges of 100.
pub const RANGE_MEMBERS_MAX: u32 = 100;

/// Most `members` of one guild looked at; further ones are left out.
pub const SUBSCRIBED_MEMBERS_MAX: usize = 1_000;

/// What a client shows, and how it said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscriptions {
    /// Op 14 or op 37.
    pub opcode: Opcode,
    /// The guilds it named.
    pub guilds: Vec<GuildSubscription>,
}

/// Op 14: one guild.
pub(super) fn lazy_request(data: &str) -> Result<ClientPayload, CloseCode> {
    let fields: Map<String, Value> = decode(data)?;
    let guild = match fields.get("guild_id") {
        None | Some(Value::Null) => return Ok(ClientPayload::Ignored(Opcode::LazyRequest)),
        Some(guild) => read_snowflake(guild).ok_or(CloseCode::DecodeError)?,
    };
    Ok(ClientPayload::Subscriptions(Subscriptions {
        opcode: Opcode::LazyRequest,
        guilds: vec![subscription(guild, &fields)?],
    }))
}

/// Op 37: many guilds.
pub(super) fn bulk(data: &str) -> Result<ClientPayload, CloseCode> {
    let fields: Map<String, Value> = decode(data)?;
    let by_guild = match fields.get("subscriptions") {
        None | Some(Value::Null) => {
            return Ok(ClientPayload::Ignored(Opcode::GuildSubscriptionsBulk));
        }
        Some(Value::Object(by_guild)) => by_guild,
        Some(_) => return Err(CloseCode::DecodeError),
    };
    let mut guilds = Vec::new();
    for (guild, wanted) in by_guild.iter().take(SUBSCRIPTIONS_MAX) {
        let guild = guild.parse().map_err(|_| CloseCode::DecodeError)?;
        match wanted {
            // Nothing is wanted of it.
            Value::Null => {}
            Value::Object(fields) => guilds.push(subscription(guild, fields)?),
            _ => return Err(CloseCode::DecodeError),
        }
    }
    Ok(ClientPayload::Subscriptions(Subscriptions {
        opcode: Opcode::GuildSubscriptionsBulk,
        guilds,
    }))
}

fn subscription(
    guild: model::GuildId,
    fields: &Map<String, Value>,
) -> Result<GuildSubscription, CloseCode> {
    for key in ["typing", "threads", "activities", "member_updates"] {
        match fields.get(key) {
            None | Some(Value::Null | Value::Bool(_)) => {}
            Some(_) => return Err(CloseCode::DecodeError),
        }
    }
    for key in ["members", "thread_member_lists"] {
        ids(fields.get(key))?;
    }
    Ok(GuildSubscription {
        guild,
        channels: channels(fields.get("channels"))?,
    })
}

/// A list of ids; discord.py-self sends some as numbers.
fn ids(value: Option<&Value>) -> Result<(), CloseCode> {
    let ids = match value {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Array(ids)) => ids,
        Some(_) => return Err(CloseCode::DecodeError),
    };
    let mut ids = ids.iter().take(SUBSCRIBED_MEMBERS_MAX);
    let known = ids.all(|id| read_snowflake(id).is_some_and(|_: UserId| true));
    known.then_some(()).ok_or(CloseCode::DecodeError)
}

fn channels(value: Option<&Value>) -> Result<Option<ListRanges>, CloseCode> {
    let by_channel = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(by_channel)) => by_channel,
        Some(_) => return Err(CloseCode::DecodeError),
    };
    let each = by_channel.iter().take(LIST_CHANNELS_MAX);
    let each = each.map(|(channel, list)| {
        let channel: Id<_> = channel.parse().map_err(|_| CloseCode::DecodeError)?;
        Ok((channel, ranges(list)?))
    });
    each.collect::<Result<_, _>>().map(Some)
}

fn ranges(value: &Value) -> Result<Vec<(u32, u32)>, CloseCode> {
    let ranges = match value {
        Value::Null => return Ok(Vec::new()),
        Value::Array(ranges) => ranges,
        _ => return Err(CloseCode::DecodeError),
    };
    ranges.iter().take(RANGES_MAX).map(range).collect()
}

fn range(value: &Value) -> Result<(u32, u32), CloseCode> {
    let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
    let Some([start, end]) = value.as_array().map(Vec::as_slice) else {
        return Err(CloseCode::DecodeError);
    };
    match (number(start), number(end)) {
        (Some(start), Some(end)) if start <= end => {
            Ok((start, end.min(start.saturating_add(RANGE_MEMBERS_MAX - 1))))
        }
        _ => Err(CloseCode::DecodeError),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::super::parse;
    use super::*;

    fn read(op: u64, data: Value) -> Result<ClientPayload, CloseCode> {
        parse(json!({"op": op, "d": data}).to_string().as_bytes())
    }

    fn guilds(op: u64, data: Value) -> Vec<GuildSubscription> {
        match read(op, data).unwrap() {
            ClientPayload::Subscriptions(all) => {
                assert_eq!(u64::from(all.opcode.number()), op);
                all.guilds
            }
            other => panic!("{other:?}"),
        }
    }

    fn of(guild: u64, channels: Option<ListRanges>) -> GuildSubscription {
        GuildSubscription {
            guild: Id::new(guild),
            channels,
        }
    }

    #[test]
    fn what_real_clients_send() {
        // Fermi.
        assert_eq!(
            guilds(14, json!({"guild_id": "7", "channels": {"8": [[0, 99]]}})),
            [of(7, Some(vec![(Id::new(8), vec![(0, 99)])]))]
        );
        // discord.py-self, in both forms.
        let one = json!({"typing": true, "threads": true, "activities": true, "members": [],
            "channels": {"8": [[0, 99], [100, 199]]}, "thread_member_lists": []});
        let lists = Some(vec![(Id::new(8), vec![(0, 99), (100, 199)])]);
        let mut first = one.clone();
        first["guild_id"] = json!("7");
        assert_eq!(guilds(14, first), [of(7, lists.clone())]);
        let both =
            json!({"subscriptions": {"7": one, "9": {"typing": true, "member_updates": false}}});
        assert_eq!(guilds(37, both), [of(7, lists), of(9, None)]);
        // Ids as numbers, what is empty as null.
        let sloppy =
            json!({"guild_id": 7, "channels": null, "members": [12, "13"], "typing": null});
        assert_eq!(guilds(14, sloppy), [of(7, None)]);
        let nothing = json!({"subscriptions": {"7": null, "9": {"channels": {"8": null}}}});
        assert_eq!(
            guilds(37, nothing),
            [of(9, Some(vec![(Id::new(8), vec![])]))]
        );
        assert_eq!(guilds(37, json!({"subscriptions": {}})), []);
    }

    #[test]
    fn what_names_no_guild_is_let_pass() {
        for (op, data) in [
            (14, json!({})),
            (14, json!({"guild_id": null})),
            (37, json!({})),
            (37, json!({"subscriptions": null})),
        ] {
            let read = read(op, data.clone());
            assert!(matches!(read, Ok(ClientPayload::Ignored(_))), "{data}");
        }
    }

    #[test]
    fn what_is_of_the_wrong_type_is_a_decode_error() {
        let of_guild = |fields: Value| json!({"subscriptions": {"7": fields}});
        for data in [
            json!(null),
            json!([]),
            json!("x"),
            json!({"subscriptions": []}),
            json!({"subscriptions": "x"}),
            json!({"subscriptions": {"seven": {}}}),
            json!({"subscriptions": {"0": {}}}),
            json!({"subscriptions": {"-7": {}}}),
            of_guild(json!([])),
            of_guild(json!(true)),
            of_guild(json!({"typing": "yes"})),
            of_guild(json!({"threads": 1})),
            of_guild(json!({"members": "12"})),
            of_guild(json!({"members": [null]})),
            of_guild(json!({"members": [{}]})),
            of_guild(json!({"thread_member_lists": {}})),
            of_guild(json!({"channels": []})),
            of_guild(json!({"channels": {"eight": []}})),
            of_guild(json!({"channels": {"8": {}}})),
            of_guild(json!({"channels": {"8": [0, 99]}})),
            of_guild(json!({"channels": {"8": [[0]]}})),
            of_guild(json!({"channels": {"8": [[0, 1, 2]]}})),
            of_guild(json!({"channels": {"8": [["0", "99"]]}})),
            of_guild(json!({"channels": {"8": [[-1, 99]]}})),
            of_guild(json!({"channels": {"8": [[99, 0]]}})),
            of_guild(json!({"channels": {"8": [[0, 1e10]]}})),
            of_guild(json!({"channels": {"8": [[0, 4_294_967_296_u64]]}})),
        ] {
            assert_eq!(
                read(37, data.clone()),
                Err(CloseCode::DecodeError),
                "{data}"
            );
            let one = &data["subscriptions"]["7"];
            if let Value::Object(fields) = one {
                let mut fields = fields.clone();
                fields.insert("guild_id".into(), json!("7"));
                assert_eq!(
                    read(14, fields.into()),
                    Err(CloseCode::DecodeError),
                    "{one}"
                );
            }
        }
        assert_eq!(
            read(14, json!({"guild_id": []})),
            Err(CloseCode::DecodeError)
        );
        assert_eq!(
            read(14, json!({"guild_id": "x"})),
            Err(CloseCode::DecodeError)
        );
    }

    #[test]
    fn there_is_an_end_to_everything() {
        let many: Map<String, Value> = (1..=SUBSCRIPTIONS_MAX + 5)
            .map(|id| (id.to_string(), json!({})))
            .collect();
        let read = guilds(37, json!({"subscriptions": many}));
        assert_eq!(read.len(), SUBSCRIPTIONS_MAX);
        let ranges: Vec<_> = (0..RANGES_MAX + 5).map(|n| json!([n, n])).collect();
        let channels: Map<String, Value> = (1..=LIST_CHANNELS_MAX + 5)
            .map(|id| (id.to_string(), json!(ranges)))
            .collect();
        let members = vec!["1"; SUBSCRIBED_MEMBERS_MAX + 5];
        let read = guilds(
            14,
            json!({"guild_id": "7", "channels": channels, "members": members}),
        );
        let channels = read[0].channels.as_ref().unwrap();
        assert_eq!(channels.len(), LIST_CHANNELS_MAX);
        assert!(
            channels
                .iter()
                .all(|(_, ranges)| ranges.len() == RANGES_MAX)
        );
        let long =
            json!({"guild_id": "7", "channels": {"8": [[100, 9_999], [u32::MAX, u32::MAX]]}});
        let lists = guilds(14, long)[0].channels.clone().unwrap();
        assert_eq!(lists[0].1, [(100, 199), (u32::MAX, u32::MAX)]);
    }
}
