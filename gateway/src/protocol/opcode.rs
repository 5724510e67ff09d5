//! Gateway opcodes (Discord docs, Opcodes and Status Codes, "Gateway Opcodes"), and the ones only
//! user clients send.

/// What kind of payload it is: the `op` of the envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Opcode {
    /// 0, server to client: an event.
    Dispatch = 0,
    /// 1, both ways: still there.
    Heartbeat = 1,
    /// 2: log in.
    Identify = 2,
    /// 3: the client's presence.
    PresenceUpdate = 3,
    /// 4: join, move or leave a voice channel.
    VoiceStateUpdate = 4,
    /// 6: go on with a session.
    Resume = 6,
    /// 7, server to client: come back and resume.
    Reconnect = 7,
    /// 8: members of a guild.
    RequestGuildMembers = 8,
    /// 9, server to client: the session is not valid.
    InvalidSession = 9,
    /// 10, server to client: the first payload.
    Hello = 10,
    /// 11, server to client: the answer to a heartbeat.
    HeartbeatAck = 11,
    /// 12, user clients: subscribe to old-style guild events.
    GuildSync = 12,
    /// 13, user clients: is there a call in this DM?
    CallConnect = 13,
    /// 14, user clients: subscribe to parts of a guild, first form.
    LazyRequest = 14,
    /// 31: the soundboard sounds of guilds.
    RequestSoundboardSounds = 31,
    /// 36, user clients: the last messages of channels.
    RequestLastMessages = 36,
    /// 37, user clients: subscribe to parts of guilds.
    GuildSubscriptionsBulk = 37,
    /// 40, user clients: a heartbeat with quality figures.
    QosHeartbeat = 40,
    /// 41, user clients: time spent in the client.
    TimeSpent = 41,
    /// 43: details of channels.
    RequestChannelInfo = 43,
}

impl Opcode {
    /// The opcode of a number a client may send.
    ///
    /// # Errors
    /// `None` when the number is unknown, or only the server sends it: close with 4001.
    pub fn from_client(number: u64) -> Option<Self> {
        Some(match number {
            1 => Self::Heartbeat,
            2 => Self::Identify,
            3 => Self::PresenceUpdate,
            4 => Self::VoiceStateUpdate,
            6 => Self::Resume,
            8 => Self::RequestGuildMembers,
            12 => Self::GuildSync,
            13 => Self::CallConnect,
            14 => Self::LazyRequest,
            31 => Self::RequestSoundboardSounds,
            36 => Self::RequestLastMessages,
            37 => Self::GuildSubscriptionsBulk,
            40 => Self::QosHeartbeat,
            41 => Self::TimeSpent,
            43 => Self::RequestChannelInfo,
            _ => return None,
        })
    }

    /// The number on the wire.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// Name for logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dispatch => "dispatch",
            Self::Heartbeat => "heartbeat",
            Self::Identify => "identify",
            Self::PresenceUpdate => "presence_update",
            Self::VoiceStateUpdate => "voice_state_update",
            Self::Resume => "resume",
            Self::Reconnect => "reconnect",
            Self::RequestGuildMembers => "request_guild_members",
            Self::InvalidSession => "invalid_session",
            Self::Hello => "hello",
            Self::HeartbeatAck => "heartbeat_ack",
            Self::GuildSync => "guild_sync",
            Self::CallConnect => "call_connect",
            Self::LazyRequest => "lazy_request",
            Self::RequestSoundboardSounds => "request_soundboard_sounds",
            Self::RequestLastMessages => "request_last_messages",
            Self::GuildSubscriptionsBulk => "guild_subscriptions_bulk",
            Self::QosHeartbeat => "qos_heartbeat",
            Self::TimeSpent => "time_spent",
            Self::RequestChannelInfo => "request_channel_info",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Opcode;

    #[test]
    fn a_client_cannot_send_what_the_server_says() {
        for number in [0, 5, 7, 9, 10, 11, 99, u64::MAX] {
            assert_eq!(Opcode::from_client(number), None);
        }
        for number in 0..256 {
            if let Some(opcode) = Opcode::from_client(number) {
                assert_eq!(u64::from(opcode.number()), number);
            }
        }
    }
}
