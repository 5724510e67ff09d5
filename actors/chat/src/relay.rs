//! The Relay process: hands the events of a guild to the sessions that may have them.
//!
//! ```text
//!  Lane ──deliver──▶ list of orders ──Flush, once──▶ [Relay] ──append──▶ Outbox × n
//!                    (RelayHandle)                      │ one walk per batch, one write per session
//!                    roster, by class                   └─ Joined, Left, Lost ─▶ Session
//! ```
//!
//! * Started by the supervisor of the guild's relays ([`Relays::describe`]).
//! * When it dies, the list of orders, the roster and the batch at hand survive in the handle; its
//!   successor goes on where it was, and no session notices. Only if it died in the middle of an
//!   order, or if events were lost before they came here (the list overflowed, the lane died), does
//!   the successor send every session [`session::Message::Lost`]: it tells its client op 9 with
//!   `d: false` and ends. Never a silent gap. When that supervisor ends, sessions learn it from
//!   their monitor on it ([`RelayHandle::anchor`]).
//! * It calls nobody; it casts to sessions and appends to their outboxes.
//! * Each event is decided once per class of sessions (`relay/class.rs`). From
//!   [`PARALLEL_SESSIONS_MIN`] sessions on a batch is walked by as many tasks as there are workers.
//! * A session of a person is passive in a large guild until its client subscribes to something
//!   there ([`Order::Activate`]). It gets what changes the guild's shape, what mentions its user,
//!   and every [`PASSIVE_UPDATE_EVERY`] which channels have moved (`relay/digest.rs`); the rest costs it nothing.
//! * Its mailbox holds one Flush and the DOWNs of sessions. The queue that matters is the list:
//!   above [`TYPING_QUEUE_MAX`] orders typing is shed, above [`PRESENCE_QUEUE_MAX`] presence too;
//!   from [`REACTIONS_QUEUE_MAX`] on reactions are folded (`relay/fold.rs`);
//!   above [`ORDERS_BUSY`] [`RelayHandle::is_full`] tells the guild to refuse work; at
//!   [`ORDERS_MAX`] the list is dropped and the relay with it, which invalidates its sessions.
//! * Next hop: [`crate::session::outbox`].

use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::event::Encoded;
use model::intents::Intents;
use model::{GuildId, UserId};
use otp::{Context, ExitReason, GenServer, Info, Init, Next, Node, Pid, TimerRef};

use crate::session::outbox::{Appended, Outbox};
use crate::session::{self, Session};

mod class;
mod delivery;
mod digest;
mod fold;
mod handle;
mod listeners;
mod meters;
mod relays;
mod roster;
mod view;

use class::Item;
pub use digest::DIGEST_CHANNELS_MAX;
pub use fold::REACTIONS_QUEUE_MAX;
pub use handle::RelayHandle;
use handle::Shared;
pub use listeners::{Coming, Listeners};
pub use relays::{
    PASSIVE_UPDATE_EVERY, RELAY_RESTART_PERIOD, RELAY_RESTARTS_MAX, RELAY_SESSIONS_MAX,
    RelayOptions, Relays,
};
use roster::{Batch, Roster};
pub use view::View;

/// Orders waiting above which typing is shed. Counter `guildhall_relay_shed_total{class}`.
pub const TYPING_QUEUE_MAX: usize = 256;

/// Orders waiting above which presence is shed too. Counter `guildhall_relay_shed_total{class}`.
pub const PRESENCE_QUEUE_MAX: usize = 2_048;

/// Orders waiting above which the guild refuses new work. Gauge `guildhall_relay_orders`.
pub const ORDERS_BUSY: usize = 16_384;

/// Most orders waiting. At the limit the relay is stopped and its sessions are invalidated:
/// everything left in the list would reach nobody in time. Counter
/// `guildhall_relay_overflows_total`.
pub const ORDERS_MAX: usize = 65_536;

/// Most orders taken from the list at once, so that one batch is a bounded piece of work.
pub const BATCH_MAX: usize = 1_024;

/// Most orders about sessions in one batch: one that joins is written all of its guild, under the
/// lock of the roster. The other orders wait for the next batch, after other processes had their
/// turn.
pub const BATCH_SESSIONS_MAX: usize = 64;

