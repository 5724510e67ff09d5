//! The guild itself.

use model::Id;

use super::fixture::*;
use crate::error::{ChatError, Missing};
use crate::guild::command::{Actor, Answer, Command, GuildPatch};
use crate::guild::state::Effect;

fn patch() -> GuildPatch {
    GuildPatch::default()
}

fn modify(patch: GuildPatch) -> Command {
    Command::ModifyGuild(Box::new(patch))
}

#[test]
fn settings() {
    let mut world = World::new();
    let rename = modify(GuildPatch {
        name: Some(" New name ".to_owned()),
        ..patch()
    });
    assert_eq!(
        world.refused(BOB, rename.clone()),
        ChatError::MissingPermissions
    );
    let outcome = world.ok(MOD, rename.clone());
    assert_eq!(outcome.events(), ["GUILD_UPDATE"]);
    let data = outcome.data("GUILD_UPDATE");
    assert_eq!(
        (&data["name"], data["roles"].as_array().unwrap().len()),
        (&"New name".into(), 4)
    );
    assert!(world.ok(MOD, rename).effects.is_empty(), "nothing new");
    for wrong in [
        GuildPatch {
            name: Some("x".to_owned()),
            ..patch()
        },
        GuildPatch {
            verification_level: Some(5),
            ..patch()
        },
        GuildPatch {
            afk_timeout: Some(61),
            ..patch()
        },
        GuildPatch {
            system_channel_id: Some(Some(VOICE)),
            ..patch()
        },
        GuildPatch {
            afk_channel_id: Some(Some(GENERAL)),
            ..patch()
        },
        GuildPatch {
            rules_channel_id: Some(Some(Id::new(404))),
            ..patch()
        },
    ] {
        assert!(
            matches!(
                world.refused(OWNER, modify(wrong.clone())),
                ChatError::Form(_)
            ),
            "{wrong:?}"
        );
    }
    world.ok(
        MOD,
        modify(GuildPatch {
            afk_channel_id: Some(Some(VOICE)),
            ..patch()
        }),
    );
    assert_eq!(world.state.guild.afk_channel_id, Some(VOICE));
}

#[test]
fn only_the_owner_gives_the_guild_away() {
    let mut world = World::new();
    let mut listeners = Listeners::new(&world.state);
    let give = |user| {
        modify(GuildPatch {
            owner_id: Some(user),
            ..patch()
        })
    };
    assert_eq!(
        world.refused(ADMIN, give(ADMIN)),
        ChatError::MissingPermissions
    );
    assert_eq!(
        world.refused(OWNER, give(STRANGER)),
        ChatError::NotFound(Missing::Member)
    );
    let outcome = world.ok(OWNER, give(BOB));
    listeners.take(&outcome.effects);
    listeners.check(&world.state);
    assert_eq!(
        listeners.who_got("CHANNEL_CREATE"),
        [BOB],
        "the owner sees everything"
    );
    assert_eq!(
        listeners.who_got("CHANNEL_DELETE"),
        [OWNER],
        "and the former one no more"
    );
}

#[test]
fn only_the_owner_deletes_the_guild() {
    let mut world = World::new();
    assert_eq!(
        world.refused(ADMIN, Command::DeleteGuild),
        ChatError::MissingPermissions
    );
    let outcome = world.ok(OWNER, Command::DeleteGuild);
    assert_eq!(outcome.data("GUILD_DELETE"), serde_json::json!({"id": "1"}));
    assert!(matches!(outcome.effects.last(), Some(Effect::Clear(channels)) if channels.len() == 4));
    assert!(world.state.is_deleted());
    for actor in [Actor::User(OWNER), Actor::System] {
        let answer = world.try_as(actor, Command::Roles).answer;
        assert_eq!(answer.unwrap_err(), ChatError::NotFound(Missing::Guild));
    }
}

#[test]
fn strangers_have_no_access() {
    let mut world = World::new();
    for command in [
        Command::Guild { with_counts: false },
        Command::Roles,
        Command::Member(BOB),
        Command::Channels,
    ] {
        assert_eq!(world.refused(STRANGER, command), ChatError::MissingAccess);
    }
    let Ok(Answer::Guild(view)) = world.run(BOB, Command::Guild { with_counts: true }).answer
    else {
        panic!()
    };
    assert_eq!(
        (
            view.approximate_member_count,
            view.approximate_presence_count
        ),
        (Some(5), Some(0))
    );
}
