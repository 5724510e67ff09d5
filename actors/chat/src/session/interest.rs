//! What a person's client says it shows (op 14, op 37), and what becomes of it.
//!
//! ```text
//!  op 37 ──▶ Attached::subscribe_guilds ──▶ Session: which of its guilds ──activate──▶ Guild ─▶ Relay
//!                                           (after GUILD_CREATE)        ──watch_members──▶ Guild
//! ```
//!
//! In a guild of more than [`super::PASSIVE_MEMBERS_MIN`] members a person's session is passive when
//! it begins to listen, and stays so until its client names the guild here: naming it is enough, as
//! clients say in many ways what of it they show. From then on it is active for as long as the
//! session lives, RESUMEs included; clients that show another guild do not say so reliably, and a
//! session that became passive by itself would miss messages its client counts on. Posting does not
//! activate: which of a user's sessions posted is not known, and its own messages come to passive
//! sessions too.

use metrics::counter;
use model::{ChannelId, GuildId};
use otp::Context;

use super::guilds::{RETRY_FIRST, Tell};
use super::login::Attached;
use super::{Message, Session};
use crate::error::{ChatError, Missing, Result};
use crate::guild;

/// Channels, and ranges of positions in the member list of each, both ends included.
pub type ListRanges = Vec<(ChannelId, Vec<(u32, u32)>)>;

/// A guild of which a client shows something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuildSubscription {
    /// Which.
    pub guild: GuildId,
    /// Whose member lists it shows, instead of what it said before. `None`: it says nothing of
    /// them.
    pub channels: Option<ListRanges>,
}

impl Attached {
    /// The client shows parts of guilds (op 14, op 37): the session is passive there no more, and
    /// gets the member lists it asks for. Nothing happens for guilds it does not have, nor for bots,
    /// which are never passive and have no such lists; counter
    /// `guildhall_bot_subscriptions_total`.
    pub fn subscribe_guilds(&self, subscriptions: Vec<GuildSubscription>) {
        if self.is_bot() {
            counter!("guildhall_bot_subscriptions_total").increment(1);
        } else {
            self.tell(Message::Interest(subscriptions));
        }
    }
}

impl Session {
    pub(super) fn interested(
        &mut self,
        subscriptions: Vec<GuildSubscription>,
        ctx: &mut Context<Self>,
    ) {
        for GuildSubscription { guild, channels } in subscriptions {
            self.guilds.interested(guild, channels);
            self.pass_on(guild, ctx);
        }
    }

    /// Tells a guild what the client wants of it, if there is anything new.
    pub(super) fn pass_on(&mut self, guild: GuildId, ctx: &mut Context<Self>) {
        let Tell { activate, watch } = self.guilds.tell(guild);
        if activate {
            let (chat, me, id) = (self.chat.clone(), ctx.self_ref(), self.id.clone());
            let label = format!("activate {}", self.id);
            let asking = async move {
                let answer = guild::activate(&chat, guild, id).await;
                me.cast(Message::Activated { guild, answer });
            };
            drop(otp::task::spawn(ctx.node(), label, asking));
        }
        if let Some(channels) = watch {
            let outbox = self.outbox.clone();
            let user = self.user();
            guild::watch_members(&self.chat, guild, self.id.clone(), user, channels, outbox);
        }
    }

    pub(super) fn activated(
        &mut self,
        guild: GuildId,
        answer: Result<()>,
        ctx: &mut Context<Self>,
    ) {
        match answer {
            // A guild that is gone takes its sessions off itself.
            Ok(()) | Err(ChatError::NotFound(Missing::Guild)) => {}
            Err(error) => {
                tracing::warn!(session = %self.id, %guild, %error, "still passive; it is tried again");
                self.guilds.not_told(guild);
                ctx.send_after(RETRY_FIRST, Message::Remind(guild));
            }
        }
    }
}
