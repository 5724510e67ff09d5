//! Requests that are sent now and waited for later, alone and in collections.

use std::time::Duration;

use otp::{
    At, CallError, Collected, Destination, ExitReason, From, Next, Node, Options, Registry,
    RequestCollection, ServerRef,
};
use tokio::time::{Instant, sleep};

use crate::gen_servers::server::{Message, Server, Start, asked, start, walk, within};
use crate::support::{Log, node};

crate::cases! {
    a_request_is_waited_for_later [Paused]: "GSRV-017";
    what_is_wrong_is_the_answer_to_a_request: "GSRV-017";
    a_collection_receives_answers_with_their_labels [Paused]: "GSRV-018";
    a_collection_waits_and_keeps [Paused]: "GSRV-019";
    a_collection_is_checked [Paused]: "GSRV-020";
    a_dropped_request_leaves_nothing: "GSRV-017", "GSRV-018";
}

const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(10);

/// A request that is answered with `number` after a while.
fn later(after: Duration, number: u64) -> impl FnOnce(From<u64>) -> Message + Send {
    asked(move |from| {
        tokio::spawn(async move {
            sleep(after).await;
            from.reply(number);
        });
        Next::Go
    })
}

async fn a_request_is_waited_for_later() {
    let node = node();
    let log = Log::default();
    let server = start(&node, Start::plain(&log)).await;
    // Sent before it is waited for.
    let request = server.send_request(later(Duration::ZERO, 1));
    within(&server, |_, _| ()).await;
    assert_eq!(request.receive(LONG).await, Ok(1));
    // Waited for in vain, and then not.
    let mut request = server.send_request(later(SHORT, 2));
    let begun = Instant::now();
    assert_eq!(request.check(), None);
    assert_eq!(request.wait(SHORT / 2).await, None);
    assert_eq!(begun.elapsed(), SHORT / 2);
    assert_eq!(request.check(), None);
    assert_eq!(request.wait(LONG).await, Some(Ok(2)));
    assert!(begun.elapsed() < 2 * SHORT);
    assert_eq!(request.wait(LONG).await, None, "it is given once");
    // Checked until it is there.
    let mut request = server.send_request(later(SHORT, 3));
    sleep(SHORT / 2).await;
    assert_eq!(request.check(), None);
    sleep(SHORT).await;
    assert_eq!(request.check(), Some(Ok(3)));
    assert_eq!(request.check(), None);
    // Received too late: it is abandoned, and its answer with it.
    let request = server.send_request(later(SHORT, 4));
    assert_eq!(request.receive(SHORT / 2).await, Err(CallError::Timeout));
    sleep(SHORT).await;
    assert_eq!(server.call(Message::Get).await, Ok(7));
    // Several at once, answered in another order than they were sent.
    let slow = server.send_request(later(2 * SHORT, 5));
    let quick = server.send_request(later(SHORT, 6));
    assert_eq!(quick.receive(LONG).await, Ok(6));
    assert_eq!(slow.receive(LONG).await, Ok(5));
    // By a process, which gets on with other things meanwhile.
    let client = start(&node, Start::plain(&Log::default())).await;
    let to = server.clone();
    let open = within(&client, move |_, _| to.send_request(later(SHORT, 8))).await;
    assert_eq!(client.call(Message::Get).await, Ok(7));
    let answer = walk(&client, move |_| Box::pin(open.receive(LONG)));
    assert_eq!(answer.await, Ok(8));
}

