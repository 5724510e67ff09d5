//! Every statement the engine sends, prepared once when the store is opened.
//!
//! Columns are always named: a server then answers what the program expects, also while a migration
//! adds one. Every write carries its timestamp as its last value, see [`super::clock`]. A value that
//! is not to be touched is left unset; a null would be a tombstone.

use futures_util::future::try_join_all;
use scylla::client::execution_profile::ExecutionProfileHandle;
use scylla::client::session::Session;
use scylla::statement::prepared::PreparedStatement;
use scylla::value::{CqlValue, MaybeUnset};

use crate::error::StoreError;
use crate::store::Result;

/// Rows of one page of a query whose answer is walked over page by page.
pub const PAGE_ROWS: i32 = 1_000;

/// A value to bind: unset, null or there.
pub(super) type Cell = MaybeUnset<Option<CqlValue>>;

/// A value that is there.
pub(super) fn is(value: CqlValue) -> Cell {
    MaybeUnset::Set(Some(value))
}

/// A 64-bit number.
pub(super) fn big(number: i64) -> Cell {
    is(CqlValue::BigInt(number))
}

/// Bytes.
pub(super) fn blob(bytes: Vec<u8>) -> Cell {
    is(CqlValue::Blob(bytes))
}

macro_rules! statements {
    ($($table:literal { $($(#[$doc:meta])* $name:ident $kind:ident $text:literal,)* })*) => {
        /// A statement; its number finds the prepared one.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub(super) enum Statement { $($($(#[$doc])* $name,)*)* }

        const ALL: &[(&str, Kind, &str)] = &[$($(($table, Kind::$kind, $text),)*)*];
    };
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Read,
    Write,
    /// A lightweight transaction: sent once, never speculatively.
    Transaction,
}

statements! {
    "messages" {
        /// A new message, or all columns of one.
        PutMessage Write "INSERT INTO messages (channel_id, bucket, message_id, guild_id, author_id, type, content, flags, edited_us, tts, mention_everyone, pinned, mentions, mention_roles, attachments, embeds, components, nonce, reference) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?",
        /// Some columns of a message; the timestamp comes first.
        PatchMessage Write "UPDATE messages USING TIMESTAMP ? SET content = ?, flags = ?, edited_us = ?, mention_everyone = ?, pinned = ?, mentions = ?, mention_roles = ?, attachments = ?, embeds = ?, components = ? WHERE channel_id = ? AND bucket = ? AND message_id = ?",
        DeleteMessage Write "DELETE FROM messages USING TIMESTAMP ? WHERE channel_id = ? AND bucket = ? AND message_id = ?",
        DeleteMessagesOfBucket Write "DELETE FROM messages USING TIMESTAMP ? WHERE channel_id = ? AND bucket = ?",
        Message Read "SELECT message_id, guild_id, author_id, type, content, flags, edited_us, tts, mention_everyone, pinned, mentions, mention_roles, attachments, embeds, components, nonce, reference FROM messages WHERE channel_id = ? AND bucket = ? AND message_id = ?",
        /// The newest below an id.
        MessagesBelow Read "SELECT message_id, guild_id, author_id, type, content, flags, edited_us, tts, mention_everyone, pinned, mentions, mention_roles, attachments, embeds, components, nonce, reference FROM messages WHERE channel_id = ? AND bucket = ? AND message_id < ? ORDER BY message_id DESC LIMIT ?",
        /// The oldest above an id.
        MessagesAbove Read "SELECT message_id, guild_id, author_id, type, content, flags, edited_us, tts, mention_everyone, pinned, mentions, mention_roles, attachments, embeds, components, nonce, reference FROM messages WHERE channel_id = ? AND bucket = ? AND message_id > ? ORDER BY message_id ASC LIMIT ?",
        /// When the columns of a message were written, its author's first.
        MessageWritten Read "SELECT WRITETIME(author_id), WRITETIME(content), WRITETIME(flags), WRITETIME(edited_us), WRITETIME(mention_everyone), WRITETIME(pinned), WRITETIME(mentions), WRITETIME(mention_roles), WRITETIME(attachments), WRITETIME(embeds), WRITETIME(components) FROM messages WHERE channel_id = ? AND bucket = ? AND message_id = ?",
        /// What a purge must know, newest first.
        MessagesToPurge Read "SELECT message_id, author_id, attachments FROM messages WHERE channel_id = ? AND bucket = ? LIMIT ?",
        /// All messages of a range of tokens, for the search for orphans.
        MessagesOfTokens Read "SELECT channel_id, bucket, message_id, author_id FROM messages WHERE token(channel_id, bucket) >= ? AND token(channel_id, bucket) <= ?",
    }
    "channel_buckets" {
        PutBucket Write "INSERT INTO channel_buckets (channel_id, bucket) VALUES (?, ?) USING TIMESTAMP ?",
        DeleteBucket Write "DELETE FROM channel_buckets USING TIMESTAMP ? WHERE channel_id = ? AND bucket = ?",
        BucketsDown Read "SELECT bucket FROM channel_buckets WHERE channel_id = ? AND bucket <= ? ORDER BY bucket DESC LIMIT ?",
        BucketsUp Read "SELECT bucket FROM channel_buckets WHERE channel_id = ? AND bucket >= ? ORDER BY bucket ASC LIMIT ?",
    }
    "channel_state" {
        PatchChannelState Write "UPDATE channel_state USING TIMESTAMP ? SET guild_id = ?, last_message_id = ?, ceiling = ?, newest_bucket = ? WHERE channel_id = ?",
        DeleteChannelState Write "DELETE FROM channel_state USING TIMESTAMP ? WHERE channel_id = ?",
        ChannelState Read "SELECT guild_id, last_message_id, ceiling, newest_bucket, WRITETIME(guild_id), WRITETIME(ceiling) FROM channel_state WHERE channel_id = ?",
    }
    "reactions" {
        PutReaction Write "INSERT INTO reactions (channel_id, bucket, message_id, emoji, user_id, at_ms) VALUES (?, ?, ?, ?, ?, ?) USING TIMESTAMP ?",
        DeleteReaction Write "DELETE FROM reactions USING TIMESTAMP ? WHERE channel_id = ? AND bucket = ? AND message_id = ? AND emoji = ? AND user_id = ?",
        DeleteReactionsOfEmoji Write "DELETE FROM reactions USING TIMESTAMP ? WHERE channel_id = ? AND bucket = ? AND message_id = ? AND emoji = ?",
        DeleteReactionsOfMessage Write "DELETE FROM reactions USING TIMESTAMP ? WHERE channel_id = ? AND bucket = ? AND message_id = ?",
        DeleteReactionsOfBucket Write "DELETE FROM reactions USING TIMESTAMP ? WHERE channel_id = ? AND bucket = ?",
        Reaction Read "SELECT at_ms, WRITETIME(at_ms) FROM reactions WHERE channel_id = ? AND bucket = ? AND message_id = ? AND emoji = ? AND user_id = ?",
        /// Those of one user, of several messages and emoji.
        ReactionsOfUser Read "SELECT message_id, emoji FROM reactions WHERE channel_id = ? AND bucket = ? AND (message_id, emoji, user_id) IN ?",
        /// All who reacted, to several messages with several emoji.
        ReactorsOf Read "SELECT message_id, emoji, user_id FROM reactions WHERE channel_id = ? AND bucket = ? AND (message_id, emoji) IN ?",
        Reactors Read "SELECT user_id, at_ms FROM reactions WHERE channel_id = ? AND bucket = ? AND message_id = ? AND emoji = ? AND user_id > ? LIMIT ?",
    }
    "reaction_counts" {
        PutCount Write "INSERT INTO reaction_counts (channel_id, bucket, message_id, emoji, data) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?",
        DeleteCount Write "DELETE FROM reaction_counts USING TIMESTAMP ? WHERE channel_id = ? AND bucket = ? AND message_id = ? AND emoji = ?",
        DeleteCountsOfMessage Write "DELETE FROM reaction_counts USING TIMESTAMP ? WHERE channel_id = ? AND bucket = ? AND message_id = ?",
        DeleteCountsOfBucket Write "DELETE FROM reaction_counts USING TIMESTAMP ? WHERE channel_id = ? AND bucket = ?",
        /// Those of several messages.
        Counts Read "SELECT message_id, emoji, data, WRITETIME(data) FROM reaction_counts WHERE channel_id = ? AND bucket = ? AND message_id IN ?",
    }
    "pins" {
        PutPin Write "INSERT INTO pins (channel_id, message_id, at_ms) VALUES (?, ?, ?) USING TIMESTAMP ?",
        DeletePin Write "DELETE FROM pins USING TIMESTAMP ? WHERE channel_id = ? AND message_id = ?",
        DeletePinsOfChannel Write "DELETE FROM pins USING TIMESTAMP ? WHERE channel_id = ?",
        Pin Read "SELECT at_ms, WRITETIME(at_ms) FROM pins WHERE channel_id = ? AND message_id = ?",
        Pins Read "SELECT message_id, at_ms FROM pins WHERE channel_id = ?",
        LastPin Read "SELECT MAX(at_ms) FROM pins WHERE channel_id = ?",
        PinCount Read "SELECT COUNT(*) FROM pins WHERE channel_id = ?",
    }
    "guild_parts" {
        PutPart Write "INSERT INTO guild_parts (guild_id, part, id, data) VALUES (?, ?, ?, ?) USING TIMESTAMP ?",
        DeletePart Write "DELETE FROM guild_parts USING TIMESTAMP ? WHERE guild_id = ? AND part = ? AND id = ?",
        DeleteGuild Write "DELETE FROM guild_parts USING TIMESTAMP ? WHERE guild_id = ?",
        PatchGuildLast Write "UPDATE guild_parts USING TIMESTAMP ? SET last_message_id = ? WHERE guild_id = ?",
        Part Read "SELECT data FROM guild_parts WHERE guild_id = ? AND part = ? AND id = ?",
        Parts Read "SELECT part, id, data FROM guild_parts WHERE guild_id = ?",
        PartIds Read "SELECT id FROM guild_parts WHERE guild_id = ? AND part = ?",
        PartsUp Read "SELECT data FROM guild_parts WHERE guild_id = ? AND part = ? AND id > ? AND id < ? LIMIT ?",
        PartsDown Read "SELECT data FROM guild_parts WHERE guild_id = ? AND part = ? AND id > ? AND id < ? ORDER BY part DESC, id DESC LIMIT ?",
        GuildLast Read "SELECT last_message_id, WRITETIME(last_message_id) FROM guild_parts WHERE guild_id = ? LIMIT 1",
    }
    "guild_epochs" {
        /// The first claim of a guild.
        FirstEpoch Transaction "INSERT INTO guild_epochs (guild_id, epoch, claim) VALUES (?, ?, ?) IF NOT EXISTS",
        /// A later one.
        RaiseEpoch Transaction "UPDATE guild_epochs SET epoch = ?, claim = ? WHERE guild_id = ? IF epoch < ? AND claim != ?",
        Epoch Read "SELECT epoch, claim FROM guild_epochs WHERE guild_id = ?",
    }
    "members" {
        PutMember Write "INSERT INTO members (guild_id, user_id, data) VALUES (?, ?, ?) USING TIMESTAMP ?",
        DeleteMember Write "DELETE FROM members USING TIMESTAMP ? WHERE guild_id = ? AND user_id = ?",
        DeleteMembersOfGuild Write "DELETE FROM members USING TIMESTAMP ? WHERE guild_id = ?",
        Members Read "SELECT data FROM members WHERE guild_id = ? AND user_id > ? LIMIT ?",
        MemberIds Read "SELECT user_id FROM members WHERE guild_id = ?",
    }
    "guilds_of_user" {
        PutGuildOfUser Write "INSERT INTO guilds_of_user (user_id, guild_id) VALUES (?, ?) USING TIMESTAMP ?",
        DeleteGuildOfUser Write "DELETE FROM guilds_of_user USING TIMESTAMP ? WHERE user_id = ? AND guild_id = ?",
        GuildsOfUser Read "SELECT guild_id FROM guilds_of_user WHERE user_id = ?",
    }
    "accounts" {
        PutAccount Write "INSERT INTO accounts (user_id, data) VALUES (?, ?) USING TIMESTAMP ?",
        /// Several at once.
        Accounts Read "SELECT user_id, data FROM accounts WHERE user_id IN ?",
        Account Read "SELECT data, WRITETIME(data) FROM accounts WHERE user_id = ?",
    }
    "names" {
        ClaimName Transaction "INSERT INTO names (name, user_id, claimed_ms) VALUES (?, ?, ?) IF NOT EXISTS",
        TakeName Transaction "UPDATE names SET user_id = ?, claimed_ms = ? WHERE name = ? IF user_id = ? AND claimed_ms = ?",
    }
    "ids" {
        PutId Write "INSERT INTO ids (kind, shard, id) VALUES (?, ?, ?) USING TIMESTAMP ?",
        DeleteId Write "DELETE FROM ids USING TIMESTAMP ? WHERE kind = ? AND shard = ? AND id = ?",
        Ids Read "SELECT id FROM ids WHERE kind = ? AND shard = ? AND id > ? LIMIT ?",
    }
    "lost_files" {
        PutLostFile Write "INSERT INTO lost_files (shard, channel_id, attachment_id, data) VALUES (?, ?, ?, ?) USING TIMESTAMP ?",
        DeleteLostFile Write "DELETE FROM lost_files USING TIMESTAMP ? WHERE shard = ? AND channel_id = ? AND attachment_id = ?",
        LostFiles Read "SELECT data FROM lost_files WHERE shard = ? LIMIT ?",
    }
    "read_states" {
        PutReadState Write "INSERT INTO read_states (user_id, channel_id, data) VALUES (?, ?, ?) USING TIMESTAMP ?",
        DeleteReadState Write "DELETE FROM read_states USING TIMESTAMP ? WHERE user_id = ? AND channel_id = ?",
        ReadState Read "SELECT data, WRITETIME(data) FROM read_states WHERE user_id = ? AND channel_id = ?",
        ReadStates Read "SELECT data FROM read_states WHERE user_id = ? LIMIT ?",
    }
    "settings" {
        PutSetting Write "INSERT INTO settings (shard, name, value) VALUES (0, ?, ?) USING TIMESTAMP ?",
        /// How far the search for orphans has come.
        PutCursor Write "INSERT INTO settings (shard, name, value) VALUES (1, ?, ?) USING TIMESTAMP ?",
        Cursor Read "SELECT value FROM settings WHERE shard = 1 AND name = ?",
        /// Settings in the order of their names; an empty name is one.
        Settings Read "SELECT name, value FROM settings WHERE shard = 0 AND name >= ? LIMIT ?",
        Setting Read "SELECT value FROM settings WHERE shard = 0 AND name = ?",
    }
}

impl Statement {
    /// The table it is about.
    pub(super) fn table(self) -> &'static str {
        ALL.get(self as usize).map_or("", |(table, _, _)| table)
    }
}

/// All statements, prepared.
pub(super) struct Prepared(Vec<PreparedStatement>);

impl Prepared {
    /// Prepares all statements; reads and writes get the profile that suits them.
    ///
    /// # Errors
    /// [`StoreError::Broken`]: the cluster does not know a table or does not answer.
    pub(super) async fn all(
        session: &Session,
        reads: &ExecutionProfileHandle,
        writes: &ExecutionProfileHandle,
    ) -> Result<Self> {
        let prepare = async |(_, kind, text): &(&str, Kind, &str)| {
            let mut prepared = session.prepare(*text).await.map_err(|error| {
                StoreError::Broken(format!("the cluster cannot prepare \"{text}\": {error}"))
            })?;
            prepared.set_page_size(PAGE_ROWS);
            prepared.set_is_idempotent(*kind != Kind::Transaction);
            let profile = if *kind == Kind::Read { reads } else { writes };
            prepared.set_execution_profile_handle(Some(profile.clone()));
            Ok(prepared)
        };
        Ok(Self(try_join_all(ALL.iter().map(prepare)).await?))
    }

    /// A prepared statement.
    pub(super) fn get(&self, statement: Statement) -> &PreparedStatement {
        self.0
            .get(statement as usize)
            .expect("invariant: every statement was prepared")
    }
}
