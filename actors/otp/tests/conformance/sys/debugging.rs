//! `sys(3)`: log, statistics, trace, suspend, debug functions, state, code.

use std::sync::Arc;
use std::time::Duration;

use otp::sys::{self, Event, SysError};
use otp::{
    CallError, ChildSpec, Context, ExitReason, From, GenServer, Init, Next, Node, Options,
    ProcessStatus, ServerRef, Supervisor,
};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::gen_servers::server::{Message, Server, Start, busy, start, tell, within};
use crate::gen_servers::traces::Traces;
use crate::support::{Log, node};

crate::cases! {
    the_last_events_are_kept: "SYS-001";
    messages_are_counted: "SYS-002";
    events_are_traced_as_they_happen [Paused]: "SYS-003";
    a_suspended_server_answers_no_calls: "SYS-004";
    a_suspended_server_ends_when_it_must: "SYS-004";
    debug_functions_see_every_event: "SYS-005";
    requests_work_on_any_behaviour: "SYS-012";
    requests_have_their_time [Paused]: "SYS-012";
    terminate_runs_the_callback: "SYS-013";
    a_state_is_migrated_while_suspended: "SYS-014";
}

const LONG: Duration = Duration::from_secs(10);

fn names(events: &[Event]) -> Vec<&'static str> {
    events.iter().map(|event| event.message).collect()
}

async fn the_last_events_are_kept() {
    let node = node();
    let server = start(&node, Start::plain(&Log::default())).await;
    assert_eq!(sys::get_log(&server).await, Ok(vec![]));
    server.cast(Message::Note("before"));
    sys::log(&server, 3).await.unwrap();
    assert_eq!(sys::get_log(&server).await, Ok(vec![]), "from now on");
    server.cast(Message::Note("one"));
    assert_eq!(server.call(Message::Get).await, Ok(7));
    let events = sys::get_log(&server).await.unwrap();
    assert_eq!(names(&events), ["note", "get"]);
    // Only the last ones, oldest first; signals are events as well.
    server.cast(Message::Set(8));
    node.send(server.pid(), Box::new("info"));
    let events = sys::get_log(&server).await.unwrap();
    assert_eq!(names(&events), ["get", "set", "message"]);
    // To be printed.
    let lines: Vec<String> = events.iter().map(ToString::to_string).collect();
    assert_eq!(lines, ["got get", "got set", "got message"]);
    assert_eq!(sys::get_status(&server).await.unwrap().status.log, lines);
    // Fewer, more, none.
    sys::log(&server, 1).await.unwrap();
    assert_eq!(names(&sys::get_log(&server).await.unwrap()), ["message"]);
    sys::log(&server, usize::MAX).await.unwrap();
    for _ in 0..sys::LOG_EVENTS_MAX + 10 {
        server.cast(Message::Set(9));
    }
    let kept = sys::get_log(&server).await.unwrap();
    assert_eq!(kept.len(), sys::LOG_EVENTS_MAX);
    sys::log(&server, 0).await.unwrap();
    server.cast(Message::Set(9));
    assert_eq!(sys::get_log(&server).await, Ok(vec![]));
}

async fn messages_are_counted() {
    let node = node();
    let (server, other) = (
        start(&node, Start::plain(&Log::default())).await,
        start(&node, Start::plain(&Log::default())).await,
    );
    assert_eq!(sys::get_statistics(&server).await, Err(SysError::Off));
    server.cast(Message::Note("before"));
    sys::statistics(&server, true).await.unwrap();
    let counts = |counted: sys::Statistics| (counted.messages_in, counted.messages_out);
    let none = sys::get_statistics(&server).await.unwrap();
    assert_eq!(counts(none), (0, 0), "the request itself is no message");
    assert_eq!(server.call(Message::Get).await, Ok(7));
    let one = sys::get_statistics(&server).await.unwrap();
    assert_eq!(counts(one), (1, 0));
    let to = other.clone();
    tell(&server, move |_, ctx| {
        to.cast(Message::Note("out"));
        ctx.send(to.pid(), Box::new("out"));
        Next::Go
    });
    node.send(server.pid(), Box::new("in"));
    let some = sys::get_statistics(&server).await.unwrap();
    assert_eq!(counts(some), (3, 2));
    assert!(some.running >= one.running);
    // Turned on again they begin anew, turned off there are none.
    sys::statistics(&server, true).await.unwrap();
    let anew = sys::get_statistics(&server).await.unwrap();
    assert_eq!(counts(anew), (0, 0));
    sys::statistics(&server, false).await.unwrap();
    assert_eq!(sys::get_statistics(&server).await, Err(SysError::Off));
}

