//! Whatever bytes come, in whatever pieces: the same messages, within the bounds, no panic.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::socket::compression::{Compressor, Mode};
use crate::socket::transport::{Shared, Sink};
use proptest::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A stream that gives its bytes in pieces of these lengths, then ends.
struct Pieces {
    bytes: Vec<u8>,
    lengths: Vec<usize>,
    pending: bool,
    taken: Arc<AtomicUsize>,
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.pending = !self.pending;
        if self.pending {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let length = self.lengths.pop().unwrap_or(usize::MAX).max(1);
        let length = length.min(self.bytes.len()).min(space.remaining());
        self.taken.fetch_add(length, Ordering::Relaxed);
        let rest = self.bytes.split_off(length);
        space.put_slice(&std::mem::replace(&mut self.bytes, rest));
        Poll::Ready(Ok(()))
    }
}

/// Everything that comes out of `bytes`, with the end as the last one.
fn read_all(ahead: &[u8], bytes: Vec<u8>, lengths: Vec<usize>) -> Vec<Received> {
    read_counting(ahead, bytes, lengths, &Arc::default())
}

/// The same, and how much was read.
fn read_counting(
    ahead: &[u8],
    bytes: Vec<u8>,
    lengths: Vec<usize>,
    taken: &Arc<AtomicUsize>,
) -> Vec<Received> {
    let writer = SocketWriter::new(
        Sink::Gone,
        Compressor::new(Mode::None),
        Arc::new(Shared::new()),
    );
    let source = Pieces {
        bytes,
        lengths,
        pending: false,
        taken: Arc::clone(taken),
    };
    let mut reader = Reader::new(Source::Any(Box::new(source)), ahead.to_vec());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let mut all = Vec::new();
    loop {
        let next = std::future::poll_fn(|context| reader.poll_next(context, &writer));
        let next = runtime.block_on(next);
        let last = !matches!(next, Received::Message(_) | Received::Control);
        all.push(next);
        if last {
            return all;
        }
    }
}

/// A frame as clients send it.
fn frame(first: u8, mask: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ ..126 => frame.push(0x80 | length as u8),
        length => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
    }
    frame.extend_from_slice(&mask);
    let masked = payload.iter().zip(mask.iter().cycle());
    frame.extend(masked.map(|(byte, mask)| byte ^ mask));
    frame
}

fn messages() -> impl Strategy<Value = Vec<(Vec<u8>, u8, [u8; 4])>> {
    let message = (
        prop::collection::vec(any::<u8>(), 0..3_000),
        1_u8..4,
        any::<[u8; 4]>(),
    );
    prop::collection::vec(message, 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn arbitrary_bytes_end(
        bytes in prop::collection::vec(any::<u8>(), 0..2_000),
        lengths in prop::collection::vec(1_usize..100, 0..40),
    ) {
        let all = read_all(&[], bytes, lengths);
        let over = matches!(
            all.last(),
            Some(Received::Lost | Received::Refused(_) | Received::Closed(_))
        );
        prop_assert!(over);
    }

    #[test]
    fn pieces_and_fragments_do_not_matter(
        messages in messages(),
        lengths in prop::collection::vec(1_usize..700, 0..40),
        ahead in 0_usize..500,
    ) {
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        for (payload, fragments, mask) in messages {
            let size = payload.len().div_ceil(usize::from(fragments)).max(1);
            let parts: Vec<&[u8]> = match payload.is_empty() {
                true => vec![&[]],
                false => payload.chunks(size).collect(),
            };
            for (number, part) in parts.iter().enumerate() {
                let opcode = if number == 0 { 2 } else { 0 };
                let last = if number + 1 == parts.len() { 0x80 } else { 0 };
                bytes.extend(frame(opcode | last, mask, part));
            }
            expected.push(Received::Message(Bytes::from(payload)));
        }
        expected.push(Received::Lost);
        let rest = bytes.split_off(ahead.min(bytes.len()));
        prop_assert!(read_all(&bytes, rest, lengths) == expected);
    }
}

#[test]
fn the_limits_are_where_they_are_said_to_be() {
    let whole = vec![b' '; FRAME_BYTES_MAX];
    let all = read_all(&[], frame(0x82, [1; 4], &whole), Vec::new());
    assert_eq!(all[0], Received::Message(Bytes::from(whole)));
    let over = vec![b' '; FRAME_BYTES_MAX + 1];
    let all = read_all(&[], frame(0x82, [1; 4], &over), Vec::new());
    assert_eq!(all, [Received::Refused(CloseCode::TooBig)]);
}

#[test]
fn many_small_messages_are_not_one_large_one() {
    let heartbeat = frame(0x81, [7; 4], br#"{"op":1,"d":null}"#);
    let all = read_all(&[], heartbeat.repeat(20_000), Vec::new());
    assert_eq!(all.len(), 20_001);
}

#[test]
fn fragments_without_end_are_cut() {
    let mut bytes = frame(0x01, [0; 4], b"{");
    bytes.extend(frame(0x00, [0; 4], b"").repeat(40_000));
    let taken = Arc::default();
    let all = read_counting(&[], bytes, Vec::new(), &taken);
    assert_eq!(all, [Received::Refused(CloseCode::TooBig)]);
    // It stops reading there: what the client goes on sending is not even looked at.
    assert!(taken.load(Ordering::Relaxed) <= MESSAGE_WIRE_BYTES_MAX + FRAME_BYTES_MAX);
}
