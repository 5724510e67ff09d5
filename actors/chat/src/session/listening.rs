//! How a session comes to listen to its guilds, and ceases to.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use metrics::counter;
use model::GuildId;
use model::intents::Intents;
use otp::{Context, Pid};

use super::guilds::Then;
use super::{Message, SUBSCRIBES_AT_ONCE, Session, ready};
use crate::error::{ChatError, Missing, Result};
use crate::guild::{self, SnapshotWants};
use crate::relay::Subscriber;

impl Session {
    /// Asks for guilds in a task, so that a slow one holds up nobody; the answers come back as
    /// [`Message::Subscribed`].
    pub(super) fn subscribe(
        &mut self,
        guilds: Vec<GuildId>,
        newly_joined: bool,
        ctx: &mut Context<Self>,
    ) {
        if guilds.is_empty() {
            return;
        }
        for guild in &guilds {
            self.guilds.asked(*guild);
        }
        let subscriber = Subscriber {
            id: self.id.clone(),
            pid: ctx.pid(),
            user: self.user(),
            intents: self.who.intents,
            passive: false,
            outbox: Arc::clone(&self.outbox),
        };
        let people = !self.who.bot;
        let passive = |guild: &GuildId| people && !self.guilds.is_active(*guild);
        let guilds: Vec<(GuildId, bool)> = guilds
            .into_iter()
            .map(|guild| (guild, passive(&guild)))
            .collect();
        let large_threshold = self.who.large_threshold;
        let members_and_presences = people || self.who.intents.contains(Intents::GUILD_PRESENCES);
        let (chat, me) = (self.chat.clone(), ctx.self_ref());
        let label = format!("subscribe {}", self.id);
        let asking = move |(guild, passive)| {
            let (chat, me) = (chat.clone(), me.clone());
            let subscriber = Subscriber {
                passive,
                ..subscriber.clone()
            };
            let wants = SnapshotWants {
                large_threshold,
                members_and_presences,
                newly_joined,
            };
            async move {
                let answer = guild::subscribe(&chat, guild, subscriber, wants).await;
                me.cast(Message::Subscribed {
                    guild,
                    newly_joined,
                    answer,
                });
            }
        };
        let asking = stream::iter(guilds).for_each_concurrent(SUBSCRIBES_AT_ONCE, asking);
        drop(otp::task::spawn(ctx.node(), label, asking));
    }

    pub(super) fn carry_on(&mut self, guild: GuildId, then: Then, ctx: &mut Context<Self>) {
        match then {
            Then::Ask => self.subscribe(vec![guild], true, ctx),
            Then::Forget(Some(monitor)) => drop(ctx.demonitor(monitor, true)),
            Then::Forget(None) | Then::Nothing => {}
        }
    }

    pub(super) fn subscribed(
        &mut self,
        guild: GuildId,
        newly_joined: bool,
        answer: Result<Pid>,
        ctx: &mut Context<Self>,
    ) {
        match answer {
            Ok(relay) => self.guilds.served(guild, relay, || ctx.monitor(relay)),
            Err(ChatError::NotFound(Missing::Guild) | ChatError::MissingAccess) => {
                // Left between the look at the store and the subscription. READY named the guild.
                let then = self.guilds.refused(guild);
                if matches!(then, Then::Forget(_)) && !newly_joined {
                    let gone = ready::guild_gone(guild);
                    if gone.body_for(self.user(), self.who.intents).is_some() {
                        self.outbox.append(&gone);
                    }
                }
                self.carry_on(guild, then, ctx);
            }
            Err(error) => {
                tracing::warn!(session = %self.id, %guild, %error, "guild not available; it is tried again");
                counter!("guildhall_subscribe_retries_total").increment(1);
                if let Some(wait) = self.guilds.failed(guild) {
                    ctx.send_after(
                        wait,
                        Message::Retry {
                            guild,
                            newly_joined,
                        },
                    );
                }
            }
        }
    }
}
