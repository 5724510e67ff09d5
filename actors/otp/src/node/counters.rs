//! What a node counts, and how it is published.
//!
//! The hot paths touch plain atomics of their own node; the `metrics` recorder is only spoken to
//! from [`Counters::publish`]. So a send costs the same with and without an exporter.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::process::Process;

/// How many kinds of process (first words of labels) get their own gauges; the rest is summed
/// under `other`, so that labels cannot flood the metrics store.
const MAX_KINDS: usize = 64;

/// The counters of one node.
#[derive(Default)]
pub(crate) struct Counters {
    started: AtomicU64,
    ended: AtomicU64,
    restarts: AtomicU64,
    crashes: AtomicU64,
    refused: AtomicU64,
    dropped: AtomicU64,
    shed: AtomicU64,
    fenced: AtomicU64,
    stuck: AtomicU64,
    replaced: AtomicU64,
    /// Kinds which have a gauge, so that a kind which vanished is set to zero.
    kinds: Mutex<HashMap<String, Mailboxes>>,
}

#[derive(Clone, Copy, Default)]
struct Mailboxes {
    processes: usize,
    longest: usize,
    total: usize,
    oldest_ms: u64,
}

impl Counters {
    /// A process was started.
    pub(crate) fn started(&self) {
        self.started.fetch_add(1, Ordering::Relaxed);
    }

    /// A process ended.
    pub(crate) fn ended(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    /// A supervisor restarted a child.
    pub(crate) fn restarted(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
    }

    /// A process ended with a reason that is not clean.
    pub(crate) fn crashed(&self) {
        self.crashes.fetch_add(1, Ordering::Relaxed);
    }

    /// A full mailbox refused a message.
    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// A message was for nobody.
    pub(crate) fn dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// A full mailbox dropped messages for newer ones, or newer ones.
    pub(crate) fn shed(&self, messages: u32) {
        self.shed.fetch_add(u64::from(messages), Ordering::Relaxed);
    }

    /// A replaced process tried to send something.
    pub(crate) fn fenced(&self) {
        self.fenced.fetch_add(1, Ordering::Relaxed);
    }

    /// What replaced processes still tried to do, so far.
    pub(crate) fn fenced_total(&self) -> u64 {
        self.fenced.load(Ordering::Relaxed)
    }

    /// A handler held its worker too long.
    pub(crate) fn stuck(&self, replaced: bool) {
        self.stuck.fetch_add(1, Ordering::Relaxed);
        self.replaced
            .fetch_add(u64::from(replaced), Ordering::Relaxed);
    }

    /// Copies everything to the recorder.
    pub(crate) fn publish(&self, node: &str, processes: &[Arc<Process>]) {
        let node = node.to_owned();
        let count = |name: &'static str, value: &AtomicU64| {
            metrics::counter!(name, "node" => node.clone()).absolute(value.load(Ordering::Relaxed));
        };
        count("otp_processes_started_total", &self.started);
        count("otp_processes_ended_total", &self.ended);
        count("otp_restarts_total", &self.restarts);
        count("otp_crashes_total", &self.crashes);
        count("otp_messages_refused_total", &self.refused);
        count("otp_messages_dropped_total", &self.dropped);
        count("otp_messages_shed_total", &self.shed);
        count("otp_fenced_total", &self.fenced);
        count("otp_handlers_stuck_total", &self.stuck);
        count("otp_handlers_replaced_total", &self.replaced);

        let mut kinds = self.kinds.lock();
        for mailboxes in kinds.values_mut() {
            *mailboxes = Mailboxes::default();
        }
        for process in processes {
            let label = process.label();
            let kind = label
                .as_deref()
                .and_then(|label| label.split_whitespace().next())
                .unwrap_or("unlabelled");
            let kind = if kinds.contains_key(kind) || kinds.len() < MAX_KINDS {
                kind
            } else {
                "other"
            };
            let load = process.mailbox().load();
            if !kinds.contains_key(kind) {
                kinds.insert(kind.to_owned(), Mailboxes::default());
            }
            if let Some(mailboxes) = kinds.get_mut(kind) {
                mailboxes.processes += 1;
                mailboxes.total += load.len;
                mailboxes.longest = mailboxes.longest.max(load.len);
                mailboxes.oldest_ms = mailboxes.oldest_ms.max(load.oldest_ms);
            }
        }
        for (kind, mailboxes) in kinds.iter() {
            let gauge = |name: &'static str, value: f64| {
                metrics::gauge!(name, "node" => node.clone(), "kind" => kind.clone()).set(value);
            };
            gauge("otp_processes", mailboxes.processes as f64);
            gauge("otp_mailbox_messages", mailboxes.total as f64);
            gauge("otp_mailbox_longest", mailboxes.longest as f64);
            gauge(
                "otp_mailbox_oldest_seconds",
                mailboxes.oldest_ms as f64 / 1_000.0,
            );
        }
    }
}

#[cfg(test)]
mod tests;
