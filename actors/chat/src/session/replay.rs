//! What RESUME replays: the last events of a session, shared with everyone else who got them.
//!
//! An event costs one pointer and one flag here (16 bytes); its bytes are shared. Numbers are not
//! stored: the events are consecutive. Pure: no lock, no clock.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use model::event::Encoded;

/// Most bytes of event bodies a session may hold back for RESUME, shared ones counted in full. At
/// the limit the oldest events are dropped, and a client that needs one of them gets op 9 with
/// `d: false`. Gauge `guildhall_replay_bytes`.
pub const REPLAY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Free slots above which the ring gives memory back when it is trimmed.
const SLACK_MAX: usize = 256;

/// How much is kept for RESUME.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayLimits {
    /// Most events.
    pub events: usize,
    /// Most bytes of bodies.
    pub bytes: usize,
}

impl Default for ReplayLimits {
    fn default() -> Self {
        Self {
            events: 4_096,
            bytes: REPLAY_BYTES_MAX,
        }
    }
}

/// One kept event, in the form this session was sent.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    event: Arc<Encoded>,
    redacted: bool,
}

impl Kept {
    /// The event's name.
    pub(crate) fn name(&self) -> &'static str {
        self.event.name
    }

    /// The bytes as this session was sent them.
    pub(crate) fn body(&self) -> &Bytes {
        match &self.event.redacted {
            Some(redacted) if self.redacted => redacted,
            _ => &self.event.body,
        }
    }
}

/// The kept events, numbered without gaps up to the last one given out.
#[derive(Debug)]
pub(crate) struct Replay {
    limits: ReplayLimits,
    events: VecDeque<Kept>,
    /// Number of the last event pushed; 0 before the first.
    last: u64,
    bytes: usize,
}

impl Replay {
    /// Empty; the first event gets number 1.
    pub(crate) fn new(limits: ReplayLimits) -> Self {
        Self {
            limits,
            events: VecDeque::new(),
            last: 0,
            bytes: 0,
        }
    }

    /// Number of the last event; 0 before the first.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// Number of the oldest event still here; one past the last when there is none.
    pub(crate) fn first(&self) -> u64 {
        self.last + 1 - self.events.len() as u64
    }

    /// Bytes of the kept bodies.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Numbers and keeps an event whose form for this session is `body`, which is one of the two
    /// bodies of `event`; drops the oldest ones while over the limits. Returns the number.
    pub(crate) fn push(&mut self, event: &Arc<Encoded>, body: &Bytes) -> u64 {
        let redacted = !std::ptr::eq(body, &raw const event.body);
        self.last += 1;
        self.bytes += body.len();
        self.events.push_back(Kept {
            event: Arc::clone(event),
            redacted,
        });
        while self.events.len() > self.limits.events || self.bytes > self.limits.bytes {
            if self.drop_first().is_none() {
                break;
            }
        }
        self.last
    }

    /// Drops the events up to and including number `through`: the client has them.
    pub(crate) fn trim(&mut self, through: u64) {
        while self.first() <= through && self.drop_first().is_some() {}
        if self.events.capacity() - self.events.len() > SLACK_MAX {
            self.events.shrink_to(self.events.len() + SLACK_MAX / 4);
        }
    }

    /// Drops everything; the numbers go on.
    pub(crate) fn clear(&mut self) {
        self.events = VecDeque::new();
        self.bytes = 0;
    }

    /// The kept events from number `next` on, with their numbers. What is no longer here is left
    /// out: check [`Replay::first`] before.
    pub(crate) fn from(&self, next: u64) -> impl Iterator<Item = (u64, &Kept)> {
        let first = self.first();
        let skip = usize::try_from(next.saturating_sub(first)).unwrap_or(usize::MAX);
        let skip = skip.min(self.events.len());
        (first + skip as u64..).zip(self.events.range(skip..))
    }

    fn drop_first(&mut self) -> Option<()> {
        let gone = self.events.pop_front()?;
        self.bytes -= gone.body().len();
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::event::Audience;
    use model::intents::Intents;

    fn event(text: &str) -> Arc<Encoded> {
        Arc::new(Encoded::new(
            "TEST",
            None,
            Audience::Guild,
            Intents::NONE,
            &text,
        ))
    }

    #[test]
    fn a_kept_event_is_two_words() {
        assert_eq!(size_of::<Kept>(), 16);
    }

    #[test]
    fn numbers_go_on_whatever_is_dropped() {
        let mut replay = Replay::new(ReplayLimits {
            events: 3,
            bytes: 1_000,
        });
        assert_eq!((replay.first(), replay.last()), (1, 0));
        for expected in 1..=5 {
            let event = event("x");
            assert_eq!(replay.push(&event, &event.body), expected);
        }
        assert_eq!((replay.first(), replay.last()), (3, 5));
        replay.trim(4);
        assert_eq!(
            replay.from(0).map(|(number, _)| number).collect::<Vec<_>>(),
            [5]
        );
        replay.trim(99);
        assert_eq!((replay.first(), replay.last(), replay.bytes()), (6, 5, 0));
        replay.clear();
        let event = event("x");
        assert_eq!(replay.push(&event, &event.body), 6);
    }

    #[test]
    fn bytes_are_bounded_too() {
        let mut replay = Replay::new(ReplayLimits {
            events: 100,
            bytes: 50,
        });
        for _ in 0..10 {
            let event = event("0123456789");
            replay.push(&event, &event.body);
        }
        assert!(replay.bytes() <= 50);
        assert_eq!(replay.from(replay.first()).count(), 3);
        let huge = event(&"x".repeat(100));
        replay.push(&huge, &huge.body);
        assert_eq!((replay.first(), replay.last(), replay.bytes()), (12, 11, 0));
    }

    #[test]
    fn the_form_that_was_sent_is_the_form_that_is_replayed() {
        let event = Encoded::new("TEST", None, Audience::Guild, Intents::NONE, &"whole");
        let event = Arc::new(event.redacted(&"blank", []));
        let blank = event.redacted.as_ref().expect("just set");
        let mut replay = Replay::new(ReplayLimits::default());
        replay.push(&event, &event.body);
        replay.push(&event, blank);
        let bodies: Vec<&Bytes> = replay.from(1).map(|(_, kept)| kept.body()).collect();
        assert_eq!(bodies, [&event.body, blank]);
    }
}
