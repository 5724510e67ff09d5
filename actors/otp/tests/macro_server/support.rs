//! What several of these tests need.

use otp::Node;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

pub(crate) fn node() -> Node {
    Node::new("macro")
}

/// Where servers write what happened to them. Unbounded: it lives for one test.
pub(crate) type Log = UnboundedSender<String>;

pub(crate) fn log() -> (Log, UnboundedReceiver<String>) {
    unbounded_channel()
}

/// The next line of a log.
pub(crate) async fn line(log: &mut UnboundedReceiver<String>) -> String {
    tokio::time::timeout(otp::testing::TEST_DEADLINE, log.recv())
        .await
        .expect("a line in time")
        .expect("the log is open")
}
