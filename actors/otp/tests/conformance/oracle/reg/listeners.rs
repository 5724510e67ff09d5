//! What a listener is told: one partition, one observer.

use otp::ExitReason;
use otp::registry::{RegistryEvent, RegistryOptions};

use super::{KINDS, Owner, Play};
use crate::oracle::stage::Stage;
use crate::oracle::trace::{How, say};
use crate::oracle::{Scenario, scenario};

type Event = RegistryEvent<&'static str, i64>;

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut list = Vec::new();
    for (kind, keys) in KINDS {
        let options = RegistryOptions::new().keys(keys).listener("listener");
        let ends = [
            ("normal", Some(How::Stop(ExitReason::Normal))),
            ("killed", Some(How::Signal(ExitReason::Kill))),
            ("unregister", None),
        ];
        for (end, how) in ends {
            let options = options.clone();
            let name = format!("{kind}_listener_hears_of_{end}");
            list.push(scenario(name, move |stage| {
                hears_of(stage, options.clone(), how.clone())
            }));
        }
    }
    let refused = "unique_listener_hears_nothing_of_a_refusal";
    list.push(scenario(refused, hears_nothing));
    list
}

/// The driver is the listener.
async fn begin(stage: Stage, options: RegistryOptions) -> Play {
    let me = stage.driver.pid();
    stage.node.register("listener", me).unwrap();
    Play::with_options(stage, options).await
}

/// Registers, and says nothing of it: the listener does.
async fn register(play: &Play, owner: &Owner, value: i64) {
    // Whether it is refused is told by what the listener hears.
    let _ = play.by(owner, move |by| by.register("a", value)).await;
}

async fn hear(play: &mut Play) {
    let event: Event = play.stage.driver.receive().await;
    match event {
        RegistryEvent::Registered {
            key, pid, value, ..
        } => say!(play.stage.trace, "registered", key, pid, value),
        RegistryEvent::Unregistered { key, pid, .. } => {
            say!(play.stage.trace, "unregistered", key, pid);
        }
    }
}

async fn hears_of(stage: Stage, options: RegistryOptions, how: Option<How>) {
    let mut play = begin(stage, options).await;
    let owner = play.stage.worker("owner").await;
    register(&play, &owner, 1).await;
    hear(&mut play).await;
    match how {
        None => {
            play.unregister(&owner, "a").await;
            hear(&mut play).await;
        }
        // The end of an owner is no news; a listener has to monitor it.
        Some(how) => {
            play.stage.finish(&owner, &how).await;
            play.holds(0).await;
        }
    }
    play.stage.nothing().await;
}

async fn hears_nothing(stage: Stage) {
    let options = RegistryOptions::new().listener("listener");
    let mut play = begin(stage, options).await;
    let one = play.stage.worker("one").await;
    let two = play.stage.worker("two").await;
    register(&play, &one, 1).await;
    register(&play, &two, 2).await;
    hear(&mut play).await;
    play.stage.nothing().await;
}
