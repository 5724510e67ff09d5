//! Stretches are the frames they should be, whatever the thread had before.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use model::event::{Audience, Encoded};
use model::intents::Intents;
use proptest::prelude::*;

use super::*;

fn dispatches(texts: &[&str]) -> Vec<Dispatch> {
    let each = texts.iter().map(|text| {
        let event = Encoded::new("TEST", None, Audience::Guild, Intents::NONE, text);
        let event = Arc::new(event);
        Dispatch::new(&event, &event.body)
    });
    each.collect()
}

/// The same, written the plain way.
fn plain(dispatches: &Dispatches<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    for payload in dispatches.payloads() {
        out.extend_from_slice(FrameHead::new(Kind::Text, payload.len()).as_ref());
        out.extend_from_slice(&payload);
    }
    out
}

#[test]
fn a_frame_holds_the_payload_a_client_reads() {
    let each = dispatches(&["hello"]);
    let one = Dispatches::own(42, &each);
    let expected = b"\x81\x26{\"t\":\"TEST\",\"s\":42,\"op\":0,\"d\":\"hello\"}";
    assert_eq!(expected[1] as usize, expected.len() - 2);
    let frames = as_one(&one, <[u8]>::to_vec).unwrap();
    assert_eq!(frames, expected);
    assert_eq!(bytes_of(&one), expected.len());
}

#[test]
fn what_is_too_long_is_not_put_side_by_side() {
    let half = "x".repeat(GATHERED_BYTES_MAX / 2);
    let each = dispatches(&[&half, &half]);
    assert!(as_one(&Dispatches::own(1, &each), |_| ()).is_none());
    assert!(as_one(&Dispatches::own(1, &each[..1]), |_| ()).is_some());
}

#[test]
fn a_write_may_stop_anywhere() {
    let each = dispatches(&["first one", "abc", "the third one"]);
    let all = Dispatches::own(9, &each);
    let whole = plain(&all);
    for written in 0..=whole.len() {
        let mut rest = Vec::new();
        left_over(&all, written, |piece| rest.extend_from_slice(&piece));
        assert_eq!(rest, whole[written..], "after {written}");
    }
}

/// One session after the other: which of the classes it is of, and its next number.
fn visits() -> impl Strategy<Value = Vec<(usize, u64)>> {
    let number = prop_oneof![
        1..30_u64,
        90..130_u64,
        9_990..10_010_u64,
        Just(u64::MAX - 10)
    ];
    proptest::collection::vec((0..12_usize, number), 1..60)
}

proptest! {
    #[test]
    fn numbers_written_over_others_are_right(visits in visits()) {
        // More classes than are kept, some with one event and some with several; the last two are
        // given to one session each.
        let classes: Vec<Vec<Dispatch>> = (0..12)
            .map(|class: usize| {
                let texts: Vec<String> = (0..=class % 4).map(|it| format!("{class} {it}")).collect();
                dispatches(&texts.iter().map(String::as_str).collect::<Vec<_>>())
            })
            .collect();
        let alike: Vec<Option<Alike>> = (0..12).map(|it| (it < 10).then(Alike::new)).collect();
        for (class, first) in visits {
            let given = Dispatches {
                first,
                each: &classes[class],
                alike: alike[class],
                recipients: 2,
            };
            let frames = as_one(&given, <[u8]>::to_vec).unwrap();
            prop_assert_eq!(frames, plain(&given));
        }
    }
}
