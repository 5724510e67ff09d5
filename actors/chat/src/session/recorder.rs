//! A connection that remembers what it was sent, for tests and benchmarks of this crate and of
//! what is built on it. It can be told to be slow, full or gone.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;

use super::dispatch::Dispatches;
use super::transport::{Close, RoomCallback, Sent, Transport};

/// Most dispatches a recorder remembers; more are a defect of the test and panic.
pub const RECORDED_MAX: usize = 1_000_000;

/// One dispatch as a client would read it.
#[derive(Debug, Clone, PartialEq)]
pub struct Received {
    /// `s`.
    pub sequence: u64,
    /// `t`.
    pub name: String,
    /// `d`.
    pub data: Value,
}

/// The recording transport.
#[derive(Default)]
pub struct Recorder {
    state: Mutex<State>,
    room_callback: Mutex<Option<RoomCallback>>,
}

#[derive(Default)]
struct State {
    payloads: Vec<Vec<u8>>,
    dispatches: usize,
    closes: Vec<Close>,
    /// What the next dispatch is answered with, if it is not accepted.
    refusal: Option<Sent>,
    full: bool,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder")
            .field("payloads", &self.state.lock().payloads.len())
            .finish_non_exhaustive()
    }
}

impl Recorder {
    /// A connection that takes everything.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Everything it was sent, in order.
    ///
    /// # Panics
    /// When a payload is not a dispatch.
    pub fn received(&self) -> Vec<Received> {
        let payloads = self.state.lock().payloads.clone();
        payloads
            .iter()
            .map(|payload| Received::parse(payload))
            .collect()
    }

    /// The numbers of what it was sent, in order.
    pub fn numbers(&self) -> Vec<u64> {
        self.received()
            .into_iter()
            .map(|received| received.sequence)
            .collect()
    }

    /// The names of what it was sent, in order.
    pub fn names(&self) -> Vec<String> {
        self.received()
            .into_iter()
            .map(|received| received.name)
            .collect()
    }

    /// The data of everything it was sent under this name.
    pub fn of(&self, name: &str) -> Vec<Value> {
        let received = self
            .received()
            .into_iter()
            .filter(|received| received.name == name);
        received.map(|received| received.data).collect()
    }

    /// How many payloads it was sent.
    pub fn len(&self) -> usize {
        self.state.lock().payloads.len()
    }

    /// Whether it was sent nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How often [`Transport::dispatch`] was called and accepted.
    pub fn dispatches(&self) -> usize {
        self.state.lock().dispatches
    }

    /// Why it was closed, in order.
    pub fn closes(&self) -> Vec<Close> {
        self.state.lock().closes.clone()
    }

    /// Refuses everything from now on.
    pub fn refuse(&self, answer: Sent) {
        self.state.lock().refusal = Some(answer);
    }

    /// Says that it has no more room, or that it has room again.
    pub fn set_room(&self, room: bool) {
        self.state.lock().full = !room;
        if room && let Some(callback) = &*self.room_callback.lock() {
            callback();
        }
    }
}

impl Received {
    fn parse(payload: &[u8]) -> Self {
        let mut value: Value = serde_json::from_slice(payload).expect("a payload is JSON");
        assert_eq!(value["op"], 0, "{value}");
        Self {
            sequence: value["s"].as_u64().expect("a dispatch has a number"),
            name: value["t"]
                .as_str()
                .expect("a dispatch has a name")
                .to_owned(),
            data: value["d"].take(),
        }
    }
}

impl Transport for Recorder {
    fn dispatch(&self, dispatches: &Dispatches<'_>) -> Sent {
        let mut state = self.state.lock();
        if let Some(refusal) = state.refusal {
            return refusal;
        }
        state.dispatches += 1;
        for payload in dispatches.payloads() {
            assert!(
                state.payloads.len() < RECORDED_MAX,
                "a recorder is for tests"
            );
            state.payloads.push(payload);
        }
        Sent::Accepted
    }

    fn close(&self, why: Close) {
        self.state.lock().closes.push(why);
    }

    fn has_room(&self) -> bool {
        !self.state.lock().full
    }

    fn on_room(&self, callback: RoomCallback) {
        *self.room_callback.lock() = Some(callback);
    }
}
