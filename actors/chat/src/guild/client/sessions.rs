//! What sessions ask of a guild: to listen, to get everything, to watch member lists; and what is said
//! of their users' presence.

use std::sync::Arc;

use model::presence::{ClientStatus, Presence};
use model::{ChannelId, GuildId, UserId};
use otp::Pid;

use super::ask::ask;
use crate::chat::Chat;
use crate::error::Result;
use crate::guild::{Message, SnapshotWants, Watch};
use crate::relay::{SessionId, Subscriber};
use crate::session::outbox::Outbox;

/// A session listens to a guild from here on: it gets GUILD_CREATE and then every event its user
/// may see. Answers the relay to monitor: when that dies the subscription is gone.
///
/// # Errors
/// [`crate::error::Missing::Guild`] when the user is no member; otherwise as `execute`.
pub async fn subscribe(
    chat: &Chat,
    guild: GuildId,
    subscriber: Subscriber,
    wants: SnapshotWants,
) -> Result<Pid> {
    ask(chat, guild, |reply| Message::Subscribe {
        subscriber: Box::new(subscriber.clone()),
        wants,
        reply,
    })
    .await
}

/// A session listens no more. Returns at once; a guild that does not run has nobody to forget.
pub fn unsubscribe(chat: &Chat, guild: GuildId, session: SessionId) {
    if let Some(server) = chat.guilds().lookup(guild) {
        server.cast(Message::Unsubscribe(session));
    }
}

/// A session of a subscribed user gets everything from here on, if it was passive.
///
/// # Errors
/// As `execute`; it stays as it was.
pub(crate) async fn activate(chat: &Chat, guild: GuildId, session: SessionId) -> Result<()> {
    ask(chat, guild, |reply| Message::Activate {
        session: session.clone(),
        reply,
    })
    .await
}

/// A session watches parts of the member lists of some channels from here on, instead of what it
/// watched before in this guild; no channels: it watches nothing. Each range is of positions in the
/// list, both ends included. Returns at once; the lists arrive as GUILD_MEMBER_LIST_UPDATE in
/// `outbox`. Ends when the session listens to the guild no more.
pub(crate) fn watch_members(
    chat: &Chat,
    guild: GuildId,
    session: SessionId,
    user: UserId,
    channels: Vec<(ChannelId, Vec<(u32, u32)>)>,
    outbox: Arc<Outbox>,
) {
    let watch = Watch {
        number: chat.guilds().next_watch(),
        session,
        user,
        channels,
        outbox,
    };
    let chat = chat.clone();
    // A guild that is being started again is waited for.
    tokio::spawn(async move {
        let asked = ask(&chat, guild, |reply| Message::Watch {
            watch: Box::new(watch.clone()),
            reply,
        });
        if let Err(error) = asked.await {
            tracing::debug!(%guild, %error, "a member list is not watched");
        }
    });
}

/// A member's presence changed (`None` = offline). Returns at once; a guild that does not run
/// reads the presences of its members when it starts.
pub fn cast_presence(
    chat: &Chat,
    guild: GuildId,
    user: UserId,
    presence: Option<Presence>,
    client_status: ClientStatus,
) {
    if let Some(server) = chat.guilds().lookup(guild) {
        server.cast(Message::Presence {
            user,
            presence,
            client_status,
        });
    }
}
