//! Reads of accounts and guilds.

use std::collections::HashMap;

use futures_util::future::try_join_all;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use scylla::value::CqlValue;

use model::ban::BanRecord;
use model::channel::Channel;
use model::guild::Guild;
use model::member::MemberRecord;
use model::role::Role;
use model::user::{Account, User};
use model::{ChannelId, GuildId, Id, UserId};

use super::super::changes::{Kind, Part, SHARDS, tiny, whole};
use super::super::facts;
use super::super::link::Link;
use super::super::record::{id, int, number};
use super::super::statements::{Statement, big, is};
use super::super::work::ChannelState;
use super::{KEYS_IN_MAX, QUESTIONS_AT_ONCE, all_decoded, rows_max};
use crate::engine::value;
use crate::store::{GuildSnapshot, Result};

impl Link {
    /// See [`crate::Store::account`] and [`crate::Store::accounts`].
    pub(in super::super) async fn accounts(
        &self,
        users: &[UserId],
    ) -> Result<Vec<Option<Account>>> {
        let asked: Vec<_> = users
            .chunks(KEYS_IN_MAX)
            .map(|some| {
                let ids = some.iter().map(|user| CqlValue::BigInt(int(*user)));
                let values = vec![is(CqlValue::List(ids.collect()))];
                self.rows::<(i64, Option<Vec<u8>>)>(Statement::Accounts, values)
            })
            .collect();
        let mut found = HashMap::new();
        let mut answers = stream::iter(asked).buffer_unordered(QUESTIONS_AT_ONCE);
        while let Some(rows) = answers.try_next().await? {
            for (user, data) in rows {
                if let Some(data) = data {
                    found.insert(user, value::decode::<Account>(&data)?);
                }
            }
        }
        Ok(users
            .iter()
            .map(|user| found.get(&int(*user)).cloned())
            .collect())
    }

    /// See [`crate::Store::list_accounts`].
    pub(in super::super) async fn list_accounts(
        &self,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<Account>> {
        let users = self.listed(Kind::Account, after, limit).await?;
        Ok(self.accounts(&users).await?.into_iter().flatten().collect())
    }

    /// Ids of a list, in order, from above `after`: the shards' answers, merged.
    pub(in super::super) async fn listed<T>(
        &self,
        kind: Kind,
        after: Option<Id<T>>,
        limit: usize,
    ) -> Result<Vec<Id<T>>> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let after = after.map_or(0, int);
        let asked = (0..SHARDS).map(|shard| {
            let values = vec![
                tiny(kind as i8),
                tiny(shard),
                big(after),
                whole(rows_max(limit)),
            ];
            self.rows::<(i64,)>(Statement::Ids, values)
        });
        let mut ids: Vec<i64> = try_join_all(asked)
            .await?
            .into_iter()
            .flatten()
            .map(|(id,)| id)
            .collect();
        ids.sort_unstable();
        ids.into_iter().take(limit).map(id).collect()
    }

    /// See [`crate::Store::guild`].
    pub(in super::super) async fn guild(&self, guild: GuildId) -> Result<Option<GuildSnapshot>> {
        let Some(mut snapshot) = self.guild_without_members(guild).await? else {
            return Ok(None);
        };
        snapshot.members = self.members(guild, None, usize::MAX).await?;
        Ok(Some(snapshot))
    }

