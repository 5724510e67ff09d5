//! Roles and their hierarchy.

use model::permissions::{Permissions, everyone_default};
use model::{Id, RoleId};

use super::fixture::*;
use crate::error::{ChatError, Missing, Refusal};
use crate::guild::command::{Actor, Answer, Command, RolePatch};
use storage::store::Write;

fn patch() -> RolePatch {
    RolePatch::default()
}

fn create(patch: RolePatch) -> Command {
    Command::CreateRole(Box::new(patch))
}

fn modify(id: RoleId, patch: RolePatch) -> Command {
    Command::ModifyRole(id, Box::new(patch))
}

fn order(world: &World) -> Vec<RoleId> {
    let roles = world.state.roles_in_order();
    assert!(
        roles
            .iter()
            .zip(0..)
            .all(|(role, position)| role.position == position),
        "dense"
    );
    roles.into_iter().map(|role| role.id).collect()
}

#[test]
fn a_new_role_is_lowest_and_the_others_move_up() {
    let mut world = World::new();
    let outcome = world.ok(
        MOD,
        create(RolePatch {
            name: Some("new".to_owned()),
            ..patch()
        }),
    );
    let Ok(Answer::Role(role)) = &outcome.answer else {
        panic!()
    };
    assert_eq!((role.position, role.permissions), (1, everyone_default()));
    assert_eq!(
        order(&world),
        [EVERYONE, role.id, LOW_ROLE, MOD_ROLE, ADMIN_ROLE]
    );
    // Clients shift their copies themselves.
    assert_eq!(outcome.events(), ["GUILD_ROLE_CREATE"]);
    assert_eq!(outcome.writes().count(), 4);
    assert_eq!(
        world.refused(LOW, create(patch())),
        ChatError::MissingPermissions
    );
}

#[test]
fn nobody_grants_what_they_lack() {
    let mut world = World::new();
    let permissions = |bits| RolePatch {
        permissions: Some(bits),
        ..patch()
    };
    let administrator = permissions(Permissions::ADMINISTRATOR);
    assert_eq!(
        world.refused(MOD, create(administrator.clone())),
        ChatError::MissingPermissions
    );
    assert_eq!(
        world.refused(MOD, modify(LOW_ROLE, administrator.clone())),
        ChatError::MissingPermissions
    );
    world.ok(ADMIN, create(administrator));
    world.ok(MOD, create(permissions(Permissions::KICK_MEMBERS)));
    world.ok(
        MOD,
        modify(LOW_ROLE, permissions(Permissions::KICK_MEMBERS)),
    );
}

#[test]
fn roles_at_or_above_ones_own_are_out_of_reach() {
    let mut world = World::new();
    let named = || RolePatch {
        name: Some("x".to_owned()),
        ..patch()
    };
    for (actor, role, allowed) in [
        (MOD, LOW_ROLE, true),
        (MOD, MOD_ROLE, false),
        (MOD, ADMIN_ROLE, false),
        (ADMIN, MOD_ROLE, true),
        (ADMIN, ADMIN_ROLE, false),
        (OWNER, ADMIN_ROLE, true),
        (LOW, EVERYONE, false),
    ] {
        let answer = world.run(actor, modify(role, named())).answer;
        assert_eq!(answer.is_ok(), allowed, "{actor} {role}: {answer:?}");
        if !allowed {
            assert_eq!(answer.unwrap_err(), ChatError::MissingPermissions);
        }
    }
    assert!(
        world
            .try_as(Actor::System, modify(ADMIN_ROLE, named()))
            .answer
            .is_ok()
    );
    assert_eq!(
        world.refused(MOD, modify(Id::new(404), named())),
        ChatError::NotFound(Missing::Role)
    );
}

#[test]
fn of_everyone_only_permissions_change_and_it_stays() {
    let mut world = World::new();
    let name = RolePatch {
        name: Some("x".to_owned()),
        ..patch()
    };
    assert_eq!(
        world.refused(OWNER, modify(EVERYONE, name)),
        ChatError::Refused(Refusal::InvalidRole)
    );
    let less = RolePatch {
        permissions: Some(everyone_default() - Permissions::ADD_REACTIONS),
        ..patch()
    };
    world.ok(MOD, modify(EVERYONE, less));
    assert_eq!(
        world.refused(OWNER, Command::DeleteRole(EVERYONE)),
        ChatError::Refused(Refusal::InvalidRole)
    );
    world.state.roles.get_mut(&LOW_ROLE).unwrap().managed = true;
    assert_eq!(
        world.refused(OWNER, Command::DeleteRole(LOW_ROLE)),
        ChatError::Refused(Refusal::InvalidRole)
    );
    assert_eq!(
        world.refused(OWNER, Command::MoveRoles(vec![(EVERYONE, 2)])),
        ChatError::Refused(Refusal::InvalidRole)
    );
}

