//! What holds for unique keys.

use otp::registry::{UpdateError, Via};
use otp::{CallError, ExitReason, Options, ServerRef, StartError};

use super::{Owner, Play, Story};
use crate::oracle::actor::{Actor, Begin, Message, Plan};
use crate::oracle::stories;
use crate::oracle::trace::{How, boom, say};

pub(super) const STORIES: &[Story] = &stories!(Play:
    a_second_process_is_refused,
    a_second_time_is_refused,
    free_for_another_after_the_end,
    free_for_another_after_unregister,
    update_value_by_the_owner,
    update_value_by_another,
    update_value_of_what_is_not_there,
    a_name_in_the_registry,
    a_failed_start_leaves_no_name,
);

async fn two(play: &Play) -> (Owner, Owner) {
    (
        play.stage.worker("one").await,
        play.stage.worker("two").await,
    )
}

async fn a_second_process_is_refused(play: &mut Play) {
    let (one, two) = two(play).await;
    play.register(&one, "a", 1).await;
    play.register(&two, "a", 2).await;
    play.lookup("a");
    play.counted();
}

async fn a_second_time_is_refused(play: &mut Play) {
    let owner = play.stage.worker("owner").await;
    play.register(&owner, "a", 1).await;
    play.register(&owner, "a", 2).await;
    play.lookup("a");
    play.counted();
}

async fn free_for_another_after_the_end(play: &mut Play) {
    let (one, two) = two(play).await;
    play.register(&one, "a", 1).await;
    play.ended(&one, &How::Stop(boom())).await;
    play.register(&two, "a", 2).await;
    play.lookup("a");
}

async fn free_for_another_after_unregister(play: &mut Play) {
    let (one, two) = two(play).await;
    play.register(&one, "a", 1).await;
    play.unregister(&one, "a").await;
    play.register(&two, "a", 2).await;
    play.lookup("a");
    play.ended(&one, &How::Stop(ExitReason::Normal)).await;
    play.lookup("a");
}

fn tell_update(play: &Play, outcome: Result<(i64, i64), UpdateError>) {
    match outcome {
        Ok((new, old)) => say!(play.stage.trace, "update", new, old),
        Err(UpdateError::NotRegistered) => say!(play.stage.trace, "update", "error"),
        Err(error) => say!(play.stage.trace, "update", error.to_string()),
    }
}

async fn update_value_by_the_owner(play: &mut Play) {
    let owner = play.stage.worker("owner").await;
    play.register(&owner, "a", 1).await;
    let updated = play.by(&owner, |by| by.update_value(&"a", |value| value + 10));
    let updated = updated.await;
    tell_update(play, updated);
    play.lookup("a");
}

fn update_by_the_driver(play: &Play) {
    let driver = play.names.by(play.stage.driver.pid());
    tell_update(play, driver.update_value(&"a", |value| value + 10));
}

async fn update_value_by_another(play: &mut Play) {
    let owner = play.stage.worker("owner").await;
    play.register(&owner, "a", 1).await;
    update_by_the_driver(play);
    play.lookup("a");
}

async fn update_value_of_what_is_not_there(play: &mut Play) {
    update_by_the_driver(play);
}

type Name = Via<&'static str, i64>;

async fn start_named(play: &Play, plan: Plan, name: &Name) -> Result<ServerRef<Actor>, StartError> {
    otp::start(&play.stage.node, plan, Options::new().via(name)).await
}

/// Says whose the name is.
fn whereis(play: &Play, name: &Name) {
    say!(play.stage.trace, "whereis", name.whereis().unwrap());
}

fn tell_start(play: &Play, outcome: Result<ServerRef<Actor>, StartError>) {
    let trace = &play.stage.trace;
    match outcome {
        Ok(server) => say!(trace, "start", "ok", server.pid()),
        Err(StartError::AlreadyStarted(pid)) => {
            say!(trace, "start", "error", "already_started", pid);
        }
        Err(StartError::Failed(reason)) => say!(trace, "start", "failed", &reason),
        Err(error) => say!(trace, "start", error.to_string()),
    }
}

fn tell_call(play: &Play, outcome: Result<String, CallError>) {
    match outcome {
        Ok(answer) => say!(play.stage.trace, "call", answer),
        Err(error) => say!(play.stage.trace, "call", "exit", &error),
    }
}

async fn a_name_in_the_registry(play: &mut Play) {
    let name = play.names.via("a").unwrap();
    let first = start_named(play, play.stage.plan("named"), &name).await;
    let first = first.unwrap();
    whereis(play, &name);
    let second = start_named(play, play.stage.plan("second"), &name).await;
    tell_start(play, second);
    tell_call(play, name.call::<Actor, _, _>(Message::Get).await);
    play.ended(&first, &How::Stop(boom())).await;
    whereis(play, &name);
    tell_call(play, name.call::<Actor, _, _>(Message::Get).await);
}

async fn a_failed_start_leaves_no_name(play: &mut Play) {
    let name = play.names.via("a").unwrap();
    let plan = Plan {
        begin: Begin::Stop(boom()),
        ..play.stage.plan("named")
    };
    let failed = start_named(play, plan, &name).await;
    tell_start(play, failed);
    whereis(play, &name);
    play.holds(0).await;
    play.counted();
}
