//! Accounts: a name is taken once in the whole cluster, by the one lightweight transaction there is.
//!
//! ```text
//!  read the account: there ─▶ Conflict("id")
//!  names: INSERT IF NOT EXISTS ─ refused ─▶ whose is it?
//!            │                                ours (an earlier try) ─▶ go on
//!            │                                of an account that is there ─▶ Conflict("username")
//!            │                                of nobody, for CLAIM_MAX ─▶ take it over, or Conflict
//!            ▼
//!  accounts + ids: one batch
//! ```
//!
//! A node that dies between the two steps leaves a claim without an account; it is free again after
//! [`CLAIM_MAX`], which is far longer than an account takes to be made.

use std::time::Duration;

use scylla::value::CqlValue;

use model::UserId;
use model::user::Account;

use super::changes::{Changes, Kind};
use super::clock;
use super::facts;
use super::link::Link;
use super::record::{id, int};
use super::statements::{Cell, Statement, big, blob, is};
use crate::engine::{rules, value};
use crate::error::StoreError;
use crate::store::Result;

/// How long a name without an account stays claimed.
pub const CLAIM_MAX: Duration = Duration::from_secs(300);

/// How often a claim whose outcome is not known is asked again.
pub const CLAIM_TRIES_MAX: u32 = 5;

/// Creates an account; see [`crate::Store::create_account`]. Its caller holds the lane of the user.
///
/// # Errors
/// [`StoreError::Conflict`] when id or name are taken; [`StoreError::Unknown`] when it is not known
/// whether the name was claimed or the account made: the same call again goes on where it ended.
pub(super) async fn create_account(link: &Link, account: &Account) -> Result<()> {
    let user = account.user.id;
    if i64::try_from(user.get()).is_err() {
        return Err(StoreError::NotApplied(format!("{user} is no id")));
    }
    if facts::account(link, user).await?.is_some() {
        return Err(StoreError::Conflict("id"));
    }
    if let Some(name) = rules::unique_name(account) {
        rules::checked_text(name.as_bytes())?;
        if name.is_empty() {
            return Err(StoreError::NotApplied("an account needs a name".to_owned()));
        }
        claim(link, &name, user).await?;
    }
    let mut changes = Changes::new(link.clock.next());
    let values = [big(int(user)), blob(value::encode(account)?)];
    changes.put(Statement::PutAccount, (int(user), 0), values);
    changes.listed(Kind::Account, user.get(), true);
    link.write(&changes.into_list()).await
}

/// Claims a name. A transaction whose outcome is not known is asked again: then it is seen.
async fn claim(link: &Link, name: &str, user: UserId) -> Result<()> {
    let mut left = CLAIM_TRIES_MAX;
    loop {
        left -= 1;
        match claim_once(link, name, user).await {
            Err(StoreError::Unknown(_) | StoreError::NotApplied(_)) if left > 0 => {
                // Rivals for one name get out of each other's step.
                let pause = 20 + user.get() % 50;
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            result => return result,
        }
    }
}

async fn claim_once(link: &Link, name: &str, user: UserId) -> Result<()> {
    let text = || is(CqlValue::Text(name.to_owned()));
    let now_ms = clock::now() / 1_000;
    let values = vec![text(), big(int(user)), big(now_ms)];
    let Some(held) = link.transaction(Statement::ClaimName, values).await? else {
        return Ok(());
    };
    let (Some(CqlValue::BigInt(holder)), Some(CqlValue::BigInt(since_ms))) =
        (held.get("user_id"), held.get("claimed_ms"))
    else {
        return Err(StoreError::Corrupt(format!(
            "nobody holds the name {name:?}"
        )));
    };
    if *holder == int(user) {
        return Ok(());
    }
    let old = u128::try_from(now_ms - since_ms).is_ok_and(|age| age > CLAIM_MAX.as_millis());
    if !old || facts::account(link, id(*holder)?).await?.is_some() {
        return Err(StoreError::Conflict("username"));
    }
    let values: Vec<Cell> = vec![
        big(int(user)),
        big(now_ms),
        text(),
        big(*holder),
        big(*since_ms),
    ];
    match link.transaction(Statement::TakeName, values).await? {
        None => Ok(()),
        Some(held) if held.get("user_id") == Some(&CqlValue::BigInt(int(user))) => Ok(()),
        Some(_) => Err(StoreError::Conflict("username")),
    }
}
