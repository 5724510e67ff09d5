//! Messages, reactions, pins, typing.

use model::attachment::Attachment;
use model::channel::{Overwrite, kind as channel_kind};
use model::embed::Embed;
use model::emoji::ReactionEmoji;
use model::event::Class;
use model::intents::Intents;
use model::mentions::AllowedMentions;
use model::message::{Draft, MessagePatch, Nonce, flags, kind};
use model::permissions::{Permissions, everyone_default};
use model::{ChannelId, Id, MessageId, snowflake};
use storage::store::Write;

use super::fixture::*;
use crate::error::{ChatError, Missing, Refusal};
use crate::guild::command::{
    Actor, Answer, ChannelPatch, Command, Found, Look, MemberPatch, Reacted,
};
use crate::guild::state::Effect;

fn embed() -> Embed {
    Embed {
        kind: "rich".to_owned(),
        title: Some("t".to_owned()),
        ..Embed::default()
    }
}

fn file() -> Attachment {
    Attachment {
        id: Id::new(5),
        filename: "a.txt".to_owned(),
        description: None,
        content_type: None,
        size: 1,
        url: "/attachments/a.txt".to_owned(),
        proxy_url: "/attachments/a.txt".to_owned(),
        width: None,
        height: None,
        flags: 0,
    }
}

fn thumbs() -> ReactionEmoji {
    ReactionEmoji {
        id: None,
        name: Some("👍".to_owned()),
        animated: false,
    }
}

#[test]
fn posting_needs_what_the_docs_say() {
    use Permissions as P;
    let may = everyone_default();
    let plain = || draft("hi");
    let with_file = || Draft {
        attachments: vec![file()],
        ..draft("")
    };
    let with_embed = || Draft {
        embeds: vec![embed()],
        ..draft("")
    };
    let access = ChatError::MissingAccess;
    let permissions = ChatError::MissingPermissions;
    let refused = ChatError::Refused;
    for (name, everyone, channel, draft, expected) in [
        ("all well", may, GENERAL, plain(), None),
        ("hidden channel", may, SECRET, plain(), Some(access.clone())),
        (
            "no such channel",
            may,
            Id::new(999),
            plain(),
            Some(ChatError::NotFound(Missing::Channel)),
        ),
        (
            "category",
            may,
            CATEGORY,
            plain(),
            Some(refused(Refusal::NonTextChannel)),
        ),
        ("voice chat", may, VOICE, plain(), None),
        (
            "no view",
            may - P::VIEW_CHANNEL,
            GENERAL,
            plain(),
            Some(access),
        ),
        (
            "no send",
            may - P::SEND_MESSAGES,
            GENERAL,
            plain(),
            Some(permissions.clone()),
        ),
        (
            "empty",
            may,
            GENERAL,
            super::fixture::draft("  \n"),
            Some(refused(Refusal::EmptyMessage)),
        ),
        ("file", may, GENERAL, with_file(), None),
        (
            "file not allowed",
            may - P::ATTACH_FILES,
            GENERAL,
            with_file(),
            Some(permissions.clone()),
        ),
        ("embed", may, GENERAL, with_embed(), None),
        (
            "only an embed, not allowed",
            may - P::EMBED_LINKS,
            GENERAL,
            with_embed(),
            Some(permissions),
        ),
    ] {
        let mut world = World::new();
        world.everyone_may(everyone);
        let outcome = world.run(BOB, post(channel, draft));
        match expected {
            Some(error) => assert_eq!(outcome.answer.unwrap_err(), error, "{name}"),
            None => assert_eq!(outcome.events(), ["MESSAGE_CREATE"], "{name}"),
        }
    }
    let mut world = World::new();
    let long = world.refused(BOB, post(GENERAL, draft(&"x".repeat(2_001))));
    assert!(matches!(long, ChatError::Form(_)));
    assert_eq!(
        world.refused(STRANGER, post(GENERAL, draft("hi"))),
        ChatError::MissingAccess
    );
    assert_eq!(
        world
            .try_as(Actor::System, post(GENERAL, draft("hi")))
            .answer
            .unwrap_err(),
        ChatError::MissingAccess
    );
}

