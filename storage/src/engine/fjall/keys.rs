//! Which tables there are, and how their keys are laid out.
//!
//! ```text
//! messages           channel ‖ !bucket(4) ‖ !id        newest first in a forward scan
//! channel_buckets    channel ‖ !bucket(4)              which 10-day buckets hold messages
//! channel_state      channel                           last message id
//! guild_state        guild                             last message id
//! reactions          channel ‖ message ‖ emoji ‖ user
//! reaction_counts    channel ‖ message ‖ emoji         how many, since when
//! pins               channel ‖ message                 when
//! pins_by_time       channel ‖ !time ‖ !message        last pinned first
//! guilds             guild                    guild_roles      guild ‖ role
//! guild_channels     guild ‖ channel          channel_guild    channel
//! members            guild ‖ user             member_by_user   user ‖ guild
//! bans               guild ‖ user             purges           channel
//! accounts           user                     names            name
//! settings           name                     meta             name
//! files_to_delete    channel ‖ attachment  read_states      user ‖ channel
//! guild_epochs       guild                    claimed under which epoch
//! ```
//!
//! Numbers are big-endian, 8 bytes if not said otherwise; `!` = all bits inverted, so that greater
//! numbers come first. Texts carry their length in front. So within a table no key is the beginning
//! of another one, which the pieces of long values rely on (see [`super::value`]).

use model::emoji::ReactionEmoji;
use model::snowflake;
use model::{ChannelId, GuildId, Id, MessageId, RoleId, UserId};

use crate::engine::rules::{self, checked_text};
use crate::error::StoreError;
use crate::store::Result;

macro_rules! tables {
    ($($table:ident $name:literal,)*) => {
        /// A table; its number is the first byte of its [`Key`]s.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub(super) enum Table { $($table,)* }

        impl Table {
            /// All tables, in the order of their numbers.
            pub(super) const ALL: &[Self] = &[$(Self::$table,)*];

            /// The name of the table's keyspace on disk.
            pub(super) fn name(self) -> &'static str {
                match self { $(Self::$table => $name,)* }
            }
        }
    };
}

tables! {
    Messages "messages",
    Buckets "channel_buckets",
    ChannelState "channel_state",
    GuildState "guild_state",
    Reactions "reactions",
    ReactionCounts "reaction_counts",
    Pins "pins",
    PinsByTime "pins_by_time",
    Guilds "guilds",
    Roles "guild_roles",
    Channels "guild_channels",
    ChannelGuild "channel_guild",
    Members "members",
    MemberByUser "member_by_user",
    Bans "bans",
    Accounts "accounts",
    Names "names",
    Settings "settings",
    Purges "purges",
    Meta "meta",
    FilesToDelete "files_to_delete",
    ReadStates "read_states",
    Epochs "guild_epochs",
}

impl Table {
    /// Whether its rows keep a number or nothing, and so never take more than one piece.
    pub(super) fn is_short(self) -> bool {
        use Table::*;
        matches!(
            self,
            Buckets
                | ChannelState
                | GuildState
                | Reactions
                | Pins
                | PinsByTime
                | ChannelGuild
                | MemberByUser
                | Names
                | Purges
                | Epochs
        )
    }
}

/// A row's key, or the beginning that some keys share, with the table in front.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(Vec<u8>);

impl Key {
    /// The beginning of all keys of a table.
    pub(super) fn all(table: Table) -> Self {
        let mut bytes = Vec::with_capacity(40);
        bytes.push(table as u8);
        Self(bytes)
    }

