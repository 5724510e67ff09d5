//! What the runtime tells `tracing`, for cases that run on one thread.

use std::cell::RefCell;
use std::fmt::Write as _;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Metadata, Subscriber};

use crate::support::Log;

thread_local! {
    /// The guard must stay on its thread; the case need not know.
    static GUARD: RefCell<Option<DefaultGuard>> = const { RefCell::new(None) };
}

/// Collects events while it lives: `LEVEL message field=value …`.
pub(crate) struct Traces(Log);

impl Traces {
    /// Follows what happens on this thread.
    pub(crate) fn start() -> Traces {
        let log = Log::default();
        let guard = tracing::subscriber::set_default(Collector(log.clone()));
        GUARD.set(Some(guard));
        Traces(log)
    }

    /// The events of a level so far.
    pub(crate) fn of(&self, level: &str) -> Vec<String> {
        let mut lines = self.0.all();
        lines.retain(|line| line.starts_with(level));
        lines
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        GUARD.take();
    }
}

struct Collector(Log);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

impl Subscriber for Collector {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.add(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
