//! The Guild process: one per guild, orders everything in it.
//!
//! ```text
//! gateway ──command──▶ [Guild] ──effects──▶ Lane ──durable──▶ Relay ──▶ Outbox × n
//!                         │ one at a time; GuildState decides, the batch goes to the store at once
//! ```
//!
//! * Started on demand by [`Guilds`], with its lane and its relay, as a family ([`family`]).
//! * When it dies its supervisor starts it again: it waits until its lane is empty and loads from
//!   the store all but the members, which are in the [member table](mod@members). If it finds that
//!   table gone, it ends without an answer: its keeper has died, and the next fills another. A request it had not handed to the lane was not applied and is asked again by
//!   `execute`; one it had handed over is answered by the lane. No session is lost.
//! * How it is asked: `guild/client/ask.rs`; what it is sent: [`Message`]; what it does with that:
//!   `guild/requests.rs`, and with what was decided: `guild/hand_over.rs`.
//! * It claims the guild before it reads it, and writes under that claim ([`ownership`]): of two nodes
//!   on one store one is fenced off, and its family ends.
//! * It calls the lane (to wait until it is empty) and the data service (to load); nothing else.
//! * Its mailbox holds [`MAILBOX_MAX`] requests, further ones get [`ChatError::Busy`]; so do
//!   requests while the lane or the relay is full.
//! * Next hop: [`lane`].

pub mod command;
pub mod state;
pub mod ownership;
pub mod lane;
pub mod list;
pub mod family;
pub mod keeper;
pub mod members;
pub mod walk;
mod message;
mod load;
mod requests;
mod hand_over;
mod reply;
mod client;

use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, histogram};
use otp::{Context, ExitReason, GenServer, Info, Init, Next, ServerRef};
use storage::StoreError;

pub use client::*;
pub use family::Guilds;
pub use message::{Message, Watch};
pub use reply::Reply;
pub use state::SnapshotWants;

use family::Family;
use lane::{Lane, Settle};
use list::shape::Shape;
use ownership::Ownership;
use state::{GuildState, SharedCreates};

use crate::chat::Chat;
use crate::error::{ChatError, Missing};
use crate::relay::Order;

/// Most requests waiting for a guild; further ones get [`ChatError::Busy`]. Gauge: the mailbox
/// metrics of the runtime, kind `guild`.
pub const MAILBOX_MAX: usize = 10_000;

/// How long a request may take in all before its caller is told that the outcome is unknown.
pub const CALL_LIMIT: Duration = Duration::from_secs(10);

/// How often a request is asked again that was certainly not applied (its guild died before).
pub const ATTEMPTS_MAX: usize = 5;

/// How long the process of a guild that is not there (any more) stays to say so.
pub const GONE_LINGER: Duration = Duration::from_secs(10);

/// How long a guild waits before it tries again to load, when the store did not answer.
pub const LOAD_RETRY: Duration = Duration::from_millis(500);

/// How long a guild without member table waits for the keeper of it to have ended, before it ends itself.
const KEEPER_EXIT_LIMIT: Duration = Duration::from_secs(1);

/// Channels whose latest messages are looked through for nonces after a restart, latest first.
pub const NONCE_CHANNELS_MAX: usize = 50;

/// Members read from the store at once to fill the member table.
pub const FILL_PAGE_MAX: usize = 4_096;

/// Latest messages per channel looked through for nonces after a restart.
pub const NONCE_MESSAGES_MAX: usize = 100;

// ── Server ────────────────────────────────────────────────────────────────────────────────────

/// What a guild process is started with.
pub struct GuildArgs {
    pub(crate) chat: Chat,
    pub(crate) family: Arc<Family>,
}

/// The guild process.
pub struct GuildServer {
    chat: Chat,
    family: Arc<Family>,
    lane: ServerRef<Lane>,
    /// Which load of the guild this is; jobs carry it, see [`Family`].
    generation: u64,
    /// Turns of this load that were handed to the lane.
    decided: u64,
    /// For the member lists, until it changes.
    shape: Option<Arc<Shape>>,
    phase: Phase,
    /// Under what it writes.
    ownership: Ownership,
    creates: SharedCreates,
}

enum Phase {
    /// Not loaded: the store did not answer, or a commit failed and memory is ahead of the store.
    Unloaded,
    Running(Box<GuildState>),
    /// There is no such guild, or no more.
    Gone,
    /// The node is stopping.
    Draining,
}

