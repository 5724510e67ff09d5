//! What was decided of messages lately, and whether what a command brings along is still true.
//!
//! A guild does not know its messages: a command brings what the store says of them, read before it
//! was asked. Between the reading and the decision others may have been decided, which that reading
//! did not see. So each decision has a number, and each reading says up to which number everything
//! was in the store when it began ([`Look`]):
//!
//! ```text
//! client ── Look ──▶ guild: "41 is settled" ── read the store ──▶ command + Look 41 ──▶ guild
//!    decided of this message since 41?   no ─▶ what was read is true: decide, with number 57
//!                                       yes ─▶ LookAgain, answered by the lane after all before it,
//!                                              so that the next reading sees what was missed
//! ```
//!
//! The row of a message (edits, pins, its deletion) and the pins of a channel are judged like this.
//! Reactions are not: many people react to one message at the same time, and each would make all
//! others look again. Of a message whose reactions changed lately the guild knows them itself: it
//! takes the counts of the first reading over and keeps them up to date, and whoever reacted since
//! overrides what a later reading says of them.
//!
//! The table is bounded by [`RECENT_MAX`]. What is forgotten raises the floor, and a reading from
//! below the floor is too old for everything; so forgetting costs a second look, never a wrong
//! decision. A guild that loads again knows nothing, and takes readings of its own load only.

use std::collections::{BTreeSet, HashMap, HashSet};

use model::emoji::ReactionEmoji;
use model::{ChannelId, MessageId, UserId};

use crate::guild::command::{Look, Reacted};

/// Most entries about lately changed messages per guild (one a message, one a reaction changed on
/// it); at the limit the messages that were left alone longest are forgotten, and commands that were
/// under way look again. More than what the lane has under way, so that it does not come to that.
/// Counter `guildhall_guild_recent_forgotten_total`.
pub const RECENT_MAX: usize = 16_384;

/// Lately changed messages.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Recent {
    /// [`RECENT_MAX`], less in tests.
    max: usize,
    load: u64,
    /// Nothing decided later than this is forgotten.
    floor: u64,
    messages: HashMap<MessageId, Entry>,
    /// Every message of `messages` with its last change.
    by_age: BTreeSet<(u64, MessageId)>,
    /// Entries counted as [`RECENT_MAX`] does.
    weight: usize,
    /// When the pins of a channel last changed; at most one per channel of the guild.
    pins: HashMap<ChannelId, u64>,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Entry {
    /// The last decision about the message.
    changed: u64,
    /// The last one about its row.
    row: u64,
    gone: bool,
    reactions: Option<Standing>,
}

/// The reactions of a message as they were decided.
#[derive(Debug, Clone, Default, PartialEq)]
struct Standing {
    /// How many users per emoji; no zeros.
    counts: HashMap<String, u64>,
    /// Who reacted or took it back since.
    own: HashMap<(String, UserId), bool>,
    /// Emoji that were cleared since: nobody who is not in `own` has them.
    cleared: HashSet<String>,
    all_cleared: bool,
}

/// What is true of a user, an emoji and a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    /// How many kinds of reactions the message has.
    pub(super) kinds: usize,
    /// Whether the emoji is among them.
    pub(super) known: bool,
    /// Whether the user has reacted with it.
    pub(super) already: bool,
}

impl Recent {
    /// An empty table of this load of the guild.
    pub(super) fn of_load(load: u64) -> Self {
        Self {
            max: RECENT_MAX,
            load,
            floor: 0,
            messages: HashMap::new(),
            by_age: BTreeSet::new(),
            weight: 0,
            pins: HashMap::new(),
        }
    }

    /// The same with another limit.
    #[cfg(test)]
    pub(super) fn limited(mut self, max: usize) -> Self {
        self.max = max;
        self
    }

    /// What a reading that begins now can rely on.
    pub(super) fn look(&self, settled: u64) -> Look {
        Look {
            load: self.load,
            settled,
        }
    }

    fn is_recent_enough(&self, look: Look) -> bool {
        look.load == self.load && look.settled >= self.floor
    }

    /// Whether the row of a message that was read is as it was decided last.
    pub(super) fn row_holds(&self, look: Look, message: MessageId) -> bool {
        let changed = self.messages.get(&message).map_or(0, |entry| entry.row);
        self.is_recent_enough(look) && changed <= look.settled
    }

    /// Whether the message that was found is still there.
    pub(super) fn is_there(&self, look: Look, message: MessageId) -> bool {
        self.is_recent_enough(look) && !self.is_gone(message)
    }

    /// Whether the message is known to be deleted; one that is forgotten is not.
    pub(super) fn is_gone(&self, message: MessageId) -> bool {
        self.messages.get(&message).is_some_and(|entry| entry.gone)
    }

    /// Whether the number of pins that was read is as it was decided last.
    pub(super) fn pins_hold(&self, look: Look, channel: ChannelId) -> bool {
        let changed = self.pins.get(&channel).copied().unwrap_or_default();
        self.is_recent_enough(look) && changed <= look.settled
    }

    /// The pins of a channel change with decision `number`.
    pub(super) fn pins_changed(&mut self, number: u64, channel: ChannelId) {
        self.pins.insert(channel, number);
    }

