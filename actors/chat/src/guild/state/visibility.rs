//! Who sees which channel, and what is told when that changes.
//!
//! Whether a member sees a channel depends on its roles, on overwrites of its own and on whether
//! it owns the guild, on nothing that passes with time (a time-out leaves VIEW_CHANNEL): so members
//! with the same roles form a class and are computed once.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use model::channel::Channel;
use model::event::Audience;
use model::permissions::Permissions;
use model::{ChannelId, RoleId, UserId};

use super::{Effect, GuildState, Row, Turn, events};
use crate::relay::View;

/// Which channels each of some members sees.
pub(super) struct Sight(BTreeMap<UserId, Arc<BTreeSet<ChannelId>>>);

impl GuildState {
    /// What a member sees.
    pub fn view_of(&self, user: UserId) -> Option<Arc<View>> {
        let row = self.members.get(&user)?;
        Some(Arc::new(View::new(self.visible(row))))
    }

    /// What every member sees; for a relay that may have been told otherwise.
    pub fn views(&self) -> Vec<(UserId, Arc<View>)> {
        let Sight(seen) = self.sight();
        views_of(seen)
    }

    /// What every member sees now.
    pub(super) fn sight(&self) -> Sight {
        self.sight_of(self.members.values())
    }

    /// What one member sees now.
    pub(super) fn sight_of_one(&self, user: UserId) -> Sight {
        self.sight_of(self.members.get(&user))
    }

    fn sight_of<'r>(&self, rows: impl IntoIterator<Item = &'r Row>) -> Sight {
        let apart: HashSet<u64> = self
            .channels
            .values()
            .flat_map(|channel| &channel.permission_overwrites)
            .filter(|overwrite| overwrite.kind == 1)
            .map(|overwrite| overwrite.id.get())
            .collect();
        let mut classes: HashMap<&[RoleId], Arc<BTreeSet<ChannelId>>> = HashMap::new();
        let mut seen = BTreeMap::new();
        for row in rows {
            let user = row.record.user_id;
            let visible = if user == self.guild.owner_id || apart.contains(&user.get()) {
                Arc::new(self.visible(row).collect())
            } else {
                let class = classes.entry(&row.record.roles);
                Arc::clone(class.or_insert_with(|| Arc::new(self.visible(row).collect())))
            };
            seen.insert(user, visible);
        }
        Sight(seen)
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
        let after = self.sight_of(before.0.keys().filter_map(|user| self.members.get(user)));
        let all = before.0.len() == self.members.len();
        let nothing = Arc::new(BTreeSet::new());
        let (mut lost, mut gained) = (Changes::new(), Changes::new());
        let (mut kept_views, mut new_views) = (BTreeMap::new(), BTreeMap::new());
        for (user, now) in after.0 {
            let then = before.0.get(&user).unwrap_or(&nothing);
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
                let new = all && !before.0.values().any(|seen| seen.contains(&id));
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
