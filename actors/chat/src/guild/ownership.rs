//! Whose a guild is: claimed in the store before anything of it is read, written to under that claim,
//! and left to whoever claims it next. What that guarantees: `storage/src/fence.rs`.
//!
//! ```text
//!  load ─▶ claimed under which epoch? ── higher than by us ──▶ fenced off: the family ends, and the
//!               │                                              guild rests; then it is claimed again
//!               ▼                                              when somebody asks for it
//!          claim it under the next ─▶ read ─▶ serve ─▶ every batch under this epoch
//!               └─ the store does not write ─▶ read ─▶ serve what needs no write
//! ```
//!
//! A guild learns that it was fenced off from the answer to a batch, so one that writes nothing does
//! not; a lease has to tell it. Two nodes on one store that are both asked for one guild take it from
//! each other, each once in [`FENCED_REST`] at most: nothing that was acknowledged is lost by it, but
//! it serves badly, so it is told in the log and counted in `guildhall_guild_fenced_total`.

use std::time::Duration;

use metrics::counter;
use otp::ExitReason;
use storage::data_service::Acknowledged;
use storage::store::Write;
use storage::{Epoch, StoreError};

use super::GuildServer;

/// How long a guild that was fenced off is not started on this node; requests get
/// [`crate::ChatError::Unavailable`] meanwhile.
pub const FENCED_REST: Duration = Duration::from_secs(10);

/// Guilds that may rest at once; further ones are claimed again as soon as they are asked for. Gauge
/// `guildhall_guilds_resting`.
pub const RESTING_MAX: usize = 100_000;

/// What the processes of a guild that followed each other on this node have claimed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Claims {
    /// The last epoch that was certainly theirs.
    pub(crate) owned: Epoch,
    /// The last one they asked for, of which that may not be known.
    pub(crate) tried: Epoch,
}

/// Under what a guild writes, or why it cannot.
pub(super) type Ownership = std::result::Result<Epoch, StoreError>;

/// What came of a claim.
#[derive(Debug)]
pub(super) enum Claim {
    /// The guild can be read and served.
    Served(Ownership),
    /// It is another one's.
    Fenced,
    /// There is no such guild.
    Gone,
}

/// The epoch to claim a guild under that was last claimed under `before`: the source of epochs of
/// nodes that know nothing of each other. Where a coordinator says who owns a guild, its revision
/// belongs here: it rises too, and no two owners ever have the same.
fn next_epoch(before: Epoch) -> Epoch {
    before.next()
}

impl GuildServer {
    /// Claims the guild, unless another one did since this node had it.
    ///
    /// # Errors
    /// When it is not known how the guild is claimed: to be tried again.
    pub(super) async fn claim(&self) -> std::result::Result<Claim, StoreError> {
        let (guild, data) = (self.family.guild(), self.chat.data());
        let before = data.epoch(guild).await?;
        let claims = self.family.claims();
        if claims.tried > Epoch::NONE && before > claims.owned.max(claims.tried) {
            return Ok(Claim::Fenced);
        }
        // Nothing is kept of guilds that never were, whatever ids are asked for.
        if before == Epoch::NONE && data.guild_without_members(guild).await?.is_none() {
            return Ok(Claim::Gone);
        }
        let epoch = next_epoch(before);
        let owned = claims.owned;
        let claim = |owned, tried| self.family.claims_are(Claims { owned, tried });
        claim(owned, epoch);
        counter!("guildhall_guild_claims_total").increment(1);
        match data.claim(guild, epoch).await {
            Ok(()) => {
                claim(epoch, epoch);
                Ok(Claim::Served(Ok(epoch)))
            }
            Err(StoreError::Fenced) => Ok(Claim::Fenced),
            // Perhaps it is claimed: the next try looks.
            Err(error @ StoreError::Unknown(_)) => Err(error),
            Err(error) => {
                claim(owned, claims.tried);
                if before > Epoch::NONE && before == owned {
                    // Nobody else has claimed it since we did.
                    return Ok(Claim::Served(Ok(owned)));
                }
                if error == StoreError::Busy {
                    return Err(error);
                }
                tracing::warn!(%guild, %error, "a guild cannot be claimed; it is served for reading");
                Ok(Claim::Served(Err(error)))
            }
        }
    }

    /// The guild is another one's: with the answer the family ends, and its sessions are told so.
    pub(super) fn fenced_off(&self) -> ExitReason {
        let guild = self.family.guild();
        let rest = self.chat.config().fenced_rest;
        counter!("guildhall_guild_fenced_total").increment(1);
        tracing::warn!(
            %guild, ?rest,
            "another node has claimed a guild that ran here: it writes to the same store. Nothing acknowledged is lost, but the two take guilds from each other: stop one of them"
        );
        self.chat.guilds().rests(guild, rest);
        self.chat.guilds().count_without_one();
        ExitReason::Normal
    }

    /// Gives the store what the guild has decided: the one way a guild writes.
    pub(super) fn commit(&self, writes: Vec<Write>) -> Acknowledged {
        let data = self.chat.data();
        match &self.ownership {
            Ok(epoch) => data.commit_owned(self.family.guild(), *epoch, writes),
            Err(error) => data.refused(error.clone()),
        }
    }
}
