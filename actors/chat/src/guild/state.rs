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
mod presences;
mod reactions;
mod reads;
mod recent;
mod roles;
mod settings;
mod slow_mode;
mod snapshot;
mod turn;
mod visibility;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use model::channel::Channel;
use model::guild::Guild;
use model::message::Message;
use model::role::Role;
use model::{ChannelId, GuildId, MessageId, RoleId, UserId};
use storage::store::GuildSnapshot;

pub(crate) use events::{message_update, presence_of};
pub use holders::HOLDERS_PRUNE_FROM;
pub use nonces::NONCES_MAX;
pub(crate) use presences::shown;
pub use recent::RECENT_MAX;
pub use slow_mode::SLOW_MODE_ENTRIES_MAX;
pub use snapshot::shared::{SHARED_CREATES_MAX, SharedCreates};
pub use snapshot::{MEMBERS_LISTED_MAX, SnapshotWants};
pub use turn::{Effect, Turn};

use authority::{Asker, check};
use holders::Holders;
use membership::Members;
use nonces::NonceWindow;
use presences::Shown;
use recent::Recent;
use slow_mode::SlowMode;

use crate::error::{ChatError, Missing, Result};
use crate::guild::command::{Actor, Answer, Command};
use crate::guild::members::{MemberTable, Row};
use crate::relay::Listeners;

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
}

#[cfg(test)]
mod tests;
