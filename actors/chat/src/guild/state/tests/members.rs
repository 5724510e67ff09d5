//! Members, bans, presence.

use model::ban::BanRecord;
use model::event::Audience;
use model::intents::Intents;
use model::permissions::{Permissions, everyone_default};
use model::presence::{ClientStatus, Presence, Status};
use model::user::User;
use model::{Id, UserId, time};
use storage::store::Write;

use super::fixture::*;
use crate::error::{ChatError, Missing, Refusal};
use crate::guild::command::{Actor, Answer, Command, MemberPatch};
use crate::guild::state::{Effect, SnapshotWants};
use crate::guild::state::{MEMBERS_LISTED_MAX, Turn};

fn patch() -> MemberPatch {
    MemberPatch::default()
}

fn modify(user: UserId, patch: MemberPatch) -> Command {
    Command::ModifyMember(user, Box::new(patch))
}

fn nick(nick: &str) -> MemberPatch {
    MemberPatch {
        nick: Some(Some(nick.to_owned())),
        ..patch()
    }
}

fn ban(user: UserId) -> Command {
    let record = BanRecord {
        guild_id: GUILD,
        user_id: user,
        reason: None,
    };
    Command::Ban {
        user: Box::new(User::new(user, "banned", false)),
        record,
        messages: Vec::new(),
    }
}

#[test]
fn nicknames() {
    let mut world = World::new();
    let outcome = world.ok(BOB, modify(BOB, nick("bobby")));
    let event = outcome.published().next().unwrap();
    assert_eq!(
        (event.name, event.intents),
        ("GUILD_MEMBER_UPDATE", Intents::GUILD_MEMBERS)
    );
    assert_eq!(event.always_for.to_vec(), [BOB]);
    assert_eq!(outcome.data("GUILD_MEMBER_UPDATE")["nick"], "bobby");
    world.ok(BOB, modify(BOB, nick("")));
    assert_eq!(world.row(BOB).record.nick, None, "an empty one unsets it");
    assert!(matches!(
        world.refused(BOB, modify(BOB, nick(&"x".repeat(33)))),
        ChatError::Form(_)
    ));
    for (actor, target, allowed) in [
        (MOD, BOB, true),
        (BOB, LOW, false),
        (MOD, ADMIN, false),
        (ADMIN, MOD, true),
        (MOD, OWNER, false),
    ] {
        let answer = world.run(actor, modify(target, nick("n"))).answer;
        assert_eq!(answer.is_ok(), allowed, "{actor} {target}");
    }
    world.everyone_may(everyone_default() - Permissions::CHANGE_NICKNAME);
    assert_eq!(
        world.refused(BOB, modify(BOB, nick("b"))),
        ChatError::MissingPermissions
    );
}

#[test]
fn roles_are_given_below_ones_own() {
    let mut world = World::new();
    assert_eq!(
        world
            .ok(MOD, Command::AddMemberRole(BOB, LOW_ROLE))
            .events(),
        ["GUILD_MEMBER_UPDATE"]
    );
    assert!(
        world
            .ok(MOD, Command::AddMemberRole(BOB, LOW_ROLE))
            .effects
            .is_empty(),
        "held already"
    );
    for role in [MOD_ROLE, ADMIN_ROLE] {
        assert_eq!(
            world.refused(MOD, Command::AddMemberRole(BOB, role)),
            ChatError::MissingPermissions
        );
    }
    assert_eq!(
        world.refused(MOD, Command::RemoveMemberRole(ADMIN, ADMIN_ROLE)),
        ChatError::MissingPermissions
    );
    assert_eq!(
        world.refused(BOB, Command::AddMemberRole(BOB, LOW_ROLE)),
        ChatError::MissingPermissions
    );
    assert_eq!(
        world.refused(MOD, Command::AddMemberRole(BOB, Id::new(404))),
        ChatError::NotFound(Missing::Role)
    );
    assert_eq!(
        world.refused(MOD, Command::AddMemberRole(STRANGER, LOW_ROLE)),
        ChatError::NotFound(Missing::Member)
    );
    world.ok(MOD, Command::RemoveMemberRole(BOB, LOW_ROLE));
    assert!(world.row(BOB).record.roles.is_empty());
    let all = MemberPatch {
        roles: Some(vec![LOW_ROLE, LOW_ROLE, EVERYONE]),
        ..patch()
    };
    world.ok(MOD, modify(BOB, all));
    assert_eq!(world.row(BOB).record.roles, [LOW_ROLE]);
}

