//! Heads of the frames a server sends (RFC 6455 section 5.2): final, not masked.

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// JSON.
    Text = 1,
    /// Compressed.
    Binary = 2,
    /// The last one.
    Close = 8,
}

/// The 2–10 bytes before a frame's payload.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FrameHead {
    bytes: [u8; 10],
    length: u8,
}

impl FrameHead {
    /// No bytes at all.
    pub(crate) const EMPTY: Self = Self {
        bytes: [0; 10],
        length: 0,
    };

    /// Of a whole message of `payload` bytes.
    pub(crate) fn new(kind: Kind, payload: usize) -> Self {
        let mut head = Self::EMPTY;
        head.bytes[0] = 0x80 | kind as u8;
        head.length = match (u8::try_from(payload), u16::try_from(payload)) {
            (Ok(payload @ ..=125), _) => {
                head.bytes[1] = payload;
                2
            }
            (_, Ok(payload)) => {
                head.bytes[1] = 126;
                head.bytes[2..4].copy_from_slice(&payload.to_be_bytes());
                4
            }
            _ => {
                head.bytes[1] = 127;
                head.bytes[2..10].copy_from_slice(&(payload as u64).to_be_bytes());
                10
            }
        };
        head
    }
}

impl AsRef<[u8]> for FrameHead {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;

    #[test]
    fn lengths_are_encoded_as_the_library_reads_them() {
        for payload in [0, 1, 125, 126, 127, 255, 256, 65_535, 65_536, 10_000_000] {
            let head = FrameHead::new(Kind::Text, payload);
            let mut cursor = std::io::Cursor::new(head.as_ref());
            let (header, length) = FrameHeader::parse(&mut cursor)
                .expect("valid")
                .expect("whole");
            assert_eq!(length, payload as u64);
            assert!(header.is_final && header.mask.is_none());
            assert_eq!(cursor.position() as usize, head.as_ref().len());
        }
    }
}
