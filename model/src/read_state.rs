//! Read states: how far a person has read a channel, and which messages after that mention them.
//!
//! A state is merged, never just replaced ([`ReadState::merge`]): whatever order the writes of
//! several nodes arrive in, and however often, the outcome is the same. A position goes forward only,
//! unless the person sets it by hand ("mark as unread").
//!
//! ```text
//!            position                seen
//!  ───────────────┼────────────────────┼───────────────▶ message ids
//!    read          counted: by the      mentions: each
//!                  client, when it set  one kept until it
//!                  the position back    is read
//! ```

use serde::{Deserialize, Serialize};

use crate::id::{ChannelId, MessageId, UserId};

/// Most unread mentions of a user that are kept for a channel; of more the oldest are forgotten. A
/// client shows 99+ from there on.
pub const MENTIONS_KEPT_MAX: usize = 100;

/// How far a user has read a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadState {
    /// Who.
    pub user_id: UserId,
    /// Where.
    pub channel_id: ChannelId,
    /// Up to which message; `None` = nothing.
    pub last_message_id: Option<MessageId>,
    /// When the position was last set by hand, as a message id of that time; 0 = never. The later
    /// one wins, whatever the positions are.
    pub set_at: u64,
    /// Mentions after the position that the client counted when it set it by hand.
    pub counted: u32,
    /// Up to which message mentions count as read, or are in `counted`; never goes back.
    pub seen: u64,
    /// Later messages that mention the user, in order, at most [`MENTIONS_KEPT_MAX`].
    pub mentions: Vec<MessageId>,
    /// The last pin the user has looked at, Unix milliseconds; 0 = none.
    pub last_pin_ms: u64,
    /// The day the user last looked at the channel, as its client counts days; 0 = unknown.
    pub last_viewed: u32,
    /// Rises with every change.
    pub version: u64,
}

impl ReadState {
    /// Nothing read, nothing unread.
    pub fn new(user: UserId, channel: ChannelId) -> Self {
        Self {
            user_id: user,
            channel_id: channel,
            last_message_id: None,
            set_at: 0,
            counted: 0,
            seen: 0,
            mentions: Vec::new(),
            last_pin_ms: 0,
            last_viewed: 0,
            version: 0,
        }
    }

    /// How many unread mentions there are.
    pub fn mention_count(&self) -> u32 {
        let kept = u32::try_from(self.mentions.len()).unwrap_or(u32::MAX);
        self.counted.saturating_add(kept)
    }

    /// The user has read up to `message`; answers whether that changed anything. An older message
    /// than the position changes nothing.
    pub fn read(&mut self, message: MessageId) -> bool {
        if self.last_message_id >= Some(message) {
            return false;
        }
        self.last_message_id = Some(message);
        self.counted = 0;
        self.see(message.get());
        self.version += 1;
        true
    }

    /// The user sets the position by hand, back or forth, with `counted` mentions after it. `now` is
    /// a message id of this moment.
    pub fn set(&mut self, message: MessageId, counted: u32, now: u64) {
        self.set_at = now.max(self.set_at + 1);
        self.last_message_id = Some(message);
        self.counted = counted;
        self.see(self.set_at);
        self.version += 1;
    }

    /// A message mentions the user; one that counts as read changes nothing.
    pub fn mention(&mut self, message: MessageId) -> bool {
        if message.get() <= self.seen || self.mentions.contains(&message) {
            return false;
        }
        self.mentions.push(message);
        self.tidy();
        self.version += 1;
        true
    }

    /// The user has looked at the pins up to this time; answers whether that changed anything.
    pub fn see_pins(&mut self, at_ms: u64) -> bool {
        let newer = at_ms > self.last_pin_ms;
        if newer {
            self.last_pin_ms = at_ms;
            self.version += 1;
        }
        newer
    }

    /// The user has looked at the channel on this day; answers whether that changed anything.
    pub fn view(&mut self, day: u32) -> bool {
        let newer = day > self.last_viewed;
        if newer {
            self.last_viewed = day;
            self.version += 1;
        }
        newer
    }

