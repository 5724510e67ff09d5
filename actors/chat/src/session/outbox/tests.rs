//! Numbering, replay and the life of connections, against recorders and against a model.

use std::sync::Arc;

use metrics::Gauge;
use model::event::{Audience, Class, Encoded};
use model::intents::Intents;
use parking_lot::Mutex;

use super::{
    Dispatch, Notice, Outbox, PRESENCE_WAITING_MAX, Portion, REPLAY_STEP, ResumeError,
    TYPING_WAITING_MAX,
};
use crate::session::recorder::Recorder;
use crate::session::replay::ReplayLimits;
use crate::session::transport::{Close, Sent};

mod histories;

fn event(number: u64) -> Arc<Encoded> {
    Arc::new(Encoded::new(
        "TEST",
        None,
        Audience::Guild,
        Intents::NONE,
        &number,
    ))
}

fn greeting() -> Arc<Encoded> {
    Arc::new(Encoded::new(
        "HELLO_AGAIN",
        None,
        Audience::Guild,
        Intents::NONE,
        &"hello",
    ))
}

struct Fixture {
    outbox: Arc<Outbox>,
    notices: Arc<Mutex<Vec<Notice>>>,
}

impl Fixture {
    fn new(events: usize) -> Self {
        let outbox = Arc::new(Outbox::new(
            ReplayLimits {
                events,
                bytes: 1 << 20,
            },
            Gauge::noop(),
        ));
        let notices = Arc::<Mutex<Vec<Notice>>>::default();
        let inbox = Arc::clone(&notices);
        outbox.set_owner(move |notice| inbox.lock().push(notice));
        Self { outbox, notices }
    }

    fn connect(&self, after: u64) -> Result<(u64, Arc<Recorder>), ResumeError> {
        let recorder = Recorder::new();
        let generation = self.outbox.attach(recorder.clone(), after, &greeting())?;
        Ok((generation, recorder))
    }

    fn append(&self, count: u64) {
        for _ in 0..count {
            // The body says its own number, so that a replay can be checked against it.
            self.outbox.append(&event(self.outbox.last_sequence() + 1));
        }
    }

    fn notices(&self) -> Vec<Notice> {
        self.notices.lock().clone()
    }
}

fn range(from: u64, to: u64) -> Vec<u64> {
    (from..=to).collect()
}

#[test]
fn numbers_begin_at_one_with_the_greeting_and_have_no_gaps() {
    let fixture = Fixture::new(100);
    let (_, recorder) = fixture.connect(0).expect("new");
    fixture.append(5);
    assert_eq!(recorder.numbers(), range(1, 6));
    assert_eq!(recorder.names()[0], "HELLO_AGAIN");
}

#[test]
fn appenders_on_many_threads_make_one_gapless_order() {
    const THREADS: u64 = 8;
    const EACH: u64 = 500;
    let fixture = Fixture::new(10_000);
    let (_, recorder) = fixture.connect(0).expect("new");
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let outbox = &fixture.outbox;
            scope.spawn(move || {
                for index in 0..EACH {
                    let events = [event(thread * EACH + index), event(u64::MAX)];
                    outbox.append_many(events.iter().map(|event| (event, &event.body)));
                }
            });
        }
    });
    let received = recorder.received();
    let last = 1 + THREADS * EACH * 2;
    assert_eq!(recorder.numbers(), range(1, last));
    for pair in received[1..].chunks(2) {
        assert_eq!(
            pair[1].data,
            u64::MAX,
            "what is appended at once stays together"
        );
    }
    for thread in 0..THREADS {
        let own: Vec<u64> = received
            .iter()
            .filter_map(|event| event.data.as_u64())
            .filter(|number| number / EACH == thread)
            .collect();
        assert_eq!(
            own,
            range(thread * EACH, thread * EACH + EACH - 1),
            "each appender's order holds"
        );
    }
}

#[test]
fn resuming_at_every_number_gives_exactly_what_was_missed() {
    for after in 0..=11 {
        let fixture = Fixture::new(100);
        let (generation, first) = fixture.connect(0).expect("new");
        fixture.append(5);
        assert!(fixture.outbox.detach(generation));
        fixture.append(5);
        assert_eq!(first.numbers(), range(1, 6));
        let (_, second) = fixture.connect(after).expect("everything is still here");
        fixture.append(1);
        assert_eq!(second.numbers(), range(after + 1, 13), "after {after}");
        let received = second.received();
        assert_eq!(
            received[received.len() - 2].name,
            "HELLO_AGAIN",
            "greeted after the replay"
        );
        for event in received.iter().filter(|event| event.name == "TEST") {
            assert_eq!(event.data, event.sequence);
        }
    }
}

