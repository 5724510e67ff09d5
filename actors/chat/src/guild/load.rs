//! Loading a guild: from the store, and what is not there from those who know it.

use std::sync::Arc;

use metrics::counter;
use model::limits::NONCE_WINDOW_MS;
use model::{Id, UserId};
use otp::ets::EtsError;
use otp::{CallError, Context, ExitReason};
use storage::store::Page;

use super::command::{Actor, Command};
use super::members::{Gone, MemberTable, Row};
use super::ownership::Claim;
use super::state::{GuildState, SharedCreates, Turn};
use super::{
    FILL_PAGE_MAX, GuildServer, KEEPER_EXIT_LIMIT, LOAD_RETRY, Message, NONCE_CHANNELS_MAX,
    NONCE_MESSAGES_MAX, Phase, lane,
};
use crate::error::{ChatError, Result};
use crate::relay::Order;
use crate::{clock, history};

impl GuildServer {
    /// Waits until nothing is under way, claims the guild, then takes the state from the store.
    pub(super) async fn load(
        &mut self,
        ctx: &mut Context<Self>,
    ) -> std::result::Result<(), ExitReason> {
        self.phase = Phase::Unloaded;
        match self.lane.call_infinity(lane::Message::Barrier).await {
            Ok(()) => {}
            Err(CallError::Exit(reason)) => return Err(reason),
            Err(error) => return Err(ExitReason::error(error)),
        }
        self.generation = self.family.next_generation();
        let guild = self.family.guild();
        // First of all: what is read after the claim is all that any owner before was told is written.
        match self.claim().await {
            Ok(Claim::Served(ownership)) => self.ownership = ownership,
            Ok(Claim::Fenced) => return Err(self.fenced_off()),
            Ok(Claim::Gone) => {
                self.phase = Phase::Gone;
                return Ok(());
            }
            Err(error) => {
                self.load_later(&error.into(), ctx);
                return Ok(());
            }
        }
        let loaded = match self.chat.data().guild_without_members(guild).await {
            Ok(Some(snapshot)) => {
                match self.members().await {
                    Ok(Ok(table)) => Ok(Some((snapshot, table))),
                    // The family is about to start this process again, with another keeper. Requests
                    // must wait for that: they are asked again.
                    Ok(Err(Gone)) => return Err(self.without_members().await),
                    Err(error) => Err(error),
                }
            }
            Ok(None) => Ok(None),
            Err(error) => Err(error.into()),
        };
        match loaded {
            Ok(Some((snapshot, table))) => {
                if let Some(last) = snapshot.last_message_id {
                    self.chat.ids().observe(last);
                }
                // The lane has settled everything of the load before.
                self.family.settled_is(0);
                self.decided = 0;
                let mut state =
                    GuildState::new(snapshot, self.chat.config().public_url.as_str().into())
                        .of_load(self.chat.guilds().next_load())
                        .shared(table, self.family.relays().listeners().clone());
                self.recall(&mut state).await;
                if state.lost_members() {
                    return Err(self.without_members().await);
                }
                self.chat.guilds().count();
                if self.generation > 1 {
                    // What the relay was told may never have become durable.
                    self.family
                        .relays()
                        .deliver(vec![Order::Views(state.views().into())]);
                }
                self.creates = SharedCreates::default();
                self.phase = Phase::Running(Box::new(state));
                self.shape = None;
                if self.family.lists().are_watched()
                    && let Some(shape) = self.shape()
                {
                    self.family.lists().shape(shape);
                }
            }
            Ok(None) => self.phase = Phase::Gone,
            Err(error) => self.load_later(&error, ctx),
        }
        Ok(())
    }

    /// Why this process ends when the member table is gone. Waits until the table's keeper has ended:
    /// its death is what the family is to hear first and to count, not that of a guild without members,
    /// and of the next one, for as long as the keeper takes.
    pub(super) async fn without_members(&self) -> ExitReason {
        if let Some(keeper) = self.family.keeper() {
            let ended = self.chat.node().wait_for_exit(keeper);
            // A table may also be gone because another took its place.
            let _ = tokio::time::timeout(KEEPER_EXIT_LIMIT, ended).await;
        }
        ExitReason::Error("the member table is gone".into())
    }

    fn load_later(&self, error: &ChatError, ctx: &mut Context<Self>) {
        counter!("guildhall_guild_load_errors_total").increment(1);
        let guild = self.family.guild();
        tracing::warn!(%guild, %error, "a guild cannot be loaded; trying again");
        ctx.send_after(LOAD_RETRY, Message::Load);
    }

    /// The member table: as it is, or a new one with what the store holds. [`Gone`] as soon as its
    /// keeper dies, even while that is still seen alive.
    async fn members(&self) -> Result<std::result::Result<MemberTable, Gone>> {
        if let Some(table) = self.family.members_as_stored()
            && table.len().is_some()
        {
            return Ok(Ok(table));
        }
        let guild = self.family.guild();
        let Some(keeper) = self.family.keeper() else {
            return Ok(Err(Gone));
        };
        let table = match MemberTable::create(self.chat.node(), keeper, guild) {
            Ok(table) => table,
            Err(EtsError::NoProcess) => return Ok(Err(Gone)),
            Err(_) => return Err(ChatError::Unavailable),
        };
        let mut after = None;
        loop {
            let data = self.chat.data();
            let page = data.members(guild, after, FILL_PAGE_MAX).await?;
            let end = page.len() < FILL_PAGE_MAX;
            after = page.last().map(|(record, _)| record.user_id);
            let rows = page.into_iter().map(|(record, user)| {
                let row = Row { record, user };
                (row.record.user_id, Some(Arc::new(row)))
            });
            if let Err(gone) = table.apply(rows) {
                return Ok(Err(gone));
            }
            if end {
                break;
            }
        }
        counter!("guildhall_member_table_fills_total").increment(1);
        self.family.members_are(keeper, table.clone());
        Ok(Ok(table))
    }

    /// Recalls what is not in the snapshot: who is there, and the nonces of the last minutes.
    async fn recall(&self, state: &mut GuildState) {
        let now = clock::now_ms();
        let mut turn = Turn::new(now, self.chat.ids());
        // Whichever are fewer: most of a large guild's members are not there.
        let presences = self.chat.presences();
        let there: Vec<UserId> = if presences.users() < state.member_count() {
            presences.ids()
        } else {
            state.member_ids()
        };
        for user in there {
            if let Some((presence, client_status)) = self.chat.presences().of(user) {
                let command = Command::SetPresence {
                    user,
                    presence: Some(presence),
                    client_status,
                };
                // Sessions were told before; the events of this turn are dropped.
                let _ = state.apply(&mut turn, Actor::System, command);
            }
        }
        for channel in state
            .recent_channels(now, NONCE_WINDOW_MS)
            .into_iter()
            .take(NONCE_CHANNELS_MAX)
        {
            let records = self
                .chat
                .data()
                .messages(channel, Page::Latest, NONCE_MESSAGES_MAX)
                .await;
            let Ok(records) = records.inspect_err(|error| {
                tracing::warn!(%channel, %error, "nonces of a channel are not recalled");
            }) else {
                continue;
            };
            let with_nonce = records.iter().rev().filter(|record| record.nonce.is_some());
            let records: Vec<_> = with_nonce.cloned().collect();
            match history::hydrate(&self.chat, channel, Id::new(1), &records).await {
                Ok(messages) => messages
                    .iter()
                    .for_each(|message| state.remember_message(message)),
                Err(error) => {
                    tracing::warn!(%channel, %error, "nonces of a channel are not recalled")
                }
            }
        }
    }
}
