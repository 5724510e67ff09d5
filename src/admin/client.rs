//! The other end of the admin socket: what `guildhall admin` speaks.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

use super::Request;

/// Time a node has to answer.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// Asks the node behind `socket`.
///
/// # Errors
/// When no node listens there, it does not answer in time, or it refused; the message says which.
pub async fn ask(socket: &Path, request: &Request) -> anyhow::Result<Value> {
    let stream = UnixStream::connect(socket).await.with_context(|| {
        format!(
            "no node answers on {}; start one (`guildhall dev`) or name its data directory with --data DIR",
            socket.display()
        )
    })?;
    let (read, mut write) = stream.into_split();
    write
        .write_all(format!("{}\n", serde_json::to_string(request)?).as_bytes())
        .await?;
    let mut line = String::new();
    tokio::time::timeout(ANSWER_MAX, BufReader::new(read).read_line(&mut line))
        .await
        .context("the node did not answer in 30 s; its log says why")??;
    let mut answer: Value = serde_json::from_str(&line).context("the node's answer is not JSON")?;
    match answer.get("error").and_then(Value::as_str) {
        Some(error) => anyhow::bail!("{error}"),
        None => Ok(answer["ok"].take()),
    }
}
