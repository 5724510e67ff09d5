//! What contexts cost and save, measured: docs/benchmarks.md, "Compression", has the figures.
//!
//! ```sh
//! cargo test --release -p guildhall-gateway --lib -- --ignored --nocapture compression_measured
//! ```

use std::time::Instant;

use super::splicing::STREAMS;
use super::*;
use context::{ContextFor, ContextPolicy};

/// Different messages.
const MESSAGES: usize = 2_000;

/// Encoders made to see what one takes, and messages each is given: more than its window.
const ENCODERS: usize = 200;
const ENCODER_MESSAGES: usize = 100;

/// A sequence of numbers, the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) as usize % end
    }

    fn word(&mut self) -> String {
        let length = 2 + self.below(8);
        let letter = |numbers: &mut Self| b'a' + numbers.below(26).min(numbers.below(26)) as u8;
        (0..length).map(|_| char::from(letter(self))).collect()
    }
}

/// MESSAGE_CREATE with 300 bytes of content, of 20 authors who use 1,500 words, some more than others.
fn typical() -> Vec<(Vec<u8>, Bytes)> {
    let mut numbers = Numbers(88_172_645_463_325_252);
    let words: Vec<String> = (0..1_500).map(|_| numbers.word()).collect();
    let authors: Vec<_> = (0..20)
        .map(|at| {
            (
                1_574_004_909_756_383_000 + numbers.below(100_000),
                &words[at],
            )
        })
        .collect();
    let message = |at: usize| {
        let mut content = String::new();
        while content.len() < 300 {
            let word = numbers.below(1_500).min(numbers.below(1_500));
            content.push_str(&words[word]);
            content.push(' ');
        }
        content.truncate(300);
        let (author, name) = authors[numbers.below(20)];
        let id = 1_574_004_909_756_390_000 + at * 12_582_912 + numbers.below(4_194_304);
        let (minute, second, milli) = (at / 60 % 60, at % 60, numbers.below(1_000));
        let body = format!(
            r#"{{"id":"{id}","type":0,"channel_id":"1574004909756383241","guild_id":"1574004909756383240","author":{{"id":"{author}","username":"{name}","global_name":null,"discriminator":"0","avatar":null,"bot":true,"public_flags":0}},"member":{{"roles":["1574004909756383242"],"joined_at":"2026-11-24T10:11:12.123000+00:00","nick":null,"avatar":null,"deaf":false,"mute":false,"flags":0,"pending":false}},"content":"{content}","timestamp":"2026-11-25T10:{minute:02}:{second:02}.{milli:03}000+00:00","edited_timestamp":null,"tts":false,"mention_everyone":false,"mentions":[],"mention_roles":[],"attachments":[],"embeds":[],"pinned":false,"flags":0,"components":[],"nonce":"{}"}}}}"#,
            numbers.below(usize::MAX)
        );
        let head = format!(r#"{{"t":"MESSAGE_CREATE","s":{at},"op":0,"d":"#);
        (head.into_bytes(), Bytes::from(body))
    };
    (0..MESSAGES).map(message).collect()
}

fn contexts() -> Arc<Contexts> {
    Arc::new(Contexts::new(ContextPolicy {
        connections: ContextFor::All,
        recipients_max: 1,
        contexts_max: usize::MAX,
    }))
}

/// Bytes and microseconds of a message, if `recipients` says for whom each is.
fn run(
    mode: Mode,
    messages: &[(Vec<u8>, Bytes)],
    recipients: impl Fn(usize) -> usize,
) -> (f64, f64) {
    let shared = SharedBodies::new();
    let mut compressor = Compressor::new(mode);
    compressor.allow_context(&contexts());
    let (mut bytes, mut message) = (0, Vec::with_capacity(4_096));
    let began = Instant::now();
    for (at, (head, body)) in messages.iter().enumerate() {
        message.clear();
        compressor
            .compress(head, body, recipients(at), &shared, &mut message)
            .unwrap();
        bytes += message.len();
    }
    let micros = began.elapsed().as_secs_f64() * 1e6;
    let count = messages.len() as f64;
    (bytes as f64 / count, micros / count)
}

/// Resident memory of this process, KiB.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap()
}

/// KiB of a connection of whose messages every tenth goes around its context.
fn memory(mode: Mode, messages: &[(Vec<u8>, Bytes)]) -> usize {
    let (shared, contexts) = (SharedBodies::new(), contexts());
    let mut kept = Vec::with_capacity(ENCODERS);
    let before = resident();
    for _ in 0..ENCODERS {
        let mut compressor = Compressor::new(mode);
        compressor.allow_context(&contexts);
        for (at, (head, body)) in messages[..ENCODER_MESSAGES].iter().enumerate() {
            let recipients = if at % 10 == 9 { MANY } else { 1 };
            pack_for(recipients, &mut compressor, &shared, head, body);
        }
        kept.push(compressor);
    }
    let after = resident();
    // What is given back would be taken again by the next, which then seems to take nothing.
    std::mem::forget(kept);
    after.saturating_sub(before) / ENCODERS
}

#[test]
#[ignore = "a measurement"]
fn compression_measured() {
    let messages = typical();
    let plain: usize = messages
        .iter()
        .map(|(head, body)| head.len() + body.len())
        .sum();
    println!("head and body: {} bytes", plain / messages.len());
    for mode in STREAMS {
        for (what, every) in [
            ("all shared", 1),
            ("every 2nd shared", 2),
            ("every 10th shared", 10),
            ("none shared", usize::MAX),
        ] {
            let recipients = |at: usize| match at % every {
                0 if every < usize::MAX => MANY,
                _ => 1,
            };
            let best = (0..5).map(|_| run(mode, &messages, recipients));
            let best = best.min_by(|one, other| one.1.total_cmp(&other.1));
            let (bytes, micros) = best.unwrap();
            println!("{mode:?}, {what}: {bytes:.0} bytes, {micros:.1} µs");
        }
        println!("{mode:?}: {} KiB for a context", memory(mode, &messages));
    }
}
