//! Which guilds a session is subscribed to, and which relays it must hear of when they die. Pure.
//!
//! ```text
//!             asked                  joined, says the relay        left, says the relay
//!   (nothing) ─────▶ awaited: 1 ──────────────────────▶ subscribed ─────────────▶ (nothing)
//!                      │   ▲ asked again, after a while       │ rejoined, says the chat: the user
//!          failed ─────┘   │                                  ▼ left and came back, and the relay's
//!             └─▶ retrying ┘                     left ──▶ ask again        word is still under way
//! ```
//!
//! A relay is monitored from the answer of the guild on, which is before the relay says `joined`,
//! so that there is no moment at which its death goes unnoticed.

use std::time::Duration;

use model::GuildId;
use otp::{MonitorRef, Pid};

use super::interest::ListRanges;

/// First wait before a guild that could not be reached is asked again; doubled each time.
pub(super) const RETRY_FIRST: Duration = Duration::from_millis(250);

/// Longest wait before a guild that could not be reached is asked again.
pub(super) const RETRY_MAX: Duration = Duration::from_secs(30);

/// One guild of a session.
#[derive(Debug, Default)]
struct Membership {
    relay: Option<(Pid, MonitorRef)>,
    /// The relay serves the session.
    subscribed: bool,
    /// Subscriptions asked for that were neither confirmed by the relay nor refused.
    awaited: u32,
    /// A timer will ask again.
    retrying: bool,
    /// The user joined again while the session still had the guild.
    rejoined: bool,
    /// Failures in a row.
    failures: u32,
    interest: Interest,
}

/// What the client wants of a guild.
#[derive(Debug, Default)]
struct Interest {
    /// It shows something of the guild: the session must not be passive there.
    active: bool,
    /// The guild has been told so for this subscription.
    told: bool,
    /// Parts of member lists the guild has not been told of.
    watch: Option<ListRanges>,
}

/// What a guild is to be told of the client's interest.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tell {
    /// The session must not be passive any more.
    pub(super) activate: bool,
    /// It watches these parts of member lists from now on.
    pub(super) watch: Option<ListRanges>,
}

/// What the session has to do about a guild.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// Nothing.
    Nothing,
    /// Ask the guild for a subscription, as newly joined.
    Ask,
    /// The session has the guild no more: give up the monitor, if there was one.
    Forget(Option<MonitorRef>),
}

/// The guilds of a session.
#[derive(Debug, Default)]
pub(super) struct Guilds {
    /// By id. A sorted list: most people are in a few guilds, and there are very many people.
    list: Vec<(GuildId, Membership)>,
}

impl Guilds {
    /// Every guild.
    pub(super) fn ids(&self) -> impl Iterator<Item = GuildId> {
        self.list.iter().map(|(id, _)| *id)
    }

    /// The guild a monitor was for.
    pub(super) fn watched(&self, monitor: MonitorRef) -> Option<GuildId> {
        let of = |(_, membership): &&(GuildId, Membership)| {
            membership.relay.is_some_and(|(_, of)| of == monitor)
        };
        self.list.iter().find(of).map(|(id, _)| *id)
    }

    fn place(&self, guild: GuildId) -> Result<usize, usize> {
        self.list.binary_search_by_key(&guild, |(id, _)| *id)
    }

    fn get(&self, guild: GuildId) -> Option<&Membership> {
        let index = self.place(guild).ok()?;
        Some(&self.list[index].1)
    }

    fn get_mut(&mut self, guild: GuildId) -> Option<&mut Membership> {
        let index = self.place(guild).ok()?;
        Some(&mut self.list[index].1)
    }

    /// Whether every guild is subscribed, with nothing under way.
    pub(super) fn is_settled(&self) -> bool {
        let mut memberships = self.list.iter().map(|(_, membership)| membership);
        memberships.all(|it| it.subscribed && it.awaited == 0 && !it.retrying)
    }

    /// The client shows something of a guild, and (`Some`) these parts of its member lists instead
    /// of those before. Guilds the session does not have are left out.
    pub(super) fn interested(&mut self, guild: GuildId, watch: Option<ListRanges>) {
        if let Some(Membership { interest, .. }) = self.get_mut(guild) {
            interest.active = true;
            interest.watch = watch.or(interest.watch.take());
        }
    }

    /// Whether the client shows something of a guild.
    pub(super) fn is_active(&self, guild: GuildId) -> bool {
        let membership = self.get(guild);
        membership.is_some_and(|membership| membership.interest.active)
    }