#[test]
fn embeds_without_permission_are_left_out() {
    let mut world = World::new();
    world.everyone_may(everyone_default() - Permissions::EMBED_LINKS);
    let record = world
        .run(
            BOB,
            post(
                GENERAL,
                Draft {
                    embeds: vec![embed()],
                    ..draft("text")
                },
            ),
        )
        .record();
    assert!(record.embeds.is_empty());
    assert_eq!(record.content, "text");
}

#[test]
fn ids_rise_above_everything_in_the_channel() {
    let mut world = World::new();
    let future: MessageId = snowflake::floor_of(NOW + 1_000_000);
    world
        .state
        .channels
        .get_mut(&GENERAL)
        .unwrap()
        .last_message_id = Some(future);
    let first = world.posted(BOB, GENERAL, "a");
    assert!(first.id > future);
    world.now -= 5_000;
    let second = world.posted(BOB, GENERAL, "b");
    assert!(second.id > first.id, "the clock stepped back");
    assert_eq!(
        world.state.channels[&GENERAL].last_message_id,
        Some(second.id)
    );
}

#[test]
fn the_event_is_whole_and_its_blank_form_is_blank() {
    let mut world = World::new();
    let text = format!("hello <@{LOW}>");
    let draft = Draft {
        attachments: vec![file()],
        nonce: Some(Nonce::Integer(7)),
        ..draft(&text)
    };
    let outcome = world.ok(BOB, post(GENERAL, draft));
    let message = outcome.message();
    assert_eq!(
        (message.guild_id, message.member),
        (None, None),
        "answers carry neither"
    );
    assert_eq!(message.attachments[0].url, "http://test/attachments/a.txt");
    let event = outcome.published().next().unwrap();
    let whole = body(&event.body);
    assert_eq!(whole["guild_id"], "1");
    assert_eq!(whole["member"]["roles"], serde_json::json!([]));
    assert_eq!(whole["author"]["id"], BOB.to_string());
    assert_eq!(whole["mentions"][0]["id"], LOW.to_string());
    assert_eq!(whole["nonce"], 7);
    let blank = body(event.redacted.as_ref().unwrap());
    assert_eq!(blank["content"], "");
    assert_eq!(blank["attachments"], serde_json::json!([]));
    assert_eq!(event.whole_for.to_vec(), [BOB, LOW]);
    assert_eq!(event.intents, Intents::GUILD_MESSAGES);
}

#[test]
fn mentions_are_what_author_and_rules_allow() {
    let everyone = Permissions::MENTION_EVERYONE;
    let text = format!("@everyone <@{LOW}> <@{STRANGER}> <@&{LOW_ROLE}> <@&{MOD_ROLE}>");
    let none = AllowedMentions::default();
    let users = AllowedMentions {
        parse: vec!["users".to_owned()],
        ..AllowedMentions::default()
    };
    for (name, may, allowed, wanted) in [
        (
            "all",
            everyone_default(),
            None,
            (vec![LOW], vec![LOW_ROLE, MOD_ROLE], true),
        ),
        (
            "may not mention all",
            everyone_default() - everyone,
            None,
            (vec![LOW], vec![LOW_ROLE], false),
        ),
        (
            "nobody",
            everyone_default(),
            Some(none),
            (vec![], vec![], false),
        ),
        (
            "users",
            everyone_default(),
            Some(users),
            (vec![LOW], vec![], false),
        ),
    ] {
        let mut world = World::new();
        world.everyone_may(may);
        world.state.roles.get_mut(&LOW_ROLE).unwrap().mentionable = true;
        let draft = Draft {
            allowed_mentions: allowed,
            ..draft(&text)
        };
        let record = world.run(BOB, post(GENERAL, draft)).record();
        assert_eq!(
            (
                record.mentions,
                record.mention_roles,
                record.mention_everyone
            ),
            wanted,
            "{name}"
        );
    }
}

