//! The rules of a guild, pure: a command and the time in, an answer and effects out. No async, no
//! clock, no randomness but the ids that are passed in.
//!
//! ```text
//! Command ──▶ [GuildState] ──▶ Ok(Answer) + effects (rows to write, events, new views), or
//!                         └──▶ Err: nothing was changed, there are no effects
//! ```
//!
//! Who may do what follows Discord's docs (Permissions; each resource's page); one file per noun.

mod authority;
mod channels;
mod events;
mod holders;
mod members;
mod membership;
mod messages;
mod nonces;
mod overwrites;
mod pins;
mod reactions;
mod recent;
mod roles;
mod settings;
mod slow_mode;
mod snapshot;
mod visibility;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use model::channel::Channel;
use model::event::Encoded;
use model::guild::{Guild, GuildView};
use model::member::{Member, PartialMember};
use model::message::Message;
use model::permissions::Permissions;
use model::presence::{ClientStatus, Presence, Status};
use model::role::Role;
use model::{ChannelId, GuildId, MessageId, RoleId, UserId};
use storage::store::{GuildSnapshot, Write};

pub(crate) use events::{message_update, presence_of};
pub use holders::HOLDERS_PRUNE_FROM;
pub use nonces::NONCES_MAX;
pub use recent::RECENT_MAX;
pub use slow_mode::SLOW_MODE_ENTRIES_MAX;
pub use snapshot::shared::{SHARED_CREATES_MAX, SharedCreates};
pub use snapshot::{MEMBERS_LISTED_MAX, SnapshotWants};

use authority::{Asker, check};
use holders::Holders;
use membership::Members;
use nonces::NonceWindow;
use recent::Recent;
use slow_mode::SlowMode;

use crate::error::{ChatError, Missing, Result};
use crate::guild::command::{Actor, Answer, Command};
use crate::guild::list::shape::Shape;
use crate::guild::members::{Change, MemberTable, Readable, Row};
use crate::ids::Ids;
use crate::relay::{Listeners, View};

/// What a command does besides its answer, in order. The lane carries it out when the writes are
/// durable.
#[derive(Debug)]
pub enum Effect {
    /// A row to write; all writes of a command are one batch.
    Write(Write),
    /// A member for the member table, when the batch is durable.
    Member(Change),
    /// The presence of a member changed; for those who watch member lists.
    Seen(UserId),
    /// An event for those who may see it.
    Publish(Encoded),
    /// MESSAGE_UPDATE with the message as it stands after the batch, read back from the store.
    PublishUpdate {
        /// Where.
        channel: ChannelId,
        /// Which.
        message: MessageId,
        /// The author's membership, for the event.
        member: Option<Box<PartialMember>>,
        /// Whether the message is also the answer to the command.
        answers: bool,
    },
    /// The answer is this message as it stands, read back from the store.
    Show(ChannelId, MessageId),
    /// From here on these users see these channels.
    Views(Vec<(UserId, Arc<View>)>),
    /// From here on the user's sessions get nothing of the guild.
    Remove(UserId),
    /// The guild is gone; so are the messages of these channels, to be purged.
    Clear(Vec<ChannelId>),
}

/// The circumstances of one command, and what comes of it.
#[derive(Debug)]
pub struct Turn<'a> {
    /// Unix milliseconds.
    pub now_ms: u64,
    /// Where new ids come from.
    pub ids: &'a Ids,
    /// What is decided in this turn has this number; higher than those of all turns before it
    /// that had effects.
    pub number: u64,
    /// What was decided up to this number is in the store.
    pub settled: u64,
    /// What is to be done, in order.
    pub effects: Vec<Effect>,
}

impl<'a> Turn<'a> {
    /// A turn at `now_ms` without effects yet.
    pub fn new(now_ms: u64, ids: &'a Ids) -> Self {
        Self {
            now_ms,
            ids,
            number: 0,
            settled: 0,
            effects: Vec::new(),
        }
    }

    /// The same with this number, when everything up to `settled` is in the store.
    pub fn numbered(mut self, number: u64, settled: u64) -> Self {
        (self.number, self.settled) = (number, settled);
        self
    }

    fn write(&mut self, write: Write) {
        self.effects.push(Effect::Write(write));
    }

    fn publish(&mut self, event: Encoded) {
        self.effects.push(Effect::Publish(event));
    }
}

/// A member's presence as others see it.
#[derive(Debug, Clone, PartialEq)]
struct Shown {
    presence: Presence,
    client_status: ClientStatus,
}