    /// What the guild is to be told now: nothing before the relay serves the session, so that it
    /// comes after GUILD_CREATE.
    pub(super) fn tell(&mut self, guild: GuildId) -> Tell {
        match self.get_mut(guild) {
            Some(membership) if membership.subscribed => {
                let Interest {
                    active,
                    told,
                    watch,
                } = &mut membership.interest;
                Tell {
                    activate: *active && !std::mem::replace(told, *active),
                    watch: watch.take(),
                }
            }
            _ => Tell::default(),
        }
    }

    /// The guild could not be told that the session must not be passive.
    pub(super) fn not_told(&mut self, guild: GuildId) {
        if let Some(membership) = self.get_mut(guild) {
            membership.interest.told = false;
        }
    }

    /// A subscription is being asked for.
    pub(super) fn asked(&mut self, guild: GuildId) {
        let index = self.place(guild).unwrap_or_else(|index| {
            // One at a time: a second guild is rarer than a first.
            self.list.reserve_exact(usize::from(self.list.is_empty()));
            self.list.insert(index, (guild, Membership::default()));
            index
        });
        let membership = &mut self.list[index].1;
        membership.awaited += 1;
        membership.retrying = false;
    }

    /// The user joined. Before the session has heard that it left, the new subscription has to
    /// wait for that: the relay would end both.
    pub(super) fn rejoined(&mut self, guild: GuildId) -> Then {
        match self.get_mut(guild) {
            None => Then::Ask,
            Some(membership) => {
                membership.rejoined = true;
                Then::Nothing
            }
        }
    }

    /// A relay serves the guild, as the guild or the relay says; `monitor` is made when none is
    /// watched yet. Unknown guilds were left in the meantime and stay so.
    pub(super) fn served(
        &mut self,
        guild: GuildId,
        relay: Pid,
        monitor: impl FnOnce() -> MonitorRef,
    ) {
        let Some(membership) = self.get_mut(guild) else {
            return;
        };
        membership.failures = 0;
        // Another relay than the watched one can only be its successor: the DOWN is on its way.
        if membership.relay.is_none() {
            let monitor = monitor();
            membership.relay = Some((relay, monitor));
        }
    }

    /// The relay confirmed a subscription.
    pub(super) fn joined(&mut self, guild: GuildId) {
        if let Some(membership) = self.get_mut(guild) {
            membership.awaited = membership.awaited.saturating_sub(1);
            membership.subscribed = true;
        }
    }

    /// The relay ended the subscription: the user is out of the guild.
    pub(super) fn left(&mut self, guild: GuildId) -> Then {
        if let Some(membership) = self.get_mut(guild) {
            membership.subscribed = false;
            membership.interest.told = false;
        }
        self.settle(guild)
    }

    /// The user is no member, says the guild.
    pub(super) fn refused(&mut self, guild: GuildId) -> Then {
        if let Some(membership) = self.get_mut(guild) {
            membership.awaited = membership.awaited.saturating_sub(1);
        }
        self.settle(guild)
    }

    /// The guild could not be asked; how long to wait before the next time.
    pub(super) fn failed(&mut self, guild: GuildId) -> Option<Duration> {
        let membership = self.get_mut(guild)?;
        membership.awaited = membership.awaited.saturating_sub(1);
        membership.retrying = true;
        let wait = RETRY_FIRST
            .saturating_mul(1 << membership.failures.min(16))
            .min(RETRY_MAX);
        membership.failures += 1;
        Some(wait)
    }

    /// Whether a timer's question is still wanted.
    pub(super) fn is_retrying(&self, guild: GuildId) -> bool {
        self.get(guild)
            .is_some_and(|membership| membership.retrying)
    }