async fn what_is_wrong_is_the_answer_to_a_request() {
    let (here, there) = (node(), Node::new("there"));
    here.connect(&there);
    let registry = Registry::<u8>::new(&here);
    let log = Log::default();
    let far = At {
        name: "named",
        node: "there",
    };
    for kind in ["pid", "name", "key", "far pid", "far name"] {
        let begin = || async {
            let options = Options::new().name("named");
            let server = if kind.starts_with("far") {
                otp::start::<Server>(&there, Start::plain(&log), options).await
            } else {
                let options = options.register_in(&registry, 1);
                otp::start::<Server>(&here, Start::plain(&log), options).await
            };
            let pid = server.unwrap().pid();
            let found: Result<ServerRef<Server>, CallError> = match kind {
                "name" => "named".resolve(&here),
                "key" => registry.lookup_ref(&1).ok_or(CallError::NoProc),
                "far name" => far.resolve(&here),
                _ => pid.resolve(&here),
            };
            found.unwrap()
        };
        // It ends before it answers, whether it has begun with it or not.
        for reason in [ExitReason::Shutdown, ExitReason::Custom("boom".into())] {
            let server = begin().await;
            let why = reason.clone();
            let request = server.send_request(asked(|_from| Next::Stop(why)));
            let behind = server.send_request(Message::Get);
            let expected = Err(CallError::Exit(reason));
            assert_eq!(request.receive(LONG).await, expected, "{kind}");
            let behind = behind.receive(LONG).await;
            assert!(
                behind == expected || behind == Err(CallError::NoProc),
                "{behind:?}"
            );
            server.wait_for_exit().await;
            // It is not there any more.
            let request = server.send_request(Message::Get);
            assert_eq!(
                request.receive(LONG).await,
                Err(CallError::NoProc),
                "{kind}"
            );
        }
        let server = begin().await;
        let request = server.send_request(Message::Hold);
        let node = if kind.starts_with("far") {
            &there
        } else {
            &here
        };
        node.exit(server.pid(), ExitReason::Kill);
        let killed = match request.receive(LONG).await {
            // The kill may overtake what is still on its way to another node.
            Err(CallError::NoProc) if kind.starts_with("far") => {
                Err(CallError::Exit(ExitReason::Killed))
            }
            killed => killed,
        };
        assert_eq!(killed, Err(CallError::Exit(ExitReason::Killed)), "{kind}");
    }
    // The connection is lost meanwhile, or has been before.
    let server = otp::start::<Server>(&there, Start::plain(&log), Options::new()).await;
    let server = here.server_ref::<Server>(server.unwrap().pid()).unwrap();
    let request = server.send_request(Message::Hold);
    assert_eq!(server.call(Message::Get).await, Ok(7));
    here.disconnect(&there);
    assert_eq!(request.receive(LONG).await, Err(CallError::NodeDown));
    otp::eventually!(here.nodes().is_empty());
    let request = server.send_request(Message::Get);
    assert_eq!(request.receive(LONG).await, Err(CallError::NodeDown));
    assert!(server.is_alive());
}

/// A collection of three requests, answered after 1, 2 and 3 times [`SHORT`].
fn three(server: &ServerRef<Server>) -> RequestCollection<&'static str, u64> {
    let mut requests = RequestCollection::new();
    requests.add("third", server.send_request(later(3 * SHORT, 3)));
    requests.add("first", server.send_request(later(SHORT, 1)));
    requests.add("second", server.send_request(later(2 * SHORT, 2)));
    assert_eq!(requests.len(), 3);
    requests
}

