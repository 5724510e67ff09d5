//! Channels and their overwrites.

use model::channel::{Channel, Overwrite, kind};
use model::permissions::{Permissions, everyone_default};
use model::{ChannelId, Id};

use super::fixture::*;
use crate::error::{ChatError, Missing, Refusal};
use crate::guild::command::{Answer, ChannelMove, ChannelPatch, Command};

const NONE: Permissions = Permissions::empty();
const VIEW: Permissions = Permissions::VIEW_CHANNEL;

fn named(name: &str) -> ChannelPatch {
    ChannelPatch {
        name: Some(name.to_owned()),
        ..ChannelPatch::default()
    }
}

fn create(patch: ChannelPatch) -> Command {
    Command::CreateChannel(Box::new(patch))
}

fn modify(id: ChannelId, patch: ChannelPatch) -> Command {
    Command::ModifyChannel(id, Box::new(patch))
}

fn made(world: &mut World, patch: ChannelPatch) -> Channel {
    match world.ok(OWNER, create(patch)).answer {
        Ok(Answer::Channel(channel)) => *channel,
        other => panic!("{other:?}"),
    }
}

#[test]
fn making_channels() {
    let mut world = World::new();
    let channel = made(&mut world, named("New  Channel"));
    assert_eq!(
        (channel.name.as_str(), channel.kind),
        ("new-channel", kind::GUILD_TEXT)
    );
    assert!(channel.position > world.state.channels[&GENERAL].position);
    let voice = made(
        &mut world,
        ChannelPatch {
            kind: Some(kind::GUILD_VOICE),
            ..named("Some Voice")
        },
    );
    assert_eq!(
        (voice.name.as_str(), voice.bitrate),
        ("Some Voice", Some(64_000))
    );
    assert_eq!(
        world.refused(BOB, create(named("x"))),
        ChatError::MissingPermissions
    );
    for wrong in [
        ChannelPatch::default(),
        named(""),
        named(&"x".repeat(101)),
        ChannelPatch {
            kind: Some(1),
            ..named("x")
        },
        ChannelPatch {
            topic: Some(Some("x".repeat(1_025))),
            ..named("x")
        },
        ChannelPatch {
            rate_limit_per_user: Some(21_601),
            ..named("x")
        },
        ChannelPatch {
            parent_id: Some(Some(GENERAL)),
            ..named("x")
        },
        ChannelPatch {
            parent_id: Some(Some(CATEGORY)),
            kind: Some(kind::GUILD_CATEGORY),
            ..named("x")
        },
        ChannelPatch {
            bitrate: Some(1),
            kind: Some(kind::GUILD_VOICE),
            ..named("x")
        },
    ] {
        assert!(
            matches!(
                world.refused(OWNER, create(wrong.clone())),
                ChatError::Form(_)
            ),
            "{wrong:?}"
        );
    }
}

#[test]
fn only_those_who_may_view_learn_of_a_channel() {
    let mut world = World::new();
    let mut listeners = Listeners::new(&world.state);
    let hidden = ChannelPatch {
        permission_overwrites: Some(vec![
            Overwrite::role(EVERYONE, NONE, VIEW),
            Overwrite::member(LOW, VIEW, NONE),
        ]),
        ..named("hidden")
    };
    let outcome = world.ok(OWNER, create(hidden));
    listeners.take(&outcome.effects);
    listeners.check(&world.state);
    assert_eq!(listeners.who_got("CHANNEL_CREATE"), [OWNER, ADMIN, LOW]);
    let outcome = world.ok(OWNER, create(named("open")));
    listeners.take(&outcome.effects);
    listeners.check(&world.state);
    assert_eq!(listeners.who_got("CHANNEL_CREATE").len(), 5);
}

#[test]
fn a_channel_made_in_a_category_is_in_sync_with_it() {
    let mut world = World::new();
    let overwrite = Overwrite::role(EVERYONE, NONE, Permissions::SEND_MESSAGES);
    world.ok(OWNER, Command::PutOverwrite(CATEGORY, overwrite.clone()));
    let child = made(
        &mut world,
        ChannelPatch {
            parent_id: Some(Some(CATEGORY)),
            ..named("child")
        },
    );
    assert_eq!(child.permission_overwrites, [overwrite]);
    assert_eq!(
        world.post(BOB, child.id, "hi").answer.unwrap_err(),
        ChatError::MissingPermissions
    );
    for _ in 1..50 {
        made(
            &mut world,
            ChannelPatch {
                parent_id: Some(Some(CATEGORY)),
                ..named("child")
            },
        );
    }
    let one_more = ChannelPatch {
        parent_id: Some(Some(CATEGORY)),
        ..named("child")
    };
    assert!(matches!(
        world.refused(OWNER, create(one_more)),
        ChatError::Form(_)
    ));
}

