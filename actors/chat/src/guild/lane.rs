//! The Lane process: one per guild, settles its changes in order.
//!
//! ```text
//! Guild ──batch──▶ store (at once, pipelined)
//!   └─────job────▶ [Lane] wait until durable ─▶ member table ─▶ reply to the caller ─▶ Relay
//! ```
//!
//! * Started by the guild's family supervisor, before relay and guild.
//! * Outlives a crash of the guild: what was handed over is settled, answered and published all
//!   the same, and the guild that starts next waits for that ([`Message::Barrier`]).
//! * When it dies itself, events may be lost; so its supervisor then starts the relay anew as well,
//!   which invalidates the sessions honestly, and the guild.
//! * It calls the data service (to wait for commits and read messages back); it hands orders to
//!   the relay.
//! * Its mailbox is the queue of commits under way: above [`DEPTH_MAX`] the guild refuses requests,
//!   at [`DEPTH_MAX`] + [`DEPTH_SLACK`] it drops what needs no answer. Gauge
//!   `guildhall_lane_jobs`.
//! * Next hop: [`crate::relay`].

use std::sync::Arc;

use metrics::{counter, gauge, histogram};
use model::member::PartialMember;
use model::message::Message as ChatMessage;
use model::{ChannelId, Id, MessageId, UserId};
use otp::{Context, GenServer, Init, Next, Pid};
use storage::data_service::Acknowledged;
use storage::store::Write;

use super::command::Answer;
use super::family::Family;
use super::list::shape::Shape;
use super::members::Change;
use super::message::Watch;
use super::reply::Reply;
use super::state;
use crate::chat::Chat;
use crate::error::{ChatError, Missing, Result};
use crate::relay::Order;
use crate::{files, history};

/// Jobs waiting above which the guild answers [`ChatError::Busy`].
pub const DEPTH_MAX: usize = 4_096;

/// Room above [`DEPTH_MAX`] for what needs no answer: presence, unsubscribing sessions.
pub const DEPTH_SLACK: usize = 4_096;

// ── Messages ──────────────────────────────────────────────────────────────────────────────────

/// What a lane is sent; only its guild does.
#[derive(Debug)]
pub enum Message {
    /// Settle this, after everything before.
    Job(Box<Job>),
    /// Answer when everything before is settled.
    Barrier(otp::From<()>),
}

/// One change on its way: a batch at the store, and what is to be done when it is durable.
#[derive(Debug)]
pub struct Job {
    generation: u64,
    number: u64,
    commit: Option<Acknowledged>,
    /// For the member table, when the batch is durable.
    members: Vec<Change>,
    steps: Vec<Step>,
    settle: Settle,
    _counted: Counted,
}

/// Something to be done when the batch is durable.
#[derive(Debug)]
pub enum Step {
    /// For the relay.
    Order(Order),
    /// Read the message back and publish MESSAGE_UPDATE.
    Update {
        /// Where.
        channel: ChannelId,
        /// Which.
        message: MessageId,
        /// The author's membership.
        member: Option<Box<PartialMember>>,
        /// Whether it is also the answer.
        answers: bool,
    },
    /// The answer is this message as it is now.
    Show(ChannelId, MessageId),
    /// A session watches member lists; the guild's shape for it.
    Watch(Arc<Watch>, Arc<Shape>),
    /// Roles, overwrites or the owner are as in this.
    Shape(Arc<Shape>),
    /// The presence of a member changed.
    Seen(UserId),
    /// Delete the files that lost their message.
    Clean,
    /// Remove the messages of these channels, which are gone with their guild.
    Purge(Vec<ChannelId>),
}

/// Who is told how it went.
#[derive(Debug)]
pub enum Settle {
    /// Nobody.
    Nothing,
    /// The caller of a command.
    Answer {
        /// Its handle.
        reply: Reply<Answer>,
        /// What it gets.
        answer: Box<Answer>,
        /// Whose `me` flags it is shown.
        reader: Option<UserId>,
    },
    /// A session that subscribes gets the pid of the relay.
    Subscribed(Reply<Pid>),
}