async fn events_are_traced_as_they_happen() {
    let traces = Traces::start();
    let node = node();
    let server = start(&node, Start::plain(&Log::default())).await;
    sys::trace(&server, true).await.unwrap();
    let open = busy(&server);
    server.cast(Message::Note("waits"));
    otp::eventually!(server.mailbox_len() == 1);
    assert_eq!(traces.of("INFO").len(), 1, "what waits has not happened");
    open.send(()).unwrap();
    assert_eq!(server.call(Message::Get).await, Ok(7));
    sys::trace(&server, false).await.unwrap();
    assert_eq!(server.call(Message::Get).await, Ok(7));
    let lines = traces.of("INFO");
    assert_eq!(lines.len(), 3, "{lines:?}");
    for (line, message) in lines.iter().zip(["wait", "note", "get"]) {
        let of_server = line.contains(&server.pid().to_string());
        assert!(
            of_server && line.contains(&format!("{message:?}")),
            "{line}"
        );
    }
}

async fn a_suspended_server_answers_no_calls() {
    let node = node();
    let log = Log::default();
    let server = start(&node, Start::plain(&log)).await;
    let status = || node.process_info(server.pid()).unwrap().status;
    assert!(!sys::get_status(&server).await.unwrap().suspended);
    for _ in 0..2 {
        // Twice is once.
        sys::suspend(&server).await.unwrap();
        assert!(sys::get_status(&server).await.unwrap().suspended);
        assert_eq!(status(), ProcessStatus::Suspended);
    }
    let silent = server.call_timeout(Duration::from_millis(20), Message::Get);
    assert_eq!(silent.await, Err(CallError::Timeout));
    for note in ["one", "two"] {
        server.cast(Message::Note(note));
        node.send(server.pid(), Box::new("info"));
    }
    assert_eq!(server.mailbox_len(), 5, "what comes waits");
    assert_eq!(log.all(), ["init"]);
    sys::resume(&server).await.unwrap();
    assert_eq!(server.call(Message::Get).await, Ok(7));
    assert_eq!(
        log.all(),
        ["init", "one", "info", "two", "info"],
        "in its order"
    );
    sys::resume(&server).await.unwrap();
    assert_eq!(server.call(Message::Get).await, Ok(7));
    assert!(!sys::get_status(&server).await.unwrap().suspended);
    assert_ne!(status(), ProcessStatus::Suspended);
}

async fn a_suspended_server_ends_when_it_must() {
    let node = node();
    for how in ["kill", "signal", "parent", "stop"] {
        let log = Log::default();
        let parent = start(&node, Start::plain(&Log::default())).await;
        let start = Start::trapping(&log);
        let server = within(&parent, move |_, ctx| {
            ctx.start_link::<Server>(start, Options::new())
        });
        let server = server.await.await.unwrap();
        if how == "signal" {
            within(&server, |_, ctx| ctx.trap_exit(false)).await;
        }
        sys::suspend(&server).await.unwrap();
        server.cast(Message::Note("waits"));
        let reason = ExitReason::Custom("end".into());
        match how {
            "kill" => node.exit(server.pid(), ExitReason::Kill),
            "signal" => node.exit(server.pid(), reason.clone()),
            "parent" => {
                let reason = reason.clone();
                tell(&parent, |_, _| Next::Stop(reason));
            }
            _ => assert_eq!(server.stop(reason.clone(), LONG).await, Ok(())),
        }
        let killed = how == "kill";
        let expected = if killed { ExitReason::Killed } else { reason };
        assert_eq!(server.wait_for_exit().await, expected, "{how}");
        let ended: &[&str] = match how {
            "kill" | "signal" => &["init"],
            _ => &["init", "terminate custom: end"],
        };
        assert_eq!(log.all(), ended, "{how}");
    }
}

