//! Who sees which channel, and what is told when that changes.
//!
//! Whether a member sees a channel depends on its roles, on overwrites of its own and on whether
//! it owns the guild, on nothing that passes with time (a time-out leaves VIEW_CHANNEL): so members
//! with the same roles form a class and are computed once.
//!
//! Only members whose sessions listen are computed and told: a change of a role costs what is
//! online, however many members the guild has. Everyone else gets a view when they come.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use model::channel::Channel;
use model::event::Audience;
use model::permissions::Permissions;
use model::{ChannelId, RoleId, UserId};

use super::{Effect, GuildState, Row, Turn, events};
use crate::relay::View;

/// Which channels each of some members sees.
pub(super) struct Sight {
    seen: BTreeMap<UserId, Arc<BTreeSet<ChannelId>>>,
    /// These are all who listen.
    all: bool,
}

impl GuildState {
    /// What a member sees.
    pub fn view_of(&self, user: UserId) -> Option<Arc<View>> {
        let row = self.members.get(&user)?;
        Some(Arc::new(View::new(self.visible(&row))))
    }

    /// What every member who listens sees; for a relay that may have been told otherwise.
    pub fn views(&self) -> Vec<(UserId, Arc<View>)> {
        views_of(self.sight().seen)
    }

    /// What every member who listens sees now.
    pub(super) fn sight(&self) -> Sight {
        Sight {
            all: true,
            seen: self.seen_by(self.listening()),
        }
    }

    /// Who listens, in the order in which the rows of members lie: to look them up in any other costs
    /// several times as much when there are many.
    pub(super) fn listening(&self) -> Vec<UserId> {
        let mut users = self.listeners.users();
        users.sort_unstable();
        users
    }

    /// What one member sees now.
    pub(super) fn sight_of_one(&self, user: UserId) -> Sight {
        Sight {
            all: false,
            seen: self.seen_by([user]),
        }
    }

    fn seen_by(
        &self,
        users: impl IntoIterator<Item = UserId>,
    ) -> BTreeMap<UserId, Arc<BTreeSet<ChannelId>>> {
        let apart: HashSet<u64> = self
            .channels
            .values()
            .flat_map(|channel| &channel.permission_overwrites)
            .filter(|overwrite| overwrite.kind == 1)
            .map(|overwrite| overwrite.id.get())
            .collect();
        let mut classes: HashMap<Vec<RoleId>, Arc<BTreeSet<ChannelId>>> = HashMap::new();
        let mut seen = BTreeMap::new();
        for user in users {
            // Somebody who left meanwhile may be listening still.
            let Some(row) = self.members.get(&user) else {
                continue;
            };
            let single = user == self.guild.owner_id || apart.contains(&user.get());
            let known = classes.get(&row.record.roles).filter(|_| !single);
            let visible = match known {
                Some(visible) => Arc::clone(visible),
                None => Arc::new(self.visible(&row).collect()),
            };
            if !single && known.is_none() {
                classes.insert(row.record.roles.clone(), Arc::clone(&visible));
            }
            seen.insert(user, visible);
        }
        seen
    }

    fn visible<'s>(&'s self, row: &'s Row) -> impl Iterator<Item = ChannelId> + 's {
        // The clock does not matter here, see above.
        let subject = self.subject(row, 0);
        let base = subject.base(|id| self.roles.get(&id));
        self.channels
            .values()
            .filter(move |channel| {
                subject
                    .in_channel(base, &channel.permission_overwrites)
                    .contains(Permissions::VIEW_CHANNEL)
            })
            .map(|channel| channel.id)
    }

    /// Publishes what follows from a change of who sees what, in an order that shows nobody
    /// anything they may not see: those who lose a channel get CHANNEL_DELETE and then nothing
    /// more of it; then what `update` publishes, for those who saw the channels before and after;
    /// then those who gain a channel get CHANNEL_CREATE.
    ///
    /// `old` are changed channels as they were; the others are as they are.
    pub(super) fn publish_sight(
        &self,
        turn: &mut Turn<'_>,
        before: &Sight,
        old: &[Channel],
        update: impl FnOnce(&Self, &mut Turn<'_>),
    ) {
        let after = self.seen_by(before.seen.keys().copied());
        let nothing = Arc::new(BTreeSet::new());
        let (mut lost, mut gained) = (Changes::new(), Changes::new());
        let (mut kept_views, mut new_views) = (BTreeMap::new(), BTreeMap::new());
        for (user, now) in after {
            let then = before.seen.get(&user).unwrap_or(&nothing);
            if *then == now {
                continue;
            }
            let mut loses = false;
            for channel in then.difference(&now) {
                lost.entry(*channel).or_default().push(user);
                loses = true;
            }
            for channel in now.difference(then) {
                gained.entry(*channel).or_default().push(user);
            }
            if loses {
                kept_views.insert(user, Arc::new(then.intersection(&now).copied().collect()));
            }
            new_views.insert(user, now);
        }
        for (id, users) in lost {
            let channel = old
                .iter()
                .find(|channel| channel.id == id)
                .or_else(|| self.channels.get(&id));
            if let Some(channel) = channel {
                turn.publish(self.channel_event("CHANNEL_DELETE", events::users(users), channel));
            }
        }
        push_views(turn, kept_views);
        update(self, turn);
        // Users who only lost have their last view already.
        let gainers: BTreeSet<UserId> = gained.values().flatten().copied().collect();
        new_views.retain(|user, _| gainers.contains(user));
        push_views(turn, new_views);
        for (id, users) in gained {
            if let Some(channel) = self.channels.get(&id) {
                // When everyone was asked and nobody saw it before, its viewers are those who gain
                // it: no list is needed.
                let new = before.all && !before.seen.values().any(|seen| seen.contains(&id));
                let audience = if new {
                    Audience::Channel(id)
                } else {
                    events::users(users)
                };
                turn.publish(self.channel_event("CHANNEL_CREATE", audience, channel));
            }
        }
    }
}

type Changes = BTreeMap<ChannelId, Vec<UserId>>;

fn push_views(turn: &mut Turn<'_>, seen: BTreeMap<UserId, Arc<BTreeSet<ChannelId>>>) {
    if !seen.is_empty() {
        turn.effects.push(Effect::Views(views_of(seen)));
    }
}

/// One view per set of channels, shared by all who have it.
fn views_of(seen: BTreeMap<UserId, Arc<BTreeSet<ChannelId>>>) -> Vec<(UserId, Arc<View>)> {
    let mut views: HashMap<*const BTreeSet<ChannelId>, Arc<View>> = HashMap::new();
    seen.iter()
        .map(|(user, channels)| {
            let view = views.entry(Arc::as_ptr(channels));
            let view = view.or_insert_with(|| Arc::new(View::new(channels.iter().copied())));
            (*user, Arc::clone(view))
        })
        .collect()
}
