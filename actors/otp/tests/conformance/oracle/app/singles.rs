//! Twins which are alone of their kind.

use std::sync::Arc;

use otp::{StartType, SupervisorRef, task};

use super::{Failure, Plan, Play, Story};
use crate::oracle::actor;
use crate::oracle::stories;
use crate::oracle::trace::{boom, say};

pub(super) const STORIES: &[Story] = &stories!(Play:
    ensure_started,
    ensure_started_twice,
    start_twice_is_an_error,
    start_without_what_it_needs_is_an_error,
    start_with_what_it_needs,
    ensure_all_started_in_order,
    ensure_all_started_twice,
    ensure_all_started_starts_what_is_missing,
    ensure_all_started_that_fails_stops_what_it_started,
    ensure_all_started_that_fails_keeps_what_ran_before,
    stop_calls_prep_stop_and_stop_around_the_tree,
    stop_twice_is_an_error,
    start_again_after_stop,
    stop_spares_what_it_needs,
    stop_spares_what_needs_it,
    phases_run_in_order_after_the_tree,
    many_start_it_at_once_once,
    the_environment,
    children_stop_in_reverse_over_the_whole_tree,
    too_many_restarts_end_a_temporary_application,
);

/// Applications of which each needs the one before, without children.
async fn load_chain(play: &Play, names: &[&'static str]) {
    for name in names {
        let needs: &[&'static str] = match *name {
            "b" => &["a"],
            "c" => &["b"],
            _ => &[],
        };
        play.load(name, Plan::needs(needs)).await;
    }
}

async fn ensure_started(play: &mut Play) {
    load_chain(play, &["a"]).await;
    play.ensure_started("a").await;
    play.running().await;
}

async fn ensure_started_twice(play: &mut Play) {
    load_chain(play, &["a"]).await;
    play.ensure_started("a").await;
    play.ensure_started("a").await;
    play.running().await;
}

async fn start_twice_is_an_error(play: &mut Play) {
    load_chain(play, &["a"]).await;
    play.start("a").await;
    play.start("a").await;
}

async fn start_without_what_it_needs_is_an_error(play: &mut Play) {
    load_chain(play, &["a", "b"]).await;
    play.start("b").await;
    play.running().await;
}

async fn start_with_what_it_needs(play: &mut Play) {
    load_chain(play, &["a", "b"]).await;
    play.ensure_started("a").await;
    play.ensure_started("b").await;
    play.running().await;
}

async fn ensure_all_started_in_order(play: &mut Play) {
    load_chain(play, &["a", "b", "c"]).await;
    play.all("c").await;
    play.running().await;
}

async fn ensure_all_started_twice(play: &mut Play) {
    load_chain(play, &["a", "b"]).await;
    play.all("b").await;
    play.all("b").await;
    play.running().await;
}

async fn ensure_all_started_starts_what_is_missing(play: &mut Play) {
    load_chain(play, &["a", "b"]).await;
    play.ensure_started("a").await;
    play.all("b").await;
    play.running().await;
}

/// The last of the chain fails.
async fn load_failing(play: &Play) {
    load_chain(play, &["a", "b"]).await;
    let plan = Plan {
        failure: Some(Failure::Error),
        ..Plan::needs(&["b"])
    };
    play.load("c", plan).await;
}

async fn ensure_all_started_that_fails_stops_what_it_started(play: &mut Play) {
    load_failing(play).await;
    play.all("c").await;
    play.running().await;
}

async fn ensure_all_started_that_fails_keeps_what_ran_before(play: &mut Play) {
    load_failing(play).await;
    play.ensure_started("a").await;
    play.all("c").await;
    play.running().await;
}

async fn stop_calls_prep_stop_and_stop_around_the_tree(play: &mut Play) {
    play.load("a", Plan::children(&["x", "y"])).await;
    play.ensure_started("a").await;
    play.stop("a").await;
    play.running().await;
}

async fn stop_twice_is_an_error(play: &mut Play) {
    load_chain(play, &["a"]).await;
    play.ensure_started("a").await;
    play.stop("a").await;
    play.stop("a").await;
}

async fn start_again_after_stop(play: &mut Play) {
    load_chain(play, &["a"]).await;
    play.ensure_started("a").await;
    play.stop("a").await;
    play.ensure_started("a").await;
    play.running().await;
    play.stop("a").await;
}

async fn stop_spares_what_it_needs(play: &mut Play) {
    load_chain(play, &["a", "b"]).await;
    play.all("b").await;
    play.stop("b").await;
    play.running().await;
}

async fn stop_spares_what_needs_it(play: &mut Play) {
    load_chain(play, &["a", "b"]).await;
    play.all("b").await;
    play.stop("a").await;
    play.running().await;
}

async fn phases_run_in_order_after_the_tree(play: &mut Play) {
    let plan = Plan {
        phases: &["init", "go"],
        ..Plan::children(&["x"])
    };
    play.load("a", plan).await;
    play.ensure_started("a").await;
    play.running().await;
}

async fn many_start_it_at_once_once(play: &mut Play) {
    load_chain(play, &["a"]).await;
    let mut starters = Vec::new();
    for _ in 0..8 {
        let applications = play.applications.clone();
        starters.push(task::spawn(&play.stage.node, "starter", async move {
            applications.ensure_started("a", StartType::Temporary).await
        }));
    }
    for starter in starters {
        play.tell(&["ensure_started", "a"], starter.await.unwrap());
    }
    play.running().await;
}

async fn the_environment(play: &mut Play) {
    let application = Plan::default().describe(&play.stage, "a").env("k", "v");
    let applications = &play.applications;
    applications.load(application).await.unwrap();
    let tell = || {
        let value = applications.get_env::<&'static str>("a", "k");
        say!(play.stage.trace, "get", value.unwrap_or("undefined"));
    };
    tell();
    let default = applications.get_env_or("a", "missing", "d");
    say!(play.stage.trace, "default", default);
    applications.set_env("a", "k", "w").unwrap();
    tell();
    let unset = vec![(Arc::from("k"), None)];
    applications.change_config("a", unset).await.unwrap();
    tell();
}

async fn children_stop_in_reverse_over_the_whole_tree(play: &mut Play) {
    play.load("a", Plan::children(&["x"])).await;
    let plan = Plan {
        needs: &["a"],
        ..Plan::children(&["y", "z"])
    };
    play.load("b", plan).await;
    play.all("b").await;
    play.stop("b").await;
    play.stop("a").await;
    play.running().await;
}

async fn too_many_restarts_end_a_temporary_application(play: &mut Play) {
    play.load("a", Plan::children(&["x"])).await;
    play.ensure_started("a").await;
    let top = SupervisorRef::from_pid(&play.stage.node, play.top("a")).unwrap();
    stop_child(play, &top).await;
    play.stage.trace.wait("init x", 2).await;
    stop_child(play, &top).await;
    play.ended("a").await;
    play.running().await;
}

async fn stop_child(play: &Play, top: &SupervisorRef) {
    let pid = top.child("x").await.unwrap();
    actor::stop(&play.stage.node.server_ref(pid).unwrap(), boom());
}