#[test]
fn a_hundred_cuts_lose_and_repeat_nothing() {
    let fixture = Fixture::new(1_000);
    let (mut generation, mut recorder) = fixture.connect(0).expect("new");
    let mut read = Vec::new();
    for round in 0..100 {
        fixture.append(3);
        // The client read all but the last of what the socket took.
        let mut here = recorder.numbers();
        here.pop();
        read.extend(here);
        fixture.outbox.detach(generation);
        fixture.append(round % 4);
        (generation, recorder) = fixture
            .connect(*read.last().expect("read some"))
            .expect("resumable");
    }
    read.extend(recorder.numbers());
    assert_eq!(read, range(1, fixture.outbox.last_sequence()));
}

#[test]
fn numbers_never_sent_are_refused_and_nothing_changes() {
    let fixture = Fixture::new(100);
    let (_, recorder) = fixture.connect(0).expect("new");
    fixture.append(2);
    assert_eq!(fixture.connect(4).err(), Some(ResumeError::InvalidSequence));
    fixture.append(1);
    assert_eq!(recorder.numbers(), range(1, 4), "the connection goes on");
    assert_eq!(recorder.closes(), []);
}

#[test]
fn what_was_dropped_or_acknowledged_cannot_be_resumed() {
    let fixture = Fixture::new(4);
    let (_, _recorder) = fixture.connect(0).expect("new");
    fixture.append(9);
    assert_eq!(
        fixture.connect(5).err(),
        Some(ResumeError::Unknown),
        "6 is gone"
    );
    fixture.outbox.acknowledge(8);
    assert_eq!(
        fixture.connect(7).err(),
        Some(ResumeError::Unknown),
        "8 was acknowledged"
    );
    fixture.outbox.acknowledge(99);
    assert!(
        fixture.connect(8).is_ok(),
        "numbers never sent acknowledge nothing"
    );
}

#[test]
fn the_newer_connection_wins() {
    let fixture = Fixture::new(100);
    let (old_generation, old) = fixture.connect(0).expect("new");
    let (_, new) = fixture.connect(1).expect("resumed");
    assert_eq!(old.closes(), [Close::Replaced]);
    assert!(
        !fixture.outbox.detach(old_generation),
        "the old one's end is no news"
    );
    fixture.append(1);
    assert_eq!((old.numbers(), new.numbers()), (vec![1], vec![2, 3]));
    assert_eq!(fixture.notices(), []);
}

#[test]
fn a_connection_that_refuses_parks_the_session() {
    for answer in [Sent::Overrun, Sent::Closed] {
        let fixture = Fixture::new(100);
        let (generation, recorder) = fixture.connect(0).expect("new");
        recorder.refuse(answer);
        fixture.append(3);
        assert_eq!(
            fixture.notices(),
            [Notice::Detached { generation }],
            "told once"
        );
        let (_, again) = fixture.connect(1).expect("resumable");
        assert_eq!(again.numbers(), range(2, 5));
    }
}

#[test]
fn a_parked_session_that_outgrows_its_ring_is_lost() {
    let fixture = Fixture::new(4);
    let (generation, _recorder) = fixture.connect(0).expect("new");
    fixture.append(2);
    fixture.outbox.detach(generation);
    fixture.append(4);
    assert_eq!(fixture.notices(), [Notice::Detached { generation }]);
    assert!(
        !fixture.outbox.append(&event(0)).closed,
        "this one pushes out the first unseen"
    );
    assert_eq!(
        fixture.notices(),
        [Notice::Detached { generation }, Notice::Lost]
    );
    assert!(fixture.outbox.append(&event(0)).closed);
    assert_eq!(fixture.connect(8).err(), Some(ResumeError::Unknown));
}

#[test]
fn a_slow_reader_is_held_back_and_caught_up() {
    let fixture = Fixture::new(10_000);
    let (_, recorder) = fixture.connect(0).expect("new");
    recorder.set_room(false);
    fixture.append(1);
    let many = REPLAY_STEP as u64 * 2 + 10;
    fixture.append(many);
    assert_eq!(
        recorder.numbers(),
        range(1, 2),
        "one more after it was full, then none"
    );
    recorder.set_room(true);
    assert_eq!(recorder.numbers(), range(1, many + 2));
    fixture.append(1);
    assert_eq!(recorder.numbers(), range(1, many + 3), "live again");
    assert_eq!(fixture.notices(), []);
}

/// An event of a class, with its body as its mark.
fn of_class(class: Class, mark: &str) -> Arc<Encoded> {
    let event = Encoded::new("TEST", None, Audience::Guild, Intents::NONE, &mark);
    Arc::new(event.class(class))
}

