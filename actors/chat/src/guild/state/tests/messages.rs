//! Messages, reactions, pins, typing.

use model::attachment::Attachment;
use model::embed::Embed;
use model::event::Class;
use model::intents::Intents;
use model::mentions::AllowedMentions;
use model::message::{Draft, Nonce, kind};
use model::permissions::{Permissions, everyone_default};
use model::{Id, MessageId, snowflake};

use super::fixture::*;
use crate::error::{ChatError, Missing, Refusal};
use crate::guild::command::{Actor, ChannelPatch, Command, MemberPatch};
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