    /// See [`crate::Store::members`].
    pub(in super::super) async fn members(
        &self,
        guild: GuildId,
        mut after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<(MemberRecord, User)>> {
        let mut found = Vec::new();
        // Members whose account is gone are none, so it may take a second question.
        while found.len() < limit {
            let asked = limit - found.len();
            let values = vec![
                big(int(guild)),
                big(after.map_or(0, int)),
                whole(rows_max(asked)),
            ];
            let rows = self
                .rows::<(Option<Vec<u8>>,)>(Statement::Members, values)
                .await?;
            let records: Vec<MemberRecord> = all_decoded(rows)?;
            let users: Vec<_> = records.iter().map(|member| member.user_id).collect();
            let accounts = self.accounts(&users).await?;
            let with_account =
                |(member, account): (_, Option<Account>)| Some((member, account?.user));
            let some = records.len();
            found.extend(records.into_iter().zip(accounts).filter_map(with_account));
            if some < asked {
                break;
            }
            after = users.last().copied();
        }
        Ok(found)
    }

    /// See [`crate::Store::guild_without_members`].
    pub(in super::super) async fn guild_without_members(
        &self,
        guild: GuildId,
    ) -> Result<Option<GuildSnapshot>> {
        let parts = self
            .rows::<(Option<i8>, Option<i64>, Option<Vec<u8>>)>(
                Statement::Parts,
                vec![big(int(guild))],
            )
            .await?;
        let mut settings: Option<Guild> = None;
        let mut roles: Vec<Role> = Vec::new();
        let mut channels: Vec<Channel> = Vec::new();
        for (part, _, data) in parts {
            // A guild that only has a last message has a row without part.
            let (Some(part), Some(data)) = (part, data) else {
                continue;
            };
            if part == Part::Settings as i8 {
                settings = Some(value::decode(&data)?);
            } else if part == Part::Role as i8 {
                roles.push(value::decode(&data)?);
            } else if part == Part::Channel as i8 {
                channels.push(value::decode(&data)?);
            }
        }
        let Some(settings) = settings else {
            return Ok(None);
        };
        let asked: Vec<_> = channels
            .into_iter()
            .map(|channel| self.with_state(channel))
            .collect();
        let channels = stream::iter(asked)
            .buffered(QUESTIONS_AT_ONCE)
            .try_collect()
            .await?;
        let last = self
            .row::<(Option<i64>, Option<i64>)>(Statement::GuildLast, vec![big(int(guild))])
            .await?;
        let last_message_id = last.and_then(|(last, _)| last).map(id).transpose()?;
        Ok(Some(GuildSnapshot {
            guild: settings,
            roles,
            channels,
            members: Vec::new(),
            last_message_id,
        }))
    }

    /// The state of a channel, for a read.
    pub(in super::super) async fn channel_state(&self, channel: ChannelId) -> Result<ChannelState> {
        let _place = self.place().await?;
        facts::channel_state(self, channel).await
    }

    /// A channel with its last message and pin as they are.
    async fn with_state(&self, mut channel: Channel) -> Result<Channel> {
        let key = || vec![big(int(channel.id))];
        let (state, pin) = tokio::try_join!(
            self.channel_state(channel.id),
            self.row::<(Option<i64>,)>(Statement::LastPin, key()),
        )?;
        channel.last_message_id = state.last;
        let at_ms = pin.and_then(|(at_ms,)| at_ms).map(number);
        channel.last_pin_timestamp = at_ms.map(model::time::from_unix_ms);
        Ok(channel)
    }

    /// See [`crate::Store::guilds_of`].
    pub(in super::super) async fn guilds_of(&self, user: UserId) -> Result<Vec<GuildId>> {
        let rows = self
            .rows::<(i64,)>(Statement::GuildsOfUser, vec![big(int(user))])
            .await?;
        rows.into_iter().map(|(guild,)| id(guild)).collect()
    }

    /// See [`crate::Store::ban`].
    pub(in super::super) async fn ban(
        &self,
        guild: GuildId,
        user: UserId,
    ) -> Result<Option<BanRecord>> {
        let values = vec![big(int(guild)), Part::Ban.cell(), big(int(user))];
        let rows = self.rows::<(Option<Vec<u8>>,)>(Statement::Part, values);
        Ok(all_decoded(rows.await?)?.into_iter().next())
    }

    /// See [`crate::Store::bans`].
    pub(in super::super) async fn bans(
        &self,
        guild: GuildId,
        before: Option<UserId>,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<BanRecord>> {
        if limit == 0 || before.is_some() && before <= after {
            return Ok(Vec::new());
        }
        let nearest = after.is_none() && before.is_some();
        let statement = if nearest {
            Statement::PartsDown
        } else {
            Statement::PartsUp
        };
        let values = vec![
            big(int(guild)),
            Part::Ban.cell(),
            big(after.map_or(0, int)),
            big(before.map_or(i64::MAX, int)),
            whole(rows_max(limit)),
        ];
        let rows = self.rows::<(Option<Vec<u8>>,)>(statement, values).await?;
        let mut bans = all_decoded(rows)?;
        if nearest {
            bans.reverse();
        }
        Ok(bans)
    }
}
