//! `guildhall migrate`: moves everything of one store into another while no node uses either.
//!
//! ```text
//!  open both ─▶ storage::migrate ─▶ a bar on a terminal, else a line now and then ─▶ summary
//! ```
//!
//! What is copied, in which order, and what a second run does: `storage/src/migrate.rs`.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use guildhall::config::LogFormat;
use guildhall::telemetry;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use storage::Store;
use storage::migrate::progress::{Counts, Progress, Seen, Stage};
use storage::migrate::{self, Verified, identity};

/// How often the bar moves, and how often a line is written where there is no terminal.
const BAR_EVERY: Duration = Duration::from_millis(200);
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Steps of the bar.
const STEPS: u64 = 1_000;

/// What to move, and where.
#[derive(Debug, Args)]
pub(crate) struct MigrateArgs {
    /// The store to copy: `fjall:DIR` or `scylla://…`. No node may use it meanwhile.
    #[arg(long, value_name = "URL")]
    from: String,
    /// The store to copy into: empty, or begun by the same command before.
    #[arg(long, value_name = "URL")]
    to: String,
    /// Copy nothing, only compare both.
    #[arg(long)]
    verify_only: bool,
    /// Print the summary as one JSON object.
    #[arg(long)]
    json: bool,
}

/// Moves, compares and tells.
///
/// # Errors
/// What was refused or failed, or that the stores are not equal in the end.
pub(crate) async fn run(args: MigrateArgs) -> anyhow::Result<()> {
    telemetry::start_logging("warn,fjall=error,lsm_tree=error", LogFormat::Text)?;
    for (side, url) in [("--from", &args.from), ("--to", &args.to)] {
        anyhow::ensure!(
            !url.starts_with("memory"),
            "{side} {url}: a store in memory is gone with the process; name fjall:DIR or scylla://…"
        );
    }
    let from = identity(&args.from);
    anyhow::ensure!(
        from != identity(&args.to),
        "--from and --to are the same store"
    );
    // A store that is not there must not be made: it would be an empty source.
    let mut needed = vec![("--from", &args.from)];
    needed.extend(args.verify_only.then_some(("--to", &args.to)));
    for (side, url) in needed {
        if let Some(directory) = url.strip_prefix("fjall:") {
            let tree = std::path::Path::new(directory).join("tree");
            anyhow::ensure!(tree.is_dir(), "{side} {url}: there is no store");
        }
    }
    let source = open("--from", &args.from).await?;
    let target = open("--to", &args.to).await?;
    let progress = Arc::new(Progress::new());
    let shown = tokio::spawn(show(progress.clone()));
    let done = if args.verify_only {
        let verified = migrate::compare(&source, &target, &progress).await;
        verified.map(|verified| (None, verified))
    } else {
        let report = migrate::migrate(source.clone(), target.clone(), &from, &progress).await;
        report.map(|report| {
            let copied = (report.resumed, report.copied, report.copy_seconds);
            (Some((copied, report.verify_seconds)), report.verified)
        })
    };
    shown.abort();
    let _ = shown.await;
    let closed = tokio::join!(source.close(), target.close());
    let (copied, verified) = done?;
    if args.json {
        println!("{}", as_json(copied.as_ref(), &verified));
    } else {
        print(copied.as_ref(), &verified);
    }
    closed.0.and(closed.1)?;
    anyhow::ensure!(
        verified.is_equal(),
        "the stores are not equal: {} rows differ",
        verified.differences_total
    );
    Ok(())
}

async fn open(side: &str, url: &str) -> anyhow::Result<Arc<dyn Store>> {
    let opened = storage::engine::open(url).await;
    // Not the URL, which may have a password in it.
    opened.with_context(|| format!("{side} {}: cannot open the store", identity(url)))
}

/// Whether an earlier run had begun, what was copied, and how long that took; and the comparison.
type Copied = ((bool, Counts, f64), f64);

