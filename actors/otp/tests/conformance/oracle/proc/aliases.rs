//! Twins about aliases that are tied to a monitor.

use otp::{Alias, AliasMode};

use crate::oracle::actor;
use crate::oracle::stage::Stage;
use crate::oracle::trace::{boom, say};
use crate::oracle::{Scenario, scenario};

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut list = Vec::new();
    for (name, mode) in [
        ("explicit_unalias", AliasMode::Explicit),
        ("demonitor", AliasMode::Demonitor),
        ("reply_demonitor", AliasMode::ReplyDemonitor),
    ] {
        for event in ["demonitored", "down", "reply", "unalias"] {
            list.push(scenario(format!("alias_{name}_{event}"), move |stage| {
                alias(stage, mode, event)
            }));
        }
    }
    list
}

/// Sends to the alias, and says what arrives.
async fn send(stage: &mut Stage, alias: Alias, text: &'static str) {
    stage.node.send_alias(alias, Box::new(text));
    let arrived = stage.driver.received::<&'static str>().await;
    say!(stage.trace, "message", arrived.unwrap_or("none"));
}

async fn alias(mut stage: Stage, mode: AliasMode, event: &'static str) {
    let target = stage.worker("target").await;
    let pid = target.pid();
    let made = stage.driver.run(move |ctx| ctx.monitor_alias(pid, mode));
    let (monitor, alias) = made.await;
    match event {
        "demonitored" => {
            stage.driver.demonitor(monitor, false).await;
        }
        "down" => {
            actor::stop(&target, boom());
            stage.driver.down(monitor).await;
        }
        "reply" => send(&mut stage, alias, "first").await,
        _ => {
            let active = stage.driver.run(move |ctx| ctx.unalias(alias)).await;
            say!(stage.trace, "unalias", active);
        }
    }
    send(&mut stage, alias, "second").await;
    if event != "down" {
        let watching = stage.driver.demonitor(monitor, false).await;
        say!(stage.trace, "demonitor", watching);
    }
    stage.nothing().await;
}
