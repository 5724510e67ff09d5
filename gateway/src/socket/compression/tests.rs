//! What is compressed comes out of stock decompressors as it went in.
#![allow(clippy::unwrap_used)]

use super::*;
use flate2::{Decompress, FlushDecompress};
use proptest::prelude::*;
use zstd::stream::raw::{Decoder, InBuffer, Operation as _, OutBuffer};

mod contexts;
mod measured;
mod sharing;
mod splicing;

/// A client's stream.
enum Stream {
    Zlib(Decompress),
    Zstd(Decoder<'static>),
}

impl Stream {
    fn new(mode: Mode) -> Self {
        match mode {
            Mode::ZlibStream => Self::Zlib(Decompress::new(true)),
            Mode::ZstdStream => Self::Zstd(Decoder::new().unwrap()),
            other => panic!("{other:?} is no stream"),
        }
    }

    /// Feeds some bytes, gives what comes out.
    fn feed(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Zlib(stream) => inflate(stream, bytes),
            Self::Zstd(stream) => unzstd(stream, bytes),
        }
    }
}

fn inflate(stream: &mut Decompress, mut input: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(1024);
    loop {
        if out.len() == out.capacity() {
            out.reserve(out.capacity());
        }
        let (taken, given) = (stream.total_in(), out.len());
        stream.decompress_vec(input, &mut out, FlushDecompress::Sync)?;
        input = &input[(stream.total_in() - taken) as usize..];
        // It may hold back output that found no room inside: done when nothing more comes.
        if input.is_empty() && out.len() == given {
            return Ok(out);
        }
    }
}

fn unzstd(stream: &mut Decoder<'static>, message: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut input = InBuffer::around(message);
    loop {
        out.reserve(4_096);
        let given = out.len();
        stream.run(&mut input, &mut OutBuffer::around_pos(&mut out, given))?;
        if input.pos() == message.len() && out.len() == given {
            return Ok(out);
        }
    }
}

/// Recipients of an event that is always shared.
const MANY: usize = usize::MAX;

/// Compresses one message of a stream, for many.
fn pack(compressor: &mut Compressor, shared: &SharedBodies, head: &[u8], body: &Bytes) -> Vec<u8> {
    pack_for(MANY, compressor, shared, head, body)
}

/// Compresses one message of a stream.
fn pack_for(
    recipients: usize,
    compressor: &mut Compressor,
    shared: &SharedBodies,
    head: &[u8],
    body: &Bytes,
) -> Vec<u8> {
    let mut message = Vec::new();
    assert!(
        compressor
            .compress(head, body, recipients, shared, &mut message)
            .unwrap()
    );
    message
}

/// Whether `text` is head and body; in zstd streams spaces may be between them.
fn is_message(mode: Mode, text: &[u8], head: &[u8], body: &[u8]) -> bool {
    let spaces = text.len().checked_sub(head.len() + body.len());
    text.starts_with(head)
        && text.ends_with(body)
        && match spaces {
            Some(0) => true,
            Some(zstandard::RESET_SPACES) => {
                let between = &text[head.len()..text.len() - body.len()];
                mode == Mode::ZstdStream && between.iter().all(|byte| *byte == b' ')
            }
            _ => false,
        }
}

fn messages() -> Vec<(Vec<u8>, Bytes)> {
    (0..2_000_usize)
        .map(|number| {
            let head = format!(r#"{{"t":"MESSAGE_CREATE","s":{number},"op":0,"d":"#).into_bytes();
            let text = format!("{number} ünïcode 🦀 ").repeat(number % 67);
            let size = if number % 500 == 499 { 200_000 } else { 0 };
            let noise: Vec<u8> = (0..size)
                .map(|at: usize| (at * at % 251) as u8 + 1)
                .collect();
            let mut body = serde_json::json!({"content": text})
                .to_string()
                .into_bytes();
            body.extend_from_slice(&noise);
            (head, Bytes::from(body))
        })
        .collect()
}

fn a_stream_of_2000_messages(mode: Mode) {
    let shared = SharedBodies::new();
    let mut compressor = Compressor::new(mode);
    let mut stream = Stream::new(mode);
    let (mut plain, mut packed) = (0, 0);
    for (head, body) in messages() {
        let message = pack(&mut compressor, &shared, &head, &body);
        if mode == Mode::ZlibStream {
            assert!(message.ends_with(&[0, 0, 0xff, 0xff]));
        }
        let text = stream.feed(&message).unwrap();
        assert!(
            is_message(mode, &text, &head, &body),
            "{}",
            String::from_utf8_lossy(&head)
        );
        plain += head.len() + body.len();
        packed += message.len();
    }
    assert!(packed * 3 < plain, "{packed} of {plain}");
}

#[test]
fn a_zlib_stream_of_2000_messages() {
    a_stream_of_2000_messages(Mode::ZlibStream);
}

#[test]
fn a_zstd_stream_of_2000_messages() {
    a_stream_of_2000_messages(Mode::ZstdStream);
}

#[test]
fn what_comes_out_of_a_zstd_stream_is_json() {
    let shared = SharedBodies::new();
    let mut compressor = Compressor::new(Mode::ZstdStream);
    let mut stream = Stream::new(Mode::ZstdStream);
    for number in 0..100 {
        let head = format!(r#"{{"t":"MESSAGE_CREATE","s":{number},"op":0,"d":"#);
        let content = "again and ".repeat(number);
        let body = Bytes::from(format!("{}}}", serde_json::json!({ "content": content })));
        let message = pack(&mut compressor, &shared, head.as_bytes(), &body);
        let text = stream.feed(&message).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(
            (&value["s"], &value["d"]["content"]),
            (&number.into(), &content.into())
        );
    }
}

#[test]
fn payload_compression_is_for_large_ones() {
    let shared = SharedBodies::new();
    let mut compressor = Compressor::new(Mode::Payload);
    let mut message = Vec::new();
    let small = Bytes::from_static(b"small");
    assert!(
        !compressor
            .compress(b"head", &small, 1, &shared, &mut message)
            .unwrap()
    );
    assert!(message.is_empty());
    let body = Bytes::from("large ".repeat(2_000));
    let message = pack(&mut compressor, &shared, b"head", &body);
    assert_eq!(
        Stream::new(Mode::ZlibStream).feed(&message).unwrap(),
        [b"head", &body[..]].concat()
    );
}
