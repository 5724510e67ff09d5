//! Editing and deleting messages.

use model::message::{MessagePatch, flags, kind};
use model::{ChannelId, MessageId, snowflake};
use storage::store::Write;

use super::fixture::*;
use crate::error::{ChatError, Refusal};
use crate::guild::command::{Answer, Command, Found, Look};
use crate::guild::state::Effect;

/// A message of LOW's in a channel, as it was found before anything was decided.
pub(super) fn found(channel: ChannelId, message: MessageId) -> Found {
    Found {
        look: Look::default(),
        channel,
        message,
        author: LOW,
    }
}

#[test]
fn editing() {
    let mut world = World::new();
    let record = world.posted(BOB, GENERAL, "one");
    let edit = |record: &model::message::MessageRecord, patch| Command::EditMessage {
        look: Look::default(),
        record: Box::new(record.clone()),
        patch: Box::new(patch),
    };
    let text = |content: &str| MessagePatch {
        content: Some(content.to_owned()),
        ..MessagePatch::default()
    };
    let outcome = world.ok(BOB, edit(&record, text(&format!("two <@{LOW}>"))));
    let patch = outcome.writes().find_map(|write| match write {
        Write::PatchMessage(_, id, patch) if *id == record.id => Some(patch.clone()),
        _ => None,
    });
    let patch = patch.unwrap();
    assert_eq!(patch.mentions, Some(vec![LOW]));
    assert!(patch.edited_timestamp.is_some());
    assert!(matches!(
        outcome.effects.last(),
        Some(Effect::PublishUpdate { answers: true, .. })
    ));
    assert_eq!(
        world.refused(MOD, edit(&record, text("x"))),
        ChatError::Refused(Refusal::EditOthers)
    );
    let suppress = || MessagePatch {
        flags: Some(flags::SUPPRESS_EMBEDS),
        ..MessagePatch::default()
    };
    assert_eq!(
        world.refused(LOW, edit(&record, suppress())),
        ChatError::MissingPermissions
    );
    let outcome = world.ok(MOD, edit(&record, suppress()));
    assert!(outcome.writes().any(|write| matches!(
        write,
        Write::PatchMessage(_, _, patch) if patch.flags == Some(flags::SUPPRESS_EMBEDS) && patch.edited_timestamp.is_none()
    )));
    assert_eq!(
        world.refused(BOB, edit(&record, text(" "))),
        ChatError::Refused(Refusal::EmptyMessage)
    );
    let mut system = record.clone();
    system.kind = kind::CHANNEL_PINNED_MESSAGE;
    assert_eq!(
        world.refused(BOB, edit(&system, text("x"))),
        ChatError::Refused(Refusal::SystemMessage)
    );
    let mut hidden = record;
    hidden.channel_id = SECRET;
    assert_eq!(
        world.refused(BOB, edit(&hidden, text("x"))),
        ChatError::MissingAccess
    );
}

#[test]
fn deleting() {
    let mut world = World::new();
    let record = world.posted(LOW, GENERAL, "one");
    let delete = Command::DeleteMessage {
        found: found(GENERAL, record.id),
        pinned: false,
    };
    assert_eq!(
        world.refused(BOB, delete.clone()),
        ChatError::MissingPermissions
    );
    assert_eq!(
        world.ok(MOD, delete.clone()).data("MESSAGE_DELETE")["id"],
        record.id.to_string()
    );
    let again = world.ok(LOW, delete);
    assert!(matches!(again.answer, Ok(Answer::LookAgain)));
    assert!(again.effects.is_empty(), "told once");
}

#[test]
fn bulk_deleting() {
    let mut world = World::new();
    let fresh: Vec<MessageId> = (0..101).map(|_| world.ids.next(NOW)).collect();
    let bulk = |messages: &[MessageId], there: &[MessageId]| Command::BulkDelete {
        look: Look::default(),
        channel: GENERAL,
        messages: messages.to_vec(),
        found: there.iter().map(|id| (*id, false)).collect(),
    };
    let outcome = world.ok(MOD, bulk(&fresh[..100], &fresh[..99]));
    assert_eq!(outcome.events(), ["MESSAGE_DELETE_BULK"]);
    assert_eq!(outcome.writes().count(), 99, "those that are there");
    let ids = outcome.data("MESSAGE_DELETE_BULK")["ids"].clone();
    assert_eq!(ids.as_array().unwrap().len(), 99);
    let missing = world.ok(MOD, bulk(&fresh[..2], &[]));
    assert!(missing.effects.is_empty(), "nothing to tell");
    let again = world.ok(MOD, bulk(&fresh[..2], &fresh[1..2]));
    assert!(matches!(again.answer, Ok(Answer::LookAgain)));
    assert_eq!(
        world.refused(BOB, bulk(&fresh[..2], &[])),
        ChatError::MissingPermissions
    );
    for wrong in [&fresh[..1], &[fresh[0], fresh[0]], &fresh[..]] {
        assert_eq!(
            world.refused(MOD, bulk(wrong, &[])),
            ChatError::Refused(Refusal::BulkCount)
        );
    }
    let old: MessageId = snowflake::floor_of(NOW - 14 * 24 * 60 * 60 * 1_000 - 1);
    assert_eq!(
        world.refused(MOD, bulk(&[fresh[0], old], &[])),
        ChatError::Refused(Refusal::BulkTooOld)
    );
}
