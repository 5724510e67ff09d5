//! Events: what a session is told, encoded once and shared by everyone who gets it.
//!
//! ```text
//! {"t":"MESSAGE_CREATE","s":42,"op":0,"d":   head, made per session (Head)
//! {"id":"…","content":"…"}}                   body, shared by all sessions (Encoded::body)
//! ```
//! The body already ends with the brace that closes the head. A GUILD_CREATE has a part of its own
//! between the two ([`Encoded::lead`]), and shares its body with those of other sessions.

use std::sync::Arc;

use bytes::Bytes;
use imbl::OrdSet;
use serde::Serialize;
use smallvec::SmallVec;

use crate::emoji::ReactionEmoji;
use crate::id::{ChannelId, GuildId, MessageId, UserId};
use crate::intents::Intents;
use crate::time::Timestamp;

/// Who of a guild's sessions an event is for, before intents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience {
    /// Every session of the guild.
    Guild,
    /// Sessions whose user may view the channel.
    Channel(ChannelId),
    /// Sessions of these users only, who are in order: each session is looked up in them.
    Users(Arc<[UserId]>),
}

/// How dear an event is when a queue is full: the lower classes are shed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Typing: worthless after seconds.
    Typing,
    /// Presence: the next one corrects it.
    Presence,
    /// Everything that must arrive or the session must be told so.
    Durable,
}

/// Which passive sessions get an event, of those its [`Audience`] includes. A session is passive
/// in a large guild that its client shows nothing of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Passive {
    /// All of them: the shape of the guild changed, or everyone is mentioned.
    #[default]
    All,
    /// Those of these users only; empty = none.
    Users(Named),
}

/// Users an event names: one by one, and by what they have in common. Most events name nobody, and
/// are kept for long: that costs them a pointer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Named(Option<Box<Names>>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Names {
    users: SmallVec<[UserId; 2]>,
    /// As they were when the event was made.
    sets: SmallVec<[OrdSet<UserId>; 1]>,
}

impl Named {
    fn new(
        users: impl IntoIterator<Item = UserId>,
        sets: impl IntoIterator<Item = OrdSet<UserId>>,
    ) -> Self {
        let names = Names {
            users: users.into_iter().collect(),
            sets: sets.into_iter().collect(),
        };
        let any = !names.users.is_empty() || !names.sets.is_empty();
        Self(any.then(|| Box::new(names)))
    }

    /// Whether a user is among them.
    pub fn contains(&self, user: &UserId) -> bool {
        self.0.as_ref().is_some_and(|names| {
            names.users.contains(user) || names.sets.iter().any(|set| set.contains(user))
        })
    }

    /// How many they are at most: some may be named more than once.
    pub fn most(&self) -> usize {
        self.0.as_ref().map_or(0, |names| {
            names.users.len() + names.sets.iter().map(OrdSet::len).sum::<usize>()
        })
    }

    /// All of them; some perhaps more than once.
    pub fn iter(&self) -> impl Iterator<Item = &UserId> {
        let names = self.0.iter();
        names.flat_map(|names| {
            names
                .users
                .iter()
                .chain(names.sets.iter().flat_map(OrdSet::iter))
        })
    }
}

/// Where a channel is by now: what passive sessions are told of it now and then, in one event for
/// all its messages and pins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Latest {
    /// The channel.
    pub id: ChannelId,
    /// Newest message, may name a deleted one.
    pub last_message_id: Option<MessageId>,
    /// When a message was last pinned.
    pub last_pin_timestamp: Option<Timestamp>,
}

/// What an event does to the reactions of messages. Queues that fold reactions ask it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Reactions {
    /// Nothing.
    #[default]
    Untouched,
    /// One reaction comes or goes.
    Changed(Box<ReactionChange>),
    /// Whatever was said of the reactions of these messages before must come before it.
    Settled(Box<[MessageId]>),
}

/// One reaction that comes or goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReactionChange {
    /// On which message.
    pub message: MessageId,
    /// Whose.
    pub user: UserId,
    /// With what: the emoji's key, the same with and without the sign for its coloured form.
    pub emoji: Box<str>,
    /// Whether it comes.
    pub added: bool,
    /// Whether it was its user's doing; a moderator may take it away too.
    pub own: bool,
}

