//! Changes of rows: statements with their values, and which partition each is in.

use scylla::value::{CqlValue, MaybeUnset};

use model::{AttachmentId, ChannelId, GuildId, MessageId, UserId};

use super::clock::Ticks;
use super::record::{column, int, key};
use super::statements::{Cell, Statement, big, blob, is};

/// How many partitions the lists of ids and of lost files are spread over.
pub(super) const SHARDS: i8 = 16;

/// One change of one row, or of a range of rows.
#[derive(Debug, Clone)]
pub(super) struct Change {
    /// What is sent.
    pub(super) statement: Statement,
    /// The values to bind.
    pub(super) values: Vec<Cell>,
    partition: (i64, i64),
}

impl Change {
    /// A change.
    pub(super) fn new(statement: Statement, partition: (i64, i64), values: Vec<Cell>) -> Self {
        Self {
            statement,
            values,
            partition,
        }
    }

    /// Bytes of what is to be bound, as far as they can be many.
    pub(super) fn bytes(&self) -> usize {
        let bytes = |cell: &Cell| match cell {
            MaybeUnset::Set(Some(CqlValue::Blob(bytes))) => bytes.len(),
            MaybeUnset::Set(Some(CqlValue::Text(text))) => text.len(),
            _ => 0,
        };
        self.values.iter().map(bytes).sum()
    }

    /// Whether both are in one partition of one table: such a batch needs no log.
    pub(super) fn same_partition(&self, other: &Self) -> bool {
        self.statement.table() == other.statement.table() && self.partition == other.partition
    }
}

/// A list of `ids`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// All guilds.
    Guild = 0,
    /// All accounts.
    Account = 1,
    /// Channels to purge.
    Purge = 2,
}

/// A kind of row of `guild_parts`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// The guild's settings, under its own id.
    Settings = 0,
    /// A role.
    Role = 1,
    /// A channel.
    Channel = 2,
    /// A ban, by user.
    Ban = 3,
}

impl Part {
    /// As a column.
    pub(super) fn cell(self) -> Cell {
        tiny(self as i8)
    }
}

/// A small number.
pub(super) fn tiny(number: i8) -> Cell {
    is(CqlValue::TinyInt(number))
}

/// A number of 32 bits.
pub(super) fn whole(number: i32) -> Cell {
    is(CqlValue::Int(number))
}

/// The shard of an id: neither its time nor its increment alone, which may both be poor.
pub(super) fn shard(id: u64) -> i8 {
    i8::try_from((id ^ (id >> 22)) % u64::from(SHARDS.unsigned_abs())).unwrap_or_default()
}

/// A place of a message, as a partition.
pub(super) fn partition(channel: ChannelId, message: MessageId) -> (i64, i64) {
    (int(channel), i64::from(super::record::bucket(message)))
}

/// Changes with the timestamps of one group.
#[derive(Debug)]
pub(super) struct Changes {
    ticks: Ticks,
    list: Vec<Change>,
}

impl Changes {
    /// None yet.
    pub(super) fn new(ticks: Ticks) -> Self {
        Self {
            ticks,
            list: Vec::new(),
        }
    }

    /// All changes.
    pub(super) fn into_list(self) -> Vec<Change> {
        self.list
    }

    /// The timestamps.
    pub(super) fn ticks(&self) -> Ticks {
        self.ticks
    }

    /// Adds one whose values already have their timestamp.
    pub(super) fn add(&mut self, statement: Statement, at: (i64, i64), values: Vec<Cell>) {
        self.list.push(Change::new(statement, at, values));
    }

    /// Puts a row: the timestamp is the last value.
    pub(super) fn put(
        &mut self,
        statement: Statement,
        at: (i64, i64),
        values: impl IntoIterator<Item = Cell>,
    ) {
        let mut values: Vec<_> = values.into_iter().collect();
        values.push(big(self.ticks.put));
        self.add(statement, at, values);
    }

    /// Deletes a row or a range: the timestamp is the first value.
    pub(super) fn delete(
        &mut self,
        statement: Statement,
        at: (i64, i64),
        key: impl IntoIterator<Item = Cell>,
    ) {
        let mut values = vec![big(self.ticks.delete)];
        values.extend(key);
        self.add(statement, at, values);
    }

