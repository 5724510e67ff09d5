//! Random histories of an outbox, against a model of it.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Append(u8),
    /// Attach at this much above or below what the client has.
    Attach(i8),
    Detach,
    Acknowledge(i8),
    Room(bool),
    Refuse,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..12u8).prop_map(Step::Append),
        3 => prop_oneof![4 => Just(0), 1 => -6..6i8].prop_map(Step::Attach),
        1 => Just(Step::Detach),
        1 => prop_oneof![2 => Just(0), 1 => -6..6i8].prop_map(Step::Acknowledge),
        2 => any::<bool>().prop_map(Step::Room),
        1 => Just(Step::Refuse),
    ];
    prop::collection::vec(step, 0..60)
}

/// What an outbox must do, written the slow way.
#[derive(Default)]
struct Model {
    last: u64,
    first: u64,
    /// Number up to which the connection, or the last one, was given events.
    sent: u64,
    connected: bool,
    /// The connection had room when it was last given something.
    live: bool,
    refusing: bool,
    full: bool,
    lost: bool,
}

const MODEL_RING: u64 = 8;

impl Model {
    fn push(&mut self) {
        self.last += 1;
        self.first = self
            .first
            .max((self.last + 1).saturating_sub(MODEL_RING))
            .max(1);
        self.settle();
    }

    fn settle(&mut self) {
        if self.connected && (self.live || !self.full) {
            if self.sent < self.last {
                self.connected = !self.refusing;
                // Given, or tried: after a refusal it is not known what arrived.
                self.sent = self.last;
            }
            self.live = !self.full;
        }
        if self.first > self.sent + 1 {
            self.lost = true;
            self.connected = false;
        }
    }

    fn attach(&mut self, after: u64) {
        (self.refusing, self.full, self.live, self.connected) = (false, false, false, true);
        self.sent = after;
        self.settle();
        self.push();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Whatever happens, a client that resumes where it stopped has every event once, in order,
    /// or is told that it cannot.
    #[test]
    fn no_history_has_a_silent_gap(steps in steps()) {
        let fixture = Fixture::new(MODEL_RING as usize);
        let mut model = Model { first: 1, ..Model::default() };
        let (mut generation, mut recorder) = fixture.connect(0).expect("new");
        model.attach(0);
        // What this connection was attached after.
        let mut base = 0;
        for step in steps {
            match step {
                Step::Append(count) => {
                    for _ in 0..count {
                        let lost = model.lost;
                        let number = fixture.outbox.last_sequence() + 1;
                        prop_assert_eq!(fixture.outbox.append(&event(number)).closed, lost);
                        if !lost {
                            model.push();
                        }
                    }
                }
                Step::Attach(offset) => {
                    let read = base + recorder.len() as u64;
                    let after = read.saturating_add_signed(offset.into());
                    let expected = if model.lost {
                        Some(ResumeError::Unknown)
                    } else if after > model.last {
                        Some(ResumeError::InvalidSequence)
                    } else if after + 1 < model.first {
                        Some(ResumeError::Unknown)
                    } else {
                        None
                    };
                    match fixture.connect(after) {
                        Err(error) => prop_assert_eq!(Some(error), expected),
                        Ok((new_generation, new)) => {
                            prop_assert_eq!(None, expected);
                            prop_assert_eq!(recorder.closes().contains(&Close::Replaced), model.connected);
                            (generation, recorder, base) = (new_generation, new, after);
                            model.attach(after);
                        }
                    }
                }
                Step::Detach => {
                    prop_assert_eq!(fixture.outbox.detach(generation), model.connected);
                    model.connected = false;
                }
                Step::Acknowledge(offset) => {
                    let read = base + recorder.len() as u64;
                    let number = read.saturating_add_signed(offset.into());
                    fixture.outbox.acknowledge(number);
                    if number <= model.sent && !model.lost {
                        model.first = model.first.max(number + 1);
                    }
                }
                Step::Room(room) => {
                    model.full = !room;
                    recorder.set_room(room);
                    if room && !model.live {
                        model.settle();
                    }
                }
                Step::Refuse => {
                    recorder.refuse(Sent::Overrun);
                    model.refusing = true;
                }
            }
            let numbers = recorder.numbers();
            prop_assert_eq!(&numbers, &range(base + 1, base + numbers.len() as u64));
            for event in recorder.received().iter().filter(|event| event.name == "TEST") {
                prop_assert_eq!(&event.data, event.sequence);
            }
            prop_assert_eq!(fixture.outbox.last_sequence(), model.last);
            prop_assert_eq!(fixture.outbox.connection().1, model.connected);
            if model.connected && !model.refusing {
                prop_assert_eq!(base + numbers.len() as u64, model.sent);
            }
        }
    }
}
