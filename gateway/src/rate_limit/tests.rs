//! The windows: exact at the limit, apart for each key, bounded.

#![allow(clippy::unwrap_used)]

use model::Id;

use super::*;

fn user(id: u64) -> Who {
    Who::User(Id::new(id))
}

#[test]
fn a_window_admits_exactly_its_limit_and_begins_anew() {
    let limits = RateLimits::on();
    let now = Instant::now();
    for left in (0..5).rev() {
        let admission = limits.admit(&POST_MESSAGE, 7, user(1), now).unwrap();
        assert!(admission.is_admitted());
        assert_eq!(admission.remaining, left);
    }
    let refused = limits
        .admit(&POST_MESSAGE, 7, user(1), now + Duration::from_secs(1))
        .unwrap();
    assert_eq!(refused.verdict, Verdict::Refused);
    assert_eq!(refused.reset_after, Duration::from_secs(4));
    let later = now + Duration::from_secs(5);
    assert!(
        limits
            .admit(&POST_MESSAGE, 7, user(1), later)
            .unwrap()
            .is_admitted()
    );
}

#[test]
fn channels_accounts_and_routes_are_counted_apart() {
    let limits = RateLimits::on();
    let now = Instant::now();
    for _ in 0..5 {
        limits.admit(&POST_MESSAGE, 7, user(1), now);
    }
    assert!(
        !limits
            .admit(&POST_MESSAGE, 7, user(1), now)
            .unwrap()
            .is_admitted()
    );
    assert!(
        limits
            .admit(&POST_MESSAGE, 8, user(1), now)
            .unwrap()
            .is_admitted()
    );
    assert!(
        limits
            .admit(&POST_MESSAGE, 7, user(2), now)
            .unwrap()
            .is_admitted()
    );
    assert!(
        limits
            .admit(&EDIT_MESSAGE, 7, user(1), now)
            .unwrap()
            .is_admitted()
    );
}

#[test]
fn the_account_as_a_whole_has_a_limit() {
    let limits = RateLimits::on();
    let now = Instant::now();
    let admitted = (0..80)
        .filter(|channel| {
            limits
                .admit(&ORDINARY, *channel, user(1), now)
                .unwrap()
                .is_admitted()
        })
        .count();
    assert_eq!(admitted, 50);
    let refused = limits.admit(&ORDINARY, 99, user(1), now).unwrap();
    assert_eq!(refused.verdict, Verdict::RefusedGlobally);
    let response = refused.refusal();
    assert_eq!(response.headers()["x-ratelimit-global"], "true");
    assert_eq!(response.headers()["x-ratelimit-scope"], "global");
}

#[test]
fn the_tables_are_bounded_and_swept() {
    let limits = RateLimits::sized(20, 2);
    let now = Instant::now();
    let admitted = (1..=50)
        .filter(|id| {
            limits
                .admit(&ORDINARY, 0, user(*id), now)
                .unwrap()
                .is_admitted()
        })
        .count();
    assert_eq!(admitted, 10, "two windows each");
    let later = now + Duration::from_secs(2);
    assert!(
        limits
            .admit(&ORDINARY, 0, user(99), later)
            .unwrap()
            .is_admitted()
    );
}

#[test]
fn an_address_is_blocked_after_too_many_invalid_requests() {
    let limits = RateLimits::on();
    let now = Instant::now();
    let address: IpAddr = "192.0.2.7".parse().unwrap();
    for _ in 0..INVALID_MAX - 1 {
        limits.note_invalid(address, now);
    }
    assert_eq!(limits.blocked(address, now), None);
    limits.note_invalid(address, now);
    assert_eq!(limits.blocked(address, now), Some(INVALID_WINDOW));
    assert_eq!(limits.blocked("192.0.2.8".parse().unwrap(), now), None);
    assert_eq!(limits.blocked(address, now + INVALID_WINDOW), None);
}

#[test]
fn ipv6_is_counted_by_network_and_mapped_addresses_as_ipv4() {
    let who = |text: &str| Who::address(text.parse().unwrap());
    assert_eq!(who("2001:db8::1"), who("2001:db8::ffff:1"));
    assert_ne!(who("2001:db8::1"), who("2001:db8:0:1::1"));
    assert_eq!(who("::ffff:192.0.2.7"), who("192.0.2.7"));
}

#[test]
fn headers_tell_the_truth() {
    let limits = RateLimits::on();
    let now = Instant::now();
    let admission = limits.admit(&POST_MESSAGE, 7, user(1), now).unwrap();
    let mut headers = HeaderMap::new();
    admission.write(&mut headers);
    assert_eq!(headers["x-ratelimit-limit"], "5");
    assert_eq!(headers["x-ratelimit-remaining"], "4");
    assert_eq!(headers["x-ratelimit-reset-after"], "5.000");
    let reset: f64 = headers["x-ratelimit-reset"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    let wall = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs_f64();
    assert!((reset - wall - 5.0).abs() < 1.0, "epoch seconds");
    assert_eq!(headers["x-ratelimit-bucket"].len(), 32);
    assert_ne!(POST_MESSAGE.bucket(), EDIT_MESSAGE.bucket());
}

#[test]
fn off_means_off() {
    let now = Instant::now();
    assert_eq!(RateLimits::Off.admit(&REACT, 1, user(1), now), None);
    RateLimits::Off.note_invalid("192.0.2.7".parse().unwrap(), now);
    assert_eq!(
        RateLimits::Off.blocked("192.0.2.7".parse().unwrap(), now),
        None
    );
}

#[test]
fn routes_find_their_rule_and_major_parameter() {
    assert_eq!(
        rule(&Method::POST, "/channels/{channel_id}/messages"),
        &POST_MESSAGE
    );
    assert_eq!(
        rule(
            &Method::PUT,
            "/channels/{channel_id}/messages/{message_id}/reactions/{emoji}/@me"
        ),
        &REACT
    );
    assert_eq!(rule(&Method::GET, "/guilds/{guild_id}"), &ORDINARY);
    assert_eq!(major("/channels/77/messages"), 77);
    assert_eq!(major("/guilds/78"), 78);
    assert_eq!(major("/users/79"), 0);
}

#[test]
fn times_are_rounded_up_never_down() {
    let admission = Admission {
        rule: &POST_MESSAGE,
        remaining: 0,
        reset_after: Duration::from_micros(1_000_100),
        verdict: Verdict::Refused,
    };
    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let mut headers = HeaderMap::new();
    admission.write(&mut headers);
    assert_eq!(headers["x-ratelimit-reset-after"], "1.001");
    let reset: f64 = headers["x-ratelimit-reset"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!(reset >= (before + admission.reset_after).as_secs_f64() - 1e-6);
    assert_eq!(seconds_up(Duration::from_secs(4)), 4.0);
}