#[test]
fn a_deleted_role_is_taken_from_members_and_overwrites() {
    let mut world = World::new();
    let mut listeners = Listeners::new(&world.state);
    assert_eq!(
        world.refused(MOD, Command::DeleteRole(MOD_ROLE)),
        ChatError::MissingPermissions
    );
    let outcome = world.ok(OWNER, Command::DeleteRole(MOD_ROLE));
    listeners.take(&outcome.effects);
    listeners.check(&world.state);
    assert_eq!(order(&world), [EVERYONE, LOW_ROLE, ADMIN_ROLE]);
    assert!(world.shown(MOD).member.roles.is_empty());
    assert!(
        !outcome
            .writes()
            .any(|write| matches!(write, Write::PutMember(_))),
        "however many members had it"
    );
    let shown = world.data_of_update(MOD);
    assert_eq!(shown["roles"], serde_json::json!([]));
    // Giving another role does not trip over the one that is gone.
    world.ok(OWNER, Command::AddMemberRole(MOD, LOW_ROLE));
    assert_eq!(world.row(MOD).record.roles, [LOW_ROLE]);
    assert_eq!(world.state.channels[&SECRET].permission_overwrites.len(), 1);
    assert_eq!(
        listeners.who_got("CHANNEL_DELETE"),
        [MOD],
        "nothing else let MOD see the secret channel"
    );
    assert_eq!(listeners.who_got("GUILD_ROLE_DELETE").len(), 5);
    assert!(!listeners.who_got("CHANNEL_UPDATE").contains(&MOD));
}

#[test]
fn a_role_change_is_computed_for_those_who_listen_only() {
    let mut snapshot = snapshot();
    add_members(&mut snapshot, 1_000..3_000);
    let mut world = World::unheard(snapshot);
    let patch = RolePatch {
        permissions: Some(Permissions::empty()),
        ..RolePatch::default()
    };
    let hide = |world: &mut World| {
        let outcome = world.ok(
            OWNER,
            Command::ModifyRole(EVERYONE, Box::new(patch.clone())),
        );
        outcome.viewers()
    };
    let listening = [BOB, model::Id::new(1_500), STRANGER];
    let coming = listening.map(|user| world.state.listeners.expect(user));
    assert_eq!(
        hide(&mut world),
        [BOB, model::Id::new(1_500)],
        "of 2,005 members, two listen"
    );
    world.everyone_may(everyone_default());
    drop(coming);
    assert!(hide(&mut world).is_empty());
    assert!(
        world.state.views().is_empty(),
        "nor are views made for a relay"
    );
}

#[test]
fn moving_roles() {
    let mut world = World::new();
    let Ok(Answer::Role(new)) = world.ok(OWNER, create(patch())).answer else {
        panic!()
    };
    // 0 everyone, 1 new, 2 low, 3 moderator, 4 administrator.
    let moves = |list: &[(RoleId, u32)]| Command::MoveRoles(list.to_vec());
    let outcome = world.ok(MOD, moves(&[(new.id, 2)]));
    assert_eq!(
        order(&world),
        [EVERYONE, LOW_ROLE, new.id, MOD_ROLE, ADMIN_ROLE]
    );
    assert_eq!(outcome.events(), ["GUILD_ROLE_UPDATE", "GUILD_ROLE_UPDATE"]);
    world.ok(MOD, moves(&[(new.id, 1)]));
    assert_eq!(
        order(&world),
        [EVERYONE, new.id, LOW_ROLE, MOD_ROLE, ADMIN_ROLE]
    );
    for beyond in [
        [(new.id, 3)],
        [(new.id, 4)],
        [(MOD_ROLE, 1)],
        [(ADMIN_ROLE, 1)],
    ] {
        assert_eq!(
            world.refused(MOD, moves(&beyond)),
            ChatError::MissingPermissions,
            "{beyond:?}"
        );
    }
    // A full renumbering, as libraries send it.
    world.ok(
        OWNER,
        moves(&[(new.id, 4), (LOW_ROLE, 1), (MOD_ROLE, 2), (ADMIN_ROLE, 3)]),
    );
    assert_eq!(
        order(&world),
        [EVERYONE, LOW_ROLE, MOD_ROLE, ADMIN_ROLE, new.id]
    );
    assert!(world.ok(OWNER, moves(&[(new.id, 4)])).effects.is_empty());
}

#[test]
fn there_is_room_for_250_roles() {
    let mut world = World::new();
    for _ in 4..250 {
        world.ok(OWNER, create(patch()));
    }
    assert_eq!(
        world.refused(OWNER, create(patch())),
        ChatError::Refused(Refusal::RolesMax)
    );
}

#[test]
fn a_permission_change_shows_and_hides_channels() {
    let mut world = World::new();
    let mut listeners = Listeners::new(&world.state);
    let see = RolePatch {
        permissions: Some(Permissions::ADMINISTRATOR),
        ..patch()
    };
    let outcome = world.ok(OWNER, modify(LOW_ROLE, see));
    listeners.take(&outcome.effects);
    listeners.check(&world.state);
    assert_eq!(listeners.who_got("CHANNEL_CREATE"), [LOW]);
    let hide = RolePatch {
        permissions: Some(Permissions::empty()),
        ..patch()
    };
    let outcome = world.ok(OWNER, modify(LOW_ROLE, hide));
    listeners.take(&outcome.effects);
    listeners.check(&world.state);
    assert_eq!(listeners.who_got("CHANNEL_DELETE"), [LOW]);
}