#[test]
fn replies() {
    let mut world = World::new();
    let first = world.post(LOW, GENERAL, "question").message();
    let reply = |reply_to| Draft {
        reply_to: Some(first.id),
        ..reply_to
    };
    let answer = |found: Option<&model::message::Message>, draft| Command::PostMessage {
        channel: GENERAL,
        draft: Box::new(draft),
        reply_to: found.cloned().map(Box::new),
    };
    let outcome = world.ok(BOB, answer(Some(&first), reply(draft("answer"))));
    let message = outcome.message();
    assert_eq!(message.kind, kind::REPLY);
    assert_eq!(message.mentions[0].id, LOW, "the author is pinged");
    assert_eq!(
        message.message_reference.unwrap().message_id,
        Some(first.id)
    );
    assert_eq!(message.referenced_message.unwrap().unwrap().id, first.id);
    let blank = outcome
        .published()
        .next()
        .unwrap()
        .redacted
        .clone()
        .unwrap();
    assert_eq!(body(&blank)["referenced_message"]["content"], "");

    let quiet = AllowedMentions {
        replied_user: Some(false),
        ..AllowedMentions::default()
    };
    let quiet = Draft {
        allowed_mentions: Some(quiet),
        ..reply(draft("answer"))
    };
    assert!(
        world
            .ok(BOB, answer(Some(&first), quiet))
            .record()
            .mentions
            .is_empty()
    );

    assert!(matches!(
        world.refused(BOB, answer(None, reply(draft("answer")))),
        ChatError::Form(_)
    ));
    let lenient = Draft {
        fail_if_not_exists: false,
        ..reply(draft("answer"))
    };
    let record = world.ok(BOB, answer(None, lenient)).record();
    assert_eq!(
        (record.kind, record.message_reference),
        (kind::DEFAULT, None)
    );

    world.everyone_may(everyone_default() - Permissions::READ_MESSAGE_HISTORY);
    let refused = world.refused(BOB, answer(Some(&first), reply(draft("answer"))));
    assert_eq!(refused, ChatError::MissingPermissions);
}

#[test]
fn a_repeated_nonce_answers_the_first_message() {
    let mut world = World::new();
    let again = || Draft {
        nonce: Some(Nonce::Text("n".to_owned())),
        enforce_nonce: true,
        ..draft("hi")
    };
    let first = world.ok(BOB, post(GENERAL, again())).message();
    let second = world.ok(BOB, post(GENERAL, again()));
    assert!(
        matches!(second.effects[..], [Effect::Show(_, id)] if id == first.id),
        "neither stored nor published again: {:?}",
        second.effects
    );
    assert_ne!(
        world.ok(LOW, post(GENERAL, again())).message().id,
        first.id,
        "another author"
    );
    assert_ne!(
        world.ok(BOB, post(VOICE, again())).message().id,
        first.id,
        "another channel"
    );
    let unenforced = Draft {
        enforce_nonce: false,
        ..again()
    };
    let third = world.ok(BOB, post(GENERAL, unenforced)).message();
    assert_ne!(third.id, first.id);
    world.now += 10 * 60 * 1_000;
    assert_ne!(
        world.ok(BOB, post(GENERAL, again())).message().id,
        third.id,
        "the window is over"
    );
}

#[test]
fn the_nonce_window_is_bounded() {
    let mut world = World::new();
    for number in 0..super::super::NONCES_MAX as i64 + 10 {
        let command = post(
            GENERAL,
            Draft {
                nonce: Some(Nonce::Integer(number)),
                ..draft("hi")
            },
        );
        let mut turn = super::super::Turn::new(world.now, &world.ids);
        world
            .state
            .apply(&mut turn, Actor::User(BOB), command)
            .unwrap();
    }
    let again = |number| Draft {
        nonce: Some(Nonce::Integer(number)),
        enforce_nonce: true,
        ..draft("hi")
    };
    let oldest = world.ok(BOB, post(GENERAL, again(0)));
    assert_eq!(oldest.events(), ["MESSAGE_CREATE"], "is forgotten");
    let newer = world.ok(BOB, post(GENERAL, again(5_000)));
    assert!(newer.events().is_empty(), "is not");
}

