//! Loading a guild: from the store, and what is not there from those who know it.

use metrics::counter;
use model::limits::NONCE_WINDOW_MS;
use model::{Id, UserId};
use otp::{CallError, Context, ExitReason};
use storage::store::Page;

use super::command::{Actor, Command};
use super::state::{GuildState, SharedCreates, Turn};
use super::{
    GuildServer, LOAD_RETRY, Message, NONCE_CHANNELS_MAX, NONCE_MESSAGES_MAX, Phase, lane,
};
use crate::relay::Order;
use crate::{clock, history};

impl GuildServer {
    /// Waits until nothing is under way, then takes the state from the store.
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
        match self.chat.data().guild(guild).await {
            Ok(Some(snapshot)) => {
                if let Some(last) = snapshot.last_message_id {
                    self.chat.ids().observe(last);
                }
                // The lane has settled everything of the load before.
                self.family.settled_is(0);
                self.decided = 0;
                let mut state =
                    GuildState::new(snapshot, self.chat.config().public_url.as_str().into())
                        .of_load(self.chat.guilds().next_load());
                self.recall(&mut state).await;
                self.chat.guilds().count();
                if self.generation > 1 {
                    // What the relay was told may never have become durable.
                    self.family
                        .relays()
                        .deliver(vec![Order::Views(state.views().into())]);
                }
                self.creates = SharedCreates::default();
                self.phase = Phase::Running(Box::new(state));
            }
            Ok(None) => self.phase = Phase::Gone,
            Err(error) => {
                counter!("guildhall_guild_load_errors_total").increment(1);
                tracing::warn!(%guild, %error, "a guild cannot be loaded; trying again");
                ctx.send_after(LOAD_RETRY, Message::Load);
            }
        }
        Ok(())
    }

    /// Recalls what is not in the snapshot: who is there, and the nonces of the last minutes.
    async fn recall(&self, state: &mut GuildState) {
        let now = clock::now_ms();
        let mut turn = Turn::new(now, self.chat.ids());
        let members: Vec<UserId> = state.member_ids().collect();
        for user in members {
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
            let Ok(mut records) = records.inspect_err(|error| {
                tracing::warn!(%channel, %error, "nonces of a channel are not recalled");
            }) else {
                continue;
            };
            records.retain(|record| record.nonce.is_some());
            records.reverse();
            match history::hydrate(&self.chat, channel, Id::new(1), records).await {
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