#[test]
fn a_role_shows_its_channels_to_that_member_only() {
    let mut world = World::new();
    let mut listeners = Listeners::new(&world.state);
    let outcome = world.ok(OWNER, Command::AddMemberRole(BOB, MOD_ROLE));
    listeners.take(&outcome.effects);
    listeners.check(&world.state);
    assert_eq!(listeners.who_got("CHANNEL_CREATE"), [BOB]);
    let outcome = world.ok(OWNER, Command::RemoveMemberRole(BOB, MOD_ROLE));
    listeners.take(&outcome.effects);
    listeners.check(&world.state);
    assert_eq!(listeners.who_got("CHANNEL_DELETE"), [BOB]);
}

#[test]
fn timeouts() {
    let mut world = World::new();
    let until = |ms| MemberPatch {
        communication_disabled_until: Some(Some(time::from_unix_ms(ms))),
        ..patch()
    };
    let day = 24 * 60 * 60 * 1_000;
    world.ok(MOD, modify(BOB, until(NOW + 28 * day)));
    assert!(matches!(
        world.refused(MOD, modify(BOB, until(NOW + 28 * day + 1))),
        ChatError::Form(_)
    ));
    for target in [MOD, ADMIN, OWNER] {
        assert_eq!(
            world.refused(MOD, modify(target, until(NOW + day))),
            ChatError::MissingPermissions
        );
    }
    assert_eq!(
        world.refused(LOW, modify(BOB, until(NOW + day))),
        ChatError::MissingPermissions
    );
    // Not even the owner times out an administrator.
    assert_eq!(
        world.refused(OWNER, modify(ADMIN, until(NOW + day))),
        ChatError::MissingPermissions
    );
    let lift = MemberPatch {
        communication_disabled_until: Some(None),
        ..patch()
    };
    world.ok(MOD, modify(BOB, lift));
    assert_eq!(world.row(BOB).record.communication_disabled_until, None);
}

#[test]
fn kicking() {
    let mut world = World::new();
    let mut listeners = Listeners::new(&world.state);
    for (actor, target, error) in [
        (BOB, LOW, ChatError::MissingPermissions),
        (MOD, ADMIN, ChatError::MissingPermissions),
        (MOD, OWNER, ChatError::MissingPermissions),
        (MOD, MOD, ChatError::MissingPermissions),
        (MOD, STRANGER, ChatError::NotFound(Missing::Member)),
    ] {
        assert_eq!(
            world.refused(actor, Command::Kick(target)),
            error,
            "{actor} {target}"
        );
    }
    let owner = world.try_as(Actor::System, Command::Kick(OWNER)).answer;
    assert_eq!(owner.unwrap_err(), ChatError::MissingPermissions);
    let outcome = world.ok(MOD, Command::Kick(BOB));
    listeners.take(&outcome.effects);
    assert_eq!(outcome.events(), ["GUILD_MEMBER_REMOVE", "GUILD_DELETE"]);
    assert_eq!(
        outcome.data("GUILD_DELETE"),
        serde_json::json!({"id": "1"}),
        "no `unavailable`"
    );
    assert_eq!(listeners.who_got("GUILD_DELETE"), [BOB]);
    assert!(
        matches!(outcome.effects.last(), Some(Effect::Remove(user)) if *user == BOB),
        "told before it is cut off"
    );
    assert_eq!(
        world.post(BOB, GENERAL, "hi").answer.unwrap_err(),
        ChatError::MissingAccess
    );
}

