//! New versions: a state that moves to another node, and a server that is changed in place.

use std::time::Duration;

use otp::sys::{self, SysError};
use otp::{
    Context, ExitReason, From, GenServer, HandOver, HandOverError, HandedOver, Info, Init, Next,
    Node, Options, ServerRef, hand_over, upgrade,
};

use crate::support::node;

crate::cases! {
    a_state_moves_to_the_next_version_on_another_node: "APP-023";
    a_server_is_changed_in_place: "APP-024";
}

const SOON: Duration = Duration::from_secs(10);

/// A counter of the second release: it has a step, which the first had not.
struct Counter {
    total: u64,
    step: u64,
    /// What is done to each number: the part that is replaced in place.
    behaviour: Box<dyn Fn(u64) -> u64 + Send>,
    refuses: bool,
}

enum Message {
    Add(u64),
    Get(From<(u64, u64)>),
}

impl Counter {
    fn new(total: u64) -> Counter {
        Counter {
            total,
            step: 1,
            behaviour: Box::new(|number| number),
            refuses: false,
        }
    }
}

impl GenServer for Counter {
    type Args = u64;
    type Message = Message;

    async fn init(total: u64, _: &mut Context<Self>) -> Init<Self> {
        Init::Ok(Counter::new(total))
    }

    async fn handle(&mut self, message: Message, _: &mut Context<Self>) -> Next<Self> {
        match message {
            Message::Add(number) => self.total += (self.behaviour)(number),
            Message::Get(from) => from.reply((self.total, self.step)),
        }
        Next::Go
    }

    async fn handle_info(&mut self, info: Info, _: &mut Context<Self>) -> Next<Self> {
        if let Ok(handed) = HandedOver::from_info(info) {
            handed.accept(self);
        }
        Next::Go
    }

    fn code_change(&self, from_version: &str) -> Result<Self, String> {
        match from_version {
            "1" => Ok(Counter {
                total: self.total,
                step: 2,
                behaviour: Box::new(|number| number * 10),
                refuses: false,
            }),
            "broken" => panic!("code_change panics"),
            other => Err(format!("what is version {other}?")),
        }
    }
}

impl HandOver for Counter {
    const VERSION: u32 = 2;

    fn export(&self, version: u32) -> Result<Vec<u8>, String> {
        match version {
            1 => Ok(self.total.to_be_bytes().to_vec()),
            2 => Ok([self.total.to_be_bytes(), self.step.to_be_bytes()].concat()),
            other => Err(format!("no version {other}")),
        }
    }

    fn import(&mut self, version: u32, state: &[u8]) -> Result<(), String> {
        if self.refuses {
            return Err("not now".into());
        }
        let number = |at: usize| {
            let bytes = state.get(at..at + 8).ok_or("too short")?;
            Ok::<u64, String>(u64::from_be_bytes(bytes.try_into().unwrap()))
        };
        (self.total, self.step) = match version {
            // The first release had no step.
            1 => (number(0)?, 1),
            2 => (number(0)?, number(8)?),
            other => return Err(format!("no version {other}")),
        };
        Ok(())
    }
}

async fn counter(node: &Node, total: u64) -> ServerRef<Counter> {
    otp::start(node, total, Options::new()).await.unwrap()
}

async fn a_state_moves_to_the_next_version_on_another_node() {
    let (old_node, new_node) = (node(), Node::new("new"));
    old_node.connect(&new_node);
    let get = |server: &ServerRef<Counter>| {
        let server = server.clone();
        async move { server.call(Message::Get).await }
    };
    // In both versions, so that a release can follow the one before, and go back to it.
    for version in [1, 2] {
        let old = counter(&old_node, 40).await;
        let heir = counter(&new_node, 0).await;
        // Messages that were sent before the hand-over are part of what is handed over.
        old.cast(Message::Add(2));
        hand_over(&old, heir.pid(), version, SOON).await.unwrap();
        assert_eq!(get(&heir).await, Ok((42, 1)));
        let reason = ExitReason::ShutdownWith(format!("handed over to {}", heir.pid()).into());
        assert_eq!(old.wait_for_exit().await, reason);
    }
    // Whatever goes wrong, the old one goes on with what it has.
    let old = counter(&old_node, 40).await;
    let heir = counter(&new_node, 5).await;
    let refused = hand_over(&old, heir.pid(), 3, SOON).await;
    assert_eq!(refused, Err(HandOverError::Export("no version 3".into())));
    sys::replace_state(&heir, |heir| Counter {
        refuses: true,
        ..Counter::new(heir.total)
    })
    .await
    .unwrap();
    let refused = hand_over(&old, heir.pid(), 2, SOON).await;
    assert_eq!(refused, Err(HandOverError::Refused("not now".into())));
    assert_eq!(get(&heir).await, Ok((5, 1)));
    sys::suspend(&heir).await.unwrap();
    let late = hand_over(&old, heir.pid(), 2, Duration::from_millis(20)).await;
    assert_eq!(late, Err(HandOverError::Timeout));
    heir.stop(ExitReason::Normal, SOON).await.unwrap();
    let gone = hand_over(&old, heir.pid(), 2, SOON).await;
    assert_eq!(gone, Err(HandOverError::NoHeir));
    old_node.disconnect(&new_node);
    let heir = counter(&new_node, 0).await;
    let lost = hand_over(&old, heir.pid(), 2, SOON).await;
    assert_eq!(lost, Err(HandOverError::NoHeir));
    old.cast(Message::Add(2));
    assert_eq!(get(&old).await, Ok((42, 1)));
}

async fn a_server_is_changed_in_place() {
    let node = node();
    let server = counter(&node, 0).await;
    server.cast(Message::Add(1));
    // What fails leaves it as it was, and running.
    let unknown = upgrade(&server, "7").await;
    assert_eq!(
        unknown,
        Err(SysError::CodeChange("what is version 7?".into()))
    );
    let broken = upgrade(&server, "broken").await;
    assert!(
        matches!(broken, Err(SysError::Failed(ExitReason::Panic { .. }))),
        "{broken:?}"
    );
    server.cast(Message::Add(1));
    assert_eq!(server.call(Message::Get).await, Ok((2, 1)));
    // The state stays, the behaviour is another, the process is the same. Messages that arrive
    // while it is suspended wait, and meet the new behaviour.
    let pid = server.pid();
    sys::suspend(&server).await.unwrap();
    server.cast(Message::Add(1));
    upgrade(&server, "1").await.unwrap();
    server.cast(Message::Add(1));
    assert_eq!(server.call(Message::Get).await, Ok((22, 2)));
    assert_eq!(server.pid(), pid);
    assert!(server.is_alive());
}
