//! The member table of a guild: every member as it is stored, for all processes of the node.
//!
//! ```text
//!  store ──fill, once──▶ ┌ MemberTable ─────────┐ ◀──get── [Guild], under its recent changes
//!  Lane ──what is durable▶│ UserId → Row, sorted │ ◀──page── whoever needs all members: tasks of
//!                        └──────────────────────┘           their own, never the guild
//!                           owned by the [keeper](super::keeper)
//! ```
//!
//! The table is the truth of the store: the lane puts a change in when it is durable and before
//! anybody is told. So whoever was answered finds the change in it, and a guild process that dies
//! takes nothing along: its successor finds all members here.

use std::collections::HashSet;
use std::ops::Bound;
use std::sync::Arc;

use model::member::{Member, MemberRecord};
use model::user::User;
use model::{GuildId, RoleId, UserId};
use otp::ets::{self, EtsError, Spec, TableId};
use otp::{Node, Pid};

use crate::error::ChatError;

/// A member and its user, as stored. Roles that are gone may still be named in it: deleting a role
/// does not touch its members, [`Row::member`] leaves such roles out.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The membership.
    pub record: MemberRecord,
    /// Whose it is.
    pub user: User,
}

impl Row {
    /// As it goes on the wire, with those of its roles that there are.
    pub fn member(&self, known: impl Fn(&RoleId) -> bool) -> Member {
        let mut member = self.record.with_user(&self.user);
        member.member.roles.retain(known);
        member
    }
}

/// A member that changed, or (`None`) is none any more.
pub type Change = (UserId, Option<Arc<Row>>);

/// The table is gone: its keeper died. The guild is started again and fills a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

impl From<EtsError> for Gone {
    fn from(_: EtsError) -> Self {
        Self
    }
}

impl From<Gone> for ChatError {
    fn from(_: Gone) -> Self {
        Self::Unavailable
    }
}

/// The table; clones name the same one, and do not keep it alive.
#[derive(Clone)]
pub struct MemberTable {
    table: ets::Table<UserId, Row>,
}

impl std::fmt::Debug for MemberTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MemberTable({:?})", self.table.id())
    }
}

impl MemberTable {
    /// An empty one that lives as long as `keeper`.
    ///
    /// # Errors
    /// [`EtsError::NoProcess`]: the keeper has died. [`EtsError::TooManyTables`]. There is none then.
    pub fn create(node: &Node, keeper: Pid, guild: GuildId) -> Result<Self, EtsError> {
        // Public: the lane writes, and dies with the keeper but not of it.
        let options = ets::ordered_set()
            .label(format!("members of {guild}"))
            .public();
        let table = options.create_for(node, keeper).inspect_err(|error| {
            tracing::warn!(%guild, %error, "no member table");
        })?;
        Ok(Self { table })
    }

    /// Which table it is.
    pub fn id(&self) -> TableId {
        self.table.id()
    }

    /// How many members there are; `None` when the table is gone.
    pub fn len(&self) -> Option<usize> {
        self.table.size()
    }

    /// Whether there are none; `None` when the table is gone.
    pub fn is_empty(&self) -> Option<bool> {
        self.len().map(|len| len == 0)
    }

    /// A member.
    ///
    /// # Errors
    /// [`Gone`]; so for all that follow.
    pub fn get(&self, user: UserId) -> Result<Option<Arc<Row>>, Gone> {
        Ok(self.table.get(&user)?)
    }

    /// Puts in what became durable.
    pub fn apply(&self, changes: impl IntoIterator<Item = Change>) -> Result<(), Gone> {
        for (user, row) in changes {
            match row {
                Some(row) => self.table.insert_shared(user, row)?,
                None => self.table.delete(&user)?,
            }
        }
        Ok(())
    }

    /// Members in id order from above `after`, at most `limit`; fewer only at the end. No snapshot:
    /// each page is of its moment.
    pub fn page(&self, after: Option<UserId>, limit: usize) -> Result<Vec<Arc<Row>>, Gone> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rows = Spec::new(|_: &UserId, row: &Arc<Row>| Some(Arc::clone(row)));
        if limit == 0 {
            return Ok(Vec::new());
        }
        let spec = rows.range((from, Bound::Unbounded));
        Ok(self.table.select_limit(&spec, limit)?.found)
    }

    /// Deletes it; those who walk over it start again with its successor.
    pub(crate) fn delete(&self) {
        // One that is gone already needs no deleting.
        let _ = self.table.delete_table();
    }
}

/// What somebody who may see the members of a guild needs to read them.
#[derive(Debug, Clone)]
pub struct Readable {
    /// The members; `None` in a state without a node.
    pub(crate) table: Option<MemberTable>,
    /// Roles there are.
    pub(crate) roles: Arc<HashSet<RoleId>>,
}

impl Readable {
    /// A member as it goes on the wire.
    pub(crate) fn member(&self, row: &Row) -> Member {
        row.member(|id| self.roles.contains(id))
    }

    /// The members.
    ///
    /// # Errors
    /// [`Gone`].
    pub(crate) fn table(&self) -> Result<&MemberTable, Gone> {
        self.table.as_ref().ok_or(Gone)
    }
}
