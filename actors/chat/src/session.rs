//! The Session process: one per login, outlives its socket.
//!
//! ```text
//!  gateway ──login, resume──▶ [Session] ──subscribe──▶ Guild ──▶ Relay
//!     ▲  Attached                │ owns                           │
//!     └──── Transport ◀──────  Outbox  ◀────── append_many ───────┘
//! ```
//!
//! * Started by [`login()`] as a temporary child of the sessions' supervisor: nobody restarts it,
//!   because what it owes its client is gone with it.
//! * However it ends, its connection is closed with op 9, `d: false` (unless the client left or was
//!   told something else), its guilds and presence forget it, and its place is free again.
//! * It calls the data service when it begins only; guilds are asked by a task of its own, so that
//!   it always answers at once.
//! * It watches the relays of its guilds: when one dies, events may be lost, so the session ends
//!   honestly. Without a connection it waits for RESUME for `ChatConfig::resume_window`.
//! * Its mailbox holds at most [`MAILBOX_MAX`] messages; more are refused and counted, which can
//!   delay a presence or a joined guild, never an event: those do not pass through it.
//! * Next hop: [`outbox`] for events, [`crate::guild`] for subscriptions.

use std::sync::Arc;
use std::time::Instant;

use metrics::counter;
use model::intents::Intents;
use model::presence::Presence;
use model::{GuildId, UserId};
use otp::{Context, ExitReason, GenServer, Info, Init, Next, TimerRef};

use crate::chat::Chat;
use crate::error::{ChatError, Result};
use crate::guild;
use crate::presence::limit::UpdateLimit;
use crate::relay::SessionId;

pub mod dispatch;
mod guilds;
mod interest;
mod listening;
pub mod login;
pub mod members;
mod message;
pub mod outbox;
mod ready;
pub mod recorder;
pub mod registry;
pub mod replay;
pub mod transport;

pub use crate::presence::Platform;
use guilds::Guilds;
pub use interest::{GuildSubscription, ListRanges};
pub use login::{Attached, Login, login, resume};
pub use message::{Message, Resumed, SessionArgs};
pub use outbox::ResumeError;
use outbox::{Notice, Outbox};
use registry::Place;
pub use registry::Sessions;
use transport::{Close, Transport};

/// Most messages waiting for a session process.
pub const MAILBOX_MAX: usize = 10_000;

/// Members of a guild above which people's sessions are passive there until their client subscribes
/// to something in it, unless [`crate::chat::ChatConfig::passive_members_min`] says otherwise
/// (unofficial documentation of user clients: smaller guilds are never passive).
pub const PASSIVE_MEMBERS_MIN: usize = 250;

/// Guilds a session asks for at the same time when it begins.
pub const SUBSCRIBES_AT_ONCE: usize = 8;

// ── Client ────────────────────────────────────────────────────────────────────────────────────

/// A user became a member of a guild: its sessions of the guild's shard get GUILD_CREATE and what
/// comes after it.
pub(crate) async fn joined(chat: &Chat, user: UserId, guild: GuildId) {
    for session in chat.sessions().of(user) {
        session.cast(Message::Join(guild));
    }
}

/// An event for all sessions of a user on this node, those that wait for RESUME too.
pub(crate) fn tell_user(
    chat: &Chat,
    user: UserId,
    name: &'static str,
    intents: Intents,
    data: &serde_json::Value,
) {
    let sessions = chat.sessions().of(user);
    if sessions.is_empty() {
        return;
    }
    let event = ready::own(name, intents, data);
    for session in sessions {
        session.cast(Message::Tell(Arc::clone(&event)));
    }
}

/// How many sessions this node has, parked ones too.
pub fn count(chat: &Chat) -> usize {
    chat.sessions().count()
}

/// Ends every session of a user with close code 4004, because its tokens are void.
pub fn revoke(chat: &Chat, user: UserId) {
    chat.sessions().revoke(user);
}

// ── Server ────────────────────────────────────────────────────────────────────────────────────

/// What of a login matters for as long as the session lives.
#[derive(Debug, Clone, Copy)]
struct Who {
    user: UserId,
    bot: bool,
    intents: Intents,
    shard: Option<(u32, u32)>,
    large_threshold: u64,
    platform: Platform,
    mobile: bool,
}

impl Who {
    fn of(login: &Login) -> Self {
        let user = &login.account.user;
        Self {
            user: user.id,
            bot: user.bot,
            intents: login.intents,
            shard: login.shard,
            large_threshold: login.large_threshold,
            platform: login.platform,
            mobile: login.mobile,
        }
    }

