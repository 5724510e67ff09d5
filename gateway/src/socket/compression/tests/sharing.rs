//! An event for many is compressed once, and little is kept.

use super::*;

const HEAD: &[u8] = br#"{"t":"MESSAGE_CREATE","s":1,"op":0,"d":"#;

const FORMS: [(Mode, Form); 2] = [
    (Mode::ZlibStream, Form::Deflate),
    (Mode::ZstdStream, Form::Zstd),
];

fn text(number: usize) -> Bytes {
    Bytes::from(format!("{number} hello ").repeat(20))
}

#[test]
fn an_event_for_many_is_compressed_once() {
    for (mode, form) in FORMS {
        let shared = SharedBodies::new();
        let body = text(1);
        let mut first = None;
        for sequence in 0..50 {
            let head = format!("{sequence:03}");
            let message = pack(&mut Compressor::new(mode), &shared, head.as_bytes(), &body);
            let unpacked = Stream::new(mode).feed(&message).unwrap();
            assert!(is_message(mode, &unpacked, head.as_bytes(), &body));
            let place = shared.place(form, &body).expect("kept");
            assert_eq!(*first.get_or_insert(place), place);
        }
        assert_eq!(shared.kept(), 1);
    }
}

#[test]
fn workers_that_need_a_body_at_once_share_one() {
    let shared = SharedBodies::new();
    let bodies: Vec<Bytes> = (0..4).map(text).collect();
    let barrier = std::sync::Barrier::new(8);
    let places = std::thread::scope(|scope| {
        let work = || {
            barrier.wait();
            places_of(&bodies, &shared)
        };
        let workers: Vec<_> = (0..8).map(|_| scope.spawn(work)).collect();
        let done = workers.into_iter().map(|worker| worker.join().unwrap());
        done.collect::<Vec<_>>()
    });
    assert_eq!(shared.kept(), bodies.len());
    assert!(places.iter().all(|place| *place == places[0]));
}

/// Sends each body once and gives the addresses of what was made.
fn places_of(bodies: &[Bytes], shared: &SharedBodies) -> Vec<usize> {
    let places = bodies.iter().map(|body| {
        pack(&mut Compressor::new(Mode::ZstdStream), shared, HEAD, body);
        shared.place(Form::Zstd, body).expect("kept").addr()
    });
    places.collect()
}

#[test]
fn both_forms_of_a_body_are_kept_together() {
    let shared = SharedBodies::new();
    let body = text(1);
    for (mode, form) in FORMS {
        assert_eq!(shared.place(form, &body), None);
        pack(&mut Compressor::new(mode), &shared, HEAD, &body);
        assert!(shared.place(form, &body).is_some());
    }
    assert_eq!(shared.kept(), 1);
}

#[test]
fn little_is_kept() {
    for (mode, form) in FORMS {
        let shared = SharedBodies::new();
        let bodies: Vec<Bytes> = (0..10 * SHARED_KEPT_MAX).map(text).collect();
        for body in &bodies {
            pack(&mut Compressor::new(mode), &shared, HEAD, body);
            assert!(shared.place(form, body).is_some(), "the newest is kept");
        }
        let kept = shared.kept();
        assert!(
            (SHARED_KEPT_MAX / 2..=SHARED_KEPT_MAX).contains(&kept),
            "{kept}"
        );
        assert_eq!(shared.place(form, &bodies[0]), None);
    }
}

#[test]
fn a_guild_is_compressed_once_for_all_who_log_in() {
    for (mode, form) in FORMS {
        let shared = SharedBodies::new();
        let body = Bytes::from(format!(
            r#""id":"1","channels":[{}]}}}}"#,
            r#"{"name":"general"},"#.repeat(4 * 1_024).trim_end_matches(',')
        ));
        assert!(body.len() > SHARED_BYTES_MAX);
        let mut first = None;
        for member in 0..20 {
            let head = format!(
                r#"{{"t":"GUILD_CREATE","s":2,"op":0,"d":{{"joined_at":"{member}","members":[{member}],"#
            );
            let message = pack(&mut Compressor::new(mode), &shared, head.as_bytes(), &body);
            let unpacked = Stream::new(mode).feed(&message).unwrap();
            assert!(is_message(mode, &unpacked, head.as_bytes(), &body));
            let value: serde_json::Value = serde_json::from_slice(&unpacked).unwrap();
            assert_eq!(value["d"]["members"][0], member);
            let place = shared.place(form, &body).expect("kept");
            assert_eq!(*first.get_or_insert(place), place);
        }
        assert_eq!(shared.kept(), 1);
        let huge = Bytes::from("x".repeat(SHARED_CREATE_BYTES_MAX + 1));
        let head = br#"{"t":"GUILD_CREATE","s":2,"op":0,"d":{"joined_at":"1","#;
        pack(&mut Compressor::new(mode), &shared, head, &huge);
        assert_eq!(shared.kept(), 1, "too large to keep");
    }
}

#[test]
fn what_is_for_one_session_is_not_kept() {
    for (mode, _) in FORMS {
        let shared = SharedBodies::new();
        let heads: [&[u8]; 3] = [
            b"",
            br#"{"t":"READY","s":1,"op":0,"d":"#,
            br#"{"t":"GUILD_CREATE","s":2,"op":0,"d":"#,
        ];
        let (mut compressor, mut stream) = (Compressor::new(mode), Stream::new(mode));
        let large = Bytes::from("x".repeat(SHARED_BYTES_MAX + 1));
        let cases = heads.map(|head| (head, text(7)));
        for (head, body) in cases.into_iter().chain([(HEAD, large)]) {
            let message = pack(&mut compressor, &shared, head, &body);
            assert!(message.len() < body.len());
            let unpacked = stream.feed(&message).unwrap();
            assert!(is_message(mode, &unpacked, head, &body));
        }
        assert_eq!(shared.kept(), 0);
    }
}

fn written_head(name: &str) -> Vec<u8> {
    let head = model::event::Head {
        name,
        number: 42,
        lead: &[],
    };
    let mut out = Vec::new();
    head.append_to(&mut out);
    out
}

#[test]
fn the_heads_are_those_the_model_writes() {
    for name in ["READY", "GUILD_CREATE"] {
        let head = written_head(name);
        assert!(shared_max(&head) == 0, "{name}");
    }
    let head = written_head("GUILD_MEMBER_ADD");
    assert!(shared_max(&head) > 0);
}

#[test]
fn equal_addresses_of_different_lengths_are_different_bodies() {
    for (mode, _) in FORMS {
        let shared = SharedBodies::new();
        let (mut compressor, mut stream) = (Compressor::new(mode), Stream::new(mode));
        let whole = text(3);
        for body in [whole.clone(), whole.slice(..100), whole.clone()] {
            let message = pack(&mut compressor, &shared, HEAD, &body);
            assert!(is_message(
                mode,
                &stream.feed(&message).unwrap(),
                HEAD,
                &body
            ));
        }
        assert_eq!(shared.kept(), 2);
    }
}
