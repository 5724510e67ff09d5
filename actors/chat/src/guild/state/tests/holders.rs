//! Who has which role, of those who listen: what is kept up by changes is what a look at everybody
//! would find.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::event::{Encoded, Passive};
use model::user::User;
use model::{Id, RoleId, UserId};
use proptest::collection::vec;
use proptest::prelude::*;

use super::fixture::*;
use crate::guild::command::{Actor, Command, MemberPatch};
use crate::guild::state::{GuildState, HOLDERS_PRUNE_FROM};
use crate::relay::Coming;

/// Sessions of passive people, some of a user that has others.
type Sessions = Vec<Arc<Coming>>;

fn begins(state: &mut GuildState, user: UserId, sessions: &mut Sessions) {
    sessions.push(state.listeners.expect(user));
    state.listens(user);
}

/// Those with a role among all who listen.
fn scanned(state: &GuildState, role: RoleId) -> BTreeSet<UserId> {
    let has = |user: &UserId| {
        let row = state.members.get(user);
        row.is_some_and(|row| row.record.roles.contains(&role))
    };
    state.listeners.users().into_iter().filter(has).collect()
}

fn kept(state: &GuildState, role: RoleId) -> BTreeSet<UserId> {
    let there: BTreeSet<UserId> = state.listeners.users().into_iter().collect();
    let holders = state.holders.of(role).unwrap_or_default();
    holders
        .iter()
        .filter(|user| there.contains(user))
        .copied()
        .collect()
}

fn check(state: &GuildState, after: &str) {
    for role in state.roles.keys() {
        assert_eq!(
            kept(state, *role),
            scanned(state, *role),
            "{role} after {after}"
        );
    }
}

/// A step: what, of whom, with which role.
type Step = (u8, u8, u8);

fn run(steps: &[Step]) {
    let mut world = World::unheard(snapshot());
    let (mut sessions, mut gone) = (Sessions::new(), Vec::new());
    for (what, who, which) in steps.iter().copied() {
        let state = &mut world.state;
        let left = |role: &RoleId| state.holders.of(*role).is_some();
        assert!(!gone.iter().any(left), "a role that is gone has a place");
        let user: UserId = Id::new([11, 12, 13, 14, 98, 99][usize::from(who) % 6]);
        let roles: Vec<RoleId> = state.roles.keys().copied().collect();
        let role = roles[usize::from(which) % roles.len()];
        let command = match what {
            0..=2 => {
                begins(state, user, &mut sessions);
                check(state, "a session that begins");
                continue;
            }
            3 => {
                if !sessions.is_empty() {
                    sessions.swap_remove(usize::from(which) % sessions.len());
                }
                check(state, "a session that ends");
                continue;
            }
            4 | 5 => Command::AddMember(Box::new(User::new(user, "user", false))),
            6 => Command::Kick(user),
            7 => Command::CreateRole(Box::default()),
            8 if role != EVERYONE => {
                gone.push(role);
                Command::DeleteRole(role)
            }
            9..=11 => Command::AddMemberRole(user, role),
            12 => Command::RemoveMemberRole(user, role),
            _ => {
                let roles = roles.into_iter().skip(usize::from(which) % 3);
                Command::ModifyMember(
                    user,
                    Box::new(MemberPatch {
                        roles: Some(roles.collect()),
                        ..MemberPatch::default()
                    }),
                )
            }
        };
        let name = command.name();
        // Some are refused, and change nothing.
        let _ = world.try_as(Actor::System, command);
        check(&world.state, name);
    }
    // What a load counts is what was kept up.
    world.state.count_holders();
    check(&world.state, "a load");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_changes_keeps_it_true(steps in vec((0..15_u8, any::<u8>(), any::<u8>()), 1..80)) {
        run(&steps);
    }
}

#[test]
fn who_listens_no_more_is_forgotten_in_time() {
    let (mut snapshot, all) = (snapshot(), 1_000..6_000);
    add_members(&mut snapshot, all.clone());
    for (record, _) in &mut snapshot.members {
        record.roles = vec![LOW_ROLE];
    }
    let mut world = World::unheard(snapshot);
    let mut sessions = Sessions::new();
    for id in all {
        begins(&mut world.state, Id::new(id), &mut sessions);
        // Most stay for a short time.
        if sessions.len() > 100 {
            sessions.swap_remove(0);
        }
        let most = HOLDERS_PRUNE_FROM + 2 * world.state.listeners.len();
        let holders = world.state.holders.of(LOW_ROLE).unwrap_or_default();
        assert!(holders.len() <= most, "{} of {most}", holders.len());
    }
    check(&world.state, "all of them");
    assert_eq!(kept(&world.state, LOW_ROLE).len(), 100);
}

fn reached(event: &Encoded) -> BTreeSet<UserId> {
    match &event.passive {
        Passive::Users(named) => named.iter().copied().collect(),
        Passive::All => panic!("it is for all"),
    }
}

#[test]
fn a_message_that_mentions_roles_is_for_those_who_have_one_then() {
    let mut world = World::unheard(snapshot());
    let mut sessions = Sessions::new();
    for user in [MOD, LOW, BOB] {
        begins(&mut world.state, user, &mut sessions);
    }
    let text = format!("<@&{LOW_ROLE}> and <@&{MOD_ROLE}>");
    let outcome = world.post(OWNER, GENERAL, &text);
    let first = outcome.published().next().cloned().unwrap();
    assert_eq!(reached(&first), [OWNER, MOD, LOW].into());
    world.ok(OWNER, Command::RemoveMemberRole(MOD, MOD_ROLE));
    world.ok(OWNER, Command::AddMemberRole(BOB, LOW_ROLE));
    let outcome = world.post(OWNER, GENERAL, &text);
    let second = outcome.published().next().cloned().unwrap();
    assert_eq!(reached(&second), [OWNER, LOW, BOB].into());
    assert_eq!(reached(&first), [OWNER, MOD, LOW].into(), "it was sent");
    assert!(first.reaches_passive(MOD) && !second.reaches_passive(MOD));
    let outcome = world.post(OWNER, GENERAL, "nobody");
    assert_eq!(reached(outcome.published().next().unwrap()), [OWNER].into());
}
