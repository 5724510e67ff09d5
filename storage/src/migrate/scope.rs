//! The sections of a store, in the order they are copied, and how each is read piece by piece.
//!
//! ```text
//!  Settings ─▶ Accounts ─▶ each guild { Settings ─▶ Members ─▶ Bans ─▶ Messages of each channel }
//!           ─▶ messages of each channel to purge ─▶ LostFiles ─▶ Purges
//! ```
//!
//! **This is the one list of what a store holds.** Something new in the port gets a scope here (or
//! becomes part of a row, as reactions and pins are of a message), a [`Row`] and a
//! [`Kind`](super::progress::Kind); copying, verifying and the online migration then have it too.
//!
//! Everything goes through the port, so it works between any two engines; what the port does not show
//! (a member without account, a channel that belongs to no guild) is not copied. Channels come by id
//! and everything upwards: on a cluster a message above all others of its channel needs no read
//! before it is put.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};

use model::message::MessageRecord;
use model::{ChannelId, GuildId, Id, MessageId, UserId};

use super::MARKER_PREFIX;
use super::row::{Key, Message, Reacted, Row};
use crate::error::StoreError;
use crate::store::{EmojiCount, Page, Result, Store};

/// Rows of one piece: what is read, written and remembered together.
pub const PIECE_ROWS: usize = 256;

/// Users who reacted that are asked for at once.
pub const REACTORS_PAGE: usize = 1_000;

/// Files to delete, and channels to purge, that are copied; with more the node has to work them off
/// before, because the port lists them in one piece.
pub const WORK_LIST_MAX: usize = 1_000_000;

/// A section of a store. They are copied in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) enum Scope {
    /// Named values.
    Settings,
    /// Accounts.
    Accounts,
    /// What people have read.
    ReadStates,
    /// Something of a guild.
    Guild(GuildId, Part),
    /// Messages of a channel that is still to be purged: the files in them are to be deleted then.
    Purged(ChannelId),
    /// Files still to be deleted.
    LostFiles,
    /// Channels still to be purged.
    Purges,
}

/// A section of a guild.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) enum Part {
    /// Settings, roles and channels.
    Settings,
    /// Members.
    Members,
    /// Bans.
    Bans,
    /// Messages of a channel, with their reactions and pins.
    Messages(ChannelId),
}

impl Scope {
    /// The name of its section in reports.
    pub(super) fn section(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Accounts => "accounts",
            Self::ReadStates => "read states",
            Self::Guild(_, Part::Settings) => "guilds",
            Self::Guild(_, Part::Members) => "members",
            Self::Guild(_, Part::Bans) => "bans",
            Self::Guild(_, Part::Messages(_)) => "messages",
            Self::Purged(_) => "messages to purge",
            Self::LostFiles => "files to delete",
            Self::Purges => "channels to purge",
        }
    }

    /// The channel whose messages it is about.
    pub(super) fn channel(self) -> Option<ChannelId> {
        match self {
            Self::Guild(_, Part::Messages(channel)) | Self::Purged(channel) => Some(channel),
            _ => None,
        }
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.section())?;
        match self {
            Self::Guild(_, Part::Messages(channel)) | Self::Purged(channel) => {
                write!(f, " of channel {channel}")
            }
            Self::Guild(guild, _) => write!(f, " of guild {guild}"),
            _ => Ok(()),
        }
    }
}

/// Some rows of a scope, in key order.
#[derive(Debug, Default)]
pub(super) struct Piece {
    /// The rows.
    pub(super) rows: Vec<Row>,
    /// Where the next piece begins above; `None` at the end of the scope.
    pub(super) next: Option<Key>,
}

impl Piece {
    /// A page of `read` rows: with fewer than `limit` it was the last one.
    fn of(rows: Vec<Row>, read: usize, limit: usize) -> Self {
        let last = rows.last().map(Row::key);
        Self {
            next: last.filter(|_| read >= limit),
            rows,
        }
    }

    fn whole(rows: Vec<Row>) -> Self {
        Self { rows, next: None }
    }
}

fn id_after<T>(after: Option<&Key>) -> Option<Id<T>> {
    match after {
        Some(Key::Id(id)) => Id::new_checked(*id),
        _ => None,
    }
}