    /// Whether a guild is of the session's shard.
    fn has_guild(&self, guild: GuildId) -> bool {
        login::on_shard(self.shard, guild)
    }
}

/// The session process.
pub struct Session {
    chat: Chat,
    id: SessionId,
    who: Who,
    /// Taken by the first connection, which is told all of it in READY.
    login: Option<Box<Login>>,
    outbox: Arc<Outbox>,
    guilds: Guilds,
    /// Runs while there is no connection.
    window: Option<TimerRef>,
    presence_limit: UpdateLimit,
    presence_waiting: Option<Presence>,
    /// What the client is told at the end; `None` when it knows.
    farewell: Option<Close>,
    _place: Place,
}

impl GenServer for Session {
    type Args = SessionArgs;
    type Message = Message;

    async fn init(args: SessionArgs, ctx: &mut Context<Self>) -> Init<Self> {
        let me = ctx.self_ref();
        args.outbox
            .set_owner(move |notice| me.cast(Message::Notice(notice)));
        args.chat
            .sessions()
            .enter(args.login.account.user.id, args.id.clone());
        counter!("guildhall_sessions_started_total").increment(1);
        // If whoever logs in goes away before the first connection, nothing else would end it.
        let window = ctx.send_after(
            args.chat.config().resume_window,
            Message::Expire { generation: 0 },
        );
        Init::Ok(Self {
            chat: args.chat,
            id: args.id,
            who: Who::of(&args.login),
            login: Some(args.login),
            outbox: args.outbox,
            guilds: Guilds::default(),
            window: Some(window),
            presence_limit: UpdateLimit::default(),
            presence_waiting: None,
            farewell: Some(Close::InvalidSession { resumable: false }),
            _place: args.place,
        })
    }

    async fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Next<Self> {
        match message {
            Message::Begin { transport, from } => {
                let begun = self.begin(transport, ctx).await;
                let failed = begun.is_err();
                from.reply(begun);
                if failed {
                    return self.over(None, "begin");
                }
            }
            Message::Resume {
                user,
                seq,
                transport,
                from,
            } => from.reply(self.resume(user, seq, transport, ctx)),
            Message::Notice(Notice::Detached { generation }) => self.parked(generation, ctx),
            Message::Notice(Notice::Lost) => return self.over(None, "replay"),
            Message::Expire { generation } => {
                if self.outbox.connection() == (generation, false) {
                    return self.over(None, "window");
                }
            }
            Message::Disconnect { why, from } => {
                self.outbox.disconnect(why);
                from.reply(());
            }
            Message::End(farewell) => return self.over(farewell, "client"),
            Message::SetPresence(presence) => self.set_presence(presence, ctx),
            Message::PresenceDue => {
                if let Some(presence) = self.presence_waiting.take() {
                    self.set_presence(presence, ctx);
                }
            }
            Message::Tell(event) => drop(self.outbox.append(&event)),
            Message::Join(guild) => {
                if self.who.has_guild(guild) {
                    let then = self.guilds.rejoined(guild);
                    self.carry_on(guild, then, ctx);
                }
            }
            Message::Retry {
                guild,
                newly_joined,
            } => {
                if self.guilds.is_retrying(guild) {
                    self.subscribe(vec![guild], newly_joined, ctx);
                }
            }
            Message::Subscribed {
                guild,
                newly_joined,
                answer,
            } => {
                self.subscribed(guild, newly_joined, answer, ctx);
                return self.rest();
            }
            Message::Joined { guild, relay } => {
                self.guilds.joined(guild);
                self.guilds.served(guild, relay, || ctx.monitor(relay));
                self.pass_on(guild, ctx);
                return self.rest();
            }
            Message::Interest(subscriptions) => self.interested(subscriptions, ctx),
            Message::Activated { guild, answer } => self.activated(guild, answer, ctx),
            Message::Remind(guild) => self.pass_on(guild, ctx),
            Message::Lost { guild } => return self.gap(guild),
            Message::Left { guild, .. } => {
                let then = self.guilds.left(guild);
                self.carry_on(guild, then, ctx);
            }
        }
        Next::Go
    }

    async fn handle_info(&mut self, info: Info, _ctx: &mut Context<Self>) -> Next<Self> {
        if let Info::Down { monitor, .. } = info
            && let Some(guild) = self.guilds.watched(monitor)
        {
            return self.gap(guild);
        }
        Next::Go
    }
}