impl ReactionChange {
    /// A reaction of `user` to `message` that comes (`added`) or goes, by its user's doing (`own`)
    /// or another's.
    pub fn new(
        message: MessageId,
        user: UserId,
        emoji: &ReactionEmoji,
        added: bool,
        own: bool,
    ) -> Self {
        Self {
            message,
            user,
            emoji: emoji.key().replace('\u{fe0f}', "").into(),
            added,
            own,
        }
    }
}

/// An event as bytes, once per form, then shared.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// Event name, the `t` of the envelope.
    pub name: &'static str,
    /// The guild it is of; `None` reaches shard 0 only.
    pub guild_id: Option<GuildId>,
    /// Who it is for.
    pub audience: Audience,
    /// The intent a session needs; [`Intents::NONE`] = always sent.
    pub intents: Intents,
    /// Users who get it without the intent (an update of their own membership).
    pub always_for: SmallVec<[UserId; 1]>,
    /// Class for shedding.
    pub class: Class,
    /// Which passive sessions get it.
    pub passive: Passive,
    /// What passive sessions are told of its channel later.
    pub latest: Option<Box<Latest>>,
    /// What it does to reactions.
    pub reactions: Reactions,
    /// What of the `d` value is this event's alone: from its opening brace through a comma. Empty =
    /// nothing is, `body` has it all. Sent behind the head, so that `body` can be shared with events
    /// of others.
    pub lead: Bytes,
    /// The `d` value and the closing brace of the envelope.
    pub body: Bytes,
    /// The body for sessions without MESSAGE_CONTENT; `None` = no difference.
    pub redacted: Option<Bytes>,
    /// Users who get the whole body without MESSAGE_CONTENT: the author and the mentioned.
    pub whole_for: SmallVec<[UserId; 2]>,
}

impl Encoded {
    /// Encodes `data` as the body of an event named `name`.
    pub fn new(
        name: &'static str,
        guild_id: Option<GuildId>,
        audience: Audience,
        intents: Intents,
        data: &impl Serialize,
    ) -> Self {
        Self {
            name,
            guild_id,
            audience,
            intents,
            always_for: SmallVec::new(),
            class: Class::Durable,
            passive: Passive::All,
            latest: None,
            reactions: Reactions::Untouched,
            lead: Bytes::new(),
            body: body_of(data),
            redacted: None,
            whole_for: SmallVec::new(),
        }
    }

    /// Puts the fields of `own` before those of `body`, which is [`shared_body_of`] something:
    /// together they are the `d` value. Neither may be empty, no field may be in both.
    #[must_use]
    pub fn spliced(mut self, own: &impl Serialize, body: Bytes) -> Self {
        // Two braces end it, of `own` and of the envelope.
        let mut lead = Vec::from(body_of(own));
        lead.truncate(lead.len() - 2);
        lead.push(b',');
        self.lead = lead.into();
        self.body = body;
        self
    }

    /// Sets the shedding class.
    #[must_use]
    pub fn class(mut self, class: Class) -> Self {
        self.class = class;
        self
    }

    /// Sends it to no passive sessions but those of `users`.
    #[must_use]
    pub fn passive_for(self, users: impl IntoIterator<Item = UserId>) -> Self {
        self.passive_for_sets(users, [])
    }

    /// Sends it to no passive sessions but those of `users` and of the users in `sets`.
    #[must_use]
    pub fn passive_for_sets(
        mut self,
        users: impl IntoIterator<Item = UserId>,
        sets: impl IntoIterator<Item = OrdSet<UserId>>,
    ) -> Self {
        self.passive = Passive::Users(Named::new(users, sets));
        self
    }

    /// Says where its channel is from here on.
    #[must_use]
    pub fn latest(mut self, latest: Latest) -> Self {
        self.latest = Some(Box::new(latest));
        self
    }

    /// Says what it does to reactions.
    #[must_use]
    pub fn reactions(mut self, reactions: Reactions) -> Self {
        self.reactions = reactions;
        self
    }

    /// Whether passive sessions of `user` get it, of those its audience includes.
    pub fn reaches_passive(&self, user: UserId) -> bool {
        match &self.passive {
            Passive::All => true,
            Passive::Users(users) => users.contains(&user),
        }
    }

    /// Sends it to `user` whatever the intents.
    #[must_use]
    pub fn always_for(mut self, user: UserId) -> Self {
        self.always_for.push(user);
        self
    }