impl Job {
    pub(crate) fn new(
        generation: u64,
        number: u64,
        commit: Option<Acknowledged>,
        members: Vec<Change>,
        steps: Vec<Step>,
        mut settle: Settle,
    ) -> Self {
        if commit.is_some()
            && let Settle::Answer { reply, .. } = &mut settle
        {
            reply.submitted();
        }
        Self {
            generation,
            number,
            commit,
            members,
            steps,
            settle,
            _counted: Counted::new(),
        }
    }
}

/// Whether a write may leave a file without its message, so that [`Step::Clean`] is due.
pub(crate) fn may_lose_files(write: &Write) -> bool {
    match write {
        Write::DeleteMessage(..) => true,
        Write::PatchMessage(_, _, patch) => patch.attachments.is_some(),
        _ => false,
    }
}

impl Settle {
    fn refuse(self, error: ChatError) {
        match self {
            Self::Nothing => {}
            Self::Answer { reply, .. } => reply.send(Err(error)),
            Self::Subscribed(reply) => reply.send(Err(error)),
        }
    }
}

/// A job in the gauge of jobs, for as long as it exists.
#[derive(Debug)]
struct Counted;

impl Counted {
    fn new() -> Self {
        gauge!("guildhall_lane_jobs").increment(1.0);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        gauge!("guildhall_lane_jobs").decrement(1.0);
    }
}

// ── Server ────────────────────────────────────────────────────────────────────────────────────

/// What a lane is started with.
pub struct LaneArgs {
    pub(crate) chat: Chat,
    pub(crate) family: Arc<Family>,
}

/// The lane process.
pub struct Lane {
    chat: Chat,
    family: Arc<Family>,
}

impl GenServer for Lane {
    type Args = LaneArgs;
    type Message = Message;

    async fn init(args: LaneArgs, ctx: &mut Context<Self>) -> Init<Self> {
        args.family.lane_is(ctx.self_ref());
        Init::Ok(Self {
            chat: args.chat,
            family: args.family,
        })
    }

    async fn handle(&mut self, message: Message, _ctx: &mut Context<Self>) -> Next<Self> {
        match message {
            Message::Job(job) => self.settle(*job).await,
            Message::Barrier(from) => from.reply(()),
        }
        Next::Go
    }
}

impl Lane {
    async fn settle(&mut self, job: Job) {
        let Job {
            generation,
            number,
            commit,
            members,
            steps,
            settle,
            _counted,
        } = job;
        let changes_members = !members.is_empty();
        let outcome = match commit {
            Some(commit) => {
                let outcome = commit.await.map_err(ChatError::from);
                if outcome.is_ok()
                    && changes_members
                    && let Some(table) = self.family.members()
                {
                    let changed: Vec<UserId> = members.iter().map(|(user, _)| *user).collect();
                    // One that is gone is filled anew, from the store.
                    let _ = table.apply(members);
                    for user in changed {
                        self.family.lists().touch(user);
                    }
                }
                // Before anybody is told: whoever was told looks at what is there now.
                self.family.settled_is(number);
                outcome
            }
            // The answer may show what a failed batch before it left in the guild's memory. Dropped,
            // the request is asked again.
            None if self.family.has_failed(generation) && !matches!(settle, Settle::Nothing) => {
                return;
            }
            None => Ok(()),
        };
        if let Err(error) = outcome {
            if changes_members {
                self.family.doubt_members();
            }
            // A row that was deleted meanwhile fails the batch, but memory is not ahead of it.
            if changes_members || !matches!(error, ChatError::NotFound(_)) {
                self.family.fail(generation);
                counter!("guildhall_lane_failures_total").increment(1);
                let guild = self.family.guild();
                // The store says once that it takes no writes, and why.
                if matches!(error, ChatError::Full(_) | ChatError::Broken(_)) {
                    tracing::debug!(%guild, %error, "a change was refused");
                } else {
                    tracing::warn!(%guild, %error, "a change did not become durable");
                }
            }
            return settle.refuse(error);
        }
        self.finish(steps, settle).await;
    }