impl GenServer for GuildServer {
    type Args = GuildArgs;
    type Message = Message;

    async fn init(args: GuildArgs, _ctx: &mut Context<Self>) -> Init<Self> {
        let GuildArgs { chat, family } = args;
        let Some(lane) = family.lane() else {
            return Init::Stop(ExitReason::Error("the lane does not run".into()));
        };
        // Loading may take a while, and the supervisor that starts us must not wait for it.
        let server = Self {
            chat,
            family,
            lane,
            generation: 0,
            decided: 0,
            shape: None,
            phase: Phase::Unloaded,
            ownership: Err(StoreError::NotApplied("not loaded".to_owned())),
            creates: SharedCreates::default(),
        };
        Init::Continue(server, Message::Load)
    }

    async fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Next<Self> {
        if !matches!(message, Message::Load | Message::Drain(_))
            && !matches!(self.phase, Phase::Draining)
            && self.family.has_failed(self.generation)
            && let Err(reason) = self.load(ctx).await
        {
            return Next::Stop(reason);
        }
        match message {
            Message::Load if matches!(self.phase, Phase::Unloaded) => {
                if let Err(reason) = self.load(ctx).await {
                    return Next::Stop(reason);
                }
            }
            Message::Load => {}
            Message::Execute {
                actor,
                command,
                reply,
            } => {
                let began = std::time::Instant::now();
                self.execute(actor, *command, reply);
                histogram!("guildhall_guild_command_seconds").record(began.elapsed());
            }
            Message::Subscribe {
                subscriber,
                wants,
                reply,
            } => self.subscribe(*subscriber, wants, reply),
            Message::Unsubscribe(session) => {
                self.hand_over(
                    vec![lane::Step::Order(Order::Unsubscribe(session))],
                    None,
                    Vec::new(),
                    Settle::Nothing,
                );
            }
            Message::Activate { session, reply } => {
                if self.ready().is_none() {
                    reply.send(Err(self.refusal()));
                } else {
                    let order = lane::Step::Order(Order::Activate(session));
                    self.hand_over(vec![order], None, Vec::new(), Settle::Nothing);
                    reply.send(Ok(()));
                }
            }
            Message::Presence {
                user,
                presence,
                client_status,
            } => self.presence(user, presence, client_status),
            Message::Watch { watch, reply } => self.watch(*watch, reply),
            Message::Drain(from) => {
                self.phase = Phase::Draining;
                // If the lane is gone there is nothing left to settle.
                let _ = self.lane.call_infinity(lane::Message::Barrier).await;
                from.reply(());
            }
        }
        if let Phase::Running(state) = &self.phase
            && state.lost_members()
        {
            return Next::Stop(self.without_members().await);
        }
        if matches!(self.phase, Phase::Gone) {
            Next::Timeout(GONE_LINGER)
        } else {
            Next::Go
        }
    }

    async fn handle_info(&mut self, info: Info, _ctx: &mut Context<Self>) -> Next<Self> {
        match info {
            // Nobody asked any more for a guild that is not there: the family ends with this.
            Info::Timeout if matches!(self.phase, Phase::Gone) => {
                self.chat.guilds().count_without_one();
                Next::Stop(ExitReason::Normal)
            }
            _ => Next::Go,
        }
    }
}

impl GuildServer {
    /// What the member lists need to know of the guild, made anew only when it has changed.
    pub(super) fn shape(&mut self) -> Option<Arc<Shape>> {
        if let (None, Phase::Running(state)) = (&self.shape, &self.phase) {
            self.shape = Some(Arc::new(state.shape()));
        }
        self.shape.clone()
    }

    /// The state, if a request can be taken on now.
    fn ready(&mut self) -> Option<&mut GuildState> {
        if self.is_full() {
            return None;
        }
        match &mut self.phase {
            Phase::Running(state) => Some(state),
            _ => None,
        }
    }

    fn is_full(&self) -> bool {
        self.lane.mailbox_len() >= lane::DEPTH_MAX || self.family.relays().is_full()
    }

    /// Why [`Self::ready`] said no.
    fn refusal(&self) -> ChatError {
        match self.phase {
            Phase::Gone => ChatError::NotFound(Missing::Guild),
            Phase::Running(_) => {
                counter!("guildhall_guild_busy_total").increment(1);
                ChatError::Busy
            }
            Phase::Unloaded | Phase::Draining => ChatError::Unavailable,
        }
    }
}

#[cfg(test)]
mod tests;
