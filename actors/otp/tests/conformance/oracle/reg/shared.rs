//! What holds for unique and for duplicate keys.

use otp::{ExitReason, SupervisorRef};

use super::{Play, Story};
use crate::oracle::family::PERIOD;
use crate::oracle::stories;
use crate::oracle::trace::{How, Word, boom, say};

pub(super) const STORIES: &[Story] = &stories!(Play:
    register_and_lookup,
    empty,
    count,
    keys_of_a_process,
    unregister,
    unregister_of_what_is_not_there,
    unregister_by_another_process_is_nothing,
    unregister_keeps_other_keys,
    unregister_and_register_again,
    values_of_a_key,
    match_of_values,
    count_match_of_values,
    unregister_match_takes_what_matches,
    select_all,
    select_by_value,
    dispatch_to_nobody,
    dispatch_to_one,
    metadata,
    end_of_the_registry_frees_its_name,
);

pub(super) fn ends() -> [(&'static str, How); 4] {
    [
        ("normal", How::Stop(ExitReason::Normal)),
        ("custom", How::Stop(boom())),
        ("killed", How::Signal(ExitReason::Kill)),
        ("crash", How::Crash),
    ]
}

pub(super) async fn entries_of_an_owner_that_ended(play: &mut Play, how: How) {
    let owner = play.stage.worker("owner").await;
    play.register(&owner, "a", 1).await;
    play.register(&owner, "b", 2).await;
    play.ended(&owner, &how).await;
    play.holds(0).await;
    play.lookup("a");
    play.lookup("b");
    play.counted();
}

async fn register_and_lookup(play: &mut Play) {
    let owner = play.stage.worker("owner").await;
    play.register(&owner, "a", 1).await;
    play.lookup("a");
    play.lookup("b");
}

async fn empty(play: &mut Play) {
    play.lookup("a");
    play.counted();
    let keys = play.names.by(play.stage.driver.pid()).keys().unwrap();
    say!(play.stage.trace, "keys", keys.len());
}

async fn count(play: &mut Play) {
    let one = play.stage.worker("one").await;
    let two = play.stage.worker("two").await;
    for (owner, key, value) in [(&one, "a", 1), (&one, "b", 2), (&two, "c", 3)] {
        play.register(owner, key, value).await;
        play.counted();
    }
}

async fn keys_of_a_process(play: &mut Play) {
    let one = play.stage.worker("one").await;
    let two = play.stage.worker("two").await;
    for (owner, key, value) in [(&one, "a", 1), (&one, "b", 2), (&two, "c", 3)] {
        play.register(owner, key, value).await;
    }
    for owner in [one, two] {
        let mut keys = play.names.by(&owner).keys().unwrap();
        keys.sort_unstable();
        play.list(&["keys"], keys.into_iter().map(Word::from));
    }
}

async fn unregister(play: &mut Play) {
    let owner = play.stage.worker("owner").await;
    play.register(&owner, "a", 1).await;
    tell_unregister(play, play.by(&owner, |by| by.unregister(&"a")).await);
    play.lookup("a");
    play.counted();
}

async fn unregister_of_what_is_not_there(play: &mut Play) {
    let owner = play.stage.worker("owner").await;
    tell_unregister(play, play.by(&owner, |by| by.unregister(&"a")).await);
    play.counted();
}

async fn unregister_by_another_process_is_nothing(play: &mut Play) {
    let owner = play.stage.worker("owner").await;
    play.register(&owner, "a", 1).await;
    let stranger = play.stage.driver.pid();
    tell_unregister(play, play.names.by(stranger).unregister(&"a"));
    play.lookup("a");
}

fn tell_unregister(play: &Play, outcome: Result<(), otp::registry::UnknownRegistry>) {
    match outcome {
        Ok(()) => say!(play.stage.trace, "unregister", "ok"),
        Err(error) => say!(play.stage.trace, "unregister", error.to_string()),
    }
}

async fn unregister_keeps_other_keys(play: &mut Play) {
    let owner = play.stage.worker("owner").await;
    play.register(&owner, "a", 1).await;
    play.register(&owner, "b", 2).await;
    play.unregister(&owner, "a").await;
    play.lookup("b");
    play.counted();
}

async fn unregister_and_register_again(play: &mut Play) {
    let owner = play.stage.worker("owner").await;
    play.register(&owner, "a", 1).await;
    play.unregister(&owner, "a").await;
    play.register(&owner, "a", 2).await;
    play.lookup("a");
}

async fn values_of_a_key(play: &mut Play) {
    let one = play.stage.worker("one").await;
    let two = play.stage.worker("two").await;
    play.register(&one, "a", 1).await;
    for (owner, key) in [(&one, "a"), (&two, "a"), (&one, "b")] {
        let values = play.names.by(owner).values(&key).unwrap();
        play.list(&["values"], values.into_iter().map(Word::from));
    }
}

async fn match_of_values(play: &mut Play) {
    let owner = play.stage.worker("owner").await;
    play.register(&owner, "a", 1).await;
    play.register(&owner, "b", 2).await;
    for (key, value) in [("a", 1), ("a", 2), ("b", 2), ("c", 1_i64)] {
        let found = play.names.match_values(&key, |one| *one == value);
        let found = found.unwrap().len();
        say!(play.stage.trace, "match", key, value, found);
    }
}

async fn count_match_of_values(play: &mut Play) {
    let owner = play.stage.worker("owner").await;
    play.register(&owner, "a", 1).await;
    for (key, value) in [("a", 1), ("a", 2), ("c", 1_i64)] {
        let found = play.names.count_match(&key, |one| *one == value);
        say!(play.stage.trace, "count_match", key, value, found.unwrap());
    }
}

async fn unregister_match_takes_what_matches(play: &mut Play) {
    let owner = play.stage.worker("owner").await;
    play.register(&owner, "a", 1).await;
    for value in [2, 1] {
        let taken = play.by(&owner, move |by| {
            by.unregister_match(&"a", |one| *one == value)
        });
        taken.await.unwrap();
        play.lookup("a");
    }
}

async fn two_entries(play: &Play) {
    let one = play.stage.worker("one").await;
    let two = play.stage.worker("two").await;
    play.register(&one, "a", 1).await;
    play.register(&two, "b", 2).await;
}

async fn select_all(play: &mut Play) {
    two_entries(play).await;
    let all = play
        .names
        .select(|key, pid, value| Some((*key, pid, *value)));
    let mut all = all.unwrap();
    all.sort_unstable();
    for (key, pid, value) in all {
        say!(play.stage.trace, "entry", key, pid, value);
    }
}

async fn select_by_value(play: &mut Play) {
    two_entries(play).await;
    let keys = play
        .names
        .select(|key, _, value| (*value > 1).then_some(*key));
    for key in keys.unwrap() {
        say!(play.stage.trace, "key", key);
    }
    let count = play.names.count_select(|_, _, value| *value > 1);
    say!(play.stage.trace, "count_select", count.unwrap());
}

async fn dispatch_to_nobody(play: &mut Play) {
    let outcome = play.names.dispatch(&"a", |_| {
        say!(play.stage.trace, "called");
    });
    outcome.unwrap();
    say!(play.stage.trace, "dispatch", "ok");
}

async fn dispatch_to_one(play: &mut Play) {
    let owner = play.stage.worker("owner").await;
    play.register(&owner, "a", 1).await;
    let outcome = play.names.dispatch(&"a", |entries| {
        for (pid, value) in entries {
            say!(play.stage.trace, "called", *pid, *value);
        }
    });
    outcome.unwrap();
    say!(play.stage.trace, "dispatch", "ok");
}

async fn metadata(play: &mut Play) {
    let names = &play.names;
    let meta = || names.meta::<&'static str>("k").unwrap();
    say!(play.stage.trace, "meta", meta().is_none());
    for value in ["v1", "v2"] {
        names.put_meta("k", value).unwrap();
        say!(play.stage.trace, "meta", *meta().unwrap());
    }
    names.delete_meta("k").unwrap();
    say!(play.stage.trace, "meta", meta().is_none());
}

async fn end_of_the_registry_frees_its_name(play: &mut Play) {
    let registry = SupervisorRef::whereis(&play.stage.node, "reg").unwrap();
    let monitor = play.stage.driver.watch(registry.pid()).await;
    play.stage.driver.unlink(registry.pid()).await;
    registry.stop(ExitReason::Normal, PERIOD).await.unwrap();
    play.stage.driver.down(monitor).await;
    play.stage.whereis("reg");
}