async fn debug_functions_see_every_event() {
    let node = node();
    let server = start(&node, Start::plain(&Log::default())).await;
    let seen: Arc<Mutex<Vec<(&str, u64)>>> = Arc::default();
    let install = |name: &'static str, most: usize| {
        let (seen, server) = (seen.clone(), server.clone());
        async move {
            let mut left = most;
            let see = move |event: Event, state: &Server| {
                seen.lock().push((event.message, state.number));
                left -= 1;
                left > 0
            };
            sys::install(&server, name, see).await
        }
    };
    install("first", usize::MAX).await.unwrap();
    server.cast(Message::Set(8));
    server.cast(Message::Set(9));
    node.send(server.pid(), Box::new("info"));
    assert_eq!(server.call(Message::Get).await, Ok(9));
    let all = [("set", 7), ("set", 8), ("message", 9), ("get", 9)];
    assert_eq!(*seen.lock(), all, "each with the state before it");
    // Removed by its name.
    assert_eq!(sys::remove(&server, "other").await, Ok(false));
    assert_eq!(sys::remove(&server, "first").await, Ok(true));
    assert_eq!(sys::remove(&server, "first").await, Ok(false));
    server.cast(Message::Set(1));
    assert_eq!(server.call(Message::Get).await, Ok(1));
    assert_eq!(seen.lock().len(), 4);
    // Until it has seen enough; one that fails is removed, the server is not concerned.
    install("first", 2).await.unwrap();
    sys::install(&server, "broken", |_, _| panic!("broken"))
        .await
        .unwrap();
    for _ in 0..5 {
        assert_eq!(server.call(Message::Get).await, Ok(1));
    }
    assert_eq!(seen.lock().len(), 6);
    assert_eq!(sys::remove(&server, "broken").await, Ok(false));
    // As many as allowed.
    for name in 0..sys::DEBUG_FUNCTIONS_MAX {
        let name = name.to_string();
        sys::install(&server, &name, |_, _| true).await.unwrap();
    }
    let too_many = sys::install(&server, "one more", |_, _| true).await;
    assert_eq!(too_many, Err(SysError::TooMany));
    sys::install(&server, "3", |_, _| true).await.unwrap();
    // All of it is over.
    sys::log(&server, 5).await.unwrap();
    sys::statistics(&server, true).await.unwrap();
    sys::no_debug(&server).await.unwrap();
    assert_eq!(sys::remove(&server, "3").await, Ok(false));
    assert_eq!(sys::get_log(&server).await, Ok(vec![]));
    assert_eq!(sys::get_statistics(&server).await, Err(SysError::Off));
}

/// A server of another kind, with a state that can be copied and migrated.
#[derive(Clone, Debug, PartialEq)]
struct Account {
    name: String,
    /// Version 2 counts in hundredths.
    cents: u64,
}

impl GenServer for Account {
    type Args = u64;
    type Message = From<u64>;

    async fn init(cents: u64, _ctx: &mut Context<Account>) -> Init<Account> {
        Init::Ok(Account {
            name: "mine".into(),
            cents,
        })
    }

    async fn handle(&mut self, from: From<u64>, _ctx: &mut Context<Account>) -> Next<Account> {
        from.reply(self.cents);
        Next::Go
    }

    fn code_change(&self, from_version: &str) -> Result<Account, String> {
        match from_version {
            "1" => Ok(Account {
                cents: self.cents * 100,
                ..self.clone()
            }),
            "0" => panic!("too old"),
            other => Err(format!("{other} is not known")),
        }
    }
}

async fn account(node: &Node) -> ServerRef<Account> {
    otp::start::<Account>(node, 5, Options::new())
        .await
        .unwrap()
}

async fn requests_work_on_any_behaviour() {
    let node = node();
    let account = account(&node).await;
    assert_eq!(sys::get_state(&account).await.unwrap().cents, 5);
    let richer = |old: &Account| Account {
        cents: old.cents + 1,
        ..old.clone()
    };
    sys::replace_state(&account, richer).await.unwrap();
    assert_eq!(sys::get_state(&account).await.unwrap().cents, 6);
    let failed = sys::replace_state(&account, |_| panic!("no")).await;
    assert!(matches!(
        failed,
        Err(SysError::Failed(ExitReason::Panic { .. }))
    ));
    assert_eq!(account.call(|from| from).await, Ok(6));
    let looked = sys::with_state(&account, |_| -> u64 { panic!("no") }).await;
    assert!(matches!(looked, Err(SysError::Failed(_))));
    let status = sys::get_status(&account).await.unwrap();
    assert_eq!(status.pid, account.pid());
    assert!(status.server.ends_with("Account"));
    assert!(
        status.status.state.ends_with("Account"),
        "nothing of it is shown by default"
    );
    // A supervisor is one, too.
    let supervisor = Supervisor::one_for_one().child(ChildSpec::worker::<Account>("one", || 1));
    let supervisor = supervisor.start(&node, Options::new()).await.unwrap();
    let server = node
        .server_ref::<otp::SupervisorServer>(supervisor.pid())
        .unwrap();
    sys::suspend(&server).await.unwrap();
    assert!(sys::get_status(&server).await.unwrap().suspended);
    sys::with_state(&server, |_| ()).await.unwrap();
    sys::resume(&server).await.unwrap();
    assert_eq!(supervisor.count_children().await.unwrap().active, 1);
    // Nobody there.
    node.exit(account.pid(), ExitReason::Kill);
    account.wait_for_exit().await;
    let gone = SysError::Call(CallError::NoProc);
    assert_eq!(sys::get_state(&account).await, Err(gone.clone()));
    assert_eq!(sys::get_status(&account).await, Err(gone.clone()));
    assert_eq!(
        sys::replace_state(&account, Account::clone).await,
        Err(gone)
    );
}

