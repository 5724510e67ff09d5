//! Fencing on a cluster: a guild is claimed by a lightweight transaction, and every commit of an owner
//! looks twice whether it still is the owner's.
//!
//! ```text
//!  claim:   read the row: none ─▶ INSERT IF NOT EXISTS        refused: whose is it?
//!                         lower ─▶ UPDATE IF epoch < ?          ours (an earlier try) ─▶ claimed
//!                         as high, higher ─▶ Fenced             another's ─▶ Fenced, or once more
//!
//!  commit:  (a) facts.rs reads the row: higher than the fence ─▶ Fenced, nothing is written
//!               the write, at a quorum
//!           (b) read at a quorum: higher ─▶ not acknowledged, Unknown
//! ```
//!
//! Plain writes cannot be made on a condition, so a claim may come between (a) and the write; (b) sees
//! to it that such a write is not acknowledged. What was acknowledged was at a quorum before a read at a
//! quorum began that did not see the claim: so the claim was completed after, and what the new owner
//! reads then has the write. `docs/adr/0009-fencing-by-epoch.md`.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use futures_util::future::try_join_all;
use scylla::value::CqlValue;

use model::GuildId;

use super::link::Link;
use super::names::CLAIM_TRIES_MAX;
use super::record::int;
use super::statements::{Statement, big};
use super::work::Work;
use crate::error::StoreError;
use crate::fence::Epoch;
use crate::store::{Result, Write};

/// The fences of a batch.
pub(super) type Fences = Vec<(GuildId, Epoch)>;

/// The fences of a batch.
pub(super) fn fences(batch: &[Write]) -> Fences {
    let fence = |write: &Write| match write {
        Write::Fence(guild, epoch) => Some((*guild, *epoch)),
        _ => None,
    };
    batch.iter().filter_map(fence).collect()
}

/// Who holds a guild: the epoch, and which claim of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    epoch: Epoch,
    claim: i64,
}

impl Held {
    fn new(epoch: i64, claim: i64) -> Result<Self> {
        let epoch = u64::try_from(epoch)
            .map_err(|_| StoreError::Corrupt(format!("{epoch} is no epoch")))?;
        Ok(Self {
            epoch: Epoch(epoch),
            claim,
        })
    }

    /// What stood against a transaction.
    fn of(columns: &HashMap<String, CqlValue>) -> Result<Self> {
        match (columns.get("epoch"), columns.get("claim")) {
            (Some(CqlValue::BigInt(epoch)), Some(CqlValue::BigInt(claim))) => {
                Self::new(*epoch, *claim)
            }
            _ => Err(StoreError::Corrupt("a claim without an epoch".to_owned())),
        }
    }
}

async fn held(link: &Link, guild: GuildId) -> Result<Option<Held>> {
    let rows = link
        .rows_now::<(i64, i64)>(Statement::Epoch, vec![big(int(guild))])
        .await?;
    let row = rows.into_iter().next();
    row.map(|(epoch, claim)| Held::new(epoch, claim))
        .transpose()
}

/// The epoch a guild was last claimed under, for a write.
///
/// # Errors
/// As [`Link::rows_now`].
pub(super) async fn epoch(link: &Link, guild: GuildId) -> Result<Epoch> {
    Ok(held(link, guild)
        .await?
        .map_or(Epoch::NONE, |held| held.epoch))
}