    /// Everything is durable: answer, then publish.
    async fn finish(&mut self, steps: Vec<Step>, settle: Settle) {
        let reader = match &settle {
            Settle::Answer { reader, .. } => *reader,
            Settle::Nothing | Settle::Subscribed(_) => None,
        };
        let mut orders = Vec::with_capacity(steps.len());
        let mut shown = None;
        let mut purge = Vec::new();
        for step in steps {
            match step {
                Step::Order(order) => {
                    let lists = self.family.lists();
                    match &order {
                        Order::Unsubscribe(session) => lists.unwatch(session),
                        Order::Remove(user) => lists.remove(*user),
                        Order::Clear => lists.clear(),
                        _ => {}
                    }
                    orders.push(order);
                }
                Step::Update {
                    channel,
                    message,
                    member,
                    answers,
                } => {
                    let found = self.read_back(channel, message, reader).await;
                    if let Ok(message) = &found {
                        orders.push(Order::Publish(Arc::new(
                            self.update_event(message.clone(), member),
                        )));
                    }
                    if answers {
                        shown = Some(found);
                    } else if let Err(error) = found
                        && error != ChatError::NotFound(Missing::Message)
                    {
                        tracing::warn!(%channel, %message, %error, "a changed message was not published");
                    }
                }
                Step::Show(channel, message) => {
                    shown = Some(self.read_back(channel, message, reader).await);
                }
                Step::Watch(watch, shape) => self.family.lists().watch(watch, shape),
                Step::Shape(shape) => self.family.lists().shape(shape),
                Step::Seen(user) => self.family.lists().touch(user),
                Step::Clean => files::clean(&self.chat),
                Step::Purge(channels) => purge = channels,
            }
        }
        for order in &orders {
            if let Order::Publish(event) = order {
                counter!("guildhall_events_published_total", "event" => event.name).increment(1);
            }
        }
        match settle {
            Settle::Nothing => self.deliver(orders),
            Settle::Answer { reply, answer, .. } => {
                // The answer itself is a message only when that is new.
                if shown.is_none()
                    && let Answer::Message(message) = &*answer
                {
                    self.chat.read_states().posted(message);
                }
                reply.send(match shown {
                    Some(found) => found.map(|message| Answer::Message(Box::new(message))),
                    None => Ok(*answer),
                });
                self.deliver(orders);
            }
            // The pid is read before the order is handed over, see the relay.
            Settle::Subscribed(reply) => match self.family.relays().anchor() {
                Some(pid) => {
                    self.family.relays().deliver(orders);
                    reply.send(Ok(pid));
                }
                None => reply.send(Err(ChatError::Unavailable)),
            },
        }
        if !purge.is_empty() {
            for channel in purge {
                self.chat.forget_channel(channel);
            }
            history::resume_purges(&self.chat);
        }
    }

    /// Hands orders to the relays, of which there may be many.
    fn deliver(&self, orders: Vec<Order>) {
        let began = std::time::Instant::now();
        self.family.relays().deliver(orders);
        histogram!("guildhall_lane_deliver_seconds").record(began.elapsed());
    }

    /// The message as it is stored now.
    async fn read_back(
        &self,
        channel: ChannelId,
        message: MessageId,
        reader: Option<UserId>,
    ) -> Result<ChatMessage> {
        let record = self.chat.data().message(channel, message).await?;
        let record = record.ok_or(ChatError::NotFound(Missing::Message))?;
        let reader = reader.unwrap_or(Id::new(1));
        let mut messages = history::hydrate(&self.chat, channel, reader, &[record]).await?;
        messages.pop().ok_or(ChatError::NotFound(Missing::Message))
    }

    fn update_event(
        &self,
        mut message: ChatMessage,
        member: Option<Box<PartialMember>>,
    ) -> model::event::Encoded {
        let guild = self.family.guild();
        message.guild_id = Some(guild);
        message.member = member.map(|member| *member);
        // The event is for everyone: nobody's own reactions are marked in it.
        for reaction in &mut message.reactions {
            reaction.me = false;
        }
        state::message_update(guild, &message)
    }
}