    /// What is left of a guild that is not, or no longer, there.
    fn settle(&mut self, guild: GuildId) -> Then {
        let Some(membership) = self.get_mut(guild) else {
            return Then::Nothing;
        };
        if membership.subscribed || membership.awaited > 0 || membership.retrying {
            return Then::Nothing;
        }
        if std::mem::take(&mut membership.rejoined) {
            return Then::Ask;
        }
        let relay = membership.relay;
        if let Ok(index) = self.place(guild) {
            self.list.remove(index);
        }
        Then::Forget(relay.map(|(_, monitor)| monitor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Id;

    const GUILD: GuildId = Id::new(1);

    #[test]
    fn a_guild_comes_and_goes() {
        let mut guilds = Guilds::default();
        assert_eq!(guilds.rejoined(GUILD), Then::Ask);
        guilds.asked(GUILD);
        guilds.joined(GUILD);
        assert_eq!(guilds.ids().count(), 1);
        assert_eq!(guilds.left(GUILD), Then::Forget(None));
        assert_eq!(guilds.ids().count(), 0);
        assert_eq!(guilds.left(GUILD), Then::Nothing);
    }

    #[test]
    fn coming_back_before_the_leaving_is_heard_asks_again() {
        let mut guilds = Guilds::default();
        guilds.asked(GUILD);
        guilds.joined(GUILD);
        assert_eq!(guilds.rejoined(GUILD), Then::Nothing);
        assert_eq!(guilds.left(GUILD), Then::Ask);
        guilds.asked(GUILD);
        assert_eq!(
            guilds.refused(GUILD),
            Then::Forget(None),
            "and was out again"
        );
    }

    #[test]
    fn a_subscription_under_way_outlives_an_earlier_leaving() {
        let mut guilds = Guilds::default();
        guilds.asked(GUILD);
        guilds.joined(GUILD);
        guilds.asked(GUILD);
        assert_eq!(guilds.left(GUILD), Then::Nothing);
        guilds.joined(GUILD);
        assert_eq!(guilds.ids().count(), 1);
        assert_eq!(guilds.left(GUILD), Then::Forget(None));
    }

    #[test]
    fn interest_waits_until_the_guild_is_there_and_is_told_once() {
        let channels = |id| Some(vec![(Id::new(id), vec![(0, 99)])]);
        let mut guilds = Guilds::default();
        guilds.interested(GUILD, channels(1));
        assert!(!guilds.is_active(GUILD), "it does not have the guild");
        guilds.asked(GUILD);
        guilds.interested(GUILD, channels(2));
        guilds.interested(GUILD, channels(3));
        guilds.interested(GUILD, None);
        assert!(guilds.is_active(GUILD));
        assert_eq!(guilds.tell(GUILD), Tell::default(), "it is on its way");
        guilds.joined(GUILD);
        let all = Tell {
            activate: true,
            watch: channels(3),
        };
        assert_eq!(guilds.tell(GUILD), all);
        assert_eq!(guilds.tell(GUILD), Tell::default());
        guilds.not_told(GUILD);
        assert!(guilds.tell(GUILD).activate);
        guilds.left(GUILD);
        guilds.asked(GUILD);
        guilds.joined(GUILD);
        assert_eq!(guilds.tell(GUILD), Tell::default(), "a new membership");
    }

    #[test]
    fn guilds_are_found_by_id_and_by_monitor_whatever_the_order_they_came_in() {
        let node = otp::Node::new("guilds");
        let ids = [5, 1, 9, 3, 7].map(Id::new);
        let mut guilds = Guilds::default();
        let monitors = ids.map(|guild| {
            let monitor =
                serde_json::from_value(guild.get().into()).expect("a monitor is a number");
            guilds.asked(guild);
            guilds.served(guild, node.outside(), || monitor);
            monitor
        });
        assert!(!guilds.is_settled());
        for guild in ids {
            guilds.joined(guild);
        }
        assert!(guilds.is_settled());
        assert_eq!(guilds.left(Id::new(9)), Then::Forget(Some(monitors[2])));
        assert_eq!(guilds.watched(monitors[2]), None);
        assert_eq!(guilds.watched(monitors[3]), Some(Id::new(3)));
        assert_eq!(guilds.ids().map(Id::get).collect::<Vec<_>>(), [1, 3, 5, 7]);
        assert_eq!(guilds.rejoined(Id::new(9)), Then::Ask);
    }

    #[test]
    fn waits_grow_up_to_a_limit_and_start_over() {
        let mut guilds = Guilds::default();
        let mut waits = Vec::new();
        for _ in 0..40 {
            guilds.asked(GUILD);
            waits.extend(guilds.failed(GUILD));
            assert!(guilds.is_retrying(GUILD));
        }
        assert_eq!(waits[..3], [RETRY_FIRST, RETRY_FIRST * 2, RETRY_FIRST * 4]);
        assert_eq!(waits.last(), Some(&RETRY_MAX));
        assert_eq!(
            guilds.left(GUILD),
            Then::Nothing,
            "it is tried again, whatever an old relay says"
        );
    }
}