fn answer(label: &'static str, number: u64) -> Collected<&'static str, u64> {
    Collected::Answer {
        label,
        answer: Ok(number),
    }
}

async fn a_collection_receives_answers_with_their_labels() {
    let node = node();
    let server = start(&node, Start::plain(&Log::default())).await;
    let mut requests = three(&server);
    for (place, (label, number)) in [("first", 1), ("second", 2), ("third", 3)]
        .iter()
        .enumerate()
    {
        assert_eq!(requests.receive(LONG).await, answer(label, *number));
        assert_eq!(requests.len(), 2 - place, "it is taken out");
    }
    assert!(requests.is_empty());
    assert_eq!(requests.receive(LONG).await, Collected::Empty);
    // One more while others are open; labels need not differ.
    let mut requests = three(&server);
    assert_eq!(requests.receive(LONG).await, answer("first", 1));
    requests.add("third", server.send_request(later(Duration::ZERO, 0)));
    assert_eq!(requests.receive(LONG).await, answer("third", 0));
    assert_eq!(requests.receive(LONG).await, answer("second", 2));
    // A server that ends is an answer as well.
    let other = start(&node, Start::plain(&Log::default())).await;
    requests.add(
        "ended",
        other.send_request(asked(|_| Next::Stop(ExitReason::Shutdown))),
    );
    let ended = Collected::Answer {
        label: "ended",
        answer: Err(CallError::Exit(ExitReason::Shutdown)),
    };
    assert_eq!(requests.receive(LONG).await, ended);
    // Not in time: all that were open are abandoned.
    let mut requests = three(&server);
    assert_eq!(requests.receive(LONG).await, answer("first", 1));
    let begun = Instant::now();
    assert_eq!(requests.receive(SHORT / 2).await, Collected::Timeout);
    assert_eq!(begun.elapsed(), SHORT / 2);
    assert!(requests.is_empty());
    assert_eq!(requests.receive(LONG).await, Collected::Empty);
}

async fn a_collection_waits_and_keeps() {
    let node = node();
    let server = start(&node, Start::plain(&Log::default())).await;
    let mut requests = three(&server);
    for (label, number) in [("first", 1), ("second", 2), ("third", 3)] {
        // In vain as often as one likes: everything stays as it was.
        for _ in 0..3 {
            let before = requests.len();
            let waited = requests.wait(SHORT / 10).await;
            assert_eq!(waited, Collected::Timeout);
            assert_eq!(requests.len(), before);
        }
        assert_eq!(requests.wait(LONG).await, answer(label, number));
    }
    assert_eq!(requests.wait(LONG).await, Collected::Empty);
}

async fn a_collection_is_checked() {
    const REQUESTS: u64 = 1_000;
    let node = node();
    let server = start(&node, Start::plain(&Log::default())).await;
    // One answer among many requests that have none.
    let mut requests = RequestCollection::new();
    assert_eq!(requests.check(), Collected::Empty);
    for number in 0..REQUESTS {
        requests.add(number, server.send_request(Message::Hold));
    }
    within(&server, |_, _| ()).await;
    assert_eq!(requests.check(), Collected::Timeout);
    assert_eq!(requests.len() as u64, REQUESTS);
    let held = within(&server, |state, _| std::mem::take(&mut state.held)).await;
    let mut held: Vec<Option<From<u64>>> = held.into_iter().map(Some).collect();
    for number in [500, 0, 999] {
        held[number as usize].take().unwrap().reply(number);
        let found = Collected::Answer {
            label: number,
            answer: Ok(number),
        };
        assert_eq!(requests.check(), found);
        assert_eq!(requests.check(), Collected::Timeout);
    }
    assert_eq!(requests.len() as u64, REQUESTS - 3);
    // All of them, when the server is gone.
    let stopped = server.stop(ExitReason::Normal, LONG).await;
    assert_eq!(stopped, Ok(()));
    let mut left = REQUESTS - 3;
    while let Collected::Answer { answer, .. } = requests.check() {
        assert_eq!(answer, Err(CallError::Exit(ExitReason::Normal)));
        left -= 1;
    }
    assert_eq!((left, requests.check()), (0, Collected::Empty));
}

async fn a_dropped_request_leaves_nothing() {
    let (here, there) = (node(), Node::new("there"));
    here.connect(&there);
    let client_log = Log::default();
    let client = start(&here, Start::trapping(&client_log)).await;
    for node in [&here, &there] {
        let server = start(node, Start::plain(&Log::default())).await;
        let server = here.server_ref::<Server>(server.pid()).unwrap();
        for _ in 0..500 {
            let to = server.clone();
            within(&client, move |_, _| {
                drop(to.send_request(Message::Get));
                let mut requests = RequestCollection::new();
                requests.add(1, to.send_request(Message::Get));
                drop(requests);
            })
            .await;
        }
        assert_eq!(server.call(Message::Get).await, Ok(7));
    }
    within(&client, |_, _| ()).await;
    assert_eq!(client_log.all(), ["init"]);
    let info = here.process_info(client.pid()).unwrap();
    assert_eq!(
        (info.monitors, info.links, info.mailbox_len),
        (vec![], vec![], 0)
    );
    assert_eq!(here.crossing(&there), 0);
}
