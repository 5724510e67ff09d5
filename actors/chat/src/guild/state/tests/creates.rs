//! GUILD_CREATE shared between sessions: what is made again when something happens, and what not.

use model::UserId;
use model::event::Encoded;
use model::presence::{ClientStatus, Presence, Status};

use super::fixture::{BOB, GENERAL, LOW, MOD, NOW, World, body};
use crate::guild::command::{Actor, Command};
use crate::guild::state::{SharedCreates, SnapshotWants};

/// Everybody is listed, with presences.
const EVERYBODY: SnapshotWants = SnapshotWants {
    large_threshold: 50,
    members_and_presences: true,
    newly_joined: false,
};

/// The receiver alone is.
const ALONE: SnapshotWants = SnapshotWants {
    members_and_presences: false,
    ..EVERYBODY
};

struct Creates {
    world: World,
    shared: SharedCreates,
}

impl Creates {
    fn new() -> Self {
        Self {
            world: World::new(),
            shared: SharedCreates::default(),
        }
    }

    fn make(&mut self, user: UserId, wants: SnapshotWants) -> Encoded {
        let state = &self.world.state;
        let view = state.view_of(user).unwrap();
        let made = self.shared.guild_create(state, user, &view, wants, NOW);
        made.unwrap()
    }

    fn happens(&mut self, actor: UserId, command: Command) {
        let outcome = self.world.try_as(Actor::User(actor), command);
        outcome.answer.unwrap();
        self.shared.changed(&outcome.effects);
    }
}

fn comes_online(user: UserId) -> Command {
    Command::SetPresence {
        user,
        presence: Some(Presence {
            status: Status::Online,
            ..Presence::default()
        }),
        client_status: ClientStatus::default(),
    }
}

fn is_shared(one: &Encoded, other: &Encoded) -> bool {
    one.body.as_ptr() == other.body.as_ptr()
}

#[test]
fn who_sees_the_same_is_given_the_same_memory() {
    let mut creates = Creates::new();
    let (bob, low, moderator) = (
        creates.make(BOB, EVERYBODY),
        creates.make(LOW, EVERYBODY),
        creates.make(MOD, EVERYBODY),
    );
    assert!(is_shared(&bob, &low));
    assert!(
        !is_shared(&bob, &moderator),
        "moderators see a channel more"
    );
}

#[test]
fn a_presence_voids_what_shows_presences_and_nothing_else() {
    let mut creates = Creates::new();
    let before = [EVERYBODY, ALONE].map(|wants| creates.make(BOB, wants));
    creates.happens(LOW, comes_online(LOW));
    let [everybody, alone] = [EVERYBODY, ALONE].map(|wants| creates.make(BOB, wants));
    let whole = body(&[&everybody.lead[..], &everybody.body].concat());
    assert_eq!(whole["presences"][0]["user"]["id"], LOW.to_string());
    assert!(is_shared(&alone, &before[1]));
}

#[test]
fn typing_voids_nothing() {
    let mut creates = Creates::new();
    let before = creates.make(BOB, EVERYBODY);
    creates.happens(LOW, Command::Typing { channel: GENERAL });
    assert!(is_shared(&before, &creates.make(BOB, EVERYBODY)));
}