async fn requests_have_their_time() {
    let node = node();
    let server = start(&node, Start::plain(&Log::default())).await;
    let open = busy(&server);
    let late = SysError::Call(CallError::Timeout);
    let begun = Instant::now();
    let number = |state: &Server| state.number;
    assert_eq!(sys::with_state(&server, number).await, Err(late.clone()));
    assert_eq!(begun.elapsed(), Duration::from_secs(5));
    assert_eq!(sys::get_status(&server).await, Err(late.clone()));
    assert_eq!(sys::suspend(&server).await, Err(late));
    // Less, if the caller says so.
    let begun = Instant::now();
    let short = Duration::from_millis(10);
    let limited = tokio::time::timeout(short, sys::with_state(&server, number)).await;
    assert!(limited.is_err());
    assert_eq!(begun.elapsed(), short);
    open.send(()).unwrap();
    sys::resume(&server).await.unwrap();
    assert_eq!(sys::with_state(&server, number).await, Ok(7));
    // It ends meanwhile.
    let _open = busy(&server);
    otp::eventually!(server.mailbox_len() == 0);
    let asking = tokio::spawn({
        let server = server.clone();
        async move { sys::with_state(&server, number).await }
    });
    otp::eventually!(server.mailbox_len() == 1);
    node.exit(server.pid(), ExitReason::Custom("shot".into()));
    let reason = CallError::Exit(ExitReason::Custom("shot".into()));
    assert_eq!(asking.await.unwrap(), Err(SysError::Call(reason)));
}

async fn terminate_runs_the_callback() {
    let node = node();
    for suspended in [false, true] {
        let log = Log::default();
        let server = start(&node, Start::plain(&log)).await;
        if suspended {
            sys::suspend(&server).await.unwrap();
            server.cast(Message::Note("waits"));
        }
        let why = ExitReason::ShutdownWith("asked".into());
        assert_eq!(sys::terminate(&server, why.clone()).await, Ok(()));
        assert!(!server.is_alive());
        assert_eq!(server.wait_for_exit().await, why);
        assert_eq!(log.all(), ["init", "terminate shutdown: asked"]);
        let again = sys::terminate(&server, why).await;
        assert_eq!(again, Err(SysError::Call(CallError::NoProc)));
    }
}

async fn a_state_is_migrated_while_suspended() {
    let node = node();
    let account = account(&node).await;
    let running = sys::change_code(&account, "1").await;
    assert_eq!(running, Err(SysError::NotSuspended));
    assert_eq!(account.call(|from| from).await, Ok(5));
    sys::suspend(&account).await.unwrap();
    let waiting = account.send_request(|from| from);
    // What fails, in words or by a panic, leaves the old state.
    let unknown = sys::change_code(&account, "3").await;
    assert_eq!(unknown, Err(SysError::CodeChange("3 is not known".into())));
    let old = sys::change_code(&account, "0").await;
    assert!(matches!(
        old,
        Err(SysError::Failed(ExitReason::Panic { .. }))
    ));
    assert_eq!(sys::get_state(&account).await.unwrap().cents, 5);
    assert_eq!(sys::change_code(&account, "1").await, Ok(()));
    let migrated = sys::get_state(&account).await.unwrap();
    assert_eq!((migrated.name.as_str(), migrated.cents), ("mine", 500));
    assert!(sys::get_status(&account).await.unwrap().suspended);
    // What came meanwhile is handled by the new state.
    sys::resume(&account).await.unwrap();
    assert_eq!(waiting.receive(LONG).await, Ok(500));
}