fn as_json(copied: Option<&Copied>, verified: &Verified) -> Value {
    let sections = verified.sections.iter().map(|(section, (source, target))| {
        let digest = |one: &migrate::Digest| json!({"rows": one.rows, "hash": one.to_string()});
        let both = json!({"source": digest(source), "target": digest(target)});
        ((*section).to_owned(), both)
    });
    let (source, target) = verified.digests();
    let mut told = json!({
        "equal": verified.is_equal(),
        "compared": verified.counts,
        "sections": sections.collect::<serde_json::Map<_, _>>(),
        "hash": {"source": source.to_string(), "target": target.to_string()},
        "differences": verified.differences,
        "differences_total": verified.differences_total,
    });
    if let Some(((resumed, counts, seconds), verify_seconds)) = copied {
        told["resumed"] = json!(resumed);
        told["copied"] = json!(counts);
        told["copy_seconds"] = json!(seconds);
        told["verify_seconds"] = json!(verify_seconds);
    }
    told
}

fn print(copied: Option<&Copied>, verified: &Verified) {
    let table = |counts: &Counts| {
        for (kind, some) in counts.iter() {
            println!("  {:<12} {some:>12}", kind.name().replace('_', " "));
        }
    };
    if let Some(((resumed, counts, seconds), _)) = copied {
        let again = if *resumed { ", in all runs" } else { "" };
        println!("copied{again}:");
        table(counts);
        println!("this run copied for {seconds:.1} s");
    }
    println!("compared:");
    table(&verified.counts);
    for one in &verified.differences {
        println!(
            "  {} {}: {:?} in the target",
            one.section, one.key, one.what
        );
    }
    let more = verified.differences_total - verified.differences.len() as u64;
    if more > 0 {
        println!("  and {more} more");
    }
    let (source, target) = verified.digests();
    println!("source {source}\ntarget {target}");
}

/// Shows how far it is until it is stopped.
async fn show(progress: Arc<Progress>) {
    if std::io::stderr().is_terminal() {
        let bar = Bar(ProgressBar::new(STEPS));
        let style = ProgressStyle::with_template("{msg} [{bar:30}] {percent:>3} %");
        bar.0
            .set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        loop {
            let seen = progress.seen();
            bar.0.set_position((seen.part * STEPS as f64) as u64);
            bar.0.set_message(line(&seen));
            tokio::time::sleep(BAR_EVERY).await;
        }
    }
    loop {
        tokio::time::sleep(LINE_EVERY).await;
        let seen = progress.seen();
        eprintln!("{}, {:.0} %", line(&seen), seen.part * 100.0);
    }
}

/// A bar that goes when it is no longer shown.
struct Bar(ProgressBar);

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn line(seen: &Seen) -> String {
    let what = match seen.stage {
        Stage::Preparing => "preparing",
        Stage::Copying => "copying",
        Stage::Verifying => "comparing",
    };
    let left = seen
        .left()
        .map_or_else(String::new, |left| format!(", {} left", span(left)));
    format!(
        "{what}: {} rows, {:.0} a second, {}{left}",
        seen.counts.total(),
        seen.rate(),
        span(seen.seconds),
    )
}

/// Seconds as people say them.
fn span(seconds: f64) -> String {
    match seconds as u64 {
        s @ 0..60 => format!("{s} s"),
        s @ 60..3_600 => format!("{} min {} s", s / 60, s % 60),
        s => format!("{} h {} min", s / 3_600, s % 3_600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_rate_and_time_left() {
        let mut counts = Counts::default();
        counts.add(storage::migrate::progress::Kind::Messages, 500);
        let seen = Seen {
            stage: Stage::Copying,
            counts,
            part: 0.25,
            seconds: 100.0,
        };
        let told = "copying: 500 rows, 5 a second, 1 min 40 s, 5 min 0 s left";
        assert_eq!(line(&seen), told);
        assert_eq!(span(7_384.0), "2 h 3 min");
    }
}
