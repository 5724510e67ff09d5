//! Logging in and resuming: what the gateway calls, and the hold a connection has on a session.
//!
//! ```text
//!  IDENTIFY ─▶ login ──▶ place, process, READY, guilds ──▶ Attached ──heartbeat, op 3, op 8──▶
//!  RESUME ───▶ resume ─▶ replay, RESUMED ────────────────▶ Attached ──end | lost | drop──▶ over
//! ```

use std::sync::Arc;

use model::intents::Intents;
use model::presence::Presence;
use model::user::Account;
use model::{GuildId, UserId};
use otp::{CallError, ServerRef, SupervisorError};

use super::outbox::{Outbox, ResumeError};
use super::transport::{Close, Transport};
use super::{Message, Resumed, Session, SessionArgs};
use crate::chat::{self, Chat};
use crate::error::{ChatError, Result};
use crate::presence::Platform;
use crate::relay::SessionId;

/// Length of a session id in hex digits; others are not looked up.
pub const SESSION_ID_LEN: usize = 32;

/// Default number of members above which a guild counts as large (Discord docs, Gateway Events,
/// "Identify").
pub const LARGE_THRESHOLD_DEFAULT: u64 = 50;

/// What a client identified with, already checked by the gateway.
#[derive(Debug, Clone)]
pub struct Login {
    /// Who.
    pub account: Account,
    /// What it wants to hear of; all for people.
    pub intents: Intents,
    /// Shard number and count, if it sent them; the number is below the count.
    pub shard: Option<(u32, u32)>,
    /// 50–250.
    pub large_threshold: u64,
    /// What it says of itself; `None` = online.
    pub presence: Option<Presence>,
    /// Where it runs, as presences show it.
    pub platform: Platform,
    /// Whether it runs on a phone, whatever presences show: its bytes cost more than others'.
    pub mobile: bool,
    /// API version (9 or 10).
    pub version: u8,
    /// Where to resume, without a trailing slash.
    pub resume_gateway_url: String,
}

impl Login {
    /// Of a client that says no more than it has to: one shard, online, on a desktop, API version
    /// 10, and an empty [`Login::resume_gateway_url`].
    pub fn new(account: Account, intents: Intents) -> Self {
        Self {
            account,
            intents,
            shard: None,
            large_threshold: LARGE_THRESHOLD_DEFAULT,
            presence: None,
            platform: Platform::Desktop,
            mobile: false,
            version: 10,
            resume_gateway_url: String::new(),
        }
    }
}

/// Whether a guild is of a shard (Discord docs, Gateway, "Sharding"): `(guild_id >> 22) % num_shards == shard_id`.
pub(super) fn on_shard(shard: Option<(u32, u32)>, guild: GuildId) -> bool {
    shard.is_none_or(|(number, count)| {
        (guild.get() >> 22) % u64::from(count.max(1)) == u64::from(number)
    })
}

/// Starts a session on `transport`: READY goes out first (number 1), then GUILD_CREATE for each
/// guild of the shard.
///
/// # Errors
/// [`ChatError::Busy`] when the node has as many sessions as it may, [`ChatError::Unavailable`]
/// while it drains or restarts them, or an error of the store. Nothing is left of the session and
/// nothing was sent.
pub async fn login(chat: &Chat, login: Login, transport: Arc<dyn Transport>) -> Result<Attached> {
    let sessions = chat.sessions();
    let place = sessions.admit()?;
    let supervisor = sessions.supervisor().ok_or(ChatError::Unavailable)?;
    let id: SessionId = format!("{:032x}", rand::random::<u128>()).into();
    let outbox = Arc::new(sessions.new_outbox());
    let (user, bot, intents) = (login.account.user.id, login.account.user.bot, login.intents);
    let (shard, mobile) = (login.shard, login.mobile);
    let args = SessionArgs {
        chat: chat.clone(),
        id: id.clone(),
        login: Box::new(login),
        outbox: Arc::clone(&outbox),
        place,
    };
    let options = sessions.options(&id);
    let session = supervisor
        .start_child_once::<Session>(args, options)
        .await
        .map_err(|error| match error {
            SupervisorError::MaxChildren => ChatError::Busy,
            _ => ChatError::Unavailable,
        })?;
    let begun = session
        .call(|from| Message::Begin { transport, from })
        .await;
    match begun.map_err(chat::call_failed).flatten() {
        Ok(generation) => Ok(Attached {
            chat: chat.clone(),
            session,
            outbox,
            id,
            user,
            bot,
            intents,
            shard,
            mobile,
            generation,
        }),
        Err(error) => {
            // It may yet begin, for nobody.
            session.cast(Message::End(Some(Close::InvalidSession {
                resumable: false,
            })));
            Err(error)
        }
    }
}

