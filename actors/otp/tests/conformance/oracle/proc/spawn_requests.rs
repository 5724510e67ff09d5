//! Twins about processes that are started without waiting for it.

use otp::{Context, ExitReason, GenServer, Init, Next, Options, SpawnOptions};

use crate::oracle::stage::Stage;
use crate::oracle::trace::{boom, say};
use crate::oracle::{Scenario, scenario};

pub(super) fn scenarios() -> Vec<Scenario> {
    let plain = SpawnOptions::default();
    let monitor = SpawnOptions {
        monitor: true,
        ..plain
    };
    let link = SpawnOptions {
        link: true,
        ..plain
    };
    let both = SpawnOptions {
        link: true,
        ..monitor
    };
    let no_success = SpawnOptions {
        reply_success: false,
        ..monitor
    };
    let no_failure = SpawnOptions {
        reply_failure: false,
        ..monitor
    };
    let no_reply = SpawnOptions {
        reply_failure: false,
        ..no_success
    };
    [
        ("monitor_normal", monitor, ExitReason::Normal),
        ("monitor_custom", monitor, boom()),
        ("link_normal", link, ExitReason::Normal),
        ("link_custom", link, boom()),
        ("monitor_link_custom", both, boom()),
        ("no_reply", no_reply, boom()),
        ("reply_error_only", no_success, boom()),
        ("reply_success_only", no_failure, boom()),
    ]
    .into_iter()
    .map(|(name, how, reason)| {
        scenario(format!("spawn_request_{name}"), move |stage| {
            asynchronous(stage, how, reason.clone())
        })
    })
    .collect()
}

/// A process which ends at once.
struct Brief(ExitReason);

impl GenServer for Brief {
    type Args = ExitReason;
    type Message = ();

    async fn init(reason: ExitReason, _ctx: &mut Context<Brief>) -> Init<Brief> {
        Init::Continue(Brief(reason), ())
    }

    async fn handle(&mut self, (): (), _ctx: &mut Context<Brief>) -> Next<Brief> {
        Next::Stop(self.0.clone())
    }
}

async fn asynchronous(mut stage: Stage, how: SpawnOptions, reason: ExitReason) {
    let node = stage.node.clone();
    let requested = stage
        .driver
        .run(move |ctx| ctx.spawn_request::<Brief>(&node, reason, Options::new(), how));
    let (request, monitor) = requested.await;
    let mut started = None;
    if how.reply_success {
        match stage.driver.spawned(request).await {
            Ok(pid) => {
                say!(stage.trace, "spawn_reply", "ok", pid);
                started = Some(pid);
            }
            Err(error) => say!(stage.trace, "spawn_reply", error.to_string()),
        }
    }
    if let (true, Some(pid)) = (how.link, started) {
        stage.driver.exit_of(pid).await;
    }
    if let Some(monitor) = monitor {
        let (pid, reason) = stage.driver.end_of(monitor).await;
        say!(stage.trace, "down", pid, &reason);
    }
    stage.nothing().await;
}
