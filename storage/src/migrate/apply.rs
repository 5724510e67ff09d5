//! Writing rows into a store: batches of bounded size, some of them under way at once, tried again.
//!
//! Everything here may be done twice: a row that is put again says the same as before.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use model::user::Account;

use super::row::{Difference, Row, differences};
use crate::engine::scylla::bytes;
use crate::error::StoreError;
use crate::store::{Commit, Result, Store, Write};

/// Writes of one batch.
pub const BATCH_WRITES_MAX: usize = 200;

/// About how many bytes of one batch, unless one write alone has more: what a cluster takes at once.
pub const BATCH_BYTES_MAX: usize = 24 * 1_024;

/// Batches of one piece under way at once.
pub const BATCHES_AT_ONCE_MAX: usize = 8;

/// Accounts that are created at once.
pub const ACCOUNTS_AT_ONCE_MAX: usize = 32;

/// Tries of a piece the store does not take.
pub const TRIES_MAX: u32 = 6;

/// The pause after the first of them; it doubles.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

/// Messages of a channel that nobody asked for, purged at once.
const PURGE_AT_ONCE: usize = 1_000;

/// Cuts writes into batches, in their order.
fn batches(writes: impl IntoIterator<Item = Write>) -> Vec<Vec<Write>> {
    let mut all = Vec::new();
    let (mut batch, mut size) = (Vec::new(), 0);
    for write in writes {
        let more = bytes(std::slice::from_ref(&write));
        let full = batch.len() >= BATCH_WRITES_MAX || size + more > BATCH_BYTES_MAX;
        if full && !batch.is_empty() {
            all.push(std::mem::take(&mut batch));
            size = 0;
        }
        size += more;
        batch.push(write);
    }
    if !batch.is_empty() {
        all.push(batch);
    }
    all
}

/// Commits writes in their order.
///
/// # Errors
/// The first error of a batch; those behind it may be applied or not.
async fn commit(store: &dyn Store, writes: Vec<Write>) -> Result<()> {
    let mut under_way: VecDeque<Commit> = VecDeque::new();
    for batch in batches(writes) {
        if under_way.len() >= BATCHES_AT_ONCE_MAX
            && let Some(oldest) = under_way.pop_front()
        {
            oldest.await?;
        }
        under_way.push_back(store.commit(batch));
    }
    for commit in under_way {
        commit.await?;
    }
    Ok(())
}

/// Creates an account, or changes the one that is there.
async fn put_account(store: &dyn Store, account: &Account) -> Result<()> {
    match store.create_account(account.clone()).await {
        Err(StoreError::Conflict("id")) => {
            let write = Write::PutAccount(Box::new(account.clone()));
            store.commit(vec![write]).await
        }
        created => created,
    }
}

async fn put_all(store: &dyn Store, rows: &[Row], writes: Vec<Write>) -> Result<()> {
    let accounts = rows.iter().filter_map(|row| match row {
        Row::Account(account) => Some(&**account),
        _ => None,
    });
    let created: Vec<_> = accounts.map(|one| put_account(store, one)).collect();
    stream::iter(created)
        .buffer_unordered(ACCOUNTS_AT_ONCE_MAX)
        .try_collect::<()>()
        .await?;
    commit(store, writes).await
}

/// Whether the same again may go well.
pub(super) fn passes(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Busy | StoreError::NotApplied(_) | StoreError::Unknown(_)
    )
}

/// Puts rows over whatever is there, again and again while the store does not take them.
///
/// # Errors
/// What the store answers in the end. Some of the rows may be written.
pub(super) async fn put(store: &dyn Store, rows: &[Row]) -> Result<()> {
    let writes = || {
        let others = rows.iter().filter(|row| !matches!(row, Row::Account(_)));
        others.flat_map(|row| row.put(None)).collect::<Vec<_>>()
    };
    again(|| put_all(store, rows, writes())).await
}

/// Runs some work until it does not end with a passing error, [`TRIES_MAX`] times at most.
///
/// # Errors
/// The last error.
pub(super) async fn again<T, F>(work: impl Fn() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    again_after(PAUSE, work).await
}

async fn again_after<T, F>(mut pause: Duration, work: impl Fn() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    for _ in 1..TRIES_MAX {
        match work().await {
            Err(error) if passes(&error) => {
                tracing::debug!(%error, "the target did not take a piece; it is tried again");
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            result => return result,
        }
    }
    work().await
}

/// Makes the rows of `target`, all there are in a range of the store, those of `source`. Answers what
/// no write could change.
///
/// # Errors
/// As [`put`].
pub(super) async fn repair<'r>(
    store: &dyn Store,
    source: &'r [Row],
    target: &'r [Row],
) -> Result<Vec<(Difference, &'r Row)>> {
    let mut stays = Vec::new();
    let mut accounts = Vec::new();
    let mut writes = Vec::new();
    if let ([], [Row::Guild(guild), ..]) = (source, target) {
        // Its roles, channels and last message go with it.
        return again(|| store.commit(vec![Write::DeleteGuild(guild.id)]))
            .await
            .map(|()| stays);
    }
    for (difference, at, against) in differences(source, target) {
        let (row, old) = (
            at.and_then(|at| source.get(at)),
            against.and_then(|at| target.get(at)),
        );
        match (row, old) {
            (Some(row @ Row::Account(_)), _) => accounts.push(row.clone()),
            (Some(row @ Row::LastMessage(_, now)), Some(Row::LastMessage(_, old))) if old > now => {
                stays.push((difference, row));
            }
            (Some(row), old) => writes.extend(row.put(old)),
            (None, Some(Row::Purge(channel))) => {
                while store.purge_channel(*channel, PURGE_AT_ONCE).await? > 0 {}
            }
            (None, Some(old)) => match old.remove() {
                Some(remove) => writes.extend(remove),
                None => stays.push((difference, old)),
            },
            (None, None) => {}
        }
    }
    again(|| put_all(store, &accounts, writes.clone())).await?;
    Ok(stays)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Id;

    #[test]
    fn batches_are_bounded_and_in_order() {
        let setting = |number: usize, size| Write::PutSetting(number.to_string(), vec![0; size]);
        let small: Vec<_> = (0..450).map(|number| setting(number, 1)).collect();
        let cut = batches(small.clone());
        assert_eq!(cut.concat(), small);
        assert!(cut.iter().all(|batch| batch.len() <= BATCH_WRITES_MAX));
        assert!(cut.iter().all(|batch| bytes(batch) <= BATCH_BYTES_MAX));
        let large: Vec<_> = [10, BATCH_BYTES_MAX * 2, 10, BATCH_BYTES_MAX - 400, 200]
            .map(|size| setting(size, size))
            .to_vec();
        let cut = batches(large.clone());
        assert_eq!(cut.concat(), large);
        assert_eq!(cut.len(), 4, "a large one goes alone");
        assert!(batches([]).is_empty());
    }

    #[tokio::test]
    async fn a_store_that_takes_nothing_is_tried_some_times() {
        let tries = std::sync::atomic::AtomicU32::new(0);
        let work = || {
            tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            std::future::ready(Err::<(), _>(StoreError::Busy))
        };
        assert_eq!(
            again_after(Duration::ZERO, work).await,
            Err(StoreError::Busy)
        );
        assert_eq!(tries.into_inner(), TRIES_MAX);
        let store = crate::engine::memory::MemoryStore::new();
        let write = Write::PutPin(Id::new(1), Id::new(1), 1);
        assert_eq!(
            commit(&store, vec![write]).await,
            Err(StoreError::NotFound),
            "this one is no matter of time"
        );
    }
}
