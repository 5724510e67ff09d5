//! New snowflakes, from one generator per node.

use std::sync::Arc;

use model::Id;
use model::snowflake::Generator;
use parking_lot::Mutex;

/// The node's id generator; clones share it.
#[derive(Debug, Clone)]
pub struct Ids(Arc<Mutex<Generator>>);

impl Ids {
    /// A generator for worker number `worker` (0–1023).
    pub fn new(worker: u16) -> Self {
        Self(Arc::new(Mutex::new(Generator::new(worker))))
    }

    /// The next id; strictly above every id made or observed before.
    pub fn next<T>(&self, now_ms: u64) -> Id<T> {
        self.0.lock().next(now_ms)
    }

    /// Never hand out an id at or below `id` (ids found in the store at start).
    pub fn observe<T>(&self, id: Id<T>) {
        self.0.lock().observe(id);
    }
}
