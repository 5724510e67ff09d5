//! The tables, as migrations: each version is a list of statements, applied once and in order.
//!
//! ```text
//!  open ─▶ keyspace there? ─ no ─▶ make it (create=true)
//!       ─▶ applied versions, from schema_versions
//!            newer than known ─▶ refused: run the version that wrote it
//!            some missing     ─▶ apply them (create=true), or refuse
//! ```
//!
//! ```text
//!  messages         (channel, bucket) ‖ message↓      a row per message; no author: an orphan
//!  reactions        (channel, bucket) ‖ message ‖ emoji ‖ user
//!  reaction_counts  (channel, bucket) ‖ message ‖ emoji
//!  channel_buckets  channel ‖ bucket↓                 which 10-day buckets hold messages
//!  channel_state    channel                           guild, last message
//!  pins             channel ‖ message
//!  guild_parts      guild ‖ part ‖ id                 settings, roles, channels, bans; last message
//!  members          guild ‖ user                      guilds_of_user  user ‖ guild
//!  accounts         user                              names           name (lightweight transactions)
//!  ids              (kind, shard) ‖ id                guilds, accounts, channels to purge, in order
//!  lost_files       shard ‖ channel ‖ attachment      settings        0 ‖ name
//!  read_states      user ‖ channel                    guild_epochs    guild (lightweight transactions)
//! ```
//!
//! Reactions share the partitioning of messages, so that a page of history is joined with its
//! reactions by one query per bucket, and a purge deletes whole partitions. Compaction and
//! replication are the operator's: no table asks for a strategy that only one of the servers has.
//! `ids`, `lost_files` are worked off from the front; their sixteen shards keep the tombstones of
//! one scan few.

use std::time::Duration;

use scylla::client::session::Session;
use scylla::errors::ExecutionError;
use scylla::statement::Statement;

use super::clock;
use super::start;
use super::url::Cluster;
use crate::error::StoreError;
use crate::store::Result;

/// Longest time to make a table: on a busy cluster it is long.
const TABLE_TIME_MAX: Duration = Duration::from_secs(60);

/// All versions, oldest first; version 1 is the first. Never change one that was released.
const MIGRATIONS: [&[&str]; 3] = [FIRST, READ_STATES, EPOCHS];

const FIRST: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS messages (channel_id bigint, bucket int, message_id bigint, \
     guild_id bigint, author_id bigint, type tinyint, content text, flags bigint, edited_us bigint, \
     tts boolean, mention_everyone boolean, pinned boolean, mentions frozen<list<bigint>>, \
     mention_roles frozen<list<bigint>>, attachments blob, embeds blob, components blob, nonce blob, \
     reference blob, PRIMARY KEY ((channel_id, bucket), message_id)) \
     WITH CLUSTERING ORDER BY (message_id DESC)",
    "CREATE TABLE IF NOT EXISTS channel_buckets (channel_id bigint, bucket int, \
     PRIMARY KEY (channel_id, bucket)) WITH CLUSTERING ORDER BY (bucket DESC)",
    "CREATE TABLE IF NOT EXISTS channel_state (channel_id bigint PRIMARY KEY, guild_id bigint, \
     last_message_id bigint, ceiling bigint, newest_bucket int)",
    "CREATE TABLE IF NOT EXISTS reactions (channel_id bigint, bucket int, message_id bigint, \
     emoji blob, user_id bigint, at_ms bigint, \
     PRIMARY KEY ((channel_id, bucket), message_id, emoji, user_id))",
    "CREATE TABLE IF NOT EXISTS reaction_counts (channel_id bigint, bucket int, message_id bigint, \
     emoji blob, data blob, PRIMARY KEY ((channel_id, bucket), message_id, emoji))",
    "CREATE TABLE IF NOT EXISTS pins (channel_id bigint, message_id bigint, at_ms bigint, \
     PRIMARY KEY (channel_id, message_id))",
    "CREATE TABLE IF NOT EXISTS guild_parts (guild_id bigint, part tinyint, id bigint, \
     last_message_id bigint STATIC, data blob, PRIMARY KEY (guild_id, part, id))",
    "CREATE TABLE IF NOT EXISTS members (guild_id bigint, user_id bigint, data blob, \
     PRIMARY KEY (guild_id, user_id))",
    "CREATE TABLE IF NOT EXISTS guilds_of_user (user_id bigint, guild_id bigint, \
     PRIMARY KEY (user_id, guild_id))",
    "CREATE TABLE IF NOT EXISTS accounts (user_id bigint PRIMARY KEY, data blob)",
    "CREATE TABLE IF NOT EXISTS names (name text PRIMARY KEY, user_id bigint, claimed_ms bigint)",
    "CREATE TABLE IF NOT EXISTS ids (kind tinyint, shard tinyint, id bigint, \
     PRIMARY KEY ((kind, shard), id))",
    "CREATE TABLE IF NOT EXISTS lost_files (shard tinyint, channel_id bigint, \
     attachment_id bigint, data blob, PRIMARY KEY (shard, channel_id, attachment_id))",
    "CREATE TABLE IF NOT EXISTS settings (shard tinyint, name text, value blob, \
     PRIMARY KEY (shard, name))",
];