/// Everything a guild knows but its messages. A copy of one whose members are in a table shares the
/// table, and every copy the listeners; both are other processes' business.
#[derive(Debug, Clone)]
pub struct GuildState {
    guild: Guild,
    /// At most [`model::limits::ROLES_MAX`]; full: [`crate::error::Refusal::RolesMax`].
    roles: BTreeMap<RoleId, Role>,
    /// At most [`model::limits::CHANNELS_MAX`]; full: [`crate::error::Refusal::ChannelsMax`].
    channels: BTreeMap<ChannelId, Channel>,
    /// At most `guild.max_members`; full: [`crate::error::Refusal::MembersMax`].
    members: Members,
    /// Whose sessions must be told what they see; not part of what the guild decides.
    listeners: Listeners,
    /// Which of them have each role; follows from `listeners` and `members`.
    holders: Holders,
    /// Members who are there; at most one per member.
    presences: HashMap<UserId, Shown>,
    nonces: NonceWindow,
    slow_mode: SlowMode,
    recent: Recent,
    public_url: Arc<str>,
    deleted: bool,
}

/// Equal are those that answer every command alike: who listens does not matter.
impl PartialEq for GuildState {
    fn eq(&self, other: &Self) -> bool {
        let Self {
            guild,
            roles,
            channels,
            members,
            listeners: _,
            holders: _,
            presences,
            nonces,
            slow_mode,
            recent,
            public_url,
            deleted,
        } = self;
        *guild == other.guild
            && *roles == other.roles
            && *channels == other.channels
            && *members == other.members
            && *presences == other.presences
            && *nonces == other.nonces
            && *slow_mode == other.slow_mode
            && *recent == other.recent
            && *public_url == other.public_url
            && *deleted == other.deleted
    }
}

impl GuildState {
    /// The state a guild starts with; its members are those of the snapshot, and nobody listens.
    /// Attachment links will begin with `public_url`.
    pub fn new(snapshot: GuildSnapshot, public_url: Arc<str>) -> Self {
        let members = snapshot.members.into_iter();
        Self {
            guild: snapshot.guild,
            roles: snapshot
                .roles
                .into_iter()
                .map(|role| (role.id, role))
                .collect(),
            channels: snapshot
                .channels
                .into_iter()
                .map(|channel| (channel.id, channel))
                .collect(),
            members: Members::own(members.map(|(record, user)| Row { record, user })),
            listeners: Listeners::default(),
            holders: Holders::default(),
            presences: HashMap::new(),
            nonces: NonceWindow::default(),
            slow_mode: SlowMode::default(),
            recent: Recent::of_load(0),
            public_url,
            deleted: false,
        }
    }

    /// The same as the load of the guild with this number, which no other has: what was read in
    /// another load is read again.
    pub fn of_load(mut self, load: u64) -> Self {
        self.recent = Recent::of_load(load);
        self
    }

    /// The same with the members in `table`, which the lane keeps up to date, and with these
    /// listeners.
    pub fn shared(mut self, table: MemberTable, listeners: Listeners) -> Self {
        self.members = Members::of_table(table);
        self.listeners = listeners;
        self.count_holders();
        self
    }

    /// Whether the member table was found gone: then the last answer may be wrong, nothing of the
    /// last turn may be done or told, and this state is of no use any more.
    pub fn lost_members(&self) -> bool {
        self.members.is_gone()
    }

    /// How many members there are.
    pub fn member_count(&self) -> usize {
        self.members.len()
    }

    /// Whether a user is a member.
    pub fn is_member(&self, user: UserId) -> bool {
        self.members.contains_key(&user)
    }

    /// Changes of members that are not in the table yet, as far as is known.
    pub fn recent_members(&self) -> usize {
        self.members.recent()
    }

    /// The guild's id.
    pub fn id(&self) -> GuildId {
        self.guild.id
    }

    /// Whether [`Command::DeleteGuild`] was applied; nothing can be asked any more.
    pub fn is_deleted(&self) -> bool {
        self.deleted
    }

    /// Ids of all members, in order; only for guilds that are known to be small.
    pub fn member_ids(&self) -> Vec<UserId> {
        let members = self.members.all();
        members.iter().map(|row| row.record.user_id).collect()
    }

    /// The channels in which something was said in the last `window_ms`, latest first.
    pub fn recent_channels(&self, now_ms: u64, window_ms: u64) -> Vec<ChannelId> {
        let since = now_ms.saturating_sub(window_ms);
        let mut recent: Vec<(MessageId, ChannelId)> = self
            .channels
            .values()
            .filter_map(|channel| Some((channel.last_message_id?, channel.id)))
            .filter(|(message, _)| model::snowflake::timestamp_ms(*message) >= since)
            .collect();
        recent.sort_unstable_by(|a, b| b.cmp(a));
        recent.into_iter().map(|(_, channel)| channel).collect()
    }