/// Reads the piece of a scope above `after`, of at most `limit` rows where the port pages.
///
/// # Errors
/// What the store answers; nothing was changed.
pub(super) async fn read(
    store: &dyn Store,
    scope: Scope,
    after: Option<&Key>,
    limit: usize,
) -> Result<Piece> {
    match scope {
        Scope::Settings => settings(store, after, limit).await,
        Scope::Accounts => {
            let page = store.list_accounts(id_after(after), limit).await?;
            let read = page.len();
            let rows = page.into_iter().map(|row| Row::Account(Box::new(row)));
            Ok(Piece::of(rows.collect(), read, limit))
        }
        Scope::ReadStates => read_states(store, id_after(after), limit).await,
        Scope::Guild(guild, Part::Settings) => guild_parts(store, guild).await,
        Scope::Guild(guild, Part::Members) => {
            let page = store.members(guild, id_after(after), limit).await?;
            let read = page.len();
            let rows = page.into_iter().map(|(row, _)| Row::Member(Box::new(row)));
            Ok(Piece::of(rows.collect(), read, limit))
        }
        Scope::Guild(guild, Part::Bans) => {
            let page = store.bans(guild, None, id_after(after), limit).await?;
            let read = page.len();
            Ok(Piece::of(
                page.into_iter().map(Row::Ban).collect(),
                read,
                limit,
            ))
        }
        Scope::Guild(_, Part::Messages(channel)) | Scope::Purged(channel) => {
            messages(store, channel, id_after(after), limit).await
        }
        Scope::LostFiles => {
            let files = store.files_to_delete(WORK_LIST_MAX + 1).await?;
            whole_list(files.len(), "files to delete")?;
            Ok(Piece::whole(files.into_iter().map(Row::LostFile).collect()))
        }
        Scope::Purges => {
            let channels = store.channels_to_purge(WORK_LIST_MAX + 1).await?;
            whole_list(channels.len(), "channels to purge")?;
            Ok(Piece::whole(channels.into_iter().map(Row::Purge).collect()))
        }
    }
}

/// Refuses a list that is longer than what is read of it.
fn whole_list(read: usize, what: &str) -> Result<()> {
    if read <= WORK_LIST_MAX {
        return Ok(());
    }
    Err(StoreError::NotApplied(format!(
        "more than {WORK_LIST_MAX} {what}; let a node work them off before"
    )))
}

async fn settings(store: &dyn Store, after: Option<&Key>, limit: usize) -> Result<Piece> {
    let after = match after {
        Some(Key::Name(name)) => Some(name.as_str()),
        _ => None,
    };
    let page = store.list_settings(after, limit).await?;
    let last = page.last().map(|(name, _)| Key::Name(name.clone()));
    let next = last.filter(|_| page.len() >= limit);
    // What the migrator keeps there is about this store alone.
    let rows = page
        .into_iter()
        .filter(|(name, _)| !name.starts_with(MARKER_PREFIX))
        .map(|(name, value)| Row::Setting(name, value))
        .collect();
    Ok(Piece { rows, next })
}

/// One row for each person who has read anything.
async fn read_states(store: &dyn Store, after: Option<UserId>, limit: usize) -> Result<Piece> {
    let accounts = store.list_accounts(after, limit).await?;
    let last = accounts
        .last()
        .map(|account| Key::Id(account.user.id.get()));
    let mut rows = Vec::new();
    for account in &accounts {
        let user = account.user.id;
        let states = store.read_states(user, usize::MAX).await?;
        if !states.is_empty() {
            rows.push(Row::ReadStates(user, states));
        }
    }
    Ok(Piece {
        rows,
        next: last.filter(|_| accounts.len() >= limit),
    })
}

async fn guild_parts(store: &dyn Store, guild: GuildId) -> Result<Piece> {
    let Some(snapshot) = store.guild_without_members(guild).await? else {
        return Ok(Piece::default());
    };
    let mut rows = vec![Row::Guild(Box::new(snapshot.guild))];
    let last = snapshot.last_message_id;
    rows.extend(last.map(|id| Row::LastMessage(guild, id)));
    let (mut roles, mut channels) = (snapshot.roles, snapshot.channels);
    roles.sort_by_key(|role| role.id);
    channels.sort_by_key(|channel| channel.id);
    let roles = roles.into_iter().map(|row| Row::Role(guild, Box::new(row)));
    rows.extend(roles);
    rows.extend(channels.into_iter().map(|row| Row::Channel(Box::new(row))));
    Ok(Piece::whole(rows))
}

/// Above this one a page begins; it is asked for by itself, because a page does not hold its bound.
const FIRST_MESSAGE: MessageId = Id::new(1);

async fn messages(
    store: &dyn Store,
    channel: ChannelId,
    after: Option<MessageId>,
    limit: usize,
) -> Result<Piece> {
    let mut records = Vec::new();
    if after.is_none() {
        records.extend(store.message(channel, FIRST_MESSAGE).await?);
    }
    let above = Page::After(after.unwrap_or(FIRST_MESSAGE));
    let mut page = store.messages(channel, above, limit).await?;
    page.reverse();
    let read = page.len();
    records.extend(page);
    if records.is_empty() {
        return Ok(Piece::default());
    }
    let ids: Vec<_> = records.iter().map(|record| record.id).collect();
    let mut reactions = reactions(store, channel, &ids).await?;
    let mut pins = HashMap::new();
    if store.pin_count(channel).await? > 0 {
        let all = store.pins(channel, None, usize::MAX).await?;
        pins.extend(all.into_iter().map(|(record, at_ms)| (record.id, at_ms)));
    }
    let row = |record: MessageRecord| {
        Row::Message(Box::new(Message {
            reactions: reactions.remove(&record.id).unwrap_or_default(),
            pinned_at_ms: pins.get(&record.id).copied(),
            record,
        }))
    };
    Ok(Piece::of(
        records.into_iter().map(row).collect(),
        read,
        limit,
    ))
}

