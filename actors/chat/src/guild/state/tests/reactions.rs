//! Reacting to messages and taking it back.

use model::emoji::ReactionEmoji;
use model::permissions::{Permissions, everyone_default};
use model::{ChannelId, Id, MessageId};

use super::changes::found;
use super::fixture::*;
use crate::error::{ChatError, Missing, Refusal};
use crate::guild::command::{Command, Reacted};

fn thumbs() -> ReactionEmoji {
    ReactionEmoji {
        id: None,
        name: Some("👍".to_owned()),
        animated: false,
    }
}

/// So many kinds of reactions, with 👍 among them or not, made by the asker or not.
fn read(kinds: usize, thumbs_up: bool, already: bool) -> Reacted {
    let others = ('a'..).map(|name| ReactionEmoji {
        id: None,
        name: Some(name.to_string()),
        animated: false,
    });
    let first = thumbs_up.then(thumbs);
    Reacted {
        counts: first
            .into_iter()
            .chain(others)
            .take(kinds)
            .map(|emoji| (emoji, 1))
            .collect(),
        already,
    }
}

#[test]
fn reactions() {
    let mut world = World::new();
    let add = |world: &mut World, channel: ChannelId, read: Reacted| {
        // Every time on another message.
        let message: MessageId = world.ids.next(NOW);
        let command = Command::AddReaction {
            found: found(channel, message),
            emoji: thumbs(),
            read,
        };
        world.run(BOB, command)
    };
    let data = add(&mut world, GENERAL, read(0, false, false)).data("MESSAGE_REACTION_ADD");
    assert_eq!(data["member"]["user"]["id"], BOB.to_string());
    assert_eq!(data["message_author_id"], LOW.to_string());
    assert_eq!((&data["burst"], &data["type"]), (&false.into(), &0.into()));
    let already = add(&mut world, GENERAL, read(1, true, true));
    assert!(already.answer.is_ok() && already.effects.is_empty());
    let hidden = add(&mut world, SECRET, read(0, false, false)).answer;
    assert_eq!(hidden.unwrap_err(), ChatError::MissingAccess);
    let full = add(&mut world, GENERAL, read(20, false, false)).answer;
    assert_eq!(full.unwrap_err(), ChatError::Refused(Refusal::ReactionsMax));
    let joined = add(&mut world, GENERAL, read(20, true, false));
    assert_eq!(joined.events(), ["MESSAGE_REACTION_ADD"]);
    let custom = Command::AddReaction {
        found: found(GENERAL, world.ids.next(NOW)),
        emoji: ReactionEmoji {
            id: Some(Id::new(7)),
            name: Some("x".to_owned()),
            animated: false,
        },
        read: read(0, false, false),
    };
    assert_eq!(
        world.refused(BOB, custom),
        ChatError::NotFound(Missing::Emoji)
    );

    world.everyone_may(everyone_default() - Permissions::ADD_REACTIONS);
    let new = add(&mut world, GENERAL, read(1, false, false)).answer;
    assert_eq!(new.unwrap_err(), ChatError::MissingPermissions);
    assert!(
        add(&mut world, GENERAL, read(1, true, false))
            .answer
            .is_ok()
    );
    world.everyone_may(everyone_default() - Permissions::READ_MESSAGE_HISTORY);
    let unread = add(&mut world, GENERAL, read(1, true, false)).answer;
    assert_eq!(unread.unwrap_err(), ChatError::MissingPermissions);
}

#[test]
fn taking_reactions_back() {
    let mut world = World::new();
    let message: MessageId = world.ids.next(NOW);
    let remove = |user, there| Command::RemoveReaction {
        found: found(GENERAL, message),
        user,
        emoji: thumbs(),
        read: read(2, true, there),
    };
    assert_eq!(
        world.ok(BOB, remove(BOB, true)).events(),
        ["MESSAGE_REACTION_REMOVE"]
    );
    let none = world.ok(BOB, remove(BOB, true));
    assert!(none.effects.is_empty(), "it was taken back already");
    assert_eq!(
        world.refused(BOB, remove(LOW, false)),
        ChatError::MissingPermissions
    );
    let clear = |emoji| Command::ClearReactions {
        found: found(GENERAL, message),
        emoji,
        read: read(2, true, false),
    };
    let none = world.ok(MOD, clear(Some(thumbs())));
    assert!(none.effects.is_empty(), "nobody has it any more");
    assert_eq!(
        world.refused(BOB, clear(None)),
        ChatError::MissingPermissions
    );
    assert_eq!(
        world.ok(MOD, clear(None)).events(),
        ["MESSAGE_REACTION_REMOVE_ALL"]
    );
    assert!(world.ok(MOD, clear(None)).effects.is_empty());
    let other: MessageId = world.ids.next(NOW);
    let one = Command::ClearReactions {
        found: found(GENERAL, other),
        emoji: Some(thumbs()),
        read: read(2, true, false),
    };
    let one = world.ok(MOD, one);
    assert_eq!(
        one.data("MESSAGE_REACTION_REMOVE_EMOJI")["emoji"]["name"],
        "👍"
    );
}
