//! A connection with an encoder of its own: its history never reaches across what it does not know,
//! and it is had by those who may.

use super::splicing::{STREAMS, any_body};
use super::*;
use context::Encoder;
use context::{CONTEXT_UNUSED_MAX, ContextFor, ContextPolicy};

const HEAD: &[u8] = br#"{"t":"MESSAGE_CREATE","s":7,"op":0,"d":"#;

const ACK: Bytes = Bytes::from_static(br#"{"t":null,"s":null,"op":11,"d":{}}"#);

/// Few enough recipients for a context here.
const FEW: usize = 3;

fn contexts(contexts_max: usize) -> Arc<Contexts> {
    Arc::new(Contexts::new(ContextPolicy {
        connections: ContextFor::All,
        recipients_max: FEW,
        contexts_max,
    }))
}

/// One connection and its client.
struct Connection {
    mode: Mode,
    compressor: Compressor,
    shared: SharedBodies,
    stream: Stream,
}

impl Connection {
    fn new(mode: Mode) -> Self {
        Self {
            mode,
            compressor: Compressor::new(mode),
            shared: SharedBodies::new(),
            stream: Stream::new(mode),
        }
    }

    fn with(mode: Mode, contexts: &Arc<Contexts>) -> Self {
        let mut connection = Self::new(mode);
        connection.compressor.allow_context(contexts);
        connection
    }

    fn pack(&mut self, recipients: usize, head: &[u8], body: &Bytes) -> Vec<u8> {
        pack_for(recipients, &mut self.compressor, &self.shared, head, body)
    }

    /// Sends a message; gives its bytes and the text that comes out, which must be the message.
    fn send(&mut self, recipients: usize, head: &[u8], body: &Bytes) -> (usize, Vec<u8>) {
        let message = self.pack(recipients, head, body);
        if self.mode == Mode::ZlibStream {
            assert!(message.ends_with(&[0, 0, 0xff, 0xff]));
        }
        let text = self.stream.feed(&message).unwrap();
        assert!(
            is_message(self.mode, &text, head, body),
            "{:?}: {}",
            self.mode,
            String::from_utf8_lossy(&text)
        );
        (message.len(), text)
    }

    /// Sends a message for a few, and tells whether it began a history, seen by the spaces.
    fn begins(&mut self, body: &Bytes) -> bool {
        let (_, text) = self.send(FEW, HEAD, body);
        text.len() > HEAD.len() + body.len()
    }

    fn has_context(&self) -> bool {
        match &self.compressor {
            Compressor::ZlibStream { context, .. } => context.has_context(),
            Compressor::ZstdStream { context, .. } => context.has_context(),
            other => panic!("{other:?} is no stream"),
        }
    }
}

fn message_body(number: usize) -> Bytes {
    Bytes::from(format!(
        r#"{{"id":"{}","channel_id":"1574004909756383241","author":{{"username":"ada","bot":true,"avatar":null}},"content":"the {number}th of them","mentions":[],"pinned":false}}}}"#,
        1_574_004_909_756_383_240 + 4_194_311 * number
    ))
}

#[test]
fn similar_messages_cost_less_with_history() {
    for mode in STREAMS {
        let contexts = contexts(1);
        let bytes_for = |recipients| {
            let mut connection = Connection::with(mode, &contexts);
            let all = (0..100).map(|n| connection.send(recipients, HEAD, &message_body(n)).0);
            all.sum::<usize>()
        };
        let (own, shared) = (bytes_for(FEW), bytes_for(MANY));
        assert!(own * 3 < shared, "{mode:?}: {own} of {shared}");
    }
}

#[test]
fn a_splice_makes_the_history_void() {
    let (mut connection, contexts) = (Connection::new(Mode::ZstdStream), contexts(1));
    connection.compressor.allow_context(&contexts);
    let large = Bytes::from("large ".repeat(8_000));
    assert!(connection.begins(&message_body(1)));
    assert!(!connection.begins(&message_body(2)));
    // What nothing is referred to from: shared, for one session, too large, and a raw block.
    let spliced: [(usize, &[u8], Bytes); 5] = [
        (FEW + 1, HEAD, message_body(3)),
        (1, br#"{"t":"READY","s":1,"op":0,"d":"#, message_body(4)),
        (
            1,
            br#"{"t":"GUILD_CREATE","s":1,"op":0,"d":"#,
            message_body(4),
        ),
        (1, HEAD, large),
        (MANY, b"", ACK),
    ];
    for (recipients, head, body) in spliced {
        connection.send(recipients, head, &body);
        assert!(connection.begins(&message_body(5)), "{head:?}");
        assert!(!connection.begins(&message_body(6)));
    }
}

#[test]
fn small_messages_begin_nothing_and_break_nothing() {
    for mode in STREAMS {
        let contexts = contexts(1);
        let mut connection = Connection::with(mode, &contexts);
        let (alone, _) = connection.send(1, b"", &ACK);
        assert!(!connection.has_context());
        connection.send(FEW, HEAD, &message_body(1));
        assert!(connection.has_context());
        let (first, _) = connection.send(1, b"", &ACK);
        let (second, _) = connection.send(1, b"", &ACK);
        assert!(second < first && second < alone, "{second} {first} {alone}");
        let (after, text) = connection.send(FEW, HEAD, &message_body(2));
        assert_eq!(text.len(), HEAD.len() + message_body(2).len());
        assert!(after < 100, "{mode:?}: {after}");
    }
}

/// Otherwise the tests here would prove nothing.
fn without_a_new_beginning_it_breaks<E: Encoder>(
    mode: Mode,
    begin: &[u8],
    splice: impl Fn(&mut Vec<u8>),
) {
    let mut stream = Stream::new(mode);
    stream.feed(begin).unwrap();
    let mut encoder = E::new().unwrap();
    let mut send = |known: bool, out: &mut Vec<u8>| {
        let body = message_body(1);
        match known {
            true => encoder.go_on(HEAD, &body, out).unwrap(),
            false => encoder.begin(&[], HEAD, &body, out).unwrap(),
        }
        body
    };
    for known in [false, true] {
        let mut message = Vec::new();
        let body = send(known, &mut message);
        assert!(is_message(
            mode,
            &stream.feed(&message).unwrap(),
            HEAD,
            &body
        ));
    }
    let mut spliced = Vec::new();
    splice(&mut spliced);
    assert!(!stream.feed(&spliced).unwrap().is_empty());
    let mut message = Vec::new();
    let body = send(true, &mut message);
    let text = stream.feed(&message);
    assert!(!text.is_ok_and(|text| is_message(mode, &text, HEAD, &body)));
}

#[test]
fn without_a_new_beginning_the_next_message_is_broken() {
    let other = Bytes::from("something else, ".repeat(9));
    without_a_new_beginning_it_breaks::<deflate::Context>(
        Mode::ZlibStream,
        &deflate::STREAM_HEAD,
        |out| out.extend(deflate::body(&other)),
    );
    for raw in [true, false] {
        without_a_new_beginning_it_breaks::<zstandard::Context>(
            Mode::ZstdStream,
            &zstandard::STREAM_HEAD,
            |out| match raw {
                true => zstandard::raw(&other, out),
                false => out.extend(zstandard::body(&other)),
            },
        );
    }
}

/// The same, for what an encoder is told of the stream before it begins.
fn with_another_tail_it_breaks<E: Encoder>(
    mode: Mode,
    begin: &[u8],
    raw: impl Fn(&[u8], &mut Vec<u8>),
) {
    let (said, body) = (message_body(1), message_body(1));
    let other = [&said[..], b"!"].concat();
    for (tail, breaks) in [(&said[..], false), (&other, true)] {
        let mut stream = Stream::new(mode);
        let mut bytes = begin.to_vec();
        raw(&said, &mut bytes);
        assert_eq!(stream.feed(&bytes).unwrap(), said);
        let mut message = Vec::new();
        E::new()
            .unwrap()
            .begin(tail, HEAD, &body, &mut message)
            .unwrap();
        assert!(message.len() < 110, "{mode:?}: {}", message.len());
        let text = stream.feed(&message);
        assert_eq!(
            breaks,
            !text.is_ok_and(|text| is_message(mode, &text, HEAD, &body))
        );
    }
}

#[test]
fn with_another_tail_than_the_streams_the_next_message_is_broken() {
    with_another_tail_it_breaks::<deflate::Context>(
        Mode::ZlibStream,
        &deflate::STREAM_HEAD,
        deflate::stored,
    );
    with_another_tail_it_breaks::<zstandard::Context>(
        Mode::ZstdStream,
        &zstandard::STREAM_HEAD,
        zstandard::raw,
    );
}

#[test]
fn a_beginning_refers_to_what_was_shared() {
    for mode in STREAMS {
        let contexts = contexts(1);
        let mut connection = Connection::with(mode, &contexts);
        let (first, _) = connection.send(FEW, HEAD, &message_body(0));
        for number in 1..50 {
            let (shared, _) = connection.send(MANY, HEAD, &message_body(number));
            connection.send(1, b"", &ACK);
            let (own, _) = connection.send(FEW, HEAD, &message_body(number + 100));
            assert!(
                own * 2 < first,
                "{mode:?}: {own} after {shared}, {first} at first"
            );
        }
    }
}

#[test]
fn a_tail_that_looks_like_a_dictionary_is_none() {
    let contexts = contexts(1);
    let mut connection = Connection::with(Mode::ZstdStream, &contexts);
    connection.send(FEW, HEAD, &message_body(0));
    // The tail is the end of it.
    let magic = [0x37, 0xa4, 0x30, 0xec];
    let body = [&magic[..], &b"abcdefgh".repeat(256)[..2 * 1_024 - 4]].concat();
    connection.send(MANY, HEAD, &Bytes::from(body));
    assert!(connection.begins(&message_body(1)));
}

#[test]
fn there_are_only_so_many() {
    for mode in STREAMS {
        let contexts = contexts(2);
        let mut all: Vec<_> = (0..3).map(|_| Connection::with(mode, &contexts)).collect();
        for connection in &mut all {
            connection.send(FEW, HEAD, &message_body(1));
            connection.send(FEW, HEAD, &message_body(2));
        }
        let have: Vec<_> = all.iter().map(Connection::has_context).collect();
        assert_eq!((have, contexts.taken()), (vec![true, true, false], 2));
        // The end of a connection gives one back.
        all[0].compressor.release();
        assert_eq!(contexts.taken(), 1);
        all[0].send(FEW, HEAD, &message_body(3));
        assert!(!all[0].has_context(), "it has ended");
        all[2].send(FEW, HEAD, &message_body(3));
        assert!(all[2].has_context());
        drop(all);
        assert_eq!(contexts.taken(), 0);
    }
}

#[test]
fn one_that_is_not_used_is_given_back() {
    for mode in STREAMS {
        let contexts = contexts(1);
        let mut connection = Connection::with(mode, &contexts);
        connection.send(FEW, HEAD, &message_body(0));
        for number in 1..CONTEXT_UNUSED_MAX as usize {
            connection.send(MANY, HEAD, &message_body(number));
        }
        connection.send(FEW, HEAD, &message_body(1));
        for number in 1..CONTEXT_UNUSED_MAX as usize {
            connection.send(MANY, HEAD, &message_body(number));
        }
        assert_eq!(contexts.taken(), 1);
        connection.send(MANY, HEAD, &message_body(0));
        assert_eq!(contexts.taken(), 0);
        connection.send(FEW, HEAD, &message_body(1));
        assert_eq!(contexts.taken(), 1);
    }
}

#[test]
fn without_being_allowed_a_stream_is_what_it_was() {
    for mode in STREAMS {
        let (mut few, mut many) = (Connection::new(mode), Connection::new(mode));
        for (number, head) in [HEAD, b"", HEAD, br#"{"t":"READY","s":1"#]
            .iter()
            .enumerate()
        {
            let body = message_body(number);
            assert_eq!(few.pack(1, head, &body), many.pack(MANY, head, &body));
        }
        assert!(!few.has_context());
    }
    assert!(size_of::<Compressor>() <= 16);
}

#[test]
fn who_may_have_one() {
    let are_for = |connections, mobile| {
        Contexts::new(ContextPolicy {
            connections,
            ..ContextPolicy::default()
        })
        .are_for(mobile)
    };
    for (connections, phones, others) in [
        (ContextFor::Off, false, false),
        (ContextFor::Mobile, true, false),
        (ContextFor::All, true, true),
    ] {
        assert_eq!(are_for(connections, true), phones);
        assert_eq!(are_for(connections, false), others);
    }
    // Nobody, unless asked for; and no text gets one.
    assert!(!Contexts::new(ContextPolicy::default()).are_for(true));
    let mut text = Compressor::new(Mode::None);
    text.allow_context(&contexts(1));
    assert!(matches!(text, Compressor::None));
}

/// Heads as the model writes them, those that never go through a context among them, and none.
fn any_head() -> impl Strategy<Value = Vec<u8>> {
    let head = |name: &str, number: u32| format!(r#"{{"t":"{name}","s":{number},"op":0,"d":"#);
    prop_oneof![
        8 => any::<u32>().prop_map(move |n| head("MESSAGE_CREATE", n).into_bytes()),
        1 => any::<u32>().prop_map(move |n| head("READY", n).into_bytes()),
        1 => any::<u32>().prop_map(move |n| head("GUILD_CREATE", n).into_bytes()),
        2 => Just(Vec::new()),
        2 => prop::collection::vec(any::<u8>(), 0..90),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_mix_comes_out_again(
        messages in prop::collection::vec(
            (
                prop_oneof![4 => Just(FEW), 1 => Just(MANY), 1 => Just(1)],
                any_head(),
                prop_oneof![
                    3 => (0..500_usize).prop_map(|number| message_body(number).to_vec()),
                    1 => Just(ACK.to_vec()),
                    4 => any_body(),
                ],
            ),
            1..24,
        ),
        allowed_at in 0..4_usize,
    ) {
        for mode in STREAMS {
            let contexts = contexts(1);
            let mut connection = Connection::new(mode);
            for (at, (recipients, head, body)) in messages.iter().enumerate() {
                if at == allowed_at {
                    connection.compressor.allow_context(&contexts);
                }
                connection.send(*recipients, head, &Bytes::from(body.clone()));
            }
        }
    }
}