async fn reactions(
    store: &dyn Store,
    channel: ChannelId,
    messages: &[MessageId],
) -> Result<HashMap<MessageId, Vec<Reacted>>> {
    let counts = store.reaction_counts(channel, messages).await?;
    let asked = messages.iter().zip(counts).flat_map(|(message, counts)| {
        let asked = move |count| async move {
            let reacted = reacted(store, channel, *message, count).await?;
            Ok((*message, reacted))
        };
        counts.into_iter().map(asked)
    });
    // Boxed, for the compiler's sake.
    let asked: Vec<BoxFuture<'_, Result<_>>> = asked.map(|one| one.boxed()).collect();
    let mut answers = stream::iter(asked).buffered(REACTIONS_AT_ONCE);
    let mut found = HashMap::<_, Vec<_>>::new();
    while let Some((message, reacted)) = answers.try_next().await? {
        found.entry(message).or_default().push(reacted);
    }
    Ok(found)
}

/// Emoji on messages whose users are asked for at once.
const REACTIONS_AT_ONCE: usize = 16;

async fn reacted(
    store: &dyn Store,
    channel: ChannelId,
    message: MessageId,
    count: EmojiCount,
) -> Result<Reacted> {
    let mut users: Vec<(UserId, u64)> = Vec::new();
    loop {
        let after = users.last().map(|(user, _)| *user);
        let page = store
            .reaction_times(channel, message, &count.emoji, after, REACTORS_PAGE)
            .await?;
        let read = page.len();
        users.extend(page);
        if read < REACTORS_PAGE {
            break;
        }
    }
    Ok(Reacted {
        emoji: count.emoji,
        first_at_ms: count.first_at_ms,
        users,
    })
}

/// Guilds that are listed at once.
const GUILDS_PAGE: usize = 100;

/// A walk over the scopes of a store, in their order.
pub(super) struct Walk {
    store: Arc<dyn Store>,
    /// Scopes up to this one are left out.
    past: Option<Scope>,
    stage: Stage,
    waiting: VecDeque<Scope>,
}

enum Stage {
    First,
    Guilds(Option<GuildId>),
    Last,
    End,
}

impl Walk {
    /// A walk over what comes after `past`.
    pub(super) fn new(store: Arc<dyn Store>, past: Option<Scope>) -> Self {
        Self {
            store,
            past,
            stage: Stage::First,
            waiting: VecDeque::new(),
        }
    }

    /// The next scope, or `None` at the end.
    ///
    /// # Errors
    /// What the store answers.
    pub(super) async fn next(&mut self) -> Result<Option<Scope>> {
        loop {
            while let Some(scope) = self.waiting.pop_front() {
                if Some(scope) > self.past {
                    return Ok(Some(scope));
                }
            }
            match self.stage {
                Stage::First => {
                    self.waiting
                        .extend([Scope::Settings, Scope::Accounts, Scope::ReadStates]);
                    let from = match self.past {
                        Some(Scope::Guild(guild, _)) => Id::new_checked(guild.get() - 1),
                        _ => None,
                    };
                    self.stage = match self.past {
                        Some(past) if past >= Scope::Purged(Id::new(1)) => Stage::Last,
                        _ => Stage::Guilds(from),
                    };
                }
                Stage::Guilds(after) => {
                    let guilds = self.store.list_guilds(after, GUILDS_PAGE).await?;
                    for guild in &guilds {
                        let scopes = scopes_of(&*self.store, *guild).await?;
                        self.waiting.extend(scopes);
                    }
                    self.stage = if guilds.len() < GUILDS_PAGE {
                        Stage::Last
                    } else {
                        Stage::Guilds(guilds.last().copied())
                    };
                }
                Stage::Last => {
                    let channels = self.store.channels_to_purge(WORK_LIST_MAX).await?;
                    self.waiting.extend(channels.into_iter().map(Scope::Purged));
                    self.waiting.extend([Scope::LostFiles, Scope::Purges]);
                    self.stage = Stage::End;
                }
                Stage::End => return Ok(None),
            }
        }
    }
}

async fn scopes_of(store: &dyn Store, guild: GuildId) -> Result<Vec<Scope>> {
    let snapshot = store.guild_without_members(guild).await?;
    let channels = snapshot.map_or_else(Vec::new, |snapshot| snapshot.channels);
    let mut channels: Vec<_> = channels.into_iter().map(|channel| channel.id).collect();
    channels.sort_unstable();
    let parts = [Part::Settings, Part::Members, Part::Bans];
    let parts = parts
        .into_iter()
        .chain(channels.into_iter().map(Part::Messages));
    Ok(parts.map(|part| Scope::Guild(guild, part)).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_list_too_long_is_refused_not_cut() {
        assert_eq!(whole_list(WORK_LIST_MAX, "files"), Ok(()));
        let told = whole_list(WORK_LIST_MAX + 1, "files to delete").unwrap_err();
        assert!(told.to_string().contains("files to delete"), "{told}");
    }
}
