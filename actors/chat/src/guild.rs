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
mod reply;
mod client;

use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, histogram};
use model::presence::{ClientStatus, Presence};
use model::{ChannelId, GuildId, UserId};
use otp::{Context, ExitReason, GenServer, Info, Init, Next, Pid, SendError, ServerRef};
use storage::StoreError;
use tokio::time::Instant;

pub use client::*;
pub use family::Guilds;
pub use message::{Message, Watch};
pub use reply::Reply;
pub use state::SnapshotWants;

use command::{Actor, Answer, Command};
use family::Family;
use lane::{Job, Lane, Settle};
use list::shape::Shape;
use ownership::Ownership;
use state::{Effect, GuildState, SharedCreates, Turn};

use crate::chat::Chat;
use crate::clock;
use crate::error::{ChatError, Missing, Result};
use crate::relay::{Order, SessionId, Subscriber};
use crate::session::outbox::Outbox;

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

// ── Client ────────────────────────────────────────────────────────────────────────────────────

/// Asks a guild, which is started if it does not run. Asked again when it certainly did not begin.
///
/// # Errors
/// As the rules of [`state`] say. [`Missing::Guild`]: there is no such guild.
/// [`ChatError::Busy`], [`ChatError::Unavailable`], [`ChatError::NotApplied`], [`ChatError::TooLarge`],
/// [`ChatError::Full`], [`ChatError::Broken`]: nothing was changed.
/// [`ChatError::Unknown`]: it may have been.
pub(crate) async fn execute(
    chat: &Chat,
    guild: GuildId,
    actor: Actor,
    command: Command,
) -> Result<Answer> {
    ask(chat, guild, |reply| Message::Execute {
        actor,
        command: Box::new(command.clone()),
        reply,
    })
    .await
}

/// A session listens to a guild from here on: it gets GUILD_CREATE and then every event its user
/// may see. Answers the relay to monitor: when that dies the subscription is gone.
///
/// # Errors
/// [`Missing::Guild`] when the user is no member; otherwise as `execute`.
pub async fn subscribe(
    chat: &Chat,
    guild: GuildId,
    subscriber: Subscriber,
    wants: SnapshotWants,
) -> Result<Pid> {
    ask(chat, guild, |reply| Message::Subscribe {
        subscriber: Box::new(subscriber.clone()),
        wants,
        reply,
    })
    .await
}

/// A session listens no more. Returns at once; a guild that does not run has nobody to forget.
pub fn unsubscribe(chat: &Chat, guild: GuildId, session: SessionId) {
    if let Some(server) = chat.guilds().lookup(guild) {
        server.cast(Message::Unsubscribe(session));
    }
}

/// A session of a subscribed user gets everything from here on, if it was passive.
///
/// # Errors
/// As `execute`; it stays as it was.
pub(crate) async fn activate(chat: &Chat, guild: GuildId, session: SessionId) -> Result<()> {
    ask(chat, guild, |reply| Message::Activate {
        session: session.clone(),
        reply,
    })
    .await
}

/// A session watches parts of the member lists of some channels from here on, instead of what it
/// watched before in this guild; no channels: it watches nothing. Each range is of positions in the
/// list, both ends included. Returns at once; the lists arrive as GUILD_MEMBER_LIST_UPDATE in
/// `outbox`. Ends when the session listens to the guild no more.
pub(crate) fn watch_members(
    chat: &Chat,
    guild: GuildId,
    session: SessionId,
    user: UserId,
    channels: Vec<(ChannelId, Vec<(u32, u32)>)>,
    outbox: Arc<Outbox>,
) {
    let watch = Watch {
        number: chat.guilds().next_watch(),
        session,
        user,
        channels,
        outbox,
    };
    let chat = chat.clone();
    // A guild that is being started again is waited for.
    tokio::spawn(async move {
        let asked = ask(&chat, guild, |reply| Message::Watch {
            watch: Box::new(watch.clone()),
            reply,
        });
        if let Err(error) = asked.await {
            tracing::debug!(%guild, %error, "a member list is not watched");
        }
    });
}

/// A member's presence changed (`None` = offline). Returns at once; a guild that does not run
/// reads the presences of its members when it starts.
pub fn cast_presence(
    chat: &Chat,
    guild: GuildId,
    user: UserId,
    presence: Option<Presence>,
    client_status: ClientStatus,
) {
    if let Some(server) = chat.guilds().lookup(guild) {
        server.cast(Message::Presence {
            user,
            presence,
            client_status,
        });
    }
}

