//! What is compressed comes out of stock decompressors as it went in.
#![allow(clippy::unwrap_used)]

use super::*;
use flate2::{Decompress, FlushDecompress};
use proptest::prelude::*;
use zstd::stream::raw::Decoder;

/// A client's zlib stream: feeds one message, gives what it holds.
fn inflate(stream: &mut Decompress, message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    let mut input = message;
    loop {
        if out.len() == out.capacity() {
            out.reserve(out.capacity());
        }
        let (taken, given) = (stream.total_in(), out.len());
        stream
            .decompress_vec(input, &mut out, FlushDecompress::Sync)
            .unwrap();
        input = &input[(stream.total_in() - taken) as usize..];
        // It may hold back output that found no room inside: done when nothing more comes.
        if input.is_empty() && out.len() == given {
            return out;
        }
    }
}

/// A client's zstd stream.
fn unzstd(stream: &mut Decoder<'static>, message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut input = InBuffer::around(message);
    loop {
        let before = out.len();
        zstd_step(&mut out, |space| stream.run(&mut input, space)).unwrap();
        if input.pos() == message.len() && out.len() == before {
            return out;
        }
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

#[test]
fn a_zlib_stream_of_2000_messages() {
    let cache = DeflateCache::new();
    let mut compressor = Compressor::new(Mode::ZlibStream).unwrap();
    let mut stream = Decompress::new(true);
    for (head, body) in messages() {
        let mut message = Vec::new();
        assert!(
            compressor
                .compress(&head, &body, &cache, &mut message)
                .unwrap()
        );
        assert!(message.ends_with(&[0, 0, 0xff, 0xff]));
        assert_eq!(inflate(&mut stream, &message), [&head[..], &body].concat());
    }
}

#[test]
fn a_zstd_stream_of_2000_messages() {
    let cache = DeflateCache::new();
    let mut compressor = Compressor::new(Mode::ZstdStream).unwrap();
    let mut stream = Decoder::new().unwrap();
    let (mut plain, mut packed) = (0, 0);
    for (head, body) in messages() {
        let mut message = Vec::new();
        assert!(
            compressor
                .compress(&head, &body, &cache, &mut message)
                .unwrap()
        );
        assert_eq!(unzstd(&mut stream, &message), [&head[..], &body].concat());
        plain += head.len() + body.len();
        packed += message.len();
    }
    assert!(packed * 3 < plain, "{packed} of {plain}");
}

#[test]
fn an_event_for_many_is_deflated_once() {
    let cache = DeflateCache::new();
    let body = Bytes::from("hello ".repeat(100));
    let mut first = None;
    for sequence in 0..50 {
        let mut compressor = Compressor::new(Mode::ZlibStream).unwrap();
        let mut message = Vec::new();
        let head = format!("{sequence:03}");
        compressor
            .compress(head.as_bytes(), &body, &cache, &mut message)
            .unwrap();
        assert_eq!(
            inflate(&mut Decompress::new(true), &message),
            [head.as_bytes(), &body].concat()
        );
        let deflated = cache.deflated(&body).unwrap();
        let first = first.get_or_insert_with(|| deflated.clone());
        assert!(std::ptr::eq(first.as_ptr(), deflated.as_ptr()));
    }
    assert_eq!(cache.kept.lock().len(), 1);
}

#[test]
fn the_cache_keeps_little() {
    let cache = DeflateCache::new();
    for _ in 0..10 * DEFLATED_KEPT_MAX {
        cache.deflated(&Bytes::from(vec![b'x'; 100])).unwrap();
        cache
            .deflated(&Bytes::from(vec![b'x'; DEFLATED_KEPT_BYTES_MAX + 1]))
            .unwrap();
    }
    assert_eq!(cache.kept.lock().len(), DEFLATED_KEPT_MAX);
}

#[test]
fn equal_addresses_of_different_lengths_are_different_bodies() {
    let cache = DeflateCache::new();
    let whole = Bytes::from_static(b"abcdef");
    let part = whole.slice(..3);
    let whole = cache.deflated(&whole).unwrap();
    assert_ne!(cache.deflated(&part).unwrap(), whole);
}

#[test]
fn payload_compression_is_for_large_ones() {
    let cache = DeflateCache::new();
    let mut compressor = Compressor::new(Mode::Payload).unwrap();
    let mut message = Vec::new();
    assert!(
        !compressor
            .compress(b"head", &Bytes::from_static(b"small"), &cache, &mut message)
            .unwrap()
    );
    assert!(message.is_empty());
    let body = Bytes::from("large ".repeat(2_000));
    assert!(
        compressor
            .compress(b"head", &body, &cache, &mut message)
            .unwrap()
    );
    assert_eq!(
        inflate(&mut Decompress::new(true), &message),
        [b"head", &body[..]].concat()
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_messages_come_out_again(
        messages in prop::collection::vec(
            (prop::collection::vec(any::<u8>(), 0..90), prop::collection::vec(any::<u8>(), 0..9_000)),
            1..5,
        )
    ) {
        let cache = DeflateCache::new();
        let mut zlib = Compressor::new(Mode::ZlibStream).unwrap();
        let mut zstd = Compressor::new(Mode::ZstdStream).unwrap();
        let mut inflated = Decompress::new(true);
        let mut unzstded = Decoder::new().unwrap();
        for (head, body) in messages {
            let body = Bytes::from(body);
            let plain = [&head[..], &body].concat();
            let mut message = Vec::new();
            zlib.compress(&head, &body, &cache, &mut message).unwrap();
            prop_assert!(inflate(&mut inflated, &message) == plain, "zlib, {} bytes", plain.len());
            message.clear();
            zstd.compress(&head, &body, &cache, &mut message).unwrap();
            prop_assert!(unzstd(&mut unzstded, &message) == plain, "zstd, {} bytes", plain.len());
        }
    }
}
