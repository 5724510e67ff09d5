//! Twins about links.

use otp::{ExitReason, ServerRef};

use crate::oracle::actor::{self, Actor, within};
use crate::oracle::stage::Stage;
use crate::oracle::trace::{boom, say};
use crate::oracle::{Scenario, scenario};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("link_to_a_dead_process_trapping", |stage| {
            link_dead(stage, true)
        }),
        scenario("link_to_a_dead_process_plain", |stage| {
            link_dead(stage, false)
        }),
        scenario("link_twice_gives_one_exit", |mut stage| async move {
            let peer = stage.worker("peer").await;
            stage.driver.link(peer.pid()).await;
            stage.driver.link(peer.pid()).await;
            actor::stop(&peer, boom());
            stage.driver.exit_of(peer.pid()).await;
            stage.nothing().await;
        }),
        scenario("link_from_both_sides_is_one_link", |mut stage| async move {
            let peer = stage.worker("peer").await;
            let me = stage.driver.pid();
            stage.driver.link(peer.pid()).await;
            within(&peer, move |ctx| ctx.link(me)).await;
            actor::stop(&peer, boom());
            stage.driver.exit_of(peer.pid()).await;
            stage.nothing().await;
        }),
        scenario(
            "unlink_after_two_links_removes_both",
            |mut stage| async move {
                let (peer, monitor) = stage.watched("peer", false).await;
                stage.driver.link(peer.pid()).await;
                stage.driver.link(peer.pid()).await;
                stage.driver.unlink(peer.pid()).await;
                actor::stop(&peer, boom());
                stage.driver.down(monitor).await;
                stage.nothing().await;
            },
        ),
        scenario("link_to_self_is_nothing", |mut stage| async move {
            let (target, monitor) = stage.watched("target", true).await;
            within(&target, |ctx| ctx.link(ctx.pid())).await;
            let links = stage.info(target.pid()).unwrap().links.len();
            say!(stage.trace, "links", links);
            actor::stop(&target, boom());
            stage.driver.down(monitor).await;
            stage.nothing().await;
        }),
        scenario("unlink_stops_the_exit", |mut stage| async move {
            let (peer, monitor) = stage.watched("peer", false).await;
            stage.driver.link(peer.pid()).await;
            stage.driver.unlink(peer.pid()).await;
            actor::stop(&peer, boom());
            stage.driver.down(monitor).await;
            stage.nothing().await;
        }),
        scenario("unlink_by_the_other_side", |mut stage| async move {
            let (peer, monitor) = stage.watched("peer", false).await;
            let me = stage.driver.pid();
            stage.driver.link(peer.pid()).await;
            within(&peer, move |ctx| ctx.unlink(me)).await;
            actor::stop(&peer, boom());
            stage.driver.down(monitor).await;
            stage.nothing().await;
        }),
        scenario("unlink_of_a_stranger_is_nothing", |mut stage| async move {
            let (peer, monitor) = stage.watched("peer", false).await;
            stage.driver.unlink(peer.pid()).await;
            stage.alive_or_down(&peer, monitor).await;
            stage.nothing().await;
        }),
        scenario("link_again_after_unlink", |mut stage| async move {
            let peer = stage.worker("peer").await;
            stage.driver.link(peer.pid()).await;
            stage.driver.unlink(peer.pid()).await;
            stage.driver.link(peer.pid()).await;
            actor::stop(&peer, boom());
            stage.driver.exit_of(peer.pid()).await;
            stage.nothing().await;
        }),
        scenario("links_are_seen_on_both_sides", |stage| async move {
            let (a, b) = (stage.worker("a").await, stage.worker("b").await);
            let (at_a, at_b) = (a.pid(), b.pid());
            within(&a, move |ctx| ctx.link(at_b)).await;
            say!(stage.trace, "a", "links", stage.links(at_a, at_b));
            say!(stage.trace, "b", "links", stage.links(at_b, at_a));
            within(&b, move |ctx| ctx.unlink(at_a)).await;
            stage.unlinked(at_a, at_b).await;
            say!(stage.trace, "a", "links", stage.links(at_a, at_b));
            say!(stage.trace, "b", "links", stage.links(at_b, at_a));
        }),
        scenario("a_link_works_both_ways_first_ends", |stage| {
            both_ways(stage, true)
        }),
        scenario("a_link_works_both_ways_second_ends", |stage| {
            both_ways(stage, false)
        }),
        scenario("a_chain_stops_at_one_that_traps", |mut stage| async move {
            let first = stage.worker("first").await;
            let (middle, middle_monitor) = stage.watched("middle", true).await;
            let (last, last_monitor) = stage.watched("last", false).await;
            link_two(&middle, &first, &last).await;
            actor::stop(&first, boom());
            stage.trace.wait("info middle", 1).await;
            stage.alive_or_down(&middle, middle_monitor).await;
            stage.alive_or_down(&last, last_monitor).await;
            stage.nothing().await;
        }),
        scenario("a_chain_stops_at_a_normal_end", |mut stage| async move {
            let first = stage.worker("first").await;
            let (middle, middle_monitor) = stage.watched("middle", false).await;
            let (last, last_monitor) = stage.watched("last", false).await;
            link_two(&middle, &first, &last).await;
            actor::stop(&first, ExitReason::Normal);
            stage.unlinked(middle.pid(), first.pid()).await;
            stage.alive_or_down(&middle, middle_monitor).await;
            stage.alive_or_down(&last, last_monitor).await;
            stage.nothing().await;
        }),
        scenario("trap_exit_may_be_switched_on_later", |stage| {
            switched(stage, false)
        }),
        scenario("trap_exit_may_be_switched_off_later", |stage| {
            switched(stage, true)
        }),
    ]
}

async fn link_two(middle: &ServerRef<Actor>, one: &ServerRef<Actor>, two: &ServerRef<Actor>) {
    let (one, two) = (one.pid(), two.pid());
    within(middle, move |ctx| {
        ctx.link(one);
        ctx.link(two);
    })
    .await;
}

async fn link_dead(mut stage: Stage, trap: bool) {
    let (dead, monitor) = stage.watched("dead", false).await;
    actor::stop(&dead, boom());
    stage.driver.down(monitor).await;
    let (target, monitor) = stage.watched("target", trap).await;
    let pid = dead.pid();
    within(&target, move |ctx| ctx.link(pid)).await;
    stage.alive_or_down(&target, monitor).await;
    stage.nothing().await;
}

async fn both_ways(mut stage: Stage, first_ends: bool) {
    let (a, monitor_a) = stage.watched("a", false).await;
    let (b, monitor_b) = stage.watched("b", false).await;
    let pid = b.pid();
    within(&a, move |ctx| ctx.link(pid)).await;
    actor::stop(if first_ends { &a } else { &b }, boom());
    stage.driver.down(monitor_a).await;
    stage.driver.down(monitor_b).await;
    stage.nothing().await;
}

async fn switched(mut stage: Stage, before: bool) {
    let (target, monitor) = stage.watched("target", before).await;
    let was = within(&target, move |ctx| ctx.trap_exit(!before)).await;
    say!(stage.trace, "was", was);
    stage.driver.exit(target.pid(), boom()).await;
    stage.alive_or_down(&target, monitor).await;
    stage.nothing().await;
}