/// Takes over a session of `account`: everything above number `seq` is sent again in order, then
/// RESUMED, then what is new. A connection it still had is closed.
///
/// # Errors
/// [`ResumeError`]; the session, if there is one, goes on as it was.
pub async fn resume(
    chat: &Chat,
    account: &Account,
    session_id: &str,
    seq: u64,
    transport: Arc<dyn Transport>,
) -> std::result::Result<Attached, ResumeError> {
    if session_id.len() != SESSION_ID_LEN {
        return Err(ResumeError::Unknown);
    }
    let id: SessionId = session_id.into();
    let session = chat.sessions().lookup(&id).ok_or(ResumeError::Unknown)?;
    let (user, bot) = (account.user.id, account.user.bot);
    let Resumed {
        generation,
        outbox,
        intents,
        shard,
        mobile,
    } = session
        .call(|from| Message::Resume {
            user,
            seq,
            transport,
            from,
        })
        .await
        .unwrap_or_else(|error| match error {
            CallError::Timeout | CallError::Overloaded => Err(ResumeError::Busy),
            // It is over or about to be: the client logs in again.
            _ => Err(ResumeError::Unknown),
        })?;
    Ok(Attached {
        chat: chat.clone(),
        session,
        outbox,
        id,
        user,
        bot,
        intents,
        shard,
        mobile,
        generation,
    })
}

/// One connection's hold on a session. Dropping it, or [`Attached::lost`], means that the
/// connection is gone and the session waits to be resumed; [`Attached::end`] that it is over.
pub struct Attached {
    pub(super) chat: Chat,
    session: ServerRef<Session>,
    pub(super) outbox: Arc<Outbox>,
    id: SessionId,
    pub(super) user: UserId,
    bot: bool,
    pub(super) intents: Intents,
    pub(super) shard: Option<(u32, u32)>,
    mobile: bool,
    generation: u64,
}

impl std::fmt::Debug for Attached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Attached({}, connection {})", self.id, self.generation)
    }
}

impl Attached {
    /// The session's id, as READY says it.
    pub fn session_id(&self) -> &str {
        &self.id
    }

    /// Whose session it is.
    pub fn user(&self) -> UserId {
        self.user
    }

    /// Whether it is a bot's session.
    pub fn is_bot(&self) -> bool {
        self.bot
    }

    /// Whether its client said at login that it runs on a phone.
    pub fn is_mobile(&self) -> bool {
        self.mobile
    }

    /// The client is alive and has received everything up to number `seq` (op 1): that much need
    /// not be kept for RESUME.
    pub fn heartbeat(&self, seq: Option<u64>) {
        if let Some(seq) = seq {
            self.outbox.acknowledge(seq);
        }
    }

    /// Number of the last event of the session.
    pub fn last_sequence(&self) -> u64 {
        self.outbox.last_sequence()
    }

    /// The client says what its user does (op 3), in normal form. At most
    /// [`crate::presence::limit::UPDATES_MAX`] changes count at once, of the rest the last one.
    pub fn set_presence(&self, presence: Presence) {
        self.session.cast(Message::SetPresence(presence));
    }

    pub(super) fn tell(&self, message: Message) {
        self.session.cast(message);
    }

    /// The client closed the connection for good (close code 1000 or 1001): the session is over
    /// and the user, without another session, offline.
    pub fn end(self) {
        self.session.cast(Message::End(None));
    }

    /// The connection broke; the session can be resumed.
    pub fn lost(self) {
        drop(self);
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        // The outbox tells the session process; nothing happens when another connection has
        // taken over or the session is over.
        self.outbox.detach(self.generation);
    }
}
