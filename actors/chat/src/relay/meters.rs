//! What relays count. All relays of a node count together.

use metrics::{Counter, Gauge, Histogram};
use model::event::Class;

use super::{Order, PRESENCE_QUEUE_MAX, TYPING_QUEUE_MAX};

/// Handles looked up once: a lookup per delivery would cost as much as the delivery.
pub(super) struct Meters {
    /// Orders waiting.
    pub(super) orders: Gauge,
    events: Counter,
    bytes: Counter,
    /// Batches carried out.
    pub(super) batches: Counter,
    shed_typing: Counter,
    shed_presence: Counter,
    /// Lists dropped at their limit.
    pub(super) overflows: Counter,
    /// Sessions subscribed, once per guild.
    pub(super) subscriptions: Gauge,
    /// Those of them that are passive.
    pub(super) passive: Gauge,
    /// Passive ones that became active.
    pub(super) activated: Counter,
    /// PASSIVE_UPDATE_V2 events made, each for all who see the same.
    pub(super) passive_updates: Counter,
    /// Reactions left out because others made up for them.
    pub(super) folded: Counter,
    /// Classes of a relay, once per batch.
    pub(super) classes: Histogram,
}

impl Meters {
    pub(super) fn new() -> Self {
        Self {
            orders: metrics::gauge!("guildhall_relay_orders"),
            events: metrics::counter!("guildhall_dispatched_events_total"),
            bytes: metrics::counter!("guildhall_dispatched_bytes_total"),
            batches: metrics::counter!("guildhall_relay_batches_total"),
            shed_typing: metrics::counter!("guildhall_relay_shed_total", "class" => "typing"),
            shed_presence: metrics::counter!("guildhall_relay_shed_total", "class" => "presence"),
            overflows: metrics::counter!("guildhall_relay_overflows_total"),
            subscriptions: metrics::gauge!("guildhall_relay_subscriptions"),
            passive: metrics::gauge!("guildhall_relay_passive_subscriptions"),
            activated: metrics::counter!("guildhall_relay_activated_total"),
            passive_updates: metrics::counter!("guildhall_relay_passive_updates_total"),
            folded: metrics::counter!("guildhall_relay_folded_total"),
            classes: metrics::histogram!("guildhall_relay_classes"),
        }
    }

    /// Whether an order is worth nothing with so many before it; counts it then.
    pub(super) fn sheds(&self, order: &Order, waiting: usize) -> bool {
        let Order::Publish(event) = order else {
            return false;
        };
        let (limit, shed) = match event.class {
            Class::Typing => (TYPING_QUEUE_MAX, &self.shed_typing),
            Class::Presence => (PRESENCE_QUEUE_MAX, &self.shed_presence),
            Class::Durable => return false,
        };
        if waiting < limit {
            return false;
        }
        shed.increment(1);
        true
    }

    pub(super) fn dispatched(&self, events: u64, bytes: u64) {
        if events > 0 {
            self.events.increment(events);
            self.bytes.increment(bytes);
        }
    }
}
