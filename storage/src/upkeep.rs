//! Work in the background that an engine needs done: small steps, one after the other.
//!
//! Whoever runs a store asks it for its upkeep ([`crate::Store::upkeep`]) and runs it as a process
//! under a supervisor (the chat system's `upkeep.rs` does). It can be stopped at any await and started
//! anew at any time: what it must remember it keeps in the store.

use std::time::Duration;

use async_trait::async_trait;

use crate::store::Result;

/// A worker of an engine.
#[async_trait]
pub trait Upkeep: Send {
    /// Does a little and answers how long to wait before the next step. Rows it looks at and heals
    /// are counted in `guildhall_store_upkeep_rows_total` and `guildhall_store_upkeep_healed_total`.
    ///
    /// # Errors
    /// What the engine answers; the step is done again later, nothing is lost.
    async fn step(&mut self) -> Result<Duration>;
}