/// Sessions written to between two chances for other processes to run.
pub const SESSIONS_PER_SLICE: usize = 128;

/// Sessions from which on a batch is walked by all workers: below, waking them costs more.
pub const PARALLEL_SESSIONS_MIN: usize = 2_048;

/// Names a session: 32 hex digits.
pub type SessionId = Arc<str>;

/// A session that wants a guild's events.
#[derive(Debug, Clone)]
pub struct Subscriber {
    /// The session.
    pub id: SessionId,
    /// Its process; when it ends the subscription does.
    pub pid: Pid,
    /// Whose it is.
    pub user: UserId,
    /// What it asked for.
    pub intents: Intents,
    /// Whether it is passive until it is activated; the guild has the last word.
    pub passive: bool,
    /// Where its events go.
    pub outbox: Arc<Outbox>,
}

/// What a relay is told to do, in the order of the guild.
#[derive(Debug, Clone)]
pub enum Order {
    /// Hand this to everyone who may have it.
    Publish(Arc<Encoded>),
    /// A session listens from here on. Read [`RelayHandle::anchor`] *before* handing this over and
    /// answer that pid to the session.
    Subscribe {
        /// Who.
        subscriber: Subscriber,
        /// What its user may see.
        view: Arc<View>,
        /// Goes to this session only, before everything that is published later.
        snapshot: Vec<Arc<Encoded>>,
        /// Counts its user among the listeners for as long as it listens.
        coming: Option<Arc<Coming>>,
    },
    /// A session listens no more.
    Unsubscribe(SessionId),
    /// A passive session gets everything from here on; first what it is still to be told of the
    /// channels that have moved.
    Activate(SessionId),
    /// Users see something else from here on: nothing of a channel they lost comes after this.
    Views(Arc<[(UserId, Arc<View>)]>),
    /// All sessions of the user leave (kick, ban, leave).
    Remove(UserId),
    /// All sessions leave (the guild was deleted).
    Clear,
}

impl AsRef<Order> for Order {
    fn as_ref(&self) -> &Order {
        self
    }
}

// ── Messages ──────────────────────────────────────────────────────────────────────────────────

/// What a relay process is started with; made by [`RelayHandle::args`].
#[derive(Debug)]
pub struct RelayArgs {
    handle: RelayHandle,
}

/// What a relay process is sent; only [`RelayHandle`] does.
#[derive(Debug)]
pub enum Message {
    /// There are orders.
    Flush,
    /// Passive sessions are to be told what they missed; from its own timer.
    Digest,
}

// ── Server ────────────────────────────────────────────────────────────────────────────────────

/// The relay process.
pub struct Relay {
    shared: Arc<Shared>,
    /// Runs while there is something to tell passive sessions.
    digest: Option<TimerRef>,
}

impl GenServer for Relay {
    type Args = RelayArgs;
    type Message = Message;

    async fn init(args: RelayArgs, ctx: &mut Context<Self>) -> Init<Self> {
        let shared = args.handle.shared;
        *shared.server.lock() = Some(ctx.self_ref());
        let anchor = ctx.parent().unwrap_or(ctx.pid());
        *shared.anchor.lock() = Some((ctx.node().clone(), anchor));
        let mut relay = Self {
            shared,
            digest: None,
        };
        relay.take_over(ctx);
        relay.time_digest(ctx);
        // A predecessor may have left orders, and its wake-up died with it.
        Init::Continue(relay, Message::Flush)
    }

    async fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Next<Self> {
        let left = self.shared.roster.lock().delivering();
        if let Some(batch) = left {
            self.give(batch, ctx).await;
        }
        if matches!(message, Message::Digest) {
            self.digest = None;
            if let Some(batch) = self.make_digest() {
                self.give(batch, ctx).await;
            }
            return Next::Go;
        }
        let Some((orders, more)) = self.shared.take() else {
            return Next::Stop(ExitReason::Error("too many orders waiting".into()));
        };
        if more {
            // The list was not emptied, so nobody else will wake this process for the rest.
            ctx.self_ref().cast(Message::Flush);
        }
        if !orders.is_empty()
            && let Some(batch) = self.carry_out(orders, ctx)
        {
            self.give(batch, ctx).await;
        }
        self.time_digest(ctx);
        Next::Go
    }

