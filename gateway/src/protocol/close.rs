//! Close codes: why a connection ends (Discord docs, Opcodes and Status Codes, "Gateway Close
//! Event Codes"; RFC 6455 section 7.4.1 for the codes below 4000).

/// Why the server ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum CloseCode {
    /// 1001: the node stops. Come back and resume.
    GoingAway = 1001,
    /// 1002: the client broke the WebSocket protocol.
    Protocol = 1002,
    /// 1007: a text message that is not UTF-8.
    InvalidText = 1007,
    /// 1009: a frame or message above what is ever read.
    TooBig = 1009,
    /// 4000: anything else; resume.
    UnknownError = 4000,
    /// 4001: an opcode nobody knows.
    UnknownOpcode = 4001,
    /// 4002: not JSON, not the documented shape, or above the payload limit.
    DecodeError = 4002,
    /// 4003: something else before IDENTIFY or RESUME, or neither in time.
    NotAuthenticated = 4003,
    /// 4004: the token is not ours. Do not come back with it.
    AuthenticationFailed = 4004,
    /// 4005: a second IDENTIFY, or RESUME, on a connection that has a session.
    AlreadyAuthenticated = 4005,
    /// 4007: RESUME with a sequence number that was never sent. Log in anew.
    InvalidSequence = 4007,
    /// 4008: too many payloads.
    RateLimited = 4008,
    /// 4009: no heartbeat in time. Resume or log in anew.
    SessionTimedOut = 4009,
    /// 4010: no such shard. Do not come back with it.
    InvalidShard = 4010,
    /// 4012: a version that is not served. Do not come back with it.
    InvalidVersion = 4012,
    /// 4013: bits that are no intents, or none at all. Do not come back with them.
    InvalidIntents = 4013,
    /// 4014: a privileged intent the application was not granted. Do not come back with it.
    DisallowedIntents = 4014,
}

impl CloseCode {
    /// The number on the wire.
    pub fn code(self) -> u16 {
        self as u16
    }

    /// The reason text sent along, for people who read logs; under 123 bytes.
    pub fn reason(self) -> &'static str {
        match self {
            Self::GoingAway => "Going away.",
            Self::Protocol => "WebSocket protocol error.",
            Self::InvalidText => "Text is not UTF-8.",
            Self::TooBig => "Message too big.",
            Self::UnknownError => "Unknown error.",
            Self::UnknownOpcode => "Unknown opcode.",
            Self::DecodeError => "Error while decoding payload.",
            Self::NotAuthenticated => "Not authenticated.",
            Self::AuthenticationFailed => "Authentication failed.",
            Self::AlreadyAuthenticated => "Already authenticated.",
            Self::InvalidSequence => "Invalid seq.",
            Self::RateLimited => "Rate limited.",
            Self::SessionTimedOut => "Session timed out.",
            Self::InvalidShard => "Invalid shard.",
            Self::InvalidVersion => "Invalid API version.",
            Self::InvalidIntents => "Invalid intent(s).",
            Self::DisallowedIntents => "Disallowed intent(s).",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::CloseCode;

    #[test]
    fn reasons_fit_a_close_frame() {
        for code in [
            CloseCode::GoingAway,
            CloseCode::Protocol,
            CloseCode::InvalidText,
            CloseCode::TooBig,
            CloseCode::UnknownError,
            CloseCode::UnknownOpcode,
            CloseCode::DecodeError,
            CloseCode::NotAuthenticated,
            CloseCode::AuthenticationFailed,
            CloseCode::AlreadyAuthenticated,
            CloseCode::InvalidSequence,
            CloseCode::RateLimited,
            CloseCode::SessionTimedOut,
            CloseCode::InvalidShard,
            CloseCode::InvalidVersion,
            CloseCode::InvalidIntents,
            CloseCode::DisallowedIntents,
        ] {
            assert!(!code.reason().is_empty() && code.reason().len() <= 123);
        }
    }
}
