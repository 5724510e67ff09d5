//! What a write touches: batches that touch the same thing take effect in the order of the calls,
//! all others at the same time.

use model::{ChannelId, GuildId, UserId};

use crate::engine::rules;
use crate::error::StoreError;
use crate::store::{LastOf, Result, Write};

/// A thing whose writes stand in one order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Scope {
    /// A channel: its messages, reactions, pins, state and lost files.
    Channel(ChannelId),
    /// A guild: its settings, roles, members, bans, and the last message id of all its channels.
    Guild(GuildId),
    /// A user: the account, in which guilds the user is, and what the user has read.
    User(UserId),
    /// A name an account may take.
    Name(String),
    /// A named value.
    Setting(String),
}

/// The scopes of a batch, each once.
pub(super) fn of_batch(batch: &[Write]) -> Vec<Scope> {
    let mut scopes: Vec<_> = batch.iter().flat_map(of_write).flatten().collect();
    scopes.sort_unstable();
    scopes.dedup();
    scopes
}

fn of_write(write: &Write) -> [Option<Scope>; 2] {
    use Scope::{Channel, Guild, Setting, User};
    match write {
        // Its order among the batches of the guild is that of what it fences.
        Write::Fence(..) => [None, None],
        Write::PutMessage(record) => [
            Some(Channel(record.channel_id)),
            Some(Guild(record.guild_id)),
        ],
        Write::PatchMessage(channel, ..)
        | Write::DeleteMessage(channel, _)
        | Write::DeleteReaction(channel, ..)
        | Write::ClearReactions(channel, ..)
        | Write::PutPin(channel, ..)
        | Write::DeletePin(channel, _)
        | Write::ForgetFiles(channel, _)
        | Write::LoseFiles(channel, _) => [Some(Channel(*channel)), None],
        Write::PutReaction(reaction) => [Some(Channel(reaction.channel_id)), None],
        Write::RaiseLastMessage(LastOf::Guild(guild), _) => [Some(Guild(*guild)), None],
        Write::RaiseLastMessage(LastOf::Channel(channel), _) => [Some(Channel(*channel)), None],
        Write::PutGuild(guild) => [Some(Guild(guild.id)), None],
        Write::DeleteGuild(guild) | Write::PutRole(guild, _) | Write::DeleteRole(guild, _) => {
            [Some(Guild(*guild)), None]
        }
        Write::PutChannel(channel) => [Some(Channel(channel.id)), Some(Guild(channel.guild_id))],
        Write::DeleteChannel(guild, channel) => [Some(Channel(*channel)), Some(Guild(*guild))],
        Write::PutMember(member) => [Some(Guild(member.guild_id)), Some(User(member.user_id))],
        Write::DeleteMember(guild, user) => [Some(Guild(*guild)), Some(User(*user))],
        Write::PutBan(ban) => [Some(Guild(ban.guild_id)), None],
        Write::DeleteBan(guild, _) => [Some(Guild(*guild)), None],
        Write::PutAccount(account) => [Some(User(account.user.id)), None],
        Write::PutReadState(state) => [Some(User(state.user_id)), None],
        Write::DeleteReadState(user, _) => [Some(User(*user)), None],
        Write::PutSetting(name, _) => [Some(Setting(name.clone())), None],
    }
}

/// Refuses what no row can hold, before anything of the batch is queued.
///
/// # Errors
/// [`StoreError::NotApplied`].
pub(super) fn check(batch: &[Write]) -> Result<()> {
    batch.iter().try_for_each(|write| match write {
        Write::Fence(guild, epoch) => small(&[guild.get(), epoch.0]),
        Write::PutMessage(record) => small(&[
            record.id.get(),
            record.channel_id.get(),
            record.guild_id.get(),
            record.author_id.get(),
        ]),
        Write::PutReaction(reaction) => {
            rules::checked_text(&rules::emoji_identity(&reaction.emoji))?;
            small(&[reaction.user_id.get()])
        }
        Write::LoseFiles(channel, files) => files
            .iter()
            .try_for_each(|file| small(&[channel.get(), file.attachment_id.get()])),
        Write::RaiseLastMessage(LastOf::Guild(of), message) => small(&[of.get(), message.get()]),
        Write::RaiseLastMessage(LastOf::Channel(of), message) => small(&[of.get(), message.get()]),
        Write::PutGuild(guild) => small(&[guild.id.get()]),
        Write::PutChannel(channel) => small(&[channel.id.get(), channel.guild_id.get()]),
        Write::PutRole(guild, role) => small(&[guild.get(), role.id.get()]),
        Write::PutMember(member) => small(&[member.guild_id.get(), member.user_id.get()]),
        Write::PutBan(ban) => small(&[ban.guild_id.get(), ban.user_id.get()]),
        Write::PutReadState(state) => small(&[state.user_id.get(), state.channel_id.get()]),
        Write::PutSetting(name, _) => rules::checked_text(name.as_bytes()).map(drop),
        _ => Ok(()),
    })
}

/// A column holds 63 bits of an id; a snowflake has no more until the year 2084.
fn small(ids: &[u64]) -> Result<()> {
    match ids.iter().find(|id| i64::try_from(**id).is_err()) {
        None => Ok(()),
        Some(id) => Err(StoreError::NotApplied(format!(
            "{id} is too great for an id in this store"
        ))),
    }
}

/// About how many bytes a batch has, for the bound of a group.
pub(crate) fn bytes(batch: &[Write]) -> usize {
    batch.iter().map(bytes_of).sum()
}

fn bytes_of(write: &Write) -> usize {
    const ROW: usize = 128;
    const DEEP: usize = 512;
    let deep = |some: usize| some * DEEP;
    match write {
        Write::PutMessage(record) => {
            2 * ROW
                + record.content.len()
                + deep(record.attachments.len() + record.components.len())
                + record.embeds.iter().map(embed_bytes).sum::<usize>()
        }
        Write::PatchMessage(_, _, patch) => {
            let embeds = patch.embeds.iter().flatten().map(embed_bytes);
            ROW + patch.content.as_ref().map_or(0, String::len)
                + deep(patch.attachments.as_ref().map_or(0, Vec::len))
                + deep(patch.components.as_ref().map_or(0, Vec::len))
                + embeds.sum::<usize>()
        }
        // No row is written for it.
        Write::Fence(..) => 0,
        Write::PutSetting(_, value) => ROW + value.len(),
        Write::PutReadState(state) => ROW + DEEP + 24 * state.mentions.len(),
        Write::LoseFiles(_, files) => files.len() * ROW,
        Write::PutGuild(_) | Write::PutChannel(_) | Write::PutAccount(_) => ROW + DEEP,
        _ => ROW,
    }
}

fn embed_bytes(embed: &model::embed::Embed) -> usize {
    1_024 + embed.description.as_ref().map_or(0, String::len)
}
