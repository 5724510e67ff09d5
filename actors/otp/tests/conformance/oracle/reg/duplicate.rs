//! What holds for duplicate keys.

use otp::registry::{DispatchError, UpdateError};
use otp::{Options, StartError};

use super::{Play, Story};
use crate::oracle::actor::{Actor, oops};
use crate::oracle::stories;
use crate::oracle::trace::{How, Word, boom, say};

pub(super) const STORIES: &[Story] = &stories!(Play:
    two_processes_under_one_key,
    one_process_twice_under_one_key,
    unregister_takes_all_of_the_caller,
    unregister_match_takes_the_callers_only,
    the_end_of_one_spares_the_others,
    dispatch_to_all,
    dispatch_that_crashes_crashes_the_caller_only,
    update_value_is_refused,
    a_name_is_refused,
);

async fn two_processes_under_one_key(play: &mut Play) {
    let one = play.stage.worker("one").await;
    let two = play.stage.worker("two").await;
    play.register(&one, "a", 1).await;
    play.register(&two, "a", 2).await;
    play.lookup("a");
    play.counted();
}

async fn one_process_twice_under_one_key(play: &mut Play) {
    let owner = play.stage.worker("owner").await;
    play.register(&owner, "a", 1).await;
    play.register(&owner, "a", 2).await;
    play.lookup("a");
    play.counted();
    let keys = play.names.by(&owner).keys().unwrap();
    play.list(&["keys"], keys.into_iter().map(Word::from));
}

async fn unregister_takes_all_of_the_caller(play: &mut Play) {
    let one = play.stage.worker("one").await;
    let two = play.stage.worker("two").await;
    for (owner, value) in [(&one, 1), (&one, 2), (&two, 3)] {
        play.register(owner, "a", value).await;
    }
    play.unregister(&one, "a").await;
    play.lookup("a");
    play.counted();
}

async fn unregister_match_takes_the_callers_only(play: &mut Play) {
    let one = play.stage.worker("one").await;
    let two = play.stage.worker("two").await;
    for (owner, value) in [(&one, 1), (&one, 2), (&two, 1)] {
        play.register(owner, "a", value).await;
    }
    let taken = play.by(&one, |by| by.unregister_match(&"a", |value| *value == 1));
    taken.await.unwrap();
    for owner in [one, two] {
        let values = play.names.by(&owner).values(&"a").unwrap();
        let words = values.into_iter().map(Word::from);
        play.list(
            &["values"],
            [Word::from(owner.pid())].into_iter().chain(words),
        );
    }
    play.counted();
}

async fn the_end_of_one_spares_the_others(play: &mut Play) {
    let one = play.stage.worker("one").await;
    let two = play.stage.worker("two").await;
    play.register(&one, "a", 1).await;
    play.register(&two, "a", 2).await;
    play.ended(&one, &How::Stop(boom())).await;
    play.holds(1).await;
    play.lookup("a");
}

/// The value of an entry which was dispatched to.
struct Dispatched(i64);

async fn dispatch_to_all(play: &mut Play) {
    for (label, value) in [("one", 1), ("two", 2), ("three", 3)] {
        let owner = play.stage.worker(label).await;
        play.register(&owner, "a", value).await;
    }
    let me = play.stage.driver.pid();
    let outcome = play.names.dispatch(&"a", |entries| {
        for (_, value) in entries {
            play.stage.node.send(me, Box::new(Dispatched(*value)));
        }
    });
    outcome.unwrap();
    let mut values = Vec::new();
    for _ in 0..3 {
        let Dispatched(value) = play.stage.driver.receive().await;
        values.push(value);
    }
    values.sort_unstable();
    play.list(&["dispatched"], values.into_iter().map(Word::from));
}

async fn dispatch_that_crashes_crashes_the_caller_only(play: &mut Play) {
    let owner = play.stage.worker("owner").await;
    play.register(&owner, "a", 1).await;
    match play.names.dispatch(&"a", |_| oops()) {
        Err(DispatchError::Crashed(reason)) => say!(play.stage.trace, "dispatch", &reason),
        other => say!(play.stage.trace, "dispatch", format!("{other:?}")),
    }
    play.lookup("a");
}

async fn update_value_is_refused(play: &mut Play) {
    let driver = play.names.by(play.stage.driver.pid());
    match driver.update_value(&"a", |value| *value) {
        Err(UpdateError::DuplicateKeys) => say!(play.stage.trace, "update", "refused"),
        other => say!(play.stage.trace, "update", format!("{other:?}")),
    }
}

async fn a_name_is_refused(play: &mut Play) {
    let options = Options::new().register_in(&play.names, "a");
    let plan = play.stage.plan("named");
    match otp::start::<Actor>(&play.stage.node, plan, options).await {
        Err(StartError::Failed(_)) => say!(play.stage.trace, "start", "refused"),
        other => say!(play.stage.trace, "start", format!("{other:?}")),
    }
}
