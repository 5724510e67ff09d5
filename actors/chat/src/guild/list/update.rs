//! GUILD_MEMBER_LIST_UPDATE: what is told of a list.

use std::sync::Arc;

use metrics::counter;
use model::GuildId;
use model::event::{Audience, Encoded};
use model::intents::Intents;
use serde::Serialize;

use super::contents::{List, Slot};
use super::diff::{self, Ends, Op};
use super::shape::Group;

/// The data of GUILD_MEMBER_LIST_UPDATE.
#[derive(Serialize)]
struct Update<'a> {
    guild_id: GuildId,
    id: &'a str,
    member_count: usize,
    online_count: usize,
    groups: Vec<GroupCount>,
    ops: &'a [Op],
}

#[derive(Serialize)]
struct GroupCount {
    id: Group,
    count: usize,
}

/// What a list has at these positions, ranges that touch taken together.
pub(super) fn windows(list: &List, ranges: &[Ends]) -> Vec<Vec<Slot>> {
    let joined = diff::joined(ranges);
    let window = |(start, end): &Ends| list.window(*start as usize..*end as usize + 1);
    joined.iter().map(window).collect()
}

/// The event for those who have these operations to carry out.
pub(super) fn update(
    guild: GuildId,
    id: &str,
    list: &List,
    members: usize,
    ops: &[Op],
) -> Arc<Encoded> {
    let groups = list.counts().map(|(id, count)| GroupCount { id, count });
    let data = Update {
        guild_id: guild,
        id,
        member_count: members,
        online_count: list.online(),
        groups: groups.collect(),
        ops,
    };
    let audience = Audience::Users(Arc::new([]));
    let name = "GUILD_MEMBER_LIST_UPDATE";
    let event = Encoded::new(name, Some(guild), audience, Intents::NONE, &data);
    counter!("guildhall_events_published_total", "event" => name).increment(1);
    Arc::new(event)
}