    async fn handle_info(&mut self, info: Info, ctx: &mut Context<Self>) -> Next<Self> {
        if let Info::Down { monitor, .. } = info {
            let mut roster = self.shared.roster.lock();
            if let Some(id) = roster.watched(monitor) {
                self.forget(&mut roster, &id, ctx);
            }
        }
        Next::Go
    }
}

impl Relay {
    /// Goes on where a predecessor was, or sends everyone away if something was lost.
    fn take_over(&self, ctx: &mut Context<Self>) {
        let shared = &self.shared;
        let mut roster = shared.roster.lock();
        let mut waiting = shared.waiting.lock();
        let overflowed = std::mem::take(&mut waiting.overflowed);
        let stranded = std::mem::take(&mut waiting.stranded);
        drop(waiting);
        let gap = shared.gap.swap(false, Ordering::AcqRel);
        if gap || overflowed || roster.is_broken() {
            shared.meters.passive.decrement(roster.passive() as f64);
            let lost = roster.reset();
            shared.meters.subscriptions.decrement(lost.len() as f64);
            let lost = lost.into_iter().map(|one| (one.id, one.pid));
            for (id, pid) in lost.chain(stranded) {
                shared.homes.leave(&id, shared.number);
                self.tell(ctx.node(), pid, |guild| session::Message::Lost { guild });
            }
            return;
        }
        for (id, pid) in roster.change_hands() {
            let monitor = ctx.monitor(pid);
            roster.watched_by(id, monitor);
        }
    }

    /// Carries out orders: control orders at their place among the events. The events, for
    /// everyone, if there are any.
    fn carry_out(&self, orders: Vec<Order>, ctx: &mut Context<Self>) -> Option<Arc<Batch>> {
        self.shared.meters.batches.increment(1);
        let mut roster = self.shared.roster.lock();
        let roster = &mut *roster;
        roster.break_up();
        let mut batch: Vec<Item> = Vec::with_capacity(orders.len());
        for order in orders {
            match order {
                Order::Publish(event) => self.publish(roster, event, &mut batch),
                Order::Subscribe {
                    subscriber,
                    view,
                    snapshot,
                    coming,
                } => {
                    let id = subscriber.id.clone();
                    if self.subscribe(roster, subscriber, &view, &snapshot, &batch, ctx) {
                        self.shared.homes.enter(&id, self.shared.number, coming);
                    } else {
                        self.shared.homes.leave(&id, self.shared.number);
                    }
                }
                Order::Unsubscribe(id) => {
                    self.catch_up(roster, &id, &batch);
                    self.forget(roster, &id, ctx);
                }
                Order::Activate(id) => {
                    if roster.is_passive(&id) {
                        self.catch_up(roster, &id, &batch);
                        let due = roster.activate(self.shared.guild, &id);
                        self.count(due.unwrap_or_default());
                        self.shared.meters.activated.increment(1);
                        self.shared.meters.passive.decrement(1.0);
                    }
                }
                Order::Views(views) => {
                    for (user, view) in &*views {
                        for id in roster.of(*user) {
                            self.catch_up(roster, &id, &batch);
                            roster.set_view(&id, view);
                        }
                    }
                }
                Order::Remove(user) => {
                    for id in roster.of(user) {
                        self.remove(roster, &id, &batch, ctx);
                    }
                }
                Order::Clear => {
                    for id in roster.ids() {
                        self.remove(roster, &id, &batch, ctx);
                    }
                }
            }
        }
        roster.mend();
        // Nobody is owed anything: a thousand logins are not a thousand walks.
        (!batch.is_empty()).then(|| roster.prepare(batch))
    }

    fn publish(&self, roster: &mut Roster, event: Arc<Encoded>, batch: &mut Vec<Item>) {
        if let Some(latest) = &event.latest
            && !roster.note(latest)
        {
            batch.extend(self.digest_of(roster));
            roster.note(latest);
        }
        batch.push(Item::Event(event));
    }