async fn ask<T>(chat: &Chat, guild: GuildId, request: impl Fn(Reply<T>) -> Message) -> Result<T> {
    let deadline = Instant::now() + CALL_LIMIT;
    let mut attempts = 0;
    while attempts < ATTEMPTS_MAX {
        let server = chat.guilds().running(chat, guild, deadline).await?;
        let (reply, answer) = Reply::new();
        match server.try_cast(request(reply)) {
            Ok(()) => {}
            Err(SendError::NoProc(_)) => {
                // It is ending, and is found under its key until it has ended.
                let ended = tokio::time::timeout_at(deadline, server.wait_for_exit()).await;
                if ended.is_err() {
                    break;
                }
                continue;
            }
            // In both cases nothing was sent.
            Err(SendError::Full(_) | SendError::NodeDown(_)) => return Err(ChatError::Busy),
        }
        match tokio::time::timeout_at(deadline, answer).await {
            Ok(Ok(answer)) => return answer,
            // Dropped: the guild ended before it began with the request.
            Ok(Err(_)) => counter!("guildhall_guild_asked_again_total").increment(1),
            Err(_) => {
                return Err(ChatError::Unknown(
                    "the guild did not answer in time".to_owned(),
                ));
            }
        }
        attempts += 1;
    }
    Err(ChatError::Unavailable)
}

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
    fn execute(&mut self, actor: Actor, command: Command, reply: Reply<Answer>) {
        counter!("guildhall_guild_commands_total", "command" => command.name()).increment(1);
        let chat = self.chat.clone();
        let (number, settled) = (self.decided + 1, self.family.settled());
        let Some(state) = self.ready() else {
            return reply.send(Err(self.refusal()));
        };
        let joining = match &command {
            Command::AddMember(user) => Some(user.id),
            _ => None,
        };
        let mut turn = Turn::new(clock::now_ms(), chat.ids()).numbered(number, settled);
        let answer = state.apply(&mut turn, actor, command);
        if state.lost_members() {
            // Dropped, the request is asked again.
            return;
        }
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return reply.send(Err(error)),
        };
        // Permissions are answered at once: a revoke counts before it is durable, and a grant that
        // fails to become durable shows nothing but what was durable already.
        // Members are read where only durable ones are.
        if matches!(
            answer,
            Answer::Permissions(_) | Answer::Look(_) | Answer::Readable(_)
        ) {
            return reply.send(Ok(answer));
        }
        if let Some(user) = joining
            && let Some((presence, client_status)) = chat.presences().of(user)
        {
            let command = Command::SetPresence {
                user,
                presence: Some(presence),
                client_status,
            };
            // The rules refuse no presence.
            let _ = state.apply(&mut turn, Actor::System, command);
        }
        if state.lost_members() {
            return;
        }
        let deleted = state.is_deleted();
        let reader = match actor {
            Actor::User(user) => Some(user),
            Actor::System => None,
        };
        self.submit(
            turn.effects,
            Settle::Answer {
                reply,
                answer: Box::new(answer),
                reader,
            },
        );
        if deleted {
            self.phase = Phase::Gone;
        }
    }

    fn subscribe(
        &mut self,
        mut subscriber: Subscriber,
        mut wants: SnapshotWants,
        reply: Reply<Pid>,
    ) {
        let passive_members_min = self.chat.config().passive_members_min;
        let listeners = self.family.relays().listeners().clone();
        if self.ready().is_none() {
            return reply.send(Err(self.refusal()));
        }
        let Phase::Running(state) = &mut self.phase else {
            return reply.send(Err(self.refusal()));
        };
        let user = subscriber.user;
        // From here on it is told of other views.
        let coming = listeners.expect(user);
        let view = state.view_of(user);
        if state.lost_members() {
            return;
        }
        let Some(view) = view else {
            return reply.send(Err(ChatError::NotFound(Missing::Guild)));
        };
        // Decided once: a session does not become passive because the guild grows.
        subscriber.passive &= state.member_count() > passive_members_min;
        if subscriber.passive {
            state.listens(user);
        }
        // A passive session is told of no changes of other members and presences, so a list of them
        // would be wrong from the start. It would also be another one for each who logs in: its
        // client asks for the parts of the member list it shows (op 14, op 37).
        wants.members_and_presences &= !subscriber.passive;
        // Making GUILD_CREATE costs; it is not made for sessions that did not ask for it.
        let wanted = subscriber.intents.contains(model::intents::Intents::GUILDS);
        let creates = &mut self.creates;
        let snapshot = wanted
            .then(|| creates.guild_create(state, user, &view, wants, clock::now_ms()))
            .flatten();
        if state.lost_members() {
            return;
        }
        let snapshot = snapshot.into_iter().map(Arc::new).collect();
        let order = Order::Subscribe {
            subscriber,
            view,
            snapshot,
            coming: Some(coming),
        };
        self.hand_over(
            vec![lane::Step::Order(order)],
            None,
            Vec::new(),
            Settle::Subscribed(reply),
        );
    }

    fn watch(&mut self, mut watch: Watch, reply: Reply<()>) {
        let Some(state) = self.ready() else {
            return reply.send(Err(self.refusal()));
        };
        let user = watch.user;
        watch
            .channels
            .retain(|(channel, _)| state.may_view(user, *channel));
        if state.lost_members() {
            return;
        }
        if let Some(shape) = self.shape() {
            let step = lane::Step::Watch(Arc::new(watch), shape);
            self.hand_over(vec![step], None, Vec::new(), Settle::Nothing);
            reply.send(Ok(()));
        }
    }

    /// What the member lists need to know of the guild, made anew only when it has changed.
    pub(super) fn shape(&mut self) -> Option<Arc<Shape>> {
        if let (None, Phase::Running(state)) = (&self.shape, &self.phase) {
            self.shape = Some(Arc::new(state.shape()));
        }
        self.shape.clone()
    }

    fn presence(&mut self, user: UserId, presence: Option<Presence>, client_status: ClientStatus) {
        let Phase::Running(state) = &mut self.phase else {
            return;
        };
        let mut turn = Turn::new(clock::now_ms(), self.chat.ids());
        let command = Command::SetPresence {
            user,
            presence,
            client_status,
        };
        // The rules refuse no presence.
        let _ = state.apply(&mut turn, Actor::System, command);
        if !state.lost_members() && !turn.effects.is_empty() {
            self.submit(turn.effects, Settle::Nothing);
        }
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

    /// Sends the writes to the store and everything else to the lane, at once: nothing can come
    /// between the two.
    fn submit(&mut self, effects: Vec<Effect>, settle: Settle) {
        self.creates.changed(&effects);
        let (mut writes, mut members) = (Vec::new(), Vec::new());
        let mut steps = Vec::with_capacity(effects.len());
        for effect in effects {
            match effect {
                Effect::Write(write) => writes.push(write),
                Effect::Member(change) => members.push(change),
                Effect::Seen(user) => steps.push(lane::Step::Seen(user)),
                Effect::Publish(event) => {
                    steps.push(lane::Step::Order(Order::Publish(Arc::new(event))))
                }
                Effect::PublishUpdate {
                    channel,
                    message,
                    member,
                    answers,
                } => {
                    steps.push(lane::Step::Update {
                        channel,
                        message,
                        member,
                        answers,
                    });
                }
                Effect::Show(channel, message) => steps.push(lane::Step::Show(channel, message)),
                Effect::Views(views) => steps.push(lane::Step::Order(Order::Views(views.into()))),
                Effect::Remove(user) => steps.push(lane::Step::Order(Order::Remove(user))),
                Effect::Clear(channels) => {
                    steps.push(lane::Step::Order(Order::Clear));
                    steps.push(lane::Step::Purge(channels));
                }
            }
        }
        if writes.iter().any(lane::may_lose_files) {
            steps.push(lane::Step::Clean);
        }
        if writes.iter().any(list::shape::is_concerned) {
            self.shape = None;
            if self.family.lists().are_watched()
                && let Some(shape) = self.shape()
            {
                steps.push(lane::Step::Shape(shape));
            }
        }
        let commit = (!writes.is_empty()).then(|| self.commit(writes));
        self.hand_over(steps, commit, members, settle);
    }

    fn hand_over(
        &mut self,
        steps: Vec<lane::Step>,
        commit: Option<storage::data_service::Acknowledged>,
        members: Vec<members::Change>,
        settle: Settle,
    ) {
        self.decided += 1;
        let (generation, number) = (self.generation, self.decided);
        let job = Job::new(generation, number, commit, members, steps, settle);
        if let Err(error) = self.lane.try_cast(lane::Message::Job(Box::new(job))) {
            // Only what needs no answer comes here while the lane is full: presence, goodbyes.
            let full = matches!(error, SendError::Full(_));
            counter!("guildhall_lane_refused_total").increment(1);
            tracing::warn!(guild = %self.family.guild(), full, "the lane took no job");
        }
    }
}

#[cfg(test)]
mod tests;