const READ_STATES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS read_states (user_id bigint, channel_id bigint, \
     data blob, PRIMARY KEY (user_id, channel_id))",
];

const EPOCHS: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS guild_epochs (guild_id bigint PRIMARY KEY, \
     epoch bigint, claim bigint)",
];

const VERSIONS_TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_versions (shard tinyint, \
     version int, applied_us bigint, PRIMARY KEY (shard, version))";

/// What has to be applied, or why the keyspace cannot be used.
#[derive(Debug, PartialEq, Eq)]
enum Todo {
    /// Nothing: it is as this program knows it.
    Nothing,
    /// The versions from this one on.
    From(usize),
}

/// Compares the versions that were applied with those this program knows.
fn todo(applied: &[i32], known: usize, create: bool) -> std::result::Result<Todo, String> {
    let newest = applied.iter().copied().max().unwrap_or(0);
    let done = usize::try_from(newest).map_err(|_| format!("version {newest} is no version"))?;
    if done > known {
        return Err(format!(
            "the keyspace has version {done}, this program knows {known}; run the version that wrote it"
        ));
    }
    if let Some(gap) = (1..newest).find(|version| !applied.contains(version)) {
        return Err(format!(
            "version {gap} of the tables was never applied, {newest} was"
        ));
    }
    if done == known {
        Ok(Todo::Nothing)
    } else if create {
        Ok(Todo::From(done))
    } else {
        Err(format!(
            "the keyspace has version {done} of {known}; open it once with create=true"
        ))
    }
}

/// Brings the keyspace to the version this program knows and makes it the session's.
///
/// # Errors
/// [`StoreError::Broken`] with a text for the operator. A migration that failed midway is done again
/// by the next start: each statement does nothing when it was done.
pub(super) async fn prepare(session: &Session, cluster: &Cluster) -> Result<()> {
    let keyspace = &cluster.keyspace;
    if cluster.create {
        let factor = cluster.replication.0;
        let replicas = match &cluster.datacenter {
            Some(datacenter) => format!("'{datacenter}': {factor}"),
            None => format!("'replication_factor': {factor}"),
        };
        let make = format!(
            "CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = \
             {{'class': 'NetworkTopologyStrategy', {replicas}}}"
        );
        run(session, &make).await?;
    }
    session
        .use_keyspace(keyspace.as_str(), false)
        .await
        .map_err(|error| start::no_keyspace(cluster, error))?;
    if cluster.create {
        run(session, VERSIONS_TABLE).await?;
    }
    let applied = applied(session).await?;
    match todo(&applied, MIGRATIONS.len(), cluster.create).map_err(StoreError::Broken)? {
        Todo::Nothing => {}
        Todo::From(first) => {
            for (version, statements) in (1..).zip(MIGRATIONS).skip(first) {
                tracing::info!(keyspace, version, "the tables get a new version");
                for statement in statements {
                    run(session, statement).await?;
                }
                let row =
                    "INSERT INTO schema_versions (shard, version, applied_us) VALUES (0, ?, ?)";
                session
                    .query_unpaged(row, (version, clock::now()))
                    .await
                    .map_err(|error| broken(row, &error))?;
            }
        }
    }
    Ok(())
}

async fn applied(session: &Session) -> Result<Vec<i32>> {
    let question = "SELECT version FROM schema_versions WHERE shard = 0";
    let answer = session
        .query_unpaged(question, ())
        .await
        .map_err(|error| broken(question, &error))?;
    let rows = answer.into_rows_result().map_err(damaged)?;
    rows.rows::<(i32,)>()
        .map_err(damaged)?
        .map(|row| row.map(|(version,)| version).map_err(damaged))
        .collect()
}

async fn run(session: &Session, statement: &str) -> Result<()> {
    let mut asked = Statement::new(statement);
    asked.set_request_timeout(Some(TABLE_TIME_MAX));
    session
        .query_unpaged(asked, ())
        .await
        .map(drop)
        .map_err(|error| broken(statement, &error))
}

fn broken(statement: &str, error: &ExecutionError) -> StoreError {
    let head: String = statement.chars().take(60).collect();
    StoreError::Broken(format!("the cluster refused \"{head}…\": {error}"))
}

fn damaged(error: impl std::fmt::Display) -> StoreError {
    StoreError::Broken(format!(
        "the versions of the tables cannot be read: {error}"
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn migrations_are_applied_in_order_and_newer_ones_refused() {
        assert_eq!(todo(&[], 2, true), Ok(Todo::From(0)));
        assert_eq!(todo(&[1], 2, true), Ok(Todo::From(1)));
        assert_eq!(todo(&[2, 1], 2, true), Ok(Todo::Nothing));
        assert_eq!(todo(&[1, 2], 2, false), Ok(Todo::Nothing));
        assert!(todo(&[1, 2, 3], 2, true).unwrap_err().contains("version 3"));
        assert!(todo(&[2], 2, true).unwrap_err().contains("version 1"));
        assert!(todo(&[], 2, false).unwrap_err().contains("create=true"));
        assert!(todo(&[1], 2, false).unwrap_err().contains("create=true"));
        assert!(todo(&[-1], 2, true).is_err());
    }
}
