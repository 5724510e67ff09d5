//! The Member list process: one per guild, keeps the lists that sessions watch in their sidebars.
//!
//! ```text
//!  session ─watch_members─▶ Guild: may they? ─▶ Lane ──┐ watch, touch, shape: in the order of the
//!  members, presences, roles that changed ─────▶ Lane ──┤ guild
//!                                                       ▼
//!             what is to be looked at (Lists) ──Flush──▶ [MemberList] ──one event per list and
//!                                                       │    ranges──▶ Outbox × n
//!                     member table, presences ◀──reads──┘
//! ```
//!
//! * Channels with the same overwrites of VIEW_CHANNEL share one list; sessions with the same ranges
//!   of it share each event.
//! * It is told *who* changed, and looks up how: so changes fold, and none can be taken in twice or in
//!   the wrong order. More than [`DIRTY_MAX`] at once become new lists, sent with SYNC.
//! * Started by the guild's family supervisor, last of all: its death takes nobody along. What
//!   sessions watch is in the handle (`Lists`); its successor sends every list anew. So it does
//!   when the guild starts again.
//! * It calls nobody; it appends to outboxes. Its mailbox holds one Flush.
//! * Who may not view a channel gets nothing of its list: that is looked up before every event.
//! * Next hop: [`crate::session::outbox`].

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, gauge};
use model::{ChannelId, UserId};
use otp::{Context, GenServer, Init, Next};

use super::family::Family;
use super::members::{Gone, MemberTable, Readable};
use super::message::Watch;
use super::state::{presence_of, shown};
use crate::chat::Chat;
use crate::relay::SessionId;

pub mod diff;
pub mod contents;
mod murmur;
mod update;
mod watches;
pub mod shape;
pub mod sorted;

use contents::{Entry, List, Slot};
use diff::Ends;
use shape::{Group, Shape};
use update::{update, windows};
use watches::Todo;
pub(crate) use watches::{Lists, served};

/// Changed members taken on one by one; more at once, and the lists are made anew. Counter
/// `guildhall_member_list_syncs_total`.
pub const DIRTY_MAX: usize = 4_096;

/// Sessions of a guild that watch lists; further ones get none. Gauge
/// `guildhall_member_list_watches`, counter `guildhall_member_list_refused_total`.
pub const WATCHES_MAX: usize = 100_000;

/// Channels a session watches in a guild; further ones are left out.
pub const WATCHED_CHANNELS_MAX: usize = 5;

/// Ranges a session watches of a list, the first positions included; further ones are left out.
pub const RANGES_MAX: usize = 3;

/// Positions of a range; longer ones are cut.
pub const RANGE_ITEMS_MAX: u32 = 100;

/// Lists of a guild that are kept; channels with further ones have none. Counter
/// `guildhall_member_list_refused_total`.
pub const LISTS_MAX: usize = 64;

/// Different ranges of a list that are kept; sessions with further ones get the first range only.
pub const RANGE_SETS_MAX: usize = 512;

/// In guilds with more members, those who are not there are in no list (Discord's clients know no
/// offline members of large guilds).
pub const OFFLINE_LISTED_MAX: usize = 1_000;

/// Least time between two looks while there is always something to look at.
pub const PACE: Duration = Duration::from_millis(50);

/// How long to wait for a member table that is gone.
pub const TABLE_RETRY: Duration = Duration::from_millis(100);

/// Members taken into a list between two chances for others to run.
const STEP: usize = 512;

// ── Messages ──────────────────────────────────────────────────────────────────────────────────

/// What the process is sent; only its handle does.
#[derive(Debug)]
pub enum Message {
    /// There is something to look at.
    Flush,
}

// ── Server ────────────────────────────────────────────────────────────────────────────────────

/// What the process is started with.
pub struct MemberListArgs {
    pub(crate) chat: Chat,
    pub(crate) family: Arc<Family>,
}

/// The process.
pub struct MemberList {
    chat: Chat,
    family: Arc<Family>,
    lists: BTreeMap<String, Kept>,
    /// Which list, with which ranges, a session has of which channel.
    sessions: HashMap<SessionId, Vec<Served>>,
    /// With those who are not there.
    offline: bool,
}

/// A part of what a session watches.
#[derive(Debug, Clone, PartialEq)]
struct Served {
    channel: ChannelId,
    list: String,
    ranges: Vec<Ends>,
}

/// A list, and who has what of it.
struct Kept {
    /// One of its channels: who may view it is in the list.
    channel: ChannelId,
    list: List,
    sets: BTreeMap<Vec<Ends>, Set>,
}

/// Those who watch the same ranges.
#[derive(Default)]
struct Set {
    /// What they have.
    sent: Vec<Vec<Slot>>,
    sessions: HashMap<SessionId, Arc<Watch>>,
}