    /// A key that was read from a table.
    pub(super) fn read(table: Table, bytes: &[u8]) -> Self {
        Self::all(table).bytes(bytes)
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn id<T>(self, id: Id<T>) -> Self {
        self.bytes(&id.get().to_be_bytes())
    }

    fn text(self, text: &[u8]) -> Self {
        let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
        self.bytes(&length.to_be_bytes()).bytes(text)
    }

    /// The table.
    pub(super) fn table(&self) -> Table {
        let number = self.0.first().copied().unwrap_or_default();
        Table::ALL
            .get(usize::from(number))
            .copied()
            .expect("invariant: a key begins with the number of a table")
    }

    /// The key inside its table.
    pub(super) fn in_table(&self) -> &[u8] {
        self.0.get(1..).unwrap_or_default()
    }

    /// Whether it is in the table of `prefix` and begins with it.
    pub(super) fn begins_with(&self, prefix: &Self) -> bool {
        self.0.starts_with(&prefix.0)
    }

    /// The least key above all that begin with this one, or `None` when the table ends there.
    pub(super) fn after_all(&self) -> Option<Vec<u8>> {
        let mut bytes = self.in_table().to_vec();
        while let Some(last) = bytes.pop() {
            if let Some(next) = last.checked_add(1) {
                bytes.push(next);
                return Some(bytes);
            }
        }
        None
    }
}

/// A message.
pub(super) fn message(channel: ChannelId, message: MessageId) -> Key {
    bucket(channel, snowflake::bucket(message))
        .retable(Table::Messages)
        .bytes(&(!message.get()).to_be_bytes())
}

/// A bucket of a channel that holds messages.
pub(super) fn bucket(channel: ChannelId, bucket: u32) -> Key {
    Key::all(Table::Buckets)
        .id(channel)
        .bytes(&(!bucket).to_be_bytes())
}

/// The messages of one bucket, by the key of the bucket.
pub(super) fn messages_of_bucket(bucket: &Key) -> Key {
    bucket.clone().retable(Table::Messages)
}

impl Key {
    fn retable(mut self, table: Table) -> Self {
        if let Some(first) = self.0.first_mut() {
            *first = table as u8;
        }
        self
    }
}

/// All rows of a table that belong to `owner`.
pub(super) fn of<T>(table: Table, owner: Id<T>) -> Key {
    Key::all(table).id(owner)
}

/// A row named by two ids.
pub(super) fn pair<A, B>(table: Table, first: Id<A>, second: Id<B>) -> Key {
    of(table, first).id(second)
}

/// A pin in the order of time.
pub(super) fn pin_at(channel: ChannelId, at_ms: u64, message: MessageId) -> Key {
    of(Table::PinsByTime, channel)
        .bytes(&(!at_ms).to_be_bytes())
        .bytes(&(!message.get()).to_be_bytes())
}

/// The beginning of pins made at `at_ms` or earlier.
pub(super) fn pins_from(channel: ChannelId, at_ms: u64) -> Key {
    of(Table::PinsByTime, channel).bytes(&(!at_ms).to_be_bytes())
}

/// All reactions with one emoji.
///
/// # Errors
/// [`StoreError::NotApplied`] when the emoji's name is too long to be one.
pub(super) fn reacted(
    table: Table,
    channel: ChannelId,
    message: MessageId,
    emoji: &ReactionEmoji,
) -> Result<Key> {
    let identity = rules::emoji_identity(emoji);
    Ok(pair(table, channel, message).text(checked_text(&identity)?))
}

/// One user's reaction.
///
/// # Errors
/// As [`reacted`].
pub(super) fn reaction(
    channel: ChannelId,
    message: MessageId,
    emoji: &ReactionEmoji,
    user: UserId,
) -> Result<Key> {
    Ok(reacted(Table::Reactions, channel, message, emoji)?.id(user))
}

/// A role, a channel or a member of a guild: thin names for [`pair`], so that nobody swaps the ids.
pub(super) fn role(guild: GuildId, role: RoleId) -> Key {
    pair(Table::Roles, guild, role)
}

/// A channel of a guild.
pub(super) fn channel(guild: GuildId, channel: ChannelId) -> Key {
    pair(Table::Channels, guild, channel)
}

/// A member of a guild.
pub(super) fn member(guild: GuildId, user: UserId) -> Key {
    pair(Table::Members, guild, user)
}

/// A row named by a text.
///
/// # Errors
/// [`StoreError::NotApplied`] when the text is longer than [`rules::TEXT_MAX`].
pub(super) fn named(table: Table, name: &str) -> Result<Key> {
    Ok(Key::all(table).text(checked_text(name.as_bytes())?))
}

/// The text in a key that [`named`] made.
///
/// # Errors
/// [`StoreError::Corrupt`].
pub(super) fn name_in(key: &[u8]) -> Result<String> {
    let name = key.get(2..).map(|text| text.to_vec());
    name.and_then(|text| String::from_utf8(text).ok())
        .ok_or_else(|| StoreError::Corrupt(format!("a key without a name: {key:?}")))
}

/// The id in the last 8 bytes of a key.
///
/// # Errors
/// [`StoreError::Corrupt`].
pub(super) fn last_id<T>(key: &[u8]) -> Result<Id<T>> {
    let number = key
        .last_chunk::<8>()
        .map(|bytes| u64::from_be_bytes(*bytes));
    number
        .and_then(Id::new_checked)
        .ok_or_else(|| StoreError::Corrupt(format!("a key without an id: {key:?}")))
}

/// The id in the last 8 bytes of a key that keeps them inverted.
///
/// # Errors
/// [`StoreError::Corrupt`].
pub(super) fn last_inverted_id<T>(key: &[u8]) -> Result<Id<T>> {
    let number = key
        .last_chunk::<8>()
        .map(|bytes| !u64::from_be_bytes(*bytes));
    number
        .and_then(Id::new_checked)
        .ok_or_else(|| StoreError::Corrupt(format!("a key without an id: {key:?}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn newer_messages_come_first_across_buckets() {
        let channel = Id::new(9);
        let ids = [
            1_u64,
            2,
            (snowflake::BUCKET_MS << 22) - 1,
            snowflake::BUCKET_MS << 22,
            (snowflake::BUCKET_MS * 5) << 22,
        ];
        let keys: Vec<_> = ids.map(|id| message(channel, Id::new(id))).to_vec();
        assert!(keys.windows(2).all(|pair| pair[0] > pair[1]), "{keys:?}");
        assert_eq!(
            last_inverted_id::<()>(keys[3].in_table()).unwrap().get(),
            ids[3]
        );
    }

    #[test]
    fn no_name_is_the_beginning_of_another_key() {
        let short = named(Table::Settings, "a").unwrap();
        let long = named(Table::Settings, "ab").unwrap();
        assert!(!long.in_table().starts_with(short.in_table()));
        assert_eq!(name_in(long.in_table()).unwrap(), "ab");
        assert!(name_in(&[0, 1, 0xff]).is_err());
        assert!(named(Table::Settings, &"x".repeat(rules::TEXT_MAX + 1)).is_err());
    }

    #[test]
    fn the_end_of_a_prefix_carries() {
        let key = of(Table::Roles, Id::<()>::new(0x01ff));
        assert_eq!(key.after_all().unwrap(), [0, 0, 0, 0, 0, 0, 2]);
        assert_eq!(of(Table::Roles, Id::<()>::new(u64::MAX)).after_all(), None);
        assert_eq!(Key::all(Table::Meta).after_all(), None);
        assert_eq!(key.table(), Table::Roles);
    }
}
