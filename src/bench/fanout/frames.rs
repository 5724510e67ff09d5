//! The little of WebSocket a receiver needs: cut a byte stream into a server's frames, and make
//! a client's.

/// Opcode of a text frame.
pub(crate) const TEXT: u8 = 1;
/// Opcode of a binary frame.
pub(crate) const BINARY: u8 = 2;

/// Cuts what was read into frames and keeps the unfinished rest.
#[derive(Debug, Default)]
pub(crate) struct FrameBuffer {
    held: Vec<u8>,
}

impl FrameBuffer {
    /// Calls `on` with opcode and payload of each whole frame.
    pub(crate) fn feed(&mut self, input: &[u8], mut on: impl FnMut(u8, &[u8])) {
        if self.held.is_empty() {
            // The usual case: whole frames, parsed where they were read.
            let used = Self::parse(input, &mut on);
            self.held.extend_from_slice(&input[used..]);
            return;
        }
        self.held.extend_from_slice(input);
        let used = Self::parse(&self.held, &mut on);
        self.held.drain(..used);
        if self.held.is_empty() {
            self.held = Vec::new();
        }
    }

    fn parse(bytes: &[u8], on: &mut impl FnMut(u8, &[u8])) -> usize {
        let mut used = 0;
        while let Some((opcode, begin, end)) = first_frame(&bytes[used..]) {
            on(opcode, &bytes[used + begin..used + end]);
            used += end;
        }
        used
    }
}

/// Opcode, begin and end of the payload of the frame at the start; `None` = not whole yet. A
/// server's frames are not masked.
fn first_frame(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let [first, second, rest @ ..] = bytes else {
        return None;
    };
    let (begin, length) = match second & 0x7f {
        126 => (4, u64::from(u16::from_be_bytes(*rest.first_chunk()?))),
        127 => (10, u64::from_be_bytes(*rest.first_chunk()?)),
        length => (2, u64::from(length)),
    };
    let end = begin + usize::try_from(length).ok()?;
    (bytes.len() >= end).then_some((first & 0x0f, begin, end))
}

/// A client's text frame. The mask is all zeros, which leaves the payload as it is: masking guards
/// proxies between client and server, and here is none.
pub(crate) fn text_frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x80 | TEXT];
    match u16::try_from(text.len()) {
        Ok(length @ 0..=125) => frame.push(0x80 | length as u8),
        Ok(length) => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&length.to_be_bytes());
        }
        Err(_) => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(text.len() as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(text.as_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a server would send it.
    fn server_frame(text: &str) -> Vec<u8> {
        let mut frame = text_frame(text);
        let mask = frame.len() - text.len() - 4;
        frame.drain(mask..mask + 4);
        frame[1] &= 0x7f;
        frame
    }

    #[test]
    fn frames_are_the_same_however_the_stream_is_cut() {
        let texts = [
            "",
            "a",
            &"b".repeat(125),
            &"c".repeat(126),
            &"d".repeat(70_000),
            "e",
        ];
        let stream: Vec<u8> = texts.iter().flat_map(|text| server_frame(text)).collect();
        for step in [1, 2, 3, 127, 4_096, stream.len()] {
            let mut buffer = FrameBuffer::default();
            let mut seen = Vec::new();
            for part in stream.chunks(step) {
                buffer.feed(part, |opcode, payload| {
                    assert_eq!(opcode, TEXT);
                    seen.push(String::from_utf8_lossy(payload).into_owned());
                });
            }
            assert_eq!(seen, texts, "cut every {step} bytes");
            assert!(buffer.held.is_empty());
        }
    }
}
