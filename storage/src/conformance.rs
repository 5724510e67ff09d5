//! The suite every engine must pass: what the port promises, one test per promise.
//!
//! ```text
//!  storage/tests/engines.rs ── engine_conformance!(name, engine) ─▶ one #[tokio::test] per case
//!                                                                   │
//!        accounts · guilds · messages · reactions · pins · read_states · batches · fences · copying ·
//!        restart
//! ```
//!
//! A case opens the engine it is given, writes through the port alone, and asserts; it panics when
//! the engine breaks a promise. Built with the feature `testsuite` only, as is [`faulty`], a store
//! for the tests of those above it.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use async_trait::async_trait;

use model::attachment::Attachment;
use model::channel::Channel;
use model::emoji::ReactionEmoji;
use model::guild::Guild;
use model::member::MemberRecord;
use model::message::MessageRecord;
use model::reaction::ReactionRecord;
use model::snowflake::BUCKET_MS;
use model::user::{Account, User};
use model::{ChannelId, GuildId, Id, MessageId, UserId};

use crate::store::{EmojiCount, ReactionCount, Result, Store, Write};

pub mod accounts;
pub mod guilds;
pub mod messages;
pub mod reactions;
pub mod pins;
pub mod read_states;
pub mod batches;
pub mod fences;
pub mod copying;
pub mod restart;
pub mod faulty;

/// An engine under test.
#[async_trait]
pub trait Engine: Send + Sync {
    /// Opens it: empty the first time, later with the same data if it is durable. A case drops
    /// what it opened before it opens it again.
    async fn open(&self) -> Arc<dyn Store>;
    /// Whether what was acknowledged is there after a close and an open.
    fn durable(&self) -> bool;
}

/// Makes a module of tests, one per case of the suite, each on a fresh engine made by `$engine`.
#[macro_export]
macro_rules! engine_conformance {
    ($name:ident, $engine:expr) => {
        $crate::engine_conformance! { @cases $name, $engine,
            accounts: unique_names, bots_share_names, changes, listing;
            guilds: snapshot, deletion, membership, bans, channels_move_and_go;
            messages: paging, by_id, around, across_buckets, last_message_ids, patches, replaced, large_values, purge, put_while_purged, purge_list, lost_files;
            reactions: counting, order, paging_reactors, times, clearing, several_at_once, need_their_message;
            pins: order_and_count, follow_their_message;
            read_states: merged_in_any_order, listed, deleted;
            batches: all_or_nothing, within_a_batch, in_order, settings, many_at_once, close_refuses;
            fences: claims_rise, a_lower_epoch_is_refused, the_owner_goes_on, a_restart_keeps_them, one_winner_each, each_guild_for_itself, a_deleted_guild_keeps_its_epoch, races_with_a_claim;
            copying: listed_settings, raised_last_messages, files_put_on_the_list;
            restart: everything_is_still_there;
        }
    };
    (@cases $name:ident, $engine:expr, $($group:ident: $($case:ident),*;)*) => {
        mod $name {
            use super::*;
            $(mod $group {
                use super::*;
                $(#[tokio::test]
                async fn $case() {
                    $crate::conformance::$group::$case(&$engine).await;
                })*
            })*
        }
    };
}

/// The guild of most cases.
pub const GUILD: GuildId = Id::new(1_000);
/// The channel of most cases.
pub const CHANNEL: ChannelId = Id::new(2_000);
/// The author of most messages.
pub const ADA: UserId = Id::new(3_001);
/// Someone else.
pub const BOB: UserId = Id::new(3_002);

/// Message number `number` of 10-day bucket `bucket`; greater numbers and buckets are later.
pub fn message_id(bucket: u64, number: u64) -> MessageId {
    Id::new(((bucket * BUCKET_MS + number) << 22) | 1)
}

/// A message of [`ADA`] in [`CHANNEL`] that says its id.
pub fn record(id: MessageId) -> MessageRecord {
    MessageRecord {
        content: format!("message {id}"),
        ..MessageRecord::new(id, CHANNEL, GUILD, ADA)
    }
}

/// Puts [`record`] of `id`.
pub fn put(id: MessageId) -> Write {
    Write::PutMessage(Box::new(record(id)))
}

/// An account.
pub fn account(id: UserId, name: &str, bot: bool) -> Account {
    Account {
        user: User::new(id, name, bot),
        email: None,
        application: None,
        token_generation: 0,
    }
}

/// A file of one byte that is called after its id.
pub fn file(id: u64) -> Attachment {
    Attachment {
        id: Id::new(id),
        filename: format!("{id}.txt"),
        description: None,
        content_type: None,
        size: 1,
        url: String::new(),
        proxy_url: String::new(),
        width: None,
        height: None,
        flags: 0,
    }
}

/// The reactions of several messages of a channel as `reader` sees them.
///
/// # Errors
/// What the store answers.
pub async fn reactions(
    store: &dyn Store,
    channel: ChannelId,
    messages: &[MessageId],
    reader: UserId,
) -> Result<Vec<Vec<ReactionCount>>> {
    let counts = store.reaction_counts(channel, messages).await?;
    let of: Vec<(MessageId, ReactionEmoji)> = messages
        .iter()
        .zip(&counts)
        .flat_map(|(message, counts)| counts.iter().map(|count| (*message, count.emoji.clone())))
        .collect();
    let mut reacted = store.reacted(channel, reader, &of).await?.into_iter();
    let mut seen = |count: EmojiCount| ReactionCount {
        emoji: count.emoji,
        count: count.count,
        me: reacted.next().unwrap(),
    };
    Ok(counts
        .into_iter()
        .map(|counts| counts.into_iter().map(&mut seen).collect())
        .collect())
}

/// A unicode emoji.
pub fn emoji(name: &str) -> ReactionEmoji {
    ReactionEmoji {
        id: None,
        name: Some(name.to_owned()),
        animated: false,
    }
}

/// A reaction in [`CHANNEL`].
pub fn reaction(message: MessageId, user: UserId, name: &str, at_ms: u64) -> ReactionRecord {
    ReactionRecord {
        channel_id: CHANNEL,
        message_id: message,
        user_id: user,
        emoji: emoji(name),
        at_ms,
    }
}

/// [`GUILD`] with [`CHANNEL`] and the accounts and memberships of [`ADA`] and [`BOB`].
pub async fn found(store: &dyn Store) {
    for (user, name) in [(ADA, "ada"), (BOB, "bob")] {
        store
            .create_account(account(user, name, false))
            .await
            .unwrap();
    }
    let joined = model::time::from_unix_ms(1_700_000_000_000);
    let batch = vec![
        Write::PutGuild(Box::new(Guild::new(GUILD, "guild", ADA))),
        Write::PutChannel(Box::new(Channel::new(CHANNEL, GUILD, 0, "general"))),
        Write::PutMember(Box::new(MemberRecord::new(GUILD, ADA, joined))),
        Write::PutMember(Box::new(MemberRecord::new(GUILD, BOB, joined))),
    ];
    store.commit(batch).await.unwrap();
}

/// The ids of messages.
pub fn ids(messages: &[MessageRecord]) -> Vec<MessageId> {
    messages.iter().map(|message| message.id).collect()
}
