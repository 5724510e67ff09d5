//! Bodies of any kind, spliced after each other in any order, fed in pieces of any length.

use super::*;
use zstandard::{STREAM_HEAD, body as zstd_body, raw};

pub(super) const STREAMS: [Mode; 2] = [Mode::ZlibStream, Mode::ZstdStream];

/// Bodies of the kinds an encoder treats differently.
pub(super) fn any_body() -> impl Strategy<Value = Vec<u8>> {
    let noise = |sizes| prop::collection::vec(any::<u8>(), sizes);
    prop_oneof![
        1 => Just(Vec::new()),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
        // Either side of the smallest that is compressed.
        2 => noise(60..70),
        2 => noise(0..9_000),
        // One byte, and short periods: what repeat offsets are for.
        2 => (any::<u8>(), 0..9_000_usize).prop_map(|(byte, size)| vec![byte; size]),
        4 => (noise(1..12), 0..2_000_usize).prop_map(|(period, times)| period.repeat(times)),
        4 => "([a-c]{3,9} ?|ünïcode|🦀|[0-9]{18}){0,300}".prop_map(String::into_bytes),
        2 => noise(1..400).prop_map(json_like),
        // Several blocks, noise between text.
        1 => (noise(1..3_000), 50..80_usize).prop_map(|(part, times)| {
            let text = br#"{"id":"1574004909756383240"}"#.repeat(1_000);
            [&text[..], &part.repeat(times), &text].concat()
        }),
        1 => (140_000..300_000_usize).prop_map(|size| xorshift(size as u64, size)),
    ]
}

fn json_like(seeds: Vec<u8>) -> Vec<u8> {
    let field = |seed: &u8| format!(r#""field_{}":"{:x}","#, seed % 16, u32::from(*seed) * 7_919);
    seeds.iter().map(field).collect::<String>().into_bytes()
}

/// Noise that no encoder makes shorter.
fn xorshift(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..size).map(next).collect()
}

/// Some messages of all kinds, as a stream, and what comes out of it.
fn stream_of_all_kinds(mode: Mode) -> (Vec<u8>, Vec<u8>) {
    let shared = SharedBodies::new();
    let mut compressor = Compressor::new(mode);
    let mut stream = Vec::new();
    for number in 0..16_usize {
        let head = format!(r#"{{"t":"MESSAGE_CREATE","s":{number},"op":0,"d":"#);
        let body = match number % 4 {
            0 => b"abcd".repeat(number * 8),
            1 => json_like((0..number as u8).collect()),
            2 => xorshift(number as u64, number * 3),
            _ => "ünïcode 🦀 ".repeat(number).into_bytes(),
        };
        let body = Bytes::from(body);
        stream.extend(pack(&mut compressor, &shared, head.as_bytes(), &body));
    }
    let text = Stream::new(mode).feed(&stream).unwrap();
    (stream, text)
}

#[test]
fn a_stream_may_be_cut_anywhere() {
    for mode in STREAMS {
        let (bytes, text) = stream_of_all_kinds(mode);
        for cut in 0..=bytes.len() {
            let mut stream = Stream::new(mode);
            let begin = stream.feed(&bytes[..cut]).unwrap();
            let end = stream.feed(&bytes[cut..]).unwrap();
            assert!(
                [begin, end].concat() == text,
                "{mode:?}, {cut} of {}",
                bytes.len()
            );
        }
        let mut stream = Stream::new(mode);
        let by_bytes = bytes.chunks(1).map(|byte| stream.feed(byte).unwrap());
        assert!(by_bytes.collect::<Vec<_>>().concat() == text);
    }
}

/// Bodies whose own frames begin with repeat offsets of one frame's beginning.
fn periods() -> [Vec<u8>; 3] {
    [1, 4, 8].map(|period| xorshift(7 * period as u64, period).repeat(300))
}

#[test]
fn repeat_offsets_of_the_last_message_do_no_harm() {
    let mut stream = Stream::new(Mode::ZstdStream);
    stream.feed(&STREAM_HEAD).unwrap();
    for size in [3, 5, 11, 100] {
        // Leaves repeat offsets of its own.
        let other = xorshift(size as u64, size).repeat(20);
        for body in [other].into_iter().chain(periods()) {
            let text = stream.feed(&zstd_body(&body)).unwrap();
            assert!(text.trim_ascii_start() == body.trim_ascii_start());
        }
    }
}

#[test]
fn without_the_reset_the_next_body_is_broken() {
    const RESET_BYTES: usize = 12;
    let other = xorshift(11, 11).repeat(20);
    let broken = periods().into_iter().filter(|body| {
        let mut stream = Stream::new(Mode::ZstdStream);
        stream.feed(&STREAM_HEAD).unwrap();
        stream.feed(&zstd_body(&other)).unwrap();
        let bare = &zstd_body(body)[RESET_BYTES..];
        !stream.feed(bare).is_ok_and(|text| text == *body)
    });
    // Otherwise the tests above would prove nothing.
    assert!(broken.count() > 0);
}

#[test]
fn incompressible_bodies_are_raw() {
    for size in [64, 1_000, 131_072, 131_073, 400_000] {
        let body = xorshift(size as u64, size);
        let mut expected = Vec::new();
        raw(&body, &mut expected);
        assert!(expected.len() <= size + 3 * size.div_ceil(131_072));
        assert!(zstd_body(&body).len() <= expected.len());
    }
}

#[test]
fn a_zstd_body_is_never_the_end_of_the_frame() {
    let bodies = [
        Vec::new(),
        vec![b' '; 200_000],
        xorshift(1, 300_000),
        json_like(vec![9; 90]),
    ];
    for body in bodies.into_iter().chain(periods()) {
        let mut blocks = &zstd_body(&body)[..];
        while let Some((head, rest)) = blocks.split_first_chunk::<3>() {
            let word = u32::from_le_bytes([head[0], head[1], head[2], 0]);
            assert_eq!(word & 1, 0);
            let length = if (word >> 1) & 3 == 1 { 1 } else { word >> 3 };
            blocks = &rest[length as usize..];
        }
        assert!(blocks.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_messages_come_out_again(
        messages in prop::collection::vec(
            (prop::collection::vec(any::<u8>(), 0..90), any_body()),
            1..8,
        )
    ) {
        let shared = SharedBodies::new();
        for mode in STREAMS {
            let (mut compressor, mut stream) = (Compressor::new(mode), Stream::new(mode));
            for (head, body) in &messages {
                let body = Bytes::from(body.clone());
                let message = pack(&mut compressor, &shared, head, &body);
                let text = stream.feed(&message).unwrap();
                prop_assert!(is_message(mode, &text, head, &body), "{mode:?}, {} bytes", body.len());
            }
        }
    }
}