#[test]
fn behind_much_else_typing_and_presence_are_not_taken_on() {
    let fixture = Fixture::new(10_000);
    let (_, recorder) = fixture.connect(0).expect("new");
    recorder.set_room(false);
    // The one that finds it full is with the reader; the rest waits.
    fixture.append(1);
    fixture.append(TYPING_WAITING_MAX as u64 - 1);
    let portion = |events: &[Arc<Encoded>]| Portion {
        events: events
            .iter()
            .map(|it| Dispatch::new(it, &it.body))
            .collect(),
        cheap: true,
        ..Portion::default()
    };
    let typing = of_class(Class::Typing, "typing");
    let presence = of_class(Class::Presence, "presence");
    fixture.outbox.append_portion(&portion(&[
        Arc::clone(&typing),
        presence.clone(),
        typing.clone(),
    ]));
    fixture.append(PRESENCE_WAITING_MAX as u64);
    fixture.outbox.append(&presence);
    fixture.append(1);
    fixture.outbox.append(&typing);
    recorder.set_room(true);
    let received = recorder.received();
    let numbers = recorder.numbers();
    assert!(
        numbers.iter().copied().eq(1..=numbers.len() as u64),
        "no gaps"
    );
    let count = |mark: &str| received.iter().filter(|it| it.data == mark).count();
    assert_eq!(
        (count("typing"), count("presence")),
        (1, 1),
        "the first of each"
    );
    let others = received.len() - count("typing") - count("presence");
    let appended = TYPING_WAITING_MAX + PRESENCE_WAITING_MAX + 1;
    assert_eq!(others, 1 + appended, "the greeting and everything else");
    // It is up to date: nothing is shed any more.
    fixture.outbox.append(&typing);
    assert_eq!(recorder.received().last().expect("typing").data, "typing");
    assert_eq!(fixture.notices(), []);
}

#[test]
fn typing_does_not_push_messages_out_of_the_ring_of_a_parked_session() {
    let fixture = Fixture::new(10);
    let (generation, _) = fixture.connect(0).expect("new");
    fixture.append(4);
    assert!(fixture.outbox.detach(generation));
    fixture.append(5);
    for _ in 0..1_000 {
        fixture.outbox.append(&of_class(Class::Typing, "typing"));
        fixture
            .outbox
            .append(&of_class(Class::Presence, "presence"));
    }
    fixture.append(4);
    let (_, recorder) = fixture.connect(5).expect("everything is still here");
    assert_eq!(recorder.numbers(), range(6, 15));
    assert_eq!(fixture.notices(), [Notice::Detached { generation }]);
}

#[test]
fn a_reader_slower_than_the_ring_is_told_so() {
    let fixture = Fixture::new(4);
    let (_, recorder) = fixture.connect(0).expect("new");
    recorder.set_room(false);
    fixture.append(1 + 4);
    assert_eq!(recorder.closes(), []);
    fixture.append(1);
    assert_eq!(
        recorder.closes(),
        [Close::InvalidSession { resumable: false }]
    );
    assert_eq!(fixture.notices(), [Notice::Lost]);
    recorder.set_room(true);
    assert_eq!(recorder.numbers(), range(1, 2), "nothing after a gap");
}

#[test]
fn a_closed_outbox_takes_nothing() {
    let fixture = Fixture::new(100);
    let (_, recorder) = fixture.connect(0).expect("new");
    fixture.outbox.close(Some(Close::Revoked));
    assert_eq!(recorder.closes(), [Close::Revoked]);
    assert!(fixture.outbox.append(&event(0)).closed);
    assert_eq!(fixture.connect(1).err(), Some(ResumeError::Unknown));
    assert_eq!(recorder.numbers(), [1]);
    assert_eq!(fixture.notices(), []);
}

#[test]
fn a_drained_session_can_be_resumed() {
    let fixture = Fixture::new(100);
    let (generation, recorder) = fixture.connect(0).expect("new");
    fixture.outbox.disconnect(Close::Reconnect);
    assert_eq!(recorder.closes(), [Close::Reconnect]);
    assert_eq!(fixture.notices(), [Notice::Detached { generation }]);
    fixture.append(2);
    assert_eq!(
        fixture.connect(1).expect("resumable").1.numbers(),
        range(2, 4)
    );
}

#[test]
fn a_delivery_touches_the_first_128_bytes() {
    use super::{Inner, Mutex as Lock, Replay};
    let replay = std::mem::offset_of!(Inner, replay) + Replay::TOUCHED;
    let behind = std::mem::offset_of!(Outbox, inner) + align_of::<Lock<Inner>>() + replay;
    assert!(behind <= 128, "{behind}");
}
