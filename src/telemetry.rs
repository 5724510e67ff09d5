//! Logs and metrics of the process.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::LogFormat;

/// Starts logging to standard error; `RUST_LOG`, when set, wins over `filter`.
///
/// # Errors
/// When the filter cannot be parsed, or logging was started before.
pub fn start_logging(filter: &str, format: LogFormat) -> anyhow::Result<()> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(from_environment) if !from_environment.is_empty() => from_environment,
        _ => filter.to_owned(),
    };
    let filter = EnvFilter::try_new(&filter)
        .map_err(|error| anyhow::anyhow!("log filter {filter:?}: {error}"))?;
    let registry = tracing_subscriber::registry().with(filter);
    match format {
        LogFormat::Text => {
            let colour = std::io::stderr().is_terminal();
            let layer = tracing_subscriber::fmt::layer()
                .with_writer(std::io::stderr)
                .with_ansi(colour);
            registry.with(layer).try_init()?;
        }
        LogFormat::Json => {
            let layer = tracing_subscriber::fmt::layer()
                .json()
                .with_writer(std::io::stderr);
            registry.with(layer).try_init()?;
        }
    }
    Ok(())
}
