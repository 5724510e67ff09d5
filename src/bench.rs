//! `guildhall bench`: measurements, most of a whole node by clients of its own, in another process.
//!
//! A measurement of a node starts it as a child of itself and speaks to it over loopback as any
//! client does; `memberlist` needs none. Each prints one JSON object that states the conditions
//! beside the figures.

mod fanout;
mod memberlist;

use clap::Subcommand;

/// What to measure.
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// One channel, many sessions: what a delivery costs, how late it is, and whether all arrive.
    Fanout(fanout::FanoutArgs),
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
        Bench::Memberlist(args) => memberlist::run(args).await,
    }
}
