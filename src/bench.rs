//! `guildhall bench`: measurements, most of a whole node by clients of its own, in another process.
//!
//! A measurement of a node starts it as a child of itself and speaks to it over loopback as any
//! client does (`million` has sessions without sockets in its own process, `memberlist` needs no
//! node). Each prints one JSON object that states the conditions beside the figures.

mod client;
mod fanout;
mod http;
mod memberlist;
mod million;
mod stalled;
mod steady;
mod store;
mod storm;

use clap::Subcommand;
use serde_json::Value;

/// What to measure.
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// One channel, many sessions: what a delivery costs, how late it is, and whether all arrive.
    Fanout(fanout::FanoutArgs),
    /// All sockets are cut and come back at once: how long that takes and what it costs.
    Storm(storm::StormArgs),
    /// One guild with a million sessions in this process, without sockets.
    Million(million::MillionArgs),
    /// Some sockets stop reading: what that does to the others and to memory.
    Stalled(stalled::StalledArgs),
    /// What the store costs a client: messages posted, the latest 50 read, one channel many read.
    Store(store::StoreArgs),
    /// One list of a million members: what a change, a position and a slice of it cost.
    Memberlist(memberlist::MemberListArgs),
}

/// Runs a measurement and prints its result to standard output.
///
/// # Errors
/// When it could not be carried out, or what it measured is wrong (lost, repeated or reordered
/// messages, or dropped connections); the result is printed all the same.
pub(crate) async fn run(what: Bench) -> anyhow::Result<()> {
    match what {
        Bench::Fanout(args) => fanout::run(args).await,
        Bench::Storm(args) => storm::run(args).await,
        Bench::Million(args) => million::run(args).await,
        Bench::Stalled(args) => stalled::run(args).await,
        Bench::Store(args) => store::run(args).await,
        Bench::Memberlist(args) => memberlist::run(args).await,
    }
}

/// `with` and what every result says of where it was made.
fn conditions(mut with: Value) -> Value {
    let read = |path| {
        std::fs::read_to_string(path)
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    with["version"] = env!("CARGO_PKG_VERSION").into();
    with["optimised"] = (!cfg!(debug_assertions)).into();
    with["kernel"] = read("/proc/sys/kernel/osrelease").into();
    with["load_average"] = read("/proc/loadavg").into();
    with
}