    /// Takes over what a stored message says about nonces and slow mode, after a restart.
    pub fn remember_message(&mut self, message: &Message) {
        let at_ms = model::snowflake::timestamp_ms(message.id);
        self.nonces.remember(at_ms, message);
        let slow = self
            .channels
            .get(&message.channel_id)
            .map_or(0, |channel| channel.rate_limit_per_user);
        if slow > 0 {
            self.slow_mode
                .posted(message.channel_id, message.author.id, at_ms, slow);
        }
    }

    /// Carries out one command.
    ///
    /// # Errors
    /// As the rules say; then nothing was changed and `turn` has no effects.
    pub fn apply(&mut self, turn: &mut Turn<'_>, actor: Actor, command: Command) -> Result<Answer> {
        self.members.settle(turn.settled);
        if self.deleted {
            return Err(ChatError::NotFound(Missing::Guild));
        }
        if let Command::SetPresence {
            user,
            presence,
            client_status,
        } = command
        {
            self.set_presence(turn, user, presence, client_status);
            return Ok(Answer::Done);
        }
        let asker = self.asker(actor, turn.now_ms)?;
        match command {
            Command::PostMessage {
                channel,
                draft,
                reply_to,
            } => self.post_message(
                turn,
                asker,
                channel,
                *draft,
                reply_to.map(|message| *message),
            ),
            Command::EditMessage {
                look,
                record,
                patch,
            } => self.edit_message(turn, asker, look, &record, *patch),
            Command::DeleteMessage { found, pinned } => {
                self.delete_message(turn, asker, found, pinned)
            }
            Command::BulkDelete {
                look,
                channel,
                messages,
                found,
            } => self.bulk_delete(turn, asker, look, channel, messages, &found),
            Command::AddReaction { found, emoji, read } => {
                self.add_reaction(turn, asker, found, emoji, &read)
            }
            Command::RemoveReaction {
                found,
                user,
                emoji,
                read,
            } => self.remove_reaction(turn, asker, found, user, emoji, &read),
            Command::ClearReactions { found, emoji, read } => {
                self.clear_reactions(turn, asker, found, emoji, &read)
            }
            Command::SetPinned {
                look,
                record,
                pinned,
                pins,
            } => self.set_pinned(turn, asker, look, &record, pinned, pins),
            Command::Typing { channel } => self.typing(turn, asker, channel),
            Command::Look { channel } => {
                self.seen(&asker, channel)?;
                Ok(Answer::Look(self.recent.look(turn.settled)))
            }
            Command::Access { channel, needs } => self
                .allowed_in(&asker, channel, needs)
                .map(|(_, has)| Answer::Permissions(has)),
            Command::GuildAccess { needs } => {
                asker.needs(needs)?;
                Ok(Answer::Permissions(asker.base))
            }
            Command::Guild { with_counts } => Ok(Answer::Guild(Box::new(self.view(with_counts)))),
            Command::ModifyGuild(patch) => self.modify_guild(turn, asker, *patch),
            Command::DeleteGuild => self.delete_guild(turn, asker),
            Command::Leave => self.leave(turn, asker),
            Command::Channels => Ok(Answer::Channels(self.channels_for(&asker))),
            Command::Channel(id) => {
                let (channel, _) = self.seen(&asker, id)?;
                Ok(Answer::Channel(Box::new(channel.clone())))
            }
            Command::CreateChannel(patch) => self.create_channel(turn, asker, *patch),
            Command::ModifyChannel(id, patch) => self.modify_channel(turn, asker, id, *patch),
            Command::DeleteChannel(id) => self.delete_channel(turn, asker, id),
            Command::MoveChannels(moves) => self.move_channels(turn, asker, &moves),
            Command::PutOverwrite(id, overwrite) => self.put_overwrite(turn, asker, id, overwrite),
            Command::DeleteOverwrite(id, target) => self.delete_overwrite(turn, asker, id, target),
            Command::Roles => Ok(Answer::Roles(self.roles_in_order())),
            Command::Role(id) => Ok(Answer::Role(Box::new(self.role(id)?.clone()))),
            Command::CreateRole(patch) => self.create_role(turn, asker, *patch),
            Command::ModifyRole(id, patch) => self.modify_role(turn, asker, id, *patch),
            Command::DeleteRole(id) => self.delete_role(turn, asker, id),
            Command::MoveRoles(moves) => self.move_roles(turn, asker, &moves),
            Command::Member(user) => {
                let row = self.row(user)?;
                Ok(Answer::Member(Box::new(self.member(&row))))
            }
            Command::ReadMembers => Ok(Answer::Readable(self.readable())),
            Command::AddMember(user) => self.add_member(turn, asker, *user),
            Command::ModifyMember(user, patch) => self.modify_member(turn, asker, user, *patch),
            Command::AddMemberRole(user, role) => {
                self.change_member_role(turn, asker, user, role, true)
            }
            Command::RemoveMemberRole(user, role) => {
                self.change_member_role(turn, asker, user, role, false)
            }
            Command::Kick(user) => self.kick(turn, asker, user),
            Command::Ban {
                user,
                record,
                messages,
            } => self.ban(turn, asker, &user, record, messages),
            Command::Unban(user) => self.unban(turn, asker, &user),
            // Answered above, before the asker is resolved: nobody asks for it.
            Command::SetPresence { .. } => Ok(Answer::Done),
        }
    }