    /// Forgets a deleted channel.
    pub(super) fn forget_channel(&mut self, channel: ChannelId) {
        self.pins.remove(&channel);
    }

    /// The row of a message changes with decision `number`.
    pub(super) fn row_changed(&mut self, number: u64, message: MessageId) {
        self.change(number, message, |entry| entry.row = number);
    }

    /// A message is deleted with decision `number`. `pinned` is what was read of it.
    pub(super) fn deleted(
        &mut self,
        number: u64,
        channel: ChannelId,
        message: MessageId,
        pinned: bool,
    ) {
        // Pinned since it was read, perhaps: one look too many is better than a wrong count.
        if pinned
            || self
                .messages
                .get(&message)
                .is_some_and(|entry| entry.row > 0)
        {
            self.pins_changed(number, channel);
        }
        self.change(number, message, |entry| {
            entry.row = number;
            entry.gone = true;
            entry.reactions = None;
        });
    }

    /// What is true of `user` and `emoji`, given what was read by a look that is recent enough.
    pub(super) fn reacted(
        &self,
        message: MessageId,
        read: &Reacted,
        user: UserId,
        emoji: &ReactionEmoji,
    ) -> Known {
        let key = emoji.key();
        let entry = self.messages.get(&message);
        match entry.and_then(|entry| entry.reactions.as_ref()) {
            Some(standing) => Known {
                kinds: standing.counts.len(),
                known: standing.counts.contains_key(&key),
                already: standing.has(user, key, read.already),
            },
            None => Known {
                kinds: read.counts.len(),
                known: read.counts.iter().any(|(known, _)| known.key() == key),
                already: read.already,
            },
        }
    }

    /// Whether the message has reactions, or some with this emoji.
    pub(super) fn has_reactions(
        &self,
        message: MessageId,
        read: &Reacted,
        emoji: Option<&ReactionEmoji>,
    ) -> bool {
        let wanted = emoji.map(ReactionEmoji::key);
        let entry = self.messages.get(&message);
        match entry.and_then(|entry| entry.reactions.as_ref()) {
            Some(standing) => wanted.map_or(!standing.counts.is_empty(), |key| {
                standing.counts.contains_key(&key)
            }),
            None => wanted.map_or(!read.counts.is_empty(), |key| {
                read.counts.iter().any(|(known, _)| known.key() == key)
            }),
        }
    }

    /// A user's reaction comes or goes with decision `number`; it was not there, or was.
    pub(super) fn reaction_changed(
        &mut self,
        number: u64,
        message: MessageId,
        read: &Reacted,
        (user, emoji): (UserId, &ReactionEmoji),
        there: bool,
    ) {
        let key = emoji.key();
        self.change(number, message, |entry| {
            let standing = entry.standing(read);
            let count = standing.counts.entry(key.clone()).or_default();
            *count = if there {
                *count + 1
            } else {
                count.saturating_sub(1)
            };
            if *count == 0 {
                standing.counts.remove(&key);
            }
            standing.own.insert((key, user), there);
        });
    }

    /// All reactions of a message go with decision `number`, or those with one emoji.
    pub(super) fn reactions_cleared(
        &mut self,
        number: u64,
        message: MessageId,
        read: &Reacted,
        emoji: Option<&ReactionEmoji>,
    ) {
        self.change(number, message, |entry| {
            let standing = entry.standing(read);
            match emoji.map(ReactionEmoji::key) {
                Some(key) => {
                    standing.counts.remove(&key);
                    standing.own.retain(|(of, _), _| *of != key);
                    standing.cleared.insert(key);
                }
                None => {
                    *standing = Standing {
                        all_cleared: true,
                        ..Standing::default()
                    };
                }
            }
        });
    }

    fn change(&mut self, number: u64, message: MessageId, change: impl FnOnce(&mut Entry)) {
        let mut entry = self.messages.remove(&message).unwrap_or_default();
        if self.by_age.remove(&(entry.changed, message)) {
            self.weight -= entry.weight();
        }
        entry.changed = number;
        change(&mut entry);
        self.weight += entry.weight();
        self.messages.insert(message, entry);
        self.by_age.insert((number, message));
        while self.weight > self.max {
            let Some((changed, message)) = self.by_age.pop_first() else {
                break;
            };
            if let Some(entry) = self.messages.remove(&message) {
                self.weight -= entry.weight();
            }
            self.floor = self.floor.max(changed);
            metrics::counter!("guildhall_guild_recent_forgotten_total").increment(1);
        }
    }
}

impl Entry {
    fn weight(&self) -> usize {
        let about = |standing: &Standing| standing.own.len() + standing.cleared.len();
        1 + self.reactions.as_ref().map_or(0, about)
    }

    /// The reactions as decided; at first as they were read.
    fn standing(&mut self, read: &Reacted) -> &mut Standing {
        self.reactions.get_or_insert_with(|| Standing {
            counts: read
                .counts
                .iter()
                .map(|(emoji, count)| (emoji.key(), *count))
                .collect(),
            ..Standing::default()
        })
    }
}

impl Standing {
    fn has(&self, user: UserId, key: String, read: bool) -> bool {
        let cleared = self.all_cleared || self.cleared.contains(&key);
        let own = self.own.get(&(key, user)).copied();
        own.unwrap_or(read && !cleared)
    }
}
