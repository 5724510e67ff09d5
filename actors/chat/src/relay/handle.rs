//! The way to a relay: the list of orders that wait for it, and what survives the process.
//!
//! ```text
//!  Lane ──deliver──▶ [orders: shed, folded, bounded] ──take──▶ Relay, whichever process it is now
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use model::GuildId;
use otp::{Node, Options, Pid, ServerRef, SupervisorRef};
use parking_lot::Mutex;

use super::fold::{REACTIONS_QUEUE_MAX, fold};
use super::meters::Meters;
use super::relays::{Homes, RelayOptions};
use super::roster::Roster;
use super::{BATCH_MAX, Message, ORDERS_BUSY, ORDERS_MAX, Order, Relay, RelayArgs, SessionId};

/// The way to a guild's relay, whichever process it is at the moment; clones are cheap.
#[derive(Clone)]
pub struct RelayHandle {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) guild: GuildId,
    /// Among the relays of the guild.
    pub(super) number: usize,
    pub(super) homes: Arc<Homes>,
    /// See [`RelayOptions`].
    pub(super) passive_update_every: Duration,
    pub(super) waiting: Mutex<Waiting>,
    /// The running process; a dead one until its successor has started.
    pub(super) server: Mutex<Option<ServerRef<Relay>>>,
    /// See [`RelayHandle::anchor`].
    pub(super) anchor: Mutex<Option<(Node, Pid)>>,
    /// Locked by the relay alone, and never while it waits.
    pub(super) roster: Mutex<Roster>,
    /// Events may have been lost on the way here.
    pub(super) gap: AtomicBool,
    pub(super) meters: Meters,
}

pub(super) struct Waiting {
    orders: Vec<Order>,
    /// So many orders are looked through for reactions to fold; twice as many the next time, so
    /// that each order is looked at a few times at most.
    fold_at: usize,
    /// [`ORDERS_MAX`] was reached: orders were lost, so the relay must serve nobody any more.
    pub(super) overflowed: bool,
    /// Sessions whose subscription was among the lost orders.
    pub(super) stranded: Vec<(SessionId, Pid)>,
}

impl Default for Waiting {
    fn default() -> Self {
        Self {
            orders: Vec::new(),
            fold_at: REACTIONS_QUEUE_MAX,
            overflowed: false,
            stranded: Vec::new(),
        }
    }
}

impl Waiting {
    /// Loses orders.
    fn strand(&mut self, orders: impl IntoIterator<Item = Order>) {
        self.overflowed = true;
        let stranded = orders.into_iter().filter_map(|order| match order {
            Order::Subscribe { subscriber, .. } => Some((subscriber.id, subscriber.pid)),
            _ => None,
        });
        self.stranded.extend(stranded);
    }
}

impl std::fmt::Debug for RelayHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RelayHandle({})", self.shared.guild)
    }
}

impl RelayHandle {
    /// The way to the only relay of `guild`, which is yet to be started with
    /// [`RelayHandle::args`]. For more than one: [`super::Relays`].
    pub fn new(guild: GuildId) -> Self {
        Self::numbered(guild, 0, Arc::default(), RelayOptions::default())
    }

    pub(super) fn numbered(
        guild: GuildId,
        number: usize,
        homes: Arc<Homes>,
        options: RelayOptions,
    ) -> Self {
        let shared = Shared {
            guild,
            number,
            homes,
            passive_update_every: options.passive_update_every,
            waiting: Mutex::default(),
            server: Mutex::new(None),
            anchor: Mutex::new(None),
            roster: Mutex::default(),
            gap: AtomicBool::new(false),
            meters: Meters::new(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// What a relay process behind this handle is started with.
    pub fn args(&self) -> RelayArgs {
        RelayArgs {
            handle: self.clone(),
        }
    }

    /// How it is started.
    pub fn options(&self) -> Options {
        let Shared { guild, number, .. } = &*self.shared;
        Options::new().label(format!("relay {number} of {guild}"))
    }

    /// Hands orders over, to be carried out in this order; wakes the relay if it sleeps. Returns
    /// at once. Orders given while the relay is being restarted wait for it.
    pub fn deliver(&self, orders: Vec<Order>) {
        let shared = &*self.shared;
        let mut waiting = shared.waiting.lock();
        if waiting.overflowed {
            // For sessions which the successor of the dying relay sends away.
            waiting.strand(orders);
            return;
        }
        let before = waiting.orders.len();
        for order in orders {
            if !shared.meters.sheds(&order, waiting.orders.len()) {
                waiting.orders.push(order);
            }
        }
        if waiting.orders.len() >= waiting.fold_at {
            let folded = fold(&mut waiting.orders);
            waiting.fold_at = REACTIONS_QUEUE_MAX.max(waiting.orders.len() * 2);
            shared.meters.folded.increment(folded as u64);
        }
        let after = waiting.orders.len();
        shared.meters.orders.increment(after as f64 - before as f64);
        if after > ORDERS_MAX {
            shared.meters.orders.decrement(after as f64);
            shared.meters.overflows.increment(1);
            let lost = std::mem::take(&mut waiting.orders);
            waiting.strand(lost);
        }
        if before == 0 && after > 0 {
            shared.wake();
        }
    }

    /// The process whose end means that all subscriptions are gone: the supervisor of the relay,
    /// or the relay itself if it has none; `None` before its first start. A session which
    /// subscribes monitors the pid read *before* its [`Order::Subscribe`] was handed over: whatever
    /// relay takes the order then, either it serves the session, or the session learns that it
    /// does not.
    pub fn anchor(&self) -> Option<Pid> {
        self.shared.anchor.lock().as_ref().map(|(_, pid)| *pid)
    }

    /// The supervisor of the relay, once it has started under one.
    pub(super) fn supervisor(&self) -> Option<SupervisorRef> {
        let anchor = self.shared.anchor.lock();
        let (node, pid) = anchor.as_ref()?;
        SupervisorRef::from_pid(node, *pid)
    }

    /// Its number among the relays of the guild.
    pub(super) fn number(&self) -> usize {
        self.shared.number
    }

    /// Says that events may have been lost on the way here: the relay that starts next sends all
    /// sessions away.
    pub fn lost_events(&self) {
        self.shared.gap.store(true, Ordering::Release);
    }

    /// Orders waiting.
    pub fn waiting(&self) -> usize {
        self.shared.waiting.lock().orders.len()
    }

    /// Whether the relay is so far behind that the guild must refuse work
    /// ([`crate::ChatError::Busy`]).
    pub fn is_full(&self) -> bool {
        self.waiting() > ORDERS_BUSY
    }
}

impl Shared {
    fn wake(&self) {
        if let Some(server) = &*self.server.lock() {
            server.cast(Message::Flush);
        }
    }

    /// The next batch, and whether there is more; `None` when orders were lost.
    pub(super) fn take(&self) -> Option<(Vec<Order>, bool)> {
        let mut waiting = self.waiting.lock();
        if waiting.overflowed {
            return None;
        }
        let orders = &mut waiting.orders;
        let batch = if orders.len() <= BATCH_MAX {
            std::mem::take(orders)
        } else {
            let rest = orders.split_off(BATCH_MAX);
            std::mem::replace(orders, rest)
        };
        waiting.fold_at = REACTIONS_QUEUE_MAX.max(waiting.orders.len() * 2);
        self.meters.orders.decrement(batch.len() as f64);
        Some((batch, !waiting.orders.is_empty()))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let roster = self.roster.get_mut();
        self.meters.subscriptions.decrement(roster.len() as f64);
        self.meters.passive.decrement(roster.passive() as f64);
    }
}
