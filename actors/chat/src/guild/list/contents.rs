//! One member list: who is in it, in which order, and what is at which position. Pure.
//!
//! ```text
//!  position   0          1     2     3          4     …
//!  item     [ role: 2 ] [Ann] [Eve] [online: 9] [Bob] …      a header counts as an item
//! ```

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use model::UserId;
use model::member::Member;
use model::presence::PresenceUpdate;
use serde::Serialize;
use serde::ser::SerializeMap;

use super::shape::Group;
use super::sorted::Sorted;

/// Where a member stands within its group: by the name it is shown with, whatever the case, then by
/// id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The first bytes of the name: most comparisons need no more.
    prefix: u64,
    name: Arc<str>,
    user: UserId,
}

impl Place {
    /// The place of a user shown with this name.
    pub fn new(name: &str, user: UserId) -> Self {
        let name: Arc<str> = name.to_lowercase().into();
        let mut prefix = [0; 8];
        for (to, from) in prefix.iter_mut().zip(name.bytes()) {
            *to = from;
        }
        Self {
            prefix: u64::from_be_bytes(prefix),
            name,
            user,
        }
    }
}

/// A member as the list shows it.
#[derive(Debug, PartialEq)]
pub struct Entry {
    /// The member.
    pub member: Member,
    /// `None` = offline.
    pub presence: Option<PresenceUpdate>,
}

impl Entry {
    fn place(&self) -> Place {
        let user = &self.member.user;
        let name = self.member.member.nick.as_deref();
        let name = name.or(user.global_name.as_deref());
        Place::new(name.unwrap_or(&user.username), user.id)
    }
}

/// What is at a position.
#[derive(Debug, Clone)]
pub enum Slot {
    /// A group begins, of so many.
    Header(Group, usize),
    /// A member.
    Member(Arc<Entry>),
}

/// What a slot is, whatever it looks like: at most one slot of a list has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Identity {
    /// The header of a group.
    Header(Group),
    /// A member.
    Member(UserId),
}

impl Slot {
    /// What it is.
    pub fn identity(&self) -> Identity {
        match self {
            Self::Header(group, _) => Identity::Header(*group),
            Self::Member(entry) => Identity::Member(entry.member.user.id),
        }
    }
}

/// Equal are slots that look alike; a member's entry is replaced when it changes.
impl PartialEq for Slot {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Header(group, count), Self::Header(other, others)) => {
                group == other && count == others
            }
            (Self::Member(entry), Self::Member(other)) => Arc::ptr_eq(entry, other),
            _ => false,
        }
    }
}

#[derive(Serialize)]
struct Count<'a> {
    id: &'a Group,
    count: usize,
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    member: &'a Member,
    presence: Presence<'a>,
}

/// The presence of a member, offline spelt out.
struct Presence<'a>(&'a Entry);

impl Serialize for Presence<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(presence) = &self.0.presence {
            return presence.serialize(serializer);
        }
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("user", &serde_json::json!({"id": self.0.member.user.id}))?;
        map.serialize_entry("status", "offline")?;
        map.serialize_entry("activities", &[(); 0])?;
        map.serialize_entry("client_status", &serde_json::json!({}))?;
        map.end()
    }
}

impl Serialize for Slot {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        match self {
            Self::Header(id, count) => {
                let count = Count { id, count: *count };
                map.serialize_entry("group", &count)?;
            }
            Self::Member(entry) => {
                let shown = Shown {
                    member: &entry.member,
                    presence: Presence(entry),
                };
                map.serialize_entry("member", &shown)?;
            }
        }
        map.end()
    }
}

#[derive(Debug, Clone)]
struct Known {
    group: Group,
    place: Place,
    entry: Arc<Entry>,
}

/// One list.
#[derive(Debug, Clone)]
pub struct List {
    /// In order; those without members are not shown.
    groups: Vec<(Group, Sorted<Place>)>,
    known: HashMap<UserId, Known>,
}

impl List {
    /// An empty one with these groups, in this order.
    pub fn new(groups: impl IntoIterator<Item = Group>) -> Self {
        Self {
            groups: groups
                .into_iter()
                .map(|group| (group, Sorted::default()))
                .collect(),
            known: HashMap::new(),
        }
    }

    /// A member is in this group and looks like this; or (`None`) is not in the list. Whether
    /// anything changed.
    pub fn set(&mut self, user: UserId, to: Option<(Group, Entry)>) -> bool {
        let old = self.known.get(&user);
        let Some((group, entry)) = to else {
            return self.take_out(user);
        };
        if old.is_some_and(|known| known.group == group && *known.entry == entry) {
            return false;
        }
        let place = entry.place();
        let entry = Arc::new(entry);
        if let Some(known) = self.known.get_mut(&user)
            && known.group == group
            && known.place == place
        {
            known.entry = entry;
            return true;
        }
        self.take_out(user);
        let Some(sorted) = self.group(group) else {
            return true;
        };
        // Nobody else has the id.
        let _ = sorted.insert(place.clone());
        let known = Known {
            group,
            place,
            entry,
        };
        self.known.insert(user, known);
        true
    }

    fn take_out(&mut self, user: UserId) -> bool {
        let Some(known) = self.known.remove(&user) else {
            return false;
        };
        if let Some(sorted) = self.group(known.group) {
            sorted.remove(&known.place);
        }
        true
    }

    fn group(&mut self, wanted: Group) -> Option<&mut Sorted<Place>> {
        let mut groups = self.groups.iter_mut();
        groups
            .find(|(group, _)| *group == wanted)
            .map(|(_, sorted)| sorted)
    }

    /// The groups that have members, and how many.
    pub fn counts(&self) -> impl Iterator<Item = (Group, usize)> {
        let counts = self
            .groups
            .iter()
            .map(|(group, sorted)| (*group, sorted.len()));
        counts.filter(|(_, count)| *count > 0)
    }

    /// How many who are there are in it.
    pub fn online(&self) -> usize {
        let online = self.counts().filter(|(group, _)| *group != Group::Offline);
        online.map(|(_, count)| count).sum()
    }

    /// How many positions it has.
    pub fn len(&self) -> usize {
        self.counts().map(|(_, count)| count + 1).sum()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// What is at these positions, as far as there are so many.
    pub fn window(&self, range: Range<usize>) -> Vec<Slot> {
        let mut slots = Vec::with_capacity(range.len().min(self.len()));
        let mut first = 0;
        for (group, sorted) in self.groups.iter().filter(|(_, sorted)| !sorted.is_empty()) {
            let end = first + 1 + sorted.len();
            if first >= range.end {
                break;
            }
            if range.contains(&first) {
                slots.push(Slot::Header(*group, sorted.len()));
            }
            let from = range.start.max(first + 1);
            let to = range.end.min(end);
            if from < to {
                let places = sorted.slice(from - first - 1..to - first - 1);
                let known = places.filter_map(|place| self.known.get(&place.user));
                slots.extend(known.map(|known| Slot::Member(Arc::clone(&known.entry))));
            }
            first = end;
        }
        slots
    }
}
