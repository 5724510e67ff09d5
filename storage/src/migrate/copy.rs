//! The offline copy: scope by scope, some at once, piece by piece, with checkpoints.
//!
//! ```text
//!  walk ─▶ scope ─▶ read a piece ─▶ put it ─▶ checkpoint ─┐    up to SCOPES_AT_ONCE_MAX of these
//!                        ▲  while the one before is put   │
//!                        └────────────────────────────────┘
//! ```
//!
//! A piece is remembered only when the target has acknowledged it, so whatever ends the program, the
//! same command goes on where it was; at most [`SCOPES_AT_ONCE_MAX`] pieces are put a second time,
//! which changes nothing.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::task::JoinSet;

use model::{ChannelId, MessageId};

use super::position::{At, Marker, Position};
use super::progress::{Counts, Progress, Stage};
use super::row::Key;
use super::scope::{PIECE_ROWS, Piece, Scope, Walk, read};
use super::{Failure, apply, keep_marker};
use crate::store::{Page, Result, Store};

/// Scopes, channels mostly, that are copied or compared at once.
pub const SCOPES_AT_ONCE_MAX: usize = 8;

/// Scopes a checkpoint remembers one by one because one before them is not done; then the next one
/// waits for it.
pub const SCOPES_OPEN_MAX: usize = 1_024;

/// How far it is, and what of that the target has.
pub(super) struct Checkpoint {
    target: Arc<dyn Store>,
    position: Mutex<(Position, u64)>,
    /// Which state was kept last; held while one is being kept.
    kept: tokio::sync::Mutex<u64>,
}

impl Checkpoint {
    /// Goes on from a position.
    pub(super) fn new(target: Arc<dyn Store>, position: Position) -> Self {
        Self {
            target,
            position: Mutex::new((position, 0)),
            kept: tokio::sync::Mutex::new(0),
        }
    }

    /// The position now.
    pub(super) fn position(&self) -> Position {
        self.position.lock().0.clone()
    }

    /// Changes the position; [`Checkpoint::keep`] makes that durable.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Position) -> T) -> T {
        let mut position = self.position.lock();
        position.1 += 1;
        change(&mut position.0)
    }

    /// Returns when the position, as it is at the call or later, is durable. Those who wait while one
    /// is being kept share the next.
    pub(super) async fn keep(&self) -> Result<()> {
        let wanted = self.position.lock().1;
        let mut kept = self.kept.lock().await;
        if *kept >= wanted {
            return Ok(());
        }
        let (position, state) = self.position.lock().clone();
        keep_marker(&*self.target, &Marker::Target(position)).await?;
        *kept = state;
        Ok(())
    }
}

/// Copies everything that is not copied yet.
///
/// # Errors
/// [`Failure`]: which store failed. What was acknowledged is remembered; the same again goes on.
pub(super) async fn copy(
    source: &Arc<dyn Store>,
    checkpoint: &Arc<Checkpoint>,
    progress: &Arc<Progress>,
) -> std::result::Result<(), Failure> {
    let done = checkpoint.position().done();
    let scopes = count(source, done).await.map_err(Failure::Source)?;
    progress.begin(Stage::Copying, scopes);
    let mut walk = Walk::new(source.clone(), done);
    let mut running = JoinSet::new();
    let mut next = walk.next().await.map_err(Failure::Source)?;
    loop {
        while let Some(scope) = next {
            if running.len() >= SCOPES_AT_ONCE_MAX || !checkpoint.position.lock().0.has_room(scope)
            {
                break;
            }
            next = walk.next().await.map_err(Failure::Source)?;
            match checkpoint.change(|position| position.begin(scope)) {
                At::End => progress.close(scope),
                At::Key(after) => {
                    let one = CopyScope {
                        source: source.clone(),
                        checkpoint: checkpoint.clone(),
                        progress: progress.clone(),
                        scope,
                    };
                    running.spawn(one.run(after));
                }
            }
        }
        match running.join_next().await {
            Some(Ok(result)) => result?,
            Some(Err(panicked)) => return Err(Failure::Ended(panicked.to_string())),
            None if next.is_none() => return Ok(()),
            // All that is open was done before; the next one has room then.
            None => checkpoint.change(|position| position.settle()),
        }
    }
}

/// How many scopes there are past one.
pub(super) async fn count(store: &Arc<dyn Store>, past: Option<Scope>) -> Result<usize> {
    let mut walk = Walk::new(store.clone(), past);
    let mut count = 0;
    while walk.next().await?.is_some() {
        count += 1;
    }
    Ok(count)
}

/// The last message of a channel, for the bar.
pub(super) async fn last_message(
    store: &dyn Store,
    channel: Option<ChannelId>,
) -> Result<Option<MessageId>> {
    let Some(channel) = channel else {
        return Ok(None);
    };
    let last = store.messages(channel, Page::Latest, 1).await?;
    Ok(last.first().map(|record| record.id))
}

/// The id of a message whose key this is.
pub(super) fn message_of(scope: Scope, key: Option<&Key>) -> Option<MessageId> {
    match (scope.channel(), key) {
        (Some(_), Some(Key::Id(id))) => MessageId::new_checked(*id),
        _ => None,
    }
}

struct CopyScope {
    source: Arc<dyn Store>,
    checkpoint: Arc<Checkpoint>,
    progress: Arc<Progress>,
    scope: Scope,
}

impl CopyScope {
    async fn run(self, after: Option<Key>) -> std::result::Result<(), Failure> {
        let (source, scope) = (&*self.source, self.scope);
        let last = last_message(source, scope.channel()).await;
        self.progress.open(scope, last.map_err(Failure::Source)?);
        let mut piece = read(source, scope, after.as_ref(), PIECE_ROWS).await;
        loop {
            let now = piece.map_err(Failure::Source)?;
            let Some(next) = now.next.clone() else {
                self.put(now).await.map_err(Failure::Target)?;
                self.progress.close(scope);
                return Ok(());
            };
            // The next one is read while this one is put.
            let (read, put) =
                tokio::join!(read(source, scope, Some(&next), PIECE_ROWS), self.put(now),);
            put.map_err(Failure::Target)?;
            piece = read;
        }
    }

    async fn put(&self, piece: Piece) -> Result<()> {
        apply::put(&*self.checkpoint.target, &piece.rows).await?;
        let mut counts = Counts::default();
        for row in &piece.rows {
            row.count(&mut counts);
        }
        let last = piece.rows.last().map(super::row::Row::key);
        let message = message_of(self.scope, last.as_ref());
        self.progress.rows(self.scope, &counts, message);
        let at = piece.next.map_or(At::End, |next| At::Key(Some(next)));
        self.checkpoint
            .change(|position| position.advance(self.scope, at, &counts));
        apply::again(|| self.checkpoint.keep()).await
    }
}
