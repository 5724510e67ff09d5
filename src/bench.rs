//! `guildhall bench`: measurements of a whole node by clients of its own, in another process.
//!
//! Every measurement starts the node as a child of itself, speaks to it over loopback as any
//! client does, and prints one JSON object that states the conditions beside the figures.

mod fanout;

use clap::Subcommand;

/// What to measure.
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// One channel, many sessions: what a delivery costs, how late it is, and whether all arrive.
    Fanout(fanout::FanoutArgs),
}

/// Runs a measurement and prints its result to standard output.
///
/// # Errors
/// When it could not be carried out, or what it measured is wrong (lost, repeated or reordered
/// messages, or dropped connections); the result is printed all the same.
pub(crate) async fn run(what: Bench) -> anyhow::Result<()> {
    match what {
        Bench::Fanout(args) => fanout::run(args).await,
    }
}
