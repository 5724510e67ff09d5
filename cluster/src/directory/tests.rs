//! The directory of one node, and of one node among several.

#![allow(clippy::unwrap_used)]

use otp::{Context, ExitReason, GenServer, Init, Next, Options};

use super::*;

struct Idle;

impl GenServer for Idle {
    type Args = ();
    type Message = ();

    async fn init((): (), _ctx: &mut Context<Self>) -> Init<Self> {
        Init::Ok(Self)
    }

    async fn handle(&mut self, (): (), _ctx: &mut Context<Self>) -> Next<Self> {
        Next::Go
    }
}

#[tokio::test]
async fn a_lone_node_owns_everything() {
    let node = Node::new("alone");
    let directory: Directory<u64> = Directory::single(&node, |key| *key);
    assert_eq!(directory.locate(&7), Located::Here);
    let options = Options::new().register_in(directory.registry(), 7);
    let server = otp::start::<Idle>(&node, (), options).await.unwrap();
    assert_eq!(directory.locate(&7), Located::Running(server.pid()));
    server
        .stop(ExitReason::Normal, std::time::Duration::from_secs(5))
        .await
        .unwrap();
    assert_eq!(directory.locate(&7), Located::Here);
}

#[tokio::test]
async fn keys_of_other_nodes_are_elsewhere() {
    let node = Node::new("a");
    let ring = Ring::new([("a", 1), ("b", 1)]);
    let directory: Directory<u64> = Directory::new(&node, ring.clone(), |key| *key);
    for key in 0..100 {
        let owner = ring.owner(key).unwrap();
        let expected = if &**owner == "a" {
            Located::Here
        } else {
            Located::Elsewhere(owner.clone())
        };
        assert_eq!(directory.locate(&key), expected);
    }
    assert!(!directory.set_ring(ring.clone()), "not newer");
    assert!(directory.set_ring(ring.with_members([("a", 1)])));
    assert_eq!(directory.locate(&1), Located::Here);
    assert!(directory.set_ring(directory.ring().with_members([("a", 0)])));
    assert_eq!(directory.locate(&1), Located::Nowhere);
}