    fn see(&mut self, to: u64) {
        self.seen = self.seen.max(to);
        self.tidy();
    }

    fn tidy(&mut self) {
        let seen = self.seen;
        self.mentions.retain(|mention| mention.get() > seen);
        self.mentions.sort_unstable();
        self.mentions.dedup();
        let too_many = self.mentions.len().saturating_sub(MENTIONS_KEPT_MAX);
        self.mentions.drain(..too_many);
    }

    /// What both say together; of the same user and channel. In whatever order and however often
    /// states are merged, the outcome is the same.
    pub fn merge(&mut self, other: &Self) {
        let order = |state: &Self| (state.set_at, state.last_message_id, state.counted);
        if order(other) > order(self) {
            self.set_at = other.set_at;
            self.last_message_id = other.last_message_id;
            self.counted = other.counted;
        }
        self.last_pin_ms = self.last_pin_ms.max(other.last_pin_ms);
        self.last_viewed = self.last_viewed.max(other.last_viewed);
        self.version = self.version.max(other.version);
        self.mentions.extend_from_slice(&other.mentions);
        self.see(other.seen);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Id;

    fn state() -> ReadState {
        ReadState::new(Id::new(1), Id::new(2))
    }

    #[test]
    fn a_position_goes_back_by_hand_only() {
        let mut state = state();
        assert!(state.read(Id::new(10)));
        assert!(!state.read(Id::new(9)) && !state.read(Id::new(10)));
        assert_eq!(state.last_message_id, Some(Id::new(10)));
        state.set(Id::new(3), 2, 20);
        assert_eq!(
            (state.last_message_id, state.mention_count()),
            (Some(Id::new(3)), 2)
        );
        assert!(!state.mention(Id::new(15)), "the client has counted it");
        assert!(state.mention(Id::new(21)));
        assert_eq!(state.mention_count(), 3);
        assert!(state.read(Id::new(20)));
        assert_eq!(state.mention_count(), 1, "one is after it");
        assert!(state.read(Id::new(21)));
        assert_eq!(state.mention_count(), 0);
        assert!(!state.mention(Id::new(21)), "it was read");
    }

    #[test]
    fn mentions_count_once_and_are_bounded() {
        let mut state = state();
        for id in 1..=MENTIONS_KEPT_MAX as u64 + 5 {
            assert!(state.mention(Id::new(id)));
            assert!(!state.mention(Id::new(id)));
        }
        assert_eq!(state.mention_count() as usize, MENTIONS_KEPT_MAX);
        assert_eq!(state.mentions[0], Id::new(6), "the oldest go");
    }

    fn any_state() -> impl Strategy<Value = ReadState> {
        let step = (0..5_u8, 1..40_u64, 0..3_u32, 1..40_u64);
        proptest::collection::vec(step, 0..6).prop_map(|steps| {
            let mut state = state();
            for (what, id, count, now) in steps {
                match what {
                    0 => drop(state.read(Id::new(id))),
                    1 => state.set(Id::new(id), count, now),
                    2 => drop(state.mention(Id::new(id))),
                    3 => drop(state.see_pins(id)),
                    _ => drop(state.view(count)),
                }
            }
            state
        })
    }

    fn merged(states: [&ReadState; 3]) -> ReadState {
        let mut all = states[0].clone();
        all.merge(states[1]);
        all.merge(states[2]);
        all
    }

    proptest! {
        #[test]
        fn merging_does_not_depend_on_the_order(a in any_state(), b in any_state(), c in any_state()) {
            let once = merged([&a, &b, &c]);
            for other in [[&b, &a, &c], [&c, &b, &a], [&a, &c, &b]] {
                prop_assert_eq!(&merged(other), &once);
            }
            let mut bc = b.clone();
            bc.merge(&c);
            let mut apart = a.clone();
            apart.merge(&bc);
            prop_assert_eq!(&apart, &once);
            let mut again = once.clone();
            again.merge(&a);
            prop_assert_eq!(&again, &once);
        }
    }
}
