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
use super::{
    BATCH_MAX, BATCH_SESSIONS_MAX, Message, ORDERS_BUSY, ORDERS_MAX, Order, Relay, RelayArgs,
    SessionId,
};

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

/// An order that waits.
struct Queued {
    order: Order,
    /// Whether it is the last of those that were handed over together. They belong together: a
    /// channel that goes and the views without it, say. A batch ends here or nowhere.
    ends_job: bool,
}

impl AsRef<Order> for Queued {
    fn as_ref(&self) -> &Order {
        &self.order
    }
}

pub(super) struct Waiting {
    orders: Vec<Queued>,
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
                let ends_job = false;
                waiting.orders.push(Queued { order, ends_job });
            }
        }
        if let Some(last) = waiting.orders.last_mut() {
            last.ends_job = true;
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
            waiting.strand(lost.into_iter().map(|queued| queued.order));
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
        let before = waiting.orders.len();
        let batch = first_batch(&mut waiting.orders);
        let after = waiting.orders.len();
        waiting.fold_at = REACTIONS_QUEUE_MAX.max(after * 2);
        self.meters.orders.decrement(before as f64 - after as f64);
        Some((batch, after > 0))
    }
}

/// Takes the orders of one batch off the list: whole jobs, with at most [`BATCH_MAX`] orders of
/// which at most [`BATCH_SESSIONS_MAX`] are about sessions; but one job at least.
fn first_batch(queue: &mut Vec<Queued>) -> Vec<Order> {
    let (mut sessions, mut jobs_end) = (0, 0);
    // All of them, if they are few: the last job ends with the queue, even if the order that said so
    // was folded away.
    let mut count = queue.len();
    for (place, queued) in queue.iter().enumerate() {
        sessions += usize::from(!matches!(queued.order, Order::Publish(_)));
        let too_many = place >= BATCH_MAX || sessions > BATCH_SESSIONS_MAX;
        if too_many && jobs_end > 0 {
            count = jobs_end;
            break;
        }
        if queued.ends_job {
            jobs_end = place + 1;
        }
    }
    let rest = queue.split_off(count);
    let batch = std::mem::replace(queue, rest);
    batch.into_iter().map(|queued| queued.order).collect()
}

#[cfg(test)]
mod tests {
    use model::event::{Audience, Encoded};
    use model::intents::Intents;

    use super::*;

    fn publish() -> Order {
        let data = serde_json::json!({});
        let event = Encoded::new("TEST", None, Audience::Guild, Intents::NONE, &data);
        Order::Publish(Arc::new(event))
    }

    fn leave(number: usize) -> Order {
        Order::Unsubscribe(number.to_string().into())
    }

    /// Jobs of the lane: each in one batch.
    fn queue(jobs: Vec<Vec<Order>>) -> Vec<Queued> {
        let mut queue = Vec::new();
        for job in jobs {
            let ends_job = false;
            queue.extend(job.into_iter().map(|order| Queued { order, ends_job }));
            queue.last_mut().expect("no job is empty").ends_job = true;
        }
        queue
    }

    fn sizes(jobs: Vec<Vec<Order>>) -> Vec<usize> {
        let mut queue = queue(jobs);
        let batches = std::iter::from_fn(|| {
            let batch = first_batch(&mut queue);
            (!batch.is_empty()).then_some(batch.len())
        });
        batches.take(100).collect()
    }

    #[test]
    fn a_batch_has_a_thousand_events_but_few_sessions() {
        assert_eq!(sizes(Vec::new()), [0_usize; 0]);
        let events = (0..BATCH_MAX + 1).map(|_| vec![publish()]).collect();
        assert_eq!(sizes(events), [BATCH_MAX, 1]);
        let joins = (0..BATCH_SESSIONS_MAX * 2 + 1).map(|number| vec![leave(number)]);
        let max = BATCH_SESSIONS_MAX;
        assert_eq!(sizes(joins.collect()), [max, max, 1]);
        // Events in between do not count, and stay where they are.
        let mixed = (0..max + 1).flat_map(|number| [vec![publish()], vec![leave(number)]]);
        assert_eq!(sizes(mixed.collect()), [2 * max + 1, 1]);
    }

    #[test]
    fn the_queue_ends_with_a_job_whatever_was_folded() {
        let mut queue = queue(vec![vec![publish()], vec![publish(), publish()]]);
        queue.pop();
        assert_eq!(first_batch(&mut queue).len(), 2);
        assert!(queue.is_empty());
    }

    /// CHANNEL_DELETE and the views that go with it, say: nothing may come between them.
    #[test]
    fn a_job_is_not_cut_however_large_it_is() {
        let large = |size: usize| (0..size).map(leave).collect::<Vec<_>>();
        let max = BATCH_SESSIONS_MAX;
        let jobs = vec![
            vec![publish()],
            large(max),
            large(1),
            large(max * 3),
            large(1),
        ];
        assert_eq!(sizes(jobs), [max + 1, 1, max * 3, 1]);
        let publishes = |size: usize| (0..size).map(|_| publish()).collect::<Vec<_>>();
        let jobs = vec![publishes(BATCH_MAX - 1), publishes(2), publishes(1)];
        assert_eq!(sizes(jobs), [BATCH_MAX - 1, 3]);
    }
}