#[test]
fn there_is_room_for_500_channels() {
    let mut world = World::new();
    for _ in 4..500 {
        made(&mut world, named("x"));
    }
    assert_eq!(
        world.refused(OWNER, create(named("x"))),
        ChatError::Refused(Refusal::ChannelsMax)
    );
}

#[test]
fn changing_channels() {
    let mut world = World::new();
    let patch = ChannelPatch {
        topic: Some(Some("news".to_owned())),
        kind: Some(kind::GUILD_ANNOUNCEMENT),
        ..named("News Room")
    };
    let outcome = world.ok(MOD, modify(GENERAL, patch.clone()));
    assert_eq!(outcome.events(), ["CHANNEL_UPDATE"]);
    assert_eq!(outcome.data("CHANNEL_UPDATE")["name"], "news-room");
    assert!(
        world
            .ok(MOD, modify(GENERAL, patch.clone()))
            .effects
            .is_empty(),
        "nothing new"
    );
    assert_eq!(
        world.refused(BOB, modify(GENERAL, patch.clone())),
        ChatError::MissingPermissions
    );
    assert_eq!(
        world.refused(BOB, modify(SECRET, patch.clone())),
        ChatError::MissingAccess
    );
    assert_eq!(
        world.refused(MOD, modify(Id::new(404), patch)),
        ChatError::NotFound(Missing::Channel)
    );
    let into_voice = ChannelPatch {
        kind: Some(kind::GUILD_VOICE),
        ..ChannelPatch::default()
    };
    assert!(matches!(
        world.refused(MOD, modify(GENERAL, into_voice)),
        ChatError::Form(_)
    ));
}

#[test]
fn hiding_a_channel_is_a_fence() {
    let mut world = World::new();
    let mut listeners = Listeners::new(&world.state);
    let hide = ChannelPatch {
        permission_overwrites: Some(vec![
            Overwrite::role(EVERYONE, NONE, VIEW),
            Overwrite::role(LOW_ROLE, VIEW, NONE),
        ]),
        topic: Some(Some("between us".to_owned())),
        ..ChannelPatch::default()
    };
    let outcome = world.ok(OWNER, modify(GENERAL, hide));
    listeners.take(&outcome.effects);
    listeners.check(&world.state);
    assert_eq!(listeners.who_got("CHANNEL_DELETE"), [MOD, BOB]);
    assert_eq!(listeners.who_got("CHANNEL_UPDATE"), [OWNER, ADMIN, LOW]);
    assert!(
        outcome.data("CHANNEL_DELETE")["topic"].is_null(),
        "the new topic is not for those who lose it"
    );
    let outcome = world.post(LOW, GENERAL, "psst");
    listeners.take(&outcome.effects);
    assert_eq!(listeners.who_got("MESSAGE_CREATE"), [OWNER, ADMIN, LOW]);
    let show = Command::DeleteOverwrite(GENERAL, EVERYONE.cast());
    let outcome = world.ok(OWNER, show);
    listeners.take(&outcome.effects);
    listeners.check(&world.state);
    assert_eq!(listeners.who_got("CHANNEL_CREATE"), [MOD, BOB]);
    assert_eq!(listeners.who_got("CHANNEL_UPDATE"), [OWNER, ADMIN, LOW]);
}

#[test]
fn overwrites_change_only_what_one_holds() {
    let mut world = World::new();
    let put = |allow, deny| Command::PutOverwrite(GENERAL, Overwrite::member(BOB, allow, deny));
    world.ok(
        MOD,
        put(Permissions::MANAGE_MESSAGES, Permissions::ADD_REACTIONS),
    );
    let beyond = put(Permissions::MANAGE_WEBHOOKS, NONE);
    assert_eq!(
        world.refused(MOD, beyond.clone()),
        ChatError::MissingPermissions
    );
    assert_eq!(
        world.refused(MOD, put(NONE, Permissions::MANAGE_WEBHOOKS)),
        ChatError::MissingPermissions
    );
    // MANAGE_ROLES in a channel is an administrator's to give.
    let roles = put(Permissions::MANAGE_ROLES, NONE);
    assert_eq!(
        world.refused(MOD, roles.clone()),
        ChatError::MissingPermissions
    );
    world.ok(ADMIN, roles);
    world.ok(ADMIN, beyond);
    assert_eq!(
        world.refused(MOD, Command::DeleteOverwrite(GENERAL, BOB.cast())),
        ChatError::MissingPermissions,
        "taking away counts as well"
    );
    assert_eq!(
        world.refused(LOW, put(NONE, NONE)),
        ChatError::MissingPermissions
    );
    assert_eq!(
        world.refused(MOD, Command::DeleteOverwrite(GENERAL, STRANGER.cast())),
        ChatError::NotFound(Missing::Overwrite)
    );
    let unknown = Command::PutOverwrite(GENERAL, Overwrite::role(Id::new(404), NONE, NONE));
    assert_eq!(
        world.refused(MOD, unknown),
        ChatError::NotFound(Missing::Role)
    );
}

