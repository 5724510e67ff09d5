//! What one may see and do in a channel.

use model::channel::{Overwrite, kind as channel_kind};
use model::permissions::Permissions;

use super::fixture::*;
use crate::error::ChatError;
use crate::guild::command::{Answer, Command};

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
