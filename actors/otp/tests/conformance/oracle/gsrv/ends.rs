//! Twins about the ways a server comes to its end.

use otp::{DEFAULT_CALL_TIMEOUT, ExitReason, Next};

use super::{call_then_down, stop_request, target};
use crate::oracle::actor::{
    self, Ending, Errand, Message, Plan, ask, child, crash_holding, next, within,
};
use crate::oracle::stage::Stage;
use crate::oracle::trace::{How, custom, some_reasons};
use crate::oracle::{Scenario, scenario};

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut list = Vec::new();
    let mut hows: Vec<(&str, How)> = some_reasons(&[
        "normal",
        "shutdown",
        "shutdown_with",
        "kill",
        "custom",
        "error",
    ])
    .into_iter()
    .map(|(name, reason)| (name, How::Stop(reason)))
    .collect();
    hows.push(("crash", How::Crash));
    for way in WAYS {
        for (name, how) in hows.clone() {
            // Nobody sends a crash.
            let sent = matches!(
                way,
                Way::StopRequest | Way::ParentSignals | Way::LinkedSignals | Way::StrangerSignals
            );
            if how == How::Crash && sent {
                continue;
            }
            for trap in [false, true] {
                let (how, kind) = (how.clone(), if trap { "trapping" } else { "plain" });
                list.push(scenario(
                    format!("terminate_{}_{name}_{kind}", way.name()),
                    move |stage| terminate(stage, way, how.clone(), trap),
                ));
            }
        }
    }
    for (what, reason) in some_reasons(&["normal", "shutdown", "custom"]) {
        for (name, ending) in [
            ("crashes", Ending::Crash),
            ("exits", Ending::Exit(custom("why"))),
        ] {
            let reason = reason.clone();
            list.push(scenario(
                format!("terminate_{name}_after_stop_{what}"),
                move |stage| terminate_fails(stage, ending.clone(), reason.clone()),
            ));
        }
        list.push(scenario(
            format!("stop_request_then_{what}"),
            move |stage| stop_differs(stage, reason.clone()),
        ));
    }
    list
}

/// The way to the end of a server.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    StopFromHandler,
    StopFromCall,
    StopFromInfo,
    StopFromContinue,
    StopRequest,
    ParentEnds,
    ParentSignals,
    LinkedEnds,
    LinkedSignals,
    StrangerSignals,
}

const WAYS: [Way; 10] = [
    Way::StopFromHandler,
    Way::StopFromCall,
    Way::StopFromInfo,
    Way::StopFromContinue,
    Way::StopRequest,
    Way::ParentEnds,
    Way::ParentSignals,
    Way::LinkedEnds,
    Way::LinkedSignals,
    Way::StrangerSignals,
];

impl Way {
    fn name(self) -> &'static str {
        match self {
            Way::StopFromHandler => "stop_from_handler",
            Way::StopFromCall => "stop_from_call",
            Way::StopFromInfo => "stop_from_info",
            Way::StopFromContinue => "stop_from_continue",
            Way::StopRequest => "stop_request",
            Way::ParentEnds => "parent_ends",
            Way::ParentSignals => "parent_signals",
            Way::LinkedEnds => "linked_ends",
            Way::LinkedSignals => "linked_signals",
            Way::StrangerSignals => "stranger_signals",
        }
    }
}

async fn terminate(mut stage: Stage, way: Way, how: How, trap: bool) {
    let stops = |how: &How| match how {
        How::Stop(reason) => Some(reason.clone()),
        _ => None,
    };
    if matches!(way, Way::ParentEnds | Way::ParentSignals) {
        return parent(stage, way, how, trap).await;
    }
    let (server, monitor) = target(&stage, trap).await;
    match way {
        Way::StopFromHandler => actor::finish(&server, &how),
        Way::StopFromCall => {
            let request = ask(move |from, _, _| {
                Box::pin(async move {
                    match how {
                        How::Stop(reason) => {
                            from.reply("answered".into());
                            Next::Stop(reason)
                        }
                        _ => crash_holding(from),
                    }
                })
            });
            return call_then_down(stage, server, monitor, request).await;
        }
        Way::StopFromInfo => {
            let errand: Errand = Box::new(move |_, _| {
                Box::pin(async move {
                    match how {
                        How::Stop(reason) => Next::Stop(reason),
                        _ => crash_holding(()),
                    }
                })
            });
            stage.node.send(server.pid(), Box::new(errand));
        }
        Way::StopFromContinue => {
            let crash = ExitReason::Panic {
                message: "oops".into(),
                location: "".into(),
            };
            let reason = stops(&how).unwrap_or(crash);
            next(
                &server,
                Next::Continue(Message::Continued(vec!["c1"], Some(reason))),
            );
        }
        Way::StopRequest => {
            let reason = stops(&how).unwrap();
            stop_request(&stage, &server, reason, DEFAULT_CALL_TIMEOUT).await;
        }
        Way::StrangerSignals => {
            stage.driver.exit(server.pid(), stops(&how).unwrap()).await;
            stage.alive_or_down(&server, monitor).await;
            return stage.nothing().await;
        }
        Way::LinkedEnds | Way::LinkedSignals => {
            let peer = stage.worker("peer").await;
            let (at_peer, at_server) = (peer.pid(), server.pid());
            within(&server, move |ctx| ctx.link(at_peer)).await;
            if way == Way::LinkedEnds {
                actor::finish(&peer, &how);
                stage.unlinked(at_server, at_peer).await;
            } else {
                let reason = stops(&how).unwrap();
                within(&peer, move |ctx| {
                    ctx.unlink(at_server);
                    ctx.exit(at_server, reason);
                })
                .await;
            }
            stage.alive_or_down(&server, monitor).await;
            return stage.nothing().await;
        }
        Way::ParentEnds | Way::ParentSignals => unreachable!("done above"),
    }
    stage.driver.down(monitor).await;
    stage.nothing().await;
}

async fn parent(mut stage: Stage, way: Way, how: How, trap: bool) {
    let parent = stage.worker("parent").await;
    let plan = Plan {
        trap,
        ..stage.plan("target")
    };
    let server = child(&parent, plan).await;
    let monitor = stage.driver.watch(server.pid()).await;
    let at_server = server.pid();
    match (way, how) {
        (Way::ParentSignals, How::Stop(reason)) => {
            within(&parent, move |ctx| {
                ctx.unlink(at_server);
                ctx.exit(at_server, reason);
            })
            .await;
        }
        (_, how) => {
            actor::finish(&parent, &how);
            stage.unlinked(at_server, parent.pid()).await;
        }
    }
    stage.alive_or_down(&server, monitor).await;
    stage.nothing().await;
}

async fn terminate_fails(mut stage: Stage, ending: Ending, reason: ExitReason) {
    let plan = Plan {
        ending,
        ..stage.plan("target")
    };
    let (server, monitor) = stage.start_watched(plan).await;
    actor::stop(&server, reason);
    stage.driver.down(monitor).await;
    stage.nothing().await;
}

async fn stop_differs(mut stage: Stage, reason: ExitReason) {
    let plan = Plan {
        ending: Ending::Exit(reason),
        ..stage.plan("target")
    };
    let (server, monitor) = stage.start_watched(plan).await;
    stop_request(&stage, &server, ExitReason::Normal, DEFAULT_CALL_TIMEOUT).await;
    stage.driver.down(monitor).await;
    stage.nothing().await;
}