#[test]
fn slow_mode_waits_and_is_bypassed() {
    let mut world = World::new();
    let patch = ChannelPatch {
        rate_limit_per_user: Some(10),
        ..ChannelPatch::default()
    };
    world.ok(OWNER, Command::ModifyChannel(GENERAL, Box::new(patch)));
    world.posted(BOB, GENERAL, "a");
    world.now += 4_000;
    let refused = world.post(BOB, GENERAL, "b").answer.unwrap_err();
    assert_eq!(refused, ChatError::SlowMode { retry_after: 6.0 });
    world.posted(LOW, GENERAL, "others may");
    world.posted(MOD, GENERAL, "moderators may");
    world.posted(MOD, GENERAL, "always");
    world.now += 6_000;
    world.posted(BOB, GENERAL, "b");
}

#[test]
fn the_timed_out_keep_silent() {
    let mut world = World::new();
    let until = model::time::from_unix_ms(NOW + 60_000);
    let patch = MemberPatch {
        communication_disabled_until: Some(Some(until)),
        ..MemberPatch::default()
    };
    world.ok(MOD, Command::ModifyMember(BOB, Box::new(patch)));
    assert_eq!(
        world.post(BOB, GENERAL, "hi").answer.unwrap_err(),
        ChatError::MissingPermissions
    );
    assert_eq!(
        world.refused(BOB, Command::Typing { channel: GENERAL }),
        ChatError::MissingPermissions
    );
    world.now += 60_000;
    world.posted(BOB, GENERAL, "hi");
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

/// A message of LOW's in a channel, as it was found before anything was decided.
fn found(channel: ChannelId, message: MessageId) -> Found {
    Found {
        look: Look::default(),
        channel,
        message,
        author: LOW,
    }
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

#[test]
fn typing() {
    let mut world = World::new();
    let outcome = world.ok(BOB, Command::Typing { channel: GENERAL });
    let event = outcome.published().next().unwrap();
    assert_eq!(
        (event.class, event.intents),
        (Class::Typing, Intents::GUILD_MESSAGE_TYPING)
    );
    assert_eq!(body(&event.body)["timestamp"], NOW / 1_000);
    assert_eq!(body(&event.body)["member"]["user"]["id"], BOB.to_string());
    assert_eq!(
        world.refused(BOB, Command::Typing { channel: SECRET }),
        ChatError::MissingAccess
    );
    assert_eq!(
        world.refused(BOB, Command::Typing { channel: CATEGORY }),
        ChatError::Refused(Refusal::NonTextChannel)
    );
}

#[test]
fn access_tells_hidden_from_forbidden() {
    let mut world = World::new();
    let ask = |channel, needs| Command::Access { channel, needs };
    assert_eq!(
        world.refused(BOB, ask(SECRET, Permissions::empty())),
        ChatError::MissingAccess
    );
    assert_eq!(
        world.refused(BOB, ask(GENERAL, Permissions::MANAGE_MESSAGES)),
        ChatError::MissingPermissions
    );
    assert_eq!(
        world.refused(STRANGER, ask(GENERAL, Permissions::empty())),
        ChatError::MissingAccess
    );
    let Ok(Answer::Permissions(has)) = world
        .run(MOD, ask(SECRET, Permissions::VIEW_CHANNEL))
        .answer
    else {
        panic!("not answered");
    };
    assert!(has.contains(Permissions::MANAGE_MESSAGES));
}

#[test]
fn members_own_overwrites_come_last() {
    let mut world = World::new();
    let secret = world.state.channels.get_mut(&SECRET).unwrap();
    assert_eq!(secret.kind, channel_kind::GUILD_TEXT);
    let overwrite = Overwrite::member(BOB, Permissions::VIEW_CHANNEL, Permissions::SEND_MESSAGES);
    secret.permission_overwrites.push(overwrite);
    assert_eq!(
        world.post(BOB, SECRET, "hi").answer.unwrap_err(),
        ChatError::MissingPermissions
    );
    assert_eq!(
        world.post(LOW, SECRET, "hi").answer.unwrap_err(),
        ChatError::MissingAccess
    );
}
