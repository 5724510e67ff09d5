//! What a session process is started with and sent.

use std::sync::Arc;

use model::event::Encoded;
use model::intents::Intents;
use model::presence::Presence;
use model::{GuildId, UserId};
use otp::{From, Pid};

use super::GuildSubscription;
use super::login::Login;
use super::outbox::{Notice, Outbox, ResumeError};
use super::registry::Place;
use super::transport::{Close, Transport};
use crate::chat::Chat;
use crate::error::Result;
use crate::relay::SessionId;

/// What a session process is started with.
pub struct SessionArgs {
    pub(super) chat: Chat,
    pub(super) id: SessionId,
    pub(super) login: Box<Login>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) place: Place,
}

/// What a connection that resumes a session needs to know of it.
#[derive(Debug)]
pub struct Resumed {
    pub(super) generation: u64,
    pub(super) outbox: Arc<Outbox>,
    pub(super) intents: Intents,
    pub(super) shard: Option<(u32, u32)>,
    pub(super) mobile: bool,
}

/// What a session process is sent, by this module and by relays.
pub enum Message {
    /// The first connection.
    Begin {
        /// Where READY goes.
        transport: Arc<dyn Transport>,
        /// Gets the connection's generation.
        from: From<Result<u64>>,
    },
    /// A later connection.
    Resume {
        /// Whose token it showed.
        user: UserId,
        /// The last number its client has.
        seq: u64,
        /// Where the replay goes.
        transport: Arc<dyn Transport>,
        /// Gets what the new connection needs.
        from: From<std::result::Result<Resumed, ResumeError>>,
    },
    /// From the outbox.
    Notice(Notice),
    /// The resume window of a lost connection is over.
    Expire {
        /// The connection.
        generation: u64,
    },
    /// The connection is to be closed, the session goes on.
    Disconnect {
        /// What the client is told.
        why: Close,
        /// Answered when it has been.
        from: From<()>,
    },
    /// The session is over.
    End(Option<Close>),
    /// Op 3.
    SetPresence(Presence),
    /// A presence that had to wait may go.
    PresenceDue,
    /// Op 14 and op 37: the client shows parts of guilds.
    Interest(Vec<GuildSubscription>),
    /// What a guild answered to being told of it.
    Activated {
        /// Which.
        guild: GuildId,
        /// Whether the session is, or is about to be, active there.
        answer: Result<()>,
    },
    /// A guild that could not be told of the client's interest is told again.
    Remind(GuildId),
    /// An event for the user.
    Tell(Arc<Encoded>),
    /// The user joined a guild.
    Join(GuildId),
    /// A guild that could not be reached is tried again.
    Retry {
        /// Which.
        guild: GuildId,
        /// As when it was first asked.
        newly_joined: bool,
    },
    /// What a guild answered to a subscription.
    Subscribed {
        /// Which.
        guild: GuildId,
        /// As when it was asked.
        newly_joined: bool,
        /// Its relay.
        answer: Result<Pid>,
    },
    /// From a relay: the session is subscribed.
    Joined {
        /// Whose relay.
        guild: GuildId,
        /// The relay.
        relay: Pid,
    },
    /// From a relay: events of the guild were lost, the session cannot go on without a gap.
    Lost {
        /// Whose relay.
        guild: GuildId,
    },
    /// From a relay: the user is out of the guild.
    Left {
        /// Whose relay.
        guild: GuildId,
        /// The relay.
        relay: Pid,
    },
}