#[test]
fn leaving() {
    let mut world = World::new();
    assert_eq!(
        world.refused(OWNER, Command::Leave),
        ChatError::Refused(Refusal::OwnerCannotLeave)
    );
    assert_eq!(
        world.ok(BOB, Command::Leave).events(),
        ["GUILD_MEMBER_REMOVE", "GUILD_DELETE"]
    );
    assert_eq!(world.refused(BOB, Command::Leave), ChatError::MissingAccess);
}

#[test]
fn banning() {
    let mut world = World::new();
    for (actor, target) in [(BOB, LOW), (MOD, ADMIN), (MOD, OWNER), (MOD, MOD)] {
        assert_eq!(
            world.refused(actor, ban(target)),
            ChatError::MissingPermissions,
            "{actor} {target}"
        );
    }
    let outcome = world.ok(MOD, ban(STRANGER));
    assert_eq!(
        outcome.events(),
        ["GUILD_BAN_ADD"],
        "a stranger can be banned"
    );
    let mut with_messages = ban(BOB);
    let ids: Vec<_> = (0..150).map(|_| world.ids.next(NOW)).collect();
    if let Command::Ban { messages, .. } = &mut with_messages {
        messages.extend(ids.iter().map(|id| (GENERAL, *id)));
    }
    let outcome = world.ok(MOD, with_messages);
    let expected = [
        "MESSAGE_DELETE_BULK",
        "MESSAGE_DELETE_BULK",
        "GUILD_BAN_ADD",
        "GUILD_MEMBER_REMOVE",
        "GUILD_DELETE",
    ];
    assert_eq!(outcome.events(), expected);
    assert_eq!(
        outcome
            .writes()
            .filter(|write| matches!(write, Write::DeleteMessage(..)))
            .count(),
        150
    );
    let banned = outcome
        .published()
        .find(|event| event.name == "GUILD_BAN_ADD")
        .unwrap();
    assert_eq!(banned.intents, Intents::GUILD_MODERATION);
    let unban = Command::Unban(Box::new(User::new(BOB, "b", false)));
    assert_eq!(
        world.refused(LOW, unban.clone()),
        ChatError::MissingPermissions
    );
    assert_eq!(world.ok(MOD, unban).events(), ["GUILD_BAN_REMOVE"]);
}

#[test]
fn joining() {
    let mut world = World::new();
    let user = || Box::new(User::new(STRANGER, "new", false));
    let outcome = world.try_as(Actor::System, Command::AddMember(user()));
    assert_eq!(outcome.events(), ["GUILD_MEMBER_ADD"]);
    assert_eq!(outcome.data("GUILD_MEMBER_ADD")["user"]["username"], "new");
    let again = world.try_as(Actor::System, Command::AddMember(user()));
    assert!(again.effects.is_empty() && matches!(again.answer, Ok(Answer::Member(_))));
    world.state.guild.max_members = 6;
    let one_more = Command::AddMember(Box::new(User::new(Id::new(98), "late", false)));
    let full = world.try_as(Actor::System, one_more).answer;
    assert_eq!(full.unwrap_err(), ChatError::Refused(Refusal::MembersMax));
    world.everyone_may(everyone_default() - Permissions::CREATE_INVITE);
    assert_eq!(
        world.refused(BOB, Command::AddMember(user())),
        ChatError::MissingPermissions
    );
}

fn presence(user: UserId, status: Status) -> Command {
    let presence = Presence {
        status,
        ..Presence::default()
    };
    Command::SetPresence {
        user,
        presence: Some(presence),
        client_status: ClientStatus::default(),
    }
}

#[test]
fn presence_of_members() {
    let mut world = World::new();
    let set = |world: &mut World, user, status| world.try_as(Actor::System, presence(user, status));
    let outcome = set(&mut world, BOB, Status::Dnd);
    let event = outcome.published().next().unwrap();
    assert_eq!(
        (event.intents, &event.audience),
        (Intents::GUILD_PRESENCES, &Audience::Guild)
    );
    assert_eq!(outcome.data("PRESENCE_UPDATE")["status"], "dnd");
    assert!(
        set(&mut world, BOB, Status::Dnd).effects.is_empty(),
        "nothing new"
    );
    assert_eq!(
        set(&mut world, BOB, Status::Invisible).data("PRESENCE_UPDATE")["status"],
        "offline"
    );
    assert!(set(&mut world, BOB, Status::Offline).effects.is_empty());
    assert!(set(&mut world, STRANGER, Status::Online).effects.is_empty());
}