impl Session {
    fn user(&self) -> UserId {
        self.who.user
    }

    async fn begin(
        &mut self,
        transport: Arc<dyn Transport>,
        ctx: &mut Context<Self>,
    ) -> Result<u64> {
        let mut guilds = self.chat.data().guilds_of(self.user()).await?;
        let read_states = if self.who.bot {
            None
        } else {
            let (chat, user) = (&self.chat, self.user());
            Some(chat.read_states().of(chat.data(), user).await?)
        };
        let Some(mut login) = self.login.take() else {
            return Err(ChatError::Internal("a session begins once".into()));
        };
        guilds.retain(|guild| self.who.has_guild(*guild));
        self.cancel_window(ctx);
        let ready = ready::ready(&login, &self.id, &guilds, read_states.as_deref());
        let generation = self.outbox.attach(transport, 0, &ready).map_err(|error| {
            ChatError::Internal(format!("a new session cannot be refused: {error}"))
        })?;
        let presence = login.presence.take().unwrap_or_default();
        self.set_presence(presence, ctx);
        // What joined while this was read is in the mailbox: by now the session has it already.
        self.subscribe(guilds, false, ctx);
        Ok(generation)
    }

    fn resume(
        &mut self,
        user: UserId,
        seq: u64,
        transport: Arc<dyn Transport>,
        ctx: &mut Context<Self>,
    ) -> std::result::Result<Resumed, ResumeError> {
        if user != self.user() {
            return Err(ResumeError::Unknown);
        }
        let generation = self.outbox.attach(transport, seq, &ready::resumed())?;
        self.cancel_window(ctx);
        counter!("guildhall_sessions_resumed_total").increment(1);
        Ok(Resumed {
            generation,
            outbox: Arc::clone(&self.outbox),
            intents: self.who.intents,
            shard: self.who.shard,
            mobile: self.who.mobile,
        })
    }

    /// The connection of this generation is gone: the resume window opens, unless another one has
    /// taken over.
    fn parked(&mut self, generation: u64, ctx: &mut Context<Self>) {
        if self.outbox.connection() != (generation, false) {
            return;
        }
        self.cancel_window(ctx);
        let window = self.chat.config().resume_window;
        self.window = Some(ctx.send_after(window, Message::Expire { generation }));
        counter!("guildhall_sessions_parked_total").increment(1);
    }

    fn cancel_window(&mut self, ctx: &mut Context<Self>) {
        if let Some(window) = self.window.take() {
            ctx.cancel(window);
        }
    }

    /// When all guilds are there most sessions have nothing to do for long: they should be small.
    fn rest(&self) -> Next<Self> {
        if self.guilds.is_settled() {
            Next::Hibernate
        } else {
            Next::Go
        }
    }

    /// Ends the session; `why` is for the metrics.
    fn over(&mut self, farewell: Option<Close>, why: &'static str) -> Next<Self> {
        self.farewell = farewell;
        counter!("guildhall_sessions_ended_total", "why" => why).increment(1);
        Next::Stop(ExitReason::Normal)
    }

    /// Events of a guild were lost: the client is told so, never left with a silent gap.
    fn gap(&mut self, guild: GuildId) -> Next<Self> {
        tracing::info!(session = %self.id, %guild, "events were lost: the session cannot go on");
        self.over(Some(Close::InvalidSession { resumable: false }), "relay")
    }

    fn set_presence(&mut self, presence: Presence, ctx: &mut Context<Self>) {
        match self.presence_limit.take(Instant::now()) {
            Ok(()) => {
                let (user, platform) = (self.user(), self.who.platform);
                self.chat
                    .presences()
                    .set(&self.chat, user, self.id.clone(), platform, presence);
            }
            Err(wait) => {
                if self.presence_waiting.replace(presence).is_none() {
                    ctx.send_after(wait, Message::PresenceDue);
                } else {
                    counter!("guildhall_presence_coalesced_total").increment(1);
                }
            }
        }
    }
}

impl Drop for Session {
    /// Runs however the process ends, a kill included.
    fn drop(&mut self) {
        self.outbox.close(self.farewell);
        let user = self.user();
        for guild in self.guilds.ids() {
            guild::unsubscribe(&self.chat, guild, self.id.clone());
        }
        self.chat.sessions().leave(user, &self.id);
        self.chat.presences().gone(user, &self.id);
    }
}
