//! The measurement of a reconnect storm, small: everybody comes back and nobody loses anything.

use std::net::SocketAddr;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;
use tokio::net::TcpStream;

use crate::support::Process;

/// More than the usual backlog of 1,024 come before the first is accepted: all are connected. What the
/// kernel drops would be tried again after a second, and in vain.
#[tokio::test]
async fn a_storm_waits_to_be_accepted() {
    const STORM: usize = 1_500;
    let hard = getrlimit(Resource::Nofile).maximum;
    let all = Rlimit {
        current: hard,
        maximum: hard,
    };
    setrlimit(Resource::Nofile, all).unwrap();
    let listener = gateway::server::listen(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = listener.local_addr().unwrap();
    let connecting = (0..STORM).map(|_| TcpStream::connect(address));
    let connected = futures_util::future::join_all(connecting);
    let connected = tokio::time::timeout(Duration::from_secs(10), connected).await;
    let connected = connected.expect("all are connected in time");
    let failed = connected.iter().filter(|one| one.is_err()).count();
    assert_eq!(failed, 0);
}

#[test]
fn all_sockets_are_cut_and_come_back_and_nothing_is_lost() {
    let arguments = [
        "bench",
        "storm",
        "--sessions",
        "60",
        "--rate",
        "20",
        "--within",
        "300",
        "--calm",
        "1",
        "--no-pin",
    ];
    let output = Process::run(&arguments);
    assert!(output.status.success(), "{output:?}");
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    for nothing in [
        "lost",
        "duplicated",
        "reordered",
        "gaps_in_sequence",
        "sessions_not_resumed",
        "cut_by_the_node",
    ] {
        assert_eq!(result[nothing], 0, "{nothing}: {result}");
    }
    assert_eq!(result["storm"]["resume"]["count"], 30);
    assert_eq!(result["storm"]["identify"]["count"], 30);
    assert_eq!(result["only_resume"]["resume"]["count"], 60);
    assert_eq!(result["only_identify"]["identify"]["count"], 60);
    assert!(result["deliveries"].as_u64().unwrap() >= result["published"].as_u64().unwrap() * 30);
}

/// What `bench million` says of 300 sessions over three relays and 10 events.
fn million(more: &[&str]) -> Value {
    let size = ["--sessions", "300", "--relay-sessions", "100"];
    let arguments = [&["bench", "million", "--events", "10"], &size[..], more].concat();
    let output = Process::run(&arguments);
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_guild_of_many_sessions_in_one_process_has_every_event() {
    let result = million(&[]);
    assert_eq!(result["deliveries"], 3_000);
    assert_eq!(result["sessions_with_other_than_all_events"], 0);
    assert_eq!(result["guild_ms_per_event"]["count"], 10.0, "{result}");
}

#[test]
fn sessions_that_do_not_show_the_guild_are_given_nothing() {
    let result = million(&["--passive", "90"]);
    assert_eq!(result["deliveries"], 300);
    assert_eq!(result["sessions_with_other_than_all_events"], 0);
}
