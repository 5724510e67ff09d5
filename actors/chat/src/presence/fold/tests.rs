//! The laws of folding.

use model::presence::{Presence, Status};
use proptest::prelude::*;
use serde_json::json;

use super::{Platform, Told, fold};

fn told(platform: Platform, status: Status) -> Told {
    Told {
        platform,
        presence: Presence {
            status,
            ..Presence::default()
        },
    }
}

fn any_status() -> impl Strategy<Value = Status> {
    prop_oneof![
        Just(Status::Online),
        Just(Status::Dnd),
        Just(Status::Idle),
        Just(Status::Invisible),
        Just(Status::Offline)
    ]
}

fn any_told() -> impl Strategy<Value = Told> {
    let platform = prop_oneof![
        Just(Platform::Desktop),
        Just(Platform::Mobile),
        Just(Platform::Web)
    ];
    let activities = prop::collection::vec(
        (0..6u8).prop_map(|name| json!({ "name": name.to_string() })),
        0..4,
    );
    (platform, any_status(), activities, any::<bool>()).prop_map(
        |(platform, status, activities, afk)| Told {
            platform,
            presence: Presence {
                status,
                activities,
                since: None,
                afk,
            },
        },
    )
}

#[test]
fn the_most_active_session_wins() {
    let folded = fold(&[
        told(Platform::Desktop, Status::Idle),
        told(Platform::Mobile, Status::Dnd),
        told(Platform::Desktop, Status::Online),
        told(Platform::Web, Status::Invisible),
    ])
    .expect("someone is there");
    assert_eq!(folded.presence.status, Status::Online);
    assert_eq!(
        serde_json::to_value(folded.client_status).expect("a struct is an object"),
        json!({ "desktop": "online", "mobile": "dnd" })
    );
}

#[test]
fn nobody_shows_when_all_are_invisible() {
    assert_eq!(fold(&[]), None);
    assert_eq!(
        fold(&[
            told(Platform::Web, Status::Invisible),
            told(Platform::Web, Status::Offline)
        ]),
        None
    );
}

#[test]
fn a_bot_is_on_the_web_unless_it_says_mobile() {
    assert_eq!(Platform::of(true, "discord.py"), Platform::Web);
    assert_eq!(Platform::of(true, "Discord iOS"), Platform::Mobile);
    assert_eq!(Platform::of(true, "Discord Client"), Platform::Web);
    assert_eq!(Platform::of(false, "Discord Client"), Platform::Desktop);
}

proptest! {
    #[test]
    fn what_does_not_show_changes_nothing(sessions in prop::collection::vec(any_told(), 0..6), extra in any_told()) {
        let mut hidden = extra;
        hidden.presence.status = Status::Invisible;
        let before = fold(&sessions);
        let mut with = sessions;
        with.push(hidden);
        prop_assert_eq!(fold(&with), before);
    }

    #[test]
    fn saying_it_twice_changes_nothing(sessions in prop::collection::vec(any_told(), 0..6)) {
        let mut twice = sessions.clone();
        twice.extend(sessions.iter().cloned());
        prop_assert_eq!(fold(&twice), fold(&sessions));
    }

    #[test]
    fn status_does_not_depend_on_the_order(sessions in prop::collection::vec(any_told(), 0..6)) {
        let reversed: Vec<Told> = sessions.iter().rev().cloned().collect();
        let (one, other) = (fold(&sessions), fold(&reversed));
        prop_assert_eq!(
            one.as_ref().map(|it| (it.presence.status, it.presence.afk, it.client_status)),
            other.as_ref().map(|it| (it.presence.status, it.presence.afk, it.client_status))
        );
    }

    #[test]
    fn what_shows_is_never_offline(sessions in prop::collection::vec(any_told(), 0..6)) {
        if let Some(folded) = fold(&sessions) {
            prop_assert!(matches!(folded.presence.status, Status::Online | Status::Dnd | Status::Idle));
            prop_assert!(!folded.client_status.is_empty());
        } else {
            prop_assert!(sessions.iter().all(|told| told.presence.status.shown() == Status::Offline));
        }
    }
}
