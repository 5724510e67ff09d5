//! The supervision tree of the chat system, on one screen.
//!
//! ```text
//! chat (one for one) ─┬─ read states                writes what people have read, a while later
//!                     ├─ presence                   who is there, folded over sessions
//!                     ├─ guilds (dynamic)           started on demand, one family per guild
//!                     │    └─ family (rest for one) ─┬─ lane    settles changes in order
//!                     │                              ├─ relay   hands events to sessions
//!                     │                              ├─ keeper  owns the member table
//!                     │                              ├─ guild   decides
//!                     │                              └─ list    makes member lists
//!                     ├─ sessions (dynamic)         one per login, temporary
//!                     └─ upkeep                     the store's work in the background, if it has any
//! ```
//!
//! The tree starts in this order and stops in reverse: upkeep, sessions, guilds, then presence and
//! read states.

use std::time::Duration;

use futures_util::future::join_all;
use otp::{ExitReason, Node, Options, Supervisor, SupervisorRef};
use storage::DataService;
use storage::blob::BlobStore;

use crate::accounts::Secret;
use crate::chat::{Chat, ChatConfig, Parts};
use crate::error::{ChatError, Result};
use crate::guild::{self, Guilds};
use crate::ids::Ids;
use crate::presence::Presences;
use crate::read_states::ReadStates;
use crate::session::Sessions;
use crate::upkeep;

/// Name of the supervisor at the top.
pub const NAME: &str = "chat";

/// Restarts of the children within [`RESTART_PERIOD`] after which the chat system gives up
/// and the node must stop.
pub const RESTARTS_MAX: usize = 10;

/// Time within which restarts are counted.
pub const RESTART_PERIOD: Duration = Duration::from_secs(10);

/// Builds the tree on `node`.
///
/// # Errors
/// [`ChatError::Unavailable`] when a process does not start; nothing is left running.
pub(crate) async fn start(
    node: Node,
    data: DataService,
    blobs: BlobStore,
    config: ChatConfig,
    secret: Secret,
    ids: Ids,
) -> Result<Chat> {
    let presences = Presences::new(&node);
    let read_states = ReadStates::new(&node);
    let guilds = Guilds::new(&node);
    let sessions = Sessions::new(&node, &config);
    let mut tree = Supervisor::one_for_one()
        .intensity(RESTARTS_MAX, RESTART_PERIOD)
        .child(read_states.child_spec(&data))
        .child(presences.child_spec())
        .child(guilds.child_spec())
        .child(sessions.child_spec());
    if let Some(upkeep) = upkeep::child_spec(&data) {
        tree = tree.child(upkeep);
    }
    tree.start(&node, Options::new().name(NAME).label("chat supervisor"))
        .await
        .map_err(|error| {
            tracing::error!(%error, "the chat system does not start");
            ChatError::Unavailable
        })?;
    Ok(Chat::assemble(Parts {
        node,
        data,
        blobs,
        config,
        secret,
        ids,
        guilds,
        sessions,
        presences,
        read_states,
    }))
}

/// Sends everybody away over `spread` (op 7), lets the guilds settle what they have taken on, and
/// stops the tree; the whole within `deadline`.
pub(crate) async fn drain(chat: &Chat, spread: Duration, deadline: Duration) {
    let end = tokio::time::Instant::now() + deadline;
    chat.sessions().refuse_new();
    let away = chat.sessions().reconnect_all(spread);
    if tokio::time::timeout_at(end, away).await.is_err() {
        tracing::warn!("not every session was told to reconnect in time");
    }
    chat.guilds().refuse_new();
    let guilds = chat.guilds().ids();
    let settled = join_all(
        guilds
            .into_iter()
            .filter_map(|id| chat.guilds().lookup(id))
            .map(|server| async move {
                // A guild that ended meanwhile has nothing left to settle.
                let _ = server.call_infinity(guild::Message::Drain).await;
            }),
    );
    if tokio::time::timeout_at(end, settled).await.is_err() {
        tracing::warn!("not every guild settled its changes in time");
    }
    // Before the tree, which may need all the time there is, and after it, when nothing more comes.
    flush(chat, end).await;
    let left = end.saturating_duration_since(tokio::time::Instant::now());
    if let Some(tree) = SupervisorRef::whereis(chat.node(), NAME)
        && let Err(error) = tree.stop(ExitReason::Shutdown, left).await
    {
        tracing::warn!(%error, "the chat system did not stop in time");
    }
    flush(chat, end).await;
}

/// Writes what people have read.
async fn flush(chat: &Chat, end: tokio::time::Instant) {
    let flushed = chat.read_states().flush(chat.data());
    if tokio::time::timeout_at(end, flushed).await.is_err() {
        tracing::warn!("not every read state was written in time");
    }
}