    /// Updates columns: the timestamp is the first value, the key comes last.
    pub(super) fn patch(
        &mut self,
        statement: Statement,
        at: (i64, i64),
        values: impl IntoIterator<Item = Cell>,
    ) {
        let mut all = vec![big(self.ticks.put)];
        all.extend(values);
        self.add(statement, at, all);
    }

    /// An id comes onto a list or leaves it.
    pub(super) fn listed(&mut self, kind: Kind, id: u64, there: bool) {
        let shard = shard(id);
        let at = (kind as i64, i64::from(shard));
        let values = [tiny(kind as i8), tiny(shard), big(column(id))];
        if there {
            self.put(Statement::PutId, at, values);
        } else {
            self.delete(Statement::DeleteId, at, values);
        }
    }

    /// A row of a guild: put, or deleted.
    pub(super) fn part(&mut self, guild: GuildId, part: Part, id: u64, data: Option<Vec<u8>>) {
        let at = (int(guild), 0);
        let key = [big(int(guild)), part.cell(), big(column(id))];
        match data {
            Some(data) => {
                let values = key.into_iter().chain([blob(data)]);
                self.put(Statement::PutPart, at, values);
            }
            None => self.delete(Statement::DeletePart, at, key),
        }
    }

    /// A user's membership: put, or deleted.
    pub(super) fn member(&mut self, guild: GuildId, user: UserId, data: Option<Vec<u8>>) {
        let key = [big(int(guild)), big(int(user))];
        let at = (int(guild), 0);
        self.guild_of_user(guild, user, data.is_some());
        match data {
            Some(data) => self.put(
                Statement::PutMember,
                at,
                key.into_iter().chain([blob(data)]),
            ),
            None => self.delete(Statement::DeleteMember, at, key),
        }
    }

    /// A guild comes onto the list of a user's guilds, or leaves it.
    pub(super) fn guild_of_user(&mut self, guild: GuildId, user: UserId, there: bool) {
        let key = [big(int(user)), big(int(guild))];
        let at = (int(user), 0);
        if there {
            self.put(Statement::PutGuildOfUser, at, key);
        } else {
            self.delete(Statement::DeleteGuildOfUser, at, key);
        }
    }

    /// A file comes onto the list of lost ones, or leaves it.
    pub(super) fn lost_file(
        &mut self,
        channel: ChannelId,
        file: AttachmentId,
        data: Option<Vec<u8>>,
    ) {
        let shard = shard(channel.get());
        let at = (i64::from(shard), 0);
        let key = [tiny(shard), big(int(channel)), big(int(file))];
        match data {
            Some(data) => self.put(
                Statement::PutLostFile,
                at,
                key.into_iter().chain([blob(data)]),
            ),
            None => self.delete(Statement::DeleteLostFile, at, key),
        }
    }

    /// A message is gone.
    pub(super) fn delete_message(&mut self, channel: ChannelId, message: MessageId) {
        let at = partition(channel, message);
        self.delete(Statement::DeleteMessage, at, key(channel, message));
    }

    /// All reactions of a message are gone.
    pub(super) fn delete_reactions(&mut self, channel: ChannelId, message: MessageId) {
        let at = partition(channel, message);
        for statement in [
            Statement::DeleteReactionsOfMessage,
            Statement::DeleteCountsOfMessage,
        ] {
            self.delete(statement, at, key(channel, message));
        }
    }

    /// A pin is gone.
    pub(super) fn delete_pin(&mut self, channel: ChannelId, message: MessageId) {
        let key = [big(int(channel)), big(int(message))];
        self.delete(Statement::DeletePin, (int(channel), 0), key);
    }

    /// Columns of a channel's state.
    pub(super) fn channel_state(&mut self, channel: ChannelId, columns: [Cell; 4]) {
        if columns.iter().all(|cell| matches!(cell, MaybeUnset::Unset)) {
            return;
        }
        let values = columns.into_iter().chain([big(int(channel))]);
        self.patch(Statement::PatchChannelState, (int(channel), 0), values);
    }
}

/// How to bind a column that was `before` and is `now`.
pub(super) fn diff<T: PartialEq + Copy>(
    before: Option<T>,
    now: Option<T>,
    bind: impl FnOnce(T) -> Cell,
) -> Cell {
    if before == now {
        MaybeUnset::Unset
    } else {
        now.map_or(MaybeUnset::Set(None), bind)
    }
}