impl GenServer for MemberList {
    type Args = MemberListArgs;
    type Message = Message;

    async fn init(args: MemberListArgs, ctx: &mut Context<Self>) -> Init<Self> {
        let MemberListArgs { chat, family } = args;
        {
            let lists = family.lists();
            let mut shared = lists.shared.lock();
            shared.server = Some(ctx.self_ref());
            // A predecessor may have died over anything, and its wake-up with it.
            shared.todo.all = !shared.watches.is_empty();
            shared.woken = false;
            shared.wake();
        }
        Init::Ok(Self {
            chat,
            family,
            lists: BTreeMap::new(),
            sessions: HashMap::new(),
            offline: false,
        })
    }

    async fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Next<Self> {
        let Message::Flush = message;
        let handle = self.family.lists().clone();
        let (todo, shape) = {
            let mut shared = handle.shared.lock();
            (std::mem::take(&mut shared.todo), shared.shape.clone())
        };
        let looked = match (shape, self.family.members()) {
            (Some(shape), Some(table)) => self.look(&handle, todo, shape, table).await,
            _ => Err(Gone),
        };
        let mut shared = handle.shared.lock();
        let wait = if looked.is_err() {
            // Half done: begin again when there is a table.
            shared.todo.all |= !shared.watches.is_empty();
            TABLE_RETRY
        } else {
            PACE
        };
        shared.woken = !shared.todo.is_empty();
        if shared.woken {
            ctx.send_after(wait, Message::Flush);
        }
        Next::Go
    }
}

impl MemberList {
    async fn look(
        &mut self,
        handle: &Lists,
        todo: Todo,
        shape: Arc<Shape>,
        table: MemberTable,
    ) -> Result<(), Gone> {
        let members = table.len().ok_or(Gone)?;
        let readable = Readable {
            roles: Arc::new(shape.roles.keys().copied().collect()),
            table: Some(table),
        };
        let offline = members <= OFFLINE_LISTED_MAX;
        let all = todo.all || offline != self.offline;
        self.offline = offline;
        if all {
            counter!("guildhall_member_list_syncs_total").increment(1);
            self.lists.clear();
            self.sessions.clear();
        }
        // Lists change before anybody is added: who comes gets them as they are.
        for (number, user) in todo.users.iter().enumerate() {
            for kept in self.lists.values_mut() {
                let to = self
                    .chat
                    .place(&shape, &readable, *user, kept.channel, offline)?;
                kept.list.set(*user, to);
            }
            if number % STEP == STEP - 1 {
                tokio::task::yield_now().await;
            }
        }
        let watches: Vec<(SessionId, Option<Arc<Watch>>)> = {
            let shared = handle.shared.lock();
            let ids: HashSet<SessionId> = if all {
                let ids = shared.watches.keys().chain(&todo.sessions);
                ids.cloned().collect()
            } else {
                // A member whose roles changed may see more, or less.
                let changed = todo.users.iter();
                let changed = changed.filter_map(|user| shared.by_user.get(user));
                let ids = changed.flatten().chain(&todo.sessions);
                ids.cloned().collect()
            };
            let watch = |id: SessionId| {
                let watch = shared.watches.get(&id).cloned();
                (id, watch)
            };
            ids.into_iter().map(watch).collect()
        };
        self.publish(members, handle);
        for (session, watch) in watches {
            if todo.sessions.contains(&session) {
                // It asked: it is given all anew, even if it has it.
                for old in self.sessions.remove(&session).unwrap_or_default() {
                    self.leave(&session, &old);
                }
            }
            self.serve(&session, watch, &shape, &readable, members)
                .await?;
        }
        // Not sooner: a list is dear, and who scrolls leaves it and comes back.
        self.lists.retain(|_, kept| !kept.sets.is_empty());
        gauge!("guildhall_member_lists").set(self.lists.len() as f64);
        Ok(())
    }

    /// Tells those who have something of a list what has changed in it.
    fn publish(&mut self, members: usize, handle: &Lists) {
        let guild = self.family.guild();
        for (id, kept) in &mut self.lists {
            for (ranges, set) in &mut kept.sets {
                let windows = windows(&kept.list, ranges);
                let ops = diff::change(ranges, &set.sent, &windows);
                if ops.is_empty() {
                    continue;
                }
                set.sent = windows;
                let event = update(guild, id, &kept.list, members, &ops);
                set.sessions.retain(|session, watch| {
                    // Of a session that was killed nobody else has the outbox.
                    let closed =
                        Arc::strong_count(&watch.outbox) == 1 || watch.outbox.append(&event).closed;
                    if closed {
                        handle.unwatch(session);
                    }
                    !closed
                });
            }
        }
    }