/// Claims a guild; see [`crate::Store::claim`]. A transaction whose outcome is not known is asked
/// again: then it is seen, because each call of this function claims under a number of its own.
///
/// # Errors
/// [`StoreError::Fenced`], [`StoreError::NotApplied`], [`StoreError::Busy`]: nothing was changed.
/// [`StoreError::Unknown`]: it may be claimed.
pub(super) async fn claim(link: &Link, guild: GuildId, epoch: Epoch) -> Result<()> {
    let Ok(number) = i64::try_from(epoch.0) else {
        return Err(StoreError::NotApplied(format!("{epoch} is no epoch")));
    };
    let claim = i64::from_ne_bytes(RandomState::new().build_hasher().finish().to_ne_bytes());
    let mut unknown = None;
    let mut left = CLAIM_TRIES_MAX;
    loop {
        left -= 1;
        let error = match claim_once(link, guild, number, claim).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let again = matches!(
            error,
            StoreError::Unknown(_) | StoreError::NotApplied(_) | StoreError::Busy
        );
        if matches!(error, StoreError::Unknown(_)) {
            unknown = Some(error.clone());
        }
        if !again || left == 0 {
            // That an earlier try was made is not known where the last one was not.
            return Err(match error {
                StoreError::Fenced => error,
                error => unknown.unwrap_or(error),
            });
        }
        // Rivals for one guild get out of each other's step.
        let pause = 20 + claim.unsigned_abs() % 50;
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

async fn claim_once(link: &Link, guild: GuildId, epoch: i64, claim: i64) -> Result<()> {
    let ours = Held::new(epoch, claim)?;
    let mut found = held(link, guild).await?;
    if found.is_none() && ours.epoch > Epoch::NONE {
        let values = vec![big(int(guild)), big(epoch), big(claim)];
        match link.transaction(Statement::FirstEpoch, values).await? {
            None => return Ok(()),
            Some(columns) => found = Some(Held::of(&columns)?),
        }
    }
    if found.is_some_and(|held| held.epoch < ours.epoch) {
        // The second condition always holds; it makes servers tell the column.
        let values = vec![
            big(epoch),
            big(claim),
            big(int(guild)),
            big(epoch),
            big(claim),
        ];
        match link.transaction(Statement::RaiseEpoch, values).await? {
            None => return Ok(()),
            Some(columns) => found = Some(Held::of(&columns)?),
        }
    }
    if found == Some(ours) {
        Ok(())
    } else {
        Err(StoreError::Fenced)
    }
}

/// Claims the guilds whose batches are of a higher epoch than was claimed: in a store that was filled
/// from another one.
///
/// # Errors
/// As [`claim`], but a guild that another one claimed meanwhile, which the batches will be told.
pub(super) async fn raise(link: &Link, batches: &[Fences], work: &mut Work) -> Result<()> {
    let mut higher = BTreeMap::new();
    for (guild, under) in batches.iter().flatten() {
        if work.epoch(*guild) < *under {
            let highest: &mut Epoch = higher.entry(*guild).or_default();
            *highest = (*highest).max(*under);
        }
    }
    for (guild, under) in higher {
        let now = match claim(link, guild, under).await {
            Ok(()) => under,
            Err(StoreError::Fenced) => epoch(link, guild).await?,
            Err(error) => return Err(error),
        };
        work.epochs.insert(guild, now);
    }
    Ok(())
}

/// After the write and before anybody is told: whose guild was claimed meanwhile is not told that it
/// was made. One read for each guild of the group.
pub(super) async fn confirm(link: &Link, batches: &[Fences], results: &mut [Result<()>]) {
    let mut guilds: Vec<GuildId> = batches
        .iter()
        .zip(&*results)
        .filter(|(_, result)| result.is_ok())
        .flat_map(|(fences, _)| fences.iter().map(|(guild, _)| *guild))
        .collect();
    guilds.sort_unstable();
    guilds.dedup();
    if guilds.is_empty() {
        return;
    }
    let reads = guilds
        .iter()
        .map(|guild| async move { Ok((*guild, epoch(link, *guild).await?)) });
    let now: Result<HashMap<GuildId, Epoch>> = try_join_all(reads)
        .await
        .map(|all| all.into_iter().collect());
    for (fences, result) in batches.iter().zip(results) {
        if result.is_err() || fences.is_empty() {
            continue;
        }
        match &now {
            Ok(now) => {
                let fenced = |(guild, under): &(GuildId, Epoch)| {
                    now.get(guild).is_some_and(|epoch| epoch > under)
                };
                if fences.iter().any(fenced) {
                    metrics::counter!("guildhall_store_fenced_late_total").increment(1);
                    *result = Err(StoreError::Unknown(
                        "written, but its guild was claimed under a higher epoch meanwhile"
                            .to_owned(),
                    ));
                }
            }
            Err(error) => {
                *result = Err(StoreError::Unknown(format!(
                    "written, but it is not known whether its guild was claimed meanwhile: {error}"
                )));
            }
        }
    }
}