#[test]
fn the_snapshot_lists_what_the_docs_say() {
    let mut world = World::new();
    world.try_as(Actor::System, presence(LOW, Status::Idle));
    let mut wants = SnapshotWants {
        large_threshold: 50,
        members_and_presences: true,
        newly_joined: false,
    };
    let snapshot = |world: &World, wants| {
        let event = world.state.guild_create(BOB, wants, NOW).unwrap();
        assert_eq!(
            (event.name, event.intents),
            ("GUILD_CREATE", Intents::GUILDS)
        );
        body(&event.body)
    };
    let whole = snapshot(&world, wants);
    assert_eq!(whole["members"].as_array().unwrap().len(), 5);
    assert_eq!(whole["presences"][0]["user"]["id"], LOW.to_string());
    assert_eq!(
        (&whole["unavailable"], &whole["large"]),
        (&false.into(), &false.into())
    );
    let channels: Vec<&str> = whole["channels"]
        .as_array()
        .unwrap()
        .iter()
        .map(|channel| channel["id"].as_str().unwrap())
        .collect();
    assert!(
        !channels.contains(&"32") && channels.len() == 3,
        "hidden channels are left out: {channels:?}"
    );

    wants.large_threshold = 4;
    let large = snapshot(&world, wants);
    let listed: Vec<&str> = large["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|member| member["user"]["id"].as_str().unwrap())
        .collect();
    assert_eq!(listed, ["13", "14"], "who is there, and the receiver");
    assert_eq!(
        (&large["large"], &large["member_count"]),
        (&true.into(), &5.into())
    );

    wants = SnapshotWants {
        members_and_presences: false,
        newly_joined: true,
        ..wants
    };
    let small = snapshot(&world, wants);
    assert_eq!(small["members"].as_array().unwrap().len(), 1);
    assert_eq!(small["presences"], serde_json::json!([]));
    assert!(small.get("unavailable").is_none(), "newly joined");
    assert!(world.state.guild_create(STRANGER, wants, NOW).is_none());
}

#[test]
fn a_large_guild_lists_who_is_there_and_a_huge_one_nobody_but_the_receiver() {
    let mut snapshot = snapshot();
    add_members(&mut snapshot, 1_000..1_000 + MEMBERS_LISTED_MAX as u64);
    let mut world = World::of(snapshot);
    for user in [ADMIN, LOW] {
        let mut turn = Turn::new(NOW, &world.ids);
        world
            .state
            .apply(&mut turn, Actor::System, present(user))
            .unwrap();
    }
    let wants = SnapshotWants {
        large_threshold: 250,
        members_and_presences: true,
        newly_joined: false,
    };
    let listed = |world: &World| {
        let event = world.state.guild_create(BOB, wants, NOW).unwrap();
        let members = body(&event.body)["members"].clone();
        let members = members.as_array().unwrap().iter();
        let id = |member: &serde_json::Value| member["user"]["id"].as_str().unwrap().to_owned();
        members.map(id).collect::<Vec<_>>()
    };
    assert_eq!(listed(&world), ["14"], "one too many");
    for user in 1_000..1_005 {
        // Not by the fixture: it copies and compares all members.
        let mut turn = Turn::new(NOW, &world.ids);
        let kick = Command::Kick(model::Id::new(user));
        world.state.apply(&mut turn, Actor::System, kick).unwrap();
    }
    assert_eq!(listed(&world), ["11", "13", "14"]);
}

fn present(user: UserId) -> Command {
    Command::SetPresence {
        user,
        presence: Some(model::presence::Presence::default()),
        client_status: ClientStatus::default(),
    }
}

#[test]
fn only_members_may_read_the_members() {
    let mut world = World::new();
    world.ok(BOB, Command::ReadMembers);
    assert_eq!(
        world.refused(STRANGER, Command::ReadMembers),
        ChatError::MissingAccess
    );
}