    /// Sends `data` instead to sessions without MESSAGE_CONTENT, except those of `whole_for`.
    #[must_use]
    pub fn redacted(
        mut self,
        data: &impl Serialize,
        whole_for: impl IntoIterator<Item = UserId>,
    ) -> Self {
        self.redacted = Some(body_of(data));
        self.whole_for = whole_for.into_iter().collect();
        self
    }

    /// The body a session of `user` with `intents` gets, or `None` when it did not ask for it.
    pub fn body_for(&self, user: UserId, intents: Intents) -> Option<&Bytes> {
        if !intents.contains(self.intents) && !self.always_for.contains(&user) {
            return None;
        }
        match &self.redacted {
            Some(redacted)
                if !intents.contains(Intents::MESSAGE_CONTENT)
                    && !self.whole_for.contains(&user) =>
            {
                Some(redacted)
            }
            _ => Some(&self.body),
        }
    }

    /// The body a session with `intents` gets whose user is in none of the lists of the event, or
    /// `None` when it did not ask for it.
    pub fn body_for_most(&self, intents: Intents) -> Option<&Bytes> {
        if !intents.contains(self.intents) {
            return None;
        }
        match &self.redacted {
            Some(redacted) if !intents.contains(Intents::MESSAGE_CONTENT) => Some(redacted),
            _ => Some(&self.body),
        }
    }
}

/// The JSON of `data` and the brace that closes the envelope.
///
/// A value whose serialisation fails becomes `null`: all our types serialise, so this is
/// unreachable; a broken event must not take a process down.
pub fn body_of(data: &impl Serialize) -> Bytes {
    let mut out = Vec::with_capacity(512);
    if serde_json::to_writer(&mut out, data).is_err() {
        out.clear();
        out.extend_from_slice(b"null");
    }
    out.push(b'}');
    // Kept for RESUME: up to half of what it grew to would be held for nothing.
    Bytes::from(out.into_boxed_slice())
}

/// The JSON of `data`, an object with at least one field, without its opening brace, and the brace
/// that closes the envelope: for [`Encoded::spliced`].
pub fn shared_body_of(data: &impl Serialize) -> Bytes {
    body_of(data).slice(1..)
}

/// What comes before a body, made for each session: `{"t":NAME,"s":NUMBER,"op":0,"d":` and the
/// event's [`Encoded::lead`]. By hand: this runs once per event and session, and the formatting
/// machinery costs more than all the rest of it.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// `t`.
    pub name: &'a str,
    /// `s`.
    pub number: u64,
    /// Fields of this session's own.
    pub lead: &'a [u8],
}

impl Head<'_> {
    const BEFORE_NAME: &'static [u8] = b"{\"t\":\"";
    const BEFORE_NUMBER: &'static [u8] = b"\",\"s\":";
    const AFTER_NUMBER: &'static [u8] = b",\"op\":0,\"d\":";

    /// Bytes it is long.
    #[expect(clippy::len_without_is_empty, reason = "none is empty")]
    pub fn len(&self) -> usize {
        let fixed = Self::BEFORE_NUMBER.len() + Self::AFTER_NUMBER.len();
        Self::BEFORE_NAME.len() + self.name.len() + fixed + digits(self.number) + self.lead.len()
    }

    /// Appends it to `out`; where in `out` its number begins.
    pub fn append_to(&self, out: &mut Vec<u8>) -> usize {
        out.extend_from_slice(Self::BEFORE_NAME);
        out.extend_from_slice(self.name.as_bytes());
        out.extend_from_slice(Self::BEFORE_NUMBER);
        let start = out.len();
        out.resize(start + digits(self.number), b'0');
        write_digits(self.number, &mut out[start..]);
        out.extend_from_slice(Self::AFTER_NUMBER);
        out.extend_from_slice(self.lead);
        start
    }
}

