//! Rules of presence: who is there, and what the others are told.

use model::UserId;
use model::presence::{ClientStatus, Presence, Status};

use super::{Effect, GuildState, Turn};

/// A member's presence as others see it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shown {
    pub(super) presence: Presence,
    pub(super) client_status: ClientStatus,
}

impl GuildState {
    pub(super) fn set_presence(
        &mut self,
        turn: &mut Turn<'_>,
        user: UserId,
        presence: Option<Presence>,
        client_status: ClientStatus,
    ) {
        if !self.members.contains_key(&user) {
            return;
        }
        let shown = presence.and_then(shown).map(|presence| Shown {
            presence,
            client_status,
        });
        if self.presences.get(&user) == shown.as_ref() {
            return;
        }
        turn.publish(self.presence_update(user, shown.as_ref()));
        turn.effects.push(Effect::Seen(user));
        match shown {
            Some(shown) => drop(self.presences.insert(user, shown)),
            None => drop(self.presences.remove(&user)),
        }
    }
}

/// A presence as others see it; `None` = offline.
pub(crate) fn shown(presence: Presence) -> Option<Presence> {
    let status = presence.status.shown();
    (status != Status::Offline).then_some(Presence { status, ..presence })
}
