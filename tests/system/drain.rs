//! SIGTERM: sessions are told to come back (op 7), the process ends by itself with code 0, and a
//! session survives neither more nor less than what was acknowledged.

use std::time::Duration;

use crate::support::{ALL_INTENTS, Gateway, Process};

/// The default deadline of a shutdown and some room for a busy machine.
const LIMIT: Duration = Duration::from_secs(25);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_says_op_7_and_ends_with_code_0() {
    let directory = tempfile::tempdir().unwrap();
    let mut process = Process::dev(directory.path(), &[]);
    let addr = process.addr();
    let mut gateway = Gateway::login(addr, process.var("TOKEN_B"), ALL_INTENTS).await;
    let channel = process.var("CHANNEL_ID").to_owned();
    let posted = process
        .http_a()
        .post_message(&channel, "before the end")
        .await;
    process.terminate();
    gateway.opcode(7).await;
    // It does not leave by itself: it is told that the node goes.
    assert_eq!(gateway.closed().await, Some(1001));
    let status = process.wait(LIMIT);
    assert!(status.success(), "{status}");
    assert!(
        tokio::net::TcpStream::connect(addr).await.is_err(),
        "nothing listens any more"
    );

    let process = Process::dev(directory.path(), &[]);
    let stored = process.http_a().all_messages(&channel).await;
    assert_eq!(
        stored.last().map(|message| &message["id"]),
        Some(&posted["id"])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_clients_ends_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut process = Process::dev(directory.path(), &[]);
    process.terminate();
    assert!(process.wait(Duration::from_secs(10)).success());
}