/// How many decimal digits a number has.
pub fn digits(number: u64) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// Writes a number over `out`, which is as long as it has [`digits`].
pub fn write_digits(mut number: u64, out: &mut [u8]) {
    for digit in out.iter_mut().rev() {
        // One decimal digit always fits.
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Id;

    fn head(event: &Encoded) -> Head<'_> {
        Head {
            name: event.name,
            number: 7,
            lead: &event.lead,
        }
    }

    #[test]
    fn head_and_body_make_one_envelope() {
        let event = Encoded::new(
            "TYPING_START",
            None,
            Audience::Guild,
            Intents::NONE,
            &serde_json::json!({"a": 1}),
        );
        let mut out = Vec::new();
        head(&event).append_to(&mut out);
        out.extend_from_slice(&event.body);
        let value: serde_json::Value = serde_json::from_slice(&out).expect("valid JSON");
        assert_eq!(
            value,
            serde_json::json!({"t": "TYPING_START", "s": 7, "op": 0, "d": {"a": 1}})
        );
    }

    #[test]
    fn own_and_shared_fields_make_one_object() {
        let shared = shared_body_of(&serde_json::json!({"b": [1, 2], "c": "}"}));
        let event = |own| {
            let own = serde_json::json!({ "a": own });
            Encoded::new("X", None, Audience::Guild, Intents::NONE, &"")
                .spliced(&own, shared.clone())
        };
        for own in [1, 20] {
            let event = event(own);
            assert_eq!(
                event.body.as_ptr(),
                shared.as_ptr(),
                "it is the same memory"
            );
            let mut out = Vec::new();
            head(&event).append_to(&mut out);
            out.extend_from_slice(&event.body);
            let value: serde_json::Value = serde_json::from_slice(&out).expect("valid JSON");
            assert_eq!(
                value["d"],
                serde_json::json!({"a": own, "b": [1, 2], "c": "}"})
            );
        }
    }

    #[test]
    fn any_number_is_written_whole() {
        for sequence in [0, 9, 10, 1_234_567_890, u64::MAX] {
            let mut out = b"before".to_vec();
            let head = Head {
                name: "X",
                number: sequence,
                lead: b"{",
            };
            let number = head.append_to(&mut out);
            let expected = format!("before{{\"t\":\"X\",\"s\":{sequence},\"op\":0,\"d\":{{");
            assert_eq!(out, expected.as_bytes());
            assert_eq!(head.len(), out.len() - b"before".len());
            assert!(expected[number..].starts_with(&format!("{sequence},")));
        }
    }

    #[test]
    fn content_is_for_those_who_may_read_it() {
        let author: UserId = Id::new(1);
        let other: UserId = Id::new(2);
        let event = Encoded::new(
            "MESSAGE_CREATE",
            None,
            Audience::Guild,
            Intents::GUILD_MESSAGES,
            &"whole",
        )
        .redacted(&"blank", [author]);
        let without = Intents::GUILD_MESSAGES;
        let with = Intents::GUILD_MESSAGES | Intents::MESSAGE_CONTENT;
        assert_eq!(event.body_for(author, without), Some(&event.body));
        assert_eq!(event.body_for(other, without), event.redacted.as_ref());
        assert_eq!(event.body_for(other, with), Some(&event.body));
        assert_eq!(event.body_for(other, Intents::GUILDS), None);
    }

    #[test]
    fn passive_sessions_get_what_is_theirs() {
        let (named, other): (UserId, UserId) = (Id::new(1), Id::new(2));
        let event = Encoded::new("X", None, Audience::Guild, Intents::NONE, &());
        assert!(event.reaches_passive(other), "unless it says otherwise");
        let event = event.passive_for([named]);
        assert!(event.reaches_passive(named) && !event.reaches_passive(other));
        let set = [Id::new(3), Id::new(4)].into_iter().collect();
        let event = event.passive_for_sets([named], [set]);
        assert!(event.reaches_passive(named) && event.reaches_passive(Id::new(4)));
        assert!(!event.reaches_passive(other));
        let Passive::Users(users) = &event.passive else {
            panic!("it names users");
        };
        assert!(users.iter().copied().eq([1, 3, 4].map(Id::new)));
        assert!(!event.passive_for([]).reaches_passive(named));
    }

    #[test]
    fn one_emoji_is_one_reaction_with_or_without_its_colour() {
        let emoji = |text: &str| ReactionEmoji::parse(text).expect("an emoji");
        let of = |text| ReactionChange::new(Id::new(1), Id::new(2), &emoji(text), true, true);
        assert_eq!(of("\u{2764}\u{fe0f}"), of("\u{2764}"));
        assert_ne!(of("\u{2764}"), of("\u{1f44d}"));
    }
}