    // ── Reads ─────────────────────────────────────────────────────────────────────────────────

    fn row(&self, user: UserId) -> Result<Arc<Row>> {
        self.members
            .get(&user)
            .ok_or(ChatError::NotFound(Missing::Member))
    }

    fn role(&self, id: RoleId) -> Result<&Role> {
        self.roles
            .get(&id)
            .ok_or(ChatError::NotFound(Missing::Role))
    }

    /// A member as it goes on the wire.
    fn member(&self, row: &Row) -> Member {
        row.member(|id| self.roles.contains_key(id))
    }

    fn partial(&self, user: UserId) -> Option<PartialMember> {
        let row = self.members.get(&user)?;
        let mut partial = row.record.partial();
        partial.roles.retain(|id| self.roles.contains_key(id));
        Some(partial)
    }

    /// What the member lists need to know.
    pub(crate) fn shape(&self) -> Shape {
        let channels = self.channels.values();
        Shape {
            guild: self.guild.id,
            owner: self.guild.owner_id,
            roles: self.roles.clone(),
            channels: channels
                .map(|channel| (channel.id, channel.permission_overwrites.clone()))
                .collect(),
        }
    }

    /// What a task needs that reads members by itself.
    fn readable(&self) -> Readable {
        Readable {
            table: self.members.table().cloned(),
            roles: Arc::new(self.roles.keys().copied().collect()),
        }
    }

    fn roles_in_order(&self) -> Vec<Role> {
        let mut roles: Vec<Role> = self.roles.values().cloned().collect();
        roles.sort_unstable_by_key(Role::rank);
        roles
    }

    fn channels_for(&self, asker: &Asker) -> Vec<Channel> {
        let visible = self.channels.values().filter(|channel| {
            self.permissions_in(asker, channel)
                .contains(Permissions::VIEW_CHANNEL)
        });
        in_position_order(visible)
    }

    fn view(&self, with_counts: bool) -> GuildView {
        GuildView {
            guild: self.guild.clone(),
            roles: self.roles_in_order(),
            emojis: Vec::new(),
            stickers: Vec::new(),
            approximate_member_count: with_counts.then_some(self.members.len() as u64),
            approximate_presence_count: with_counts.then_some(self.presences.len() as u64),
        }
    }

    // ── Presence ──────────────────────────────────────────────────────────────────────────────

    fn set_presence(
        &mut self,
        turn: &mut Turn<'_>,
        user: UserId,
        presence: Option<Presence>,
        client_status: ClientStatus,
    ) {
        if !self.members.contains_key(&user) {
            return;
        }
        let shown = presence.and_then(shown).map(|presence| Shown {
            presence,
            client_status,
        });
        if self.presences.get(&user) == shown.as_ref() {
            return;
        }
        turn.publish(self.presence_update(user, shown.as_ref()));
        turn.effects.push(Effect::Seen(user));
        match shown {
            Some(shown) => drop(self.presences.insert(user, shown)),
            None => drop(self.presences.remove(&user)),
        }
    }
}

/// A presence as others see it; `None` = offline.
pub(crate) fn shown(presence: Presence) -> Option<Presence> {
    let status = presence.status.shown();
    (status != Status::Offline).then_some(Presence { status, ..presence })
}

/// Channels as clients list them: by position, then by id.
fn in_position_order<'c>(channels: impl Iterator<Item = &'c Channel>) -> Vec<Channel> {
    let mut channels: Vec<Channel> = channels.cloned().collect();
    channels.sort_unstable_by_key(|channel| (channel.position, channel.id));
    channels
}

#[cfg(test)]
mod tests;