#[test]
fn deleting_channels() {
    let mut world = World::new();
    let mut listeners = Listeners::new(&world.state);
    let child = made(
        &mut world,
        ChannelPatch {
            parent_id: Some(Some(CATEGORY)),
            ..named("child")
        },
    );
    listeners = {
        let mut fresh = Listeners::new(&world.state);
        fresh.got = listeners.got;
        fresh
    };
    assert_eq!(
        world.refused(BOB, Command::DeleteChannel(CATEGORY)),
        ChatError::MissingPermissions
    );
    let outcome = world.ok(MOD, Command::DeleteChannel(CATEGORY));
    assert_eq!(outcome.events(), ["CHANNEL_DELETE", "CHANNEL_UPDATE"]);
    assert!(outcome.data("CHANNEL_UPDATE")["parent_id"].is_null());
    assert_eq!(world.state.channels[&child.id].parent_id, None);
    let outcome = world.ok(MOD, Command::DeleteChannel(SECRET));
    listeners.take(&outcome.effects);
    assert_eq!(listeners.who_got("CHANNEL_DELETE"), [OWNER, ADMIN, MOD]);
    world.state.guild.system_channel_id = Some(GENERAL);
    let outcome = world.ok(MOD, Command::DeleteChannel(GENERAL));
    assert_eq!(outcome.events(), ["CHANNEL_DELETE", "GUILD_UPDATE"]);
    assert_eq!(
        world.post(BOB, GENERAL, "hi").answer.unwrap_err(),
        ChatError::NotFound(Missing::Channel)
    );
}

#[test]
fn moving_channels() {
    let mut world = World::new();
    let overwrite = Overwrite::role(EVERYONE, NONE, VIEW);
    world.ok(OWNER, Command::PutOverwrite(CATEGORY, overwrite.clone()));
    let mut listeners = Listeners::new(&world.state);
    let to = |lock_permissions| {
        let parent_id = Some(Some(CATEGORY));
        Command::MoveChannels(vec![ChannelMove {
            id: GENERAL,
            position: Some(7),
            parent_id,
            lock_permissions,
        }])
    };
    assert_eq!(world.refused(BOB, to(false)), ChatError::MissingPermissions);
    world.ok(OWNER, to(false));
    assert_eq!(world.state.channels[&GENERAL].position, 7);
    assert!(
        world.state.may_view(BOB, GENERAL),
        "not in sync unless asked"
    );
    let outcome = world.ok(OWNER, to(true));
    listeners.take(&outcome.effects);
    listeners.check(&world.state);
    assert_eq!(
        world.state.channels[&GENERAL].permission_overwrites,
        [overwrite]
    );
    assert_eq!(listeners.who_got("CHANNEL_DELETE"), [MOD, LOW, BOB]);
}

#[test]
fn lists_show_what_one_may_see() {
    let mut world = World::new();
    let mut seen = |user| match world.run(user, Command::Channels).answer {
        Ok(Answer::Channels(channels)) => channels
            .into_iter()
            .map(|channel| channel.id)
            .collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(seen(MOD), [GENERAL, SECRET, CATEGORY, VOICE]);
    assert_eq!(seen(BOB), [GENERAL, CATEGORY, VOICE]);
    assert_eq!(
        world.refused(BOB, Command::Channel(SECRET)),
        ChatError::MissingAccess
    );
    assert!(everyone_default().contains(VIEW));
}

#[test]
fn nothing_is_made_or_moved_where_one_cannot_see() {
    let mut world = World::new();
    let hidden = ChannelPatch {
        kind: Some(kind::GUILD_CATEGORY),
        permission_overwrites: Some(vec![Overwrite::role(EVERYONE, NONE, VIEW)]),
        ..named("Hidden")
    };
    let hidden = made(&mut world, hidden).id;
    let below = |parent| ChannelPatch {
        parent_id: Some(Some(parent)),
        ..named("below")
    };
    let moved = |id, parent_id| {
        Command::MoveChannels(vec![ChannelMove {
            id,
            position: Some(9),
            parent_id,
            lock_permissions: false,
        }])
    };
    for command in [
        create(below(hidden)),
        modify(GENERAL, below(hidden)),
        moved(GENERAL, Some(Some(hidden))),
    ] {
        let refused = world.refused(MOD, command);
        let ChatError::Form(errors) = &refused else {
            panic!("{refused:?}");
        };
        let known = errors.to_json().to_string();
        assert!(known.contains("CHANNEL_PARENT_INVALID"), "{known}");
    }
    assert_eq!(
        world.refused(MOD, moved(hidden, None)),
        ChatError::MissingAccess
    );
    world.ok(MOD, create(below(CATEGORY)));
    world.ok(MOD, moved(GENERAL, Some(Some(CATEGORY))));
    world.ok(OWNER, create(below(hidden)));
}
