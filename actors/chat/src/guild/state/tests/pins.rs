//! Pinning messages, and how many may be pinned.

use super::fixture::*;
use crate::error::{ChatError, Refusal};
use crate::guild::command::{Command, Look};
use crate::guild::state::Effect;

#[test]
fn pins() {
    let mut world = World::new();
    let record = world.posted(BOB, GENERAL, "keep");
    let pin = |pinned: bool, pins| {
        let mut record = record.clone();
        record.pinned = !pinned;
        Command::SetPinned {
            look: Look::default(),
            record: Box::new(record),
            pinned,
            pins,
        }
    };
    assert_eq!(
        world.refused(BOB, pin(true, 0)),
        ChatError::MissingPermissions
    );
    assert_eq!(
        world.refused(MOD, pin(true, 250)),
        ChatError::Refused(Refusal::PinsMax)
    );
    let outcome = world.ok(MOD, pin(true, 0));
    assert_eq!(outcome.events(), ["CHANNEL_PINS_UPDATE", "MESSAGE_CREATE"]);
    assert!(outcome.effects.iter().any(|effect| matches!(
        effect,
        Effect::PublishUpdate { answers: false, message, .. } if *message == record.id
    )));
    let told = outcome.data("MESSAGE_CREATE");
    assert_eq!(
        (&told["type"], &told["author"]["id"]),
        (&6.into(), &MOD.to_string().into())
    );
    assert_eq!(
        told["message_reference"]["message_id"],
        record.id.to_string()
    );
    assert!(!outcome.data("CHANNEL_PINS_UPDATE")["last_pin_timestamp"].is_null());
    let mut pinned = record.clone();
    pinned.pinned = true;
    let again = Command::SetPinned {
        look: Look::default(),
        record: Box::new(pinned),
        pinned: true,
        pins: 1,
    };
    let again = world.ok(MOD, again);
    assert!(again.effects.is_empty(), "it is pinned already");
    let outcome = world.ok(MOD, pin(false, 1));
    assert_eq!(outcome.events(), ["CHANNEL_PINS_UPDATE"]);
    assert!(outcome.data("CHANNEL_PINS_UPDATE")["last_pin_timestamp"].is_null());
}