    /// Gives a session what it watches now.
    async fn serve(
        &mut self,
        session: &SessionId,
        watch: Option<Arc<Watch>>,
        shape: &Arc<Shape>,
        readable: &Readable,
        members: usize,
    ) -> Result<(), Gone> {
        let old = self.sessions.remove(session).unwrap_or_default();
        let mut wanted = Vec::new();
        if let Some(watch) = &watch
            && let Some(row) = readable.table()?.get(watch.user)?
        {
            for (channel, ranges) in watch.channels.iter().take(WATCHED_CHANNELS_MAX) {
                if let Some(list) = shape.list_of(*channel)
                    && shape.may_view(&row, *channel)
                    && wanted.iter().all(|other: &Served| other.list != list)
                {
                    wanted.push(Served {
                        channel: *channel,
                        list,
                        ranges: served(ranges),
                    });
                }
            }
        }
        for gone in old.iter().filter(|one| !wanted.contains(one)) {
            self.leave(session, gone);
        }
        let Some(watch) = watch else {
            return Ok(());
        };
        let mut now = Vec::with_capacity(wanted.len());
        for mut one in wanted {
            if old.contains(&one) {
                // It has it, and was told what changed.
                now.push(one);
                continue;
            }
            if !self.lists.contains_key(&one.list) {
                if self.lists.len() >= LISTS_MAX {
                    counter!("guildhall_member_list_refused_total").increment(1);
                    continue;
                }
                let kept = self.make(shape, readable, one.channel).await?;
                self.lists.insert(one.list.clone(), kept);
            }
            let guild = self.family.guild();
            let Some(kept) = self.lists.get_mut(&one.list) else {
                continue;
            };
            if kept.sets.len() >= RANGE_SETS_MAX && !kept.sets.contains_key(&one.ranges) {
                one.ranges = served(&[]);
            }
            let windows = windows(&kept.list, &one.ranges);
            let ops = diff::sync(&one.ranges, &windows);
            let event = update(guild, &one.list, &kept.list, members, &ops);
            if !watch.outbox.append(&event).closed {
                let set = kept.sets.entry(one.ranges.clone()).or_default();
                // The others were told already what has changed.
                set.sent = windows;
                set.sessions.insert(session.clone(), Arc::clone(&watch));
                now.push(one);
            }
        }
        if !now.is_empty() {
            self.sessions.insert(session.clone(), now);
        }
        Ok(())
    }

    fn leave(&mut self, session: &SessionId, served: &Served) {
        let Some(kept) = self.lists.get_mut(&served.list) else {
            return;
        };
        if let Some(set) = kept.sets.get_mut(&served.ranges) {
            set.sessions.remove(session);
            if set.sessions.is_empty() {
                kept.sets.remove(&served.ranges);
            }
        }
    }

    /// A list from nothing: of everybody in a small guild, in others of those who are there.
    async fn make(
        &self,
        shape: &Arc<Shape>,
        readable: &Readable,
        channel: ChannelId,
    ) -> Result<Kept, Gone> {
        let users: Vec<UserId> = if self.offline {
            // A few more than there may be: members come while this is being made.
            let all = readable.table()?.page(None, OFFLINE_LISTED_MAX + STEP)?;
            all.iter().map(|row| row.record.user_id).collect()
        } else {
            self.chat.presences().ids()
        };
        let mut list = List::new(shape.groups());
        for (number, user) in users.into_iter().enumerate() {
            let to = self
                .chat
                .place(shape, readable, user, channel, self.offline)?;
            list.set(user, to);
            if number % STEP == STEP - 1 {
                tokio::task::yield_now().await;
            }
        }
        Ok(Kept {
            channel,
            list,
            sets: BTreeMap::new(),
        })
    }
}

impl Chat {
    /// Where a user is in the list of a channel, and as what; `None`: nowhere.
    fn place(
        &self,
        shape: &Shape,
        readable: &Readable,
        user: UserId,
        channel: ChannelId,
        offline: bool,
    ) -> Result<Option<(Group, Entry)>, Gone> {
        let Some(row) = readable.table()?.get(user)? else {
            return Ok(None);
        };
        let there = self.presences().of(user);
        let there = there.and_then(|(presence, status)| Some((shown(presence)?, status)));
        if there.is_none() && !offline || !shape.may_view(&row, channel) {
            return Ok(None);
        }
        let group = shape.group_of(&row, there.is_some());
        let presence = there.map(|there| presence_of(shape.guild, user, Some(there)));
        let member = readable.member(&row);
        Ok(Some((group, Entry { member, presence })))
    }
}

#[cfg(test)]
mod tests;