    /// What passive sessions are to be told of the channels that have moved; they have been, then.
    fn digest_of(&self, roster: &mut Roster) -> Option<Item> {
        let digest = roster.digest(self.shared.guild)?;
        let made = digest.len() as u64;
        self.shared.meters.passive_updates.increment(made);
        Some(Item::Digest(Arc::new(digest)))
    }

    /// A batch of the digest alone, if there is anything to tell.
    fn make_digest(&self) -> Option<Arc<Batch>> {
        let mut roster = self.shared.roster.lock();
        roster.break_up();
        let digest = self.digest_of(&mut roster);
        roster.mend();
        Some(roster.prepare(vec![digest?]))
    }

    /// Sees to it that what there is to tell passive sessions is told in time.
    fn time_digest(&mut self, ctx: &mut Context<Self>) {
        if self.digest.is_none() && self.shared.roster.lock().has_changes() {
            let wait = self.shared.passive_update_every;
            self.digest = Some(ctx.send_after(wait, Message::Digest));
        }
    }

    fn count(&self, appended: Appended) {
        self.shared
            .meters
            .dispatched(appended.events, appended.bytes);
    }

    /// Whether the session listens; else it is closed.
    fn subscribe(
        &self,
        roster: &mut Roster,
        subscriber: Subscriber,
        view: &Arc<View>,
        snapshot: &[Arc<Encoded>],
        batch: &[Item],
        ctx: &mut Context<Self>,
    ) -> bool {
        let (user, intents) = (subscriber.user, subscriber.intents);
        let wanted = snapshot
            .iter()
            .filter_map(|event| Some((event, event.body_for(user, intents)?)));
        // A session that is here already keeps its order: what it is owed comes before.
        self.catch_up(roster, &subscriber.id, batch);
        let appended = subscriber.outbox.append_many(wanted);
        if appended.closed {
            self.forget(roster, &subscriber.id, ctx);
            return false;
        }
        self.count(appended);
        let anchor = ctx.parent().unwrap_or(ctx.pid());
        self.tell(ctx.node(), subscriber.pid, |guild| {
            session::Message::Joined {
                guild,
                relay: anchor,
            }
        });
        let monitor = ctx.monitor(subscriber.pid);
        if let Some(old) = roster.watched_by(subscriber.id.clone(), monitor) {
            ctx.demonitor(old, true);
        }
        let passive = roster.passive();
        if !roster.add(subscriber, view, batch.len()) {
            self.shared.meters.subscriptions.increment(1.0);
        }
        let change = roster.passive() as f64 - passive as f64;
        self.shared.meters.passive.increment(change);
        true
    }

    fn catch_up(&self, roster: &mut Roster, id: &SessionId, batch: &[Item]) {
        let appended = roster.catch_up_one(id, batch);
        self.count(appended);
    }

    /// The user is out of the guild: what came before is still theirs, then the session is told.
    fn remove(&self, roster: &mut Roster, id: &SessionId, batch: &[Item], ctx: &mut Context<Self>) {
        self.catch_up(roster, id, batch);
        if let Some(pid) = self.forget(roster, id, ctx) {
            let anchor = ctx.parent().unwrap_or(ctx.pid());
            self.tell(ctx.node(), pid, |guild| session::Message::Left {
                guild,
                relay: anchor,
            });
        }
    }

    fn forget(&self, roster: &mut Roster, id: &SessionId, ctx: &mut Context<Self>) -> Option<Pid> {
        let subscriber = roster.remove(id)?;
        self.shared.homes.leave(id, self.shared.number);
        if let Some(monitor) = roster.unwatch(id) {
            ctx.demonitor(monitor, true);
        }
        let passive = f64::from(u8::from(subscriber.passive));
        self.shared.meters.passive.decrement(passive);
        self.shared.meters.subscriptions.decrement(1.0);
        Some(subscriber.pid)
    }

    fn tell(&self, node: &Node, session: Pid, message: impl FnOnce(GuildId) -> session::Message) {
        if let Some(session) = node.server_ref::<Session>(session) {
            session.cast(message(self.shared.guild));
        }
    }
}

#[cfg(test)]
mod tests;
